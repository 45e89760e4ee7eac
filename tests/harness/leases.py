"""Leases in memory: what a database does with them, so small that it is obviously right."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.ledger.counting import last_day
from exporter.ledger.errors import LeaseLost, StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.store import Changes, FeedRecord, Store
from exporter.replicas.leases import LeaseOverview


@dataclass
class Row:
    """One lease as the database has it."""

    epoch: int = 0
    holder: str | None = None
    expires: float = 0.0


@dataclass
class MemoryDatabase:
    """What replicas share. Its clock alone decides when a lease ends."""

    clock: Callable[[], float]
    length: float = 15.0
    rows: dict[str, Row] = field(default_factory=dict)
    replicas: dict[str, tuple[str, frozenset[str], float]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)

    def as_seen_by(self, me: str) -> MemoryLeases:
        return MemoryLeases(self, me)

    def is_free(self, row: Row) -> bool:
        return row.holder is None or row.expires <= self.clock()

    def check(self, provider: str, epoch: int) -> None:
        """What each write does first. Raises LeaseLost."""
        if self.rows[provider].epoch != epoch:
            raise LeaseLost("another replica holds the provider")


@dataclass
class MemoryLeases:
    """The leases of a `MemoryDatabase` as one replica sees them."""

    database: MemoryDatabase
    me: str

    @property
    def name(self) -> str:
        return self.me

    @property
    def length(self) -> float:
        return self.database.length

    async def join(self, providers: Collection[str], accounts: str = "") -> None:
        self.database.accounts[self.me] = accounts
        for name in providers:
            self.database.rows.setdefault(name, Row())
        self.database.replicas[self.me] = self.me, frozenset(providers), self._end

    async def renew(self, held: Mapping[str, int]) -> set[str]:
        if self.me in self.database.replicas:
            name, providers, _ = self.database.replicas[self.me]
            self.database.replicas[self.me] = name, providers, self._end
        rows = self.database.rows
        mine = {name for name, epoch in held.items() if (rows[name].holder, rows[name].epoch) == (self.me, epoch)}
        for name in mine:
            rows[name].expires = self._end
        return mine

    async def acquire(self, providers: Collection[str], most: int) -> dict[str, int]:
        rows = self.database.rows
        free = [one for one in providers if self.database.is_free(rows[one]) or rows[one].holder == self.me]
        for name in free[:most]:
            rows[name] = Row(rows[name].epoch + 1, self.me, self._end)
        return {name: rows[name].epoch for name in free[:most]}

    async def release(self, held: Mapping[str, int]) -> None:
        for name, epoch in held.items():
            row = self.database.rows[name]
            if (row.holder, row.epoch) == (self.me, epoch):
                row.holder = None

    async def leave(self) -> None:
        self.database.replicas.pop(self.me, None)
        for row in self.database.rows.values():
            if row.holder == self.me:
                row.holder = None

    async def overview(self) -> LeaseOverview:
        now = self.database.clock()
        living = {me: (name, known) for me, (name, known, until) in self.database.replicas.items() if until > now}
        held = {name: row.holder for name, row in self.database.rows.items() if not self.database.is_free(row)}
        return LeaseOverview(
            {me: known for me, (_, known) in living.items()},
            {me: name for me, (name, _) in living.items()},
            {name: holder for name, holder in held.items() if holder is not None},
            {me: self.database.accounts[me] for me in living if self.database.accounts.get(me)},
        )

    @property
    def _end(self) -> float:
        return self.database.clock() + self.database.length


class MemoryShare(SqliteStore):
    """A store that replicas in one process share, whose writes are fenced by a `MemoryDatabase`."""

    def __init__(self, file: SqliteFile, database: MemoryDatabase) -> None:
        super().__init__(file)
        self.database = database
        self.unreadable: set[str] = set()
        """Providers whose rows cannot be read."""

    async def load_all(self, ended_since: Mapping[str, float]) -> Mapping[tuple[str, str], FeedRecord]:
        """As if there was nothing."""
        return {}

    async def ended_by_step_in_all(
        self, providers: Sequence[str], when: float
    ) -> Mapping[tuple[str, str], Sequence[last_day.Row]]:
        """As if there was nothing."""
        return {}

    async def in_flight_among(self, provider: str, kind: str, ids: Iterable[str]) -> set[str]:
        return {task.id for task in (await self.load(provider, kind)).in_flight} & set(ids)

    def under(self, provider: str, holder: str, epoch: int) -> Store:
        return _Fenced(self, provider, epoch)

    async def under_each(
        self, leases: Mapping[str, int], holder: str, ended_since: Mapping[str, float], steps_since: float
    ) -> Mapping[str, Store]:
        return {provider: self.under(provider, holder, epoch) for provider, epoch in leases.items()}


class _Fenced(SqliteStore):
    def __init__(self, share: MemoryShare, provider: str, epoch: int) -> None:
        super().__init__(share._file)
        self._thread = share._thread  # the calls of all stay one after the other
        self._database, self._lease, self._unreadable = share.database, (provider, epoch), share.unreadable

    async def load(
        self, provider: str, kind: str, ended_since: float = math.inf, steps_since: float = math.inf
    ) -> FeedRecord:
        if provider in self._unreadable:
            raise StoreError("a value that cannot be read")
        return await super().load(provider, kind, ended_since, steps_since)

    async def commit(self, changes: Changes) -> None:
        self._database.check(*self._lease)
        await super().commit(changes)

    async def close(self) -> None:
        """Does nothing."""


async def nobody_told(provider: str, kind: str, ids: Sequence[str]) -> None:
    """Tells no other replica of ids."""
