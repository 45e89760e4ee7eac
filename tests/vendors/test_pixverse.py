"""PixVerse: numbers for states, errors with HTTP 200, ids beyond 32 bits, and a trace id for each request."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    ContractBroken,
    RateLimited,
    RequestInvalid,
    VendorFailed,
)
from exporter.simulator import Life, fake_of
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.registry import declaration_of
from tests.harness import NOW, counted
from tests.vendors.conftest import OpenAccount, Scripted

ID = "300000000000001"
CREATED, CHANGED = 1772360100.0, 1772360148.0
ROW: dict[str, Any] = {
    "id": int(ID),
    "status": 1,
    "url": "https://example.invalid/v.mp4",
    "create_time": "2026-03-01T10:15:00Z",
    "modify_time": "2026-03-01T10:15:48Z",
    "outputWidth": 1280,
    "outputHeight": 720,
    "size": 2500000,
    "resolution_ratio": 720,
    "credits": 45,
    "has_audio": False,
}


def answer(**changed: Any) -> dict[str, Any]:
    return {"ErrCode": 0, "ErrMsg": "success", "Resp": ROW | changed}


async def test_the_documented_video(scripted: Scripted) -> None:
    pixverse = scripted("pixverse", answer())
    assert await pixverse.observe(ID) == Observation(
        ID, State.SUCCEEDED, submitted=CREATED, ended=CHANGED, usage=(("credits", 45.0),)
    )
    assert not pixverse.feed.lists


async def test_each_request_has_a_trace_id_of_its_own(scripted: Scripted) -> None:
    pixverse = scripted("pixverse", answer())
    await pixverse.observe(ID)
    await pixverse.observe(ID)
    first, second = pixverse.vendor.requests
    assert str(first.url) == f"https://vendor.example/video/result/{ID}"
    assert first.headers["API-KEY"] == fake_of("pixverse").keys["api_key"]
    traces = [one.headers["Ai-trace-id"] for one in (first, second)]
    assert len({uuid.UUID(one) for one in traces}) == 2


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1, State.SUCCEEDED),
        (2, State.QUEUED),
        (9, State.QUEUED),
        (3, State.RUNNING),
        (5, State.RUNNING),
        (10, State.RUNNING),
        (6, State.CANCELLED),
        (7, State.FAILED),
        (8, State.FAILED),
        ("5", State.RUNNING),
    ],
)
async def test_states_are_numbers(scripted: Scripted, number: object, state: State) -> None:
    shown = await scripted("pixverse", answer(status=number)).observe(ID)
    assert (shown.state, shown.unmapped) == (state, frozenset())
    assert shown.ended == (CHANGED if state.is_end else None)


async def test_a_number_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("pixverse", answer(status=4)).observe(ID)
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(("number", "reason"), [(7, Reason.MODERATION), (8, Reason.UNKNOWN)])
async def test_only_the_number_tells_why_a_video_failed(scripted: Scripted, number: int, reason: Reason) -> None:
    shown = await scripted("pixverse", answer(status=number)).observe(ID)
    assert (shown.reason, shown.unmapped, shown.said) == (reason, frozenset(), "")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        *((200, code, AuthRefused) for code in range(10001, 10006)),
        (401, 0, AuthRefused),
        (200, 400017, RequestInvalid),
        (200, 500063, RequestInvalid),
        (200, 500054, RequestInvalid),
        (200, 500044, RateLimited),
        (429, 0, RateLimited),
        (200, 500069, VendorFailed),
        (200, 500090, BalanceExhausted),
        (200, 999999, ContractBroken),
    ],
)
async def test_refused_look_ups_mostly_with_http_200(
    scripted: Scripted, status: int, code: int, error: type[CallError]
) -> None:
    pixverse = scripted("pixverse", (status, {"ErrCode": code, "ErrMsg": "no", "Resp": None}))
    await pixverse.refuses(error, ID)


async def test_an_unknown_video_is_an_answer(scripted: Scripted) -> None:
    pixverse = scripted("pixverse", {"ErrCode": 400001, "ErrMsg": "task not found", "Resp": None})
    await pixverse.knows_not(ID)


@pytest.mark.parametrize(
    ("resp", "credits_left"),
    [
        ({"account_id": 1, "credit_monthly": 120, "credit_package": 3000}, 3120),
        ({"account_id": 1, "credit_monthly": 0, "credit_package": 30}, 30),
        ({"account_id": 1, "credit_monthly": None, "credit_package": 30}, 30),
    ],
)
def test_the_balance_is_the_sum_of_both_kinds_of_credits(resp: dict[str, Any], credits_left: int) -> None:
    declaration = declaration_of("pixverse")
    assert declaration is not None
    assert declaration.account is not None
    assert declaration.account.balance.path({"ErrCode": 0, "Resp": resp}) == credits_left


async def test_a_fresh_answer_comes_at_each_sweep(open_account: OpenAccount) -> None:
    account = open_account("pixverse")
    await account.submit(Life(ID, "pixverse", "video", NOW - 20, 5.0, 30.0, State.SUCCEEDED))
    await account.rig.sweep(4)
    assert counted(account.rig.loop_of(kind="video").tracker, "finished_total") == {"succeeded": 1}


async def test_the_fake_answers_a_trace_id_of_before_as_before(open_account: OpenAccount) -> None:
    account = open_account("pixverse")
    await account.submit(Life(ID, "pixverse", "video", NOW - 20, 5.0, 30.0, State.SUCCEEDED))
    fake = fake_of("pixverse")
    headers = {"API-KEY": str(fake.keys["api_key"])}
    async with httpx.AsyncClient(base_url=account.site.url + fake.prefix, headers=headers) as http:

        async def shown(trace: str, task_id: str = ID) -> Any:
            return (await http.get(f"/video/result/{task_id}", headers={"Ai-trace-id": trace})).json()

        async def status(trace: str) -> Any:
            return (await shown(trace))["Resp"]["status"]

        assert await status("a") == 10
        account.site.clock.now += 60
        assert (await status("a"), await status("b")) == (10, 1)
        unknown = await shown("d", "404")
        assert unknown["ErrCode"] == 400001
        assert await shown("d") == unknown
        without = await http.get(f"/video/result/{ID}")
        left = await http.get("/account/balance", headers={"Ai-trace-id": "c"})
    assert (without.status_code, without.json()["ErrCode"]) == (200, 400017)
    assert left.json()["Resp"] == {"account_id": 4711, "credit_monthly": 120, "credit_package": 3000}
