"""How a call to a vendor can fail: each class of CallError has its label, `error`, and the cause behind it.

The texts of these errors reach logs and pages. They are put together from our own words, HTTP statuses and the
vendor's codes, never from a vendor's free text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from exporter.client.reasons import cause_of_refusal, code_of, reason_of_refusal, reason_of_status
from exporter.tasks import Cause, Reason


class CallError(Exception):
    """A call that brought no usable answer."""

    error: ClassVar[str]
    cause: Cause
    """What is behind it; each class has one for where nothing more precise is known."""
    retry_after: float | None
    """Seconds that the vendor asks us to wait before the next call, where it does."""
    endpoint: str = ""
    """Of the client's ENDPOINTS; empty where nothing was sent."""
    status: int | None = None
    """The HTTP status; None where none came."""
    excerpt: str = ""
    """What the body said, redacted."""
    before: CallError | None = None
    """The refusal after which this was tried."""

    def __init__(self, message: str, retry_after: float | None = None, *, cause: Cause | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        if cause is not None:
            self.cause = cause


class AuthRefused(CallError):
    """The vendor does not accept the credentials."""

    error = "auth"
    cause = Cause.CREDENTIALS


class RateLimited(CallError):
    """The vendor, or our own limits, allow no call now."""

    error = "rate_limited"
    cause = Cause.RATE


class BalanceExhausted(CallError):
    """The account has no credit left."""

    error = "insufficient_balance"
    cause = Cause.BALANCE


class RequestInvalid(CallError):
    """The vendor rejects our request as invalid."""

    error = "invalid_request"
    cause = Cause.REQUEST


class VendorFailed(CallError):
    """The vendor reports a fault of its own."""

    error = "provider_internal"
    cause = Cause.VENDOR


class TimedOut(CallError):
    """No complete answer within the deadline."""

    error = "timeout"
    cause = Cause.TIMEOUT


class ConnectionFailed(CallError):
    """The connection could not be made, or broke."""

    error = "connection"
    cause = Cause.CONNECTION


class ContractBroken(CallError):
    """An answer that is not of the documented shape."""

    error = "contract"
    cause = Cause.CONTRACT


class AnswerTooLarge(CallError):
    """An answer above the size limit."""

    error = "too_large"
    cause = Cause.SIZE


class Intercepted(CallError):
    """A CDN, a firewall, a proxy or a login page answered instead of the vendor."""

    error = "intercepted"
    cause = Cause.INTERCEPTED


class TaskNotFound(Exception):
    """The vendor answers that it does not know the task."""


@dataclass(frozen=True, slots=True)
class FailedCall:
    """What is kept of a call that failed; all of it may be shown."""

    at: float
    """Unix seconds."""
    endpoint: str
    status: int | None
    error: str
    """The label of the class of CallError."""
    words: str
    excerpt: str
    cause: Cause

    @classmethod
    def of(cls, error: CallError, at: float) -> Self | None:
        """The call that an error comes from; None if nothing was sent, as while the vendor has asked for a pause."""
        call = error if error.endpoint else error.before  # what is raised on a refusal knows more of its cause
        if call is None or not call.endpoint:
            return None
        told = error if error.error == call.error else call
        return cls(at, call.endpoint, call.status, call.error, str(told), call.excerpt, told.cause)


CALL_ERRORS: Sequence[type[CallError]] = CallError.__subclasses__()

_BY_REASON: dict[Reason, type[CallError]] = {
    Reason.AUTH: AuthRefused,
    Reason.RATE_LIMITED: RateLimited,
    Reason.INSUFFICIENT_BALANCE: BalanceExhausted,
    Reason.INVALID_INPUT: RequestInvalid,
    Reason.MODERATION: RequestInvalid,
    Reason.PROVIDER_INTERNAL: VendorFailed,
    Reason.TIMEOUT: TimedOut,
    Reason.UNKNOWN: ContractBroken,
}


_CODE = re.compile(r"\d{1,8}|[A-Za-z]{2,8}\.\d{4,9}|[a-z]{2,20}(_[a-z]{2,20}){1,4}")
"""What looks like a code, and not like a secret or a prompt that stands in its place."""


def refusal(
    status: int,
    *,
    code: object = None,
    text: str = "",
    codes: Mapping[str, Reason] | None = None,
    otherwise: Reason = Reason.UNKNOWN,
    said: str = "",
    causes: Mapping[str, Cause] | None = None,
) -> CallError:
    """The error of a call that the vendor answered with a refusal: by code, by text, by HTTP status, `otherwise`.

    Its cause is that of the code in `causes`, else by code, text and `said`, else that of the error's class.
    `said` is whatever else the answer says, too vague to give a reason.
    """
    reason = reason_of_refusal(code=code, text=text, codes=codes)
    if reason is None:
        reason = reason_of_status(status) if status >= 400 else otherwise
    known = code_of(code) in (codes or {}) or _CODE.fullmatch(str(code) if code_of(code) else "")
    told = f", code {code}" if known else ""
    cause = (causes or {}).get(code_of(code)) or cause_of_refusal(reason, status, f"{code_of(code)} {text} {said}")
    return _BY_REASON[reason](f"the vendor refused the call (HTTP {status}{told})", cause=cause)
