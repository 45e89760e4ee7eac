"""The fault matrix: what each fault of a feed does to its metrics, and that it does nothing to the others."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Scope, Send

from exporter.config.models import ProviderSettings
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.metrics.exposition import Exposition
from exporter.polling.collector import Collector
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.simulator import (
    DIGITAL_HUMAN,
    FACE_SWAP,
    LIP_SYNC,
    PREFIXES,
    SORA,
    VIDEO,
    Feed,
    HandClock,
    Life,
    Simulator,
    World,
    app,
    serve,
)
from exporter.snapshot import Reloads
from exporter.tasks import State
from exporter.vendors.registry import built_in
from tests.harness import made
from tests.simulator.matrix import MATRIX, MORE_THAN_A_PAGE, Fault

if TYPE_CHECKING:
    from tests.conftest import Door

NOW = 1_790_000_000.0
STEP = 15.0
FEEDS = (SORA, LIP_SYNC, VIDEO, DIGITAL_HUMAN, FACE_SWAP)

Values = dict[str, float]


@dataclass
class Site:
    """The simulated vendors, and when each path was asked for."""

    fake: Simulator
    url: str = ""
    asked: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked[scope["path"]].append(time.monotonic())
        await self.fake(scope, receive, send)

    def settings(self, vendor: str, **given: Any) -> ProviderSettings:
        common = {"name": vendor, "type": vendor, "base_url": self.url + PREFIXES[vendor], "rate_limit": "2000/s"}
        return built_in()[vendor].settings.model_validate({**common, **self.fake.credentials.of(vendor), **given})


@dataclass
class Scene:
    """One feed, swept by hand, and what /metrics says of it."""

    clock: HandClock
    world: World
    site: Site
    feed: Feed
    stack: AsyncExitStack
    store: SqliteFile = field(default_factory=lambda: SqliteFile(":memory:"))
    account: PolledProvider | None = None

    def connect(self, **given: Any) -> None:
        """Polls the feed with these settings from now on, as after a reload."""
        settings = self.site.settings(self.feed[0], feeds=[self.feed[1]], page_size=5, **given)
        self.account = made(PolledProvider.open(settings, Ledger(SqliteStore(self.store), 7 * 86400.0), self.clock))
        self.stack.push_async_callback(self.account.stop)

    async def sweep(self, after: float = STEP) -> None:
        """One sweep, once the vendor's pause is over."""
        self.clock.now += after
        assert self.account
        (loop,) = self.account.loops
        await asyncio.sleep(loop.provider.client.limit.pause_left)
        await loop.sweep()

    def metric(self, name: str, label: str = "") -> Values:
        """The samples of a metric that are not 0, by one label."""
        assert self.account
        body, _ = Exposition(PolledProviders([self.account]).snapshot, Reloads(), self.clock).render("")
        return {
            sample.labels.get(label, ""): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
            if sample.name == name and sample.value
        }

    @property
    def truth(self) -> dict[str, Values]:
        """What there is in flight and what has ended, without zeros."""
        known = self.world.truth()[self.feed[0]][self.feed[1]]
        return {
            "in_flight": {state: float(count) for state, count in known["in_flight"].items() if count},
            "finished": {state: float(count) for state, count in known["finished"].items() if count},
        }

    @property
    def told(self) -> dict[str, Values]:
        return {
            "in_flight": self.metric("videotask_tasks", "state"),
            "finished": self.metric("videotask_finished_total", "state"),
        }


@pytest.fixture
async def scene(door: Door, feed: Feed) -> AsyncIterator[Scene]:
    clock = HandClock(NOW)
    world = World(rate=0, clock=clock)
    door.behind = site = Site(app(world, limits={}), door.url)
    async with AsyncExitStack() as stack:
        yield Scene(clock, world, site, feed, stack)


def lives(feed: Feed) -> list[Life]:
    """What ended before, what runs, what ends after the first sweep, and what comes and ends after it."""
    return [
        *(Life(f"done-{n}", *feed, NOW - 60 - n, 0.0, 5.0, State.SUCCEEDED) for n in range(12)),
        Life("runs", *feed, NOW - 5, 0.0, 9999.0),
        Life("ends", *feed, NOW - 5, 0.0, 40.0, State.SUCCEEDED),
        Life("comes", *feed, NOW + 20, 0.0, 8.0, State.SUCCEEDED),
    ]


def at(fault: Fault, feed: Feed) -> str:
    return f"{feed[0]}/{feed[1]}{fault.endpoint}"


CASES = [pytest.param(fault, feed, id=f"{feed[1]}: {fault.name}") for fault in MATRIX for feed in fault.feeds]


