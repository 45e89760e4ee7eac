"""What may be shown of a vendor's texts: neither credentials, nor addresses, nor people, nor what a task is about.

Two measures, for two kinds of text. `redacted` takes out of the words about a failed task what looks like something
to hide. `excerpt` is for the body of a failed call, which may hold anything at all: of it only what we know is let
through, the words that error messages are made of, and codes; so nothing else can come out, wherever it stands.

Vendors may send megabytes, and this work holds up whatever else is to be done. So only the first `READ` characters of
a text are looked at, and every pattern takes time in proportion to them, whatever they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from html import unescape

from pydantic_core import from_json

from exporter.client.redaction.error_words import CHINESE, ENGLISH

GAP = "…"
WORDS_LENGTH = 300
EXCERPT_LENGTH = 300
READ = 2048
"""Characters of a text that are looked at."""
_SHORTEST_SECRET = 4
_BODY_READ = 8192
_PARSED_AT_MOST = 256 * 1024
_DEPTH = 4
_KEYS_SHOWN = 12
_LONGEST_KEY = 64

_TELLING = frozenset(
    ("code", "detail", "error", "error_code", "error_message", "error_msg", "message", "msg", "status", "title", "type")
)
"""Keys of an envelope whose values say what went wrong; others show only the kind of their value."""

_MASK = "\0"  # no character of a text that is shown
_MASKED = re.compile(f"{_MASK}+")
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+=~%'-]*|[\u3400-\u9fff]+|\s+|[^\w\s]|\w", re.ASCII)
_CHINESE = re.compile("|".join(CHINESE))
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_JOINT = re.compile(r"[_\-'/]+")
_CODE = re.compile(r"[A-Z]{2,8}\.\d{4,9}")
_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|$)|<!--.*?(?:-->|$)|<[^>]*(?:>|$)", re.IGNORECASE | re.DOTALL)


def _quotation(mark: str) -> str:
    """What stands between two marks that are the same; one after a space, or before a letter, closes nothing.

    Closed or not: of what an answer was cut off in, the rest is a quotation too.
    """
    opening = rf"(?<![a-z0-9]){mark}" + ("" if mark == "'" else rf"|{mark}(?!\s)")
    inner = rf"[^{mark}]|(?<=\s){mark}|(?<!\s){mark}(?=[a-z0-9])"
    return rf"(?:{opening})(?:{inner}){{16,}}(?:{mark}|$)"


_HIDDEN = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), instead)
    for pattern, instead in (
        # Quotations first: what follows would take their first word, and the mark before it.
        ("|".join(map(_quotation, "\"'`")), "(quoted)"),
        (r"“[^”]{12,}(?:”|$)|‘[^’]{12,}(?:’|$)|「[^」]{12,}(?:」|$)|『[^』]{12,}(?:』|$)", "(quoted)"),
        (r"(?<![a-z0-9])[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>，。；、）」』”’]*", "(URL)"),
        (r"(?<![a-z0-9])data:[a-z]+/[^\s\"']*", "(data)"),
        (r"(?<![a-z0-9])www\.[^\s\"'<>，。；]*", "(URL)"),
        (r"(?<![\w./%-])[\w./%-]++\?[\w.-]++=[^\s\"'<>]*", "(URL)"),
        (r"(?<![a-z0-9._+%-])[a-z0-9._+%-]++@[\w.-]++", "(e-mail)"),
        (r"(?<![a-z0-9])(?:bearer|basic|sdk-hmac-sha256) [\w.~+/=-]{4,}(?: ?,? ?\w{1,20}=\S+)*", "(credential)"),
        (
            r"(?:authorization|token|api[_ -]?key|access[_ -]?key(?:[_ -]?id)?|secret(?:[_ -]?key)?"
            r"|passw(?:or)?d|signature|credential|cookie|密钥|密码)[\"']? ?[:=：＝] ?[\"']?[^\s,;，；。]+",
            "(credential)",
        ),
        (r"(?<![a-z0-9-])(?:sk|pk|ak|rk)-[\w-]{4,}", "(credential)"),
        (r"(?:prompt|input[_ ]text|提示词|文案|台词)[\"']? ?[:=：＝].*", "(prompt)"),
        (r"(?:(?:user|account|tenant)(?:[_ -]?(?:id|name))?|用户(?:ID|名)?)[\"']? ?[:=：#＝] ?\S+", "(user)"),
        (r"(?<![a-z0-9])user (?=[\w-]*\d)[\w-]+", "(user)"),
        (r"«[^»]{12,}(?:»|$)|《[^》]{12,}(?:》|$)|【[^】]{24,}(?:】|$)|[{\[][^{}\[\]]{24,}(?:[}\]]|$)", "(quoted)"),
        (r"(?<![a-z0-9_.~+/=%-])(?=[a-z_.~+/=%-]*\d)[a-z0-9_.~+/=%-]{16,}", "(id)"),
        (r"(?<![a-z0-9_.~+/=%-])[a-z0-9_.~+/=%-]{28,}", "(id)"),
        (r"(?<!\d)(?!(?<=[a-z]\.)\d{4,9}(?!\d))\+?\d(?:[\s().-]{0,2}\d){6,}", "(number)"),  # but for MSS.00010009
    )
)
"""In the order in which they are looked for, on one line with single spaces."""


def redacted(text: str, secrets: Collection[str] = (), limit: int = WORDS_LENGTH) -> str:
    """A vendor's words about a failed task, fit to be shown: on one line, and never longer than `limit` characters.

    URLs, credentials (`secrets` exactly, others by their shape), e-mail addresses, user ids, phone numbers, long
    quotations and what is named a prompt are replaced by what they were, such as `(URL)`.
    """
    shown = without(text, [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET], "(credential)")
    shown = _one_line(shown)
    if len(text) > READ:
        shown = shown.rpartition(" ")[0] or shown  # half an id is not seen to be one
    for pattern, instead in _HIDDEN:
        shown = pattern.sub(instead, shown)
    return _cut(shown, limit)


def without(text: str, parts: Iterable[str], instead: str) -> str:
    """The first `READ` characters of a text, with `instead` in the place of those parts, the longest first.

    A part gives way also where it begins in there and ends beyond.
    """
    if len(text) > READ:
        text = text[: 2 * READ]
    for part in sorted(parts, key=len, reverse=True):
        if part[:READ] in text:
            text = text.replace(part[:READ], _MASK * len(part[:READ]))  # as long, so that nothing moves in from beyond
    return _MASKED.sub(instead, text[:READ])


def _one_line(text: str) -> str:
    """Without line breaks, control characters, and marks that turn the direction of writing."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def excerpt(body: bytes, secrets: Collection[str] = ()) -> str:
    """What a failed call's body says, fit to be shown: of JSON its structure, else its first words, or its size.

    Known are the words of `error_words.py`, codes of the form `ABC.0301`, and numbers under the keys that
    say what went wrong. Whatever else there is leaves a gap, or its length; `secrets` leave one in any case.
    """
    return "".join(_within(_excerpt(body, frozenset(secrets)), EXCERPT_LENGTH))


