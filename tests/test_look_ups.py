"""Look-ups that fail, that nobody answers, or that are too many: what they may cost the others."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.polling.feed.look_ups import Reluctance
from exporter.simulator import FACE_SWAP, SORA, Feed, Life
from exporter.tasks import State
from tests.declared.conftest import declared
from tests.declared.polled import Acme, Polled, answer
from tests.harness import (
    ALL_FEEDS,
    NOW,
    STEP,
    UNLISTED,
    Poll,
    Site,
    ended,
    endless,
    every_feed,
    outage_of,
    side_by_side,
    until,
)
from tests.harness.fixtures import own_site
from tests.simulator import faults


def unlisted(*ids: str) -> dict[str, Any]:
    """Settings of a DeerAPI account that cannot list."""
    return {**UNLISTED, "watch": {"tasks": {"sora": list(ids)}}}


class Refusing:
    """Answers in the vendor's place where the path or query of a look-up holds a text, and counts that."""

    def __init__(self, site: Site, text: str, answer: ASGIApp) -> None:
        self.asked = 0
        self._answer = answer
        self._text = text.encode()
        self._site = site
        site.instead = lambda path: self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._text in scope["path"].encode() + scope["query_string"]:
            self.asked += 1
            await self._answer(scope, receive, send)
        else:
            await self._site.fake(scope, receive, send)


REFUSALS: dict[str, ASGIApp] = {
    "401": Response("", 401),
    "402": Response("", 402),
    "403": Response("<html>Request blocked</html>", 403),
    "429": Response("", 429),
    "429 for an hour": Response("", 429, {"Retry-After": "3600"}),
    "500": Response("", 500),
    "503 for an hour": Response("", 503, {"Retry-After": "3600"}),
    "a redirect": Response("", 302, {"Location": "http://elsewhere.example/"}),
}


@every_feed
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_one_id_that_is_refused_stops_no_listed_feed(
    site: Site, poll: Poll, feed: Feed, refusal: ASGIApp
) -> None:
    await stops_nothing(site, poll, feed, refusal)


async def test_one_id_that_is_never_answered_stops_no_listed_feed() -> None:
    async def hangs(feed: Feed) -> None:
        async with own_site() as (site, poll):
            await stops_nothing(site, poll, feed, faults.hang)

    await side_by_side({"/".join(feed): hangs(feed) for feed in ALL_FEEDS})


async def stops_nothing(site: Site, poll: Poll, feed: Feed, refusal: ASGIApp) -> None:
    refusing = Refusing(site, "poisoned", refusal)
    polled = poll(feed, watch={"tasks": {feed[1]: ["poisoned"]}}, request_timeout="1s", paces=False)
    await polled.sweep()
    site.world.add(*(ended(feed, f"new-{number}", -STEP - number) for number in range(3)))
    assert polled.is_up()
    await polled.sweep()
    assert refusing.asked
    assert polled.is_up()
    assert polled.counted("finished_total") == {"succeeded": 3}


async def test_a_connection_that_breaks_for_one_id_stops_no_listed_feed(site: Site, poll: Poll) -> None:
    Refusing(site, "poisoned", Broken())
    polled = poll(SORA, watch={"tasks": {"sora": ["poisoned"]}})
    await polled.sweep()
    site.world.add(ended(SORA, "new", -STEP))
    await polled.sweep()
    assert polled.errors == {"connection": 2}
    assert polled.counted("finished_total") == {"succeeded": 1}


class Broken:
    """Ends the connection within the answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": False})


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_ids_that_only_fail_are_asked_less_and_less_often(site: Site, poll: Poll, status: int) -> None:
    refusing = Refusing(site, "poisoned", Response("<html>", status))
    ids = [f"poisoned-{number}" for number in range(6)]
    polled = poll(SORA, watch={"tasks": {"sora": ids}})
    await polled.sweep(10)
    before, refusing.asked = refusing.asked, 0
    await polled.sweep(90)
    assert 0 < refusing.asked < before
    assert set(polled.loop.snapshot().look_ups.failing) == set(ids)
    site.be_well()
    site.world.add(*(endless(SORA, one, 9000) for one in ids))
    await polled.sweep(after=600.0)
    assert set(polled.tracker.in_flight) == set(ids)
    assert not polled.loop.snapshot().look_ups.failing


async def test_an_id_that_earns_a_pause_each_time_does_not_pause_the_account_for_ever(site: Site, poll: Poll) -> None:
    """The pause is the provider's and is obeyed; but the id that earns it is asked ever less often."""
    refusing = Refusing(site, "poisoned", Response("", 429, {"Retry-After": "60"}))
    polled = poll(SORA, paces=False, **unlisted("poisoned", "good"))
    site.world.add(Life("good", *SORA, NOW, 0.0))
    asked = []
    for _ in range(200):
        await polled.sweep()
        asked.append(refusing.asked)
    assert set(polled.tracker.in_flight) == {"good"}
    assert asked[-1] <= 8


