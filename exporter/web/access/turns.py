"""Turns at something slow: one at a time, shared fairly among those who ask, with a bound on how many wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

KEPT = 1000
"""Groups of which it is kept when they had their last turn."""


class Busy(Exception):
    """More wait than may."""


@dataclass(eq=False)
class _Waiting:
    groups: Sequence[Hashable]
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Turns:
    """One turn at a time. The next one is of the group that has gone longest without, so that no crowd takes them all.

    Each who waits is in groups within groups, the widest first: turns go around among the widest groups, within such a
    one among its groups, and so on. Within the narrowest the first and the last to come alternate: the wait is bounded,
    and a newcomer does not wait for a whole crowd. When too many wait, one in the middle of the largest group is sent
    away.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = False
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._last: dict[Hashable, int] = {}
        self._had: Counter[Hashable] = Counter()

    @asynccontextmanager
    async def one(self, *groups: Hashable) -> AsyncIterator[None]:
        """A turn for a member of these groups. Raises Busy for one that is sent away."""
        paths = [groups[: depth + 1] for depth in range(len(groups))]
        if self._taken:
            await self._wait(_Waiting(paths))
        self._taken = True
        self._note(paths)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, newcomer: _Waiting) -> None:
        self._waiting.append(newcomer)
        if len(self._waiting) > self._most:
            sizes = Counter(group for one in self._waiting for group in one.groups)
            largest = _firsts(self._waiting, lambda group: -sizes[group])
            unlucky = largest[len(largest) // 2]
            self._waiting.remove(unlucky)
            if not unlucky.turn.done():
                unlucky.turn.set_exception(Busy())
        try:
            await newcomer.turn
        except asyncio.CancelledError:
            if newcomer in self._waiting:
                self._waiting.remove(newcomer)
            elif (turn := newcomer.turn).done() and not (turn.cancelled() or turn.exception()):  # at the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._taken = False
        waiting = [one for one in self._waiting if not one.turn.done()]  # the others have been cancelled
        if waiting:
            nexts = _firsts(waiting, lambda group: self._last.get(group, 0))
            chosen = nexts[-(self._had[nexts[0].groups[-1]] % 2)]
            self._waiting.remove(chosen)
            self._taken = True
            chosen.turn.set_result(None)

    def _note(self, groups: Sequence[Hashable]) -> None:
        if len(self._last) > KEPT:
            self._last.clear()
            self._had.clear()
        self._count += 1
        self._last |= dict.fromkeys(groups, self._count)
        self._had[groups[-1]] += 1


def _firsts(waiting: Sequence[_Waiting], rank: Callable[[Hashable], int]) -> list[_Waiting]:
    """Those of the narrowest group that ranks first within groups that do, in the order in which they came."""
    first = min(waiting, key=lambda one: [rank(group) for group in one.groups]).groups[-1]
    return [one for one in waiting if one.groups[-1] == first]
