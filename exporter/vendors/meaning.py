"""Words of a vendor that no table maps: what they probably mean, and the setting that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum

from exporter.tasks import Field, Reason, State

_LIKELY: dict[Field, dict[StrEnum, str]] = {
    Field.STATE: {
        State.FAILED: "fail err reject expire timeout timed_out invalid denied refus crash 失败 错误 异常 超时 过期",
        State.CANCELLED: "cancel abort stopped terminat delet kill withdrawn revok 取消 终止 中止",
        State.QUEUED: "not_start queue wait pend submit creat schedul init accept receiv prepar 排队 等待 待",
        State.BLOCKED: "block frozen froze hold paus suspend audit review 冻结 暂停 审核",
        State.SUCCEEDED: "succe done complet finish ready _ok_ generated rendered processed publish 完成 成功",
        State.RUNNING: "run process progress render generat work start upload execut sampl encod 中",
    },
    Field.REASON: {
        Reason.MODERATION: "safe nsfw sensitiv moderat polic content audit risk illegal forbid 敏感 审核 违规 风控",
        Reason.INSUFFICIENT_BALANCE: "credit balance fund payment arrear money 余额 欠费",
        Reason.TIMEOUT: "timeout time_out timed_out deadline expire 超时 过期",
        Reason.RATE_LIMITED: "_rate_ limit throttl concurren quota qps busy 限流 频 并发",
        Reason.AUTH: "auth token permission credential signature denied 令牌 鉴权 权限",
        Reason.INVALID_INPUT: "param input invalid format argument image audio size unsupported missing 参数 格式",
        Reason.PROVIDER_INTERNAL: "intern server system upstream unavail crash gpu node worker model 系统 服务 内部",
    },
}
"""Pieces of words that hint at a meaning; the first that fits counts. It is a guess, for a person to confirm."""

_NEGATED = re.compile(r"(^|_)(not|un|in|non?)_?(succe|done|complet|finish|ready|processed)")
PLACEHOLDERS = {Field.STATE: "STATE", Field.REASON: "REASON"}
"""What stands in a setting for a meaning that nothing hints at."""

_SETTINGS = {Field.STATE: "states", Field.REASON: "reasons"}

Meanings = Mapping[str, StrEnum | None]
"""Words, with what they probably mean; None where nothing hints at it."""


def likely(field: Field, word: str) -> StrEnum | None:
    """What a word in small letters probably means; None where nothing hints at it."""
    plain = re.sub(r"[ .-]", "_", f" {word} ")
    if _NEGATED.search(plain):
        return None
    hints = _LIKELY.get(field, {})
    return next((meaning for meaning, pieces in hints.items() if any(one in plain for one in pieces.split())), None)


def setting(field: Field, words: Meanings, kind: str = "") -> str:
    """The line of YAML that maps these words, such as `states: {render: {succeeded: [done_ok]}}`.

    For a vendor's declaration without `kind`. STATE or REASON stands for a meaning that nothing hints at.
    """
    by_meaning: dict[str, list[str]] = {}
    for word, meaning in words.items():
        by_meaning.setdefault(str(meaning or PLACEHOLDERS[field]), []).append(_quoted(word))
    inner = ", ".join(f"{meaning}: [{', '.join(found)}]" for meaning, found in by_meaning.items())
    return f"{_SETTINGS[field]}: {{{f'{kind}: {{{inner}}}' if kind else inner}}}"


def choice(field: Field) -> str:
    """The meanings that a word may have."""
    meanings: tuple[StrEnum, ...] = tuple(Reason) if field is Field.REASON else tuple(State)
    return ", ".join(one for one in meanings if one is not State.LOST)


def _quoted(word: str) -> str:
    """A word as YAML takes it for a text, within brackets."""
    return word if word != "null" and not re.search(r":(\s|$)", word) else json.dumps(word, ensure_ascii=False)
