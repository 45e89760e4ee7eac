"""What is on the pictures: exporters on simulated vendors, recorded on a clock that moves by hand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp

from exporter import simulator
from exporter.simulator import HandClock, World, names, profiles_of
from tests.drawn.history import History
from tests.harness import Rig
from tests.simulator import faults

END = 1_790_000_100.0
"""When all scenes end, in Unix seconds: a fixed time, so that pictures can be compared."""
HOUR = 3600.0
SCRAPE = 30.0
"""Seconds between two scrapes, at most."""

WELL_KNOWN = ("deerapi", "chanjing", "huawei_metastudio", "facewap", "volcengine_ark", "vidu", "heygen", "replicate")


@dataclass(frozen=True)
class Scene:
    """Accounts at vendors, for how long they have been polled, and what befalls them when."""

    vendors: tuple[str, ...] = ()
    lasts: float = 6 * HOUR
    step: float = 60.0
    """Seconds between two sweeps."""
    rate: float = 1.5
    copies: int = 1
    """So many feeds are made of each."""
    faults: Mapping[str, tuple[float, ASGIApp]] = field(default_factory=dict)
    """What a vendor answers from so many seconds before the end on."""
    gone: float = 0.0
    """So many seconds before the end, the exporter no longer answers."""
    shown: float = 6 * HOUR
    """How much the dashboards show, up to the end."""


SCENES: Mapping[str, Scene] = {
    "full": Scene(WELL_KNOWN, lasts=3 * HOUR, shown=3 * HOUR),
    "fresh": Scene(WELL_KNOWN, lasts=95.0, step=15.0),
    "empty": Scene(),
    "one": Scene(("chanjing",), lasts=3 * HOUR),
    "faults": Scene(
        WELL_KNOWN,
        lasts=2 * HOUR,
        shown=2 * HOUR,
        faults={
            "facewap": (2000.0, faults.keyless),
            "heygen": (1500.0, faults.answering(500)),
            "vidu": (900.0, faults.answering(429)),
            "replicate": (4000.0, faults.HTML),
        },
    ),
    "brief": Scene(
        ("deerapi", "chanjing", "huawei_metastudio", "facewap", "volcengine_ark", "heygen"),
        lasts=3000.0,
        shown=3000.0,
        faults={"facewap": (1000.0, faults.keyless), "heygen": (900.0, faults.answering(500))},
    ),
    "many": Scene(names()[:20], lasts=0.5 * HOUR, rate=1.0, copies=5, shown=0.5 * HOUR),
}
"""All of what `make dashboard-pictures` draws; "brief" is what the tests draw."""


def recorded(scene: Scene, folder: Path) -> list[Path]:
    """The histories of the scene's exporters; none of an empty one."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = range(scene.copies if scene.vendors else 0)
    with ThreadPoolExecutor(1) as aside:  # Playwright has an event loop of its own in this thread
        return [aside.submit(asyncio.run, _record(scene, copy, folder / f"{copy}.om")).result() for copy in copies]


async def _record(scene: Scene, copy: int, file: Path) -> Path:
    clock = HandClock(END - scene.lasts)
    profiles = profiles_of(scene.vendors)
    world = World(copy + 1, clock=clock, rate=scene.rate, history=2 * HOUR, keep=4 * HOUR, profiles=profiles)
    fake = simulator.app(world, limits={})
    rig = Rig(clock)
    history = History(file, clock.now - 5)
    renamed = _renaming(copy)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(simulator.running(fake))
        stack.push_async_callback(rig.aclose)
        for name in scene.vendors:
            more = (
                {} if simulator.fake_of(name).lists_in_flight else {"watch": {"http": [{"url": f"{url}/ids/{name}"}]}}
            )
            rig.connect(name, url, task_series_limit="20" if scene.copies == 1 else "0", **more)
        rig.pass_pauses()
        balances = clock.now
        while clock.now <= END:
            for vendor, (before, fault) in scene.faults.items():
                if clock.now >= END - before:
                    fake.faults[vendor] = fault
            await rig.sweep(after=scene.step)
            if clock.now >= balances:
                balances += 300
                await rig.read_balances()
            text = renamed(rig.text())
            for later in range(max(1, round(scene.step / SCRAPE))):
                history.scrape(clock.now + later * SCRAPE, text)
    return history.close()


def _renaming(copy: int) -> Callable[[str], str]:
    """The further feeds of a provider: those of another run, under names of their own."""
    if not copy:
        return lambda text: text
    kind = re.compile(r'kind="(\w[\w-]*)"')

    def renamed(text: str) -> str:
        lines = (line for line in text.splitlines() if 'kind="' in line)
        return "\n".join(kind.sub(rf'kind="\1-{copy + 1}"', line) for line in lines)

    return renamed