def _excerpt(body: bytes, secrets: frozenset[str]) -> Iterator[str]:
    """The pieces of an excerpt, none of which may be cut in two."""
    if not body.strip():
        yield "empty"
        return
    if len(body) <= _PARSED_AT_MOST:
        try:
            value = from_json(body, allow_inf_nan=False)
        except (ValueError, RecursionError):
            pass
        else:
            yield from _structure(value, secrets)
            return
    start = body[:_BODY_READ].decode(errors="ignore" if len(body) > _BODY_READ else "replace")
    if "\ufffd" in start or any(ord(one) < 32 and not one.isspace() for one in start):
        yield f"binary, {len(body)} bytes"
        return
    is_markup = start.lstrip().startswith("<")
    words = _familiar(unescape(_MARKUP.sub(" ", start)) if is_markup else start, secrets)
    yield f"{'HTML' if is_markup else 'text'}, {len(body)} bytes"
    if words:
        yield from (": ", *words)


def _structure(value: object, secrets: frozenset[str], key: str = "", depth: int = 0) -> Iterator[str]:
    match value:
        case None | bool():
            yield {None: "null", True: "true", False: "false"}[value]
        case dict() if depth < _DEPTH:
            yield "{"
            for position, (name, inner) in enumerate(value.items()):
                yield ", " if position else ""
                if position == _KEYS_SHOWN:
                    yield GAP
                    break
                yield f"{_key(name, secrets)}: "
                yield from _structure(inner, secrets, name, depth + 1)
            yield "}"
        case list() if value and depth < _DEPTH:
            yield f"[{len(value)} × "
            yield from _structure(value[0], secrets, "", depth + 1)
            yield "]"
        case dict() | list():
            yield f"{{{GAP}}}" if isinstance(value, dict) else f"[{GAP}]" if value else "[]"
        case int() if key in _TELLING and abs(value) < 10**8 and str(value) not in secrets:
            yield str(value)
        case "":
            yield '""'
        case str() if key in _TELLING and (words := _familiar(value, secrets)):
            yield from ('"', *words, '"')
        case str():
            yield f"text({len(value)})"
        case _:
            yield "number"


