"""What is known at one moment, as frozen values: all that metrics, pages and the API read.

The collector takes a `Snapshot` on the event loop, in a time that hardly grows with the tasks. Readers may be in other
threads, and see one moment. A `FeedView` adds what depends on the time of reading.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from exporter.client.client import DURATION_BOUNDS, ENDPOINTS
from exporter.client.errors import FailedCall
from exporter.config.models import PollSettings
from exporter.ledger.counters import Counters, Key, cumulative
from exporter.ledger.counting.deltas import Exemplar
from exporter.ledger.counting.ends import End, within
from exporter.ledger.counting.models import OTHER, in_order
from exporter.tasks import IN_FLIGHT, MAY_STALL, UNITS, Cause, Clock, Field, State, Task

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outage:
    """Why a feed cannot be read."""

    label: str
    """The class of error: a value of the label `error` of videotask_api_errors_total, `ledger` or `bug`."""
    words: str
    """What failed, fit to be shown."""
    cause: Cause
    advice: str
    """What to do about it."""
    since: float
    """When the first of the failed sweeps ended, a Unix time."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How the polling of a feed goes, apart from its tasks."""

    up: bool | None = None
    """Whether the last sweep succeeded; None before the first has ended."""
    outage: Outage | None = None
    """Set while the feed is down."""
    poll_duration: float = 0.0
    """Seconds that the last sweep took."""
    next_sweep: float | None = None
    """When the next sweep is due, a Unix time; None while one runs, and before the first."""
    restarts: int = 0
    """How often the watchdog has restarted the loop."""
    failed_calls: tuple[FailedCall, ...] = ()
    """The last calls that failed, the latest last; successful calls displace none."""


@dataclass(frozen=True, slots=True)
class LookUpState:
    """How the ids stand that are looked up one by one."""

    unread: int = 0
    """Ids that have still to be looked up for the first time."""
    failing: tuple[str, ...] = ()
    """Ids that are asked for less often because each of their look-ups fails."""
    unknown: int = 0
    """Ids that the vendor does not know, and that are asked for less often."""
    some_unknown: tuple[str, ...] = ()
    """The first few of them."""


@dataclass(frozen=True, slots=True)
class UnmappedWords:
    """The vendor's words that no table maps, as far as they may be shown."""

    words: tuple[tuple[Field, str], ...] = ()
    """What they were to tell, and the words in small letters, the latest last."""
    settings: Mapping[Field, str] = field(default_factory=dict)
    """The line of YAML for the provider that maps them, by a guess that a person has to confirm."""
    hidden: int = 0
    """How many there are besides, in which there may be content or a credential."""


@dataclass(frozen=True, slots=True)
class FeedSnapshot:
    """One feed at one moment. Times are Unix seconds."""

    provider: str
    type: str
    kind: str
    clock: Clock
    """Whose times the durations come from."""
    document: tuple[str, str]
    """Title and URL of the vendor's document; the URL is empty where it is not public."""
    lists: bool
    """Whether the vendor has a list that our credentials may read."""
    settings: PollSettings
    status: FeedStatus
    interval: float
    """Seconds between two sweeps: the interval in force."""
    swept: bool
    """Whether a sweep has ever been complete: before that there is nothing to show."""
    succeeded: float | None
    """When the last successful sweep ended."""
    freshness: float
    """Seconds after that for which the tasks in flight may be shown."""
    counts: Counters
    exemplars: Mapping[tuple[str, ...], Exemplar]
    tasks: tuple[Task, ...]
    """In flight."""
    ends: tuple[End, ...]
    """Of the recent window, the oldest first, and some that have just left it."""
    models: frozenset[str]
    """The models with series of their own, `other` among them where there are more."""
    units: tuple[str, ...]
    """In which the vendor tells what tasks cost."""
    followed: int
    """How many ids are watched or were asked for."""
    look_ups: LookUpState
    unmapped: UnmappedWords
    idle_advice: str
    """What to do if the feed can show no task: it has no list, and no id is watched; else empty."""
    revision: int
    """Grows whenever counters or tasks may have changed."""

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.kind}"

    @property
    def labels(self) -> Labels:
        return self.provider, self.kind

    def is_stale(self, now: float) -> bool:
        """Whether what is in flight was seen too long ago to be shown as if it were fresh."""
        # A time ahead of now comes from a clock that was set back: the age is unknown.
        return self.succeeded is None or abs(now - self.succeeded) > self.freshness

    @property
    def stale_at(self) -> float:
        """When that will be, if no sweep succeeds before."""
        return (self.succeeded or 0.0) + self.freshness

    def model_of(self, task: Task) -> str:
        """The value of the label `model` for a task that has a model."""
        return task.model if task.model in self.models else OTHER

    def recent(self, now: float) -> list[Task]:
        """The tasks that ended within the recent window."""
        return within(self.ends, now, self.settings.recent_window)


