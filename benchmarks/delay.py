"""How long a change at a vendor takes to show in /metrics: 100 feeds of 1,000 tasks in flight, ledger on disk.

A vendor in a process of its own changes tasks at random moments and keeps these; the exporter, in a second one, polls
it; this one asks for /metrics ten times a second. Goal: of a hundred changes, 99 show within the poll interval and half
a second. What the exporter takes of a processor and of memory meanwhile is reported too.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx

from benchmarks.goals import Result, at_most, runs
from benchmarks.processes import PATIENCE, Running, python, until


@dataclass(frozen=True)
class Extent:
    feeds: int
    tasks: int
    interval: float
    changes: float
    """A second, in all feeds together."""
    window: float
    """Seconds that it takes until there have been enough of them for one figure."""


FULL = Extent(feeds=100, tasks=1000, interval=15.0, changes=20.0, window=12.0)
QUICK = Extent(feeds=2, tasks=120, interval=0.3, changes=40.0, window=1.5)
ASKED_EVERY = 0.1
GIVEN_UP_AFTER = 3
"""Poll intervals that the last changes get to show."""
LATE = 0.5
"""Seconds beyond the poll interval that the goal allows."""

RUNNING = re.compile(r'^videotask_tasks\{kind="digital_human",provider="(\d+)",state="running"\} (\d+)', re.MULTILINE)


class Change(NamedTuple):
    """A task began to run, in this account, where then so many ran."""

    at: float
    account: int
    running: int


class Shown:
    """When /metrics first showed how many tasks."""

    def __init__(self) -> None:
        self._firsts: dict[int, list[tuple[int, float]]] = {}

    def take(self, running: dict[int, int]) -> None:
        for account, count in running.items():
            firsts = self._firsts.setdefault(account, [])
            if not firsts or count > firsts[-1][0]:
                firsts.append((count, time.time()))

    def since(self, change: Change) -> float | None:
        firsts = self._firsts.get(change.account, [])
        return next((at for count, at in firsts if count >= change.running), None)


async def run(quick: bool) -> list[Result]:
    extent = QUICK if quick else FULL
    vendor = python("-m", "benchmarks.vendor", str(extent.feeds), str(extent.tasks), str(extent.changes))
    with tempfile.TemporaryDirectory() as folder:
        async with vendor as changing, httpx.AsyncClient(timeout=PATIENCE) as client:
            url = f"http://127.0.0.1:{changing.told}"
            file = written(Path(folder, "config.yaml"), config(url, extent.feeds, extent.interval, folder))
            async with python(*serving(file), tells=LISTENING) as exporter:
                return await _measured(client, url, exporter, extent, runs(quick))


async def _measured(
    client: httpx.AsyncClient, vendor: str, exporter: Running, extent: Extent, times: int
) -> list[Result]:
    async def all_swept() -> bool:
        return len(await _running(client, exporter)) == extent.feeds

    await until(all_swept)
    await client.get(f"{vendor}/changes")
    await asyncio.sleep(extent.interval)  # from here on each feed is polled as ever
    began, spent = time.time(), exporter.processor_time()
    shown = Shown()
    while (now := time.time()) < began + times * extent.window:
        shown.take(await _running(client, exporter))
        await asyncio.sleep(max(0.0, now + ASKED_EVERY - time.time()))
    share = 100 * (exporter.processor_time() - spent) / (time.time() - began)
    changes = [Change(*one) for one in (await client.get(f"{vendor}/changes")).json()]
    changes = [one for one in changes if began <= one.at < began + times * extent.window]

    given_up = time.time() + GIVEN_UP_AFTER * extent.interval
    while any(shown.since(one) is None for one in changes) and time.time() < given_up:
        shown.take(await _running(client, exporter))
        await asyncio.sleep(ASKED_EVERY)
    # What has not shown yet takes longer than that.
    delays = [(shown.since(one) or time.time()) - one.at for one in changes]
    parts = [delays[index * len(delays) // times : (index + 1) * len(delays) // times] for index in range(times)]
    note = f"{extent.feeds} feeds of {extent.tasks:,} tasks, interval {extent.interval:g} s"
    goal = at_most(extent.interval + LATE)
    return [
        Result("change to /metrics, p99", "s", [percentile(part, 0.99) for part in parts], goal, note=note),
        Result("change to /metrics, median", "s", [median(part) for part in parts], note=note),
        Result("exporter's share of a processor", "%", [share], note=note),
        Result("exporter's memory", "MiB", [exporter.memory()], note=note),
    ]


async def _running(client: httpx.AsyncClient, exporter: Running) -> dict[int, int]:
    """How many tasks run in each feed, as /metrics says."""
    body = (await client.get(f"{exporter.told}metrics")).text
    return {int(number): int(float(count)) for number, count in RUNNING.findall(body)}


def percentile(values: list[float], share: float) -> float:
    """The smallest value that so many of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


LISTENING = r"msg=listening url=(\S+)"


def serving(file: Path) -> tuple[str, ...]:
    """The arguments of a Python that runs the exporter, which writes its address in a line that is `LISTENING`."""
    return ("-m", "exporter", "run", f"--config.file={file}", "--web.listen-address=127.0.0.1:0")


def config(vendor: str, feeds: int, interval: float, folder: str) -> dict[str, object]:
    """A provider for each account of `benchmarks.vendor`, and a ledger on disk."""
    return {
        "poll_interval": f"{round(interval * 1000)}ms",
        "ledger": {"path": f"{folder}/ledger.sqlite3"},
        "providers": [
            {
                "name": str(number),
                "type": "huawei_metastudio",
                "base_url": f"{vendor}/{number}",
                "project_id": "bench",
                "auth_token": "token",
                "rate_limit": "100/s",
            }
            for number in range(feeds)
        ],
    }


def written(path: Path, document: object) -> Path:
    """A file with this in it, as JSON, which is YAML too."""
    path.write_text(json.dumps(document), encoding="utf-8")
    return path
