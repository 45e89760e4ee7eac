"""The fake vendors that there are: one file of `vendors/` for each, named as its type is, read when it is needed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module, resources

from exporter.simulator.vendor import FakeVendor
from exporter.simulator.world.profiles import Profile

SEEDS = ("deerapi", "chanjing", "huawei_metastudio", "facewap")
"""The types of the first release."""
DEMO = (*SEEDS, "volcengine_ark", "kling", "vidu", "minimax")
"""What the demo shows by default: it is to start fast."""


@cache
def names() -> tuple[str, ...]:
    """The types that have a fake: those of the first release, then the others by name."""
    folder = resources.files("exporter.simulator.vendors")
    modules = {one.name.removesuffix(".py") for one in folder.iterdir() if one.name.endswith(".py")}
    return (*SEEDS, *sorted(modules - {*SEEDS, "__init__"}))


@cache
def fake_of(name: str) -> type[FakeVendor]:
    """The fake of a type. Raises LookupError where there is none."""
    if name not in names():
        raise LookupError(f"no vendor is simulated as {name}; allowed: {', '.join(names())}")
    module = import_module(f"exporter.simulator.vendors.{name}")
    classes = (one for one in vars(module).values() if isinstance(one, type) and issubclass(one, FakeVendor))
    return next(one for one in classes if getattr(one, "type", None) == name)  # FakeVendor itself has no type


def profiles_of(types: Iterable[str]) -> tuple[Profile, ...]:
    """How tasks go at these vendors."""
    return tuple(profile for name in types for profile in fake_of(name).profiles)
