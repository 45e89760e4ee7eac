"""The ledger on disk: what was committed is there, and a file that cannot be used is refused."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from exporter.ledger.counters import Counters
from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sqlite.tables import VERSION
from exporter.ledger.store import Changes
from exporter.tasks import Reason, State, Task

START = 1_700_000_000.0


def changes(*of: Task, counts: Counters | None = None, forgotten: tuple[str, ...] = (), kind: str = "kind") -> Changes:
    return Changes("vendor", kind, 1.0, 2.0, 3.0, of, counts or Counters(), forgotten)


def ended(task_id: str, at: float = START) -> Task:
    return Task(task_id, State.SUCCEEDED, first_seen=START, changed=START, ended=at)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.sqlite3")


# --- All or nothing


def test_a_commit_outlives_a_process_that_never_closes(path: str, tmp_path: Path) -> None:
    store = SqliteFile(path)
    store.commit(changes(ended("a")))
    left = tmp_path / "left behind"
    left.mkdir()
    for file in tmp_path.glob("ledger.sqlite3*"):  # as they are after kill -9
        (left / file.name).write_bytes(file.read_bytes())
    assert SqliteFile(str(left / "ledger.sqlite3")).ended_among("vendor", "kind", ["a"]) == {"a"}


# --- The file


def test_the_file_is_for_its_owner_alone(path: str, tmp_path: Path) -> None:
    store = SqliteFile(path)
    store.commit(changes(ended("a")))
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_missing_folders_are_made(tmp_path: Path) -> None:
    SqliteFile(str(tmp_path / "deep" / "down" / "ledger.sqlite3")).close()
    assert (tmp_path / "deep" / "down" / "ledger.sqlite3").is_file()


def test_a_ledger_in_memory_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteFile(":memory:")
    store.commit(changes(ended("a")))
    assert store.losses == 0
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_second_exporter_on_the_same_file_is_refused(path: str) -> None:
    first = SqliteFile(path)
    with pytest.raises(StoreError, match=r"ledger\.sqlite3: database is locked; is another exporter running on it\?"):
        SqliteFile(path, patience=0.1)
    first.close()
    SqliteFile(path).close()


def test_a_second_exporter_is_refused_also_on_a_file_that_was_there_before(path: str) -> None:
    SqliteFile(path).close()
    first = SqliteFile(path)
    with pytest.raises(StoreError, match="another exporter"):
        SqliteFile(path, patience=0.1)
    first.close()


def test_a_file_of_a_newer_version_is_refused_and_left_alone(path: str) -> None:
    SqliteFile(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()
    before = Path(path).read_bytes()
    said = (
        rf"ledger\.sqlite3: written by a newer version \(format {VERSION + 1}, this one knows {VERSION}\); "
        r"run that version, or set ledger\.path to another file$"
    )
    with pytest.raises(StoreError, match=said):
        SqliteFile(path)
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("its_version", [0, VERSION, VERSION + 1])
def test_the_database_of_another_program_is_refused_and_left_alone(path: str, its_version: int) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (id INTEGER PRIMARY KEY)")
        database.execute(f"PRAGMA user_version = {its_version}")
    database.close()
    with pytest.raises(StoreError, match="not a ledger"):
        SqliteFile(path)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("songs",)]
    database.close()


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Is a directory"):
        SqliteFile(str(tmp_path))


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"ledger\.sqlite3: (Not a directory|File exists)"):
        SqliteFile(str(tmp_path / "file" / "ledger.sqlite3"))
    with pytest.raises(StoreError):
        SqliteFile("/proc/no-such-folder/ledger.sqlite3")


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(StoreError, match="null"):
        SqliteFile("ledger\0.sqlite3")


def test_damaged_content_is_told_as_such_and_not_repeated(path: str) -> None:
    store = SqliteFile(path)
    store.commit(changes(Task("a", State.RUNNING, START, START)))
    store.save_token("chanjing:1", "s3cr3t", 10.0)
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE tokens SET token = CAST(x'733363723374ff' AS TEXT)")  # s3cr3t and a byte too many
    database.close()
    with pytest.raises(StoreError, match=r"ledger\.sqlite3: text that cannot be read$"):
        SqliteFile(path).load_token("chanjing:1")


def test_a_store_that_is_closed_says_so(path: str) -> None:
    store = SqliteFile(path)
    store.close()
    for call in (
        lambda: store.commit(changes(ended("a"))),
        lambda: store.providers(),
        lambda: store.load("vendor", "kind", START),
        lambda: store.ended_among("vendor", "kind", ["a"]),
        lambda: store.ended_before("vendor", "kind", START, 1),
        lambda: store.find("vendor", "kind", "a"),
        lambda: store.watched("vendor", "kind"),
        lambda: store.watch("vendor", "kind", ["a"], START),
        lambda: store.unwatch("vendor", "kind", ["a"]),
        lambda: store.load_token("a"),
        lambda: store.save_token("a", "token", START),
        lambda: store.load_spent("vendor"),
        lambda: store.save_spent("vendor", "{}"),
    ):
        with pytest.raises(StoreError, match=r"ledger\.sqlite3: .*closed"):
            call()
    store.close()


# --- Ids that were asked for


def test_ids_and_tokens_are_at_once_in_the_file_where_others_read_them(path: str, tmp_path: Path) -> None:
    store = SqliteFile(path)
    store.watch("vendor", "kind", ["a"], START)
    store.save_token("vendor:1", "token", START)
    copy = tmp_path / "copy.sqlite3"  # without the log beside it
    copy.write_bytes(Path(path).read_bytes())
    store.close()
    again = SqliteFile(str(copy))
    assert (again.watched("vendor", "kind"), again.load_token("vendor:1")) == (["a"], ("token", START))
    again.close()


# --- Earlier formats

FIRST_FORMAT = """
CREATE TABLE feeds (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    since REAL,
    horizon REAL,
    polled REAL,
    UNIQUE (provider, kind)
) STRICT;
CREATE TABLE tasks (
    feed INTEGER NOT NULL REFERENCES feeds,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    first_seen REAL NOT NULL,
    changed REAL NOT NULL,
    appeared INTEGER NOT NULL,
    reason TEXT,
    progress REAL,
    submitted REAL,
    started REAL,
    ended REAL,
    dated REAL,
    seen_started REAL,
    seen_ended REAL,
    output_seconds REAL,
    missing INTEGER NOT NULL,
    told TEXT NOT NULL,
    placed REAL,
    is_end INTEGER NOT NULL,
    PRIMARY KEY (feed, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_placed ON tasks (feed, placed) WHERE is_end;
CREATE INDEX tasks_in_flight ON tasks (feed) WHERE NOT is_end;
CREATE TABLE counts (
    feed INTEGER NOT NULL REFERENCES feeds,
    key TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (feed, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (owner TEXT PRIMARY KEY, token TEXT NOT NULL, expires REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE losses (count INTEGER NOT NULL) STRICT;
"""
ITS_TASK = "1, 'a', 'failed', 1, 2, 0, 'timeout', 0.5, 1, 1, 2, 2, NULL, NULL, 4, 1, 'queue', 2, 1"


SINCE_2 = """
ALTER TABLE tasks ADD COLUMN said TEXT NOT NULL DEFAULT '';
CREATE TABLE steps (
    feed INTEGER NOT NULL REFERENCES feeds,
    id TEXT NOT NULL,
    at REAL NOT NULL,
    state TEXT NOT NULL,
    progress REAL,
    UNIQUE (feed, id, at)
) STRICT;
CREATE TABLE watched (
    feed INTEGER NOT NULL REFERENCES feeds,
    id TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (feed, id)
) STRICT, WITHOUT ROWID;
"""


SINCE_3 = """
CREATE TABLE budgets (provider TEXT PRIMARY KEY, spent TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO budgets SELECT substr(owner, 1, length(owner) - 9), token FROM tokens WHERE substr(owner, -9) = ':requests';
DELETE FROM tokens WHERE substr(owner, -9) = ':requests';
"""


@pytest.mark.parametrize(
    ("version", "statements"),
    [(1, FIRST_FORMAT), (2, FIRST_FORMAT + SINCE_2), (3, FIRST_FORMAT + SINCE_2 + SINCE_3)],
)
def test_a_ledger_of_an_earlier_format_is_brought_up_to_date(path: str, version: int, statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(FIRST_FORMAT)
        database.execute("INSERT INTO feeds VALUES (1, 'vendor', 'kind', 1.0, 2.0, 3.0)")
        database.execute(f"INSERT INTO tasks VALUES ({ITS_TASK})")  # noqa: S608
        database.execute("INSERT INTO losses VALUES (3)")
        # What was sent of budgets stood among the tokens, under a name that no token has.
        database.execute("INSERT INTO tokens VALUES ('vendor:requests', '{\"1\":5}', 0), ('vendor:1', 'kept', 9.5)")
        database.executescript(statements.removeprefix(FIRST_FORMAT))
        database.execute(f"PRAGMA user_version = {version}")
        database.commit()
    for _ in range(2):
        store = SqliteFile(path)
        (task,) = store.load("vendor", "kind", 0.0).ended
        known = (task.id, task.reason, task.output_seconds, task.missing, task.told)
        assert known == ("a", Reason.TIMEOUT, 4.0, 1, frozenset({"queue"}))
        assert task.model == ""
        assert (task.said, store.losses, store.watched("vendor", "kind")) == ("", 3, [])
        assert (store.load_spent("vendor"), store.load_spent("other")) == ('{"1":5}', "")
        assert (store.load_token("vendor:1"), store.load_token("vendor:requests")) == (("kept", 9.5), None)
        store.close()


# --- Its thread


class WaitingFile(SqliteFile):
    """A disk that does not answer until the test lets it."""

    disk = threading.Event()

    def save_token(self, owner: str, token: str, expires: float) -> None:
        self.disk.wait()
        super().save_token(owner, token, expires)


async def test_calls_wait_for_the_disk_one_after_the_other_and_the_event_loop_for_none() -> None:
    store = SqliteStore(WaitingFile(":memory:"))
    saving = asyncio.create_task(store.save_token("owner", "token", 1.0))
    others = [asyncio.create_task(store.load_token("owner")), asyncio.create_task(store.load_token("nobody"))]
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not any(one.done() for one in (saving, *others))
    WaitingFile.disk.set()
    assert await asyncio.gather(*others) == [("token", 1.0), None]
    await saving
    await store.close()


async def test_a_store_that_is_closed_says_so_and_may_be_closed_again(path: str) -> None:
    store = await SqliteStore.open(path)
    assert (store.path, store.losses, await store.providers()) == (path, 0, [])
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match=r"ledger\.sqlite3: closed, the exporter is stopping$"):
        await store.load_spent("vendor")


async def test_a_file_that_cannot_be_opened_is_told_by_the_store_too(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="name a file in it"):
        await SqliteStore.open(str(tmp_path))
