"""Connections to PostgreSQL and the tables there: what is refused, and in which words."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from docs.tools.reader import ROOT, Page
from exporter.config.models import Secret
from exporter.ledger.errors import StoreError
from exporter.ledger.postgresql.database import Connection, Database, shown
from exporter.ledger.postgresql.schema import LOCK, MIGRATIONS, VERSION, prepare
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.store import Changes
from exporter.tasks import State, Task
from tests.harness.postgresql import Server, running, servers


async def refused(url: str, password: Secret | None = None) -> str:
    async with Database(url, password) as database:
        with pytest.raises(StoreError) as caught:
            await prepare(database)
    told = str(caught.value)
    assert "\n" not in told
    return told


async def one(connection: Connection) -> int:
    ((number,),) = await (await connection.execute("SELECT 1")).fetchall()
    return int(number)


async def test_the_tables_are_made_once_by_replicas_that_start_together(ledger_url: str) -> None:
    async with Database(ledger_url) as first, Database(ledger_url) as second:
        await asyncio.gather(prepare(first), prepare(second))

        async def numbers(connection: Connection) -> list[int]:
            rows = await connection.execute("SELECT number FROM videotask.formats ORDER BY number")
            return [row[0] for row in await rows.fetchall()]

        assert await first.run(numbers) == list(range(1, VERSION + 1))


async def test_an_upgrade_waits_longer_than_other_work_for_a_replica_that_is_at_it(ledger_url: str) -> None:
    async with Database(ledger_url) as other, Database(ledger_url, patience=1.1) as database:
        held, waited = asyncio.Event(), asyncio.Event()

        async def hold(connection: Connection) -> None:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            held.set()
            await waited.wait()

        holding = asyncio.create_task(other.run(hold, 60))
        await held.wait()
        preparing = asyncio.create_task(prepare(database))
        await asyncio.sleep(1.5)
        assert not preparing.done()
        waited.set()
        await asyncio.gather(holding, preparing)


async def test_settings_of_the_server_change_no_number(postgresql: Server, ledger_url: str) -> None:
    postgresql.execute("ALTER ROLE postgres SET extra_float_digits = -10")
    try:
        store = await PostgresqlStore.open(ledger_url)
        task = Task("a", State.RUNNING, 1700000000.1234567, 1 / 3)
        await store.commit(Changes("vendor", "kind", 1.0, 2.0, 3.0, [task]))
        assert (await store.load("vendor", "kind")).in_flight == [task]
        await store.close()
    finally:
        postgresql.execute("ALTER ROLE postgres RESET extra_float_digits")


async def test_an_older_format_is_brought_up_to_date(postgresql: Server, ledger_url: str) -> None:
    postgresql.execute(
        "CREATE SCHEMA videotask",
        "CREATE TABLE videotask.formats (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())",
        MIGRATIONS[0].read_text(),
        "INSERT INTO videotask.formats (number) VALUES (1)",
    )
    async with Database(ledger_url) as database:
        await prepare(database)
        await database.run(lambda connection: connection.execute("SELECT holder FROM videotask.leases"))


async def test_a_newer_format_is_refused(postgresql: Server, ledger_url: str) -> None:
    async with Database(ledger_url) as database:
        await prepare(database)
    postgresql.execute("INSERT INTO videotask.formats (number) VALUES (99)")
    assert await refused(ledger_url) == (
        f"{ledger_url}: written by a newer version (format 99, this one knows {VERSION}); "
        "run that version, or name another database in ledger.url"
    )


async def test_a_schema_of_something_else_is_left_alone(postgresql: Server, ledger_url: str) -> None:
    postgresql.execute("CREATE SCHEMA videotask", "CREATE TABLE videotask.films (title text)")
    assert "holds something else than a ledger" in await refused(ledger_url)


async def test_a_wrong_password_is_told_and_never_shown(postgresql: Server, ledger_url: str, tmp_path: Path) -> None:
    postgresql.execute("DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded LOGIN PASSWORD 'right-password'")
    url = postgresql.url(role="guarded")
    file = tmp_path / "password"
    file.write_text("wrong-password\n")
    password = Secret.from_file(str(file))
    told = await refused(url, password)
    assert told == f'{url}: password authentication failed for user "guarded"; check ledger.password_file'
    assert await refused(url) == told.partition(": ")[0] + ": no password supplied; set ledger.password_file"
    async with Database(url, password) as database:
        file.write_text("right-password\n")  # as the file has it from now on
        assert await database.run(one) == 1


async def test_what_is_not_there_is_told(postgresql: Server, ledger_url: str) -> None:
    assert (await refused(postgresql.url("none"))).endswith(
        'database "none" does not exist; create it, or name another in ledger.url'
    )
    assert 'role "nobody" does not exist' in await refused(postgresql.url(role="nobody"))
    assert (await refused("postgresql://postgres@127.0.0.1:1/none")).endswith(
        "Connection refused; is the server running there?"
    )


async def test_a_role_that_may_not_log_in_is_told(postgresql: Server, ledger_url: str) -> None:
    postgresql.execute("DROP ROLE IF EXISTS retired", "CREATE ROLE retired NOLOGIN")
    told = await refused(postgresql.url(role="retired"))
    assert told.endswith("not permitted to log in; check the role of ledger.url and the server's pg_hba.conf")


async def test_a_limit_of_connections_is_told(postgresql: Server, ledger_url: str) -> None:
    postgresql.execute("DROP ROLE IF EXISTS crowded", "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
    told = await refused(postgresql.url(role="crowded"))
    assert told.endswith('too many connections for role "crowded"; raise the limit: each replica needs up to 6')


async def test_a_role_that_may_not_make_the_tables_is_told_so(postgresql: Server, ledger_url: str) -> None:
    postgresql.execute("DROP ROLE IF EXISTS limited", "CREATE ROLE limited LOGIN")
    told = await refused(postgresql.url(role="limited"))
    assert told.endswith("permission denied for database postgres; docs/high-availability.md says what the role needs")


async def test_a_role_with_no_more_than_rows_will_do_where_the_tables_are(postgresql: Server, ledger_url: str) -> None:
    async with Database(ledger_url) as database:
        await prepare(database)
    postgresql.execute(
        "DROP ROLE IF EXISTS limited",
        "CREATE ROLE limited LOGIN",
        "GRANT USAGE ON SCHEMA videotask TO limited",
        "GRANT SELECT ON ALL TABLES IN SCHEMA videotask TO limited",
    )
    url = postgresql.url(role="limited")
    try:
        assert "the role may not read and write budgets, copies, counts, feeds, " in await refused(url)
        postgresql.execute("GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA videotask TO limited")
        async with Database(url) as database:
            await prepare(database)
    finally:
        postgresql.execute("DROP SCHEMA videotask CASCADE", "DROP ROLE limited")


async def test_what_the_document_grants_is_enough(postgresql: Server) -> None:
    page = Page(ROOT / "docs" / "high-availability.md")
    setup, grants = [block.text.split(";\n") for block in page.blocks if block.language == "sql"]
    try:
        postgresql.execute(*setup)
        async with Database(postgresql.url("videotask", role="exporter")) as database:
            await prepare(database)  # as the owner
        postgresql.execute("DROP DATABASE videotask WITH (FORCE)", "CREATE DATABASE videotask")
        async with Database(postgresql.url("videotask")) as database:
            await prepare(database)  # as someone who may, for another
        postgresql.execute(*grants, database="videotask")
        store = await PostgresqlStore.open(postgresql.url("videotask", role="exporter"))
        await store.commit(Changes("vendor", "kind", 1.0, 2.0, 3.0, [Task("a", State.RUNNING, 1.0, 1.0)]))
        await store.commit(Changes("vendor", "kind", 1.0, 2.0, 3.0, forgotten=["a"]))
        await store.close()
    finally:
        postgresql.execute("DROP DATABASE IF EXISTS videotask WITH (FORCE)", "DROP ROLE IF EXISTS exporter")


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def with_tls(postgresql: Server, authority: trustme.CA) -> Iterator[Server]:
    """A server whose certificate is for 127.0.0.1, by this authority."""
    certificate = authority.issue_cert("127.0.0.1")
    with servers() as folder:
        certificate.cert_chain_pems[0].write_to_path(folder / "server.crt")
        certificate.private_key_pem.write_to_path(folder / "server.key")
        (folder / "server.key").chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(folder / "server.key", "postgres")
        files = f"ssl_cert_file={folder}/server.crt", f"ssl_key_file={folder}/server.key"
        with running(folder / "tls", "ssl=on", *files) as server:
            yield server


async def test_tls_is_as_the_url_asks_for_it(
    postgresql: Server, with_tls: Server, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    url = f"{with_tls.url()}?sslmode=verify-full&sslrootcert={tmp_path}"
    async with Database(f"{url}/ca.pem") as database:
        await prepare(database)
        query = "SELECT 1 WHERE (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
        assert await database.run(lambda connection: _all(connection, query)) == [(1,)]
    assert (await refused(f"{url}/other.pem")).endswith("certificate verify failed; give sslrootcert in ledger.url")
    assert (await refused(f"{url}/none.pem")).endswith('none.pem" does not exist; give sslrootcert in ledger.url')
    other_name = f"{url}/ca.pem".replace("127.0.0.1", "localhost")
    assert "; name the host in ledger.url as its certificate does" in await refused(other_name)
    assert "server does not support SSL" in await refused(f"{postgresql.url()}?sslmode=require")


async def test_an_encoding_that_cannot_hold_every_text_is_refused(postgresql: Server) -> None:
    postgresql.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        assert "its encoding is LATIN1" in await refused(postgresql.url("latin"))
    finally:
        postgresql.execute("DROP DATABASE latin WITH (FORCE)")


async def test_connections_that_the_server_ended_are_replaced_unnoticed(postgresql: Server, ledger_url: str) -> None:
    async with Database(ledger_url) as database:
        assert await asyncio.gather(*(database.run(one) for _ in range(20))) == [1] * 20
        postgresql.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'videotask-exporter'"
        )
        assert await database.run(one) == 1


async def test_work_that_raises_is_undone_and_what_follows_goes_on(ledger_url: str) -> None:
    async with Database(ledger_url) as database:
        await prepare(database)

        async def broken(connection: Connection) -> None:
            await connection.execute("INSERT INTO videotask.budgets VALUES ('vendor', 'secret words')")
            await connection.execute("INSERT INTO videotask.budgets VALUES ('vendor', 'secret words')")

        with pytest.raises(StoreError) as caught:
            await database.run(broken)
        assert "duplicate key value violates unique constraint" in str(caught.value)
        assert "secret words" not in str(caught.value)
        rows = await database.run(lambda connection: _all(connection, "SELECT * FROM videotask.budgets"))
        assert rows == []


async def _all(connection: Connection, query: str) -> list[tuple[object, ...]]:
    return await (await connection.execute(query.encode())).fetchall()


async def test_a_caller_that_is_cancelled_leaves_the_work_to_end(ledger_url: str) -> None:
    async with Database(ledger_url) as database:
        done: list[int] = []

        async def slow(connection: Connection) -> None:
            await connection.execute("SELECT pg_sleep(0.2)")
            done.append(await one(connection))

        asking = asyncio.create_task(database.run(slow))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await database.close()
        assert done == [1]
        with pytest.raises(StoreError, match="closed, the exporter is stopping"):
            await database.run(one)


async def test_an_answer_that_takes_too_long_is_an_error(ledger_url: str) -> None:
    async with Database(ledger_url, patience=1.2) as database:
        with pytest.raises(StoreError, match="canceling statement due to statement timeout"):
            await database.run(lambda connection: connection.execute("SELECT pg_sleep(60)"))
        assert await database.run(one) == 1


def test_a_name_of_a_database_holds_neither_password_nor_query() -> None:
    assert shown("postgresql://me:secret@db.internal:5433/video?sslmode=verify-full&sslpassword=secret") == (
        "postgresql://me@db.internal:5433/video"
    )
    with pytest.raises(StoreError) as caught:
        shown("postgresql://me:sec/ret@db.internal")
    assert "ret" not in str(caught.value)
