"""Three replicas on one PostgreSQL that share 1,000 providers of two feeds: how they start, keep time and take over.

All are processes of their own, on loopback: the replicas, the database, and the simulator, in which every account is
Chanjing's, at a path of its own. It notes when each list is asked for, so the time between two polls of a feed is what
the vendor sees. A provider has about three tasks in flight and 1.5 new ones a minute.

Goals: a replica that is alone shows all 1,000 providers out of the ledger within 5 s of its exec, and what holds up the
event loop meanwhile takes no longer than 50 ms; 99 of 100 polls come within 1.1 poll intervals of the one before; a
replica takes at most 400 MiB; what a replica held that was killed is shown by others within two leases and 1 s,
what one held that was stopped in order within a poll interval.

The interval and the lease are the defaults, 15 s each, which two cores carry with all that runs on them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.crowd import longest_hold
from benchmarks.delay import LISTENING, percentile, serving, written
from benchmarks.goals import Result, at_most, runs
from benchmarks.processes import PATIENCE, Running, python, until
from exporter.commands.run import Options, serve, tune
from exporter.config.load import load
from exporter.simulator import Simulator
from exporter.simulator.world.profiles import LIP_SYNC, PROFILES, VIDEO
from exporter.simulator.world.world import World
from exporter.vendors.registry import installed
from exporter.web.server.server import Server, listen
from tests.harness.postgresql import Server as Postgresql
from tests.harness.postgresql import programs, running, servers


@dataclass(frozen=True)
class Extent:
    providers: int
    interval: float
    lease: float
    window: float
    """Seconds of polls that are one figure."""


FULL = Extent(providers=1000, interval=15.0, lease=15.0, window=20.0)
QUICK = Extent(providers=6, interval=0.4, lease=2.0, window=0.8)
STARTS = 3
NAMES = ("one", "two", "three")
RATE = 0.25
"""Of the arrivals usual in the simulator."""
KEPT = 600.0
"""Seconds for which the vendors list what has ended."""
DURABLE = ("fsync=on", "full_page_writes=on", "shared_buffers=128MB", "max_wal_size=1GB")
"""As a PostgreSQL is by default; that of the tests forgoes it."""
AFTER = 3.0
"""Seconds for which the event loop is watched after all leases are held."""
LONG = 5 * PATIENCE
"""Seconds to wait for a thousand of something on a busy machine."""

_HELD = """
SELECT count(*) FROM videotask.leases JOIN videotask.replicas ON holder = id
WHERE name IN ({}) AND leases.expires > clock_timestamp()
"""


class Load(NamedTuple):
    """What a database has done up to a moment."""

    at: float
    transactions: int
    written: int
    """Bytes of its log."""


async def run(quick: bool) -> list[Result]:
    tune()
    extent = QUICK if quick else FULL
    if programs() is None:
        return [Result("replicas", "", [], note="initdb is not on PATH")]
    with tempfile.TemporaryDirectory() as folder, servers() as place, running(place / "server", *DURABLE) as database:
        async with AsyncExitStack() as stack:
            accounts = await stack.enter_async_context(python("-m", "benchmarks.replicas", str(extent.interval)))
            client = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENCE))
            bench = _Bench(extent, Path(folder), f"http://127.0.0.1:{accounts.told}", database, client)
            return await bench.measured(runs(quick), 1 if quick else STARTS)


class _Bench:
    def __init__(
        self, extent: Extent, folder: Path, vendor: str, database: Postgresql, client: httpx.AsyncClient
    ) -> None:
        self._extent = extent
        self._vendor = vendor
        self._database = database
        self._client = client
        self._files = _configured(folder, vendor, database.url(), extent)
        about = f"{extent.providers:,} providers of two feeds"
        self._note = f"{about}, interval {extent.interval:g} s, lease {extent.lease:g} s"

    async def measured(self, times: int, starts: int) -> list[Result]:
        await self._fill()
        started = [await self._start() for _ in range(starts)]
        held_up = [await self._held_up() for _ in range(starts)]
        async with AsyncExitStack() as stack:
            replicas = [await stack.enter_async_context(self._replica(name)) for name in NAMES]
            await self._shared(replicas)
            results = await self._kept(replicas, times)
            crashed = await self._passed_on(replicas, signal.SIGKILL)
            stopped = await self._passed_on(replicas[:-1], signal.SIGTERM)
        longest = 2 * self._extent.lease + 1
        return [
            Result("replicas: start of one, until it shows all", "s", started, at_most(5), note=self._note),
            Result("replicas: event loop blocked, longest, start of one", "ms", held_up, at_most(50)),
            *results,
            Result("replicas: take-over after kill -9", "s", [crashed], at_most(longest)),
            Result("replicas: hand-over at SIGTERM", "s", [stopped], at_most(self._extent.interval)),
        ]

    async def _fill(self) -> None:
        """One replica sweeps everything once."""

        async def ready() -> bool:
            return (await self._client.get(f"{replica.told}-/ready")).status_code == 200

        async with self._replica(NAMES[0]) as replica:
            await until(ready, 0.5, LONG)

    async def _start(self) -> float:
        """Seconds from the exec of a replica that is alone until it shows all providers."""
        began = time.monotonic()
        async with self._replica(NAMES[0]) as replica:
            await self._all_shown({NAMES[0]: replica.told})
            return time.monotonic() - began

    async def _held_up(self) -> float:
        """The longest delay of the event loop in milliseconds in such a start, of a replica in this process."""
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        config = load(self._files[NAMES[0]], vendors=installed())
        async with longest_hold() as longest:
            options = Options(["127.0.0.1:0"])
            life = asyncio.create_task(serve(config, options, on_ready=lambda urls: told.set_result(urls[0])))
            await told

            async def all_held() -> bool:
                return await asyncio.to_thread(self._held, NAMES[:1]) >= self._extent.providers

            await until(all_held, 0.1, LONG)
            await asyncio.sleep(min(AFTER, 2 * self._extent.interval))
        os.kill(os.getpid(), signal.SIGTERM)  # which `serve` takes as what it is
        await life
        return longest()

    async def _all_shown(self, replicas: dict[str, str]) -> None:
        """Waits until every provider is shown by one of these. The database is asked first: bodies are megabytes."""

        async def held() -> bool:
            return self._held(list(replicas)) >= self._extent.providers

        async def shown() -> bool:
            return sum([await self._shown(url) for url in replicas.values()]) >= self._extent.providers

        await until(held, 0.05, LONG)
        await until(shown, 0.2, LONG)

    def _held(self, names: Sequence[str]) -> int:
        """How many leases these replicas have, by the database's clock."""
        return int(self._database.ask(_HELD.format(", ".join(f"'{name}'" for name in names)))[0])

    async def _shown(self, url: str) -> int:
        """How many providers a replica serves the series of."""
        body = (await self._client.get(f"{url}metrics")).text
        return body.count('\nvideotask_last_successful_poll_timestamp_seconds{kind="video"')

    async def _shared(self, replicas: list[Running]) -> None:
        """Waits until all have even shares and each feed is polled as ever."""
        least = self._extent.providers // len(replicas)

        async def even() -> bool:
            return min(self._held([name]) for name in NAMES) >= least

        await until(even, 0.2, LONG)
        await self._all_shown({name: one.told for name, one in zip(NAMES, replicas, strict=True)})
        await asyncio.sleep(2 * self._extent.interval)

    async def _kept(self, replicas: list[Running], times: int) -> list[Result]:
        late: list[float] = []
        rates: list[float] = []
        shares: list[float] = []
        loads = [self._load()]
        for _ in range(times):
            await self._client.get(f"{self._vendor}/polls")
            began, spent = time.monotonic(), sum(one.processor_time() for one in replicas)
            await asyncio.sleep(self._extent.window)
            took = time.monotonic() - began
            polls = (await self._client.get(f"{self._vendor}/polls")).json()
            late.append(percentile(polls, 0.99))
            rates.append(len(polls) / took)
            shares.append(100 * (sum(one.processor_time() for one in replicas) - spent) / took)
            loads.append(self._load())
        seconds = loads[-1].at - loads[0].at
        transactions = (loads[-1].transactions - loads[0].transactions) / seconds
        written = (loads[-1].written - loads[0].written) / seconds / 1000
        most, interval = max(one.memory() for one in replicas), self._extent.interval
        return [
            Result("replicas: time between two polls, p99", "s", late, at_most(1.1 * interval)),
            Result("replicas: sweeps of three", "sweeps/s", rates),
            Result("replicas: three exporters' share of a processor", "%", shares),
            Result("replicas: database's transactions", "1/s", [transactions]),
            Result("replicas: database's log", "kB/s", [written]),
            Result("replicas: memory of the largest", "MiB", [most], at_most(400)),
        ]

    def _load(self) -> Load:
        query = "SELECT xact_commit, pg_current_wal_lsn() - '0/0' FROM pg_stat_database WHERE datname = 'postgres'"
        transactions, written = self._database.ask(query)
        return Load(time.monotonic(), int(transactions), int(written))

    async def _passed_on(self, replicas: list[Running], end: signal.Signals) -> float:
        """Seconds from the end of the last one until the others show all providers."""
        began = time.monotonic()
        os.kill(replicas[-1].pid, end)
        await self._all_shown({name: one.told for name, one in zip(NAMES, replicas[:-1], strict=False)})
        return time.monotonic() - began

    @asynccontextmanager
    async def _replica(self, name: str) -> AsyncIterator[Running]:
        async with python(*serving(self._files[name]), tells=LISTENING) as replica:
            yield replica


