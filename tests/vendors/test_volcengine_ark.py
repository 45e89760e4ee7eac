"""Volcengine Ark: codes by their beginning, money as HTTP 429, frames for seconds, 3D rows, rows that vanish."""

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

FEED = ("volcengine_ark", "generation")
DONE: dict[str, Any] = {
    "id": "cgt-20260301101500-aaaaa",
    "model": "doubao-seedance-1-0-pro-250528",
    "status": "succeeded",
    "error": None,
    "created_at": 1772331300,
    "updated_at": 1772331391,
    "content": {"video_url": "https://example.invalid/v.mp4"},
    "usage": {"completion_tokens": 98000, "total_tokens": 98000},
    "seed": 7,
    "resolution": "1080p",
    "ratio": "16:9",
    "duration": 5,
    "framespersecond": 24,
    "service_tier": "default",
    "execution_expires_after": 172800,
}
REFUSED: dict[str, Any] = {
    "id": "cgt-20260301101200-bbbbb",
    "model": "doubao-seedance-1-0-pro-250528",
    "status": "failed",
    "error": {
        "code": "OutputVideoSensitiveContentDetected",
        "message": "The output video may contain sensitive content.",
    },
    "created_at": 1772331120,
    "updated_at": 1772331188,
    "service_tier": "default",
    "execution_expires_after": 172800,
}


def page(*rows: Any, total: int | None = None) -> dict[str, Any]:
    return {"total": len(rows) if total is None else total, "items": list(rows)}


def failed(code: str, message: str = "") -> dict[str, Any]:
    return {**REFUSED, "error": {"code": code, "message": message}}


async def test_the_documented_list(scripted: Scripted) -> None:
    at = scripted("volcengine_ark", page(DONE, REFUSED))
    listed = await at.feed.list_page()
    assert listed.observations == [
        Observation(
            "cgt-20260301101500-aaaaa",
            State.SUCCEEDED,
            submitted=1772331300,
            ended=1772331391,
            output_seconds=5.0,
            model="doubao-seedance-1-0-pro-250528",
            usage=(("tokens", 98000.0),),
        ),
        Observation(
            "cgt-20260301101200-bbbbb",
            State.FAILED,
            Reason.MODERATION,
            submitted=1772331120,
            ended=1772331188,
            model="doubao-seedance-1-0-pro-250528",
            said="OutputVideoSensitiveContentDetected: The output video may contain sensitive content.",
        ),
    ]
    assert listed.last
    assert at.feed.clock is Clock.PROVIDER
    (request,) = at.vendor.requests
    assert str(request.url) == "https://vendor.example/contents/generations/tasks?page_num=1&page_size=100"
    assert request.headers["Authorization"] == "Bearer demo-ark-key"


async def test_a_detail_is_the_same_row_bare(scripted: Scripted) -> None:
    at = scripted("volcengine_ark", DONE)
    assert await at.observe(DONE["id"]) == await scripted("volcengine_ark", page(DONE)).listed()
    assert at.vendor.requests[0].url.path == f"/contents/generations/tasks/{DONE['id']}"


