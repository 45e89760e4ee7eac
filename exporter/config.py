"""The configuration file as typed settings. An error names file, line and key, what is wrong and what is allowed."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, SerializeAsAny, ValidationError
from pydantic_core import ErrorDetails

from exporter.document import Document, KeyPath
from exporter.logs import Level
from exporter.providers import VENDORS
from exporter.settings import Interval, PollSettings, ProviderSettings, Settings

_SIZE_LIMIT = 4 * 1024 * 1024


class LedgerSettings(Settings):
    """Where the ledger is kept, and for how long it remembers ended tasks."""

    path: str = Field(
        default="videotask.sqlite3", min_length=1, description='an SQLite file, or ":memory:" to keep nothing'
    )
    retention: Interval = Field(
        default=604800.0, description="how long ended tasks are remembered; not less than history and recent_window"
    )


class LogSettings(Settings):
    """What is logged."""

    level: Level | None = Field(default=None, description="instead of --log.level")


class Config(PollSettings):
    """The whole file."""

    log: LogSettings = Field(default_factory=LogSettings, description="what is logged")
    ledger: LedgerSettings = Field(default_factory=LedgerSettings, description="what makes counters survive restarts")
    providers: list[SerializeAsAny[ProviderSettings]] = Field(min_length=1, description="the accounts to poll")


class ConfigError(Exception):
    """A configuration that cannot be used: one line per fault, in the order of the file."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ConfigFile:
    """The file while the exporter runs: it is read when that is asked for, and tells whether it has changed since."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._read: bytes | None = None

    def load(self) -> Config:
        """Its settings now. Raises ConfigError."""
        self._read = None
        text = _content(self._path)  # once: it may be a pipe
        self._read = _digest(text)
        return _settings(_document(self._path, text, os.environ))

    def has_changed(self) -> bool:
        """Whether its content is another than what was last read, were it good or not."""
        try:
            return _digest(_content(self._path)) != self._read
        except ConfigError:
            return self._read is not None


def load(path: str | Path, environment: Mapping[str, str] = os.environ) -> Config:
    """The settings that a file describes, with `${VARIABLE}` taken from the environment. Raises ConfigError."""
    return _settings(read_document(path, environment))


def _settings(document: Document) -> Config:
    config = _Reader(document).config()
    if config is None or document.faults:
        raise ConfigError(document.faults)
    return config


def read_document(path: str | Path, environment: Mapping[str, str] | None) -> Document:
    """The document that a file holds, with its faults noted in it. Raises ConfigError if there is none to read."""
    return _document(path, _content(path), environment)


def _content(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; name a readable file"]) from None


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _document(path: str | Path, text: bytes, environment: Mapping[str, str] | None) -> Document:
    """The document that a file with this content holds. Raises ConfigError if it is too large to be one."""
    if len(text) > _SIZE_LIMIT:
        raise ConfigError([f"{path}: larger than {_SIZE_LIMIT // 2**20} MiB; that is not a configuration"])
    return Document(str(path), text, environment)


class _Reader:
    """Makes settings of a document, and notes in it what is wrong."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._fault = document.fault

    def config(self) -> Config | None:
        raw = self._document.content
        if raw is None and not self._document.faults:
            self._fault(("providers",), "missing, the file is empty; write at least one provider")
        elif raw is not None and not isinstance(raw, dict):
            self._fault((), "not a mapping; write keys such as `providers:` with values")
        return self._config(raw) if isinstance(raw, dict) else None

    def _config(self, raw: dict[str, Any]) -> Config | None:
        listed = raw.get("providers")
        inherited = _good_ones({key: raw[key] for key in PollSettings.model_fields if key in raw})
        entries = listed if isinstance(listed, list) else []
        providers = [self._provider(entry, ("providers", index), inherited) for index, entry in enumerate(entries)]
        self._check_names(entries)
        read = [provider for provider in providers if provider is not None]
        if isinstance(listed, list) and listed:
            raw = raw | {"providers": read or [ProviderSettings(name="x", type="x", base_url="http://x")]}
        try:
            config = Config.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                self._fault_of(detail, (), Config)
            return None
        return config

    def _provider(self, entry: Any, path: KeyPath, inherited: Mapping[str, Any]) -> ProviderSettings | None:
        if not isinstance(entry, dict):
            self._fault(path, "not a mapping; write `- name: ...` and `type: ...` with the vendor's settings")
            return None
        vendor = VENDORS.get(str(entry.get("type")))
        if vendor is None:
            wrong = "unknown type" if entry.get("type") else "missing"
            self._fault((*path, "type"), f"{wrong}; allowed: {', '.join(sorted(VENDORS))}")
            return None
        try:
            settings = vendor.settings.model_validate({**inherited, **entry})
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                self._fault_of(detail, path, vendor.settings)
            return None
        for index, kind in enumerate(settings.feeds or []):
            if kind not in vendor.kinds:
                self._fault((*path, "feeds", index), f"unknown feed; allowed: {', '.join(vendor.kinds)}")
        for kind in settings.watch.tasks:
            polled = settings.feeds or vendor.kinds
            if kind not in polled:
                self._fault((*path, "watch", "tasks", kind), f"no feed of this provider; allowed: {', '.join(polled)}")
        if settings.feeds == []:
            self._fault((*path, "feeds"), f"empty; allowed: {', '.join(vendor.kinds)}")
        return settings

    def _check_names(self, entries: list[Any]) -> None:
        first: dict[Any, int] = {}
        for index, entry in enumerate(entries):
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str) and name in first:
                line = self._document.line(("providers", first[name], "name"))
                message = f"already the name of the provider in line {line}; give each provider a name of its own"
                self._fault(("providers", index, "name"), message)
            if isinstance(name, str):
                first.setdefault(name, index)

    def _fault_of(self, detail: ErrorDetails, base: KeyPath, model: type[Settings]) -> None:
        path = (*base, *detail["loc"])
        twin = (*path[:-1], f"{path[-1]}_file") if path else path
        if not self._document.has(path) and self._document.has(twin):
            path = twin
        self._fault(path, words_for(detail, model))


