"""What may be shown of a vendor's texts: neither credentials, nor addresses, nor people, nor what a task is about.

Two measures, for two kinds of text. `redacted` takes out of the words about a failed task what looks like something
to hide. `excerpt` is for the body of a failed call, which may hold anything at all: of it only what we know is let
through, the words that error messages are made of, and codes; so nothing else can come out, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from html import unescape

from pydantic_core import from_json

from exporter.error_words import CHINESE, ENGLISH

GAP = "…"
WORDS_LENGTH = 300
EXCERPT_LENGTH = 300
_SHORTEST_SECRET = 4
_READ_AT_MOST = 8192
_PARSED_AT_MOST = 256 * 1024
_DEPTH = 4
_KEYS_SHOWN = 12

_TELLING = frozenset(
    ("code", "detail", "error", "error_code", "error_message", "error_msg", "message", "msg", "status", "title", "type")
)
"""Keys of an envelope whose values say what went wrong; of others only the kind of the value is told."""

_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+=~%'-]*|[\u3400-\u9fff]+|\s+|[^\w\s]|\w", re.ASCII)
_CHINESE = re.compile("|".join(CHINESE))
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_CODE = re.compile(r"[A-Z]{2,8}\.\d{4,9}")
_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)|<[^>]*(?:>|$)", re.IGNORECASE | re.DOTALL)

_HIDDEN = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), instead)
    for pattern, instead in (
        (r"(?<![a-z0-9])[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>，。；、）」』”’]*", "(URL)"),
        (r"(?<![a-z0-9])data:[a-z]+/[^\s\"']*", "(data)"),
        (r"(?<![a-z0-9])www\.[^\s\"'<>，。；]*", "(URL)"),
        (r"(?<![\w./%-])[\w./%-]++\?[\w.-]++=[^\s\"'<>]*", "(URL)"),
        (r"(?<![a-z0-9.+%-])[a-z0-9._+%-]++@[\w.-]++", "(e-mail)"),
        (r"(?<![a-z0-9])(?:bearer|basic|sdk-hmac-sha256)\s+[\w.~+/=-]{4,}(?:\s*,?\s*\w{1,20}=\S+)*", "(credential)"),
        (
            r"[\w-]{0,20}(?:authorization|token|api[_ -]?key|access[_ -]?key(?:[_ -]?id)?|secret(?:[_ -]?key)?"
            r"|passw(?:or)?d|signature|credential|cookie|密钥|密码)[\"']?\s*[:=：＝]\s*[\"']?[^\s,;，；。]+",
            "(credential)",
        ),
        (r"(?<![a-z0-9-])(?:sk|pk|ak|rk)-[\w-]{4,}", "(credential)"),
        (r"(?:prompt|input[_ ]text|提示词|文案|台词)[\"']?\s*[:=：＝].*", "(prompt)"),
        (r"(?:(?:user|account|tenant)(?:[_ -]?(?:id|name))?|用户(?:ID|名)?)[\"']?\s*[:=：#＝]\s*\S+", "(user)"),
        (r"(?<![a-z0-9])user\s+[\w-]*\d[\w-]*", "(user)"),
        # Closed or not: of what an answer was cut off in, the rest is a quotation too.
        (r"\"[^\"]{16,}(?:\"|$)|`[^`]{16,}(?:`|$)|(?<![a-z0-9])'[^']{16,}(?:'|$)", "(quoted)"),
        (r"“[^”]{12,}(?:”|$)|‘[^’]{12,}(?:’|$)|「[^」]{12,}(?:」|$)|『[^』]{12,}(?:』|$)", "(quoted)"),
        (r"«[^»]{12,}(?:»|$)|《[^》]{12,}(?:》|$)|【[^】]{24,}(?:】|$)|[{\[][^{}\[\]]{24,}(?:[}\]]|$)", "(quoted)"),
        (r"(?<![a-z0-9_.~+/=%-])(?=[a-z_.~+/=%-]*\d)[a-z0-9_.~+/=%-]{16,}", "(id)"),
        (r"(?<![a-z0-9_.~+/=%-])[a-z0-9_.~+/=%-]{28,}", "(id)"),
        (r"(?<!\d)(?!(?<=[a-z]\.)\d{4,9}(?!\d))\+?\d(?:[\s().-]{0,2}\d){6,}", "(number)"),  # but for MSS.00010009
    )
)


def redacted(text: str, secrets: Collection[str] = (), limit: int = WORDS_LENGTH) -> str:
    """A vendor's words about a failed task, fit to be shown: on one line, and never longer than `limit` characters.

    URLs, credentials (`secrets` exactly, others by their shape), e-mail addresses, user ids, phone numbers, long
    quotations and what is named a prompt are replaced by what they were, such as `(URL)`.
    """
    shown = _one_line(_without(text, secrets)[:_READ_AT_MOST])
    for pattern, instead in _HIDDEN:
        shown = pattern.sub(instead, shown)
    return _cut(shown, limit)


def _without(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "(credential)")
    return text


def _one_line(text: str) -> str:
    """Without line breaks, control characters, and marks that turn the direction of writing."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def excerpt(body: bytes, secrets: Collection[str] = ()) -> str:
    """What a failed call's body says, fit to be shown: of JSON its structure, else its first words, or its size.

    Known are the words of `error_words.py`, codes of the form `APIGW.0301`, and numbers under the keys that
    tell what went wrong. Whatever else there is leaves a gap, or its length; `secrets` leave one in any case.
    """
    return _cut(_excerpt(body, frozenset(secrets)), EXCERPT_LENGTH)


