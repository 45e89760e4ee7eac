"""A PostgreSQL database: a few connections, and a limit on every wait.

Each piece of work is one transaction and leaves nothing behind in the session, so a pooler in transaction mode may
stand in between: no prepared statements, no locks that outlive a transaction, settings for one transaction only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

from exporter.config.models import Secret
from exporter.ledger.errors import DatabaseFailure, StoreError
from exporter.ledger.postgresql.words import failure_of, words_of

T = TypeVar("T")

logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it quotes rows; what goes wrong is raised, in words of ours

CONNECTIONS = 4
"""Most connections that are open for the ledger's work at the same time; the rest of it waits its turn."""
CONNECT_WITHIN = 3
"""Seconds for a connection, all hosts of the URL together."""
ANSWER_WITHIN = 4.0
"""Seconds for one answer of the server. A stop within five waits for one."""
LIFETIME = 3600.0
"""Seconds after which a connection is not used again, so that no host that has moved is held on to."""
AT_ONCE = 500
"""Rows of one answer that are converted at once, which holds up the event loop for about 5 ms."""
REST = 1.0
"""Seconds after a connection that failed in which none is tried: work that waits its turn fails at once."""

_DEFAULTS = {
    "application_name": "videotask-exporter",
    "connect_timeout": CONNECT_WITHIN,
    "client_encoding": "UTF8",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
"""What the query of the URL may say otherwise."""

# Whatever the server's defaults are: numbers are read as they were written, a commit that was answered is on the disk.
_BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL statement_timeout = {milliseconds};
SET LOCAL lock_timeout = {for_locks};
SET LOCAL idle_in_transaction_session_timeout = {milliseconds};
SET LOCAL extra_float_digits = 1;
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'
"""


_READ = """
SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true),
       set_config('extra_float_digits', '1', true);