def _good_ones(settings: dict[str, Any]) -> dict[str, Any]:
    """Those that providers can inherit; what is wrong with the others is told once, where they are written."""
    try:
        PollSettings.model_validate(settings)
    except ValidationError as error:
        bad = {detail["loc"][0] for detail in error.errors(include_url=False, include_input=False)}
        return {key: value for key, value in settings.items() if key not in bad}
    return settings


def words_for(detail: ErrorDetails, model: type[Settings]) -> str:
    """What is wrong and what is allowed. Never the value: it may be a secret in the wrong place."""
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "setting":
            return str(limits["message"])
        case "extra_forbidden":
            return _unknown_key(str(detail["loc"][-1]), _model_at(model, detail["loc"][:-1]))
        case "missing":
            field = _model_at(model, detail["loc"][:-1]).model_fields.get(str(detail["loc"][-1]))
            return f"missing; {(field.description if field else None) or 'write a value'}"
        case "literal_error":
            return f"unknown; allowed: {str(limits['expected']).replace(' or ', ', ').replace(chr(39), '')}"
        case "int_parsing" | "int_parsing_size" | "int_type" | "int_from_float":
            return "not a whole number; write digits"
        case "bool_parsing" | "bool_type":
            return "neither true nor false; write one of them"
        case "string_type":
            return "not a text; write a value after the colon"
        case "list_type" | "tuple_type":
            return "not a list; write `[a, b]` or lines that start with `- `"
        case "dict_type" | "model_type":
            return "not a mapping; write keys with values"
        case "greater_than_equal":
            return f"too small; the least is {limits['ge']}"
        case "less_than_equal":
            return f"too large; the most is {limits['le']}"
        case "too_short":
            return "empty; write at least one"
        case "too_long":
            return f"too many; the most is {limits['max_length']}"
        case "string_too_short":
            return "empty; write a text"
        case "string_pattern_mismatch":
            return "not allowed here; write letters, digits, `_`, `-` and `.`, at most 64 and a letter or digit first"
    return detail["msg"].lower()


def _model_at(model: type[Settings], path: tuple[str | int, ...]) -> type[Settings]:
    for step in path:
        field = model.model_fields.get(str(step))
        inner = field.annotation if field else None
        candidates = [inner, *getattr(inner, "__args__", ())]
        model = next((one for one in candidates if isinstance(one, type) and issubclass(one, Settings)), model)
    return model


def _unknown_key(key: str, model: type[Settings]) -> str:
    allowed = sorted({*model.model_fields, *(f"{name}_file" for name in model.secret_names())})
    close = difflib.get_close_matches(key, allowed, n=1)
    return f"unknown key{f'; did you mean {close[0]}?' if close else ''}; allowed: {', '.join(allowed)}"
