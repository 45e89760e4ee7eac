"""Ended tasks by when they ended, as the recent window needs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter

from exporter.tasks import CLOCK_SKEW, Task


@dataclass(frozen=True, slots=True)
class End:
    """An ended task as the recent window needs it."""

    at: float
    task: Task


_when = attrgetter("at")


def ends_of(tasks: Iterable[Task]) -> list[End]:
    """The ends among these whose time is known, the oldest first."""
    return sorted((End(task.placed_at, task) for task in tasks if task.state.is_end and task.is_dated), key=_when)


def merged(recent: deque[End], ends: list[End]) -> deque[End]:
    """Recent ends with sorted ones in their places among them; what is older than all of those stays where it is."""
    later: list[End] = []
    while ends and recent and recent[-1].at > ends[0].at:
        later.append(recent.pop())
    recent.extend(sorted([*reversed(later), *ends], key=_when))
    return recent


def within(ends: Iterable[End], now: float, window: float) -> list[Task]:
    """The tasks of those ends that lie within a window before now."""
    since, until = now - window, now + CLOCK_SKEW
    return [end.task for end in ends if since <= end.at <= until]
