"""Codes and words of vendors -> Reason. Code and text decide before the HTTP status does.

The words here are those that several vendors use, in English and Chinese; codes that mean something at one vendor only
stand in that vendor's file. The order of the table decides where a text matches twice: gateways wrap "no quota left"
in sentences about tokens, so the balance is looked for before authentication.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.tasks import Reason

_WORDS: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (
        Reason.INSUFFICIENT_BALANCE,
        (
            "蝉豆不足", "蝉豆余额", "扣费失败", "余额不足", "欠费", "额度已用尽", "额度不足", "用户额度",
            "tokenstatusexhausted", "quota is not enough", "quota_not_enough", "insufficient_quota",
            "insufficient_user_quota", "insufficient balance", "insufficient_balance", "insufficient credit",
            "not enough credit", "out of credit", "arrear", "overdue",
        ),
    ),
    (
        Reason.MODERATION,
        (
            "sensitive", "moderation", "content policy", "content_policy", "content violat", "safety", "nsfw",
            "inappropriate", "prohibited content", "unsafe", "敏感", "审核", "违规", "违禁", "涉黄", "涉政",
        ),
    ),
    (
        Reason.AUTH,
        (
            "令牌", "accesstoken", "access token", "invalid token", "invalid api key", "incorrect api key",
            "unauthorized", "unauthorised", "not authorized", "authentication", "无权", "鉴权", "未授权",
        ),
    ),
    (
        Reason.RATE_LIMITED,
        (
            "rate limit", "rate_limit", "too many requests", "throttl", "qps", "频率", "频繁", "负载已饱和",
            "concurrency limit",
        ),
    ),
    (Reason.TIMEOUT, ("超时", "timeout", "timed out", "time out", "deadline exceeded")),
    (
        Reason.INVALID_INPUT,
        (
            "您需要至少输入", "没有人声", "不支持", "参数错误", "参数异常", "invalid parameter", "invalid_parameter",
            "invalid request", "invalid_request", "invalid input", "invalid image", "invalid body", "unsupported",
            "not supported", "illegal character", "bad request", "too short", "too long", "too large",
        ),
    ),
    (
        Reason.PROVIDER_INTERNAL,
        (
            "渠道信息失败", "failed to get channel", "upstream returned", "task failed", "上传音频文件失败",
            "上传背景文件失败", "请求上游地址失败", "系统异常", "系统错误", "内部错误", "服务异常", "internal error",
            "internal server", "internal_error", "server error", "server_error", "service unavailable",
            "bad gateway", "system error",
        ),
    ),
)  # fmt: skip


def reason_of(*, code: object = None, text: str = "", codes: Mapping[str, Reason] | None = None) -> Reason | None:
    """Why a task failed or a call was refused, as code and text tell; None where no table maps them.

    `codes` is the vendor's own table; an entry may also be a whole text that the vendor documents.
    """
    table = codes or {}
    for word in (str(code).strip().lower() if code is not None else "", text.strip().lower()):
        if word and word in table:
            return table[word]
    return _by_words(str(code) if isinstance(code, str) else "") or _by_words(text)


def _by_words(text: str) -> Reason | None:
    lowered = text[:4096].lower()
    return next((reason for reason, words in _WORDS if any(word in lowered for word in words)), None)


def reason_of_status(status: int) -> Reason:
    """What an HTTP status alone says of a refused call."""
    match status:
        case 401 | 403 | 407:
            return Reason.AUTH
        case 402:
            return Reason.INSUFFICIENT_BALANCE
        case 429:
            return Reason.RATE_LIMITED
        case 408 | 504:
            return Reason.TIMEOUT
        case _ if 400 <= status < 500:
            return Reason.INVALID_INPUT
        case _ if status >= 500:
            return Reason.PROVIDER_INTERNAL
    return Reason.UNKNOWN
