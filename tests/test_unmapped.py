"""Words that no table maps, from the vendor's answer to what the pages show of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.polling.feed.unmapped import KEPT, MOST
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.simulator import HandClock, running
from exporter.snapshot import UnmappedWords
from exporter.tasks import Field, State
from exporter.vendors.registry import built_in
from tests.web.houses import House, served
from tests.web.test_pages import text_of

pytestmark = pytest.mark.anyio


class Gateway:
    """A vendor that lists these rows."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def shows(self, *rows: tuple[str, str]) -> None:
        """Tasks by status and what their failure says."""
        self.rows = [
            {"task_id": f"t-{number}", "status": status, "fail_reason": said, "prompt": "a cat on a mat"}
            for number, (status, said) in enumerate(rows)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = [row for row in self.rows if row["task_id"] in scope["path"]]
        shown = found[0] if found else self.rows
        await JSONResponse({"success": True, "code": "success", "data": shown})(scope, receive, send)


@asynccontextmanager
async def polled(gateway: Gateway, ledger: Ledger, clock: HandClock, **given: Any) -> AsyncIterator[House]:
    async with running(gateway) as url:
        settings = {"name": "studio", "type": "deerapi", "base_url": url, "api_key": "k3y-of-the-studio"}
        settings |= {"user_token": "t0ken-of-the-studio", "user_id": "moonbase", "rate_limit": "1000/s"}
        made = built_in()["deerapi"].settings.model_validate(settings | given)
        account = await PolledProvider.open(made, ledger, clock)
        yield House(clock, ledger, PolledProviders([account]))
        await account.stop()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    made = Ledger(SqliteStore(SqliteFile(":memory:")), 7 * 86400.0)
    yield made
    await made.close()


def unmapped(house: House) -> UnmappedWords:
    return house.loops[0].snapshot().unmapped


async def test_the_status_page_shows_the_setting_that_maps_a_state(
    gateway: Gateway, ledger: Ledger, clock: HandClock
) -> None:
    gateway.shows(("DONE_OK", ""), ("odd", ""), ("FAILURE", "e_odd_9"))
    async with polled(gateway, ledger, clock) as house, served(house.app()) as http:
        await house.sweep()
        text = await text_of(http)
        first = text.index("2 tasks of studio/sora are in an unknown state")
        line = "states: {sora: {succeeded: [done_ok], STATE: [odd]}}"
        assert first < text.index(line)
        assert "add this to the settings of the provider studio, and reload. STATE stands for one of queued" in text
        assert "reasons: {sora: {REASON: [e_odd_9]}}" in text
        assert "cat" not in text
        (provider,) = (await http.get("/api/v1/providers")).json()["providers"]
        assert provider["feeds"][0]["unmapped"] == {
            "words": [
                {"field": "state", "word": "done_ok"},
                {"field": "state", "word": "odd"},
                {"field": "reason", "word": "e_odd_9"},
            ],
            "settings": [line, "reasons: {sora: {REASON: [e_odd_9]}}"],
            "hidden": 0,
        }


async def test_with_that_setting_the_tasks_end_and_nothing_is_left_to_show(
    gateway: Gateway, ledger: Ledger, clock: HandClock
) -> None:
    gateway.shows(("DONE_OK", ""), ("odd", ""))
    async with polled(gateway, ledger, clock) as house:
        await house.sweep()
        assert [task.state for task in house.loops[0].tracker.in_flight.values()] == [State.UNKNOWN] * 2
    states = {"sora": {"succeeded": ["done_ok"], "running": ["odd"]}}
    async with polled(gateway, ledger, clock, states=states) as house, served(house.app()) as http:
        await house.sweep()
        assert [task.state for task in house.loops[0].tracker.in_flight.values()] == [State.RUNNING]
        assert unmapped(house) == UnmappedWords()
        assert "states:" not in await text_of(http)


async def test_a_word_is_shown_after_a_restart_though_its_task_is_known(
    gateway: Gateway, ledger: Ledger, clock: HandClock
) -> None:
    gateway.shows(("odd", ""))
    for _ in range(2):
        async with polled(gateway, ledger, clock) as house:
            await house.sweep()
            assert unmapped(house).words == ((Field.STATE, "odd"),)


async def test_words_of_details_are_shown_too(gateway: Gateway, ledger: Ledger, clock: HandClock) -> None:
    gateway.shows(("odd", ""))
    watched = {"user_token": None, "user_id": None, "watch": {"tasks": {"sora": ["t-0"]}}}
    given = {"name": "studio", "type": "deerapi", "api_key": "k3y-of-the-studio", "watch": watched["watch"]}
    async with running(gateway) as url:
        settings = built_in()["deerapi"].settings.model_validate({**given, "base_url": url})
        account = await PolledProvider.open(settings, ledger, clock)
        house = House(clock, ledger, PolledProviders([account]))
        await house.sweep()
        assert unmapped(house).settings == {Field.STATE: "states: {sora: {STATE: [odd]}}"}
        await account.stop()


@pytest.mark.parametrize(
    "word",
    [
        "a cat on a mat",
        "sk-live-abcdef",
        "k3y-of-the-studio",
        "T0KEN-of-the-studio",
        "x-moonbase-x",
        "https://cdn.example/clip.mp4?sig=1",
        "li@example.com",
    ],
)
async def test_what_may_be_content_or_a_credential_is_counted_and_not_shown(
    gateway: Gateway, ledger: Ledger, clock: HandClock, word: str
) -> None:
    gateway.shows((word, ""), (word, ""), ("FAILURE", word))
    async with polled(gateway, ledger, clock) as house, served(house.app()) as http:
        await house.sweep()
        found = unmapped(house)
        assert (found.words, found.settings) == ((), {})
        assert found.hidden in (1, 2)  # an address in place of a failure's words is none of them
        page, answer = (await http.get("/")).text, (await http.get("/api/v1/providers")).text
        assert word.lower() not in (page + answer).lower()
        assert "not shown: there may be content or a credential in it" in page
        assert json.loads(answer)["providers"][0]["feeds"][0]["unmapped"]["hidden"] == found.hidden


async def test_the_words_of_a_feed_are_bounded_to_the_latest(
    gateway: Gateway, ledger: Ledger, clock: HandClock
) -> None:
    async with polled(gateway, ledger, clock) as house:
        letters = "abcdefghijklmnopqrstuvwxyz"
        gateway.shows(*((f"odd_{one}", "") for one in letters))
        await house.sweep()
        assert [word for _, word in unmapped(house).words] == [f"odd_{one}" for one in letters[-MOST:]]


async def test_a_word_that_was_not_seen_for_a_day_is_forgotten(
    gateway: Gateway, ledger: Ledger, clock: HandClock
) -> None:
    async with polled(gateway, ledger, clock) as house:
        gateway.shows(("odd", ""), ("a cat on a mat", ""))
        await house.sweep()
        gateway.shows(("even", ""))
        clock.now += KEPT - 1
        await house.sweep()
        assert [word for _, word in unmapped(house).words] == ["odd", "even"]
        clock.now += 2
        assert unmapped(house) == UnmappedWords(
            ((Field.STATE, "even"),), {Field.STATE: "states: {sora: {STATE: [even]}}"}
        )
