"""D-ID: a key that is sent as it is, times with and without a zone, and moderation as a status of its own."""

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
from exporter.simulator.vendors.d_id import DID
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.registry import declaration_of
from tests.harness import NOW, counted, page_of
from tests.vendors.conftest import OpenAccount, Scripted

DONE = "tlk_000000000001"
REJECTED = "tlk_000000000002"

LIST: dict[str, Any] = {
    "talks": [
        {
            "id": DONE,
            "status": "done",
            "created_at": "2026-03-01T10:15:00.120Z",
            "started_at": "2026-03-01T10:15:01.000Z",
            "modified_at": "2026-03-01T10:15:20.500Z",
            "duration": 9.4,
            "result_url": "https://example.invalid/v.mp4",
            "user_id": "redacted",
        },
        {
            "id": REJECTED,
            "status": "rejected",
            "created_at": "2026-03-01T10:12:00.000Z",
            "started_at": "2026-03-01T10:12:01.000Z",
            "modified_at": "2026-03-01T10:12:02.000Z",
            "error": {"kind": "ImageModerationError", "description": "Image was refused."},
        },
    ],
    "token": "p2",
}


async def test_the_documented_list_goes_on_at_its_token(scripted: Scripted) -> None:
    d_id = scripted("d_id", LIST, api_key="am9obg:secret-0123456789")
    page = await page_of(d_id.feed)
    done, rejected = page.observations
    assert done == Observation(
        DONE,
        State.SUCCEEDED,
        submitted=1772360100.12,
        started=1772360101,
        ended=1772360120.5,
        output_seconds=9.4,
    )
    assert (rejected.state, rejected.reason, rejected.ended) == (State.FAILED, Reason.MODERATION, 1772359922)
    assert (page.last, page.cursor) == (False, "p2")
    (request,) = d_id.vendor.requests
    assert str(request.url) == "https://vendor.example/talks?limit=100"
    assert request.headers["Authorization"] == "Basic am9obg:secret-0123456789"


@pytest.mark.parametrize("end", [{}, {"token": None}, {"token": ""}], ids=str)
async def test_the_last_page_has_no_token(scripted: Scripted, end: dict[str, Any]) -> None:
    page = await page_of(scripted("d_id", {"talks": LIST["talks"], **end}).feed)
    assert page.last
    assert page.rows == 2


async def test_clips_have_a_list_of_their_own_and_say_when_they_were_completed(scripted: Scripted) -> None:
    row = LIST["talks"][0] | {"completed_at": "2026-03-01T10:15:19Z"}
    d_id = scripted("d_id", {"clips": [row]}, row)
    page = await page_of(d_id.feeds["clip"])
    assert [one.ended for one in page.observations] == [1772360119]
    await d_id.feeds["clip"].look_up(DONE)
    assert [request.url.path for request in d_id.vendor.requests] == ["/clips", f"/clips/{DONE}"]


async def test_a_time_without_a_zone_is_in_utc(scripted: Scripted) -> None:
    row = {"id": "asked-for", "status": "started", "created_at": "2020-09-03T13:56:54.995"}
    assert await scripted("d_id", row).observe() == Observation("asked-for", State.RUNNING, submitted=1599141414.995)


async def test_the_last_change_of_a_task_in_flight_is_no_end(scripted: Scripted) -> None:
    row = {"id": "asked-for", "status": "created", "modified_at": "2026-03-01T10:15:20.500Z"}
    assert await scripted("d_id", row).observe() == Observation("asked-for", State.QUEUED)


async def test_a_word_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("d_id", {"id": "asked-for", "status": "streaming"}).observe()
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("word", "kind", "reason"),
    [
        ("rejected", "ImageModerationError", Reason.MODERATION),
        ("rejected", None, Reason.MODERATION),
        ("error", "TextModerationError", Reason.MODERATION),
        ("error", "AudioModerationError", Reason.MODERATION),
        ("error", "CelebrityRecognizedError", Reason.MODERATION),
        ("error", "BadRequestError", Reason.INVALID_INPUT),
        ("error", "ValidationError", Reason.INVALID_INPUT),
        ("error", "NotFoundError", Reason.INVALID_INPUT),
        ("error", "InsufficientCreditsError", Reason.INSUFFICIENT_BALANCE),
        ("error", "AuthorizationError", Reason.AUTH),
        ("error", "PermissionError", Reason.AUTH),
        ("error", "TooManyRequestsError", Reason.RATE_LIMITED),
        ("error", "InternalServerError", Reason.PROVIDER_INTERNAL),
        ("error", None, Reason.UNKNOWN),
    ],
)
async def test_the_documented_failures(scripted: Scripted, word: str, kind: str | None, reason: Reason) -> None:
    row = {"id": "asked-for", "status": word, "error": {"kind": kind, "description": "No."} if kind else None}
    shown = await scripted("d_id", row).observe()
    assert (shown.state, shown.reason, shown.unmapped) == (State.FAILED, reason, frozenset())


