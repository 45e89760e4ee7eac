"""Decides what a sweep means: transitions, ends counted once, whose times to believe, what may be forgotten.

A `Book` is the ledger of one feed. `settle` works out what a sweep changes, without changing anything; `adopt` takes
the changes over once the store has them. So what is served was committed before, and a crash in between costs nothing:
the vendor is asked again.

The promise to count each end once rests on three things. The store remembers the ids of ended tasks. It forgets only
ends that lie well before the `horizon`, and an unknown task that a list shows to have ended before the horizon is not
counted. And a counter and the tasks that moved it are committed together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ParamSpec, TypeVar

from exporter.counts import Counts, Key
from exporter.settings import PollSettings
from exporter.store import Changes, FeedRecord, Store
from exporter.sweep import Sweep
from exporter.tasks import CLOCK_SKEW, MEASURED_ENDS, Clock, Field, Observation, Phase, Reason, State, Task
from exporter.times import Times, believed

P = ParamSpec("P")
T = TypeVar("T")

STALE_AFTER = 3
"""Poll intervals without success after which in-flight data is no longer shown, nor a transition dated."""

LEAST_STALE = 1.0
"""Seconds for which data is fresh in any case: at an interval of milliseconds a busy machine would make it flicker."""

LEAST_PATIENCE = 5.0
"""Seconds between two looks that are close enough in any case: vendors' own times are hardly finer."""

LOST_AFTER = 2
"""Sweeps in a row that must miss a task before it counts as lost: a single blank answer proves nothing."""

FORGET_AT_ONCE = 1000

REMEMBERED_LONGER = 86400.0
"""Seconds for which an end is remembered after it is news no more: a vendor's clock may be hours off."""


@dataclass(frozen=True, slots=True)
class End:
    """An ended task as the recent window needs it."""

    at: float
    task: Task


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A task that stands for a bucket."""

    task_id: str
    value: float
    at: float


@dataclass(frozen=True)
class Growth:
    """What a sweep adds to the counters, and the tasks that stand for it in the histograms."""

    bounds: Sequence[float]
    counts: Counts = field(default_factory=Counts)
    exemplars: dict[Key, Exemplar] = field(default_factory=dict)

    def measure(self, phase: Phase, task: Task, at: float) -> bool:
        """Observes the duration of a phase, and tells whether it is known."""
        length = task.duration(phase)
        if length is None:
            return False
        metric = f"{phase}_duration_seconds"
        key = (metric,) if phase is Phase.QUEUE else (metric, task.state)
        bound = self.counts.observe(*key, value=length, bounds=self.bounds)
        self.exemplars[*key, bound] = Exemplar(task.id, length, at)
        return True


@dataclass(frozen=True)
class Settled:
    """A sweep's changes, and what only the memory needs of them."""

    changes: Changes
    at: float
    complete: bool
    seen: dict[str, float]
    exemplars: dict[Key, Exemplar]


