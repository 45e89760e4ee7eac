"""DashScope: three clocks in ms, reasons and lengths of details alone, local times, UNKNOWN, images and speech."""

from __future__ import annotations

import json
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
from exporter.simulator import MARKERS, Life, Simulator, World, fake_of
from exporter.tasks import Clock, Field, Observation, Phase, Reason, State
from exporter.vendors.api import Position
from exporter.vendors.registry import built_in
from tests.harness import DAY, NOW, counted, measured
from tests.vendors.conftest import OpenAccount, Scripted

FEED = ("dashscope", "task")
ID = "11111111-aaaa-4bbb-8ccc-000000000001"
CALLER = {"api_key_id": "15", "caller_uid": "1001", "caller_parent_id": "1000", "region": "cn-beijing"}
DONE: dict[str, Any] = {
    "task_id": ID,
    "status": "SUCCEEDED",
    "model_name": "wan2.2-t2v-plus",
    "gmt_create": 1772331300120,
    "start_time": 1772331303000,
    "end_time": 1772331401000,
    "user_api_unique_key": "apikey:v1:aigc:text2video:video-synthesis:wan2.2-t2v-plus",
    **CALLER,
}
RUNNING: dict[str, Any] = {
    "task_id": "11111111-aaaa-4bbb-8ccc-000000000002",
    "status": "RUNNING",
    "model_name": "wan2.2-t2v-plus",
    "gmt_create": 1772331390000,
    "start_time": 1772331392000,
    "user_api_unique_key": "apikey:v1:aigc:text2video:video-synthesis:wan2.2-t2v-plus",
    **CALLER,
}
TOLD: dict[str, Any] = {
    "task_id": ID,
    "task_status": "SUCCEEDED",
    "submit_time": "2026-03-01 10:15:00.120",
    "scheduled_time": "2026-03-01 10:15:03.000",
    "end_time": "2026-03-01 10:16:41.000",
    "video_url": "https://example.invalid/v.mp4",
    "orig_prompt": "a lighthouse",
}
FAILED: dict[str, Any] = {
    "task_id": ID,
    "task_status": "FAILED",
    "submit_time": "2026-03-01 10:10:00.120",
    "scheduled_time": "2026-03-01 10:10:02.000",
    "end_time": "2026-03-01 10:10:09.500",
    "code": "DataInspectionFailed",
    "message": "Input text data may contain inappropriate content.",
}


def page(*rows: Any, total: int | None = None) -> dict[str, Any]:
    return {
        "request_id": "r-1",
        "page_no": 1,
        "page_size": 10,
        "total_page": 1,
        "total": len(rows) if total is None else total,
        "data": list(rows),
    }


def detail(output: Any, usage: Any = None) -> dict[str, Any]:
    return {"request_id": "r-2", "output": output} | ({} if usage is None else {"usage": usage})


async def test_the_documented_list(scripted: Scripted) -> None:
    at = scripted("dashscope", page(DONE, RUNNING))
    listed = await at.feed.list_page()
    assert listed.observations == [
        Observation(
            ID,
            State.SUCCEEDED,
            submitted=1772331300.12,
            started=1772331303,
            ended=1772331401,
            model="wan2.2-t2v-plus",
        ),
        Observation(
            RUNNING["task_id"],
            State.RUNNING,
            submitted=1772331390,
            started=1772331392,
            model="wan2.2-t2v-plus",
        ),
    ]
    assert listed.last
    assert (at.feed.clock, at.feed.fills) == (Clock.PROVIDER, {"reason", "output"})
    (request,) = at.vendor.requests
    assert str(request.url) == "https://vendor.example/api/v1/tasks/?page_no=1&page_size=50"
    assert request.headers["Authorization"] == "Bearer demo-dashscope-key"


