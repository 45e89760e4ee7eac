"""The ledger on disk, in SQLite. Every commit is on the disk before it returns.

A file that is no usable ledger is refused and left alone. One that was a ledger and is damaged is set aside under
another name, and a new one is begun: counting continues, and nothing is deleted.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from exporter.ledger.counters import Counters
from exporter.ledger.counting.last_day import STEP
from exporter.ledger.counting.late import USAGE
from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite import recovery
from exporter.ledger.sqlite import tables as schema
from exporter.ledger.sqlite.held_file import HeldFile
from exporter.ledger.sqlite.recovery import Damaged
from exporter.ledger.sqlite.rows import COLUMNS, COUNT, MEASURED, row_of, step_of, task_of, total_of
from exporter.ledger.store import STEPS_KEPT, STEPS_SHOWN, Changes, FeedRecord
from exporter.tasks import Reason, State, Step, Task

T = TypeVar("T")

log = logging.getLogger(__name__)

_UPSERT_TASK = f"INSERT OR REPLACE INTO tasks (feed, {COLUMNS}, placed, is_end) VALUES ({', '.join('?' * (COUNT + 3))})"  # noqa: S608  # our own constants
_IDS_AT_ONCE = 500
_ENDED_BY_STEP = f"""
WITH ends AS (
    SELECT CAST(min(placed, coalesce(submitted, first_seen)) / {STEP} AS INTEGER) AS begun_in,
        CAST(placed / {STEP} AS INTEGER) AS ended_in, count(*) AS number, sum(state = '{State.FAILED}') AS failed
    FROM tasks WHERE feed = ? AND is_end AND placed >= ?
        AND coalesce(ended, seen_ended, dated, submitted) IS NOT NULL
    GROUP BY begun_in, ended_in
), steps AS (
    SELECT begun_in AS step, number AS begun, 0 AS ended, 0 AS failed FROM ends
    UNION ALL SELECT ended_in, 0, number, failed FROM ends
)
SELECT step, sum(begun), sum(ended), sum(failed) FROM steps GROUP BY step
"""  # noqa: S608  # of constants
_BROKEN_WORDS = "SELECT EXISTS (SELECT 1 FROM tasks WHERE state NOT IN ({}) OR reason NOT IN ({}))".format(  # noqa: S608
    *(", ".join(f"'{word}'" for word in words) for words in (State, Reason))
)
_ADVICE = {
    "locked": "; is another exporter running on it?",
    "unable to open": "; its folder must be writable too",
    "readonly": "; its folder must be writable too",
    "Permission denied": "; its folder must be writable too",
    "Read-only file system": "; its folder must be writable",
    "Is a directory": "; name a file in it",
    "not a regular file": "; name one, it is made if there is none",
    "Not a directory": "; name a file in a folder",
}
_LOSSES = "SELECT coalesce(max(count), 0) FROM losses"
_UNREADABLE = "text that cannot be read"
_DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteFile:
    """A ledger in one SQLite file: the calls of `Store`, which says what they do, and which errors they raise.

    They wait for the disk. Each may be made from any thread; one at a time gets through.
    """

    def __init__(self, path: str, patience: float = 5.0) -> None:
        """Opens the file and makes it if there is none; waits `patience` seconds for its lock. Raises StoreError."""
        self.path = path
        self.losses = 0
        """Ledgers that were damaged and set aside, up to this one."""
        self._lock = threading.RLock()
        self._feeds: dict[tuple[str, str], int] = {}
        with _told(path):
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            try:
                self._open(patience)
            except Damaged as damage:
                if not recovery.was_ledger(path):
                    self._release()
                    raise StoreError(f"{path}: {damage}; not a ledger, set another ledger.path") from None
                self._set_aside(str(damage))
                self._open(patience)
        weakref.finalize(self, _released, self._db, self._file)  # also if the store is never closed

    def _open(self, patience: float) -> None:
        self._file = HeldFile(self.path) if self.path != ":memory:" else None
        self._db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=patience)
        try:
            self._prepare()
            if self._file:
                self._file.note()
        except Damaged:
            raise  # still open and locked, until it has been set aside
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        _released(self._db, self._file)

    def _prepare(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # a second exporter on the same file would count twice
        with _damage_told():
            if self.path != ":memory:" and recovery.is_emptied(self.path):
                raise Damaged("the file is empty, but its write-ahead log is not")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master")}
        if (version or tables) and "feeds" not in tables:
            raise StoreError(f"{self.path}: not a ledger, but a database of something else; set another ledger.path")
        if version > schema.VERSION:
            raise StoreError(
                f"{self.path}: written by a newer version (format {version}, this one knows {schema.VERSION}); "
                "run that version, or set ledger.path to another file"
            )
        if tables:
            self._check()
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version < schema.VERSION:
            with self._transaction():
                schema.upgrade(self._db, version)
                if not tables:
                    # Told by the names beside it, so that a crash between setting aside and this hides no loss.
                    losses = 0 if self.path == ":memory:" else recovery.losses_beside(self.path)
                    self._db.execute("INSERT INTO losses (count) VALUES (?)", (losses,))
        self.losses = self._db.execute(_LOSSES).fetchone()[0]
        self._show()

    def _check(self) -> None:
        """Reads everything once: what is found now can be set aside, what is found later stops all sweeps.

        A million tasks (200 MB) take about two seconds, or four from a cold disk.
        """
        with _damage_told():
            (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise Damaged("; ".join(found.splitlines()))
            if self._db.execute(_BROKEN_WORDS).fetchone()[0]:
                raise Damaged("a task in no known state")
            for (key,) in self._db.execute("SELECT key FROM counts"):
                tuple(json.loads(key))
            for _ in self._db.execute("SELECT id, told FROM tasks"):  # text that is not UTF-8 is an error
                pass

    def _set_aside(self, damage: str) -> None:
        try:
            kept = recovery.set_aside(self.path, self._losses_told())
        except OSError as error:
            raise StoreError(f"{self.path}: damaged ({damage}), and cannot be renamed: {error.strerror}") from None
        finally:
            self._release()
        told = {"path": self.path, "kept_as": kept, "damage": damage}
        log.error("the ledger was damaged; it was set aside and a new one started", extra=told)

    def _losses_told(self) -> int:
        """The losses that a damaged ledger knows of, if it can still be read."""
        if recovery.is_emptied(self.path):
            return 0  # not even asked: SQLite would delete the log
        try:
            return int(self._db.execute(_LOSSES).fetchone()[0])
        except sqlite3.Error:
            return 0

    def _check_file(self) -> None:
        """Refuses to write to a file that nothing will find again. Raises StoreError, OSError."""
        if self._file is None:
            return
        if trouble := self._file.trouble:
            raise StoreError(f"{self.path}: {trouble}")
        if self._file.has_lost_log:  # all that it held is moved to the file itself, and a new one begun
            if self._db.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
                raise StoreError(f"{self.path}: its write-ahead log was deleted; restart the exporter")
            self._db.execute("PRAGMA journal_mode = WAL")

    @contextmanager
    def _writing(self, *, shown: bool = False) -> Iterator[None]:
        """A transaction on the file as it was left, and as the next one has to find it; `shown` to others at once."""
        self._check_file()
        try:
            with self._transaction():
                yield
            if shown:
                self._show()
        finally:
            if self._file:
                self._file.note()

    def _show(self) -> None:
        """Moves what was committed from the log to the file proper, where others read it: the log is ours alone."""
        with suppress(sqlite3.Error):  # it is on the disk in any case
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

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

    def providers(self) -> list[str]:
        return self._read(_first, "SELECT DISTINCT provider FROM feeds")

    def load(
        self, provider: str, kind: str, ended_since: float = math.inf, steps_since: float = math.inf
    ) -> FeedRecord:
        feed = self._feed(provider, kind)
        ((since, horizon, polled),) = self._read(tuple, "SELECT since, horizon, polled FROM feeds WHERE id = ?", feed)
        counts = self._read(total_of, "SELECT key, value FROM counts WHERE feed = ?", feed)
        in_flight = self._read(task_of, f"SELECT {COLUMNS} FROM tasks WHERE feed = ? AND NOT is_end", feed)  # noqa: S608
        query = f"SELECT {COLUMNS} FROM tasks WHERE feed = ? AND is_end AND placed >= ? ORDER BY placed"  # noqa: S608
        ended = self._read(task_of, query, feed, ended_since)
        by_step = self._read(tuple, _ENDED_BY_STEP, feed, steps_since)
        return FeedRecord(since, horizon, polled, Counters(counts), in_flight, ended, by_step)

    def unpaid_since(self, provider: str, kind: str, when: float, limit: int) -> list[Task]:
        query = (
            f"SELECT {COLUMNS} FROM tasks WHERE feed = ? AND is_end AND placed >= ? AND state IN ({MEASURED}) "  # noqa: S608
            "AND ' ' || told || ' ' NOT LIKE ? ORDER BY placed DESC LIMIT ?"
        )
        found = self._read(task_of, query, self._feed(provider, kind), when, f"% {USAGE} %", limit)
        return found[::-1]

    def ended_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        wanted, feed = list(ids), self._feed(provider, kind)
        found: set[str] = set()
        for start in range(0, len(wanted), _IDS_AT_ONCE):
            some = wanted[start : start + _IDS_AT_ONCE]
            marks = ", ".join("?" * len(some))
            query = f"SELECT id FROM tasks WHERE feed = ? AND is_end AND id IN ({marks})"  # noqa: S608
            found.update(self._read(_first, query, feed, *some))
        return found

    def ended_before(self, provider: str, kind: str, when: float, limit: int) -> list[str]:
        query = "SELECT id FROM tasks WHERE feed = ? AND is_end AND placed < ? AND changed < ? ORDER BY placed LIMIT ?"
        return self._read(_first, query, self._feed(provider, kind), when, when, limit)

    def commit(self, changes: Changes) -> None:
        feed = self._feed(changes.provider, changes.kind)
        with self._lock, _told(self.path), self._writing():
            self._db.execute(
                "UPDATE feeds SET since = ?, horizon = ?, polled = ? WHERE id = ?",
                (changes.since, changes.horizon, changes.polled, feed),
            )
            self._db.executemany(_UPSERT_TASK, (row_of(feed, task) for task in changes.tasks))
            self._keep(feed, changes.steps)
            self._db.executemany(
                "INSERT OR REPLACE INTO counts (feed, key, value) VALUES (?, ?, ?)",
                ((feed, json.dumps(key), value) for key, value in changes.counts.items()),
            )
            self._db.executemany(
                "DELETE FROM tasks WHERE feed = ? AND id = ?", ((feed, gone) for gone in changes.forgotten)
            )

    def _keep(self, feed: int, steps: Sequence[Step]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO steps (feed, id, at, state, progress) VALUES (?, ?, ?, ?, ?)",
            ((feed, step.task_id, step.at, step.state.value, step.progress) for step in steps),
        )
        if steps:
            # They are written in the order of time, whatever the feed: the oldest come first.
            oldest = f"SELECT rowid FROM steps ORDER BY rowid LIMIT {2 * len(steps)}"  # noqa: S608  # a number
            limit = max(step.at for step in steps) - STEPS_KEPT
            self._db.execute(f"DELETE FROM steps WHERE at < ? AND rowid IN ({oldest})", (limit,))  # noqa: S608

    def find(self, provider: str, kind: str, task_id: str) -> tuple[Task, list[Step]] | None:
        about = (self._feed(provider, kind), task_id)
        found = self._read(task_of, f"SELECT {COLUMNS} FROM tasks WHERE feed = ? AND id = ?", *about)  # noqa: S608
        query = "SELECT id, at, state, progress FROM steps WHERE feed = ? AND id = ? ORDER BY at DESC LIMIT ?"
        return (found[0], self._read(step_of, query, *about, STEPS_SHOWN)[::-1]) if found else None

    def find_all(self, task_id: str) -> dict[tuple[str, str], Task]:
        feed = "(SELECT {} FROM feeds WHERE feeds.id = feed)"
        columns = f"{feed.format('provider')}, {feed.format('kind')}, {COLUMNS}"
        query = f"SELECT {columns} FROM tasks WHERE id = ? AND feed IN (SELECT id FROM feeds)"  # noqa: S608
        rows = self._read(tuple, query, task_id)
        return {(provider, kind): task_of(row) for provider, kind, *row in rows}

    def watched(self, provider: str, kind: str) -> list[str]:
        query = "SELECT id FROM watched WHERE feed = ? ORDER BY at, id"
        return self._read(_first, query, self._feed(provider, kind))

    def watch(self, provider: str, kind: str, ids: Iterable[str], at: float) -> None:
        feed = self._feed(provider, kind)
        query = "INSERT OR IGNORE INTO watched (feed, id, at) VALUES (?, ?, ?)"
        self._write(query, ((feed, one, at) for one in ids), shown=True)

    def unwatch(self, provider: str, kind: str, ids: Iterable[str]) -> None:
        feed = self._feed(provider, kind)
        self._write("DELETE FROM watched WHERE feed = ? AND id = ?", ((feed, one) for one in ids))

    def load_token(self, owner: str) -> tuple[str, float] | None:
        return next(iter(self._read(tuple, "SELECT token, expires FROM tokens WHERE owner = ?", owner)), None)

    def save_token(self, owner: str, token: str, expires: float) -> None:
        query = "INSERT OR REPLACE INTO tokens (owner, token, expires) VALUES (?, ?, ?)"
        self._write(query, [(owner, token, expires)], shown=True)

    def load_spent(self, provider: str) -> str:
        return next(iter(self._read(_first, "SELECT spent FROM budgets WHERE provider = ?", provider)), "")

    def save_spent(self, provider: str, spent: str) -> None:
        self._write("INSERT OR REPLACE INTO budgets (provider, spent) VALUES (?, ?)", [(provider, spent)])

    def close(self) -> None:
        with self._lock:
            self._release()

    def _feed(self, provider: str, kind: str) -> int:
        """The number of a feed, which gets one when it is first named."""
        about = (provider, kind)
        if about not in self._feeds:
            self._write("INSERT OR IGNORE INTO feeds (provider, kind) VALUES (?, ?)", [about])
            (self._feeds[about],) = self._read(_first, "SELECT id FROM feeds WHERE provider = ? AND kind = ?", *about)
        return self._feeds[about]

    def _read(self, make: Callable[[Any], T], query: str, *values: object) -> list[T]:
        """What each row that a query gives is made into."""
        with self._lock, _told(self.path):
            return [make(row) for row in self._db.execute(query, values)]

    def _write(self, statement: str, rows: Iterable[Sequence[object]], *, shown: bool = False) -> None:
        """Executes a statement for each of these rows, all or none."""
        with self._lock, _told(self.path), self._writing(shown=shown):
            self._db.executemany(statement, rows)


def _first(row: Sequence[Any]) -> Any:
    return row[0]


def _released(db: sqlite3.Connection, file: HeldFile | None) -> None:
    db.close()
    if file:
        file.close()


@contextmanager
def _damage_told() -> Iterator[None]:
    """Tells a file that does not hold together from one that cannot be reached now."""
    try:
        yield
    except (ValueError, TypeError):
        raise Damaged(_UNREADABLE) from None
    except sqlite3.DatabaseError as error:
        # The lower byte, without what extends a code; an error of decoding, which is Python's own, has none.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in _DAMAGES:
            raise
        raise Damaged(_words(error)) from None


def _words(error: Exception) -> str:
    """What went wrong, without what was read: an error of decoding, which Python adds to SQLite's, quotes it."""
    is_decoding = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")
    return _UNREADABLE if is_decoding else str(error)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Turns what SQLite, the file system and damaged content raise into one error that names the file."""
    try:
        yield
    except (sqlite3.Error, ValueError, OSError) as error:
        words = (error.strerror or "") if isinstance(error, OSError) else _words(error)
        advice = next((advice for cause, advice in _ADVICE.items() if cause in words), "")
        raise StoreError(f"{path}: {words}{advice}") from None
