"""Chanjing: two feeds that number their states differently, and a token whose renewal logs others out."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
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
    TaskNotFound,
    VendorFailed,
)
from exporter.config.models import FileReference
from exporter.tasks import Clock, Field, Observation, Reason, State
from tests.harness import Connect, Load, MemoryVault

GIVEN = {"type": "chanjing", "access_token": "TOKEN"}
OBTAINED = {"type": "chanjing", "app_id": "APP", "secret_key": "KEY"}
FAR = 4102444800  # the year 2100
KINDS = ("lip_sync", "video")


def detail(**fields: Any) -> dict[str, Any]:
    """The answer of either detail."""
    return {"trace_id": "1", "code": 0, "msg": "success", "data": {"id": "a", "msg": "", **fields}}


async def observed(connect: Connect, kind: str, **fields: Any) -> Observation:
    (one,) = await connect(GIVEN, detail(**fields)).feeds[kind].look_up("a")
    assert isinstance(one, Observation)
    return one


# What the details show.


async def test_the_documented_lip_sync_detail(connect: Connect, load: Load) -> None:
    line = connect(GIVEN, load("chanjing/lip_sync_detail.json"))
    task_id = "9499ed79995c4bdb95f0d66ca84419fd"
    assert await line.feeds["lip_sync"].look_up(task_id) == [
        Observation(task_id, State.SUCCEEDED, progress=1.0, submitted=1738636800)  # the sample omits the duration
    ]
    (request,) = line.vendor.requests
    assert request.method == "GET"
    assert str(request.url) == f"https://open-api.chanjing.cc/open/v1/video_lip_sync/detail?id={task_id}"
    assert request.headers["access_token"] == "TOKEN"
    assert "Authorization" not in request.headers


async def test_the_documented_video_detail(connect: Connect, load: Load) -> None:
    line = connect(
        GIVEN | {"base_url": "https://www.chanjing.cc/api"},  # the host of the older documents
        load("chanjing/video_detail.json"),
    )
    task_id = "d5183e2974c2453a84173a8bdb556504"
    assert await line.feeds["video"].look_up(task_id) == [
        Observation(task_id, State.SUCCEEDED, progress=1.0, submitted=1723102269, output_seconds=34)
    ]
    assert str(line.vendor.requests[0].url) == f"https://www.chanjing.cc/api/open/v1/video?id={task_id}"


@pytest.mark.parametrize(
    ("kind", "status", "state"),
    [
        ("lip_sync", 0, State.QUEUED),
        ("lip_sync", 10, State.RUNNING),
        ("lip_sync", 20, State.SUCCEEDED),
        ("lip_sync", 30, State.FAILED),
        ("lip_sync", "20", State.SUCCEEDED),
        ("video", 10, State.RUNNING),
        ("video", 30, State.SUCCEEDED),
        ("video", 40, State.FAILED),
        ("video", 49, State.FAILED),
        ("video", 50, State.FAILED),
        ("video", 59, State.FAILED),
    ],
)
async def test_states(connect: Connect, kind: str, status: object, state: State) -> None:
    one = await observed(connect, kind, status=status)
    assert (one.state, one.unmapped) == (state, frozenset())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("lip_sync", 40),
        ("lip_sync", -1),
        ("lip_sync", None),
        ("lip_sync", "done"),
        ("lip_sync", 20.5),
        ("video", 0),
        ("video", 20),
        ("video", 39),
        ("video", 60),
        ("video", [30]),
    ],
)
async def test_a_state_of_no_table_is_unknown_and_named(connect: Connect, kind: str, status: object) -> None:
    one = await observed(connect, kind, status=status)
    assert (one.state, one.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize(
    ("kind", "end", "duration", "seconds"),
    [
        ("lip_sync", 20, 12345, 12.345),  # milliseconds
        ("video", 30, 34, 34.0),  # seconds
        ("lip_sync", 20, 0, None),
        ("video", 30, None, None),
        ("lip_sync", 30, 12345, None),  # a failure made no video
        ("video", 50, 34, None),
    ],
)
async def test_clip_lengths(connect: Connect, kind: str, end: int, duration: object, seconds: float | None) -> None:
    assert (await observed(connect, kind, status=end, duration=duration)).output_seconds == seconds


@pytest.mark.parametrize("kind", KINDS)
async def test_only_the_submission_is_dated(connect: Connect, kind: str) -> None:
    one = await observed(connect, kind, status=10, progress=40, create_time=1738636800)
    assert (one.submitted, one.started, one.ended, one.dated) == (1738636800, None, None, None)
    assert connect(GIVEN, {}).feeds[kind].clock is Clock.OBSERVED


@pytest.mark.parametrize("unset", [0, None])
async def test_an_unset_submission(connect: Connect, unset: int | None) -> None:
    assert (await observed(connect, "video", status=10, create_time=unset)).submitted is None


MESSAGES = [
    ("蝉豆不足扣费失败", Reason.INSUFFICIENT_BALANCE),
    ("蝉豆余额不足，请充值", Reason.INSUFFICIENT_BALANCE),
    ("蝉豆不足", Reason.INSUFFICIENT_BALANCE),
    ("账户欠费", Reason.INSUFFICIENT_BALANCE),
    ("您需要至少输入1S以上的内容", Reason.INVALID_INPUT),
    ("音频中没有人声,请检查是否为单声道", Reason.INVALID_INPUT),
    ("不支持的音频格式,仅支持:audio/x-wav,audio/mpeg,audio/m4a,video/mp4", Reason.INVALID_INPUT),
    ("不支持纯数字文本", Reason.INVALID_INPUT),
    ("暂不支持该语种", Reason.INVALID_INPUT),
    ("上传音频文件失败", Reason.PROVIDER_INTERNAL),
    ("上传背景文件失败, 请检查网络", Reason.PROVIDER_INTERNAL),
    ("内容审核不通过", Reason.MODERATION),
]


@pytest.mark.parametrize(("kind", "failure"), [("lip_sync", 30), ("video", 40), ("video", 50)])
@pytest.mark.parametrize(("msg", "reason"), MESSAGES)
async def test_the_message_tells_the_reason_before_the_range_does(
    connect: Connect, kind: str, failure: int, msg: str, reason: Reason
) -> None:
    one = await observed(connect, kind, status=failure, msg=msg)
    assert (one.state, one.reason, one.unmapped) == (State.FAILED, reason, frozenset())


@pytest.mark.parametrize(
    ("kind", "status", "msg", "reason", "unmapped"),
    [
        ("video", 40, "", Reason.INVALID_INPUT, set()),
        ("video", 43, "", Reason.INVALID_INPUT, set()),
        ("video", 49, "", Reason.INVALID_INPUT, set()),
        ("video", 50, "", Reason.PROVIDER_INTERNAL, set()),
        ("video", 59, "", Reason.PROVIDER_INTERNAL, set()),
        ("video", 43, "天气不好", Reason.INVALID_INPUT, set()),
        ("video", 57, "天气不好", Reason.PROVIDER_INTERNAL, set()),
        ("lip_sync", 30, "", Reason.UNKNOWN, set()),
        ("lip_sync", 30, "天气不好", Reason.UNKNOWN, {Field.REASON}),
    ],
)
async def test_failures_in_other_words(
    connect: Connect, kind: str, status: int, msg: str, reason: Reason, unmapped: set[Field]
) -> None:
    one = await observed(connect, kind, status=status, msg=msg)
    assert one.reason is reason
    assert one.unmapped == unmapped


@pytest.mark.parametrize(("kind", "end", "msg"), [("lip_sync", 20, "success"), ("video", 30, "")])
async def test_the_message_of_a_success_is_no_reason(connect: Connect, kind: str, end: int, msg: str) -> None:
    one = await observed(connect, kind, status=end, msg=msg)
    assert (one.reason, one.unmapped) == (None, frozenset())


# The lists.


@pytest.mark.parametrize(
    ("kind", "path", "states"),
    [
        ("lip_sync", "video_lip_sync/list", [State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED]),
        ("video", "video_list", [State.RUNNING, State.SUCCEEDED, State.FAILED, State.FAILED]),
    ],
)
async def test_the_documented_lists(connect: Connect, load: Load, kind: str, path: str, states: list[State]) -> None:
    line = connect(GIVEN, load(f"chanjing/{kind}_list.json"))
    page = await line.page(kind=kind)
    assert [one.state for one in page.observations] == states
    assert all(not one.unmapped for one in page.observations)
    assert (page.last, page.malformed) == (True, 0)
    assert str(line.vendor.requests[0].url) == f"https://open-api.chanjing.cc/open/v1/{path}"
    assert line.vendor.requests[0].method == "POST"
    assert line.vendor.sent() == {"page": 1, "page_size": 50}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "info"), [("list", "page_info"), ("List", "PageInfo"), ("List", "page_info")])
async def test_both_spellings_of_the_list_keys(connect: Connect, kind: str, rows: str, info: str) -> None:
    data = {rows: [{"id": "a", "status": 10}], info: {"page": 1, "size": 50, "total_count": 1, "total_page": 1}}
    page = await connect(GIVEN, {"code": 0, "msg": "", "data": data}).page(kind=kind)
    assert ([one.id for one in page.observations], page.last) == (["a"], True)


@pytest.mark.parametrize("info", [None, {"page": 1, "size": 50, "total_count": 0, "total_page": 0}])
async def test_a_null_list_is_empty_and_the_last(connect: Connect, info: object) -> None:
    answer = {"code": 0, "msg": "success", "data": {"list": None, "page_info": info}}
    page = await connect(GIVEN, answer).page(kind="lip_sync")
    assert (page.observations, page.last) == ([], True)


@pytest.mark.parametrize("told", [20, 50, None], ids=["says the cut size", "repeats ours", "says nothing"])
async def test_a_page_size_that_the_vendor_cuts_hides_no_task(connect: Connect, told: int | None) -> None:
    tasks = [{"id": f"{number}", "status": 10} for number in range(45)]

    def cut(request: httpx.Request) -> httpx.Response:
        first = 20 * (json.loads(request.content)["page"] - 1)
        data = {"list": tasks[first : first + 20], "page_info": {"size": told, "total_count": 45}}
        return httpx.Response(200, json={"code": 0, "msg": "", "data": data})

    line = connect(GIVEN, cut)
    read: list[str] = []
    for index in range(10):
        page = await line.page(index, kind="video", received=len(read))
        read += [one.id for one in page.observations]
        if page.last:
            break
    assert read == [task["id"] for task in tasks]
    assert index <= 3


async def test_without_a_total_an_empty_page_is_the_last(connect: Connect) -> None:
    full = {"code": 0, "msg": "", "data": {"list": [{"id": "a", "status": 10}]}}
    line = connect(GIVEN, full, {"code": 0, "msg": "", "data": {"list": []}})
    assert [(await line.page(index, kind="video")).last for index in range(2)] == [False, True]
    assert [line.vendor.sent(position)["page"] for position in range(2)] == [1, 2]


async def test_spoiled_rows_are_counted_beside_the_good_ones(connect: Connect) -> None:
    rows = [None, "a", {"status": 10}, {"id": "", "status": 10}, {"id": "b", "status": 10}, {"id": True}]
    page = await connect(GIVEN, {"code": 0, "data": {"list": rows}}).page(kind="video")
    assert ([one.id for one in page.observations], page.malformed) == (["b"], 5)


# What the vendor refuses, at HTTP 200.

CODES = [
    (10400, "AccessToken验证失败", AuthRefused),
    (10400, "APP状态错误", AuthRefused),
    (10401, "", AuthRefused),
    (400, "", RequestInvalid),
    (40000, "参数错误", RequestInvalid),
    (40001, "超出QPS限制", RateLimited),
    (40002, "", BalanceExhausted),
    (50000, "系统内部错误", VendorFailed),
    (51000, "", VendorFailed),
    (77777, "", ContractBroken),
]


@pytest.mark.parametrize(("code", "msg", "error"), CODES)
async def test_codes_of_a_refused_list_at_http_200(
    connect: Connect, code: int, msg: str, error: type[CallError]
) -> None:
    line = connect(GIVEN, {"trace_id": "1", "code": code, "msg": msg, "data": None})
    with pytest.raises(error) as refused:
        await line.page(kind="video")
    assert line.errors == {("list", error.error): 1}
    assert str(refused.value) == f"the vendor refused the call (HTTP 200, code {code})"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"code": 0, "msg": "success", "data": None}, ContractBroken),
        (200, {"code": 0, "msg": "success", "data": []}, ContractBroken),
        (200, {"code": 0, "msg": "success", "data": {"page_info": {}}}, ContractBroken),
        (200, {"code": 0, "msg": "success", "data": {"list": {}}}, ContractBroken),
        (200, {"msg": "success"}, ContractBroken),
        (200, {"code": "weird", "msg": "", "data": None}, ContractBroken),
        (401, {"code": 0, "msg": "", "data": {"list": []}}, AuthRefused),
        (429, b"", RateLimited),
        (502, b"<html>Bad Gateway</html>", VendorFailed),
    ],
    ids=["null", "array", "no list", "list of another shape", "no code", "code of no number", "401", "429", "502"],
)
async def test_other_refused_lists(connect: Connect, status: int, body: Any, error: type[CallError]) -> None:
    line = connect(GIVEN, (status, body))
    with pytest.raises(error):
        await line.page(kind="video")
    assert line.errors == {("list", error.error): 1}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "answer",
    [{"code": 0, "data": None}, {"code": 0, "data": {}}, {"code": 40000, "msg": "参数错误"}, {"code": 400, "msg": ""}],
    ids=["null", "empty", "40000", "400"],
)
async def test_a_task_that_the_vendor_does_not_know_is_an_answer(connect: Connect, kind: str, answer: Any) -> None:
    line = connect(GIVEN, answer)
    with pytest.raises(TaskNotFound):
        await line.feeds[kind].look_up("gone")
    assert line.errors == {}


async def test_a_missing_endpoint_is_no_missing_task(connect: Connect) -> None:
    line = connect(GIVEN, (404, b"<html>Not Found</html>"))
    with pytest.raises(RequestInvalid):
        await line.feeds["video"].look_up("a")


@pytest.mark.parametrize("data", [{"status": 10}, "a", [1]], ids=repr)
async def test_a_detail_without_a_task(connect: Connect, data: object) -> None:
    line = connect(GIVEN, {"code": 0, "msg": "", "data": data})
    with pytest.raises(ContractBroken):
        await line.feeds["video"].look_up("a")
    assert line.errors == {("detail", "contract"): 1}


# The token.


class TokenOffice:
    """A vendor at which a new token ends the one before, as Chanjing's does."""

    def __init__(self, expire_in: float = FAR) -> None:
        self.issued = 0
        self.expire_in = expire_in
        self.refused = 0

    @property
    def good(self) -> str:
        return f"TOKEN-{self.issued}"

    def renew(self) -> str:
        self.issued += 1
        return self.good

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/open/v1/access_token":
            if json.loads(request.content) != {"app_id": "APP", "secret_key": "KEY"}:
                return httpx.Response(200, json={"code": 10400, "msg": "APP状态错误", "data": None})
            data: object = {"access_token": self.renew(), "expire_in": self.expire_in}
        elif request.headers["access_token"] != self.good:
            self.refused += 1
            return httpx.Response(200, json={"code": 10400, "msg": "AccessToken验证失败", "data": None})
        else:
            data = {"list": [], "page_info": {"total_count": 0}}
        return httpx.Response(200, json={"trace_id": "1", "code": 0, "msg": "success", "data": data})