async def test_a_task_in_flight_that_earns_a_pause_of_an_hour_is_asked_for_four_times_a_day(
    site: Site, poll: Poll
) -> None:
    """After two hours, four, eight and so on."""
    site.world.add(*(endless(SORA, name, 10) for name in ("good", "poisoned")))
    polled = poll(SORA, paces=False, poll_interval="10m", **unlisted("good", "poisoned"))
    await polled.sweep()
    assert set(polled.tracker.in_flight) == {"good", "poisoned"}
    refusing = Refusing(site, "poisoned", Response("", 429, {"Retry-After": "3600"}))
    began = site.clock.now
    while site.clock.now < began + 86400.0:
        await polled.sweep(after=600.0)
    assert refusing.asked == 4


async def test_after_a_time_out_the_gap_grows_at_once() -> None:
    """By twice the deadline, four times, and so on: what hangs keeps the others waiting."""
    asked: list[float] = []

    def time_out(what: str, ids: list[str]) -> None:
        if "hangs" in ids:
            asked.append(polled.clock.now - began)
            raise TimeoutError

    acme = Acme()
    acme.rows = [{"id": "good", "status": "rendering"}]
    acme.instead = time_out
    polled = await Polled.open(declared({"list": None}), acme, poll_interval="15s", request_timeout="10s")
    await polled.loop.following.ask_for(["good", "hangs"])
    began = polled.clock.now + STEP
    await polled.sweep(24)
    assert asked == [0, 30, 75, 165, 330]
    await polled.aclose()


async def test_many_ids_that_earn_pauses_make_all_new_ids_wait(site: Site, poll: Poll) -> None:
    refusing = Refusing(site, "poisoned", Response("", 429, {"Retry-After": "60"}))
    polled = poll(SORA, watch={"tasks": {"sora": [f"poisoned-{number}" for number in range(100)]}}, paces=False)
    for _ in range(40):
        await polled.sweep()
        assert polled.is_up()
    assert 0 < refusing.asked <= 40


@pytest.mark.parametrize("status", [401, 403, 429, 500])
async def test_a_feed_without_a_list_goes_on_while_one_of_its_ids_fails(site: Site, poll: Poll, status: int) -> None:
    site.world.add(Life("good", *SORA, NOW - 5, 0.0, 40.0, State.SUCCEEDED), endless(SORA, "other", 10))
    Refusing(site, "poisoned", Response("", status))
    polled = poll(SORA, paces=False, **unlisted("poisoned", "good", "other"))
    for _ in range(8):
        await polled.sweep()
    assert polled.is_up()
    assert polled.counted("finished_total") == {"succeeded": 1}


@pytest.mark.parametrize("count", [1, 20])
async def test_a_feed_without_a_list_is_down_while_none_of_its_ids_is_answered(
    site: Site, poll: Poll, count: int
) -> None:
    """It cannot be told from an outage, so all are asked for as soon as it may be over."""
    ids = [f"{number}" for number in range(count)]
    site.world.add(*(endless(SORA, one, 10) for one in ids))
    refusing = Refusing(site, "/videos/", Response("", 403))
    polled = poll(SORA, **unlisted(*ids))
    for _ in range(10):
        await polled.sweep()
        assert polled.is_up() is False
    assert refusing.asked <= 10 * 8
    site.be_well()
    await polled.sweep()
    assert polled.is_up()
    assert set(polled.tracker.in_flight) == set(ids)


@pytest.mark.parametrize(("tasks", "is_up"), [(2, True), (3, False)])
async def test_a_detail_that_answers_nothing_takes_a_listed_feed_down_once_three_of_its_tasks_are_old(
    site: Site, poll: Poll, tasks: int, is_up: bool
) -> None:
    names = [f"below-{number}" for number in range(tasks)]
    site.world.add(*(endless(SORA, one, 5000) for one in names), *(ended(SORA, f"{ago}", ago * 10) for ago in range(3)))
    polled = poll(SORA, page_size=7)
    await polled.sweep()
    assert set(polled.tracker.in_flight) == set(names)
    site.world.add(*(ended(SORA, f"new-{number}", -STEP) for number in range(7)))
    Refusing(site, "/videos/", Response("", 401))
    ups = []
    for _ in range(6):
        await polled.sweep()
        ups.append(polled.is_up())
    # The first of these sweeps still found them in the list.
    assert ups == [True, True, True, True, is_up, is_up]
    assert polled.counted("finished_total")["succeeded"] == 10
    assert is_up or outage_of(polled.loop).label == "auth"
    site.be_well()
    await polled.sweep()
    assert polled.is_up()


