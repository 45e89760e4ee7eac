"""Turns at something slow: one at a time, shared fairly among those who ask, with a bound on how many wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable, Sequence
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
    one among its groups, and so on; within the narrowest they come in order.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = False
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._last: dict[Hashable, int] = {}

    @asynccontextmanager
    async def one(self, *groups: Hashable) -> AsyncIterator[None]:
        """A turn for a member of these groups. Raises Busy for the last of the largest group when too many wait."""
        paths = [groups[: depth + 1] for depth in range(len(groups))]
        if self._taken:
            await self._wait(_Waiting(paths))
        self._taken = True
        self._count += 1
        if len(self._last) > KEPT:
            self._last.clear()
        self._last |= dict.fromkeys(paths, self._count)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, newcomer: _Waiting) -> None:
        self._waiting.append(newcomer)
        if len(self._waiting) > self._most:
            sizes = Counter(group for one in self._waiting for group in one.groups)
            last = max(reversed(self._waiting), key=lambda one: [sizes[group] for group in one.groups])
            self._waiting.remove(last)
            last.turn.set_exception(Busy())
        try:
            await newcomer.turn
        except asyncio.CancelledError:
            if newcomer in self._waiting:
                self._waiting.remove(newcomer)
            elif not newcomer.turn.cancelled():  # the turn came at the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        self._taken = False
        if self._waiting:
            chosen = min(self._waiting, key=lambda one: [self._last.get(group, 0) for group in one.groups])
            self._waiting.remove(chosen)
            self._taken = True
            chosen.turn.set_result(None)
