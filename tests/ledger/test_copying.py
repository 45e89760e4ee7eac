"""`migrate-ledger`: a SQLite ledger in PostgreSQL, whole, once, and never on top of another."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pty
import re
import sqlite3
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from exporter.commands.ledgers.migrating import CopyLines
from exporter.ledger.counters import Counters
from exporter.ledger.errors import StoreError
from exporter.ledger.postgresql.copying import _rows_before
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import Changes
from exporter.tasks import State, Step, Task
from tests.harness.network import Passage, passage
from tests.harness.postgresql import Server

START = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "a ledger.sqlite3")


def filled(path: str, tasks: int = 12_000) -> None:
    """A ledger of two feeds, with something in every table."""
    store = SqliteFile(path)
    for kind, state in (("one", State.SUCCEEDED), ("two", State.RUNNING)):
        every = [
            Task(
                f"{kind}-{n:07}", state, START, START + n, appeared=bool(n % 2), progress=n / tasks, said="nul\0 there"
            )
            for n in range(tasks)
        ]
        steps = [Step(task.id, START, State.QUEUED) for task in every[:50]]
        counts = Counters({("finished_total", "succeeded"): tasks + 0.5, ("failures_total", "timeout"): 3.0})
        store.commit(dataclasses.replace(Changes("vendor", kind, 1.0, 2.0, 3.0, every, counts), steps=steps))
    store.watch("vendor", "one", ["b", "a"], START)
    store.save_token("vendor:1", "secret-token", START)
    store.save_spent("vendor", '{"1":5}')
    store.close()


class Moving:
    """`migrate-ledger` as a process."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "exporter", "migrate-ledger", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=100)
        return self.process.returncode, out, err


def moved(path: str, url: str) -> tuple[int, str, str]:
    return Moving("--from", path, "--to", url).ended()


def everything(store: SqliteFile) -> list[object]:
    """What a ledger holds, as far as the calls of a store tell."""
    feeds = [store.load("vendor", kind) for kind in ("one", "two")]
    rest = [store.load("vendor", "one", 0).ended, store.watched("vendor", "one"), store.load_token("vendor:1")]
    story = store.find("vendor", "two", "two-0000007")
    return [*(dataclasses.replace(feed, in_flight=by_id(feed.in_flight)) for feed in feeds), *rest, story]


def by_id(tasks: object) -> list[Task]:
    return sorted(map(without_nul, tasks), key=lambda task: task.id)  # type: ignore[call-overload]


def without_nul(task: Task) -> Task:
    return dataclasses.replace(task, said=task.said.replace("\0", ""))


async def held(url: str) -> list[object]:
    """The same of the database."""
    store = await PostgresqlStore.open(url)
    feeds = [await store.load("vendor", kind) for kind in ("one", "two")]
    rest = [
        (await store.load("vendor", "one", 0)).ended,
        await store.watched("vendor", "one"),
        await store.load_token("vendor:1"),
    ]
    story = await store.find("vendor", "two", "two-0000007")
    await store.close()
    return [*(dataclasses.replace(feed, in_flight=by_id(feed.in_flight)) for feed in feeds), *rest, story]


def expected(path: str) -> list[object]:
    store = SqliteFile(path)
    one, two, ended, watched, token, story = everything(store)
    store.close()
    assert isinstance(ended, list)
    assert isinstance(story, tuple)
    return [one, two, [without_nul(task) for task in ended], watched, token, (without_nul(story[0]), story[1])]


def test_all_that_a_ledger_holds_is_copied_once(path: str, ledger_url: str) -> None:
    filled(path)
    code, out, err = moved(path, ledger_url)
    assert (code, err) == (0, "")
    assert "tasks: 24000\n" in out
    assert out.endswith(f"the copy of {path} is whole; set ledger.url in place of ledger.path\n")
    assert "secret-token" not in out
    assert asyncio.run(held(ledger_url)) == expected(path)
    code, out, err = moved(path, ledger_url)
    assert (code, out.splitlines()[0]) == (0, "Already copied; the file is unchanged.")


@pytest.fixture
def network(postgresql: Server) -> Iterator[Passage]:
    with passage(postgresql.port) as network:
        yield network


def test_a_copy_that_is_interrupted_goes_on_where_it_was(
    path: str, postgresql: Server, ledger_url: str, network: Passage
) -> None:
    filled(path, 6000)
    url = ledger_url.replace(str(postgresql.port), str(network.port))
    interruptions: list[Callable[[Moving], object]] = [
        lambda moving: moving.process.kill(),
        lambda moving: network.refuse(),
        lambda moving: moving.process.send_signal(2),
    ]
    for rows, interrupt in zip((1, 5000, 10_000), interruptions, strict=True):
        network.restore()
        network.delay = 0.05
        moving = Moving("--from", path, "--to", url)
        while moving.process.poll() is None and copied(postgresql) < rows:
            pass
        interrupt(moving)
        code, _, err = moving.ended()
        assert code != 0
        assert "Traceback" not in err
        with pytest.raises(StoreError, match="copied here only in part; run migrate-ledger again"):
            asyncio.run(held(ledger_url))
    code, out, _ = moved(path, ledger_url)
    assert (code, out.splitlines()[0]) == (0, "Going on where an earlier copy was interrupted.")
    assert asyncio.run(held(ledger_url)) == expected(path)