async def test_the_total_tells_the_last_page(scripted: Scripted) -> None:
    at = scripted("volcengine_ark", page(DONE, REFUSED, total=4), page(DONE, REFUSED, total=4))
    assert not (await at.feed.list_page()).last
    assert (await at.feed.list_page(Position(1, 2))).last
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
    seen = await scripted("volcengine_ark", page({**REFUSED, "status": word, "error": None})).listed()
    assert (seen.state, seen.reason) == (state, reason)
    assert (Field.STATE in seen.unmapped) == (state is State.UNKNOWN)
    assert seen.ended == (1772331188 if state.is_end else None)  # it is only the last change before


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("InputTextRiskDetection", Reason.MODERATION),
        ("InputImageRiskDetection", Reason.MODERATION),
        ("OutputTextRiskDetection", Reason.MODERATION),
        ("InputTextSensitiveContentDetected", Reason.MODERATION),
        ("InputImageSensitiveContentDetected.PrivacyInformation", Reason.MODERATION),
        ("InputVideoSensitiveContentDetected.PolicyViolation", Reason.MODERATION),
        ("InputAudioSensitiveContentDetected", Reason.MODERATION),
        ("OutputTextSensitiveContentDetected", Reason.MODERATION),
        ("OutputImageSensitiveContentDetected", Reason.MODERATION),
        ("OutputVideoSensitiveContentDetected.PolicyViolation", Reason.MODERATION),
        ("OutputAudioSensitiveContentDetected.SomethingNew", Reason.MODERATION),
        ("MissingParameter", Reason.INVALID_INPUT),
        ("InvalidParameter", Reason.INVALID_INPUT),
        ("InvalidParameter.ImageSize", Reason.INVALID_INPUT),
        ("InvalidEndpoint.ClosedEndpoint", Reason.INVALID_INPUT),
        ("InvalidEndpointOrModel.NotFound", Reason.INVALID_INPUT),
        ("AccountOverdueError", Reason.INSUFFICIENT_BALANCE),
        ("QuotaExceeded", Reason.INSUFFICIENT_BALANCE),
        ("AuthenticationError", Reason.AUTH),
        ("AccessDenied", Reason.AUTH),
        ("ModelNotOpen", Reason.AUTH),
        ("RateLimitExceeded.EndpointRPMExceeded", Reason.RATE_LIMITED),
        ("RateLimitExceeded.EndpointTPMExceeded", Reason.RATE_LIMITED),
        ("ModelAccountRpmRateLimitExceeded", Reason.RATE_LIMITED),
        ("ModelAccountTpmRateLimitExceeded", Reason.RATE_LIMITED),
        ("RequestBurstTooFast", Reason.RATE_LIMITED),
        ("SetLimitExceeded", Reason.RATE_LIMITED),
        ("ServerOverloaded", Reason.PROVIDER_INTERNAL),
        ("ModelLoadingError", Reason.PROVIDER_INTERNAL),
        ("InternalServiceError", Reason.PROVIDER_INTERNAL),
    ],
)
async def test_why_a_task_failed(scripted: Scripted, code: str, reason: Reason) -> None:
    seen = await scripted("volcengine_ark", page(failed(code))).listed()
    assert (seen.reason, seen.unmapped) == (reason, frozenset())


async def test_a_code_of_no_table_is_counted(scripted: Scripted) -> None:
    seen = await scripted("volcengine_ark", page(failed("MoonInWrongPhase"))).listed()
    assert (seen.reason, seen.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))
    bare = await scripted("volcengine_ark", page({**REFUSED, "error": "broken"})).listed()
    assert (bare.state, bare.reason, bare.unmapped) == (State.FAILED, Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({"duration": 5}, 5.0),
        ({"duration": 5, "frames": 29}, 5.0),
        ({"frames": 120}, 5.0),
        ({"duration": None, "frames": 29}, pytest.approx(29 / 24)),
        ({"frames": 120, "framespersecond": None}, None),
        ({}, None),
    ],
)
async def test_a_clip_is_as_long_as_its_frames_where_no_seconds_are_told(
    scripted: Scripted, told: dict[str, Any], seconds: float | None
) -> None:
    row = {key: value for key, value in DONE.items() if key != "duration"}
    seen = await scripted("volcengine_ark", page({**row, **told})).listed()
    assert (seen.output_seconds, seen.unmapped) == (seconds, frozenset())


async def test_a_rate_of_no_frames_costs_the_length_alone(scripted: Scripted) -> None:
    seen = await scripted(
        "volcengine_ark", page({**DONE, "duration": None, "frames": 120, "framespersecond": 0})
    ).listed()
    assert (seen.state, seen.output_seconds, seen.unmapped) == (State.SUCCEEDED, None, frozenset({Field.OUTPUT}))


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"completion_tokens": 7}, (("tokens", 7.0),)),
        ({"completion_tokens": 7, "total_tokens": 9}, (("tokens", 9.0),)),
        ({}, ()),
        (None, ()),
    ],
)
async def test_only_successes_tell_what_they_cost(scripted: Scripted, usage: Any, told: Any) -> None:
    seen = await scripted("volcengine_ark", page({**DONE, "usage": usage})).listed()
    assert (seen.usage, seen.unmapped) == (told, frozenset())


@pytest.mark.parametrize(
    "other",
    [
        {"model": "doubao-seed3d-1-0-250928"},
        {"model": "hyper3d-gen2-260112"},
        {"model": "ep-20260301101500-abcde", "fileformat": "glb"},
        {"subdivisionlevel": "medium"},
    ],
)
async def test_rows_of_3d_models_are_no_videos(scripted: Scripted, other: dict[str, Any]) -> None:
    listed = await scripted("volcengine_ark", page({**DONE, **other}, REFUSED)).feed.list_page()
    assert [seen.id for seen in listed.observations] == [REFUSED["id"]]
    assert listed.malformed == 0


