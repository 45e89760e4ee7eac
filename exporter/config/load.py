"""The configuration file as typed settings. An error names file, line and key, what is wrong and what is allowed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, SerializeAsAny, ValidationError
from pydantic_core import ErrorDetails

from exporter.config.document import Document, KeyPath
from exporter.config.logs import Level
from exporter.config.mistakes import slips
from exporter.config.mistakes.accounts import configured_twice
from exporter.config.mistakes.faults import told_of, words_for
from exporter.config.models import PollSettings, ProviderSettings, Settings, Vendors
from exporter.config.network.proxies import Proxies, ProxyUnusable
from exporter.config.network.trust import VARIABLES, at_home, fault_of_variable
from exporter.config.values import Interval, fault

SHARED = "x-"
"""How a key begins that holds what several providers have in common, for `<<` to merge; it means nothing itself."""

_SIZE_LIMIT = 4 * 1024 * 1024


def _ledger_path(path: str) -> str:
    if "://" in path:
        raise fault("the address of a database, not a file; write the path of a file, which is made, or :memory:")
    return at_home(path)


class LedgerSettings(Settings):
    """Where the ledger is kept, and for how long it remembers ended tasks."""

    path: Annotated[str, AfterValidator(_ledger_path)] = Field(
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
    ledger: LedgerSettings = Field(
        default_factory=LedgerSettings, description="the file that keeps counters across restarts"
    )
    providers: list[SerializeAsAny[ProviderSettings]] = Field(min_length=1, description="the accounts to poll")
    _remarks: tuple[str, ...] = PrivateAttr(default=())

    @property
    def remarks(self) -> tuple[str, ...]:
        """What works but is probably not meant, a line for each with its place in the file."""
        return self._remarks

    def remark(self, lines: Sequence[str]) -> Self:
        """The same with these remarks."""
        self._remarks = tuple(lines)
        return self


class ConfigError(Exception):
    """A configuration that cannot be used: one line per fault, in the order of the file."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class EnvironmentBroken(ConfigError):
    """Variables of the environment, or files that they name, with which providers cannot be asked."""


class ConfigFile:
    """The file while the exporter runs: it is read when that is asked for, and tells whether it has changed since."""

    def __init__(self, path: str | Path, vendors: Vendors) -> None:
        self._path = Path(path)
        self._vendors = vendors
        self._read: bytes | None = None

    def load(self) -> Config:
        """Its settings now. Raises ConfigError."""
        self._read = None
        text = _content(self._path)  # once: it may be a pipe
        self._read = _digest(text)
        return _settings(_document(self._path, text, os.environ), self._vendors)

    def has_changed(self) -> bool:
        """Whether its content is another than what was last read, were it good or not."""
        try:
            return _digest(_content(self._path)) != self._read
        except ConfigError:
            return self._read is not None


def load(path: str | Path, environment: Mapping[str, str] = os.environ, *, vendors: Vendors) -> Config:
    """The settings that a file describes, with `${VARIABLE}` taken from the environment. Raises ConfigError."""
    return _settings(read_document(path, environment), vendors)


def _settings(document: Document, vendors: Vendors) -> Config:
    config = _Reader(document, vendors).config()
    if config is None or document.faults:
        raise ConfigError(document.faults)
    return config


def faults_of_environment(config: Config) -> list[str]:
    """What is wrong with the variables that name proxies and certificates, as far as providers depend on them."""
    faults = []
    for settings in config.providers:
        url = urlsplit(settings.base_url)
        try:
            if not settings.proxy:
                Proxies.of_environment().of(url.scheme, url.hostname or "", url.port)
        except ProxyUnusable as error:
            faults.append(f"environment: {error}")
        if url.scheme == "https":
            faults += [f"environment: {fault}" for name in VARIABLES if (fault := fault_of_variable(name))]
    return list(dict.fromkeys(faults))


