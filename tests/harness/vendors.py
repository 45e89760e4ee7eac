"""The vendors that there are, what is made of them, and simulated ones at an address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.client.client import Client
from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings
from exporter.simulator import (
    DIGITAL_HUMAN,
    FACE_SWAP,
    IAM,
    LIP_SYNC,
    SORA,
    VIDEO,
    Credentials,
    Feed,
    HandClock,
    Life,
    Simulator,
    World,
    app,
    fake_of,
    serve,
)
from exporter.tasks import State
from exporter.vendors import api, registry

NOW = 1_790_000_000.0
"""When a site's clock stands still, unless a test has another."""
NOWHERE = "http://127.0.0.1:9"
"""Where nothing listens."""
ALL_FEEDS = (SORA, LIP_SYNC, VIDEO, DIGITAL_HUMAN, FACE_SWAP)
VENDORS = registry.built_in()

every_feed = pytest.mark.parametrize("feed", ALL_FEEDS, ids=[kind for _, kind in ALL_FEEDS])

UNLISTED: dict[str, Any] = {"user_token": None, "user_id": None}
"""Settings of a DeerAPI account that cannot list."""
RENEWED: dict[str, Any] = {"access_token": None, **Credentials().to_renew_with("chanjing")}
"""Settings of a Chanjing account that asks for its tokens itself."""


def settings_of(given: Mapping[str, Any]) -> ProviderSettings:
    """A provider as its vendor's settings read it. Raises ValidationError."""
    return VENDORS[given["type"]].settings.model_validate({"name": "test", **given})


def connected(settings: ProviderSettings, client: Client, token_store: TokenStore) -> dict[str, api.Feed]:
    """All feeds of a provider by kind, at the vendor that the client reaches."""
    vendor = VENDORS[settings.type]
    feeds = vendor.feeds(settings, client, token_store)
    assert tuple(feed.kind for feed in feeds) == vendor.kinds
    return {feed.kind: feed for feed in feeds}


async def page_of(feed: api.Feed, index: int = 0, *, received: int = 0, in_flight: bool = False) -> api.Page:
    """A page of a feed's list: which one, from 0, and how many rows came on those before it. Raises CallError."""
    return await feed.list_page(api.Position(index, received), in_flight=in_flight)


def account(vendor: str, url: str = NOWHERE, keys: Credentials | None = None, **given: Any) -> dict[str, Any]:
    """A provider at the simulator with this URL, as a configuration has it; what is given as None is left out."""
    common = {"name": vendor, "type": vendor, "base_url": url + fake_of(vendor).prefix, "rate_limit": "2000/s"}
    merged = {**common, **fake_of(vendor).lets_in(keys or Credentials()), **given}
    return {name: value for name, value in merged.items() if value is not None}


class Door:
    """One server for several tests: what the present one puts behind it answers at `url`."""

    def __init__(self) -> None:
        self.behind: ASGIApp | None = None
        self.url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.behind is not None
        await self.behind(scope, receive, send)

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Door]:
        door = cls()
        with serve(door) as server:
            door.url = server.url
            yield door


class Site:
    """Simulated vendors at an address. What `instead` gives for a path answers in their place."""

    def __init__(self, world: World | None = None, url: str = "", credentials: Credentials | None = None) -> None:
        self.world = world or World(rate=0, clock=HandClock(NOW))
        self.fake: Simulator = app(self.world, credentials, limits={})
        self.url = url
        self.instead: Callable[[str], ASGIApp | None]
        self.be_well()
        self.asked: Counter[str] = Counter()
        """How often each path was asked for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked[scope["path"]] += 1
        await (self.instead(scope["path"]) or self.fake)(scope, receive, send)

    def be_well(self) -> None:
        """From now on nobody answers in the vendors' place."""
        self.instead = lambda path: None
        self.fake.faults.clear()

    @property
    def clock(self) -> HandClock:
        """That of the vendors, where it is set by hand."""
        assert isinstance(self.world.clock, HandClock)
        return self.world.clock

    def account(self, vendor: str, **given: Any) -> dict[str, Any]:
        """A provider here, as a configuration has it; see `account`."""
        return account(vendor, self.url, self.fake.credentials, **given)

    @property
    def iam(self) -> dict[str, str]:
        """A user of IAM here, of whom MetaStudio's tokens are asked for."""
        keys = self.fake.credentials
        names = {"domain": keys.huawei_domain, "username": keys.huawei_username, "password": keys.huawei_password}
        return {"endpoint": self.url + IAM, **names}

    def settings(self, vendor: str, **given: Any) -> ProviderSettings:
        return settings_of(self.account(vendor, **given))

    def requests(self, feed: Feed) -> Counter[str]:
        """How often the feed's list and detail were asked for since the last time this was."""
        counted = self.fake.vendors[feed[0]].requests
        mine = Counter({end: counted.pop(f"{feed[1]}/{end}", 0) for end in ("list", "detail")})
        return +mine

    def truth(self, feed: Feed) -> dict[str, Any]:
        """What a perfect exporter would know of a feed now; see `told`."""
        known: dict[str, Any] = dict(self.world.truth()[feed[0]][feed[1]])
        return {key: known[key] for key in ("in_flight", "finished", "failures", "output_seconds")}


def ended(feed: Feed, name: str, ago: float, lasted: float = 1.0) -> Life:
    """A success that was submitted so many seconds before NOW."""
    return Life(name, *feed, NOW - ago, run_seconds=lasted, end=State.SUCCEEDED)


def endless(feed: Feed, name: str, ago: float) -> Life:
    return Life(name, *feed, NOW - ago, run_seconds=99_999.0)
