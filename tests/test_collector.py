"""The collector against simulated vendors over real HTTP, swept by hand at the hours of a clock that we set."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.client.errors import FailedCall
from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import Changes
from exporter.polling.budget import Budget
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.watch import Watch
from exporter.simulator import (
    DIGITAL_HUMAN,
    FACE_SWAP,
    LIP_SYNC,
    SORA,
    VIDEO,
    Feed,
    HandClock,
    Life,
    World,
    hang,
)
from exporter.simulator.vendors.chanjing import Chanjing
from exporter.tasks import Cause, Phase, Reason, State
from tests.harness import (
    ALL_FEEDS,
    NOW,
    PATIENCE,
    RENEWED,
    STEP,
    UNLISTED,
    Poll,
    Rig,
    Site,
    counted,
    ended,
    endless,
    every_feed,
    measured,
    outage_of,
    told,
    until,
)
from tests.simulator import faults

HOUR = 3600.0
PAGE_LIMIT = 100
"""Pages that a sweep reads at most."""
EVERY = 8
"""Sweeps after which one reads on below known rows."""
IN_FLIGHT_LIMIT = 50_000
"""Tasks in flight that a list may bring a feed to."""
LISTS = {feed: f"{feed[0]}/{feed[1]}/list" for feed in ALL_FEEDS}


# --- Tasks of known lives, from their submission to their end

REASONS = {
    SORA: Reason.TIMEOUT,
    LIP_SYNC: Reason.INVALID_INPUT,
    VIDEO: Reason.PROVIDER_INTERNAL,
    DIGITAL_HUMAN: Reason.INVALID_INPUT,
    FACE_SWAP: Reason.MODERATION,
}


def scripted(feed: Feed) -> list[Life]:
    """One task of each fate. Video synthesis shows no queue, face swaps no lengths."""
    wait = 0.0 if feed == VIDEO else 20.0
    length = None if feed == FACE_SWAP else 12.0
    lives = [
        Life("succeeds", *feed, NOW + 20, wait, 60.0, State.SUCCEEDED, output_seconds=length),
        Life("fails", *feed, NOW + 25, wait, 45.0, State.FAILED, REASONS[feed]),
        Life("quick", *feed, NOW + 31, 0.0, 2.0, State.SUCCEEDED, output_seconds=length),
        Life("vanishes", *feed, NOW + 40, wait, 9999.0, State.SUCCEEDED, vanishes_after=50.0),
        Life("runs", *feed, NOW + 50, wait),
    ]
    return lives if feed == VIDEO else [*lives, Life("waits", *feed, NOW + 60, None)]


@every_feed
async def test_tasks_of_known_lives_give_exact_counts(site: Site, poll: Poll, feed: Feed) -> None:
    site.world.add(*scripted(feed))
    polled = poll(feed)
    for _ in range(12):
        await polled.sweep()
        known, found = site.truth(feed), told(polled.tracker)
        for side in (known, found):  # a task that is gone counts as lost a sweep later than it went
            side["gone"] = side["finished"].pop("lost") + sum(side["in_flight"].values())
            side.pop("in_flight")
        assert found == known
    assert told(polled.tracker) == site.truth(feed)
    assert polled.is_up()
    assert polled.errors == {}
    assert counted(polled.tracker, "history_gaps_total") == {}


@pytest.mark.parametrize("feed", [SORA, DIGITAL_HUMAN], ids=["sora", "digital_human"])
async def test_durations_of_the_vendors_clock_are_exact(site: Site, poll: Poll, feed: Feed) -> None:
    site.world.add(*scripted(feed))
    polled = poll(feed)
    await polled.sweep(12)
    durations = site.world.truth()[feed[0]][feed[1]]["durations"]
    for phase in (Phase.RUN, Phase.TOTAL):
        for state in (State.SUCCEEDED, State.FAILED):
            exact = durations[phase][state]
            assert measured(polled.tracker, phase, state) == (exact["count"], exact["whole_seconds"])
    # The quick one never waited, and the truth leaves such tasks out.
    queues = [one for state, one in durations[Phase.QUEUE].items() if state != "lost"]
    count, total = measured(polled.tracker, Phase.QUEUE)
    lost = 1  # its start was seen before it went
    assert (count, total) == (
        1 + lost + sum(one["count"] for one in queues),
        20 + sum(q["whole_seconds"] for q in queues),
    )
    assert counted(polled.tracker, "unmeasured_durations_total") == {}


@pytest.mark.parametrize("feed", [LIP_SYNC, VIDEO, FACE_SWAP], ids=["lip_sync", "video", "face_swap"])
async def test_observed_durations_are_wrong_by_a_poll_interval_at_most(site: Site, poll: Poll, feed: Feed) -> None:
    site.world.add(*scripted(feed))
    polled = poll(feed)
    await polled.sweep(12)
    for phase, state, exact in (
        (Phase.RUN, State.SUCCEEDED, 60),
        (Phase.RUN, State.FAILED, 45),
        (Phase.TOTAL, State.SUCCEEDED, 60 if feed == VIDEO else 80),
        (Phase.TOTAL, State.FAILED, 45 if feed == VIDEO else 65),
    ):
        count, total = measured(polled.tracker, phase, state)
        assert count == 1
        assert abs(total - exact) <= STEP + 1
    # The quick one came and went between two looks: nobody can know its durations.
    assert counted(polled.tracker, "unmeasured_durations_total") == {"queue": 1, "run": 1, "total": 1}


class TestBusyWorld:
    """Every feed of every vendor at once, with random arrivals and fates."""

    @pytest.fixture
    def world(self) -> World:
        return World(seed=3, speed=10, clock=HandClock(NOW), rate=0.5, history=300)

    async def test_all_counts_are_exact_and_survive_restarts(self, site: Site, poll: Poll, tmp_path: Path) -> None:
        path = str(tmp_path / "ledger.sqlite3")
        store = SqliteFile(path)
        vendors = list(dict.fromkeys(feed[0] for feed in ALL_FEEDS))
        sizes = {"poll_interval": "5s", "page_size": 10}
        everyone = [poll(vendor, store, **sizes) for vendor in vendors]
        for step in range(200):
            if step == 40:
                site.world.stop_arrivals()
            if step in (13, 29, 30, 55):
                store.close()
                store = SqliteFile(path)
                everyone = [poll(vendor, store, **sizes) for vendor in vendors]
            site.clock.now += 5
            await asyncio.gather(*(polled.sweep(after=0) for polled in everyone))
            if step > 40 and not site.world.in_flight():
                break
        assert site.world.in_flight() == 0
        await asyncio.gather(*(polled.sweep(2, after=0) for polled in everyone))
        found = {loop.feed.kind: told(loop.tracker) for polled in everyone for loop in polled.loops}
        assert found == {feed[1]: site.truth(feed) for feed in ALL_FEEDS}
        assert all(sum(one["finished"].values()) > 20 for one in found.values())


# --- How far lists are read


@every_feed
async def test_pages_are_read_until_known_ground_and_no_further(site: Site, poll: Poll, feed: Feed) -> None:
    site.world.add(*(ended(feed, f"{ago}", ago * 10) for ago in range(1, 24)))
    polled = poll(feed, page_size=5)
    await polled.sweep()
    assert site.requests(feed)["list"] in (5, 6)  # some vendors tell the end only by an empty page
    assert polled.counted("finished_total") == {"succeeded": 23}
    await polled.sweep()
    assert site.requests(feed) == {"list": 1}
    site.world.add(*(ended(feed, f"new-{ago}", ago - STEP) for ago in range(8)))
    await polled.sweep()
    assert site.requests(feed) == {"list": 2}
    assert polled.counted("finished_total") == {"succeeded": 31}
    assert polled.counted("history_gaps_total") == {}


@pytest.mark.parametrize("feed", [SORA, VIDEO, DIGITAL_HUMAN], ids=["sora", "video", "digital_human"])
async def test_pages_before_the_history_are_not_read(site: Site, poll: Poll, feed: Feed) -> None:
    site.world.add(*(ended(feed, f"{hours}", hours * HOUR + 60) for hours in range(48)))
    polled = poll(feed, page_size=10, history="24h")
    await polled.sweep()
    assert site.requests(feed) == {"list": 3}
    assert polled.counted("finished_total") == {"succeeded": 24}
    await polled.sweep(2)
    assert polled.counted("finished_total") == {"succeeded": 24}


async def test_a_row_of_year_1_is_not_taken_for_the_end_of_the_history(site: Site, poll: Poll) -> None:
    rows = [
        lip_sync(f"{number}", create_time=-62_135_596_800 if number == 1 else int(NOW) - number) for number in range(4)
    ]
    site.fake.faults["chanjing/lip_sync/list"] = listing(rows)
    polled = poll(LIP_SYNC, page_size=2)
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 4}


@pytest.mark.parametrize("feed", [SORA, LIP_SYNC, VIDEO, FACE_SWAP], ids=["sora", "lip_sync", "video", "face_swap"])
async def test_tasks_in_flight_below_the_pages_are_looked_up(site: Site, poll: Poll, feed: Feed) -> None:
    site.world.add(*(endless(feed, f"old-{number}", 5000 + number) for number in range(3)))
    site.world.add(*(ended(feed, f"{ago}", ago * 10) for ago in range(1, 10)))
    polled = poll(feed, page_size=5)
    await polled.sweep()
    site.requests(feed)
    await polled.sweep()
    assert site.requests(feed) == {"list": 1, "detail": 3}
    assert set(polled.tracker.in_flight) == {"old-0", "old-1", "old-2"}


async def test_metastudio_is_asked_for_what_is_in_flight_at_once(site: Site, poll: Poll) -> None:
    feed = DIGITAL_HUMAN
    site.world.add(*(endless(feed, f"old-{number}", 5000 + number) for number in range(4)))
    site.world.add(Life("ends", *feed, NOW - 5000, 0.0, 5000 + 2 * STEP, State.SUCCEEDED))
    site.world.add(*(ended(feed, f"{ago}", ago * 10) for ago in range(1, 10)))
    polled = poll(feed, page_size=5)
    await polled.sweep()
    assert site.requests(feed) == {"list": 3}
    asked = []
    for _ in range(2):
        await polled.sweep()
        asked.append(site.requests(feed))
    # A page of the newest, a page of those in flight, and what is on neither, since it has ended, by its id.
    assert asked == [{"list": 3}, {"list": 2}]
    assert told(polled.tracker) == site.truth(feed)


async def test_pages_that_shift_while_they_are_read_lose_nothing(site: Site, poll: Poll) -> None:
    arriving = iter(range(100))

    def arrive(path: str) -> None:
        site.world.add(Life(f"new-{next(arriving)}", *LIP_SYNC, site.clock.now - 1, 0.0, 0.5, State.SUCCEEDED))

    site.instead = arrive
    site.world.add(*(ended(LIP_SYNC, f"{ago}", ago * 10) for ago in range(1, 13)))
    polled = poll(LIP_SYNC, page_size=5)
    await polled.sweep(4)
    site.be_well()
    await polled.sweep()
    assert told(polled.tracker) == site.truth(LIP_SYNC)
    assert polled.counted("finished_total")["succeeded"] > 16


def listing(rows: list[dict[str, Any]]) -> ASGIApp:
    """Chanjing's list of these rows, in this order."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        asked = await Request(scope, receive).json()
        begin = (asked["page"] - 1) * asked["page_size"]
        shown = rows[begin : begin + asked["page_size"]]
        data = {"list": shown, "page_info": {"total_count": len(rows)}}
        await JSONResponse({"code": 0, "data": data})(scope, receive, send)

    return answer


