"""Values as vendors write them: times, progress, lengths, costs. A wrong one raises ValueError, unset is None."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_TEXT = 100
"""Characters of a time or a number; a longer text is neither."""

LONGEST_LENGTH = 1e9
"""Seconds of a clip above which the value is a slip of the vendor."""

LARGEST_AMOUNT = 1e12
"""Units of a cost or a balance above which the value is a slip of the vendor."""

_YEAR_1 = -62_135_596_800.0
"""What some languages have for a time that was never set, as Unix seconds."""

_SECONDS_BELOW = 1e11
"""Seconds as all vendors have them; more digits are milli-, micro- or nanoseconds."""

_ISO = re.compile(
    r"(?P<moment>\d{4}-?\d\d-?\d\d[Tt ]\d\d:?\d\d(?::?\d\d)?)(?:[.,](?P<fraction>\d+))?\s*(?P<zone>\D.*)?", re.ASCII
)
_NEVER = re.compile(r"^0000-00-00|\b0001 \d\d:", re.ASCII)
"""What databases and .NET write where there is no time; the latter would be read as the year 2001."""

_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:\.\d+)?)", re.ASCII)
_LENGTH = re.compile(
    r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|msec|milliseconds?|s|secs?|seconds?|m|mins?|minutes?)?", re.ASCII | re.IGNORECASE
)
_MONEY = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d{1,3})?", re.ASCII)


def number(value: Any) -> float:
    """A finite number out of a number or a text. Raises ValueError."""
    kind = type(value)  # exactly: True is an int too
    if kind is not int and kind is not float and (kind is not str or len(value) > LONGEST_TEXT):
        raise ValueError("not a number")
    try:
        result = float(value)
    except OverflowError:
        raise ValueError("not a number") from None
    if not math.isfinite(result):
        raise ValueError("not a number")
    return result


def time_reader(offset: float = 0.0, zone: tzinfo = UTC) -> Callable[[Any], float | None]:
    """Reads times as Unix seconds: seconds, milliseconds and finer by magnitude, ISO 8601, RFC 1123.

    `offset` seconds are added; times without a zone are in `zone`. 0, null, an empty text and the year 1 are unset.
    """

    def read(value: Any) -> float | None:
        if type(value) is int and 0 < value < _SECONDS_BELOW:  # as most rows have it
            return value + offset
        if type(value) is int or type(value) is float:
            seconds = _seconds(number(value))
        elif _is_unset(value):
            return None
        elif isinstance(value, str) and len(value) <= LONGEST_TEXT:
            text = value.strip()
            seconds = _seconds(float(text)) if _is_number(text) else _moment(text, zone)
        else:
            raise ValueError("not a time")
        return seconds + offset if seconds else None

    return read


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _is_number(text: str) -> bool:
    return text.isascii() and text.replace(".", "", 1).removeprefix("-").isdigit()


def _seconds(value: float) -> float | None:
    if abs(value) < _SECONDS_BELOW:
        return value if value and value != _YEAR_1 else None
    for units in (1e9, 1e6, 1e3):
        if abs(value) >= 1e8 * units:
            value /= units
            break
    return value


def _moment(text: str, zone: tzinfo) -> float | None:
    if _NEVER.search(text):
        return None
    if found := _ISO.fullmatch(text):
        fraction = float(f"0.{found['fraction']}") if found["fraction"] else 0.0
        told = _zone_of(found["zone"])
        moment = datetime.fromisoformat(found["moment"] + told)
    else:
        fraction = 0.0
        try:
            moment = parsedate_to_datetime(text)
        except (TypeError, IndexError, OverflowError):
            raise ValueError("not a time") from None
    if moment.year <= 1:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp() + fraction
    except OverflowError:
        raise ValueError("not a time") from None


def _zone_of(text: str | None) -> str:
    """A zone as `fromisoformat` reads it. Raises ValueError for what is none."""
    plain = (text or "").strip().upper()
    if plain in ("UTC", "GMT"):
        return "Z"
    return plain.removeprefix("UTC").removeprefix("GMT")


def progress_reader(unit: str) -> Callable[[Any], float | None]:
    """Reads progress as a ratio from 0 to 1, out of `percent` or `ratio`; "42%" is a percentage in any case."""
    declared = 1.0 if unit == "ratio" else 100.0

    def read(value: Any) -> float | None:
        if _is_unset(value):
            return None
        whole = declared
        if isinstance(value, str) and (text := value.rstrip()).endswith("%"):
            value, whole = text[:-1], 100.0
        ratio = number(value) / whole
        if not 0 <= ratio <= 1:
            raise ValueError("not between 0 and 100 %")
        return ratio

    return read


def length_reader(unit: str) -> Callable[[Any], float | None]:
    """Reads the length of a clip in seconds, out of numbers in `s` or `ms`, and of texts: "5s", "5.041", "0:00:07"."""
    in_a_second = 1000.0 if unit == "ms" else 1.0

    def read(value: Any) -> float | None:
        if _is_unset(value):
            return None
        if isinstance(value, str):
            text = value.strip()[: LONGEST_TEXT + 1]
            if clock := _CLOCK.fullmatch(text):
                seconds = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
            elif (found := _LENGTH.fullmatch(text)) and (told := found[2]):
                seconds = _in_seconds(float(found[1]), told.lower())
            else:
                seconds = number(text) / in_a_second
        else:
            seconds = number(value) / in_a_second
        if not 0 <= seconds <= LONGEST_LENGTH:
            raise ValueError("not a length")
        return seconds or None

    return read


def framed_length_reader(unit: str) -> Callable[[Any], float | None]:
    """Reads the length of a clip out of three values: the length itself, else its frames and how many a second has."""
    plain, in_seconds = length_reader(unit), length_reader("s")

    def read(values: Any) -> float | None:
        length, frames, rate = values
        if (seconds := plain(length)) is not None or _is_unset(frames) or _is_unset(rate):
            return seconds
        if (in_a_second := number(rate)) <= 0:
            raise ValueError("not a frame rate")
        return in_seconds(number(frames) / in_a_second)

    return read


def _in_seconds(length: float, unit: str) -> float:
    if unit.startswith(("ms", "mil")):
        return length / 1000.0
    return length * 60.0 if unit.startswith("m") else length


def amount_reader(scale: float = 1.0) -> Callable[[Any], float | None]:
    """Reads an amount of money, credits or tokens, times `scale`: numbers, and texts with commas between thousands."""

    def read(value: Any) -> float | None:
        if _is_unset(value):
            return None
        if isinstance(value, str):
            text = value.strip()[: LONGEST_TEXT + 1]
            if not _MONEY.fullmatch(text):
                raise ValueError("not an amount")
            value = text.replace(",", "")
        amount = number(value) * scale
        if not abs(amount) <= LARGEST_AMOUNT:
            raise ValueError("not an amount")
        return amount

    return read
