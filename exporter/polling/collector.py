"""All loops of all providers: started, watched over, changed by a reload, stopped."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from exporter.config.models import ProviderSettings
from exporter.config.vendors.types import Vendors
from exporter.ledger.ledger import Ledger
from exporter.polling.held import Alone, Among
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.replicas.accounts import digest_of
from exporter.vendors.registry import installed

log = logging.getLogger(__name__)

WATCH_EVERY = 5.0

AT_ONCE = 16
"""Providers that are stopped and started at once: in between, the event loop serves others."""

SPREAD = 0.01
"""Seconds from one feed's first sweep to the next one's, within the interval: at once they delay each other."""


class Collector:
    """All loops of all providers."""

    def __init__(self, held: Ledger | Alone | Among, wall_clock: Callable[[], float] = time.time) -> None:
        """A ledger stands for a process that is `Alone` and polls every provider."""
        self._held = Alone(held) if isinstance(held, Ledger) else held
        self._wall_clock = wall_clock
        self.polled = PolledProviders(held=self._held)
        self._wanted: dict[str, ProviderSettings] = {}
        self._types: Vendors = installed()
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
            await self._change_to(wanted, types)
            self._wanted, self._types = wanted, types
            self._watchdog = self._watchdog or asyncio.create_task(self._watch(), name="watchdog")
            if self._held.elsewhere:
                self._held.elsewhere.configure(wanted, types)
            if keeper := self._held.keeper:
                keeper.wants(list(wanted), digest_of(wanted.values()))
                keeper.start(self)

    async def follow(self) -> None:
        """Polls those of the providers that are held now; what is no longer held ends first.

        Returns once nothing is written any more for what has ended. Raises StoreError where something could not begin.
        """
        await asyncio.shield(asyncio.create_task(self._follow()))

    async def _follow(self) -> None:
        self.news.set()
        await self._stop(self._lost)  # at once, also while something else changes
        async with self._changing:
            lost = self._lost
            await self._stop(lost)
            self.polled.by_name = {name: one for name, one in self.polled.by_name.items() if one not in lost}
            await self._held.finish()
            await self._change_to(self._wanted, self._types, all_or_none=False)

    def polls(self, provider: str) -> bool:
        """Whether a provider that is held has begun to be polled."""
        return provider in self.polled.by_name

    @property
    def _lost(self) -> list[PolledProvider]:
        """What is polled and no longer held."""
        held = set(self.polled.held)
        return [one for one in self.polled.by_name.values() if one not in held]

    async def _change_to(
        self, wanted: dict[str, ProviderSettings], types: Vendors, *, all_or_none: bool = True
    ) -> None:
        epochs = self._held.epochs(wanted)
        same = {
            name
            for name, polled in self.polled.by_name.items()
            if polled.epoch == epochs.get(name) and wanted[name] == polled.provider.settings and polled.is_of(types)
        }
        made = await self._made([wanted[name] for name in epochs if name not in same], epochs, types)
        fresh = {name: one for name, one in made.items() if isinstance(one, PolledProvider)}
        failures = [one for one in made.values() if isinstance(one, BaseException)]
        if failures and all_or_none:
            await _together(polled.aclose() for polled in fresh.values())
            raise failures[0]
        # Nothing fails from here on. A provider begins when the one of its name has ended: they share trackers.
        wait = SPREAD * len(self.polled.awaited())  # those that were started before go first
        spread = SPREAD * sum(len(one.loops) for one in fresh.values())
        changing = [name for name in {**self.polled.by_name, **fresh} if name not in same]
        for start in range(0, len(changing), AT_ONCE):
            await self._change(changing[start : start + AT_ONCE], fresh, wait, spread)
        self.polled.by_name = {name: self.polled.by_name[name] for name in epochs if name in self.polled.by_name}
        self.news.set()
        if failures:
            raise failures[0]

    async def _made(
        self, wanted: Sequence[ProviderSettings], epochs: Mapping[str, int], types: Vendors
    ) -> dict[str, PolledProvider | BaseException]:
        """These providers, or why one could not be made."""
        made: dict[str, PolledProvider | BaseException] = {}
        await self._held.read_ahead(wanted, epochs, self._wall_clock())
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            opening = [self._open(one, epochs[one.name], types) for one in some]
            made |= zip((one.name for one in some), await asyncio.gather(*opening, return_exceptions=True), strict=True)
        return made

    async def _open(self, settings: ProviderSettings, epoch: int, types: Vendors) -> PolledProvider:
        ledger = self._held.ledger(settings.name, epoch)
        polled = await PolledProvider.open(settings, ledger, self._wall_clock, self.news.set, types, epoch)
        polled.provider.client.may_call = partial(self._held.holds, settings.name, epoch)
        return polled

    async def _change(self, names: Sequence[str], fresh: dict[str, PolledProvider], wait: float, spread: float) -> None:
        old = {name: self.polled.by_name[name] for name in names if name in self.polled.by_name}
        new = {name: fresh[name] for name in names if name in fresh}
        await _together(polled.stop() for polled in old.values())
        self.polled.by_name = {name: one for name, one in self.polled.by_name.items() if name not in old} | new
        for name, polled in new.items():
            polled.start(wait, spread, old.get(name))

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
        """Stops all loops. Leases are released once everything is written, so that others take over at once."""
        keeper = self._held.keeper
        if keeper:
            await keeper.pause()
        async with self._changing:
            if self._watchdog:
                self._watchdog.cancel()
                with suppress(asyncio.CancelledError):
                    await self._watchdog
                self._watchdog = None
            polled, self.polled.by_name = list(self.polled.by_name.values()), {}
            await self._stop(polled)
            await self._held.finish_all()
        if keeper:
            await keeper.stop()

    async def _stop(self, polled: Sequence[PolledProvider]) -> None:
        for start in range(0, len(polled), AT_ONCE):
            await _together(one.stop() for one in polled[start : start + AT_ONCE])


async def _together(ends: Iterable[Awaitable[None]]) -> None:
    """Ends several at once. What goes wrong with one keeps the others from nothing."""
    for result in await asyncio.gather(asyncio.sleep(0), *ends, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("an error while a provider was stopped", extra={"error": type(result).__name__})