# --- More ids than can be looked up


async def test_ids_by_the_thousand_do_not_starve_tasks_in_flight(site: Site, poll: Poll) -> None:
    names = [f"task-{number}" for number in range(5)]
    polled = poll(SORA, poll_interval="1s", rate_limit="100/s", **UNLISTED)
    site.world.add(*(endless(SORA, one, 10) for one in names))
    await polled.loop.following.ask_for(names)
    await polled.sweep(after=1.0)
    await polled.loop.following.ask_for([f"stranger-{number}" for number in range(3000)])
    for _ in range(3):
        await polled.sweep(after=1.0)
        assert polled.is_up()
        assert all(site.clock.now - at < 0.5 for at in polled.tracker.last_seen.values())


async def test_a_source_that_floods_does_not_starve_the_few_ids_of_another(
    site: Site, poll: Poll, tmp_path: Path
) -> None:
    flood = [{"kind": "sora", "ids": [f"stranger-{number}" for number in range(3000)]}]
    (tmp_path / "a.json").write_text(json.dumps(flood))
    (tmp_path / "b.json").write_text(json.dumps([{"kind": "sora", "ids": ["in-a-file"]}]))
    watch = {"files": [str(tmp_path / "*.json")], "tasks": {"sora": ["in-the-settings"]}}
    polled = poll(SORA, poll_interval="100ms", rate_limit="100/s", **UNLISTED, watch=watch)
    await polled.loop.following.hint([f"called-back-{number}" for number in range(100)])
    few = ["in-a-file", "in-the-settings", "asked-for"]
    site.world.add(*(endless(SORA, one, 10) for one in few))
    await polled.loop.following.ask_for(["asked-for"])
    await polled.sweep(3, after=0.1)
    assert set(polled.tracker.in_flight) == set(few)


async def test_tasks_that_cannot_be_asked_for_in_three_intervals_are_withdrawn(site: Site, poll: Poll) -> None:
    names = [f"task-{number}" for number in range(60)]
    site.world.add(*(endless(SORA, one, 10) for one in names))
    polled = poll(SORA, **UNLISTED)
    await polled.loop.following.ask_for(names)
    await polled.sweep()
    assert len(polled.tracker.in_flight) == 60
    slow = poll(SORA, polled.store, **UNLISTED, poll_interval="100ms", rate_limit="40/s")
    ups = []
    for _ in range(8):
        await slow.sweep(after=0.4)
        ups.append(slow.is_up())
    assert ups[0] is True
    assert ups[-1] is False
    assert slow.tracker.is_stale(site.clock())
    assert outage_of(slow.loop).advice.startswith("Calls were delayed by rate_limit")
    again = poll(SORA, polled.store, **UNLISTED)
    await again.sweep()
    assert again.is_up()
    assert not again.tracker.is_stale(site.clock())


async def test_the_first_sweep_of_a_list_does_not_wait_for_new_ids(site: Site, poll: Poll) -> None:
    reading = threading.Event()  # the vendors are in a thread of their own

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        reading.set()
        await faults.hang(scope, receive, send)

    site.world.add(ended(FACE_SWAP, "done", 100))
    Refusing(site, "stranger", hang)
    strangers = [f"stranger-{number}" for number in range(50)]
    polled = poll(FACE_SWAP, watch={"tasks": {"face_swap": strangers}}, request_timeout="60s")
    sweeping = asyncio.create_task(polled.sweep())
    assert await asyncio.to_thread(reading.wait, 30)
    assert polled.is_up()
    assert polled.counted("finished_total") == {"succeeded": 1}
    assert polled.loop.following.unread == 50
    sweeping.cancel()


async def test_all_new_ids_of_a_listed_feed_have_their_turn_however_many_of_them_fail() -> None:
    acme = Acme()
    acme.rows = [{"id": "good", "status": "rendering"}]
    acme.hidden = {"good"}
    acme.instead = lambda what, ids: None if what == "list" or ids == ["good"] else answer({}, 500)
    polled = await Polled.open(declared(), acme)
    await polled.loop.following.ask_for([*(f"bad-{number}" for number in range(30)), "good"])
    await polled.sweep()
    assert set(polled.in_flight) == {"good"}
    await polled.aclose()