async def test_the_total_tells_the_last_page(scripted: Scripted) -> None:
    at = scripted("dashscope", page(DONE, total=2), page(RUNNING, total=2))
    assert not (await at.feed.list_page()).last
    assert (await at.feed.list_page(Position(1, 1))).last
    assert at.vendor.sent()["page_no"] == "2"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", State.QUEUED),
        ("SUSPENDED", State.QUEUED),
        ("RUNNING", State.RUNNING),
        ("SUCCEEDED", State.SUCCEEDED),
        ("FAILED", State.FAILED),
        ("CANCELED", State.CANCELLED),
        ("UNKNOWN", State.UNKNOWN),
        ("DREAMING", State.UNKNOWN),
    ],
)
async def test_states(scripted: Scripted, word: str, state: State) -> None:
    seen = await scripted("dashscope", page({**RUNNING, "status": word})).listed()
    assert seen.state is state
    assert (Field.STATE in seen.unmapped) == (word == "DREAMING")


async def test_a_detail_tells_the_reason_and_its_local_times_are_not_believed(scripted: Scripted) -> None:
    at = scripted("dashscope", detail(FAILED))
    assert await at.observe(ID) == Observation(
        ID,
        State.FAILED,
        Reason.MODERATION,
        said="DataInspectionFailed: Input text data may contain inappropriate content.",
    )
    assert at.vendor.requests[0].url.path == f"/api/v1/tasks/{ID}"


@pytest.mark.parametrize(
    ("usage", "seconds"),
    [
        ({"video_duration": 5, "video_ratio": "1280*720", "video_count": 1}, 5.0),
        ({"duration": 10.0, "input_video_duration": 5, "output_video_duration": 5, "SR": 720}, 5.0),
        ({"video_duration": 0, "video_ratio": "", "duration": 5, "output_video_duration": 6}, 6.0),
        ({"video_duration": 0, "duration": 5}, 5.0),
        ({"duration": 5}, 5.0),
        ({"video_count": 1}, None),
        ({}, None),
        (None, None),
    ],
)
async def test_a_detail_tells_the_length_of_the_clip(scripted: Scripted, usage: Any, seconds: float | None) -> None:
    seen = await scripted("dashscope", detail(TOLD, usage)).observe(ID)
    assert seen == Observation(ID, State.SUCCEEDED, output_seconds=seconds)


async def test_a_prompt_that_a_message_repeats_is_not_told(scripted: Scripted) -> None:
    said = {**FAILED, "orig_prompt": "a lighthouse keeper dances", "message": "refused: a lighthouse keeper dances"}
    seen = await scripted("dashscope", detail(said)).observe(ID)
    assert "lighthouse" not in seen.said


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("DataInspectionFailed", Reason.MODERATION),
        ("data_inspection_failed", Reason.MODERATION),
        ("IPInfringementSuspect", Reason.MODERATION),
        ("InvalidParameter", Reason.INVALID_INPUT),
        ("InvalidParameter.DataInspection", Reason.INVALID_INPUT),
        ("InvalidURL", Reason.INVALID_INPUT),
        ("Arrearage", Reason.INSUFFICIENT_BALANCE),
        ("AllocationQuota.FreeTierOnly", Reason.INSUFFICIENT_BALANCE),
        ("InvalidApiKey", Reason.AUTH),
        ("AccessDenied", Reason.AUTH),
        ("AccessDenied.Unpurchased", Reason.AUTH),
        ("Model.AccessDenied", Reason.AUTH),
        ("Throttling", Reason.RATE_LIMITED),
        ("Throttling.RateQuota", Reason.RATE_LIMITED),
        ("Throttling.AllocationQuota", Reason.RATE_LIMITED),
        ("InternalError", Reason.PROVIDER_INTERNAL),
        ("InternalError.Algo", Reason.PROVIDER_INTERNAL),
        ("InternalError.Timeout", Reason.TIMEOUT),
    ],
)
async def test_why_a_task_failed(scripted: Scripted, code: str, reason: Reason) -> None:
    seen = await scripted("dashscope", detail({**FAILED, "code": code, "message": ""})).observe(ID)
    assert (seen.reason, seen.unmapped) == (reason, frozenset())


