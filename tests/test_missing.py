"""Which tasks in flight count as missed."""

from __future__ import annotations

from collections.abc import KeysView

from exporter.ledger.sweep import Sweep
from exporter.polling.feed.missing import MissingTasks
from exporter.tasks import State, Task


class Walked(dict[str, Task]):
    """Tasks in flight that count how often somebody goes through them."""

    times = 0

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        self.times += 1
        return super().keys()


def walks(tasks: int) -> int:
    """How often the second sweep that misses all of so many tasks goes through them."""
    in_flight = Walked({f"{one}": Task(f"{one}", State.RUNNING, 0.0, 0.0) for one in range(tasks)})
    missing_tasks = MissingTasks(look_ups_list=False)
    for now in (100.0, 110.0):
        in_flight.times = 0
        missing_tasks.missed(Sweep(not_found=set(in_flight), complete=True), in_flight, 15.0, now)
    return in_flight.times


def test_the_work_for_missed_tasks_is_in_proportion_to_them() -> None:
    assert walks(200) == walks(2) > 0
