"""What may stand between the exporter and its database, or in its place: a pooler, a standby."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.ledger.errors import StoreError
from exporter.ledger.postgresql.database import Database
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.store import Changes
from exporter.replicas.postgresql import PostgresqlLeases
from exporter.tasks import State, Step, Task
from tests.harness import until, wait_for
from tests.harness.leases import nobody_told
from tests.harness.postgresql import Server, servers

Program = Callable[..., str]
START = 1_700_000_000.0


def changes(provider: str, number: int) -> Changes:
    task = Task(f"task-{number}", State.SUCCEEDED, START, START, ended=START)
    step = Step(task.id, START, State.SUCCEEDED)
    return replace(Changes(provider, "kind", 1.0, 2.0, 3.0, [task]), steps=[step])


@pytest.fixture
def pooler(program: Program, postgresql: Server, ledger_url: str) -> Iterator[str]:
    """The database behind a pooler in transaction mode, which has two connections for everybody."""
    pgbouncer = program("pgbouncer", "/usr/sbin/pgbouncer")
    with servers() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgresql.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            "pool_mode = transaction\ndefault_pool_size = 2\n"
        )
        user = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()
        process = subprocess.Popen([*user, pgbouncer, "--quiet", str(folder / "pgbouncer.ini")])
        try:
            wait_for("the pooler", lambda: answers(port))
            yield f"postgresql://exporter@127.0.0.1:{port}/postgres"
        finally:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


async def test_a_pooler_in_transaction_mode_may_stand_in_between(pooler: str) -> None:
    stores = [await PostgresqlStore.open(pooler) for _ in range(3)]
    for start in range(0, 60, 20):
        numbers = range(start, start + 20)
        await asyncio.gather(*(store.commit(changes(f"p{at}", n)) for at, store in enumerate(stores) for n in numbers))
        await asyncio.gather(*(store.watch(f"p{at}", "kind", ["a"], START) for at, store in enumerate(stores)))
    for at, store in enumerate(stores):
        record, watched = await asyncio.gather(store.load(f"p{at}", "kind", 0), store.watched(f"p{at}", "kind"))
        assert (len(record.ended), watched) == (60, ["a"])
        await store.close()


async def test_a_pooler_that_passes_no_notifications_on_is_told_once(
    pooler: str, ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def heard(url: str, holds: Callable[[], bool]) -> None:
        async with Database(url) as database:
            leases = PostgresqlLeases(database, "one", 15.0)
            listening = asyncio.create_task(leases.listen(lambda: heards.append(url), nobody_told))
            await until("a word", holds)
            listening.cancel()

    heards: list[str] = []
    await heard(ledger_url, lambda: heards == [ledger_url] * 2)  # at the start, and its own
    assert caplog.messages == []
    await heard(pooler, lambda: bool(caplog.messages))
    assert caplog.messages == [
        "no LISTEN/NOTIFY from the database (a pooler in transaction mode?); "
        "changes by other replicas are noticed later, and nothing is lost"
    ]


@pytest.fixture
def folder(postgresql: Server) -> Iterator[Path]:
    with servers() as folder:
        yield folder


async def test_a_standby_is_refused_until_it_is_promoted(postgresql: Server, ledger_url: str, folder: Path) -> None:
    store = await PostgresqlStore.open(ledger_url)
    await store.commit(changes("vendor", 1))
    standby = Server(folder / "standby")
    standby.copy_of(postgresql)
    standby.start()
    try:
        with pytest.raises(StoreError) as caught:
            await PostgresqlStore.open(standby.url())
        assert str(caught.value) == (
            f"{standby.url()}: read-only; it is a standby or was set so; name the primary in ledger.url"
        )
        standby.promote()
        promoted = await PostgresqlStore.open(standby.url())
        await promoted.commit(changes("vendor", 2))
        assert len((await promoted.load("vendor", "kind", 0)).ended) == 2
        await promoted.close()
    finally:
        standby.stop("immediate")
        await store.close()


async def test_a_database_that_becomes_read_only_is_told_and_used_again_later(
    postgresql: Server, ledger_url: str
) -> None:
    postgresql.execute("DROP DATABASE IF EXISTS full_disk WITH (FORCE)", "CREATE DATABASE full_disk")
    store = await PostgresqlStore.open(postgresql.url("full_disk"))
    try:
        postgresql.execute(
            "ALTER DATABASE full_disk SET default_transaction_read_only = on",
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'full_disk'",
        )
        with pytest.raises(StoreError, match="in a read-only transaction; it is a standby or was set so; name the"):
            await store.commit(changes("vendor", 1))
        assert await store.providers() == []
        postgresql.execute(
            "ALTER DATABASE full_disk RESET default_transaction_read_only",
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'full_disk'",
        )
        await store.commit(changes("vendor", 1))
        assert await store.providers() == ["vendor"]
    finally:
        await store.close()
        postgresql.execute("DROP DATABASE full_disk WITH (FORCE)")
