"""A loop for each feed: sweep, look up what the pages did not show, hand the observations to the ledger, sleep.

Loops do not know each other (`collector.py` runs them all). A sweep that fails leaves the counters as they are; what
it brought of known tasks is kept, new tasks wait for a sweep that is complete, so that the next one still finds the
ground where this one stopped.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from exporter.client.errors import CallError
from exporter.ledger.errors import StoreError
from exporter.ledger.ledger import Ledger
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import Tracker
from exporter.polling.budget import Budget
from exporter.polling.feed.fills import Fills, Undated
from exporter.polling.feed.heartbeat import Heartbeat, Work
from exporter.polling.feed.listing import ListReader
from exporter.polling.feed.look_ups import SHARE_OF_NEW, LookUps
from exporter.polling.feed.missing import MissingTasks
from exporter.polling.feed.schedule import Schedule
from exporter.polling.feed.status import failed, noted
from exporter.polling.feed.unmapped import UnmappedTracker
from exporter.polling.watch import Following, Watch
from exporter.snapshot import FeedSnapshot, FeedStatus
from exporter.tasks import Cause, Observation, Step, Task
from exporter.vendors.vendor import Feed, Page, Provider

T = TypeVar("T")

log = logging.getLogger(__name__)

AT_ONCE = 50
"""At most so many tasks are looked up between two sweeps; for more than that the next sweep comes early."""

APART = 5.0
"""How many times as far apart as first sweeps, in all, the second ones may be, within the interval."""


class FeedLoop:
    """Polls one feed, for ever. Between `start` and `stop`, `revive` watches over it."""

    def __init__(
        self,
        provider: Provider,
        feed: Feed,
        tracker: Tracker,
        ledger: Ledger,
        watch: Watch,
        wall_clock: Callable[[], float] = time.time,
        announce: Callable[[], object] = lambda: None,
        budget: Budget | None = None,
    ) -> None:
        self.provider = provider
        self.feed = feed
        self.tracker = tracker
        self.status = FeedStatus()
        self._announce = announce
        self.budget = budget
        self.interval = provider.settings.poll_interval
        """The poll interval in force: the one set, that of an idle feed, or what the budget stretches it to."""
        self._ledger = ledger
        self.watch = watch
        self.following = Following(watch, ledger, tracker, lists=feed.lists, wall_clock=wall_clock)
        self._wall_clock = wall_clock
        self.look_ups = LookUps(provider, tracker, ledger, self.following, self._ask, wall_clock, feed.batch)
        self._new: list[str] = []  # ids that the sweep has yet to look up for the first time, or again
        self._shortfall: CallError | None = None
        self._missing_tasks = MissingTasks(look_ups_list=feed.lists_in_flight)
        self._schedule = Schedule(tracker)
        self._idle = False  # as the last sweep that succeeded left it
        self._running: list[asyncio.Task[None]] = []  # the last one counts; those before it were given up
        self.heartbeat = Heartbeat(provider.settings)
        self._about = {"provider": provider.name, "kind": feed.kind}
        self._sweeping, self._reading_ids = Work(self._about), Work(self._about)
        self._unmapped = UnmappedTracker(provider.settings, feed.kind, wall_clock)
        self._fills = Fills(feed, tracker, ledger, self._ask)
        self._undated = Undated(feed, tracker)
        self._list = ListReader(feed, tracker, ledger, provider.settings, wall_clock, self._page, self._fills)

    @property
    def name(self) -> str:
        return f"{self.provider.name}/{self.feed.kind}"

    def start(self, wait: float = 0.0, spread: float = 0.0) -> None:
        """Begins to poll after `wait` seconds, at any moment of the next `spread`, and within the interval."""
        self.heartbeat.beat(wait + spread)
        self._running.append(asyncio.create_task(self.run(wait, spread), name=self.name))

    async def stop(self) -> None:
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await _failure_of(self._spend())  # what a sweep that was cut short has sent

    def revive(self, now: float) -> None:
        """Restarts the loop if it has ended or has made no progress for too long. `now` is monotonic time."""
        if not self._running:  # it is being stopped
            return
        if not self.heartbeat.is_overdue(now, has_died=self._running[-1].done()):
            return
        silence = round(self.heartbeat.silence(now), 1)
        log.error("polling loop is stuck, restarting it", extra=self._about | {"silent_seconds": silence})
        self._tell(RuntimeError("the polling loop was stuck; this is a bug in the exporter"))
        self.status = replace(self.status, restarts=self.status.restarts + 1)
        self.heartbeat.restarted()
        self._running[-1].cancel()
        self._running = [task for task in self._running if not _is_over(task)]
        self.start()

    def snapshot(self) -> FeedSnapshot:
        """The feed as it is now, as frozen values."""
        tracker, settings = self.tracker, self.provider.settings
        follows_nothing = not (self.feed.lists or self.following.ids or tracker.in_flight)
        tasks, ends = tracker.frozen
        return FeedSnapshot(
            provider=self.provider.name,
            type=settings.type,
            kind=self.feed.kind,
            clock=self.feed.clock,
            document=(self.feed.document.title, self.feed.document.url),
            lists=self.feed.lists,
            settings=tracker.settings,
            status=self.status,
            interval=self.interval,
            since=tracker.since,
            swept=tracker.swept,
            succeeded=tracker.succeeded,
            freshness=tracker.freshness,
            counts=tracker.counts,
            exemplars=tracker.exemplars,
            tasks=tasks,
            ends=ends,
            last_day=tracker.last_day,
            models=tracker.models,
            units=self.feed.units,
            followed=len(self.following.ids),
            look_ups=self.look_ups.reluctance.state(self.following.unread),
            unmapped=self._unmapped.frozen,
            progress=self._sweeping.progress or self._reading_ids.progress,
            idle_advice=self.provider.advice(Cause.NOTHING_TO_WATCH) if follows_nothing else "",
            revision=tracker.revision,
        )

    async def story(self, task_id: str) -> tuple[Task, list[Step]] | None:
        """All that the ledger knows of one task, and what was seen of it in the last day. Raises StoreError."""
        return await self._ledger.store.find(*self.tracker.feed, task_id)

    async def run(self, wait: float = 0.0, spread: float = 0.0) -> None:
        """Sweeps at even intervals, never two at once; a sweep that takes longer delays the next.

        Only the second comes early, by up to half an interval: feeds that begin together would be swept together, and
        delay each other, for ever.
        """
        earliest, latest = (wait, wait + spread) if wait + spread < self.interval else (0.0, self.interval)
        await asyncio.sleep(random.uniform(earliest, latest))
        due = time.monotonic()
        early = random.uniform(0, min(self.interval, APART * (wait + spread)) / 2)
        while True:
            await self._rest(due)
            due = min(due, time.monotonic())  # what made it come early puts off the next
            await self.sweep()
            self.heartbeat.swept()
            due, early = max(due + self.interval - early, time.monotonic()), 0.0
            next_sweep = self._wall_clock() + max(due - time.monotonic(), self._pause_left)
            self.status = replace(self.status, next_sweep=next_sweep)

    @property
    def _pause_left(self) -> float:
        """Seconds for which no call is allowed, by the vendor or by the budget."""
        return max(self.provider.client.limit.pause_left, self.budget.wait if self.budget else 0.0)

    async def _rest(self, due: float) -> None:
        """Rests until the next sweep is due, and looks up meanwhile what cannot wait; if it is much, the rest ends."""
        while (rest := max(due - time.monotonic(), self._pause_left)) > 0:
            self.heartbeat.beat(rest)
            paused = self._pause_left > 0
            hurried: list[str] = await (asyncio.sleep(rest, []) if paused else self.following.hurried(rest))
            if len(hurried) > AT_ONCE:
                return
            if hurried:
                await self.glance(hurried, due)

    async def sweep(self) -> None:
        """One poll of the feed. Whatever goes wrong ends here, as a status and at most one line in the log."""
        self.heartbeat.beat()
        self.status = replace(self.status, next_sweep=None)
        started = time.monotonic()
        sweep = Sweep(self.tracker.known)
        self._new, self._shortfall = [], None
        unread = await _failure_of(self._read(sweep, started))
        self._sweeping.end()
        self._reading_ids.left(self.following.unread)
        self.heartbeat.beat()
        sweep.complete = unread is None
        error = await _failure_of(self._keep(sweep)) or unread or self._shortfall
        duration = time.monotonic() - started
        if error is None:
            self._idle = self.feed.lists and not self.tracker.in_flight
        unspent = await _failure_of(self._spend(self.feed.kind))
        self.interval = self._next_interval()
        self.tracker.interval = max(self.interval, duration if error is None else 0.0)
        error = unspent or error
        self.status = replace(self.status, poll_duration=duration)
        self._tell(error)
        self._announce()
        if sweep.complete:
            await self._look_up_new(started + self.interval)

    async def _look_up_new(self, until: float) -> None:
        """Looks new ids up after a sweep, which waits for none of them: the rest follows round by round."""
        now = self._wall_clock()
        ids, _ = self.look_ups.reluctance.part(self._new, now)
        if not ids or not self.look_ups.new_may_be_asked:
            return
        await self._glance(partial(self.look_ups.new, ids=ids, until=self._bounded(until)), goes_on=True)
        if self.tracker.in_flight and self._idle:
            self._idle = False
            self.interval = self._next_interval()

    def _bounded(self, until: float) -> float:
        """The end of a round of look-ups beside the sweeps, which get a share of the time in any case."""
        return max(until, time.monotonic() + SHARE_OF_NEW * self.interval)

    async def glance(self, ids: Sequence[str], until: float = 0.0) -> None:
        """Looks a few tasks up between two sweeps, until a moment of monotonic time or a little longer.

        Errors are left to the next sweep, which asks again.
        """
        in_flight = [task_id for task_id in ids if task_id in self.tracker.in_flight]
        new = [task_id for task_id in ids if task_id not in self.tracker.in_flight]
        now = self._wall_clock()
        ids, _ = self.look_ups.reluctance.part([*in_flight, *new], now)
        is_up = self.status.up is True
        await self._glance(partial(self.look_ups.round, ids=ids, until=self._bounded(until), is_up=is_up))

    async def _glance(self, look_up: Callable[[Sweep], Awaitable[object]], *, goes_on: bool = False) -> None:
        self.heartbeat.beat()
        sweep = Sweep(goes_on=goes_on)
        await _failure_of(look_up(sweep))
        self._reading_ids.left(self.following.unread)
        if goes_on or not (self.feed.lists and sweep.replaced):  # tasks that the list has yet to show wait for it
            await _failure_of(self._keep(sweep))
        await _failure_of(self._spend())
        self._announce()

    def _next_interval(self) -> float:
        settings = self.provider.settings
        idle = settings.idle_poll_interval if self._idle else None
        return max(settings.poll_interval, idle or 0.0, self.budget.interval if self.budget else 0.0)

    async def _spend(self, kind: str = "") -> None:
        """Takes what all feeds of the provider sent off the budget, and keeps that. Raises StoreError."""
        if self.budget:
            self.budget.spend(self.provider.client.sent, kind)
            await self._ledger.store.save_spent(self.provider.name, self.budget.text)

    async def _keep(self, sweep: Sweep) -> None:
        now = self._wall_clock()
        self._undated.put_off(sweep)
        sweep.missing = self._missing_tasks.missed(sweep, self.tracker.in_flight, self.interval, now)
        brought = sweep.looked_up.keys() - self.tracker.in_flight.keys() - sweep.ended_before
        await self._ledger.record(self.tracker, sweep, now, keep=self.following.ids)
        self._list.unlisted = set() if sweep.complete else self._list.unlisted | brought
        await self._schedule.saw({task_id: at for task_id, (_, at) in sweep.looked_up.items()})
        if sweep.complete or not sweep.listed:  # else new tasks wait for the next sweep
            await self.following.settle(sweep)
        if sweep.complete:
            self._unmapped.take(self._fills.settle())

    async def _read(self, sweep: Sweep, started: float) -> None:
        await self.following.read()
        if self.feed.lists:
            self._sweeping.begin("list")
            await self._list.read(sweep)
        unseen = [task_id for task_id in self.tracker.in_flight if not sweep.saw(task_id)]
        if self.feed.lists_in_flight and len(unseen) > 1:
            await self._list.read_in_flight(sweep, set(unseen))
        if not self.feed.looks_up:
            sweep.not_found.update(unseen if sweep.whole else ())
            return
        await self._look_up(sweep, started)
        if len(self._fills):
            await self._fills.ask(sweep, self._bounded(started + self.interval))

    async def _look_up(self, sweep: Sweep, started: float) -> None:
        """Looks up the tasks in flight that no page showed; new ids wait until these are in the ledger."""
        in_flight, new = await self.following.due(sweep)
        self._new = [task_id for task_id in new if task_id not in self._fills]
        self.look_ups.reluctance.keep({*in_flight, *self._new})
        due, others = self._schedule.due(in_flight, self._wall_clock())
        due += [task_id for task_id in others if task_id in self.following.hinted]
        due, failing = self.look_ups.reluctance.part(due, self._wall_clock())
        sweep.unanswered.update(failing)  # as their last look-ups were
        # Where there is no list, a sweep without an answer would say nothing about the feed.
        instead = [] if self.feed.lists else [*others, *self._new, *failing]
        until = started + self.interval
        self._sweeping.begin("ids", len(due))
        made = await self.look_ups.round(sweep, due, until, instead, is_up=self.feed.lists)
        self._new = [task_id for task_id in self._new if task_id not in made.asked]
        if made.error and not self.feed.lists:
            raise made.error
        self._shortfall = self.look_ups.shortfall(sweep, due, made)
        sweep.falls_short = self._shortfall is not None

    async def _ask(self, ids: Sequence[str]) -> Mapping[str, Sequence[Observation]]:
        self.heartbeat.beat()
        found = await self._called(self.feed.look_up_all(ids))
        for shown in found.values():
            self._unmapped.take(shown)
        self._sweeping.did(len(ids))
        return found

    async def _page(self, call: Awaitable[Page]) -> Page:
        page = await self._called(call)
        self.heartbeat.beat()
        self._unmapped.take(self._fills.final(page.observations))
        self._sweeping.did(share=self._read_back(page))
        return page

    def _read_back(self, page: Page) -> float | None:
        """How much of the history is read once a page is, at the very first sweep."""
        dates = [at for one in page.observations if (at := one.submitted or one.dated) is not None]
        if self.tracker.swept or not dates:
            return None
        return min(1.0, max(0.0, (self._wall_clock() - min(dates)) / self.provider.settings.history))

    def _tell(self, error: Exception | None) -> None:
        """Keeps the status, and logs an outage once when it begins and once when it ends."""
        about, now = self._about, self._wall_clock()
        outage = self.status.outage
        if error is None:
            if outage is not None:
                log.info("feed is up again", extra=about | {"down_seconds": round(now - outage.since, 1)})
            elif self.status.up is None:
                log.info("first sweep is complete", extra=about | {"tasks_in_flight": len(self.tracker.in_flight)})
            self.status = replace(self.status, up=True, outage=None)
            return
        self.status = failed(self.status, error, now, self.provider)
        if outage is None and self.status.outage is not None:
            log.warning("feed is down", extra=about | {"cause": self.status.outage.label, "error": str(error)})

    async def _called(self, call: Awaitable[T]) -> T:
        """What a call brings. The error of a failed one is kept for readers of the feed."""
        try:
            return await call
        except CallError as error:
            self.status = noted(self.status, error, self._wall_clock())
            raise


def _is_over(task: asyncio.Task[None]) -> bool:
    """Whether a loop's task has ended; why is logged."""
    if task.done() and not task.cancelled():
        log.debug("unexpected end of a loop", exc_info=task.exception())
    return task.done()


async def _failure_of(step: Awaitable[object]) -> Exception | None:
    """The error of a step of a sweep. Only a cancellation is raised: after any other error, the loop continues."""
    try:
        await step
    except (CallError, StoreError) as failure:
        return failure
    except Exception as failure:  # a slip of ours must not end the loop, nor go unnoticed
        log.debug("unexpected error in a sweep", exc_info=failure)
        return RuntimeError(f"unexpected {type(failure).__name__}; this is a bug in the exporter")
    return None
