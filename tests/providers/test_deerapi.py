"""DeerAPI: the envelope, its states, times and failures, and the two dialects of the gateway's list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    ContractBroken,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    VendorFailed,
)
from exporter.tasks import Clock, Field, Observation, Reason, State
from tests.harness import Connect, Line, Load

KEY = {"type": "deerapi", "api_key": "KEY"}
USER = KEY | {"user_token": "USER-TOKEN", "user_id": "42"}


def detail(**fields: Any) -> dict[str, Any]:
    """The answer of GET /sora/v1/videos/{task_id}."""
    task = {"task_id": "task_1", "status": "IN_PROGRESS", "fail_reason": "", "submit_time": 1736867805}
    return {"code": "success", "message": "", "data": task | fields}


async def observed(connect: Connect, **fields: Any) -> Observation:
    return await connect(KEY, detail(**fields)).observe()


async def test_the_documented_detail(connect: Connect, load: Load) -> None:
    line = connect(KEY, load("deerapi/detail.json"))
    assert await line.feed.look_up("task_01jhjnz502ejqsm6r37km2q637") == [
        Observation(
            id="task_01jhjp54x0f759wceyasz6xrge",  # the document asks for one task and shows another
            state=State.SUCCEEDED,
            progress=1.0,
            submitted=1736867805,
            started=None,  # start_time 0: it went from the queue straight to its end
            ended=1736867860,
            output_seconds=5.0,
        )
    ]
    (request,) = line.vendor.requests
    assert request.method == "GET"
    assert str(request.url) == "https://api.deerapi.com/sora/v1/videos/task_01jhjnz502ejqsm6r37km2q637"
    assert request.headers["Authorization"] == "Bearer KEY"
    assert line.feed.clock is Clock.PROVIDER


async def test_an_id_is_one_segment_of_the_path(connect: Connect) -> None:
    line = connect(KEY, detail())
    await line.feed.look_up("../a b?c=d#e")
    assert line.vendor.requests[0].url.raw_path == b"/sora/v1/videos/..%2Fa%20b%3Fc%3Dd%23e"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NOT_START", State.QUEUED),
        ("SUBMITTED", State.QUEUED),
        ("QUEUED", State.QUEUED),
        ("IN_PROGRESS", State.RUNNING),
        ("SUCCESS", State.SUCCEEDED),
        ("FAILURE", State.FAILED),
        ("submitted", State.QUEUED),
        ("queueing", State.QUEUED),
        ("processing", State.RUNNING),
        ("success", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("CANCEL", State.CANCELLED),
        ("UNKNOWN", State.UNKNOWN),
    ],
)
async def test_states(connect: Connect, status: str, state: State) -> None:
    one = await observed(connect, status=status)
    assert (one.state, one.unmapped) == (state, frozenset())


@pytest.mark.parametrize("status", ["PAUSED", "", None, 30, ["SUCCESS"], {"a": 1}], ids=repr)
async def test_a_state_that_no_table_maps_is_unknown_and_named(connect: Connect, status: object) -> None:
    one = await observed(connect, status=status)
    assert (one.state, one.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("progress", "ratio"),
    [("30%", 0.3), ("0%", 0.0), ("100%", 1.0), (45, 0.45), ("45", 0.45), ("", None), (None, None)],
    ids=repr,
)
async def test_progress_as_text_and_as_number(connect: Connect, progress: object, ratio: float | None) -> None:
    one = await observed(connect, progress=progress)
    assert (one.progress, one.unmapped) == (ratio, frozenset())


async def test_full_progress_on_a_failure_is_no_success(connect: Connect) -> None:
    one = await observed(connect, status="FAILURE", progress="100%", fail_reason="task failed")
    assert (one.state, one.reason, one.progress) == (State.FAILED, Reason.PROVIDER_INTERNAL, None)


async def test_a_result_url_in_fail_reason_of_a_success_is_no_reason(connect: Connect) -> None:
    url = "https://cdn.example/moderation/timeout.mp4?sig=SIGNATURE"
    one = await observed(connect, status="SUCCESS", fail_reason=url)
    assert (one.state, one.reason, one.unmapped) == (State.SUCCEEDED, None, frozenset())


@pytest.mark.parametrize("text", ["", "  ", None], ids=repr)
async def test_a_failure_without_words_is_of_unknown_reason_and_breaks_no_table(
    connect: Connect, text: str | None
) -> None:
    one = await observed(connect, status="FAILURE", fail_reason=text, finish_time=0, progress="100%")
    assert (one.state, one.reason, one.ended, one.unmapped) == (State.FAILED, Reason.UNKNOWN, None, frozenset())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("任务超时（15分钟）", Reason.TIMEOUT),
        ("任务超时（旧系统遗留任务，无法获取结果，请联系管理员）", Reason.TIMEOUT),
        ("获取渠道信息失败，请联系管理员，渠道ID：12", Reason.PROVIDER_INTERNAL),
        ("Failed to get channel info, channel ID: 12", Reason.PROVIDER_INTERNAL),
        ("upstream returned error", Reason.PROVIDER_INTERNAL),
        ("upstream returned unrecognized message", Reason.PROVIDER_INTERNAL),
        ("task failed", Reason.PROVIDER_INTERNAL),
        ("请求上游地址失败", Reason.PROVIDER_INTERNAL),
        ("Your request was blocked by our moderation system.", Reason.MODERATION),
        ("task failed: the prompt violates our content policy", Reason.MODERATION),
        ("risk control: 内容违规", Reason.MODERATION),
        ("user quota is not enough", Reason.INSUFFICIENT_BALANCE),
        ("Rate limit reached for sora-2", Reason.RATE_LIMITED),
    ],
)
async def test_reasons_of_failed_tasks(connect: Connect, text: str, reason: Reason) -> None:
    one = await observed(connect, status="FAILURE", fail_reason=text)
    assert (one.reason, one.unmapped) == (reason, frozenset())


async def test_a_failure_in_unheard_of_words_is_unknown_and_named(connect: Connect) -> None:
    one = await observed(connect, status="FAILURE", fail_reason="the muse is on strike")
    assert (one.reason, one.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize(
    "upstream",
    [
        {"moderation_result": {"type": "rejected", "is_output_rejection": False}},
        {"moderation_result": {"type": "passed", "is_output_rejection": True}},
        {"num_unsafe_generations": 1},
        {"failure_reason": "sora_content_policy_violation, inappropriate"},
    ],
    ids=lambda upstream: next(iter(upstream)),
)
async def test_moderation_shows_inside_the_upstream_object(connect: Connect, upstream: Mapping[str, Any]) -> None:
    failed = await observed(connect, status="FAILURE", fail_reason="task failed", data=upstream)
    assert failed.reason is Reason.MODERATION


@pytest.mark.parametrize(
    "upstream",
    [None, [], "text", {"generations": "none"}, {"generations": [{"encodings": {"source": {"duration_secs": -5}}}]}],
    ids=repr,
)
async def test_nothing_inside_the_upstream_object_is_relied_on(connect: Connect, upstream: object) -> None:
    one = await observed(connect, status="SUCCESS", data=upstream)
    assert (one.state, one.output_seconds, one.unmapped) == (State.SUCCEEDED, None, frozenset())


@pytest.mark.parametrize(
    "given", [1736867820, 1736867820.0, "1736867820", 1736867820000, "1736867820000", "2025-01-14T15:17:00Z"], ids=repr
)
async def test_times_in_seconds_milliseconds_and_iso(connect: Connect, given: object) -> None:
    assert (await observed(connect, start_time=given)).started == 1736867820


@pytest.mark.parametrize("unset", [0, None, "", "0", "0001-01-01T00:00:00Z"], ids=repr)
async def test_unset_times(connect: Connect, unset: object) -> None:
    one = await observed(connect, submit_time=unset, start_time=unset, finish_time=unset)
    assert (one.submitted, one.started, one.ended, one.unmapped) == (None, None, None, frozenset())


async def test_a_broken_field_costs_that_field_alone(connect: Connect) -> None:
    one = await observed(connect, progress="a lot", start_time="soon", finish_time={"at": 1}, fail_reason=7)
    assert (one.id, one.state, one.submitted) == ("task_1", State.RUNNING, 1736867805)
    assert one.unmapped == {Field.PROGRESS, Field.STARTED, Field.ENDED, Field.REASON}


# What the vendor refuses.

REFUSALS: dict[str, tuple[int, Any, type[CallError]]] = {
    "no quota, although 401": (
        401,
        {"error": {"message": "该令牌额度已用尽 TokenStatusExhausted[sk-***]", "type": "new_api_error", "code": ""}},
        BalanceExhausted,
    ),
    "quota_not_enough": (403, {"code": "quota_not_enough", "message": "user quota is not enough"}, BalanceExhausted),
    "insufficient_quota": (
        429,
        {"error": {"message": "…", "type": "rix_api_error", "code": "insufficient_quota"}},
        BalanceExhausted,
    ),
    "rix_api_error": (400, {"error": {"message": "…", "type": "rix_api_error", "code": None}}, BalanceExhausted),
    "token expired": (401, {"error": {"message": "该令牌已过期", "type": "new_api_error"}}, AuthRefused),
    "token unusable": (401, {"error": {"message": "该令牌状态不可用", "type": "new_api_error"}}, AuthRefused),
    "token missing": (401, {"error": {"message": "未提供令牌", "type": "new_api_error"}}, AuthRefused),
    "token invalid": (401, {"error": {"message": "无效的令牌", "type": "new_api_error"}}, AuthRefused),
    "user banned": (403, {"error": {"message": "用户已被封禁", "type": "new_api_error"}}, AuthRefused),
    "ip not allowed": (403, {"error": {"message": "您的 IP 不在令牌允许访问的列表中"}}, AuthRefused),
    "invalid_request": (400, {"code": "invalid_request", "message": "…"}, RequestInvalid),
    "invalid_api_platform": (400, {"code": "invalid_api_platform", "message": "…"}, RequestInvalid),
    "invalid_relay_mode": (400, {"code": "invalid_relay_mode", "message": "…"}, RequestInvalid),
    "task_channel_disable, although 400": (400, {"code": "task_channel_disable", "message": "…"}, VendorFailed),
    "channel_not_found, although 400": (400, {"code": "channel_not_found", "message": "…"}, VendorFailed),
    "upstream saturated": (429, {"error": {"message": "当前分组上游负载已饱和，请稍后再试"}}, RateLimited),
    "upstream saturated, whatever the status": (500, {"error": {"message": "当前分组上游负载已饱和"}}, RateLimited),
    "429 with an empty body": (429, b"", RateLimited),
    "get_task_failed": (500, {"code": "get_task_failed", "message": "…"}, VendorFailed),
    "do_request_failed": (500, {"code": "do_request_failed", "message": "…"}, VendorFailed),
    "build_request_failed": (500, {"code": "build_request_failed", "message": "…"}, VendorFailed),
    "insert_task_failed": (500, {"code": "insert_task_failed", "message": "…"}, VendorFailed),
    "fail_to_fetch_task keeps the upstream's status": (404, {"code": "fail_to_fetch_task"}, VendorFailed),
    "fail_to_fetch_task at 400": (400, {"code": "fail_to_fetch_task"}, RequestInvalid),
    "invalid_request at 500": (500, {"code": "invalid_request"}, VendorFailed),
    "a task within an error": (500, {"code": "success", "data": {"task_id": "task_1"}}, VendorFailed),
    "an HTML page": (502, b"<html><h1>502 Bad Gateway</h1></html>", VendorFailed),
    "an error within HTTP 200": (200, {"error": {"message": "无效的令牌", "type": "new_api_error"}}, AuthRefused),
    "an unknown code within HTTP 200": (200, {"code": "weird", "message": ""}, ContractBroken),
    "success without data": (200, {"code": "success", "message": ""}, ContractBroken),
    "an array": (200, [1, 2], ContractBroken),
}


@pytest.mark.parametrize(("status", "body", "error"), REFUSALS.values(), ids=REFUSALS)
async def test_refused_look_ups(connect: Connect, status: int, body: Any, error: type[CallError]) -> None:
    line = connect(KEY, (status, body))
    with pytest.raises(error):
        await line.feed.look_up("task_1")
    assert line.errors == {("detail", error.error): 1}


@pytest.mark.parametrize(
    "answer",
    [
        (400, {"code": "task_not_exist", "message": "task_not_exist", "data": None}),
        (200, {"code": "task_not_exist", "message": "task_not_exist"}),
        (400, {"error": {"code": "task_not_exist", "message": "task_not_exist", "type": "new_api_error"}}),
        {"code": "success", "message": "", "data": None},
        {"code": "success", "message": "", "data": {}},
    ],
    ids=["HTTP 400", "HTTP 200", "error object", "null", "empty"],
)
async def test_a_task_that_the_vendor_does_not_know_is_an_answer(connect: Connect, answer: Any) -> None:
    line = connect(KEY, answer)
    with pytest.raises(TaskNotFound):
        await line.feed.look_up("task_1")
    assert line.errors == {}


@pytest.mark.parametrize("data", ["task_1", [], 7, {"status": "SUCCESS"}], ids=repr)
async def test_a_detail_without_a_task(connect: Connect, data: object) -> None:
    line = connect(KEY, {"code": "success", "message": "", "data": data})
    with pytest.raises((ContractBroken, TaskNotFound)):
        await line.feed.look_up("task_1")


# The list.


async def test_without_a_user_token_there_is_no_list(connect: Connect) -> None:
    assert not connect(KEY, {}).feed.lists
    assert connect(USER, {}).feed.lists


async def test_a_list_of_the_newer_dialect(connect: Connect, load: Load) -> None:
    line = connect(USER, load("deerapi/list_numbered.json"))
    page = await line.page()
    assert [(one.state, one.reason) for one in page.observations] == [
        (State.QUEUED, None),
        (State.QUEUED, None),
        (State.RUNNING, None),
        (State.SUCCEEDED, None),
        (State.FAILED, Reason.TIMEOUT),
        (State.FAILED, Reason.UNKNOWN),
    ]  # and neither the music nor the pictures
    assert all(not one.unmapped for one in page.observations)
    assert [one.started for one in page.observations][1:3] == [None, 1736867915]
    assert (page.last, page.malformed) == (True, 0)
    (request,) = line.vendor.requests
    assert str(request.url) == "https://api.deerapi.com/api/task/self?p=1&page_size=100"


async def test_pages_of_the_newer_dialect_count_from_one_up_to_the_total(connect: Connect, load: Load) -> None:
    numbered = load("deerapi/list_numbered.json")
    numbered["data"].update(page_size=100, total=250)
    line = connect(USER, numbered)
    assert [(await line.page(index, received=index * 121)).last for index in range(3)] == [False, False, True]
    assert [line.vendor.sent(position)["p"] for position in range(3)] == ["1", "2", "3"]


@pytest.mark.parametrize("said", [8, 100], ids=["and says so", "and says otherwise"])
async def test_a_page_size_that_the_gateway_cuts(connect: Connect, load: Load, said: int) -> None:
    numbered = load("deerapi/list_numbered.json")
    numbered["data"].update(page_size=said, total=20)
    line = connect(USER, numbered)
    assert [(await line.page(index, received=8 * index)).last for index in range(3)] == [False, False, True]


async def test_a_gateway_that_does_not_tell_its_page_size(connect: Connect) -> None:
    rows = [{"task_id": str(number), "status": "QUEUED"} for number in range(8)]
    line = connect(USER, {"success": True, "data": {"items": rows, "total": 20}})
    assert [(await line.page(index, received=8 * index)).last for index in range(3)] == [False, False, True]


async def test_a_list_of_the_older_dialect_counts_pages_from_zero(connect: Connect, load: Load) -> None:
    pages = {"0": load("deerapi/list_bare.json")}
    nothing = {"success": True, "message": "", "data": []}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=pages.get(request.url.params["p"], nothing))

    line = connect(USER, answer)
    first, second = await line.page(), await line.page(1)
    assert [(one.state, one.progress) for one in first.observations] == [(State.RUNNING, 0.45), (State.SUCCEEDED, 1.0)]
    assert (first.last, second.last, second.observations) == (False, True, [])
    assert [line.vendor.sent(position)["p"] for position in range(3)] == ["1", "0", "1"]


async def test_a_gateway_that_is_brought_up_to_date_meanwhile(connect: Connect, load: Load) -> None:
    bare, numbered = load("deerapi/list_bare.json"), load("deerapi/list_numbered.json")
    line = connect(USER, bare, bare, numbered)
    await line.page()
    assert len((await line.page()).observations) == 6
    assert [line.vendor.sent(position)["p"] for position in range(4)] == ["1", "0", "0", "1"]


@pytest.mark.parametrize("platform", ["suno", "MJ", "midjourney"])
async def test_rows_of_other_media_are_left_out(connect: Connect, platform: str) -> None:
    rows = [{"task_id": "a", "platform": platform, "status": "SUCCESS"}, {"task_id": "b", "status": "SUCCESS"}]
    page = await connect(USER, {"success": True, "data": rows}).page()
    assert [one.id for one in page.observations] == ["b"]


async def test_spoiled_rows_are_counted_beside_the_good_ones(connect: Connect) -> None:
    rows: list[object] = [None, 7, [], {"status": "SUCCESS"}, {"task_id": "a", "platform": {}, "status": "SUCCESS"}]
    page = await connect(USER, {"success": True, "data": rows}).page()
    assert ([one.id for one in page.observations], page.malformed) == (["a"], 4)


def raw_only(request: httpx.Request) -> httpx.Response:
    """An older gateway: the bare token with the user's number; a wrong token is refused with HTTP 200."""
    if request.headers.get("New-Api-User") != "42":
        return httpx.Response(401, json={"success": False, "message": "无权进行此操作，未提供 New-Api-User"})
    good = request.headers["Authorization"] == "USER-TOKEN"
    refusal = {"success": False, "message": "无权进行此操作，请检查"}
    return httpx.Response(200, json={"success": True, "message": "", "data": []} if good else refusal)


