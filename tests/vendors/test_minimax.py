"""MiniMax, second generation: wrapped details, types of refusals and numbers of failures, unknown ids, texts."""

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
from tests.harness import DAY, NOW, counted
from tests.vendors.conftest import OpenAccount, Scripted

FEED = ("minimax", "generation")
DONE: dict[str, Any] = {
    "id": "400000000000001",
    "model": "MiniMax-H3",
    "status": "succeeded",
    "created_at": 1772331300,
    "updated_at": 1772331420,
    "content": {"url": "https://example.invalid/v.mp4"},
    "resolution": "1080P",
    "duration": 6,
    "ratio": "16:9",
    "usage": {"total_seconds": 9, "input_seconds": 3, "output_seconds": 6},
    "task_type": "generation",
    "modality": "video",
}
REFUSED: dict[str, Any] = {
    "id": "400000000000002",
    "model": "MiniMax-H3",
    "status": "failed",
    "created_at": 1772331200,
    "updated_at": 1772331210,
    "error": {"code": "1026", "message": "input new_sensitive"},
    "resolution": "1080P",
    "duration": 6,
    "ratio": "",
    "usage": {},
    "task_type": "generation",
    "modality": "video",
}


def page(*rows: Any, total: int | None = None) -> dict[str, Any]:
    return {"total": len(rows) if total is None else total, "items": list(rows)}


def refusal(status: int, kind: Any, message: Any) -> tuple[int, Any]:
    error = {"type": kind, "message": message, "http_code": str(status)}
    return status, {"type": "error", "error": error, "request_id": "r-0"}


async def test_the_documented_list(scripted: Scripted) -> None:
    at = scripted("minimax", page(DONE, REFUSED))
    listed = await at.feed.list_page()
    assert listed.observations == [
        Observation(
            "400000000000001",
            State.SUCCEEDED,
            submitted=1772331300,
            ended=1772331420,
            output_seconds=6.0,
            model="MiniMax-H3",
            usage=(("seconds", 9.0),),
        ),
        Observation(
            "400000000000002",
            State.FAILED,
            Reason.MODERATION,
            submitted=1772331200,
            ended=1772331210,
            model="MiniMax-H3",
            said="1026: input new_sensitive",
        ),
    ]
    assert listed.last
    assert at.feed.clock is Clock.PROVIDER
    (request,) = at.vendor.requests
    assert str(request.url) == "https://vendor.example/v2/query/video_generation?page_num=1&page_size=50"
    assert request.headers["Authorization"] == "Bearer demo-minimax-key"


async def test_a_detail_wraps_the_row(scripted: Scripted) -> None:
    at = scripted("minimax", {"task": DONE})
    assert await at.observe(DONE["id"]) == await scripted("minimax", page(DONE)).listed()
    assert at.vendor.requests[0].url.path == f"/v2/query/video_generation/{DONE['id']}"
    with pytest.raises(ContractBroken):
        await scripted("minimax", DONE).feed.look_up(DONE["id"])


async def test_the_total_tells_the_last_page(scripted: Scripted) -> None:
    at = scripted("minimax", page(DONE, total=2), page(REFUSED, total=2))
    assert not (await at.feed.list_page()).last
    assert (await at.feed.list_page(Position(1, 1))).last
    assert at.vendor.sent()["page_num"] == "2"


@pytest.mark.parametrize(
    ("word", "state", "reason"),
    [
        ("queued", State.QUEUED, None),
        ("running", State.RUNNING, None),
        ("succeeded", State.SUCCEEDED, None),
        ("cancelled", State.CANCELLED, None),
        ("failed", State.FAILED, Reason.UNKNOWN),
        ("expired", State.FAILED, Reason.TIMEOUT),
        ("dreaming", State.UNKNOWN, None),
    ],
)
async def test_states(scripted: Scripted, word: str, state: State, reason: Reason | None) -> None:
    seen = await scripted("minimax", page({**REFUSED, "status": word, "error": None})).listed()
    assert (seen.state, seen.reason) == (state, reason)
    assert (Field.STATE in seen.unmapped) == (state is State.UNKNOWN)
    assert seen.ended == (1772331210 if state.is_end else None)  # it is only the last change before


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1026", Reason.MODERATION),
        (1026, Reason.MODERATION),
        ("1027", Reason.MODERATION),
        ("1008", Reason.INSUFFICIENT_BALANCE),
        ("1004", Reason.AUTH),
        ("2049", Reason.AUTH),
        ("2013", Reason.INVALID_INPUT),
        ("1002", Reason.RATE_LIMITED),
        ("1000", Reason.PROVIDER_INTERNAL),
        ("1013", Reason.PROVIDER_INTERNAL),
        ("1024", Reason.PROVIDER_INTERNAL),
        ("1033", Reason.PROVIDER_INTERNAL),
    ],
)
async def test_why_a_task_failed(scripted: Scripted, code: Any, reason: Reason) -> None:
    seen = await scripted("minimax", page({**REFUSED, "error": {"code": code, "message": ""}})).listed()
    assert (seen.reason, seen.unmapped) == (reason, frozenset())


