"""What the configuration knows of vendors. Their types are handed in by those who read one: it names none itself."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

from pydantic import Field

from exporter.config.files.document import KeyPath
from exporter.config.models import ProviderSettings, Settings


class VendorType(Protocol):
    """What the configuration has to know of a type of provider."""

    @property
    def name(self) -> str:
        """The value of `type`."""

    @property
    def other_names(self) -> tuple[str, ...]:
        """What people may write instead, in small letters: they are asked whether they mean this type."""

    @property
    def settings(self) -> type[ProviderSettings]:
        """What an entry of this type may hold."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of its feeds."""

    @property
    def more_kinds(self) -> tuple[str, ...]:
        """The names of feeds that a provider has only where it names them."""


class VendorDeclaration(Settings):
    """A vendor that is declared in YAML, as far as the configuration has to know of it."""

    replaces: bool = Field(default=False, description="whether it stands in place of a known vendor of its name")

    def faults(self) -> Iterator[tuple[KeyPath, str]]:
        """What several values together show to be wrong: keys and words."""
        return iter(())


@dataclass(frozen=True)
class Declared:
    """A vendor that a file declares."""

    name: str
    declaration: VendorDeclaration
    place: str
    """FILE:LINE."""


V_co = TypeVar("V_co", bound=VendorType, covariant=True)


class Types(Mapping[str, V_co]):
    """Types of providers, by their names."""

    @property
    @abstractmethod
    def declaration(self) -> type[VendorDeclaration]:
        """What a declared vendor may hold."""

    @abstractmethod
    def with_declared(self, declared: Mapping[str, Declared]) -> Types[V_co]:
        """These and those that files declare, which go before those of the same name."""

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The names of all feeds of all types."""
        return frozenset(kind for vendor in self.values() for kind in (*vendor.kinds, *vendor.more_kinds))

    @property
    @abstractmethod
    def broken(self) -> Mapping[str, str]:
        """Why types that packages bring cannot be used, by the names under which they bring them."""

    @abstractmethod
    def origin(self, name: str) -> str:
        """Where a type comes from, in words such as `built in`."""


Vendors = Types[VendorType]
"""All types of providers."""