def bearer_only(request: httpx.Request) -> httpx.Response:
    """A newer gateway: Bearer, and an error code."""
    if request.headers["Authorization"] == "Bearer USER-TOKEN":
        return httpx.Response(200, json={"success": True, "message": "", "data": {"items": [], "total": 0}})
    return httpx.Response(401, json={"success": False, "message": "…", "code": "AUTH_UNAUTHORIZED"})


def authorizations(line: Line) -> list[str]:
    return [request.headers["Authorization"] for request in line.vendor.requests]


async def test_the_bare_user_token_is_tried_first(connect: Connect) -> None:
    line = connect(USER, raw_only)
    await line.page()
    assert authorizations(line)[0] == "USER-TOKEN"
    assert line.errors == {}


async def test_a_gateway_that_wants_a_bearer_gets_one_from_then_on(connect: Connect) -> None:
    line = connect(USER, bearer_only)
    await line.page()
    await line.page()
    assert authorizations(line) == ["USER-TOKEN", "Bearer USER-TOKEN", "Bearer USER-TOKEN"]


@pytest.mark.parametrize("gateway", [raw_only, bearer_only])
async def test_a_wrong_user_token_is_refused_in_both_forms(connect: Connect, gateway: Any) -> None:
    line = connect(USER | {"user_token": "OTHER"}, gateway)
    with pytest.raises(AuthRefused):
        await line.page()
    assert authorizations(line) == ["OTHER", "Bearer OTHER"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"success": False, "message": "something new"}, AuthRefused),
        (401, {"success": False, "message": "无权进行此操作，未登录且未提供 access token"}, AuthRefused),
        (401, {"success": False, "message": "…", "code": "AUTH_TOKEN_EXPIRED"}, AuthRefused),
        (403, {"success": False, "message": "…", "code": "AUTH_INSUFFICIENT_PRIVILEGE"}, AuthRefused),
        (429, b"", RateLimited),
        (200, {"success": True, "data": None}, ContractBroken),
        (200, {"success": True, "data": {"items": 7}}, ContractBroken),
        (200, {"code": "weird", "message": ""}, ContractBroken),
        (500, b"", VendorFailed),
    ],
    ids=["HTTP 200", "401", "expired", "privilege", "429 empty", "null", "items", "unknown code", "500 empty"],
)
async def test_refused_lists(connect: Connect, status: int, body: Any, error: type[CallError]) -> None:
    line = connect(USER, (status, body))
    with pytest.raises(error):
        await line.page()
    assert {name for _, name in line.errors} == {error.error}


