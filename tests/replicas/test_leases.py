"""What leases do, in PostgreSQL and in the memory of the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Protocol

import psycopg
import pytest

from exporter.ledger.counters import Counters
from exporter.ledger.errors import LeaseLost, StoreError
from exporter.ledger.postgresql.database import Database
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.store import Changes, Store
from exporter.replicas.leases import Leases
from exporter.replicas.postgresql import PostgresqlLeases
from tests.harness import PATIENCE
from tests.harness.leases import MemoryDatabase
from tests.harness.postgresql import Server

LENGTH = 600.0
"""Seconds: no lease ends by itself during a test."""
KNOWN = ["a", "b", "c"]


class Shared(Protocol):
    """A database of replicas."""

    async def replica(self, name: str) -> Leases:
        """One more replica."""

    def end(self, *providers: str) -> None:
        """A lease's time passes at once for these providers."""


class InMemory:
    def __init__(self) -> None:
        self.database = MemoryDatabase(lambda: 1000.0, LENGTH)

    async def replica(self, name: str) -> Leases:
        return self.database.as_seen_by(name)

    def end(self, *providers: str) -> None:
        for name in providers:
            self.database.rows[name].expires = 0.0


class InPostgresql:
    def __init__(self, server: Server, url: str, stack: AsyncExitStack) -> None:
        self.server = server
        self.url = url
        self._stack = stack

    async def replica(self, name: str) -> PostgresqlLeases:
        database = await self._stack.enter_async_context(Database(self.url))
        return PostgresqlLeases(database, name, LENGTH)

    def end(self, *providers: str) -> None:
        for name in providers:
            self.server.execute(f"UPDATE videotask.leases SET expires = now() WHERE provider = '{name}'")  # noqa: S608


@pytest.fixture
async def in_postgresql(postgresql: Server, ledger_url: str) -> AsyncIterator[InPostgresql]:
    async with AsyncExitStack() as stack:
        store = await PostgresqlStore.open(ledger_url)
        stack.push_async_callback(store.close)
        yield InPostgresql(postgresql, ledger_url, stack)


@pytest.fixture
async def store(in_postgresql: InPostgresql) -> AsyncIterator[PostgresqlStore]:
    store = await PostgresqlStore.open(in_postgresql.url)
    yield store
    await store.close()


@pytest.fixture(params=["memory", pytest.param("postgresql", marks=pytest.mark.slow)])
def shared(request: pytest.FixtureRequest) -> Shared:
    if request.param == "memory":
        return InMemory()
    database: InPostgresql = request.getfixturevalue("in_postgresql")
    return database


async def joined(shared: Shared, *names: str) -> list[Leases]:
    replicas = [await shared.replica(name) for name in names]
    for replica in replicas:
        await replica.join(KNOWN)
    return replicas


async def test_of_replicas_that_want_the_same_each_gets_others(shared: Shared) -> None:
    one, other = await joined(shared, "one", "other")
    mine, others = await asyncio.gather(one.acquire(KNOWN, 1), other.acquire(KNOWN, 1))
    assert len(mine) == len(others) == 1
    assert not mine.keys() & others.keys()
    assert {*mine.values(), *others.values()} == {1}


async def test_each_sees_which_accounts_the_others_know(shared: Shared) -> None:
    one, other, old = [await shared.replica(name) for name in ("one", "other", "old")]
    await one.join(KNOWN, "digest")
    await other.join(KNOWN, "another")
    await old.join(KNOWN)
    overview = await one.overview()
    assert overview.accounts == {one.me: "digest", other.me: "another"}
    assert [overview.replicas[replica.me] for replica in (one, other, old)] == [frozenset(KNOWN)] * 3


async def test_what_is_held_is_neither_taken_nor_lost_while_it_is_renewed(shared: Shared) -> None:
    one, other = await joined(shared, "one", "other")
    held = await one.acquire(KNOWN, 3)
    assert held == {"a": 1, "b": 1, "c": 1}
    assert await other.acquire(KNOWN, 3) == {}
    assert await one.renew(held) == {"a", "b", "c"}
    assert await other.renew(held) == set()


