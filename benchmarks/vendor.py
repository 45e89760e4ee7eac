"""A vendor of prepared answers: accounts whose tasks are all in flight, and begin to run one after the other.

    python -m benchmarks.vendor ACCOUNTS TASKS CHANGES       writes its port

It speaks MetaStudio's list, which can be asked for the tasks in flight alone, below /NUMBER of each account, and has
one balance for all. From the first request to /changes on, CHANGES tasks a second begin to run, now in this account,
now in that. /changes reports each when it was, in which account, and how many ran there from then on.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from datetime import UTC, datetime
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from exporter.web.server.server import Server, listen

WAITING_FIRST = 0.5
"""The share of the tasks that are waiting at the beginning."""


class Account:
    """Tasks in the order in which they are listed, each as the JSON of its row."""

    def __init__(self, number: int, tasks: int) -> None:
        now = time.time()
        self._submitted = [now - 10 - index for index in range(tasks)]
        self._ids = [f"{number:04}{index:028}" for index in range(tasks)]
        self.waiting = list(range(round(tasks * WAITING_FIRST)))
        self._rows = [self._row(index, index >= len(self.waiting)) for index in range(tasks)]

    @property
    def running(self) -> int:
        return len(self._rows) - len(self.waiting)

    def begin(self) -> None:
        """The oldest of the waiting tasks begins to run."""
        index = self.waiting.pop()
        self._rows[index] = self._row(index, running=True)

    def page(self, offset: int, limit: int) -> bytes:
        return b'{"count": %d, "jobs": [%s]}' % (len(self._rows), b",".join(self._rows[offset : offset + limit]))

    def one(self, task_id: str) -> bytes:
        return b'{"count": 1, "jobs": [%s]}' % self._rows[self._ids.index(task_id)]

    def _row(self, index: int, running: bool) -> bytes:
        submitted = self._submitted[index]
        row = {
            "job_id": self._ids[index],
            "job_type": "2D",
            "state": "PROCESSING" if running else "WAITING",
            "asset_id": self._ids[index],
            "asset_name": f"video {index}",
            "duration": 0,
            "create_time": _written(submitted),
            "lastupdate_time": _written(time.time()),
        }
        return json.dumps(row | ({"start_time": _written(time.time())} if running else {})).encode()


class Vendor:
    """All accounts."""

    def __init__(self, accounts: int, tasks: int, per_second: float) -> None:
        self._accounts = [Account(number, tasks) for number in range(accounts)]
        self._per_second = per_second
        self._changes: list[tuple[float, int, int]] = []
        self._changing: asyncio.Task[None] | None = None

    async def _change(self) -> None:
        """Lets tasks begin to run, at random moments, until none waits."""
        lot = random.Random(1)
        begin, elapsed = time.monotonic(), 0.0
        while waiting := [number for number, account in enumerate(self._accounts) if account.waiting]:
            elapsed += lot.expovariate(self._per_second)
            await asyncio.sleep(max(0.0, begin + elapsed - time.monotonic()))
            number = lot.choice(waiting)
            self._accounts[number].begin()
            self._changes.append((time.time(), number, self._accounts[number].running))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        body = self._answer(scope["path"], parse_qs(scope["query_string"].decode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str, query: dict[str, list[str]]) -> bytes:
        if path == "/changes":
            self._changing = self._changing or asyncio.create_task(self._change())
            return json.dumps(self._changes).encode()
        if path.endswith("/balances"):
            return b'{"account_balances": [{"account_type": 1, "amount": 100}], "currency": "CNY"}'
        account = self._accounts[int(path.split("/")[1])]
        if "job_id" in query:
            return account.one(query["job_id"][0])
        return account.page(int(query.get("offset", ["0"])[0]), int(query.get("limit", ["100"])[0]))


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def main(accounts: int, tasks: int, changes: float) -> None:
    sockets = listen(["127.0.0.1:0"])
    print(sockets[0].getsockname()[1], flush=True)
    await Server(Vendor(accounts, tasks, changes)).serve(sockets)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
