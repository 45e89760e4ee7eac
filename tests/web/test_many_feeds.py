"""The status page of many feeds: found by words and by condition, those in trouble first; and the last hours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from exporter.ledger.counting.last_day import LastDay
from exporter.snapshot import FeedStatus, Outage
from exporter.tasks import Cause, Clock, Observation, Reason, State
from exporter.web.pages.status.sparks import SPANS, area, sparks
from tests.harness import Rig

from .serving import served
from .test_pages import Html, text_of

ACCOUNTS = 45
"""With one feed or three each."""

IDLE = "team-10"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """More feeds than anybody looks at one by one: all read, with a task in flight each, but for four."""
    rig = Rig()
    for number in range(ACCOUNTS):
        rig.connect(("kling", "heygen")[number % 2], name=f"team-{number}")
    for at, loop in enumerate(rig.loops):
        in_flight = [Observation("a", State.RUNNING, submitted=rig.clock.now - 60)]
        await rig.show(*(in_flight if loop.provider.name != IDLE else ()), feed=at)
    rig.loop_of("team-30").status = down(rig, "the key was refused")
    rig.loop_of("team-41", "video").status = down(rig, "it is not there")
    rig.loop_of("team-8").status = FeedStatus()
    now = rig.clock.now
    failed = (
        Observation(f"f{n}", State.FAILED, Reason.TIMEOUT, submitted=now - 90, ended=now - 20 - n) for n in range(6)
    )
    await rig.show(*failed, feed=rig.loops.index(rig.loop_of("team-12")))
    yield rig
    await rig.aclose()


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with served(rig.app()) as client:
        yield client


def down(rig: Rig, words: str) -> FeedStatus:
    return FeedStatus(up=False, outage=Outage("auth", words, Cause.CREDENTIALS, "Check it.", rig.clock.now - 300))


async def found(http: httpx.AsyncClient, query: str) -> list[str]:
    """The feeds that the page shows, in order."""
    answer = await http.get(f"/?{query}")
    assert answer.status_code == 200
    return re.findall(r'<(?:tr|article) id="feed:([^"]+)"', answer.text)


async def test_many_feeds_are_rows_by_provider_and_those_in_trouble_come_first(http: httpx.AsyncClient) -> None:
    rows = await found(http, "")
    assert len(rows) == len(set(rows)) == 23 + 3 * 22
    assert rows[:5] == ["team-30/task", "team-41/video", "team-41/translation", "team-41/lipsync", "team-12/task"]
    text = await text_of(http)
    assert "team-41 3 feeds, 1 down video down auth for 5 min" in text
    assert "89 feeds, those first where something is wrong" in text
    assert "team-12/task up needs a look 1 6 6" in text


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("q=team-30", ["team-30/task"]),
        ("q=TEAM-7+LIP", ["team-7/lipsync"]),
        (
            "q=kling+team-2",
            ["team-2/task", "team-20/task", "team-22/task", "team-24/task", "team-26/task", "team-28/task"],
        ),
        ("show=failing", ["team-12/task", "team-30/task", "team-41/video"]),
        ("show=failing&q=video", ["team-41/video"]),
        ("show=waiting", ["team-8/task"]),
        ("provider=team-41", ["team-41/video", "team-41/translation", "team-41/lipsync"]),
        ("provider=team-41&kind=lipsync", ["team-41/lipsync"]),
        ("provider=nobody", []),
    ],
    ids=str,
)
async def test_feeds_are_found_by_the_query(http: httpx.AsyncClient, query: str, wanted: list[str]) -> None:
    assert await found(http, query) == wanted
    text = await text_of(http, f"/?{query}")
    assert f"{len(wanted)} of 89 feeds" in text
    assert "2 of 89 feeds cannot be read" in text  # the verdict is about all


async def test_feeds_with_tasks_in_flight_are_those_that_are_busy(http: httpx.AsyncClient) -> None:
    busy = await found(http, "show=busy")
    assert f"{IDLE}/task" not in busy
    assert len(busy) == 88


async def test_what_the_page_is_not_asked_for_in_its_words_asks_for_nothing(http: httpx.AsyncClient) -> None:
    assert len(await found(http, "show=%00&q=&page=7")) == 89


async def test_the_query_is_repeated_as_text_alone(http: httpx.AsyncClient) -> None:
    answer = await http.get("/", params={"q": '"><script>alert(1)</script>', "provider": "<b>"})
    assert "<script>alert" not in answer.text
    assert "<b>" not in answer.text.replace("<b>1", "").split("Feeds</h2>")[1].split("</p>")[0]


async def test_of_many_troubles_the_first_are_shown_and_the_others_are_folded(
    rig: Rig, http: httpx.AsyncClient
) -> None:
    for number in range(10):
        loop = rig.loop_of(f"team-{2 * number}")
        loop.status = down(rig, f"trouble {number}")
    html = (await http.get("/")).text
    shown, folded = html.split('<details id="more-troubles">')
    assert shown.count('<li class="bad">') == 4
    assert folded.count('<li class="bad">') == 8
    assert "9 more problems" in folded


async def test_the_same_trouble_of_many_feeds_names_some_of_them(rig: Rig, http: httpx.AsyncClient) -> None:
    for loop in rig.loops:
        loop.status = down(rig, "no network")
    text = await text_of(http)
    assert re.search(r"team-0/task, (\S+, ){3}\S+ and 84 more feeds cannot be read", text)


# The last hours


async def test_a_card_draws_the_last_hours_and_says_them_in_words(rig: Rig, http: httpx.AsyncClient) -> None:
    now = rig.clock.now
    ends = [
        Observation(f"e{n}", State.SUCCEEDED, submitted=now - 5000 + 600 * n, ended=now - 4700 + 600 * n)
        for n in range(4)
    ]
    await rig.show(*ends, Observation("b", State.RUNNING, submitted=now - 1000))
    answer = await http.get("/?provider=team-0")
    html = Html(answer.text)
    labels = [one["aria-label"] for tag, one in html.tags if tag == "svg" and one.get("class") == "spark"]
    assert labels == [
        "team-0/task, last 2 hours, in flight: at most 2",
        "team-0/task, last 2 hours, ended: 4",
        "team-0/task, last 2 hours, failed: 0",
    ]
    assert "The last 2 hours" in html.text
    paths = [one for tag, one in html.tags if tag == "path"]
    assert [one["class"] for one in paths] == ["state-running", "state-succeeded"]  # nothing failed
    assert "style=" not in answer.text  # which the policy of the page forbids


async def test_drawings_reach_as_far_back_as_anything_is_known(rig: Rig, http: httpx.AsyncClient) -> None:
    assert "Last 2 h:" in (await http.get("/")).text
    long_ago = rig.clock.now - 5 * 3600
    await rig.show(
        Observation("a", State.RUNNING), Observation("z", State.SUCCEEDED, submitted=long_ago, ended=long_ago)
    )
    assert "Last 6 h:" in (await http.get("/")).text
    long_ago -= 10 * 3600
    await rig.show(
        Observation("a", State.RUNNING), Observation("y", State.SUCCEEDED, submitted=long_ago, ended=long_ago)
    )
    assert "Last 24 h:" in (await http.get("/")).text


async def test_a_feed_that_cannot_be_read_draws_what_was_in_flight_until_then(rig: Rig) -> None:
    feed = rig.loops[0].snapshot()
    later = rig.clock.now + 10 * 300.0
    in_flight, _, _ = sparks(feed, SPANS[0], later)
    assert in_flight.path == f"M0 24V24h{SPANS[0].steps - 11}V0h1V24h10V24z"
    assert sparks(replace(feed, succeeded=None), SPANS[0], later) == ()


async def test_where_only_our_clock_dates_tasks_nothing_is_drawn_of_those_before_the_first_sweep(rig: Rig) -> None:
    feed = rig.loops[0].snapshot()
    assert feed.since == rig.clock.now
    later = rig.clock.now + 5 * 300.0
    seen = replace(feed, clock=Clock.OBSERVED, succeeded=later, last_day=replace(feed.last_day, begun=LastDay().begun))
    in_flight, _, _ = sparks(seen, SPANS[0], later)
    assert in_flight.path == f"M0 24V24h{SPANS[0].steps - 6}V0h6V24z"
    in_flight, _, _ = sparks(replace(seen, clock=Clock.PROVIDER), SPANS[0], later)
    assert in_flight.path == f"M0 24V0h{SPANS[0].steps}V24z"


def test_an_area_has_a_step_for_each_value_and_none_where_nothing_is_known() -> None:
    assert area([0, 1, 1, 4, None, 2]) == "M0 24V24h1V18h2V0h1V24h1V12h1V24z"
    assert area([0, 0, None]) == ""
    assert area([1, 1000]).startswith("M0 24V22h1")  # one is seen beside a thousand


def test_a_day_is_drawn_in_steps_of_a_quarter_of_an_hour() -> None:
    day = SPANS[-1]
    assert (day.hours, day.width) == (24, 96)
    assert LastDay().at(1e9).in_flight(3, 1e9) == [3] * 288
