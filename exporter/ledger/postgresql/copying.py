"""A ledger in a SQLite file, copied to PostgreSQL: in batches, which an interruption leaves whole."""

# ruff: noqa: S608  # names of tables and columns are constants of ours

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from exporter.ledger.errors import StoreError
from exporter.ledger.postgresql import statements as say
from exporter.ledger.postgresql.database import Connection, Database
from exporter.ledger.sqlite.tables import VERSION

BATCH = 5000
"""Rows of one transaction."""

_COPIED: dict[str, tuple[int, Sequence[str]]] = {
    "tasks": (2, ("feed", *say.NAMES)),
    "counts": (2, ("feed", "key", "value")),
    "steps": (3, ("feed", "id", "at", "state", "progress")),
    "watched": (2, ("feed", "id", "at")),
    "tokens": (1, ("owner", "token", "expires")),
    "budgets": (1, ("provider", "spent")),
}
"""The tables that are copied after the feeds, in this order, with their columns, of which the first identify a row."""
_TABLES = ("feeds", *_COPIED)


Advance = Callable[[str, int, int], None]
"""Called after each batch with the table, its copied rows, and how many it has."""


async def copy_ledger(path: str, database: Database, tell: Callable[[str], None], advance: Advance) -> None:
    """Copies a ledger to a database that has its tables and nothing in them, or that a copy was begun to.

    Raises StoreError where the file is no sound ledger of this version or is in use, or the database holds another.
    """
    with _told(path), closing(_opened(path)) as source:
        digest, totals = _digest(source), _totals(source)
        position = await database.run(lambda connection: _position(connection, database.name, digest))
        if position == []:
            tell("Already copied; the file is unchanged.")
            return
        if position is None:
            await database.run(lambda connection: _begin(connection, source, digest))
        else:
            tell("Going on where an earlier copy was interrupted.")
        feeds = await database.run(lambda connection: _feeds(connection, source))
        await _copy(source, database, digest, position or ["", []], feeds, totals, advance)
        await database.run(lambda connection: _verify(connection, database.name, digest, totals))
    for table, total in totals.items():
        tell(f"{table}: {total:.0f}")


def _opened(path: str) -> sqlite3.Connection:
    """The file, for us alone until it is closed. Raises StoreError where it cannot be copied as it is."""
    if not Path(path).is_file():
        raise StoreError(f"{path}: no such file; name the exporter's current ledger.path")
    source = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=1)
    try:
        source.execute("PRAGMA locking_mode = EXCLUSIVE")
        tables = {row[0] for row in source.execute("SELECT name FROM sqlite_master")}
        if "feeds" not in tables:
            raise StoreError(f"{path}: not a ledger; name the exporter's current ledger.path")
        (version,) = source.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            told = "run this version of the exporter on it once" if version < VERSION else "use that version"
            age = "an older" if version < VERSION else "a newer"
            raise StoreError(f"{path}: written by {age} version (format {version}, this one knows {VERSION}); {told}")
        (found,) = source.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StoreError(f"{path}: damaged; start the exporter on it once, which sets it aside")
    except BaseException:
        source.close()
        raise
    return source


def _digest(source: sqlite3.Connection) -> str:
    """Tells one state of a ledger from others: what each feed holds, and when it was last swept."""
    feeds = source.execute("SELECT id, provider, kind, since, horizon, polled FROM feeds ORDER BY id").fetchall()
    return hashlib.sha256(json.dumps([feeds, _totals(source)]).encode()).hexdigest()


def _totals(source: sqlite3.Connection) -> dict[str, float]:
    """What is compared in the end: the rows of each table, and the sum of the counters."""
    totals: dict[str, float] = {}
    for table in _TABLES:
        (totals[table],) = source.execute(f"SELECT count(*) FROM {table}").fetchone()
    (totals["sum of the counts"],) = source.execute("SELECT coalesce(sum(value), 0.0) FROM counts").fetchone()
    return totals


async def _position(connection: Connection, name: str, digest: str) -> list[Any] | None:
    """The table and the key up to which it is copied; empty if all of it is, None if nothing was begun."""
    copies = await _rows(connection, "SELECT source, position, done FROM videotask.copies")
    if copies and copies[0][0] != digest:
        told = "holds a copy of another ledger, or of this one as it was before"
        raise StoreError(f"{name}: {told}; DROP SCHEMA videotask CASCADE removes it, then run this again")
    if copies:
        found: list[Any] = [] if copies[0][2] else json.loads(copies[0][1])
        return found
    for table in _TABLES:
        ((held,),) = await _rows(connection, f"SELECT EXISTS (SELECT FROM videotask.{table})")
        if held:
            raise StoreError(f"{name}: holds a ledger already; copy to an empty database, which is not added to")
    return None