# Words and shapes that gateways pass on from the models behind them.


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.QUEUED, "pending PENDING waiting preparing In_Queue created Queueing NotStart NOT-START"),
        (State.RUNNING, "running RUNNING generating rendering InProgress in-progress TASK_STATUS_PROCESSING"),
        (State.SUCCEEDED, "succeeded SUCCEED Success completed done finished TASK_STATUS_SUCCEED"),
        (State.FAILED, "error fail FAILED expired EXPIRED TIMEOUT rejected timed_out"),
        (State.CANCELLED, "cancelled canceled CANCEL aborted"),
    ],
)
async def test_words_of_other_models_are_known(connect: Connect, state: State, words: str) -> None:
    for word in (*words.split(), f"  {words.split()[0]} "):
        one = await observed(connect, status=word)
        assert (word, one.state, one.unmapped) == (word, state, frozenset())


async def test_a_word_of_a_failure_may_say_why(connect: Connect) -> None:
    assert (await observed(connect, status="EXPIRED")).reason is Reason.TIMEOUT
    told = await observed(connect, status="timeout", fail_reason="user quota is not enough")
    assert told.reason is Reason.INSUFFICIENT_BALANCE
    assert (await observed(connect, status="rejected")).reason is Reason.UNKNOWN


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
INNER = detail(status="SUCCESS", finish_time=1736867860)["data"]