def lip_sync(name: str, status: int = 20, create_time: int = int(NOW)) -> dict[str, Any]:
    return {"id": name, "status": status, "create_time": create_time, "msg": ""}


async def test_a_list_of_the_oldest_first_is_read_to_its_end(site: Site, poll: Poll) -> None:
    rows = [lip_sync(str(number), create_time=int(NOW) - 100 + number) for number in range(12)]
    site.fake.faults["chanjing/lip_sync/list"] = listing(rows)
    polled = poll(LIP_SYNC, page_size=5)
    await polled.sweep(2)
    rows.append(lip_sync("new", create_time=int(NOW)))
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 13}
    assert polled.counted("history_gaps_total") == {}


async def test_a_page_that_only_repeats_ends_the_reading_and_counts_nothing(site: Site, poll: Poll) -> None:
    rows = [{"promptId": str(number), "state": 30, "createdAt": int(NOW) - 8 * 3600} for number in range(20)]
    site.fake.faults[LISTS[FACE_SWAP]] = JSONResponse({"code": 200, "data": rows})
    polled = poll(FACE_SWAP, page_size=20)
    await polled.sweep()
    assert site.requests(FACE_SWAP) == {"list": 3}
    await polled.sweep()
    assert site.requests(FACE_SWAP) == {"list": 1}
    assert polled.counted("finished_total") == {"succeeded": 20}


async def test_as_many_new_rows_as_a_page_has_do_not_end_the_reading(site: Site, poll: Poll) -> None:
    """They come between the first page and the second, which then shows the rows of the first again."""
    rows = [lip_sync(f"{number}", create_time=int(NOW) - 7200 - number) for number in range(20)]

    async def growing(scope: Scope, receive: Receive, send: Send) -> None:
        page = (await Request(scope, receive).json())["page"]
        if page == 2 and len(rows) == 20:
            rows[:0] = [lip_sync(f"new{number}", create_time=int(NOW)) for number in range(5)]
        await JSONResponse({"code": 0, "data": {"list": rows[5 * page - 5 : 5 * page]}})(scope, receive, send)

    site.fake.faults[LISTS[LIP_SYNC]] = growing
    polled = poll(LIP_SYNC, page_size=5)
    await polled.sweep(2)
    assert polled.counted("finished_total") == {"succeeded": 25}


async def test_a_row_that_is_repeated_in_one_sweep_counts_once_and_its_end_stands(site: Site, poll: Poll) -> None:
    """Rows come twice when others arrive or go while pages are read, and caches answer with what was before."""
    rows = [lip_sync("a", 10), lip_sync("a", 20), lip_sync("a", 20), lip_sync("a", 10), lip_sync("b", 20)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=3)
    await polled.sweep()
    assert (polled.counted("finished_total"), polled.tracker.in_flight) == ({"succeeded": 2}, {})


async def test_a_page_of_other_media_does_not_end_the_reading(site: Site, poll: Poll) -> None:
    """The gateway lists songs and pictures beside videos, and whole pages of them."""
    song = {"platform": "suno", "status": "SUCCESS"}
    video = {"task_id": "video", "status": "SUCCESS", "submit_time": int(NOW) - 100, "finish_time": int(NOW) - 10}
    pages = [[song], [song], [song], [video]]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        page = int(Request(scope).query_params["p"])
        data = {"page": page, "page_size": 1, "total": len(pages), "items": pages[page - 1]}
        await JSONResponse({"success": True, "data": data})(scope, receive, send)

    site.fake.faults[LISTS[SORA]] = answer
    polled = poll(SORA, page_size=1)
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 1}


async def test_a_list_longer_than_the_page_limit_counts_a_gap(site: Site, poll: Poll) -> None:
    site.world.add(*(ended(FACE_SWAP, f"{ago}", ago) for ago in range(2, PAGE_LIMIT + 5)))
    polled = poll(FACE_SWAP, page_size=1)
    await polled.sweep()
    assert site.requests(FACE_SWAP) == {"list": PAGE_LIMIT}
    assert polled.counted("finished_total") == {"succeeded": PAGE_LIMIT}
    assert polled.counted("history_gaps_total") == {"": 1}
    await polled.sweep()
    assert polled.counted("history_gaps_total") == {"": 1}


@pytest.mark.parametrize("list_lag", ["0s", "5m", "1h"])
async def test_what_the_page_limit_cut_off_after_an_outage_is_read_by_the_next_sweeps(
    site: Site, poll: Poll, list_lag: str
) -> None:
    rows = [lip_sync(f"{number}", create_time=int(NOW) - 10 * number) for number in range(10)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    store = SqliteFile(":memory:")
    await poll(LIP_SYNC, store, page_size=1, list_lag=list_lag).sweep()
    missed = range(2 * PAGE_LIMIT)
    rows[:0] = [lip_sync(f"missed-{number}", create_time=int(NOW + HOUR) - 10 * number) for number in missed]
    site.clock.now += HOUR
    polled = poll(LIP_SYNC, store, page_size=1, list_lag=list_lag)
    for _ in range(6):
        await polled.sweep()
        rows.insert(0, lip_sync(f"new-{len(rows)}", create_time=int(site.clock.now)))
    assert polled.counted("finished_total") == {"succeeded": 10 + len(missed) + 5}
    assert polled.counted("history_gaps_total") == {"": 1}
    site.requests(LIP_SYNC)
    await polled.sweep(EVERY - 1)
    assert site.requests(LIP_SYNC)["list"] < 2 * EVERY  # it is over


@pytest.mark.parametrize("history", ["10m", "1h"])
async def test_a_history_of_more_pages_than_one_sweep_reads_is_read_to_its_beginning_and_not_further(
    site: Site, poll: Poll, history: str
) -> None:
    rows = [lip_sync(f"{number}", create_time=int(NOW) - 4 * number) for number in range(20 * PAGE_LIMIT)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=1, history=history)
    await polled.sweep(30)
    within = {"10m": 600, "1h": 3600}[history]
    assert polled.counted("finished_total")["succeeded"] == pytest.approx(within / 4, abs=5)
    site.requests(LIP_SYNC)
    await polled.sweep(2 * EVERY)
    assert site.requests(LIP_SYNC)["list"] < 4 * EVERY


async def test_rows_that_become_visible_late_below_known_ones_are_counted_once(site: Site, poll: Poll) -> None:
    """A replica that lags, or a long transaction: their place in the list is where no usual sweep looks."""
    rows = [lip_sync(f"{number}", create_time=int(NOW) - 10 * number) for number in range(60)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=5)
    await polled.sweep()
    late = [lip_sync(f"late-{at}", status=at % 3 * 10, create_time=int(NOW) - 10 * at) for at in (7, 23, 56)]
    for row, at in zip(late, (8, 25, 59), strict=True):
        rows.insert(at, row)
    await polled.sweep(EVERY + 1)
    assert polled.counted("finished_total") == {"succeeded": 62}
    assert {task.id: task.appeared for task in polled.tracker.in_flight.values()} == {"late-7": False}
    assert polled.counted("history_gaps_total") == {}
    await polled.sweep(60)
    assert polled.counted("finished_total")["succeeded"] == 62


async def test_a_list_that_is_sorted_by_the_last_change_hides_no_new_row(site: Site, poll: Poll) -> None:
    running = [lip_sync(f"r{number}", 10, int(NOW) - 7000 - number) for number in range(5)]
    rows = [*running, lip_sync("old", create_time=int(NOW) - 8000)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=5)
    await polled.sweep()
    rows[5:5] = [lip_sync(f"new{number}", create_time=int(NOW) + 5) for number in range(8)]
    await polled.sweep(EVERY + 1)
    assert polled.counted("finished_total") == {"succeeded": 9}


async def test_a_row_later_than_the_setting_counts_and_is_a_gap(site: Site, poll: Poll) -> None:
    rows = [lip_sync(f"{number}", create_time=int(NOW) - 20 * number) for number in range(40)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=10, list_lag="5m")
    await polled.sweep()
    rows.insert(22, lip_sync("late", create_time=int(NOW) - 430))
    await polled.sweep(EVERY + 1)
    assert polled.counted("finished_total") == {"succeeded": 41}
    assert polled.counted("history_gaps_total") == {"": 1}


async def test_rows_that_become_visible_late_while_nobody_polls_are_counted(site: Site, poll: Poll) -> None:
    rows = [lip_sync(f"{number}", create_time=int(NOW) - 10 * number) for number in range(40)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    store = SqliteFile(":memory:")
    await poll(LIP_SYNC, store, page_size=5, list_lag="5m").sweep()
    rows.insert(12, lip_sync("late", create_time=int(NOW) - 115))
    site.clock.now += HOUR
    polled = poll(LIP_SYNC, store, page_size=5, list_lag="5m")
    await polled.sweep(EVERY + 1)
    assert polled.counted("finished_total") == {"succeeded": 41}
    assert polled.counted("history_gaps_total") == {}


async def test_after_a_restart_rows_are_read_as_far_down_as_twice_the_lag(site: Site, poll: Poll) -> None:
    """What the last pass before it saw is unknown, but nothing that the setting admits is older."""
    rows = [lip_sync(f"{number}", create_time=int(NOW) - 10 * number) for number in range(60)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    store = SqliteFile(":memory:")
    await poll(LIP_SYNC, store, page_size=5, list_lag="5m").sweep()
    rows.insert(56, lip_sync("late", create_time=int(NOW) - 555))
    polled = poll(LIP_SYNC, store, page_size=5, list_lag="5m")
    await polled.sweep(EVERY + 1)
    assert polled.counted("finished_total") == {"succeeded": 61}


async def test_late_rows_are_found_once_per_lag_if_that_is_sooner_than_eight_sweeps(site: Site, poll: Poll) -> None:
    rows = [lip_sync(f"{number}") for number in range(40)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=5, list_lag="1m")
    await polled.sweep()
    rows.insert(20, lip_sync("late"))
    await polled.sweep(3)
    assert polled.counted("finished_total") == {"succeeded": 40}
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 41}


@pytest.mark.parametrize(("place", "count"), [(29, 51), (31, 50)], ids=["on the fifth", "on the sixth"])
async def test_where_rows_have_no_dates_late_ones_are_looked_for_on_five_pages(
    site: Site, poll: Poll, place: int, count: int
) -> None:
    rows = [{"id": f"{number}", "status": 20, "msg": ""} for number in range(50)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=5)
    await polled.sweep()
    rows.insert(place, {"id": "late", "status": 20, "msg": ""})
    await polled.sweep(3 * EVERY)
    assert polled.counted("finished_total") == {"succeeded": count}


async def test_without_a_lag_nothing_is_read_below_known_rows(site: Site, poll: Poll) -> None:
    rows = [lip_sync(f"{number}", create_time=int(NOW) - number) for number in range(40)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=10, list_lag="0s")
    await polled.sweep()
    site.requests(LIP_SYNC)
    await polled.sweep(3 * EVERY)
    assert site.requests(LIP_SYNC) == {"list": 3 * EVERY}


async def test_a_task_that_a_look_up_brought_does_not_end_the_reading(site: Site, poll: Poll) -> None:
    rows = [lip_sync("old", create_time=int(NOW) - 100)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    followed = lip_sync("followed", 20, int(NOW))
    site.fake.faults["chanjing/lip_sync/detail"] = JSONResponse({"code": 0, "data": followed})
    polled = poll(LIP_SYNC, page_size=5, list_lag="0s", watch={"tasks": {"lip_sync": ["followed"]}})
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 2}
    rows[:0] = [lip_sync(f"{number}", create_time=int(NOW)) for number in range(10)]
    rows.insert(4, followed)
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 12}


async def test_late_rows_are_read_in_slices_that_leave_most_calls_to_the_usual_sweeps(site: Site, poll: Poll) -> None:
    rows = [lip_sync(f"{number}", create_time=int(NOW) - number) for number in range(200)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC, page_size=5, rate_limit="1000/s", poll_interval="10ms")  # five pages a slice
    await polled.sweep()
    rows.insert(197, lip_sync("late", create_time=int(NOW) - 197))
    site.requests(LIP_SYNC)
    asked = []
    for _ in range(11 * 10):
        await polled.sweep(after=0.01)
        asked.append(site.requests(LIP_SYNC)["list"])
    slices = [number for number, pages in enumerate(asked) if pages > 1]
    assert [asked[number] for number in slices[:7]] == [6] * 7
    assert [after - before for before, after in pairwise(slices[:7])] == [2 * 5 + 1] * 6
    assert polled.counted("finished_total") == {"succeeded": 201}


async def test_a_late_page_that_fails_costs_no_sweep(site: Site, poll: Poll) -> None:
    rows = [lip_sync(f"{number}", create_time=int(NOW) - number) for number in range(40)]

    async def shallow(scope: Scope, receive: Receive, send: Send) -> None:
        page = (await Request(scope, receive).json())["page"]
        shown = {"list": rows[10 * page - 10 : 10 * page], "page_info": {"total_count": 40}}
        refused = page > 1 and polled.tracker.swept
        await JSONResponse({"code": 40000, "msg": "page"} if refused else {"code": 0, "data": shown})(
            scope, receive, send
        )

    site.fake.faults[LISTS[LIP_SYNC]] = shallow
    polled = poll(LIP_SYNC, page_size=10)
    await polled.sweep(EVERY + 3)
    assert polled.is_up()
    assert polled.errors == {"invalid_request": 1}


@pytest.mark.parametrize("feed", [SORA, LIP_SYNC, VIDEO, FACE_SWAP], ids=["sora", "lip_sync", "video", "face_swap"])
@pytest.mark.parametrize("cap", [3, 7])
async def test_a_vendor_that_cuts_the_page_size_hides_no_task(site: Site, poll: Poll, feed: Feed, cap: int) -> None:
    site.world.add(*(ended(feed, f"{ago}", ago * 10) for ago in range(1, 24)))
    site.instead = cutting(site, cap)
    polled = poll(feed, page_size=20)
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 23}
    site.world.add(*(ended(feed, f"new-{ago}", ago - STEP) for ago in range(10)))
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 33}
    assert polled.counted("history_gaps_total") == {}


