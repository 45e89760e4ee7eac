"""A loop for each feed: sweep, look up what the pages did not show, hand the observations to the ledger, sleep.

Loops know nothing of each other. A sweep that fails leaves the counters as they are; what it brought of known tasks is
kept, new tasks wait for a sweep that is complete, so that the next one still finds the ground where this one stopped.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from exporter.absence import Absences
from exporter.book import Book
from exporter.ledger import Ledger
from exporter.providers import connect
from exporter.providers.client import CONCURRENCY
from exporter.providers.errors import (
    AnswerTooLarge,
    CallError,
    ContractBroken,
    RequestInvalid,
    TaskNotFound,
    TimedOut,
    VendorFailed,
)
from exporter.providers.provider import Feed, Page, Provider
from exporter.pulse import Pulse
from exporter.settings import ProviderSettings
from exporter.status import FeedStatus
from exporter.store import StoreError
from exporter.sweep import Sweep
from exporter.tasks import Observation, Step, Task
from exporter.times import EARLIEST
from exporter.watch import Following, Watch

T = TypeVar("T")

log = logging.getLogger(__name__)

PAGE_LIMIT = 100
"""List pages that one sweep reads at the most."""

JITTER = 1.0
"""Seconds over which the first sweeps are spread, so that a start does not hit all vendors in the same instant."""

WATCH_EVERY = 5.0
"""Seconds between two looks of the watchdog."""

AT_ONCE = 50
"""Tasks that are looked up between two sweeps at the most; for more than that the next sweep comes early."""

ONE_TASK_ERRORS = (ContractBroken, RequestInvalid, VendorFailed, AnswerTooLarge, TimedOut)
"""Errors of a look-up that may concern one task alone; any other ends the sweep."""


class FeedLoop:
    """Polls one feed, for ever. Between `start` and `stop`, `revive` watches over it."""

    def __init__(
        self,
        provider: Provider,
        feed: Feed,
        book: Book,
        ledger: Ledger,
        watch: Watch,
        clock: Callable[[], float] = time.time,
        announce: Callable[[], object] = lambda: None,
    ) -> None:
        self.provider = provider
        self.feed = feed
        self.book = book
        self.status = FeedStatus()
        self._announce = announce
        self._ledger = ledger
        self.watch = watch
        self.following = Following(watch, ledger, book, lists=feed.lists, clock=clock)
        self._clock = clock
        # Whether the list must have known rows: it had rows the last time, or the ledger has tasks of late.
        self._had_rows = bool(book.in_flight or book.recent(clock()))
        self._absences = Absences(look_ups_list=feed.lists_in_flight)
        self._depth = 1  # pages to read before known ground ends the reading
        self._running: list[asyncio.Task[None]] = []  # the last one counts; those before it were given up
        self.pulse = Pulse(provider.settings)

    def start(self) -> None:
        self.pulse.beat()
        self._running.append(asyncio.create_task(self.run(), name=f"{self.provider.name}/{self.feed.kind}"))

    async def stop(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def revive(self, now: float) -> None:
        """Starts the loop anew if it has died, or gives no sign of life for too long. `now` is monotonic time."""
        if not self.pulse.is_overdue(now, has_died=self._running[-1].done()):
            return
        silence = round(self.pulse.silence(now), 1)
        about = {"provider": self.provider.name, "kind": self.feed.kind, "silent_seconds": silence}
        log.error("a loop did not come round and is started anew", extra=about)
        self._tell(RuntimeError("the loop did not come round; this is a bug of the exporter"))
        self.status.restarts += 1
        self.pulse.restarted()
        self._running[-1].cancel()
        self._running = [task for task in self._running if not _is_over(task)]
        self.start()

    async def story(self, task_id: str) -> tuple[Task, list[Step]] | None:
        """All that the ledger knows of one task, and what was seen of it in the last day. Raises StoreError."""
        return await self._ledger.find(self.book, task_id)

    async def run(self) -> None:
        """Sweeps at even intervals, never two at once; a sweep that takes longer delays the next."""
        interval = self.provider.settings.poll_interval
        await asyncio.sleep(random.uniform(0, min(interval, JITTER)))
        due = time.monotonic()
        while True:
            due = min(due, time.monotonic())  # what made it come early puts off the next
            await self.sweep()
            self.pulse.came_round()
            due = max(due + interval, time.monotonic())
            self.status.next_sweep = self._clock() + max(due - time.monotonic(), self.provider.client.limit.pause_left)
            await self._rest(due)

    async def _rest(self, due: float) -> None:
        """Rests until the next sweep is due, and looks up meanwhile what cannot wait; if it is much, the rest ends."""
        while (rest := max(due - time.monotonic(), self.provider.client.limit.pause_left)) > 0:
            self.pulse.beat(rest)
            paused = self.provider.client.limit.pause_left > 0
            hurried: list[str] = await (asyncio.sleep(rest, []) if paused else self.following.hurried(rest))
            if len(hurried) > AT_ONCE:
                return
            if hurried:
                await self.glance(hurried)

    async def sweep(self) -> None:
        """One poll of the feed. Whatever goes wrong ends here, as a status and at most one line in the log."""
        self.pulse.beat()
        self.status.next_sweep = None
        started = time.monotonic()
        sweep = Sweep(self.book.known)
        unread = await _failure_of(self._read(sweep, started))
        self.pulse.beat()
        sweep.complete = unread is None
        error = await _failure_of(self._keep(sweep)) or unread
        duration = time.monotonic() - started
        self.book.interval = max(self.provider.settings.poll_interval, duration if error is None else 0.0)
        self.status.poll_duration = duration
        self._tell(error)
        self._announce()

    async def glance(self, ids: Sequence[str]) -> None:
        """Looks a few tasks up between two sweeps. What goes wrong is left to the next one, which asks again."""
        self.pulse.beat()
        sweep = Sweep()
        await _failure_of(self._look_up(sweep, ids, time.monotonic()))
        if not (self.feed.lists and sweep.replaced):  # tasks that the list has yet to show wait for it
            await _failure_of(self._keep(sweep))
            self._announce()

    async def _keep(self, sweep: Sweep) -> None:
        now, interval = self._clock(), self.provider.settings.poll_interval
        sweep.missing = self._absences.missed(sweep, self.book.in_flight, interval, now)
        await self._ledger.record(self.book, sweep, now, keep=self.following.ids)
        if sweep.complete or not sweep.listed:  # else new tasks wait for the next sweep
            await self.following.settle(sweep)

    async def _read(self, sweep: Sweep, started: float) -> None:
        await self.following.read()
        if self.feed.lists:
            await self._read_list(sweep)
        unseen = [task_id for task_id in self.book.in_flight if not sweep.saw(task_id)]
        if self.feed.lists_in_flight and len(unseen) > 1:
            await self._read_in_flight(sweep, set(unseen))
        await self._look_up(sweep, await self.following.due(sweep), started)

    async def _read_list(self, sweep: Sweep) -> None:
        """Reads pages, newest first, until one ends on known ground, or before the history at the very first time."""
        floor = self.book.floor(self._clock())
        reached = False
        read = 0
        async for page in self._pages(sweep, in_flight=False):
            read += 1
            bottom = page.observations[-1] if page.observations else None
            if bottom is None or _is_oldest_first(page.observations):
                continue
            known = bottom.id in self.book.in_flight or bottom.id in sweep.ended_before
            if (known and self.book.swept and read >= self._depth) or _is_before(bottom, floor):
                reached = True
                break
        # A row that moves up from a page not yet read to one that has been is shown on neither: so as far down once
        # more, but not for ever, for there are vendors whose last page begins with the end of the one before it.
        self._depth = read if sweep.shifted and self._depth == 1 else 1
        ground = bool(sweep.ended_before) or any(task_id in self.book.in_flight for task_id in sweep.listed)
        sweep.gap = not reached and (sweep.cut or (self._had_rows and not ground))
        self._had_rows = bool(sweep.listed)

    async def _pages(self, sweep: Sweep, *, in_flight: bool) -> AsyncIterator[Page]:
        for index in range(PAGE_LIMIT):
            page = await self._called(self.feed.list_page(index, in_flight=in_flight))
            self.pulse.beat()
            at = self._clock()
            news = [one for one in page.observations if one.id not in sweep.listed]
            sweep.show(page.observations, at, listed=True)
            sweep.spoiled += page.spoiled
            sweep.ended_before |= await self._ledger.ended_among(self.book, [one.id for one in news])
            if not in_flight:
                sweep.whole = page.last and not sweep.spoiled
                sweep.shifted |= 0 < len(news) < len(page.observations) and index > 0
            yield page
            repeats = index > 0 and not news and (page.observations or page.spoiled)
            if page.last or repeats:  # a vendor that has no more may show the last page again
                return
        sweep.cut = True

    async def _read_in_flight(self, sweep: Sweep, unseen: set[str]) -> None:
        async for _ in self._pages(sweep, in_flight=True):
            if unseen <= sweep.listed.keys():
                break

    async def _look_up(self, sweep: Sweep, ids: Sequence[str], started: float) -> None:
        """Looks ids up, several at a time. It stops when the next sweep is due, but at the first one only if all fail.

        Where there is no list, nothing is known of the feed unless a look-up is answered.
        """
        waiting = iter(ids)
        failures: list[CallError] = []
        answered = 0
        fatal: CallError | None = None

        async def work() -> None:
            nonlocal answered, fatal
            for task_id in waiting:
                late = time.monotonic() - started > self.provider.settings.poll_interval
                if fatal or (late and (self.book.swept if answered else failures)):
                    return
                self.pulse.beat()
                self.following.looks_up(task_id)
                try:
                    observations = await self._called(self.feed.look_up(task_id))
                except TaskNotFound:
                    sweep.not_found.add(task_id)
                except ONE_TASK_ERRORS as error:
                    sweep.unanswered.add(task_id)
                    failures.append(error)
                    continue
                except CallError as error:
                    fatal = error
                    return
                else:
                    sweep.ended_before |= await self._ledger.ended_among(self.book, [one.id for one in observations])
                    sweep.show(observations, self._clock(), listed=False)
                    if observations and task_id not in sweep.looked_up:
                        sweep.replaced.add(task_id)
                    if all(one.state.is_end for one in observations):
                        sweep.finished.add(task_id)
                answered += 1

        await asyncio.gather(*(work() for _ in range(min(CONCURRENCY, len(ids)))))
        if fatal or (failures and not answered and not self.feed.lists):
            raise fatal or failures[0]

    def _tell(self, error: Exception | None) -> None:
        """Keeps the status, and logs an outage once when it begins and once when it ends."""
        about = {"provider": self.provider.name, "kind": self.feed.kind}
        now = self._clock()
        if error is None:
            if self.status.down_since is not None:
                log.info("feed is up again", extra=about | {"down_seconds": round(now - self.status.down_since, 1)})
            elif self.status.up is None:
                log.info("first sweep is complete", extra=about | {"tasks_in_flight": len(self.book.in_flight)})
            self.status.succeeded()
            return
        was_up = self.status.down_since is None
        cause = self.status.failed(error, now, self.provider.settings)
        if was_up:
            log.warning("feed is down", extra=about | {"cause": cause, "error": str(error)})

    async def _called(self, call: Awaitable[T]) -> T:
        """What a call brings. One that fails is kept for whoever looks at the feed."""
        try:
            return await call
        except CallError as error:
            self.status.note(error, self._clock())
            raise


def _is_over(task: asyncio.Task[None]) -> bool:
    """Whether a loop's task has ended; what it ended of is told."""
    if task.done() and not task.cancelled():
        log.debug("unexpected end of a loop", exc_info=task.exception())
    return task.done()