class Book:
    """The ledger of one feed."""

    def __init__(
        self,
        provider: str,
        kind: str,
        clock: Clock,
        settings: PollSettings,
        retention: float,
        record: FeedRecord,
        recent: Iterable[Task] = (),
    ) -> None:
        self.provider = provider
        self.kind = kind
        self.clock = clock
        self.settings = settings
        self.interval = settings.poll_interval
        """The interval in force: the one set, or as long as a sweep takes where that is longer."""
        self.retention = retention
        self.since = record.since
        self.horizon = record.horizon
        self.polled = record.polled
        self.counts = record.counts
        self.in_flight = {task.id: task for task in record.in_flight}
        self.last_seen = dict.fromkeys(self.in_flight, record.polled or 0.0)
        self.exemplars: dict[Key, Exemplar] = {}
        self._recent: deque[End] = deque()
        for task in recent:
            self._remember(task)

    @property
    def swept(self) -> bool:
        """Whether a sweep has ever been complete: before that there is nothing to show."""
        return self.since is not None

    def is_stale(self, now: float) -> bool:
        """Whether what is in flight was seen too long ago to be shown as if it were fresh."""
        return self.polled is None or now - self.polled > max(STALE_AFTER * self.interval, LEAST_STALE)

    @property
    def _patience(self) -> float:
        """How long ago the last look may be for a change since to be dated by the present one."""
        return max(STALE_AFTER * self.interval, LEAST_PATIENCE)

    def floor(self, now: float) -> float:
        """What ended before this is not counted when it is first seen: it was, or it is older than the history."""
        return self.horizon if self.horizon is not None else now - self.settings.history

    def recent(self, now: float) -> list[Task]:
        """The tasks that ended within the recent window."""
        since = now - self.settings.recent_window
        self._trim(since)
        return [end.task for end in self._recent if end.at >= since]

    def _trim(self, since: float) -> None:
        while self._recent and self._recent[0].at < since:
            self._recent.popleft()

    def settle(self, sweep: Sweep, now: float, forgotten: Sequence[str] = ()) -> Settled:
        """What a sweep changes. Neither the book nor the store is touched."""
        growth = Growth(self.settings.duration_buckets)
        tasks: list[Task] = []
        floor = self.floor(now)
        seen: dict[str, float] = {}
        for task_id, (observation, at) in (sweep.listed | sweep.looked_up).items():
            task = self.in_flight.get(task_id)
            if task is None:
                if task_id in sweep.ended_before or not self._is_news(observation, at, sweep, floor):
                    continue
                task = self._newcomer(observation, at, is_listed=task_id in sweep.listed)
            after = self._advance(task, observation, at, growth)
            if after is not self.in_flight.get(task_id):
                tasks.append(after)
            if not after.state.is_end:
                seen[task_id] = at
        tasks += self._missed(sweep.missing - sweep.listed.keys() - sweep.looked_up.keys(), now, growth)
        if sweep.spoiled:
            growth.counts.add("unmapped_values_total", Field.TASK, by=sweep.spoiled)
        if sweep.gap and sweep.complete:
            growth.counts.add("history_gaps_total")
        totals = Counts({key: self._grown(key, by) for key, by in growth.counts.items()})
        horizon = max(floor, now - self.retention) if sweep.complete else self.horizon
        changes = Changes(
            self.provider,
            self.kind,
            since=now if sweep.complete and self.since is None else self.since,
            horizon=horizon,
            polled=now if sweep.complete else self.polled,
            tasks=tasks,
            counts=totals,
            forgotten=[*forgotten, *(sweep.replaced & self.in_flight.keys() if sweep.complete else ())],
        )
        return Settled(changes, now, sweep.complete, seen, growth.exemplars)

    def adopt(self, settled: Settled) -> None:
        """Takes over changes that the store has committed."""
        changes = settled.changes
        self.since, self.horizon, self.polled = changes.since, changes.horizon, changes.polled
        self.counts.update(changes.counts)
        self.exemplars.update(settled.exemplars)
        self.last_seen.update(settled.seen)
        for task in changes.tasks:
            if task.state.is_end:
                self.in_flight.pop(task.id, None)
                self.last_seen.pop(task.id, None)
                self._remember(task)
            else:
                self.in_flight[task.id] = task
        for gone in changes.forgotten:
            self.in_flight.pop(gone, None)
            self.last_seen.pop(gone, None)
        self._trim(settled.at - self.settings.recent_window)

    def _remember(self, task: Task) -> None:
        at = task.placed_at
        if at is None:
            return
        position = len(self._recent)
        while position and self._recent[position - 1].at > at:
            position -= 1
        self._recent.insert(position, End(at, task))

    def _grown(self, key: Key, by: float) -> float:
        if key[0] == "last_finished_timestamp_seconds":
            return max(self.counts[key], by)
        return self.counts[key] + by

    def _is_news(self, observation: Observation, at: float, sweep: Sweep, floor: float) -> bool:
        """Whether a task that the ledger does not know belongs into it.

        What is listed waits for a complete sweep, and what is looked up beside it waits too, so that the next sweep
        still finds the ground where this one stopped. What is looked up was asked for. And listed ends before the floor
        have been counted, or never shall be.
        """
        if sweep.listed and not sweep.complete:
            return False
        if observation.id in sweep.looked_up or not observation.state.is_end:
            return True
        placed = believed(observation, at).placed
        return placed is None or placed >= floor

    def _newcomer(self, observation: Observation, at: float, is_listed: bool) -> Task:
        appeared = is_listed and self.polled is not None and at - self.polled <= self._patience
        if appeared and self.polled is not None and observation.submitted is not None:
            # What the vendor says was there long before did not just appear: the list was blank, or a clock is off.
            appeared = observation.submitted >= self.polled - self._patience - CLOCK_SKEW
        return Task(observation.id, observation.state, first_seen=at, changed=at, appeared=appeared)

    def _advance(self, task: Task, observation: Observation, at: float, growth: Growth) -> Task:
        """The task after an observation; what it adds to the counters goes into `growth`."""
        is_new = task.id not in self.in_flight
        times = believed(observation, at)
        rejected = {f"rejected_{name}" for name in times.rejected}
        for unmapped in observation.unmapped - task.told:
            growth.counts.add("unmapped_values_total", unmapped)
        if rejected - task.told:
            growth.counts.add("rejected_timestamps_total", by=len(rejected - task.told))
        after = self._moved(task, observation, times, at, is_new)
        after = replace(after, told=task.told | observation.unmapped | rejected)
        after = self._queue_counted(after, growth, at)
        if after.state.is_end:
            self._count_end(after, growth, at)
        return after if after != task or is_new else task

    def _moved(self, task: Task, observation: Observation, times: Times, at: float, is_new: bool) -> Task:
        """The task as the observation shows it, with the times at which it was seen to start and to end."""
        state = observation.state
        changed = is_new or state is not task.state or observation.progress != task.progress
        witnessed = self._witnessed(task, is_new, at)
        # Out of `blocked` and `unknown` a task may go on with what it had begun before.
        starts = state is State.RUNNING and task.seen_started is None and (is_new or task.state is State.QUEUED)
        ends = state.is_end and not is_new
        return replace(
            task,
            state=state,
            reason=observation.reason,
            progress=observation.progress,
            changed=at if changed else task.changed,
            submitted=times.submitted if times.submitted is not None else task.submitted,
            started=times.started if times.started is not None else task.started,
            ended=times.ended if state.is_end else None,
            dated=times.dated if times.dated is not None else task.dated,
            seen_started=at if starts and witnessed else task.seen_started,
            seen_ended=at if ends and witnessed else task.seen_ended,
            output_seconds=observation.output_seconds,
            missing=0,
        )

    def _witnessed(self, task: Task, is_new: bool, at: float) -> bool:
        """Whether the last look at the task is so close that what has changed since can be dated by this one."""
        if is_new:
            return task.appeared
        return at - self.last_seen.get(task.id, 0.0) <= self._patience

    def _queue_counted(self, task: Task, growth: Growth, at: float) -> Task:
        """Counts the time in the queue once, as soon as it is known for good.

        Where the vendor gives times, its start may still come; so ours stands in only at the end.
        """
        if "queue" in task.told or task.state is State.LOST:
            return task
        if self.clock is Clock.PROVIDER and task.started is None and not task.state.is_end:
            return task
        if not growth.measure(Phase.QUEUE, task, at):
            return task
        return replace(task, told=task.told | {"queue"})

    def _count_end(self, task: Task, growth: Growth, at: float) -> None:
        growth.counts.add("finished_total", task.state)
        if task.state is State.FAILED:
            growth.counts.add("failures_total", task.reason or Reason.UNKNOWN)
        if task.output_seconds:
            growth.counts.add("output_seconds_total", by=task.output_seconds)
        if task.placed_at is not None:
            key = ("last_finished_timestamp_seconds", task.state)
            growth.counts[key] = max(growth.counts[key], task.placed_at)
        if task.state not in MEASURED_ENDS:
            return
        if "queue" not in task.told:
            growth.counts.add("unmeasured_durations_total", Phase.QUEUE)
        for phase in (Phase.RUN, Phase.TOTAL):
            if not growth.measure(phase, task, at):
                growth.counts.add("unmeasured_durations_total", phase)

    def _missed(self, missing: Collection[str], now: float, growth: Growth) -> Iterable[Task]:
        for task_id in missing:
            task = self.in_flight.get(task_id)
            if task is None:
                continue
            after = replace(task, missing=task.missing + 1)
            if after.missing >= LOST_AFTER:
                after = replace(after, state=State.LOST, reason=None, seen_ended=now, changed=now)
                self._count_end(after, growth, now)
            yield after


