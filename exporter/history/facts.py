"""What a row of a list says about the past: which counters grew by it, and when; which gauges it moved.

The counting is the ledger's own (`Deltas`). New is only that each thing is counted at the time at which it happened,
where the ledger counts it when it is seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from exporter.history.span import SampleTimes
from exporter.ledger.counters import Counters, Key
from exporter.ledger.counting.deltas import Deltas
from exporter.ledger.counting.models import model_name
from exporter.ledger.counting.times import Times, believed, concluded
from exporter.tasks import Observation, Phase, State, Task

IN_FLIGHT = "tasks"
"""Key of what is known to be in flight, by state."""

MODEL_IN_FLIGHT = "model_tasks"
"""The same by model and state."""

UNPROVEN = "unproven"
"""Key of how many tasks may be in flight at a moment, or may be in another state: rows that lack a time."""

LAST_FINISHED = "last_finished_timestamp_seconds"


class Fact(NamedTuple):
    """By how much something grew at a moment, in steps since 1970; of `LAST_FINISHED`, which time was the latest."""

    key: Key
    moment: int
    by: float


@dataclass(slots=True)
class RowTally:
    """How much could be made of the rows of a feed."""

    tasks: int = 0
    undated: int = 0
    """Ends that nothing dates: they are left out."""
    by_submission: int = 0
    """Ends of unknown time, dated by the submission or by what else places the row."""
    malformed: int = 0
    unfilled: int = 0
    """Ends whose look-ups failed: they count as listed."""


class Facts:
    """What the rows of one feed say, about each task once."""

    def __init__(
        self, span: SampleTimes, bounds: Sequence[float], models: Collection[str], model_limit: int, *, in_flight: bool
    ) -> None:
        """`models` have series already; `in_flight`: rows have the times that say when tasks were in flight."""
        self._span = span
        self._deltas = Deltas(bounds, models, model_limit)
        self._in_flight = in_flight
        self.tally = RowTally()

    def of(self, shown: Observation, at: float) -> Iterator[Fact]:
        """What a row says that was read at a time."""
        self.tally.tasks += 1
        one = concluded(shown, at) if shown.state is State.UNKNOWN else shown
        times = believed(one, at)
        task = _task(one, times, at)
        placed = task.placed_at if task.state.is_end and task.is_dated else None
        if task.state.is_end and placed is None:
            self.tally.undated += 1
            return
        yield from self._queued(task)
        if placed is not None and self._span.holds(placed):
            self.tally.by_submission += task.ended_at is None
            if task.duration(Phase.QUEUE) is not None:
                task = replace(task, told=frozenset({"queue"}))  # its time in the queue has been counted
            self._deltas.end(task, at)
            self._deltas.pay(task, one.usage)
            yield from self._taken(placed)
        yield from self._broken(one, times, placed)
        if self._in_flight:
            yield from self._gauges(task)

    def _queued(self, task: Task) -> Iterator[Fact]:
        """The time in the queue is known once the task starts."""
        started = task.started_at
        if started is not None and self._span.holds(started) and self._deltas.measure(Phase.QUEUE, task, started):
            yield from self._taken(started)

    def _broken(self, one: Observation, times: Times, placed: float | None) -> Iterator[Fact]:
        """What of the row no table maps, or is impossible: to be seen since the last time that the row has."""
        known = (placed, times.started, times.submitted, times.dated)
        seen = next((at for at in known if at is not None), None)
        if seen is None or not self._span.holds(seen):
            return
        for field in one.unmapped:
            self._deltas.counts.add("unmapped_values_total", field)
        if times.rejected:
            self._deltas.counts.add("rejected_timestamps_total", by=len(times.rejected))
        yield from self._taken(seen)

    def _taken(self, at: float) -> Iterator[Fact]:
        counts, self._deltas.counts = self._deltas.counts, Counters()
        self._deltas.exemplars.clear()
        moment = self._span.moment_of(at)
        for key, by in counts.items():
            yield Fact(key, moment, by)

    def _gauges(self, task: Task) -> Iterator[Fact]:
        """When it was in flight: waiting from its submission, running from its start; unproven where a time lacks."""
        submitted, started, ended = task.submitted, task.started, task.ended
        is_known = submitted is not None and (
            (task.state.is_end and started is not None and ended is not None)
            or (task.state is State.RUNNING and started is not None)
            or (task.state is State.QUEUED and started is None)
        )
        if is_known:
            model = ""
            if task.model and self._touches(submitted, ended):
                model = self._deltas.model_of(task)
                yield from self._taken(self._span.end)
            yield from self._in_state(State.QUEUED, model, submitted, ended if started is None else started)
            if started is not None:
                yield from self._in_state(State.RUNNING, model, started, ended)
        else:
            yield from self._between((UNPROVEN,), submitted, ended)

    def _in_state(self, state: State, model: str, begin: float | None, end: float | None) -> Iterator[Fact]:
        yield from self._between((IN_FLIGHT, state), begin, end)
        if model:
            yield from self._between((MODEL_IN_FLIGHT, model, state), begin, end)

    def _touches(self, begin: float | None, end: float | None) -> bool:
        span = self._span
        first = span.first if begin is None else max(span.first, span.moment_of(begin))
        last = span.last + 1 if end is None else min(span.last + 1, span.moment_of(end))
        return first < last

    def _between(self, key: Key, begin: float | None, end: float | None) -> Iterator[Fact]:
        """One more from `begin` until `end`, where these lie in the span; None is before it, or after it."""
        if not self._touches(begin, end):
            return
        span = self._span
        yield Fact(key, span.first if begin is None else max(span.first, span.moment_of(begin)), 1)
        if end is not None and (moment := span.moment_of(end)) <= span.last:
            yield Fact(key, moment, -1)


def _task(one: Observation, times: Times, at: float) -> Task:
    """The task that a row shows; nothing but the vendor's own times dates it."""
    return Task(
        one.id,
        one.state,
        first_seen=at,
        changed=at,
        reason=one.reason,
        submitted=times.submitted,
        started=times.started,
        ended=times.ended if one.state.is_end else None,
        dated=times.dated,
        output_seconds=one.output_seconds,
        model=model_name(one.model) if one.model else "",
    )
