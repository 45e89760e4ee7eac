"""Vendors that installed packages bring, by entry points. What is wrong with one keeps nothing else from running."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from exporter.config.files.contents import ConfigError
from exporter.config.mistakes import slips
from exporter.config.models import ProviderSettings
from exporter.config.values import NAME
from exporter.config.vendors.declarations import declared_in
from exporter.config.vendors.types import Vendors
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.vendor import vendor_of
from exporter.vendors.vendor import Vendor

log = logging.getLogger(__name__)

GROUP = "videotask_exporter.vendors"
"""The group of entry points."""

LONGEST = 300
"""Characters that are shown of an error."""


@dataclass
class PlugIns:
    """What installed packages bring."""

    found: list[tuple[str, Vendor]] = field(default_factory=list)
    """Types, each with the package that it is of."""
    broken: dict[str, str] = field(default_factory=dict)
    """Why an entry point brings nothing, or not all, by its name, which mostly is that of the type."""


def load(known: Vendors) -> PlugIns:
    """The types that packages bring beside those that are `known`."""
    result = PlugIns()
    for point in sorted(entry_points(group=GROUP), key=lambda one: (one.name, one.value)):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        try:
            for vendor, replaces in _vendors(point, known):
                others = {one.name for _, one in result.found} | (set() if replaces else known.keys())
                _check(vendor, vendor.settings, others)
                result.found.append((f"of the package {package}", vendor))
        except (Exception, SystemExit) as error:  # whatever a package does, the rest runs
            log.debug("a plug-in failed to load", exc_info=error)
            result.broken[point.name] = f"the plug-in {point.name} of {package} failed to load: {_told(error)}"
    return result


def _vendors(point: EntryPoint, known: Vendors) -> Iterator[tuple[Vendor, bool]]:
    """The vendors of an entry point, and whether each may stand in place of a known one."""
    brought: Any = point.load()
    if isinstance(brought, Vendor):
        yield brought, False
    elif isinstance(brought, Mapping):
        for name, one in declared_in(dict(brought), point.value, known).items():
            if isinstance(one.declaration, Declaration):
                yield vendor_of(name, one.declaration), one.declaration.replaces
    else:
        raise TypeError(f"{point.value} is neither a Vendor nor a mapping of types to declarations")


def _check(vendor: Vendor, settings: object, others: Collection[str]) -> None:
    """Raises ValueError and TypeError where a vendor cannot be a type beside the others."""
    if not NAME.fullmatch(vendor.name):
        raise ValueError("its vendor has no name that a type may have")
    if vendor.name in others:
        raise ValueError(f"there is another vendor of the name {vendor.name}")
    if not isinstance(settings, type) or not issubclass(settings, ProviderSettings):
        raise TypeError("the settings of its vendor are no ProviderSettings")
    if not vendor.kinds:
        raise ValueError("its vendor has no feed")


def _told(error: BaseException) -> str:
    """An error of a package, in one line that repeats nothing that may be a secret."""
    if isinstance(error, ConfigError):
        return "; ".join(error.faults)[:LONGEST]
    words = " ".join(str(error).split())[:LONGEST]
    shown = words if not any(slips.may_be_secret(word) and not slips.shown_path(word) for word in words.split()) else ""
    return f"{type(error).__name__}{f': {shown}' if shown else ''}"
