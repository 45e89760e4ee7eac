"""The ledger's tables in PostgreSQL: made, brought up to date and checked, in a schema of their own."""

from __future__ import annotations

from pathlib import Path

from exporter.ledger.errors import StoreError
from exporter.ledger.postgresql.database import Connection, Database

MIGRATIONS = sorted((Path(__file__).parent / "migrations").glob("*.sql"))
"""What each format adds, in files whose names begin with its number."""
VERSION = len(MIGRATIONS)
OLDEST_SERVER = 14
UPGRADE_WITHIN = 600.0
"""Seconds for one statement that changes the tables, and for another replica that is at it."""

LOCK = 0x7669646F7461736B
"""Taken for the transaction that brings the tables up to date: of replicas that start together, one does."""

_FORMATS = "CREATE TABLE videotask.formats (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"

_SERVER = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'
"""
# Of the catalogue's rows, not by to_regclass: that may answer from before a lock that was waited for.
_RELATIONS = (
    "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = 'videotask'"
)
_SCHEMA = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'videotask')"
_FORBIDDEN = """
SELECT relname FROM pg_class
WHERE relnamespace = 'videotask'::regnamespace AND relkind = 'r' AND relname <> 'formats'
AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
         AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
ORDER BY relname
"""
_UNFINISHED = "SELECT EXISTS (SELECT FROM videotask.copies WHERE NOT done)"
_MAY_NOT = "docs/high-availability.md says what the role needs"


async def prepare(database: Database, *, for_copy: bool = False) -> None:
    """Sees to it that the tables are there, of this version's format, and may be used. Raises StoreError.

    While a ledger is being copied to them, they may be used `for_copy` only.
    """

    async def check(connection: Connection) -> int:
        await _check_server(connection, database.name)
        return await _version(connection, database.name)

    async def upgrade(connection: Connection) -> None:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        await _upgrade(connection, await _version(connection, database.name))

    async def check_use(connection: Connection) -> None:
        if tables := [row[0] for row in await (await connection.execute(_FORBIDDEN)).fetchall()]:
            told = f"the role may not read and write {', '.join(tables)} of the schema videotask"
            raise StoreError(f"{database.name}: {told}; {_MAY_NOT}")
        ((unfinished,),) = await (await connection.execute(_UNFINISHED)).fetchall()
        if unfinished and not for_copy:
            raise StoreError(f"{database.name}: a ledger was copied here only in part; run migrate-ledger again")

    if await database.run(check) < VERSION:
        await database.run(upgrade, UPGRADE_WITHIN)
    await database.run(check_use)


async def _check_server(connection: Connection, name: str) -> None:
    ((version, encoding, is_read_only),) = await (await connection.execute(_SERVER)).fetchall()
    if version < OLDEST_SERVER:
        raise StoreError(f"{name}: PostgreSQL {version} is too old; the ledger needs {OLDEST_SERVER} or later")
    if encoding != "UTF8":
        raise StoreError(f"{name}: its encoding is {encoding}; create a database with ENCODING 'UTF8'")
    if is_read_only:
        raise StoreError(f"{name}: read-only; it is a standby or was set so; name the primary in ledger.url")


async def _version(connection: Connection, name: str) -> int:
    """The format of the tables, 0 if there are none. Raises StoreError if they are not for this version."""
    relations = {row[0] for row in await (await connection.execute(_RELATIONS)).fetchall()}
    if not relations:
        return 0
    if "formats" not in relations:
        told = "its schema videotask holds something else than a ledger; name another database in ledger.url"
        raise StoreError(f"{name}: {told}")
    found = await (await connection.execute("SELECT coalesce(max(number), 0) FROM videotask.formats")).fetchall()
    version: int = found[0][0]
    if version > VERSION:
        raise StoreError(
            f"{name}: written by a newer version (format {version}, this one knows {VERSION}); "
            "run that version, or name another database in ledger.url"
        )
    return version


async def _upgrade(connection: Connection, version: int) -> None:
    if version == 0:
        ((has_schema,),) = await (await connection.execute(_SCHEMA)).fetchall()
        if not has_schema:  # asked first: to create it if there is none takes the privilege even if there is one
            await connection.execute("CREATE SCHEMA videotask")
        await connection.execute(_FORMATS)
    for number, file in enumerate(MIGRATIONS[version:], version + 1):
        await connection.execute(file.read_bytes())
        await connection.execute("INSERT INTO videotask.formats (number) VALUES (%s)", [number])
