"""Leases in PostgreSQL: a few statements, whatever the number of providers, and notifications."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import psycopg

from exporter.ledger.errors import StoreError
from exporter.ledger.postgresql.database import Connection, Database
from exporter.replicas.leases import LeaseOverview

log = logging.getLogger(__name__)

FORGOTTEN_AFTER = 86400
"""Seconds after which a replica that crashed is removed from the table."""

CLOSE_WITHIN = 0.4
"""Seconds for what is under way at the end."""

STUCK_AFTER = 10.0
"""Seconds after which a transaction has its locks from a process that stands still: others are given up far sooner."""

LISTEN_AGAIN = 1.0
"""Seconds between two tries to listen for notifications."""

ASKED_AFTER = 10.0
"""Seconds of silence after which the connection that listens is asked whether it still works."""

HEARD_WITHIN = 3.0
"""Seconds in which a notification of our own has to arrive."""

LONGEST = 7999
"""Bytes of a notification that PostgreSQL passes on."""

FEW = 20

_DEAF = (
    "no LISTEN/NOTIFY from the database (a pooler in transaction mode?); "
    "changes by other replicas are noticed later, and nothing is lost"
)

HandedIn = Callable[[str, str, Sequence[str]], Awaitable[None]]
"""Awaited with a provider, a kind, and the ids of changed tasks."""

Statement = tuple[str, Mapping[str, object] | Sequence[object]]
"""With its values."""

LEASES, IDS = "videotask_leases", "videotask_ids"
"""The channels: leases were freed, or a replica has come or gone; a feed got new ids."""

_INSERT_LEASES = "INSERT INTO videotask.leases (provider) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"

_INSERT_REPLICA = """
INSERT INTO videotask.replicas (id, name, known, providers, expires)
VALUES (%(me)s, %(name)s, %(known)s, %(providers)s, clock_timestamp() + %(length)s * interval '1 second')
ON CONFLICT (id) DO UPDATE SET known = excluded.known, providers = excluded.providers, expires = excluded.expires
"""

_FORGET = "DELETE FROM videotask.replicas WHERE expires < clock_timestamp() - %s * interval '1 second'"

# Both in one statement. The keys stay as they are, so that no renewal waits for a commit that has checked its epoch.
_RENEW = """
WITH alive AS (
    UPDATE videotask.replicas SET expires = clock_timestamp() + %(length)s * interval '1 second' WHERE id = %(me)s
)
UPDATE videotask.leases AS l SET expires = clock_timestamp() + %(length)s * interval '1 second'
FROM unnest(%(providers)s::text[], %(epochs)s::bigint[]) AS held (provider, epoch)
WHERE l.provider = held.provider AND l.epoch = held.epoch AND l.holder = %(me)s
RETURNING l.provider
"""

# FOR UPDATE conflicts with the FOR KEY SHARE of a commit: no lease changes its holder while something is written under
# it. SKIP LOCKED leaves such a lease, and what others acquire just now, for the next time.
_ACQUIRE = """
UPDATE videotask.leases
SET holder = %(me)s, epoch = epoch + 1, expires = clock_timestamp() + %(length)s * interval '1 second'
WHERE provider IN (
    SELECT provider FROM videotask.leases JOIN unnest(%(providers)s::text[]) WITH ORDINALITY AS w (name, place)
    ON provider = name
    WHERE holder IS NULL OR holder = %(me)s OR expires <= clock_timestamp()
    ORDER BY place LIMIT %(most)s FOR UPDATE OF leases SKIP LOCKED
)
RETURNING provider, epoch
"""

# A replica that is stopped in the middle of a commit holds its locks for as long: no time limit of the server counts
# while it waits for the rest of what is sent together. Its network answers, so its connection does not end either.
# The modes are those of commits and renewals: a backup that reads for long, or an upgrade of the tables, goes on.
_END_STUCK = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
AND xact_start < clock_timestamp() - %s * interval '1 second'
AND pid IN (
    SELECT pid FROM pg_locks
    WHERE relation = 'videotask.leases'::regclass AND mode IN ('RowShareLock', 'RowExclusiveLock')
)
"""

_RELEASE = """
UPDATE videotask.leases AS l SET holder = NULL
FROM unnest(%(providers)s::text[], %(epochs)s::bigint[]) AS held (provider, epoch)
WHERE l.provider = held.provider AND l.epoch = held.epoch AND l.holder = %(me)s
"""

_LEAVE = (
    "UPDATE videotask.leases SET holder = NULL WHERE holder = %(me)s",
    "DELETE FROM videotask.replicas WHERE id = %(me)s",
)

_REPLICAS = "SELECT id, name, known FROM videotask.replicas WHERE expires > clock_timestamp()"
_KNOWN = "SELECT known, providers FROM videotask.replicas WHERE known = ANY(%s)"
_HOLDERS = "SELECT provider, holder FROM videotask.leases WHERE holder IS NOT NULL AND expires > clock_timestamp()"


