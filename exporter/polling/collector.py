"""All loops of all providers: started, watched over, changed by a reload, stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from exporter.config.models import ProviderSettings
from exporter.ledger.ledger import Ledger
from exporter.polling.budget import Budget
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.watch import Watch
from exporter.vendors.api import Provider
from exporter.vendors.registry import connect

log = logging.getLogger(__name__)

WATCH_EVERY = 5.0
"""Seconds between two looks of the watchdog."""


AT_ONCE = 16
"""Providers that are stopped and started at once: in between, the event loop serves others."""

SPREAD = 0.05
"""Seconds for each feed over which the first sweeps are spread, within the interval: at once they delay each other."""


class PolledProvider:
    """One provider and the loops of its feeds, which sweep once they are started, or when they are told to.

    To make one reads the store, and changes nothing of a provider of the same name that is polled. Raises StoreError.
    """

    def __init__(
        self,
        settings: ProviderSettings,
        ledger: Ledger,
        clock: Callable[[], float] = time.time,
        announce: Callable[[], object] = lambda: None,
    ) -> None:
        self.provider = connect(settings, ledger.store)
        self.watch = Watch(settings.name, settings.watch, [feed.kind for feed in self.provider.feeds])
        self._ledger = ledger
        limit = settings.max_requests_per_day
        self._budget = Budget(limit, ledger.spending(settings.name), clock) if limit else None
        self.loops: list[FeedLoop] = []
        for feed in self.provider.feeds:
            book = ledger.open(settings.name, feed.kind, feed.clock, settings, clock())
            self.loops.append(FeedLoop(self.provider, feed, book, ledger, self.watch, clock, announce, self._budget))

    def start(self, spread: float, before: PolledProvider | None = None) -> None:
        """Begins to poll within `spread` seconds, where the one `before` stopped."""
        if self._budget and before and before._budget:
            self._budget.go_on_from(before._budget)
        for loop in self.loops:
            self._ledger.take_settings(loop.book, self.provider.settings)
            loop.start(spread)

    async def stop(self) -> None:
        await asyncio.gather(*(loop.stop() for loop in self.loops))
        await self.aclose()

    async def aclose(self) -> None:
        """Lets go of what a provider holds that was never started."""
        await self.watch.aclose()
        await self.provider.aclose()


class Collector:
    """All loops of all providers."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._polled: dict[str, PolledProvider] = {}
        """Replaced, never changed: whoever goes through it may do so in another thread."""
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

        All or nothing: when it fails, everything is polled as before. Once begun it is carried through, also when the
        caller is cancelled. Raises StoreError.
        """
        await asyncio.shield(asyncio.create_task(self._apply({one.name: one for one in wanted})))

    async def _apply(self, wanted: dict[str, ProviderSettings]) -> None:
        async with self._changing:
            same = {name for name, polled in self._polled.items() if wanted.get(name) == polled.provider.settings}
            fresh = await self._made([one for name, one in wanted.items() if name not in same])
            # Nothing fails from here on. A provider begins when the one of its name has ended: they share books.
            spread = SPREAD * sum(len(one.loops) for one in fresh.values())
            changing = [name for name in {**self._polled, **fresh} if name not in same]
            for start in range(0, len(changing), AT_ONCE):
                await self._change(changing[start : start + AT_ONCE], fresh, spread)
            self._polled = {name: self._polled[name] for name in wanted}
            self.news.set()
            self._watchdog = self._watchdog or asyncio.create_task(self._watch(), name="watchdog")

    async def _made(self, wanted: Sequence[ProviderSettings]) -> dict[str, PolledProvider]:
        """All of these providers, or none. Raises StoreError."""
        made: dict[str, PolledProvider] = {}
        try:
            for one in wanted:
                make = partial(PolledProvider, one, self._ledger, self._clock, self.news.set)
                made[one.name] = await self._ledger.in_thread(make)
        except BaseException:
            await _together(polled.aclose() for polled in made.values())
            raise
        return made

    async def _change(self, names: Sequence[str], fresh: dict[str, PolledProvider], spread: float) -> None:
        old = {name: self._polled[name] for name in names if name in self._polled}
        new = {name: fresh[name] for name in names if name in fresh}
        await _together(polled.stop() for polled in old.values())
        self._polled = {name: one for name, one in self._polled.items() if name not in old} | new
        for name, polled in new.items():
            polled.start(spread, old.get(name))

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
            for start in range(0, len(polled), AT_ONCE):
                await _together(one.stop() for one in polled[start : start + AT_ONCE])


async def _together(ends: Iterable[Awaitable[None]]) -> None:
    """Ends several at once. What goes wrong with one keeps the others from nothing."""
    for result in await asyncio.gather(asyncio.sleep(0), *ends, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("an error while a provider was stopped", extra={"error": type(result).__name__})
