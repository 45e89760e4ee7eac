"""What one poll of a feed brings together, for the ledger to settle, and what that changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from exporter.ledger.counters import Key
from exporter.ledger.counting.deltas import Exemplar
from exporter.ledger.counting.ends import End
from exporter.ledger.counting.last_day import LastDay
from exporter.ledger.counting.models import model_name
from exporter.ledger.counting.times import concluded
from exporter.ledger.store import Changes
from exporter.tasks import UNREACHED, Observation, State, Task

AS_BEFORE = Observation("", State.UNKNOWN)
"""Stands for what shows a task in flight just as it was: most are at most sweeps, and need not be kept."""


@dataclass
class Sweep:
    """What one poll of a feed brought."""

    known: Mapping[str, Task] = field(default_factory=dict)
    """The tasks in flight; only differences are kept."""
    listed: dict[str, tuple[Observation, float]] = field(default_factory=dict)
    """By id, with the Unix time of the answer: what list pages showed."""
    looked_up: dict[str, tuple[Observation, float]] = field(default_factory=dict)
    not_found: set[str] = field(default_factory=set)
    """Ids that the vendor does not know, by their look-ups."""
    unanswered: set[str] = field(default_factory=set)
    """Ids whose look-up failed in a way that may concern them alone."""
    missing: set[str] = field(default_factory=set)
    """Tasks in flight that count as missed: a single blank answer proves nothing, nor do all at once."""
    malformed: int = 0
    """Rows that were no tasks at all."""
    ended_before: set[str] = field(default_factory=set)
    """Ids whose end is in the ledger already."""
    replaced: set[str] = field(default_factory=set)
    """Ids whose look-up showed other tasks in their place: those are what counts."""
    finished: set[str] = field(default_factory=set)
    """Ids whose look-up showed nothing but ends."""
    whole: bool = False
    """Whether the list was read to its end, and every row of it was a task."""
    shifted: bool = False
    """Whether rows came again on a later page: the list moved while it was read, and others may have slipped by."""
    late: set[str] = field(default_factory=set)
    """New ids that the list showed below known ones: they were there before, but not visible."""
    cut: bool = False
    """Whether a limit, of pages or of rows, ended the reading."""
    gap: bool = False
    """Whether tasks may have come and gone unseen."""
    complete: bool = False
    goes_on: bool = False
    """Whether it goes on where a complete sweep has stopped: then the dates that it shows count for the horizon too."""
    falls_short: bool = False
    """Whether tasks in flight could not be looked at for so long that what is known of them is not fresh."""

    def show(self, observations: Iterable[Observation], at: float, *, listed: bool) -> None:
        """Takes in what a page or a look-up shows. The later of two observations counts, but no end is taken back."""
        into = self.listed if listed else self.looked_up
        as_before = AS_BEFORE, at
        for shown in observations:
            observation = concluded(shown, at) if shown.state is State.UNKNOWN else shown
            before = into.get(observation.id)
            if before is not None and before[0].state.is_end:
                continue
            task = self.known.get(observation.id)
            if task is not None and is_as_before(task, observation):
                into[task.id] = as_before
            else:
                into[observation.id] = observation, at

    def saw(self, task_id: str) -> bool:
        return task_id in self.listed or task_id in self.looked_up or task_id in self.not_found


def is_as_before(task: Task, observation: Observation) -> bool:
    """Whether a task in flight is just as the ledger has it, so that nothing need be worked out again."""
    return (
        observation.state is task.state
        and observation.progress == task.progress
        and observation.reason is task.reason
        and observation.ended is None
        and (observation.submitted is None or observation.submitted == task.submitted)
        and (observation.started is None or observation.started == task.started)
        and (observation.dated is None or observation.dated == task.dated)
        and observation.output_seconds == task.output_seconds
        and (not observation.model or observation.model == task.model or model_name(observation.model) == task.model)
        and not task.missing
        and observation.unmapped <= task.told
        and UNREACHED not in task.told
    )


@dataclass(frozen=True)
class Settled:
    """A sweep's changes, and what only the memory needs of them."""

    changes: Changes
    at: float
    complete: bool
    is_fresh: bool
    """Whether no task in flight was left unseen for too long."""
    seen: dict[str, float]
    exemplars: dict[Key, Exemplar]
    ends: list[End]
    last_day: LastDay
