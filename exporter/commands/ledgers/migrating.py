"""Moves a ledger from a SQLite file to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

from exporter.commands.ledgers.opening import check_driver
from exporter.config.models import Secret

PATIENCE = 300.0
"""Seconds for one answer: to count a million rows may take the server a while."""


async def migrate(source: str | None, url: str, password: Secret | None, tell: Callable[[str], None]) -> None:
    """Makes the tables in the database, and copies the ledger of a file to them if one is given. Raises StoreError."""
    check_driver()
    from exporter.ledger.postgresql.copying import copy_ledger
    from exporter.ledger.postgresql.database import Database
    from exporter.ledger.postgresql.schema import prepare

    async with Database(url, password, patience=PATIENCE) as database:
        await prepare(database, for_copy=True)
        if source is None:
            tell(f"{database.name}: the tables are there, nothing was copied")
            return
        await copy_ledger(source, database, tell)
        tell(f"{database.name}: the copy of {source} is whole; set ledger.url in place of ledger.path")