def _excerpt(body: bytes, secrets: frozenset[str]) -> str:
    if not body.strip():
        return "empty"
    if len(body) <= _PARSED_AT_MOST:
        try:
            return _structure(from_json(body, allow_inf_nan=False), secrets)
        except (ValueError, RecursionError):
            pass
    start = body[:_READ_AT_MOST].decode(errors="ignore" if len(body) > _READ_AT_MOST else "replace")
    if "\ufffd" in start or any(ord(one) < 32 and not one.isspace() for one in start):
        return f"binary, {len(body)} bytes"
    is_markup = start.lstrip().startswith("<")
    words = _familiar(unescape(_MARKUP.sub(" ", start)) if is_markup else start, secrets)
    kind = "HTML" if is_markup else "text"
    return f"{kind}, {len(body)} bytes" + (f": {words}" if words else "")


def _structure(value: object, secrets: frozenset[str], key: str = "", depth: int = 0) -> str:
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case dict() if depth < _DEPTH:
            shown = [
                f"{_key(name, secrets)}: {_structure(inner, secrets, name, depth + 1)}"
                for name, inner in list(value.items())[:_KEYS_SHOWN]
            ]
            return "{" + ", ".join(shown + [GAP] * (len(value) > _KEYS_SHOWN)) + "}"
        case list() if value and depth < _DEPTH:
            return f"[{len(value)} × {_structure(value[0], secrets, '', depth + 1)}]"
        case dict() | list():
            return f"{{{GAP}}}" if isinstance(value, dict) else f"[{GAP}]" if value else "[]"
        case int() if key in _TELLING and abs(value) < 10**8 and str(value) not in secrets:
            return str(value)
        case "":
            return '""'
        case str() if key in _TELLING and (words := _familiar(value, secrets)):
            return f'"{words}"'
        case str():
            return f"text({len(value)})"
    return "number"


def _key(name: str, secrets: frozenset[str]) -> str:
    return name if name not in secrets and _is_familiar(name) else "other"


def _familiar(text: str, secrets: frozenset[str]) -> str:
    """The known words of a text, with gaps between them; nothing where the gaps would be more than half of it."""
    text = redacted(text, secrets, _READ_AT_MOST)
    pieces = list(_pieces(text, secrets))
    letters = [sum(map(str.isalnum, piece)) for piece in pieces]
    known = sum(letters)
    if not known or 2 * known < sum(map(str.isalnum, text)):
        return ""
    return _cut(re.sub(rf"{GAP}(?:[\s{GAP}]*{GAP})?", GAP, "".join(pieces)).strip(), EXCERPT_LENGTH // 2)


def _pieces(text: str, secrets: frozenset[str]) -> Iterator[str]:
    for unit in _UNIT.findall(text):
        bare = unit.rstrip("./+=~%'-")
        if bare in secrets:
            yield GAP
        elif "\u3400" <= unit[0] <= "\u9fff":
            at = 0
            for phrase in _CHINESE.finditer(unit):
                yield (GAP if phrase.start() > at else "") + phrase[0]
                at = phrase.end()
            yield GAP if at < len(unit) else ""
        elif not unit[0].isalnum():
            yield unit if unit in "()[],;:.!?/，。；：！？（）、-" else " " if unit.isspace() else ""
        else:
            yield bare + ("." if unit.endswith(".") else "") if _is_familiar(bare) else GAP


def _is_familiar(unit: str) -> bool:
    """Whether a word is known, or all in a name such as `access_token` or `AccessToken`; or whether it is a code."""
    parts = [part for part in re.split(r"[_\-'/]+", _HUMP.sub("_", unit)) if part]
    return bool(_CODE.fullmatch(unit)) or (bool(parts) and all(part.lower() in ENGLISH for part in parts))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + GAP
