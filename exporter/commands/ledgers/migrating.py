"""Moves a ledger from a SQLite file to PostgreSQL."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from exporter.commands.ledgers.opening import check_driver
from exporter.config.models import Secret

PATIENCE = 300.0
"""Seconds for one answer: to count a million rows may take the server a while."""


async def migrate(source: str | None, url: str, password: Secret | None, tell: Callable[[str], None]) -> None:
    """Makes the tables in the database, and copies the ledger of a file to them if one is given. Raises StoreError.

    How far it is goes to stderr: as a bar in a terminal, elsewhere as a line now and then.
    """
    check_driver()
    from exporter.ledger.postgresql.copying import copy_ledger
    from exporter.ledger.postgresql.database import Database
    from exporter.ledger.postgresql.schema import prepare

    async with Database(url, password, patience=PATIENCE) as database:
        await prepare(database, for_copy=True)
        if source is None:
            tell(f"{database.name}: the tables are there, nothing was copied")
            return
        with progress() as advance:
            await copy_ledger(source, database, tell, advance)
        tell(f"{database.name}: the copy of {source} is whole; set ledger.url in place of ledger.path")


EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


class CopyLines:
    """A line now and then, with how long it may take from there."""

    def __init__(self, tell: Callable[[str], object], ticks: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._ticks = ticks
        self._table = ""
        self._began = self._due = 0.0
        self._before = 0

    def __call__(self, table: str, done: int, of: int) -> None:
        now = self._ticks()
        if table != self._table:
            self._table, self._began, self._before, self._due = table, now, done, now + EVERY
        if now < self._due:
            return
        self._due = now + EVERY
        grown = done - self._before
        left = f", about {(now - self._began) * (of - done) / grown:.0f} s left" if grown else ""
        self._tell(f"{table}: {done:,} of {of:,}{left}")


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Shows how far a copy is."""
    if not sys.stderr.isatty():
        yield CopyLines(lambda line: print(line, file=sys.stderr, flush=True))
        return
    from tqdm import tqdm

    bars: dict[str, tqdm[NoReturn]] = {}

    def advance(table: str, done: int, of: int) -> None:
        if table not in bars:
            bars[table] = tqdm(desc=table, total=of, unit=" rows", dynamic_ncols=True)
        bars[table].update(done - bars[table].n)

    try:
        yield advance
    finally:
        for bar in bars.values():
            bar.close()
