"""Lists of many tasks: how fast they are read, what they take of memory, and how soon a large ledger is open.

A vendor in a process of its own sends prepared pages of 500 tasks. Goals: from fetch to committed and visible 30,000
tasks a second when nothing has changed and 10,000 when every task has, in one process, and 20,000 of a vendor that is
declared; 150 MiB with 100,000 tasks in flight, and a million works; the first complete body within 5 s with a ledger of
a million tasks.

    python -m benchmarks.sweeps profile [moving] [gateway]     where the time of a sweep goes
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from benchmarks.goals import Result, at_least, at_most, in_turns, runs
from benchmarks.lists import PAGE_SIZE
from benchmarks.processes import Running, python, until
from exporter.config.vendors.types import Declared
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.store import Changes
from exporter.metrics.exposition import Exposition
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.snapshot import Reloads
from exporter.tasks import State, Task
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.registry import built_in

DAY = 86400.0
DECLARED = Declaration.model_validate(
    {
        "credentials": ["api_key"],
        "auth": {"type": "bearer"},
        "answer": {"ok": "success", "text": "message"},
        "feeds": {
            "sora": {
                "list": {
                    "path": "/api/task/self",
                    "query": {"p": "{page}", "page_size": "{page_size}", "start_timestamp": "{since_s}"},
                    "rows": "data.items",
                    "where": "platform == 'sora'",
                    "total": "data.total",
                    "paging": {"type": "page"},
                },
                "detail": {"path": "/sora/v1/videos/{id}", "row": "data"},
                "fields": {
                    "id": "task_id",
                    "state": "status",
                    "progress": "progress",
                    "submitted": "submit_time",
                    "started": "start_time",
                    "ended": {"path": "finish_time", "when": "end"},
                    "model": "properties.upstream_model_name",
                    "text": "fail_reason",
                },
                "states": {"queued": ["NOT_START"], "running": ["IN_PROGRESS"], "succeeded": ["SUCCESS"]},
            }
        },
    }
)
"""The same vendor as a user would declare it."""
MODELS = 20
"""As many as have series of their own by default."""
PAGES = 80  # a sweep reads at most 100


@dataclass(frozen=True)
class Extent:
    pages: int
    memory: tuple[tuple[int, int, int], ...]
    """Accounts, pages of each, and models."""
    ended: int


FULL = Extent(pages=80, memory=((2, 100, 1), (2, 100, MODELS), (20, 100, 1)), ended=1_000_000)
QUICK = Extent(pages=2, memory=((2, 1, 1), (2, 1, MODELS)), ended=1000)


async def run(quick: bool) -> list[Result]:
    extent = QUICK if quick else FULL
    results = await _rates(extent, runs(quick))
    for accounts, pages, models in extent.memory:
        results.append(await _memory(accounts, pages, models, 1 if quick or accounts > 10 else 3))
    return [*results, *await _starts(extent, runs(quick))]


async def _rates(extent: Extent, times: int) -> list[Result]:
    tasks = extent.pages * PAGE_SIZE
    async with (
        swept(extent.pages, "still") as still,
        swept(extent.pages, "moving") as moving,
        swept(extent.pages, "still", "gateway") as declared,
    ):

        async def rate(account: PolledProvider) -> float:
            (loop,) = account.loops
            exposition = Exposition(PolledProviders([account]).snapshot, Reloads, time.time)
            began = time.perf_counter()
            await loop.sweep()
            body, _ = exposition.render("")
            took = time.perf_counter() - began
            if not loop.status.up or f'state="running"}} {tasks:.1f}'.encode() not in body:
                raise RuntimeError(f"the sweep did not bring all tasks: {loop.status}")
            return tasks / took

        unchanged, changed, of_declared = await in_turns(
            times, lambda: rate(still), lambda: rate(moving), lambda: rate(declared)
        )
    note = f"{tasks:,} tasks"
    return [
        Result("list sweep, nothing changed", "tasks/s", unchanged, at_least(30_000), note=note),
        Result("list sweep, every task changed", "tasks/s", changed, at_least(10_000), note=note),
        Result("list sweep of a declared vendor", "tasks/s", of_declared, at_least(20_000), note=note),
    ]


@asynccontextmanager
async def swept(pages: int, way: str, type_: str = "deerapi") -> AsyncIterator[PolledProvider]:
    """A feed after its first sweeps, its ledger on disk."""
    tasks = pages * PAGE_SIZE
    with tempfile.TemporaryDirectory() as folder:
        async with python("-m", "benchmarks.lists", "1", str(tasks)) as vendor:
            ledger = Ledger(SqliteStore(SqliteFile(str(Path(folder, "ledger.sqlite3")))), 7 * DAY)
            types = built_in().with_declared({"gateway": Declared("gateway", DECLARED, "benchmarks")})
            given = _account(int(vendor.told), 0, way) | {"type": type_}
            if type_ == "gateway":
                del given["user_token"]
            settings = types[type_].settings.model_validate(given)
            polled = await PolledProvider.open(settings, ledger, types=types)
            (loop,) = polled.loops
            try:
                for _ in range(2):
                    await loop.sweep()
                if len(loop.tracker.in_flight) != tasks:
                    raise RuntimeError(f"the first sweeps did not bring all tasks: {loop.status}")
                yield polled
            finally:
                await polled.stop()
                await ledger.close()


async def _memory(accounts: int, pages: int, models: int, times: int) -> Result:
    """Of an exporter of its own that polls all accounts, after some rounds."""
    tasks = accounts * pages * PAGE_SIZE
    megabytes = []
    async with python("-m", "benchmarks.lists", str(accounts), str(pages * PAGE_SIZE), str(models)) as vendor:
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                polled = [_account(int(vendor.told), number, "still") for number in range(accounts)]
                async with exporting(Path(folder), polled) as exporter, httpx.AsyncClient(timeout=60) as client:
                    await until(partial(_shows, client, exporter, tasks))
                    await asyncio.sleep(max(1.0, tasks / 10_000))  # two more rounds
                    megabytes.append(exporter.memory())
    goal = at_most(150) if tasks <= 100_000 else None
    note = f", {models} models a feed" if models > 1 else ""
    return Result(f"memory, {tasks:,} tasks in flight{note}", "MiB", megabytes, goal)


async def _starts(extent: Extent, times: int) -> list[Result]:
    """With a ledger of many ended tasks, until the body shows the vendor's first sweep."""
    megabytes: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        fill(str(path / "ledger.sqlite3"), extent.ended)
        async with python("-m", "benchmarks.lists", "1", str(PAGE_SIZE)) as vendor:

            async def start(path: Path) -> float:
                began = time.monotonic()
                async with (
                    exporting(path, [_account(int(vendor.told), 0, "still")]) as exporter,
                    httpx.AsyncClient(timeout=60) as client,
                ):
                    await until(lambda: _shows(client, exporter, PAGE_SIZE), pause=0.02)
                    took = time.monotonic() - began
                    megabytes.append(exporter.memory())
                return took

            async def empty() -> float:
                with tempfile.TemporaryDirectory() as other:
                    took = await start(Path(other))
                    megabytes.pop()
                return took

            full, fresh = await in_turns(times, lambda: start(path), empty)
    name = f"a ledger of {extent.ended:,} ended tasks"
    return [
        Result(f"start with {name}", "s", full, at_most(5.0), "without a ledger", fresh),
        Result(f"memory with {name}", "MiB", megabytes),
    ]


