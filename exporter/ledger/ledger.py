"""The trackers of all feeds and the store behind them: what was committed is taken over, nothing else is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from exporter.config.models import PollSettings
from exporter.ledger.counting.last_day import STEP, STEPS, LastDay
from exporter.ledger.counting.late import LATEST, MOST
from exporter.ledger.errors import LeaseLost
from exporter.ledger.store import FeedRecord, Store
from exporter.ledger.sweep import Settled, Sweep
from exporter.ledger.tracker import REMEMBERED_LONGER, Tracker
from exporter.tasks import Clock, Task

FORGET_AT_ONCE = 1000
"""Old ends that a sweep forgets beside twice as many as it shows: it can have added at most so many."""

FORGET_EVERY = 600.0
"""Seconds by which the limit of what is old has to move before the store is asked again, unless there was more."""

MANY = 1000
"""Tasks above which work on all of them is done in a thread: the first sweep of 50,000 takes half a second."""

T = TypeVar("T")

_thread = ThreadPoolExecutor(1, thread_name_prefix="settle")


class Ledger:
    """The trackers of all feeds, and the store behind them."""

    def __init__(self, store: Store, retention: float, refused: Callable[[], None] = lambda: None) -> None:
        """`refused` is called when the store refuses a sweep because another replica has the lease by now."""
        self.store = store
        self.retention = retention
        self._refused = refused
        self._trackers: dict[tuple[str, str], Tracker] = {}
        self._forgotten: dict[tuple[str, str], float] = {}  # by feed: nothing that ended before is left
        self._writing = asyncio.Lock()
        self._closing = False

    async def open(
        self, provider: str, kind: str, clock: Clock, settings: PollSettings, now: float, *, tells_usage: bool = False
    ) -> Tracker:
        """The tracker of a feed, out of the store the first time; a known one is left as it is. Raises StoreError.

        `tells_usage`: the vendor reports what tasks cost.
        """
        tracker = self._trackers.get((provider, kind))
        if tracker is None:
            read = await self._read((provider, kind), settings, now, tells_usage=tells_usage)
            made = partial(Tracker, provider, kind, clock, settings, self.retention, *read, tells_usage=tells_usage)
            tracker = self._trackers.setdefault((provider, kind), await _aside(_size(read[0]), made))
        return tracker

    async def _read(
        self, feed: tuple[str, str], settings: PollSettings, now: float, *, tells_usage: bool
    ) -> tuple[FeedRecord, Sequence[Task], LastDay]:
        """What the store holds of a feed, the tasks whose cost may still come, and the last day."""
        record = await self.store.load(*feed, now - settings.recent_window, now - STEP * STEPS)
        polled = record.polled if record.polled is not None else now
        since = min(now, polled) - LATEST  # a clock that is ahead only now takes none of them away
        unpaid = await self.store.unpaid_since(*feed, since, MOST) if tells_usage else ()

        def worked_out() -> tuple[LastDay, object]:
            return LastDay.of(record.by_step, record.in_flight, now), record.ends  # which the record remembers

        last_day, _ = await _aside(_size(record), worked_out)
        return record, unpaid, last_day

    async def ended_among(self, tracker: Tracker, ids: Collection[str]) -> set[str]:
        """Which of these tasks have ended already, as far as the ledger knows. Raises StoreError."""
        unknown = [task_id for task_id in ids if task_id not in tracker.in_flight]
        if not unknown:
            return set()
        return await self.store.ended_among(*tracker.feed, unknown)

    async def record(self, tracker: Tracker, sweep: Sweep, now: float, keep: Collection[str] = ()) -> Settled:
        """Settles a sweep, commits it and takes it over; the ids to `keep` are not forgotten. Raises StoreError.

        Once begun it is carried through, also when the caller is cancelled: a commit that the tracker does not know of
        would count the same ends again.
        """
        recording = asyncio.create_task(self._record(tracker, sweep, now, frozenset(keep)))
        recording.add_done_callback(lambda done: done.cancelled() or done.exception())  # the caller may be gone
        try:
            return await asyncio.shield(recording)
        except LeaseLost:
            self._refused()
            raise

    async def _record(self, tracker: Tracker, sweep: Sweep, now: float, keep: frozenset[str]) -> Settled:
        async with self._writing:
            if self._closing:  # nothing of it is written yet, and the end does not wait for it
                raise asyncio.CancelledError
            if tracker.in_doubt:
                usage = tracker.tells_usage
                tracker.load(*await self._read(tracker.feed, tracker.settings, now, tells_usage=usage))
            # Asked again here, where nothing else can be written in between: after a reload the old loop's last commit
            # may have ended a task since the new loop read its page.
            unsure = sweep.listed.keys() - tracker.in_flight.keys() | sweep.looked_up.keys()
            sweep.ended_before |= await self.ended_among(tracker, unsure - sweep.ended_before)
            forget = await self._to_forget(tracker, sweep, now, keep)
            size = len(sweep.listed) + len(sweep.looked_up) + len(tracker.in_flight)
            settled = await _aside(size, lambda: tracker.settle(sweep, now, forget))  # until then nothing changes it
            tracker.in_doubt = True  # a commit that fails may have been written all the same
            await self.store.commit(settled.changes)
            tracker.adopt(settled)
            tracker.in_doubt = False
            return settled

    async def _to_forget(self, tracker: Tracker, sweep: Sweep, now: float, keep: frozenset[str]) -> list[str]:
        """Old ends that are no longer shown."""
        shown = sweep.listed.keys() | sweep.looked_up.keys()
        if not (shown and sweep.complete and tracker.horizon is not None):
            return []
        limit = min(tracker.horizon, now - tracker.retention) - REMEMBERED_LONGER
        if 0 <= limit - self._forgotten.get(tracker.feed, -math.inf) < FORGET_EVERY:
            return []
        at_once = FORGET_AT_ONCE + 3 * len(shown) + len(keep)
        old = await self.store.ended_before(*tracker.feed, limit, at_once)
        if len(old) < at_once:
            self._forgotten[tracker.feed] = limit
        return [task_id for task_id in old if task_id not in keep and task_id not in shown]

    async def finish(self) -> None:
        """Returns once what is being written has been written. No sweep is recorded later; the store stays open."""
        self._closing = True
        async with self._writing:
            pass

    async def close(self) -> None:
        """Closes the store once what is being written has been written."""
        await self.finish()
        await self.store.close()


def _size(record: FeedRecord) -> int:
    return len(record.in_flight) + len(record.ended)


async def _aside(size: int, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_thread, work) if size > MANY else work()
