"""Very many providers on one process: how soon it serves with 1,000, and how long 300 hold the event loop up.

Goals: 5 s from the exec to the first /metrics with 1,000 providers, from a file of `provider_files`; no hold of the
event loop longer than 100 ms while 300 begin, while a reload changes nothing, and while a reload changes all; none
longer than 50 ms while the status page of 300 is read over and over, by a process of its own.

The holds are measured in a process that lives as `run` makes it live: a coroutine that sleeps for a millisecond again
and again measures the longest delay from the begin of each to a few seconds after its end, while sweeps go on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from benchmarks.goals import Result, at_most, in_turns, runs
from benchmarks.processes import PATIENCE, python
from exporter.commands.run import Options, serve, tune
from exporter.config.load import ConfigFile
from exporter.vendors.registry import installed

MANY, SOME = 1000, 300
TASKS = 10
"""In flight, of each provider."""
AFTER = 2.0
"""Seconds for which the holds are watched after a start or a reload."""
TICK = 0.001
PHASES = {"start": 100, "status page read": 50, "reload without changes": 100, "reload with all changed": 100}
"""What the holds are measured in, and the goal for the longest, in milliseconds."""
PAGE_EVERY = "0.1"
"""Seconds from one reading of the status page to the next."""


async def run(quick: bool) -> list[Result]:
    tune()
    many, some, after = (20, 6, 0.2) if quick else (MANY, SOME, AFTER)
    with tempfile.TemporaryDirectory() as folder:
        async with python("-m", "benchmarks.vendor", str(many), str(TASKS), "0.001") as vendor:
            url = f"http://127.0.0.1:{vendor.told}"
            holds: list[list[float]] = []

            async def start() -> float:
                return await _start(Path(folder), url, many)

            async def held() -> float:
                holds.append(await _holds(Path(folder), url, some, after))
                return max(holds[-1])

            starts, _ = await in_turns(runs(quick), start, held)
    note = f"{some} providers"
    return [
        Result("start with very many providers", "s", starts, at_most(5.0), note=f"{many:,} providers"),
        *(
            Result(f"event loop blocked, longest, {phase}", "ms", list(figures), at_most(goal), note=note)
            for (phase, goal), figures in zip(PHASES.items(), zip(*holds, strict=True), strict=True)
        ),
    ]


def _written(folder: Path, url: str, providers: int, interval: str = "15s") -> Path:
    """A configuration with so many providers, in a file beside it."""
    entries = (
        f"- name: p{n}\n  type: huawei_metastudio\n  base_url: {url}/{n}\n  project_id: project-{n}\n"
        f"  auth_token: token-{n}\n  poll_interval: {interval}\n"
        for n in range(providers)
    )
    (folder / "providers.yaml").write_text("".join(entries))
    path = folder / "config.yaml"
    path.write_text("ledger: {path: ':memory:'}\nprovider_files: [providers.yaml]\n")
    return path


async def _start(folder: Path, url: str, providers: int) -> float:
    """Seconds from the exec until metrics are served."""
    command = ("-m", "exporter", f"--config.file={_written(folder, url, providers)}")
    began = time.monotonic()
    async with (
        httpx.AsyncClient(timeout=PATIENCE) as client,
        python(*command, "--web.listen-address=127.0.0.1:0", tells=r"msg=listening.*url=(http\S+)") as exporter,
    ):
        (await client.get(f"{exporter.told}metrics")).raise_for_status()
        return time.monotonic() - began


async def _holds(folder: Path, url: str, providers: int, after: float) -> list[float]:
    """The longest delay of the event loop in milliseconds, for each of the PHASES."""
    path = _written(folder, url, providers)
    file = ConfigFile(path, installed())
    config = file.load()
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    options = Options(["127.0.0.1:0"], lifecycle=True)
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        async with longest_hold() as hold:
            life = asyncio.create_task(
                serve(config, options, reread=file.load, on_ready=lambda urls: told.set_result(urls[0]))
            )
            await told
            await asyncio.sleep(after)
        worst = [hold()]
        async with longest_hold() as hold, python("-m", "benchmarks.scraper", told.result(), PAGE_EVERY):
            await asyncio.sleep(after)
        worst.append(hold())
        for interval in ("15s", "16s"):
            _written(folder, url, providers, interval)
            async with longest_hold() as hold:
                (await client.post(f"{told.result()}-/reload")).raise_for_status()
                await asyncio.sleep(after)
            worst.append(hold())
    os.kill(os.getpid(), signal.SIGTERM)  # which `serve` takes as what it is
    await life
    return worst


@asynccontextmanager
async def longest_hold() -> AsyncIterator[Callable[[], float]]:
    """Tells the longest delay of the event loop within the block, in milliseconds."""
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK)
            longest = max(longest, time.perf_counter() - before - TICK)

    watching = asyncio.create_task(watch())
    try:
        yield lambda: 1000 * longest
    finally:
        watching.cancel()