def check_environment(config: Config) -> None:
    """Raises EnvironmentBroken where providers could not be asked as the environment is."""
    if faults := faults_of_environment(config):
        raise EnvironmentBroken(faults)


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

    def __init__(self, document: Document, vendors: Vendors) -> None:
        self._document = document
        self._vendors = vendors
        self._fault = document.fault

    def config(self) -> Config | None:
        raw = self._document.content
        if raw is None and not self._document.faults:
            self._fault(("providers",), "missing, the file is empty; write at least one provider")
        elif raw is not None and not isinstance(raw, dict):
            self._fault((), "not a mapping; write keys such as `providers:` with values")
        if not isinstance(raw, dict):
            return None
        config = self._config({key: value for key, value in raw.items() if not key.startswith(SHARED)})
        return config and config.remark([self._document.told(path, words) for path, words in self._twins(config)])

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

    def _twins(self, config: Config) -> Iterator[tuple[KeyPath, str]]:
        for first, (second, *others), name in configured_twice(config.providers, self._vendors):
            places: list[KeyPath] = [("providers", second, key) for key in (name, f"{name}_file")]
            more = f", and {len(others)} more have it too" if others else ""
            line = self._document.line(("providers", first, "name"))
            yield (
                next(filter(self._document.has, places), places[0]),
                f"the same credential as provider {config.providers[first].name} in line {line}{more}: they show "
                "the tasks of one account, so each task is counted again; keep one of them, or give each its own feeds",
            )

    def _provider(self, entry: Any, path: KeyPath, inherited: Mapping[str, Any]) -> ProviderSettings | None:
        if not isinstance(entry, dict):
            self._fault(path, "not a mapping; write `- name: ...` and `type: ...` with the vendor's settings")
            return None
        vendor = self._vendors.get(str(entry.get("type")))
        if vendor is None:
            wrong = "an unknown type" if entry.get("type") else "missing"
            self._unknown((*path, "type"), wrong, self._vendors)
            return None
        try:
            settings: ProviderSettings = vendor.settings.model_validate({**inherited, **entry})
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                self._fault_of(detail, path, vendor.settings)
            return None
        for index, kind in enumerate(settings.feeds or []):
            if kind not in vendor.kinds:
                self._unknown((*path, "feeds", index), "an unknown feed", vendor.kinds)
        for kind in settings.watch.tasks:
            polled = [one for one in settings.feeds or () if one in vendor.kinds] or vendor.kinds
            if kind not in polled:
                self._unknown((*path, "watch", "tasks", kind), "no feed of this provider", polled, kind)
        if settings.feeds == []:
            self._fault((*path, "feeds"), f"empty; allowed: {', '.join(vendor.kinds)}")
        return settings

    def _unknown(self, path: KeyPath, wrong: str, allowed: Iterable[str], written: str | None = None) -> None:
        """A word that is none of those that may stand here."""
        written = written or self._document.written(path) or ""
        other = {name: one.name for one in self._vendors.values() for name in one.other_names}
        meant = other.get(written.lower(), "") if path[-1] == "type" else ""
        meant = meant or slips.nearest(written, allowed)
        hint = f"; did you mean {meant}?" if meant else ""
        self._fault(path, told_of(written, f"{wrong}{hint}; allowed: {', '.join(sorted(allowed))}"))

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
        if detail["type"] == "setting" and (key := detail["ctx"].get("key")):
            path = (*path, str(key))
        twin = (*path[:-1], f"{path[-1]}_file") if path else path
        if not self._document.has(path) and self._document.has(twin):
            path = twin
        if detail["type"] == "too_short" and self._document.has((*path, 0)):
            return  # it is only empty without what is wrong in it
        if path[2:] == ("watch", "tasks") and detail["type"] == "dict_type":
            kind = self._vendors[str(self._document.content["providers"][path[1]]["type"])].kinds[0]
            self._fault(path, f"not a mapping; write the ids by feed, such as `{kind}: [ID, ID]`")
            return
        words = words_for(detail, model, self._document.written(path), self._vendors)
        if variable := self._document.empty_variable(path):
            words = f"the environment variable {variable} is empty; set it, or write the value here"
        self._fault(path, words)


def _good_ones(settings: dict[str, Any]) -> dict[str, Any]:
    """Those that providers can inherit; what is wrong with the others is told once, where they are written."""
    try:
        PollSettings.model_validate(settings)
    except ValidationError as error:
        bad = {detail["loc"][0] for detail in error.errors(include_url=False, include_input=False)}
        return {key: value for key, value in settings.items() if key not in bad}
    return settings
