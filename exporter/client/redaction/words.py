"""Single words of a vendor, such as states and codes: which of them may be shown.

Anything may stand where a word is looked for: an id, a prompt, a credential. What may be shown has the form of a code,
or is made of known words.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from exporter.client.redaction.error_words import CHINESE, ENGLISH
from exporter.client.redaction.redaction import redacted
from exporter.config.mistakes import slips

LONGEST = 40
"""Characters of a word that may be shown."""

LONGEST_KNOWN = 64
"""Characters of one that is made of known words alone."""

_SHORTEST_OWN = 4
"""Characters of an own text that is looked for within a word; a shorter one has to be the whole of it."""

_FORM = re.compile(r"[a-z0-9]+(?:[_./:-][a-z0-9]+){0,5}")
_PART = re.compile(r"[a-z]{1,20}|\d{1,6}|[a-z]{1,4}\d{1,5}|\d{1,5}[a-z]{1,4}|[a-z]{2,12}2[a-z]{2,12}")
_SHORT = re.compile(r"\d{1,3}")
_CODE = re.compile(r"[a-z]{2,8}\.\d{4,9}")
_WHOSE = re.compile(
    r"(^|[_.:/-])(user|usr|uid|account|acct|tenant|project|org|customer|task|job|id|video|vid)[_.:/-]?\d"
)
"""What is followed by a number that identifies: an id."""

_STATES = "排队 等待 处理 生成 进行 完成 取消 审核 冻结 中"
_PHRASE = re.compile(f"(?:{'|'.join((*_STATES.split(), *CHINESE))}){{1,6}}")
_OTHERS = """
waiting queued running rendering generating rendered generated scheduled pending cancelled canceled finished done
progress paused frozen started ready unsafe sensitive detected inspection moderation violation copyright privacy
image audio text credit balance enough safety face nsfw argument size length timeout node gpu
"""
_KNOWN = ENGLISH | frozenset(_OTHERS.split())


def is_showable(word: str, own: Collection[str] = ()) -> bool:
    """Whether a word, in small letters, is fit to be shown: no credential, no content, no id. `own` never is."""
    if not word or len(word) > LONGEST_KNOWN or holds_own(word, own):
        return False
    is_code = bool(_FORM.fullmatch(word)) and not _WHOSE.search(word)
    parts = re.split(r"[_./:-]", word)
    if is_code and all(_SHORT.fullmatch(part) or _is_known(part) for part in parts):
        return True
    if len(word) > LONGEST or redacted(word) != word:
        return False
    if is_code or _FORM.fullmatch(word):
        return bool(_CODE.fullmatch(word)) or (is_code and all(map(_is_plain, parts)))
    return bool(_PHRASE.fullmatch(word)) or all(one in _KNOWN for one in word.split(" "))


def holds_own(text: str, own: Collection[str]) -> bool:
    """Whether a text, in small letters, holds one of these."""
    plain = (one.strip().lower() for one in own)
    return any(one == text or (len(one) >= _SHORTEST_OWN and one in text) for one in plain)


def _is_plain(part: str) -> bool:
    """Whether a part of a code is a word, a short number, or a short word with one."""
    if part.isalpha():
        return not slips.may_be_secret(part)
    return bool(_PART.fullmatch(part)) or (part.rstrip("0123456789") in _KNOWN and len(part) <= 16)


def _is_known(part: str) -> bool:
    """Whether a part is made of known words, as `sensitivecontentdetected` is."""
    ends = {0}
    for at in range(len(part)):
        if at in ends:
            ends |= {end for end in range(at + 3, len(part) + 1) if part[at:end] in _KNOWN}
    return len(part) in ends
