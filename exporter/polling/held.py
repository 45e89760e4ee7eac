"""Which providers are polled here, and on which ledger: all on one, or those whose leases this replica holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial

from exporter.config.models import ProviderSettings
from exporter.ledger.counting.last_day import STEP, STEPS
from exporter.ledger.errors import DatabaseFailure, StoreError
from exporter.ledger.ledger import Ledger
from exporter.ledger.store import SharedStore, Store
from exporter.polling.elsewhere import Elsewhere, Tell
from exporter.replicas.keeper import Keeper
from exporter.replicas.leases import Change
from exporter.snapshot import ReplicaSnapshot
from exporter.tasks import Task

AHEAD = 64
"""Providers that are read ahead by the same queries: of each, all that is in flight and has ended lately."""


class Held:
    """Everything is held under epoch 0: the ledger is not shared."""

    keeper: Keeper | None = None
    elsewhere: Elsewhere | None = None
    """What other replicas hold."""

    def holds(self, provider: str, epoch: int) -> bool:
        """Whether a provider may be polled and shown under this epoch now."""
        return True

    def epochs(self, providers: Iterable[str]) -> dict[str, int]:
        """The epochs of those among the providers that are held now."""
        return dict.fromkeys(providers, 0)

    @property
    def is_ready(self) -> bool:
        """Whether this replica has held its share once; later lease changes do not revert it."""
        return False

    def settle(self) -> str:
        """Once the first sweeps have ended: what the replica waits for; it is ready if that is nothing."""
        return ""

    async def find_all(self, task_id: str) -> Mapping[tuple[str, str], Task]:
        """The tasks in the ledger that have this id, by provider and kind. Raises StoreError."""
        return {}

    def snapshot(self) -> ReplicaSnapshot | None:
        """This replica and the others; None where there are no replicas."""
        return None


EVERYTHING = Held()


class Alone(Held):
    """One process and a ledger of its own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def read_ahead(self, wanted: Iterable[ProviderSettings], epochs: Mapping[str, int], now: float) -> None:
        """Reads at once what these providers, which are held, need at first: feeds, and tasks that ended lately."""

    def ledger(self, provider: str, epoch: int) -> Ledger:
        """The ledger of a provider that is held."""
        return self._ledger

    async def find_all(self, task_id: str) -> Mapping[tuple[str, str], Task]:
        return await self._ledger.store.find_all(task_id)

    async def finish(self) -> None:
        """Returns once nothing is written any more for providers that are not held; what was known of them is gone."""

    async def finish_all(self) -> None:
        """The same for all, at the end."""
        await self._ledger.finish()


Failures = Callable[[], Mapping[DatabaseFailure, int]]
"""How often a database has failed by now, by kind."""


class Among(Held):
    """A replica among others. Each lease has a ledger of its own, whose trackers are forgotten with it."""

    keeper: Keeper
    elsewhere: Elsewhere

    def __init__(
        self, store: SharedStore, retention: float, keeper: Keeper, tell: Tell, failures: Failures = dict
    ) -> None:
        """`tell` passes ids to other replicas, `failures` says how often the database has failed."""
        self._failures = failures
        self._store = store
        self._retention = retention
        self.keeper = keeper
        self.elsewhere = Elsewhere(store, tell)
        self._ledgers: dict[tuple[str, int], Ledger] = {}

    def holds(self, provider: str, epoch: int) -> bool:
        return self.keeper.holding.holds(provider, epoch)

    def epochs(self, providers: Iterable[str]) -> dict[str, int]:
        held = self.keeper.holding.held
        return {name: held[name] for name in providers if name in held}

    @property
    def is_ready(self) -> bool:
        return self.keeper.is_ready

    def settle(self) -> str:
        return self.keeper.settle()

    async def find_all(self, task_id: str) -> Mapping[tuple[str, str], Task]:
        return await self._store.find_all(task_id)

    def snapshot(self) -> ReplicaSnapshot:
        keeper = self.keeper
        mine = keeper.holding.held
        held = {name: name in mine for name in keeper.providers}
        changes: dict[tuple[str, str], int] = {
            (name, change): keeper.holding.changes[name, change] for name in held for change in Change
        }
        return ReplicaSnapshot(
            keeper.name, held, keeper.holders, changes, keeper.trouble, keeper.failure, self._failures()
        )

    async def read_ahead(self, wanted: Iterable[ProviderSettings], epochs: Mapping[str, int], now: float) -> None:
        """Reads at once what these providers, which are held, need at first: feeds, and tasks that ended lately."""
        new = [one for one in wanted if (one.name, epochs[one.name]) not in self._ledgers]
        with suppress(StoreError):  # each is read by itself then, and fails by itself
            for start in range(0, len(new), AHEAD):
                since = {one.name: now - one.recent_window for one in new[start : start + AHEAD]}
                leases = {name: epochs[name] for name in since}
                stores = await self._store.under_each(leases, self.keeper.me, since, now - STEP * STEPS)
                for lease in leases.items():
                    self._keep(lease, stores[lease[0]])

    def ledger(self, provider: str, epoch: int) -> Ledger:
        """The ledger of a provider that is held."""
        lease = (provider, epoch)
        if lease not in self._ledgers:
            self._keep(lease, self._store.under(provider, self.keeper.me, epoch))
        return self._ledgers[lease]

    def _keep(self, lease: tuple[str, int], store: Store) -> None:
        self._ledgers.setdefault(lease, Ledger(store, self._retention, partial(self.keeper.refused, *lease)))

    async def finish(self) -> None:
        """Returns once nothing is written any more for providers that are not held; what was known of them is gone."""
        await self._finish([lease for lease in self._ledgers if not self.holds(*lease)])

    async def finish_all(self) -> None:
        """The same for all, at the end."""
        await self._finish(list(self._ledgers))

    async def _finish(self, leases: Collection[tuple[str, int]]) -> None:
        for lease in leases:
            if ledger := self._ledgers.pop(lease, None):
                await ledger.finish()
