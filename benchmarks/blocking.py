"""How long the event loop stands still while bodies are prepared and scraped, and 100,000 tasks in flight change.

1 % of the tasks change in each second, and a scraper asks for a body once a second. The same changes without anything
that is prepared or asked for are the baseline: what is over and above is the exposition's. Goal: at most 10 ms.

A coroutine that sleeps for a millisecond again and again measures the longest delay; a machine that is busy with other
things delays it too, in both. The same while clients search through all tasks, by page and by API, over and over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from benchmarks.goals import Result, at_most, in_turns, runs
from benchmarks.processes import python
from benchmarks.scrape import FEEDS
from benchmarks.standing import Standing
from exporter.commands.run import tune
from exporter.metrics.exposition import Exposition
from exporter.snapshot import Reloads
from exporter.web import app as web
from exporter.web.server.server import Server, listen

WATCHED = 5.0
"""Seconds of which the longest delay is one figure."""
TICK = 0.001
TASKS = 1000
"""In flight in each feed."""
SEARCHES = (
    "/tasks?per_page=500",
    "/tasks?id=9&sort=duration",
    "/api/v1/tasks?sort=id&direction=asc&per_page=500",
    "/api/v1/tasks?sort=id&page=200&per_page=500",
)


async def run(quick: bool) -> list[Result]:
    tune()
    feeds, tasks, watched = (3, 20, 0.3) if quick else (FEEDS, TASKS, WATCHED)
    standing = Standing(feeds, tasks)
    await standing.fill()
    polled = standing.polled
    exposition = Exposition(polled.snapshot, Reloads, time.time, polled.awaited, take_in_turns=polled.snapshot_in_turns)
    sockets = listen(["127.0.0.1:0"])
    server = Server(web.create(standing.polled, exposition))
    base = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    url = f"{base}/metrics"

    async def with_exposition() -> float:
        async with _meanwhile(exposition.keep_fresh(standing.news)), python("-m", "benchmarks.scraper", url, "1"):
            return await _longest_delay(standing, watched)

    async def with_searches() -> float:
        async with AsyncExitStack() as clients:
            for path in SEARCHES:
                await clients.enter_async_context(python("-m", "benchmarks.scraper", base + path, "0.02"))
            return await _longest_delay(standing, watched)

    async def without() -> float:
        return await _longest_delay(standing, watched)

    async with AsyncExitStack() as stack:
        stack.push_async_callback(standing.aclose)
        serving = asyncio.create_task(server.serve(sockets))
        stack.push_async_callback(_ended, server, serving)
        await with_exposition()  # bodies are prepared for the first time only once
        delays, searched, before = await in_turns(runs(quick), with_exposition, with_searches, without)
    note = f"{feeds * tasks:,} tasks"
    return [
        Result("event loop blocked, longest", "ms", delays, at_most(10), "nothing rendered", before, note),
        Result("event loop blocked by searches", "ms", searched, at_most(10), "nothing searched", before, note),
    ]


async def _longest_delay(standing: Standing, seconds: float) -> float:
    """The longest delay of the event loop in milliseconds, while 1 % of the tasks change in a second."""
    worst = 0.0
    async with _meanwhile(_changes(standing)):
        end = time.perf_counter() + seconds
        while (before := time.perf_counter()) < end:
            await asyncio.sleep(TICK)
            worst = max(worst, time.perf_counter() - before - TICK)
    return 1000 * worst


async def _changes(standing: Standing) -> None:
    while True:
        await standing.change(0.01, within=1.0)


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _ended(server: Server, serving: asyncio.Task[None]) -> None:
    server.should_exit = True
    await serving
