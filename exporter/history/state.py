"""What has been read so far, in a file beside the output: a run that was cut short goes on where it stopped.

It is an SQLite file, so that a page is kept whole or not at all, whatever ends the process, and memory stays bounded:
sums by series and moment, the place in each list, and of tasks only keyed hashes of their ids, by which one that two
pages show counts once. Amounts are kept in millionths, as whole numbers: their sums do not depend on the order.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from exporter.history.facts import LAST_FINISHED, Fact, RowTally
from exporter.history.span import SampleTimes
from exporter.ledger.counters import Key
from exporter.vendors.vendor import START, Position

SCALE = 1_000_000
LARGEST = 1e12
"""Of one amount; a larger one is a vendor's slip, and would not fit."""

_FORMAT = 1
_CACHE = 16 * 1024
"""KiB of the file that are held in memory."""
_TABLES = """
CREATE TABLE run (format INTEGER, salt BLOB, first INTEGER, last INTEGER, step REAL);
CREATE TABLE feed (id INTEGER PRIMARY KEY, provider TEXT, kind TEXT, settings TEXT, state TEXT,
                   UNIQUE (provider, kind));
CREATE TABLE series (id INTEGER PRIMARY KEY, feed INTEGER, key TEXT, UNIQUE (feed, key));
CREATE TABLE cell (moment INTEGER, series INTEGER, value, PRIMARY KEY (moment, series)) WITHOUT ROWID;
CREATE TABLE seen (tasks BLOB);
"""
_SORTED = "CREATE INDEX IF NOT EXISTS by_series ON cell (series, moment, value)"
"""Made once all is read: pages come in the order of time, and samples are written series by series."""
_ADD = """
INSERT INTO cell VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET value = value + excluded.value
"""
_LATER = """
INSERT INTO cell VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET value = max(value, excluded.value)
"""


_BUDGET = "CREATE TABLE IF NOT EXISTS budget (provider TEXT PRIMARY KEY, day INTEGER, sent INTEGER)"
_SENT = """
INSERT INTO budget VALUES (?, ?, 1)
ON CONFLICT DO UPDATE SET sent = iif(day = excluded.day, sent + 1, 1), day = excluded.day
"""


class StateError(Exception):
    """The state cannot be used; the text says why, and what to do."""


@dataclass(slots=True)
class ListProgress:
    """How far the list of a feed has been read."""

    next: Position = START
    done: bool = False
    pages: int = 0
    rows: int = 0
    """Rows that were read, those that two pages show twice."""
    oldest: float | None = None
    """The date of the oldest row so far."""
    tally: RowTally = field(default_factory=RowTally)


