"""Words of a vendor that no table maps: which of them may be shown, what they probably mean, the setting that says so.

Anything may stand where a word is looked for: an id, a prompt, a credential. What is shown has the form of a code or is
made of known words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from enum import StrEnum

from exporter.client.redaction.error_words import CHINESE, ENGLISH
from exporter.client.redaction.redaction import redacted
from exporter.config.mistakes import slips
from exporter.tasks import Field, Reason, State

LONGEST = 40
"""Characters of a word that may be shown."""

_SHORTEST_OWN = 4
"""Characters of an own text that is looked for within a word; a shorter one has to be the whole of it."""

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
_FORM = re.compile(r"[a-z0-9]+(?:[_./:-][a-z0-9]+){0,5}")
_PART = re.compile(r"[a-z]{1,20}|\d{1,6}|[a-z]{1,4}\d{1,5}|[a-z]{2,12}2[a-z]{2,12}")
_CODE = re.compile(r"[a-z]{2,8}\.\d{4,9}")
_WHOSE = re.compile(
    r"(^|[_.:/-])(user|usr|uid|account|acct|tenant|project|org|customer|task|job|id|video|vid)[_.:/-]?\d"
)
"""What is followed by a number that tells one from others: an id."""
PLACEHOLDERS = {Field.STATE: "STATE", Field.REASON: "REASON"}
"""What stands in a setting for a meaning that nothing hints at."""

_SETTINGS = {Field.STATE: "states", Field.REASON: "reasons"}

Meanings = Mapping[str, StrEnum | None]
"""Words, with what they probably mean; None where nothing hints at it."""


def is_showable(word: str, own: Collection[str] = ()) -> bool:
    """Whether a word, in small letters, is fit to be shown: no credential, no content, no id. `own` never is."""
    if not word or len(word) > LONGEST or redacted(word) != word:
        return False
    for text in own:
        plain = text.strip().lower()
        if plain == word or (len(plain) >= _SHORTEST_OWN and plain in word):
            return False
    if _CODE.fullmatch(word):
        return True
    if _FORM.fullmatch(word):
        return not _WHOSE.search(word) and all(map(_is_plain, re.split(r"[_./:-]", word)))
    return bool(_PHRASE.fullmatch(word)) or all(one in _KNOWN for one in word.split(" "))


def _is_plain(part: str) -> bool:
    """Whether a part of a code is a word, a short number, or a short word with one."""
    if part.isalpha():
        return not slips.may_be_secret(part)
    return bool(_PART.fullmatch(part)) or (part.rstrip("0123456789") in _KNOWN and len(part) <= 16)


def likely(field: Field, word: str) -> StrEnum | None:
    """What a word in small letters probably means; None where nothing hints at it."""
    plain = re.sub(r"[ .-]", "_", f" {word} ")
    if _NEGATED.search(plain):
        return None
    hints = _LIKELY.get(field, {})
    return next((meaning for meaning, pieces in hints.items() if any(one in plain for one in pieces.split())), None)


def setting(field: Field, words: Meanings, kind: str = "") -> str:
    """The line of YAML that maps these words, such as `states: {sora: {succeeded: [done_ok]}}`.

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


_STATES = "排队 等待 处理 生成 进行 完成 取消 审核 冻结 中"
_PHRASE = re.compile(f"(?:{'|'.join((*_STATES.split(), *CHINESE))}){{1,6}}")
_KNOWN = ENGLISH | {
    *("waiting", "queued", "running", "rendering", "generating", "rendered", "generated", "scheduled", "pending"),
    *("cancelled", "canceled", "finished", "done", "progress", "paused", "frozen", "started", "ready", "unsafe"),
}
