"""Where a row has what: the fields of a declaration, as typed settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta, timezone, tzinfo
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue

from exporter.config.mistakes import slips
from exporter.config.models import Settings
from exporter.config.values import TEXT, fault, seconds_of
from exporter.vendors.declared.reading.expressions import Expression, expression
from exporter.vendors.declared.requests import Template

_PATH: JsonSchemaValue = {"title": "JMESPath", **TEXT, "minLength": 1, "examples": ["data.items", "status"]}

Path = Annotated[Expression, BeforeValidator(expression), WithJsonSchema(_PATH)]
"""A JMESPath expression."""

Unit = Literal["credits", "usd", "cny", "tokens", "seconds", "requests", "units"]
"""What costs and balances are counted in: UNITS, as a type."""


def _field(value: Any) -> Any:
    """A field that has nothing but a path may be that alone."""
    return {"path": value} if isinstance(value, str) else value


def _list(value: Any) -> Any:
    """A list of one field may be that field."""
    if isinstance(value, str):
        raise fault("a path alone, which has no unit; write {path: cost, unit: credits} or another unit")
    return value if isinstance(value, list) else [value]


def _offset(value: Any) -> float | str:
    if isinstance(value, str) and Template(value).whole:
        return value
    return seconds_of_offset(as_offset(value if isinstance(value, str) else ""))


def seconds_of_offset(text: str) -> float:
    """The seconds of a duration that may have a sign, such as `8h` or `-30m`. Raises ValueError."""
    sign = -1.0 if text.strip().startswith("-") else 1.0
    return sign * seconds_of(text.strip().lstrip("+-"))


def _path_text(text: str) -> str:
    expression(text)
    return text


PathText = Annotated[str, AfterValidator(_path_text)]
"""A setting of a provider that is a JMESPath."""


def as_offset(text: str) -> str:
    """A setting that stands for an offset. Raises ValueError where it is none."""
    try:
        seconds_of_offset(text)
    except ValueError as error:
        raise fault(str(error)) from None
    return text


def zone_of(text: str) -> tzinfo:
    """A time zone out of its name, or of what it is ahead of UTC. Raises ValueError."""
    if ahead := _AHEAD.fullmatch(text):
        span = timedelta(hours=int(ahead[2]), minutes=int(ahead[3]))
        return timezone(-span if ahead[1] == "-" else span)
    try:
        return ZoneInfo(text)
    except (KeyError, OSError):
        raise ValueError("no zone has this name") from None


_AHEAD = re.compile(r"([+-])(\d\d):([0-5]\d)", re.ASCII)
_NEARLY_AHEAD = re.compile(r"(?:UTC|GMT)?\s?([+-])(\d{1,2})(?::?(\d\d))?", re.ASCII | re.IGNORECASE)


def _zone(value: str) -> str:
    try:
        zone_of(value)
    except ValueError:
        if nearly := _NEARLY_AHEAD.fullmatch(value):
            meant = f"; did you mean {nearly[1]}{nearly[2]:>02}:{nearly[3] or '00'}?"
        else:
            meant = slips.hint(value, available_timezones())
        told = "not a time zone; write a name such as Asia/Shanghai, or what it is ahead of UTC, such as +08:00"
        raise fault(f"{told}{meant}") from None
    return value


class PathOnly(Settings):
    """A value of a row."""

    path: Path = Field(description="JMESPath over a row")

    @property
    def paths(self) -> Sequence[Expression]:
        """All that it reads of a row."""
        return [self.path]


class ProgressField(PathOnly):
    """How far a task is."""

    unit: Literal["percent", "ratio"] = Field(default="percent", description="0 to 100, or 0 to 1")


class TimeField(PathOnly):
    """A time: seconds, milliseconds by magnitude, ISO 8601, RFC 1123."""

    offset: Annotated[float | str, BeforeValidator(_offset)] = Field(
        default=0.0, description="added, as 8h or -30m, or a setting in braces"
    )
    zone: Annotated[str, AfterValidator(_zone)] = Field(default="UTC", description="of times without one")
    when: Literal["always", "end"] = Field(default="always", description="end: believed once the task has ended")

    @model_validator(mode="before")
    @classmethod
    def _needs_no_form(cls, value: Any) -> Any:
        for key in ("unit", "format"):
            if isinstance(value, dict) and key in value:
                raise fault("without effect: the form of a time is recognized, its unit by its size", key)
        return value


class LengthField(PathOnly):
    """The length of the clip."""

    unit: Literal["s", "ms"] = Field(default="s", description="of a number")
    frames: Path | None = Field(default=None, description="how many frames it has, where `path` finds nothing")
    frame_rate: Path | None = Field(default=None, description="how many of those a second has")

    @model_validator(mode="after")
    def _has_both(self) -> LengthField:
        for key, other in (("frames", "frame_rate"), ("frame_rate", "frames")):
            if getattr(self, key) is not None and getattr(self, other) is None:
                raise fault(f"missing; {key} gives no length without it", other)
        return self

    @property
    def paths(self) -> Sequence[Expression]:
        return [path for path in (self.path, self.frames, self.frame_rate) if path is not None]


class UsageField(PathOnly):
    """What a task cost."""

    unit: Unit = Field(description="what it is counted in")
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="what the number is multiplied with")


ProgressPath = Annotated[ProgressField, BeforeValidator(_field, json_schema_input_type=Path | ProgressField)]
TimePath = Annotated[TimeField, BeforeValidator(_field, json_schema_input_type=Path | TimeField)]
LengthPath = Annotated[LengthField, BeforeValidator(_field, json_schema_input_type=Path | LengthField)]
_Several = Annotated[list[UsageField], Field(min_length=1)]
Usages = Annotated[_Several, BeforeValidator(_list, json_schema_input_type=UsageField | _Several)]


class Fields(Settings):
    """Where a row has what."""

    id: Path = Field(description="the task's id")
    state: Path = Field(description="the word for its state, or an expression that makes one")
    progress: ProgressPath | None = Field(default=None, description="how far it is")
    submitted: TimePath | None = Field(default=None, description="when it was submitted")
    started: TimePath | None = Field(default=None, description="when its work began")
    ended: TimePath | None = Field(default=None, description="when it ended")
    dated: TimePath | None = Field(default=None, description="a time near its life, where the row has none of these")
    output: LengthPath | None = Field(default=None, description="the length of the clip")
    model: Path | None = Field(default=None, description="the model's name")
    usage: Usages | None = Field(default=None, description="what it cost; a list where that is in several units")
    code: Path | None = Field(default=None, description="the code of a failure")
    text: Path | None = Field(default=None, description="the words of a failure")
    result: Path | None = Field(default=None, description="what only a task that ended well has, such as its clip")

    @property
    def times(self) -> Iterator[tuple[str, TimeField]]:
        """The times that it has, by their names."""
        for name in ("submitted", "started", "ended", "dated"):
            if field := getattr(self, name):
                yield name, field

    def paths(self, name: str) -> Sequence[Expression]:
        """Where a row has one of these: none where that is not declared, several where it is in several units."""
        told = getattr(self, name)
        parts = told if isinstance(told, list) else [] if told is None else [told]
        return [path for one in parts for path in ([one] if isinstance(one, Expression) else one.paths)]