class ExportState:
    """The file. One process at a time has it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, timeout=0.1)
        self._seen = Hashes()

    @classmethod
    def open(cls, path: Path, span: SampleTimes) -> ExportState:
        """The state so far, or a new one for this span. Raises StateError, OSError."""
        state = cls(path)
        try:
            state._begin(span)
        except sqlite3.Error as error:
            state.close()
            if "locked" in str(error):
                raise StateError(f"{path}: another export-history uses it; wait until it has ended") from None
            raise StateError(f"{path}: {error}; remove it to begin again, or give --force") from None
        except StateError:
            state.close()
            raise
        return state

    def _begin(self, span: SampleTimes) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA cache_size = -{_CACHE}")
        self._db.execute("BEGIN EXCLUSIVE")
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'run'").fetchone():
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            row = (_FORMAT, secrets.token_bytes(16), span.first, span.last, span.step)
            self._db.execute("INSERT INTO run VALUES (?, ?, ?, ?, ?)", row)
        self._db.execute(_BUDGET)
        self._db.execute("COMMIT")
        form, self._salt, first, last, step = self._db.execute("SELECT * FROM run").fetchone()
        self.span = SampleTimes(first, last, step)
        """The moments of the run that began it."""
        asked = (span.last - span.first, span.step)
        if form != _FORMAT or (last - first, step) != asked:
            told = f"{self._path}: what has been read is of a run with another --from or --step"
            raise StateError(f"{told}; give these again, or --force to begin again")
        for (hashes,) in self._db.execute("SELECT tasks FROM seen"):
            self._seen.update(array("q", hashes))

    @property
    def is_new(self) -> bool:
        """Whether nothing has been read yet."""
        return not len(self._seen)

    @property
    def is_worthless(self) -> bool:
        """Whether nothing would be lost with it: nothing has been read, and no requests count. Raises sqlite3.Error."""
        return self.is_new and not self._db.execute("SELECT 1 FROM budget").fetchone()

    def sent(self, provider: str, day: int) -> int:
        """How many requests a provider has been sent on a day, in days since 1970. Raises sqlite3.Error."""
        row = self._db.execute("SELECT sent FROM budget WHERE provider = ? AND day = ?", (provider, day)).fetchone()
        return row[0] if row else 0

    def send(self, provider: str, day: int) -> None:
        """Counts a request. Raises sqlite3.Error."""
        self._db.execute(_SENT, (provider, day))

    def feed(self, provider: str, kind: str, settings: str) -> FeedReading:
        """What has been read of a feed; `settings` is what its samples depend on. Raises StateError."""
        row = self._db.execute(
            "SELECT id, settings, state FROM feed WHERE provider = ? AND kind = ?", (provider, kind)
        ).fetchone()
        if row is None:
            values = (provider, kind, settings, json.dumps(asdict(ListProgress())))
            number = self._db.execute("INSERT INTO feed VALUES (NULL, ?, ?, ?, ?)", values).lastrowid or 0
            return FeedReading(self._db, number, self._salt, self._seen, ListProgress())
        number, kept, text = row
        if kept != settings:
            told = f"{self._path}: the settings of {provider} have changed since its list was begun"
            raise StateError(f"{told}; give --force to begin again")
        known = json.loads(text)
        known |= {"next": Position(**known["next"]), "tally": RowTally(**known["tally"])}
        return FeedReading(self._db, number, self._salt, self._seen, ListProgress(**known))

    def sort(self) -> None:
        """Makes ready for samples to be written; nothing is to be kept after that. Raises sqlite3.Error."""
        self._db.execute(_SORTED)

    def close(self) -> None:
        self._db.close()

    def remove(self) -> None:
        self.close()
        remove(self._path)


def remove(path: Path) -> None:
    """Removes a state, and what SQLite keeps beside it."""
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)


class Hashes:
    """A set of whole numbers of 64 bits, but for 0, in a sixth of the memory that a set of Python takes."""

    def __init__(self) -> None:
        self._slots = array("q", bytes(8 * 1024))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return bool(self._slots[self._place(number)])

    def update(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            place = self._place(number)
            if not self._slots[place]:
                self._slots[place] = number
                self._count += 1
                if self._count * 3 > len(self._slots) * 2:
                    self._grow()

    def _place(self, number: int) -> int:
        """Where it is, or would be: the first free slot from the one that it points to."""
        slots, mask = self._slots, len(self._slots) - 1
        place = number & mask
        while slots[place] and slots[place] != number:
            place = (place + 1) & mask
        return place

    def _grow(self) -> None:
        before, self._slots = self._slots, array("q", bytes(16 * len(self._slots)))
        for number in before:
            if number:
                self._slots[self._place(number)] = number


class FeedReading:
    """What has been read of one feed."""

    def __init__(self, db: sqlite3.Connection, number: int, salt: bytes, seen: Hashes, progress: ListProgress) -> None:
        self._db = db
        self._number = number
        self._salt = salt
        self._seen = seen
        self._series: dict[Key, int] = {
            tuple(json.loads(key)): series
            for series, key in db.execute("SELECT id, key FROM series WHERE feed = ?", (number,))
        }
        self.progress = progress

    @property
    def keys(self) -> Sequence[Key]:
        """What there are sums of."""
        return list(self._series)

    def fresh(self, ids: Sequence[str]) -> list[str]:
        """Those of these ids that no page before has shown, each once."""
        return [one for one in dict.fromkeys(ids) if self._hash(one) not in self._seen]

    def _hash(self, task_id: str) -> int:
        text = f"{self._number} {task_id}".encode(errors="surrogatepass")
        digest = hashlib.blake2b(text, digest_size=8, key=self._salt).digest()
        return int.from_bytes(digest, "big", signed=True) or 1

    def keep(self, ids: Iterable[str], facts: Iterable[Fact], progress: ListProgress) -> None:
        """Keeps what a page has brought, all of it or nothing. Raises sqlite3.Error."""
        sums: dict[tuple[int, int], int] = {}
        latest: dict[tuple[int, int], float] = {}
        self._db.execute("BEGIN")
        try:
            for fact in facts:
                cell = fact.moment, self._id(fact.key)
                if fact.key[0] == LAST_FINISHED:
                    latest[cell] = max(latest.get(cell, 0.0), fact.by)
                else:
                    sums[cell] = sums.get(cell, 0) + round(min(fact.by, LARGEST) * SCALE)
            self._db.executemany(_ADD, ((*cell, value) for cell, value in sums.items()))
            self._db.executemany(_LATER, ((*cell, value) for cell, value in latest.items()))
            hashes = array("q", map(self._hash, ids))
            self._db.execute("INSERT INTO seen VALUES (?)", (hashes.tobytes(),))
            self._db.execute("UPDATE feed SET state = ? WHERE id = ?", (json.dumps(asdict(progress)), self._number))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._seen.update(hashes)
        self.progress = progress

    def _id(self, key: Key) -> int:
        known = self._series.get(key)
        if known is None:
            made = self._db.execute("INSERT INTO series VALUES (NULL, ?, ?)", (self._number, json.dumps(key)))
            known = self._series[key] = made.lastrowid or 0
        return known

    def cells(self, key: Key) -> Iterator[tuple[int, float]]:
        """The moments at which something grew, and by how much (in units of 1 / `SCALE`, but for `LAST_FINISHED`)."""
        number = self._series.get(key)
        if number is not None:
            yield from self._db.execute("SELECT moment, value FROM cell WHERE series = ? ORDER BY moment", (number,))
