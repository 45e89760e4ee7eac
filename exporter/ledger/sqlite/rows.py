"""What the ledger's databases hold, as rows; a task has a column for each field of `Task`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from exporter.ledger.counters import Key
from exporter.ledger.counting.models import model_name
from exporter.tasks import MEASURED_ENDS, Reason, State, Step, Task, shared

_NAMES = [field.name for field in fields(Task)]
COLUMNS = ", ".join(_NAMES)
COUNT = len(_NAMES)
_values = attrgetter(*_NAMES)

MEASURED = ", ".join(f"'{state}'" for state in MEASURED_ENDS)
"""The states whose ends are measured, as SQL lists them."""


def row_of(feed: int, task: Task) -> tuple[object, ...]:
    """The row of a task: its feed, `COLUMNS`, the date of its end, whether it has ended."""
    identity, state, first_seen, changed, appeared, reason, *facts, told = _values(task)
    return (
        feed,
        identity,
        state.value,  # SQLite takes a plain text as it is; of another type it asks at length how to adapt it
        first_seen,
        changed,
        appeared,
        reason.value if reason else None,
        *(*facts, _told_as_text(told)),
        task.placed_at if state.is_end else None,
        state.is_end,
    )


def task_of(row: Sequence[Any]) -> Task:
    """The task of a row of `COLUMNS`."""
    identity, state, first_seen, changed, appeared, reason, *facts, model, told = row
    return Task(
        identity,
        State(state),
        first_seen,
        changed,
        bool(appeared),
        Reason(reason) if reason else None,
        *(*facts, model_name(model), _told_of_text(told)),  # equal names are one text in memory
    )


def total_of(row: Sequence[Any]) -> tuple[Key, float]:
    """A counter of a row of its key and its value."""
    return tuple(json.loads(row[0])), row[1]


def step_of(row: Sequence[Any]) -> Step:
    """What was seen of a task, of a row of its id, the time, the state and the progress."""
    task_id, at, state, progress = row
    return Step(task_id, at, State(state), progress)


@lru_cache(maxsize=1024)
def _told_as_text(told: frozenset[str]) -> str:
    return " ".join(sorted(told))


@lru_cache(maxsize=1024)
def _told_of_text(text: str) -> frozenset[str]:
    return shared(frozenset(text.split()))
