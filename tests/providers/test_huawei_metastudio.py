"""MetaStudio: the order and the filters asked for, states and times, codes against statuses, three ways to sign in."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    ContractBroken,
    Intercepted,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    VendorFailed,
)
from exporter.config.models import Secret
from exporter.tasks import Clock, Field, Observation, Reason, State
from exporter.vendors.builtin.huawei_metastudio import Signature
from tests.harness import Connect, Line, Load, MemoryVault

PROJECT = "0d697589d98091f12f92c0073501cd79"
TYPE = {"type": "huawei_metastudio", "project_id": PROJECT}
TOKEN = TYPE | {"auth_token": "TOKEN"}
KEYS = TYPE | {"access_key": "ACCESS", "secret_key": "SECRET"}
IAM = TYPE | {
    "iam": {"endpoint": "https://iam.example", "domain": "DOMAIN", "username": "USER", "password": "PASSWORD"}
}
HOST = "https://metastudio.cn-north-4.myhuaweicloud.com"
SUBMITTED = 1772352000.0  # 2026-03-01T08:00:00Z


def listing(*jobs: object, count: int | None = None) -> dict[str, Any]:
    return {"count": len(jobs) if count is None else count, "jobs": list(jobs)}


async def observed(connect: Connect, **fields: Any) -> Observation:
    return await connect(TOKEN, listing({"job_id": "a", **fields})).observe("a")


async def test_the_documented_list(connect: Connect, load: Load) -> None:
    line = connect(TOKEN, load("huawei_metastudio/list.json"))
    page = await line.page()
    assert page.observations == [
        Observation(
            "26f06524-4f75-4b3a-a853-b649a21aaf66",
            State.SUCCEEDED,
            submitted=1669791596,  # in the sample it is submitted ten months after its end: for the ledger to reject
            started=1642523376,
            ended=1642523436,
            output_seconds=60,
        )
    ]
    assert page.last
    assert line.feed.clock is Clock.PROVIDER
    (request,) = line.vendor.requests
    assert (request.method, request.url.path) == ("GET", f"/v1/{PROJECT}/digital-human-videos")
    assert request.headers["X-Auth-Token"] == "TOKEN"
    assert "Authorization" not in request.headers


async def test_every_state_with_its_times_and_reason(connect: Connect, load: Load) -> None:
    page = await connect(TOKEN, load("huawei_metastudio/list_of_all_states.json")).page()
    told = [
        (
            one.state,
            one.reason,
            *(None if at is None else at - SUBMITTED for at in (one.submitted, one.started, one.ended)),
            one.output_seconds,
        )
        for one in page.observations
    ]
    assert told == [
        (State.QUEUED, None, 0, None, None, None),
        (State.RUNNING, None, 0, 20, None, None),
        (State.BLOCKED, None, 0, None, None, None),
        (State.SUCCEEDED, None, 0, 20, 200, 61.5),
        (State.FAILED, Reason.INVALID_INPUT, 0, 20, 50, None),
        (State.CANCELLED, None, 0, None, 10, None),
    ]
    assert all(not one.unmapped and one.progress is None for one in page.observations)


@pytest.mark.parametrize("state", ["SUCCEEDED", "CANCELLED", "PUBLISHED", "", None, 30, []], ids=repr)
async def test_a_state_of_no_table_is_unknown_and_named(connect: Connect, state: object) -> None:
    one = await observed(connect, state=state)
    assert (one.state, one.unmapped) == (State.UNKNOWN, frozenset({Field.STATE}))


@pytest.mark.parametrize("unset", [None, "", 0], ids=repr)
async def test_unset_times(connect: Connect, unset: object) -> None:
    one = await observed(connect, state="WAITING", create_time=unset, start_time=unset, end_time=unset)
    assert (one.submitted, one.started, one.ended, one.unmapped) == (None, None, None, frozenset())


@pytest.mark.parametrize(
    ("error", "reason", "unmapped"),
    [
        ({"error_code": "MSS.20010019", "error_msg": "…"}, Reason.INVALID_INPUT, set()),
        ({"error_code": "MSS.20010020", "error_msg": "…"}, Reason.INVALID_INPUT, set()),
        ({"error_code": "MSS.20010135", "error_msg": "…"}, Reason.INSUFFICIENT_BALANCE, set()),
        ({"error_code": "MSS.10001007", "error_msg": "…"}, Reason.INVALID_INPUT, set()),
        ({"error_code": "MSS.00000004", "error_msg": "Internal Error"}, Reason.PROVIDER_INTERNAL, set()),
        ({"error_code": "MSS.000000004", "error_msg": "Not authorized"}, Reason.AUTH, set()),  # of nine digits
        ({"error_code": "MSS.99999999", "error_msg": "脚本包含敏感词"}, Reason.MODERATION, set()),
        ({"error_code": "MSS.99999999", "error_msg": "内容审核未通过"}, Reason.MODERATION, set()),
        ({"error_code": "MSS.99999999", "error_msg": "sensitive content"}, Reason.MODERATION, set()),
        ({"error_code": "MSS.99999999", "error_msg": "…"}, Reason.UNKNOWN, {Field.REASON}),
        ({"error_code": None, "error_msg": None}, Reason.UNKNOWN, set()),
        ({"error_code": 7}, Reason.UNKNOWN, {Field.REASON}),
        ("broken", Reason.UNKNOWN, {Field.REASON}),
        (None, Reason.UNKNOWN, set()),
    ],
    ids=repr,
)
async def test_reasons_of_failed_jobs(connect: Connect, error: object, reason: Reason, unmapped: set[Field]) -> None:
    one = await observed(connect, state="FAILED", error_info=error)
    assert one.reason is reason
    assert one.unmapped == unmapped


async def test_only_a_failure_has_a_reason(connect: Connect) -> None:
    one = await observed(connect, state="SUCCEED", error_info={"error_code": "MSS.20010019", "error_msg": "…"})
    assert one.reason is None


# Paging, filters, look-ups.


async def test_the_newest_are_asked_for_first_page_by_page(connect: Connect) -> None:
    jobs = [{"job_id": str(number), "state": "WAITING"} for number in range(100)]
    line = connect(TOKEN, listing(*jobs, count=250), listing(*jobs, count=250), listing(*jobs[:50], count=250))
    pages = [await line.page(index, received=100 * index) for index in range(3)]
    assert [page.last for page in pages] == [False, False, True]
    assert [line.vendor.sent(position) for position in range(3)] == [
        {"offset": str(offset), "limit": "100", "sort_key": "create_time", "sort_dir": "desc"}
        for offset in (0, 100, 200)
    ]


async def test_tasks_in_flight_are_asked_for_by_their_states(connect: Connect) -> None:
    line = connect(TOKEN, listing())
    assert line.feed.lists_in_flight
    assert (await line.page(in_flight=True)).last
    assert line.vendor.sent()["state"] == "WAITING,PROCESSING"
    assert b"state=WAITING%2CPROCESSING" in line.vendor.requests[0].url.query


async def test_a_look_up_asks_for_one_job(connect: Connect) -> None:
    line = connect(TOKEN, listing({"job_id": "a b&c", "state": "BLOCK"}))
    assert (await line.observe("a b&c")).state is State.BLOCKED
    assert line.vendor.sent() == {"job_id": "a b&c", "limit": "1"}


@pytest.mark.parametrize(
    "answer",
    [
        listing(),
        {"count": 0, "jobs": None},
        (404, {"error_code": "MSS.00000002", "error_msg": "Not Found"}),
    ],
    ids=["empty", "null", "404"],
)
async def test_a_job_that_the_vendor_does_not_know_is_an_answer(connect: Connect, answer: Any) -> None:
    line = connect(TOKEN, answer)
    with pytest.raises(TaskNotFound):
        await line.feed.look_up("a")
    assert line.errors == {}


async def test_a_404_of_the_list_is_a_refusal(connect: Connect) -> None:
    line = connect(TOKEN, (404, {"error_code": "MSS.00000002", "error_msg": "Not Found"}))
    with pytest.raises(RequestInvalid):
        await line.page()


@pytest.mark.parametrize(
    "answer",
    [
        (404, {"error_code": "APIGW.0101", "error_msg": "API not found"}),
        (404, b"<html>"),
        (400, {"error_code": "MSS.00000002", "error_msg": "Invalid body"}),
        (400, {}),
    ],
    ids=["gateway", "page", "invalid body", "400"],
)
async def test_a_wrong_path_is_no_missing_job(connect: Connect, answer: Any) -> None:
    with pytest.raises(RequestInvalid):
        await connect(TOKEN, answer).feed.look_up("a")


@pytest.mark.parametrize("job", [{"job_id": "b", "state": "SUCCEED"}, {"state": "SUCCEED"}, None], ids=repr)
async def test_the_detail_of_another_job_breaks_the_contract(connect: Connect, job: object) -> None:
    line = connect(TOKEN, listing(job))
    with pytest.raises(ContractBroken):
        await line.feed.look_up("a")
    assert line.errors == {("detail", "contract"): 1}


# What the vendor refuses: code before HTTP status, except where the vendor's pages contradict each other.

REFUSALS = [
    (429, "APIGW.0308", "The throttling threshold has been reached", RateLimited),
    (403, "APIGW.0308", "…", RateLimited),
    (401, "APIGW.0301", "Incorrect IAM authentication information", AuthRefused),
    (403, "APIGW.0302", "The IAM user is not authorized", AuthRefused),
    (400, "APIGW.0306", "…", AuthRefused),
    (404, "APIGW.0101", "The API does not exist", RequestInvalid),
    (413, "APIGW.0201", "Request entity too large", RequestInvalid),
    (401, "MSS.00000001", "Unauthorized", AuthRefused),
    (404, "MSS.00000002", "Not Found", RequestInvalid),
    (400, "MSS.00000002", "Invalid body", RequestInvalid),
    (400, "MSS.00000003", "Invalid parameter", RequestInvalid),
    (500, "MSS.00000004", "Internal Error", VendorFailed),
    (403, "MSS.000000004", "Not authorized", AuthRefused),
    (500, "MSS.00000001", "whatever the page says of the number", VendorFailed),
    (401, "MSS.00000004", "whatever the page says of the number", AuthRefused),
    (400, "MSS.00010008", "Invalid token", AuthRefused),
    (400, "MSS.00010008", "…", AuthRefused),
    (400, "MSS.00010009", "The tenant of the token differs", AuthRefused),
    (400, "MSS.00010003", "API not found", RequestInvalid),
    (400, "MSS.00010004", "Method not allowed", RequestInvalid),
    (400, "MSS.10000002", "…", RequestInvalid),
    (400, "MSS.10001009", "…", RequestInvalid),
    (500, "MSS.20010019", "The asset_name contains illegal characters", RequestInvalid),
    (500, "MSS.20010020", "…", RequestInvalid),
    (400, "MSS.20010135", "…", BalanceExhausted),
    (400, "MSS.12345678", "…", RequestInvalid),
    (503, "MSS.12345678", "…", VendorFailed),
]


@pytest.mark.parametrize(("status", "code", "msg", "error"), REFUSALS)
async def test_refused_lists(connect: Connect, status: int, code: str, msg: str, error: type[CallError]) -> None:
    line = connect(TOKEN, (status, {"error_code": code, "error_msg": msg}))
    with pytest.raises(error) as refused:
        await line.page()
    assert {name for _, name in line.errors} == {error.error}
    assert str(refused.value) == f"the vendor refused the call (HTTP {status}, code {code})"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"count": 1}, ContractBroken),
        (200, {"count": 1, "jobs": {}}, ContractBroken),
        (200, [], ContractBroken),
        (200, {"error_code": "MSS.00000003", "error_msg": "…"}, ContractBroken),
        (500, [], VendorFailed),
        (500, {"error_code": 4}, VendorFailed),
        (429, b"", RateLimited),
        (401, b"<html>", Intercepted),
    ],
    ids=["no jobs", "jobs of another shape", "array", "error at 200", "500 array", "500 number", "429", "401 page"],
)
async def test_other_refused_lists(connect: Connect, status: int, body: Any, error: type[CallError]) -> None:
    with pytest.raises(error):
        await connect(TOKEN, (status, body)).page()


# Signatures.

MOMENT = datetime(2026, 3, 1, 8, 0, 0, tzinfo=UTC).timestamp()


def signed_by_the_vendor(request: httpx.Request) -> str:
    """The Authorization that the vendor's own SDK makes for a request."""
    names = [name for name in ("host", "x-project-id", "x-sdk-date") if name in request.headers]
    sdk_request = SdkRequest(
        method=request.method,
        schema=request.url.scheme,
        host=request.headers["Host"],
        resource_path=request.url.raw_path.decode().partition("?")[0],
        query_params=parse_qsl(request.url.query.decode(), keep_blank_values=True),
        header_params={name: request.headers[name] for name in names},
        body=request.content,
    )
    Signer(BasicCredentials("ACCESS", "SECRET", PROJECT)).sign(sdk_request)
    return str(sdk_request.header_params["Authorization"])