def fill(path: str, ended: int) -> None:
    """A ledger of tasks that ended in the last week."""
    now = time.time()
    store = SqliteFile(path)
    told = frozenset({"queue"})
    for start in range(0, ended, 50_000):
        tasks = [
            Task(
                f"task_ended{number:022}",
                State.SUCCEEDED,
                first_seen=at - 60,
                changed=at,
                submitted=at - 60,
                started=at - 40,
                ended=at,
                output_seconds=5.0,
                told=told,
            )
            for number in range(start, min(ended, start + 50_000))
            for at in [now - 60 - 7 * DAY * number / ended]
        ]
        store.commit(Changes("account-0", "sora", now - 7 * DAY, now - 7 * DAY, now, tasks))
    store.close()


def _account(port: int, number: int, way: str) -> dict[str, object]:
    return {
        "name": f"account-{number}",
        "type": "deerapi",
        "base_url": f"http://127.0.0.1:{port}/{way}/{number}",
        "api_key": "key",
        "user_token": "token",
        "rate_limit": "10000/s",
        "page_size": PAGE_SIZE,
        "poll_interval": "5s",
    }


@asynccontextmanager
async def exporting(folder: Path, providers: list[dict[str, object]]) -> AsyncIterator[Running]:
    config = {"ledger": {"path": str(folder / "ledger.sqlite3")}, "providers": providers}
    file = folder / "config.yaml"
    file.write_text(str(config).replace("'", '"'), encoding="utf-8")  # YAML knows that notation too
    serving = ("-m", "exporter", f"--config.file={file}", "--web.listen-address=127.0.0.1:0")
    async with python(*serving, tells=r"msg=listening url=(\S+)") as exporter:
        yield exporter


async def _shows(client: httpx.AsyncClient, exporter: Running, tasks: int) -> bool:
    body = (await client.get(f"{exporter.told}metrics")).text
    lines = [line for line in body.splitlines() if line.startswith("videotask_tasks{") and 'state="running"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines) == tasks


async def profile(way: str, type_: str) -> None:
    async with swept(PAGES, way, type_) as account:
        (loop,) = account.loops
        profiler = cProfile.Profile()
        began = time.perf_counter()
        await loop.sweep()
        plain = time.perf_counter() - began
        profiler.enable()
        await loop.sweep()
        profiler.disable()
    print(f"{PAGES * PAGE_SIZE / plain:,.0f} tasks/s without the profiler")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    ways = sys.argv[2:]
    asyncio.run(profile("moving" if "moving" in ways else "still", "gateway" if "gateway" in ways else "deerapi"))
