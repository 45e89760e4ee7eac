"""MiniMax, first generation: HTTP 200 around everything, failures in `base_resp`, code 1004 for keys and for ids."""

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
    TimedOut,
    VendorFailed,
)
from exporter.simulator import Life
from exporter.tasks import Cause, Clock, Field, Observation, Reason, State
from exporter.vendors.registry import built_in
from tests.harness import NOW, counted
from tests.vendors.conftest import OpenAccount, Scripted

FEED = ("minimax_v1", "generation")
ID = "300000000000001"
LOGIN = "login fail: Please carry the API secret key in the 'Authorization' field of the request header"


def answer(status: Any, code: Any = 0, said: Any = "success", **more: Any) -> dict[str, Any]:
    return {
        "task_id": ID,
        "status": status,
        "file_id": "",
        **more,
        "base_resp": {"status_code": code, "status_msg": said},
    }


DONE = answer("Success", file_id="200000000000001", video_width=1920, video_height=1080)


async def test_the_documented_answer(scripted: Scripted) -> None:
    at = scripted("minimax_v1", DONE)
    assert await at.observe(ID) == Observation(ID, State.SUCCEEDED)
    assert (at.feed.lists, at.feed.clock) == (False, Clock.OBSERVED)
    (request,) = at.vendor.requests
    assert str(request.url) == f"https://vendor.example/v1/query/video_generation?task_id={ID}"
    assert request.headers["Authorization"] == "Bearer demo-minimax-v1-key"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Preparing", State.QUEUED),
        ("Queueing", State.QUEUED),
        ("Processing", State.RUNNING),
        ("Success", State.SUCCEEDED),
        ("Fail", State.FAILED),
        ("processing", State.RUNNING),
        ("success", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("Dreaming", State.UNKNOWN),
    ],
)
async def test_states_by_the_words_of_answers_and_callbacks(scripted: Scripted, word: str, state: State) -> None:
    seen = await scripted("minimax_v1", answer(word)).observe(ID)
    assert seen.state is state
    assert (Field.STATE in seen.unmapped) == (state is State.UNKNOWN)


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (1026, "input new_sensitive", Reason.MODERATION),
        (1027, "output new_sensitive", Reason.MODERATION),
        ("1027", "", Reason.MODERATION),
        (1008, "", Reason.INSUFFICIENT_BALANCE),
        (2056, "", Reason.INSUFFICIENT_BALANCE),
        (1042, "", Reason.INVALID_INPUT),
        (2013, "invalid params, the image of the task is too small", Reason.INVALID_INPUT),
        (20132, "", Reason.INVALID_INPUT),
        (1001, "", Reason.TIMEOUT),
        (1039, "", Reason.RATE_LIMITED),
        (2045, "", Reason.RATE_LIMITED),
        (2038, "", Reason.AUTH),
        (1000, "unknown error", Reason.PROVIDER_INTERNAL),
        (1013, "", Reason.PROVIDER_INTERNAL),
        (1024, "", Reason.PROVIDER_INTERNAL),
        (1033, "", Reason.PROVIDER_INTERNAL),
        (0, "success", Reason.UNKNOWN),
    ],
)
async def test_a_refusal_around_a_failed_task_is_its_reason(
    scripted: Scripted, code: Any, said: str, reason: Reason
) -> None:
    at = scripted("minimax_v1", answer("Fail", code, said))
    seen = await at.observe(ID)
    assert (seen.state, seen.reason, seen.unmapped) == (State.FAILED, reason, frozenset())
    assert at.errors == {}


async def test_a_code_of_no_table_is_counted(scripted: Scripted) -> None:
    seen = await scripted("minimax_v1", answer("Fail", 4711, "moon in a wrong phase")).observe(ID)
    assert (seen.reason, seen.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        (1000, "unknown error", VendorFailed),
        (1001, "timeout", TimedOut),
        (1002, "rate limit", RateLimited),
        (1039, "", RateLimited),
        (2045, "", RateLimited),
        (1004, LOGIN, AuthRefused),
        (1004, None, AuthRefused),
        (1004, "not authorized", AuthRefused),
        (2049, "invalid api key", AuthRefused),
        (2038, "", AuthRefused),
        (1008, "insufficient balance", BalanceExhausted),
        (2056, "usage limit exceeded", BalanceExhausted),
        (1013, "", VendorFailed),
        (1024, "", VendorFailed),
        (1033, "", VendorFailed),
        (1042, "", RequestInvalid),
        (2013, "invalid params, empty field", RequestInvalid),
        (20132, "", RequestInvalid),
        (4711, "", ContractBroken),
    ],
)
@pytest.mark.parametrize("shows", [{}, {"task_id": "", "status": "", "file_id": ""}, {"task_id": ID, "status": ""}])
async def test_refusals_of_http_200(
    scripted: Scripted, code: int, said: Any, error: type[CallError], shows: dict[str, Any]
) -> None:
    at = scripted("minimax_v1", {**shows, "base_resp": {"status_code": code, "status_msg": said}})
    await at.refuses(error, ID)


@pytest.mark.parametrize(
    ("code", "said"),
    [(1004, "not authorized to query this task"), (2013, "invalid params, invalid task_id")],
)
async def test_a_refusal_that_speaks_of_the_task_is_one_of_its_id(scripted: Scripted, code: int, said: str) -> None:
    at = scripted("minimax_v1", {"task_id": "", "base_resp": {"status_code": code, "status_msg": said}})
    await at.knows_not(ID)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, ContractBroken),
        ([], ContractBroken),
        ({"base_resp": {"status_code": 0, "status_msg": "success"}}, ContractBroken),
        ({**DONE, "task_id": "another"}, ContractBroken),
        ((404, b"<html>"), RequestInvalid),
        (b"<html>", Intercepted),
        ((502, {}), VendorFailed),
    ],
)
async def test_answers_that_are_none(scripted: Scripted, body: Any, error: type[CallError]) -> None:
    await scripted("minimax_v1", body).refuses(error, ID)


async def test_a_callback_names_the_task(scripted: Scripted) -> None:
    body = {"task_id": ID, "status": "failed", "base_resp": {"status_code": 1027, "status_msg": "no"}}
    assert scripted("minimax_v1", {}).feed.called_back(body) == [ID]


async def test_a_wrong_key_loses_no_task(open_account: OpenAccount) -> None:
    account = open_account("minimax_v1", api_key="wrong")
    await account.submit(Life(ID, *FEED, NOW - 5, 1.0, 20.0, State.SUCCEEDED))
    await account.rig.sweep(8)
    loop = account.rig.loop_of(kind="generation")
    assert loop.status.up is False
    assert counted(loop.tracker, "finished_total") == {}
    assert "1004" in built_in()["minimax_v1"].advice[Cause.CREDENTIALS]


async def test_the_fake_waits_in_two_words(open_account: OpenAccount) -> None:
    account = open_account("minimax_v1")
    url = account.polled.provider.settings.base_url + "/v1/query/video_generation"
    await account.submit(Life(ID, *FEED, NOW, 10.0, 20.0, State.SUCCEEDED))
    told = []
    async with httpx.AsyncClient(headers={"Authorization": "Bearer demo-minimax-v1-key"}) as client:
        for _ in range(5):
            told.append((await client.get(url, params={"task_id": ID})).json()["status"])
            account.site.clock.now += 8
        refused = [(await client.get(url, params=query)).json()["base_resp"] for query in ({}, {"task_id": "39"})]
    assert told == ["Preparing", "Queueing", "Processing", "Processing", "Success"]
    assert [one["status_code"] for one in refused] == [2013, 1004]