async def test_new_ids_that_hang_leave_places_for_another_feed(site: Site, poll: Poll) -> None:
    hanging = Refusing(site, "stranger", faults.hang)
    strangers = [f"stranger-{number}" for number in range(20)]
    polled = poll("chanjing", watch={"tasks": {"lip_sync": strangers}}, request_timeout="30s")
    sweeping = asyncio.create_task(polled.loop_of(kind="lip_sync").sweep())
    await until("look-ups that hang", lambda: hanging.asked >= 4)
    other = polled.loop_of(kind="video")
    await other.sweep()
    assert (other.status.up, hanging.asked) == (True, 4)
    sweeping.cancel()


async def test_ids_that_end_in_any_round_count_once(site: Site, poll: Poll) -> None:
    names = [f"task-{number}" for number in range(150)]
    lives = [Life(one, *SORA, NOW - 50, 0.0, 20.0 + index % 90, State.SUCCEEDED) for index, one in enumerate(names)]
    site.world.add(*lives)
    given = unlisted(*names, "never") | {"poll_interval": "20ms", "rate_limit": "1000/s"}
    polled = poll(SORA, **given)
    seen: Counter[int] = Counter()
    for number in range(60):
        await polled.sweep(after=1.0)
        seen[int(polled.counted("finished_total").get("succeeded", 0))] += 1
        if number % 20 == 19:
            polled = poll(SORA, polled.store, **given)
    assert polled.counted("finished_total") == {"succeeded": 150}
    assert list(seen) == sorted(seen)


async def test_new_ids_get_a_quarter_of_the_interval_when_nothing_is_left_of_it() -> None:
    acme = Acme()
    polled = await Polled.open(declared(), acme, paced=True, poll_interval="400ms", rate_limit="1000/s")
    began = time.monotonic()
    await polled.loop.glance([f"new-{number}" for number in range(2000)], until=began)
    assert time.monotonic() - began >= 0.1
    assert len(acme.asked) <= 0.1 * 1000 + 10  # those that wait for their turn when the time is over are asked for
    await polled.aclose()


@pytest.mark.parametrize(("count", "sweeps"), [(50, False), (51, True)])
async def test_up_to_fifty_ids_are_looked_up_at_once_and_for_more_the_next_sweep_comes_early(
    count: int, sweeps: bool
) -> None:
    acme = Acme()
    polled = await Polled.open(declared({"list": None}), acme, paced=True, poll_interval="1h")
    loop, tracker = polled.loop, polled.tracker
    loop.start()
    await until("the first sweep", lambda: tracker.swept and loop.status.next_sweep)
    polled.clock.now += 60
    acme.rows = [{"id": f"{number}", "status": "rendering"} for number in range(count)]
    await loop.following.ask_for([row["id"] for row in acme.rows])
    await until("the look-ups", lambda: len(tracker.in_flight) == count)
    await until("the end of a sweep", lambda: loop.status.next_sweep)
    assert (tracker.polled == polled.clock.now) is sweeps
    await loop.stop()
    await polled.aclose()


# --- When an id is asked for again


def tries(note: Callable[[Reluctance, float], Any]) -> list[float]:
    """When an id is asked for, within a day."""
    reluctance, asked, now = Reluctance(), [], 0.0
    while now < 86400.0:
        if not reluctance.waits("id", now):
            note(reluctance, now)
            asked.append(now)
        now += STEP
    return asked


@pytest.mark.parametrize("note", [Reluctance.failed, Reluctance.denied], ids=["that fails", "that is unknown"])
def test_after_five_look_ups_in_vain_the_gap_of_an_id_doubles_up_to_ten_minutes(note: Callable[..., None]) -> None:
    asked = tries(lambda reluctance, now: note(reluctance, "id", now, STEP))
    gaps = [after - before for before, after in pairwise(asked)]
    assert gaps[:9] == [15.0, 15.0, 15.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0]
    assert {*gaps[9:]} == {600.0}


def test_an_id_that_keeps_others_waiting_waits_longer_at_once() -> None:
    asked = tries(lambda reluctance, now: reluctance.failed("id", now, STEP, cost=3600.0, longest=86400.0))
    assert len(asked) == 4


def test_a_clock_that_was_set_back_by_weeks_makes_no_id_wait() -> None:
    reluctance = Reluctance()
    for _ in range(20):
        reluctance.failed("id", 30 * 86400.0, STEP)
    assert not reluctance.waits("id", 0.0)
