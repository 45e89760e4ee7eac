"""A vendor of prepared list pages, which are sent as fast as they can be: DeerAPI's list, all tasks in flight.

    python -m benchmarks.lists ACCOUNTS TASKS [MODELS]      writes its port

Below /still/NUMBER of each account the list is always the same; below /moving/NUMBER every task has come a tenth
further whenever the first page is asked for. The oldest tasks are listed first, so that the exporter reads all pages.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from exporter.web.server.server import Server, listen

PAGE_SIZE = 500
_PROGRESS = "@@%"


class Account:
    """The pages of one account, but for the progress of the tasks."""

    def __init__(self, number: int, tasks: int, models: int) -> None:
        began = time.time() - 3600
        rows = [
            _row(f"task_{number:04}{index:024}", began + index / tasks, f"sora-2-{index % models}")
            for index in range(tasks)
        ]
        self._pages = [
            _page(rows[start : start + PAGE_SIZE], start // PAGE_SIZE + 1, tasks)
            for start in range(0, tasks, PAGE_SIZE)
        ]
        self._turns = 0

    def page(self, number: int, *, moving: bool) -> bytes:
        self._turns += number == 1
        progress = self._turns % 10 * 10 + 5 if moving else 5
        return self._pages[number - 1].replace(_PROGRESS.encode(), b"%d%%" % progress)


class Vendor:
    """All accounts."""

    def __init__(self, accounts: int, tasks: int, models: int = 1) -> None:
        self._accounts = [Account(number, tasks, models) for number in range(accounts)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, way, number, *_ = scope["path"].split("/")
        page = int(parse_qs(scope["query_string"].decode())["p"][0])
        body = self._accounts[int(number)].page(page, moving=way == "moving")
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _row(task_id: str, submitted: float, model: str) -> str:
    row = {
        "id": int(task_id[-9:]),
        "created_at": int(submitted),
        "updated_at": int(submitted) + 30,
        "task_id": task_id,
        "platform": "sora",
        "user_id": 1001,
        "group": "default",
        "channel_id": 12,
        "quota": 250000,
        "action": "sora-video",
        "status": "IN_PROGRESS",
        "fail_reason": "",
        "submit_time": submitted,
        "start_time": submitted + 20,
        "finish_time": 0,
        "progress": _PROGRESS,
        "properties": {"input": "a harbour at dawn, boats leaving", "upstream_model_name": model},
        "data": None,
    }
    return json.dumps(row)


def _page(rows: list[str], number: int, total: int) -> bytes:
    head = '{"success": true, "message": "", "data": {"page": %d, "page_size": %d, "total": %d, "items": ['
    return (head % (number, PAGE_SIZE, total) + ", ".join(rows) + "]}}").encode()


async def main(accounts: int, tasks: int, models: int = 1) -> None:
    vendor = Vendor(accounts, tasks, models)
    sockets = listen(["127.0.0.1:0"])
    print(sockets[0].getsockname()[1], flush=True)
    await Server(vendor).serve(sockets)


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
