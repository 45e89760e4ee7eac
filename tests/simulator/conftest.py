"""A world with a clock that stands still until told, reached over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator import HandClock, Simulator, World, app, serve


class Door:
    """One server for all tests, with the simulator of the present test behind it."""

    def __init__(self) -> None:
        self.behind: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.behind is not None
        await self.behind(scope, receive, send)


@pytest.fixture(scope="session")
def door() -> Iterator[tuple[Door, str]]:
    door = Door()
    with serve(door) as server:
        yield door, server.url


@pytest.fixture
def reach(door: tuple[Door, str]) -> Iterator[Callable[[Simulator], httpx.Client]]:
    """Puts a simulator behind the door, and gives a client of it."""
    entrance, url = door
    with httpx.Client(base_url=url, timeout=5) as client:

        def put(simulator: Simulator) -> httpx.Client:
            entrance.behind = simulator
            return client

        yield put


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def world(clock: HandClock) -> World:
    """An empty world, for scripted tasks."""
    return World(rate=0, clock=clock)


@pytest.fixture
def simulator(world: World) -> Simulator:
    return app(world)


@pytest.fixture
def http(simulator: Simulator, reach: Callable[[Simulator], httpx.Client]) -> httpx.Client:
    """A client of the simulator."""
    return reach(simulator)
