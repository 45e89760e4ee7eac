"""faceWap: a history eight hours early, ids that are called prompts, parents that stand for their sub-tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.client.errors import (
    AuthRefused,
    CallError,
    ContractBroken,
    Intercepted,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    VendorFailed,
)
from exporter.tasks import Clock, Field, Observation, Reason, State
from tests.harness import Connect, Load

USER = {"type": "facewap", "base_url": "https://facewap.example", "token": "TOKEN"}
EIGHT_HOURS = 28800


def history(*rows: object) -> dict[str, Any]:
    return {"code": 200, "msg": "SUCCESS", "data": list(rows)}


async def observed(connect: Connect, **fields: Any) -> Observation:
    page = await connect(USER, history({"promptId": "1", "state": 20, **fields})).page()
    (one,) = page.observations
    assert isinstance(one, Observation)
    return one


async def test_the_documented_history(connect: Connect, load: Load) -> None:
    line = connect(USER, load("facewap/history.json"))
    page = await line.page()
    # The prompt's id identifies: taskId is a number as text that the document calls the key of another table.
    assert page.observations == [Observation("313902995386602", State.SUCCEEDED, dated=1758489933 + EIGHT_HOURS)]
    (request,) = line.vendor.requests
    assert (request.method, str(request.url)) == ("POST", "https://facewap.example/videoTaskHistory")
    assert line.vendor.sent() == {"page": 1, "pageSize": 20}
    assert line.feed.clock is Clock.OBSERVED


async def test_every_state_and_reason(connect: Connect, load: Load) -> None:
    page = await connect(USER, load("facewap/history_of_all_states.json")).page()
    assert [(one.state, one.reason) for one in page.observations] == [
        (State.QUEUED, None),
        (State.RUNNING, None),
        (State.FAILED, Reason.MODERATION),
        (State.FAILED, Reason.UNKNOWN),
        (State.SUCCEEDED, None),
    ]
    assert all(not one.unmapped for one in page.observations)  # "unknown error" is a documented reason


@pytest.mark.parametrize("state", [25, 0, 40, None, "done"], ids=repr)
async def test_a_state_of_no_table_is_unknown_and_named(connect: Connect, state: object) -> None:
    one = await observed(connect, state=state)
    assert (one.state, one.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("text", "reason", "unmapped"),
    [
        ("new_sensitive", Reason.MODERATION, set()),
        ("output new_sensitive (1027)", Reason.MODERATION, set()),
        ("Unknown Error", Reason.UNKNOWN, set()),
        ("", Reason.UNKNOWN, set()),
        (None, Reason.UNKNOWN, set()),
        ("bad luck", Reason.UNKNOWN, {Field.REASON}),
        (1026, Reason.UNKNOWN, {Field.REASON}),
    ],
    ids=repr,
)
async def test_reasons(connect: Connect, text: object, reason: Reason, unmapped: set[Field]) -> None:
    one = await observed(connect, state=2, reason=text)
    assert one.reason is reason
    assert one.unmapped == unmapped


async def test_only_a_failure_has_a_reason(connect: Connect) -> None:
    assert (await observed(connect, state=30, reason="new_sensitive")).reason is None


@pytest.mark.parametrize("prompt_id", ["313902995386602", 313902995386602], ids=repr)
async def test_ids_beyond_32_bits_as_text_and_as_number(connect: Connect, prompt_id: object) -> None:
    assert (await observed(connect, promptId=prompt_id)).id == "313902995386602"


@pytest.mark.parametrize(
    ("given", "settings", "dated"),
    [
        (1758489933, {}, 1758518733),  # the result file's own name says 1758518732.4
        (1758489933000, {}, 1758518733),
        (1758489933, {"created_at_offset": "0s"}, 1758489933),
        (0, {}, None),
        (None, {}, None),
    ],
)
async def test_created_at_is_eight_hours_early_and_no_time_of_the_task(
    connect: Connect, given: object, settings: dict[str, str], dated: float | None
) -> None:
    line = connect(USER | settings, history({"promptId": "1", "state": 30, "createdAt": given}))
    (one,) = (await line.page()).observations
    assert one.dated == dated
    assert (one.submitted, one.started, one.ended) == (None, None, None)


async def test_a_broken_field_costs_that_field_alone(connect: Connect) -> None:
    one = await observed(connect, createdAt="yesterday")
    assert (one.state, one.dated, one.unmapped) == (State.RUNNING, None, frozenset({Field.ENDED}))


async def test_only_an_empty_page_is_the_last(connect: Connect) -> None:
    """A short one is not: the backend may cut the page size."""
    rows = [{"promptId": str(number), "state": 10} for number in range(3)]
    line = connect(USER | {"page_size": 3}, history(*rows), history(*rows[:2]), history())
    assert [(await line.page(index)).last for index in range(3)] == [False, False, True]
    assert [line.vendor.sent(position) for position in range(3)] == [
        {"page": number, "pageSize": 3} for number in (1, 2, 3)
    ]


async def test_spoiled_rows_fill_a_page_too(connect: Connect) -> None:
    line = connect(USER | {"page_size": 3}, history(None, {"taskId": "153", "state": 10}, {"promptId": "1"}))
    page = await line.page()
    assert ([one.id for one in page.observations], page.malformed, page.last) == (["1"], 2, False)


@pytest.mark.parametrize(
    "answer",
    [history(), {"code": 200, "msg": "SUCCESS", "data": None}, {"code": 900, "msg": "no data"}],
    ids=["empty", "null", "900"],
)
async def test_a_history_without_tasks(connect: Connect, answer: object) -> None:
    line = connect(USER, answer)
    page = await line.page()
    assert (page.observations, page.last, line.errors) == ([], True, {})


# Details.


async def test_the_detail_of_a_single_task(connect: Connect, load: Load) -> None:
    line = connect(USER, load("facewap/single_task_info.json"))
    assert await line.feed.look_up(f"{7:032x}") == [Observation(f"{7:032x}", State.RUNNING)]
    (request,) = line.vendor.requests
    assert (request.method, str(request.url)) == ("GET", f"https://facewap.example/getTaskInfo?promptId={7:032x}")


async def test_sub_tasks_are_counted_instead_of_their_parent(connect: Connect, load: Load) -> None:
    shown = await connect(USER, load("facewap/task_info.json")).feed.look_up("f" * 32)
    assert shown == [
        Observation(f"{1:032x}", State.SUCCEEDED),
        Observation(f"{2:032x}", State.FAILED, Reason.MODERATION),
    ]


async def test_a_sub_task_that_is_asked_for_comes_alone(connect: Connect, load: Load) -> None:
    shown = await connect(USER, load("facewap/task_info.json")).feed.look_up(f"{2:032x}")
    assert [one.id for one in shown] == [f"{2:032x}"]


@pytest.mark.parametrize(
    "answer",
    [{"code": 900, "msg": "no data"}, {"code": 200, "data": None}, {"code": 200, "data": {}}],
    ids=["900", "null", "empty"],
)
async def test_a_task_that_the_vendor_does_not_know_is_an_answer(connect: Connect, answer: object) -> None:
    line = connect(USER, answer)
    with pytest.raises(TaskNotFound):
        await line.feed.look_up("1")
    assert line.errors == {}


@pytest.mark.parametrize("data", [{"state": 30}, [1], "text", {"promptId": "", "taskList": [{}]}], ids=repr)
async def test_a_detail_without_a_task(connect: Connect, data: object) -> None:
    line = connect(USER, {"code": 200, "data": data})
    with pytest.raises(ContractBroken):
        await line.feed.look_up("1")
    assert line.errors == {("detail", "contract"): 1}


# Refusals and the token.


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"code": 510, "msg": "系统异常"}, VendorFailed),
        (200, {"code": 510, "msg": ""}, VendorFailed),
        (200, {"code": 800, "msg": "参数错误"}, RequestInvalid),
        (200, {"code": 401, "msg": ""}, AuthRefused),
        (200, {"code": 403, "msg": ""}, AuthRefused),
        (200, {"code": 999, "msg": "token 无效，鉴权失败"}, AuthRefused),
        (200, {"code": 999, "msg": ""}, ContractBroken),
        (200, {"code": 200, "msg": "SUCCESS", "data": {"a": 1}}, ContractBroken),
        (200, {"msg": "SUCCESS", "data": []}, ContractBroken),
        (401, {"code": 200, "msg": "SUCCESS", "data": []}, AuthRefused),
        (429, b"", RateLimited),
        (500, b"<html>", VendorFailed),
        (200, b"<html>", Intercepted),
    ],
    ids=[
        "510",
        "510 without words",
        "800",
        "401",
        "403",
        "words",
        "unknown",
        "object",
        "no code",
        "HTTP 401",
        "HTTP 429",
        "page",
        "page 200",
    ],
)
async def test_refused_lists(connect: Connect, status: int, body: Any, error: type[CallError]) -> None:
    line = connect(USER, (status, body))
    with pytest.raises(error):
        await line.page()
    assert line.errors == {("list", error.error): 1}


@pytest.mark.parametrize(("settings", "sent"), [({}, "TOKEN"), ({"bearer": True}, "Bearer TOKEN")])
async def test_the_token_is_sent_as_configured(connect: Connect, settings: dict[str, bool], sent: str) -> None:
    line = connect(USER | settings, history())
    await line.page()
    assert line.vendor.requests[0].headers["Authorization"] == sent


async def test_a_token_file_that_its_owner_changes_is_read_after_a_refusal(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("OLD")

    def answer(request: httpx.Request) -> httpx.Response:
        good = request.headers["Authorization"] == "NEW"
        file.write_text("NEW")
        return httpx.Response(200, json=history() if good else {"code": 401, "msg": ""})

    line = connect({"type": "facewap", "base_url": "https://facewap.example", "token_file": str(file)}, answer)
    assert (await line.page()).last