REQUESTS = {
    "list": ("GET", f"{HOST}/v1/{PROJECT}/digital-human-videos?offset=0&limit=100&sort_dir=desc&state=A%2CB", None),
    "no query": ("GET", f"{HOST}/v1/{PROJECT}/digital-human-videos", None),
    "trailing slash": ("GET", f"{HOST}/v1/{PROJECT}/", None),
    "odd characters": ("GET", f"{HOST}/v1/x?job_id=a%20b%2B%26%3D%2F%3F%23~%E4%BB%BB%E5%8A%A1&empty=", None),
    "names out of order": ("GET", f"{HOST}/v1/x?b=2&a=1&B=3&a=0", None),
    "body": ("POST", f"{HOST}/v1/x", {"name": "任务"}),
    "path prefix": ("GET", "https://gateway.example:8443/meta%20studio/a+b:c@d/v1/x?limit=1", None),
}


@pytest.mark.parametrize(("method", "url", "body"), REQUESTS.values(), ids=REQUESTS)
def test_the_signature_is_that_of_the_vendors_own_signer(method: str, url: str, body: object) -> None:
    for_no_project = Signature(Secret("ACCESS"), Secret("SECRET"), wall_clock=lambda: MOMENT)
    signed = next(for_no_project.auth_flow(httpx.Request(method, url, json=body)))
    assert "X-Project-Id" not in signed.headers
    assert signed.headers["Authorization"] == signed_by_the_vendor(signed)
    request = httpx.Request(method, url, json=body)
    signature = Signature(Secret("ACCESS"), Secret("SECRET"), PROJECT, wall_clock=lambda: MOMENT)
    signed = next(signature.auth_flow(request))
    assert signed.headers["X-Sdk-Date"] == "20260301T080000Z"
    assert signed.headers["X-Project-Id"] == PROJECT
    assert signed.headers["Authorization"] == signed_by_the_vendor(request)


