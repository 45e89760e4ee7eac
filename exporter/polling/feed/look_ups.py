"""The look-ups of one feed: several at a time, within a bound of time, and which ids a failure is blamed on.

A look-up that fails concerns its id alone as long as something else of the vendor answers: the list, or another
look-up. An id that only fails, or that the vendor does not know, is retried with growing delays, so that it costs the
others nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from exporter.client.client import CONCURRENCY
from exporter.client.errors import (
    CallError,
    ContractBroken,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    TimedOut,
    VendorFailed,
)
from exporter.ledger.ledger import Ledger
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import STALE_AFTER, Tracker
from exporter.polling.watch import Following
from exporter.snapshot import LookUpState
from exporter.tasks import Cause, Observation
from exporter.vendors.vendor import Provider

SEVERAL = 3
"""Tasks in flight whose look-ups must fail, and none be answered, for that to be more than the trouble of each."""

GIVE_UP = 8
"""Failed look-ups without a single answer that end a round: more of them would say nothing new about the feed."""

PATIENCE = 5
"""Failed look-ups for which an id is retried in every round; from then on the delay doubles."""

LONGEST_GAP = 600.0
"""Seconds between two look-ups of an id that only fails, or that the vendor does not know."""

LONGEST_COSTLY_GAP = 86400.0
"""The same for an id whose look-up earns a pause of the whole account each time."""

NAMED = 6
"""Ids that the vendor does not know that are named: there may be thousands."""

NEW_AT_ONCE = CONCURRENCY // 2
"""New ids looked up at the same time where a provider has several feeds: those that hang leave the others places."""

SHARE_OF_NEW = 0.25
"""The part of an interval that new ids get in any case, however long the tasks in flight took."""


class Reluctance:
    """The ids of one feed that are asked less often, and from when on each may be asked again. Times are Unix times."""

    def __init__(self, batch: int = 1) -> None:
        """`batch` ids may be asked for at once."""
        self._batch = batch
        self._failing: dict[str, tuple[int, float]] = {}
        self._unknown: dict[str, tuple[int, float]] = {}
        self._sizes: dict[str, int] = {}  # of the batches in which ids are asked for whose last batch failed

    def state(self, unread: int) -> LookUpState:
        """How the ids stand, of which so many have still to be looked up for the first time."""
        return LookUpState(unread, tuple(self._failing), len(self._unknown), tuple(islice(self._unknown, NAMED)))

    def failed(self, task_id: str, now: float, interval: float, cost: float = 0.0, longest: float = 0.0) -> None:
        """A look-up has failed, and kept others waiting for `cost` seconds; the gap grows with those at once."""
        tries = self._failing.get(task_id, (0, 0.0))[0] + 1
        costly = min(cost * 2.0 ** min(tries, 30), longest)
        self._failing[task_id] = tries, now + max(_gap(tries, interval), costly)

    def failed_together(self, ids: Sequence[str]) -> None:
        """A look-up of several ids has failed. Whether that is one's fault shows where it is asked for with fewer."""
        self._sizes.update(dict.fromkeys(ids, len(ids) // 2))

    def batches(self, ids: Iterable[str]) -> Iterator[Sequence[str]]:
        """The ids in batches, in the order that they came in as far as those are of the same size."""
        begun: dict[int, list[str]] = {}
        for task_id in ids:
            size = self._sizes.get(task_id, self._batch)
            begun.setdefault(size, []).append(task_id)
            if len(begun[size]) >= size:
                yield begun.pop(size)
        yield from begun.values()

    def denied(self, task_id: str, now: float, interval: float) -> None:
        """The vendor does not know the id."""
        self._failing.pop(task_id, None)
        self._sizes.pop(task_id, None)
        tries = self._unknown.get(task_id, (0, 0.0))[0] + 1
        self._unknown[task_id] = tries, now + _gap(tries, interval)

    def shown(self, task_id: str) -> None:
        self._failing.pop(task_id, None)
        self._unknown.pop(task_id, None)
        self._sizes.pop(task_id, None)

    def keep(self, ids: Collection[str]) -> None:
        """Forgets all others."""
        self._failing = {task_id: since for task_id, since in self._failing.items() if task_id in ids}
        self._unknown = {task_id: since for task_id, since in self._unknown.items() if task_id in ids}
        self._sizes = {task_id: size for task_id, size in self._sizes.items() if task_id in ids}

    def waits(self, task_id: str, now: float) -> bool:
        """Whether it is too early to ask for the id; never for longer than a clock that was set back allows."""
        _, at = self._failing.get(task_id) or self._unknown.get(task_id) or (0, 0.0)
        return now < at <= now + LONGEST_COSTLY_GAP

    def part(self, ids: Iterable[str], now: float) -> tuple[list[str], list[str]]:
        """Parts ids into those that may be asked for now and those that wait, each in the order that they came in."""
        every = list(ids)
        if not (self._failing or self._unknown):
            return every, []
        waiting = {task_id for task_id in every if self.waits(task_id, now)}
        return [one for one in every if one not in waiting], [one for one in every if one in waiting]


def _gap(tries: int, interval: float) -> float:
    """Seconds to the next look-up; a sweep comes a little sooner or later than an interval after the one before."""
    if tries < PATIENCE:
        return 0.0
    return min(interval * (2.0 ** min(tries - PATIENCE + 1, 30) - 0.25), max(LONGEST_GAP, interval))


@dataclass
class Round:
    """What became of some look-ups."""

    until: float
    """The moment of monotonic time at which it ends, once something has come of it."""
    gives_up: bool = True
    """Whether many failures and not one answer end it too."""
    asked: set[str] = field(default_factory=set)
    answered: int = 0
    """How many brought an answer, if only that the vendor does not know the task."""
    failures: dict[str, CallError] = field(default_factory=dict)
    alone: set[str] = field(default_factory=set)
    """Those whose own look-up failed, not one of several."""
    stopped: CallError | None = None
    """What allows no look-up at all now: the vendor has asked for a pause, or there is no token."""

    def stops(self, error: CallError) -> bool:
        """Takes in a failure, if nothing was asked at all, for these ids or any other."""
        if error.endpoint == "token" or (isinstance(error, RateLimited) and not error.endpoint):
            self.stopped = error
        return self.stopped is error

    @property
    def is_in_vain(self) -> bool:
        """Whether there are so many failures, and not one answer, that more would say nothing new."""
        return not self.answered and len(self.failures) >= GIVE_UP

    @property
    def is_over(self) -> bool:
        """Whether no further look-up is to be made."""
        if self.stopped or (self.gives_up and self.is_in_vain):
            return True
        return bool(self.answered or self.failures) and time.monotonic() >= self.until

    @property
    def error(self) -> CallError | None:
        """What it failed of as a whole: nothing was answered."""
        return None if self.answered else self.stopped or next(iter(self.failures.values()), None)


_OF_ONE = (RequestInvalid, ContractBroken, VendorFailed)
"""Failures of a batch that one of its ids may be to blame for."""


def _halves(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[len(ids) // 2 :], ids[: len(ids) // 2]]


class LookUps:
    """The look-ups of one feed."""

    def __init__(
        self,
        provider: Provider,
        tracker: Tracker,
        ledger: Ledger,
        following: Following,
        ask: Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[Observation]]]],
        wall_clock: Callable[[], float],
        batch: int = 1,
    ) -> None:
        """`ask` looks up to `batch` ids up and leaves out those that the vendor does not know; it raises CallError."""
        self.reluctance = Reluctance(batch)
        self._provider = provider
        self._tracker = tracker
        self._ledger = ledger
        self._following = following
        self._ask = ask
        self._wall_clock = wall_clock
        self._since = wall_clock()
        self._new_wait_until = 0.0
        self._in_vain = 0

    @property
    def new_may_be_asked(self) -> bool:
        """Whether new ids have their turn: not while those before them did nothing but hold others up."""
        return not self._wall_clock() < self._new_wait_until <= self._wall_clock() + LONGEST_COSTLY_GAP

    async def new(self, sweep: Sweep, ids: Sequence[str], until: float) -> Round:
        """Looks ids up that are no tasks in flight yet, until a moment of monotonic time. The vendor answers now."""
        round_ = await self.round(sweep, ids, until, is_up=True, are_new=True)
        cost = max((self._cost(error) for error in round_.failures.values()), default=0.0)
        self._in_vain = self._in_vain + 1 if cost and not round_.answered else 0
        if self._in_vain:
            wait = min(cost * 2.0 ** min(self._in_vain, 30), LONGEST_COSTLY_GAP)
            self._new_wait_until = self._wall_clock() + wait
        return round_

    async def round(
        self,
        sweep: Sweep,
        ids: Sequence[str],
        until: float,
        instead: Sequence[str] = (),
        *,
        is_up: bool,
        are_new: bool = False,
    ) -> Round:
        """Looks ids up, until a moment of monotonic time; a few are asked for in any case.

        As long as none is answered, the ids that can do `instead` follow. `is_up` says that the vendor answers
        otherwise: then what fails is blamed on the ids. Of ids that `are_new` a provider of several feeds is asked for
        fewer at the same time, but all have their turn, whatever becomes of the first ones.
        """
        batches = self.reluctance.batches
        waiting = chain(((False, each) for each in batches(ids)), ((True, each) for each in batches(instead)))
        made = Round(until, gives_up=not are_new)

        async def work() -> None:
            for is_instead, batch in waiting:
                if (made.answered and is_instead) or made.is_over:
                    return
                await self._look_up(made, sweep, batch)

        places = NEW_AT_ONCE if are_new and len(self._provider.feeds) > 1 else CONCURRENCY
        await asyncio.gather(*(work() for _ in range(min(places, len(ids) or 1))))
        self._blame(made, is_up)
        return made

    async def _look_up(self, made: Round, sweep: Sweep, ids: Sequence[str]) -> None:
        """Looks ids up together. Where that fails of one of them, or leaves some out, fewer are asked for at once."""
        batches = [ids]
        while batches and not made.is_over:
            batch = batches.pop()
            try:
                found = await self._ask(batch)
            except TaskNotFound:  # it does not know them all, or one of them
                if len(batch) > 1:
                    batches += _halves(batch)
                else:
                    await self._answered(made, sweep, batch, {})
            except CallError as error:
                if len(batch) > 1 and isinstance(error, _OF_ONE):
                    batches += _halves(batch)
                else:
                    self._failed(made, sweep, batch, error)
            else:
                left_out = [task_id for task_id in batch if task_id not in found]
                if found and left_out:  # an answer may be cut short: what it leaves out is no less known than that
                    batches.append(left_out)
                    batch = [task_id for task_id in batch if task_id in found]
                await self._answered(made, sweep, batch, found)

    def _failed(self, made: Round, sweep: Sweep, ids: Sequence[str], error: CallError) -> None:
        if made.stops(error):
            return
        if len(ids) == 1:
            made.alone.update(ids)
        else:
            self.reluctance.failed_together(ids)
        for task_id in ids:
            sweep.unanswered.add(task_id)
            made.failures[task_id] = error
            made.asked.add(task_id)
            self._following.looked_up(task_id)

    async def _answered(
        self, made: Round, sweep: Sweep, ids: Sequence[str], found: Mapping[str, Sequence[Observation]]
    ) -> None:
        shown = [one for task_id in ids for one in found.get(task_id, ())]
        if shown:
            sweep.ended_before |= await self._ledger.ended_among(self._tracker, [one.id for one in shown])
            sweep.show(shown, self._wall_clock(), listed=False)
        for task_id in ids:
            if task_id in found:
                self._take(sweep, task_id, found[task_id])
            else:
                sweep.not_found.add(task_id)
                if task_id not in self._tracker.in_flight:
                    self.reluctance.denied(task_id, self._wall_clock(), self._tracker.interval)
            made.asked.add(task_id)
            self._following.looked_up(task_id)
            made.answered += 1

    def _take(self, sweep: Sweep, task_id: str, observations: Sequence[Observation]) -> None:
        """Notes what a look-up has shown for an id."""
        self.reluctance.shown(task_id)
        if observations and task_id not in sweep.looked_up:
            sweep.replaced.add(task_id)
        if all(sweep.looked_up[one.id][0].state.is_end for one in observations):
            sweep.finished.add(task_id)

    def _blame(self, made: Round, is_up: bool) -> None:
        """Has ids whose look-ups failed wait, unless it may be no fault of theirs."""
        few = sum(task_id in self._tracker.in_flight for task_id in made.failures) < SEVERAL
        now = self._wall_clock()
        for task_id in made.alone:
            error = made.failures[task_id]
            if made.answered or (is_up and (few or task_id not in self._tracker.in_flight)):
                longest = LONGEST_COSTLY_GAP if isinstance(error, RateLimited) else LONGEST_GAP
                self.reluctance.failed(task_id, now, self._tracker.interval, self._cost(error), longest)

    def _cost(self, error: CallError) -> float:
        """Seconds for which a failed look-up has kept others waiting."""
        if isinstance(error, RateLimited) or error.retry_after is not None:
            return max(error.retry_after or 0.0, self._provider.client.limit.pause_left)
        return self._provider.settings.request_timeout if isinstance(error, TimedOut) else 0.0

    def shortfall(self, sweep: Sweep, tasks: Sequence[str], made: Round) -> CallError | None:
        """Why tasks in flight that were to be looked up are not known well enough for the feed to count as up."""
        limit = self._wall_clock() - self._tracker.freshness - self._tracker.interval / 4
        old = [
            task_id
            for task_id in tasks
            if not sweep.saw(task_id) and max(self._tracker.last_seen.get(task_id, 0.0), self._since) < limit
        ]
        failed = [made.failures[task_id] for task_id in old if task_id in made.failures]
        if not made.answered and len(failed) >= SEVERAL:
            return failed[0]
        unasked = sum(task_id not in made.asked for task_id in old)
        if not unasked:
            return None
        return made.stopped or RateLimited(
            f"{unasked} of {len(self._tracker.in_flight)} tasks in flight could not be looked up "
            f"within {STALE_AFTER} poll intervals",
            cause=Cause.SLOW,
        )