class Ledger:
    """The books of all feeds, and the store behind them."""

    def __init__(self, store: Store, retention: float) -> None:
        self.store = store
        self._retention = retention
        self._books: dict[tuple[str, str], Book] = {}
        self._writing = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    def open(self, provider: str, kind: str, clock: Clock, settings: PollSettings, now: float) -> Book:
        """The book of a feed, out of the store the first time. Raises StoreError."""
        book = self._books.get((provider, kind))
        if book is None:
            record = self.store.load(provider, kind)
            recent = self.store.ended_since(provider, kind, now - settings.recent_window)
            book = Book(provider, kind, clock, settings, self._retention, record, recent)
            self._books[provider, kind] = book
        book.settings, book.interval = settings, settings.poll_interval
        book.retention = max(self._retention, settings.history, settings.recent_window)
        return book

    async def ended_among(self, book: Book, ids: Collection[str]) -> set[str]:
        """Which of these tasks have ended already, as far as the ledger knows. Raises StoreError."""
        unknown = [task_id for task_id in ids if task_id not in book.in_flight]
        if not unknown:
            return set()
        return await self._in_store(self.store.ended_among, book.provider, book.kind, unknown)

    async def record(self, book: Book, sweep: Sweep, now: float, keep: Collection[str] = ()) -> Settled:
        """Settles a sweep, commits it and takes it over; the ids to `keep` are not forgotten. Raises StoreError.

        Once begun it is carried through, also when the caller is cancelled: a commit that the book does not know of
        would count the same ends again.
        """
        return await asyncio.shield(asyncio.create_task(self._record(book, sweep, now, frozenset(keep))))

    async def _record(self, book: Book, sweep: Sweep, now: float, keep: frozenset[str]) -> Settled:
        async with self._writing:
            forgotten: list[str] = []
            if sweep.complete and book.horizon is not None:
                limit = min(book.horizon, now - book.retention) - REMEMBERED_LONGER
                at_once = FORGET_AT_ONCE + len(keep)
                old = await self._in_store(self.store.ended_before, book.provider, book.kind, limit, at_once)
                forgotten = [task_id for task_id in old if task_id not in keep]
            # Asked again here, where nothing else can be written in between: after a reload the old loop's last commit
            # may have ended a task since the new loop read its page.
            unsure = {*sweep.listed, *sweep.looked_up} - sweep.ended_before
            sweep.ended_before |= await self.ended_among(book, unsure)
            settled = book.settle(sweep, now, forgotten)
            await self._in_store(self.store.commit, settled.changes)
            book.adopt(settled)
            return settled

    async def close(self) -> None:
        """Closes the store once what is being written has been written."""
        async with self._writing:
            await self._in_store(self.store.close)
            self._thread.shutdown(wait=False)

    async def _in_store(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Calls the store in its own thread: neither the event loop waits for the disk, nor the disk for a slow DNS."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(call, *arguments, **named))
