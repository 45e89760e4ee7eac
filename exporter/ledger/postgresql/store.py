"""The ledger's store in PostgreSQL, which several exporters may share."""

from __future__ import annotations

import asyncio
import json
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from operator import attrgetter
from typing import Any, Self, TypeVar

from exporter.config.models import Secret
from exporter.ledger.counters import Counters
from exporter.ledger.counting import last_day
from exporter.ledger.errors import LeaseLost, StoreError
from exporter.ledger.postgresql import statements as say
from exporter.ledger.postgresql.database import AT_ONCE, Connection, Database
from exporter.ledger.postgresql.schema import prepare
from exporter.ledger.sqlite.rows import row_of, step_of, task_of, total_of
from exporter.ledger.store import SHOWN, STEPS_KEPT, Changes, FeedRecord, Store
from exporter.tasks import Step, Task

T = TypeVar("T")
K = TypeVar("K")
Statement = tuple[str, Sequence[object]]

CHARACTERS_AT_ONCE = 500_000
"""Characters after which an answer is waited for, so that the server has its time for each."""


class PostgresqlStore:
    """A `Store`, which says what the calls do."""

    losses = 0

    def __init__(self, database: Database, lease: tuple[str, str, int] | None = None) -> None:
        """With a `lease`, which is a provider, its holder and the epoch, writes are fenced by it."""
        self.database = database
        self._lease = lease
        self._versions: dict[tuple[str, str], int] = {}  # of each feed, as this store has loaded or written it

    @classmethod
    async def open(cls, url: str, password: Secret | None = None) -> Self:
        """Connects, and makes the tables or brings them up to date. Raises StoreError."""
        database = Database(url, password)
        try:
            await prepare(database)
        except BaseException:
            await database.close()
            raise
        return cls(database)

    @property
    def path(self) -> str:
        return self.database.name

    def under(self, provider: str, holder: str, epoch: int) -> Store:
        return PostgresqlStore(self.database, (provider, holder, epoch))

    async def under_each(
        self, leases: Mapping[str, int], holder: str, ended_since: Mapping[str, float], steps_since: float
    ) -> Mapping[str, Store]:
        known = await self._known(ended_since)
        steps = await self.ended_by_step_in_all(list(leases), steps_since)
        read: defaultdict[str, dict[str, tuple[FeedRecord, int]]] = defaultdict(dict)
        for (provider, kind), (record, version) in known.items():
            read[provider][kind] = replace(record, by_step=steps.get((provider, kind), [])), version
        return {
            provider: _ReadStore(
                self.database, (provider, holder, epoch), read[provider], ended_since[provider], steps_since
            )
            for provider, epoch in leases.items()
        }

    async def providers(self) -> list[str]:
        return await self._read(say.PROVIDERS)

    async def load(
        self, provider: str, kind: str, ended_since: float = math.inf, steps_since: float = math.inf
    ) -> FeedRecord:
        about = (provider, kind)

        async def work(connection: Connection) -> FeedRecord:
            found = await (await connection.execute(say.DATES, about)).fetchone()
            # Read first: a commit that comes in between makes the next one of this store fail.
            since, horizon, polled, self._versions[about] = found or (None, None, None, 0)
            counts = Counters(await _rows(connection, total_of, say.COUNTS, about))
            in_flight = await _rows(connection, task_of, say.IN_FLIGHT, about)
            recent, day = (*about, ended_since), (*about, steps_since)
            ended = await _rows(connection, task_of, say.ENDED_SINCE, recent) if ended_since < math.inf else []
            steps = await _rows(connection, _step_with_feed, say.ENDED_BY_STEP, day) if steps_since < math.inf else []
            return FeedRecord(since, horizon, polled, counts, in_flight, ended, [row for row, _ in steps])

        return await self.database.run(work)

    async def load_all(self, ended_since: Mapping[str, float]) -> Mapping[tuple[str, str], FeedRecord]:
        found = await self._known(ended_since, [f'["{name}"%' for name in SHOWN])
        return {feed: record for feed, (record, _) in found.items()}

    async def _known(
        self, ended_since: Mapping[str, float], keys: Sequence[str] = ("%",)
    ) -> dict[tuple[str, str], tuple[FeedRecord, int]]:
        """What is known of each feed of these providers, and its version; of the counters those like the `keys`."""

        async def work(connection: Connection) -> dict[tuple[str, str], tuple[FeedRecord, int]]:
            # Read first: a commit that comes in between makes the next one of this store fail.
            feeds = await _rows(connection, tuple, say.FEEDS_OF, [list(ended_since)])
            ids, since_when = [row[0] for row in feeds], [ended_since[row[1]] for row in feeds]
            counts: defaultdict[int, Counters] = defaultdict(Counters)
            for (key, value), feed in await _rows(connection, _with_feed(total_of), say.COUNTS_OF, [ids, list(keys)]):
                counts[feed][key] = value
            in_flight = await _grouped(connection, _with_feed(task_of), say.IN_FLIGHT_OF, [ids])
            ended = await _grouped(connection, _with_feed(task_of), say.ENDED_OF, [ids, since_when])
            return {
                (provider, kind): (
                    FeedRecord(since, horizon, polled, counts[feed], in_flight[feed], ended[feed]),
                    version,
                )
                for feed, provider, kind, since, horizon, polled, version in feeds
            }

        return await self.database.run(work)

    async def ended_by_step_in_all(
        self, providers: Sequence[str], when: float
    ) -> Mapping[tuple[str, str], Sequence[last_day.Row]]:
        values = [list(providers), when]
        return await self.database.run(
            lambda connection: _grouped(connection, _step_with_feed, say.ENDED_BY_STEP_OF, values)
        )

    async def unpaid_since(self, provider: str, kind: str, when: float, limit: int) -> list[Task]:
        return (await self._made(task_of, say.UNPAID_SINCE, provider, kind, when, limit))[::-1]

    async def ended_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        return {*await self._read(say.ENDED_AMONG, provider, kind, json.dumps(list(ids)))}

    async def in_flight_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        return {*await self._read(say.IN_FLIGHT_AMONG, provider, kind, json.dumps(list(ids)))}

    async def ended_before(self, provider: str, kind: str, when: float, limit: int) -> list[str]:
        return await self._read(say.ENDED_BEFORE, provider, kind, when, when, limit)

    async def commit(self, changes: Changes) -> None:
        feed = (changes.provider, changes.kind)
        version = self._versions.get(feed) if self._lease else None

        async def work(connection: Connection) -> None:
            if not (await self._execute(connection, _statements(changes, version)))[0]:
                raise StoreError(f"{self.path}: an earlier commit succeeded although its reply was lost")

        await self.database.run(work)
        if version is not None:
            self._versions[feed] = version + 1

    async def find(self, provider: str, kind: str, task_id: str) -> tuple[Task, list[Step]] | None:
        about = (provider, kind, task_id)

        async def work(connection: Connection) -> tuple[Task, list[Step]] | None:
            found = await (await connection.execute(say.TASK, about)).fetchone()
            return (task_of(found), (await _rows(connection, step_of, say.STORY, about))[::-1]) if found else None

        return await self.database.run(work)

    async def find_all(self, task_id: str) -> Mapping[tuple[str, str], Task]:
        rows = await self.database.rows(say.ALL_OF_ID, (task_id,))
        return {(provider, kind): task_of(row) for provider, kind, *row in rows}

    async def watched(self, provider: str, kind: str) -> list[str]:
        return await self._read(say.WATCHED, provider, kind)

    async def watch(self, provider: str, kind: str, ids: Iterable[str], at: float) -> None:
        listed = json.dumps(list(ids))
        await self._write((say.KNOW_FEED, (provider, kind)), (say.WATCH, (provider, kind, at, listed)))

    async def unwatch(self, provider: str, kind: str, ids: Iterable[str]) -> None:
        await self._write((say.UNWATCH, (provider, kind, json.dumps(list(ids)))))

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        return next(iter(await self.database.rows(say.TOKEN, (owner,))), None)

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        await self._write((say.SAVE_TOKEN, (owner, token, expires)))

    async def load_spent(self, provider: str) -> str:
        return next(iter(await self._read(say.SPENT, provider)), "")

    async def save_spent(self, provider: str, spent: str) -> None:
        await self._write((say.SAVE_SPENT, (provider, spent)))

    async def close(self) -> None:
        if not self._lease:  # the connections of one under a lease are those of the store it is of
            await self.database.close()

    async def _made(self, make: Callable[[Any], T], query: str, *values: object) -> list[T]:
        """What each row of a query is made into: for many rows."""
        return await self.database.run(lambda connection: _rows(connection, make, query, values))

    async def _read(self, query: str, *values: object) -> list[Any]:
        """The first column of what a query gives."""
        return [row[0] for row in await self.database.rows(query, values)]

    async def _write(self, *statements: Statement) -> None:
        """Executes all of these or none."""
        await self.database.run(lambda connection: self._execute(connection, statements))

    async def _execute(self, connection: Connection, statements: Iterable[Statement]) -> list[int]:
        """How many rows each statement has written. Raises LeaseLost, to be rolled back, if there is another epoch."""
        fence: list[Statement] = [(say.FENCE, self._lease)] if self._lease else []
        rows = await _execute(connection, chain(fence, statements))
        if self._lease and not rows.pop(0):
            raise LeaseLost(f"{self.path}: another replica polls {self._lease[0]} by now; nothing was written")
        return rows


