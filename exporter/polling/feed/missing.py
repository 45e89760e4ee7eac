"""Which of the tasks in flight that a sweep did not find count as missed.

The ledger takes a task for lost at its second miss, and whatever becomes of it later is not counted. So a miss has to
mean something: a vendor that answers blanks for a moment would else lose everything that is in flight.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.ledger.sweep import Sweep
from exporter.tasks import Task

APART = 3.0
"""Seconds between the first miss of a task and the one that loses it: at short intervals two sweeps are one look."""

DOUBTFUL_SWEEPS = 10
DOUBTFUL = 10.0
"""Poll intervals, and the least seconds, between those two misses where they prove little."""


class MissingTasks:
    """The tasks of one feed that are being missed, and since when."""

    def __init__(self, look_ups_list: bool) -> None:
        """`look_ups_list`: the list answers look-ups, and one that it leaves empty is answered too."""
        self._look_ups_list = look_ups_list
        self._since: dict[str, float] = {}
        self._listed: set[str] = set()  # in flight or new: the list has shown them, and ought to show them still

    def missed(self, sweep: Sweep, in_flight: Mapping[str, Task], interval: float, now: float) -> set[str]:
        """The tasks in flight that this sweep proves to be missing: those which the vendor says it does not know.

        And, where a look-up brought neither a yes nor a no, those which are gone from a list that was read to its end.
        """
        shown = sweep.listed.keys() | sweep.looked_up.keys()
        unseen = in_flight.keys() - shown
        self._since = {task_id: at for task_id, at in self._since.items() if task_id in unseen}
        listed = {task_id for task_id in in_flight if task_id in self._listed or task_id in sweep.listed}
        self._listed = listed | (sweep.listed.keys() - in_flight.keys())  # the same strings, not others like them
        if not sweep.complete:
            return set()
        unlisted = sweep.unanswered & self._listed - shown if sweep.whole else set()
        gone = (sweep.not_found & in_flight.keys() - shown) | unlisted
        for task_id in gone:
            self._since[task_id] = min(self._since.get(task_id, now), now)
        # That all are gone at once is less likely than that the vendor has lost sight of them.
        all_gone = gone >= in_flight.keys() and (self._look_ups_list or (len(gone) > 1 and not shown))
        doubtful = gone if all_gone else unlisted
        patience = max(DOUBTFUL_SWEEPS * interval, DOUBTFUL)
        return {
            task_id
            for task_id in gone
            if not in_flight[task_id].missing
            or now - self._since[task_id] >= (patience if task_id in doubtful else APART)
        }
