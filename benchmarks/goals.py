"""What a benchmark reports: a figure, what it is compared with, and the goal that was set for it.

A module of this folder measures a goal or two and has

    async def run(quick: bool) -> list[Result]

`quick` takes seconds, only to prove that the benchmark works: few tasks, one run; its figures mean nothing. Otherwise
a module takes at most two minutes. It is named in `benchmarks/__main__.py`, runs in a process of its own, and can
be run alone: `python -m benchmarks NAME [--quick]`. Whatever serves during a measurement does so in another process
(`benchmarks/processes.py`). A figure and its baseline are measured in turns, A B A B (`in_turns`), so that other work
on the machine slows both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

RUNS = 5
"""The fewest runs whose median is shown."""


@dataclass(frozen=True)
class Goal:
    """A limit of a figure, or of the figure divided by its baseline."""

    sense: Literal["at most", "at least"]
    limit: float
    of_baseline: bool = False

    def is_met_by(self, value: float) -> bool:
        return value <= self.limit if self.sense == "at most" else value >= self.limit


def at_most(limit: float, *, of_baseline: bool = False) -> Goal:
    """Such as `at_most(150)` MiB, or `at_most(1.3, of_baseline=True)`: 1.3 times what the baseline takes."""
    return Goal("at most", limit, of_baseline)


def at_least(limit: float, *, of_baseline: bool = False) -> Goal:
    """Such as `at_least(2500)` look-ups a second, or `at_least(0.7, of_baseline=True)`."""
    return Goal("at least", limit, of_baseline)


@dataclass(frozen=True)
class Result:
    """One line of the table. A figure with two goals, such as a rate and a share of the baseline, has two lines."""

    name: str
    """What was measured, in a few words: "look-ups", "scrape, OpenMetrics, gzip"."""
    unit: str
    """Of the figure and of its baseline: "ms", "tasks/s", "MiB"."""
    runs: list[float]
    """Each run's figure; empty if it could not be measured here, and then `note` says why."""
    goal: Goal | None = None
    """None for a figure without a goal."""
    baseline: str = ""
    """What the figure is compared with: "bare transport"."""
    baseline_runs: list[float] = field(default_factory=list)
    """The baseline's figures, each from the same turn as the run at its place in `runs`."""
    note: str = ""

    @property
    def value(self) -> float | None:
        return median(self.runs) if self.runs else None

    @property
    def baseline_value(self) -> float | None:
        return median(self.baseline_runs) if self.baseline_runs else None

    @property
    def ratio(self) -> float | None:
        """The figure divided by its baseline: the median over the turns."""
        pairs = list(zip(self.runs, self.baseline_runs, strict=bool(self.baseline_runs)))
        return median(run / base for run, base in pairs) if pairs else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal or a figure."""
        value = self.ratio if self.goal and self.goal.of_baseline else self.value
        return None if self.goal is None or value is None else self.goal.is_met_by(value)


def runs(quick: bool) -> int:
    return 1 if quick else RUNS


async def in_turns(times: int, *measures: Callable[[], Awaitable[float]]) -> list[list[float]]:
    """The figures of several measures, taken A B A B: for each measure a list of so many."""
    turns = [[await measure() for measure in measures] for _ in range(times)]
    return [list(figures) for figures in zip(*turns, strict=True)]
