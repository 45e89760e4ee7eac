"""Ids from a URL that is asked again and again, over real HTTP: what it tells, how it fails, and who hears of it."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.config.models import WatchSettings
from exporter.polling.watch import Watch
from exporter.simulator import SORA, hang
from exporter.tasks import State
from tests.harness import UNLISTED, VENDORS, Door, Poll, Rig, Site, account, ended, leaping, settings_of, until
from tests.simulator import faults

TOKEN = "a-token-of-the-shop-0123456789"


def told(**kinds: list[str]) -> Response:
    return JSONResponse([{"kind": kind, "ids": ids} for kind, ids in kinds.items()])


class Shop:
    """A server that answers what a test gives it, and keeps the headers of each request."""

    def __init__(self, door: Door) -> None:
        self.answer: ASGIApp = told()
        self.requests: list[dict[str, str]] = []
        self.url = door.url
        door.behind = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await self.answer(scope, receive, send)

    async def asked(self, times: int = 2) -> None:
        """Waits until it has been asked so many times more: the first of them may have been under way."""
        enough = len(self.requests) + times
        await until("a request", lambda: len(self.requests) >= enough)


async def ids_are(watch: Watch, kind: str, expected: list[str]) -> None:
    """Waits until the watch tells these ids."""
    deadline = time.monotonic() + 30
    while (found := await watch.ids(kind)) != expected:
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain for {expected}, the last were {found}")
        await asyncio.sleep(0.005)


Open = Callable[..., Watch]


@pytest.fixture(scope="module")
def doors() -> Iterator[list[Door]]:
    with Door.opened() as first, Door.opened() as second:
        yield [first, second]


@pytest.fixture
def shop(doors: list[Door]) -> Shop:
    return Shop(doors[0])


@pytest.fixture
def other_shop(doors: list[Door]) -> Shop:
    return Shop(doors[1])


@pytest.fixture
async def watch(shop: Shop) -> AsyncIterator[Open]:
    """Watches the shop, every 20 ms and with time enough for an answer unless told otherwise."""
    async with AsyncExitStack() as stack:

        def open_(path: str = "/ids", **settings: Any) -> Watch:
            url = {"url": shop.url + path, "interval": "20ms", "request_timeout": "30s"} | settings
            one = Watch("vendor", WatchSettings.model_validate({"http": [url]}), known=VENDORS.kinds)
            stack.push_async_callback(one.aclose)
            return one

        yield open_


async def test_the_first_question_waits_for_the_first_answer(shop: Shop, watch: Open) -> None:
    shop.answer = told(sora=["1", "2", "1"], video=["9"])
    one = watch()
    assert await one.ids("sora") == ["1", "2"]
    assert await one.ids("video") == ["9"]
    assert await one.ids("other") == []


async def test_what_is_told_anew_takes_the_place_of_what_was(shop: Shop, watch: Open) -> None:
    shop.answer = told(sora=["1", "2"])
    one = watch()
    await ids_are(one, "sora", ["1", "2"])
    shop.answer = told(sora=["2", "3"])
    await ids_are(one, "sora", ["2", "3"])
    shop.answer = told()
    await ids_are(one, "sora", [])


async def test_the_url_is_asked_at_its_interval_however_often_the_ids_are_wanted(shop: Shop, watch: Open) -> None:
    one = watch(interval="1h")
    for _ in range(20):
        await one.ids("sora")
        await one.ids("video")
    assert len(shop.requests) == 1


async def test_a_token_is_sent_as_a_bearer_and_read_again_from_its_file(
    shop: Shop, watch: Open, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    one = watch(bearer_token_file=str(file))
    await one.ids("sora")
    assert shop.requests[0]["authorization"] == f"Bearer {TOKEN}"
    file.write_text("another-token")
    await until("the new token", lambda: shop.requests[-1]["authorization"] == "Bearer another-token")


async def test_without_a_token_none_is_sent(shop: Shop, watch: Open) -> None:
    await watch().ids("sora")
    assert "authorization" not in shop.requests[0]


def large(_: Shop) -> ASGIApp:
    return Response(b"[" + b" " * (8 * 1024 * 1024) + b"]")


def elsewhere(other: Shop) -> ASGIApp:
    return RedirectResponse(f"{other.url}/ids")


Failure = Callable[[Shop], ASGIApp]
FAILURES: list[Any] = [
    pytest.param(lambda _: Response("x", 500), "HTTP 500", id="a fault of its own"),
    pytest.param(lambda _: JSONResponse([], 404), "HTTP 404", id="not found"),
    pytest.param(lambda _: Response("x", 401), "HTTP 401", id="a token that it does not take"),
    pytest.param(lambda _: Response(status_code=204), "HTTP 204", id="nothing at all"),
    pytest.param(lambda _: Response("<html>"), "answered instead of the server", id="HTML"),
    pytest.param(lambda _: JSONResponse({"kind": "sora"}), "not of the form", id="another form"),
    pytest.param(lambda _: JSONResponse([{"kind": "sora", "ids": ["a\nb"]}]), "not a task id", id="a bad id"),
    pytest.param(
        lambda _: Response(b'[{"kind": "sora", "ids": ["\xff"]}]'), "cannot be printed", id="bytes that are no text"
    ),
    pytest.param(large, "larger than 8 MiB", id="too large"),
    pytest.param(lambda _: faults.broken_off, "the connection broke", id="a connection that breaks"),
    pytest.param(elsewhere, "redirects to another host", id="a redirect to another host"),
]


@pytest.mark.parametrize(("failure", "error"), FAILURES)
async def test_a_failure_keeps_the_last_good_ids_and_is_told_once_as_is_its_end(
    shop: Shop, other_shop: Shop, watch: Open, caplog: pytest.LogCaptureFixture, failure: Failure, error: str
) -> None:
    caplog.set_level(logging.INFO, "exporter.polling.watch")
    shop.answer = told(sora=["1"])
    one = watch("/ids?key=hidden", bearer_token=TOKEN)
    assert (await one.ids("sora"), one.troubles) == (["1"], [])
    shop.answer = failure(other_shop)
    await until("trouble", lambda: one.troubles)
    (trouble,) = one.troubles
    assert trouble.startswith(f"{shop.url}/ids: ")
    assert error in trouble
    await shop.asked(3)
    assert await one.ids("sora") == ["1"]
    shop.answer = told(sora=["2"])
    await ids_are(one, "sora", ["2"])
    assert one.troubles == []
    assert [(record.levelno, vars(record)["url"]) for record in caplog.records] == [
        (logging.WARNING, f"{shop.url}/ids"),
        (logging.INFO, f"{shop.url}/ids"),
    ]
    said = json.dumps([vars(record) for record in caplog.records], default=str) + trouble
    assert error in said
    assert TOKEN not in said
    assert "hidden" not in said
    assert other_shop.requests == []  # neither with the token nor without


async def test_a_url_is_a_source_without_its_query(shop: Shop, watch: Open) -> None:
    shop.answer = told(sora=["1"])
    one = watch("/ids?key=hidden")
    assert not one.sources_up
    await one.ids("sora")
    assert one.sources_up == ((f"{shop.url}/ids", True),)
    shop.answer = Response("x", 500)
    await until("trouble", lambda: one.sources_up == ((f"{shop.url}/ids", False),))
    shop.answer = told(sora=["1", ""])  # one bad id costs itself alone
    await until("its end", lambda: one.sources_up == ((f"{shop.url}/ids", True),))
    assert one.troubles


async def test_two_urls_that_differ_in_their_queries_are_one_source_that_is_up_while_both_are(shop: Shop) -> None:
    shop.answer = told(sora=["1"])
    urls = [{"url": f"{shop.url}/ids?of={name}", "interval": "20ms"} for name in ("a", "b")]
    one = Watch("vendor", WatchSettings.model_validate({"http": urls}), known=VENDORS.kinds)
    await one.ids("sora")
    assert one.sources_up == ((f"{shop.url}/ids", True),)
    await one.aclose()


async def test_a_kind_that_no_feed_has_is_told_once_and_spoils_nothing(
    shop: Shop, watch: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "exporter.polling.watch")
    shop.answer = told(sora=["1"], sorra=["2"])
    one = watch()
    assert await one.ids("sora") == ["1"]
    assert [trouble.partition(": ")[2].partition(";")[0] for trouble in one.troubles] == [
        "names a kind that no feed has"
    ]
    await shop.asked(3)
    shop.answer = told(sora=["1", "2"])
    await ids_are(one, "sora", ["1", "2"])
    assert one.troubles == []
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]


async def test_silence_ends_at_the_deadline_and_keeps_the_last_good_ids(shop: Shop, watch: Open) -> None:
    shop.answer = told(sora=["1"])
    one = watch(request_timeout="100ms")
    await ids_are(one, "sora", ["1"])
    shop.answer = hang
    await until("trouble", lambda: one.troubles == [f"{shop.url}/ids: no complete answer within 0.1 s"])
    assert await one.ids("sora") == ["1"]


async def test_a_redirect_within_the_host_is_followed_with_the_token(shop: Shop, watch: Open) -> None:
    async def by_path(scope: Scope, receive: Receive, send: Send) -> None:
        there = told(sora=["1"]) if scope["path"] == "/there" else RedirectResponse("/there")
        await there(scope, receive, send)

    shop.answer = by_path
    assert await watch(bearer_token=TOKEN).ids("sora") == ["1"]
    assert [one["authorization"] for one in shop.requests[:2]] == [f"Bearer {TOKEN}"] * 2


@pytest.mark.parametrize("bad", [hang, Response("x", 500)], ids=["silence", "an error"])
async def test_a_url_that_fails_from_the_start_holds_nobody_up_for_longer_than_its_deadline(
    shop: Shop, watch: Open, bad: ASGIApp
) -> None:
    shop.answer = bad
    one = watch(request_timeout="50ms")
    assert await one.ids("sora") == []
    shop.answer = told(sora=["1"])
    await ids_are(one, "sora", ["1"])


def test_the_first_question_waits_ten_seconds_for_a_url_that_never_answers() -> None:
    async def waited() -> list[float]:
        url = {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/ids", "request_timeout": "1h"}
        one = Watch("vendor", WatchSettings.model_validate({"http": [url]}), known=VENDORS.kinds)
        now = asyncio.get_running_loop().time
        times = [now()]
        for _ in range(2):
            assert await one.ids("sora") == []
            times.append(now())
        await one.aclose()
        return times

    with socket.create_server(("127.0.0.1", 0)) as silent:
        began, first, second = leaping(waited())
    assert (first - began, second - first) == (10, 0)


async def test_a_request_to_wait_is_obeyed(shop: Shop, watch: Open) -> None:
    shop.answer = Response("", 429, {"Retry-After": "3600"})
    one = watch()
    await one.ids("sora")
    await asyncio.sleep(0.2)  # ten intervals
    assert len(shop.requests) == 1


async def test_several_urls_do_not_wait_for_each_other_and_their_ids_come_in_order(
    shop: Shop, other_shop: Shop
) -> None:
    shop.answer, other_shop.answer = hang, told(sora=["2", "1"])
    deadlines = {shop.url: "100ms", other_shop.url: "30s"}
    urls = [{"url": url, "interval": "20ms", "request_timeout": deadline} for url, deadline in deadlines.items()]
    both = Watch("vendor", WatchSettings.model_validate({"tasks": {"sora": ["0"]}, "http": urls}), known=VENDORS.kinds)
    try:
        assert await both.ids("sora") == ["0", "2", "1"]
        assert [trouble.startswith(shop.url) for trouble in both.troubles] == [True]
        shop.answer = told(sora=["3", "2"])
        await ids_are(both, "sora", ["0", "3", "2", "1"])
    finally:
        await both.aclose()


async def test_closing_ends_the_questions(shop: Shop, watch: Open) -> None:
    one = watch()
    await one.ids("sora")
    await shop.asked()
    await one.aclose()
    seen = len(shop.requests)
    await asyncio.sleep(0.1)  # five intervals
    assert len(shop.requests) == seen


# --- Together with a feed that cannot be listed


Restart = Callable[[], Awaitable[Rig]]


@pytest.fixture
def restart(shop: Shop, site: Site, poll: Poll, tmp_path: Path) -> Restart:
    """Starts DeerAPI without a list on the same ledger, after the one before has ended.

    There are a long task and one that has ended.
    """
    site.world.add(ended(SORA, "long", 10, lasted=100.0), ended(SORA, "over", 300, lasted=10.0))
    started: list[Rig] = []

    async def start() -> Rig:
        if started:
            await started[-1].aclose()
        http = [{"url": shop.url, "interval": "20ms", "request_timeout": "30s"}]
        started.append(poll(SORA, str(tmp_path / "ledger.sqlite3"), **UNLISTED, watch={"http": http}))
        return started[-1]

    return start


async def swept(rig: Rig) -> None:
    await rig.sweep()
    assert rig.is_up()


async def test_the_first_sweep_has_the_ids_of_the_url_so_that_no_counter_jumps_later(
    shop: Shop, restart: Restart
) -> None:
    shop.answer = told(sora=["long", "over"])
    one = await restart()
    await swept(one)
    assert one.tracker.counts["finished_total", State.SUCCEEDED] == 1
    assert set(one.tracker.in_flight) == {"long"}


async def test_what_is_in_flight_is_followed_over_a_restart_while_the_url_is_down(shop: Shop, restart: Restart) -> None:
    shop.answer = told(sora=["long", "over"])
    one = await restart()
    await swept(one)
    shop.answer = Response("x", 500)
    one = await restart()
    one.clock.now += 200.0
    await swept(one)
    assert one.tracker.in_flight == {}
    assert one.tracker.counts["finished_total", State.SUCCEEDED] == 2
    shop.answer = told(sora=["long", "over"])
    await ids_are(one.loop.watch, "sora", ["long", "over"])
    await swept(one)
    assert one.tracker.counts["finished_total", State.SUCCEEDED] == 2


async def test_what_the_url_drops_is_followed_to_its_end_if_it_was_seen(shop: Shop, restart: Restart) -> None:
    shop.answer = told(sora=["long"])
    one = await restart()
    await swept(one)
    shop.answer = told()
    await ids_are(one.loop.watch, "sora", [])
    one.clock.now += 200.0
    await swept(one)
    assert one.tracker.counts["finished_total", State.SUCCEEDED] == 1


async def test_questions_to_the_url_are_no_calls_to_the_provider(shop: Shop, restart: Restart) -> None:
    shop.answer = told(sora=["long"])
    one = await restart()
    await swept(one)
    await shop.asked(5)
    requests = {key: n for key, n in one.client.counts.items() if key[0] == "api_requests_total"}
    assert requests == {("api_requests_total", "detail", "200"): 1}


async def test_a_provider_that_is_polled_no_more_asks_its_url_no_more(shop: Shop) -> None:
    shop.answer = told(sora=["1"])
    watch = {"http": [{"url": shop.url, "interval": "20ms"}]}
    settings = settings_of(account("deerapi", **UNLISTED, poll_interval="10ms", watch=watch))
    rig = Rig()
    try:
        await rig.collector.apply([settings])
        await shop.asked(3)
        await rig.collector.apply([])
        seen = len(shop.requests)
        await asyncio.sleep(0.1)  # five intervals
        assert len(shop.requests) == seen
    finally:
        await rig.aclose()
