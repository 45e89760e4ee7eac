"""All loops of all providers: started, watched over, changed by a reload, stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

from exporter.config.models import ProviderSettings
from exporter.config.vendors.types import Vendors
from exporter.ledger.ledger import Ledger
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.vendors.registry import installed

log = logging.getLogger(__name__)

WATCH_EVERY = 5.0

AT_ONCE = 16
"""Providers that are stopped and started at once: in between, the event loop serves others."""

SPREAD = 0.02
"""Seconds for each feed over which the first sweeps are spread, within the interval: at once they delay each other."""


class Collector:
    """All loops of all providers."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self.polled = PolledProviders()
        self._changing = asyncio.Lock()  # two reloads may be asked for at once
        self.watch_every = WATCH_EVERY
        """Seconds between two looks of the watchdog."""
        self._watchdog: asyncio.Task[None] | None = None
        self.news = asyncio.Event()
        """Set whenever what is known may have changed; the waiting task clears it."""

    async def apply(self, wanted: Sequence[ProviderSettings], types: Vendors | None = None) -> None:
        """Polls these providers: starts new ones, restarts changed ones, stops the others, leaves the rest in peace.

        Their types are among `types`; one whose type says something else than before has changed.

        All or nothing: when it fails, everything is polled as before. Once begun it is carried through, also when the
        caller is cancelled. Raises StoreError.
        """
        await asyncio.shield(asyncio.create_task(self._apply({one.name: one for one in wanted}, types or installed())))

    async def _apply(self, wanted: dict[str, ProviderSettings], types: Vendors) -> None:
        async with self._changing:
            same = {
                name
                for name, polled in self.polled.by_name.items()
                if wanted.get(name) == polled.provider.settings and polled.is_of(types)
            }
            fresh = await self._made([one for name, one in wanted.items() if name not in same], types)
            # Nothing fails from here on. A provider begins when the one of its name has ended: they share trackers.
            spread = SPREAD * sum(len(one.loops) for one in fresh.values())
            changing = [name for name in {**self.polled.by_name, **fresh} if name not in same]
            for start in range(0, len(changing), AT_ONCE):
                await self._change(changing[start : start + AT_ONCE], fresh, spread)
            self.polled.by_name = {name: self.polled.by_name[name] for name in wanted}
            self.news.set()
            self._watchdog = self._watchdog or asyncio.create_task(self._watch(), name="watchdog")

    async def _made(self, wanted: Sequence[ProviderSettings], types: Vendors) -> dict[str, PolledProvider]:
        """All of these providers, or none. Raises StoreError."""
        made: dict[str, PolledProvider] = {}
        try:
            for one in wanted:
                made[one.name] = await PolledProvider.open(one, self._ledger, self._clock, self.news.set, types)
        except BaseException:
            await _together(polled.aclose() for polled in made.values())
            raise
        return made

    async def _change(self, names: Sequence[str], fresh: dict[str, PolledProvider], spread: float) -> None:
        old = {name: self.polled.by_name[name] for name in names if name in self.polled.by_name}
        new = {name: fresh[name] for name in names if name in fresh}
        await _together(polled.stop() for polled in old.values())
        self.polled.by_name = {name: one for name, one in self.polled.by_name.items() if name not in old} | new
        for name, polled in new.items():
            polled.start(spread, old.get(name))

    def check(self, now: float) -> None:
        """Restarts loops that make no progress. `now` is monotonic time."""
        for loop in self.polled.loops:
            loop.revive(now)

    async def _watch(self) -> None:
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(self.watch_every)
            now = time.monotonic()
            if now - asleep < 2 * self.watch_every:  # else the whole process stood still, and the loops had no chance
                self.check(now)

    async def stop(self) -> None:
        async with self._changing:
            if self._watchdog:
                self._watchdog.cancel()
                with suppress(asyncio.CancelledError):
                    await self._watchdog
                self._watchdog = None
            polled, self.polled.by_name = list(self.polled.by_name.values()), {}
            for start in range(0, len(polled), AT_ONCE):
                await _together(one.stop() for one in polled[start : start + AT_ONCE])


async def _together(ends: Iterable[Awaitable[None]]) -> None:
    """Ends several at once. What goes wrong with one keeps the others from nothing."""
    for result in await asyncio.gather(asyncio.sleep(0), *ends, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("an error while a provider was stopped", extra={"error": type(result).__name__})
