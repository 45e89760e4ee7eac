"""A provider at its fake vendor, swept by hand; and one whose vendor answers what a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from exporter.client.client import Client
from exporter.simulator import Credentials, HandClock, Life, World, fake_of
from exporter.vendors import registry
from exporter.vendors.vendor import Balance
from tests.harness import NOW, Connection, Door, MemoryVault, Rig, ScriptedVendor, Site, settings_of

Scripted = Callable[..., Connection]
BalanceOf = Callable[[str, Any], Awaitable[Balance | None]]


class Account:
    """One provider of a type at its fake, with a ledger and a clock of its own: `site.world`, `rig.sweep()`."""

    def __init__(self, name: str, door: Door, **given: Any) -> None:
        """`given` are settings."""
        self._type = name
        world = World(rate=0, clock=HandClock(NOW), profiles=fake_of(name).profiles)
        door.behind = self.site = Site(world, door.url)
        self.rig = Rig(self.site.clock)
        self.polled = self.rig.add(self.site.settings(name, **given))
        self.rig.pass_pauses()

    async def submit(self, *lives: Life) -> None:
        """Puts tasks into the world, and hands in the ids of those that no list shows, as programs would."""
        self.site.world.add(*lives)
        for loop in self.polled.loops:
            ids = [life.id for life in lives if life.kind == loop.feed.kind]
            shows = loop.feed.lists and fake_of(self._type).lists_in_flight
            if ids and not shows:
                await loop.following.ask_for(ids)


OpenAccount = Callable[..., Account]


@pytest.fixture
async def open_account(door: Door) -> AsyncIterator[OpenAccount]:
    """Opens an account at the fake of a type: `open_account("vidu", history="30d")`."""
    accounts: list[Account] = []

    def make(name: str, **given: Any) -> Account:
        accounts.append(Account(name, door, **given))
        return accounts[-1]

    yield make
    for account in accounts:
        await account.rig.aclose()


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    """A provider of a type whose vendor gives these answers, one after the other: `scripted("vidu", body, ...)`."""
    clients: list[Client] = []

    def make(name: str, *answers: Any, **given: Any) -> Connection:
        settings = settings_of(
            {"type": name, "base_url": "https://vendor.example", **fake_of(name).lets_in(Credentials()), **given}
        )
        vendor = ScriptedVendor(*answers)
        client = Client(settings.base_url, rate=1e9, timeout=5, transport=httpx.MockTransport(vendor))
        clients.append(client)
        feeds = registry.built_in()[name].feeds(settings, client, MemoryVault())
        return Connection({feed.kind: feed for feed in feeds}, client, vendor)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def balance_of(scripted: Scripted) -> BalanceOf:
    """What is left in an account whose vendor gives this answer: `await balance_of("vidu", body)`."""

    async def ask(name: str, answer: Any) -> Balance | None:
        line = scripted(name, answer)
        settings = settings_of({"type": name, "base_url": line.client.base_url, **fake_of(name).lets_in(Credentials())})
        vendor = registry.built_in()[name]
        account = vendor.account and vendor.account(settings, line.client, list(line.feeds.values()))
        assert account
        return await account.balance()

    return ask