def cutting(site: Site, cap: int) -> Callable[[str], ASGIApp | None]:
    """Vendors that answer fewer rows than they are asked for, and say nothing of it."""
    sizes = re.compile(rb'(page_?[sS]ize"?[=:] ?)(\d+)')

    def cut(text: bytes) -> bytes:
        return sizes.sub(lambda found: found[1] + b"%d" % min(int(found[2]), cap), text)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def shorter() -> Any:
            message = await receive()
            return {**message, "body": cut(message.get("body", b""))}

        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        await site.fake({**scope, "query_string": cut(scope["query_string"]), "headers": headers}, shorter, send)

    return lambda path: answer


async def test_a_list_by_offsets_goes_on_after_the_rows_that_came(site: Site, poll: Poll) -> None:
    jobs = [{"job_id": f"{number}", "state": "SUCCEED"} for number in range(23)]

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        asked = Request(scope).query_params
        offset, limit = int(asked["offset"]), min(int(asked["limit"]), 7)
        await JSONResponse({"count": 23, "jobs": jobs[offset : offset + limit]})(scope, receive, send)

    site.fake.faults[LISTS[DIGITAL_HUMAN]] = answer
    polled = poll(DIGITAL_HUMAN, page_size=20)
    await polled.sweep()
    assert site.requests(DIGITAL_HUMAN) == {"list": 4}
    assert polled.counted("finished_total") == {"succeeded": 23}


@pytest.mark.parametrize(("page_size", "rows"), [(10, 5000), (60, 6000)])
async def test_rows_beyond_the_limit_of_a_sweep_count_a_gap(site: Site, poll: Poll, page_size: int, rows: int) -> None:
    """Pages of more rows than were asked for, and no end to them."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        page = (await Request(scope, receive).json())["page"]
        shown = [lip_sync(f"{page}-{number}", create_time=int(NOW) - page) for number in range(200)]
        await JSONResponse({"code": 0, "data": {"list": shown}})(scope, receive, send)

    site.fake.faults[LISTS[LIP_SYNC]] = answer
    polled = poll(LIP_SYNC, page_size=page_size)
    await polled.sweep()
    assert site.requests(LIP_SYNC) == {"list": rows / 200}
    assert polled.counted("finished_total") == {"succeeded": rows}
    assert polled.counted("history_gaps_total") == {"": 1}


async def test_a_flood_of_tasks_in_flight_breaks_the_contract(site: Site, poll: Poll) -> None:
    turns = iter(range(1000))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        turn = next(turns)
        data = {"items": [{"task_id": f"{turn}-{number}", "status": "QUEUED"} for number in range(2000)]}
        await JSONResponse({"success": True, "data": data})(scope, receive, send)

    site.fake.faults[LISTS[SORA]] = answer
    polled = poll(SORA, page_size=500, request_timeout="60s")
    await polled.sweep()
    assert polled.loop.status.outage is None
    assert len(polled.tracker.in_flight) == IN_FLIGHT_LIMIT
    polled.loop.interval = 0.0  # as if no time were left for look-ups
    await polled.sweep()
    assert len(polled.tracker.in_flight) <= IN_FLIGHT_LIMIT
    assert polled.is_up() is False
    assert "tasks in flight" in outage_of(polled.loop).words


EMPTY = {
    SORA: {"success": True, "data": {"page": 1, "page_size": 100, "total": 0, "items": []}},
    LIP_SYNC: {"code": 0, "data": {"list": [], "page_info": {"total_count": 0}}},
    VIDEO: {"code": 0, "data": {"List": None, "PageInfo": {"total_count": 0}}},
    DIGITAL_HUMAN: {"count": 0, "jobs": []},
    FACE_SWAP: {"code": 200, "data": None},
}


@every_feed
async def test_a_list_that_is_empty_once_counts_a_gap_and_loses_nothing(site: Site, poll: Poll, feed: Feed) -> None:
    site.world.add(endless(feed, "runs", 50), ended(feed, "done", 60), ended(feed, "ends", 70, lasted=70 + 1.5 * STEP))
    polled = poll(feed)
    await polled.sweep()
    site.fake.faults[LISTS[feed]] = JSONResponse(EMPTY[feed])
    await polled.sweep()
    assert polled.counted("history_gaps_total") == {"": 1}
    if feed != DIGITAL_HUMAN:  # its look-ups go to the list too
        assert told(polled.tracker) == site.truth(feed)
    del site.fake.faults[LISTS[feed]]
    await polled.sweep(2)
    assert polled.counted("history_gaps_total") == {"": 1}
    assert polled.is_up()
    assert told(polled.tracker) == site.truth(feed)


async def test_a_restart_that_finds_none_of_the_known_tasks_counts_a_gap(site: Site, poll: Poll) -> None:
    rows = [lip_sync("before")]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    polled = poll(LIP_SYNC)
    await polled.sweep()
    known = poll(LIP_SYNC, polled.store)
    await known.sweep()
    assert known.counted("history_gaps_total") == {}
    rows[:] = [lip_sync("after")]
    unknown = poll(LIP_SYNC, polled.store)
    await unknown.sweep(2)
    assert unknown.counted("history_gaps_total") == {"": 1}


async def test_an_account_without_tasks_counts_no_gaps(site: Site, poll: Poll) -> None:
    polled = poll(LIP_SYNC)
    await polled.sweep(3)
    site.world.add(ended(LIP_SYNC, "first", -40))
    await polled.sweep(3)
    assert polled.counted("history_gaps_total") == {}
    assert polled.counted("finished_total") == {"succeeded": 1}


# --- Lost tasks


def details(known: Callable[[str], Response]) -> ASGIApp:
    """Chanjing's detail of lip-syncs, by id."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await known(Request(scope).query_params["id"])(scope, receive, send)

    return answer