@pytest.mark.parametrize(
    "answer",
    [
        VIDEO,
        {"code": "success", "message": "", "data": VIDEO},
        {"code": "success", "data": json.dumps(VIDEO)},
        {key: value for key, value in VIDEO.items() if key != "object"},
        VIDEO | {"task_id": "task_1", "id": 77},
        {"code": "success", "data": [INNER]},
        {"code": "success", "data": [INNER | {"task_id": "other", "status": "FAILURE"}, INNER]},
        {"code": "success", "data": json.dumps(INNER)},
        {"success": True, "message": "", "data": INNER | {"id": 4711, "created_at": 1}},
        INNER,
    ],
    ids=lambda answer: json.dumps(answer)[:60],
)
async def test_a_task_is_understood_in_whatever_shape_the_gateway_wraps_it(connect: Connect, answer: object) -> None:
    (one,) = await connect(KEY, answer).feed.look_up("task_1")
    assert (one.id, one.state, one.submitted, one.ended) == ("task_1", State.SUCCEEDED, 1736867805, 1736867860)
    assert one.unmapped == frozenset()


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({"properties": {"origin_model_name": "sora-2", "upstream_model_name": "sora-turbo"}}, "sora-2"),
        ({"properties": {"upstream_model_name": "sora-turbo"}, "model": "sora-2"}, "sora-turbo"),
        ({"properties": {"input": "a lighthouse"}, "model": "sora-2"}, "sora-2"),
        ({}, ""),
    ],
    ids=["asked for", "of the upstream", "beside", "none"],
)
async def test_the_model_is_the_one_that_was_asked_for(connect: Connect, given: dict[str, Any], model: str) -> None:
    assert (await observed(connect, **given)).model == model


