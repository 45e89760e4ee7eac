"""The ledger's store in PostgreSQL, which several exporters may share."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Self, TypeVar

from exporter.config.models import Secret
from exporter.ledger.counters import Counters
from exporter.ledger.counting import last_day
from exporter.ledger.errors import LeaseLost, StoreError
from exporter.ledger.postgresql import statements as say
from exporter.ledger.postgresql.database import AT_ONCE, Connection, Database
from exporter.ledger.postgresql.schema import prepare
from exporter.ledger.sqlite.rows import row_of, task_of
from exporter.ledger.store import SHOWN, STEPS_KEPT, Changes, FeedRecord, Store
from exporter.tasks import State, Step, Task

T = TypeVar("T")
Statement = tuple[str, Sequence[object]]

CHARACTERS_AT_ONCE = 500_000
"""Characters after which an answer is waited for, so that the server has its time for each."""


class PostgresqlStore:
    """A `Store`, which says what the calls do."""

    losses = 0

    def __init__(self, database: Database, lease: tuple[str, str, int] | None = None) -> None:
        """With a `lease`, which is a provider, its holder and the epoch, writes are fenced by it."""
        self._database = database
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
    def database(self) -> Database:
        return self._database

    @property
    def path(self) -> str:
        return self._database.name

    def under(self, provider: str, holder: str, epoch: int) -> Store:
        return _LeasedStore(self._database, (provider, holder, epoch))

    async def under_each(
        self, leases: Mapping[str, int], holder: str, ended_since: Mapping[str, float]
    ) -> Mapping[str, Store]:
        known: defaultdict[str, dict[str, _Known]] = defaultdict(dict)
        for (provider, kind), one in (await self._known(ended_since)).items():
            known[provider][kind] = one
        steps = _Steps(self, list(leases))
        return {
            provider: _ReadStore(
                self._database, (provider, holder, epoch), known[provider], ended_since[provider], steps
            )
            for provider, epoch in leases.items()
        }

    async def providers(self) -> list[str]:
        return await self._read(say.PROVIDERS)

    async def load(self, provider: str, kind: str) -> FeedRecord:
        about = (provider, kind)

        async def work(connection: Connection) -> FeedRecord:
            found = await (await connection.execute(say.DATES, about)).fetchone()
            # Read first: a commit that comes in between makes the next one of this store fail.
            since, horizon, polled, self._versions[about] = found or (None, None, None, 0)
            counts = Counters(await _rows(connection, _total, say.COUNTS, about))
            return FeedRecord(since, horizon, polled, counts, await _rows(connection, task_of, say.IN_FLIGHT, about))

        return await self._database.run(work)

    async def load_all(
        self, ended_since: Mapping[str, float]
    ) -> Mapping[tuple[str, str], tuple[FeedRecord, Sequence[Task]]]:
        found = await self._known(ended_since, [f'["{name}"%' for name in SHOWN])
        return {feed: (known.record, known.ended) for feed, known in found.items()}

    async def _known(
        self, ended_since: Mapping[str, float], keys: Sequence[str] = ("%",)
    ) -> dict[tuple[str, str], _Known]:
        """What is known of each feed of these providers, by few queries; of the counters those like the `keys`."""

        async def work(connection: Connection) -> dict[tuple[str, str], _Known]:
            # Read first: a commit that comes in between makes the next one of this store fail.
            feeds = await _rows(connection, tuple, say.FEEDS_OF, [list(ended_since)])
            ids, since_when = [row[0] for row in feeds], [ended_since[row[1]] for row in feeds]
            counts: defaultdict[int, Counters] = defaultdict(Counters)
            for (key, value), feed in await _rows(connection, _with_feed(_total), say.COUNTS_OF, [ids, list(keys)]):
                counts[feed][key] = value
            in_flight = _by_feed(await _rows(connection, _with_feed(task_of), say.IN_FLIGHT_OF, [ids]))
            ended = _by_feed(await _rows(connection, _with_feed(task_of), say.ENDED_OF, [ids, since_when]))
            return {
                (provider, kind): _Known(
                    FeedRecord(since, horizon, polled, counts[feed], in_flight[feed]), version, ended[feed]
                )
                for feed, provider, kind, since, horizon, polled, version in feeds
            }

        return await self._database.run(work)

    async def ended_by_step_in_all(
        self, providers: Sequence[str], when: float
    ) -> Mapping[tuple[str, str], Sequence[last_day.Row]]:
        async def work(connection: Connection) -> dict[tuple[str, str], list[last_day.Row]]:
            found: defaultdict[tuple[str, str], list[last_day.Row]] = defaultdict(list)
            for provider, kind, *row in await _rows(connection, tuple, say.ENDED_BY_STEP_OF, [list(providers), when]):
                found[provider, kind].append(last_day.row_of(row))
            return found

        return await self._database.run(work)

    async def ended_since(self, provider: str, kind: str, when: float) -> list[Task]:
        async def work(connection: Connection) -> list[Task]:
            return await _rows(connection, task_of, say.ENDED_SINCE, (provider, kind, when))

        return await self._database.run(work)

    async def ended_by_step(self, provider: str, kind: str, when: float) -> list[last_day.Row]:
        async def work(connection: Connection) -> list[last_day.Row]:
            return await _rows(connection, last_day.row_of, say.ENDED_BY_STEP, (provider, kind, when))

        return await self._database.run(work)

    async def unpaid_since(self, provider: str, kind: str, when: float, limit: int) -> list[Task]:
        async def work(connection: Connection) -> list[Task]:
            return await _rows(connection, task_of, say.UNPAID_SINCE, (provider, kind, when, limit))

        return (await self._database.run(work))[::-1]

    async def ended_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        return {*await self._read(say.ENDED_AMONG, provider, kind, json.dumps(list(ids)))}

    async def ended_before(self, provider: str, kind: str, when: float, limit: int) -> list[str]:
        return await self._read(say.ENDED_BEFORE, provider, kind, when, when, limit)

    async def commit(self, changes: Changes) -> None:
        feed = (changes.provider, changes.kind)
        version = self._versions.get(feed) if self._lease else None

        async def work(connection: Connection) -> None:
            if not (await self._execute(connection, _statements(changes, version)))[0]:
                raise StoreError(f"{self.path}: an earlier commit succeeded although its reply was lost")

        await self._database.run(work)
        if version is not None:
            self._versions[feed] = version + 1

    async def find(self, provider: str, kind: str, task_id: str) -> tuple[Task, list[Step]] | None:
        about = (provider, kind, task_id)

        async def work(connection: Connection) -> tuple[Task, list[Step]] | None:
            found = await (await connection.execute(say.TASK, about)).fetchone()
            return (task_of(found), await _rows(connection, _step, say.STORY, about)) if found else None

        return await self._database.run(work)

    async def find_all(self, task_id: str) -> Mapping[tuple[str, str], Task]:
        rows = await self._database.rows(say.ALL_OF_ID, (task_id,))
        return {(provider, kind): task_of(row) for provider, kind, *row in rows}

    async def watched(self, provider: str, kind: str) -> list[str]:
        return await self._read(say.WATCHED, provider, kind)

    async def watch(self, provider: str, kind: str, ids: Iterable[str], at: float) -> None:
        listed = json.dumps(list(ids))
        await self._write((say.KNOW_FEED, (provider, kind)), (say.WATCH, (provider, kind, at, listed)))

    async def unwatch(self, provider: str, kind: str, ids: Iterable[str]) -> None:
        await self._write((say.UNWATCH, (provider, kind, json.dumps(list(ids)))))

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        return next(iter(await self._database.rows(say.TOKEN, (owner,))), None)

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        await self._write((say.SAVE_TOKEN, (owner, token, expires)))

    async def load_spent(self, provider: str) -> str:
        return next(iter(await self._read(say.SPENT, provider)), "")

    async def save_spent(self, provider: str, spent: str) -> None:
        await self._write((say.SAVE_SPENT, (provider, spent)))

    async def close(self) -> None:
        await self._database.close()

    async def _read(self, query: str, *values: object) -> list[Any]:
        """The first column of what a query gives."""
        return [row[0] for row in await self._database.rows(query, values)]

    async def _write(self, *statements: Statement) -> None:
        """Executes all of these or none."""
        await self._database.run(lambda connection: self._execute(connection, statements))

    async def _execute(self, connection: Connection, statements: Iterable[Statement]) -> list[int]:
        """How many rows each statement has written. Raises LeaseLost, to be rolled back, if there is another epoch."""
        fence: list[Statement] = [(say.FENCE, self._lease)] if self._lease else []
        rows = await _execute(connection, chain(fence, statements))
        if self._lease and not rows.pop(0):
            raise LeaseLost(f"{self.path}: another replica polls {self._lease[0]} by now; nothing was written")
        return rows


class _LeasedStore(PostgresqlStore):
    """The same for one provider under one lease. The connections are those of the store it is of."""

    async def close(self) -> None:
        """Does nothing."""


@dataclass
class _Known:
    """What was read of a feed."""

    record: FeedRecord = field(default_factory=FeedRecord)
    version: int = 0
    ended: Sequence[Task] = ()


class _Steps:
    """What `ended_by_step` returns at first for the feeds of several providers: read for all when one asks for it."""

    def __init__(self, store: PostgresqlStore, providers: Sequence[str]) -> None:
        self._store = store
        self._providers = providers
        self._reading = asyncio.Lock()
        self._rows: dict[tuple[str, str], Sequence[last_day.Row]] | None = None

    async def take(self, provider: str, kind: str, when: float) -> list[last_day.Row]:
        """The rows of a feed, which are not kept."""
        async with self._reading:
            if self._rows is None:
                self._rows = dict(await self._store.ended_by_step_in_all(self._providers, when))
        return list(self._rows.pop((provider, kind), ()))


class _ReadStore(_LeasedStore):
    """One that has been read already, which the first `load` of each feed returns, and `ended_since` after it."""

    def __init__(
        self,
        database: Database,
        lease: tuple[str, str, int],
        known: Mapping[str, _Known],
        ended_since: float,
        steps: _Steps,
    ) -> None:
        super().__init__(database, lease)
        self._steps = steps
        self._stepped: set[str] = set()
        self._ahead = dict(known)
        self._ended: dict[str, Sequence[Task]] = {}
        self._ended_since = ended_since
        self._loaded: set[str] = set()

    async def load(self, provider: str, kind: str) -> FeedRecord:
        if kind in self._loaded:  # what was read then may have changed
            self._ended.pop(kind, None)
            return await super().load(provider, kind)
        self._loaded.add(kind)
        known = self._ahead.pop(kind, None) or _Known()
        self._versions[provider, kind], self._ended[kind] = known.version, known.ended
        return known.record

    async def ended_since(self, provider: str, kind: str, when: float) -> list[Task]:
        ended = self._ended.pop(kind, None)
        if ended is None or when < self._ended_since:
            return await super().ended_since(provider, kind, when)
        return [task for task in ended if task.placed_at >= when]

    async def ended_by_step(self, provider: str, kind: str, when: float) -> list[last_day.Row]:
        if kind in self._stepped:
            return await super().ended_by_step(provider, kind, when)
        self._stepped.add(kind)
        return await self._steps.take(provider, kind, when)

    async def commit(self, changes: Changes) -> None:
        self._ahead.clear()  # feeds that are not polled
        await super().commit(changes)


def _by_feed(rows: Iterable[tuple[Task, int]]) -> Mapping[int, list[Task]]:
    found: defaultdict[int, list[Task]] = defaultdict(list)
    for task, feed in rows:
        found[feed].append(task)
    return found


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
    """What each row is made into, so many at once that the event loop is not held up."""
    found: list[T] = []
    async with connection.cursor("rows") as cursor:
        await cursor.execute(query.encode(), values)
        while rows := await cursor.fetchmany(AT_ONCE):
            found += map(make, rows)
            if len(rows) < AT_ONCE:
                break
    return found


def _with_feed(make: Callable[[Any], T]) -> Callable[[Any], tuple[T, int]]:
    """The same of rows whose last column is the number of the feed."""
    return lambda row: (make(row[:-1]), row[-1])


def _total(row: Sequence[Any]) -> tuple[tuple[str, ...], float]:
    return tuple(json.loads(row[0])), row[1]


def _step(row: Sequence[Any]) -> Step:
    task_id, at, state, progress = row
    return Step(task_id, at, State(state), progress)