class _ReadStore(PostgresqlStore):
    """One that has been read already: the first `load` of each feed before the first commit returns what was read."""

    def __init__(
        self,
        database: Database,
        lease: tuple[str, str, int],
        read: dict[str, tuple[FeedRecord, int]],
        ended_since: float,
        steps_since: float,
    ) -> None:
        """With the feeds of the provider by their kinds, and their versions; ends were read from these times on."""
        super().__init__(database, lease)
        self._read_ahead: dict[str, tuple[FeedRecord, int]] | None = read
        self._since = ended_since, steps_since
        self._loaded: set[str] = set()

    async def load(
        self, provider: str, kind: str, ended_since: float = math.inf, steps_since: float = math.inf
    ) -> FeedRecord:
        reaches = ended_since >= self._since[0] and steps_since >= self._since[1]
        if self._read_ahead is None or kind in self._loaded or not reaches:
            return await super().load(provider, kind, ended_since, steps_since)
        self._loaded.add(kind)
        record, self._versions[provider, kind] = self._read_ahead.pop(kind, (FeedRecord(), 0))
        return replace(record, ended=record.ended[bisect_left(record.ended, ended_since, key=_placed_at) :])

    async def commit(self, changes: Changes) -> None:
        self._read_ahead = None
        await super().commit(changes)


