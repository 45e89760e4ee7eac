"""Which tasks are asked for, by page and API alike: filters, search, order, page.

What can be found are the tasks in flight and those that ended within the recent window.
"""

from __future__ import annotations

import heapq
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from starlette.datastructures import QueryParams

from exporter.config.mistakes.faults import beyond_limits
from exporter.ledger.counting.models import NAME_LENGTH
from exporter.snapshot import FeedSnapshot, Snapshot
from exporter.tasks import ID_LENGTH, Phase, Reason, State, Task

PER_PAGE_LIMIT = 500
DEEPEST = 100_000
"""Tasks up to which pages go; what lies deeper is found by a filter, or in the other direction."""

RUN = 500
"""Tasks that are filtered and sorted at once: a sort lets nothing else run."""


class QueryError(Exception):
    """A query that cannot be answered. The text names the parameter, what is wrong and what is allowed."""


class Sort(StrEnum):
    """What tasks are ordered by. A task whose value is unknown comes last."""

    CHANGED = "changed"  # when its state or progress was last seen to change
    SUBMITTED = "submitted"  # or first seen, where that is unknown
    STARTED = "started"
    ENDED = "ended"
    DURATION = "duration"  # from the submission to the end, or to now
    PROGRESS = "progress"
    PROVIDER = "provider"
    KIND = "kind"
    MODEL = "model"
    ID = "id"
    STATE = "state"
    REASON = "reason"


class Direction(StrEnum):
    ASCENDING = "asc"
    DESCENDING = "desc"


def _whole(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,15}", value):
        raise PydanticCustomError("whole", "not a whole number; write digits")
    return value


Whole = Annotated[int, BeforeValidator(_whole)]