NOT_FOUND = JSONResponse({"code": 40000, "msg": "参数错误", "data": None})


@pytest.mark.parametrize("step", [1.0, 4.0])
async def test_a_task_is_lost_at_its_second_miss_seconds_after_the_first(site: Site, poll: Poll, step: float) -> None:
    site.world.add(endless(LIP_SYNC, "stays", 50), Life("goes", *LIP_SYNC, NOW - 5, 2.0, vanishes_after=15.0))
    polled = poll(LIP_SYNC, poll_interval="1s")
    await polled.sweep(after=1.0)
    await polled.sweep(after=STEP)
    lost = []
    for _ in range(4):
        await polled.sweep(after=step)
        lost.append(polled.counted("finished_total").get("lost", 0))
    assert lost == ([0, 0, 1, 1] if step == 1.0 else [1, 1, 1, 1])
    assert set(polled.tracker.in_flight) == {"stays"}


async def test_a_restart_between_two_misses_does_not_make_them_one(site: Site, poll: Poll) -> None:
    site.world.add(endless(LIP_SYNC, "stays", 50), Life("goes", *LIP_SYNC, NOW - 5, 2.0, vanishes_after=15.0))
    polled = poll(LIP_SYNC)
    await polled.sweep(after=1.0)
    await polled.sweep()
    again = poll(LIP_SYNC, polled.store)
    await again.sweep(after=1.0)
    assert again.counted("finished_total") == {}
    await again.sweep()
    assert again.counted("finished_total") == {"lost": 1}


@every_feed
async def test_a_vendor_that_shows_nothing_at_all_loses_nothing(site: Site, poll: Poll, feed: Feed) -> None:
    """As when it answers from a database that is being restored."""
    site.world.add(*(endless(feed, f"runs-{number}", 50 + number) for number in range(3)), ended(feed, "done", 60))
    polled = poll(feed)
    await polled.sweep()
    site.fake.faults[LISTS[feed]] = JSONResponse(EMPTY[feed])
    unknown = {SORA: {"code": "task_not_exist"}, FACE_SWAP: EMPTY[FACE_SWAP]}.get(feed)
    site.fake.faults[f"{feed[0]}/{feed[1]}/detail"] = JSONResponse(unknown) if unknown else NOT_FOUND
    await polled.sweep(5)
    assert polled.is_up()
    assert len(polled.tracker.in_flight) == 3
    site.fake.faults.clear()
    await polled.sweep()
    assert told(polled.tracker) == site.truth(feed)


async def test_a_list_that_has_lost_sight_of_all_in_flight_proves_nothing_where_look_ups_go_there_too(
    site: Site, poll: Poll
) -> None:
    """As from a copy of the database that lags behind: the ended tasks are there."""
    feed = DIGITAL_HUMAN
    site.world.add(*(endless(feed, f"runs-{number}", 50 + number) for number in range(3)), ended(feed, "done", 60))
    polled = poll(feed)
    await polled.sweep()
    site.fake.faults[LISTS[feed]] = faults.rows(lambda rows: [row for row in rows if row["job_id"] == "done"])
    await polled.sweep(5)
    assert polled.is_up()
    assert len(polled.tracker.in_flight) == 3
    site.fake.faults[LISTS[feed]] = faults.rows(lambda rows: [row for row in rows if row["job_id"] != "runs-1"])
    await polled.sweep(2)
    assert set(polled.tracker.in_flight) == {"runs-0", "runs-2"}
    assert polled.counted("finished_total") == {"succeeded": 1, "lost": 1}


@every_feed
async def test_a_vendor_that_goes_on_showing_nothing_is_believed_in_the_end(site: Site, poll: Poll, feed: Feed) -> None:
    lives = [Life(f"goes-{number}", *feed, NOW - 5, 2.0, vanishes_after=30.0) for number in range(3)]
    site.world.add(*lives)
    polled = poll(feed)
    await polled.sweep(14)
    assert told(polled.tracker) == site.truth(feed)
    assert polled.counted("finished_total") == {"lost": 3}


async def test_a_task_gone_from_a_whole_list_is_lost_where_the_detail_cannot_tell(site: Site, poll: Poll) -> None:
    site.world.add(endless(LIP_SYNC, "stays", 50), Life("goes", *LIP_SYNC, NOW - 5, 2.0, vanishes_after=25.0))
    site.fake.faults["chanjing/lip_sync/detail"] = Response("<html>", 500)
    polled = poll(LIP_SYNC)
    await polled.sweep(5)
    assert polled.counted("finished_total") == {}
    await polled.sweep(10)
    assert polled.counted("finished_total") == {"lost": 1}
    assert told(polled.tracker) == site.truth(LIP_SYNC)


async def test_a_task_below_the_pages_that_were_read_is_not_lost_while_the_detail_cannot_tell(
    site: Site, poll: Poll
) -> None:
    site.world.add(endless(LIP_SYNC, "old", 5000), *(ended(LIP_SYNC, f"{ago}", ago * 10) for ago in range(1, 10)))
    polled = poll(LIP_SYNC, page_size=3)
    await polled.sweep()
    site.fake.faults["chanjing/lip_sync/detail"] = Response("<html>", 500)
    await polled.sweep(30)
    assert set(polled.tracker.in_flight) == {"old"}


async def test_a_task_that_was_never_listed_is_not_lost_for_not_being_listed(site: Site, poll: Poll) -> None:
    rows = [lip_sync("listed")]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    alive = JSONResponse({"code": 0, "data": lip_sync("watched", status=10)})
    site.fake.faults["chanjing/lip_sync/detail"] = alive
    polled = poll(LIP_SYNC, watch={"tasks": {"lip_sync": ["watched"]}})
    await polled.sweep(2)
    assert set(polled.tracker.in_flight) == {"watched"}
    site.fake.faults["chanjing/lip_sync/detail"] = Response("<html>", 500)
    await polled.sweep(30)
    assert set(polled.tracker.in_flight) == {"watched"}


@pytest.mark.parametrize("status", [10, 20, 30])
async def test_a_lost_task_that_comes_back_is_not_counted_again(site: Site, poll: Poll, status: int) -> None:
    rows = [lip_sync("stays", status=10), lip_sync("goes", status=10)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    site.fake.faults["chanjing/lip_sync/detail"] = details(lambda task_id: NOT_FOUND)
    polled = poll(LIP_SYNC)
    await polled.sweep()
    gone = rows.pop()
    await polled.sweep(2)
    assert polled.counted("finished_total") == {"lost": 1}
    rows.append(gone | {"status": status})
    await polled.sweep(2)
    assert polled.counted("finished_total") == {"lost": 1}
    assert set(polled.tracker.in_flight) == {"stays"}


async def test_one_row_that_slips_by_between_two_pages_is_found_by_the_next_sweep(site: Site, poll: Poll) -> None:
    """The order of rows changes while the list is read: one comes twice, and one not at all."""
    rows = [lip_sync(str(number), create_time=int(NOW) - number) for number in range(9)]
    other_order = [rows[3], *rows[:3], *rows[4:]]

    async def reordered(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()

        async def again() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        shown = rows if json.loads(body)["page"] == 1 else other_order
        await listing(shown)(scope, again, send)

    site.fake.faults[LISTS[LIP_SYNC]] = reordered
    polled = poll(LIP_SYNC, page_size=3)
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 8}
    site.fake.faults[LISTS[LIP_SYNC]] = listing(rows)
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 9}
    site.requests(LIP_SYNC)
    await polled.sweep()
    assert site.requests(LIP_SYNC) == {"list": 1}


async def test_a_last_page_that_is_filled_up_from_the_one_before_is_not_read_at_each_sweep(
    site: Site, poll: Poll
) -> None:
    rows = [lip_sync(str(number), create_time=int(NOW) - number) for number in range(12)]
    site.fake.faults[LISTS[LIP_SYNC]] = listing([*rows[:10], *rows[-5:]])
    polled = poll(LIP_SYNC, page_size=5)
    asked = []
    for _ in range(4):
        await polled.sweep()
        asked.append(site.requests(LIP_SYNC)["list"])
    assert asked == [3, 3, 1, 1]
    assert polled.counted("finished_total") == {"succeeded": 12}


# --- Watched tasks


def watched(*ids: str) -> dict[str, Any]:
    """Settings of a DeerAPI account that cannot list."""
    return {**UNLISTED, "watch": {"tasks": {"sora": list(ids)}}}


async def test_watched_tasks_are_followed_until_their_end_and_no_longer(site: Site, poll: Poll) -> None:
    site.world.add(
        Life("short", *SORA, NOW - 5, 2.0, 18.0, State.SUCCEEDED),
        Life("long", *SORA, NOW - 5, 2.0, 48.0, State.FAILED, Reason.TIMEOUT),
        Life("unwatched", *SORA, NOW - 5, 2.0, 18.0, State.SUCCEEDED),
    )
    polled = poll(SORA, **watched("short", "long"))
    asked = []
    for _ in range(5):
        await polled.sweep()
        asked.append(site.requests(SORA))
    assert asked == [{"detail": 2}, {"detail": 1}, {"detail": 1}, {}, {}]
    assert polled.counted("finished_total") == {"succeeded": 1, "failed": 1}
    again = poll(SORA, polled.store, **watched("short", "long"))
    await again.sweep()
    assert site.requests(SORA) == {}
    assert again.is_up()


async def learn(site: Site, polled: Rig, lasted: float) -> None:
    """Has 30 tasks of so many seconds seen to end."""
    names = [f"before{index}" for index in range(30)]
    site.world.add(*(Life(name, *SORA, NOW - 2 * lasted, 0.0, lasted, State.SUCCEEDED) for name in names))
    await polled.loop.following.ask_for(names)
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 30}
    site.requests(SORA)


async def test_tasks_that_cannot_end_yet_are_looked_up_seldom_and_one_at_each_sweep(site: Site, poll: Poll) -> None:
    polled = poll("deerapi", **UNLISTED)
    await learn(site, polled, lasted=600.0)
    names = [f"now{index}" for index in range(9)]
    site.world.add(*(Life(name, *SORA, NOW, 0.0, 600.0, State.SUCCEEDED) for name in names))
    await polled.loop.following.ask_for(names)
    calls = []
    for _ in range(45):
        await polled.sweep()
        calls.append(site.requests(SORA)["detail"])
        assert polled.is_up()
        assert not polled.tracker.is_stale(site.clock())
        age = {task_id: site.clock() - at for task_id, at in polled.tracker.last_seen.items()}
        assert all(at <= 3 * STEP for at in age.values())
    assert calls[0] == 9
    assert all(count >= 1 for count in calls[:39])
    assert sum(calls) <= 0.6 * 9 * 600 / STEP
    assert polled.counted("finished_total") == {"succeeded": 39}
    assert polled.counted("unmeasured_durations_total") == {}


