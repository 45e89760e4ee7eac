"""Codes and words of vendors -> Reason, and Cause of a refused call. Code and text decide before the HTTP status does.

The words here are those that several vendors use, in English and Chinese; codes that mean something at one vendor only
stand in that vendor's file. The order of the tables decides where a text matches twice: gateways wrap "no quota left"
in sentences about tokens, so the balance is looked for before authentication; and a server that refuses us an image
says "unauthorized" too, which is no word about our credentials. To add a word, add a text to
tests/providers/test_failure_texts.py, and one that only looks like it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from exporter.tasks import Cause, Reason


class Sign(NamedTuple):
    """A pattern that stands for a reason. Patterns are slow: one is tried where a text holds one of `near` at least."""

    near: tuple[str, ...]
    pattern: re.Pattern[str]

    def is_in(self, text: str) -> bool:
        return any(map(text.__contains__, self.near)) and self.pattern.search(text) is not None


def _sign(near: str, *patterns: str) -> Sign:
    return Sign(tuple(near.split()), re.compile("|".join(patterns)))


_MEDIA = (
    r"(?:image|picture|photo|video|audio|media|frame|asset|url|link)s?"
    r"(?! (?:task|status|model|generation|result|api|service|server|endpoint|provider|channel|request)"
    r"| to (?:image|video))"
)
_MEDIA_ZH = (
    r"(?:图片|图像|照片|视频|音频|素材|文件|链接|地址|参考图|[首尾]帧)(?!任务|状态|结果|模型|接口|服务(?!器)|生成)"
)
_INPUT = rf"(?:{_MEDIA}|(?:file|input|reference|source)s?\b)"
_LINK = r"\b(?:images?|pictures?|photos?|video|audio|media|file|asset|input) (?:url|uri|link|file|host|server)s?\b"
_DENIED = r"(?:access (?:was )?denied|unauthori[sz]ed|forbidden|permission denied|inaccessible|\b40[134]\b|\b410\b)"
_NEAR = r"(?:(?!upstream|channel|model|response|status|task|error)[^.;]){0,40}"
_INPUT_NOT_REACHED = _sign(
    "download fetch retriev load open access get read reach return respond expire denied authori forbid 40 410"
    " 鉴权 未授权 下载 获取 读取 加载 拉取 访问 打开 过期 失效 返回",
    r"\bdownload|下载",
    rf"\b(?:fetch|retriev)[a-z]*\b{_NEAR}\b{_INPUT}",
    rf"\b(?<!high )(?<!heavy )(?<!under )(?:load|open)(?:ing|ed|s)?\b{_NEAR}\b{_MEDIA}",
    rf"\b(?:could not|cannot|can't|unable to|failed to|error) (?:access|get|read)[a-z]*\b{_NEAR}\b{_MEDIA}",
    rf"\b{_MEDIA}{_NEAR}\b(?:not|failed to|unable to)(?: be)? (?:fetch|retriev|load|access|open|reach)",
    rf"\b{_MEDIA}(?:(?!upstream|gateway|provider|server)[^.;,:]){{0,25}}\b(?:return|respond|expire)",
    rf"\b{_INPUT} (?:load|fetch|read|open)[a-z]* (?:error|fail|time)",
    rf"{_LINK}[^.;]{{0,40}}{_DENIED}|{_DENIED}[^.;]{{0,40}}{_LINK}|\.(?:png|jpe?g|webp|mp4)\b[^.;]{{0,20}}{_DENIED}",
    rf"{_DENIED} (?:for|from|at|by) (?:(?:the|an?|your|input|reference) ){{0,2}}(?!urls?\b){_MEDIA}",
    rf"(?:无法|不能)(?:获取|读取|加载|访问|打开)[^，。；]{{0,20}}{_MEDIA_ZH}",
    rf"(?:获取|读取|加载|拉取)[^，。；]{{0,20}}{_MEDIA_ZH}[^，。；]{{0,10}}(?:失败|异常|错误|超时)",
    rf"{_MEDIA_ZH}[^，。；]{{0,20}}(?:获取|读取|加载|拉取|访问)[^，。；]{{0,6}}(?:失败|异常|错误|超时)",
    rf"{_MEDIA_ZH}[^，。；]{{0,10}}(?:过期|失效|无法访问|不可访问|鉴权|未授权|返回[^，。；]{{0,6}}4\d\d)",
)
"""An input of the task that the vendor could not fetch, whatever the server there said."""
_NO_RESULT = _sign(
    "download video result output image sample operation empty 下载 返回 响应",
    r"\bdownload[a-z]*\b[^.;]{0,20}\b(?:generated|result|output)|\bdownload[a-z]* (?:the )?(?:model|weight)",
    r"\bfetch[a-z]* (?:the )?(?:generated |result |output )?video content",
    r"\bno (?:[a-z]+ )?(?:video|image|output|sample|result|operation)s?(?: urls?)?"
    r" (?:was |were |is |are )?(?:return|found|generat|in)",
    r"\b(?:video|result|output) url (?:is |was )?(?:missing|empty|not (?:found|returned))",
    r"\bempty (?:response|result|output)",
    r"下载[^，。；]{0,8}结果|结果下载|下载模型|未返回[^，。；]{0,8}(?:视频|结果|图片|地址|任务)|(?:响应|返回)(?:为空|缺少|异常)",
)
"""Nothing came of it, or nothing that the gateway could take over."""
_FACE_WANTED = _sign(
    "face person people human 人 脸",
    r"\bno (?:[a-z]+ ){0,2}(?:face|person|people|human)s?"
    r" (?:was |were |is |are |be |could be )?(?:detect|found|recogni|in )",
    r"\bface[a-z ]{0,15} not (?:be )?(?:detect|found|recogni)|\bface detect[a-z]* (?:failed|error)",
    r"(?:unable to|could not|cannot|can't|failed to|did not) (?:detect|find|recogni[sz]e|locate)[a-z ]{0,20}\bface",
    r"must (?:contain|have|show|include)[a-z ]{0,20}\b(?:face|person|human)",
    r"未(?:检测|识别)[^，。；]{0,8}(?:人|脸)|(?:检测|识别)不到[^，。；]{0,6}(?:人|脸)|没有(?:检测到)?人脸",
    r"请(?:上传|提供|使用)[^，。；非不无]{0,10}(?:真人|人脸|正脸)",
)
"""A face that is missed, not one that is forbidden."""
_REFUSED_CONTENT = (
    r"\b(?:content|prompt)s? (?:(?:was|is|were|are|has been|have been) )?"
    r"(?:block|reject|refus|filter|forbidden|disallow|not allow)"
)
_ONLY_SO_MUCH = (
    r"\bexceeds? [\d.,]+ ?(?:character|second|s|mb|kb|gb|pixel|px|frame|token|word)s?\b"
    r"|\bonly [\w, ]{1,30} (?:is|are) (?:support|allow|accept)"
)
_FORBIDDEN = r"(?:^\W*|[\"'])(?:403 )?forbidden\b|\baccess[a-z ]{0,20} forbidden"
_REFUSED_TASK = _sign(
    "blocked refused rejected",
    r"\b(?:request|generation|image|video|output|input) (?:was |is |has been )?(?:block|refus|reject)ed\b(?! by waf)",
)
_TOO_MUCH_OF_IT = _sign(
    "limit quota 配额 上限",
    r"\b(?:frame|bit|sampl(?:e|ing)) ?rate limit",
    r"\b(?:size|length|duration|resolution|pixel|dimension|character|context|body)s?[a-z ]{0,12} (?:limit|quota)\b",
    r"(?:大小|尺寸|时长|长度|分辨率)[^，。；]{0,6}(?:配额|上限)",
)
"""A limit of what one task may be, not of how many there may be."""
_NOT_LET_IN = _sign(
    "account user key token permission 权限",
    r"\b(?:account|user|api key|token|key) (?:(?:has|have|is|was|been) ){0,2}"
    r"(?:suspend|disabl|deactivat|bann|lock|block|restrict|terminat|frozen|closed|revoked|not activ)",
    r"\bpermission [^ ]{1,60} denied|(?:没有|无|缺少)[^，。；]{0,10}权限",
)


def _status(numbers: str, *patterns: str, near: str = "") -> Sign:
    """An HTTP status that a text names, or one of the other patterns."""
    named = (
        r"\b(?:http|status|code|error|upstream|returned|responded)\b"
        rf"\W{{0,4}}(?:(?:code|status|error|with)\W{{1,3}}){{0,2}}(?:{numbers.replace(' ', '|')})\b"
    )
    return _sign(f"{numbers} {near}", named, *patterns)


_INNOCENT = _sign(
    "sensitive 大小写 safety violat 违反 暴力 令牌桶 版权 copyright moderation review inspection control filter"
    " 审 风控 检测 余额 balance billing overdue fast timeout",
    r"case.?(?:in)?sensitive|insensitive|(?:time|latency|cost) sensitive|区分大小写|大小写敏感",
    r"safety (?:identifier|setting|margin)s?",
    r"(?:(?<=constraint )|(?<=schema )|(?<=access )|(?<=key )|(?<=type )|(?<=limit )|(?<=quota ))violat\w{0,5}",
    r"violat\w{0,5}[a-z ]{0,20}\bconstraint|违反[^，。；]{0,8}约束|暴力破解|令牌桶",
    r"版权所有|copyright (?:\(c\)|©|\d{4})",
    r"(?:moderation|safety|review|inspection|risk control|content filter) (?:service|system|api|server|check)"
    r"(?=[a-z ]{0,20}\b(?:unavailable|timed out|timeout|overload|busy|down|not respond|internal error))",
    r"(?:内容|安全){0,2}(?:审核|审查|风控|检测)(?:服务|系统|接口|模块)"
    r"(?=[^，。；]{0,4}(?:不可用|超时|异常|繁忙|故障|错误|失败))",
    r"(?:内容|安全){0,2}(?:审核|审查|风控|检测)(?=[^，。；]{0,3}(?:不可用|超时|繁忙))",
    r"[退返][回还款]?[^，。；]{0,6}余额|refunded (?:back )?to (?:your|the) (?:account )?balance",
    r"billing (?:service|system|config)",
    r"(?:task|job|request) (?:is |was )?overdue|(?:motion|movement|speech|camera|voice|audio)[a-z ]{0,6} too fast",
    r"timeout (?:parameter|value|(?=must|should))",
)
"""Words that hold one of those below, and mean nothing of the kind."""

_WORDS: tuple[tuple[Reason, Sign | None, tuple[str, ...]], ...] = (
    (Reason.RATE_LIMITED, None, ("over resource pack limit", "parallel task")),
    (Reason.INSUFFICIENT_BALANCE, _status("402"), (
        " 0 credits", "account balance", "add credits", "arrear", "balance exhausted", "balance insufficient",
        "balance is insufficient", "balance is not enough", "balance is too low", "balance not enough",
        "balance too low", "billing", "budget exceed", "budget exhaust", "budget has been", "budget pool",
        "card declined", "credit balance", "credit insufficient", "credit limit", "credits are insufficient",
        "credits are used up", "credits exhausted", "credits insufficient", "enough credits",
        "exceeded your current quota", "exhausted balance", "free allowance", "free tier of the", "free tier only",
        "insufficient balance", "insufficient coin", "insufficient credit", "insufficient fund", "insufficient point",
        "insufficient quota", "insufficient remaining", "insufficient user quota", "insuficient user quota",
        "low balance", "negative balance", "no credits", "no quota left", "no remaining credit", "not enough balance",
        "not enough credit", "not enough fund", "not enough money", "not enough point", "not enough quota",
        "out of credit", "out of fund", "out of quota", "overdue", "payment failed", "payment method",
        "payment required", "plan has expired", "prepaid", "prepay", "quota exhausted", "quota has been exhausted",
        "quota insufficient", "quota is exhausted", "quota is not enough", "quota not enough", " recharge",
        "resource pack", "spend limit", "spending cap", "spending limit", "subscription expired",
        "subscription has expired", "token status exhausted", "tokenstatusexhausted", " top up", "trial expired",
        "trial has", " unpaid", "unpurchased", "upgrade your plan", "会员已", "会员过期", "余额", "充值", "免费额度",
        "套餐余量", "套餐已", "扣费失败", "欠费", "次数不足", "次数已用完", "次数用尽", "灵感值不足", "点数不足",
        "用户额度", "积分不够", "积分不足", "算力不足", "资源包", "金币不足", "预扣费", "额度不够", "额度不足",
        "额度已用", "额度用尽", "额度耗尽",
    )),
    (Reason.INVALID_INPUT, _FACE_WANTED, ("image objects undetected", "image check")),
    (Reason.MODERATION, _status("451", _REFUSED_CONTENT, near="content prompt"), (
        "adult content", "audio filtered", "audit fail", "audit not pass", "audit submit", "banned word",
        "blacklisted word", "blocked word", "blocklist", "brand logo", "celebrit", "community guideline",
        "contains minor", "content filter", "content polic", "content security", "copyright", "data inspection failed",
        "datainspectionfailed", "deepfake", "disallowed content", "error minor", "explicit content", "famous people",
        "famous person", "flagged", "forbidden content", "forbidden word", "generation not allowed", " gore",
        "guardrail", "hate speech", "hateful", "human face", " i can t create", " i cannot create", "illegal content",
        "inappropriate", "infring", "intellectual property", "ip input image", "ip protected", "known brand",
        "known person", "likeness", " minors", "moderated", "moderation", "not allowed to generate",
        "not permitted to generate", "not safe for work", "nsfw", "nudity", "people filter", "political", "porn",
        "privacy information", "prohibited", "prominent people", "prominent person", "protected character",
        "public figure", "rai media", "real human", "real people", "real person", "realistic child", "realistic human",
        "realistic people", "realistic person", "refused to generate", "rephras", "responsible ai", "risk control",
        "risk detection", "risk not pass", "riskdetection", "rule blocked", "safety", "security policy", "self harm",
        "sensitive", "sentinel block", "sexual", "shark not pass", "support codes", "third party content",
        "third party material", "trademark", "underage", "unsafe", "usage polic", "violat", "violence",
        "violent content", "不允许生成", "不合规", "不良信息", "低俗", "侵权", "公众人物", "内容不符合", "内容安全",
        "名人", "商标", "安全审", "安全检测", "安全策略", "安全规范", "审查", "审核", "异常行为", "政治", "敏感",
        "无法生成该内容", "明星", "暴力", "未成年", "涉政", "涉敏", "涉暴", "涉黄", "版权", "真人", "禁止生成", "肖像",
        "色情", "血腥", "裸露", "违反", "违法", "违禁", "违规", "隐私", "风控", "风险",
    )),
    (Reason.PROVIDER_INTERNAL, _NO_RESULT, (
        "cuda error", "disk space", "no space left", "oom when", "out of gpu", "out of memory",
    )),
    (Reason.INVALID_INPUT, _INPUT_NOT_REACHED, ("invalid url", "invalid image url", "upstream status code")),
    (Reason.AUTH, _NOT_LET_IN, (
        "access denied", "access to the model", "access token", "accesstoken", "account is not verified",
        "api key expired", "api key invalid", "api key is invalid", "api key not valid", "api secret key",
        "authentication", "authorization error", "authorized error", "expired token", "incorrect api key",
        "insufficient permission", "insufficient privilege", "insufficient right", "insufficient scope",
        "invalid access key", "invalid api key", "invalid apikey", "invalid credential", "invalid signature",
        "invalid token", "ip address blocked", "ip blocked", "ip white list", "login fail", "missing api key",
        "model not activated", "model not open", "no api key", "no permission", "not activated the model",
        "not authorised", "not authorized", "not have access", "not have permission", "not in the whitelist",
        "not in whitelist", "not whitelisted", "organization must be verified", "permission denied",
        "permission error", "permissions error", "provide an api key", "request time too skewed",
        "signature does not match", "signature mismatch", "timestamp expired", "timestamp is expired", "token expired",
        "token has expired", "token is expired", "token is invalid", "unauthenticated", "unauthorised", "unauthorized",
        "unusual login", "verify your organization", "key 已", "key 无效", "key 错误", "token 失效", "token 已",
        "token 无效", "token 过期", "令牌", "密钥不正确", "密钥失效", "密钥已", "密钥无效", "密钥过期", "密钥错误",
        "封禁", "已禁用", "无权", "未实名", "未开通", "未授权", "权限不足", "登录", "白名单", "签名失败", "签名无效",
        "签名错误", "被禁用", "认证失败", "账号已被", "账号异常", "身份验证", "鉴权",
    )),
    (Reason.INVALID_INPUT, _TOO_MUCH_OF_IT, ()),
    (Reason.RATE_LIMITED, _status("429", r"排队(?!超时)|(?<!采样)频率", near="排队 频率"), (
        "allocation quota", "check quota", "concurrency", "concurrent", "daily limit", "daily quota", "exceeded quota",
        "exceeded the quota", "exceeded your quota", "exceeds quota", "generation limit", "high traffic",
        "hourly limit", "inference limit exceeded", "limit exceeded for", "limit reached", "operation in process",
        " qps", "queue full", "queue is full", "queue length", "quota exceeded", "quota limit", "quota reached",
        " rate limit", "ratelimit", "reached the limit", "reached your limit", "request limit", "requests per",
        "resource exhausted", "resource has been exhausted", " rpm ", "set limit exceeded", "slow down", "task limit",
        "throttl", "too fast", "too frequent", "too many failed", "too many generation", "too many job",
        "too many pending", "too many request", "too many task", "too many users", "too much traffic", " tpm ",
        "unusual activity", "usage limit", "上限已达", "任务数", "任务过多", "并发", "次数超", "次数限制", "每日上限",
        "每日限", "请求过多", "负载已饱和", "超过每日", "达上限", "达到上限", "配额", "队列已满", "限流", "限速",
        "频繁",
    )),
    (Reason.INVALID_INPUT, None, (
        "invalid argument", "invalid param", "missing parameter", "参数不合法", "参数异常", "参数无效", "参数错误",
        "无效参数",
    )),
    (Reason.TIMEOUT, _status("408 504 524"), (
        "deadline exceeded", "job expired", "request expired", "taking too long", "task expired", "task has expired",
        "time limit exceeded", " time out ", "timed out", "timedout", "timeout", "took too long", "任务已过期",
        "任务过期", "处理时间过长", "等待时间过长", "耗时过长", "超时",
    )),
    (Reason.INVALID_INPUT, None, (
        "asset invalid", "bad request", "badrequest", "corrupt input", "does not support", "field invalid",
        "field lacking", "field unwanted", "illegal character", "invalid audio", "invalid base64", "invalid body",
        "invalid face", "invalid file", "invalid image", "invalid input", "invalid prompt", "invalid request",
        "invalid video", "not supported", "only support", "too big", "too large", "too long", "too many images",
        "too short", "too small", "unsupported", "validation error", "不支持", "您需要至少输入", "没有人声",
    )),
    (Reason.PROVIDER_INTERNAL, None, (
        "bad gateway", "failed to get channel", "get channel failed", "internal error", "internal server",
        "internal service", "internalerror", "no available channel", "server error", "server had an error",
        "serveroverloaded", "service unavailable", "system error", "task failed", "upstream returned",
        "上传背景文件失败", "上传音频文件失败", "内部错误", "无可用渠道", "服务异常", "渠道信息失败", "系统异常",
        "系统错误", "请求上游地址失败",
    )),
)  # fmt: skip
"""The words of each reason, in the order of looking. A space at an end of a word is the edge of a word there."""

_HINTS: tuple[tuple[Reason, Sign | None, tuple[str, ...]], ...] = (
    (Reason.PROVIDER_INTERNAL, None, (
        "cannot unmarshal", "doctype html", "invalid character", "invalid json", "invalid response",
        "model is not available", "model loading", "model not available", "model unavailable", "no available account",
        "not valid json", "runtime error", "traceback", "unexpected end", "unexpected response", "unexpected token",
    )),
    (Reason.AUTH, _status("401 403", _FORBIDDEN, near="forbidden"), ("not permitted",)),
    (Reason.INVALID_INPUT, _status("400 404 413 415 422", _ONLY_SO_MUCH, near="exceed only"), (
        "are required", "aspect ratio", "at least", "at most", "bitrate", "blurr", "cannot be parsed",
        "cannot identify", "codec", "corrupt", "decode", "deprecated", "dimension", "duration exceed", "end of life",
        "exceed max", "exceed the max", "exceeds limit", "exceeds max", "exceeds the limit", "exceeds the max",
        "failed to parse", "failed validation", "field required", "file size", "format invalid", "frame rate",
        "greater than", "image quality", "image size", "insufficient contrast", "insufficient image",
        "invalid duration", "invalid format", "invalid size", " is empty", "is required", "key error", "less than",
        "malformed", "max length", "maximum context", "maximum length", "mismatch", "missing", "multi face",
        "multiple faces", "must be", "must contain", "must have", "must match", "must not", "must provide", "no audio",
        "no longer available", "no speech", "no voice", "not exist", "not found", "not valid", "occluded",
        "out of range", "outof context", "pixel", "quality is", "quality too", "read user input", "recognition failed",
        "resolution", "sample rate", "sampling rate", "should be", "too complex", "too high", "too low",
        "unable to process input", "unreadable", "value error", "video size", "wrong format", "不合法", "不存在",
        "不符合", "为空", "人脸", "像素", "分辨率", "参数", "大小", "太大", "太小", "太短", "太长", "字数", "宽高比",
        "尺寸", "已下架", "已下线", "帧率", "张数", "必填", "损坏", "数量", "无效", "无法解析", "无法识别", "时长",
        "最多", "未找到", "格式", "比例", "码率", "缺少", "至少", "解析失败", "超出范围", "超出限制", "超过最大",
        "超过限制", "过大", "过小", "过短", "过长", "遮挡", "采样", "长宽比",
    )),
    (Reason.MODERATION, _REFUSED_TASK, ()),
    (Reason.PROVIDER_INTERNAL, _status("500 501 502 503 520 521 522 525 529"), (
        "allocation on device", "an error occurred", "an error while processing", "bad response", "be uploaded",
        "busy", "capacity", "captcha", "certificate", "channel error", "channel id", "channel is",
        "channel no available", "cloudflare", "cold start", "connection attempts", "connection closed",
        "connection error", "connection refused", "connection reset", "currently loading", "disconnected",
        "downstream", "econnre", "exited with", "failed to fetch", "failed to generate", "failed to save",
        "failed to upload", "fetch failed", "ffmpeg", "gateway", "generation error", "generation failed", " gpu",
        "had an error", "heavy load", "high demand", "high load", "internal", "job error", "job failed", "maintenance",
        "network error", "no channel", "no such host", "nonetype", "not available", "overload", "please try again",
        "prediction interrupted", "preempted", "processing failed", "request failed", "resolve host", "retries",
        "retry later", "runner", "something went wrong", "task channel", "try again in", "try again later",
        "unavailable", "unexpected eof", "unexpected error", "upstream", " vram", " waf", " worker",
        "上传失败", "上游", "不可用", "任务失败", "内部", "出现异常", "出错", "发生异常", "发生错误", "服务器",
        "渠道", "稍后", "算力紧张", "系统", "繁忙", "维护", "网络",
        "请求失败", "负载", "资源紧张", "过载",
    )),
)  # fmt: skip
"""Words that say why a task failed where nothing better does. Of a refused call the HTTP status says more."""

_CAUSES: tuple[tuple[Cause, re.Pattern[str]], ...] = (
    (Cause.IP, re.compile(r"\bip\b|whitelist|白名单", re.IGNORECASE | re.ASCII)),
    (Cause.PROJECT, re.compile(r"\bproject\b|\btenant\b|项目|租户", re.IGNORECASE | re.ASCII)),
    (Cause.SIGNATURE, re.compile(r"signature|signed|aksk|签名", re.IGNORECASE)),
    (Cause.TOKEN, re.compile(r"token|令牌|expired|过期|失效", re.IGNORECASE)),
)
"""What of our credentials a vendor refuses, by its words; the first that fits."""

_HUMP = re.compile(r"([a-z])([A-Z])|([A-Z])([A-Z][a-z]{2})")
_SPACED = str.maketrans({"_": " ", "-": " ", "’": "'"})
_BREAKS = str.maketrans(dict.fromkeys("!\"#$%&'()*+,./:;<=>?@[\\]^`{|}~，。；：！？、（）【】“”《》", " "))
_LATIN, _ALONE = re.compile(r"[a-z0-9]+"), r" \g<0> "
_ESCAPED = re.compile(r"\\{1,8}u([0-9a-fA-F]{4})")
_ADDRESS = re.compile(r"https?://[!#-&(-;=?-~]+")
_MEDIA_FILE = re.compile(r"\.(?:png|jpe?g|webp|gif|bmp|heic|mp4|mov|webm|mp3|wav|m4a)\b", re.IGNORECASE)
_SHORT_INTEGER = 10**15
_CODE_LENGTH = 200
_WIDE = (Reason.INVALID_INPUT, Reason.PROVIDER_INTERNAL)
"""What `invalid_request_error` and `server_error` mean, whatever they are about."""
_READ = 2048
"""Characters of a text that are searched: as many as a person would read."""


def code_of(value: object) -> str:
    """A vendor's code as lower-case text; nothing where it is neither a short text nor a number."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) > _SHORT_INTEGER):
        return ""
    return str(value)[: _CODE_LENGTH + 1].strip().lower() if isinstance(value, str | int) else ""


