"""How many tasks began, ended and failed in each step of the last day: what the pages draw.

It is worked out of the tasks themselves, by the vendor's times where there are some, so nothing more has to be kept,
and the first sweep shows the day before it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from exporter.tasks import State, Task

STEP = 300.0
"""Seconds of a step."""

STEPS = 288
"""A day."""

Row = tuple[int, int, int, int]
"""The number of a step, and how many began, ended and failed in it of the tasks that have ended."""


def step_of(at: float) -> int:
    """The number of the step that a time is in."""
    return int(at // STEP)


def begin_of(task: Task) -> float:
    """When a task came to be in flight, by the best time that is known."""
    return task.submitted if task.submitted is not None else task.first_seen


def _nothing() -> array[int]:
    return array("i", [0]) * STEPS


@dataclass(frozen=True, slots=True)
class LastDay:
    """The last steps, the latest last. Never changed, but replaced."""

    last: int = 0
    """The number of the latest step."""
    begun: Sequence[int] = field(default_factory=_nothing)
    ended: Sequence[int] = field(default_factory=_nothing)
    failed: Sequence[int] = field(default_factory=_nothing)

    @classmethod
    def of(cls, rows: Iterable[Row], in_flight: Iterable[Task], now: float) -> Self:
        """Out of what a store holds."""
        rows = list(rows)
        begun, ended, failed = ([(row[0], row[column]) for row in rows] for column in (1, 2, 3))
        begun += [(step_of(begin_of(task)), 1) for task in in_flight]
        return cls()._with(step_of(now), begun, ended, failed)

    def after(self, tasks: Iterable[Task], gone: Iterable[str], in_flight: Mapping[str, Task], now: float) -> LastDay:
        """With what a sweep changes: tasks that are new, go on or have ended, and those that are to be forgotten.

        `in_flight` is what was in flight before it. Ends whose time is unknown are left out.
        """
        begun: list[tuple[int, int]] = []
        ended: list[tuple[int, int]] = []
        failed: list[tuple[int, int]] = []
        for task in tasks:
            is_new = task.id not in in_flight
            if task.state.is_end:
                if is_new and not task.is_dated:
                    continue
                step = step_of(task.placed_at)
                ended.append((step, 1))
                if task.state is State.FAILED:
                    failed.append((step, 1))
                if is_new:
                    begun.append((min(step, step_of(begin_of(task))), 1))
            elif is_new:
                begun.append((step_of(begin_of(task)), 1))
        begun += [(step_of(begin_of(in_flight[one])), -1) for one in gone if one in in_flight]
        return self._with(step_of(now), begun, ended, failed) if begun or ended else self

    def at(self, now: float) -> LastDay:
        """The same, with the step of this time as the latest."""
        return self._with(step_of(now), (), (), ())

    def reaches(self) -> int:
        """How many of the latest steps there are from the first one in which something is known to have been."""
        first = min(_first(self.begun), _first(self.ended))
        return STEPS - first

    def in_flight(self, count: int, at: float) -> list[int | None]:
        """How many tasks were in flight at the end of each step, by how many there were at a time; None after that."""
        found: list[int | None] = []
        for back in range(STEPS):
            if self.last - back > step_of(at):
                found.append(None)
                continue
            found.append(max(0, count))
            count += self.ended[-1 - back] - self.begun[-1 - back]
        return found[::-1]

    def _with(
        self,
        step: int,
        begun: Iterable[tuple[int, int]],
        ended: Iterable[tuple[int, int]],
        failed: Iterable[tuple[int, int]],
    ) -> Self:
        last = max(self.last, step)
        passed = min(last - self.last, STEPS)
        columns = []
        for before, more in ((self.begun, begun), (self.ended, ended), (self.failed, failed)):
            column = array("i", before[passed:])
            column.extend([0] * passed)
            for at, count in more:
                if at > last - STEPS:  # a clock that is ahead dates nothing after now
                    column[min(at, last) - last - 1] += count
            columns.append(column)
        return type(self)(last, *columns)


def _first(column: Sequence[int]) -> int:
    return next((at for at, count in enumerate(column) if count), STEPS)