async def test_a_code_of_no_table_is_counted(scripted: Scripted) -> None:
    seen = await scripted("dashscope", detail({**FAILED, "code": "MoonInWrongPhase", "message": ""})).observe(ID)
    assert (seen.reason, seen.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


async def test_an_unknown_task_is_an_answer_of_http_200(scripted: Scripted) -> None:
    at = scripted("dashscope", detail({"task_id": ID, "task_status": "UNKNOWN"}))
    await at.knows_not(ID)


@pytest.mark.parametrize("output", [None, [], "none", {"task_status": "RUNNING"}, {**TOLD, "task_id": "another"}])
async def test_a_detail_that_shows_no_such_task_breaks_the_contract(scripted: Scripted, output: Any) -> None:
    with pytest.raises(ContractBroken):
        await scripted("dashscope", detail(output)).feed.look_up(ID)


@pytest.mark.parametrize(
    ("key", "model", "is_video"),
    [
        ("apikey:v1:aigc:image2video:video-synthesis:wanx2.1-kf2v-plus", "wanx2.1-kf2v-plus", True),
        ("apikey:v1:aigc:video-generation:video-synthesis:vidu/viduq2_image2video", "vidu/viduq2_image2video", True),
        ("apikey:v1:aigc:text2image:image-synthesis:wan2.2-t2i-flash", "wan2.2-t2i-flash", False),
        ("apikey:v1:audio:asr:transcription:paraformer-16k-1", "paraformer-16k-1", False),
        (None, "wan2.2-t2v-plus", True),
        (None, "vidu/viduq2_image2video", True),
        (None, "wan2.2-t2i-flash", False),
        (None, "wan2.5-i2i-preview", False),
        (None, "qwen-image-plus", False),
        (None, "fun-asr", False),
        (None, "qwen3-tts-flash", False),
        ("", "paraformer-v2", False),
        (None, None, True),
        (7, 8, True),
    ],
)
async def test_other_work_of_the_list_is_left_out(scripted: Scripted, key: Any, model: Any, *, is_video: bool) -> None:
    row = {**DONE, "user_api_unique_key": key, "model_name": model}
    listed = await scripted("dashscope", page(row)).feed.list_page()
    assert len(listed.observations) == is_video
    assert listed.malformed == 0


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "Arrearage", BalanceExhausted),
        (400, "InvalidParameter", RequestInvalid),
        (401, "InvalidApiKey", AuthRefused),
        (403, "AccessDenied", AuthRefused),
        (403, "Model.AccessDenied", AuthRefused),
        (403, "AllocationQuota.FreeTierOnly", BalanceExhausted),
        (429, "Throttling", RateLimited),
        (429, "Throttling.RateQuota", RateLimited),
        (429, "Throttling.AllocationQuota", RateLimited),
        (500, "InternalError", VendorFailed),
        (500, "InternalError.Timeout", TimedOut),
        (503, "SomethingElse", VendorFailed),
    ],
)
async def test_refusals_by_code_before_status(
    scripted: Scripted, status: int, code: str, error: type[CallError]
) -> None:
    at = scripted("dashscope", (status, {"code": code, "message": "no", "request_id": "r-0"}))
    await at.refuses(error)


@pytest.mark.parametrize(("body", "error"), [({"data": {}}, ContractBroken), (b"<html>", Intercepted)])
async def test_answers_that_are_none(scripted: Scripted, body: Any, error: type[CallError]) -> None:
    await scripted("dashscope", body).refuses(error)


def test_most_of_the_vendors_limit_is_left_to_other_programs() -> None:
    settings = built_in()["dashscope"].settings.model_validate({"name": "a", "type": "dashscope", "api_key": "k"})
    assert settings.rate_limit < 20 / 2
    assert settings.poll_interval == 30


async def test_an_event_of_the_event_bridge_names_the_task(scripted: Scripted) -> None:
    event = {"datacontenttype": "application/json", "data": {"task_id": ID, "task_status": "SUCCEEDED"}}
    assert scripted("dashscope", {}).feed.called_back(event) == [ID]


