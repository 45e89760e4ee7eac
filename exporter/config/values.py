"""How durations, rates, URLs and names are written, and what any value may hold: `${VARIABLE}`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError

from exporter.config.mistakes import slips

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(?<![0-9])([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)/([smh])")
_LONGEST = 3660 * 86400.0
_LONGEST_TEXT = 1000
_SLOWEST = 1 / 3600


def fault(message: str, key: str = "") -> PydanticCustomError:
    """An error whose text is ours and never repeats the value, which may be a secret in the wrong place.

    One of a whole part may be laid to a `key` of it.
    """
    return PydanticCustomError("setting", "{message}", {"message": message, "key": key})


def seconds_of(text: str) -> float:
    """The seconds of a duration such as `500ms`, `15s`, `1h30m`, `7d`. Raises ValueError."""
    if len(text) > _LONGEST_TEXT or not _DURATION.fullmatch(text):
        raise ValueError("not a duration; write a number with a unit, such as 500ms, 15s, 10m, 24h or 7d")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > _LONGEST:
        raise ValueError("longer than ten years; write a duration such as 15s, 10m, 24h or 7d")
    return seconds


def _duration(value: Any) -> float:
    try:
        return seconds_of(value.strip() if isinstance(value, str) else "")
    except ValueError as error:
        meant = slips.duration_meant(value) if isinstance(value, str) else ""
        raise fault(f"{error}{_or(meant, seconds_of)}") from None


def _or(meant: str, read: Callable[[str], object]) -> str:
    """A suggestion, where there is one that can be read."""
    try:
        return f"; did you mean {meant}?" if meant and read(meant) else ""
    except (ValueError, PydanticCustomError):
        return ""


def _positive(seconds: float) -> float:
    if seconds < 0.01:
        raise fault("too short; the shortest is 10ms")
    return seconds


def _rate(value: Any) -> float:
    match = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match or float(match[1]) <= 0:
        meant = slips.rate_meant(value) if isinstance(value, str) and not match else ""
        words = "not a rate; write a number of requests per second, minute or hour, such as 10/s or 600/m"
        raise fault(f"{words}{_or(meant, _rate)}")
    rate = float(match[1]) / _UNITS[match[2]]
    if rate < _SLOWEST:
        raise fault("too slow; the slowest is 1/h")
    return rate


VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}"
"""What may stand in any value and, once it is replaced, may have made it anything."""

TEXT: JsonSchemaValue = {
    "type": ["string", "number", "boolean"],
    "pattern": rf"^([^$]|\$\$|{VARIABLE}|\$(?![{{$]))*$",
}
"""Any text. Editors take one that looks like a number or a yes for just that; we read every value as text."""


def written(name: str, pattern: str, *examples: str) -> WithJsonSchema:
    """How a value is written, for the JSON Schema of the configuration."""
    return WithJsonSchema(
        {"title": name, "type": "string", "pattern": f"{pattern}|{VARIABLE}", "examples": list(examples)}
    )


_WRITTEN_DURATION = rf"^\s*{_DURATION.pattern}\s*$"

Duration = Annotated[float, BeforeValidator(_duration), written("duration", _WRITTEN_DURATION, "15s", "1h30m", "7d")]
"""Seconds, written as `500ms`, `15s`, `10m`, `24h`, `7d`."""

Interval = Annotated[
    Duration, AfterValidator(_positive), written("duration above zero", _WRITTEN_DURATION, "500ms", "15s", "10m")
]
"""A duration above zero."""

Rate = Annotated[float, BeforeValidator(_rate), written("rate", rf"^\s*{_RATE.pattern}\s*$", "10/s", "600/m", "1000/h")]
"""Requests per second, written as `10/s`, `600/m`, `1000/h`."""


def _url(value: Any, *, takes_query: bool = False) -> str:
    allowed = "write http:// or https://, a host and, if needed, a port and a path"
    try:
        parts = urlsplit(value)
        written_well = parts.port != 0 and value.isprintable() and " " not in value
    except (ValueError, TypeError, AttributeError):
        raise fault(f"not a URL; {allowed}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not written_well:
        raise fault(f"not a URL; {allowed}")
    if parts.username is not None or parts.password is not None:
        raise fault(f"holds credentials, which would end up in logs; {allowed}, and use the settings for credentials")
    if "#" in value or ("?" in value and not takes_query):
        raise fault(f"holds a query or a fragment; {allowed}")
    return f"{parts.scheme}{value[len(parts.scheme) :]}"


def _base_url(value: Any) -> str:
    return _url(value).rstrip("/")


_WRITTEN_HOST = r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\s]+"

BaseUrl = Annotated[
    str, BeforeValidator(_base_url), written("URL", rf"{_WRITTEN_HOST}(/[^?#\s]*)?$", "https://vendor.example")
]
"""Where a vendor's API starts; without a trailing slash, without credentials."""

WebUrl = Annotated[
    str,
    BeforeValidator(partial(_url, takes_query=True)),
    written("URL with a query", rf"{_WRITTEN_HOST}([/?][^#\s]*)?$", "https://shop.example/tasks?state=open"),
]
"""One page: without credentials, but for what its query may hold."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""How a word is written that may become a label."""

Name = Annotated[str, Field(title="name", pattern=f"^{NAME.pattern}$")]
"""A word that may become a label."""

Kind = Annotated[str, Field(title="name", pattern=f"^{NAME.pattern}(/{NAME.pattern})?$")]
"""The name of a feed, which may have two parts, as a vendor's path has them."""


def _ascending(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in pairwise(bounds)):
        raise fault("not ascending; write each bound once, the smallest first")
    return bounds


Bounds = Annotated[tuple[Interval, ...], Field(min_length=1, max_length=50), AfterValidator(_ascending)]
"""Upper bounds of a histogram's buckets, in seconds."""
