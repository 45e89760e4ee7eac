"""What a sweep adds to the counters, worked out before any of it is committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from exporter.ledger.counters import Counters, Key
from exporter.tasks import MEASURED_ENDS, Phase, Reason, State, Task


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A task that stands for a bucket."""

    task_id: str
    value: float
    at: float


@dataclass(frozen=True)
class Deltas:
    """What a sweep adds to the counters, and the tasks that stand for it in the histograms."""

    bounds: Sequence[float]
    counts: Counters = field(default_factory=Counters)
    exemplars: dict[Key, Exemplar] = field(default_factory=dict)

    def measure(self, phase: Phase, task: Task, at: float) -> bool:
        """Observes the duration of a phase, and tells whether it is known."""
        length = task.duration(phase)
        if length is None:
            return False
        metric = f"{phase}_duration_seconds"
        key = (metric,) if phase is Phase.QUEUE else (metric, task.state)
        bound = self.counts.observe(*key, value=length, bounds=self.bounds)
        self.exemplars[*key, bound] = Exemplar(task.id, length, at)
        return True

    def end(self, task: Task, at: float) -> None:
        """Counters a task's end."""
        self.counts.add("finished_total", task.state)
        if task.state is State.FAILED:
            self.counts.add("failures_total", task.reason or Reason.UNKNOWN)
        if task.output_seconds:
            self.counts.add("output_seconds_total", by=task.output_seconds)
        if task.is_dated:
            key = ("last_finished_timestamp_seconds", task.state)
            self.counts[key] = max(self.counts[key], task.placed_at)
        if task.state not in MEASURED_ENDS:
            return
        if "queue" not in task.told:
            self.counts.add("unmeasured_durations_total", Phase.QUEUE)
        for phase in (Phase.RUN, Phase.TOTAL):
            if not self.measure(phase, task, at):
                self.counts.add("unmeasured_durations_total", phase)

    def onto(self, totals: Counters) -> Counters:
        """The new totals of what has grown."""
        return Counters({key: self._added(key, by, totals[key]) for key, by in self.counts.items()})

    def _added(self, key: Key, by: float, total: float) -> float:
        return max(total, by) if key[0] == "last_finished_timestamp_seconds" else total + by
