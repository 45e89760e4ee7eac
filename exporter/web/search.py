"""Searches through all tasks run in one thread, one at a time, on data that does not change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from exporter.web.access.turns import Turns

WAITING = 32
"""Searches that may wait for their turn."""

# One, since threads that compute take turns with the event loop: two would hold it up for twice as long.
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="search")

T = TypeVar("T")


class Searches:
    """Runs searches one at a time, and lets addresses take turns."""

    def __init__(self) -> None:
        self._turns = Turns(WAITING)

    async def run(self, search: Callable[[], T], address: str) -> T:
        """What `search` finds, called in another thread. Raises Busy if too many wait."""
        async with self._turns.one(address):
            return await asyncio.get_running_loop().run_in_executor(_THREAD, search)
