"""Codes and words of vendors -> Reason, and Cause of a refused call. Code and text decide before the HTTP status does.

The words here are those that several vendors use, in English and Chinese; codes that mean something at one vendor only
stand in that vendor's file. The order of the tables decides where a text matches twice: gateways wrap "no quota left"
in sentences about tokens, so the balance is looked for before authentication; and a server that refuses us an image
says "unauthorized" too, which is no word about our credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from exporter.tasks import Cause, Reason

_MEDIA = r"(?:image|picture|photo|video|audio|media|frame|url|link)s?(?! (?:task|status|model|generation|result))"
_MEDIA_ZH = r"(?:图片|图像|照片|视频|音频|素材|文件|链接|地址)(?!任务|状态|结果)"
_INPUT_NOT_REACHED = re.compile(
    r"\bdownload|下载"
    rf"|\b(?:fetch|retriev|load|open)[a-z]*\b[^.;]{{0,40}}\b{_MEDIA}"
    rf"|\b(?:could not|cannot|can't|unable to|failed to|error) (?:access|get|read)[a-z]*\b[^.;]{{0,40}}\b{_MEDIA}"
    rf"|\b{_MEDIA}[^.;]{{0,40}}\b(?:not|failed to|unable to)(?: be)? (?:fetch|retriev|load|access|open|reach)"
    rf"|\b{_MEDIA}[^.;]{{0,40}}\b(?:return|respond|expire)"
    rf"|(?:无法|不能)(?:获取|读取|加载|访问|打开)[^，。；]{{0,20}}{_MEDIA_ZH}"
    rf"|(?:获取|读取|加载|拉取)[^，。；]{{0,20}}{_MEDIA_ZH}[^，。；]{{0,10}}(?:失败|异常|错误|超时)"
    rf"|{_MEDIA_ZH}[^，。；]{{0,20}}(?:获取|读取|加载|拉取|访问)[^，。；]{{0,6}}(?:失败|异常|错误|超时)"
    rf"|{_MEDIA_ZH}[^，。；]{{0,10}}(?:过期|失效)"
)
"""An input of the task that the vendor could not fetch, whatever the server there said."""
_RESULT_NOT_REACHED = re.compile(
    r"\bdownload[a-z]*\b[^.;]{0,20}\b(?:generated|result|output)|下载[^，。；]{0,8}结果|结果下载"
)
_NO_FACE = re.compile(
    r"\bno [a-z ]{0,20}\bface|\bface[a-z ]{0,10} not (?:be )?(?:detect|found)|未(?:检测|识别)[^，。；]{0,8}(?:人|脸)"
)
_NOTHING = re.compile(r"(?!)")
_INNOCENT = re.compile(
    r"case.?(?:in)?sensitive|insensitive|区分大小写|大小写敏感|safety (?:identifier|setting)s?"
    r"|(?:constraint|schema|access) violat\w{0,5}|timeout (?:must|should|parameter)"
)
"""Words that hold one of those below, and mean nothing of the kind."""

_WORDS: tuple[tuple[Reason, re.Pattern[str], tuple[str, ...]], ...] = (
    (
        Reason.INSUFFICIENT_BALANCE,
        _NOTHING,
        (
            "扣费失败", "余额不足", "余额", "欠费", "额度已用尽", "额度已用完", "额度用尽",
            "额度不足", "用户额度", "剩余额度", "预扣费", "充值", "积分不足", "点数不足", "次数已用完", "资源包",
            "token status exhausted", "tokenstatusexhausted", "quota is not enough", "quota not enough",
            "insufficient quota", "insufficient user quota", "insufficient balance", "insufficient credit",
            "insufficient fund", "not enough credit", "not enough balance", "balance not enough",
            "balance is not enough", "out of credit", "no credits", "credits exhausted", "credit balance",
            "account balance", "low balance", "exceeded your current quota", "resource pack", "resource package",
            "arrear", "overdue", "billing", "payment required", "top up", "recharge", "unpurchased",
        ),
    ),
    (
        Reason.MODERATION,
        _NOTHING,
        (
            "sensitive", "moderation", "moderated", "content policy", "content polic", "content violat", "violat",
            "usage polic", "security policy", "safety", "nsfw", "not safe for work", "inappropriate", "prohibited",
            "unsafe", "real person", "real people", "real human", "realistic person", "realistic human",
            "realistic people", "human face", "celebrit", "public figure", "prominent people", "likeness",
            "copyright", "trademark", "intellectual property", "infring", "third party content", "similarity to",
            "data inspection failed", "datainspectionfailed", "risk control", "risk detection", "riskdetection",
            "content filter", "content security", "responsible ai", "rai media", "sexual", "nudity", "porn",
            "violence", "explicit content", "hate speech", "deepfake", "flagged", "forbidden content",
            "forbidden word", "rephras", "sentinel block", "rule blocked", "disallowed content",
            "community guideline", "敏感", "审核", "审查", "违规", "违禁", "违反", "涉黄", "涉政", "涉暴", "真人",
            "版权", "侵权", "肖像", "名人", "明星", "公众人物", "风控", "风险", "色情", "暴力", "血腥", "低俗",
            "不良信息", "内容安全", "安全策略", "安全检测", "安全审", "异常行为", "不合规",
        ),
    ),
    (Reason.PROVIDER_INTERNAL, _RESULT_NOT_REACHED, ()),
    (Reason.INVALID_INPUT, _INPUT_NOT_REACHED, ("invalid url", "invalid image url", "upstream status code")),
    (
        Reason.AUTH,
        _NOTHING,
        (
            "令牌", "accesstoken", "access token", "invalid token", "token expired", "token has expired",
            "token is expired", "expired token", "invalid api key", "incorrect api key", "api key not valid",
            "api key invalid", "invalid apikey", "unauthorized", "unauthorised", "not authorized", "unauthenticated",
            "authentication", "permission denied", "no permission", "not have permission", "access denied",
            "invalid signature", "signature does not match", "signature mismatch", "invalid credential",
            "account suspended", "account disabled", "account deactivated", "account has been", "account is banned",
            "not activated the model", "model not open", "model not activated", "无权", "鉴权", "未授权", "没有权限",
            "权限不足", "认证失败", "身份验证", "签名错误", "签名无效", "密钥无效", "密钥错误", "封禁", "账号异常",
            "被禁用", "已禁用", "未开通",
        ),
    ),
    (
        Reason.RATE_LIMITED,
        _NOTHING,
        (
            "rate limit", "ratelimit", "too many requests", "too many tasks", "too many jobs", "too many concurrent",
            "too many pending", "too many users", "throttl", "qps", "requests per", "too fast", "request limit",
            "task limit", "usage limit", "daily limit", "hourly limit", "limit exceeded for", "set limit exceeded",
            "inference limit exceeded", "quota exceeded", "exceeded quota", "exceeded the quota", "exceeds quota",
            "quota limit", "check quota", "resource exhausted", "resource has been exhausted", "queue is full",
            "queue full", "concurrency", "concurrent", "频率", "频繁", "负载已饱和", "并发", "限流", "排队",
            "请求过多", "任务过多", "次数超", "次数限制", "每日上限", "每日限", "配额",
        ),
    ),
    (
        Reason.INVALID_INPUT,
        _NOTHING,
        (
            "invalid parameter", "invalid param", "invalid argument", "missing parameter", "参数错误", "参数异常",
            "无效参数",
        ),
    ),
    (
        Reason.TIMEOUT,
        _NOTHING,
        (
            "超时", "timeout", "timed out", "time out", "deadline exceeded", "took too long", "task expired",
            "任务已过期",
        ),
    ),
    (
        Reason.INVALID_INPUT,
        _NOTHING,
        (
            "您需要至少输入", "没有人声", "不支持", "invalid request", "invalid input", "invalid image",
            "invalid video", "invalid audio", "invalid file", "invalid body", "unsupported", "not supported",
            "does not support", "illegal character", "bad request", "too short", "too long", "too large", "too small",
            "too big", "too many images", "asset.invalid",
        ),
    ),
    (
        Reason.PROVIDER_INTERNAL,
        _NOTHING,
        (
            "渠道信息失败", "failed to get channel", "upstream returned", "task failed", "上传音频文件失败",
            "上传背景文件失败", "请求上游地址失败", "系统异常", "系统错误", "内部错误", "服务异常", "internal error",
            "internal server", "internal service", "server error", "service unavailable", "bad gateway",
            "system error",
        ),
    ),
)  # fmt: skip

_HINTS: tuple[tuple[Reason, re.Pattern[str], tuple[str, ...]], ...] = (
    (
        Reason.PROVIDER_INTERNAL,
        _NOTHING,
        ("invalid response", "invalid json", "unexpected response", "unexpected end", "invalid character '<'"),
    ),
    (
        Reason.INVALID_INPUT,
        _NO_FACE,
        (
            "aspect ratio", "dimension", "resolution", "pixel", "image size", "video size", "file size", "frame rate",
            "invalid size", "invalid duration", "duration exceed", "exceeds the max", "exceed the max", "exceeds max",
            "max length", "maximum length", "out of range", "must be", "must provide", "must have", "must not",
            "must contain", "should be", "is required", "are required", "missing", "not valid", "malformed",
            "corrupt", "decode", "cannot be parsed", "unable to process input", "does not exist", "not exist",
            "not found", "尺寸", "分辨率", "宽高比", "长宽比", "比例", "时长", "格式", "像素", "超出限制", "超过限制",
            "超出范围", "过长", "过短", "过大", "过小", "太长", "太短", "太大", "太小", "不存在", "无效的", "不合法",
            "缺少", "不能为空", "为空", "不符合", "参数", "损坏", "无法识别", "无法解析", "人脸",
        ),
    ),
    (
        Reason.PROVIDER_INTERNAL,
        _NOTHING,
        (
            "internal", "overload", "capacity", "high demand", "high load", "heavy load", "busy", "unavailable",
            "try again later", "retry later", "an error while processing", "had an error", "upstream", "gateway",
            "unexpected error", "something went wrong",
            "connection reset", "connection refused", "connection error", "network error", "out of memory", "繁忙",
            "稍后", "上游", "出现异常", "发生异常", "发生错误", "出错", "服务器", "系统",
            "内部", "渠道", "上传失败", "网络", "负载", "过载", "维护",
        ),
    ),
)  # fmt: skip
"""Words that tell why a task failed where nothing better does. Of a refused call the HTTP status tells more."""

_CAUSES: tuple[tuple[Cause, re.Pattern[str]], ...] = (
    (Cause.IP, re.compile(r"\bip\b|whitelist|白名单", re.IGNORECASE | re.ASCII)),
    (Cause.PROJECT, re.compile(r"\bproject\b|\btenant\b|项目|租户", re.IGNORECASE | re.ASCII)),
    (Cause.SIGNATURE, re.compile(r"signature|signed|aksk|签名", re.IGNORECASE)),
    (Cause.TOKEN, re.compile(r"token|令牌|expired|过期|失效", re.IGNORECASE)),
)
"""What of our credentials a vendor refuses, by its words; the first that fits."""

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SHORT_INTEGER = 10**15
_CODE_LENGTH = 200
_READ = 2048
"""Characters of a text that are searched: as many as a person would read."""


def code_of(value: object) -> str:
    """A vendor's code as lower-case text; nothing where it is neither a short text nor a number."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) > _SHORT_INTEGER):
        return ""
    return str(value)[: _CODE_LENGTH + 1].strip().lower() if isinstance(value, str | int) else ""