"""


class Connection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """A connection whose server answers in time, or that is cut."""

    patience = ANSWER_WITHIN
    """Seconds for one answer."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._ends = time.monotonic() + LIFETIME
        self.gave_up = False
        """Whether an answer took too long."""

    @property
    def is_old(self) -> bool:
        return time.monotonic() > self._ends

    async def wait(self, gen: PQGen[T], *arguments: Any, **named: Any) -> T:
        timer = asyncio.get_running_loop().call_later(self.patience, self._give_up)
        try:
            return await super().wait(gen, *arguments, **named)
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self.gave_up = True
        self.cut()

    def cut(self) -> None:
        """Ends it without asking the server, which may not hear us; what waits for an answer fails now."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)

    async def cancel_safe(self, **_: Any) -> None:
        """What the driver does when its caller is cancelled: to ask the server to stop may take as long as that."""
        self.cut()

    async def begin(self, patience: float) -> None:
        """Begins a transaction whose answers may take so many seconds; the server itself gives up a second before."""
        self.patience = patience
        milliseconds, for_locks = _limits(patience)
        await self.execute(_BEGIN.format(milliseconds=milliseconds, for_locks=for_locks))

    async def ask(self, query: str, values: Sequence[object], patience: float) -> Answer:
        """The answer to a query that reads: what is sent together is one transaction, and takes one round trip."""
        self.patience = patience
        answer = await self.send(_READ + query, [*map(str, _limits(patience)), *values])
        answer.nextset()
        return answer

    async def send(self, statements: str, values: Sequence[object]) -> Answer:
        """Executes statements with semicolons between them in one round trip. The answer begins with the first one's.

        The values are written into the statements: the server takes several at once in no other form.
        """
        return await Answer(self).execute(statements.encode(), values)


Answer = psycopg.AsyncClientCursor[tuple[Any, ...]]


def _limits(patience: float) -> tuple[int, int]:
    """Milliseconds that the server takes for a statement whose answer may take so many seconds, and for a lock.

    For a lock a little less, so that the error says what was waited for.
    """
    milliseconds = max(1, round((patience - 1) * 1000))
    return milliseconds, max(1, round(milliseconds * 0.9))


class Database:
    """Connections to one database, made when they are needed. Every call raises StoreError."""

    def __init__(
        self,
        url: str,
        password: Secret | None = None,
        *,
        patience: float = ANSWER_WITHIN,
        connections: int = CONNECTIONS,
    ) -> None:
        """`url` is libpq's, with `sslmode` and all else that libpq takes in its query; `patience` is for one answer."""
        self.name = shown(url)
        """What errors call it: without password and query."""
        self.failures: Counter[DatabaseFailure] = Counter()
        """How often the database has failed, by kind."""
        self._url = url
        self._password = password
        self._patience = patience
        self._turns = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._running: set[asyncio.Task[Any]] = set()
        self._failed: tuple[float, str] | None = None
        self._closed = False

    async def run(self, work: Callable[[Connection], Awaitable[T]], patience: float | None = None) -> T:
        """Does work in a transaction of its own, which is committed when it returns, and rolled back if it raises.

        With a `patience` of its own, each answer may take as many seconds.

        Once begun it goes on although the caller is cancelled. Work has to bear being lost at any point: a commit whose
        answer is lost raises, and may be committed.
        """
        return await self._carried_through(self._run(work, patience or self._patience))

    async def rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows of one query that reads, all of them in memory. It takes one round trip, where `run` takes three."""
        return await self._carried_through(self._rows(query, values))

    async def _carried_through(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise StoreError(f"{self.name}: closed, the exporter is stopping")
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # the caller may be gone
        return await asyncio.shield(task)

    async def _run(self, work: Callable[[Connection], Awaitable[T]], patience: float) -> T:
        async with self._turns:
            connection, _ = await self._first(lambda one: one.begin(patience))
            self._busy.add(connection)
            try:
                with self.told(connection):
                    result = await work(connection)
                    await connection.execute("COMMIT")
            except BaseException:
                await connection.close()  # nothing that failed is used again, and its transaction ends with it
                raise
            finally:
                self._busy.discard(connection)
            self._idle.append(connection)
            return result

    async def _rows(self, query: str, values: Sequence[object]) -> list[Any]:
        async with self._turns:
            connection, cursor = await self._first(lambda one: one.ask(query, values, self._patience))
            self._idle.append(connection)
        rows: list[Any] = []
        while some := await cursor.fetchmany(AT_ONCE):
            rows += some
            await asyncio.sleep(0)
        return rows

    async def _first(self, ask: Callable[[Connection], Awaitable[T]]) -> tuple[Connection, T]:
        """What is asked first, and the connection: one that is there if it still works, else a new one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_old:
                await connection.close()
                continue
            try:
                return connection, await self._asked(connection, ask)
            except psycopg.OperationalError as error:  # the server has restarted, or a firewall forgot about it
                await self._forget(connection)
                if connection.gave_up or isinstance(error, psycopg.errors.QueryCanceled):
                    with self.told(connection):
                        raise
        connection = await self.connect()
        with self.told(connection):
            return connection, await self._asked(connection, ask)

    async def _asked(self, connection: Connection, ask: Callable[[Connection], Awaitable[T]]) -> T:
        self._busy.add(connection)
        try:
            return await ask(connection)
        except psycopg.OperationalError:
            await connection.close()
            raise
        except BaseException:
            await connection.close()
            with self.told(connection):
                raise
        finally:
            self._busy.discard(connection)

    async def _forget(self, *connections: Connection) -> None:
        """Closes these connections and the idle ones: they lead to the same server."""
        idle, self._idle = self._idle, []
        for one in (*connections, *idle):
            await one.close()

    async def connect(self) -> Connection:
        """A connection that is the caller's own, without a transaction."""
        if self._failed and time.monotonic() - self._failed[0] < REST:
            raise StoreError(self._failed[1])
        try:
            with self.told():
                parts: dict[str, Any] = {**_DEFAULTS, **conninfo_to_dict(self._url)}
                if self._password:
                    parts["password"] = await self._password.fresh()
                async with asyncio.timeout(CONNECT_WITHIN + 1):  # a name server may hang too
                    connection = await Connection.connect(autocommit=True, prepare_threshold=None, **parts)
        except StoreError as error:
            self._failed = time.monotonic(), str(error)
            raise
        self._failed = None
        connection.patience = self._patience
        return connection

    @contextmanager
    def told(self, connection: Connection | None = None) -> Iterator[None]:
        """Turns what the driver raises into one error that names the database."""
        try:
            yield
        except (psycopg.Error, OSError, TimeoutError, ValueError) as error:
            gave_up = connection.gave_up if connection else isinstance(error, TimeoutError)
            self.failures[failure_of(error, gave_up=gave_up)] += 1
            waited = connection.patience if connection else CONNECT_WITHIN
            raise StoreError(f"{self.name}: {words_of(error, waited if gave_up else None)}") from None

    async def close(self, within: float = 2.0) -> None:
        """Ends what is under way, in so many seconds, and all connections. Later calls raise StoreError."""
        self._closed = True
        if self._running:
            await asyncio.wait(self._running, timeout=within)
        for connection in self._busy:
            connection.cut()
        for task in list(self._running):  # those that wait for a connection
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=within)
        await self._forget()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def shown(url: str) -> str:
    """A database's URL without its password and its query. Raises StoreError where it is none."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:  # whose words may quote the password
        parts = {"port": "none"}
    if not set(str(parts.get("port", ""))) <= set("0123456789,"):  # it may be part of a password
        raise StoreError("ledger.url: not a URL that PostgreSQL understands")
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host') or parts.get('hostaddr') or ''}{port}/{parts.get('dbname') or ''}"