@dataclass(frozen=True, slots=True)
class BalanceSnapshot:
    """What is left in an account, and how the reading of it goes. Times are Unix seconds."""

    amount: float | None
    """What is left; None where it cannot be read, has not been read yet, or has no limit."""
    unit: str
    """One of UNITS; empty without an amount."""
    succeeded: float | None
    """When it was last read."""
    interval: float
    """Seconds between two readings."""
    pace: float | None = None
    """What is spent in a second, by the last hours; None while that cannot be told."""
    trouble: str = ""
    """Why it cannot be read, fit to be shown; empty while it can."""
    cause: Cause | None = None
    advice: str = ""
    """What to do about that."""
    since: float | None = None
    """When the first of the readings ended that have failed since."""

    def is_fresh(self, now: float) -> bool:
        """Whether the last reading is less than three intervals old."""
        return self.succeeded is not None and abs(now - self.succeeded) <= STALE_READINGS * self.interval

    @property
    def lasts(self) -> float | None:
        """Seconds until nothing is left, at that pace; None where nothing is spent."""
        return max(0.0, self.amount) / self.pace if self.amount is not None and self.pace else None


STALE_READINGS = 3
"""Readings that must have failed before the time of the last good one is no longer told."""


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """One provider at one moment: its calls, and its feeds."""

    name: str
    type: str
    counts: Counters
    """Of the client: requests, errors, durations."""
    budget_left: int | None
    """Requests that may still be sent today; None without a budget."""
    task_series_limit: int
    watch_troubles: tuple[str, ...]
    """Which sources of ids cannot be used, and why."""
    watch_sources: tuple[tuple[str, bool], ...]
    """Each source of ids, as configured but without a URL's query, and whether its ids could be read."""
    feeds: tuple[FeedSnapshot, ...]
    balance: BalanceSnapshot | None = None
    """None where the vendor tells no balance, or is not to be asked."""
    epoch: int = 0
    """Of the lease on whose ground it is shown; 0 without leases."""


@dataclass(frozen=True, slots=True)
class ReplicaSnapshot:
    """This replica among those that share its ledger."""

    name: str
    held: Mapping[str, bool]
    """Each provider of the configuration, and whether this replica holds it."""
    holders: Mapping[str, str]
    """The name of the replica that holds a provider, where one does; as it was last read, but for this one's own."""
    changes: Mapping[tuple[str, str], int]
    """How often leases of this replica have changed, by provider and kind of change."""
    trouble: str = ""
    """Why the leases cannot be kept; empty while they can."""

    @property
    def unheld(self) -> list[str]:
        """The providers that no replica holds, as far as is known."""
        return [name for name in self.held if name not in self.holders]


@dataclass(frozen=True)
class Snapshot:
    """All that is polled, in the order of the configuration."""

    accounts: tuple[AccountSnapshot, ...] = ()
    replica: ReplicaSnapshot | None = None
    """None where one process has the ledger for itself."""

    @cached_property
    def feeds(self) -> tuple[FeedSnapshot, ...]:
        return tuple(feed for account in self.accounts for feed in account.feeds)

    def replica_of(self, provider: str) -> str | None:
        """The name of the replica that polls a provider; None where none does, or one process polls all."""
        return self.replica.holders.get(provider) if self.replica else None

    @cached_property
    def names(self) -> str:
        """All feeds, for a message."""
        return ", ".join(feed.name for feed in self.feeds) or "none"

    def feed(self, provider: str, kind: str) -> FeedSnapshot | None:
        """The feed with these names, if it is polled."""
        return next((feed for feed in self.feeds if feed.labels == (provider, kind)), None)

    def feed_at(self, provider: str, kind: str, rest: str) -> tuple[FeedSnapshot | None, str]:
        """The feed that the path PROVIDER/KIND/REST leads to, and what is left of the path.

        A kind may hold a slash, and paths come decoded, so that REST may begin with its second part.
        """
        second, slash, left = rest.partition("/")
        if slash and (feed := self.feed(provider, f"{kind}/{second}")):
            return feed, left
        return self.feed(provider, kind), rest


