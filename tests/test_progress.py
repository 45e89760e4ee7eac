"""What takes long says how far it is: on the page, in the API and in the log."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import pytest

from exporter.polling.feed.heartbeat import Work
from exporter.simulator import HandClock, Life, World, app, fake_of, running
from exporter.snapshot import ReadingProgress
from exporter.tasks import State
from tests.harness import Rig, until
from tests.web.serving import served
from tests.web.test_pages import text_of

ABOUT = {"provider": "studio", "kind": "video"}


@pytest.fixture
def clock() -> HandClock:
    return HandClock(0.0)


@pytest.fixture
def work(clock: HandClock) -> Work:
    return Work(ABOUT, clock)


def told(work: Work) -> ReadingProgress | None:
    return work.progress


def test_what_is_short_is_not_told(work: Work, clock: HandClock) -> None:
    assert told(work) is None
    work.begin("ids", 10)
    clock.now += 1
    work.did(5)
    assert told(work) is None
    clock.now += 9
    assert told(work) == ReadingProgress("ids", 5, 10, 0.5, 10.0)
    work.end()
    assert told(work) is None


def test_a_list_is_read_as_far_as_its_dates_reach_back(work: Work, clock: HandClock) -> None:
    work.begin("list")
    clock.now += 30
    work.did(share=0.25)
    assert told(work) == ReadingProgress("list", 1, None, 0.25, 90.0)
    work.did(share=0.2)  # a row out of order takes nothing back
    assert told(work) == ReadingProgress("list", 2, None, 0.25, 90.0)
    work.begin("list")
    clock.now += 30
    work.did()
    assert told(work) == ReadingProgress("list", 1, None, None, None)


def test_ids_are_counted_down_over_many_rounds(work: Work, clock: HandClock) -> None:
    work.left(400)
    clock.now += 60
    work.left(300)
    assert told(work) == ReadingProgress("ids", 100, 400, 0.25, 180.0)
    work.left(700)  # more were named
    assert told(work) is None
    clock.now += 10
    work.left(0)
    assert told(work) is None


def test_the_log_tells_of_it_less_and_less_often(
    work: Work, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    work.begin("ids", 1000)
    for _ in range(300):
        clock.now += 1
        work.did(2)
    lines = [(one.message, vars(one)["ids"], vars(one)["percent"], vars(one)["seconds_left"]) for one in caplog.records]
    assert lines == [
        ("still looking ids up", 60, 6, 470),
        ("still looking ids up", 180, 18, 410),
        ("still looking ids up", 420, 42, 290),
    ]


async def test_a_first_sweep_of_many_pages_says_how_far_it_is() -> None:
    clock = HandClock()
    world = World(clock=clock, rate=0, profiles=fake_of("kling").profiles)
    world.add(
        *(
            Life(
                f"task-{n}",
                "kling",
                "task",
                clock() - 3600 * n - 60,
                queue_seconds=1,
                run_seconds=5,
                end=State.SUCCEEDED,
            )
            for n in range(20)
        )
    )
    rig = Rig(clock)
    async with running(app(world, limits={})) as url, served(rig.app()) as http:
        rig.connect("kling", url, name="studio", rate_limit="1/s", page_size=1, history="24h")
        sweep = asyncio.create_task(rig.loop.sweep())
        try:
            await until("something to tell", lambda: rig.loop.snapshot().progress is not None)
            progress = rig.loop.snapshot().progress
            assert progress is not None
            assert (progress.what, progress.of) == ("list", None)
            assert progress.done >= 2
            assert progress.share is not None
            assert 0 < progress.share < 1
            (feed,) = (await http.get("/api/v1/providers")).json()["providers"][0]["feeds"]
            assert feed["progress"]["what"] == "list"
            text = await text_of(http)
            assert "pages of the list read" in text
            assert "% of the last 1 d; about" in text
        finally:
            sweep.cancel()
            with suppress(asyncio.CancelledError):
                await sweep
            await rig.aclose()
