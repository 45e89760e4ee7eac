"""A database that is away: nothing hangs, nothing is lost, and all goes on by itself when it is back."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter.ledger.counters import Counters
from exporter.ledger.errors import DatabaseFailure, StoreError
from exporter.ledger.postgresql.database import Database
from exporter.ledger.postgresql.schema import prepare
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.store import Changes
from exporter.simulator import FACE_SWAP, Life
from exporter.tasks import State, Task
from tests.harness import Exporter, Site, Start
from tests.harness.network import Passage, passage
from tests.harness.postgresql import Server

ROOT = Path(__file__).parents[2]
START = 1_700_000_000.0


@pytest.fixture
def network(postgresql: Server) -> Iterator[Passage]:
    """The way to the database, which a test can break."""
    with passage(postgresql.port) as network:
        yield network


@pytest.fixture
def url(postgresql: Server, ledger_url: str, network: Passage) -> str:
    """The database at the other end of the network."""
    return ledger_url.replace(str(postgresql.port), str(network.port))


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresqlStore]:
    """One that soon loses its patience."""
    async with Database(url, patience=1.5) as database:
        await prepare(database)
        yield PostgresqlStore(database)


def changes(number: int) -> Changes:
    task = Task(f"task-{number}", State.SUCCEEDED, START, START, ended=START)
    return Changes("vendor", "kind", 1.0, 2.0, 3.0, [task], Counters({("finished_total", "succeeded"): number}))


async def finished(store: PostgresqlStore) -> float:
    return (await store.load("vendor", "kind")).counts["finished_total", "succeeded"]


async def test_what_cannot_be_reached_is_an_error_at_once_and_is_found_again(
    store: PostgresqlStore, network: Passage
) -> None:
    await store.commit(changes(1))
    network.refuse()
    for _ in range(3):
        with pytest.raises(StoreError, match="Connection refused; is the server running there"):
            await store.commit(changes(2))
    network.restore()
    await committed(store, changes(2))
    assert await finished(store) == 2


async def committed(store: PostgresqlStore, what: Changes) -> None:
    """Tries until it succeeds, as a feed does."""
    for _ in range(100):
        try:
            return await store.commit(what)
        except StoreError:
            await asyncio.sleep(0.1)
    pytest.fail("the database was not found again")


async def test_an_answer_that_never_comes_is_an_error_and_the_commit_is_tried_again(
    store: PostgresqlStore, network: Passage
) -> None:
    await store.commit(changes(1))
    network.swallow()
    calls = [store.commit(changes(2)), store.find("vendor", "kind", "task-1"), store.providers(), store.providers()]
    for failed in await asyncio.gather(*calls, store.providers(), return_exceptions=True):
        assert isinstance(failed, StoreError)
        assert str(failed).endswith("; check the network and the server")
    network.restore()
    await committed(store, changes(2))
    assert await finished(store) == 2
    assert {task.id for task in (await store.load("vendor", "kind", 0)).ended} == {"task-1", "task-2"}


async def test_failures_are_counted_by_kind(
    store: PostgresqlStore, network: Passage, postgresql: Server, ledger_url: str
) -> None:
    await store.commit(changes(1))
    failures = store.database.failures
    assert failures == {}
    with pytest.raises(StoreError, match="does not exist"):
        await store.database.rows("SELECT missing")
    assert failures == {DatabaseFailure.REFUSED: 1}
    with psycopg.connect(ledger_url.replace("guarded", "postgres")) as other:
        other.execute("LOCK TABLE videotask.tasks IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="lock timeout; something else holds a lock"):
            await store.commit(changes(2))
    assert failures == {DatabaseFailure.REFUSED: 1, DatabaseFailure.TIMEOUT: 1}
    network.refuse()
    with pytest.raises(StoreError, match="Connection refused"):
        await store.commit(changes(2))
    assert failures == {DatabaseFailure.REFUSED: 1, DatabaseFailure.TIMEOUT: 1, DatabaseFailure.CONNECTION: 1}


async def test_a_commit_whose_answer_is_lost_is_written_once(store: PostgresqlStore, network: Passage) -> None:
    await store.commit(changes(1))
    for number in range(2, 12):
        network.delay = 0.02
        committing = asyncio.create_task(store.commit(changes(number)))
        await asyncio.sleep(0.015 * number)  # at another point of it each time
        network.cut()
        network.delay = 0
        try:
            await committing
        except StoreError:
            await committed(store, changes(number))
        assert await finished(store) == number
    assert len((await store.load("vendor", "kind", 0)).ended) == 11


async def test_closing_ends_though_no_answer_comes(url: str, network: Passage) -> None:
    store = await PostgresqlStore.open(url)
    network.swallow()
    commits = [asyncio.create_task(store.commit(changes(1))) for _ in range(9)]
    await asyncio.sleep(0.1)
    await store.database.close(within=0.2)
    for failed in await asyncio.gather(*commits, return_exceptions=True):
        assert isinstance(failed, (StoreError, asyncio.CancelledError))


async def test_a_server_that_takes_connections_and_says_nothing_is_told(url: str, network: Passage) -> None:
    network.swallow()
    async with Database(f"{url}?connect_timeout=2") as database:
        with pytest.raises(StoreError, match="connection timeout expired; check the network and the server"):
            await prepare(database)


# The whole exporter

UP = 'videotask_up{kind="face_swap",provider="swaps"}'
SUCCEEDED = 'videotask_finished_total{kind="face_swap",provider="swaps",state="succeeded"}'
Running = Callable[..., Exporter]


@pytest.fixture
def running(start: Start, live_site: Site, tmp_path: Path) -> Running:
    """Starts an exporter on a ledger in a database, polling one feed of a simulated vendor."""

    def run(url: str, **ledger: Any) -> Exporter:
        providers = [live_site.account("facewap", name="swaps")]
        settings = {"poll_interval": "100ms", "ledger": {"url": url, **ledger}, "providers": providers}
        (tmp_path / "all.yaml").write_text(json.dumps(settings))  # which is YAML too
        return start(f"--config.file={tmp_path}/all.yaml", "--web.listen-address=127.0.0.1:0")

    return run


def end_of(number: int) -> Life:
    return Life(f"{number:018}", *FACE_SWAP, time.time() - 3, 1.0, 1.0, State.SUCCEEDED)


def test_an_exporter_counts_what_ended_while_its_database_was_away(
    running: Running, live_site: Site, url: str, network: Passage
) -> None:
    exporter = running(url)
    live_site.world.add(end_of(1))
    exporter.wait_for("the first end", lambda: exporter.value(SUCCEEDED) == 1)
    network.refuse()
    exporter.wait_for("the feed being down", lambda: exporter.value(UP) == 0)
    assert "cause=ledger" in exporter.stderr
    assert "Connection refused" in exporter.stderr
    live_site.world.add(end_of(2))
    network.restore()
    exporter.wait_for("the second end", lambda: exporter.value(SUCCEEDED) == 2)
    exporter.send(signal.SIGKILL)
    exporter.process.wait()
    again = running(url)
    again.wait_for("a sweep", lambda: again.value(UP) == 1)
    assert again.value(SUCCEEDED) == 2
    network.swallow()
    assert again.end() == 0
    assert "Traceback" not in exporter.stderr + again.stderr


def test_an_exporter_that_cannot_use_its_database_ends_with_one_line(
    running: Running, postgresql: Server, ledger_url: str, tmp_path: Path
) -> None:
    postgresql.execute("DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded LOGIN PASSWORD 'right-password'")
    (tmp_path / "password").write_text("wrong-password")
    exporter = running(postgresql.url(role="guarded"), password_file=str(tmp_path / "password"))
    assert exporter.end(None) == 1
    assert exporter.stderr.splitlines() == [
        f"videotask-exporter: {postgresql.url(role='guarded')}: "
        'password authentication failed for user "guarded"; check ledger.password_file'
    ]


@pytest.mark.parametrize("command", ["run", "check-config", "doctor", "migrate-ledger"])
def test_where_the_driver_is_missing_it_is_said_how_to_install_it(start: Start, tmp_path: Path, command: str) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper available')")
    providers = [{"name": "swaps", "type": "facewap", "token": "KEY", "base_url": "http://127.0.0.1:1"}]
    settings = {"ledger": {"url": "postgresql://127.0.0.1:1/x"}, "providers": providers}
    (tmp_path / "all.yaml").write_text(json.dumps(settings))
    flags = ["--to=postgresql://127.0.0.1:1/x"] if command == "migrate-ledger" else ["--config.file=all.yaml"]
    if command == "run":
        flags.append("--web.listen-address=127.0.0.1:0")
    exporter = start(command, *flags, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert exporter.end(None) == 1
    assert exporter.stderr.splitlines() == [
        "videotask-exporter: ledger.url needs psycopg, which is not installed; "
        "run: pip install 'videotask-exporter[postgresql]'"
    ]


def test_the_doctor_reads_the_database_and_changes_nothing_there(
    start: Start, live_site: Site, ledger_url: str, postgresql: Server, tmp_path: Path
) -> None:
    """It tells of providers that the ledger knows; without the ledger, why it cannot be read."""
    settings = {"ledger": {"url": ledger_url}, "providers": [live_site.account("facewap", name="swaps")]}
    (tmp_path / "all.yaml").write_text(json.dumps(settings))
    live_site.world.add(end_of(1))
    before = start("doctor", f"--config.file={tmp_path}/all.yaml")
    before.end(None)
    assert "the ledger cannot be read" in before.stderr
    assert postgresql.ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'videotask'") == (0,)
    asyncio.run(filled(ledger_url))
    after = start("doctor", f"--config.file={tmp_path}/all.yaml")
    after.end(None)
    assert after.stderr == ""
    assert "The ledger has tasks of providers that are not configured: vendor." in after.stdout


async def filled(url: str) -> None:
    store = await PostgresqlStore.open(url)
    await store.commit(changes(1))
    await store.close()
