"""The pictures of the pages in docs/pictures: what is on them, and how they are taken (`make screenshots`).

The scene is the same each time: simulated vendors with a seed, on a clock that moves by hand. So a picture can name the
page that it was taken of, and a test can tell when that page has become another. The letters are those of the machine's
fonts; in the tree it is DejaVu.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import httpx
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, sync_playwright

from exporter import __version__, simulator
from exporter.simulator import DIGITAL_HUMAN, HandClock, Life, World
from exporter.tasks import Reason, State
from tests.harness import STEP, Rig
from tests.simulator import faults

from . import chromium, png
from .serving import served

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"

NARROW = 600
"""Pixels below which the window is that of a phone."""

Scheme = Literal["light", "dark"]


@dataclass(frozen=True)
class Picture:
    """As much of a page as a window of this size shows."""

    name: str
    path: str
    width: int
    height: int
    scheme: Scheme

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}-{self.scheme}.png"


STORY = "0b5f1c9e-7d42-4a86-9c3b-52e8a1f06d17"
"""The task whose story is on a picture."""

VIEWS = (
    ("status", "/", 1280, 1180),
    ("tasks", "/tasks?sort=submitted", 1280, 900),
    ("task", f"/tasks/metastudio/digital_human/{STORY}", 1280, 900),
    ("phone", "/", 390, 844),
)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
PICTURES = [Picture(*view, scheme) for view, scheme in product(VIEWS, SCHEMES)]

ACCOUNTS = {
    "deerapi": "deerapi",
    "chanjing": "chanjing",
    "metastudio": "huawei_metastudio",
    "facewap": "facewap",
}
SWEEPS = 40
REFUSED = 12
"""So many sweeps before the end, one vendor begins to refuse the key."""


@asynccontextmanager
async def scene() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the exporter's pages, ten minutes after it came to vendors who have been at work for hours."""
    clock = HandClock(1_790_000_000.0)
    world = World(seed=1, clock=clock, history=2 * 3600.0)
    world.add(
        Life(
            STORY,
            *DIGITAL_HUMAN,
            submitted=clock.now + 110,
            queue_seconds=42.0,
            run_seconds=190.0,
            end=State.FAILED,
            reason=Reason.INVALID_INPUT,
            words="The scene asset is incorrect",
            code="MSS.20010020",
            blocked=(85.0, 50.0),
        )
    )
    fake = simulator.app(world, limits={})
    rig = Rig(clock)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(simulator.running(fake))
        stack.push_async_callback(rig.aclose)
        for name, vendor in ACCOUNTS.items():
            rig.connect(vendor, url, name=name, rate_limit="1000/s")
        application = rig.app()
        for left in range(SWEEPS, 0, -1):
            if left == REFUSED:
                fake.faults["facewap"] = faults.keyless
            await rig.sweep()
        for loop in rig.loops:
            loop.status = replace(loop.status, next_sweep=clock.now + STEP)
        clock.now += 3
        yield await stack.enter_async_context(served(application))


def named(html: str) -> str:
    """Which page this is: its text and, by the names of the files that it loads, its style. The version is no part."""
    return hashlib.sha256(html.replace(__version__, "").encode()).hexdigest()


def take(browser: Browser, url: str, picture: Picture) -> bytes:
    """The picture, as a PNG that says under `Source` of which page it is."""
    with browser.new_page(
        base_url=url,
        color_scheme=picture.scheme,
        viewport={"width": picture.width, "height": picture.height},
        is_mobile=picture.width < NARROW,
    ) as page:
        answer = page.goto(picture.path)
        assert answer is not None
        return png.shrunk(page.screenshot(animations="disabled"), Source=named(answer.text()))


def main() -> None:
    path = chromium.on_path()
    if path is None:
        raise SystemExit("chromium is not on PATH; scripts/install-chromium installs it")
    FOLDER.mkdir(exist_ok=True)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(scene()) as client,
        sync_playwright() as playwright,
        chromium.launched(playwright, path) as browser,
    ):
        for picture in PICTURES:
            picture.file.write_bytes(take(browser, str(client.base_url), picture))


if __name__ == "__main__":
    main()
