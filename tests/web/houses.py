"""A Chanjing account behind the exporter's web application, and a client of it over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from starlette.types import ASGIApp

from exporter.collector import FeedLoop
from exporter.exposition import Exposition
from exporter.ledger import Ledger
from exporter.metrics import Reloads
from exporter.providers import VENDORS, connect
from exporter.providers.provider import Provider
from exporter.simulator import Credentials, HandClock
from exporter.store import Store
from exporter.sweep import Sweep
from exporter.tasks import Observation, State
from exporter.watch import Watch
from exporter.web import app as web
from exporter.web.server import Server, listen

SECRET = "callback-s3cr3t-of-the-studio"
NOWHERE = "http://127.0.0.1:9"


@dataclass
class House:
    """One account, whose two feeds are polled when a test says so, behind the exporter's web application."""

    clock: HandClock
    provider: Provider
    ledger: Ledger
    loops: list[FeedLoop] = field(default_factory=list)
    providers: list[Provider] = field(default_factory=list)

    def app(
        self,
        reload: Callable[[], Awaitable[None]] | None = None,
        reloads: Reloads | None = None,
        takes_tasks: Callable[[], bool] = lambda: False,
    ) -> ASGIApp:
        reloads = reloads or Reloads()
        exposition = Exposition(self, reloads, self.clock)
        return web.create(self, exposition, self.clock, reload, reloads=reloads, takes_tasks=takes_tasks)

    async def sweep(self) -> None:
        for loop in self.loops:
            await loop.sweep()

    async def show(self, *observations: Observation, feed: int = 0) -> None:
        """A complete sweep of a feed, which shows these tasks now."""
        loop, now = self.loops[feed], self.clock.now
        listed = {one.id: (one, now) for one in observations}
        await self.ledger.record(loop.book, Sweep(listed=listed, complete=True), now)
        loop.status.up = True


@asynccontextmanager
async def house_at(url: str = NOWHERE) -> AsyncIterator[House]:
    """The account at the vendor with this address; by default, one that cannot be reached."""
    clock = HandClock()
    ledger = Ledger(Store(":memory:"), 7 * 86400.0)
    settings = VENDORS["chanjing"].settings.model_validate(
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
    provider = connect(settings, ledger.store)
    house = House(clock, provider, ledger, providers=[provider])
    for feed in provider.feeds:
        book = ledger.open("studio", feed.kind, feed.clock, settings, clock.now)
        house.loops.append(FeedLoop(provider, feed, book, ledger, Watch("studio", settings.watch), clock))
    yield house
    await provider.aclose()
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
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client:
            for name in ("accept", "accept-encoding"):
                del client.headers[name]
            yield client
    finally:
        server.should_exit = True
        await serving


async def see(house: House, *states: State) -> None:
    """A complete sweep of the first feed that shows tasks in these states."""
    await house.show(*(Observation(f"t{n}", state) for n, state in enumerate(states)))
