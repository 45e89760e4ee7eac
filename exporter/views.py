"""A snapshot as it is to be shown at a time: what metrics read, and pages that show the same numbers.

A view is made for one reading and remembers what it has worked out.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from exporter.client.client import DURATION_BOUNDS, ENDPOINTS
from exporter.ledger.counters import Key, cumulative
from exporter.ledger.counting.deltas import Exemplar
from exporter.ledger.counting.models import in_order
from exporter.snapshot import AccountSnapshot, BalanceSnapshot, FeedSnapshot, Labels
from exporter.tasks import ENDS, IN_FLIGHT, MAY_STALL, UNITS, Reason, State, Task


@dataclass(frozen=True)
class Distribution:
    """A histogram's cumulative buckets, its sum, and the tasks that stand for buckets."""

    buckets: Sequence[tuple[str, float]]
    total: float
    exemplars: Mapping[str, Exemplar] = field(default_factory=dict)


class FeedView:
    """A feed as it is to be shown at a time."""

    def __init__(self, feed: FeedSnapshot, now: float) -> None:
        self.feed = feed
        self.now = now
        self.labels: Labels = feed.labels
        self.status = feed.status
        self.settings = feed.settings
        self.counts = feed.counts
        self.swept = feed.swept
        self.is_stale = feed.is_stale(now)

    @property
    def tasks_based_on(self) -> object:
        """What all that is shown of its tasks follows from, until `due`."""
        return self.feed.revision, self.settings

    @property
    def polls_based_on(self) -> object:
        """What all that is shown of its polls follows from."""
        return self.status, self.feed.succeeded, self.feed.interval, self.feed.clock

    @cached_property
    def in_flight(self) -> Mapping[State, Sequence[Task]]:
        """The tasks in flight by state; nothing at all once that is too old to be shown."""
        if not self.swept or self.is_stale:
            return {}
        by_state: dict[State, list[Task]] = {state: [] for state in IN_FLIGHT}
        for task in self.feed.tasks:
            by_state[task.state].append(task)
        return by_state

    @cached_property
    def in_flight_by_state(self) -> Mapping[State, int]:
        """How many tasks are in flight; nothing where that is not known."""
        if not self.swept or self.is_stale:
            return {}
        counted = Counter(task.state for task in self.feed.tasks)
        return {state: counted[state] for state in IN_FLIGHT}

    @property
    def recent(self) -> Sequence[Task]:
        """The tasks that ended within the recent window."""
        return self.feed.recent(self.now)  # not remembered: what a page leaves behind would hold all of them

    @cached_property
    def _ends(self) -> Mapping[tuple[State, Reason | None], int]:
        """How many of these there are of each state and reason."""
        return Counter((task.state, task.reason) for task in self.recent)

    @property
    def ends_by_state(self) -> Mapping[State, int]:
        """How many tasks ended within the recent window; nothing before the first complete sweep."""
        return {one: _sum(self._ends, one, 0) for one in ENDS} if self.swept else {}

    @property
    def failures_by_reason(self) -> Mapping[Reason, int]:
        """How many of these failed, likewise."""
        return {one: _sum(self._ends, one, 1) for one in Reason} if self.swept else {}

    def due(self) -> float:
        """When something of this view will no longer be true, though nothing happens."""
        moments = [task.placed_at + self.settings.recent_window for task in self.recent[:1]]
        if self.in_flight:
            may_stall = (task for state in MAY_STALL for task in self.in_flight[state])
            stalling = (task.changed + self.settings.stalled_after for task in may_stall)
            moments += [self.feed.stale_at, min((at for at in stalling if at > self.now), default=math.inf)]
        return min(moments, default=math.inf)

    def counted(self, metric: str, *values: Iterable[str]) -> Iterator[tuple[Labels, float]]:
        """A counter of the ledger for every combination of its labels' values, at 0 where it was never counted."""
        if self.swept:
            for labels in product(*values):
                yield labels, self.counts[(metric, *labels)]

    def durations(self, metric: str, *values: Iterable[str]) -> Iterator[tuple[Labels, Distribution]]:
        """A histogram likewise."""
        if self.swept:
            for labels in product(*values):
                key = (metric, *labels)
                buckets = cumulative(self._histograms.get(key, ()), self.settings.duration_buckets)
                yield labels, Distribution(buckets, self.counts[(*key, "sum")], self._exemplars.get(key, {}))

    @cached_property
    def _histograms(self) -> Mapping[Key, Sequence[tuple[str, float]]]:
        return self.counts.histograms()

    @cached_property
    def _exemplars(self) -> Mapping[Key, Mapping[str, Exemplar]]:
        """By histogram and by bucket."""
        found: dict[Key, dict[str, Exemplar]] = {}
        for key, exemplar in self.feed.exemplars.items():
            found.setdefault(key[:-1], {})[key[-1]] = exemplar
        return found

    @cached_property
    def models(self) -> Sequence[str]:
        """The values of the label `model`."""
        return in_order(self.feed.models)

    @cached_property
    def units(self) -> Sequence[str]:
        """The units of costs: those that the feed reports, and those that were counted before."""
        counted = {key[1] for key in self.counts if key[0] == "usage_total"}
        return [unit for unit in UNITS if unit in counted or unit in self.feed.units]

    def in_flight_by_model(self) -> Iterator[tuple[Labels, float]]:
        if self.models:
            in_flight = ((task, state) for state, tasks in self.in_flight.items() for task in tasks)
            counted = Counter((self.feed.model_of(task), state) for task, state in in_flight if task.model)
            for model, state in product(self.models, self.in_flight):
                yield (model, state), counted[model, state]


