"""The body of /metrics is prepared ahead: it is true, whole and soon there, and costs a scrape nothing."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from starlette.types import Message

from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sweep import Sweep
from exporter.metrics.exposition import PIECE, Exposition
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.simulator import HandClock
from exporter.snapshot import FeedStatus, Reloads, Snapshot
from exporter.tasks import Observation, State
from exporter.vendors.registry import built_in
from exporter.web.app import Scrapes
from tests.harness import made

PATIENCE = 30.0
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Site:
    """One feed, told what sweeps bring, and its metrics kept fresh."""

    def __init__(self, clock: HandClock, reloads: Reloads | None = None, **settings: object) -> None:
        self.clock = clock
        self.news = asyncio.Event()
        self.ledger = Ledger(SqliteStore(SqliteFile(":memory:")), 7 * 86400.0)
        common = {"name": "swap", "type": "facewap", "base_url": "http://127.0.0.1:9", "token": "t"}
        self.settings = built_in()["facewap"].settings.model_validate(common | settings)
        self.polled = made(PolledProvider.open(self.settings, self.ledger, clock, self.news.set))
        (self.loop,) = self.polled.loops
        every = PolledProviders([self.polled])
        self.exposition = Exposition(every.snapshot, reloads or Reloads(), clock, every.awaited)

    async def see(self, *rows: Observation, complete: bool = True) -> None:
        listed = {row.id: (row, self.clock.now) for row in rows}
        await self.ledger.record(self.loop.tracker, Sweep(listed=listed, complete=complete), self.clock.now)
        self.news.set()

    async def text(self) -> str:
        return b"".join((await self.exposition.answer("")).pieces).decode()

    async def aclose(self) -> None:
        await self.polled.stop()
        await self.ledger.close()

    async def until(self, holds: Callable[[str], bool]) -> str:
        async with asyncio.timeout(PATIENCE):
            while not holds(text := await self.text()):  # noqa: ASYNC110  # a scrape is what is tested
                await asyncio.sleep(0.005)
        return text


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site(HandClock(), task_series_limit=10)
    keeping = asyncio.create_task(site.exposition.keep_fresh(site.news))
    yield site
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await site.aclose()


def running(count: int) -> str:
    return f'videotask_tasks{{kind="face_swap",provider="swap",state="running"}} {count}.0\n'


async def test_what_a_sweep_has_brought_is_there_without_being_asked_for(site: Site) -> None:
    await site.until(lambda text: "videotask_feed_info" in text)
    assert "videotask_tasks{" not in await site.text()
    await site.see(Observation("a", State.RUNNING), Observation("b", State.RUNNING))
    await site.until(lambda text: running(2) in text)


async def test_whoever_is_told_that_the_first_sweep_has_ended_finds_it_in_the_next_scrape(site: Site) -> None:
    await site.until(lambda text: "videotask_feed_info" in text)
    site.loop.status = FeedStatus(up=True)  # and no news yet
    assert 'videotask_up{kind="face_swap",provider="swap"} 1.0\n' in await site.text()


async def test_a_scrape_between_two_sweeps_gets_the_very_same_body(site: Site) -> None:
    await site.see(Observation("a", State.RUNNING))
    await site.until(lambda text: running(1) in text)
    first, second = [await site.exposition.answer("") for _ in range(2)]
    assert first.pieces is second.pieces
    assert b"process_cpu_seconds_total" in first.pieces[-1]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_packed_and_plain_bodies_are_the_same(site: Site, accept: str) -> None:
    await site.see(*(Observation(f"task-{number}", State.RUNNING, progress=0.5) for number in range(300)))
    await site.until(lambda text: running(300) in text)
    plain = b"".join((await site.exposition.answer(accept)).pieces)
    answer = await site.exposition.answer(accept, packed=True)
    packed = b"".join(answer.pieces)
    unpacked = zlib.decompressobj(wbits=31)
    assert _ours(unpacked.decompress(packed)) == _ours(gzip.decompress(packed)) == _ours(plain)
    assert unpacked.eof
    assert not unpacked.unused_data
    assert answer.packed
    assert len(packed) < len(plain) / 4


@dataclass
class Reader(Reloads):
    """Keeps which threads it was read in."""

    threads: set[int] = field(default_factory=set)

    def __getattribute__(self, name: str) -> object:
        if name == "ledger_losses":
            self.threads.add(threading.get_ident())
        return super().__getattribute__(name)


async def test_a_scrape_that_comes_before_the_first_body_holds_nothing_else_up() -> None:
    reader = Reader()
    site = Site(HandClock(), reader)
    reader.threads.clear()
    assert "videotask_feed_info" in await site.text()
    assert reader.threads
    assert threading.get_ident() not in reader.threads
    await site.aclose()


async def test_pieces_of_a_large_body_are_sent_in_turns_with_everything_else() -> None:
    site = Site(HandClock(), task_series_limit=10_000)
    await site.see(*(Observation(f"task-{number:0200}", State.RUNNING, progress=0.5) for number in range(5000)))
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
    await Scrapes(site.exposition)({"type": "http", "headers": []}, receive, send)
    beside.cancel()
    sent = [event for event in events[events.index("head") :] if event != "head"]
    assert sent.count("piece") > 4
    assert not [pair for pair in pairwise(sent) if pair == ("piece", "piece")]
    await site.aclose()


async def test_time_alone_makes_what_is_shown_untrue(site: Site) -> None:
    await site.see(Observation("a", State.RUNNING))
    await site.until(lambda text: running(1) in text)
    site.clock.now += 3 * site.settings.poll_interval + 1
    site.news.set()  # any wake-up, such as the one that comes every few seconds
    text = await site.until(lambda text: "videotask_tasks{" not in text)
    assert 'videotask_finished_total{kind="face_swap",provider="swap",state="lost"} 0.0\n' in text


@pytest.mark.parametrize(
    ("passed", "stalled", "recent"), [(599.0, 0, 1), (601.0, 1, 1), (3599.0, 1, 1), (3601.0, 1, 0), (-90000.0, 0, 0)]
)
async def test_a_view_is_written_anew_when_it_is_due(passed: float, stalled: int, recent: int) -> None:
    site = Site(HandClock(), poll_interval="1d")
    await site.see(
        Observation("a", State.RUNNING),
        Observation("b", State.SUCCEEDED, submitted=site.clock.now, ended=site.clock.now),
    )
    site.exposition.refresh()
    site.clock.now += passed
    text = site.exposition.render("")[0].decode()
    assert f'videotask_stalled_tasks{{kind="face_swap",provider="swap"}} {stalled}.0\n' in text
    assert f'videotask_recent_tasks{{kind="face_swap",provider="swap",state="succeeded"}} {recent}.0\n' in text
    await site.aclose()


async def test_without_a_feed_there_is_time_to_rest() -> None:
    site = Site(HandClock())
    passed = 0

    def nothing() -> Snapshot:
        nonlocal passed
        passed += 1
        return Snapshot()

    keeping = asyncio.create_task(Exposition(nothing, Reloads(), site.clock).keep_fresh(asyncio.Event()))
    await asyncio.sleep(0.2)
    keeping.cancel()
    assert passed == 1
    await site.aclose()


async def test_a_scrape_between_two_sweeps_takes_no_snapshot_even_if_a_first_sweep_is_awaited() -> None:
    site = Site(HandClock())
    every, taken = PolledProviders([site.polled]), 0

    def take() -> Snapshot:
        nonlocal taken
        taken += 1
        return every.snapshot()

    site.exposition = Exposition(take, Reloads(), site.clock, every.awaited)
    keeping = asyncio.create_task(site.exposition.keep_fresh(site.news))
    async with asyncio.timeout(PATIENCE):
        before = -1
        while taken != before:
            before = taken
            await site.text()
    keeping.cancel()
    assert every.awaited() == ["swap/face_swap"]
    await site.aclose()


async def test_a_slip_of_ours_is_told_and_nothing_old_is_served_for_new(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    await site.see(Observation("a", State.RUNNING))
    await site.until(lambda text: running(1) in text)
    tracker, site.loop.tracker = site.loop.tracker, None  # type: ignore[assignment]
    site.news.set()
    async with asyncio.timeout(PATIENCE):
        while "metrics could not be prepared" not in caplog.text:  # noqa: ASYNC110  # the log tells
            await asyncio.sleep(0.01)
    with pytest.raises(AttributeError):
        await site.exposition.answer("")
    site.loop.tracker = tracker
    assert running(1) in await site.text()


def _ours(body: bytes) -> bytes:
    return b"".join(line for line in body.splitlines(keepends=True) if b"videotask_" in line)
