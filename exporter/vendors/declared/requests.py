"""Requests with placeholders: `{page}` and the like, encoded for where they stand."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from exporter.config.files.document import KeyPath
from exporter.config.mistakes import slips
from exporter.config.mistakes.faults import told_of

PAGING = frozenset({"page", "offset", "cursor", "page_size"})
WINDOW = frozenset({"since_s", "since_ms", "since_iso", "until_s", "until_ms", "until_iso"})
ID = frozenset({"id", "+id"})
IDS = ID | {"ids", "ids[]"}
ALWAYS = frozenset({"uuid"})

_PLACEHOLDER = re.compile(r"\{(\+?[A-Za-z_][A-Za-z0-9_]*(?:\[\])?)\}")
_LOOSE = re.compile(r"\{[^{}]*\}?")

Value = str | int | float | Sequence[str] | None
Values = Mapping[str, Value]


class Template:
    """A text with placeholders."""

    __slots__ = ("_parts", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = _PLACEHOLDER.split(text)  # texts at the even places, names at the odd ones
        self.names = frozenset(self._parts[1::2])

    @property
    def whole(self) -> str:
        """The placeholder that it is, where it is one and nothing else."""
        return self._parts[1] if len(self._parts) == 3 and not (self._parts[0] or self._parts[2]) else ""

    @property
    def odd_braces(self) -> str:
        """What stands in braces and is no placeholder."""
        return next((found[0] for part in self._parts[::2] if (found := _LOOSE.search(part))), "")

    def filled(
        self,
        values: Values,
        encoded: Callable[[str, str], str] = lambda name, text: text,
        fixed: Callable[[str], str] = str,
    ) -> str:
        """The text with values; each is `encoded`, which gets its name and itself, and what is between is `fixed`."""
        return "".join(
            ",".join(encoded(part, one) for one in _texts(values, part)) if index % 2 else fixed(part)
            for index, part in enumerate(self._parts)
        )


def _texts(values: Values, name: str) -> Sequence[str]:
    """A value as text, several of them where it is a list."""
    value = values.get(name.removesuffix("[]").removeprefix("+"))
    if value is None:
        return ()
    return (str(value),) if isinstance(value, str | int | float) else value


def _is_empty(value: object) -> bool:
    return value is None or value == "" or value == []


@dataclass(frozen=True)
class Request:
    """What is sent: method, path with query, headers of its own, JSON body (None for none)."""

    method: str
    url: str
    headers: Mapping[str, str]
    json: Any


class RequestTemplate:
    """A request with placeholders, parsed once."""

    def __init__(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.method = method
        self.path = Template(path)
        self.query = {name: Template(value) for name, value in query.items()}
        self.headers = {name: Template(value) for name, value in (headers or {}).items()}
        self.json = _parsed(json)

    def filled(self, values: Values, url: str = "") -> Request:
        """The request with these values; `url` stands in place of path and query, where the vendor gave it whole."""
        if "uuid" in self.names:
            values = {**values, "uuid": str(uuid.uuid4())}
        headers = {name: text for name, template in self.headers.items() if (text := template.filled(values))}
        target = url or self.path.filled(values, _in_path) + self._query(values)
        body = _body(self.json, values)
        return Request(self.method, target, headers, body if self.json is not None else None)

    @cached_property
    def names(self) -> frozenset[str]:
        """The placeholders in it."""
        return frozenset(name for _, template in self.templates() for name in template.names)

    def templates(self) -> Iterator[tuple[KeyPath, Template]]:
        """All texts with placeholders, each with the keys that lead to it."""
        yield ("path",), self.path
        yield from ((("query", name), template) for name, template in self.query.items())
        yield from ((("headers", name), template) for name, template in self.headers.items())
        yield from _templates_in(self.json, ("json",))

    def _query(self, values: Values) -> str:
        pairs: list[tuple[str, str]] = []
        for name, template in self.query.items():
            if template.whole == "ids[]":
                pairs += [(name, _quoted(one)) for one in _ids(values)]
            elif text := template.filled(values, lambda _, text: _quoted(text), _quoted):
                pairs.append((name, text))
        joint = "&" if "?" in self.path.text else "?"
        return joint + "&".join(f"{_quoted(name)}={text}" for name, text in pairs) if pairs else ""


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _ids(values: Values) -> list[str]:
    ids = values.get("ids")
    return list(ids) if isinstance(ids, list | tuple) else []


def _in_path(name: str, text: str) -> str:
    """A value as one segment of the path; what the operator has set may be several, and so may what a + means."""
    if name.startswith("+"):
        return "/".join(_in_path(name[1:], segment) for segment in text.split("/") if segment)
    if name not in PAGING | WINDOW | IDS | ALWAYS:
        return quote(text, safe="/:")
    return _quoted(text) if text.strip(".") else "%2E" * len(text)  # dots alone would lead to another path


def _parsed(json: Any) -> Any:
    match json:
        case str():
            return Template(json)
        case dict():
            return {key: _parsed(value) for key, value in json.items()}
        case list():
            return [_parsed(value) for value in json]
    return json


def _body(json: Any, values: Values) -> Any:
    match json:
        case Template():
            if json.whole in ("ids[]", "ids"):
                ids = _ids(values)
                return ids if json.whole == "ids[]" else ",".join(ids)
            return values.get(json.whole.removeprefix("+")) if json.whole else json.filled(values)
        case dict():
            made = ((key, value, _body(value, values)) for key, value in json.items())
            return {key: value for key, was, value in made if not _is_left_out(was, value)}
        case list():
            return [value for was in json if not _is_left_out(was, value := _body(was, values))]
    return json


def _is_left_out(json: Any, value: Any) -> bool:
    return isinstance(json, Template) and bool(json.names) and _is_empty(value)


def _templates_in(json: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Template]]:
    match json:
        case Template():
            yield path, json
        case dict():
            for key, value in json.items():
                yield from _templates_in(value, (*path, key))
        case list():
            for index, value in enumerate(json):
                yield from _templates_in(value, (*path, index))


def window_values(since: float, until: float) -> dict[str, Value]:
    """The placeholders of a window between two Unix times."""
    made: dict[str, Value] = {}
    for name, at in (("since", since), ("until", until)):
        moment = datetime.fromtimestamp(int(at), UTC)
        made |= {
            f"{name}_s": int(at),
            f"{name}_ms": int(at) * 1000,
            f"{name}_iso": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    return made


def unknown_names(path: KeyPath, template: Template, allowed: frozenset[str]) -> Iterator[tuple[KeyPath, str]]:
    """The placeholders of a text that mean nothing, and what else stands in braces: where, and what is wrong."""
    shown = ", ".join(f"{{{one}}}" for one in sorted(allowed)) or "none here"
    for name in sorted(template.names - allowed):
        meant = slips.nearest(name, allowed)
        hint = f"; did you mean {{{meant}}}?" if meant else ""
        yield path, f"{{{name}}} is an unknown placeholder{hint}; allowed: {shown}"
    if odd := template.odd_braces:
        yield path, told_of(odd, f"no placeholder; write a name in braces; allowed: {shown}")
