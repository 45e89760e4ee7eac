"""When a task that no list shows is looked up again: seldom while its end is far, at every sweep when it may be near.

What is known of the feed are the durations of its ended tasks: the histograms of the ledger, so that they survive
restarts. What is known of a task is its age and, where the vendor reports real progress, how fast that grows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from exporter.ledger.counters import Counters
from exporter.ledger.tracker import Tracker
from exporter.tasks import MEASURED_ENDS, Clock, Phase, State, Task

LEAST_KNOWN = 20
"""Durations that must be known before anything is concluded from them."""

EARLY, LATE = 0.07, 0.98
"""Shares of the ended tasks: so few were quicker than any that is worth a look, and so many were done by then."""

LEAD = 0.95
"""The share of the predicted rest to wait before the next look: progress is uneven, and rounded."""

AT_ONCE = 1000
"""Tasks whose next looks are worked out at once, which holds the event loop for 3 ms."""

LONGEST_GAP = 3
"""Poll intervals between two looks, at most: what is shown of a task is no older than data may be in any case."""


@dataclass(frozen=True, slots=True)
class DurationSpan:
    """Between which durations nearly all lie."""

    early: float = 0.0
    late: float = float("inf")

    @classmethod
    def of(cls, counts: Counters, phase: Phase, bounds: Sequence[float]) -> DurationSpan:
        """What the histograms of a phase show, good and bad ends together."""
        metric = f"{phase}_duration_seconds"
        each = [counts.buckets(metric, state, bounds=bounds)[0] for state in MEASURED_ENDS]
        cumulative = [sum(count for _, count in same) for same in zip(*each, strict=True)]
        if cumulative[-1] < LEAST_KNOWN:
            return cls()
        return cls(_quantile(EARLY, cumulative, bounds), _quantile(LATE, cumulative, bounds))


def _quantile(share: float, cumulative: Sequence[float], bounds: Sequence[float]) -> float:
    """The duration that this share stays below, as if the durations of a bucket lay evenly; inf in the last one."""
    rank = share * cumulative[-1]
    below, floor = 0.0, 0.0
    for bound, count in zip(bounds, cumulative, strict=False):
        if count >= rank and count > below:
            return floor + (bound - floor) * (rank - below) / (count - below)
        below, floor = count, bound
    return float("inf")


@dataclass(frozen=True, slots=True)
class Learned:
    """What a feed's ended tasks suggest about those in flight, and how often one may be looked up. All in seconds."""

    run: DurationSpan
    total: DurationSpan
    interval: float
    """Between two sweeps: as long as no end is expected later than that, a look cannot wait."""
    longest: float
    """Between two looks at one task."""


@dataclass(frozen=True, slots=True)
class Trail:
    """What was seen of a task since it is in its present state: when first, and its progress as it grew."""

    state: State
    since: float
    """When it was first seen in this state."""
    first: tuple[float, float] | None = None
    """The time and the progress of the first look that showed one."""
    before: tuple[float, float] | None = None
    """Those of the last look but one that showed it grown."""
    last: tuple[float, float] | None = None

    def on(self, task: Task, at: float) -> Trail:
        """The trail after one more look."""
        point = (at, task.progress) if task.progress is not None else None
        if task.state is not self.state:
            return Trail(task.state, at, point, None, point)
        if point is None or (self.last is not None and point[1] == self.last[1]):
            return self
        return Trail(self.state, self.since, self.first or point, self.last, point)

    def left(self) -> float | None:
        """Seconds after the last progress at which it would be complete, at the faster of two speeds.

        That since the first look and that of the last two are compared; None where there is no progress to go by, such
        as at a vendor that has one figure for all that is running.
        """
        lefts = []
        for point in (self.first, self.before):
            if self.last and point and self.last[1] > point[1] and self.last[0] > point[0]:
                speed = (self.last[1] - point[1]) / (self.last[0] - point[0])
                lefts.append(max(0.0, 1 - self.last[1]) / speed)
        return min(lefts, default=None)


def next_look(task: Task, trail: Trail, now: float, learned: Learned) -> float:
    """When to look again at a task that was just looked at: after at least one interval and at most `longest`.

    To have nearly all ends seen within one interval for the fewest looks, every sweep has to look wherever an end is
    likely; what can be left out are the stretches with the fewest ends for the time spent in them. Those are all before
    progress is nearly complete, or before more than EARLY of the ended tasks were done; and what has outlived LATE of
    them: the longer it is over time, the less likely it ends within the next interval, so the gap grows with that time.
    A task that waits ends no sooner than its queue and its run together.

    Ages are taken for no younger than the vendor or we say when waiting for the earliest end, and for no older than
    both say when giving a task up for overdue: no clock that is off makes a look late.
    """
    gap = 0.0
    if task.state is State.RUNNING:
        begun = trail.since if task.started is None else task.started
        gap = _until_due(now - min(begun, trail.since), now - max(begun, trail.since), learned.run)
        if (left := trail.left()) is not None and trail.last is not None:
            gap = LEAD * (trail.last[0] + left - now)
    elif task.state is State.QUEUED:
        begun = task.first_seen if task.submitted is None else task.submitted
        gap = _until_due(now - min(begun, task.first_seen), now - max(begun, task.first_seen), learned.total)
    return now + max(learned.interval, min(gap, learned.longest))


def _until_due(oldest: float, youngest: float, span: DurationSpan) -> float:
    return max(span.early - oldest, (youngest - span.late) / 4)


class Schedule:
    """Which tasks of one feed a sweep looks up."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._trails: dict[str, Trail] = {}
        self._next: dict[str, float] = {}

    def due(self, ids: Iterable[str], now: float) -> tuple[list[str], list[str]]:
        """Parts ids into those to be looked up now and those that can wait, each in the order that they came in.

        All are looked up that are not known to wait: after a restart every one, always those of a feed whose durations
        come from our own looks, and all while one is being missed, for that they all are means something else.
        """
        wait: Collection[str] = ()
        if self._next and not any(task.missing for task in self._tracker.in_flight.values()):
            # A sweep comes a little sooner or later than an interval after the one before.
            limit = now + self._tracker.interval / 4
            wait = {task_id for task_id, at in self._next.items() if at > limit}
        every = list(ids)
        return [one for one in every if one not in wait], [one for one in every if one in wait]

    async def saw(self, looked_up: Mapping[str, float]) -> None:
        """Takes in when tasks were looked up, once what was seen of them is in the ledger."""
        in_flight = self._tracker.in_flight
        for task_id in self._trails.keys() - in_flight.keys():
            del self._trails[task_id]
            self._next.pop(task_id, None)
        seen = {task_id: at for task_id, at in looked_up.items() if task_id in in_flight}
        if not seen or self._tracker.clock is not Clock.PROVIDER:
            return
        learned = self._learned()
        for count, (task_id, at) in enumerate(seen.items(), start=1):
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)
            task = in_flight.get(task_id)
            if task is None:  # it has ended meanwhile
                continue
            trail = self._trails.get(task_id)
            self._trails[task_id] = trail = (trail or Trail(task.state, at)).on(task, at)
            self._next[task_id] = next_look(task, trail, at, learned)

    def _learned(self) -> Learned:
        settings, counts = self._tracker.settings, self._tracker.counts
        interval = self._tracker.interval
        # What is not looked at must not count as stalled.
        longest = max(interval, min(LONGEST_GAP * interval, settings.stalled_after / 2))
        run, total = (DurationSpan.of(counts, phase, settings.duration_buckets) for phase in (Phase.RUN, Phase.TOTAL))
        return Learned(run, total, interval, longest)