async def test_a_failed_video_object_is_a_task_and_no_refusal(connect: Connect) -> None:
    error = {"code": "moderation_blocked", "message": "content policy violation"}
    (one,) = await connect(KEY, VIDEO | {"status": "failed", "error": error}).feed.look_up("task_1")
    assert (one.state, one.reason, one.output_seconds) == (State.FAILED, Reason.MODERATION, None)
    assert one.said == "moderation_blocked content policy violation"


async def test_the_seconds_of_a_video_object_are_its_output(connect: Connect) -> None:
    (one,) = await connect(KEY, VIDEO).feed.look_up("task_1")
    assert one.output_seconds == 8.0


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": "invalid", "message": "no"}, "status": "error", "id": "req_1"},
        {"code": "success", "data": "not JSON"},
        {"code": "success", "data": [INNER | {"task_id": "x"}, INNER | {"task_id": "y"}]},
        {"status": "ok", "data": {}},
        [INNER],
    ],
    ids=lambda answer: json.dumps(answer)[:60],
)
async def test_what_is_no_task_is_none_in_any_shape(connect: Connect, answer: object) -> None:
    with pytest.raises(CallError):
        await connect(KEY, answer).feed.look_up("task_1")


@pytest.mark.parametrize(
    ("fields", "result", "fault"),
    [
        ({"result_url": "https://cdn.example/v.mp4"}, True, None),
        ({"fail_reason": "https://cdn.example/v.mp4"}, True, None),
        ({"data": {"video_url": "https://cdn.example/v.mp4"}}, True, None),
        ({"data": {"generations": [{"id": "g"}]}}, True, None),
        ({"data": {"generations": []}}, False, None),
        ({"fail_reason": "content policy violation"}, False, Reason.MODERATION),
        ({"fail_reason": "no table knows this"}, False, Reason.UNKNOWN),
        ({"fail_reason": {"code": 400, "message": "content policy violation"}}, False, Reason.MODERATION),
        ({}, False, None),
    ],
    ids=str,
)
async def test_a_state_that_no_table_knows_comes_with_what_proves_an_end(
    connect: Connect, fields: dict[str, Any], result: bool, fault: Reason | None
) -> None:
    one = await observed(connect, status="PAUSED", **fields)
    assert (one.state, one.reason, one.result, one.fault) == (State.UNKNOWN, None, result, fault)


