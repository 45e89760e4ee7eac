"""What a feed asks of its vendor, and what it is shown: measured with the loop that polls, at the simulated vendors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from exporter.client.client import Exchange
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.providers import PolledProvider
from exporter.simulator import Credentials, Feed, HandClock, Life, World, app, fake_of, running
from exporter.simulator.vendor import FakeVendor
from exporter.tasks import Observation, State
from exporter.vendors.registry import built_in

KEYS = Credentials()
LEAST: dict[str, dict[str, Any]] = {
    "deerapi": {"api_key": KEYS.deerapi_api_key},
    "chanjing": {"access_token": KEYS.chanjing_access_token},
    "huawei_metastudio": {"project_id": KEYS.huawei_project_id, "auth_token": KEYS.huawei_auth_token},
    "facewap": {"token": KEYS.facewap_token},
    "new_api": {"api_key": KEYS.deerapi_api_key},
}
"""The credentials without which a vendor answers nothing, where they are not those of its fake."""
LISTING: dict[str, dict[str, Any]] = {
    "deerapi": {"user_token": KEYS.deerapi_user_token},
    "new_api": {"user_token": KEYS.deerapi_user_token},
    "openai_videos": {"list": True},
}
"""What more it takes to have tasks listed."""


@dataclass
class Shoulder:
    """Sees each call of a client."""

    seen: list[Exchange] = field(default_factory=list)

    def asked(self, endpoint: str) -> None:
        """Prevents nothing."""

    def answered(self, exchange: Exchange) -> None:
        self.seen.append(exchange)


@asynccontextmanager
async def _polling(feed: Feed, world: World, *, listed: bool) -> AsyncIterator[tuple[FeedLoop, Shoulder, FakeVendor]]:
    """The loop of a feed at default settings, but that no rate slows it down, and its simulated vendor."""
    vendor, kind = feed
    simulator = app(world, KEYS, limits={})
    async with running(simulator) as url:
        written = {"name": vendor, "type": vendor, "base_url": url + fake_of(vendor).prefix, "rate_limit": "100000/s"}
        written |= (LEAST.get(vendor) or fake_of(vendor).keys) | (LISTING.get(vendor, {}) if listed else {})
        settings = built_in()[vendor].settings.model_validate(written | {"feeds": [kind]})
        ledger = Ledger(SqliteStore(SqliteFile(":memory:")), 86400.0)
        polled = await PolledProvider.open(settings, ledger, world.clock)
        shoulder = polled.provider.client.observer = Shoulder()
        try:
            yield polled.loops[0], shoulder, simulator.vendors[vendor]
        finally:
            await polled.stop()
            await ledger.close()


async def sweeps(feed: Feed, counts: Sequence[int], *, listed: bool = True) -> list[list[Exchange]]:
    """The calls of one sweep with each of these numbers of tasks in flight, ascending; none that is newer has ended.

    The tasks wait for ever and nothing is known of how long others took, so that no look-up is put off.
    """
    clock = HandClock()
    world = World(clock=clock, rate=0, profiles=fake_of(feed[0]).profiles)
    each = []
    async with _polling(feed, world, listed=listed) as (loop, shoulder, vendor):
        for more in _growth(counts):
            world.add(*(Life(f"task-{n}", *feed, clock() - 60 + n / 1000, None) for n in more))
            if not (listed and fake_of(feed[0]).lists_in_flight):
                await loop.following.ask_for([f"task-{n}" for n in more])
            for _ in range(2):  # the first finds what is new, the second is as all that follow
                shoulder.seen.clear()
                vendor.requests.clear()
                clock.now += loop.interval
                await loop.sweep()
            if loop.status.up is not True or vendor.requests.total() != len(shoulder.seen):
                raise RuntimeError(f"{feed} could not be read")
            each.append(list(shoulder.seen))
    return each


def _growth(counts: Sequence[int]) -> Iterable[range]:
    return (range(before, count) for before, count in zip((0, *counts), counts, strict=False))


def scene(feed: Feed, now: float) -> list[Life]:
    """Tasks that wait, run, have succeeded and have failed."""
    begun = now - 1000
    (profile,) = (one for one in fake_of(feed[0]).profiles if one.feed == feed)
    told: dict[str, Any] = {"model": profile.models[0] if profile.models else "", "cost": 3.0 if profile.cost else 0.0}
    waiting, running, succeeded, failed = (profile.new_id(Random(number)) for number in range(4))
    return [
        Life(waiting, *feed, begun, None),
        Life(running, *feed, begun, 100.0, 2000.0),
        Life(succeeded, *feed, begun, 100.0, 200.0, State.SUCCEEDED, output_seconds=5.0, **told),
        Life(failed, *feed, begun, 100.0, 200.0, State.FAILED, profile.failures[0].reason),
    ]


async def shown(feed: Feed) -> list[Observation]:
    """What the list shows of such tasks; where there is none, what look-ups do."""
    world = World(clock=HandClock(), rate=0, profiles=fake_of(feed[0]).profiles)
    world.add(*scene(feed, world.now()))
    async with _polling(feed, world, listed=True) as (loop, _, _):
        listed = list((await loop.feed.list_page()).observations) if loop.feed.lists else []
        if loop.feed.lists and fake_of(feed[0]).lists_in_flight:
            return listed
        others = {life.id for life in world.listed(feed)} - {one.id for one in listed}
        return listed + [one for task_id in sorted(others) for one in await loop.feed.look_up(task_id)]
