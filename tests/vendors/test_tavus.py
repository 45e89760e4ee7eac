"""Tavus: pages from 0, dates that only the detail has, and two shapes of refusals."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    RateLimited,
    RequestInvalid,
    VendorFailed,
)
from exporter.simulator import Life, fake_of
from exporter.tasks import Field, Observation, Phase, Reason, State
from tests.harness import NOW, counted, measured, page_of
from tests.vendors.conftest import OpenAccount, Scripted

DONE, FAILED = "aaaa000001", "aaaa000002"

LIST: dict[str, Any] = {
    "total_count": 2,
    "data": [
        {
            "video_id": DONE,
            "video_name": "t",
            "status": "ready",
            "status_details": "Your request has processed successfully!",
            "download_url": "https://example.invalid/v.mp4",
        },
        {
            "video_id": FAILED,
            "video_name": "t",
            "status": "error",
            "status_details": "An error occurred.",
            "error_details": None,
        },
    ],
}
DETAIL: dict[str, Any] = {
    "video_id": FAILED,
    "video_name": "t",
    "status": "error",
    "status_details": "An error occurred.",
    "error_details": ["bad audio"],
    "created_at": "Sun, 01 Mar 2026 10:12:00 GMT",
    "updated_at": "Sun, 01 Mar 2026 10:12:44 GMT",
}


async def test_the_documented_list_has_no_dates(scripted: Scripted) -> None:
    tavus = scripted("tavus", LIST)
    page = await page_of(tavus.feed)
    done, failed = page.observations
    assert done == Observation(DONE, State.SUCCEEDED)
    assert (failed.state, failed.reason, failed.unmapped) == (State.FAILED, Reason.UNKNOWN, frozenset())
    assert page.last
    (request,) = tavus.vendor.requests
    assert str(request.url) == "https://vendor.example/v2/videos?limit=50&page=0"
    assert request.headers["x-api-key"] == fake_of("tavus").keys["api_key"]


async def test_pages_count_from_0(scripted: Scripted) -> None:
    tavus = scripted("tavus", LIST | {"total_count": 5})
    page = await page_of(tavus.feed)
    assert not page.last
    await page_of(tavus.feed, 1, received=2)
    assert tavus.vendor.sent() == {"limit": "50", "page": "1"}


async def test_the_documented_detail_has_dates_as_headers_have_them(scripted: Scripted) -> None:
    tavus = scripted("tavus", DETAIL)
    shown = await tavus.observe(FAILED)
    assert (shown.submitted, shown.ended) == (1772359920, 1772359964)
    assert (shown.state, shown.reason, shown.said) == (State.FAILED, Reason.UNKNOWN, "bad audio")
    (request,) = tavus.vendor.requests
    assert str(request.url) == f"https://vendor.example/v2/videos/{FAILED}?verbose=true"


async def test_dates_in_a_list_are_read_where_there_are_some(scripted: Scripted) -> None:
    row = LIST["data"][0] | {"created_at": DETAIL["created_at"], "updated_at": DETAIL["updated_at"]}
    page = await page_of(scripted("tavus", {"data": [row], "total_count": 1}).feed)
    assert page.observations == [Observation(DONE, State.SUCCEEDED, submitted=1772359920, ended=1772359964)]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", State.QUEUED),
        ("generating", State.RUNNING),
        ("ready", State.SUCCEEDED),
        ("error", State.FAILED),
        ("deleted", State.CANCELLED),
    ],
)
async def test_the_documented_states(scripted: Scripted, word: str, state: State) -> None:
    shown = await scripted("tavus", DETAIL | {"video_id": "asked-for", "status": word}).observe()
    assert (shown.state, shown.unmapped - {Field.REASON}) == (state, frozenset())
    assert (shown.ended is not None) is state.is_end


async def test_a_word_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    row = {"video_id": "asked-for", "status": "training", "status_details": "Soon."}
    odd = await scripted("tavus", row).observe()
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("details", "status_details", "reason"),
    [
        (["The script was refused by moderation."], "An error occurred.", Reason.MODERATION),
        ("Invalid audio: the file is too short.", "An error occurred.", Reason.INVALID_INPUT),
        (["Internal error."], None, Reason.PROVIDER_INTERNAL),
        ([], "Rendering timed out.", Reason.TIMEOUT),
        (None, "An error occurred.", Reason.UNKNOWN),
        ([{"odd": 1}], "An error occurred.", Reason.UNKNOWN),
        (None, None, Reason.UNKNOWN),
    ],
)
async def test_why_a_video_failed(scripted: Scripted, details: Any, status_details: Any, reason: Reason) -> None:
    row = {"video_id": "asked-for", "status": "error", "error_details": details, "status_details": status_details}
    assert (await scripted("tavus", row).observe()).reason is reason


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "Invalid page"}, RequestInvalid),
        (401, {"message": "Invalid access token"}, AuthRefused),
        (402, {"message": "Payment is due"}, BalanceExhausted),
        (429, {"message": "Slow down"}, RateLimited),
        (500, {"error": "Oops"}, VendorFailed),
    ],
)
async def test_refused_lists(scripted: Scripted, status: int, body: Any, error: type[CallError]) -> None:
    tavus = scripted("tavus", (status, body))
    await tavus.refuses(error)


async def test_an_unknown_video(scripted: Scripted) -> None:
    await scripted("tavus", (404, {"error": "Video not found"})).knows_not()


def life(name: str, ago: float, end: State = State.SUCCEEDED) -> Life:
    reason = Reason.TIMEOUT if end is State.FAILED else None
    return Life(name, "tavus", "video", NOW - ago, 10.0, 60.0, end, reason=reason)


async def test_each_end_is_asked_for_once_for_its_dates(open_account: OpenAccount) -> None:
    account = open_account("tavus", page_size=10)
    await account.submit(*(life(f"v{n}", 50 - n) for n in range(12)), life("bad", 40, State.FAILED))
    await account.rig.sweep(8)
    tracker = account.rig.loop_of(kind="video").tracker
    assert counted(tracker, "finished_total") == {"succeeded": 12, "failed": 1}
    assert counted(tracker, "failures_total") == {"timeout": 1}
    assert measured(tracker, Phase.TOTAL, State.SUCCEEDED) == (12, 12 * 70.0)
    assert account.site.fake.vendors["tavus"].requests["video/detail"] == 13


async def test_videos_of_before_the_history_are_asked_for_once_and_count_for_nothing(open_account: OpenAccount) -> None:
    account = open_account("tavus")
    await account.submit(*(life(f"old{n}", 200_000 + n) for n in range(120)), life("new", 200))
    await account.rig.sweep(6)
    assert counted(account.rig.loop_of(kind="video").tracker, "finished_total") == {"succeeded": 1}
    assert account.site.fake.vendors["tavus"].requests["video/detail"] == 121


async def test_the_fake_enforces_its_limits(open_account: OpenAccount) -> None:
    account = open_account("tavus")
    fake = fake_of("tavus")
    async with httpx.AsyncClient(base_url=account.site.url + fake.prefix) as http:
        refused = await http.get("/v2/videos")
        http.headers["x-api-key"] = fake.keys["api_key"]
        answers = [await http.get(f"/v2/videos?{query}") for query in ("limit=0", "limit=x", "page=-1")]
    assert (refused.status_code, refused.json()) == (401, {"message": "Invalid access token"})
    assert [(one.status_code, [*one.json()]) for one in answers] == [(400, ["error"])] * 3
