"""The ledger on disk: what goes in comes out, all or nothing, and a file that cannot be used is told so."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.models import PollSettings
from exporter.ledger.counters import Counters
from exporter.ledger.errors import StoreError
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import STEPS_KEPT, SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sqlite.tables import VERSION
from exporter.ledger.store import Changes
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import Tracker
from exporter.tasks import ENDS, Clock, Field, Observation, Reason, State, Step, Task
from tests.harness import made

START = 1_700_000_000.0

seconds = st.floats(-1e11, 1e11)
maybe_seconds = st.none() | seconds
ids = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": ids,
    "state": st.sampled_from(State),
    "first_seen": seconds,
    "changed": seconds,
    "appeared": st.booleans(),
    "reason": st.none() | st.sampled_from(Reason),
    "progress": st.none() | st.floats(0, 1),
    "submitted": maybe_seconds,
    "started": maybe_seconds,
    "ended": maybe_seconds,
    "dated": maybe_seconds,
    "seen_started": maybe_seconds,
    "seen_ended": maybe_seconds,
    "output_seconds": st.none() | st.floats(0, 1e9),
    "said": st.text(st.characters(codec="utf-8"), max_size=20),
    "missing": st.integers(0, 1000),
    "model": st.from_regex(r"[A-Za-z0-9._:/-]{0,64}", fullmatch=True),
    "told": st.frozensets(st.sampled_from(["queue", "rejected_ended", *Field])),
}
tasks = st.builds(Task, **FIELDS)


def changes(*of: Task, counts: Counters | None = None, forgotten: tuple[str, ...] = (), kind: str = "kind") -> Changes:
    return Changes("vendor", kind, 1.0, 2.0, 3.0, of, counts or Counters(), forgotten)


def ended(task_id: str, at: float = START) -> Task:
    return Task(task_id, State.SUCCEEDED, first_seen=START, changed=START, ended=at)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.sqlite3")


# --- Round trips


def test_every_field_of_a_task_takes_part_in_the_round_trip() -> None:
    assert [field.name for field in dataclasses.fields(Task)] == list(FIELDS)


@given(st.lists(tasks, max_size=5, unique_by=lambda task: task.id))
def test_every_field_of_every_task_comes_back(given_tasks: list[Task]) -> None:
    store = SqliteFile(":memory:")
    store.commit(changes(*given_tasks))
    back = {task.id: task for task in store.load("vendor", "kind").in_flight}
    back |= {task.id: task for task in store.ended_since("vendor", "kind", -1e12)}
    assert back == {task.id: task for task in given_tasks}
    ends = {task.id for task in given_tasks if task.state in ENDS}
    assert store.ended_among("vendor", "kind", [task.id for task in given_tasks]) == ends
    store.close()


def test_a_feed_that_was_never_seen_is_empty() -> None:
    record = SqliteFile(":memory:").load("vendor", "kind")
    assert (record.since, record.horizon, record.polled, record.counts, record.in_flight) == (None, None, None, {}, [])


def test_feeds_are_apart(path: str) -> None:
    store = SqliteFile(path)
    store.commit(changes(ended("a"), counts=Counters({("finished_total", "succeeded"): 1.0})))
    store.commit(changes(ended("b"), kind="other"))
    assert store.ended_among("vendor", "kind", ["a", "b"]) == {"a"}
    assert store.load("vendor", "other").counts == {}
    assert store.load("other", "kind").since is None


def test_totals_committed_twice_count_once() -> None:
    store = SqliteFile(":memory:")
    for _ in range(2):
        store.commit(changes(ended("a"), counts=Counters({("finished_total", "succeeded"): 7.0})))
    assert store.load("vendor", "kind").counts == {("finished_total", "succeeded"): 7.0}


def test_more_ids_than_a_query_takes_are_found() -> None:
    store = SqliteFile(":memory:")
    every = [f"task-{number}" for number in range(1234)]
    store.commit(changes(*map(ended, every)))
    assert store.ended_among("vendor", "kind", ["unknown", *every]) == set(every)


def test_what_is_forgotten_is_gone() -> None:
    store = SqliteFile(":memory:")
    store.commit(changes(ended("a"), ended("b")))
    store.commit(changes(forgotten=("a", "never-known")))
    assert store.ended_among("vendor", "kind", ["a", "b"]) == {"b"}


def test_the_oldest_ends_are_forgotten_first() -> None:
    store = SqliteFile(":memory:")
    store.commit(changes(*(ended(str(age), START - age) for age in (1, 5, 3)), Task("in flight", State.RUNNING, 0, 0)))
    assert store.ended_before("vendor", "kind", START + 1, limit=2) == ["5", "3"]
    assert store.ended_before("vendor", "kind", START, limit=2) == []  # they were seen to end only then


# --- All or nothing


def test_a_commit_that_fails_changes_nothing(path: str) -> None:
    store = SqliteFile(path)
    store.commit(changes(ended("a"), counts=Counters({("finished_total", "succeeded"): 1.0})))
    broken = Task("c", State.RUNNING, first_seen=None, changed=START)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.commit(changes(ended("b"), broken, counts=Counters({("finished_total", "succeeded"): 2.0})))
    assert store.ended_among("vendor", "kind", ["a", "b"]) == {"a"}
    assert store.load("vendor", "kind").counts == {("finished_total", "succeeded"): 1.0}
    store.commit(changes(ended("b")))
    store.close()
    assert SqliteFile(path).ended_among("vendor", "kind", ["b"]) == {"b"}


def test_a_commit_outlives_a_process_that_never_closes(path: str, tmp_path: Path) -> None:
    store = SqliteFile(path)
    store.commit(changes(ended("a")))
    left = tmp_path / "left behind"
    left.mkdir()
    for file in tmp_path.glob("ledger.sqlite3*"):  # as they are after kill -9
        (left / file.name).write_bytes(file.read_bytes())
    assert SqliteFile(str(left / "ledger.sqlite3")).ended_among("vendor", "kind", ["a"]) == {"a"}


# --- A restart shows the same tracker

rows = st.builds(
    Observation,
    id=st.sampled_from(["a", "b", "c", "d"]),
    state=st.sampled_from(State),
    reason=st.sampled_from(Reason),
    progress=st.none() | st.floats(0, 1),
    submitted=st.none() | st.floats(START - 7200, START + 600),
    started=st.none() | st.floats(START - 7200, START + 600),
    ended=st.none() | st.floats(START - 7200, START + 600),
    dated=st.none() | st.floats(START - 7200, START + 600),
    output_seconds=st.none() | st.sampled_from([0.0, 12.5]),
    unmapped=st.frozensets(st.sampled_from(Field), max_size=2),
)
sweeps = st.tuples(
    st.lists(rows, max_size=4),  # listed
    st.lists(rows, max_size=2),  # looked up
    st.sets(st.sampled_from(["a", "b", "c"])),  # missing
    st.booleans(),  # complete
    st.sampled_from([1.0, 15.0, 600.0, 86400.0]),  # seconds since the last one
)
Told = tuple[list[Observation], list[Observation], set[str], bool, float]


async def replayed(told: list[Told], store: SqliteFile) -> tuple[Tracker, Tracker]:
    """The tracker in memory after these sweeps, and the one that a restart would make."""
    made_of = ("vendor", "kind", Clock.OBSERVED, PollSettings())
    ledger = Ledger(SqliteStore(store), 30 * 86400)
    now = START
    tracker = made(ledger.open(*made_of, now))
    for listed, looked_up, missing, complete, after in told:
        now += after
        sweep = Sweep(missing=missing, complete=complete)
        sweep.listed = {row.id: (row, now) for row in listed}
        sweep.looked_up = {row.id: (row, now) for row in looked_up}
        await ledger.record(tracker, sweep, now)
    again = made(Ledger(SqliteStore(store), 30 * 86400).open(*made_of, now))
    assert sorted(again.recent(now), key=lambda task: task.id) == sorted(tracker.recent(now), key=lambda task: task.id)
    return tracker, again


@given(st.lists(sweeps, max_size=8))
@settings(max_examples=50, deadline=None)
def test_a_restart_shows_the_same_book(told: list[Told]) -> None:
    store = SqliteFile(":memory:")
    tracker, again = asyncio.run(replayed(told, store))
    assert again.counts == tracker.counts
    assert again.in_flight == tracker.in_flight
    assert (again.since, again.horizon, again.polled) == (tracker.since, tracker.horizon, tracker.polled)
    store.close()


@given(st.lists(sweeps, max_size=12))
@settings(max_examples=50, deadline=None)
def test_each_task_ends_at_most_once_whatever_the_sweeps_bring(told: list[Told]) -> None:
    store = SqliteFile(":memory:")
    tracker, _ = asyncio.run(replayed(told, store))
    finished = {key[1]: count for key, count in tracker.counts.items() if key[0] == "finished_total"}
    touched = {row.id for listed, looked_up, *_ in told for row in [*listed, *looked_up]}
    assert sum(finished.values()) <= len(touched)
    assert sum(finished.values()) + len(tracker.in_flight) <= len(touched)
    assert tracker.counts["failures_total", Reason.TIMEOUT] <= finished.get("failed", 0)
    reasons = sum(count for key, count in tracker.counts.items() if key[0] == "failures_total")
    assert reasons == finished.get("failed", 0)
    store.close()


# --- Tokens


def test_tokens_survive_a_restart(path: str) -> None:
    store = SqliteFile(path)
    assert store.load_token("chanjing:1") is None
    store.save_token("chanjing:1", "first", 10.0)
    store.save_token("chanjing:1", "second", 20.5)
    store.close()
    assert SqliteFile(path).load_token("chanjing:1") == ("second", 20.5)


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
        lambda: store.load("vendor", "kind"),
        lambda: store.ended_since("vendor", "kind", START),
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


# --- The story of a task


def stepped(*steps: Step) -> Changes:
    return dataclasses.replace(changes(), steps=steps)


def test_what_was_seen_of_a_task_is_told_in_order_and_each_once() -> None:
    store = SqliteFile(":memory:")
    store.commit(changes(Task("a", State.RUNNING, 1.0, 3.0, progress=0.5)))
    first, second = Step("a", 1.0, State.QUEUED), Step("a", 3.0, State.RUNNING, 0.5)
    store.commit(stepped(second, Step("b", 2.0, State.QUEUED)))
    store.commit(stepped(first, second))
    assert store.find("vendor", "kind", "a") == (Task("a", State.RUNNING, 1.0, 3.0, progress=0.5), [first, second])
    assert store.find("vendor", "other", "a") is None
    assert store.find("vendor", "kind", "b") is None, "steps alone are no task"


def test_steps_of_yesterday_are_dropped_as_new_ones_come() -> None:
    store = SqliteFile(":memory:")
    store.commit(changes(Task("a", State.RUNNING, 1.0, 1.0)))
    store.commit(stepped(*(Step("a", float(at), State.RUNNING) for at in range(10))))
    late = STEPS_KEPT + 4.5
    store.commit(stepped(*(Step("b", late + number / 100, State.QUEUED) for number in range(10))))
    found = store.find("vendor", "kind", "a")
    assert found is not None
    assert [step.at for step in found[1]] == [5.0, 6.0, 7.0, 8.0, 9.0]


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


def test_ids_that_were_asked_for_survive_a_restart_until_they_are_dropped(path: str) -> None:
    store = SqliteFile(path)
    store.watch("vendor", "kind", ["b", "a"], 1.0)
    store.watch("vendor", "kind", ["c", "a"], 2.0)
    store.watch("vendor", "other", ["x"], 2.0)
    store.close()
    again = SqliteFile(path)
    assert again.watched("vendor", "kind") == ["a", "b", "c"]
    again.unwatch("vendor", "kind", ["a", "b", "unknown"])
    assert (again.watched("vendor", "kind"), again.watched("vendor", "other")) == (["c"], ["x"])
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
        (task,) = store.ended_since("vendor", "kind", 0.0)
        known = (task.id, task.reason, task.output_seconds, task.missing, task.told)
        assert known == ("a", Reason.TIMEOUT, 4.0, 1, frozenset({"queue"}))
        assert task.model == ""
        assert (task.said, store.losses, store.watched("vendor", "kind")) == ("", 3, [])
        assert (store.load_spent("vendor"), store.load_spent("other")) == ('{"1":5}', "")
        assert (store.load_token("vendor:1"), store.load_token("vendor:requests")) == (("kept", 9.5), None)
        store.close()


# --- Its thread


class WaitingFile(SqliteFile):
    """A disk that answers nothing until it is told to."""

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
