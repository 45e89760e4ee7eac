"""Simulated vendors with a past, and exports of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from exporter.config.load import load
from exporter.history.export import ExportOptions, export_history
from exporter.simulator import HandClock, World, fake_of, profiles_of
from exporter.vendors.registry import installed
from tests.harness import Door, Rig, Site
from tests.harness.rig import OPENMETRICS

HOURS = 2
"""For how long tasks came; all have ended for a while."""

Samples = dict[str, list[tuple[float, float]]]
"""Of each series, as it is written, the times and values."""


def past_of(door: Door, *vendors: str, now: float | None = None, rate: float = 0.03) -> Site:
    """Vendors whose tasks came within `HOURS`; the last of them have ended minutes ago."""
    now = time.time() if now is None else now
    clock = HandClock(now - 1200)
    length = HOURS * 3600 - 1200
    world = World(1, speed=10, rate=rate, history=length, clock=clock, profiles=profiles_of(vendors))
    world.stop_arrivals()
    clock.now = now
    assert world.in_flight() == 0
    door.behind = site = Site(world, door.url)
    return site


def given(site: Site, vendor: str, **settings: Any) -> dict[str, Any]:
    """A provider of a vendor that lists."""
    more = {"list": True} if vendor == "openai_videos" else {}
    return site.account(vendor, **more, **settings)


def export(
    folder: Path, *providers: dict[str, Any], now: float | None = None, **options: Any
) -> tuple[int, Path, list[str]]:
    """Exports a history in this process: the exit code, the output, and what it told."""
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"providers": list(providers)}))
    chosen = {
        "length": (HOURS + 1) * 3600.0,
        "until": 0.0,
        "step": 60.0,
        "first_wait": 0.01,
        "output": folder / "history.om",
        **options,
    }
    told: list[str] = []
    clock: Callable[[], float] = time.time if now is None else lambda: now
    code = export_history(load(file, vendors=installed()), ExportOptions(**chosen), told.append, clock)
    return code, chosen["output"], told


def samples_in(file: Path) -> Samples:
    found: Samples = {}
    for line in lines_of(file):
        series, value, at = line.rsplit(" ", 2)
        found.setdefault(series, []).append((float(at), float(value)))
    return found


def lines_of(file: Path) -> Iterator[str]:
    """The lines with samples."""
    yield from (line for line in file.read_text().splitlines() if not line.startswith("#"))


def heads_of(text: str) -> list[str]:
    return re.findall(r"(?m)^# (?:HELP|TYPE) .+$", text)


def served(site: Site, vendor: str) -> str:
    """What the exporter serves of a vendor once it has read the list."""

    async def swept() -> str:
        rig = Rig(site.clock)
        rig.add(site.settings(vendor, **{"history": "1d", **({"list": True} if vendor == "openai_videos" else {})}))
        rig.pass_pauses()
        await rig.sweep(4)
        body, _ = rig.exposition.render(OPENMETRICS)
        await rig.aclose()
        return body.decode()

    return asyncio.run(swept())


def kinds(vendor: str) -> list[str]:
    return [profile.feed[1] for profile in fake_of(vendor).profiles]