async def test_when_the_task_that_is_due_cannot_be_read_others_tell_whether_the_vendor_is_up(
    site: Site, poll: Poll
) -> None:
    polled = poll("deerapi", **UNLISTED)
    await learn(site, polled, lasted=600.0)
    site.world.add(*(Life(name, *SORA, NOW, 0.0, 600.0, State.SUCCEEDED) for name in ("one", "other")))
    await polled.loop.following.ask_for(["one", "other"])
    await polled.sweep()
    site.instead = lambda path: JSONResponse([]) if path.endswith("/one") else None
    for _ in range(6):
        await polled.sweep()
        assert polled.is_up()


async def test_a_vendor_that_loses_sight_of_all_tasks_at_once_loses_none_of_those_that_waited(
    site: Site, poll: Poll
) -> None:
    polled = poll("deerapi", **UNLISTED)
    await learn(site, polled, lasted=600.0)
    names = [f"now{index}" for index in range(5)]
    site.world.add(*(Life(name, *SORA, NOW, 0.0, 600.0, State.SUCCEEDED) for name in names))
    await polled.loop.following.ask_for(names)
    await polled.sweep()
    site.instead = lambda path: JSONResponse({"code": "task_not_exist"}, 400)
    await polled.sweep(5)
    site.be_well()
    await polled.sweep()
    assert set(polled.tracker.in_flight) == set(names)
    assert polled.counted("finished_total") == {"succeeded": 30}


async def test_after_a_restart_every_task_is_looked_up_and_what_was_learned_is_known(site: Site, poll: Poll) -> None:
    polled = poll("deerapi", **UNLISTED)
    await learn(site, polled, lasted=600.0)
    names = [f"now{index}" for index in range(5)]
    site.world.add(*(Life(name, *SORA, NOW, 0.0, 600.0, State.SUCCEEDED) for name in names))
    await polled.loop.following.ask_for(names)
    await polled.sweep(2)
    site.requests(SORA)
    again = poll("deerapi", polled.store, **UNLISTED)
    await again.sweep()
    assert site.requests(SORA)["detail"] == 5
    await again.sweep()
    assert site.requests(SORA)["detail"] == 1


@every_feed
async def test_an_idle_feed_is_polled_more_seldom_until_a_task_comes(site: Site, poll: Poll, feed: Feed) -> None:
    polled = poll(feed, idle_poll_interval="5m")
    await polled.sweep()
    assert polled.loop.interval == 300
    site.clock.now += 700
    assert not polled.tracker.is_stale(site.clock())
    site.world.add(Life("new", *feed, site.clock(), 0.0, 100.0, State.SUCCEEDED))
    await polled.sweep()
    assert polled.loop.interval == 15
    await polled.sweep(8)
    assert polled.loop.interval == 300
    assert polled.counted("finished_total") == {"succeeded": 1}


async def test_an_idle_interval_below_the_poll_interval_changes_nothing(site: Site, poll: Poll) -> None:
    polled = poll(FACE_SWAP, idle_poll_interval="1s")
    await polled.sweep()
    assert polled.loop.interval == 15


async def test_a_feed_without_a_list_is_not_polled_more_seldom_when_idle(site: Site, poll: Poll) -> None:
    polled = poll(SORA, **UNLISTED, idle_poll_interval="5m")
    await polled.sweep()
    assert polled.loop.interval == 15


@pytest.mark.parametrize(("status", "intervals"), [(200, 3), (500, 0)], ids=["that succeeds", "that fails"])
async def test_data_is_fresh_for_three_times_the_length_of_the_last_sweep(
    site: Site, poll: Poll, status: int, intervals: int
) -> None:
    """Where that is longer than the poll interval."""

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.4)
        await JSONResponse({"code": 200, "data": []}, status)(scope, receive, send)

    site.fake.faults["facewap"] = slow
    polled = poll(FACE_SWAP, poll_interval="10ms")
    await polled.sweep()
    assert polled.is_up() is (status == 200)
    length = polled.loop.status.poll_duration or 0.0
    assert length >= 0.4
    assert polled.tracker.freshness == pytest.approx(max(1.0, intervals * length))


async def test_an_outage_of_an_idle_feed_leaves_its_interval_as_it_is(site: Site, poll: Poll) -> None:
    polled = poll(FACE_SWAP, idle_poll_interval="5m")
    await polled.sweep()
    site.instead = lambda path: Response(status_code=500)
    await polled.sweep(after=300)
    assert (polled.is_up(), polled.loop.interval) == (False, 300)


async def test_an_id_that_the_vendor_does_not_know_yet_is_asked_for_again(site: Site, poll: Poll) -> None:
    site.world.add(Life("later", *SORA, NOW + 20, 2.0, 20.0, State.SUCCEEDED))
    polled = poll(SORA, **watched("later", "never"))
    await polled.sweep(5)
    assert polled.counted("finished_total") == {"succeeded": 1}
    assert site.requests(SORA) == {"detail": 1 + 3 + 5 - 1}


async def test_watched_tasks_that_vanish_are_lost_and_asked_for_no_more(site: Site, poll: Poll) -> None:
    site.world.add(Life("vanishes", *SORA, NOW - 5, 2.0, vanishes_after=25.0))
    polled = poll(SORA, **watched("vanishes"))
    await polled.sweep(3)
    assert polled.counted("finished_total") == {"lost": 1}
    site.requests(SORA)
    await polled.sweep(2)
    assert site.requests(SORA) == {}


async def test_ids_that_nobody_knows_do_not_starve_the_others(site: Site, poll: Poll) -> None:
    """With little time for look-ups, each id gets its turn."""
    site.world.add(Life("known", *SORA, NOW - 5, 2.0, 20.0, State.SUCCEEDED))
    polled = poll(SORA, **watched("known"), poll_interval="10ms", rate_limit="400/s")
    await polled.sweep()
    strangers = [f"stranger-{number}" for number in range(60)]
    polled = poll(SORA, polled.store, **watched(*strangers, "known"), poll_interval="10ms", rate_limit="400/s")
    for _ in range(30):
        await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 1}


async def test_new_ids_are_read_round_by_round_and_the_first_round_makes_the_feed_ready(site: Site, poll: Poll) -> None:
    ids = [f"{number}" for number in range(60)]
    site.world.add(*(Life(name, *SORA, NOW - 5, 2.0, 1.0, State.SUCCEEDED) for name in ids))
    polled = poll(SORA, **watched(*ids), poll_interval="10ms", rate_limit="400/s")
    await polled.sweep(after=0.01)
    first = polled.counted("finished_total")["succeeded"]
    assert 0 < first < 60
    assert polled.loop.following.unread == 60 - first
    assert polled.is_up()
    assert polled.tracker.swept
    for _ in range(60):
        await polled.sweep(after=0.01)
    assert polled.counted("finished_total") == {"succeeded": 60}
    assert polled.loop.following.unread == 0
    assert site.requests(SORA)["detail"] == 60


async def test_look_ups_that_all_fail_do_not_go_on_for_ever(site: Site, poll: Poll) -> None:
    site.fake.faults["deerapi/sora/detail"] = Response("<html>")
    polled = poll(SORA, **watched(*map(str, range(60))), poll_interval="10ms", rate_limit="400/s")
    await polled.sweep()
    assert 0 < site.requests(SORA)["detail"] < 60
    assert polled.is_up() is False


def deadline(fault: ASGIApp) -> str:
    """Short where it will be waited for, but not so short that a busy machine misses it when all is well."""
    return "1s" if fault is hang else "10s"


