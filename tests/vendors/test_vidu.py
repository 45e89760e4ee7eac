"""Vidu: a cancelled task that says failed, money as HTTP 400, the form of the key, pages from 0."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    ContractBroken,
    Intercepted,
    RateLimited,
    RequestInvalid,
    VendorFailed,
)
from exporter.simulator import Life
from exporter.tasks import Clock, Field, Observation, Reason, State
from exporter.vendors.api import Position
from exporter.vendors.registry import declaration_of
from tests.harness import NOW, counted
from tests.vendors.conftest import OpenAccount, Scripted

DONE: dict[str, Any] = {
    "id": "900000000000000001",
    "key_id": "k1",
    "state": "success",
    "err_code": "",
    "model": "viduq2",
    "duration": 5,
    "resolution": "1080p",
    "aspect_ratio": "16:9",
    "created_at": "2026-03-01T10:15:00.120Z",
    "credits": 20,
    "payload": "",
    "creations": [
        {
            "id": "c1",
            "url": "https://example.invalid/v.mp4",
            "cover_url": "https://example.invalid/c.jpg",
            "video": {"duration": 5.04, "fps": 24, "resolution": {"width": 1920, "height": 1080}},
        }
    ],
}
REFUSED: dict[str, Any] = {
    "id": "900000000000000002",
    "key_id": "k1",
    "state": "failed",
    "err_code": "CreationPolicyViolation",
    "model": "viduq2",
    "duration": 5,
    "created_at": "2026-03-01T10:12:00.000Z",
    "credits": 0,
    "creations": [],
}
CREATED = 1772360100.12


def page(*rows: Any) -> dict[str, Any]:
    return {"next_page_token": "p2", "tasks": list(rows)}


async def test_the_documented_list(scripted: Scripted) -> None:
    at = scripted("vidu", page(DONE, REFUSED))
    listed = await at.feed.list_page()
    assert listed.observations == [
        Observation(
            "900000000000000001",
            State.SUCCEEDED,
            submitted=CREATED,
            output_seconds=5.04,
            model="viduq2",
            usage=(("credits", 20.0),),
        ),
        Observation(
            "900000000000000002",
            State.FAILED,
            Reason.MODERATION,
            submitted=1772359920.0,
            model="viduq2",
            said="CreationPolicyViolation",
        ),
    ]
    assert at.feed.clock is Clock.OBSERVED
    (request,) = at.vendor.requests
    assert str(request.url) == "https://vendor.example/ent/v2/tasks?pager.page=0&pager.pagesz=100"
    assert request.headers["Authorization"] == "Token demo-vidu-key"


async def test_pages_go_on_until_an_empty_one(scripted: Scripted) -> None:
    at = scripted("vidu", page(DONE), page())
    assert not (await at.feed.list_page(Position(1, 1))).last
    assert at.vendor.sent()["pager.page"] == "1"
    assert (await at.feed.list_page(Position(2, 2))).last


@pytest.mark.parametrize(
    ("word", "code", "state"),
    [
        ("created", "", State.QUEUED),
        ("queueing", "", State.QUEUED),
        ("processing", "", State.RUNNING),
        ("success", "", State.SUCCEEDED),
        ("failed", "InternalServiceFailure", State.FAILED),
        ("failed", "UserCancelled", State.CANCELLED),
        ("failed", "Canceled", State.CANCELLED),
        ("failed", None, State.FAILED),
        ("processing", "UserCancelled", State.RUNNING),
        ("dreaming", "", State.UNKNOWN),
    ],
)
async def test_states_by_word_and_code(scripted: Scripted, word: str, code: str | None, state: State) -> None:
    seen = await scripted("vidu", page({**REFUSED, "state": word, "err_code": code})).listed()
    assert seen.state is state
    assert (Field.STATE in seen.unmapped) == (state is State.UNKNOWN)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("TaskPromptPolicyViolation", Reason.MODERATION),
        ("AuditSubmitIllegal", Reason.MODERATION),
        ("CreationPolicyViolation", Reason.MODERATION),
        ("CreditInsufficient", Reason.INSUFFICIENT_BALANCE),
        ("BadRequest", Reason.INVALID_INPUT),
        ("FieldLack", Reason.INVALID_INPUT),
        ("ImageDownloadFailure", Reason.INVALID_INPUT),
        ("ImageFormatInvalid", Reason.INVALID_INPUT),
        ("ImageCheckSizeFailed", Reason.INVALID_INPUT),
        ("ImageObjectsUndetected", Reason.INVALID_INPUT),
        ("PageSizeOutOfRange", Reason.INVALID_INPUT),
        ("ModelUnavailable", Reason.PROVIDER_INTERNAL),
        ("InternalServiceFailure", Reason.PROVIDER_INTERNAL),
        ("QuotaExceeded", Reason.RATE_LIMITED),
        ("TooManyRequests", Reason.RATE_LIMITED),
        ("SystemThrottling", Reason.RATE_LIMITED),
        ("OperationInProcess", Reason.RATE_LIMITED),
        ("", Reason.UNKNOWN),
    ],
)
async def test_why_a_task_failed(scripted: Scripted, code: str, reason: Reason) -> None:
    seen = await scripted("vidu", page({**REFUSED, "err_code": code})).listed()
    assert (seen.reason, seen.unmapped) == (reason, frozenset())


async def test_a_code_of_no_table_is_counted(scripted: Scripted) -> None:
    seen = await scripted("vidu", page({**REFUSED, "err_code": "MoonInWrongPhase"})).listed()
    assert (seen.reason, seen.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


async def test_a_detail_has_no_times_and_may_have_progress(scripted: Scripted) -> None:
    row = {"id": DONE["id"], "state": "processing", "err_code": "", "credits": 0, "creations": [], "progress": 0.4}
    at = scripted("vidu", row)
    assert await at.observe(DONE["id"]) == Observation(DONE["id"], State.RUNNING, progress=0.4)
    assert at.vendor.requests[0].url.path == f"/ent/v2/tasks/{DONE['id']}/creations"
    odd = await scripted("vidu", {**row, "progress": 40}).observe(DONE["id"])
    assert (odd.progress, odd.unmapped) == (None, frozenset({Field.PROGRESS}))


@pytest.mark.parametrize(
    "answer",
    [(404, {"code": 404, "reason": "TaskNotFound"}), (400, {"code": "CreationNotFound", "message": "none"})],
)
async def test_an_unknown_id_is_an_answer(scripted: Scripted, answer: Any) -> None:
    at = scripted("vidu", answer)
    await at.knows_not("900000000000000009")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "CreditInsufficient", BalanceExhausted),
        (400, "BadRequest", RequestInvalid),
        (400, "FieldLack", RequestInvalid),
        (401, "Unauthorized", AuthRefused),
        (403, "Forbidden", AuthRefused),
        (429, "TooManyRequests", RateLimited),
        (429, "SystemThrottling", RateLimited),
        (400, "ModelUnavailable", VendorFailed),
        (500, "InternalServiceFailure", VendorFailed),
        (429, "SomethingElse", RateLimited),
        (418, "SomethingElse", RequestInvalid),
    ],
)
@pytest.mark.parametrize("has_status_as_code", [True, False])
async def test_refusals(
    scripted: Scripted, status: int, code: str, error: type[CallError], *, has_status_as_code: bool
) -> None:
    said = {"code": status, "reason": code} if has_status_as_code else {"code": code, "reason": "no"}
    await scripted("vidu", (status, {**said, "message": "no", "metadata": {}})).refuses(error)


@pytest.mark.parametrize(("body", "error"), [({"tasks": {}}, ContractBroken), (b"<html>", Intercepted)])
async def test_answers_that_are_none(scripted: Scripted, body: Any, error: type[CallError]) -> None:
    await scripted("vidu", body).refuses(error)


async def test_the_fake_lists_seven_days_over_several_pages(open_account: OpenAccount) -> None:
    account = open_account("vidu", page_size=2, history="30d")
    ages = {"91": 8 * 86400, "92": 6 * 86400, "93": 86400, "94": 60, "95": 30}
    await account.submit(
        *(Life(name, "vidu", "task", NOW - age, 1.0, 5.0, State.SUCCEEDED) for name, age in ages.items())
    )
    await account.rig.sweep(2)
    assert counted(account.rig.loop_of(kind="task").tracker, "finished_total") == {"succeeded": 4}
    assert account.rig.errors == {}


async def test_the_fake_refuses_what_the_document_does(open_account: OpenAccount) -> None:
    base = open_account("vidu").polled.provider.settings.base_url
    async with httpx.AsyncClient(base_url=base, headers={"Authorization": "Bearer demo-vidu-key"}) as client:
        assert (await client.get("/ent/v2/tasks")).json()["reason"] == "Unauthorized"
        client.headers["Authorization"] = "Token demo-vidu-key"
        assert (await client.get("/ent/v2/tasks?pager.pagesz=101")).status_code == 400
        assert (await client.get("/ent/v2/credits?show_detail=true")).json()["remains"]


METERED = {"type": "metered", "credit_remain": 1180, "concurrency_limit": 5, "current_concurrency": 1, "queue_count": 2}
TEST = {"type": "test", "credit_remain": "20"}
CONCURRENT = {"type": "concurrent", "concurrency_limit": 10}


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ({"remains": [METERED, TEST, CONCURRENT], "general_remains": [METERED], "packages": []}, 1200),
        ({"remaining_credits": [METERED]}, 1180),
        ({"remains": []}, None),
        ({"remains": [{"type": "metered", "credit_remain": 0}]}, 0),
    ],
)
def test_the_balance_is_what_all_packs_have_and_counted_once(body: dict[str, Any], left: float | None) -> None:
    declaration = declaration_of("vidu")
    assert declaration
    assert declaration.account
    try:
        found = declaration.account.balance.path(body)
    except ValueError:
        found = None
    assert found == left