_placed_at = attrgetter("placed_at")


def _statements(changes: Changes, version: int | None) -> Iterator[Statement]:
    """What writes one sweep's changes. To execute it again changes nothing.

    With a `version`, the first statement writes nothing if the feed has another one by now.
    """
    about = (changes.provider, changes.kind)
    yield say.KEEP_FEED, (*about, changes.since, changes.horizon, changes.polled, version, version)
    tasks = list({task.id: task for task in changes.tasks}.values())  # no statement may write a row twice
    for some in _batches(tasks):
        yield (
            say.KEEP_TASKS,
            (*about, json.dumps([dict(zip(say.NAMES, row_of(0, one)[1:], strict=True)) for one in some])),
        )
    for steps in _batches(changes.steps):
        rows = [{"id": one.task_id, "at": one.at, "state": one.state, "progress": one.progress} for one in steps]
        yield say.KEEP_STEPS, (*about, json.dumps(rows))
    if changes.steps:
        limit = max(step.at for step in changes.steps) - STEPS_KEPT
        yield say.FORGET_STEPS, (*about, limit, 2 * len(changes.steps))
    for counts in _batches(list(changes.counts.items())):
        yield say.KEEP_COUNTS, (*about, json.dumps([{"key": json.dumps(key), "value": value} for key, value in counts]))
    for ids in _batches(changes.forgotten):
        yield say.FORGET_TASKS, (*about, json.dumps(ids))


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


async def _execute(connection: Connection, statements: Iterable[Statement]) -> list[int]:
    """Executes statements in one round trip, or in several if they are large; how many rows each has found."""
    found: list[int] = []
    texts: list[str] = []
    sent: list[object] = []
    for query, values in statements:
        texts.append(query)
        sent += values
        if sum(len(one) for one in sent if isinstance(one, str)) > CHARACTERS_AT_ONCE:
            found += await _found(connection, texts, sent)
            texts, sent = [], []
        await asyncio.sleep(0)  # the next one takes a while to be made
    return found + await _found(connection, texts, sent) if texts else found


async def _found(connection: Connection, texts: Sequence[str], values: Sequence[object]) -> list[int]:
    answer = await connection.send(";\n".join(texts), values)
    found = [answer.rowcount]
    while answer.nextset():
        found.append(answer.rowcount)
    return found


async def _rows(connection: Connection, make: Callable[[Any], T], query: str, values: Sequence[object]) -> list[T]:
    """What each row is made into."""
    found: list[T] = []
    await _fetch(connection, query, values, lambda rows: found.extend(map(make, rows)))
    return found


async def _grouped(
    connection: Connection, make: Callable[[Any], tuple[T, K]], query: str, values: Sequence[object]
) -> Mapping[K, list[T]]:
    """What each row is made into, by its key."""
    found: defaultdict[K, list[T]] = defaultdict(list)

    def take(rows: Sequence[Any]) -> None:
        for one, key in map(make, rows):
            found[key].append(one)

    await _fetch(connection, query, values, take)
    return found


async def _fetch(
    connection: Connection, query: str, values: Sequence[object], take: Callable[[Sequence[Any]], None]
) -> None:
    """Hands on the rows of a query, so many at once that the event loop is not held up."""
    async with connection.cursor("rows") as cursor:
        await cursor.execute(query.encode(), values)
        while rows := await cursor.fetchmany(AT_ONCE):
            take(rows)
            if len(rows) < AT_ONCE:
                break


def _with_feed(make: Callable[[Any], T]) -> Callable[[Any], tuple[T, int]]:
    """The same of rows whose last column is the number of the feed."""
    return lambda row: (make(row[:-1]), row[-1])


def _step_with_feed(row: Any) -> tuple[last_day.Row, tuple[str, str]]:
    """A step's row, and the provider and kind in the last columns."""
    return row[:4], row[4:]
