"""Counting lives: what a perfect exporter would report of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from exporter.simulator.world.life import Life
from exporter.tasks import ENDS, IN_FLIGHT, Phase, Reason, State


@dataclass(slots=True)
class Measured:
    """Durations added up: how many, their true sum, and their sum between timestamps cut to whole seconds."""

    count: int = 0
    seconds: float = 0.0
    whole_seconds: int = 0


@dataclass(slots=True)
class Tally:
    """Sums over lives, each as it stands at one instant.

    `submitted` is the number of all tasks, and equals those in flight and those finished together. `durations` has for
    each phase a sum per state that the tasks are in now, left out where there is none: the queue phase of tasks that
    wait at all once they have started, the other two of ended ones. Lost tasks have no durations, and `undated` counts
    the ended ones whose end the vendor does not date, which have only a queue phase. `cost` is what ended tasks cost,
    `models` the tasks of each model by state.
    """

    submitted: int = 0
    in_flight: dict[State, int] = field(default_factory=lambda: dict.fromkeys(IN_FLIGHT, 0))
    finished: dict[State, int] = field(default_factory=lambda: dict.fromkeys(ENDS, 0))
    failures: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))
    durations: dict[Phase, dict[State, Measured]] = field(default_factory=lambda: {phase: {} for phase in Phase})
    undated: int = 0
    output_seconds: float = 0.0
    cost: dict[State, float] = field(default_factory=lambda: dict.fromkeys((State.SUCCEEDED, State.FAILED), 0.0))
    models: dict[str, dict[State, int]] = field(default_factory=dict)

    def add(self, life: Life, now: float) -> None:
        """Counts one life as it is at `now`."""
        moment = life.at(now)
        self.submitted += 1
        (self.finished if moment.state.is_end else self.in_flight)[moment.state] += 1
        if life.model:
            states = self.models.setdefault(life.model, {})
            states[moment.state] = states.get(moment.state, 0) + 1
        if moment.state in self.cost:
            self.cost[moment.state] += life.cost
        if moment.state is State.FAILED:
            self.failures[life.reason or Reason.UNKNOWN] += 1
        if moment.state is State.SUCCEEDED:
            self.output_seconds += life.output_seconds or 0.0
        if moment.state is State.LOST:
            return
        if life.queue_seconds and moment.started is not None:
            self._measure(Phase.QUEUE, moment.state, life.submitted, moment.started)
        if moment.ended is None:
            return
        if not life.end_dated:
            self.undated += 1
            return
        if moment.started is not None:
            self._measure(Phase.RUN, moment.state, moment.started, moment.ended)
        self._measure(Phase.TOTAL, moment.state, life.submitted, moment.ended)

    def _measure(self, phase: Phase, state: State, begin: float, end: float) -> None:
        sums = self.durations[phase].setdefault(state, Measured())
        sums.count += 1
        sums.seconds += end - begin
        sums.whole_seconds += int(end) - int(begin)
