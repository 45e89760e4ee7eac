"""A scrape beside one of json_exporter, the generic way to get a vendor's list into Prometheus; where that is on PATH.

It fetches the list when it is scraped, and makes a series of each task; ours was fetched before. Both have one list
page of 100 tasks of the same vendor. No goal: they do not do the same.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import httpx

from benchmarks.delay import LISTENING, config, serving, written
from benchmarks.goals import Result, in_turns, runs
from benchmarks.processes import PATIENCE, program, python, until

TASKS = 100
AT_ONCE = 9
NAME = f"scrape of {TASKS} tasks"
CONFIG = {
    "modules": {
        "default": {
            "metrics": [
                {
                    "name": "video",
                    "type": "object",
                    "help": "Tasks as the list shows them.",
                    "path": "{ .jobs[*] }",
                    "labels": {"job_id": "{ .job_id }", "state": "{ .state }"},
                    "values": {"listed": "1"},
                }
            ]
        }
    }
}


async def run(quick: bool) -> list[Result]:
    peer = shutil.which("json_exporter")
    if peer is None:
        return [Result(NAME, "ms", [], baseline="json_exporter", note="json_exporter is not on PATH")]
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        vendor = await stack.enter_async_context(python("-m", "benchmarks.vendor", "1", str(TASKS), "1"))
        url = f"http://127.0.0.1:{vendor.told}"
        ours = written(Path(folder, "ours.yaml"), config(url, 1, 15.0, folder))
        theirs = written(Path(folder, "theirs.yaml"), CONFIG)
        exporter = await stack.enter_async_context(python(*serving(ours), tells=LISTENING))
        address = f"127.0.0.1:{_free_port()}"
        command = (peer, f"--config.file={theirs}", f"--web.listen-address={address}")
        await stack.enter_async_context(program(*command, tells=r"(?i)(listening)"))
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENCE))
        probe = str(httpx.URL(f"http://{address}/probe", params={"target": f"{url}/0/list?limit={TASKS}"}))
        metrics = f"{exporter.told}metrics"

        async def swept() -> bool:
            return 'state="running"' in (await client.get(metrics)).text

        await until(swept)
        scrapes, probes = await in_turns(runs(quick), _scrape(client, metrics), _scrape(client, probe))
    return [Result(NAME, "ms", scrapes, None, "json_exporter", probes)]


def _scrape(client: httpx.AsyncClient, url: str) -> Callable[[], Awaitable[float]]:
    async def scraped() -> float:
        began = time.perf_counter()
        (await client.get(url)).raise_for_status()
        return 1000 * (time.perf_counter() - began)

    async def typical() -> float:
        return median([await scraped() for _ in range(AT_ONCE)])

    return typical


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