async def _failure_of(step: Awaitable[object]) -> Exception | None:
    """What a step of a sweep failed of. Only a cancellation gets through: whatever else happens, the loop goes on."""
    try:
        await step
    except (CallError, StoreError) as failure:
        return failure
    except Exception as failure:  # a slip of ours must not end the loop, nor go unnoticed
        log.debug("unexpected error in a sweep", exc_info=failure)
        return RuntimeError(f"unexpected {type(failure).__name__}; this is a bug of the exporter")
    return None


def _is_oldest_first(observations: Sequence[Observation]) -> bool:
    """Whether a page is sorted against what we ask for or assume: then no row on it proves that the rest is known."""
    dates = [one.submitted or one.dated for one in (observations[0], observations[-1])]
    return dates[0] is not None and dates[1] is not None and dates[0] < dates[1]


def _is_before(observation: Observation, floor: float) -> bool:
    placed = observation.submitted or observation.dated or observation.ended
    return placed is not None and EARLIEST <= placed < floor


@dataclass
class _Polled:
    """A provider that is being polled."""

    provider: Provider
    watch: Watch
    loops: list[FeedLoop]


class Collector:
    """All loops of all providers."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock
        self._polled: dict[str, _Polled] = {}
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
                    await self._stop(name)
            for name, one in settings.items():
                if name not in self._polled:
                    self._polled[name] = self._start(one)
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
            await asyncio.gather(*(self._stop(name) for name in list(self._polled)))

    def _start(self, settings: ProviderSettings) -> _Polled:
        provider = connect(settings, self._ledger.store)
        watch = Watch(settings.name, settings.watch)
        loops = []
        for feed in provider.feeds:
            book = self._ledger.open(settings.name, feed.kind, feed.clock, settings, self._clock())
            loops.append(FeedLoop(provider, feed, book, self._ledger, watch, self._clock, self.news.set))
        for loop in loops:
            loop.start()
        return _Polled(provider, watch, loops)

    async def _stop(self, name: str) -> None:
        polled = self._polled.pop(name)
        await asyncio.gather(*(loop.stop() for loop in polled.loops))
        await polled.watch.aclose()
        await polled.provider.aclose()