async def test_a_code_of_no_table_is_counted(scripted: Scripted) -> None:
    seen = await scripted(
        "minimax", page({**REFUSED, "error": {"code": "4711", "message": "moon in a wrong phase"}})
    ).listed()
    assert (seen.reason, seen.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize("usage", [{}, None, {"input_seconds": 3}])
async def test_a_row_without_a_cost_has_none(scripted: Scripted, usage: Any) -> None:
    seen = await scripted("minimax", page({**DONE, "usage": usage})).listed()
    assert (seen.usage, seen.unmapped) == ((), frozenset())


@pytest.mark.parametrize(("modality", "is_video"), [("video", True), ("text", False), ("", True), (None, True)])
async def test_tasks_that_write_texts_are_left_out(scripted: Scripted, modality: Any, *, is_video: bool) -> None:
    listed = await scripted("minimax", page({**DONE, "modality": modality})).feed.list_page()
    assert len(listed.observations) == is_video
    assert listed.malformed == 0


@pytest.mark.parametrize(
    "answer",
    [
        refusal(400, "bad_request_error", "invalid params, invalid task_id (2013)"),
        refusal(404, "not_found_error", "no"),
        refusal(401, "authorized_error", "not authorized to query this task (1004)"),
    ],
)
async def test_an_unknown_id_is_an_answer(scripted: Scripted, answer: Any) -> None:
    at = scripted("minimax", answer)
    await at.knows_not("400000000000009")


LOGIN = "login fail: Please carry the API secret key in the 'Authorization' field of the request header (1004)"


@pytest.mark.parametrize(
    ("status", "kind", "message", "error"),
    [
        (400, "bad_request_error", "invalid params, page_num (2013)", RequestInvalid),
        (401, "authorized_error", LOGIN, AuthRefused),
        (401, "authorized_error", "invalid api key (2049)", AuthRefused),
        (402, "insufficient_balance_error", "insufficient balance (1008)", BalanceExhausted),
        (422, "unprocessable_entity_error", "video description contains sensitive content (1026)", RequestInvalid),
        (429, "rate_limit_error", "rate limit, please retry later (1002)", RateLimited),
        (500, "server_error", "internal error (1000)", VendorFailed),
        (529, "overloaded_error", "overloaded", VendorFailed),
        (529, None, None, VendorFailed),
        (401, None, 7, AuthRefused),
    ],
)
@pytest.mark.parametrize("task_id", [None, "400000000000001"], ids=["list", "detail"])
async def test_refusals(
    scripted: Scripted, status: int, kind: Any, message: Any, error: type[CallError], task_id: str | None
) -> None:
    await scripted("minimax", refusal(status, kind, message)).refuses(error, task_id)


@pytest.mark.parametrize(("body", "error"), [({"items": {}}, ContractBroken), (b"<html>", Intercepted)])
async def test_answers_that_are_none(scripted: Scripted, body: Any, error: type[CallError]) -> None:
    await scripted("minimax", body).refuses(error)


async def test_seven_days_are_listed_over_several_pages(open_account: OpenAccount) -> None:
    account = open_account("minimax", page_size=2, history="30d")
    ages = {"41": 8 * DAY, "42": 6 * DAY, "43": DAY, "44": 60, "45": 30}
    await account.submit(
        *(Life(name, *FEED, NOW - age, 1.0, 5.0, State.SUCCEEDED, cost=6.0) for name, age in ages.items())
    )
    await account.rig.sweep(2)
    assert counted(account.rig.loop_of(kind="generation").tracker, "finished_total") == {"succeeded": 4}
    assert account.rig.errors == {}


async def test_the_fake_answers_as_the_document_says(open_account: OpenAccount) -> None:
    base = open_account("minimax").polled.provider.settings.base_url + "/v2/query/video_generation"
    async with httpx.AsyncClient() as client:
        assert (await client.get(base)).json()["error"]["type"] == "authorized_error"
        client.headers["Authorization"] = "Bearer demo-minimax-key"
        assert (await client.get(f"{base}?page_num=0")).status_code == 400
        listed = (await client.get(f"{base}?filter.state=failed")).json()  # a misspelt filter changes nothing
        assert [row["modality"] for row in listed["items"]] == ["text", "text"]
        assert "invalid task_id" in (await client.get(f"{base}/49")).json()["error"]["message"]
