"""The body of /metrics is prepared ahead: it is true, whole and soon there, and costs a scrape nothing."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import pytest
from starlette.types import Message

from exporter.metrics.exposition import PIECE, Exposition
from exporter.polling.providers import IN_A_TURN
from exporter.snapshot import FeedStatus, Reloads, Snapshot
from exporter.tasks import Observation, State
from exporter.web.app import Scrapes
from tests.harness import PATIENCE, Rig, Site, until, with_turns_of_others
from tests.harness.rig import OPENMETRICS


def rig_of_one_feed(**settings: Any) -> Rig:
    rig = Rig()
    rig.connect("facewap", name="swap", **settings)
    return rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """One feed, told what sweeps bring, and its metrics kept fresh."""
    rig = rig_of_one_feed(task_series_limit=10)
    keeping = asyncio.create_task(rig.exposition.keep_fresh(rig.collector.news))
    yield rig
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await rig.aclose()


async def scraped(rig: Rig) -> str:
    return b"".join((await rig.exposition.answer("")).pieces).decode()


async def scraped_until(rig: Rig, holds: Callable[[str], bool]) -> str:
    async with asyncio.timeout(PATIENCE):
        while not holds(text := await scraped(rig)):  # noqa: ASYNC110  # a scrape is what is tested
            await asyncio.sleep(0.005)
    return text


def running(count: int) -> str:
    return f'videotask_tasks{{kind="face_swap",provider="swap",state="running"}} {count}.0\n'


async def test_what_a_sweep_has_brought_is_there_without_being_asked_for(rig: Rig) -> None:
    await scraped_until(rig, lambda text: "videotask_feed_info" in text)
    assert "videotask_tasks{" not in await scraped(rig)
    await rig.show(Observation("a", State.RUNNING), Observation("b", State.RUNNING))
    await scraped_until(rig, lambda text: running(2) in text)


async def test_the_first_sweep_is_in_the_scrape_that_follows_its_end(rig: Rig) -> None:
    await scraped_until(rig, lambda text: "videotask_feed_info" in text)
    rig.loop.status = FeedStatus(up=True)  # and no news yet
    assert 'videotask_up{kind="face_swap",provider="swap"} 1.0\n' in await scraped(rig)


async def test_a_scrape_between_two_sweeps_gets_the_very_same_body(rig: Rig) -> None:
    await rig.show(Observation("a", State.RUNNING))
    await scraped_until(rig, lambda text: running(1) in text)
    first, second = [await rig.exposition.answer("") for _ in range(2)]
    assert first.pieces is second.pieces
    assert b"process_cpu_seconds_total" in first.pieces[-1]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_packed_and_plain_bodies_are_the_same(rig: Rig, accept: str) -> None:
    await rig.show(*(Observation(f"task-{number}", State.RUNNING, progress=0.5) for number in range(300)))
    await scraped_until(rig, lambda text: running(300) in text)
    plain = b"".join((await rig.exposition.answer(accept)).pieces)
    answer = await rig.exposition.answer(accept, packed=True)
    packed = b"".join(answer.pieces)
    unpacked = zlib.decompressobj(wbits=31)
    assert _ours(unpacked.decompress(packed)) == _ours(gzip.decompress(packed)) == _ours(plain)
    assert unpacked.eof
    assert not unpacked.unused_data
    assert answer.packed
    assert len(packed) < len(plain) / 4


async def test_a_scrape_that_comes_before_the_first_body_holds_nothing_else_up() -> None:
    threads = set()

    def reloads() -> Reloads:
        threads.add(threading.get_ident())
        return Reloads()

    rig = rig_of_one_feed()
    rig.exposition = Exposition(rig.polled.snapshot, reloads, rig.clock)
    assert "videotask_feed_info" in await scraped(rig)
    assert threads
    assert threading.get_ident() not in threads
    await rig.aclose()


async def test_pieces_of_a_large_body_are_sent_in_turns_with_everything_else() -> None:
    rig = rig_of_one_feed(task_series_limit=10_000)
    await rig.show(*(Observation(f"task-{number:0200}", State.RUNNING, progress=0.5) for number in range(5000)))
    events: list[str] = []

    async def send(message: Message) -> None:
        body = message.get("body", b"")
        assert len(body) <= PIECE
        events.append("piece" if body else "head")

    async def receive() -> Message:
        raise AssertionError("nothing is read of a scrape")

    async def others() -> None:
        while True:
            await asyncio.sleep(0)
            events.append("turn")

    beside = asyncio.create_task(others())
    await Scrapes(rig.exposition)({"type": "http", "headers": []}, receive, send)
    beside.cancel()
    sent = [event for event in events[events.index("head") :] if event != "head"]
    assert sent.count("piece") > 4
    assert not [pair for pair in pairwise(sent) if pair == ("piece", "piece")]
    await rig.aclose()


async def test_time_alone_makes_what_is_shown_untrue(rig: Rig) -> None:
    await rig.show(Observation("a", State.RUNNING))
    await scraped_until(rig, lambda text: running(1) in text)
    rig.clock.now += 3 * rig.loop.provider.settings.poll_interval + 1
    rig.collector.news.set()  # any wake-up, such as the one that comes every few seconds
    text = await scraped_until(rig, lambda text: "videotask_tasks{" not in text)
    assert 'videotask_finished_total{kind="face_swap",provider="swap",state="lost"} 0.0\n' in text


@pytest.mark.parametrize(
    ("passed", "stalled", "recent"), [(599.0, 0, 1), (601.0, 1, 1), (3599.0, 1, 1), (3601.0, 1, 0), (-90000.0, 0, 0)]
)
async def test_a_view_is_written_anew_when_it_is_due(passed: float, stalled: int, recent: int) -> None:
    rig = rig_of_one_feed(poll_interval="1d")
    await rig.show(
        Observation("a", State.RUNNING),
        Observation("b", State.SUCCEEDED, submitted=rig.clock.now, ended=rig.clock.now),
    )
    rig.exposition.refresh()
    rig.clock.now += passed
    text = rig.text()
    assert f'videotask_stalled_tasks{{kind="face_swap",provider="swap"}} {stalled}.0\n' in text
    assert f'videotask_recent_tasks{{kind="face_swap",provider="swap",state="succeeded"}} {recent}.0\n' in text
    await rig.aclose()


async def test_what_only_polls_and_calls_have_changed_is_written_again() -> None:
    rig = rig_of_one_feed()
    await rig.show(Observation("a", State.RUNNING))
    rig.exposition.refresh()
    rig.loop.status = FeedStatus(up=False, restarts=2)
    rig.client.counts["api_requests_total", "list", "200"] += 3
    text = rig.text()
    assert 'videotask_loop_restarts_total{kind="face_swap",provider="swap"} 2.0\n' in text
    assert 'videotask_up{kind="face_swap",provider="swap"} 0.0\n' in text
    assert 'videotask_api_requests_total{code="200",endpoint="list",provider="swap"} 3.0\n' in text
    await rig.aclose()


async def test_without_a_feed_there_is_time_to_rest() -> None:
    rig = rig_of_one_feed()
    passed = 0

    def nothing() -> Snapshot:
        nonlocal passed
        passed += 1
        return Snapshot()

    keeping = asyncio.create_task(Exposition(nothing, Reloads, rig.clock).keep_fresh(asyncio.Event()))
    await asyncio.sleep(0.2)
    keeping.cancel()
    assert passed == 1
    await rig.aclose()


async def test_a_scrape_between_two_sweeps_takes_no_snapshot_even_if_a_first_sweep_is_awaited() -> None:
    rig, taken = rig_of_one_feed(), 0

    def take() -> Snapshot:
        nonlocal taken
        taken += 1
        return rig.polled.snapshot()

    rig.exposition = Exposition(take, Reloads, rig.clock, rig.polled.awaited)
    keeping = asyncio.create_task(rig.exposition.keep_fresh(rig.collector.news))
    async with asyncio.timeout(PATIENCE):
        before = -1
        while taken != before:
            before = taken
            await scraped(rig)
    keeping.cancel()
    assert rig.polled.awaited() == ["swap/face_swap"]
    await rig.aclose()


async def test_a_snapshot_of_very_many_providers_lets_others_have_their_turn_and_shows_the_same(
    rig: Rig, site: Site
) -> None:
    for number in range(2 * IN_A_TURN + 1):
        rig.add(site.settings("facewap", name=f"swap{number}"))
    snapshot, turns = await with_turns_of_others(rig.polled.snapshot_in_turns())
    assert turns == 2
    assert snapshot == rig.polled.snapshot()


async def test_pages_that_are_asked_for_at_once_show_one_snapshot_that_is_taken_after_they_were(rig: Rig) -> None:
    await rig.show(Observation("a", State.RUNNING))
    first, second = await asyncio.gather(rig.polled.everything(), rig.polled.everything())
    assert first is second
    under_way = asyncio.create_task(rig.polled.everything())
    await rig.show(Observation("b", State.RUNNING))
    later = await rig.polled.everything()
    assert {task.id for feed in later.feeds for task in feed.tasks} >= {"b"}
    await under_way


async def test_a_slip_of_ours_is_told_and_nothing_old_is_served_for_new(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.show(Observation("a", State.RUNNING))
    await scraped_until(rig, lambda text: running(1) in text)
    tracker, rig.loop.tracker = rig.loop.tracker, None  # type: ignore[assignment]
    rig.collector.news.set()
    await until("the slip", lambda: "metrics could not be prepared" in caplog.text)
    with pytest.raises(AttributeError):
        await rig.exposition.answer("")
    rig.loop.tracker = tracker
    assert running(1) in await scraped(rig)


def _ours(body: bytes) -> bytes:
    return b"".join(line for line in body.splitlines(keepends=True) if b"videotask_" in line)
