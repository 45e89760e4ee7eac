"""What settings are made of: secrets, what all providers share, and the model that refuses unknown keys.

`load.py` reads the file; every vendor describes its own settings with what is here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from exporter.config.files import reread
from exporter.config.files.reread import RereadFile
from exporter.config.mistakes import slips
from exporter.config.network import proxies, trust
from exporter.config.values import TEXT, BaseUrl, Bounds, Duration, Interval, Name, Rate, WebUrl, fault
from exporter.config.vendors.words import ReasonWords, StateWords
from exporter.tasks import ID_LENGTH, is_task_id

_SENDABLE = re.compile(r"[!-~]+")
_NOT_SENDABLE = "holds a blank or a character that no header can carry; copy the credential again, alone"

DURATION_BUCKETS = (
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0),
    *(450.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0, 7200.0),
)
"""Fit for video jobs: one second to two hours."""


@dataclass(frozen=True)
class FileReference:
    """The `*_file` twin of a secret, as the configuration gives it."""

    path: str


_SECRET_LIMIT = 64 * 1024


class Secret:
    """A credential. It prints as `<secret>`; only `reveal` gives the text.

    One that comes from a file is read again when the file has changed: renewing it needs no restart.
    """

    _wanted = "write the credential, ${VARIABLE}, or use the key with _file"
    _fault_of = staticmethod(slips.of_credential)

    def __init__(self, value: str, path: Path | None = None) -> None:
        self._value = value
        self._path = path
        self._file = RereadFile(path, _SECRET_LIMIT, self._in_file) if path else None

    @classmethod
    def from_file(cls, path: str) -> Self:
        file = Path(path).expanduser()
        return cls(cls._in_file(reread.read(file, _SECRET_LIMIT)), file)

    @classmethod
    def _in_file(cls, content: bytes) -> str:
        try:
            return cls._clean(content.decode())
        except UnicodeDecodeError:
            raise ValueError("the file is not UTF-8 text") from None

    @classmethod
    def _clean(cls, text: str) -> str:
        """The text without what surrounds it. Raises ValueError where it cannot be the secret, never repeating it."""
        text = text.strip()
        if not text:
            raise ValueError("is empty")
        if not text.isprintable():
            raise ValueError("holds a line break or a control character")
        if wrong := cls._fault_of(text):
            raise ValueError(wrong)
        return text

    def reveal(self) -> str:
        """The secret itself; the last good text if its file cannot be read, or not at once."""
        if self._file:
            self._value = self._file.at_once() or self._value
        return self._value

    async def fresh(self) -> str:
        """The same, but a slow file system is waited for, without holding the event loop."""
        if self._file:
            self._value = await self._file.in_time() or self._value
        return self._value

    @property
    def has_file(self) -> bool:
        """Whether it comes from a file, and may change while it is used."""
        return self._file is not None

    @property
    def text(self) -> str:
        """The secret itself as it was last read, without another look at its file."""
        return self._value

    def __repr__(self) -> str:
        return "<secret>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._value, self._path) == (other._value, other._path)

    def __hash__(self) -> int:
        return hash((self._value, self._path))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(repr)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"title": "secret", **TEXT, "minLength": 1, "examples": ["${VARIABLE}"]}

    @classmethod
    def _validate(cls, value: object) -> Secret:
        match value:
            case Secret():
                return value
            case FileReference(path):
                try:
                    return cls.from_file(path)
                except (OSError, ValueError, RuntimeError) as error:  # the last: `~` of a user that there is not
                    why = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
                    if why and ";" in why:  # it can be read, but is no credential
                        raise fault(f"what {slips.shown_path(path) or 'the file'} holds {why}") from None
                    if shown := slips.shown_path(path):
                        told = f"{shown} cannot be read: {why}; give the path of a readable file that holds it"
                        raise fault(told) from None
                    told = "give the path of a file; if this is the credential itself, write it without _file"
                    raise fault(f"cannot be read: {why}; {told}") from None
            case str():
                try:
                    text = cls._clean(value)
                    if wrong := slips.of_placeholder(text):
                        raise ValueError(wrong)
                    return cls(text)
                except ValueError as error:
                    told = str(error)
                    raise fault(told if ";" in told else f"{told}; {cls._wanted}") from None
        raise fault(f"not a text; {cls._wanted}")


class ProxyAddress(Secret):
    """The address of a proxy, or `none`: a secret, since it may hold a password."""

    _wanted = "write the proxy's address, none, ${VARIABLE}, or use the key with _file"
    _fault_of = staticmethod(proxies.fault_of_setting)


class Settings(BaseModel):
    """Base of every part of the configuration: frozen, unknown keys refused, `X_file` accepted for each secret `X`."""

    # Inputs stay out of the texts of errors: they may be secrets.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        defer_build=True,  # a start needs few of the many models
    )

    @classmethod
    def secret_names(cls) -> frozenset[str]:
        return frozenset(
            name
            for name, field in cls.model_fields.items()
            if field.annotation in (Secret, Secret | None, ProxyAddress | None)
        )

    @model_validator(mode="before")
    @classmethod
    def _take_secret_files(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            raise fault("not a mapping; write keys with values")
        taken = dict(data)
        for name in cls.secret_names():
            twin = f"{name}_file"
            if twin not in taken:
                continue
            if name in taken:
                raise fault(f"both {name} and {twin} are given; give one of them", twin)
            path = taken.pop(twin)
            taken[name] = FileReference(path) if isinstance(path, str) else path
        return taken


class PollSettings(Settings):
    """What may be set for all providers at once and overridden in each."""

    poll_interval: Interval = Field(default=15.0, description="time between the starts of two sweeps of a feed")
    idle_poll_interval: Interval | None = Field(
        default=None, description="the same for a listed feed without a task in flight, if it is longer"
    )
    request_timeout: Interval = Field(default=10.0, description="deadline of one whole request and its response")
    history: Duration = Field(default=86400.0, description="how far back finished tasks are read at the first start")
    list_lag: Duration = Field(
        default=3600.0,
        description="how late a task may appear in a vendor's list; 0s = at once",
    )
    recent_window: Interval = Field(default=3600.0, description="window of the videotask_recent_* gauges")
    stalled_after: Interval = Field(
        default=600.0,
        description="a task running or in an unknown state without a change for this long counts as stalled",
    )
    task_series_limit: int = Field(
        default=0, ge=0, le=100_000, description="per-task series a provider may have at once; 0 = none"
    )
    account_interval: Duration = Field(
        default=300.0, description="time between two readings of the account's balance; 0s = never"
    )
    duration_buckets: Bounds = Field(
        default=DURATION_BUCKETS, description="upper bounds of the duration histograms, ascending"
    )
    model_limit: int = Field(
        default=20,
        ge=0,
        le=1000,
        description="models of a feed with series of their own, the first ones seen; 0 = none; the others are `other`",
    )


def _watched_id(value: Any) -> str:
    if isinstance(value, str) and (wrong := slips.of_id(value)):
        raise fault(wrong)
    if not isinstance(value, str) or not is_task_id(value):
        raise fault(f"not a task id; write a text of 1 to {ID_LENGTH} printable characters")
    return value


WatchedId = Annotated[
    str,
    BeforeValidator(_watched_id),
    WithJsonSchema({"title": "task id", **TEXT, "minLength": 1}),
]


class WatchUrl(Settings):
    """A URL that names ids in the forms of the watch files."""

    url: WebUrl = Field(description="the URL that answers the ids")
    interval: Interval = Field(default=60.0, description="time between two requests")
    request_timeout: Interval = Field(default=10.0, description="deadline of one whole request and its response")
    bearer_token: Secret | None = Field(default=None, description="sent in the header Authorization")


def _not_guessable(secret: Secret | None) -> Secret | None:
    if secret and len(secret.reveal()) < SECRET_LENGTH:
        raise fault(f"too easily guessed; write at least {SECRET_LENGTH} characters")
    return secret


SECRET_LENGTH = 16
"""Fewest characters of a callback's secret: someone who guesses it may have tasks looked up."""


