"""Ended tasks whose cost the vendor has not reported yet: some report it only minutes later."""

from __future__ import annotations

from collections.abc import Iterable

from exporter.tasks import MEASURED_ENDS, Task

LATEST = 86400.0
"""Seconds after the end for which a cost is waited for."""

MOST = 5000
"""Most tasks of a feed whose costs are awaited; beyond it, the oldest are given up."""

USAGE = "usage"
"""A mark in `Task.told`: the cost of the task has been counted."""


class Unpaid:
    """The ended tasks of one feed whose cost may still be reported."""

    def __init__(self, tasks: Iterable[Task] = ()) -> None:
        self._tasks = {task.id: task for task in tasks}  # those whose end was seen first come first

    def __len__(self) -> int:
        return len(self._tasks)

    def get(self, task_id: str) -> Task | None:
        return self._tasks.get(task_id)

    def take(self, tasks: Iterable[Task]) -> None:
        """Takes over what was committed of tasks."""
        for task in tasks:
            if task.state in MEASURED_ENDS and USAGE not in task.told:
                self._tasks[task.id] = task
            else:
                self._tasks.pop(task.id, None)

    def forget(self, ids: Iterable[str], before: float) -> None:
        """Drops what the ledger has forgotten, what was seen to end before a time, and the oldest of too many."""
        for task_id in ids:
            self._tasks.pop(task_id, None)
        while self._tasks:
            task_id, task = next(iter(self._tasks.items()))
            if task.changed >= before and len(self._tasks) <= MOST:
                break
            del self._tasks[task_id]
