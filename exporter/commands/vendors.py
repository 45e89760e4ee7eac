"""The types of providers: where they come from, and what their feeds report."""

from __future__ import annotations

import json
from collections.abc import Iterator

from exporter.tasks import Clock
from exporter.vendors.registry import Registry
from exporter.vendors.vendor import Tells, Vendor

WORDS = {"output": "length"}
"""Parts of a task whose names are others for people."""


def as_text(types: Registry) -> str:
    """What a person reads."""
    return "\n".join(_lines(types))


def as_json(types: Registry) -> str:
    """`{"vendors": [{"type", "title", "origin", "feeds"}], "broken": [...]}`; unknown parts of a feed are null."""
    vendors = [
        {"type": name, "title": vendor.title, "origin": types.origin(name), "feeds": list(_feeds(vendor))}
        for name, vendor in types.items()
    ]
    return json.dumps({"vendors": vendors, "broken": list(types.broken.values())}, indent=2, ensure_ascii=False)


def _feeds(vendor: Vendor) -> Iterator[dict[str, object]]:
    for kind in (*vendor.kinds, *vendor.more_kinds):
        tells = vendor.tells.get(kind)
        yield {
            "kind": kind,
            "listed": tells.listed if tells else None,
            "list_needs": tells.list_needs if tells else None,
            "by_id": tells.by_id if tells else None,
            "clock": str(tells.clock) if tells else None,
            "tells": list(tells.parts) if tells else None,
        }


def _lines(types: Registry) -> Iterator[str]:
    for name, vendor in types.items():
        yield f"{name}: {f'{vendor.title}, ' if vendor.title else ''}{types.origin(name)}"
        for kind in vendor.kinds:
            yield f"  {kind}: {_told(vendor.tells[kind]) if kind in vendor.tells else 'fields unknown'}"
        if vendor.more_kinds:
            yield f"  with `feeds` also: {', '.join(vendor.more_kinds)}"
    for why in types.broken.values():
        yield f"unavailable: {why}"


def _told(tells: Tells) -> str:
    listed = f"listed with {tells.list_needs}" if tells.list_needs else "listed"
    ways = [listed] * tells.listed + ["by id"] * tells.by_id
    times = "the vendor's times" if tells.clock is Clock.PROVIDER else "times as we see them"
    parts = ", ".join(WORDS.get(part, part) for part in tells.parts)
    return f"{' and '.join(ways)}; {times}; reports {parts or 'only the state'}"