class WatchSettings(Settings):
    """Ids of tasks to follow in feeds that cannot be listed."""

    tasks: dict[str, list[WatchedId]] = Field(default_factory=dict, description="ids of tasks, by feed")
    files: list[str] = Field(default_factory=list, description="glob patterns of files that hold ids")
    http: list[WatchUrl] = Field(default_factory=list, description="URLs that answer ids")
    callback_secret: Annotated[Secret | None, AfterValidator(_not_guessable)] = Field(
        default=None, description="the secret that the vendor sends with callbacks"
    )
    limit: int = Field(
        default=100_000,
        ge=0,
        le=1_000_000,
        description="most ids requested by HTTP that a feed follows at the same time",
    )


def _ca_file(path: str | None) -> str | None:
    path = path and trust.at_home(path)
    if path is not None and (why := trust.fault_of_file(path)):
        raise fault(why)
    return path


class ProviderSettings(PollSettings):
    """What every provider has; a vendor adds its credentials."""

    ways: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Ways to authenticate, each by the settings that it takes. Where there are any, exactly one is given, whole."""
    added: ClassVar[tuple[str, ...]] = ()
    """Path segments that requests add to `base_url`: one that holds them already has them twice."""

    name: Name = Field(description="the label `provider`; unique")
    type: str = Field(description="the vendor")
    base_url: BaseUrl = Field(description="where the vendor's API starts")
    rate_limit: Rate = Field(default=5.0, description="maximum rate of requests to this provider, all feeds together")
    max_requests_per_day: int | None = Field(
        default=None, ge=24, description="requests within any 24 hours, all feeds together; intervals get longer for it"
    )
    page_size: int = Field(default=50, ge=1, le=500, description="tasks asked for on one list page")
    proxy: ProxyAddress | None = Field(
        default=None, description="http://, https:// or socks5:// proxy instead of the environment's; `none` for none"
    )
    ca_file: Annotated[str | None, AfterValidator(_ca_file)] = Field(
        default=None, description="a file of certificate authorities (PEM) that are trusted beside the usual ones"
    )
    feeds: list[str] | None = Field(default=None, description="which feeds to poll, else all of the type")
    states: dict[str, StateWords] = Field(
        default_factory=dict, description="the vendor's words for states that no table has yet, by feed"
    )
    reasons: dict[str, ReasonWords] = Field(
        default_factory=dict, description="codes and words of failures that no table has yet, by feed"
    )
    watch: WatchSettings = Field(default_factory=WatchSettings, description="tasks to follow by id")

    @field_validator("base_url")
    @classmethod
    def _starts_where_the_api_does(cls, url: str) -> str:
        default = cls.model_fields["base_url"].default
        if wrong := slips.of_base_url(url, default if isinstance(default, str) else "", cls.added):
            raise fault(wrong)
        return url

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        begun = [way for way in self.ways if any(getattr(self, name) is not None for name in way)]
        if self.ways and (len(begun) != 1 or any(getattr(self, name) is None for name in begun[0])):
            choice = [" with ".join(way) for way in self.ways]
            raise fault(f"credentials: give exactly one of {', '.join(choice[:-1])}, or {choice[-1]}")
        for name in sorted(self.secret_names()):
            secret = getattr(self, name)
            if name != "proxy" and secret is not None and not _SENDABLE.fullmatch(secret.reveal()):
                raise fault(_NOT_SENDABLE, name)
        return self
