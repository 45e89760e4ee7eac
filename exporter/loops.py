"""All loops of all providers: started, watched over, changed by a reload, stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from exporter.budget import Budget
from exporter.collector import FeedLoop
from exporter.ledger import Ledger
from exporter.providers import connect
from exporter.providers.provider import Provider
from exporter.settings import ProviderSettings
from exporter.watch import Watch

WATCH_EVERY = 5.0
"""Seconds between two looks of the watchdog."""


SPREAD = 0.05
"""Seconds for each feed over which the first sweeps are spread, within the interval: at once they delay each other."""


class PolledProvider:
    """One provider and the loops of its feeds, which sweep once they are started, or when they are told to.

    Raises StoreError.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
        announce: Callable[[], object] = lambda: None,
    ) -> None:
        self.provider = connect(settings, ledger.store)
        self.watch = Watch(settings.name, settings.watch)
        limit = settings.max_requests_per_day
        budget = Budget(limit, ledger.spending(settings.name), clock) if limit else None
        self.loops: list[FeedLoop] = []
        for feed in self.provider.feeds:
            book = ledger.open(settings.name, feed.kind, feed.clock, settings, clock())
            self.loops.append(FeedLoop(self.provider, feed, book, ledger, self.watch, clock, announce, budget))

    async def stop(self) -> None:
        await asyncio.gather(*(loop.stop() for loop in self.loops))
        await self.watch.aclose()
        await self.provider.aclose()


class Collector:
    """All loops of all providers."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._polled: dict[str, PolledProvider] = {}
        self._changing = asyncio.Lock()  # two reloads may be asked for at once
        self._watchdog: asyncio.Task[None] | None = None
        self.news = asyncio.Event()
        """Set whenever what is known may have changed; whoever waits for it clears it."""

    @property
    def providers(self) -> list[Provider]:
        return [polled.provider for polled in self._polled.values()]

    @property
    def loops(self) -> list[FeedLoop]:
        return [loop for polled in self._polled.values() for loop in polled.loops]

    async def apply(self, wanted: Sequence[ProviderSettings]) -> None:
        """Polls these providers: starts new ones, restarts changed ones, stops the others, leaves the rest in peace.

        Raises StoreError.
        """
        settings = {one.name: one for one in wanted}
        async with self._changing:
            for name, polled in list(self._polled.items()):
                if settings.get(name) != polled.provider.settings:
                    await self._polled.pop(name).stop()
            fresh = {
                name: PolledProvider(one, self._ledger, self._clock, self.news.set)
                for name, one in settings.items()
                if name not in self._polled
            }
            self._polled |= fresh
            loops = [loop for polled in fresh.values() for loop in polled.loops]
            for loop in loops:
                loop.start(spread=SPREAD * len(loops))
            self._polled = {name: self._polled[name] for name in settings}
            self.news.set()
            self._watchdog = self._watchdog or asyncio.create_task(self._watch(), name="watchdog")

    def check(self, now: float) -> None:
        """Starts loops anew that do not come round. `now` is monotonic time."""
        for loop in self.loops:
            loop.revive(now)

    async def _watch(self) -> None:
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(WATCH_EVERY)
            now = time.monotonic()
            if now - asleep < 2 * WATCH_EVERY:  # else the whole process stood still, and the loops had no chance
                self.check(now)

    async def stop(self) -> None:
        async with self._changing:
            if self._watchdog:
                self._watchdog.cancel()
                with suppress(asyncio.CancelledError):
                    await self._watchdog
                self._watchdog = None
            polled, self._polled = list(self._polled.values()), {}
            await asyncio.gather(*(one.stop() for one in polled))
