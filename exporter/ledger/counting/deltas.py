"""What a sweep adds to the counters, worked out before any of it is committed."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from exporter.ledger.counters import Counters, Key
from exporter.ledger.counting.late import USAGE
from exporter.ledger.counting.models import OTHER
from exporter.tasks import MEASURED_ENDS, UNITS, Phase, Reason, State, Task, shared


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A task that stands for a bucket."""

    task_id: str
    value: float
    at: float


class Deltas:
    """What a sweep adds to the counters, and the tasks that stand for it in the histograms."""

    def __init__(self, bounds: Sequence[float], models: Collection[str] = (), model_limit: int = 0) -> None:
        """`models` have series already; more get series of their own as long as there are fewer than the limit."""
        self.bounds = bounds
        self.counts = Counters()
        self.exemplars: dict[Key, Exemplar] = {}
        self._models = set(models)
        self._limit = model_limit

    def model_of(self, task: Task) -> str:
        """The value of the label `model` for a task, which from now on has series; empty for a task without a model."""
        model = task.model
        if not model or model in self._models:
            return model
        if len(self._models - {OTHER}) >= self._limit:
            model = OTHER
        if model not in self._models:
            self._models.add(model)
            self.counts.add("model", model)
        return model

    def measure(self, phase: Phase, task: Task, at: float) -> bool:
        """Observes the duration of a phase, and returns whether it is known."""
        length = task.duration(phase)
        if length is None:
            return False
        metric = f"{phase}_duration_seconds"
        key: Key = (metric,) if phase is Phase.QUEUE else (metric, task.state)
        bound = self.counts.observe(*key, value=length, bounds=self.bounds)
        exemplar = self.exemplars[*key, bound] = Exemplar(task.id, length, at)
        if task.model and task.state is State.SUCCEEDED and phase is not Phase.QUEUE:
            key = (f"model_{metric}", self.model_of(task))
            self.counts.add(*key, "le", bound)
            self.counts.add(*key, "sum", by=length)
            self.exemplars[*key, bound] = exemplar
        return True

    def end(self, task: Task, at: float) -> None:
        """Counts a task's end."""
        model = self.model_of(task)
        self.counts.add("finished_total", task.state)
        if model:
            self.counts.add("model_finished_total", model, task.state)
        if task.state is State.FAILED:
            reason = task.reason or Reason.UNKNOWN
            self.counts.add("failures_total", reason)
            if model:
                self.counts.add("model_failures_total", model, reason)
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

    def pay(self, task: Task, usage: Sequence[tuple[str, float]]) -> Task:
        """Counts what an ended task cost, amounts by unit; gives the task as one whose cost is counted."""
        amounts = [(unit, amount) for unit, amount in usage if unit in UNITS and 0 < amount < math.inf]
        if not amounts or task.state not in MEASURED_ENDS:
            return task
        model = self.model_of(task)
        for unit, amount in amounts:
            self.counts.add("usage_total", unit, task.state, by=amount)
            if model:
                self.counts.add("model_usage_total", model, unit, by=amount)
        return replace(task, told=shared(task.told | {USAGE}))

    def onto(self, totals: Counters) -> Counters:
        """The new totals of what has grown."""
        latest = "last_finished_timestamp_seconds"
        grown = {key: max(totals[key], by) if key[0] == latest else totals[key] + by for key, by in self.counts.items()}
        return Counters(grown)
