"""Codes and words of vendors -> Reason -> the error of a refused call."""

from __future__ import annotations

import pytest

from exporter.client.errors import (
    CALL_ERRORS,
    AuthRefused,
    BalanceExhausted,
    CallError,
    ContractBroken,
    RateLimited,
    RequestInvalid,
    TimedOut,
    VendorFailed,
    refusal,
)
from exporter.client.reasons import reason_of, reason_of_status
from exporter.tasks import Reason

CODES = {"10400": Reason.AUTH, "quota": Reason.INSUFFICIENT_BALANCE}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("该令牌额度已用尽", Reason.INSUFFICIENT_BALANCE),  # before 令牌
        ("该令牌已过期", Reason.AUTH),
        ("AccessToken验证失败", Reason.AUTH),
        ("Incorrect API key provided", Reason.AUTH),
        ("input new_sensitive (1026)", Reason.MODERATION),
        ("视频内容违规", Reason.MODERATION),
        ("超出QPS限制", Reason.RATE_LIMITED),
        ("请求过于频繁", Reason.RATE_LIMITED),
        ("Too Many Requests", Reason.RATE_LIMITED),
        ("任务超时", Reason.TIMEOUT),
        ("upstream timed out", Reason.TIMEOUT),
        ("Unsupported image format", Reason.INVALID_INPUT),
        ("Internal server error", Reason.PROVIDER_INTERNAL),
        ("Failed to download https://cdn.example/a.png: 401 Unauthorized", Reason.INVALID_INPUT),  # no word about us
        ("图片链接已过期", Reason.INVALID_INPUT),
        ("The image may contain a real person", Reason.MODERATION),
        ("视频涉及版权内容", Reason.MODERATION),
        ("Parameter names are case-sensitive: prompt is required", Reason.INVALID_INPUT),
        ("Account balance not enough", Reason.INSUFFICIENT_BALANCE),
        ("InvalidApiKey", Reason.AUTH),
        ("RESOURCE_EXHAUSTED", Reason.RATE_LIMITED),
        ("The model is overloaded", Reason.PROVIDER_INTERNAL),
        ("图片尺寸不符合要求", Reason.INVALID_INPUT),
        ("the muse is on strike", None),
        ("", None),
    ],
)
def test_words(text: str, reason: Reason | None) -> None:
    assert reason_of(text=text) is reason


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (10400, "", Reason.AUTH),
        ("10400", "超出QPS限制", Reason.AUTH),  # a code of the vendor's table goes before words
        ("QUOTA", "", Reason.INSUFFICIENT_BALANCE),
        (None, "quota", Reason.INSUFFICIENT_BALANCE),  # a whole text may stand in the table
        ("rate_limit_exceeded", "", Reason.RATE_LIMITED),  # a code made of words
        ("other", "任务超时", Reason.TIMEOUT),
        (7, "", None),
        ({"a": 1}, "", None),
    ],
)
def test_codes(code: object, text: str, reason: Reason | None) -> None:
    assert reason_of(code=code, text=text, codes=CODES) is reason


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.INVALID_INPUT),
        (401, Reason.AUTH),
        (402, Reason.INSUFFICIENT_BALANCE),
        (403, Reason.AUTH),
        (404, Reason.INVALID_INPUT),
        (408, Reason.TIMEOUT),
        (413, Reason.INVALID_INPUT),
        (429, Reason.RATE_LIMITED),
        (500, Reason.PROVIDER_INTERNAL),
        (503, Reason.PROVIDER_INTERNAL),
        (504, Reason.TIMEOUT),
        (599, Reason.PROVIDER_INTERNAL),
        (200, Reason.UNKNOWN),
        (304, Reason.UNKNOWN),
    ],
)
def test_statuses(status: int, reason: Reason) -> None:
    assert reason_of_status(status) is reason


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.AUTH, AuthRefused),
        (Reason.RATE_LIMITED, RateLimited),
        (Reason.INSUFFICIENT_BALANCE, BalanceExhausted),
        (Reason.INVALID_INPUT, RequestInvalid),
        (Reason.MODERATION, RequestInvalid),
        (Reason.PROVIDER_INTERNAL, VendorFailed),
        (Reason.TIMEOUT, TimedOut),
        (Reason.UNKNOWN, ContractBroken),
    ],
)
def test_every_reason_has_an_error(reason: Reason, error: type[CallError]) -> None:
    assert type(refusal(200, otherwise=reason)) is error


def test_code_and_text_go_before_the_status() -> None:
    assert type(refusal(401, text="user does not exist")) is AuthRefused  # words that hint at least go after it
    assert type(refusal(400, code=10**5000)) is RequestInvalid
    assert type(refusal(401, text="该令牌额度已用尽")) is BalanceExhausted
    assert type(refusal(500, code="10400", codes=CODES)) is AuthRefused
    assert type(refusal(500, code="7", codes=CODES, otherwise=Reason.AUTH)) is VendorFailed


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (10400, ", code 10400"),
        ("APIGW.0308", ", code APIGW.0308"),
        ("task_channel_disable", ", code task_channel_disable"),
        ("quota", ", code quota"),
        (None, ""),
        ("", ""),
        ("sk-3Fq9ZkQmW", ""),
        ("8d10659438827bd4d59eaa2696f9d391", ""),
        ("一只猫", ""),
        ("a cat", ""),
        ("cat", ""),
        ("https://cdn.example/?sig=1", ""),
        ({"token": "SECRET"}, ""),
    ],
    ids=repr,
)
def test_the_text_of_a_refusal_shows_codes_and_nothing_that_only_stands_in_their_place(code: object, told: str) -> None:
    assert str(refusal(400, code=code, text="a cat", codes=CODES)) == f"the vendor refused the call (HTTP 400{told})"


def test_every_error_has_a_label_of_its_own() -> None:
    assert {error.error for error in CALL_ERRORS} == {
        *("auth", "rate_limited", "insufficient_balance", "invalid_request", "provider_internal"),
        *("timeout", "connection", "contract", "too_large", "intercepted"),
    }
    assert set(CALL_ERRORS) == set(CallError.__subclasses__())