def copied(server: Server) -> int:
    (count,) = server.ask("SELECT CASE WHEN to_regclass('videotask.tasks') IS NULL THEN 0 ELSE 1 END")
    return int(server.ask("SELECT count(*) FROM videotask.tasks")[0]) if count else 0


def test_nothing_is_added_to_a_ledger_that_is_there(path: str, ledger_url: str) -> None:
    filled(path, 10)

    async def used() -> None:
        store = await PostgresqlStore.open(ledger_url)
        await store.save_spent("vendor", "{}")
        await store.close()

    asyncio.run(used())
    code, _, err = moved(path, ledger_url)
    told = (
        f"videotask-exporter: {ledger_url}: holds a ledger already; copy to an empty database, which is not added to\n"
    )
    assert (code, err) == (1, told)


def test_a_ledger_that_has_gone_on_since_is_not_mixed_with_its_copy(path: str, ledger_url: str) -> None:
    filled(path, 10)
    assert moved(path, ledger_url)[0] == 0
    store = SqliteFile(path)
    store.commit(Changes("vendor", "one", 1.0, 2.0, 99.0))
    store.close()
    code, _, err = moved(path, ledger_url)
    assert code == 1
    assert "holds a copy of another ledger, or of this one as it was before; DROP SCHEMA videotask CASCADE" in err


def test_a_file_that_cannot_be_copied_as_it_is_is_told_and_left_alone(
    path: str, tmp_path: Path, ledger_url: str
) -> None:
    filled(path, 10)
    exporter = SqliteFile(path)
    assert moved(path, ledger_url)[2].endswith("an exporter is using it; stop that first\n")
    exporter.close()
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    assert "written by a newer version (format 99, " in moved(path, ledger_url)[2]
    (tmp_path / "noise.sqlite3").write_bytes(os.urandom(5000))
    before = sorted(tmp_path.iterdir())
    assert "damaged, or not a ledger; it is left as it is" in moved(str(tmp_path / "noise.sqlite3"), ledger_url)[2]
    assert "no such file" in moved(str(tmp_path / "none.sqlite3"), ledger_url)[2]
    assert sorted(tmp_path.iterdir()) == before


def test_without_a_file_the_tables_are_made_for_a_role_that_may_not(postgresql: Server, ledger_url: str) -> None:
    code, out, _ = Moving("--to", ledger_url).ended()
    assert (code, out) == (0, f"{ledger_url}: the tables are there, nothing was copied\n")
    postgresql.execute("SELECT source FROM videotask.copies")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("--to", "postgresql://me:hunter2@db/x"),
            "--to: holds a password; write the URL without it, and give it as --password-file=FILE",
        ),
        (("--to", "mysql://db/x"), "--to: the address of something else than PostgreSQL"),
        (
            ("--to", "postgresql://db/x", "--password-file", "/nonexistent"),
            "--password-file: No such file or directory",
        ),
    ],
)
def test_wrong_arguments_are_told_without_the_password(arguments: tuple[str, ...], told: str) -> None:
    code, _, err = Moving(*arguments).ended()
    assert code == 2
    assert err.startswith(f"videotask-exporter migrate-ledger: error: {told}")
    assert "hunter2" not in err


def test_lines_say_how_far_a_copy_is_now_and_then_and_how_long_it_takes() -> None:
    said: list[str] = []
    now = 0.0
    lines = CopyLines(said.append, lambda: now)
    for done in range(5000, 55_000, 5000):
        lines("tasks", done, 50_000)
        now += 4.0
    lines("counts", 7, 7)
    assert said == [
        "tasks: 20,000 of 50,000, about 24 s left",
        "tasks: 35,000 of 50,000, about 12 s left",
        "tasks: 50,000 of 50,000, about 0 s left",
    ]


def test_a_terminal_shows_a_bar(path: str, ledger_url: str) -> None:
    filled(path)
    child, terminal = pty.fork()
    if child == 0:
        command = [sys.executable, "-m", "exporter", "migrate-ledger", "--from", path, "--to", ledger_url]
        os.execve(sys.executable, command, os.environ | {"TERM": "xterm"})  # noqa: S606
    termios.tcsetwinsize(terminal, (24, 100))
    shown = b""
    with suppress(OSError):  # the end of the terminal
        while more := os.read(terminal, 65536):
            shown += more
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert re.search(rb"tasks: 100%\|.+\| 24000/24000 ", shown)
    assert b"the copy of" in shown


def test_a_copy_that_goes_on_begins_its_count_where_it_was_interrupted(path: str) -> None:
    filled(path, tasks=20)
    with closing(sqlite3.connect(path)) as source:
        assert _rows_before(source, "tasks", []) == 0
        assert _rows_before(source, "tasks", [1, "one-0000004"]) == 5