@pytest.mark.parametrize(("fault", "feed"), CASES)
async def test_a_fault_has_the_effect_that_the_matrix_says(scene: Scene, fault: Fault, feed: Feed) -> None:
    scene.world.add(*lives(feed))
    deadline = {"request_timeout": "2s"} if fault.waits else {}
    scene.connect(**deadline)
    await scene.sweep()
    before = scene.told
    assert before == scene.truth
    polled = scene.metric("videotask_last_successful_poll_timestamp_seconds")

    if fault.make:
        scene.site.fake.faults[at(fault, feed)] = fault.make(scene.world, feed)
    else:
        scene.connect(base_url=fault.base_url.format(scene.site.url.removeprefix("http://")))
    await scene.sweep()
    if not (fault.waits or fault.once or fault.error == "rate_limited"):  # one will do where the next is far
        await scene.sweep()
    assert scene.metric("videotask_up") == ({"": 1} if fault.up else {})
    errors = scene.metric("videotask_api_errors_total", "error")
    assert set(errors) == ({fault.error} if fault.error else set())
    during = scene.told
    if fault.shown == "withdrawn":
        assert during == before  # what was seen a moment ago may still be shown
        scene.clock.now += 3 * STEP
        assert scene.told == {"in_flight": {}, "finished": before["finished"]}
        assert scene.metric("videotask_last_successful_poll_timestamp_seconds") == polled
    elif fault.shown == "true":
        assert during == scene.truth
    elif fault.shown == "true a sweep later":
        assert during["in_flight"] == scene.truth["in_flight"]
        assert before["finished"]["succeeded"] + MORE_THAN_A_PAGE < during["finished"]["succeeded"]
        assert during["finished"]["succeeded"] < scene.truth["finished"]["succeeded"]
    elif fault.shown == "unknown":
        assert set(during["in_flight"]) == {"unknown"}
        if during["finished"] == before["finished"]:
            assert during["in_flight"]["unknown"] >= 2
        else:  # the rows prove the ends: by an end time and a result
            assert during["finished"] == scene.truth["finished"]
            assert during["in_flight"] == {"unknown": 1}
        assert sum(scene.metric("videotask_unmapped_values_total", "field").values()) > 0
    else:
        assert during == before

    scene.site.fake.faults.clear()
    if fault.make is None:
        scene.connect()
    await scene.sweep()
    await scene.sweep()
    assert scene.metric("videotask_up") == {"": 1}
    assert scene.told == scene.truth
    assert scene.metric("videotask_history_gaps_total") == ({"": fault.gaps} if fault.gaps else {})


# --- One feed suffers, the others keep their interval

INTERVAL = 0.5
SWEEPS = 6
SITES = 3
LISTS = {
    "/deerapi/api/task/self": "sora",
    "/chanjing/open/v1/video_lip_sync/list": "lip_sync",
    "/chanjing/open/v1/video_list": "video",
    "/huawei/v1/demo-project-id/digital-human-videos": "digital_human",
}


@pytest.mark.slow
async def test_the_faults_of_one_feed_delay_no_other() -> None:
    """The median of the times between their sweeps, as the vendors see them."""
    injected = [fault for fault in MATRIX if fault.make and FACE_SWAP in fault.feeds]
    assert len(injected) >= 13
    # It is all waiting, so that some sites may wait side by side.
    await asyncio.gather(*(others_keep_their_interval(injected[site::SITES]) for site in range(SITES)))


async def others_keep_their_interval(faults: Sequence[Fault]) -> None:
    world = World(rate=0)
    now = world.now()
    for feed in FEEDS:
        world.add(*(Life(f"done-{n}", *feed, now - 60 - n, 0.0, 5.0, State.SUCCEEDED) for n in range(4)))
    fake = app(world, limits={})
    site = Site(fake)
    collector = Collector(Ledger(SqliteStore(SqliteFile(":memory:")), 7 * 86400.0))
    with serve(site) as server:
        site.url = server.url
        interval = f"{INTERVAL * 1000:.0f}ms"
        simulated = [vendor for vendor in built_in() if vendor in PREFIXES]
        await collector.apply([site.settings(vendor, poll_interval=interval) for vendor in simulated])
        try:
            for fault in faults:
                assert fault.make
                fake.faults[at(fault, FACE_SWAP)] = fault.make(world, FACE_SWAP)
                site.asked.clear()
                await until_asked(site, SWEEPS + 1)
                for path, kind in LISTS.items():
                    times = site.asked[path]
                    gaps = [after - before for before, after in itertools.pairwise(times)]
                    # A busy machine may be late; a feed that waited for another would be later than that.
                    assert statistics.median(gaps) < 2 * INTERVAL, (fault.name, kind)
                fake.faults.clear()
            assert [loop.status.up for loop in collector.polled.loops if loop.feed.kind != "face_swap"] == [True] * 4
        finally:
            await collector.stop()


async def until_asked(site: Site, times: int) -> None:
    async with asyncio.timeout(60):
        while min(len(site.asked[path]) for path in LISTS) < times:  # noqa: ASYNC110  # vendors are in a thread
            await asyncio.sleep(INTERVAL / 10)