BROKEN: dict[str, ASGIApp] = {
    "an error of the vendor": JSONResponse({"error": {"message": "boom", "type": "new_api_error"}}, 500),
    "HTML": Response("<html>"),
    "null": JSONResponse({"code": "success", "data": {"task_id": None}}),
    "nothing, for ever": hang,
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_one_broken_detail_does_not_stop_the_others(site: Site, poll: Poll, broken: ASGIApp) -> None:
    site.world.add(*(Life(name, *SORA, NOW - 5, 2.0, 20.0, State.SUCCEEDED) for name in ("a", "broken", "b")))
    site.instead = lambda path: broken if path.endswith("/broken") else None
    polled = poll(SORA, **watched("broken", "a", "b"), request_timeout=deadline(broken))
    await polled.sweep(2)
    assert polled.is_up()
    assert polled.counted("finished_total") == {"succeeded": 2}
    assert sum(polled.errors.values()) == 2
    site.be_well()
    await polled.sweep()
    assert polled.counted("finished_total") == {"succeeded": 3}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_one_broken_detail_does_not_stop_the_list(site: Site, poll: Poll, broken: ASGIApp) -> None:
    site.world.add(endless(SORA, "broken", 5000), *(ended(SORA, f"{ago}", ago * 10) for ago in range(1, 6)))
    polled = poll(SORA, page_size=2, request_timeout=deadline(broken))
    await polled.sweep()
    site.instead = lambda path: broken if path.endswith("/broken") else None
    site.world.add(ended(SORA, "new", -STEP - 1))
    await polled.sweep(2)
    assert polled.counted("finished_total") == {"succeeded": 6}
    assert polled.is_up()
    assert sum(polled.errors.values()) == 2
    assert told(polled.tracker) == site.truth(SORA)


async def test_a_feed_whose_look_ups_all_fail_is_down(site: Site, poll: Poll) -> None:
    site.world.add(*(Life(name, *SORA, NOW - 5, 2.0, 20.0, State.SUCCEEDED) for name in ("a", "b")))
    site.fake.faults["deerapi/sora/detail"] = Response("<html>")
    polled = poll(SORA, **watched("a", "b"))
    await polled.sweep()
    assert polled.is_up() is False
    assert not polled.tracker.swept


async def test_an_id_that_comes_to_stand_for_several_tasks_gives_way_to_them(site: Site, poll: Poll) -> None:
    alone = {"promptId": "parent", "state": 10, "taskList": []}
    parts = [{"promptId": f"part-{number}", "state": 30} for number in range(2)]
    site.fake.faults["facewap/face_swap/detail"] = JSONResponse({"code": 200, "data": alone})
    polled = poll(FACE_SWAP, watch={"tasks": {"face_swap": ["parent"]}})
    await polled.sweep()
    assert set(polled.tracker.in_flight) == {"parent"}
    site.fake.faults["facewap/face_swap/detail"] = JSONResponse({"code": 200, "data": alone | {"taskList": parts}})
    await polled.sweep()
    site.requests(FACE_SWAP)
    await polled.sweep()
    assert polled.tracker.in_flight == {}
    assert polled.counted("finished_total") == {"succeeded": 2}
    assert site.requests(FACE_SWAP) == {"list": 1}


# --- Failing lists


async def test_what_a_failing_list_brought_of_known_tasks_is_kept_and_the_rest_waits(site: Site, poll: Poll) -> None:
    rows = [lip_sync("known", status=10)]
    site.fake.faults["chanjing/lip_sync/list"] = listing(rows)
    polled = poll(LIP_SYNC, page_size=2)
    await polled.sweep()
    rows[:] = [lip_sync("new-1"), lip_sync("known"), lip_sync("new-2"), lip_sync("new-3")]
    rows.insert(0, lip_sync("newest"))
    rows[1], rows[2] = rows[2], rows[1]  # newest, known | new-1, new-2 | new-3: rows of one second in any order
    rows[0], rows[1] = rows[1], rows[0]
    pages = listing(rows)

    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()

        async def again() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        answer = pages if json.loads(body)["page"] == 1 else Response("<html>", 502)
        await answer(scope, again, send)

    site.fake.faults["chanjing/lip_sync/list"] = breaks
    await polled.sweep()
    assert polled.is_up() is False
    assert polled.counted("finished_total") == {"succeeded": 1}
    assert polled.tracker.in_flight == {}


@every_feed
async def test_tasks_that_came_during_an_outage_are_found_after_it(site: Site, poll: Poll, feed: Feed) -> None:
    polled = poll(feed, page_size=3)
    await polled.sweep()
    site.world.add(*(ended(feed, f"{number}", -number - STEP) for number in range(1, 20)))
    site.fake.faults[feed[0]] = Response("<html>", 503)
    await polled.sweep(5)
    assert polled.is_up() is False
    assert polled.counted("finished_total") == {}
    site.fake.faults.clear()
    await polled.sweep()
    assert polled.is_up()
    assert told(polled.tracker) == site.truth(feed)


# --- Whatever arrives

GARBAGE: dict[str, tuple[ASGIApp, str]] = {
    "HTML": (Response("<html><body>maintenance</body></html>", media_type="text/html"), "intercepted"),
    "nothing": (Response(b""), "contract"),
    "truncated JSON": (Response(b'{"code": 0, "success": true, "data": {"list": [{"id": "a", "sta'), "contract"),
    "a list": (JSONResponse([]), "contract"),
    "a number": (JSONResponse(42), "contract"),
    "wrong types": (JSONResponse({"code": {}, "success": [], "data": "x", "jobs": "x"}), "contract"),
    "200,000 brackets": (Response(b"[" * 200_000), "contract"),
    "200,000 objects": (Response(b'{"data":' * 200_000), "contract"),
    "invalid UTF-8": (Response(b'{"code": 0, "data": "\xff\xfe\xfa"}'), "contract"),
    "an error page": (Response("<html>", 500), "provider_internal"),
    "a bad gateway": (Response("", 502), "provider_internal"),
    "a redirect elsewhere": (Response("", 302, {"Location": "http://127.0.0.2:9/"}), "contract"),
    "unauthorized": (Response("", 401), "auth"),
    "silence": (hang, "timeout"),
}


def without_traceback(caplog: pytest.LogCaptureFixture) -> bool:
    return all(record.exc_info is None and "Traceback" not in record.getMessage() for record in caplog.records)


@every_feed
@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_is_a_counted_error_and_the_loop_goes_on(
    site: Site, poll: Poll, feed: Feed, garbage: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "exporter")
    fault, label = GARBAGE[garbage]
    site.world.add(endless(feed, "runs", 50), ended(feed, "done", 60))
    polled = poll(feed)
    await polled.sweep()
    site.fake.faults[LISTS[feed]] = fault
    patience = polled.client.timeout
    polled.client.timeout = 0.2 if fault is hang else patience
    await polled.sweep(1 if fault is hang else 2)
    polled.client.timeout = patience
    assert set(polled.errors) == {label}
    assert polled.is_up() is False
    assert outage_of(polled.loop).label == label
    assert polled.counted("finished_total") == {"succeeded": 1}
    site.world.add(ended(feed, "new", -2 * STEP))
    del site.fake.faults[LISTS[feed]]
    await polled.sweep()
    assert polled.is_up()
    assert told(polled.tracker) == site.truth(feed)
    assert without_traceback(caplog)


REFUSALS = {
    SORA: ({"success": False, "message": "无权进行此操作，access token 无效"}, "auth"),
    LIP_SYNC: ({"code": 50000, "msg": "系统错误", "data": None}, "provider_internal"),
    VIDEO: ({"code": 40002, "msg": "", "data": None}, "insufficient_balance"),
    FACE_SWAP: ({"code": 510, "msg": "system error", "data": None}, "provider_internal"),
}


@pytest.mark.parametrize("feed", REFUSALS, ids=[kind for _, kind in REFUSALS])
async def test_an_error_inside_http_200_is_an_error(site: Site, poll: Poll, feed: Feed) -> None:
    body, label = REFUSALS[feed]
    polled = poll(feed)
    await polled.sweep()
    site.fake.faults[LISTS[feed]] = JSONResponse(body)
    await polled.sweep()
    assert set(polled.errors) == {label}
    assert polled.is_up() is False
    site.fake.faults.clear()
    await polled.sweep()
    assert polled.is_up()


async def test_a_body_of_40_megabytes_is_not_read(site: Site, poll: Poll) -> None:
    polled = poll(LIP_SYNC)
    site.fake.faults[LISTS[LIP_SYNC]] = Response(b" " * 40_000_000)
    await polled.sweep()
    assert polled.errors == {"too_large": 1}
    site.fake.faults.clear()
    await polled.sweep()
    assert polled.is_up()


async def test_rows_that_are_no_tasks_spoil_no_others(site: Site, poll: Poll) -> None:
    rows: list[Any] = [None, 7, "x", [], {}, {"id": None}, {"id": ""}, lip_sync("good"), {"id": "odd", "status": "?"}]
    site.fake.faults["chanjing/lip_sync/list"] = listing(rows)
    polled = poll(LIP_SYNC)
    await polled.sweep()
    assert polled.is_up()
    assert polled.counted("finished_total") == {"succeeded": 1}
    assert polled.counted("unmapped_values_total") == {"task": 7, "state": 1}
    assert [task.state for task in polled.tracker.in_flight.values()] == [State.UNKNOWN]


# --- Isolation, outages, the account


async def test_a_vendor_that_hangs_delays_no_other(site: Site, poll: Poll) -> None:
    site.fake.faults["facewap"] = hang
    hanging, well = poll(FACE_SWAP, request_timeout="300ms"), poll(LIP_SYNC)
    ended_in_order: list[str] = []

    async def sweep(polled: Rig, name: str) -> None:
        await polled.sweep()
        ended_in_order.append(name)

    async def sweep_often() -> None:
        for _ in range(5):
            await sweep(well, "well")

    await asyncio.gather(sweep(hanging, "hanging"), sweep_often())
    assert ended_in_order == ["well"] * 5 + ["hanging"]
    assert (hanging.is_up(), well.is_up()) == (False, True)


async def test_one_feed_of_an_account_fails_alone(site: Site, poll: Poll) -> None:
    site.fake.faults["chanjing/video"] = Response("<html>", 500)
    polled = poll("chanjing")
    await polled.sweep()
    assert {loop.feed.kind: loop.status.up for loop in polled.loops} == {"lip_sync": True, "video": False}


async def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    site: Site, poll: Poll, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "exporter")
    polled = poll(LIP_SYNC)
    await polled.sweep(2)
    for fault in (Response("<html>"), JSONResponse({"code": 50000})):
        site.fake.faults["chanjing"] = fault
        await polled.sweep(3)
        site.fake.faults.clear()
        await polled.sweep(2)
    messages = [(record.levelname, record.getMessage()) for record in caplog.records]
    down, up = ("WARNING", "feed is down"), ("INFO", "feed is up again")
    assert messages == [("INFO", "first sweep is complete"), down, up, down, up]
    first, again = (vars(caplog.records[1]), vars(caplog.records[2]))
    assert (first["provider"], first["kind"], first["cause"]) == ("chanjing", "lip_sync", "intercepted")
    assert again["down_seconds"] == 3 * STEP


async def test_a_store_that_fails_is_an_outage_and_not_the_end(
    site: Site, poll: Poll, caplog: pytest.LogCaptureFixture
) -> None:
    site.world.add(ended(LIP_SYNC, "a", 60))
    polled = poll(LIP_SYNC)
    polled.store.close()
    await polled.sweep(2)
    assert polled.is_up() is False
    assert outage_of(polled.loop).label == "ledger"
    assert polled.counted("finished_total") == {}
    assert without_traceback(caplog)


async def test_two_feeds_use_one_token_and_keep_it_across_a_restart(site: Site, poll: Poll, tmp_path: Path) -> None:
    site.clock.now = 4e9  # far ahead: the end of the token that the vendor reckons by this clock is in our future
    path = str(tmp_path / "ledger.sqlite3")
    for _ in range(2):
        store = SqliteFile(path)
        polled = poll("chanjing", store, **RENEWED)
        await polled.sweep(2)
        assert polled.all_up()
        store.close()
    assert site.fake.the(Chanjing).tokens_issued == 1


# --- Sweeps that are cut off


async def test_a_sweep_that_is_cancelled_at_any_instant_counts_nothing_twice(
    site: Site, poll: Poll, tmp_path: Path
) -> None:
    """As at a reload: a new loop takes over the tracker while the old one's last commit may be under way."""
    store = SqliteFile(str(tmp_path / "ledger.sqlite3"))
    polled = poll(LIP_SYNC, store, page_size=3)
    old = polled.loop
    for turn in range(60):
        site.clock.now += STEP
        site.world.add(Life(f"{turn}", *LIP_SYNC, site.clock.now - 1, 0.0, 1.5 * STEP, State.SUCCEEDED))
        loop = FeedLoop(
            old.provider, old.feed, old.tracker, polled.ledger, Watch("", old.provider.settings.watch), site.clock
        )
        sweep = asyncio.create_task(loop.sweep())
        await asyncio.wait({sweep}, timeout=turn * 0.0002)
        sweep.cancel()
        await asyncio.wait({sweep})
    await polled.sweep(3)
    assert told(polled.tracker) == site.truth(LIP_SYNC)
    again = poll(LIP_SYNC, store)
    assert again.counted("finished_total") == {"succeeded": 60}