@dataclass
class Reloads:
    """How the last load of the configuration went, and of the ledger at the start."""

    successful: bool = True
    succeeded_at: float = 0.0
    error: str = ""
    """Why the last one failed, a line for each fault; empty if it did not."""
    remarks: Sequence[str] = ()
    """What the last good one has that is probably not meant."""
    plug_ins: Sequence[str] = ()
    """Why vendors that packages bring cannot be used."""
    ledger_losses: int = 0


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
        self.status = feed.status
        self.settings = feed.settings
        self.counts = feed.counts
        self.swept = feed.swept
        self.is_stale = feed.is_stale(now)

    @property
    def labels(self) -> Labels:
        return self.feed.labels

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
    def recent(self) -> Sequence[Task]:
        """The tasks that ended within the recent window."""
        return self.feed.recent(self.now)

    @cached_property
    def due(self) -> float:
        """When something of this view will no longer be true, though nothing happens."""
        moments = [task.placed_at + self.settings.recent_window for task in self.recent[:1]]
        if self.in_flight:
            may_stall = (task for state in MAY_STALL for task in self.in_flight[state])
            stalling = (task.changed + self.settings.stalled_after for task in may_stall)
            moments += [self.feed.stale_at, min((at for at in stalling if at > self.now), default=math.inf)]
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
                yield labels, self._distribution(key)

    def _distribution(self, key: Key) -> Distribution:
        buckets = cumulative(self._histograms.get(key, ()), self.settings.duration_buckets)
        return Distribution(buckets, self.counts[(*key, "sum")], self._exemplars.get(key, {}))

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
        return in_order(self.feed.models) if self.swept else ()

    @cached_property
    def units(self) -> Sequence[str]:
        """The units of costs: those that the feed tells, and those that were counted before."""
        counted = {key[1] for key in self.counts if key[0] == "usage_total"}
        return [unit for unit in UNITS if unit in counted or unit in self.feed.units] if self.swept else ()

    def counted_by_model(self, metric: str, values: Iterable[str]) -> Iterator[tuple[Labels, float]]:
        """A counter by model and one more label."""
        for model in self.models:
            for value in values:
                yield (model, value), self.counts[metric, model, value]

    def durations_by_model(self, metric: str) -> Iterator[tuple[Labels, Distribution]]:
        for model in self.models:
            yield (model,), self._distribution((metric, model))

    def in_flight_by_model(self) -> Iterator[tuple[Labels, float]]:
        if not (self.models and self.in_flight):
            return
        for model in self.models:
            for state in self.in_flight:
                yield (model, state), self._in_flight_by_model[model, state]

    @cached_property
    def _in_flight_by_model(self) -> Counter[tuple[str, State]]:
        return Counter(
            (self.feed.model_of(task), state) for state, tasks in self.in_flight.items() for task in tasks if task.model
        )

    def tally(self, values: Iterable[str], of: Callable[[Task], str | None]) -> Iterator[tuple[Labels, float]]:
        """How many recent ends there are for each value."""
        if self.swept:
            found = [of(task) for task in self.recent]
            for value in values:
                yield (value,), found.count(value)


class AccountView:
    """A provider as it is to be shown at a time, with the views of its feeds."""

    def __init__(self, account: AccountSnapshot, feeds: Sequence[FeedView], now: float) -> None:
        self.account = account
        self.now = now
        self.labels: Labels = (account.name,)
        self.counts = account.counts
        self.feeds = feeds

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
            chosen = heapq.nsmallest(limit, chosen, key=lambda each: (_since(each[1]), each[1].id))
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

    def balance(self) -> Iterator[tuple[Labels, float]]:
        balance = self.account.balance
        if balance is not None and balance.amount is not None and balance.is_fresh(self.now):
            yield (*self.labels, balance.unit), balance.amount

    def balance_read(self) -> Iterator[tuple[Labels, float]]:
        balance = self.account.balance
        if balance is not None and balance.succeeded is not None and balance.is_fresh(self.now):
            yield self.labels, balance.succeeded

    def calls(self, metric: str, always: Sequence[str]) -> Iterator[tuple[Labels, float]]:
        """A counter of the client by endpoint and one more label, at 0 where nothing was counted yet."""
        seen = {key[1:] for key in self.counts if key[0] == metric}
        for endpoint, value in sorted(seen | {(endpoint, value) for endpoint in self._endpoints for value in always}):
            yield (*self.labels, endpoint, value), self.counts[metric, endpoint, value]

    def latencies(self) -> Iterator[tuple[Labels, Distribution]]:
        for endpoint in self._endpoints:
            key = ("api_request_duration_seconds", endpoint)
            buckets, total = self.counts.buckets(*key, bounds=DURATION_BOUNDS)
            yield (*self.labels, endpoint), Distribution(buckets, total)


def _since(task: Task) -> float:
    return task.submitted_at or task.first_seen