def reason_of(*, code: object = None, text: str = "", codes: Mapping[str, Reason] | None = None) -> Reason | None:
    """Why a task failed, as code and text tell; None where no table maps them.

    `codes` is the vendor's own table; an entry may also be a whole text that the vendor documents.
    """
    return reason_of_refusal(code=code, text=text, codes=codes) or _by_words(text[:_READ], hints=True)


def reason_of_refusal(
    *, code: object = None, text: str = "", codes: Mapping[str, Reason] | None = None
) -> Reason | None:
    """Why a call was refused, as code and text tell: less is read into words, for there is an HTTP status too."""
    table = codes or {}
    for word in (code_of(code), code_of(text)):
        if word and word in table:
            return table[word]
    return _by_words(code[:_READ] if isinstance(code, str) else "") or _by_words(text[:_READ])


@lru_cache(256)  # a list shows the same words in every sweep, and none in most rows
def _by_words(text: str, *, hints: bool = False) -> Reason | None:
    """The first reason of a table whose words a text holds: names such as `invalid_apiKey` are words with spaces."""
    table = _HINTS if hints else _WORDS
    spaced = _HUMP.sub(" ", text).lower().replace("_", " ").replace("-", " ")
    plain = _INNOCENT.sub(" ", spaced)
    return next(
        (reason for reason, sign, words in table if any(word in plain for word in words) or sign.search(plain)), None
    )


def cause_of_refusal(reason: Reason, status: int, text: str) -> Cause | None:
    """What is behind a refused call, as HTTP status and words of the vendor tell; None where they tell no more."""
    if reason is Reason.AUTH:
        if status == 407:
            return Cause.PROXY
        return next((cause for cause, sign in _CAUSES if sign.search(text[:_READ])), None)
    return Cause.WRONG_URL if status in (404, 405) and reason in (Reason.INVALID_INPUT, Reason.MODERATION) else None


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
