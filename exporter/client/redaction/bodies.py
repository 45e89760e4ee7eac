"""An answer as it may be given away: keys, types, numbers, states, codes and times stay, content goes.

What goes is replaced by something of the same type: credentials, free texts, addresses, and whose the account is. Ids
of tasks are replaced by others, the same id by the same everywhere. A value is judged by its key and by its look; what
neither shows to be harmless goes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.client.reasons import reason_of
from exporter.client.redaction.redaction import redacted
from exporter.client.redaction.words import holds_own, is_showable
from exporter.tasks import Reason

SECRET = "(secret)"  # noqa: S105  # what stands for one
TEXT = "(text)"
PHONE = 10_000_000_000
_DEPTH = 60
_LONGEST_KEY = 64
_LEAST_DIGITS = 5
"""Digits of a number that is taken for one of ours wherever it stands."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ID = _words("id ids uuid guid")
_MARK = _ID | _words("cursor next prev previous continuation seq serial no sn hash etag")
"""What texts are that identify one thing. Numbers there may be those of pages."""
_WHOSE = _words(
    "user users username usr uid nick nickname owner account acct tenant customer member creator author operator mail "
    "email phone mobile tel avatar org organization organisation company team ip address openid unionid wechat qq "
    "domain workspace project realname person people contact"
)
_AMOUNT = _words(
    "balance quota credit credits amount usage cost price fee limit level count total points size type status state "
    "tokens remaining used left plan"
)
_CONTENT = _words(
    "prompt prompts text texts title name names desc description content contents caption captions script lyrics query "
    "subject input inputs instruction instructions story topic keyword keywords tag tags remark note notes comment "
    "filename file words speech dialog transcript subtitle subtitles negative narration summary question answer"
)
_SECRET = _words(
    "token secret password passwd pwd apikey authorization signature sign sig cookie session credential jwt"
)
_TELLING = _words("message msg error err reason fail failure failed detail details warning cause")
_WORD = _words(
    "status state phase stage step type kind mode code action object platform provider channel quality resolution role "
    "ratio aspect category method unit currency event format"
)
_MODEL = _words("model engine")

_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_KEY = re.compile(r"[A-Za-z_$@][A-Za-z0-9_$.-]*")
_MODEL_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
_TIME = re.compile(
    r"\d{4}-?\d\d-?\d\d(?:[T ]\d\d:?\d\d(?::?\d\d)?(?:[.,]\d+)?\s*(?:Z|UTC|GMT|[+-]\d\d:?\d\d)?)?"
    r"|[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (?:GMT|[+-]\d{4})",
    re.ASCII,
)
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]{0,15})?\.?\d{0,12}(?:[eE][-+]?\d{1,3})?\s?(?:%|[A-Za-z]{1,4}|秒)?", re.ASCII)
_MEASURE = re.compile(r"\d{1,5}\s?[xX*:×]\s?\d{1,5}(?::\d{1,2}(?:\.\d+)?)?", re.ASCII)
_MOBILE = re.compile(r"(?:\+?86)?1[3-9]\d{9}|\+\d[\d ().-]{6,18}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.\w+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://|www\.|data:[a-z]+/", re.ASCII)
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.~+/=:-]{12,}|[\w.~+/=-]{28,}|\d{14,}", re.ASCII)

_SAYS: dict[Reason, str] = {reason: reason.replace("_", " ") for reason in Reason if reason is not Reason.UNKNOWN}
_SAYS[Reason.AUTH] = "authentication"
"""By what words a placeholder says why a task failed, so that a reader finds the same reason in it."""


@dataclass(frozen=True)
class _Place:
    """What the keys say about a value."""

    own: frozenset[str] = frozenset()
    """The words of its key."""
    above: frozenset[str] = frozenset()
    """Of the keys above it, the words that say whose everything within is, or that it is content."""

    def below(self, key: str) -> _Place:
        own = frozenset(one.lower() for one in _PARTS.findall(key[:_LONGEST_KEY]))
        return _Place(own, self.above | (self.own & (_WHOSE | _CONTENT)))

    @property
    def is_whose(self) -> bool:
        return bool((self.own | self.above) & _WHOSE) and not self.own & _AMOUNT

    @property
    def is_whose_id(self) -> bool:
        """Whether a number identifies a person or an account."""
        return self.is_whose and bool(self.own & (_WHOSE | _ID))

    @property
    def is_content(self) -> bool:
        return bool((self.own | self.above) & _CONTENT) and not self.own & _WORD


@dataclass
class Names:
    """What stands for ids and people: the same for the same, in all answers."""

    everywhere: set[str] = field(default_factory=set)
    """Ids that are replaced wherever they stand."""
    _known: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def of(self, value: str | int, kind: str = "id") -> str:
        """Of a number digits, else a text such as `id-1`."""
        text = str(value)
        if text not in self._known:
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            self._known[text] = str(1_000_000 + number) if text.lstrip("-").isdigit() else f"{kind}-{number}"
        return self._known[text]


