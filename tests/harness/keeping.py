"""Where a ledger is kept, for tests of what every store has to do."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.store import Store
from tests.harness.postgresql import Server


class Place(Protocol):
    """Keeps one ledger."""

    async def open(self) -> Store:
        """The ledger as an exporter opens it that starts now."""

    def clear(self) -> None:
        """Forgets all that it held; no store may be open."""


class FilePlace:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def open(self) -> Store:
        return await SqliteStore.open(str(self.path))

    def clear(self) -> None:
        for file in self.path.parent.glob(f"{self.path.name}*"):
            file.unlink()


class DatabasePlace:
    """A database of PostgreSQL."""

    def __init__(self, server: Server, url: str) -> None:
        self.server = server
        self.url = url

    async def open(self) -> Store:
        return await PostgresqlStore.open(self.url)

    def clear(self) -> None:
        self.server.execute("DROP SCHEMA IF EXISTS videotask CASCADE")
