"""Which tasks a feed follows by id: those named under watch, those that were asked for, those in flight.

Requested ids stay in the ledger until the end of their task is there, or until the vendor has not known them for
a day: then they are dropped. Other sources of ids withdraw their own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import ParamSpec, TypeVar

from exporter.config.models import Secret
from exporter.ledger.errors import TooMany
from exporter.ledger.ledger import Ledger
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import Tracker
from exporter.polling.watch.sources import Watch
from exporter.tasks import Verdict

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

GIVE_UP_AFTER = 86400.0
"""Seconds for which the vendor must deny a requested id, without any other news of it, before it is dropped."""

MANY = 1000
"""Ids above which work on all of them runs in a thread; for fewer, the thread costs more than the work."""

APART = 1.0
"""Seconds between two bunches of look-ups that do not wait for a sweep: a flood of requests causes few calls."""


class Following:
    """The ids of one feed, and which of them need a look-up."""

    def __init__(
        self,
        watch: Watch,
        ledger: Ledger,
        tracker: Tracker,
        *,
        lists: bool,
        wall_clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lists`: the feed can be listed, then what is new there waits for the next sweep."""
        self.ids: Sequence[str] = ()
        """The ids that are watched or were asked for, as far as the last sweep has read them."""
        self.hinted: Collection[str] = ()
        """Ids that were to be looked up at once, and that a sweep has to bring because it came first."""
        self._watch = watch
        self._ledger = ledger
        self._tracker = tracker
        self._lists = lists
        self._wall_clock = wall_clock
        self._ticks = ticks
        self._asked_for: set[str] = set()
        self._finished: set[str] = set()  # ids that need no look-up any more
        self._looked_up: dict[str, float] = {}  # when each id that is followed was last looked up, well or not
        self._unread: set[str] = set()
        self._sources: Sequence[Sequence[str]] = ()
        self._called_back: set[str] = set()  # of those that were asked for: only a callback has named them
        self._denied: dict[str, float] = {}  # since when the vendor has not known an id that was asked for
        self._taking = asyncio.Lock()
        self._hurried: dict[str, None] = {}
        self._hurry = asyncio.Event()
        self._hurried_at = ticks() - APART

    async def read(self) -> None:
        """Reads the ids for a sweep. Raises StoreError."""
        self.hinted = frozenset(self._hurried)  # the sweep brings them; those that come from here on wait for its end
        self._hurried.clear()
        self._hurry.clear()
        watched = await self._watch.sources(self._tracker.kind)
        asked_for = await self._ledger.store.watched(*self._tracker.feed)
        self._asked_for = set(asked_for)
        self._called_back &= self._asked_for
        asked = [one for one in asked_for if one not in self._called_back]
        self._sources = [*watched, asked, [one for one in asked_for if one in self._called_back]]
        self.ids = await _aside(sum(map(len, self._sources)), _each_once, self._sources)

    async def due(self, sweep: Sweep) -> tuple[list[str], list[str]]:
        """The tasks in flight that no page showed, and the new ids to look up.

        Of the tasks the longest unasked come first. Of the new ids those of each source in turn: one source may name
        thousands that no vendor knows. Raises StoreError.
        """
        size = sum(map(len, self._sources)) + len(self._tracker.in_flight)
        self._finished, new = await _aside(size, _unfinished, self.ids, self._finished, set(self._tracker.in_flight))
        ended = await self._ledger.ended_among(self._tracker, new)
        self._finished |= ended
        seen = ended | sweep.listed.keys()
        last = dict(self._looked_up)
        tasks = {one: max(at, last.get(one, 0.0)) for one, at in self._tracker.last_seen.items() if not sweep.saw(one)}

        def ordered() -> tuple[list[str], list[str], set[str]]:
            in_turn = _in_turn(self._sources, new, seen, last)
            return sorted(tasks, key=tasks.__getitem__), in_turn, set(in_turn)

        in_flight, in_turn, open_ids = await _aside(size, ordered)
        self._unread = open_ids - last.keys()
        self._looked_up = {one: at for one, at in self._looked_up.items() if one in open_ids or one in tasks}
        return in_flight, in_turn

    @property
    def unread(self) -> int:
        """How many ids have still to be looked up for the first time."""
        return len(self._unread)

    def looked_up(self, task_id: str) -> None:
        """Notes that an id was looked up, well or not."""
        self._looked_up[task_id] = self._wall_clock()
        self._unread.discard(task_id)

    async def settle(self, sweep: Sweep) -> None:
        """Takes over what a sweep has shown, once it is in the ledger, and lets ids go. Raises StoreError."""
        shown = sweep.listed | sweep.looked_up
        # Also an end that a list shows, but that is too old to be counted.
        listed_ends = {one for one in self._asked_for & sweep.listed.keys() if sweep.listed[one][0].state.is_end}
        self._finished |= sweep.finished | listed_ends
        now = self._ticks()
        self._denied = {
            task_id: at for task_id, at in self._denied.items() if task_id in self._asked_for - shown.keys()
        }
        for task_id in sweep.not_found & self._asked_for:
            self._denied.setdefault(task_id, now)
        given_up = {one for one in sweep.not_found & self._denied.keys() if now - self._denied[one] >= GIVE_UP_AFTER}
        gone = self._asked_for & (self._finished | given_up)
        if gone:
            await self._ledger.store.unwatch(*self._tracker.feed, list(gone))
            self._asked_for -= gone
        if given_up:
            about = {"provider": self._tracker.provider, "kind": self._tracker.kind, "ids": len(given_up)}
            log.info("stopped following ids unknown to the vendor for a day", extra=about)

    async def ask_for(self, ids: Iterable[str]) -> Verdict:
        """Follows tasks until their ends are counted, all or none of them; returns when that is on the disk.

        Raises StoreError, TooMany.
        """
        wanted = list(dict.fromkeys(ids))
        async with self._taking:
            ended = await self._ledger.ended_among(self._tracker, wanted)
            asked_for = set(await self._ledger.store.watched(*self._tracker.feed))
            open_ones = [one for one in wanted if one not in ended and one not in self._tracker.in_flight]
            untold = [one for one in open_ones if one not in asked_for]
            room_for(len(untold), len(asked_for), self._watch.limit)
            if untold:
                await self._ledger.store.watch(*self._tracker.feed, untold, self._wall_clock())
            new = self._take(untold)
        return Verdict(new, len(wanted) - new - len(ended), len(ended))

    async def hint(self, ids: Iterable[str]) -> None:
        """Takes a hint at tasks that have changed: a look-up has to confirm it. Raises StoreError, TooMany."""
        hinted, in_flight = set(ids), self._tracker.in_flight
        # What a list has yet to show is left to it: known before its turn, it would end the reading too early.
        followed = {one for one in hinted if one in in_flight}
        if not self._lists and hinted - followed:  # else there is no need to go through all that are followed
            followed |= hinted.intersection(self.ids)
        self._look_soon(followed - self._finished)
        if not self._lists and hinted - followed:
            strange = hinted - followed
            self._called_back |= strange - self._asked_for
            await self.ask_for(sorted(strange))

    async def hear(self, ids: Iterable[str]) -> None:
        """Another replica took ids in, which are in the ledger, and a hint at these. Raises StoreError, TooMany."""
        async with self._taking:
            asked_for = await self._ledger.store.watched(*self._tracker.feed)
            self._take([one for one in asked_for if one not in self._asked_for])
        await self.hint(ids)

    def _take(self, asked_for: Sequence[str]) -> int:
        """Follows ids that are in the ledger, and has them looked up soon; how many of them no source had named."""
        watched = set(self.ids)
        new = [one for one in asked_for if one not in watched]
        self._asked_for.update(asked_for)
        self._unread.update(new)
        self.ids = [*self.ids, *new]
        if not self._lists:
            self._look_soon(new)
        return len(new)

    def _look_soon(self, ids: Iterable[str]) -> None:
        self._hurried.update(dict.fromkeys(ids))
        if self._hurried:
            self._hurry.set()

    async def hurried(self, within: float) -> list[str]:
        """Waits up to so many seconds for ids to be looked up before the next sweep; none if none came."""
        try:
            async with asyncio.timeout(within):
                await self._hurry.wait()
                await asyncio.sleep(self._hurried_at + APART - self._ticks())
        except TimeoutError:
            return []
        self._hurried_at = self._ticks()
        ids = list(self._hurried)
        self._hurried.clear()
        self._hurry.clear()
        return ids


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What takes the vendor's callbacks for one feed."""

    secret: Secret | None
    """What a callback has to bring; without one, none is accepted."""
    id_key: str
    """What the vendor calls a task's id in a callback's body."""
    ids_in: Callable[[object], Sequence[str]]
    """The ids that a body names. Anybody may have sent it."""
    hint: Callable[[Iterable[str]], Awaitable[None]]
    """Has tasks looked up soon. Raises StoreError, TooMany."""


