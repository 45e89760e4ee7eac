"""How many connections fit: of the files that the process may have open, pollers and ledger need theirs."""

from __future__ import annotations

import math
import resource
from contextlib import suppress

RESERVE = 48
"""Files that are kept for the rest, however few there are: the ledger, logs, listeners, a few calls at a time."""

MOST, FEWEST = 512, 8


def raise_open_files() -> float:
    """Raises the limit of open files as far as the process may, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says "no limit", and then refuses that
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return math.inf if soft == resource.RLIM_INFINITY else soft


def connections(open_files: float) -> int:
    """Connections of clients that may be open at once: half of what is left, the rest is for calls of vendors."""
    return int(min(MOST, max(FEWEST, (open_files - RESERVE) / 2)))