def reason_of(*, code: object = None, text: str = "", codes: Mapping[str, Reason] | None = None) -> Reason | None:
    """Why a task failed, by its code and text; None where no table maps them.

    `codes` is the vendor's own table; an entry may also be a whole text that the vendor documents.
    """
    told = reason_of_refusal(code=code, text=text, codes=codes)
    return told or _by_words(f"{_text_of(code)} {text}"[:_READ], hints=True)


def reason_of_refusal(
    *, code: object = None, text: str = "", codes: Mapping[str, Reason] | None = None
) -> Reason | None:
    """Why a call was refused, by its code and text: less is read into words, for there is an HTTP status too.

    The code decides, unless it says no more than that the request or the server failed and the text says why.
    """
    table = codes or {}
    for word in (code_of(code), code_of(text)):
        if word and word in table:
            return table[word]
    by_code = _by_words(_text_of(code))
    if by_code is not None and by_code not in _WIDE:
        return by_code
    by_text = _by_words(text[:_READ])
    return by_text if by_code is None or by_text not in (None, *_WIDE) else by_code


def _text_of(code: object) -> str:
    return code[:_READ] if isinstance(code, str) else ""


@lru_cache(256)  # a list shows the same words in every sweep, and none in most rows
def _by_words(text: str, *, hints: bool = False) -> Reason | None:
    """The first reason of a table whose words a text holds."""
    plain = _plain(text)
    words = plain.translate(_BREAKS)
    words = f" {' '.join((words if words.isascii() else _LATIN.sub(_ALONE, words)).split())} "
    for reason, sign, told in _HINTS if hints else _WORDS:
        if any(map(words.__contains__, told)) or (sign is not None and sign.is_in(plain)):
            return reason
    return None


def _plain(text: str) -> str:
    """A text in lower case, without what its addresses and innocent words hold: `invalid_apiKey` is three words."""
    text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text) if "\\u" in text else text
    text = _ADDRESS.sub(lambda found: " media url " if _MEDIA_FILE.search(found[0]) else " ", text)
    text = _HUMP.sub(r"\1\3 \2\4", text).lower().translate(_SPACED)
    return _INNOCENT.pattern.sub(" ", text) if _INNOCENT.is_in(text) else text


def cause_of_refusal(reason: Reason, status: int, text: str) -> Cause | None:
    """What is behind a refused call, by the HTTP status and the vendor's words; None where they say no more."""
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