@pytest.mark.parametrize(
    "ask",
    [
        lambda line: line.page(2, in_flight=True),
        lambda line: line.feed.look_up("任务 a/b?c=d&e+f%20~"),
    ],
    ids=["list", "detail"],
)
@pytest.mark.parametrize("base_url", [HOST, "https://gateway.example:8443/meta-studio"])
async def test_calls_with_an_access_key_are_signed(connect: Connect, ask: Callable[[Line], Any], base_url: str) -> None:
    line = connect(KEYS | {"base_url": base_url}, listing({"job_id": "任务 a/b?c=d&e+f%20~", "state": "WAITING"}))
    await ask(line)
    (request,) = line.vendor.requests
    assert str(request.url).startswith(f"{base_url}/v1/{PROJECT}/digital-human-videos?")
    assert request.headers["Authorization"] == signed_by_the_vendor(request)
    assert "X-Auth-Token" not in request.headers


# Tokens of an IAM user.


class Iam:
    """IAM and MetaStudio in one: tokens, of which only the newest is good."""

    def __init__(self, answer: Any) -> None:
        self.issued = 0
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url == "https://iam.example/v3/auth/tokens":
            self.issued += 1
            return httpx.Response(201, headers={"X-Subject-Token": f"TOKEN-{self.issued}"}, json=self._answer)
        assert request.url.host == "metastudio.cn-north-4.myhuaweicloud.com"
        if request.headers.get("X-Auth-Token") != f"TOKEN-{self.issued}":
            return httpx.Response(401, json={"error_code": "APIGW.0301", "error_msg": "…"})
        return httpx.Response(200, json=listing())