@dataclass(frozen=True)
class Redactor:
    """Makes answers of one provider fit to be given away."""

    secrets: Collection[str]
    """Credentials: what was configured, and what was sent."""
    whose: Collection[str]
    """Texts that show whose the account is."""
    names: Names = field(default_factory=Names)

    def learn(self, body: Any, ids: Collection[str] = (), id_key: str = "id") -> None:
        """Remembers the ids in an answer, and these, wherever they stand later; `id_key` holds ids too."""
        found = [*ids, *(str(value) for value in _ids(body, _Place(), id_key))]
        self.names.everywhere |= {one for one in found if _is_distinct(one) or (one in ids and not one.isdigit())}

    def redacted(self, body: Any) -> Any:
        """An answer with all that is to go replaced."""
        return self._value(body, _Place(), 0)

    def _is_ours(self, text: str) -> bool:
        return holds_own(text.lower(), self.secrets) or holds_own(text.lower(), self.whose)

    def _value(self, value: Any, place: _Place, depth: int) -> Any:
        match value:
            case dict() if depth < _DEPTH:
                return {self._key(key): self._value(one, place.below(key), depth + 1) for key, one in value.items()}
            case list() if depth < _DEPTH:
                return [self._value(one, place, depth + 1) for one in value]
            case dict() | list():
                return type(value)()
            case str():
                return self._text(value, place, depth)
            case int() if not isinstance(value, bool):
                return self._number(value, place)
        return value

    def _key(self, key: str) -> str:
        """A key, unless an id or content stands in its place."""
        is_key = _KEY.fullmatch(key) and len(key) <= _LONGEST_KEY and not _RANDOM.fullmatch(key)
        if is_key and key not in self.names.everywhere and not self._is_ours(key):
            return key
        return self.names.of(key, "id" if key in self.names.everywhere else "key")

    def _number(self, value: int, place: _Place) -> int:
        text = str(value)
        is_ours = len(text) >= _LEAST_DIGITS and (text in self.whose or text in self.secrets)
        if place.is_whose_id or is_ours:
            return int(self.names.of(value, "user"))
        if place.own & _ID or text in self.names.everywhere:
            return int(self.names.of(value))
        return PHONE if _MOBILE.fullmatch(text) else value

    def _text(self, value: str, place: _Place, depth: int) -> str:
        text = value.strip()
        if not text:
            return value
        if text[0] in "{[" and (inner := _parsed(text)) is not None:
            return json.dumps(self._value(inner, place, depth + 1), ensure_ascii=False)
        if text in self.names.everywhere:
            return self.names.of(text)
        if holds_own(text.lower(), self.secrets):
            return SECRET
        if _URL.match(text):
            return f"https://url.invalid/{self.names.of(text, 'url')}"
        if _EMAIL.fullmatch(text):
            return f"{self.names.of(text, 'user')}@email.invalid"
        if text in self.whose or (place.is_whose and not _is_measured(text)):
            return self.names.of(text, "user")
        return f"+{PHONE}" if _MOBILE.fullmatch(text) else self._plain(value, text, place.own, place)

    def _plain(self, value: str, text: str, own: frozenset[str], place: _Place) -> str:
        """A text that names no person, by what its key says that it is."""
        is_model = _MODEL_NAME.fullmatch(text) and "(credential)" not in redacted(text)
        if own & _MODEL and is_model and not self._is_ours(text):
            return value
        if own & _MARK or {"page", "token"} <= own:
            return self.names.of(text)
        if own & _SECRET:
            return SECRET
        if _is_measured(text):
            return value
        is_failure = bool(own & _TELLING) and not place.above & _CONTENT
        if place.is_content and not is_failure:
            return TEXT
        if is_showable(text.lower(), self.whose) and (own & _WORD or not re.search(r"[ /]|\.[A-Za-z]\w{1,4}$", text)):
            return value
        if _RANDOM.fullmatch(text):
            return self.names.of(text)
        return _instead_of(text) if is_failure else TEXT


def _instead_of(text: str) -> str:
    """What stands for the words of a failure: the reason that they give."""
    said = _SAYS.get(reason_of(text=text) or Reason.UNKNOWN)
    return f"(text, {said})" if said else TEXT


def _is_measured(text: str) -> bool:
    """Whether a text is a time, a number with its unit, or the like."""
    is_number = bool(re.search(r"\d", text)) and bool(_NUMBER.fullmatch(text)) and not re.search(r"\d{14}", text)
    return is_number or bool(_TIME.fullmatch(text) or _MEASURE.fullmatch(text))


def _is_distinct(text: str) -> bool:
    """Whether an id is like nothing else, so that it is one wherever it stands."""
    return len(text) >= (6 if text.isdigit() else 4) and (len(text) >= 12 or bool(re.search(r"\d", text)))


def _ids(value: Any, place: _Place, id_key: str, depth: int = 0, *, is_id: bool = False) -> Iterator[str | int]:
    """The values that are ids by their keys, but for those of people."""
    match value:
        case dict() if depth < _DEPTH:
            for key, one in value.items():
                yield from _ids(one, place.below(key), id_key, depth + 1, is_id=key == id_key)
        case list() if depth < _DEPTH:
            for one in value:
                yield from _ids(one, place, id_key, depth + 1)
        case bool():
            return
        case str() | int() if (is_id or place.own & _ID) and not place.is_whose and not _URL.match(str(value)):
            yield value


def _parsed(text: str) -> Any:
    """What is in a text that is JSON of an object or a list; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def sent_in(headers: Mapping[str, str]) -> Iterator[str]:
    """The credentials that the headers of a request may hold."""
    for name, value in headers.items():
        if _Place().below(name).own & (_SECRET | {"key", "auth", "access"}):
            yield from (value, *value.split())
