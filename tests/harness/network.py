"""A network that a test can break: a port of loopback that leads to another one, as long as nothing is wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from tests.harness.waiting import PATIENCE

T = TypeVar("T")


class Passage:
    """Carries bytes to a port and back, in a thread of its own, until it gets another order."""

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        """Seconds that each piece of what is sent takes, each way."""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="passage", daemon=True)
        self._thread.start()
        self._carries = asyncio.Event()
        self._carries.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.restore()

    def swallow(self) -> None:
        """From now on nothing arrives, without an error: connections are taken and stay, as when a cable is cut."""
        self._do(self._carries.clear)

    def refuse(self) -> None:
        """Cuts all connections and takes no new ones, as when nothing listens."""

        async def refuse() -> None:
            if self._server:
                self._server.close()
                self._server = None
            self._cut()

        self._run(refuse())

    def cut(self) -> None:
        """Cuts all connections; new ones are taken."""
        self._do(self._cut)

    def restore(self) -> None:
        """All is well from now on; what was swallowed arrives now."""

        async def restore() -> None:
            self._carries.set()
            if self._server is None:
                self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
                self.port = self._server.sockets[0].getsockname()[1]

        self.delay = 0.0
        self._run(restore())

    def lead_to(self, target: int) -> None:
        """From now on connections end at another port, as when an address has moved; the old ones are cut."""
        self._target = target
        self.cut()

    def close(self) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for one in others:
                one.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.refuse()
        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _cut(self) -> None:
        for one in self._open:
            one.transport.abort()

    def _do(self, call: Callable[[], object]) -> None:
        async def do() -> None:
            call()

        self._run(do())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._carries.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (OSError, asyncio.CancelledError):  # the latter at the end
            writer.transport.abort()
        finally:
            self._open.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await asyncio.sleep(self.delay)
                await self._carries.wait()
                writer.write(data)
                await writer.drain()
        self._open.discard(writer)
        writer.transport.close()


@contextmanager
def passage(target: int) -> Iterator[Passage]:
    """A way to a port, for as long."""
    opened = Passage(target)
    try:
        yield opened
    finally:
        opened.close()
