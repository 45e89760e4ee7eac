"""The doctor's look into the ledger's file, also while an exporter has it open and locked."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from exporter.commands.ledgers.look import LedgerFile
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import Changes
from exporter.tasks import State, Task

START = 1_700_000_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "a ledger?#%41.sqlite3"


def commit(store: SqliteFile, provider: str, tasks: int = 1) -> None:
    rows = [Task(f"task-{number}", State.RUNNING, START, START) for number in range(tasks)]
    store.commit(Changes(provider, "kind", None, None, None, rows))


async def test_tokens_and_ids_are_seen_as_soon_as_an_exporter_has_kept_them(path: Path) -> None:
    exporter = SqliteFile(str(path))
    look = LedgerFile(str(path))
    for token in ("first", "second"):
        commit(exporter, "vendor", 500)
        exporter.save_token("owner", token, 5.0)
        assert await look.load_token("owner") == (token, 5.0)
    exporter.watch("vendor", "kind", ["b", "a"], START)
    exporter.watch("vendor", "kind", ["c"], START - 1)
    exporter.watch("vendor", "other", ["d"], START)
    assert await look.asked_for("vendor", "kind") == ["c", "a", "b"] == exporter.watched("vendor", "kind")
    assert await look.load_token("nobody") is None
    exporter.close()


async def test_a_look_changes_no_file_adds_none_and_costs_the_exporter_no_lock(path: Path) -> None:
    exporter = SqliteFile(str(path))
    exporter.save_token("owner", "token", 5.0)
    commit(exporter, "vendor")
    before = {one.name: (one.read_bytes(), one.stat().st_mtime_ns) for one in path.parent.iterdir()}
    assert await LedgerFile(str(path)).load_token("owner") == ("token", 5.0)
    await LedgerFile(str(path)).save_token("owner", "other", 6.0)
    assert {one.name: (one.read_bytes(), one.stat().st_mtime_ns) for one in path.parent.iterdir()} == before
    commit(exporter, "vendor")
    exporter.close()


async def test_what_a_killed_exporter_left_in_the_log_is_seen_once_the_next_one_has_started(path: Path) -> None:
    killed = SqliteFile(str(path))
    commit(killed, "vendor")
    left = path.parent.parent / "ledger.sqlite3"
    for end in ("", "-wal"):
        shutil.copyfile(f"{path}{end}", f"{left}{end}")
    assert await LedgerFile(str(left)).providers() == []
    exporter = SqliteFile(str(left))
    assert await LedgerFile(str(left)).providers() == ["vendor"]
    exporter.close()
    killed.close()


async def test_a_file_that_is_not_there_or_empty_or_in_memory_holds_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = path.with_name("empty")
    empty.touch()
    for name in (str(path), str(empty), ":memory:"):
        assert await LedgerFile(name).load_token("owner") is None
        assert await LedgerFile(name).providers() == []
    assert not caplog.records


async def test_a_file_that_cannot_be_read_is_told_in_the_log_without_what_it_holds(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteFile(str(path))
    store.save_token("owner", "s3cr3t", 5.0)
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE tokens SET token = CAST(x'733363723374ff' AS TEXT)")  # s3cr3t and a byte too many
    database.close()
    assert await LedgerFile(str(path)).load_token("owner") is None
    path.write_bytes(b"no database, but s3cr3t")
    assert await LedgerFile(str(path)).load_token("owner") is None
    told = [vars(one)["error"] for one in caplog.records]
    assert told == ["text that cannot be read", "SQLITE_NOTADB"]
    assert "s3cr3t" not in caplog.text


async def test_a_file_that_is_written_to_without_a_pause_is_not_believed(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteFile(str(path))
    store.save_token("owner", "token", 5.0)
    store.close()
    always_written = LedgerFile(str(path), wall_clock=lambda: path.stat().st_mtime + 0.01)
    assert await always_written.load_token("owner") is None
    assert [vars(one)["error"] for one in caplog.records] == ["it is being written to all the time"]
    assert await LedgerFile(str(path)).load_token("owner") == ("token", 5.0)