# --- The collector


@pytest.fixture
async def rig(rig: Rig) -> AsyncIterator[Rig]:
    """Nothing is left of it when it has been stopped."""
    yield rig
    await rig.collector.stop()
    assert rig.loops == []


def kinds(rig: Rig) -> list[str]:
    return [loop.feed.kind for loop in rig.loops]


async def test_every_feed_is_polled_in_a_loop_of_its_own(site: Site, rig: Rig) -> None:
    await rig.collector.apply([site.settings(vendor, poll_interval="20ms") for vendor in ("chanjing", "facewap")])
    assert kinds(rig) == ["lip_sync", "video", "face_swap"]
    asked = site.fake.vendors["chanjing"].requests, site.fake.vendors["facewap"].requests
    await until(
        "three sweeps of each",
        lambda: min(asked[0]["lip_sync/list"], asked[0]["video/list"], asked[1]["face_swap/list"]) >= 3,
    )
    assert rig.all_up()


async def left_after_a_run(site: Site, path: Path, **given: Any) -> int:
    """What remains of the budget after a process has swept each feed once."""
    rig = Rig(site.clock, str(path))
    given |= {"poll_interval": "50ms", "account_interval": "0s"}  # a balance is read at a random moment
    await rig.collector.apply([site.settings("chanjing", **given)])
    await until("a sweep of each", rig.all_up)
    await rig.collector.stop()
    left = Budget(given["max_requests_per_day"], await rig.ledger.store.load_spent("chanjing"), site.clock).remaining
    await rig.aclose()
    return left


async def test_what_was_sent_of_a_budget_survives_a_restart(site: Site, tmp_path: Path) -> None:
    assert await left_after_a_run(site, tmp_path / "ledger", max_requests_per_day=24) == 22
    assert await left_after_a_run(site, tmp_path / "ledger", max_requests_per_day=24) == 20


async def test_what_a_sweep_sent_that_was_cut_short_is_taken_off_the_budget(site: Site, rig: Rig) -> None:
    site.fake.faults["facewap"] = hang
    await rig.collector.apply([site.settings("facewap", request_timeout="1h", max_requests_per_day=100)])
    await until("a call", lambda: site.fake.vendors["facewap"].requests["face_swap/list"] == 1)
    await rig.collector.stop()
    assert Budget(100, await rig.ledger.store.load_spent("facewap"), site.clock).remaining == 99


async def test_a_budget_that_is_used_up_stops_the_polling_of_all_its_feeds_and_no_others(site: Site, rig: Rig) -> None:
    settings = site.settings("chanjing", max_requests_per_day=24, poll_interval="20ms")
    used = Budget(24, wall_clock=site.clock)
    used.spend(24)
    await rig.ledger.store.save_spent("chanjing", used.text)
    await rig.collector.apply([settings, site.settings("facewap", poll_interval="20ms")])
    swaps = rig.loop_of("facewap")
    await until("sweeps of the other", lambda: swaps.status.up is True and site.requests(FACE_SWAP)["list"] > 0)
    for _ in range(5):
        await until("more sweeps of the other", lambda: site.requests(FACE_SWAP)["list"] > 0)
    assert site.requests(LIP_SYNC) == site.requests(VIDEO) == Counter()


async def test_with_a_budget_that_is_used_up_ids_that_are_asked_for_wait_too(site: Site, rig: Rig) -> None:
    used = Budget(24, wall_clock=site.clock)
    used.spend(24)
    await rig.ledger.store.save_spent("deerapi", used.text)
    limited = site.settings("deerapi", max_requests_per_day=24, **UNLISTED)
    await rig.collector.apply([limited, site.settings("facewap", poll_interval="20ms")])
    await until("the first sweep of the other", lambda: rig.loop_of("facewap").status.up)
    await rig.loop_of("deerapi").following.ask_for(["asked-for"])
    for _ in range(5):
        await until("more sweeps of the other", lambda: site.requests(FACE_SWAP)["list"] > 0)
    assert site.requests(SORA) == Counter()


async def test_a_reload_leaves_unchanged_providers_in_peace(site: Site, rig: Rig) -> None:
    unchanged, changing, going = (
        site.settings(name, poll_interval="50ms") for name in ("chanjing", "facewap", "deerapi")
    )
    await rig.collector.apply([unchanged, changing, going])
    before = {loop.feed.kind: loop for loop in rig.loops}
    coming = site.settings("huawei_metastudio", poll_interval="50ms")
    await rig.collector.apply(
        [coming, site.settings("facewap", poll_interval="20ms"), site.settings("chanjing", poll_interval="50ms")]
    )
    after = {loop.feed.kind: loop for loop in rig.loops}
    assert list(after) == ["digital_human", "face_swap", "lip_sync", "video"]
    assert after["lip_sync"] is before["lip_sync"]
    assert after["video"] is before["video"]
    assert after["face_swap"] is not before["face_swap"]
    assert after["face_swap"].tracker is before["face_swap"].tracker
    assert after["face_swap"].tracker.interval == 0.02
    await until("a sweep of each", lambda: all(loop.status.up for loop in after.values()))
    asked = site.fake.vendors["deerapi"].requests["sora/list"]
    await asyncio.sleep(0.1)
    assert site.fake.vendors["deerapi"].requests["sora/list"] == asked


async def test_reloads_at_the_same_time_end_with_the_last_one(site: Site, rig: Rig) -> None:
    turns = [[site.settings(name, poll_interval=f"{ms}ms") for name in ("chanjing", "facewap")] for ms in (20, 30, 40)]
    await rig.collector.apply(turns[0])
    await asyncio.gather(*(rig.collector.apply(turn) for turn in turns))
    assert [loop.tracker.interval for loop in rig.loops] == [0.04] * 3


async def test_reloads_while_tasks_end_count_each_once(site: Site, rig: Rig) -> None:
    names = iter(range(1000))
    for turn in range(15):
        for _ in range(3):
            site.clock.now += 1
            site.world.add(Life(f"{next(names)}", *LIP_SYNC, site.clock.now - 1, 0.0, 2.0, State.SUCCEEDED))
        settings = site.settings("chanjing", feeds=["lip_sync"], poll_interval="10ms", stalled_after=f"{turn + 1}m")
        await rig.collector.apply([settings])
        await asyncio.sleep(0.012)
    site.clock.now += 10
    loop = rig.loop
    await until("all ends", lambda: loop.tracker.counts["finished_total", "succeeded"] >= 45)
    await until("nothing in flight", lambda: not loop.tracker.in_flight)
    assert told(loop.tracker) == site.truth(LIP_SYNC)


async def test_a_reload_that_fails_in_the_middle_leaves_everything_polled(site: Site, tmp_path: Path) -> None:
    """Of four providers one goes, one changes, one stays, one comes, and the ledger cannot take the one that comes."""
    path = tmp_path / "ledger.sqlite3"
    rig = Rig(site.clock, str(path))
    await rig.collector.apply(
        [site.settings(name, poll_interval="20ms") for name in ("deerapi", "facewap", "huawei_metastudio")]
    )
    await until("a sweep of each", rig.all_up)
    before = rig.loops
    wanted = [
        site.settings("huawei_metastudio", poll_interval="20ms"),
        site.settings("facewap", poll_interval="30ms", max_requests_per_day=1000),
        site.settings("chanjing", poll_interval="20ms"),
    ]
    path.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(StoreError, match="moved away"):
            await rig.collector.apply(wanted)
    assert rig.loops == before
    assert [loop.tracker.settings.poll_interval for loop in before] == [0.02] * 3
    (tmp_path / "away").rename(path)
    await until("a sweep of each", lambda: all(loop.status.up for loop in before))

    await rig.collector.apply(wanted)
    assert kinds(rig) == ["digital_human", "face_swap", "lip_sync", "video"]
    assert rig.loops[0] is before[2]
    await until("a sweep of each", rig.all_up)
    await rig.aclose()


async def test_a_reload_whose_caller_is_gone_is_carried_through(site: Site, rig: Rig) -> None:
    await rig.collector.apply([site.settings("facewap", poll_interval="20ms")])
    reload = asyncio.create_task(rig.collector.apply([site.settings(one) for one in ("facewap", "chanjing")]))
    await asyncio.sleep(0)
    reload.cancel()
    await until("the end of the reload", lambda: kinds(rig) == ["face_swap", "lip_sync", "video"])
    await until("a sweep of each", rig.all_up)


async def test_a_feed_is_never_polled_by_two_loops_and_the_budget_goes_on(site: Site, rig: Rig) -> None:
    for turn in range(1, 11):
        settings = site.settings("facewap", page_size=turn, max_requests_per_day=1000, poll_interval="10ms")
        await rig.collector.apply([settings])
        loop = rig.loop
        await until("a sweep of each", rig.all_up)
        assert [task.get_name() for task in asyncio.all_tasks()].count("facewap/face_swap") == 1
        assert loop.budget is not None
        assert loop.budget.remaining <= 1000 - turn  # at least one for each life