def _configured(folder: Path, vendor: str, database: str, extent: Extent) -> dict[str, Path]:
    """A configuration for each replica; the file of providers is the same for all."""
    entries = (
        f"- name: p{number}\n  type: chanjing\n  base_url: {vendor}/{number}/chanjing\n"
        "  access_token: demo-access-token\n  rate_limit: 100/s\n"
        for number in range(extent.providers)
    )
    (folder / "providers.yaml").write_text("".join(entries))
    common = {
        "poll_interval": f"{round(extent.interval * 1000)}ms",
        "ledger": {"url": database, "lease": f"{extent.lease:g}s"},
        "provider_files": ["providers.yaml"],
    }
    return {name: written(folder / f"{name}.yaml", common | {"replica": name}) for name in NAMES}


class Accounts:
    """Every account on a road of its own; /polls tells the times between polls since it was asked last."""

    def __init__(self, simulator: ASGIApp, interval: float) -> None:
        self._simulator = simulator
        self._least = interval / 2  # further pages of one sweep come sooner
        self._last: dict[str, float] = {}
        self._between: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/polls":
            told, self._between = json.dumps(self._between).encode(), []
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": told})
            return
        if path.endswith("list"):
            self._note(path)
        shortened = "/" + path.split("/", 2)[2]
        await self._simulator({**scope, "path": shortened, "raw_path": shortened.encode()}, receive, send)

    def _note(self, path: str) -> None:
        now = time.monotonic()
        before = self._last.get(path)
        if before is None or now - before >= self._least:
            self._last[path] = now
            self._between += [now - before] if before is not None else []


async def main(interval: float) -> None:
    world = World(1, rate=RATE, history=KEPT, keep=KEPT, profiles=[PROFILES[LIP_SYNC], PROFILES[VIDEO]])
    sockets = listen(["127.0.0.1:0"])
    print(sockets[0].getsockname()[1], flush=True)
    await Server(Accounts(Simulator(world, limits={}), interval)).serve(sockets)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