@pytest.fixture
def iam(load: Load) -> Iam:
    token = load("huawei_metastudio/token.json")
    token["token"]["expires_at"] = "2100-01-01T00:00:00.000000Z"
    return Iam(token)


async def test_a_password_becomes_a_token_of_the_project(connect: Connect, iam: Iam, token_store: MemoryVault) -> None:
    line = connect(IAM, iam, token_store=token_store)
    await line.page()
    await line.page()
    assert iam.issued == 1
    assert json.loads(line.vendor.requests[0].content) == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "USER", "password": "PASSWORD", "domain": {"name": "DOMAIN"}}},
            },
            "scope": {"project": {"id": PROJECT}},
        }
    }
    assert list(token_store.values()) == [("TOKEN-1", 4102444800)]


async def test_a_refused_token_is_renewed_once(connect: Connect, iam: Iam, token_store: MemoryVault) -> None:
    await connect(IAM, iam, token_store=token_store).page()
    iam.issued += 1  # the old one is no longer good
    line = connect(IAM, iam, token_store=token_store)
    await line.page()
    assert iam.issued == 3
    assert line.errors == {("list", "auth"): 1}


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (401, {}, {"error": {"code": 401, "message": "The username or password is wrong.", "title": "…"}}, AuthRefused),
        (403, {}, b"", AuthRefused),
        (429, {}, b"", RateLimited),
        (500, {}, b"<html>", VendorFailed),
        (201, {}, {"token": {"expires_at": "2100-01-01T00:00:00.000000Z"}}, ContractBroken),
        (201, {"X-Subject-Token": ""}, {"token": {"expires_at": "2100-01-01T00:00:00.000000Z"}}, ContractBroken),
        (201, {"X-Subject-Token": "TOKEN"}, {"token": {"expires_at": "later"}}, ContractBroken),
        (201, {"X-Subject-Token": "TOKEN"}, {"token": None}, ContractBroken),
        (201, {"X-Subject-Token": "TOKEN"}, b"", ContractBroken),
    ],
    ids=["401", "403", "429", "500", "no header", "empty header", "no date", "null", "empty"],
)
async def test_no_token_is_to_be_had(
    connect: Connect, token_store: MemoryVault, status: int, headers: dict[str, str], body: Any, error: type[CallError]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, headers=headers, content=content)

    line = connect(IAM, answer, token_store=token_store)
    with pytest.raises(error):
        await line.page()
    assert line.errors == {("token", error.error): 1}
    assert token_store == {}


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"access_key": "ACCESS"},
        {"secret_key": "SECRET"},
        {"auth_token": "TOKEN", "access_key": "ACCESS", "secret_key": "SECRET"},
        {"auth_token": "TOKEN", "iam": IAM["iam"]},
        {"auth_token": "TOKEN", "secret_key": "SECRET"},
    ],
    ids=lambda given: "+".join(given) or "none",
)
async def test_credentials_are_exactly_one_of_three(connect: Connect, credentials: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give exactly one of auth_token, access_key with secret_key, or iam"):
        connect(TYPE | credentials, {})


async def test_a_state_that_no_table_knows_comes_with_what_proves_an_end(connect: Connect) -> None:
    end = "2026-03-01T08:00:00Z"
    good = await observed(connect, state="ARCHIVED", end_time=end, output_asset_config={"asset_id": "a1"})
    assert (good.state, good.ended, good.result, good.fault) == (State.UNKNOWN, 1772352000.0, True, None)
    error = {"error_code": "X.1", "error_msg": "sensitive content"}
    bad = await observed(connect, state="DROPPED", end_time=end, output_asset_config={}, error_info=error)
    assert (bad.state, bad.result, bad.fault) == (State.UNKNOWN, False, Reason.MODERATION)


# What is left in the account that pays.


def purses(*amounts: tuple[int, Any], debt: Any = 0, currency: Any = "CNY") -> dict[str, Any]:
    shown = [{"account_id": "a", "account_type": kind, "amount": amount, "measure_id": 1} for kind, amount in amounts]
    return {"account_balances": shown, "debt_amount": debt, "measure_id": 1, "currency": currency}


@pytest.mark.parametrize(
    ("body", "left"),
    [
        (purses((2, 900), (1, 1234.5), (5, 10)), ("cny", 1234.5)),
        (purses((1, "1,234.50"), debt="34.5"), ("cny", 1200.0)),
        (purses((1, 0), debt=12), ("cny", -12.0)),
        (purses((1, 7), debt=None, currency="USD"), ("usd", 7.0)),
        (purses((1, 7), currency=None), ("cny", 7.0)),
    ],
    ids=["of several purses that of money", "text, less the debt", "in debt", "dollars", "no currency"],
)
async def test_the_balance_is_the_purse_of_money_less_the_debt(
    connect: Connect, body: object, left: tuple[str, float]
) -> None:
    balance = await connect(TOKEN, body).balance()
    assert balance is not None
    assert (balance.unit, balance.amount) == left


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((403, {"error_code": "CBC.0151", "error_msg": "Access denied."}), AuthRefused),
        (purses((2, 5)), ContractBroken),
        (purses((1, 5), currency="EUR"), ContractBroken),
    ],
    ids=["no permission", "no purse of money", "euros"],
)
async def test_a_balance_that_cannot_be_read_is_an_error(connect: Connect, answer: Any, error: type[CallError]) -> None:
    with pytest.raises(error):
        await connect(TOKEN, answer).balance()