async def test_a_token_is_obtained_once_for_both_feeds(connect: Connect, token_store: MemoryVault) -> None:
    office = TokenOffice()
    line = connect(OBTAINED, office, token_store=token_store)
    await asyncio.gather(*(line.page(kind=kind) for kind in line.feeds))
    await line.page(kind="video")
    assert (office.issued, office.refused) == (1, 0)
    assert line.errors == {}
    assert list(token_store.values()) == [("TOKEN-1", FAR)]  # expire_in is the time of the end, despite its name


async def test_an_expire_in_that_is_what_its_name_says(connect: Connect, token_store: MemoryVault) -> None:
    await connect(OBTAINED, TokenOffice(expire_in=7200), token_store=token_store).page(kind="video")
    ((_, expires),) = token_store.values()
    assert expires == pytest.approx(time.time() + 7200, abs=5)


async def test_a_token_outlives_a_restart(connect: Connect, token_store: MemoryVault) -> None:
    office = TokenOffice()
    await connect(OBTAINED, office, token_store=token_store).page(kind="video")
    await connect(OBTAINED, office, token_store=token_store).page(kind="video")
    assert (office.issued, office.refused) == (1, 0)


async def test_another_application_does_not_inherit_the_token(connect: Connect, token_store: MemoryVault) -> None:
    office = TokenOffice()
    await connect(OBTAINED, office, token_store=token_store).page(kind="video")
    with pytest.raises(AuthRefused):
        await connect(OBTAINED | {"app_id": "OTHER"}, office, token_store=token_store).page(kind="video")


