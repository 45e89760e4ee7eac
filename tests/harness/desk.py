"""The ledger of one feed, and what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import pytest

from exporter.config.models import PollSettings
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import Tracker
from exporter.tasks import ENDS, IN_FLIGHT, Clock, Observation, Phase, Reason, State
from tests.harness.making import made

DAY = 86400.0
START = 1_700_000_000.0


def counted(tracker: Tracker, metric: str) -> dict[str, float]:
    """A counter by the values of its labels; "" where it has none."""
    return {"".join(key[1:]): value for key, value in tracker.counts.items() if key[0] == metric}


def measured(tracker: Tracker, phase: Phase, *state: State) -> tuple[float, float]:
    """How many durations were observed, and their sum."""
    bounds = tracker.settings.duration_buckets
    buckets, total = tracker.counts.buckets(f"{phase}_duration_seconds", *state, bounds=bounds)
    return buckets[-1][1], total


def told(tracker: Tracker) -> dict[str, Any]:
    """What the ledger says of a feed, in the words of the simulator's truth."""
    states = Counter(task.state for task in tracker.in_flight.values())
    return {
        "in_flight": {state.value: states[state] for state in IN_FLIGHT},
        "finished": {state.value: tracker.counts["finished_total", state] for state in ENDS},
        "failures": {reason.value: tracker.counts["failures_total", reason] for reason in Reason},
        "output_seconds": pytest.approx(tracker.counts[("output_seconds_total",)]),
    }


class Desk:
    """A tracker with a store behind it, told what sweeps bring at times of our choosing."""

    def __init__(
        self,
        clock: Clock = Clock.OBSERVED,
        store: SqliteFile | None = None,
        retention: float = 7 * DAY,
        now: float = START,
        tells_usage: bool = False,
        **settings: Any,
    ) -> None:
        self.now = now
        self.store = store or SqliteFile(":memory:")
        self.ledger = Ledger(SqliteStore(self.store), retention)
        opening = self.ledger.open("vendor", "kind", clock, PollSettings(**settings), now, tells_usage=tells_usage)
        self.tracker = made(opening)
        self._made_of = (clock, self.store, retention)
        self._tells_usage = tells_usage
        self._settings = settings

    def restarted(self, **settings: Any) -> Desk:
        """The exporter after a restart, with other settings if any are given."""
        return Desk(*self._made_of, now=self.now, tells_usage=self._tells_usage, **(self._settings | settings))

    async def sweep(
        self,
        *rows: Observation,
        looked_up: Iterable[Observation] = (),
        complete: bool = True,
        after: float = 15.0,
        keep: Collection[str] = (),
        missing: Iterable[str] = (),
        **more: Any,
    ) -> Sweep:
        """A sweep that ends so many seconds after the last."""
        self.now += after
        sweep = Sweep(self.tracker.known, complete=complete, missing=set(missing), **more)
        sweep.show(rows, self.now, listed=True)
        sweep.show(looked_up, self.now, listed=False)
        await self.ledger.record(self.tracker, sweep, self.now, keep=keep)
        return sweep

    def counted(self, metric: str) -> dict[str, float]:
        return counted(self.tracker, metric)

    @property
    def finished(self) -> dict[str, float]:
        return self.counted("finished_total")

    def measured(self, phase: Phase, *state: State) -> tuple[float, float]:
        return measured(self.tracker, phase, *state)
