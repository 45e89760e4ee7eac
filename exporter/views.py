"""A feed, and a provider, at one moment: what metrics and pages are read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from exporter.book import Book
from exporter.collector import FeedLoop
from exporter.growth import Exemplar
from exporter.providers.client import DURATION_BOUNDS, ENDPOINTS
from exporter.providers.provider import Provider
from exporter.tasks import IN_FLIGHT, State, Task

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Distribution:
    """A histogram's cumulative buckets, its sum, and the tasks that stand for buckets."""

    buckets: Sequence[tuple[str, float]]
    total: float
    exemplars: Mapping[str, Exemplar] = field(default_factory=dict)


class FeedView:
    """One feed at one moment. What several metrics need is worked out once."""

    def __init__(self, loop: FeedLoop, now: float) -> None:
        self.loop = loop
        self.book: Book = loop.book
        self.now = now
        self.labels: Labels = (loop.provider.name, loop.feed.kind)

    @cached_property
    def in_flight(self) -> Mapping[State, Sequence[Task]]:
        """The tasks in flight by state; nothing at all once that is too old to be shown."""
        if not self.book.swept or self.book.is_stale(self.now):
            return {}
        by_state: dict[State, list[Task]] = {state: [] for state in IN_FLIGHT}
        for task in self.book.in_flight.values():
            by_state[task.state].append(task)
        return by_state

    @cached_property
    def recent(self) -> Sequence[Task]:
        return self.book.recent(self.now)

    def counted(self, metric: str, values: Iterable[str]) -> Iterator[tuple[Labels, float]]:
        """A counter of the ledger, at 0 for each value of its label that was never counted."""
        if self.book.swept:
            for value in values:
                yield (value,), self.book.counts[metric, value]

    def total(self, metric: str) -> Iterator[tuple[Labels, float]]:
        if self.book.swept:
            yield (), self.book.counts[(metric,)]

    def durations(self, metric: str, states: Iterable[State] = ()) -> Iterator[tuple[Labels, Distribution]]:
        if self.book.swept:
            every: list[Labels] = [(state,) for state in states]
            for labels in every or [()]:
                key = (metric, *labels)
                buckets, total = self.book.counts.buckets(*key, bounds=self.book.settings.duration_buckets)
                exemplars = {
                    other[-1]: exemplar for other, exemplar in self.book.exemplars.items() if other[:-1] == key
                }
                yield labels, Distribution(buckets, total, exemplars)

    def tally(self, values: Iterable[str], of: Callable[[Task], str | None]) -> Iterator[tuple[Labels, float]]:
        """How many recent ends there are for each value."""
        if self.book.swept:
            found = [of(task) for task in self.recent]
            for value in values:
                yield (value,), found.count(value)


@dataclass(frozen=True)
class ProviderView:
    """One provider at one moment."""

    provider: Provider
    feeds: Sequence[FeedView]

    @property
    def labels(self) -> Labels:
        return (self.provider.name,)

    @cached_property
    def _candidates(self) -> Sequence[tuple[FeedView, Task]]:
        reporting = [
            (feed, task)
            for feed in self.feeds
            for tasks in feed.in_flight.values()
            for task in tasks
            if task.progress is not None
        ]
        return sorted(reporting, key=lambda each: (each[1].submitted_at or each[1].first_seen, each[1].id))

    def single_tasks(self) -> Iterator[tuple[Labels, float]]:
        for feed, task in self._candidates[: self.provider.settings.task_series_limit]:
            yield (*feed.labels, task.id), task.progress or 0.0

    def dropped(self) -> Iterator[tuple[Labels, float]]:
        limit = self.provider.settings.task_series_limit
        if any(feed.book.swept for feed in self.feeds):
            yield self.labels, max(0, len(self._candidates) - limit) if limit else 0

    def calls(self, metric: str, always: Sequence[str]) -> Iterator[tuple[Labels, float]]:
        """A counter of the client by endpoint and one more label, at 0 where nothing was counted yet."""
        counts = self.provider.client.counts
        seen = {key[1:] for key in counts if key[0] == metric}
        for endpoint, value in sorted(seen | {(endpoint, value) for endpoint in ENDPOINTS for value in always}):
            yield (*self.labels, endpoint, value), counts[metric, endpoint, value]

    def latencies(self) -> Iterator[tuple[Labels, Distribution]]:
        for endpoint in ENDPOINTS:
            key = ("api_request_duration_seconds", endpoint)
            buckets, total = self.provider.client.counts.buckets(*key, bounds=DURATION_BOUNDS)
            yield (*self.labels, endpoint), Distribution(buckets, total)