async def test_a_refused_token_is_renewed_once_for_both_feeds(connect: Connect, token_store: MemoryVault) -> None:
    office = TokenOffice()
    line = connect(OBTAINED, office, token_store=token_store)
    await line.page(kind="video")
    office.renew()  # another holder
    await asyncio.gather(*(line.page(kind=kind) for kind in line.feeds))
    assert office.issued == 3
    assert list(token_store.values()) == [("TOKEN-3", FAR)]


async def test_two_holders_do_not_throw_each_other_out_in_turn(connect: Connect) -> None:
    office = TokenOffice()
    line = connect(OBTAINED, office)
    await line.page(kind="video")
    office.renew()
    await line.page(kind="video")
    for _ in range(20):
        office.renew()
        with pytest.raises(AuthRefused, match="another holder renews it too"):
            await line.page(kind="video")
    assert office.issued == 23  # of which ours are two


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"access_token": "", "expire_in": FAR},
        {"access_token": "TOKEN\n1", "expire_in": FAR},
        {"access_token": "令牌", "expire_in": FAR},
        {"access_token": "TOKEN"},
        {"access_token": "TOKEN", "expire_in": "tomorrow"},
    ],
    ids=repr,
)
async def test_a_token_that_cannot_be_used_breaks_the_contract(
    connect: Connect, token_store: MemoryVault, data: object
) -> None:
    line = connect(OBTAINED, {"code": 0, "msg": "success", "data": data}, token_store=token_store)
    with pytest.raises(ContractBroken):
        await line.page(kind="video")
    assert line.errors == {("token", "contract"): 1}
    assert token_store == {}


