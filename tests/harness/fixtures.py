"""The harness as tests ask for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.ledger.sqlite.file import SqliteFile
from exporter.simulator import Feed, HandClock, World, running
from tests.harness.postgresql import Server, programs, servers
from tests.harness.postgresql import running as running_server
from tests.harness.rig import Poll, Rig
from tests.harness.vendors import NOW, Door, Site

Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture(scope="session")
def door() -> Iterator[Door]:
    """One server for all tests."""
    with Door.opened() as door:
        yield door


@pytest.fixture
def world() -> World:
    """Without tasks but those that a test adds, on a clock that stands still."""
    return World(rate=0, clock=HandClock(NOW))


@pytest.fixture
def site(world: World, door: Door) -> Site:
    """The world's vendors, over real HTTP."""
    door.behind = site = Site(world, door.url)
    return site


@pytest.fixture
def live_site(door: Door) -> Site:
    """Vendors without tasks but those that a test adds, by the clock of everybody else: for exporters as processes."""
    door.behind = site = Site(World(rate=0), door.url)
    return site


@pytest.fixture
async def poll(site: Site) -> AsyncIterator[Poll]:
    """Makes a rig with one provider at the site: of this type, or with this feed alone, and these settings."""
    async with polling(site) as poll:
        yield poll


@asynccontextmanager
async def own_site() -> AsyncIterator[tuple[Site, Poll]]:
    """A site with a server and a clock of its own, and what polls it, for cases side by side."""
    site = Site()
    async with running(site) as site.url, polling(site) as poll:
        yield site, poll


@asynccontextmanager
async def polling(site: Site) -> AsyncIterator[Poll]:
    async with AsyncExitStack() as stack:

        def make(what: str | Feed, store: SqliteFile | str = ":memory:", *, paces: bool = True, **settings: Any) -> Rig:
            if not isinstance(what, str):
                settings["feeds"] = [what[1]]
                what = what[0]
            rig = Rig(site.clock, store)
            stack.push_async_callback(rig.aclose)
            rig.add(site.settings(what, **settings))
            if not paces:
                rig.pass_pauses()
            return rig

        yield make


@pytest.fixture
async def rig(site: Site) -> AsyncIterator[Rig]:
    """Without providers, on the clock of the site."""
    rig = Rig(site.clock)
    yield rig
    await rig.aclose()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server that all tests of this process share, whose databases hold nothing."""
    if programs() is None and os.environ.get("CI") == "true":
        pytest.fail("there is no PostgreSQL here, and CI skips no test; run make programs")
    if programs() is None:
        pytest.skip("there is no PostgreSQL here; make programs installs it")
    with servers() as folder, running_server(folder / "shared") as server:
        yield server


@pytest.fixture
def ledger_url(postgresql: Server) -> str:
    """A database without a ledger."""
    postgresql.execute("DROP SCHEMA IF EXISTS videotask CASCADE")
    return postgresql.url()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files into the folder of the test, and returns the path of the first: the configuration."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path / next(iter(files))

    return write
