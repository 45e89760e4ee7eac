"""An event loop on which long waits are short: its time leaps to the next timer once nothing else is left to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Selector(selectors.DefaultSelector):
    """Does not wait for a timer but reports how long it would have waited, unless a thread is still at work."""

    def __init__(self, leap: Callable[[float], bool]) -> None:
        super().__init__()
        self._leap = leap

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and self._leap(timeout)):
            return ready
        return super().select(timeout)


class LeapingLoop(asyncio.SelectorEventLoop):
    """Its time is what `asyncio.sleep` and `asyncio.timeout` have waited for in all. `time.monotonic` does not leap.

    An answer from another thread or process looks like nothing to do: vendors have to answer in memory, or never.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._in_threads = 0
        super().__init__(_Selector(self._leap))

    def time(self) -> float:
        return self._now

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        self._in_threads += 1
        running = super().run_in_executor(executor, func, *args)
        running.add_done_callback(self._left_thread)
        return running

    def _left_thread(self, _: object) -> None:
        self._in_threads -= 1

    def _leap(self, seconds: float) -> bool:
        if self._in_threads:
            return False
        self._now += max(0.0, seconds)
        return True


def leaping(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that is run on such a loop."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        return runner.run(work)