async def test_the_list_of_the_one_hub_branch(connect: Connect) -> None:
    rows = [{"task_id": f"task_{n}", "status": "SUCCESS", "progress": 100} for n in range(3)]
    data = {"data": rows, "page": 1, "size": 100, "total_count": 103}
    line = connect(USER | {"page_size": 500}, {"success": True, "message": "", "data": data})
    page = await line.page()
    assert ([one.id for one in page.observations], page.last) == (["task_0", "task_1", "task_2"], False)
    await line.page(1)
    asked = [dict(request.url.params) for request in line.vendor.requests]
    assert [(one.get("page"), one.get("size")) for one in asked] == [(None, None), ("1", "100"), ("2", "100")]


@pytest.mark.parametrize("task_id", [".", "..", "...", "/", "a/../b", "%2e", "视频 \"ü'?#&", "x" * 512])
async def test_any_id_stays_one_segment_of_the_path(connect: Connect, task_id: str) -> None:
    line = connect(KEY, detail())
    await line.feed.look_up(task_id)
    path = line.vendor.requests[0].url.raw_path.decode()
    before, _, last = path.rpartition("/")
    assert (before, unquote(last)) == ("/sora/v1/videos", task_id)
    assert last.strip(".")


WORDS = {
    "states": {"sora": {"succeeded": ["Done OK"], "failed": ["^burnt"]}},
    "reasons": {"sora": {"timeout": ["e_9"]}},
}