async def test_wrong_application_credentials_are_refused(connect: Connect) -> None:
    line = connect(OBTAINED | {"secret_key": "WRONG"}, TokenOffice())
    with pytest.raises(AuthRefused):
        await line.page(kind="video")
    assert line.errors == {("token", "auth"): 1}


async def test_a_token_file_that_its_owner_changes_is_read_again(connect: Connect, tmp_path: Path) -> None:
    office = TokenOffice()
    file = tmp_path / "token"
    file.write_text(office.renew() + "\n")
    line = connect({"type": "chanjing", "access_token": FileReference(str(file))}, office)
    await line.page(kind="video")
    file.write_text(office.renew() + " \n")
    await line.page(kind="video")
    assert (office.issued, office.refused) == (2, 0)


async def test_a_token_file_changed_during_the_call_is_used_after_the_refusal(connect: Connect, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("TOKEN-OLD")

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["access_token"] == "TOKEN-NEW":
            return httpx.Response(200, json={"code": 0, "data": {"list": []}})
        file.write_text("TOKEN-NEW")
        return httpx.Response(200, json={"code": 10400, "msg": "AccessToken验证失败"})

    line = connect({"type": "chanjing", "access_token_file": str(file)}, answer)
    assert (await line.page(kind="video")).last
    assert len(line.vendor.requests) == 2


async def test_a_given_token_that_is_refused_is_not_tried_twice(connect: Connect) -> None:
    line = connect(GIVEN, TokenOffice())
    with pytest.raises(AuthRefused):
        await line.page(kind="video")
    assert len(line.vendor.requests) == 1


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"app_id": "APP"},
        {"secret_key": "KEY"},
        {"access_token": "TOKEN", "app_id": "APP"},
        {"access_token": "TOKEN", "app_id": "APP", "secret_key": "KEY"},
    ],
    ids=lambda given: "+".join(given) or "none",
)
async def test_credentials_are_a_token_or_an_application(connect: Connect, credentials: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="give exactly one of access_token, or app_id with secret_key"):
        connect({"type": "chanjing"} | credentials, {})


@pytest.mark.parametrize("kind", ["lip_sync", "video"])
async def test_a_status_that_no_table_knows_comes_with_what_proves_an_end(connect: Connect, kind: str) -> None:
    url = "https://cdn.example/v.mp4"
    good = await observed(connect, kind, status=77, progress=100, msg="success", video_url=url)
    assert (good.state, good.progress, good.result, good.fault) == (State.UNKNOWN, 1.0, True, None)
    bad = await observed(connect, kind, status=77, progress=100, msg="蝉豆不足扣费失败", video_url="")
    assert (bad.state, bad.result, bad.fault) == (State.UNKNOWN, False, Reason.INSUFFICIENT_BALANCE)
