"""A Chanjing account behind the exporter's web application, and a client of it over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx
import pytest
from starlette.types import ASGIApp

from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sweep import Sweep
from exporter.metrics.exposition import Exposition
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.simulator import Credentials, HandClock
from exporter.snapshot import Reloads
from exporter.tasks import Observation, State
from exporter.vendors.registry import built_in
from exporter.web import app as web
from exporter.web.server.server import Server, listen
from tests.harness import made

from .serving import PATIENCE

SECRET = "callback-s3cr3t-of-the-studio"
NOWHERE = "http://127.0.0.1:9"


@dataclass
class House:
    """Accounts whose feeds are polled when a test says so, behind the exporter's web application."""

    clock: HandClock
    ledger: Ledger
    polled: PolledProviders

    @property
    def loops(self) -> list[FeedLoop]:
        return self.polled.loops

    def app(
        self,
        reload: Callable[[], Awaitable[None]] | None = None,
        reloads: Reloads | None = None,
        takes_tasks: Callable[[], bool] = lambda: False,
    ) -> ASGIApp:
        reloads = reloads or Reloads()
        exposition = Exposition(self.polled.snapshot, reloads, self.clock)
        return web.create(self.polled, exposition, self.clock, reload, reloads=reloads, takes_tasks=takes_tasks)

    async def sweep(self) -> None:
        for loop in self.loops:
            await loop.sweep()

    async def show(self, *observations: Observation, feed: int = 0) -> None:
        """A complete sweep of a feed, which shows these tasks now."""
        loop, now = self.loops[feed], self.clock.now
        listed = {one.id: (one, now) for one in observations}
        await self.ledger.record(loop.tracker, Sweep(listed=listed, complete=True), now)
        loop.status = replace(loop.status, up=True)


@asynccontextmanager
async def house_at(url: str = NOWHERE) -> AsyncIterator[House]:
    """The account at the vendor with this address; by default, one that cannot be reached."""
    clock = HandClock()
    ledger = Ledger(SqliteStore(SqliteFile(":memory:")), 7 * 86400.0)
    settings = built_in()["chanjing"].settings.model_validate(
        {
            "name": "studio",
            "type": "chanjing",
            "base_url": url,
            "access_token": Credentials().chanjing_access_token,
            "poll_interval": "10s",
            "request_timeout": "100ms",
            "rate_limit": "100/s",
            "watch": {"callback_secret": SECRET},
        }
    )
    account = made(PolledProvider.open(settings, ledger, clock))
    yield House(clock, ledger, PolledProviders([account]))
    await account.stop()
    await ledger.close()


@asynccontextmanager
async def served(application: ASGIApp, address: str = "127.0.0.1:0") -> AsyncIterator[httpx.AsyncClient]:
    """The application on the exporter's own server, and a client of it that sends no header of its own accord."""
    (listener,) = listen([address])
    host, port = listener.getsockname()[:2]
    server = Server(application)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE) as client:
            for name in ("accept", "accept-encoding"):
                del client.headers[name]
            yield client
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """At a vendor that cannot be reached."""
    async with house_at() as house:
        yield house


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with served(house.app()) as client:
        yield client


async def see(house: House, *states: State) -> None:
    """A complete sweep of the first feed that shows tasks in these states."""
    await house.show(*(Observation(f"t{n}", state) for n, state in enumerate(states)))
