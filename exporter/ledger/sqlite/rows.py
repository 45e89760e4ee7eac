"""A task as a row of the ledger's file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from exporter.tasks import Reason, State, Task, shared

COLUMNS = (
    "id, state, first_seen, changed, appeared, reason, progress, submitted, started, ended, dated, "
    "seen_started, seen_ended, output_seconds, said, missing, told"
)


def row_of(feed: int, task: Task) -> tuple[object, ...]:
    """The row of a task: its feed, `COLUMNS`, the date of its end, whether it has ended."""
    is_end = task.state.is_end
    return (
        feed,
        task.id,
        task.state.value,  # SQLite takes a plain text as it is; of another type it asks at length how to adapt it
        task.first_seen,
        task.changed,
        task.appeared,
        task.reason.value if task.reason else None,
        task.progress,
        task.submitted,
        task.started,
        task.ended,
        task.dated,
        task.seen_started,
        task.seen_ended,
        task.output_seconds,
        task.said,
        task.missing,
        _told_as_text(task.told),
        task.placed_at if is_end else None,
        is_end,
    )


def task_of(row: Sequence[Any]) -> Task:
    """The task of a row of `COLUMNS`."""
    identity, state, first_seen, changed, appeared, reason, *facts, told = row
    return Task(
        identity,
        State(state),
        first_seen,
        changed,
        bool(appeared),
        Reason(reason) if reason else None,
        *(*facts, _told_of_text(told)),
    )


@lru_cache(maxsize=1024)
def _told_as_text(told: frozenset[str]) -> str:
    return " ".join(sorted(told))


@lru_cache(maxsize=1024)
def _told_of_text(text: str) -> frozenset[str]:
    return shared(frozenset(text.split()))
