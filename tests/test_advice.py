"""Advice: each failure has a cause, each cause something to do about it."""

from __future__ import annotations

import pytest

from exporter.client.advice import advice, cause_of, cause_of_call, credentials
from exporter.client.errors import CALL_ERRORS, AuthRefused, FailedCall, RateLimited
from exporter.config.models import ProviderSettings
from exporter.tasks import Cause
from exporter.vendors.registry import VENDORS

SETTINGS: tuple[ProviderSettings, ...] = tuple(
    VENDORS[str(given["type"])].settings.model_validate(
        {"name": "mine", "base_url": "https://{vendor}.example", **given}
    )
    for given in (
        {"type": "deerapi", "api_key": "s3cr3t", "user_token": "s3cr3t", "user_id": "s3cr3t"},
        {"type": "chanjing", "access_token": "s3cr3t"},
        {"type": "chanjing", "app_id": "s3cr3t", "secret_key": "s3cr3t"},
        {"type": "huawei_metastudio", "project_id": "s3cr3t", "access_key": "s3cr3t", "secret_key": "s3cr3t"},
        {
            "type": "huawei_metastudio",
            "project_id": "s3cr3t",
            "iam": {"endpoint": "https://iam.example", "domain": "s3cr3t", "username": "s3cr3t", "password": "s3cr3t"},
        },
        {"type": "facewap", "token": "s3cr3t"},
    )
)

FAILURES = (
    ("connection", "cannot connect: the host has no address (DNS)", None, "", Cause.NO_ADDRESS),
    ("connection", "cannot connect: the certificate is not trusted (TLS)", None, "", Cause.TLS),
    ("connection", "cannot connect: the other side does not speak TLS as we do", None, "", Cause.TLS),
    ("connection", "cannot connect: refused, nothing listens there", None, "", Cause.REFUSED),
    ("connection", "the proxy refused", None, "", Cause.PROXY),
    ("connection", "the connection broke while reading", None, "", Cause.CONNECTION),
    ("intercepted", "nginx answered in the vendor's place (HTTP 401)", 401, "token", Cause.INTERCEPTED),
    ("timeout", "no complete answer within 10 s", None, "", Cause.TIMEOUT),
    ("auth", "the vendor refused the call", 401, '{error: "Unauthorized"}', Cause.CREDENTIALS),
    ("auth", "the vendor refused the call", 401, "empty", Cause.CREDENTIALS),
    ("auth", "the vendor refused the call", 200, '{code: 10400, msg: "AccessToken验证失败"}', Cause.TOKEN),
    ("auth", "the vendor refused the call", 401, '{message: "令牌已过期"}', Cause.TOKEN),
    ("auth", "the vendor refused the call", 401, '{message: "the session has expired"}', Cause.TOKEN),
    ("auth", "the vendor refused the call", 407, "HTML, 9 bytes", Cause.PROXY),
    ("auth", "the vendor refused the call", 403, '{message: "Your IP … is not allowed"}', Cause.IP),
    ("auth", "the vendor refused the call", 403, '{message: "不在白名单"}', Cause.IP),
    ("auth", "the vendor refused the call", 400, '{error_msg: "the tenant of the token differs"}', Cause.PROJECT),
    ("auth", "the vendor refused the call", 401, '{error_msg: "verify aksk signature fail"}', Cause.SIGNATURE),
    ("auth", "the token was refused 3 s after: another holder renews it too", None, "", Cause.TOKEN_RENEWED_ELSEWHERE),
    ("auth", "the vendor refused the call: user_id is missing or is not that of user_token", 401, "", Cause.USER_ID),
    ("rate_limited", "waiting 3 s more, as the vendor asked", None, "", Cause.RATE),
    (
        "rate_limited",
        "9 of 12 tasks in flight could not be asked for within 3 poll intervals",
        None,
        "",
        Cause.SLOW,
    ),
    ("insufficient_balance", "the vendor refused the call", 403, "", Cause.BALANCE),
    ("invalid_request", "the vendor refused the call", 404, "HTML, 9 bytes: not found", Cause.WRONG_URL),
    ("invalid_request", "the vendor refused the call", 400, "", Cause.REQUEST),
    ("provider_internal", "the vendor refused the call", 502, "HTML, 9 bytes: bad gateway", Cause.VENDOR),
    ("contract", "the body is not JSON", 200, "HTML, 9 bytes", Cause.WRONG_URL),
    ("contract", "the vendor redirects to another host or port", 302, "", Cause.WRONG_URL),
    ("contract", "the body is not JSON", 200, "text, 9 bytes", Cause.CONTRACT),
    ("too_large", "the body is larger than 8 MiB", 200, "", Cause.SIZE),
    ("ledger", "disk I/O error", None, "", Cause.LEDGER),
    ("bug", "unexpected KeyError", None, "", Cause.BUG),
)