@pytest.mark.parametrize(
    ("given", "state", "reason"),
    [
        ({"status": "done ok"}, State.SUCCEEDED, None),
        ({"status": "BURNT_OUT"}, State.FAILED, Reason.UNKNOWN),
        ({"status": "FAILURE", "fail_reason": "E_9"}, State.FAILED, Reason.TIMEOUT),
        ({"status": "FAILURE", "fail_reason": {"code": "E_9", "message": "x"}}, State.FAILED, Reason.TIMEOUT),
        ({"status": "SUCCESS"}, State.SUCCEEDED, None),
        ({"status": "FAILURE", "fail_reason": "任务超时"}, State.FAILED, Reason.TIMEOUT),
    ],
    ids=str,
)
async def test_words_of_the_settings_add_to_the_tables(
    connect: Connect, given: dict[str, Any], state: State, reason: Reason | None
) -> None:
    one = await connect(KEY | WORDS, detail(**given)).observe()
    assert (one.state, one.reason, one.unmapped) == (state, reason, frozenset())


async def test_words_of_the_settings_go_before_those_of_the_tables(connect: Connect) -> None:
    words = {"states": {"sora": {"blocked": ["queued"]}}, "reasons": {"sora": {"auth": ["quota_not_enough"]}}}
    line = connect(KEY | words, detail(status="QUEUED"), detail(status="FAILURE", fail_reason="quota_not_enough"))
    assert (await line.observe()).state is State.BLOCKED
    assert (await line.observe()).reason is Reason.AUTH


@pytest.mark.parametrize(
    ("given", "strange"),
    [
        ({"status": "Odd-One"}, ((Field.STATE, "odd-one"),)),
        ({"status": "FAILURE", "fail_reason": {"code": "E_ODD", "message": "x y"}}, ((Field.REASON, "e_odd"),)),
        ({"status": "FAILURE", "fail_reason": "timeout"}, ()),
        ({"status": {"a": 1}}, ()),
    ],
    ids=str,
)
async def test_words_that_no_table_maps_are_told(connect: Connect, given: dict[str, Any], strange: object) -> None:
    assert (await observed(connect, **given)).strange == strange