class TaskQuery(BaseModel):
    """Which tasks are asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    provider: str | None = Field(default=None, min_length=1, description="only tasks of this provider")
    kind: str | None = Field(default=None, min_length=1, description="only tasks of the feeds with this name")
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=NAME_LENGTH,
        description="only tasks of this model; `other` stands for all that have no series of their own",
    )
    state: tuple[State, ...] = Field(default=(), description="only tasks in one of these states; may be repeated")
    reason: tuple[Reason, ...] = Field(
        default=(), description="only tasks that failed for one of these reasons; may be repeated"
    )
    id: str | None = Field(
        default=None,
        min_length=1,
        max_length=ID_LENGTH,
        description="only tasks with this text in their id, in any case",
    )
    sort: Sort = Field(default=Sort.CHANGED, description="what the tasks are ordered by; unknown values come last")
    direction: Direction = Field(default=Direction.DESCENDING, description="the way of the order")
    page: Whole = Field(
        default=1, ge=1, le=DEEPEST, description=f"which page, from 1; page x per_page is at most {DEEPEST}"
    )
    per_page: Whole = Field(default=50, ge=1, le=PER_PAGE_LIMIT, description="tasks on a page")

    def concerns(self, feed: FeedSnapshot) -> bool:
        """Whether tasks of a feed are asked for."""
        return self.provider in (None, feed.provider) and self.kind in (None, feed.kind)

    def filter_of(self, feed: FeedSnapshot) -> Callable[[Task], bool]:
        """Says of a task of a feed whether it is asked for."""
        model = self.model
        states, reasons, text = frozenset(self.state), frozenset(self.reason), (self.id or "").casefold()

        def matches(task: Task) -> bool:
            return (
                (model is None or (bool(task.model) and model in (task.model, feed.model_of(task))))
                and (not states or task.state in states)
                and (not reasons or task.reason in reasons)
                and (not text or text in task.id.casefold())
            )

        return matches

    def encoded(self, **changes: object) -> str:
        """As the query of a URL, with some values changed; what is as by default is left out."""
        return urlencode(self.model_copy(update=changes).model_dump(mode="json", exclude_defaults=True), doseq=True)


@dataclass(frozen=True, slots=True)
class FoundTask:
    """One task, and the feed that it is of."""

    feed: FeedSnapshot
    task: Task
    stale: bool
    """Whether it was last seen in flight, but too long ago to be shown as fresh."""


@dataclass(frozen=True)
class TaskPage:
    """One page of what a query finds."""

    query: TaskQuery
    rows: Sequence[FoundTask]
    total: int
    """The tasks that match, on all pages."""
    known: int
    """The tasks that could be found without any filter."""

    @property
    def pages(self) -> int:
        """How many pages there are to be asked for, at least one."""
        return max(1, min(math.ceil(self.total / self.query.per_page), DEEPEST // self.query.per_page))


def parse(params: QueryParams, *, strict: bool = False) -> TaskQuery:
    """The query that a URL's parameters describe. Raises QueryError.

    An empty value is as good as none, as forms send it; a `strict` reading refuses it: a program's slip asks for all.
    """
    given: dict[str, Any] = {}
    for name, value in params.multi_items():
        if not (value or strict):
            continue
        if name in _SEVERAL:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise QueryError(f"{name}: given more than once; give it once")
        else:
            given[name] = value
    try:
        query = TaskQuery.model_validate(given)
    except ValidationError as error:
        raise QueryError("; ".join(dict.fromkeys(map(_words, error.errors(include_url=False))))) from None
    if query.page * query.per_page > DEEPEST:
        most = DEEPEST // query.per_page
        raise QueryError(
            f"page: too large; the most is {most} with per_page={query.per_page}; filter, or turn the direction around"
        )
    return query


def find(snapshot: Snapshot, query: TaskQuery, now: float) -> TaskPage:
    """The page of tasks that a query asks for. Raises QueryError for a provider or kind that is not polled.

    Equal values are ordered by provider, kind and id: pages neither overlap nor leave gaps while nothing changes.
    It may run in any thread.
    """
    for name, value, polled in (
        ("provider", query.provider, {feed.provider for feed in snapshot.feeds}),
        ("kind", query.kind, {feed.kind for feed in snapshot.feeds}),
    ):
        if value is not None and value not in polled:
            raise QueryError(f"{name}: not polled; allowed: {', '.join(sorted(polled))}")
    known = total = 0
    order = _order_of(query, now)
    descending = query.direction is Direction.DESCENDING
    first, last = (query.page - 1) * query.per_page, query.page * query.per_page
    # Without what they are ordered by: to free that for 100,000 tasks at once would hold up everything for 15 ms.
    runs: list[tuple[FeedSnapshot, list[Task]]] = []
    for feed in snapshot.feeds:
        matches = query.filter_of(feed)
        recent = feed.recent(now)
        known += len(feed.tasks) + len(recent)
        for tasks in (feed.tasks, recent) if query.concerns(feed) else ():
            for start in range(0, len(tasks), RUN):
                some = [task for task in tasks[start : start + RUN] if matches(task)]
                total += len(some)
                some.sort(key=partial(order, feed), reverse=descending)
                runs.append((feed, some[:last]))
                time.sleep(0)  # what waits to run, first of all the event loop, does so now
    # Short sorted runs that are merged as far as the page: no step is long, whatever is asked for.
    ranked = [_ranked(feed, tasks, order) for feed, tasks in runs] if total > first else []
    merged = heapq.merge(*ranked, key=itemgetter(0), reverse=descending)
    page = islice(merged, first, last)
    rows = [FoundTask(feed, task, not task.state.is_end and feed.is_stale(now)) for _, feed, task in page]
    return TaskPage(query, rows, total, known)


_SEVERAL = ("state", "reason")
_Order = Callable[[FeedSnapshot, Task], tuple[object, ...]]


def _ranked(
    feed: FeedSnapshot, tasks: Sequence[Task], order: _Order
) -> Iterator[tuple[tuple[object, ...], FeedSnapshot, Task]]:
    for task in tasks:
        yield order(feed, task), feed, task


def _order_of(query: TaskQuery, now: float) -> _Order:
    descending = query.direction is Direction.DESCENDING
    value_of = _VALUES[query.sort]

    def order(feed: FeedSnapshot, task: Task) -> tuple[object, ...]:
        value = value_of(feed, task, now)
        is_known = value is not None
        return is_known is descending, value if is_known else 0, feed.provider, feed.kind, task.id

    return order


def _duration(task: Task, now: float) -> float | None:
    if task.state.is_end:
        return task.duration(Phase.TOTAL)
    return None if task.submitted_at is None else now - task.submitted_at


_VALUES: dict[Sort, Callable[[FeedSnapshot, Task, float], str | float | None]] = {
    Sort.CHANGED: lambda feed, task, now: task.changed,
    Sort.SUBMITTED: lambda feed, task, now: task.since,
    Sort.STARTED: lambda feed, task, now: task.started_at,
    Sort.ENDED: lambda feed, task, now: task.placed_at if task.state.is_end else None,
    Sort.DURATION: lambda feed, task, now: _duration(task, now),
    Sort.PROGRESS: lambda feed, task, now: task.progress,
    Sort.PROVIDER: lambda feed, task, now: feed.provider,
    Sort.KIND: lambda feed, task, now: feed.kind,
    Sort.MODEL: lambda feed, task, now: task.model or None,
    Sort.ID: lambda feed, task, now: task.id,
    Sort.STATE: lambda feed, task, now: task.state,
    Sort.REASON: lambda feed, task, now: task.reason,
}


def _words(detail: ErrorDetails) -> str:
    """What is wrong with a parameter and what is allowed; never the value, which is unchecked."""
    if detail["type"] == "extra_forbidden":
        return f"unknown parameter; allowed: {', '.join(TaskQuery.model_fields)}"
    told = beyond_limits(detail) or detail["msg"]
    return f"{detail['loc'][0]}: {told}{', or leave it out' if detail['type'] == 'string_too_short' else ''}"