@pytest.mark.parametrize(("error", "words", "status", "excerpt", "cause"), FAILURES)
def test_a_failure_has_a_cause(error: str, words: str, status: int | None, excerpt: str, cause: Cause) -> None:
    assert cause_of(error, words, status, excerpt) is cause


@pytest.mark.parametrize("error", CALL_ERRORS, ids=lambda error: str(error.error))
def test_no_failed_call_is_taken_for_a_bug(error: type) -> None:
    assert cause_of_call(error("some words that nobody has thought of")) is not Cause.BUG


def test_a_call_that_is_kept_has_the_cause_of_its_error() -> None:
    error = AuthRefused("the vendor refused the call (HTTP 403)")
    error.endpoint, error.status, error.excerpt = "list", 403, '{message: "IP … is not allowed"}'
    kept = FailedCall.of(error, at=5.0)
    assert kept == FailedCall(5.0, "list", 403, "auth", str(error), error.excerpt)
    assert kept is not None
    assert cause_of_call(kept) is cause_of_call(error) is Cause.IP


def test_what_was_never_sent_is_no_failed_call() -> None:
    assert FailedCall.of(RateLimited("waiting 3 s more, as the vendor asked", 3.0), at=5.0) is None


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda one: f"{one.type}-{'-'.join(credentials(one))}")
@pytest.mark.parametrize("cause", Cause)
def test_each_cause_has_an_advice_for_each_vendor(cause: Cause, settings: ProviderSettings) -> None:
    told = advice(cause, settings)
    assert told[0].isupper()
    assert told.endswith(".")
    assert "s3cr3t" not in told
    assert "{" not in told.replace("{vendor}", "")
    assert "project_id" not in told or settings.type == "huawei_metastudio" or cause is Cause.PROJECT


def test_advice_names_the_settings_in_force() -> None:
    deer, chan, app, meta, iam, swap = SETTINGS
    assert "Check api_key and user_token:" in advice(Cause.CREDENTIALS, deer)
    assert "with the same secret_key," in advice(Cause.TOKEN_RENEWED_ELSEWHERE, app)
    assert "access_key and secret_key" in advice(Cause.SIGNATURE, meta)
    assert "Check iam:" in advice(Cause.CREDENTIALS, iam)
    assert "ask for tokens itself" in advice(Cause.TOKEN, chan)
    assert all("ask for tokens itself" not in advice(Cause.TOKEN, one) for one in (app, iam, swap))
    assert "(https://{vendor}.example)" in advice(Cause.NO_ADDRESS, swap)
    assert "rate_limit (2/s)" in advice(Cause.RATE, swap)
    assert "rate_limit (30/m)" in advice(Cause.RATE, swap.model_copy(update={"rate_limit": 0.5}))
    assert "request_timeout (10 s)" in advice(Cause.TIMEOUT, swap)
    assert "user_token" in advice(Cause.NOTHING_TO_WATCH, deer.model_copy(update={"user_token": None}))
