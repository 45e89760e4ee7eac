"""The Videos API of OpenAI at gateways and at Azure: what is odd at which of them, and how each is reached."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    RateLimited,
    RequestInvalid,
    VendorFailed,
)
from exporter.simulator import Life, fake_of
from exporter.tasks import Cause, Field, Observation, Reason, State
from exporter.vendors.api import Position
from tests.harness import NOW, counted, page_of, settings_of, told
from tests.vendors.conftest import OpenAccount, Scripted
from tests.vendors.test_lives import PROFILES, lives

ROW: dict[str, Any] = {
    "id": "video_a1",
    "object": "video",
    "model": "sora-2",
    "status": "in_progress",
    "progress": 40,
    "created_at": 1772331300,
    "completed_at": None,
    "expires_at": None,
    "seconds": "8",
    "size": "1280x720",
    "error": None,
}
FAILED: dict[str, Any] = ROW | {
    "id": "video_a2",
    "status": "failed",
    "progress": 0,
    "created_at": 1772331200,
    "error": {"code": "moderation_blocked", "message": "Refused by moderation."},
}
LIST: dict[str, Any] = {
    "object": "list",
    "first_id": "video_a1",
    "last_id": "video_a2",
    "has_more": True,
    "data": [ROW, FAILED],
}


def row(**changed: Any) -> dict[str, Any]:
    return ROW | changed


async def test_the_documented_video(scripted: Scripted) -> None:
    gateway = scripted("openai_videos", ROW)
    assert await gateway.observe("video_a1") == Observation(
        "video_a1", State.RUNNING, progress=0.4, submitted=1772331300, model="sora-2"
    )
    (request,) = gateway.vendor.requests
    assert str(request.url) == "https://vendor.example/v1/videos/video_a1"
    assert request.headers["Authorization"] == f"Bearer {fake_of('openai_videos').keys['api_key']}"
    assert not gateway.feed.lists


async def test_the_documented_list_where_the_setting_says_that_there_is_one(scripted: Scripted) -> None:
    gateway = scripted("openai_videos", LIST, list=True)
    assert gateway.feed.lists
    page = await page_of(gateway.feed)
    assert [(one.id, one.state, one.reason) for one in page.observations] == [
        ("video_a1", State.RUNNING, None),
        ("video_a2", State.FAILED, Reason.MODERATION),
    ]
    assert not page.last
    assert str(gateway.vendor.requests[0].url) == "https://vendor.example/v1/videos?limit=100&order=desc"
    await gateway.feed.list_page(Position(1, page.rows, page.cursor))
    assert gateway.vendor.sent() == {"limit": "100", "after": "video_a2", "order": "desc"}


@pytest.mark.parametrize(
    ("changed", "last", "cursor"),
    [
        ({"has_more": False}, True, "video_a2"),
        ({"last_id": None}, False, "video_a2"),
        ({"has_more": None}, False, "video_a2"),
        ({"data": [], "last_id": None, "has_more": None}, True, ""),
    ],
)
async def test_a_list_may_lack_what_tells_where_it_goes_on(
    scripted: Scripted, changed: dict[str, Any], last: bool, cursor: str
) -> None:
    page = await page_of(scripted("openai_videos", LIST | changed, list=True).feed)
    assert (page.last, page.cursor) == (last, cursor)


async def test_rows_of_other_work_can_be_left_out(scripted: Scripted) -> None:
    body = LIST | {"data": [ROW, row(id="img", object="image")], "has_more": False}
    page = await page_of(scripted("openai_videos", body, list=True, where="object == 'video'").feed)
    assert [one.id for one in page.observations] == ["video_a1"]


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("queued", State.QUEUED),
        ("preprocessing", State.QUEUED),
        ("in_progress", State.RUNNING),
        ("running", State.RUNNING),
        ("processing", State.RUNNING),
        ("completed", State.SUCCEEDED),
        ("succeeded", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("cancelled", State.CANCELLED),
        ("unknown", State.UNKNOWN),
    ],
)
async def test_states(scripted: Scripted, word: str, state: State) -> None:
    shown = await scripted("openai_videos", row(status=word)).observe("video_a1")
    assert (shown.state, shown.unmapped) == (state, frozenset())


async def test_a_state_of_no_table_is_unknown_and_named(scripted: Scripted) -> None:
    odd = await scripted("openai_videos", row(status="dreaming")).observe("video_a1")
    assert (odd.state, odd.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize("seconds", ["8", 8, "8s", 8.0])
async def test_the_length_is_a_text_or_a_number(scripted: Scripted, seconds: object) -> None:
    done = row(status="completed", progress=100, completed_at=1772331400, seconds=seconds)
    shown = await scripted("openai_videos", done).observe("video_a1")
    assert (shown.output_seconds, shown.ended) == (8, 1772331400)


async def test_a_video_may_end_without_a_time_and_expires_later(scripted: Scripted) -> None:
    done = row(status="completed", progress=0, expires_at=1772417700)
    shown = await scripted("openai_videos", done).observe("video_a1")
    assert (shown.state, shown.ended, shown.unmapped) == (State.SUCCEEDED, None, frozenset())


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("moderation_blocked", "", Reason.MODERATION),
        ("content_policy_violation", "", Reason.MODERATION),
        ("content_filter", "", Reason.MODERATION),
        ("ResponsibleAIPolicyViolation", "", Reason.MODERATION),
        ("insufficient_quota", "", Reason.INSUFFICIENT_BALANCE),
        ("rate_limit_exceeded", "", Reason.RATE_LIMITED),
        ("invalid_api_key", "", Reason.AUTH),
        ("invalid_request_error", "", Reason.INVALID_INPUT),
        ("server_error", "", Reason.PROVIDER_INTERNAL),
        ("video_generation_failed", "", Reason.PROVIDER_INTERNAL),
        # Words of models behind a gateway.
        ("InputTextSensitiveContentDetected", "", Reason.MODERATION),
        (1301, "系统检测到输入或生成内容可能包含不安全或敏感内容", Reason.MODERATION),
        ("", "用户额度不足", Reason.INSUFFICIENT_BALANCE),
    ],
)
async def test_the_documented_codes_and_those_behind(
    scripted: Scripted, code: object, message: str, reason: Reason
) -> None:
    failed = row(status="failed", error={"code": code, "message": message, "type": "x", "param": None})
    shown = await scripted("openai_videos", failed).observe("video_a1")
    assert (shown.state, shown.reason, shown.unmapped) == (State.FAILED, reason, frozenset())


async def test_a_failure_may_say_nothing_or_what_no_table_has(scripted: Scripted) -> None:
    silent = await scripted("openai_videos", row(status="failed")).observe("video_a1")
    assert (silent.reason, silent.unmapped) == (Reason.UNKNOWN, frozenset())
    failed = row(status="failed", error={"code": "cosmic_ray", "message": "zap"})
    odd = await scripted("openai_videos", failed).observe("video_a1")
    assert (odd.reason, odd.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


async def test_a_job_of_azures_first_sora(scripted: Scripted) -> None:
    job = {
        "id": "task_01",
        "object": "video.generation.job",
        "status": "succeeded",
        "created_at": 1772331300,
        "finished_at": 1772331390,
        "n_seconds": 5,
        "n_variants": 1,
        "failure_reason": None,
        "model": "sora",
        "generations": [{"id": "gen_01", "job_id": "task_01"}],
    }
    settings = {
        "base_url": "https://vendor.example/openai/v1",
        "path": "/video/generations/jobs",
        "api_version": "preview",
        "api_key_header": "api-key",
    }
    azure = scripted("openai_videos", job, **settings)
    assert await azure.observe("task_01") == Observation(
        "task_01", State.SUCCEEDED, submitted=1772331300, ended=1772331390, output_seconds=5, model="sora"
    )
    (request,) = azure.vendor.requests
    assert str(request.url) == "https://vendor.example/openai/v1/video/generations/jobs/task_01?api-version=preview"
    assert request.headers["api-key"] == fake_of("openai_videos").keys["api_key"]
    assert "Authorization" not in request.headers
    failed = job | {"status": "failed", "failure_reason": "input_moderation"}
    assert (await scripted("openai_videos", failed, **settings).observe("task_01")).reason is Reason.MODERATION


def error(message: str, code: object = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (401, error("Incorrect API key provided.", "invalid_api_key"), AuthRefused),
        (401, error("You did not provide a key."), AuthRefused),
        (401, error("Invalid token", "", "new_api_error"), AuthRefused),
        (403, error("Not for this project."), AuthRefused),
        (429, error("Too many", "rate_limit_exceeded", "requests"), RateLimited),
        (429, error("Pay.", "insufficient_quota", "insufficient_quota"), BalanceExhausted),
        (403, error("用户额度不足", "insufficient_user_quota", "new_api_error"), BalanceExhausted),
        (400, error("Wrong."), RequestInvalid),
        (404, error("Invalid URL (GET /v1/videos/x)"), RequestInvalid),
        (404, {"detail": "Not Found"}, RequestInvalid),
        (500, error("Oops", None, "server_error"), VendorFailed),
    ],
)
async def test_refused_look_ups(scripted: Scripted, status: int, body: Any, wanted: type[CallError]) -> None:
    gateway = scripted("openai_videos", (status, body))
    with pytest.raises(wanted) as caught:
        await gateway.feed.look_up("video_a1")
    assert gateway.errors == {("detail", wanted.error): 1}
    assert (caught.value.cause is Cause.WRONG_URL) == (status == 404)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, error("Video with id 'video_a1' not found.")),
        (400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}),
        (404, error("", "video_not_found")),
    ],
)
async def test_an_unknown_video_is_an_answer(scripted: Scripted, status: int, body: Any) -> None:
    gateway = scripted("openai_videos", (status, body))
    await gateway.knows_not("video_a1")


@pytest.mark.parametrize("task_id", ["video_" + "x" * 300, "dmlkZW9fbGl0ZWxsbTpvcGVuYWk6/Zm9v+==", "a b"])
async def test_ids_of_gateways_are_taken_as_they_are(scripted: Scripted, task_id: str) -> None:
    shown = await scripted("openai_videos", row(id=task_id)).observe(task_id)
    assert shown.id == task_id


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("https://gw.example", "https://gw.example/v1"),
        ("https://gw.example/v1", "https://gw.example/v1"),
        ("https://r.openai.azure.com/openai/v1/", "https://r.openai.azure.com/openai/v1"),
        ("https://gw.example/relay", "https://gw.example/relay/v1"),
    ],
)
def test_an_address_may_be_written_with_its_version_or_without(written: str, meant: str) -> None:
    account = {"type": "openai_videos", "base_url": written, "api_key": "sk-0123456789"}
    assert settings_of(account).base_url == meant


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"base_url": "https://gw.example/v1/videos"}, "holds /videos"),
        ({"base_url": None}, "base_url"),
        ({"path": "videos?limit=5"}, "not a path"),
        ({"api_key_header": "api key"}, "not the name of a header"),
        ({"page_size": 101}, "less than or equal to 100"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(given: dict[str, Any], words: str) -> None:
    account = {"type": "openai_videos", "base_url": "https://gw.example", "api_key": "sk-0123456789"} | given
    with pytest.raises(ValidationError) as caught:
        settings_of({key: value for key, value in account.items() if value is not None})
    assert words in str(caught.value)


async def test_listed_tasks_give_the_same_exact_counts(open_account: OpenAccount) -> None:
    account = open_account("openai_videos", list=True, page_size=3)
    account.site.world.add(*lives(PROFILES["openai_videos", "video"]))
    loop = account.rig.loop_of(kind="video")
    assert loop.feed.lists
    for _ in range(11):
        await account.rig.sweep()
        assert told(loop.tracker) == account.site.truth(("openai_videos", "video"))
    assert account.rig.errors == {}
    assert counted(loop.tracker, "history_gaps_total") == {}


async def test_the_fake_pages_as_documented(open_account: OpenAccount) -> None:
    account = open_account("openai_videos")
    await account.submit(*(Life(f"video_{n}", "openai_videos", "video", NOW - 30 + n, None) for n in range(3)))
    fake = fake_of("openai_videos")
    headers = {"Authorization": f"Bearer {fake.keys['api_key']}"}
    async with httpx.AsyncClient(base_url=account.site.url + fake.prefix, headers=headers) as http:

        async def ids(query: str) -> tuple[list[str], bool]:
            body = (await http.get(f"/videos?{query}")).json()
            return [one["id"] for one in body["data"]], body["has_more"]

        assert await ids("limit=2") == (["video_2", "video_1"], True)
        assert await ids("limit=2&after=video_1") == (["video_0"], False)
        assert await ids("limit=2&order=asc") == (["video_0", "video_1"], True)
        for query in ("limit=101", "limit=x", "order=up", "after=nothing"):
            assert (await http.get(f"/videos?{query}")).status_code == 400