async def test_where_no_balance_is_told_there_is_none(connect: Connect) -> None:
    assert (
        await connect(TOKEN, (404, {"error_code": "APIGW.0101", "error_msg": "The API does not exist"})).balance()
        is None
    )


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, "https://bss.myhuaweicloud.com"),
        ({"base_url": "https://metastudio.cn-east-3.myhuaweicloud.com"}, "https://bss.myhuaweicloud.com"),
        ({"base_url": "https://metastudio.ap-southeast-3.myhuaweicloud.com"}, "https://bss-intl.myhuaweicloud.com"),
        ({"base_url": "https://metastudio.eu-west-101.myhuaweicloud.eu"}, "https://bss.myhuaweicloud.eu"),
        ({"base_url": "https://gateway.example/huawei"}, "https://gateway.example/huawei"),
        ({"billing_url": "https://bss.example"}, "https://bss.example"),
    ],
)
async def test_the_balance_is_asked_for_where_the_region_tells_it(
    connect: Connect, given: dict[str, str], asked: str
) -> None:
    line = connect(KEYS | given, purses((1, 1)))
    await line.balance()
    (request,) = line.vendor.requests
    assert str(request.url) == f"{asked}/v2/accounts/customer-accounts/balances"
    assert request.headers["Authorization"] == signed_by_the_vendor(request)
    assert "X-Project-Id" not in request.headers


async def test_a_row_names_its_type_of_job_as_the_model(connect: Connect) -> None:
    assert (
        await observed(connect, state="WAITING", job_type="2D_DIGITAL_HUMAN_VIDEO")
    ).model == "2D_DIGITAL_HUMAN_VIDEO"
