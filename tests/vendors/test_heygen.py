"""HeyGen: three lists with words of their own, codes that no document lists, and a wallet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    RateLimited,
    RequestInvalid,
    VendorFailed,
)
from exporter.simulator import Life, fake_of
from exporter.tasks import Clock, Field, Observation, Reason, State
from tests.harness import NOW, counted, page_of
from tests.vendors.conftest import OpenAccount, Scripted

DONE = "aaaaaaaa000000000000000000000001"
FAILED = "aaaaaaaa000000000000000000000002"
KINDS = ("video", "translation", "lipsync")

LIST: dict[str, Any] = {
    "data": [
        {
            "id": DONE,
            "title": "t",
            "status": "completed",
            "created_at": 1772331300,
            "completed_at": 1772331395,
            "duration": 12.48,
            "video_url": "https://example.invalid/v.mp4",
            "folder_id": None,
        },
        {
            "id": FAILED,
            "title": "t",
            "status": "failed",
            "created_at": 1772331200,
            "completed_at": None,
            "failure_code": "MODERATION_POLICY_VIOLATION",
            "failure_message": "Content was refused.",
        },
    ],
    "has_more": True,
    "next_token": "tok2/+=",
}


async def test_the_documented_list_goes_on_at_its_token(scripted: Scripted) -> None:
    heygen = scripted("heygen", LIST, LIST | {"has_more": False, "next_token": None})
    page = await page_of(heygen.feed)
    done, failed = page.observations
    assert done == Observation(DONE, State.SUCCEEDED, submitted=1772331300, ended=1772331395, output_seconds=12.48)
    assert (failed.state, failed.reason, failed.ended) == (State.FAILED, Reason.MODERATION, None)
    assert (page.last, page.cursor) == (False, "tok2/+=")
    (request,) = heygen.vendor.requests
    assert str(request.url) == "https://vendor.example/v3/videos?limit=100"
    assert request.headers["X-Api-Key"] == fake_of("heygen").keys["api_key"]
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    "end",
    [
        {"has_more": False, "next_token": "tok3"},
        {"has_more": False, "next_token": None},
        {"has_more": True, "next_token": None},
        {"has_more": True, "next_token": ""},
    ],
    ids=str,
)
async def test_the_last_page_says_so_or_has_no_token(scripted: Scripted, end: dict[str, Any]) -> None:
    assert (await page_of(scripted("heygen", LIST | end).feed)).last


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", State.QUEUED),
        ("queued", State.QUEUED),
        ("waiting", State.QUEUED),
        ("draft", State.QUEUED),
        ("processing", State.RUNNING),
        ("completed", State.SUCCEEDED),
        ("failed", State.FAILED),
    ],
)
async def test_the_words_of_videos(scripted: Scripted, word: str, state: State) -> None:
    shown = await scripted("heygen", {"data": {"id": "asked-for", "status": word}}).observe()
    assert (shown.state, shown.unmapped) == (state, frozenset())


@pytest.mark.parametrize("kind", ["translation", "lipsync"])
@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("pending", State.QUEUED),
        ("running", State.RUNNING),
        ("completed", State.SUCCEEDED),
        ("failed", State.FAILED),
    ],
)
async def test_the_words_of_translations_and_lipsyncs(scripted: Scripted, kind: str, word: str, state: State) -> None:
    row = {"id": "asked-for", "status": word, "created_at": 1772331300, "failure_message": None}
    feed = scripted("heygen", {"data": row}).feeds[kind]
    (shown,) = await feed.look_up("asked-for")
    assert (shown.state, shown.submitted, shown.ended) == (state, 1772331300, None)
    assert feed.clock is Clock.OBSERVED


async def test_each_kind_has_its_own_paths(scripted: Scripted) -> None:
    heygen = scripted("heygen", LIST, LIST, LIST, {"data": {"id": "a", "status": "running"}})
    for kind in KINDS:
        await page_of(heygen.feeds[kind])
    await heygen.feeds["translation"].look_up("a")
    await heygen.feeds["lipsync"].look_up("a")
    paths = [request.url.path for request in heygen.vendor.requests]
    assert paths[:3] == ["/v3/videos", "/v3/video-translations", "/v3/lipsyncs"]
    assert paths[3:] == ["/v3/video-translations/a", "/v3/lipsyncs/a"]


async def test_a_word_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("heygen", {"data": {"id": "asked-for", "status": "reviewing"}}).observe()
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        ("MODERATION_POLICY_VIOLATION", "Content was refused.", Reason.MODERATION),
        ("moderation_failed", "", Reason.MODERATION),
        ("TEXT_BLOCKED", "", Reason.MODERATION),
        ("BLOCKED_WORDS_DETECTED", "", Reason.MODERATION),
        ("400105", "", Reason.MODERATION),
        (400105, "", Reason.MODERATION),
        ("SENSITIVE_IMAGE", "", Reason.MODERATION),
        ("VIOLATES_POLICY", "", Reason.MODERATION),
        ("INSUFFICIENT_CREDIT", "", Reason.INSUFFICIENT_BALANCE),
        ("API_QUOTA_EXCEEDED", "", Reason.INSUFFICIENT_BALANCE),
        (10015, "", Reason.INSUFFICIENT_BALANCE),
        ("RENDER_TIMEOUT", "", Reason.TIMEOUT),
        ("INVALID_AVATAR", "", Reason.INVALID_INPUT),
        (400599, "", Reason.INVALID_INPUT),
        ("USER_BLOCKED", "", Reason.AUTH),
        (400631, "", Reason.AUTH),
        (None, "This was blocked.", Reason.MODERATION),
        (None, "", Reason.UNKNOWN),
        (None, None, Reason.UNKNOWN),
    ],
)
async def test_codes_tell_reasons_by_parts_of_them(scripted: Scripted, code: Any, said: Any, reason: Reason) -> None:
    row = {"id": "asked-for", "status": "failed", "failure_code": code, "failure_message": said}
    assert (await scripted("heygen", {"data": row}).observe()).reason is reason


async def test_a_code_of_no_table_is_named(scripted: Scripted) -> None:
    row = {"id": "asked-for", "status": "failed", "failure_code": "E_77", "failure_message": None}
    shown = await scripted("heygen", {"data": row}).observe()
    assert (shown.reason, shown.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


async def test_a_time_of_creation_may_be_missing(scripted: Scripted) -> None:
    shown = await scripted("heygen", {"data": {"id": "asked-for", "status": "pending", "created_at": None}}).observe()
    assert shown == Observation("asked-for", State.QUEUED)


@pytest.mark.parametrize(
    "answer",
    [
        (404, {"error": {"code": "not_found", "message": "The resource was not found."}}),
        {"data": {"id": "asked-for", "status": "not_found"}},
    ],
)
async def test_an_unknown_video(scripted: Scripted, answer: Any) -> None:
    await scripted("heygen", answer).knows_not()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "validation_error", RequestInvalid),
        (400, "invalid_parameter", RequestInvalid),
        (401, "unauthorized", AuthRefused),
        (403, "forbidden", AuthRefused),
        (403, "resource_access_denied", AuthRefused),
        (402, "insufficient_credit", BalanceExhausted),
        (404, "not_found", RequestInvalid),
        (409, "conflict", RequestInvalid),
        (413, "payload_too_large", RequestInvalid),
        (429, "rate_limit_exceeded", RateLimited),
        (500, "internal_error", VendorFailed),
        (503, "", VendorFailed),
    ],
)
async def test_refused_lists(scripted: Scripted, status: int, code: str, error: type[CallError]) -> None:
    heygen = scripted("heygen", (status, {"error": {"code": code, "message": "No.", "param": None, "doc_url": None}}))
    await heygen.refuses(error)


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
async def test_a_pause_is_asked_for_in_seconds_or_until_a_date(scripted: Scripted, as_date: bool) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True) if as_date else "300"

    def refused(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"Retry-After": until}, json={"error": {"code": "rate_limit_exceeded"}})

    with pytest.raises(RateLimited) as caught:
        await page_of(scripted("heygen", refused).feed)
    assert caught.value.retry_after == pytest.approx(300, abs=10)


@pytest.mark.parametrize(
    ("data", "left"),
    [
        ({"billing_type": "wallet", "wallet": {"currency": "usd", "remaining_balance": 12.5}}, ("usd", 12.5)),
        ({"billing_type": "wallet", "wallet": {"currency": "usd", "remaining_balance": 0}}, ("usd", 0)),
        ({"billing_type": "wallet", "wallet": {"currency": "credits", "remaining_balance": 12.5}}, ("credits", 12.5)),
        ({"billing_type": "usage_based", "wallet": None, "usage_based": {"remaining_credits": 7}}, ("credits", 7)),
        (
            {
                "billing_type": "subscription",
                "wallet": None,
                "subscription": {
                    "plan": "creator",
                    "credits": {
                        "premium_credits": {"remaining": 5, "resets_at": "2026-04-01T00:00:00Z"},
                        "add_on_credits": {"remaining": 2},
                    },
                },
            },
            ("credits", 7),
        ),
        ({"billing_type": "subscription", "wallet": None, "subscription": {"plan": "free", "credits": None}}, None),
    ],
    ids=["dollars", "none left", "credits", "what is used", "credits of a plan", "a plan without credits"],
)
async def test_the_balance_is_that_of_the_accounts_way_to_pay(
    open_account: OpenAccount, data: dict[str, Any], left: tuple[str, float] | None
) -> None:
    account = open_account("heygen")
    account.site.instead = lambda path: JSONResponse({"data": data}) if path.endswith("/users/me") else None
    await account.rig.read_balances()
    shown = account.polled.snapshot().balance
    assert shown is not None
    assert shown.trouble == ""
    assert ((shown.unit, shown.amount) if shown.unit else None) == left


async def test_pages_of_the_history_are_read_and_no_more(open_account: OpenAccount) -> None:
    account = open_account("heygen", page_size=10)
    young = (Life(f"v{n}", "heygen", "video", NOW - 50 + n, 5.0, 60.0, State.SUCCEEDED) for n in range(15))
    old = (Life(f"o{n}", "heygen", "video", NOW - 200_000 + n, 5.0, 60.0, State.SUCCEEDED) for n in range(100))
    await account.submit(*young, *old)
    await account.rig.sweep()
    asked = account.site.fake.vendors["heygen"].requests
    assert asked == {"video/list": 3, "translation/list": 1, "lipsync/list": 1}
    await account.rig.sweep(6)
    assert counted(account.rig.loop_of(kind="video").tracker, "finished_total") == {"succeeded": 15}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "token=of-nothing"])
async def test_the_fake_enforces_its_limits(open_account: OpenAccount, query: str) -> None:
    account = open_account("heygen")
    fake = fake_of("heygen")
    async with httpx.AsyncClient(base_url=account.site.url + fake.prefix, headers={"X-Api-Key": "x"}) as http:
        refused = await http.get("/v3/videos")
        http.headers["X-Api-Key"] = fake.keys["api_key"]
        answer = await http.get(f"/v3/videos?{query}")
        me = await http.get("/v3/users/me")
    assert refused.status_code == 401
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_parameter")
    assert me.json()["data"]["wallet"]["remaining_balance"] == 118.4