async def _begin(connection: Connection, source: sqlite3.Connection, digest: str) -> None:
    query = "INSERT INTO videotask.copies (source, position, done) VALUES (%s, %s, false)"
    await connection.execute(query, (digest, json.dumps(["", []])))
    query = "INSERT INTO videotask.feeds (provider, kind, since, horizon, polled) VALUES (%s, %s, %s, %s, %s)"
    for row in source.execute("SELECT provider, kind, since, horizon, polled FROM feeds ORDER BY id"):
        await connection.execute(query, row)


async def _feeds(connection: Connection, source: sqlite3.Connection) -> dict[int, int]:
    """The number of each feed there, by that here."""
    rows = await _rows(connection, "SELECT provider, kind, id FROM videotask.feeds")
    there = {(provider, kind): number for provider, kind, number in rows}
    here = source.execute("SELECT id, provider, kind FROM feeds").fetchall()
    return {number: there[provider, kind] for number, provider, kind in here}


async def _copy(
    source: sqlite3.Connection,
    database: Database,
    digest: str,
    position: list[Any],
    feeds: dict[int, int],
    totals: dict[str, float],
    advance: Advance,
) -> None:
    begun, after = position
    tables = list(_COPIED)
    for table in tables[tables.index(begun) if begun else 0 :]:
        identify, columns = _COPIED[table]
        copied = _rows_before(source, table, after)
        while rows := _batch(source, table, after):
            after = list(rows[-1][:identify])
            if columns[0] == "feed":
                rows = [(feeds[feed], *others) for feed, *others in rows]
            await database.run(_writing(table, rows, digest, after))
            copied += len(rows)
            advance(table, copied, int(totals[table]))
        after = []


def _rows_before(source: sqlite3.Connection, table: str, after: list[Any]) -> int:
    """How many rows an interrupted copy has brought, up to this key."""
    if not after:
        return 0
    (count,) = source.execute(f"SELECT count(*) FROM {table} WHERE {_key(table, '<=')}", after).fetchone()
    return int(count)


def _batch(source: sqlite3.Connection, table: str, after: list[Any]) -> list[Any]:
    """The next rows of a table in the order of its key."""
    where = f"WHERE {_key(table, '>')}" if after else ""
    query = f"SELECT {', '.join(_COPIED[table][1])} FROM {table} {where} ORDER BY {_key(table)} LIMIT {BATCH}"
    return source.execute(query, after).fetchall()


def _key(table: str, compared: str = "") -> str:
    """The columns that identify a row of a table; with a comparison, compared with as many values."""
    identify, columns = _COPIED[table]
    key = ", ".join(columns[:identify])
    return f"({key}) {compared} ({', '.join('?' * identify)})" if compared else key


def _writing(table: str, rows: list[Any], digest: str, after: list[Any]) -> Callable[[Connection], Any]:
    """What writes a batch and how far it goes, both or neither."""

    async def write(connection: Connection) -> None:
        query = f"COPY videotask.{table} ({', '.join(_COPIED[table][1])}) FROM STDIN"
        async with connection.cursor() as cursor, cursor.copy(query.encode()) as copy:
            for row in rows:
                await copy.write_row([one.replace("\0", "") if isinstance(one, str) else one for one in row])
        query = "UPDATE videotask.copies SET position = %s WHERE source = %s"
        await connection.execute(query.encode(), (json.dumps([table, after]), digest))

    return write


async def _verify(connection: Connection, name: str, digest: str, totals: dict[str, float]) -> None:
    found: dict[str, float] = {}
    for table in _TABLES:
        ((found[table],),) = await _rows(connection, f"SELECT count(*) FROM videotask.{table}")
    ((found["sum of the counts"],),) = await _rows(connection, "SELECT coalesce(sum(value), 0) FROM videotask.counts")
    for what, total in totals.items():
        if abs(found[what] - total) > 1e-9 * abs(total):
            told = f"{what}: {total:g} in the file, {found[what]:g} here"
            raise StoreError(f"{name}: the copy is not whole, {told}; was something else written to it meanwhile?")
    await connection.execute("UPDATE videotask.copies SET done = true WHERE source = %s", [digest])


async def _rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode())).fetchall()


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Turns what SQLite raises into one error that names the file."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code == sqlite3.SQLITE_BUSY:
            raise StoreError(f"{path}: an exporter is using it; stop that first") from None
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreError(f"{path}: damaged, or not a ledger; it is left as it is") from None
        raise StoreError(f"{path}: {error}") from None
