"""Words that no table maps, from the vendor's answer to what the pages show of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from exporter.simulator import SORA
from exporter.snapshot import UnmappedWords
from exporter.tasks import Field, State
from tests.harness import UNLISTED, Poll, Rig, Site
from tests.web.serving import served
from tests.web.test_pages import text_of

pytestmark = pytest.mark.anyio

STUDIO: dict[str, Any] = {
    "name": "studio",
    "api_key": "k3y-of-the-studio",
    "user_token": "t0ken-of-the-studio",
    "user_id": "moonbase",
}


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


@pytest.fixture
def gateway(site: Site) -> Gateway:
    gateway = Gateway()
    site.instead = lambda path: gateway
    return gateway


def unmapped(rig: Rig) -> UnmappedWords:
    return rig.loop.snapshot().unmapped


async def test_the_status_page_shows_the_setting_that_maps_a_state(gateway: Gateway, poll: Poll) -> None:
    gateway.shows(("DONE_OK", ""), ("odd", ""), ("FAILURE", "e_odd_9"))
    rig = poll(SORA, **STUDIO)
    async with served(rig.app()) as http:
        await rig.sweep(after=0)
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


async def test_with_that_setting_the_tasks_end_and_nothing_is_left_to_show(gateway: Gateway, poll: Poll) -> None:
    gateway.shows(("DONE_OK", ""), ("odd", ""))
    rig = poll(SORA, **STUDIO)
    await rig.sweep(after=0)
    assert [task.state for task in rig.loop.tracker.in_flight.values()] == [State.UNKNOWN] * 2
    states = {"sora": {"succeeded": ["done_ok"], "running": ["odd"]}}
    rig = poll(SORA, rig.store, **STUDIO, states=states)
    async with served(rig.app()) as http:
        await rig.sweep(after=0)
        assert [task.state for task in rig.loop.tracker.in_flight.values()] == [State.RUNNING]
        assert unmapped(rig) == UnmappedWords()
        assert "states:" not in await text_of(http)


async def test_a_word_is_shown_after_a_restart_though_its_task_is_known(gateway: Gateway, poll: Poll) -> None:
    gateway.shows(("odd", ""))
    for _ in range(2):
        rig = poll(SORA, **STUDIO)
        await rig.sweep(after=0)
        assert unmapped(rig).words == ((Field.STATE, "odd"),)


async def test_words_of_details_are_shown_too(gateway: Gateway, poll: Poll) -> None:
    gateway.shows(("odd", ""))
    rig = poll(SORA, **STUDIO | UNLISTED, watch={"tasks": {"sora": ["t-0"]}})
    await rig.sweep(after=0)
    assert unmapped(rig).settings == {Field.STATE: "states: {sora: {STATE: [odd]}}"}


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
    gateway: Gateway, poll: Poll, word: str
) -> None:
    gateway.shows((word, ""), (word, ""), ("FAILURE", word))
    rig = poll(SORA, **STUDIO)
    async with served(rig.app()) as http:
        await rig.sweep(after=0)
        found = unmapped(rig)
        assert (found.words, found.settings) == ((), {})
        assert found.hidden in (1, 2)  # an address in place of a failure's words is none of them
        page, answer = (await http.get("/")).text, (await http.get("/api/v1/providers")).text
        assert word.lower() not in (page + answer).lower()
        assert "not shown: there may be content or a credential in it" in page
        assert json.loads(answer)["providers"][0]["feeds"][0]["unmapped"]["hidden"] == found.hidden


async def test_the_words_of_a_feed_are_bounded_to_the_latest(gateway: Gateway, poll: Poll) -> None:
    rig = poll(SORA, **STUDIO)
    letters = "abcdefghijklmnopqrstuvwxyz"
    gateway.shows(*((f"odd_{one}", "") for one in letters))
    await rig.sweep(after=0)
    assert [word for _, word in unmapped(rig).words] == [f"odd_{one}" for one in letters[-20:]]


async def test_a_hundred_words_that_are_not_shown_are_counted(gateway: Gateway, poll: Poll) -> None:
    rig = poll(SORA, **STUDIO)
    gateway.shows(*((f"a cat on mat {number}", "") for number in range(110)))
    await rig.sweep(after=0)
    assert unmapped(rig).hidden == 100


async def test_a_word_that_was_not_seen_for_a_day_is_forgotten(gateway: Gateway, poll: Poll) -> None:
    rig = poll(SORA, **STUDIO)
    gateway.shows(("odd", ""), ("a cat on a mat", ""))
    await rig.sweep(after=0)
    gateway.shows(("even", ""))
    rig.clock.now += 86400.0 - 1
    await rig.sweep(after=0)
    assert [word for _, word in unmapped(rig).words] == ["odd", "even"]
    rig.clock.now += 2
    line = "states: {sora: {STATE: [even]}}"
    assert unmapped(rig) == UnmappedWords(((Field.STATE, "even"),), {Field.STATE: line}, frozenset({Field.STATE}))
