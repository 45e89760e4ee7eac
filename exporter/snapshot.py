"""What is known at one moment, as frozen values: all that metrics, pages and the API read.

The collector takes a `Snapshot` on the event loop, in a time that hardly grows with the tasks. Readers may be in other
threads, and see one moment. What depends on the time of reading is in `views.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from exporter.client.errors import FailedCall
from exporter.config.models import PollSettings
from exporter.ledger.counters import Counters
from exporter.ledger.counting.deltas import Exemplar
from exporter.ledger.counting.ends import End, within
from exporter.ledger.counting.last_day import LastDay
from exporter.ledger.counting.models import OTHER
from exporter.ledger.errors import DatabaseFailure
from exporter.tasks import Cause, Clock, Field, Task

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
    """The state of the ids that are looked up one by one."""

    unread: int = 0
    """Ids that have still to be looked up for the first time."""
    failing: tuple[str, ...] = ()
    """Ids that are retried with growing delays because each look-up fails."""
    unknown: int = 0
    """Ids unknown to the vendor, which are retried with growing delays."""
    some_unknown: tuple[str, ...] = ()
    """The first few of them."""


@dataclass(frozen=True, slots=True)
class ReadingProgress:
    """How far a long reading is."""

    what: str
    """`list` while list pages are read, `ids` while ids are looked up."""
    done: int
    """List pages, or ids, so far."""
    of: int | None = None
    """Ids in all; None for a list, whose end is not known."""
    share: float | None = None
    """The part of all that is done, 0 to 1; of a list, the part of the history. None where it cannot be told."""
    left: float | None = None
    """Estimated seconds until the end; None where that cannot be told."""


@dataclass(frozen=True, slots=True)
class UnmappedWords:
    """The vendor's words that no table maps, as far as they may be shown."""

    words: tuple[tuple[Field, str], ...] = ()
    """What they were meant to say, and the words in small letters, the latest last."""
    settings: Mapping[Field, str] = field(default_factory=dict)
    """The line of YAML for the provider that maps them, by a guess that a person has to confirm."""
    unclear: frozenset[Field] = frozenset()
    """Those whose line has a placeholder: nothing hints at the meaning of a word."""
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
    interval: float
    """Seconds between two sweeps: the interval in force."""
    status: FeedStatus = FeedStatus()
    since: float | None = None
    """When the first complete sweep ended."""
    swept: bool = False
    """Whether a sweep has ever been complete: before that there is nothing to show."""
    succeeded: float | None = None
    """When the last successful sweep ended."""
    freshness: float = 0.0
    """Seconds after that for which the tasks in flight may be shown."""
    counts: Counters = field(default_factory=Counters)
    exemplars: Mapping[tuple[str, ...], Exemplar] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    """In flight."""
    ends: tuple[End, ...] = ()
    """Of the recent window, the oldest first, and some that have just left it."""
    last_day: LastDay = field(default_factory=LastDay)
    """How many tasks began, ended and failed in each step of the last day."""
    models: frozenset[str] = frozenset()
    """The models with series of their own, `other` among them where there are more."""
    units: tuple[str, ...] = ()
    """In which the vendor reports what tasks cost."""
    followed: int = 0
    """How many ids are watched or were asked for."""
    look_ups: LookUpState = LookUpState()
    unmapped: UnmappedWords = UnmappedWords()
    progress: ReadingProgress | None = None
    """How far a long reading is; None if there is none."""
    idle_advice: str = ""
    """What to do if the feed can show no task: it has no list, and no id is watched; else empty."""
    revision: int = 0
    """Grows whenever counters or tasks may have changed."""

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.kind}"

    @property
    def labels(self) -> tuple[str, str]:
        return self.provider, self.kind

    def is_stale(self, now: float) -> bool:
        """Whether the data on tasks in flight is too old to be shown as fresh."""
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
    """The balance of an account, and the state of its reading. Times are Unix seconds."""

    amount: float | None
    """What is left; None where it cannot be read, has not been read yet, or has no limit."""
    unit: str
    """One of UNITS; empty without an amount."""
    succeeded: float | None
    """When it was last read."""
    interval: float
    """Seconds between two readings."""
    pace: float | None = None
    """What is spent in a second, by the last hours; None while that is not known."""
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
"""Readings that must have failed before the time of the last good one is no longer shown."""


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
    """None where the vendor reports no balance, or is not to be asked."""
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
    """Why leases cannot be renewed or acquired; empty while they can."""
    failure: str = ""
    """Why this replica cannot poll something that it has acquired; empty if it can."""
    database_failures: Mapping[DatabaseFailure, int] = field(default_factory=dict)
    """How often the database has failed since the start, by kind; one that is not there has not happened."""
    unread: str = ""
    """Why the providers of other replicas are left out; empty where they are not, or were not asked for."""

    @property
    def unheld(self) -> list[str]:
        """The providers that no replica is known to hold."""
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


@dataclass(frozen=True, slots=True)
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
