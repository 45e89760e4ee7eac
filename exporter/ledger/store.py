"""Where the ledger is kept: what it hands over, what it gets back, and by which calls.

Kept narrow, so that another database can take the place of SQLite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

from exporter.ledger.counters import Counters
from exporter.ledger.counting.ends import End, ends_of
from exporter.ledger.counting.last_day import Row
from exporter.tasks import Step, Task

SHOWN = ("history_gaps_total", "unmapped_values_total", "model")
"""The counters that pages show."""

STEPS_KEPT = 86400.0
"""Seconds for which it is kept what was seen of a task and when."""

STEPS_SHOWN = 1000
"""Steps of one task that are read, the latest ones: a vendor that changes its mind at each look makes thousands."""


@dataclass(frozen=True)
class Changes:
    """What one sweep changes in the ledger: committed as one."""

    provider: str
    kind: str
    since: float | None
    horizon: float | None
    polled: float | None
    tasks: Sequence[Task] = ()
    counts: Counters = field(default_factory=Counters)
    """New totals of the counters that have grown, not differences: to commit them twice changes nothing."""
    forgotten: Sequence[str] = ()
    steps: Sequence[Step] = ()


@dataclass(frozen=True)
class FeedRecord:
    """What the store holds of a feed; of its ended tasks, those since a time that was asked for."""

    since: float | None = None
    horizon: float | None = None
    polled: float | None = None
    counts: Counters = field(default_factory=Counters)
    in_flight: Sequence[Task] = ()
    ended: Sequence[Task] = ()
    """The oldest first."""
    by_step: Sequence[Row] = ()
    """How many of them began, ended and failed, by the steps of `last_day.py`."""

    @cached_property
    def ends(self) -> Sequence[End]:
        """Those among the ended tasks whose time is known, the oldest first."""
        return ends_of(self.ended)


class Store(Protocol):
    """Keeps feeds, tasks, tokens and budgets across restarts. No call holds up the event loop; each raises StoreError.

    What is written is on the disk before the call returns. A write that is cancelled may be written all the same.
    """

    @property
    def path(self) -> str:
        """What an error names: where everything is kept."""

    @property
    def losses(self) -> int:
        """Ledgers that were damaged and set aside, up to this one."""

    async def providers(self) -> list[str]:
        """The names of all providers that tasks were recorded of."""

    async def load(
        self, provider: str, kind: str, ended_since: float = math.inf, steps_since: float = math.inf
    ) -> FeedRecord:
        """What is known of a feed: with the tasks that ended at or after a time, and how many did, by steps."""

    async def unpaid_since(self, provider: str, kind: str, when: float, limit: int) -> list[Task]:
        """The tasks that succeeded or failed at or after a time and whose cost is not counted, oldest first.

        Of more than `limit`, the latest.
        """

    async def ended_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        """Which of these ids belong to tasks whose end is in the ledger."""

    async def ended_before(self, provider: str, kind: str, when: float, limit: int) -> list[str]:
        """Ids of tasks that ended, and were seen to, before a time; the oldest first."""

    async def commit(self, changes: Changes) -> None:
        """Writes one sweep's changes, all or nothing."""

    async def find(self, provider: str, kind: str, task_id: str) -> tuple[Task, list[Step]] | None:
        """All that is known of one task, and what was seen of it in the last day: at most the latest STEPS_SHOWN."""

    async def find_all(self, task_id: str) -> Mapping[tuple[str, str], Task]:
        """The tasks that have this id, by provider and kind."""

    async def watched(self, provider: str, kind: str) -> list[str]:
        """The ids that were asked for, the first ones first."""

    async def watch(self, provider: str, kind: str, ids: Iterable[str], at: float) -> None:
        """Keeps ids that were asked for, all or none; those that are known stay as they are."""

    async def unwatch(self, provider: str, kind: str, ids: Iterable[str]) -> None:
        """Forgets ids that were asked for."""

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        """A token kept from before, and the Unix time at which it ends."""

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        """Keeps a token."""

    async def load_spent(self, provider: str) -> str:
        """What was kept of a provider's budget; empty if nothing."""

    async def save_spent(self, provider: str, spent: str) -> None:
        """Keeps what a provider was sent of its budget."""

    async def close(self) -> None:
        """Ends what is being written. Later calls raise StoreError; closing again does nothing."""


@runtime_checkable
class SharedStore(Store, Protocol):
    """A store that several replicas share."""

    async def load_all(self, ended_since: Mapping[str, float]) -> Mapping[tuple[str, str], FeedRecord]:
        """What is known of each feed of these providers, with the tasks that ended at or after each one's time.

        Read at once, to be shown; of the counters only those of `SHOWN`.
        """

    async def ended_by_step_in_all(
        self, providers: Sequence[str], when: float
    ) -> Mapping[tuple[str, str], Sequence[Row]]:
        """How many tasks of each feed of these providers ended at or after a time, by steps."""

    async def in_flight_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        """Which of these ids belong to tasks in flight."""

    def under(self, provider: str, holder: str, epoch: int) -> Store:
        """The same store for one provider, as long as this holder has its lease under this epoch.

        What is written is checked in its own transaction: once another replica has the lease, LeaseLost is raised and
        nothing is written. To close it does nothing.
        """

    async def under_each(
        self, leases: Mapping[str, int], holder: str, ended_since: Mapping[str, float], steps_since: float
    ) -> Mapping[str, Store]:
        """The same for several providers with their epochs, by few queries instead of a few for each feed.

        What `load` returns before the first commit has been read by then, for ends at or after these times. The holder
        has the leases when it calls this.
        """
