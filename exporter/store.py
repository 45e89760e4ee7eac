"""The ledger on disk, in SQLite.

Kept narrow, so that another database can take its place: load a feed, tell which ids are known, commit one sweep's
changes with their counters in one transaction. Every commit is on the disk before it returns.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporter.counts import Counts
from exporter.tasks import ENDS, Reason, State, Task

VERSION = 1

_SCHEMA = """
CREATE TABLE feeds (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    since REAL,    -- when the first complete sweep ended
    horizon REAL,  -- what ended before this is not counted any more
    polled REAL,   -- when the last successful sweep ended
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
    placed REAL,   -- the date of an ended task; NULL while in flight, or where nothing dates it
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
"""

_COLUMNS = (
    "id, state, first_seen, changed, appeared, reason, progress, submitted, started, ended, dated, "
    "seen_started, seen_ended, output_seconds, missing, told"
)
_UPSERT_TASK = f"INSERT OR REPLACE INTO tasks (feed, {_COLUMNS}, placed, is_end) VALUES ({', '.join('?' * 19)})"  # noqa: S608  # our own constants
_IDS_AT_ONCE = 500


class StoreError(Exception):
    """The ledger's file cannot be used. The text says why, and holds no task's content."""


@dataclass(frozen=True)
class Changes:
    """What one sweep changes in the ledger: committed as one."""

    provider: str
    kind: str
    since: float | None
    horizon: float | None
    polled: float | None
    tasks: Sequence[Task] = ()
    counts: Counts = field(default_factory=Counts)
    """New totals of the counters that have grown, not differences: to commit them twice changes nothing."""
    forgotten: Sequence[str] = ()


@dataclass(frozen=True)
class FeedRecord:
    """What the store holds of a feed, but for its ended tasks."""

    since: float | None = None
    horizon: float | None = None
    polled: float | None = None
    counts: Counts = field(default_factory=Counts)
    in_flight: Sequence[Task] = ()


class Store:
    """One SQLite file; every method may be called from any thread, one at a time gets through."""

    def __init__(self, path: str, patience: float = 5.0) -> None:
        """Opens the file and makes it if there is none; waits `patience` seconds for its lock. Raises StoreError."""
        self.path = path
        self._lock = threading.Lock()
        self._feeds: dict[tuple[str, str], int] = {}
        with _told(path):
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # it may come to hold tokens
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=patience)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        weakref.finalize(self, self._db.close)  # a store that nobody closed lets go of its file all the same

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # a second exporter on the same file would count twice
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise StoreError(
                f"{self.path}: written by a newer version (format {version}, this one knows {VERSION}); "
                "run that version, or set ledger.path to another file"
            )
        if version == 0 and self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(f"{self.path}: not a ledger, but a database of something else; set another ledger.path")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version == 0:
            with self._transaction():
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def load(self, provider: str, kind: str) -> FeedRecord:
        """All that is known of a feed but its ended tasks. Raises StoreError."""
        with self._lock, _told(self.path):
            feed = self._feed(provider, kind)
            since, horizon, polled = self._db.execute(
                "SELECT since, horizon, polled FROM feeds WHERE id = ?", (feed,)
            ).fetchone()
            counts = Counts()
            for key, value in self._db.execute("SELECT key, value FROM counts WHERE feed = ?", (feed,)):
                counts[tuple(json.loads(key))] = value
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM tasks WHERE feed = ? AND NOT is_end", (feed,))  # noqa: S608
            return FeedRecord(since, horizon, polled, counts, [_task(row) for row in rows])

    def ended_since(self, provider: str, kind: str, when: float) -> list[Task]:
        """The tasks that ended at or after a time, oldest first. Raises StoreError."""
        with self._lock, _told(self.path):
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM tasks WHERE feed = ? AND is_end AND placed >= ? ORDER BY placed",  # noqa: S608
                (self._feed(provider, kind), when),
            )
            return [_task(row) for row in rows]

    def ended_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        """Which of these ids belong to tasks whose end is in the ledger. Raises StoreError."""
        wanted = list(ids)
        found: set[str] = set()
        with self._lock, _told(self.path):
            feed = self._feed(provider, kind)
            for start in range(0, len(wanted), _IDS_AT_ONCE):
                some = wanted[start : start + _IDS_AT_ONCE]
                marks = ", ".join("?" * len(some))
                query = f"SELECT id FROM tasks WHERE feed = ? AND is_end AND id IN ({marks})"  # noqa: S608
                found.update(row[0] for row in self._db.execute(query, (feed, *some)))
        return found

    def ended_before(self, provider: str, kind: str, when: float, limit: int) -> list[str]:
        """Ids of tasks that ended, and were seen to, before a time; the oldest first. Raises StoreError."""
        with self._lock, _told(self.path):
            rows = self._db.execute(
                "SELECT id FROM tasks WHERE feed = ? AND is_end AND placed < ? AND changed < ? ORDER BY placed LIMIT ?",
                (self._feed(provider, kind), when, when, limit),
            )
            return [row[0] for row in rows]

    def commit(self, changes: Changes) -> None:
        """Writes one sweep's changes, all or nothing. Raises StoreError."""
        with self._lock, _told(self.path):
            feed = self._feed(changes.provider, changes.kind)
            with self._transaction():
                self._db.execute(
                    "UPDATE feeds SET since = ?, horizon = ?, polled = ? WHERE id = ?",
                    (changes.since, changes.horizon, changes.polled, feed),
                )
                self._db.executemany(_UPSERT_TASK, (_row(feed, task) for task in changes.tasks))
                self._db.executemany(
                    "INSERT OR REPLACE INTO counts (feed, key, value) VALUES (?, ?, ?)",
                    ((feed, json.dumps(key), value) for key, value in changes.counts.items()),
                )
                self._db.executemany(
                    "DELETE FROM tasks WHERE feed = ? AND id = ?", ((feed, gone) for gone in changes.forgotten)
                )

    def load_token(self, owner: str) -> tuple[str, float] | None:
        """A token kept from before, and when it ends. Raises StoreError."""
        with self._lock, _told(self.path):
            row = self._db.execute("SELECT token, expires FROM tokens WHERE owner = ?", (owner,)).fetchone()
            return (row[0], row[1]) if row else None

    def save_token(self, owner: str, token: str, expires: float) -> None:
        """Keeps a token across restarts. Raises StoreError."""
        with self._lock, _told(self.path):
            self._db.execute(
                "INSERT OR REPLACE INTO tokens (owner, token, expires) VALUES (?, ?, ?)", (owner, token, expires)
            )

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _feed(self, provider: str, kind: str) -> int:
        known = self._feeds.get((provider, kind))
        if known is None:
            self._db.execute("INSERT OR IGNORE INTO feeds (provider, kind) VALUES (?, ?)", (provider, kind))
            row = self._db.execute("SELECT id FROM feeds WHERE provider = ? AND kind = ?", (provider, kind)).fetchone()
            known = self._feeds[provider, kind] = int(row[0])
        return known


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Turns what SQLite, the file system and damaged content raise into one error that names the file."""
    try:
        yield
    except (sqlite3.Error, ValueError) as error:
        advice = "; is another exporter running on it?" if "locked" in str(error) else ""
        raise StoreError(f"{path}: {error}{advice}") from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None


def _row(feed: int, task: Task) -> tuple[object, ...]:
    return (
        feed,
        task.id,
        task.state,
        task.first_seen,
        task.changed,
        int(task.appeared),
        task.reason,
        task.progress,
        task.submitted,
        task.started,
        task.ended,
        task.dated,
        task.seen_started,
        task.seen_ended,
        task.output_seconds,
        task.missing,
        " ".join(sorted(task.told)),
        task.placed_at if task.state in ENDS else None,
        int(task.state in ENDS),
    )


def _task(row: Sequence[Any]) -> Task:
    identity, state, first_seen, changed, appeared, reason, *facts, missing, told = row
    return Task(
        identity,
        State(state),
        first_seen,
        changed,
        bool(appeared),
        Reason(reason) if reason else None,
        *(*facts, missing, frozenset(told.split())),
    )
