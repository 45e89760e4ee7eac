"""Three replicas on one PostgreSQL that share 1,000 providers, two feeds each: how they start, keep time and take over.

All are processes of their own, on loopback. Every account is Chanjing's in the simulator, at a path of its own, and
notes when each of its lists is asked for: the time between two polls of a feed is what the vendor sees. Per provider
a task comes every 40 s, so that most sweeps find something to write.

Goals: a lone replica shows all 1,000 providers, out of the ledger, within 5 s of its exec; 99 of 100 polls come within
1.1 poll intervals of the one before; a replica takes 400 MiB at the most; and what a replica held that was killed is
served by the others within two leases and a second.

Two cores carry all of it, with the default interval and lease of 15 s.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.goals import Result, at_most, runs
from benchmarks.processes import PATIENCE, Running, python, until
from exporter.simulator import Simulator
from exporter.simulator.world.profiles import LIP_SYNC, PROFILES, VIDEO
from exporter.simulator.world.world import World
from exporter.web.server.server import Server, listen
from tests.harness.postgresql import Server as Postgresql
from tests.harness.postgresql import programs, running, servers


@dataclass(frozen=True)
class Extent:
    providers: int
    interval: float
    lease: float
    window: float
    """Seconds of which the polls are one figure."""


FULL = Extent(providers=1000, interval=15.0, lease=15.0, window=20.0)
QUICK = Extent(providers=6, interval=0.5, lease=1.0, window=1.0)
NAMES = ("one", "two", "three")
KINDS = ("lip_sync", "video")
LISTENING = r"msg=listening.*url=(http\S+)"
RATE = 0.25
"""Of the arrivals usual in the simulator: a lip-sync a minute and a video every two minutes, by provider."""
KEPT = 600.0
"""Seconds for which the vendors list what has ended."""
ASKED_EVERY = 0.1
DURABLE = ("fsync=on", "full_page_writes=on", "shared_buffers=128MB", "max_wal_size=1GB")
"""As PostgreSQL is by default, unlike that of the tests."""


class Load(NamedTuple):
    """What a database has done up to a moment."""

    at: float
    transactions: int
    written: int
    """Bytes of its log."""


async def run(quick: bool) -> list[Result]:
    extent = QUICK if quick else FULL
    if programs() is None:
        return [Result("replicas", "", [], note="initdb is not on PATH")]
    vendor = python("-m", "benchmarks.replicas", str(extent.interval))
    with tempfile.TemporaryDirectory() as folder, servers() as place, running(place / "server", *DURABLE) as database:
        async with vendor as accounts, httpx.AsyncClient(timeout=PATIENCE) as client:
            url = f"http://127.0.0.1:{accounts.told}"
            bench = _Bench(extent, Path(folder), url, database, client)
            return await bench.measured(runs(quick))


class _Bench:
    def __init__(
        self, extent: Extent, folder: Path, vendor: str, database: Postgresql, client: httpx.AsyncClient
    ) -> None:
        self._extent = extent
        self._folder = folder
        self._vendor = vendor
        self._database = database
        self._client = client
        self._note = f"{extent.providers:,} providers, {2 * extent.providers:,} feeds"

    async def measured(self, times: int) -> list[Result]:
        await self._fill()
        starts = [await self._start() for _ in range(times)]
        async with AsyncExitStack() as stack:
            replicas = [await stack.enter_async_context(self._replica(name)) for name in NAMES]
            await self._shared(replicas)
            results = await self._kept(replicas, times)
            took = await self._taken_over(replicas)
        most = 2 * self._extent.lease + 1
        return [
            Result("start on PostgreSQL until all are shown", "s", starts, at_most(5.0), note=self._note),
            *results,
            Result("take-over after kill -9", "s", [took], at_most(most), note=f"lease {self._extent.lease:g} s"),
        ]

    async def _fill(self) -> None:
        """One replica sweeps everything once."""
        async with self._replica(NAMES[0]) as replica:
            await until(lambda: self._ready(replica))

    async def _ready(self, replica: Running) -> bool:
        return (await self._client.get(f"{replica.told}-/ready")).status_code == 200

    async def _start(self) -> float:
        """Seconds from the exec of a replica that is alone until it shows all providers."""
        began = time.monotonic()
        async with self._replica(NAMES[0]) as replica:
            await self._all_shown(replica)
            return time.monotonic() - began

    async def _all_shown(self, *replicas: Running) -> None:
        async def holds() -> bool:
            return sum([await self._shown(one) for one in replicas]) >= self._extent.providers

        await until(holds)

    async def _shown(self, replica: Running) -> int:
        """How many providers a replica serves the series of."""
        body = (await self._client.get(f"{replica.told}metrics")).text
        wanted = f'videotask_finished_total{{kind="{KINDS[0]}",'
        return sum(line.startswith(wanted) and 'state="succeeded"' in line for line in body.splitlines())

    async def _shared(self, replicas: list[Running]) -> None:
        """Waits until all have even shares and each feed is polled as ever."""
        least = self._extent.providers // len(replicas)

        async def even() -> bool:
            return min([await self._shown(one) for one in replicas]) >= least

        await until(even)
        await self._all_shown(*replicas)
        await asyncio.sleep(2 * self._extent.interval)

    async def _kept(self, replicas: list[Running], times: int) -> list[Result]:
        gaps: list[list[float]] = []
        sweeps: list[float] = []
        shares: list[float] = []
        first = self._load()
        for _ in range(times):
            await self._client.get(f"{self._vendor}/polls")
            spent = [one.processor_time() for one in replicas]
            began = time.monotonic()
            await asyncio.sleep(max(self._extent.window, 1.2 * self._extent.interval))
            found = (await self._client.get(f"{self._vendor}/polls")).json()
            took = time.monotonic() - began
            gaps.append(found["gaps"])
            sweeps.append(found["polls"] / took)
            shares.append(
                100 * sum(one.processor_time() - then for one, then in zip(replicas, spent, strict=True)) / took
            )
        last = self._load()
        seconds = last.at - first.at

        memory = [one.memory() for one in replicas]
        interval = self._extent.interval
        late = [_percentile(part, 0.99) for part in gaps]
        return [
            Result("poll interval as kept, p99", "s", late, at_most(1.1 * interval), note=f"set to {interval:g} s"),
            Result("sweeps of three replicas", "sweeps/s", sweeps, note=self._note),
            Result("three replicas' share of a processor", "%", shares, note=self._note),
            Result("database: transactions", "1/s", [(last.transactions - first.transactions) / seconds]),
            Result("database: log written", "kB/s", [(last.written - first.written) / seconds / 1000]),
            Result("memory of a replica, the largest of three", "MiB", [max(memory)], at_most(400), note=self._note),
        ]

    def _load(self) -> Load:
        query = "SELECT xact_commit, pg_current_wal_lsn() - '0/0' FROM pg_stat_database WHERE datname = 'postgres'"
        transactions, written = self._database.ask(query)
        return Load(time.monotonic(), int(transactions), int(written))

    async def _taken_over(self, replicas: list[Running]) -> float:
        """Seconds from the death of one until the others show all providers."""
        began = time.monotonic()
        os.kill(replicas[-1].pid, signal.SIGKILL)
        await self._all_shown(*replicas[:-1])
        return time.monotonic() - began

    @asynccontextmanager
    async def _replica(self, name: str) -> AsyncIterator[Running]:
        config = _written(self._folder, name, self._vendor, self._database.url(), self._extent)
        command = ("-m", "exporter", f"--config.file={config}", "--web.listen-address=127.0.0.1:0")
        async with python(*command, tells=LISTENING) as replica:
            yield replica


def _written(folder: Path, name: str, vendor: str, database: str, extent: Extent) -> Path:
    """The configuration of one replica; the file of its providers is the same for all."""
    providers = "".join(
        f"- name: p{number}\n  type: chanjing\n  base_url: {vendor}/{number}/chanjing\n"
        "  access_token: demo-access-token\n  rate_limit: 100/s\n"
        for number in range(extent.providers)
    )
    (folder / "providers.yaml").write_text(providers)
    path = folder / f"{name}.yaml"
    document = {
        "poll_interval": f"{round(extent.interval * 1000)}ms",
        "ledger": {"url": database, "lease": f"{extent.lease:g}s"},
        "replica": name,
        "provider_files": ["providers.yaml"],
    }
    path.write_text(json.dumps(document))
    return path


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Accounts:
    """Every account on a road of its own; /polls tells what has been asked since it was asked last."""

    def __init__(self, simulator: ASGIApp, interval: float) -> None:
        self._simulator = simulator
        self._least = interval / 2  # further pages of one sweep come sooner
        self._last: dict[str, float] = {}
        self._gaps: list[float] = []
        self._polls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/polls":
            body = json.dumps({"polls": self._polls, "gaps": self._gaps}).encode()
            self._polls, self._gaps = 0, []
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return
        if path.endswith("list"):
            self._take(path)
        shortened = "/" + path.split("/", 2)[2]
        await self._simulator({**scope, "path": shortened, "raw_path": shortened.encode()}, receive, send)

    def _take(self, path: str) -> None:
        now = time.monotonic()
        gap = now - self._last.get(path, -self._least)
        if gap < self._least:
            return
        if path in self._last:
            self._gaps.append(gap)
        self._last[path] = now
        self._polls += 1


async def main(interval: float) -> None:
    profiles = [PROFILES[LIP_SYNC], PROFILES[VIDEO]]
    world = World(1, rate=RATE, history=KEPT, keep=KEPT, profiles=profiles)
    sockets = listen(["127.0.0.1:0"])
    print(sockets[0].getsockname()[1], flush=True)
    await Server(Accounts(Simulator(world, limits={}), interval)).serve(sockets)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
