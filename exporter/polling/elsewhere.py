"""Providers that other replicas hold: what the database says of them, and ids that are handed on to the holder."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import httpx

from exporter.client.client import Client
from exporter.config.models import ProviderSettings
from exporter.config.vendors.types import Vendors
from exporter.ledger.counters import Counters
from exporter.ledger.counting.last_day import STEP, STEPS, LastDay
from exporter.ledger.errors import StoreError
from exporter.ledger.store import FeedRecord, SharedStore
from exporter.ledger.tracker import Tracker
from exporter.polling.watch import Callbacks
from exporter.polling.watch.following import room_for
from exporter.snapshot import AccountSnapshot, FeedSnapshot, FeedStatus
from exporter.tasks import Step, Task, Verdict
from exporter.vendors.registry import connect, installed
from exporter.vendors.vendor import Feed

FRESH = 1.0
"""Seconds for which what was read of all providers is shown again, at least."""

RESTS, FRESH_AT_MOST = 9, 30.0
"""How many times as long as the reading took it is shown, and for how many seconds at most: a tenth of the time."""

FRESH_DAY = 60.0
"""The same for their last day, of which the database has to look at every end."""

DAYS_AT_ONCE = 100
"""Providers whose last day is read by one query: a day has up to 288 rows for each feed."""

Days = Mapping[tuple[str, str], LastDay]

Tell = Callable[[str, str, Sequence[str]], Awaitable[None]]
"""Notifies the holder of a provider's feed of new ids in the ledger and of changed tasks."""

WAITED = 2.0
"""Seconds after which a page leaves out what a slow database has not answered: a reading takes many answers."""


