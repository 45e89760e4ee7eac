"""How a damaged ledger file is handled: it is renamed, and nothing of it is deleted."""

from __future__ import annotations

import re
from pathlib import Path

_DATABASE_NAMES = (".sqlite3", ".sqlite", ".db")
_OUR_SCHEMA = b"CREATE TABLE feeds"
_BESIDE = ("-wal", "-journal", "-shm")
"""What SQLite keeps beside a file, and must stay with it."""


class Damaged(Exception):
    """The file does not hold together. The text says how that was noticed."""


def was_ledger(path: str) -> bool:
    """Whether an unreadable file is ours to set aside, and not one that `ledger.path` names by mistake."""
    with Path(path).open("rb") as file:
        return Path(path).suffix in _DATABASE_NAMES or _OUR_SCHEMA in file.read(65536)


def is_emptied(path: str) -> bool:
    """Whether nothing is left of a file but the log beside it, which SQLite would delete."""
    return not _holds_something(Path(path)) and _holds_something(Path(f"{Path(path).resolve()}-wal"))


def losses_beside(path: str) -> int:
    """The highest number of a ledger that was set aside from this path; 0 if there is none."""
    place = Path(path).resolve()
    named = re.compile(re.escape(place.name) + r"\.lost-(\d{1,9})")
    matches = (named.fullmatch(one.name) for one in place.parent.iterdir())
    return max((int(match[1]) for match in matches if match), default=0)


def set_aside(path: str, losses: int) -> str:
    """Gives a damaged file, and what is beside it, a name that nothing has yet; `losses` are those known before.

    To be called while SQLite has the file open: it deletes the log of a file that it closes. Raises OSError.
    """
    place = Path(path).resolve()
    number = max(losses, losses_beside(path)) + 1
    while any(Path(f"{place}.lost-{number}{end}").exists() for end in ("", *_BESIDE)):
        number += 1
    kept = f"{place}.lost-{number}"
    # The file last: a crash in between leaves a damaged file, which is set aside at the next start, never a log alone.
    for end in _BESIDE:
        if _holds_something(Path(f"{place}{end}")):
            Path(f"{place}{end}").rename(f"{kept}{end}")
    place.rename(kept)
    return kept


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
