"""A million tasks of a week, exported as history: the most memory that it takes, and how much of a processor.

Goals: 200 MiB, and 5 minutes of one processor.

The vendor is DeerAPI's list, made of arithmetic, the newest tasks first, of `MODELS` models. The step is that of the
command's default, a minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import parse_qs

import yaml
from starlette.types import Receive, Scope, Send

from benchmarks.goals import Result, at_most
from benchmarks.processes import DEPLOYED, python
from exporter.web.server.server import Server, listen

TASKS, FEW = 1_000_000, 2_000
MODELS = 5
SPAN = 7 * 86400
PAGE_SIZE = 500
ENDS = ("SUCCESS", "SUCCESS", "SUCCESS", "SUCCESS", "FAILURE")


class Vendor:
    """The list of one account."""

    def __init__(self, tasks: int) -> None:
        self._tasks = tasks
        self._now = time.time()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = int(parse_qs(scope["query_string"].decode())["p"][0])
        first = (page - 1) * PAGE_SIZE
        rows = [self._row(number) for number in range(first, min(first + PAGE_SIZE, self._tasks))]
        data = {"page": page, "page_size": PAGE_SIZE, "total": self._tasks, "items": rows}
        body = json.dumps({"success": True, "message": "", "data": data}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _row(self, number: int) -> dict[str, object]:
        submitted = int(self._now - 600 - (SPAN - 1200) * number / self._tasks)
        started = submitted + 5 + number % 40
        status = ENDS[number % len(ENDS)]
        return {
            "task_id": f"task_{number:028}",
            "platform": "sora",
            "action": "sora-video",
            "status": status,
            "fail_reason": "the prompt was refused: moderation" if status == "FAILURE" else "",
            "submit_time": submitted,
            "start_time": started,
            "finish_time": started + 20 + number % 300,
            "progress": "100%",
            "properties": {"input": "a harbour", "upstream_model_name": f"sora-2-{number % MODELS}"},
            "data": None,
        }


async def run(quick: bool) -> list[Result]:
    tasks, step = (FEW, "1h") if quick else (TASKS, "1m")
    with tempfile.TemporaryDirectory() as folder:
        async with python("-m", "benchmarks.history", str(tasks)) as vendor:
            memory, seconds, size = await asyncio.to_thread(
                _exported, Path(folder), f"http://127.0.0.1:{vendor.told}", step
            )
    note = f"{tasks:,} tasks, {size:,.0f} MB of samples"
    return [
        Result("history, most memory", "MiB", [memory], at_most(200), note=note),
        Result("history, processor time", "s", [seconds], at_most(300), note=note),
    ]


def _exported(folder: Path, url: str, step: str) -> tuple[float, float, float]:
    """The most memory (MiB) and the processor time (s) of an export, and the size (MB) of its output."""
    provider = {"name": "account", "type": "deerapi", "base_url": url, "rate_limit": "10000/s", "page_size": PAGE_SIZE}
    provider |= {"api_key": "key-of-a-benchmark", "user_token": "token-of-a-benchmark", "user_id": "1"}
    config, output = folder / "config.yaml", folder / "history.om"
    config.write_text(yaml.safe_dump({"providers": [provider]}))
    flags = [f"--config.file={config}", f"--output={output}", f"--step={step}"]
    command = [sys.executable, "-m", "exporter", "export-history", *flags]
    process = subprocess.Popen(command, env={**os.environ, **DEPLOYED})
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"export-history ended with {process.returncode}")
    return used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, output.stat().st_size / 1e6


async def main(tasks: int) -> None:
    sockets = listen(["127.0.0.1:0"])
    print(sockets[0].getsockname()[1], flush=True)
    await Server(Vendor(tasks)).serve(sockets)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
