"""The ledger's store in SQLite, behind a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile

P = ParamSpec("P")
T = TypeVar("T")


def _aside(
    call: Callable[Concatenate[SqliteFile, P], T],
) -> Callable[Concatenate[SqliteStore, P], Coroutine[Any, Any, T]]:
    """The method of a store that makes this call of its file in the store's thread."""

    async def called(store: SqliteStore, /, *arguments: P.args, **named: P.kwargs) -> T:
        if store._closed:
            raise StoreError(f"{store.path}: closed, the exporter is stopping")
        bound: Callable[P, T] = getattr(store._file, call.__name__)
        return await asyncio.get_running_loop().run_in_executor(store._thread, partial(bound, *arguments, **named))

    return called


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

    providers = _aside(SqliteFile.providers)
    load = _aside(SqliteFile.load)
    unpaid_since = _aside(SqliteFile.unpaid_since)
    ended_among = _aside(SqliteFile.ended_among)
    ended_before = _aside(SqliteFile.ended_before)
    commit = _aside(SqliteFile.commit)
    find = _aside(SqliteFile.find)
    find_all = _aside(SqliteFile.find_all)
    watched = _aside(SqliteFile.watched)
    watch = _aside(SqliteFile.watch)
    unwatch = _aside(SqliteFile.unwatch)
    load_token = _aside(SqliteFile.load_token)
    save_token = _aside(SqliteFile.save_token)
    load_spent = _aside(SqliteFile.load_spent)
    save_spent = _aside(SqliteFile.save_spent)
    _close = _aside(SqliteFile.close)

    async def close(self) -> None:
        if not self._closed:
            await self._close()
            self._closed = True
            self._thread.shutdown(wait=False)