def _key(name: str, secrets: frozenset[str]) -> str:
    return name if len(name) <= _LONGEST_KEY and name not in secrets and _is_familiar(name) else "other"


def _familiar(text: str, secrets: frozenset[str]) -> list[str]:
    """The known words of a text, with gaps between them; nothing where the gaps would be more than half of it."""
    text = redacted(text, secrets, READ)
    pieces = list(_pieces(text, secrets))
    known = sum(sum(map(str.isalnum, piece)) for piece in pieces)
    if not known or 2 * known < sum(map(str.isalnum, text)):
        return []
    return list(_within(_closed_up(pieces), EXCERPT_LENGTH // 2))


def _pieces(text: str, secrets: frozenset[str]) -> Iterator[str]:
    for unit in _UNIT.findall(text):
        bare = unit.rstrip("./+=~%'-")
        if bare in secrets:
            yield GAP
        elif "\u3400" <= unit[0] <= "\u9fff":
            at = 0
            for phrase in _CHINESE.finditer(unit):
                if phrase.start() > at:
                    yield GAP
                yield phrase[0]
                at = phrase.end()
            if at < len(unit):
                yield GAP
        elif not unit[0].isalnum():
            yield unit if unit in "()[],;:.!?/，。；：！？（）、-" else " " if unit.isspace() else ""
        else:
            yield bare + ("." if unit.endswith(".") else "") if _is_familiar(bare) else GAP


def _closed_up(pieces: Iterable[str]) -> Iterator[str]:
    """One gap for several in a row, no space at either end, and one between words where all between them is hidden."""
    last, space, is_parted = " ", "", False
    for piece in pieces:
        if not piece:
            is_parted = True
            continue
        if is_parted and not space and last[-1].isalnum() and piece[0].isalnum():
            space = " "
        is_parted = False
        if piece.isspace():
            space = space or piece
        elif piece != GAP or last != GAP:
            if space and last != " ":
                yield space
            yield piece
            last, space = piece, ""
        else:
            space = ""


def _is_familiar(unit: str) -> bool:
    """Whether a word is known, or all in a name such as `access_token` or `AccessToken`; or whether it is a code."""
    parts = [part for part in _JOINT.split(_HUMP.sub("_", unit)) if part]
    return bool(_CODE.fullmatch(unit)) or (bool(parts) and all(part.lower() in ENGLISH for part in parts))


def _within(pieces: Iterable[str], limit: int) -> Iterator[str]:
    """As many whole pieces as have room, with a gap in the place of the rest; no more of them are worked out."""
    room = limit - len(GAP)
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            yield GAP
            return
        yield piece


def _cut(text: str, limit: int) -> str:
    """The text, or as many whole words of it as have room; a part of the first, where that alone is too long."""
    if len(text) <= limit:
        return text
    start = text[: limit - len(GAP)]
    whole = start if text[len(start)].isspace() else start.rpartition(" ")[0] or start
    return whole.rstrip() + GAP
