"""A world with a clock that stands still until told, reached over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from exporter.simulator import HandClock, Simulator, World, app
from tests.harness import Door


@pytest.fixture
def reach(door: Door) -> Iterator[Callable[[Simulator], httpx.Client]]:
    """Puts a simulator behind the door, and gives a client of it."""
    with httpx.Client(base_url=door.url, timeout=5) as client:

        def put(simulator: Simulator) -> httpx.Client:
            door.behind = simulator
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
