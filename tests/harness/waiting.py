"""Waiting for what must come, with a bound; how long it takes is not what is tested."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that a test waits for something that must come."""


def wait_for(
    what: str,
    holds: Callable[[], object],
    patience: float = PATIENCE,
    pause: float = 0.02,
    moves: Callable[[], object] = lambda: None,
) -> None:
    """Waits until something holds, and fails saying what did not. What `moves` tells may go on: then the patience
    begins again."""
    deadline, before = time.monotonic() + patience, moves()
    while not holds():
        if (now := moves()) != before:
            deadline, before = time.monotonic() + patience, now
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience:g} s in vain: {what}")
        time.sleep(pause)


async def with_turns_of_others(work: Coroutine[Any, Any, T]) -> tuple[T, int]:
    """What some work returns, and how often it has let others on the event loop have their turn."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    meanwhile = asyncio.create_task(others())
    await asyncio.sleep(0)
    result = await work
    meanwhile.cancel()
    return result, turns


async def until(what: str, holds: Callable[[], object]) -> None:
    """The same, while the event loop goes on."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE:g} s in vain: {what}")
        await asyncio.sleep(0.005)


async def side_by_side(cases: Mapping[str, Coroutine[Any, Any, None]]) -> None:
    """Runs cases that mostly wait at the same time. Fails with the errors of all that failed, under their names."""
    found = await asyncio.gather(*cases.values(), return_exceptions=True)
    errors = []
    for name, error in zip(cases, found, strict=True):
        if error is not None:
            error.add_note(f"in the case: {name}")
            errors.append(error)
    if errors:
        raise BaseExceptionGroup("of the cases side by side", errors)
