"""Signatures with a pair of keys: those of the clouds' own examples, and what a provider sends with them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from exporter.client.errors import AuthRefused, CallError, ContractBroken
from exporter.config.models import Secret
from exporter.vendors.declared.auth.signatures import NonceSignature, ScopedSignature, canonical, digest
from tests.harness import Connect

ARK = {"type": "volcengine_ark", "api_key": "KEY", "access_key": "ACCESS", "secret_key": "SECRET"}
WAN = {"type": "dashscope", "api_key": "KEY", "access_key_id": "ACCESS", "access_key_secret": "SECRET"}


def at(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def test_the_signature_with_a_nonce_is_that_of_the_vendors_example() -> None:
    """ "Request syntax and signature method V3" of Alibaba Cloud's documents: RunInstances with made-up keys."""
    image = "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"
    request = httpx.Request(
        "POST",
        f"https://ecs.cn-shanghai.aliyuncs.com/?ImageId={image}&RegionId=cn-shanghai",
        headers={"x-acs-action": "RunInstances", "x-acs-version": "2014-05-26"},
    )
    signature = NonceSignature(
        Secret("YourAccessKeyId"),
        Secret("YourAccessKeySecret"),
        wall_clock=lambda: at("2023-10-26T10:22:32+00:00"),
        nonce=lambda: "3156853299f313e23d1673dc12e1703d",
    )
    signature.sign(request)
    names = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version"
    assert request.headers["Authorization"] == (
        f"ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders={names},"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


def test_the_form_that_is_signed_is_that_of_the_vendors_example() -> None:
    """BytePlus' "Signature example": ListUsers."""
    request = httpx.Request(
        "GET",
        "https://iam.byteplusapi.com/?Action=ListUsers&Version=2018-01-01&Limit=10&Offset=0",
        headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "X-Content-Sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "X-Date": "20201230T081805Z",
        },
    )
    form = canonical(request, ("content-type", "host", "x-content-sha256", "x-date"))
    assert digest(form) == "4809ff4a3260bb6714f750191275cfcf0c16466951fcfd99187e69644b6ae020"


def test_a_scoped_signature_names_its_scope_and_differs_by_each_part_of_it() -> None:
    def signed(secret: str = "SECRET", region: str = "cn-north-1", service: str = "billing", day: str = "01") -> str:
        request = httpx.Request("GET", "https://open.example/?Action=A&Version=1")
        moment = at(f"2026-03-{day}T08:00:00+00:00")
        ScopedSignature(Secret("ACCESS"), Secret(secret), region, service, wall_clock=lambda: moment).sign(request)
        return request.headers["Authorization"]

    names = "host;x-content-sha256;x-date"
    form = rf"HMAC-SHA256 Credential=ACCESS/20260301/cn-north-1/billing/request, SignedHeaders={names}, Signature="
    assert re.fullmatch(form + "[0-9a-f]{64}", signed())
    others = (signed("OTHER"), signed(region="r"), signed(service="s"), signed(day="02"))
    assert len({one[-64:] for one in (signed(), *others)}) == 5


@pytest.mark.parametrize(
    ("given", "answer", "left", "url"),
    [
        (
            ARK,
            {"Result": {"AccountID": 1, "AvailableBalance": "1,234.50", "ArrearsBalance": "0.00"}},
            ("cny", 1234.5),
            "https://open.volcengineapi.com/?Action=QueryBalanceAcct&Version=2022-01-01",
        ),
        (
            WAN,
            {"Code": "Success", "Success": True, "Data": {"AvailableAmount": "-10,000.25", "Currency": "USD"}},
            ("usd", -10000.25),
            "https://business.aliyuncs.com/",
        ),
        (
            {**WAN, "billing_url": "https://business.example"},
            {"Data": {"AvailableAmount": 7, "Currency": "CNY"}},
            ("cny", 7.0),
            "https://business.example/",
        ),
    ],
    ids=["Ark", "DashScope", "an address of its own"],
)
async def test_the_balance_is_asked_for_with_the_pair_of_keys(
    connect: Connect, given: dict[str, Any], answer: object, left: tuple[str, float], url: str
) -> None:
    line = connect(given, answer)
    balance = await line.balance()
    assert balance is not None
    assert (balance.unit, balance.amount) == left
    (request,) = line.vendor.requests
    assert str(request.url) == url
    assert "Credential=ACCESS" in request.headers["Authorization"]
    assert "KEY" not in request.headers["Authorization"]


async def test_the_call_for_the_balance_names_the_service_that_reports_it(connect: Connect) -> None:
    ark = connect(ARK, {"Result": {"AvailableBalance": "1"}})
    await ark.balance()
    assert "/cn-north-1/billing/request, " in ark.vendor.requests[0].headers["Authorization"]
    wan = connect(WAN, {"Data": {"AvailableAmount": "1"}})
    await wan.balance()
    asked = wan.vendor.requests[0].headers
    assert (asked["x-acs-action"], asked["x-acs-version"]) == ("QueryAccountBalance", "2017-12-14")


@pytest.mark.parametrize(
    ("given", "answer", "error"),
    [
        (ARK, (400, {"ResponseMetadata": {"Error": {"Code": "AccessDenied", "Message": "no"}}}), AuthRefused),
        (
            WAN,
            {"Code": "NotAuthorized", "Message": "This API is not authorized for caller.", "Success": False},
            AuthRefused,
        ),
        (
            WAN,
            {"Code": "Success", "Success": True, "Data": {"AvailableAmount": "5.00", "Currency": "JPY"}},
            ContractBroken,
        ),
    ],
    ids=["refused", "refused at HTTP 200", "yen"],
)
async def test_a_balance_that_is_refused_is_an_error(
    connect: Connect, given: dict[str, Any], answer: Any, error: type[CallError]
) -> None:
    with pytest.raises(error):
        await connect(given, answer).balance()


@pytest.mark.parametrize("given", [ARK, WAN])
async def test_without_the_pair_of_keys_the_balance_is_not_asked_for(connect: Connect, given: dict[str, Any]) -> None:
    line = connect({name: value for name, value in given.items() if not name.startswith(("access", "secret"))}, {})
    assert await line.balance() is None
    assert line.vendor.requests == []


@pytest.mark.parametrize("left_out", ["access_key", "secret_key"])
async def test_half_a_pair_of_keys_is_an_error_that_names_both(connect: Connect, left_out: str) -> None:
    with pytest.raises(ValueError, match="the balance is asked for with access_key and secret_key together"):
        connect({name: value for name, value in ARK.items() if name != left_out}, {})
