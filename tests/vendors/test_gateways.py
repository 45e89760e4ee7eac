"""Gateways of the new-api family: what they pass on from the models behind them, and where each shows its tasks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from exporter.client.errors import AuthRefused, CallError, RateLimited, RequestInvalid, TaskNotFound, VendorFailed
from exporter.simulator import Life, fake_of
from exporter.tasks import Field, Observation, Reason, State
from tests.harness import NOW, Connection, counted, page_of
from tests.vendors.conftest import OpenAccount, Scripted

KINDS = ("deerapi", "new_api")
every_type = pytest.mark.parametrize("name", KINDS)
ENVELOPE, OPENAI, SORA = "/v1/video/generations/", "/v1/videos/", "/sora/v1/videos/"


def record(**fields: Any) -> dict[str, Any]:
    """The answer of a detail."""
    task = {"task_id": "task_1", "status": "IN_PROGRESS", "fail_reason": "", "submit_time": 1736867805}
    return {"code": "success", "message": "", "data": task | fields}


async def shown(line: Connection) -> Observation:
    return await line.observe("task_1")


@every_type
@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.QUEUED, "queued pending submitted accepted created preprocessing"),
        (State.RUNNING, "running in_progress processing post-processing generating"),
        (State.SUCCEEDED, "succeeded SUCCEED completed done finished Ready"),
        (State.FAILED, "failed error expired EXPIRED timeout rejected CONTENT_MODERATED"),
        (State.CANCELLED, "cancelled canceled aborted revoked stopped"),
    ],
)
async def test_states_of_other_models_are_understood(scripted: Scripted, name: str, state: State, words: str) -> None:
    for word in words.split():
        one = await shown(scripted(name, record(status=word)))
        assert (word, one.state, one.unmapped) == (word, state, frozenset())


@every_type
@pytest.mark.parametrize("field", ["state", "task_status"])
async def test_a_state_is_read_where_other_models_have_it(scripted: Scripted, name: str, field: str) -> None:
    one = await shown(scripted(name, {"code": "success", "data": {"task_id": "task_1", field: "succeeded"}}))
    assert (one.state, one.unmapped) == (State.SUCCEEDED, frozenset())


HIDDEN: dict[str, tuple[Any, Reason]] = {
    "Ark": (
        {"id": "cgt-1", "status": "failed", "error": {"code": "OutputVideoSensitiveContentDetected", "message": "x"}},
        Reason.MODERATION,
    ),
    "Ark, wrapped": (
        {"code": 200, "data": {"status": "failed", "error": {"code": "InvalidParameter", "message": "bad size"}}},
        Reason.INVALID_INPUT,
    ),
    "OpenAI": (
        {"object": "video", "status": "failed", "error": {"code": "moderation_blocked", "message": "no"}},
        Reason.MODERATION,
    ),
    "Kling": (
        {"code": 0, "message": "SUCCEED", "data": {"task_status": "failed", "task_status_msg": "risk control"}},
        Reason.MODERATION,
    ),
    "DashScope": (
        {"output": {"task_status": "FAILED", "code": "DataInspectionFailed", "message": "may be inappropriate"}},
        Reason.MODERATION,
    ),
    "MiniMax": (
        {"status": "Fail", "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}},
        Reason.MODERATION,
    ),
    "Vidu": (
        {"state": "failed", "err_code": "CreditInsufficient", "err_msg": "no credits"},
        Reason.INSUFFICIENT_BALANCE,
    ),
    "Runway": ({"status": "FAILED", "failure": "An upstream timeout", "failureCode": "timed out"}, Reason.TIMEOUT),
    "a size that is wrong": ({"error": {"message": "duration exceeds the maximum"}}, Reason.INVALID_INPUT),
    "an error in a text": ({"status": "failed", "error": "content policy violation"}, Reason.MODERATION),
    "nothing more": ({"code": 0, "message": "success", "data": {"task_status": "failed"}}, Reason.PROVIDER_INTERNAL),
    "no object": ("text", Reason.PROVIDER_INTERNAL),
}


@every_type
@pytest.mark.parametrize(("data", "reason"), HIDDEN.values(), ids=HIDDEN)
@pytest.mark.parametrize("as_text", [False, True], ids=["JSON", "JSON in a text"])
async def test_a_reason_that_the_gateway_hides_is_found_in_what_the_model_said(
    scripted: Scripted, name: str, data: Any, reason: Reason, as_text: bool
) -> None:
    inner = json.dumps(data) if as_text else data
    one = await shown(scripted(name, record(status="FAILURE", fail_reason="task failed", data=inner)))
    assert (one.state, one.reason, one.unmapped) == (State.FAILED, reason, frozenset())


@every_type
async def test_the_gateways_own_reason_goes_before_the_models_where_it_says_one(scripted: Scripted, name: str) -> None:
    data = {"error": {"code": "E_9", "message": "internal error"}}
    one = await shown(scripted(name, record(status="FAILURE", fail_reason="任务超时（20分钟）", data=data)))
    assert one.reason is Reason.TIMEOUT


@every_type
async def test_a_reason_may_be_an_object_in_a_text(scripted: Scripted, name: str) -> None:
    said = json.dumps({"error": {"code": "E_ODD", "message": "the muse is on strike"}})
    one = await shown(scripted(name, record(status="FAILURE", fail_reason=said)))
    assert (one.said, one.strange) == ("E_ODD the muse is on strike", ((Field.REASON, "e_odd"),))


@every_type
async def test_a_reason_that_is_in_no_table_is_named_by_the_models_code(scripted: Scripted, name: str) -> None:
    data = {"error": {"code": "E_ODD", "message": "the muse is on strike"}}
    one = await shown(scripted(name, record(status="FAILURE", data=data)))
    assert (one.reason, one.unmapped, one.strange) == (
        Reason.UNKNOWN,
        frozenset({Field.REASON}),
        ((Field.REASON, "e_odd"),),
    )


@every_type
async def test_what_a_model_says_of_a_failure_repeats_no_content(scripted: Scripted, name: str) -> None:
    prompt = "a cat that dances on the moon"
    data = {"prompt": prompt, "user": "user-77777", "error": {"message": f"violates policy: {prompt}"}}
    one = await shown(scripted(name, record(status="FAILURE", fail_reason="task failed", data=data)))
    assert (one.reason, prompt in one.said, "user-77777" in one.said) == (Reason.MODERATION, False, False)


async def test_an_endless_answer_of_a_model_costs_a_bounded_search(scripted: Scripted) -> None:
    data: Any = {"error": {"code": "moderation_blocked"}}
    for _ in range(60):
        data = {"data": data, "more": [{"error": {}}] * 3}
    one = await shown(scripted("new_api", record(status="FAILURE", fail_reason="task failed", data=data)))
    assert one.reason is Reason.PROVIDER_INTERNAL


# Shapes of a detail.

VIDEO = {
    "id": "task_1",
    "object": "video",
    "model": "sora-2",
    "status": "completed",
    "progress": 100,
    "created_at": 1736867805,
    "completed_at": 1736867860,
    "seconds": "8",
    "error": None,
}
SHORT = {
    "task_id": "task_1",
    "status": "completed",
    "url": "https://cdn.example/v.mp4",
    "format": "mp4",
    "metadata": {"duration": 8, "fps": 30},
    "error": {"code": 0, "message": ""},
}


@every_type
@pytest.mark.parametrize("body", [VIDEO, SHORT, {"code": "success", "data": SHORT}], ids=["bare", "short", "wrapped"])
async def test_the_video_object_is_a_task_with_its_length(scripted: Scripted, name: str, body: Any) -> None:
    one = await shown(scripted(name, body))
    assert (one.id, one.state, one.output_seconds, one.unmapped) == ("task_1", State.SUCCEEDED, 8.0, frozenset())


@every_type
async def test_a_failed_video_object_has_its_reason(scripted: Scripted, name: str) -> None:
    body = VIDEO | {"status": "failed", "error": {"code": "content_policy_violation", "message": "no"}}
    assert (await shown(scripted(name, body))).reason is Reason.MODERATION


@every_type
@pytest.mark.parametrize("task_id", ["1", "task_" + "x" * 32, "video_" + "QWxh" * 100, "veo3:b87/3e", "x" * 512])
async def test_ids_of_any_length_that_gateways_use(scripted: Scripted, name: str, task_id: str) -> None:
    line = scripted(name, record(task_id=task_id))
    assert [one.id for one in await line.feed.look_up(task_id)] == [task_id]


# Where a gateway shows its tasks.

NO_PATH = {"error": {"message": "Invalid URL (GET /x)", "type": "invalid_request_error", "param": "", "code": ""}}


def gateway(*paths: str, missing: Any = NO_PATH, answer: Any = None) -> Callable[[httpx.Request], httpx.Response]:
    """One that has these paths alone."""

    def answered(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith(paths):
            return httpx.Response(200, json=answer or record())
        content = missing if isinstance(missing, bytes) else json.dumps(missing).encode()
        return httpx.Response(404, content=content)

    return answered


def asked(line: Connection) -> list[str]:
    return [request.url.path.removesuffix("task_1") for request in line.vendor.requests]


@pytest.mark.parametrize(
    ("name", "order"), [("deerapi", [SORA, OPENAI, ENVELOPE]), ("new_api", [ENVELOPE, OPENAI, SORA])]
)
@pytest.mark.parametrize("missing", [NO_PATH, b"Not Found", b"", {"detail": "Not Found"}], ids=repr)
async def test_the_path_that_a_gateway_has_is_found_once(
    scripted: Scripted, name: str, order: list[str], missing: Any
) -> None:
    for count, path in enumerate(order, 1):
        line = scripted(name, gateway(path, missing=missing))
        for _ in range(3):
            assert (await shown(line)).state is State.RUNNING
        assert asked(line) == [*order[:count], path, path]
        assert line.errors == {}


async def test_a_gateway_that_shows_some_tasks_elsewhere_shows_all_of_them(scripted: Scripted) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        right = SORA if request.url.path.endswith("sora") else OPENAI
        return gateway(right)(request)

    line = scripted("deerapi", answer)
    for task_id in ("a-sora", "a-veo", "b-sora"):
        (one,) = await line.feed.look_up(task_id)
        assert one.state is State.RUNNING
    assert line.errors == {}


@every_type
async def test_look_ups_at_the_same_time_find_the_path_together(scripted: Scripted, name: str) -> None:
    line = scripted(name, gateway(OPENAI))
    found = await asyncio.gather(*(line.feed.look_up("task_1") for _ in range(8)))
    assert [len(one) for one in found] == [1] * 8


@every_type
async def test_a_gateway_without_any_of_the_paths_refuses(scripted: Scripted, name: str) -> None:
    line = scripted(name, gateway("/nowhere"))
    with pytest.raises(RequestInvalid):
        await shown(line)
    assert (len(line.vendor.requests), line.errors) == (3, {("detail", "invalid_request"): 1})


@every_type
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}),
        (404, {"code": "task_not_exist", "message": "task_not_exist", "data": None}),
        (404, {"error": {"code": "video_not_found", "message": "x", "type": "invalid_request_error"}}),
        (404, {"error": {"message": "Video with id 'task_1' not found.", "type": "invalid_request_error"}}),
        (404, {"message": "任务不存在"}),
    ],
)
async def test_a_task_that_the_gateway_does_not_know_is_not_asked_for_elsewhere(
    scripted: Scripted, name: str, status: int, body: Any
) -> None:
    line = scripted(name, (status, body))
    with pytest.raises(TaskNotFound):
        await shown(line)
    assert (len(line.vendor.requests), line.errors) == (1, {})


@every_type
@pytest.mark.parametrize(
    ("status", "error"), [(401, AuthRefused), (429, RateLimited), (500, VendorFailed), (502, VendorFailed)]
)
async def test_a_refusal_is_no_missing_path(scripted: Scripted, name: str, status: int, error: type[CallError]) -> None:
    line = scripted(name, (status, b""))
    with pytest.raises(error):
        await shown(line)
    assert len(line.vendor.requests) == 1


async def test_a_platform_without_an_openai_object_is_asked_for_its_record(scripted: Scripted) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith(OPENAI):
            return httpx.Response(501, json={"code": "not_implemented", "message": "not_implemented:kling"})
        return gateway(ENVELOPE)(request)

    assert (await shown(scripted("deerapi", answer))).state is State.RUNNING


# Lists.


@every_type
@pytest.mark.parametrize(
    "data",
    [
        lambda rows: {"page": 1, "page_size": 100, "total": 2, "items": rows},
        lambda rows: {"page": 1, "size": 100, "total_count": 2, "data": rows},
    ],
    ids=["data.items of new-api", "data.data of one-hub"],
)
async def test_both_dialects_of_lists_are_read(scripted: Scripted, name: str, data: Callable[[Any], Any]) -> None:
    rows = [
        {"id": 1, "task_id": "a", "platform": "kling", "status": "SUCCESS", "progress": 100, "submit_time": 1736867805},
        {
            "id": 2,
            "task_id": "b",
            "platform": "54",
            "status": "FAILURE",
            "fail_reason": "task failed",
            "progress": "100%",
        }
        | {"data": {"data": {"error": {"code": "InputTextSensitiveContentDetected", "message": "x"}}}},
    ]
    line = scripted(name, {"success": True, "message": "", "data": data(rows)})
    page = await page_of(line.feed)
    told = [(one.id, one.state, one.reason) for one in page.observations]
    assert told == [("a", State.SUCCEEDED, None), ("b", State.FAILED, Reason.MODERATION)]
    assert page.last


@pytest.mark.parametrize("dialect", ["new", "old", "one_hub"])
async def test_a_gateway_of_each_dialect_is_counted_exactly(open_account: OpenAccount, dialect: str) -> None:
    account = open_account("new_api")
    account.site.fake.vendors["new_api"].dialect = dialect  # type: ignore[attr-defined]
    feed = ("new_api", "sora")
    lives = [Life(f"task_{n}", *feed, NOW - 60, 10.0, 5.0 + n, State.SUCCEEDED) for n in range(25)]
    await account.submit(*lives, Life("task_x", *feed, NOW - 30, 5.0, 5.0, State.FAILED, Reason.TIMEOUT))
    await account.rig.sweep(3)
    assert counted(account.rig.loop_of(kind="sora").tracker, "finished_total") == {"succeeded": 25, "failed": 1}
    assert account.rig.errors == {}


async def test_without_a_user_token_ids_are_followed(open_account: OpenAccount) -> None:
    account = open_account("new_api", user_token=None, user_id=None)
    await account.submit(Life("task_" + "x" * 40, "new_api", "sora", NOW - 30, 5.0, 10.0, State.SUCCEEDED))
    await account.rig.sweep(3)
    assert counted(account.rig.loop_of(kind="sora").tracker, "finished_total") == {"succeeded": 1}


def test_the_fake_of_new_api_stands_where_a_host_of_ones_own_would() -> None:
    assert fake_of("new_api").prefix == "/new_api"
    assert set(fake_of("new_api").keys) == {"api_key", "user_token", "user_id"}