@pytest.mark.parametrize("model", ["ep-20260301101500-3dxyz", "", None, 7])
async def test_rows_of_other_models_are_kept(scripted: Scripted, model: Any) -> None:
    seen = await scripted("volcengine_ark", page({**DONE, "model": model})).listed()
    assert seen.state is State.SUCCEEDED


async def test_an_unknown_id_is_an_answer(scripted: Scripted) -> None:
    at = scripted("volcengine_ark", (404, {"error": {"code": "NotFound", "message": "not found"}}))
    await at.knows_not("cgt-20260301101500-ccccc")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "AuthenticationError", AuthRefused),
        (403, "AccessDenied", AuthRefused),
        (403, "AccountOverdueError", BalanceExhausted),
        (404, "ModelNotOpen", AuthRefused),
        (404, "InvalidEndpointOrModel.NotFound", RequestInvalid),
        (400, "InvalidParameter.PageSize", RequestInvalid),
        (429, "QuotaExceeded", BalanceExhausted),
        (429, "RateLimitExceeded.EndpointRPMExceeded", RateLimited),
        (429, "RequestBurstTooFast", RateLimited),
        (429, "ServerOverloaded", VendorFailed),
        (429, "ModelLoadingError", VendorFailed),
        (429, "SomethingElse", RateLimited),
        (500, "InternalServiceError", VendorFailed),
    ],
)
async def test_refusals_by_code_before_status(
    scripted: Scripted, status: int, code: str, error: type[CallError]
) -> None:
    said = {"error": {"code": code, "message": "no", "param": "", "type": "BadRequest"}}
    at = scripted("volcengine_ark", (status, said))
    await at.refuses(error)


@pytest.mark.parametrize(("body", "error"), [({"items": {}}, ContractBroken), (b"<html>", Intercepted)])
async def test_answers_that_are_none(scripted: Scripted, body: Any, error: type[CallError]) -> None:
    await scripted("volcengine_ark", body).refuses(error)


async def test_a_cancelled_task_whose_row_vanishes_counts_once_and_is_not_lost(open_account: OpenAccount) -> None:
    account = open_account("volcengine_ark")
    await account.submit(Life("cgt-1", *FEED, NOW - 5, 30.0, None, State.CANCELLED))
    tracker = account.rig.loop_of(kind="generation").tracker
    await account.rig.sweep()
    assert [task.state for task in tracker.in_flight.values()] == [State.QUEUED]
    await account.rig.sweep(3)
    assert counted(tracker, "finished_total") == {"cancelled": 1}
    await account.rig.sweep(after=DAY)
    await account.rig.sweep(3)
    assert counted(tracker, "finished_total") == {"cancelled": 1}
    assert account.rig.all_up()


async def test_seven_days_are_listed_over_several_pages(open_account: OpenAccount) -> None:
    account = open_account("volcengine_ark", page_size=2, history="30d")
    ages = {"cgt-1": 8 * DAY, "cgt-2": 6 * DAY, "cgt-3": DAY, "cgt-4": 60, "cgt-5": 30}
    await account.submit(
        *(Life(name, *FEED, NOW - age, 1.0, 5.0, State.SUCCEEDED, cost=1.0) for name, age in ages.items())
    )
    await account.rig.sweep(2)
    tracker = account.rig.loop_of(kind="generation").tracker
    assert counted(tracker, "finished_total") == {"succeeded": 4}
    assert {task.id for task in tracker.recent(account.site.clock.now)} <= set(ages)  # no 3D rows among them
    assert account.rig.errors == {}


async def test_the_fake_refuses_what_the_document_does(open_account: OpenAccount) -> None:
    base = open_account("volcengine_ark").polled.provider.settings.base_url + "/contents/generations/tasks"
    async with httpx.AsyncClient() as client:
        assert (await client.get(base)).json()["error"]["code"] == "AuthenticationError"
        client.headers["Authorization"] = "Bearer demo-ark-key"
        for query in ("page_size=501", "page_size=0", "page_num=0", "page_num=501", "page_num=one"):
            assert (await client.get(f"{base}?{query}")).status_code == 400
        listed = (await client.get(base)).json()
        assert [row["model"] for row in listed["items"]] == ["doubao-seed3d-1-0-250928"] * listed["total"]
        assert (await client.get(f"{base}/cgt-9")).status_code == 404
