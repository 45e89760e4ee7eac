"""A look into the ledger that leaves it alone, also while an exporter has it open and locked."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from exporter.commands.ledgers.opening import check_driver
from exporter.config.files.reread import stamp_of
from exporter.config.load import LedgerSettings
from exporter.ledger.errors import StoreError

if TYPE_CHECKING:
    from exporter.ledger.postgresql.store import PostgresqlStore

T = TypeVar("T")

log = logging.getLogger(__name__)

QUIET = 0.05
"""Seconds for which the file must not have been written to: more than the steps of a file system's clock."""
TRIES = 40
"""Looks at a file that is being written to, before it is given up."""

_ASKED_FOR = """
SELECT watched.id FROM watched JOIN feeds ON feeds.id = watched.feed
WHERE provider = ? AND kind = ? ORDER BY watched.at, watched.id
"""


class Look(Protocol):
    """What a ledger holds. Where it cannot be read, it holds nothing, and the log says why."""

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        """A token that the exporter has obtained, and when it ends."""

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        """Forgets it: the ledger belongs to the exporter."""

    async def asked_for(self, provider: str, kind: str) -> list[str]:
        """The ids that the exporter was asked to follow, the first ones first."""

    async def providers(self) -> list[str]:
        """The names of all providers that it has tasks of."""

    async def close(self) -> None:
        """Lets go of it."""


def look_into(settings: LedgerSettings) -> Look:
    """A look into the ledger that the configuration names. Raises StoreError where a driver for it is missing."""
    if settings.url is None:
        return LedgerFile(settings.path)
    check_driver()
    from exporter.ledger.postgresql.database import Database
    from exporter.ledger.postgresql.store import PostgresqlStore

    return LedgerDatabase(PostgresqlStore(Database(settings.url, settings.password)))


class LedgerDatabase:
    """What the ledger's database holds: nothing is written, no table made."""

    def __init__(self, store: PostgresqlStore) -> None:
        self._store = store
        self._told = False

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        return await self._asked(self._store.load_token(owner), None)

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        pass

    async def asked_for(self, provider: str, kind: str) -> list[str]:
        return await self._asked(self._store.watched(provider, kind), [])

    async def providers(self) -> list[str]:
        return await self._asked(self._store.providers(), [])

    async def close(self) -> None:
        await self._store.close()

    async def _asked(self, answer: Awaitable[T], otherwise: T) -> T:
        try:
            return await answer
        except StoreError as error:
            if not self._told:
                log.error("the ledger cannot be read", extra={"error": str(error)})
            self._told = True
            return otherwise


class LedgerFile:
    """What the ledger's file holds, read where it is: no lock is taken, no copy made and nothing written.

    Of what the exporter has in the log beside the file nothing is seen; tokens and ids that it was asked to follow are
    in the file itself as soon as they are kept.
    """

    def __init__(self, path: str, wall_clock: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._wall_clock = wall_clock

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        rows = await self._rows("SELECT token, expires FROM tokens WHERE owner = ?", owner)
        return (rows[0][0], rows[0][1]) if rows else None

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        pass

    async def asked_for(self, provider: str, kind: str) -> list[str]:
        return [row[0] for row in await self._rows(_ASKED_FOR, provider, kind)]

    async def providers(self) -> list[str]:
        return [row[0] for row in await self._rows("SELECT DISTINCT provider FROM feeds")]

    async def close(self) -> None:
        pass

    async def _rows(self, query: str, *values: str) -> list[Any]:
        """What a query gives; nothing, with a warning, where the file cannot be read."""
        return await asyncio.to_thread(self._read, query, values)

    def _read(self, query: str, values: tuple[str, ...]) -> list[Any]:
        try:
            if not self._path.is_file() or not self._path.stat().st_size:  # ":memory:" is none either
                return []
            for _ in range(TRIES):
                before = stamp_of(self._path)
                if before and self._wall_clock() - QUIET < before[0] / 1e9 <= self._wall_clock():
                    time.sleep(QUIET)
                    continue
                rows = self._asked(query, values)
                if stamp_of(self._path) == before:
                    return rows
            trouble = "it is being written to all the time"
        except OSError as error:
            trouble = error.strerror or "it cannot be opened"
        except sqlite3.Error as error:  # whose words may quote what was read
            trouble = getattr(error, "sqlite_errorname", "text that cannot be read")
        log.warning("the ledger cannot be read", extra={"path": str(self._path), "error": trouble})
        return []

    def _asked(self, query: str, values: tuple[str, ...]) -> list[Any]:
        # Called immutable, the file is read without its lock, which a running exporter holds for itself alone.
        address = f"{self._path.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as database:
            return database.execute(query, values).fetchall()