async def test_a_lease_that_has_ended_is_taken_under_the_next_epoch(shared: Shared) -> None:
    one, other = await joined(shared, "one", "other")
    held = await one.acquire(["a", "b"], 2)
    shared.end("a")
    assert await other.acquire(KNOWN[:2], 3) == {"a": 2}
    assert await one.renew(held) == {"b"}


async def test_a_lease_that_has_ended_and_that_nobody_took_is_renewed(shared: Shared) -> None:
    (one,) = await joined(shared, "one")
    held = await one.acquire(["a"], 1)
    shared.end("a")
    assert await one.renew(held) == {"a"}


async def test_what_is_released_is_free(shared: Shared) -> None:
    one, other = await joined(shared, "one", "other")
    held = await one.acquire(KNOWN, 3)
    await one.release({"a": held["a"], "b": 7})
    assert await other.acquire(KNOWN, 3) == {"a": 2}
    await one.release({"a": held["a"]})  # whose answer was lost, and which is sent again
    assert await other.renew({"a": 2}) == {"a"}


async def test_a_replica_whose_answer_was_lost_acquires_again_under_another_epoch(shared: Shared) -> None:
    (one,) = await joined(shared, "one")
    await one.acquire(["a"], 1)
    assert await one.acquire(["a"], 1) == {"a": 2}


async def test_a_replica_that_leaves_holds_nothing_and_is_gone(shared: Shared) -> None:
    one, other = await joined(shared, "one", "other")
    await one.acquire(KNOWN, 3)
    await one.leave()
    assert list((await other.overview()).names.values()) == ["other"]
    assert len(await other.acquire(KNOWN, 3)) == 3


async def test_everybody_sees_who_is_there_and_who_holds_what(shared: Shared) -> None:
    one, other = await joined(shared, "one", "other")
    await one.acquire(["a", "b"], 2)
    await other.join(["c", "d"])
    shared.end("b")
    for replica in (one, other):
        seen = await replica.overview()
        assert seen.holders == {"a": one.me}
        assert seen.names == {one.me: "one", other.me: "other"}
        assert seen.replicas == {one.me: frozenset(KNOWN), other.me: frozenset("cd")}


def changes(total: float) -> Changes:
    return Changes("a", "kind", 1.0, 2.0, 3.0, counts=Counters({("total",): total}))


async def loaded(store: Store) -> float:
    return (await store.load("a", "kind")).counts["total",]


@pytest.mark.slow
async def test_nothing_is_written_once_another_replica_has_taken_over(
    in_postgresql: InPostgresql, store: PostgresqlStore
) -> None:
    one, other = await joined(in_postgresql, "one", "other")
    mine = store.under("a", one.me, (await one.acquire(["a"], 1))["a"])
    await loaded(mine)
    await mine.commit(changes(1))
    await mine.watch("a", "kind", ["asked-for"], 1.0)
    in_postgresql.end("a")
    await mine.commit(changes(2))  # the lease has ended, but is still nobody else's
    theirs = store.under("a", other.me, (await other.acquire(["a"], 1))["a"])
    for refused in (
        mine.commit(changes(3)),
        mine.unwatch("a", "kind", ["asked-for"]),
        mine.save_token("a", "token", 1.0),
        mine.save_spent("a", "spent"),
    ):
        with pytest.raises(LeaseLost):
            await refused
    assert await loaded(theirs) == 2
    await theirs.commit(changes(5))
    assert await loaded(theirs) == 5
    assert await theirs.watched("a", "kind") == ["asked-for"]


