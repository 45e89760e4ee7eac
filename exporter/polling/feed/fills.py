"""Ends that one answer shows, and only another in full: why a task failed, how long the clip is, when it ended.

What a list shows and only a look-up completes is counted when the look-up has answered, or has failed three times.
Until then a task that is known stays as it is, and a new one is kept among the ids that were asked for, so that a
restart loses none. What a look-up shows and only the list dates waits for the list.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from exporter.client.client import CONCURRENCY
from exporter.client.errors import CallError, TaskNotFound
from exporter.ledger.counting.times import believed
from exporter.ledger.ledger import Ledger
from exporter.ledger.sweep import AS_BEFORE, Sweep
from exporter.ledger.tracker import STALE_AFTER, Tracker
from exporter.polling.feed.look_ups import Round
from exporter.tasks import Observation
from exporter.vendors.vendor import Feed, filled, lacks

TRIES = 3
"""Look-ups that may fail before an end is counted as the list shows it."""

OLD_ONES = 100_000
"""Most ends from before the history that are remembered, so that they are not asked for again."""

FORGOTTEN_AFTER = 86400.0
"""Seconds for which it is remembered when a look-up first showed an end that no list shows."""


@dataclass
class _Held:
    """An end that is waiting for its look-up."""

    listed: Observation
    at: float
    tries: int = 0
    told: Observation | None = None
    """The end in full; it waits for a sweep that is complete."""
    kept: bool = False
    """Whether the ledger has the id among those that were asked for."""


class Fills:
    """The ends of one feed that wait for their look-ups."""

    def __init__(
        self,
        feed: Feed,
        tracker: Tracker,
        ledger: Ledger,
        ask: Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[Observation]]]],
    ) -> None:
        """`ask` looks ids up; it raises CallError."""
        self._feed = feed
        self._tracker = tracker
        self._ledger = ledger
        self._ask = ask
        self._held: dict[str, _Held] = {}
        self._old: dict[str, None] = {}
        """Ends that only their look-ups date, before the history: the ledger keeps nothing of them."""

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._held

    def knows(self, task_id: str) -> bool:
        """Whether it waits, or is known to be too old to count."""
        return task_id in self._held or task_id in self._old

    def __len__(self) -> int:
        return len(self._held)

    def completed(self, sweep: Sweep, observations: Sequence[Observation], at: float) -> Sequence[Observation]:
        """The observations of a page without the ends that have to wait; those of known tasks show them as before."""
        if not self._feed.fills:
            return observations
        shown = []
        for one in observations:
            if one.id in self._old:
                continue
            if one.id not in self._held and (one.id in sweep.ended_before or not self._is_news(one, at)):
                shown.append(one)
                continue
            self._held.setdefault(one.id, _Held(one, at))
            if one.id in self._tracker.known:
                sweep.listed.setdefault(one.id, (AS_BEFORE, at))
        return shown

    def final(self, observations: Sequence[Observation]) -> Sequence[Observation]:
        """The rows of a list that are final, since no look-up says more."""
        if not self._feed.fills:
            return observations
        return [one for one in observations if not (one.state.is_end and lacks(one, self._feed.fills))]

    def _is_news(self, one: Observation, at: float) -> bool:
        """Whether it is an end that will be counted, and of which a look-up may say more."""
        if not one.state.is_end or not lacks(one, self._feed.fills):
            return False
        placed = None if one.id in self._tracker.in_flight else believed(one, at).placed
        return placed is None or placed >= self._tracker.floor(at)

    async def ask(self, sweep: Sweep, until: float) -> None:
        """Looks the waiting ends up, until a moment of monotonic time, and shows those that are complete in the sweep.

        Raises StoreError.
        """
        await self._round(until)
        for task_id, held in self._held.items():
            if held.told is not None:
                sweep.listed[task_id] = held.told, held.at
        new = [task_id for task_id, held in self._held.items() if held.told is None and not held.kept]
        new = [task_id for task_id in new if task_id not in self._tracker.in_flight]
        if new:
            await self._ledger.store.watch(*self._tracker.feed, new, time.time())
            for task_id in new:
                self._held[task_id].kept = True

    async def _round(self, until: float) -> None:
        batches, made = iter(self._batches()), Round(until)

        async def work() -> None:
            for ids in batches:
                if made.is_over:
                    return
                await self._look_up(made, ids)

        await asyncio.gather(*(work() for _ in range(min(CONCURRENCY, len(self._held)))))
        if made.is_in_vain:  # whichever is asked for, nothing is answered: a try of them all
            for held in self._waiting.values():
                held.tries += 1
        for held in self._waiting.values():
            if held.tries >= TRIES:
                held.told = held.listed

    @property
    def _waiting(self) -> Mapping[str, _Held]:
        return {task_id: held for task_id, held in self._held.items() if held.told is None}

    def _batches(self) -> Iterator[Sequence[str]]:
        """The ids of each look-up. What has failed once is asked for alone: one may have spoilt it for the others."""
        fresh = iter([task_id for task_id, held in self._waiting.items() if not held.tries])
        tried = [[task_id] for task_id, held in self._waiting.items() if held.tries]
        yield from iter(lambda: list(islice(fresh, self._feed.batch)), [])
        yield from tried

    async def _look_up(self, made: Round, ids: Sequence[str]) -> None:
        found: Mapping[str, Sequence[Observation]] = {}
        try:
            found = await self._ask(ids)
        except CallError as error:
            if made.stops(error):
                return
            made.failures[ids[0]] = error
        except TaskNotFound:
            made.answered += 1
        else:
            made.answered += 1
        for task_id in ids:
            held = self._held[task_id]
            held.tries += 1
            detail = next((one for one in found.get(task_id, ()) if one.id == task_id), None)
            if detail is not None and detail.state.is_end:
                held.told = filled(held.listed, detail, self._feed.fills)

    def settle(self) -> Sequence[Observation]:
        """Drops those that a complete sweep has shown, once they are in the ledger or known to be too old for it.

        Returns them.
        """
        told = [held.told for held in self._held.values() if held.told]
        for task_id, held in self._held.items():
            placed = believed(held.told, held.at).placed if held.told else None
            if placed is not None and placed < self._tracker.floor(held.at) and len(self._old) < OLD_ONES:
                self._old[task_id] = None
        self._held = dict(self._waiting)
        return told


class Undated:
    """The ends of one feed that a look-up has shown, and that only the list dates, once it shows them.

    They wait for at most three intervals: a shorter list never shows them.
    """

    def __init__(self, feed: Feed, tracker: Tracker) -> None:
        self._feed = feed
        self._tracker = tracker
        self._since: dict[str, float] = {}

    def put_off(self, sweep: Sweep) -> None:
        """Leaves the tasks of a sweep whose ends have to wait as they were."""
        if not self._feed.lists_ends_alone:
            return
        patience = STALE_AFTER * self._tracker.interval
        for task_id, (shown, at) in sweep.looked_up.items():
            if not shown.state.is_end or shown.ended is not None or task_id in sweep.listed:
                continue
            if 0 <= at - self._since.setdefault(task_id, at) < patience:
                sweep.looked_up[task_id] = AS_BEFORE, at
                sweep.finished.discard(task_id)
        if sweep.complete:
            self._since = {one: at for one, at in self._since.items() if self._waits(one, at, sweep)}

    def _waits(self, task_id: str, since: float, sweep: Sweep) -> bool:
        at = sweep.looked_up.get(task_id, (None, since))[1]
        return task_id not in sweep.listed and at - since < FORGOTTEN_AFTER