class SlowStore(SqliteFile):
    """A store that writes no commit until the test lets it, and blocks all reads meanwhile."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.begun = threading.Event()
        self.goes_on = threading.Event()

    def commit(self, changes: Changes) -> None:
        with self._lock:
            self.begun.set()
            self.goes_on.wait()
        super().commit(changes)


async def test_the_event_loop_waits_for_no_commit_to_reload_or_to_keep_a_token(site: Site) -> None:
    store = SlowStore()
    rig = Rig(site.clock, store)
    await rig.collector.apply([site.settings("facewap", poll_interval="10ms")])
    await until("a commit", store.begun.is_set)
    more = [site.settings(one, max_requests_per_day=1000) for one in ("facewap", "chanjing")]  # budgets and a token
    reload = asyncio.create_task(rig.collector.apply(more))
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not reload.done()
    store.goes_on.set()
    await reload
    await until("a sweep of each", rig.all_up)
    await rig.aclose()


async def test_stopping_does_not_wait_for_a_vendor_that_hangs(site: Site, rig: Rig) -> None:
    site.fake.faults["facewap"] = hang
    await rig.collector.apply([site.settings("facewap", poll_interval="10ms", request_timeout="1h")])
    await until("a call", lambda: site.fake.vendors["facewap"].requests["face_swap/list"] == 1)
    async with asyncio.timeout(PATIENCE):
        await rig.collector.stop()
    assert [one.provider for one in rig.polled.by_name.values()] == []


# --- The watchdog

MUCH_LATER = 1e6
"""Seconds after which any loop that gives no sign of life is overdue."""


def is_healthy(loop: FeedLoop) -> bool:
    return not loop.heartbeat.is_stuck(time.monotonic())


async def test_a_loop_that_makes_no_progress_is_restarted(
    site: Site, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    site.fake.faults["facewap"] = hang
    await rig.collector.apply([site.settings("facewap", poll_interval="10ms", request_timeout="1h")])
    loop = rig.loop
    asked = site.fake.vendors["facewap"].requests
    await until("a call", lambda: asked["face_swap/list"] == 1)
    del site.fake.faults["facewap"]
    rig.collector.check(time.monotonic())
    assert loop.status.restarts == 0
    rig.collector.check(time.monotonic() + MUCH_LATER)
    assert (loop.status.restarts, loop.status.up, is_healthy(loop)) == (1, False, True)
    assert [one.levelname for one in caplog.records if "polling loop is stuck" in one.getMessage()] == ["ERROR"]
    await until("a sweep", lambda: loop.status.up is True)
    rig.collector.check(time.monotonic())
    assert (loop.status.restarts, is_healthy(loop)) == (1, True)


async def test_the_watchdog_looks_every_five_seconds(rig: Rig) -> None:
    assert rig.collector.watch_every == 5.0


@pytest.mark.parametrize(
    ("settings", "patience"),
    [
        ({"poll_interval": "15s", "request_timeout": "10s", "rate_limit": "8/s"}, 10 * 15 + 8 * (10 + 8 / 8)),
        ({"poll_interval": "10ms", "request_timeout": "1s", "rate_limit": "1000/s"}, 30),
    ],
)
async def test_a_loop_is_stuck_after_ten_intervals_and_eight_calls_or_half_a_minute(
    rig: Rig, settings: dict[str, str], patience: float
) -> None:
    earliest = time.monotonic()
    (loop,) = rig.connect("facewap", **settings)
    latest = time.monotonic()
    assert not loop.heartbeat.is_overdue(earliest + patience)
    assert loop.heartbeat.is_overdue(latest + patience + 0.1)
    assert not loop.heartbeat.is_stuck(earliest + 2 * patience)
    assert loop.heartbeat.is_stuck(latest + 2 * patience + 0.1)


class OutOfOrder(HandClock):
    """A clock that may break."""

    broken = False

    def __call__(self) -> float:
        if self.broken:
            raise RuntimeError("the clock is out of order")
        return super().__call__()


async def test_a_loop_that_died_is_started_anew_by_the_watchdog(site: Site) -> None:
    clock = OutOfOrder(NOW)
    rig = Rig(clock)
    rig.collector.watch_every = 0.5
    await rig.collector.apply([site.settings("facewap", poll_interval="10ms")])
    loop = rig.loop
    await until("the first sweep", lambda: loop.status.up)
    clock.broken = True
    asked = site.fake.vendors["facewap"].requests
    await until("the death", lambda: not any(task.get_name() == "facewap/face_swap" for task in asyncio.all_tasks()))
    clock.broken = False
    before = asked["face_swap/list"]
    await until("the watchdog, which comes round by itself", lambda: loop.status.restarts == 1)
    await until("a sweep", lambda: asked["face_swap/list"] > before and loop.status.up is True)
    rig.collector.check(time.monotonic())
    assert loop.status.restarts == 1
    await rig.aclose()


class StuckStore(SqliteFile):
    """A store on a disk that does not answer until the test lets it."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.disk = threading.Event()

    def commit(self, changes: Changes) -> None:
        self.disk.wait()
        super().commit(changes)


async def test_a_loop_that_stays_stuck_makes_the_exporter_unhealthy_until_it_goes_on(site: Site) -> None:
    store = StuckStore()
    rig = Rig(site.clock, store)
    site.world.add(ended(FACE_SWAP, "done", 60))
    try:
        await rig.collector.apply([site.settings("facewap", poll_interval="10ms")])
        loop = rig.loop
        await until("a call", lambda: site.fake.vendors["facewap"].requests["face_swap/list"] >= 1)
        rig.collector.check(time.monotonic() + MUCH_LATER)
        assert is_healthy(loop)
        rig.collector.check(time.monotonic() + MUCH_LATER)
        assert (loop.status.restarts, is_healthy(loop)) == (2, False)
    finally:
        store.disk.set()
    await until("a sweep after all", lambda: is_healthy(loop) and loop.status.up is True)
    assert counted(loop.tracker, "finished_total") == {"succeeded": 1}
    await rig.aclose()


async def test_a_slow_feed_is_not_taken_for_a_stuck_one(site: Site, rig: Rig) -> None:
    """At one call a minute, and while the vendor has asked for an hour's pause, silence means nothing."""
    site.fake.faults["facewap"] = Response("", 429, {"Retry-After": "3600"})
    site.fake.faults["chanjing"] = hang
    await rig.collector.apply(
        [
            site.settings("facewap", poll_interval="1s"),
            site.settings("chanjing", poll_interval="1s", rate_limit="1/m", request_timeout="10s"),
        ]
    )
    await until(
        "the refusal", lambda: [loop.status.up for loop in rig.loops if loop.feed.kind == "face_swap"] == [False]
    )
    now = time.monotonic()
    rig.collector.check(now + 600)
    assert [loop.status.restarts for loop in rig.loops] == [0, 0, 0]
    rig.collector.check(now + 3600 + 600)
    assert [loop.status.restarts for loop in rig.loops] == [1, 1, 1]


# Failed calls, as the pages show them.


async def test_failed_calls_outlive_the_successful_ones(site: Site, poll: Poll) -> None:
    polled = poll(FACE_SWAP)
    site.fake.faults["facewap"] = JSONResponse({"code": 401, "msg": "token expired"})
    await polled.sweep()
    at = site.clock.now
    site.fake.faults["facewap"] = Response("<h1>Bad Gateway</h1>", 502)
    await polled.sweep()
    site.fake.faults.clear()
    await polled.sweep(30)
    assert polled.is_up()
    assert list(polled.loop.status.failed_calls) == [
        FailedCall(
            at,
            "list",
            200,
            "auth",
            "the vendor refused the call (HTTP 200, code 401)",
            '{code: 401, msg: "token expired"}',
            Cause.TOKEN,
        ),
        FailedCall(
            at + STEP,
            "list",
            502,
            "provider_internal",
            "the vendor refused the call (HTTP 502)",
            "HTML, 20 bytes: Bad Gateway",
            Cause.VENDOR,
        ),
    ]


async def test_the_last_twenty_failed_calls_are_kept(site: Site, poll: Poll) -> None:
    polled = poll(FACE_SWAP)
    for number in range(25):
        site.fake.faults["facewap"] = Response("", 500 + number)
        await polled.sweep()
    assert [call.status for call in polled.loop.status.failed_calls] == list(range(505, 525))


async def test_failed_look_ups_are_kept_each_once(site: Site, poll: Poll) -> None:
    polled = poll(SORA, **UNLISTED, watch={"tasks": {"sora": ["a", "b"]}})
    site.fake.faults["deerapi"] = Response("", 500)
    await polled.sweep()
    assert [(call.endpoint, call.status) for call in polled.loop.status.failed_calls] == [("detail", 500)] * 2


async def test_what_was_not_sent_during_a_pause_is_no_failed_call(site: Site, poll: Poll) -> None:
    polled = poll(FACE_SWAP)
    site.fake.faults["facewap"] = Response("", 429, {"Retry-After": "60"})
    await polled.sweep(3)
    assert polled.is_up() is False
    assert "paused" in outage_of(polled.loop).words
    assert [call.status for call in polled.loop.status.failed_calls] == [429]


async def test_each_feed_keeps_its_own_failed_calls(site: Site, poll: Poll) -> None:
    polled = poll("chanjing")
    site.fake.faults["chanjing/video"] = Response("", 500)
    await polled.sweep()
    kept = {loop.feed.kind: len(loop.status.failed_calls) for loop in polled.loops}
    assert kept == {"lip_sync": 0, "video": 1}


async def test_failed_calls_are_not_logged(site: Site, poll: Poll, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    polled = poll(FACE_SWAP)
    site.fake.faults["facewap"] = JSONResponse({"code": 401, "msg": "token expired"})
    await polled.sweep(3)
    assert len(polled.loop.status.failed_calls) == 3
    assert [record.getMessage() for record in caplog.records if record.name.startswith("exporter")] == ["feed is down"]
    assert "token expired" not in caplog.text


async def test_a_feed_that_is_down_says_what_to_do(site: Site, poll: Poll) -> None:
    polled = poll(FACE_SWAP)
    await polled.sweep()
    assert polled.loop.status.outage is None
    site.fake.faults["facewap"] = Response("", 402)
    await polled.sweep()
    assert outage_of(polled.loop).advice.startswith("The account has no credit")
    site.fake.faults.clear()
    await polled.sweep()
    assert polled.loop.status.outage is None


async def test_a_ledger_that_fails_says_what_to_do_too(poll: Poll) -> None:
    polled = poll(FACE_SWAP)
    polled.store.close()
    await polled.sweep()
    assert outage_of(polled.loop).advice.startswith("Check the disk of ledger.path")
    assert not polled.loop.status.failed_calls


async def test_a_token_that_others_renew_is_told_with_the_call_that_was_refused(site: Site, poll: Poll) -> None:
    polled = poll(LIP_SYNC, **RENEWED)
    for _ in range(4):
        await polled.sweep(after=0.1)
        site.fake.the(Chanjing).renew_elsewhere()
    status = polled.loop.status
    assert "another holder renews it too" in outage_of(polled.loop).words
    assert outage_of(polled.loop).advice.startswith("Another program requests tokens with the same secret_key")
    last = status.failed_calls[-1]
    assert (last.endpoint, last.status, last.error) == ("list", 200, "auth")
    assert "another holder" in last.words
    assert "AccessToken验证失败" in last.excerpt