@pytest.mark.slow
async def test_a_commit_that_was_given_up_and_comes_late_writes_nothing(
    in_postgresql: InPostgresql, store: PostgresqlStore
) -> None:
    """Two stores under one lease: what the database has of a connection that was cut, and of the one after it."""
    (one,) = await joined(in_postgresql, "one")
    (epoch,) = (await one.acquire(["a"], 1)).values()
    cut, after = store.under("a", one.me, epoch), store.under("a", one.me, epoch)
    await loaded(cut)
    await loaded(after)
    await after.commit(changes(2))
    with pytest.raises(StoreError, match="an earlier commit"):
        await cut.commit(changes(1))
    assert await loaded(cut) == 2  # as a tracker in doubt does
    await cut.commit(changes(3))
    assert await loaded(after) == 3


@pytest.mark.slow
async def test_a_lease_under_which_something_is_written_is_renewed_but_not_taken(
    in_postgresql: InPostgresql, store: PostgresqlStore
) -> None:
    one, other = await joined(in_postgresql, "one", "other")
    held = await one.acquire(["a"], 1)
    async with Database(in_postgresql.url) as database:
        connection = await database.connect()
        await connection.begin(PATIENCE)
        await connection.execute(b"SELECT FROM videotask.leases WHERE provider = 'a' AND epoch = 1 FOR KEY SHARE")
        assert await one.renew(held) == {"a"}
        in_postgresql.end("a")
        assert await other.acquire(["a"], 1) == {}
        await connection.execute(b"COMMIT")
        await connection.close()
    assert await other.acquire(["a"], 1) == {"a": 2}


@pytest.mark.slow
async def test_a_lease_is_taken_from_a_process_that_is_stopped_in_the_middle_of_a_commit(
    in_postgresql: InPostgresql,
) -> None:
    """Whatever it had sent by then: its transaction is ended, so that it keeps nothing locked."""
    (one,) = await joined(in_postgresql, "one")
    assert await one.acquire(["a"], 1) == {"a": 1}
    async with Database(in_postgresql.url) as database:
        other = PostgresqlLeases(database, "other", LENGTH, stuck_after=0.2)
        await other.join(KNOWN)
        with psycopg.connect(in_postgresql.url) as stopped:
            stopped.execute("SELECT 1 FROM videotask.leases WHERE provider = 'a' FOR KEY SHARE")
            in_postgresql.end("a")
            acquired: dict[str, int] = {}
            async with asyncio.timeout(PATIENCE):
                while not acquired:
                    acquired = await other.acquire(["a"], 1)
                    await asyncio.sleep(0.05)
            assert acquired == {"a": 2}
            with pytest.raises(psycopg.OperationalError):
                stopped.execute("SELECT 1")


@pytest.mark.slow
async def test_a_backup_that_reads_for_long_is_not_ended(in_postgresql: InPostgresql) -> None:
    """It may run as the exporter's own role, and has all tables in one transaction."""
    async with Database(in_postgresql.url) as database:
        one = PostgresqlLeases(database, "one", LENGTH, stuck_after=0.05)
        await one.join(KNOWN)
        with psycopg.connect(in_postgresql.url) as backup:
            backup.execute("SELECT * FROM videotask.leases")
            await asyncio.sleep(0.1)
            assert len(await one.acquire(KNOWN, 3)) == 3
            assert backup.execute("SELECT 1").fetchall() == [(1,)]


async def test_replicas_hear_of_free_leases_and_of_ids(in_postgresql: InPostgresql) -> None:
    one, other = await in_postgresql.replica("one"), await in_postgresql.replica("other")
    heard: asyncio.Queue[object] = asyncio.Queue()
    listening = asyncio.create_task(other.listen(lambda: heard.put_nowait("freed"), lambda *ids: heard.put(ids)))

    async def hears(told: object) -> None:
        async with asyncio.timeout(PATIENCE):
            assert await heard.get() == told

    await hears("freed")
    await hears("freed")  # its own: from here on nothing is missed
    await one.join(KNOWN)
    await hears("freed")
    await one.release(await one.acquire(["a"], 1))
    await hears("freed")
    await one.tell("a", "kind", ["x"])
    await hears(("a", "kind", ["x"]))
    in_postgresql.server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()"
    )
    await hears("freed")  # it listens again
    await hears("freed")
    await one.leave()
    await hears("freed")
    listening.cancel()
