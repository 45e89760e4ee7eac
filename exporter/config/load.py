"""The configuration file as typed settings. An error names file, line and key, what is wrong and what is allowed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, SerializeAsAny, ValidationError, model_validator

from exporter.config.files.contents import ConfigError as ConfigError
from exporter.config.files.contents import Contents, of_regular
from exporter.config.files.document import ConfigDocument
from exporter.config.logs import Level
from exporter.config.mistakes.faults import note_faults
from exporter.config.models import PollSettings, ProviderSettings, Secret, Settings
from exporter.config.network import databases
from exporter.config.network.proxies import Proxies, ProxyUnusable
from exporter.config.network.trust import VARIABLES, at_home, fault_of_variable
from exporter.config.values import Duration, Interval, Name, fault
from exporter.config.vendors.declarations import SHARED, Declarations
from exporter.config.vendors.entries import Entries
from exporter.config.vendors.types import Vendors


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
    provider_files: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="glob patterns of files with more providers, each a list like `providers`; relative to this file",
    )
    providers: list[SerializeAsAny[ProviderSettings]] = Field(
        min_length=1, description="the accounts to poll; at least one, here or in a file of `provider_files`"
    )
    _types: Vendors | None = PrivateAttr(default=None)
    _remarks: tuple[str, ...] = PrivateAttr(default=())
    _counts: Mapping[str, int] = PrivateAttr(default_factory=dict)

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

    @property
    def providers_by_file(self) -> Mapping[str, int]:
        """How many of the providers each file of `provider_files` has."""
        return self._counts

    def read_with(self, types: Vendors, remarks: Sequence[str], counts: Mapping[str, int]) -> Self:
        """The same with what reading it showed."""
        self._types, self._remarks, self._counts = types, tuple(remarks), counts
        return self


class EnvironmentBroken(ConfigError):
    """Variables of the environment, or files that they name, with which providers cannot be asked."""


class ConfigFile:
    """The file while the exporter runs: it is read on request, and knows whether it has changed since.

    The files of vendors and providers that it names belong to it.
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
    others = _named_files(contents, document, "vendor_files", environment)
    for other in others:
        declarations.take(other, other.content)
    is_whole = not document.faults and all(isinstance(one.content, dict) for one in others)
    files = _named_files(contents, document, "provider_files", environment)
    types = vendors.with_declared(declarations.good)
    broken = declarations.places.keys() - declarations.good.keys()
    inherited = _good_ones({key: raw[key] for key in PollSettings.model_fields if key in raw})
    entries = Entries(types, broken, inherited, types_are_known=is_whole)
    config = _config(document, files, entries, types)
    faults = _faults((document, *others, *files))
    if config is None or faults:
        raise ConfigError(faults)
    return config


def _faults(documents: Iterable[ConfigDocument]) -> list[str]:
    return [fault for one in documents for fault in one.faults]


def _named_files(
    contents: Contents, document: ConfigDocument, key: str, environment: Mapping[str, str]
) -> list[ConfigDocument]:
    """The documents of the files that the patterns at a key match, each once."""
    patterns = document.content.get(key) if isinstance(document.content, dict) else None
    found: dict[Path, ConfigDocument] = {}
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
        if not isinstance(pattern, str) or not pattern.strip():
            continue  # reported with the other settings
        files = contents.matching(pattern.strip(), Path(document.name).parent)
        if not files:
            words = f"matches no file; write a path, or a pattern such as {_PATTERNS[key]}, relative to this file"
            document.fault((key, index), words)
        for file in files:
            try:
                if file not in found:
                    found[file] = contents.document(file, environment, of_regular)
            except ConfigError as error:
                document.fault((key, index), "; ".join(error.faults))
    return list(found.values())


_PATTERNS = {"vendor_files": "vendors/*.yaml", "provider_files": "providers.d/*.yaml"}


def check_environment(config: Config) -> None:
    """Raises EnvironmentBroken where a variable that names proxies or certificates keeps providers from being asked."""
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
    if faults:
        raise EnvironmentBroken(list(dict.fromkeys(faults)))


def _config(
    document: ConfigDocument, files: Sequence[ConfigDocument], entries: Entries, types: Vendors
) -> Config | None:
    """The settings of a document and of the files of providers that it names; notes in them what is wrong."""
    raw = document.content
    if raw is None and not document.faults:
        document.fault(("providers",), "missing, the file is empty; write at least one provider")
    elif raw is not None and not isinstance(raw, dict):
        document.fault((), "not a mapping; write keys such as `providers:` with values")
    if not isinstance(raw, dict):
        return None
    listed = raw.get("providers", [])
    entries.take(document, listed if isinstance(listed, list) else (), ("providers",))
    counts = {file.name: entries.take_file(file) for file in files}
    if not entries.good:  # else the others are polled
        for place, why in entries.skipped:
            place.fault(why)
    if files and "providers" not in raw and not any(counts.values()) and not _faults(files):
        document.fault(("provider_files",), "files without a provider; write at least one")
    if (isinstance(listed, list) and listed) or (raw.get("provider_files") and "providers" not in raw):
        stand_in = ProviderSettings(name="x", type="x", base_url="http://x")
        raw = raw | {"providers": entries.good or [stand_in]}
    own = {key: value for key, value in raw.items() if key != "vendors" and not key.startswith(SHARED)}
    try:
        config = Config.model_validate(own)
    except ValidationError as error:
        note_faults(document, error, (), Config, types)
        return None
    remarks = (*entries.skipped, *entries.twins())
    return config.read_with(types, [place.document.told(place.path, words) for place, words in remarks], counts)


def _good_ones(settings: dict[str, Any]) -> dict[str, Any]:
    """Those that providers can inherit; faults of the others are reported once, where they are written."""
    try:
        PollSettings.model_validate(settings)
    except ValidationError as error:
        bad = {detail["loc"][0] for detail in error.errors(include_url=False, include_input=False)}
        return {key: value for key, value in settings.items() if key not in bad}
    return settings
