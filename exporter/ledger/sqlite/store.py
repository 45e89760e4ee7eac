"""The ledger's store in SQLite, behind a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import Changes, FeedRecord
from exporter.tasks import Step, Task

P = ParamSpec("P")
T = TypeVar("T")


class SqliteStore:
    """A SQLite file as a `Store`: neither the event loop waits for the disk, nor the disk for a slow DNS.

    Calls are made one after the other, in the order in which they come.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._closed = False

    @classmethod
    async def open(cls, path: str) -> SqliteStore:
        """Opens the file, without holding up the event loop, and makes it if there is none. Raises StoreError."""
        return cls(await asyncio.to_thread(SqliteFile, path))

    @property
    def path(self) -> str:
        return self._file.path

    @property
    def losses(self) -> int:
        return self._file.losses

    async def providers(self) -> list[str]:
        return await self._call(self._file.providers)

    async def load(self, provider: str, kind: str) -> FeedRecord:
        return await self._call(self._file.load, provider, kind)

    async def ended_since(self, provider: str, kind: str, when: float) -> list[Task]:
        return await self._call(self._file.ended_since, provider, kind, when)

    async def ended_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        return await self._call(self._file.ended_among, provider, kind, ids)

    async def ended_before(self, provider: str, kind: str, when: float, limit: int) -> list[str]:
        return await self._call(self._file.ended_before, provider, kind, when, limit)

    async def commit(self, changes: Changes) -> None:
        await self._call(self._file.commit, changes)

    async def find(self, provider: str, kind: str, task_id: str) -> tuple[Task, list[Step]] | None:
        return await self._call(self._file.find, provider, kind, task_id)

    async def watched(self, provider: str, kind: str) -> list[str]:
        return await self._call(self._file.watched, provider, kind)

    async def watch(self, provider: str, kind: str, ids: Iterable[str], at: float) -> None:
        await self._call(self._file.watch, provider, kind, list(ids), at)

    async def unwatch(self, provider: str, kind: str, ids: Iterable[str]) -> None:
        await self._call(self._file.unwatch, provider, kind, list(ids))

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        return await self._call(self._file.load_token, owner)

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        await self._call(self._file.save_token, owner, token, expires)

    async def load_spent(self, provider: str) -> str:
        return await self._call(self._file.load_spent, provider)

    async def save_spent(self, provider: str, spent: str) -> None:
        await self._call(self._file.save_spent, provider, spent)

    async def close(self) -> None:
        if not self._closed:
            await self._call(self._file.close)
            self._closed = True
            self._thread.shutdown(wait=False)

    async def _call(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        if self._closed:
            raise StoreError(f"{self.path}: closed, the exporter is stopping")
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(call, *arguments, **named))