async def test_the_times_of_an_end_are_the_lists_whatever_the_detail_says(open_account: OpenAccount) -> None:
    account = open_account("dashscope")
    life = Life(ID, *FEED, NOW + 3.25, 4.5, 20.0, State.SUCCEEDED, output_seconds=5.0, model="wan2.2-t2v-plus")
    await account.submit(life)
    await account.rig.sweep(6)
    tracker = account.rig.loop_of(kind="task").tracker
    assert measured(tracker, Phase.QUEUE) == pytest.approx((1, 4.5), abs=0.002)
    assert measured(tracker, Phase.RUN, State.SUCCEEDED) == pytest.approx((1, 20.0), abs=0.002)
    assert tracker.counts[("output_seconds_total",)] == 5.0
    assert counted(tracker, "rejected_timestamps_total") == {}


async def test_a_task_is_looked_up_once_for_its_end(open_account: OpenAccount) -> None:
    account = open_account("dashscope")
    await account.submit(
        Life(ID, *FEED, NOW - 5, 1.0, 20.0, State.FAILED, Reason.MODERATION, "no", "DataInspectionFailed")
    )
    await account.rig.sweep(8)
    assert account.site.requests(FEED)["detail"] == 1
    tracker = account.rig.loop_of(kind="task").tracker
    assert tracker.counts["failures_total", Reason.MODERATION] == 1


async def test_a_day_is_listed_over_several_pages(open_account: OpenAccount) -> None:
    account = open_account("dashscope", page_size=2, history="7d")
    ages = {"t-1": 1.1 * DAY, "t-2": 0.9 * DAY, "t-3": 3600, "t-4": 60, "t-5": 30}
    await account.submit(*(Life(name, *FEED, NOW - age, 1.0, 5.0, State.SUCCEEDED) for name, age in ages.items()))
    await account.rig.sweep(2)
    assert counted(account.rig.loop_of(kind="task").tracker, "finished_total") == {"succeeded": 4}
    assert account.rig.errors == {}


async def test_the_ids_of_accounts_get_nowhere(open_account: OpenAccount) -> None:
    account = open_account("dashscope", task_series_limit=50)
    await account.submit(Life(ID, *FEED, NOW - 5, 1.0, 500.0), Life("t-2", *FEED, NOW - 5, 1.0, 9.0, State.SUCCEEDED))
    await account.rig.sweep(3)
    loop = account.rig.loop_of(kind="task")
    tasks = [*loop.tracker.in_flight.values(), *loop.tracker.recent(account.site.clock.now)]
    assert len(tasks) == 2
    said = account.rig.text() + json.dumps([repr(task) for task in tasks])
    assert not [marker for marker in MARKERS if marker in said]


async def test_list_and_detail_share_the_documented_limit() -> None:
    fake = Simulator(World(rate=0, profiles=fake_of("dashscope").profiles))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(fake), base_url="http://fake/dashscope") as client:
        client.headers["Authorization"] = "Bearer demo-dashscope-key"
        paths = ["/api/v1/tasks/", "/api/v1/tasks/t-1"] * 15
        answers = [await client.get(path) for path in paths]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].json()["code"] == "Throttling.RateQuota"


async def test_the_fake_refuses_what_the_document_does(open_account: OpenAccount) -> None:
    base = open_account("dashscope").polled.provider.settings.base_url + "/api/v1/tasks/"
    async with httpx.AsyncClient() as client:
        assert (await client.get(base)).json()["code"] == "InvalidApiKey"
        client.headers["Authorization"] = "Bearer demo-dashscope-key"
        assert (await client.get(f"{base}?page_no=0")).status_code == 400
        listed = (await client.get(base)).json()
        assert {row["model_name"] for row in listed["data"]} == {"wan2.2-t2i-flash", "paraformer-16k-1"}
        assert (await client.get(f"{base}t-9")).json()["output"] == {"task_id": "t-9", "task_status": "UNKNOWN"}
