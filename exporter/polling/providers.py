"""The providers that are polled, each with the loops of its feeds: what readers see of them, and what takes ids in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings
from exporter.config.vendors.types import Vendors
from exporter.ledger.counters import Counters
from exporter.ledger.errors import StoreError, TooMany
from exporter.ledger.ledger import Ledger
from exporter.ledger.tracker import Tracker
from exporter.polling.account import AccountLoop
from exporter.polling.budget import Budget
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.held import EVERYTHING, Held
from exporter.polling.watch import Callbacks, Verdict, Watch
from exporter.snapshot import AccountSnapshot, Snapshot
from exporter.tasks import Step, Task
from exporter.vendors.registry import connect, installed
from exporter.vendors.vendor import Provider

IN_A_TURN = 50
"""Providers of which a snapshot is taken at once, which holds the event loop for a millisecond or two."""

ACCOUNT_SPREAD = 10.0
"""Seconds within which the first reading of a balance comes, or thrice those of first sweeps, which go before."""


class PolledProvider:
    """One provider and the loops of its feeds, which sweep once they are started, or on request."""

    def __init__(
        self,
        provider: Provider,
        watch: Watch,
        ledger: Ledger,
        trackers: Sequence[Tracker],
        budget: Budget | None = None,
        wall_clock: Callable[[], float] = time.time,
        announce: Callable[[], object] = lambda: None,
        epoch: int = 0,
    ) -> None:
        """`trackers` are those of the provider's feeds, in their order; `epoch` is that of the provider's lease."""
        self.provider = provider
        self.epoch = epoch
        self.watch = watch
        self.budget = budget
        self.loops = [
            FeedLoop(provider, feed, tracker, ledger, watch, wall_clock, announce, budget)
            for feed, tracker in zip(provider.feeds, trackers, strict=True)
        ]
        self.account = AccountLoop(provider, wall_clock, announce, budget)

    @classmethod
    async def open(
        cls,
        settings: ProviderSettings,
        ledger: Ledger,
        wall_clock: Callable[[], float] = time.time,
        announce: Callable[[], object] = lambda: None,
        types: Vendors | None = None,
        epoch: int = 0,
    ) -> PolledProvider:
        """The provider that these settings describe, with what the ledger knows of it. Its type is one of `types`.

        Reads the store, and changes nothing of a provider of the same name that is polled. Raises StoreError.
        """
        # In a thread, since certificates are read.
        provider, watch = await asyncio.to_thread(_connected, settings, ledger.store, types or installed())
        try:
            limit = settings.max_requests_per_day
            budget = Budget(limit, await ledger.store.load_spent(settings.name), wall_clock) if limit else None
            trackers = [
                await ledger.open(
                    settings.name, feed.kind, feed.clock, settings, wall_clock(), tells_usage=bool(feed.units)
                )
                for feed in provider.feeds
            ]
        except BaseException:
            await watch.aclose()
            await provider.aclose()
            raise
        return cls(provider, watch, ledger, trackers, budget, wall_clock, announce, epoch)

    def is_of(self, types: Vendors) -> bool:
        """Whether it would be the same with these types."""
        return types.get(self.provider.settings.type) is self.provider.vendor and self.watch.is_of(types)

    def snapshot(self) -> AccountSnapshot:
        """The provider as it is now, as frozen values."""
        settings = self.provider.settings
        return AccountSnapshot(
            name=settings.name,
            type=settings.type,
            epoch=self.epoch,
            counts=Counters(self.provider.client.counts),
            budget_left=self.budget.remaining if self.budget else None,
            task_series_limit=settings.task_series_limit,
            watch_troubles=tuple(self.watch.troubles),
            watch_sources=self.watch.sources_up,
            feeds=tuple(loop.snapshot() for loop in self.loops),
            balance=self.account.snapshot(),
        )

    def start(self, wait: float, spread: float, before: PolledProvider | None = None) -> None:
        """Begins to poll after `wait` seconds and within the next `spread`, where the one `before` stopped."""
        if self.budget and before and before.budget:
            self.budget.go_on_from(before.budget)
        for loop in self.loops:
            loop.tracker.take_settings(self.provider.settings)
            loop.start(wait, spread)
        self.account.start(min(self.account.interval, max(ACCOUNT_SPREAD, 3 * (wait + spread))))

    async def stop(self) -> None:
        await asyncio.gather(self.account.stop(), *(loop.stop() for loop in self.loops))
        await self.aclose()

    async def aclose(self) -> None:
        """Lets go of what a provider holds that was never started."""
        await self.watch.aclose()
        await self.provider.aclose()


def _connected(settings: ProviderSettings, token_store: TokenStore, types: Vendors) -> tuple[Provider, Watch]:
    provider = connect(settings, token_store, types)
    return provider, Watch.of(provider, types)


class PolledProviders:
    """All providers that are polled, in the order of the configuration."""

    def __init__(self, polled: Iterable[PolledProvider] = (), held: Held = EVERYTHING) -> None:
        """`held` says which of them may be polled and shown."""
        self._held = held
        self.by_name: Mapping[str, PolledProvider] = {one.provider.name: one for one in polled}
        """Never changed, but replaced: a reader sees the providers of one moment."""
        self._next: asyncio.Task[Snapshot] | None = None

    @property
    def held(self) -> list[PolledProvider]:
        """Those that may be shown now. A lease may have ended although nothing has noticed it yet."""
        return [polled for polled in self.by_name.values() if self._held.holds(polled.provider.name, polled.epoch)]

    @property
    def loops(self) -> list[FeedLoop]:
        return [loop for polled in self.held for loop in polled.loops]

    def snapshot(self) -> Snapshot:
        """All that is polled here as it is now, as frozen values."""
        return Snapshot(tuple(polled.snapshot() for polled in self.held), self._held.snapshot())

    async def everything(self) -> Snapshot:
        """All that is polled, here or by other replicas: of those what the database says, while it can be read."""
        mine, elsewhere = await self._from_here_on(), self._held.elsewhere
        if elsewhere is None or mine.replica is None or mine.replica.trouble:
            return mine
        accounts = {one.name: one for one in mine.accounts}
        replica = mine.replica
        try:
            accounts = await elsewhere.accounts(replica.held.keys() - accounts.keys()) | accounts
        except StoreError as error:
            replica = replace(replica, unread=str(error))
        return Snapshot(tuple(accounts[name] for name in replica.held if name in accounts), replica)

    async def _from_here_on(self) -> Snapshot:
        """A snapshot that begins to be taken after this call: one for all that call before."""
        if self._next is None:
            self._next = asyncio.create_task(self._begun())
        return await asyncio.shield(self._next)

    async def _begun(self) -> Snapshot:
        self._next = None
        return await self.snapshot_in_turns()

    def is_held(self, snapshot: Snapshot) -> bool:
        """Whether all that a snapshot has may still be shown."""
        return all(self._held.holds(one.name, one.epoch) for one in snapshot.accounts)

    async def snapshot_in_turns(self) -> Snapshot:
        """The same, while all else gets its turn between some providers and the next: thousands take long."""
        taken: list[AccountSnapshot] = []
        for index, polled in enumerate(self.held, start=1):
            taken.append(polled.snapshot())
            if index % IN_A_TURN == 0:
                await asyncio.sleep(0)
        return Snapshot(tuple(taken), self._held.snapshot())

    def stuck(self) -> list[str]:
        """The feeds whose loop is stuck although it was restarted."""
        now = time.monotonic()
        return [loop.name for loop in self.loops if loop.heartbeat.is_stuck(now)]

    def awaited(self) -> list[str]:
        """The feeds whose first sweep has not ended yet."""
        return [loop.name for loop in self.loops if loop.status.up is None]

    def unready(self) -> str:
        """What this process has yet to do before it is ready, as a sentence; empty once it is."""
        if self._held.is_ready:
            return ""
        if awaited := self.awaited():
            return f"Waiting for the first sweep of {', '.join(awaited)}."
        return self._held.settle()

    async def find(self, provider: str, kind: str, task_id: str) -> tuple[Task, list[Step]] | None:
        """All that the ledger knows of one task, and what was seen of it in the last day. Raises StoreError."""
        if loop := self._loop(provider, kind):
            return await loop.story(task_id)
        return await self._held.elsewhere.find(provider, kind, task_id) if self._held.elsewhere else None

    async def find_all(self, task_id: str) -> Mapping[tuple[str, str], Task]:
        """The tasks in the ledger that have this id, by provider and kind. Raises StoreError."""
        return await self._held.find_all(task_id)

    async def follow(self, provider: str, kind: str, ids: Iterable[str]) -> Verdict | None:
        """Follows tasks until their ends are counted, all or none; None if the feed is not polled.

        Returns when that is on the disk. Raises StoreError, TooMany.
        """
        if loop := self._loop(provider, kind):
            return await loop.following.ask_for(ids)
        return await self._held.elsewhere.follow(provider, kind, ids) if self._held.elsewhere else None

    async def hear(self, provider: str, kind: str, ids: Sequence[str]) -> None:
        """Another replica took ids in for a feed, and a hint at these. What goes wrong is left to the next sweep."""
        if loop := self._loop(provider, kind):
            with suppress(StoreError, TooMany):
                await loop.following.hear(ids)

    def callbacks(self, provider: str, kind: str) -> Callbacks | None:
        """What takes the vendor's callbacks for a feed; None if it is not polled."""
        loop = self._loop(provider, kind)
        if loop is None:
            return self._held.elsewhere.callbacks(provider, kind) if self._held.elsewhere else None
        secret = loop.provider.settings.watch.callback_secret
        return Callbacks(secret, loop.feed.id_key, loop.feed.called_back, loop.following.hint)

    def _loop(self, provider: str, kind: str) -> FeedLoop | None:
        found = (loop for loop in self.loops if (loop.provider.name, loop.feed.kind) == (provider, kind))
        return next(found, None)
