"""A feed, and a provider, at one moment: what metrics and pages are read from."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from exporter.client.client import DURATION_BOUNDS, ENDPOINTS
from exporter.ledger.counters import Counts
from exporter.ledger.deltas import Exemplar
from exporter.ledger.tracker import within
from exporter.polling.feed.loop import FeedLoop
from exporter.tasks import IN_FLIGHT, MAY_STALL, State, Task
from exporter.vendors.api import Provider

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Distribution:
    """A histogram's cumulative buckets, its sum, and the tasks that stand for buckets."""

    buckets: Sequence[tuple[str, float]]
    total: float
    exemplars: Mapping[str, Exemplar] = field(default_factory=dict)


class FeedView:
    """One feed at one moment: what it shows stays as it is while the feed goes on.

    It is taken on the event loop, in a time that hardly grows with the tasks, and may be read in another thread.
    """

    def __init__(self, loop: FeedLoop, now: float) -> None:
        book = loop.book
        self.now = now
        self.labels: Labels = (loop.provider.name, loop.feed.kind)
        self.clock = loop.feed.clock
        self.settings = book.settings
        self.status = replace(loop.status)
        self.interval = loop.interval
        self.budget_left = loop.budget.remaining if loop.budget else None  # of the provider as a whole
        self.polled = book.succeeded
        self.swept = book.swept
        self.is_stale = book.is_stale(now)
        self.stale_at = book.stale_at
        self.counts = book.counts
        self._exemplars = book.exemplars
        self._tasks, self._ends = book.frozen

    @cached_property
    def in_flight(self) -> Mapping[State, Sequence[Task]]:
        """The tasks in flight by state; nothing at all once that is too old to be shown."""
        if not self.swept or self.is_stale:
            return {}
        by_state: dict[State, list[Task]] = {state: [] for state in IN_FLIGHT}
        for task in self._tasks:
            by_state[task.state].append(task)
        return by_state

    @cached_property
    def recent(self) -> Sequence[Task]:
        """The tasks that ended within the recent window."""
        return within(self._ends, self.now, self.settings.recent_window)

    @cached_property
    def due(self) -> float:
        """When something of this view will no longer be true, though nothing happens."""
        moments = [task.placed_at + self.settings.recent_window for task in self.recent[:1]]
        if self.in_flight:
            may_stall = (task for state in MAY_STALL for task in self.in_flight[state])
            stalling = (task.changed + self.settings.stalled_after for task in may_stall)
            moments += [self.stale_at, min((at for at in stalling if at > self.now), default=math.inf)]
        return min(moments, default=math.inf)

    def counted(self, metric: str, values: Iterable[str]) -> Iterator[tuple[Labels, float]]:
        """A counter of the ledger, at 0 for each value of its label that was never counted."""
        if self.swept:
            for value in values:
                yield (value,), self.counts[metric, value]

    def total(self, metric: str) -> Iterator[tuple[Labels, float]]:
        if self.swept:
            yield (), self.counts[(metric,)]

    def durations(self, metric: str, states: Iterable[State] = ()) -> Iterator[tuple[Labels, Distribution]]:
        if self.swept:
            every: list[Labels] = [(state,) for state in states]
            for labels in every or [()]:
                key = (metric, *labels)
                buckets, total = self.counts.buckets(*key, bounds=self.settings.duration_buckets)
                exemplars = {other[-1]: exemplar for other, exemplar in self._exemplars.items() if other[:-1] == key}
                yield labels, Distribution(buckets, total, exemplars)

    def tally(self, values: Iterable[str], of: Callable[[Task], str | None]) -> Iterator[tuple[Labels, float]]:
        """How many recent ends there are for each value."""
        if self.swept:
            found = [of(task) for task in self.recent]
            for value in values:
                yield (value,), found.count(value)


class ProviderView:
    """One provider at one moment, with the views of its feeds."""

    def __init__(self, provider: Provider, feeds: Sequence[FeedView]) -> None:
        self.labels: Labels = (provider.name,)
        self.type = provider.settings.type
        self.counts = Counts(provider.client.counts)
        self.feeds = feeds
        self._limit = provider.settings.task_series_limit

    @cached_property
    def _reporting(self) -> Sequence[tuple[FeedView, Task]]:
        return [
            (feed, task)
            for feed in self.feeds
            for tasks in feed.in_flight.values()
            for task in tasks
            if task.progress is not None
        ]

    def single_tasks(self) -> Iterator[tuple[Labels, float]]:
        chosen = self._reporting if self._limit else ()
        if len(chosen) > self._limit:
            # A heap rather than sorting, which would let nothing else run in between.
            chosen = heapq.nsmallest(self._limit, chosen, key=lambda each: (_since(each[1]), each[1].id))
        for feed, task in chosen:
            yield (*feed.labels, task.id), task.progress or 0.0

    def dropped(self) -> Iterator[tuple[Labels, float]]:
        if any(feed.swept for feed in self.feeds):
            yield self.labels, max(0, len(self._reporting) - self._limit) if self._limit else 0

    def calls(self, metric: str, always: Sequence[str]) -> Iterator[tuple[Labels, float]]:
        """A counter of the client by endpoint and one more label, at 0 where nothing was counted yet."""
        seen = {key[1:] for key in self.counts if key[0] == metric}
        for endpoint, value in sorted(seen | {(endpoint, value) for endpoint in ENDPOINTS for value in always}):
            yield (*self.labels, endpoint, value), self.counts[metric, endpoint, value]

    def latencies(self) -> Iterator[tuple[Labels, Distribution]]:
        for endpoint in ENDPOINTS:
            key = ("api_request_duration_seconds", endpoint)
            buckets, total = self.counts.buckets(*key, bounds=DURATION_BOUNDS)
            yield (*self.labels, endpoint), Distribution(buckets, total)


def _since(task: Task) -> float:
    return task.submitted_at or task.first_seen
