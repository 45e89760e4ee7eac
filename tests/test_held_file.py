"""What happens to the ledger's file behind the exporter's back is noticed at the next commit, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.ledger.counters import Counters
from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import Changes
from exporter.tasks import State, Task

START = 1_700_000_000.0


def changes(total: int) -> Changes:
    tasks = [Task(f"task-{total}", State.RUNNING, START, START)]
    return Changes("vendor", "kind", START, START, START, tasks, Counters({("finished_total", "succeeded"): total}))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "ledger.sqlite3"


@pytest.fixture
def store(path: Path) -> SqliteFile:
    store = SqliteFile(str(path))
    store.commit(changes(1))
    return store


def holds(store: SqliteFile) -> tuple[float, list[str]]:
    record = store.load("vendor", "kind")
    return record.counts["finished_total", "succeeded"], sorted(task.id for task in record.in_flight)


def files(path: Path) -> list[Path]:
    return sorted(path.parent.glob("ledger.sqlite3*"))


def unlink(path: Path) -> None:
    for file in files(path):
        file.unlink()


def remove_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def move_away(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replace_by_an_empty_file(path: Path) -> None:
    path.unlink()
    path.touch()


def replace_by_a_copy(path: Path) -> None:
    shutil.copyfile(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def replace_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("old"))
    path.parent.mkdir()
    sqlite3.connect(path).execute("CREATE TABLE other (x)")


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def change_the_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(24)  # a number that each writer counts up
        file.write(b"\xff\xff")


def write_over(path: Path) -> None:
    with sqlite3.connect(path.with_name("other")) as other:
        for n in range(50):
            other.execute(f"CREATE TABLE other_{n} (x)")
    other.close()
    path.write_bytes(path.with_name("other").read_bytes())


def truncate_the_log(path: Path) -> None:
    os.truncate(f"{path}-wal", 0)


def replace_the_log(path: Path) -> None:
    log = Path(f"{path}-wal")
    log.rename(f"{path}-old")
    log.write_bytes(b"another log")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (unlink, "deleted or moved away while it is in use"),
        (remove_the_folder, "deleted or moved away while it is in use"),
        (move_away, "deleted or moved away while it is in use"),
        (replace_by_an_empty_file, "replaced by another file while it is in use"),
        (replace_by_a_copy, "replaced by another file while it is in use"),
        (replace_by_a_folder, "replaced by another file while it is in use"),
        (replace_by_a_link_to_nothing, "replaced by another file while it is in use"),
        (replace_the_folder, "replaced by another file while it is in use"),
        (truncate, "written over or cut short by another program"),
        (cut_short, "written over or cut short by another program"),
        (change_the_head, "written over or cut short by another program"),
        (write_over, "written over or cut short by another program"),
        (truncate_the_log, "its write-ahead log was cut short by another program"),
        (replace_the_log, "its write-ahead log was replaced by another file"),
    ],
)
def test_a_file_that_nothing_would_find_again_is_not_written_to(
    store: SqliteFile, path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    spoil(path)
    for _ in range(2):  # and is not taken for right the second time
        with pytest.raises(StoreError, match=rf"ledger\.sqlite3: {told}"):
            store.commit(changes(2))
        with pytest.raises(StoreError, match=told):
            store.save_token("owner", "token", 1.0)
        with pytest.raises(StoreError, match=told):
            store.watch("vendor", "kind", ["a"], START)
    store.close()


def test_a_file_that_comes_back_is_right_again(store: SqliteFile, path: Path) -> None:
    move_away(path)
    with pytest.raises(StoreError):
        store.commit(changes(2))
    path.with_name("elsewhere").rename(path)
    store.commit(changes(3))
    store.close()
    assert holds(SqliteFile(str(path))) == (3, ["task-1", "task-3"])


def test_a_folder_that_comes_back_is_right_again(store: SqliteFile, path: Path) -> None:
    away = path.parent.with_name("away")
    path.parent.rename(away)
    with pytest.raises(StoreError):
        store.commit(changes(2))
    away.rename(path.parent)
    store.commit(changes(3))
    store.close()
    assert holds(SqliteFile(str(path))) == (3, ["task-1", "task-3"])


def test_a_log_that_was_deleted_is_begun_again_and_nothing_of_it_is_lost(store: SqliteFile, path: Path) -> None:
    Path(f"{path}-wal").unlink()
    store.commit(changes(2))
    in_use = f"from exporter.ledger.sqlite.file import SqliteFile\nSqliteFile({str(path)!r}, patience=0)"
    other = subprocess.run([sys.executable, "-c", in_use], capture_output=True, text=True, check=False)
    assert "is another exporter running on it?" in other.stderr
    # What a process that is killed now would leave. (To copy the file in this process gives up the lock on it.)
    left = path.parent / "left"
    left.mkdir()
    for file in files(path):
        shutil.copyfile(file, left / file.name)
    assert holds(SqliteFile(str(left / path.name))) == (2, ["task-1", "task-2"])
    store.close()


def test_a_path_through_a_link_is_the_file_behind_it(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    link = tmp_path / "ledger.sqlite3"
    link.symlink_to("a/ledger.sqlite3")
    store = SqliteFile(str(link))
    for total in (1, 2):
        store.commit(changes(total))
    link.unlink()
    link.symlink_to("b")
    with pytest.raises(StoreError, match="replaced by another file"):
        store.commit(changes(3))
    store.close()


def test_what_keeps_the_file_is_no_trouble(store: SqliteFile, path: Path) -> None:
    os.link(path, path.with_name("backup"))
    path.chmod(0o640)
    path.touch()
    for total in range(2, 60):  # enough for SQLite to move its log to the file now and then
        made = changes(total)
        tasks = [Task(f"{total}-{n}", State.RUNNING, START, START, said="x" * 500) for n in range(300)]
        store.commit(Changes("vendor", "kind", START, START, START, tasks, made.counts))
    store.close()
    assert holds(SqliteFile(str(path)))[0] == 59


def test_the_file_of_another_exporter_at_the_same_path_is_left_alone(store: SqliteFile, path: Path) -> None:
    unlink(path)
    other = SqliteFile(str(path))
    other.commit(changes(7))
    with pytest.raises(StoreError):
        store.commit(changes(2))
    store.close()
    other.commit(changes(8))
    assert Path(f"{path}-wal").exists()
    other.close()
    assert holds(SqliteFile(str(path))) == (8, ["task-7", "task-8"])
