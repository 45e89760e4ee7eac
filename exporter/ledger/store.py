"""What the ledger has kept for it, and gets back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from exporter.ledger.counters import Counters
from exporter.tasks import Step, Task


@dataclass(frozen=True)
class Changes:
    """What one sweep changes in the ledger: committed as one."""

    provider: str
    kind: str
    since: float | None
    horizon: float | None
    polled: float | None
    tasks: Sequence[Task] = ()
    counts: Counters = field(default_factory=Counters)
    """New totals of the counters that have grown, not differences: to commit them twice changes nothing."""
    forgotten: Sequence[str] = ()
    steps: Sequence[Step] = ()


@dataclass(frozen=True)
class FeedRecord:
    """What the store holds of a feed, but for its ended tasks."""

    since: float | None = None
    horizon: float | None = None
    polled: float | None = None
    counts: Counters = field(default_factory=Counters)
    in_flight: Sequence[Task] = ()