def room_for(new: int, asked_for: int, limit: int) -> None:
    """Raises TooMany where a feed that follows so many ids may not follow as many new ones."""
    room = max(0, limit - asked_for)
    if new > room:
        raise TooMany(
            f"too many: the feed follows {asked_for} ids that were asked for and takes {room} more, not {new}; "
            "wait until tasks have ended, or raise watch.limit"
        )


async def _aside(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs work that grows with the ids in a thread if they are many: sources may name 100,000."""
    return await asyncio.to_thread(work, *args, **kwargs) if size > MANY else work(*args, **kwargs)


def _each_once(sources: Iterable[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(sources)))


def _unfinished(ids: Sequence[str], finished: set[str], in_flight: Collection[str]) -> tuple[set[str], list[str]]:
    """Which of the finished ones are among the ids, and the ids that are neither finished nor in flight."""
    still = finished.intersection(ids)  # the others were taken away
    return still, [one for one in ids if one not in still and one not in in_flight]


def _in_turn(
    sources: Iterable[Sequence[str]], new: Iterable[str], seen: Collection[str], last: Mapping[str, float]
) -> list[str]:
    """The new ids of each source in turn, each once: the longest unasked first, of the sources as of their ids."""
    wanted = set(new).difference(seen)
    queues = []
    for source in sources:
        ids = sorted((one for one in source if one in wanted), key=lambda one: last.get(one, 0.0))
        if ids:
            queues.append((last.get(ids[-1], 0.0), ids))
    queues.sort(key=lambda queue: queue[0])
    rounds = zip_longest(*(ids for _, ids in queues))
    return list(dict.fromkeys(one for turn in rounds for one in turn if one is not None))
