"""The configuration file as typed settings. An error names file, line and key, what is wrong and what is allowed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, SerializeAsAny, ValidationError, model_validator
from pydantic_core import ErrorDetails

from exporter.config.files.contents import ConfigError as ConfigError
from exporter.config.files.contents import Contents, of_regular
from exporter.config.files.document import Document, KeyPath
from exporter.config.logs import Level
from exporter.config.mistakes import slips
from exporter.config.mistakes.accounts import configured_twice
from exporter.config.mistakes.faults import note_fault, note_faults, told_of
from exporter.config.models import PollSettings, ProviderSettings, Secret, Settings
from exporter.config.network import databases
from exporter.config.network.proxies import Proxies, ProxyUnusable
from exporter.config.network.trust import VARIABLES, at_home, fault_of_variable
from exporter.config.values import Duration, Interval, Name, fault
from exporter.config.vendors.declarations import SHARED, Declarations
from exporter.config.vendors.types import Vendors, VendorType
from exporter.config.vendors.words import faults_of_words


def _ledger_path(path: str) -> str:
    if path.startswith(databases.SCHEMES):
        raise fault("the address of a database, not a file; write it as ledger.url instead of ledger.path")
    if "://" in path:
        raise fault("the address of a database, not a file; write the path of a file, which is made, or :memory:")
    return at_home(path)


def _ledger_url(url: str) -> str:
    if why := databases.fault_of_url(url):
        raise fault(why)
    return url


def _lease(seconds: float) -> float:
    if seconds < SHORTEST_LEASE:
        raise fault(f"too short; the shortest is {SHORTEST_LEASE:g}s")
    return seconds


SHORTEST_LEASE = 2.0
"""Seconds. A shorter one ends with every hiccup of the database."""


class LedgerSettings(Settings):
    """Where the ledger is kept, and for how long it remembers ended tasks."""

    path: Annotated[str, AfterValidator(_ledger_path)] = Field(
        default="videotask.sqlite3", min_length=1, description='an SQLite file, or ":memory:" to keep nothing'
    )
    url: Annotated[str, AfterValidator(_ledger_url)] | None = Field(
        default=None,
        title="URL of PostgreSQL",
        description="a PostgreSQL database instead of a file, which several exporters may share; no password in it",
    )
    password: Secret | None = Field(default=None, description="the password of the role in `url`")
    lease: Annotated[Duration, AfterValidator(_lease)] = Field(
        default=15.0, description="how long a replica holds a provider without renewing; with `url` only; at least 2s"
    )
    retention: Interval = Field(
        default=604800.0, description="how long ended tasks are remembered; not less than history and recent_window"
    )

    @property
    def without_password(self) -> Self:
        """The same but for the password, which may change without a restart."""
        return self.model_copy(update={"password": None})

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        given = self.model_fields_set
        if self.url and "path" in given:
            raise fault("both ledger.path and ledger.url are given; give one of them", "url")
        for name in ("password", "lease"):
            if not self.url and getattr(self, name) is not None and name in given:
                raise fault("of no use without ledger.url; give that too, or leave this out", name)
        return self


class LogSettings(Settings):
    """What is logged."""

    level: Level | None = Field(default=None, description="instead of --log.level")


class Config(PollSettings):
    """The whole file."""

    log: LogSettings = Field(default_factory=LogSettings, description="what is logged")
    ledger: LedgerSettings = Field(
        default_factory=LedgerSettings, description="the file or database that keeps counters across restarts"
    )
    replica: Name | None = Field(
        default=None, description="the name of this exporter among those that share a database, else that of the host"
    )
    vendors: dict[str, Any] = Field(default_factory=dict, description="vendors that are declared here, by type")
    vendor_files: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list, description="glob patterns of files that declare vendors, relative to this file"
    )
    providers: list[SerializeAsAny[ProviderSettings]] = Field(min_length=1, description="the accounts to poll")
    _types: Vendors | None = PrivateAttr(default=None)
    _remarks: tuple[str, ...] = PrivateAttr(default=())

    @property
    def types(self) -> Vendors | None:
        """All types of providers that may be written in the file; None for one that was not read from a file."""
        return self._types

    def kinds_of(self, provider: ProviderSettings) -> Sequence[str]:
        """The feeds of a provider of this file that are polled."""
        return provider.feeds or (self._types[provider.type].kinds if self._types else ())

    @property
    def warnings(self) -> Sequence[str]:
        """All that someone who checks the file should know of."""
        return *(self._types.broken.values() if self._types else ()), *self._remarks

    @property
    def remarks(self) -> tuple[str, ...]:
        """What works but is probably not meant, a line for each with its place in the file."""
        return self._remarks

    def read_with(self, types: Vendors, remarks: Sequence[str]) -> Self:
        """The same with what reading it showed."""
        self._types, self._remarks = types, tuple(remarks)
        return self


class EnvironmentBroken(ConfigError):
    """Variables of the environment, or files that they name, with which providers cannot be asked."""


class ConfigFile:
    """The file while the exporter runs: it is read when that is asked for, and tells whether it has changed since.

    The files of vendors that it names belong to it.
    """

    def __init__(self, path: str | Path, vendors: Vendors) -> None:
        self._path = Path(path)
        self._vendors = vendors
        self._contents = Contents()

    def load(self) -> Config:
        """Its settings now. Raises ConfigError."""
        self._contents = Contents()
        return _settings(self._contents, self._path, os.environ, self._vendors)

    def has_changed(self) -> bool:
        """Whether its content is another than what was last read, were it good or not."""
        return self._contents.has_changed()


def load(path: str | Path, environment: Mapping[str, str] = os.environ, *, vendors: Vendors) -> Config:
    """The settings that a file describes, with `${VARIABLE}` taken from the environment. Raises ConfigError.

    `vendors` are the types that are known without the file, which may declare more.
    """
    return _settings(Contents(), Path(path), environment, vendors)


def _settings(contents: Contents, path: Path, environment: Mapping[str, str], vendors: Vendors) -> Config:
    document = contents.document(path, environment)
    declarations = Declarations(vendors)
    raw = document.content if isinstance(document.content, dict) else {}
    declarations.take(document, raw.get("vendors"), ("vendors",))
    others = _vendor_files(contents, document, raw.get("vendor_files"), environment)
    for other in others:
        declarations.take(other, other.content)
    is_whole = not document.faults and all(isinstance(one.content, dict) for one in others)
    broken = declarations.places.keys() - declarations.good.keys()
    config = _Reader(document, vendors.with_declared(declarations.good), broken, types_are_known=is_whole).config()
    faults = [fault for one in (document, *others) for fault in one.faults]
    if config is None or faults:
        raise ConfigError(faults)
    return config


def _vendor_files(
    contents: Contents, document: Document, patterns: object, environment: Mapping[str, str]
) -> list[Document]:
    """The documents of the files that the patterns match, each once."""
    found: dict[Path, Document] = {}
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        if not isinstance(pattern, str) or not pattern.strip():
            continue  # told with the other settings
        files = contents.matching(pattern.strip(), Path(document.name).parent)
        if not files:
            words = "matches no file; write a path, or a pattern such as vendors/*.yaml, relative to this file"
            document.fault(("vendor_files", index), words)
        for file in files:
            try:
                if file not in found:
                    found[file] = contents.document(file, environment, of_regular)
            except ConfigError as error:
                document.fault(("vendor_files", index), "; ".join(error.faults))
    return list(found.values())


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


class _Reader:
    """Makes settings of a document, and notes in it what is wrong."""

    def __init__(self, document: Document, vendors: Vendors, broken: Collection[str], *, types_are_known: bool) -> None:
        """`broken` are types whose declaration has a fault that was reported already.

        Not all types are known where a file that declares some could not be read.
        """
        self._document = document
        self._vendors = vendors
        self._broken = broken
        self._types_are_known = types_are_known
        self._skipped: dict[KeyPath, str] = {}
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
        if config is None:
            return None
        remarks = (*self._skipped.items(), *self._twins(config))
        return config.read_with(self._vendors, [self._document.told(path, words) for path, words in remarks])

    def _config(self, raw: dict[str, Any]) -> Config | None:
        listed = raw.get("providers")
        inherited = _good_ones({key: raw[key] for key in PollSettings.model_fields if key in raw})
        entries = listed if isinstance(listed, list) else []
        providers = [self._provider(entry, ("providers", index), inherited) for index, entry in enumerate(entries)]
        self._check_names(entries)
        read = [provider for provider in providers if provider is not None]
        if not read:  # else the others are polled
            for path, why in self._skipped.items():
                self._fault(path, why)
        if isinstance(listed, list) and listed:
            raw = raw | {"providers": read or [ProviderSettings(name="x", type="x", base_url="http://x")]}
        try:
            return Config.model_validate({key: value for key, value in raw.items() if key != "vendors"})
        except ValidationError as error:
            note_faults(self._document, error, (), Config, self._vendors)
            return None

    def _twins(self, config: Config) -> Iterator[tuple[KeyPath, str]]:
        entries = self._document.content["providers"]
        places_read = [index for index in range(len(entries)) if ("providers", index) not in self._skipped]
        for one, (another, *others), name in configured_twice(config.providers, self._vendors):
            first, second = places_read[one], places_read[another]
            places: list[KeyPath] = [("providers", second, key) for key in (name, f"{name}_file")]
            more = f", and {len(others)} more have it too" if others else ""
            line = self._document.line(("providers", first, "name"))
            yield (
                next(filter(self._document.has, places), places[0]),
                f"the same credential as provider {config.providers[one].name} in line {line}{more}: they show "
                "the tasks of one account, so each task is counted again; keep one of them, or give each its own feeds",
            )

    def _provider(self, entry: Any, path: KeyPath, inherited: Mapping[str, Any]) -> ProviderSettings | None:
        if not isinstance(entry, dict):
            self._fault(path, "not a mapping; write `- name: ...` and `type: ...` with the vendor's settings")
            return None
        named = str(entry.get("type"))
        if named in self._broken or (named not in self._vendors and not self._types_are_known and entry.get("type")):
            self._check_common(entry, path, inherited)
            return None
        vendor = self._vendors.get(named)
        if vendor is None and named in self._vendors.broken:
            self._check_common(entry, path, inherited)
            self._skipped[path] = f"not polled: {self._vendors.broken[named]}"
            return None
        if vendor is None:
            wrong = "an unknown type" if entry.get("type") else "missing"
            self._unknown((*path, "type"), wrong, self._vendors)
            return None
        try:
            settings: ProviderSettings = vendor.settings.model_validate({**inherited, **entry})
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                self._note(detail, path, vendor)
            return None
        kinds = (*vendor.kinds, *vendor.more_kinds)
        for index, kind in enumerate(settings.feeds or []):
            if kind not in kinds:
                self._unknown((*path, "feeds", index), "an unknown feed", kinds)
        for kind in settings.watch.tasks:
            polled = [one for one in settings.feeds or () if one in kinds] or vendor.kinds
            if kind not in polled:
                self._unknown((*path, "watch", "tasks", kind), "no feed of this provider", polled, kind)
        for name in ("states", "reasons"):
            for kind, table in getattr(settings, name).items():
                if kind not in kinds:
                    self._unknown((*path, name, kind), "no feed of this type", kinds, kind)
                for place, words in faults_of_words(table):
                    self._fault((*path, name, kind, *place), words)
        if settings.feeds == []:
            self._fault((*path, "feeds"), f"empty; allowed: {', '.join(kinds)}")
        return settings

    def _unknown(self, path: KeyPath, wrong: str, allowed: Iterable[str], written: str | None = None) -> None:
        """A word that is none of those that may stand here."""
        written = written or self._document.written(path) or ""
        other = {name: one.name for one in self._vendors.values() for name in one.other_names}
        meant = other.get(written.lower(), "") if path[-1] == "type" else ""
        hint = f"; did you mean {meant}?" if meant else slips.hint(written, allowed)
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

    def _check_common(self, entry: dict[str, Any], path: KeyPath, inherited: Mapping[str, Any]) -> None:
        """Notes what is wrong with what a provider of any type may have."""
        try:
            ProviderSettings.model_validate({**inherited, **entry})
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                if detail["type"] not in ("extra_forbidden", "missing"):
                    note_fault(self._document, detail, path, ProviderSettings)

    def _note(self, detail: ErrorDetails, path: KeyPath, vendor: VendorType) -> None:
        if detail["loc"] == ("watch", "tasks") and detail["type"] == "dict_type":
            told = f"not a mapping; write the ids by feed, such as `{vendor.kinds[0]}: [ID, ID]`"
            self._fault((*path, *detail["loc"]), told)
        else:
            note_fault(self._document, detail, path, vendor.settings, self._vendors)


def _good_ones(settings: dict[str, Any]) -> dict[str, Any]:
    """Those that providers can inherit; faults of the others are reported once, where they are written."""
    try:
        PollSettings.model_validate(settings)
    except ValidationError as error:
        bad = {detail["loc"][0] for detail in error.errors(include_url=False, include_input=False)}
        return {key: value for key, value in settings.items() if key not in bad}
    return settings
