"""Counting lives: what a perfect exporter would report of them."""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field
from typing import TypedDict

from exporter.simulator.world.life import Life
from exporter.tasks import ENDS, IN_FLIGHT, Phase, Reason, State


class Measured(TypedDict):
    """Durations added up: how many, their true sum, and their sum between timestamps cut to whole seconds."""

    count: int
    seconds: float
    whole_seconds: int


class TallyJson(TypedDict):
    """The truth about one feed. See `Tally.as_json`."""

    submitted: int
    in_flight: dict[str, int]
    finished: dict[str, int]
    failures: dict[str, int]
    durations: dict[str, dict[str, Measured]]
    undated: int
    output_seconds: float
    cost: dict[str, float]
    models: dict[str, dict[str, int]]


@dataclass(slots=True)
class Tally:
    """Sums over lives, each as it stands at one instant."""

    submitted: int = 0
    states: dict[State, int] = field(default_factory=lambda: dict.fromkeys((*IN_FLIGHT, *ENDS), 0))
    reasons: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))
    durations: dict[Phase, dict[State, Measured]] = field(default_factory=lambda: {phase: {} for phase in Phase})
    undated: int = 0
    output_seconds: float = 0.0
    cost: dict[State, float] = field(default_factory=lambda: dict.fromkeys((State.SUCCEEDED, State.FAILED), 0.0))
    models: dict[str, Counter[State]] = field(default_factory=dict)

    def add(self, life: Life, now: float) -> None:
        """Counts one life as it is at `now`."""
        moment = life.at(now)
        self.submitted += 1
        self.states[moment.state] += 1
        if life.model:
            self.models.setdefault(life.model, Counter())[moment.state] += 1
        if moment.state in self.cost:
            self.cost[moment.state] += life.cost
        if moment.state is State.FAILED:
            self.reasons[life.reason or Reason.UNKNOWN] += 1
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

    def copy(self) -> Tally:
        return copy.deepcopy(self)

    def as_json(self) -> TallyJson:
        """The sums by plain names.

        `durations` has for each phase a sum per state that the tasks are in now, left out where there is none: the
        queue phase of tasks that wait at all once they have started, the other two of ended ones. Lost tasks have no
        durations, and `undated` counts the ended ones whose end the vendor does not date, which have only a queue
        phase. `submitted` is the number of all tasks, and equals those in flight and those finished together. `cost` is
        what ended tasks cost, `models` the tasks of each model by state.
        """
        return {
            "submitted": self.submitted,
            "in_flight": {state.value: self.states[state] for state in IN_FLIGHT},
            "finished": {state.value: self.states[state] for state in ENDS},
            "failures": {reason.value: count for reason, count in self.reasons.items()},
            "durations": {
                phase.value: {state.value: measured for state, measured in by_state.items()}
                for phase, by_state in self.durations.items()
            },
            "undated": self.undated,
            "output_seconds": self.output_seconds,
            "cost": {state.value: cost for state, cost in self.cost.items()},
            "models": {
                model: {state.value: count for state, count in states.items()} for model, states in self.models.items()
            },
        }

    def _measure(self, phase: Phase, state: State, begin: float, end: float) -> None:
        sums = self.durations[phase].setdefault(state, Measured(count=0, seconds=0.0, whole_seconds=0))
        sums["count"] += 1
        sums["seconds"] += end - begin
        sums["whole_seconds"] += int(end) - int(begin)
