"""The fault matrix: what each fault of a feed does to its metrics, and that it does nothing to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from exporter.simulator import FACE_SWAP, SEEDS, Feed, Life
from exporter.tasks import State
from tests.harness import ALL_FEEDS, NOW, STEP, Door, Poll, Rig, Site, until
from tests.simulator.matrix import MATRIX, MORE_THAN_A_PAGE, Fault

Values = dict[str, float]


class Page:
    """What /metrics says at a moment."""

    def __init__(self, rig: Rig) -> None:
        self._families, self._values = rig.families(), rig.values
        self.shown: dict[str, Values] = {
            "in_flight": self.metric("videotask_tasks", "state"),
            "finished": self.metric("videotask_finished_total", "state"),
        }

    def metric(self, name: str, *labels: str) -> dict[Any, float]:
        """The samples that are not 0."""
        return {label: value for label, value in self._values(name, *labels, families=self._families).items() if value}


def true(site: Site, feed: Feed) -> dict[str, Values]:
    """What there is in flight and what has ended."""
    known = site.truth(feed)
    return {part: {state: count for state, count in known[part].items() if count} for part in ("in_flight", "finished")}


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
async def test_a_fault_has_the_effect_that_the_matrix_says(site: Site, poll: Poll, fault: Fault, feed: Feed) -> None:
    given = {"page_size": 5, "paces": False}
    site.world.add(*lives(feed))
    rig = poll(feed, **given)
    patience = rig.client.timeout
    await rig.sweep()
    page = Page(rig)
    before = page.shown
    assert before == true(site, feed)
    polled = page.metric("videotask_last_successful_poll_timestamp_seconds")

    if fault.make:
        site.fake.faults[at(fault, feed)] = fault.make(site.world, feed)
        rig.client.timeout = 0.2 if fault.waits else patience
    else:  # from now on, as after a reload
        rig = poll(feed, rig.store, **given, base_url=fault.base_url.format(site.url.removeprefix("http://")))
    await rig.sweep()
    if not (fault.waits or fault.once or fault.error == "rate_limited"):  # one will do where the next is far
        await rig.sweep()
    page = Page(rig)
    assert page.metric("videotask_up") == ({(): 1} if fault.up else {})
    errors = page.metric("videotask_api_errors_total", "endpoint", "error")
    assert {error for _, error in errors} == ({fault.error} if fault.error else set())
    during = page.shown
    if fault.shown == "withdrawn":
        assert during == before  # what was seen a moment ago may still be shown
        site.clock.now += 3 * STEP
        page = Page(rig)
        assert page.shown == {"in_flight": {}, "finished": before["finished"]}
        assert page.metric("videotask_last_successful_poll_timestamp_seconds") == polled
    elif fault.shown == "true":
        assert during == true(site, feed)
    elif fault.shown == "true a sweep later":
        assert during["in_flight"] == true(site, feed)["in_flight"]
        assert before["finished"]["succeeded"] + MORE_THAN_A_PAGE < during["finished"]["succeeded"]
        assert during["finished"]["succeeded"] < true(site, feed)["finished"]["succeeded"]
    elif fault.shown == "unknown":
        assert set(during["in_flight"]) == {"unknown"}
        if during["finished"] == before["finished"]:
            assert during["in_flight"]["unknown"] >= 2
        else:  # the rows prove the ends: by an end time and a result
            assert during["finished"] == true(site, feed)["finished"]
            assert during["in_flight"] == {"unknown": 1}
        assert sum(page.metric("videotask_unmapped_values_total", "field").values()) > 0
    else:
        assert during == before

    site.be_well()
    rig.client.timeout = patience
    if fault.make is None:
        rig = poll(feed, rig.store, **given)
    await rig.sweep(2)
    page = Page(rig)
    assert page.metric("videotask_up") == {(): 1}
    assert page.shown == true(site, feed)
    assert page.metric("videotask_history_gaps_total") == ({(): fault.gaps} if fault.gaps else {})


# --- One feed suffers, the others keep their interval

INTERVAL = 0.5
TICKS = 6
SITES = 3
LISTS = {
    "/deerapi/api/task/self": "sora",
    "/chanjing/open/v1/video_lip_sync/list": "lip_sync",
    "/chanjing/open/v1/video_list": "video",
    "/huawei/v1/demo-project-id/digital-human-videos": "digital_human",
}


@pytest.mark.slow
async def test_the_faults_of_one_feed_delay_no_other() -> None:
    """Their sweeps are counted against the ticks of a clock in the same event loop."""
    injected = [fault for fault in MATRIX if fault.make and FACE_SWAP in fault.feeds]
    assert len(injected) >= 13
    # It is all waiting, so that some sites may wait side by side.
    await asyncio.gather(*(others_keep_their_interval(injected[site::SITES]) for site in range(SITES)))


async def others_keep_their_interval(faults: Sequence[Fault]) -> None:
    with Door.opened() as door:
        door.behind = site = Site(url=door.url)
        for feed in ALL_FEEDS:
            site.world.add(*(Life(f"done-{n}", *feed, NOW - 60 - n, 0.0, 5.0, State.SUCCEEDED) for n in range(4)))
        rig = Rig(site.clock)
        interval = f"{INTERVAL * 1000:.0f}ms"
        await rig.collector.apply([site.settings(vendor, poll_interval=interval) for vendor in SEEDS])
        others = [loop for loop in rig.loops if loop.feed.kind != "face_swap"]
        await until("a sweep of each", rig.all_up)
        try:
            for fault in faults:
                assert fault.make
                site.fake.faults[at(fault, FACE_SWAP)] = fault.make(site.world, FACE_SWAP)
                site.asked.clear()
                for _ in range(TICKS):
                    await asyncio.sleep(INTERVAL)
                # A busy machine may be late; a feed that waited for another would be later than that.
                counts = {kind: site.asked[path] for path, kind in LISTS.items()}
                assert min(counts.values()) >= TICKS / 2, (fault.name, counts)
                site.fake.faults.clear()
            assert [loop.status.up for loop in others] == [True] * 4
        finally:
            await rig.aclose()
