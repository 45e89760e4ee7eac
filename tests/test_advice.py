"""Advice: each failure has a cause, each cause something to do about it."""

from __future__ import annotations

import httpx
import pytest

from exporter.client.advice import credentials
from exporter.client.answers import Answer
from exporter.client.errors import CALL_ERRORS, CallError, ContractBroken, FailedCall, RateLimited, refusal
from exporter.config.models import ProviderSettings
from exporter.tasks import Cause, Reason
from tests.harness import VENDORS, settings_of

SETTINGS: tuple[ProviderSettings, ...] = tuple(
    settings_of({"base_url": "https://{vendor}.example", **given})
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

AUTH = {"10400": Reason.AUTH}
REFUSALS: tuple[tuple[CallError, Cause], ...] = (
    (refusal(401, text="Unauthorized"), Cause.CREDENTIALS),
    (refusal(401), Cause.CREDENTIALS),
    (refusal(200, code=10400, text="AccessToken验证失败", codes=AUTH), Cause.TOKEN),
    (refusal(401, text="令牌已过期"), Cause.TOKEN),
    (refusal(401, text="the session has expired"), Cause.TOKEN),
    (refusal(401, code="auth_token_expired"), Cause.TOKEN),
    (refusal(407), Cause.PROXY),
    (refusal(403, text="Your IP 192.0.2.1 is not allowed"), Cause.IP),
    (refusal(403, text="您的IP 192.0.2.1 无权访问"), Cause.IP),
    (refusal(403, text="不在白名单"), Cause.IP),
    (refusal(403, text="the relationship is gone"), Cause.CREDENTIALS),
    (refusal(400, code=1, text="the tenant of the token differs", codes={"1": Reason.AUTH}), Cause.PROJECT),
    (refusal(401, text="verify aksk signature fail"), Cause.SIGNATURE),
    (refusal(401, said="verify aksk signature fail"), Cause.SIGNATURE),
    (refusal(401, code="E.7", text="token", causes={"e.7": Cause.IP}), Cause.IP),
    (refusal(402), Cause.BALANCE),
    (refusal(403, text="余额不足"), Cause.BALANCE),
    (refusal(404), Cause.WRONG_URL),
    (refusal(405), Cause.WRONG_URL),
    (refusal(400), Cause.REQUEST),
    (refusal(400, text="the token is a wrong parameter: invalid parameter"), Cause.REQUEST),
    (refusal(429), Cause.RATE),
    (refusal(502), Cause.VENDOR),
    (refusal(504), Cause.TIMEOUT),
    (refusal(200), Cause.CONTRACT),
)


@pytest.mark.parametrize(("error", "cause"), REFUSALS)
def test_a_refusal_has_a_cause(error: CallError, cause: Cause) -> None:
    assert error.cause is cause


@pytest.mark.parametrize(("body", "cause"), [(b" <p>not found", Cause.WRONG_URL), (b"not found", Cause.CONTRACT)])
def test_a_page_where_json_should_be_points_at_the_url(body: bytes, cause: Cause) -> None:
    with pytest.raises(ContractBroken) as failure:
        Answer(200, httpx.Headers(), body).json()
    assert failure.value.cause is cause


@pytest.mark.parametrize("error", CALL_ERRORS, ids=lambda error: str(error.error))
def test_no_failed_call_is_taken_for_a_bug(error: type[CallError]) -> None:
    """Nor do the words of an error decide about its cause."""
    causes = {error(words).cause for words in ("", "DNS, TLS, the proxy", "token, signature, IP (HTTP 407)")}
    assert len(causes) == 1
    assert Cause.BUG not in causes
    assert error("", cause=Cause.IP).cause is Cause.IP


def test_a_call_that_is_kept_has_the_cause_of_its_error() -> None:
    error = refusal(403, text="IP 192.0.2.1 is not allowed")
    error.endpoint, error.status, error.excerpt = "list", 403, '{message: "IP … is not allowed"}'
    kept = FailedCall.of(error, at=5.0)
    assert kept == FailedCall(5.0, "list", 403, "auth", str(error), error.excerpt, Cause.IP)


def test_what_was_never_sent_is_no_failed_call() -> None:
    assert FailedCall.of(RateLimited("paused for another 3 s after the vendor limited calls", 3.0), at=5.0) is None


def advice(cause: Cause, settings: ProviderSettings) -> str:
    return VENDORS[settings.type].advise(cause, settings)


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


@pytest.mark.parametrize(
    ("vendor", "credential", "begins"),
    [("tavus", "api_key", "Check api_key:"), ("facewap", "token", "The token has expired")],
)
def test_who_has_no_token_is_told_to_check_the_key(vendor: str, credential: str, begins: str) -> None:
    settings = settings_of({"type": vendor, "base_url": "https://vendor.example", credential: "0123456789abcdef"})
    assert VENDORS[vendor].advise(Cause.TOKEN, settings).startswith(begins)