def _sum(counted: Mapping[tuple[State, Reason | None], int], wanted: State | Reason, at: int) -> int:
    return sum(count for key, count in counted.items() if key[at] is wanted)


class AccountView:
    """A provider as it is to be shown at a time, with the views of its feeds."""

    def __init__(self, account: AccountSnapshot, feeds: Sequence[FeedView], now: float) -> None:
        self.account = account
        self.now = now
        self.labels: Labels = (account.name,)
        self.counts = account.counts
        self.feeds = feeds

    @property
    def calls_based_on(self) -> object:
        """What all that is shown of it follows from, but for its feeds and their tasks."""
        about = self.account
        return about.type, about.counts, about.budget_left, about.watch_sources, about.balance, self.balance

    @cached_property
    def _reporting(self) -> Sequence[tuple[FeedView, Sequence[Task]]]:
        """Of each feed the tasks that report a progress."""
        return [
            (feed, [task for tasks in feed.in_flight.values() for task in tasks if task.progress is not None])
            for feed in self.feeds
        ]

    @property
    def _reporting_count(self) -> int:
        return sum(len(tasks) for _, tasks in self._reporting)

    def single_tasks(self) -> Iterator[tuple[Labels, float]]:
        limit = self.account.task_series_limit
        if not limit:
            return
        chosen: Iterable[tuple[FeedView, Task]] = ((feed, task) for feed, tasks in self._reporting for task in tasks)
        if self._reporting_count > limit:
            # A heap rather than sorting, which would let nothing else run in between.
            chosen = heapq.nsmallest(limit, chosen, key=lambda each: (each[1].since, each[1].id))
        for feed, task in chosen:
            yield (*feed.labels, task.id), task.progress or 0.0

    def dropped(self) -> Iterator[tuple[Labels, float]]:
        if any(feed.swept for feed in self.feeds):
            limit = self.account.task_series_limit
            yield self.labels, max(0, self._reporting_count - limit) if limit else 0

    @property
    def _endpoints(self) -> Sequence[str]:
        """What may be asked for: of some vendors no balance."""
        return [one for one in ENDPOINTS if one != "account" or self.account.balance is not None]

    @property
    def balance(self) -> BalanceSnapshot | None:
        """What is left, where that was read lately."""
        balance = self.account.balance
        return balance if balance is not None and balance.is_fresh(self.now) else None

    def calls(self, metric: str, always: Sequence[str]) -> Iterator[tuple[Labels, float]]:
        """A counter of the client by endpoint and one more label, at 0 where nothing was counted yet."""
        seen = {key[1:] for key in self.counts if key[0] == metric}
        for endpoint, value in sorted(seen | {(endpoint, value) for endpoint in self._endpoints for value in always}):
            yield (*self.labels, endpoint, value), self.counts[metric, endpoint, value]

    def latencies(self) -> Iterator[tuple[Labels, Distribution]]:
        for endpoint in self._endpoints:
            counted = self.counts.buckets("api_request_duration_seconds", endpoint, bounds=DURATION_BOUNDS)
            yield (*self.labels, endpoint), Distribution(*counted)