class PostgresqlLeases:
    """The leases of one replica, on connections of their own: no large commit of the ledger delays a renewal."""

    def __init__(self, database: Database, name: str, length: float, stuck_after: float = STUCK_AFTER) -> None:
        """`name` is the replica's for people, `length` that of a lease in seconds.

        A transaction of any replica that has a lock on a lease for `stuck_after` seconds is ended.
        """
        self._stuck_after = stuck_after
        self.me = uuid.uuid4().hex
        self.length = length
        self.database = database
        self.name = name
        self._is_deaf = False
        self._known: dict[str, frozenset[str]] = {}  # sets of providers by their digest: most replicas share one

    async def join(self, providers: Collection[str], accounts: str = "") -> None:
        names = sorted(providers)
        known = hashlib.sha256(json.dumps(names).encode()).hexdigest() + f".{accounts}" * bool(accounts)
        about = self._about(name=self.name, known=known, providers=names)
        await self._change((_INSERT_LEASES, [names]), (_FORGET, [FORGOTTEN_AFTER]), (_INSERT_REPLICA, about))

    async def renew(self, held: Mapping[str, int]) -> set[str]:
        return {row[0] for row in await self._rows((_RENEW, self._of(held)))}

    async def acquire(self, providers: Collection[str], most: int) -> dict[str, int]:
        values = self._about(providers=list(providers), most=most)
        return dict(await self._rows((_END_STUCK, [self._stuck_after]), (_ACQUIRE, values)))

    async def release(self, held: Mapping[str, int]) -> None:
        if held:
            await self._change((_RELEASE, self._of(held)))

    async def leave(self) -> None:
        await self._change(*((statement, self._about()) for statement in _LEAVE))

    async def overview(self) -> LeaseOverview:
        async def work(connection: Connection) -> tuple[list[Any], list[Any]]:
            replicas = await (await connection.execute(_REPLICAS)).fetchall()
            if new := {row[2] for row in replicas} - self._known.keys():
                found = await (await connection.execute(_KNOWN, [list(new)])).fetchall()
                self._known |= {known: frozenset(providers) for known, providers in found}
            return replicas, await (await connection.execute(_HOLDERS)).fetchall()

        replicas, holders = await self.database.run(work)
        self._known = {row[2]: self._known[row[2]] for row in replicas if row[2] in self._known}
        return LeaseOverview(
            {me: self._known.get(known, frozenset()) for me, _, known in replicas},
            {me: name for me, name, _ in replicas},
            dict(holders),
            {me: known.partition(".")[2] for me, _, known in replicas if "." in known},
        )

    async def tell(self, provider: str, kind: str, ids: Sequence[str] = ()) -> None:
        """Notifies the holder of a provider of new ids and of changed tasks. Raises StoreError.

        Ids that are too many for a notification are left to the next sweep.
        """
        told = [json.dumps([provider, kind, ids[:count]]) for count in (len(ids), FEW, 0)]
        payload = next((one for one in told if len(one.encode()) <= LONGEST), "")
        if payload:
            await self.database.run(lambda connection: _notify(connection, IDS, payload))

    async def listen(self, freed: Callable[[], None], handed_in: HandedIn) -> None:
        """Calls these on notifications of other replicas, for ever. After an outage both may have been missed."""
        while True:
            try:
                await self._listen(freed, handed_in)
            except (StoreError, psycopg.Error, OSError) as error:
                log.debug("no notifications", exc_info=error)
            await asyncio.sleep(LISTEN_AGAIN)

    async def _listen(self, freed: Callable[[], None], handed_in: HandedIn) -> None:
        connection = await self.database.connect()
        try:
            for channel in (LEASES, IDS):
                await connection.execute(f"LISTEN {channel}")
            freed()  # meanwhile something may have been missed
            patience = connection.patience
            await self.database.run(lambda other: _notify(other, LEASES))
            hears, rest = False, HEARD_WITHIN
            while True:
                connection.patience = rest + patience  # silence is no fault
                async for told in connection.notifies(timeout=rest):
                    hears = True
                    if told.channel == LEASES:
                        freed()
                    else:
                        await handed_in(*json.loads(told.payload))
                if not (hears or self._is_deaf):
                    self._is_deaf = True
                    log.warning(_DEAF)
                rest = ASKED_AFTER
                connection.patience = patience
                await connection.execute("SELECT 1")
        finally:
            connection.cut()
            await connection.close()

    async def close(self) -> None:
        """Ends the work under way, or gives it up if it takes long; its leases then expire."""
        await self.database.close(CLOSE_WITHIN)

    async def _change(self, *statements: Statement) -> None:
        """Does this in one transaction, and notifies the other replicas."""

        async def work(connection: Connection) -> None:
            for statement in statements:
                await connection.execute(*statement)
            await _notify(connection, LEASES)

        await self.database.run(work)

    async def _rows(self, *statements: Statement) -> list[Any]:
        """Does this in one transaction; what the last statement returns."""

        async def work(connection: Connection) -> list[Any]:
            cursors = [await connection.execute(*statement) for statement in statements]
            return await cursors[-1].fetchall()

        return await self.database.run(work)

    def _about(self, **more: object) -> dict[str, object]:
        return {"me": self.me, "length": self.length, **more}

    def _of(self, held: Mapping[str, int]) -> dict[str, object]:
        return self._about(providers=list(held), epochs=list(held.values()))


async def _notify(connection: Connection, channel: str, payload: str = "") -> None:
    await connection.execute("SELECT pg_notify(%s, %s)", [channel, payload])