class Elsewhere:
    """The providers of the configuration, as far as the database knows them. Nothing here calls a vendor."""

    def __init__(
        self,
        store: SharedStore,
        tell: Tell,
        wall_clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._tell = tell
        self._wall_clock = wall_clock
        self._ticks = ticks
        self._settings: Mapping[str, ProviderSettings] = {}
        self._types: Vendors = installed()
        self._known: dict[str, Sequence[Feed]] = {}
        self.patience = WAITED
        """Seconds that a page waits for what the database says."""
        self._one_at_a_time = asyncio.Lock()
        self._reading: tuple[frozenset[str], asyncio.Task[dict[str, AccountSnapshot]]] | None = None
        self._read: tuple[float, frozenset[str], dict[str, AccountSnapshot]] = (-math.inf, frozenset(), {})
        """Until when it is shown, of which providers, and what."""
        self._days: tuple[float, frozenset[str], Days] = (-math.inf, frozenset(), {})

    def configure(self, settings: Mapping[str, ProviderSettings], types: Vendors) -> None:
        """From now on the configuration has these providers."""
        self._settings, self._types, self._known = settings, types, {}
        self._read, self._reading = (-math.inf, frozenset(), {}), None

    async def accounts(self, providers: Collection[str]) -> dict[str, AccountSnapshot]:
        """What the database says of these providers.

        Raises StoreError, also where that takes too long. All that ask wait for the same reading, which goes on.
        """
        wanted = frozenset(providers) & self._settings.keys()
        until, names, accounts = self._read
        if self._ticks() < until and names == wanted:
            return accounts
        if self._reading is None or self._reading[0] != wanted:
            reading = asyncio.create_task(self._read_again(wanted), name="read what others poll")
            self._reading = wanted, reading
            reading.add_done_callback(self._has_read)
        reading = self._reading[1]
        await asyncio.wait({reading}, timeout=self.patience)
        if not reading.done() or reading.cancelled():
            raise StoreError("the database took too long to report other replicas")
        return reading.result()

    async def _read_again(self, wanted: frozenset[str]) -> dict[str, AccountSnapshot]:
        async with self._one_at_a_time:
            settings, began = self._settings, self._ticks()
            accounts = await self._accounts({name: settings[name] for name in sorted(wanted & settings.keys())})
            if settings is self._settings:
                ended = self._ticks()
                fresh = min(max(FRESH, RESTS * (ended - began)), FRESH_AT_MOST)
                self._read = ended + fresh, wanted, accounts
            return accounts

    def _has_read(self, reading: asyncio.Task[dict[str, AccountSnapshot]]) -> None:
        if self._reading and self._reading[1] is reading:
            self._reading = None
        if not reading.cancelled():
            reading.exception()  # all that asked may be gone

    async def _accounts(self, settings: Mapping[str, ProviderSettings]) -> dict[str, AccountSnapshot]:
        if not settings:
            return {}
        now = self._wall_clock()
        records = await self._store.load_all({name: now - one.recent_window for name, one in settings.items()})
        days = await self._last_days(frozenset(settings), now)
        feeds = {}
        for name in settings:
            feeds[name] = self._feeds(name)
            await asyncio.sleep(0)  # they may be a thousand

        def made() -> dict[str, AccountSnapshot]:
            return {name: _account(one, feeds[name], records, days, now) for name, one in settings.items()}

        return await asyncio.to_thread(made)  # one may have 100,000 tasks

    async def _last_days(self, providers: frozenset[str], now: float) -> Days:
        """The last day of each feed, without what is in flight."""
        until, names, days = self._days
        if self._ticks() < until and names == providers:
            return days
        found, every = {}, sorted(providers)
        for start in range(0, len(every), DAYS_AT_ONCE):
            some = every[start : start + DAYS_AT_ONCE]
            for feed, rows in (await self._store.ended_by_step_in_all(some, now - STEP * STEPS)).items():
                found[feed] = LastDay.of(rows, (), now)
                await asyncio.sleep(0)
        self._days = self._ticks() + FRESH_DAY, providers, found
        return found

    async def find(self, provider: str, kind: str, task_id: str) -> tuple[Task, list[Step]] | None:
        """All that the ledger knows of one task. Raises StoreError."""
        return await self._store.find(provider, kind, task_id) if self._feed(provider, kind) else None

    async def follow(self, provider: str, kind: str, ids: Iterable[str]) -> Verdict | None:
        """Keeps ids for the holder of a feed, and notifies the holder; None if there is no such feed.

        Raises StoreError, TooMany.
        """
        return await self._take(provider, kind, ids, ()) if self._feed(provider, kind) else None

    async def _take(self, provider: str, kind: str, ids: Iterable[str], news: Sequence[str]) -> Verdict:
        wanted = list(dict.fromkeys(ids))
        ended = await self._store.ended_among(provider, kind, wanted)
        in_flight = await self._store.in_flight_among(provider, kind, wanted)
        asked_for = set(await self._store.watched(provider, kind))
        new = [one for one in wanted if one not in ended and one not in in_flight and one not in asked_for]
        room_for(len(new), len(asked_for), self._settings[provider].watch.limit)
        if new:
            await self._store.watch(provider, kind, new, self._wall_clock())
        if new or news:
            with suppress(StoreError):  # the ids are kept, and the next sweep reads them
                await self._tell(provider, kind, news)
        return Verdict(len(new), len(wanted) - len(new) - len(ended), len(ended))

    def callbacks(self, provider: str, kind: str) -> Callbacks | None:
        """What takes the vendor's callbacks for a feed; None if there is no such feed."""
        feed = self._feed(provider, kind)
        if feed is None:
            return None
        secret = self._settings[provider].watch.callback_secret
        return Callbacks(secret, feed.id_key, feed.called_back, partial(self._hint, provider, feed))

    async def _hint(self, provider: str, feed: Feed, ids: Iterable[str]) -> None:
        hinted = list(ids)
        await self._take(provider, feed.kind, () if feed.lists else hinted, hinted)

    def _feed(self, provider: str, kind: str) -> Feed | None:
        return next((feed for feed in self._feeds(provider) if feed.kind == kind), None)

    def _feeds(self, provider: str) -> Sequence[Feed]:
        if provider not in self._settings:
            return ()
        if provider not in self._known:
            settings = self._settings[provider]
            client = Client(settings.base_url, transport=_NoTransport())
            self._known[provider] = connect(settings, self._store, self._types, client).feeds
        return self._known[provider]


class _NoTransport(httpx.AsyncBaseTransport):
    """Passes nothing on."""


def _account(
    settings: ProviderSettings,
    feeds: Sequence[Feed],
    records: Mapping[tuple[str, str], FeedRecord],
    days: Days,
    now: float,
) -> AccountSnapshot:
    return AccountSnapshot(
        name=settings.name,
        type=settings.type,
        counts=Counters(),
        budget_left=None,
        task_series_limit=settings.task_series_limit,
        watch_troubles=(),
        watch_sources=(),
        feeds=tuple(
            _snapshot(
                settings,
                feed,
                records.get((settings.name, feed.kind), FeedRecord()),
                days.get((settings.name, feed.kind), LastDay()),
                now,
            )
            for feed in feeds
        ),
    )


def _snapshot(settings: ProviderSettings, feed: Feed, record: FeedRecord, day: LastDay, now: float) -> FeedSnapshot:
    last_day = day.after(record.in_flight, (), {}, now)
    tracker = Tracker(settings.name, feed.kind, feed.clock, settings, settings.history, record, last_day=last_day)
    tasks, ends = tracker.frozen
    return FeedSnapshot(
        provider=settings.name,
        type=settings.type,
        kind=feed.kind,
        clock=feed.clock,
        document=(feed.document.title, feed.document.url),
        lists=feed.lists,
        settings=settings,
        status=FeedStatus(up=None if tracker.is_stale(now) else True),
        interval=settings.poll_interval,
        since=tracker.since,
        swept=tracker.swept,
        succeeded=tracker.succeeded,
        freshness=tracker.freshness,
        counts=tracker.counts,
        tasks=tasks,
        ends=ends,
        last_day=tracker.last_day,
        models=tracker.models,
        units=feed.units,
    )