async def test_a_kind_of_no_table_is_named(scripted: Scripted) -> None:
    row = {"id": "asked-for", "status": "error", "error": {"kind": "OddError", "description": "Hm."}}
    shown = await scripted("d_id", row).observe()
    assert (shown.reason, shown.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "BadRequestError", RequestInvalid),
        (401, "AuthorizationError", AuthRefused),
        (403, "PermissionError", AuthRefused),
        (402, "InsufficientCreditsError", BalanceExhausted),
        (402, "", BalanceExhausted),
        (404, "NotFoundError", RequestInvalid),
        (451, "ImageModerationError", RequestInvalid),
        (429, "TooManyRequestsError", RateLimited),
        (429, "", RateLimited),
        (500, "InternalServerError", VendorFailed),
    ],
)
async def test_refused_lists(scripted: Scripted, status: int, kind: str, error: type[CallError]) -> None:
    d_id = scripted("d_id", (status, {"kind": kind, "description": "No."}))
    await d_id.refuses(error)


async def test_an_unknown_talk(scripted: Scripted) -> None:
    await scripted("d_id", (404, {"kind": "NotFoundError", "description": "not found"})).knows_not()


def test_the_balance_is_that_of_all_plans_together() -> None:
    declaration = declaration_of("d_id")
    assert declaration is not None
    assert declaration.account is not None
    body = {"credits": [{"remaining": 5, "owner_id": "redacted"}, {"remaining": 7}], "remaining": 12, "total": 300}
    assert declaration.account.balance.path(body) == 12
    assert (declaration.account.path, declaration.account.balance.unit) == ("/credits", "credits")


async def test_an_account_that_never_had_credits_has_no_balance_and_that_is_no_trouble(
    open_account: OpenAccount,
) -> None:
    account = open_account("d_id")
    account.site.fake.the(DID).credits = None
    await account.rig.read_balances()
    shown = account.polled.snapshot().balance
    assert shown is not None
    assert (shown.amount, shown.trouble) == (None, "")


async def test_pages_of_the_history_are_read_and_no_more(open_account: OpenAccount) -> None:
    account = open_account("d_id", page_size=10)
    young = (Life(f"t{n}", "d_id", "talk", NOW - 50 + n, 5.0, 60.0, State.SUCCEEDED) for n in range(15))
    old = (Life(f"o{n}", "d_id", "talk", NOW - 200_000 + n, 5.0, 60.0, State.SUCCEEDED) for n in range(100))
    await account.submit(*young, *old)
    await account.rig.sweep()
    assert account.site.fake.vendors["d_id"].requests == {"talk/list": 3, "clip/list": 1}
    await account.rig.sweep(6)
    assert counted(account.rig.loop_of(kind="talk").tracker, "finished_total") == {"succeeded": 15}


async def test_the_fake_enforces_its_limits(open_account: OpenAccount) -> None:
    account = open_account("d_id")
    fake = account.site.fake.the(DID)
    keys = fake_of("d_id").keys
    async with httpx.AsyncClient(base_url=account.site.url + DID.prefix) as http:
        refused = await http.get("/talks", headers={"Authorization": "Basic eg=="})
        http.headers["Authorization"] = f"Basic {keys['api_key']}"
        statuses = [(await http.get(f"/clips?{query}")).status_code for query in ("limit=0", "limit=x", "token=odd")]
        left = await http.get("/credits")
        fake.credits = None
        none = await http.get("/credits")
    assert (refused.status_code, statuses) == (401, [400, 400, 400])
    assert left.json()["remaining"] == 412
    assert (none.status_code, none.json()["kind"]) == (404, "NotFoundError")
