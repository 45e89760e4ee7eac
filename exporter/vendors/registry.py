"""The types of providers there are: built in, brought by packages, declared in YAML. Made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from importlib import import_module, resources
from types import MappingProxyType

from exporter.client.client import Client
from exporter.client.tokens import TokenStore
from exporter.config.files.contents import ConfigError
from exporter.config.models import ProviderSettings
from exporter.config.vendors.declarations import VendorFile
from exporter.config.vendors.types import Declared, Types, Vendors
from exporter.tasks import Cause
from exporter.vendors import plug_ins
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.vendor import vendor_of
from exporter.vendors.vendor import Provider, Vendor

BUILT_IN = "built in"


@dataclass
class Entry:
    """A type of provider, made when it is needed."""

    origin: str
    make: Callable[[], Vendor]

    @cached_property
    def vendor(self) -> Vendor:
        return self.make()


class Registry(Types[Vendor]):
    """The types of providers that are known in one configuration."""

    def __init__(
        self,
        entries: Mapping[str, Entry],
        *,
        broken: Mapping[str, str] = MappingProxyType({}),
        made: dict[str, tuple[str, Vendor]] | None = None,
    ) -> None:
        """`made` is what was last declared under each name, and the vendor that it is."""
        self.entries = entries
        self._broken = broken
        self._made = {} if made is None else made

    def __getitem__(self, name: str) -> Vendor:
        return self.entries[name].vendor

    def __contains__(self, name: object) -> bool:
        return name in self.entries  # none has to be made for this

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def declaration(self) -> type[Declaration]:
        return Declaration

    @property
    def broken(self) -> Mapping[str, str]:
        return self._broken

    def origin(self, name: str) -> str:
        return self.entries[name].origin

    def with_declared(self, declared: Mapping[str, Declared]) -> Registry:
        """These and those that files declare. A declaration that says the same as before is the same vendor."""
        if not declared:
            return self
        own = {name: Entry(f"declared in {one.place}", partial(self._vendor, one)) for name, one in declared.items()}
        return Registry({**self.entries, **own}, broken=self._broken, made=self._made)

    def _vendor(self, declared: Declared) -> Vendor:
        told = repr(declared.declaration)
        known = self._made.get(declared.name)
        if known is None or known[0] != told:
            known = self._made[declared.name] = told, _declared(declared)
        return known[1]


_YOURS = {
    Cause.CONTRACT: "This vendor is declared by you: give the answer to `check-vendor --sample`, and write codes of "
    "refused calls under `reasons` too, such as `auth` or `rate_limited`.",
    Cause.DRIFT: "This vendor is declared by you: `check-vendor --sample` shows what to add to its declaration.",
}
"""What follows the general advice where the declaration is the user's."""


def _declared(declared: Declared) -> Vendor:
    declaration = _declaration_in(declared)
    vendor = vendor_of(declared.name, declaration)
    return replace(vendor, advice={**_YOURS, **vendor.advice})


def _declaration_in(declared: Declared) -> Declaration:
    if not isinstance(declared.declaration, Declaration):
        raise TypeError("not a declaration of a vendor")
    return declared.declaration


@cache
def built_in() -> Registry:
    """The vendors of this package: one file of `builtin/` for each, named as its type is."""
    folder = resources.files("exporter.vendors.builtin")
    found = sorted(one.name for one in folder.iterdir() if not one.name.startswith("_"))
    makers: dict[str, Callable[[], Vendor]] = {}
    for name in found:
        stem, _, ending = name.rpartition(".")
        if ending == "py":  # which reads the YAML file beside it, where there is one
            makers[stem] = partial(_of_module, stem)
        elif ending == "yaml":
            makers.setdefault(stem, partial(_of_file, stem))
    return Registry({name: Entry(BUILT_IN, makers[name]) for name in sorted(makers)})


def _of_module(name: str) -> Vendor:
    vendor: Vendor = import_module(f"exporter.vendors.builtin.{name}").VENDOR
    return vendor


def _of_file(name: str) -> Vendor:
    return vendor_of(name, read_declaration(name))


def declaration_of(name: str) -> Declaration | None:
    """What is declared of a built-in vendor, with or without hooks; None where it is code alone."""
    if (resources.files("exporter.vendors.builtin") / f"{name}.yaml").is_file():
        return read_declaration(name)
    return getattr(import_module(f"exporter.vendors.builtin.{name}"), "DECLARATION", None)


@cache
def read_declaration(name: str) -> Declaration:
    """What the YAML file of a built-in vendor declares."""
    with resources.as_file(resources.files("exporter.vendors.builtin") / f"{name}.yaml") as path:
        file = VendorFile(path, Registry({}), None)
    if file.faults:
        raise ConfigError(file.faults)
    return _declaration_in(file.vendors[name])


@cache
def installed() -> Registry:
    """All types that are known without a configuration: built in, or brought by packages."""
    brought = plug_ins.load(built_in())
    own = {vendor.name: Entry(origin, partial(_same, vendor)) for origin, vendor in brought.found}
    return Registry({**built_in().entries, **own}, broken=brought.broken)


def _same(vendor: Vendor) -> Vendor:
    return vendor


def connect(
    settings: ProviderSettings, token_store: TokenStore, types: Vendors | None = None, client: Client | None = None
) -> Provider:
    """The provider that these settings describe, with the feeds that they ask for. Its type is one of `types`.

    With a `client`, that one makes the calls.
    """
    client = client or Client(
        settings.base_url,
        rate=settings.rate_limit,
        timeout=settings.request_timeout,
        proxy=settings.proxy,
        ca_file=settings.ca_file,
    )
    vendor = (installed() if types is None else types)[settings.type]
    if not isinstance(vendor, Vendor):
        raise TypeError(f"{settings.type} is no type of provider")
    feeds = vendor.feeds(settings, client, token_store)
    chosen = [feed for feed in feeds if settings.feeds is None or feed.kind in settings.feeds]
    account = vendor.account(settings, client, feeds) if vendor.account and settings.account_interval else None
    return Provider(settings, client, chosen, vendor, account)
