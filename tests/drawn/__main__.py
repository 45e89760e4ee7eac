"""Draws every dashboard in every scene, by day and by night, wide and narrow: `make dashboard-pictures`.

The pictures are in build/pictures/, a folder for each scene. With `--check` the exit code is 1 if anything is wrong
with one of them, as far as a program can tell. With `--documents` it takes those of docs/dashboards/ alone.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from grafana.boards import frame
from tests.drawn import drawing, judging, pictures, serving
from tests.drawn.scenes import SCENES
from tests.web import chromium

BUILD = drawing.ROOT / "build" / "pictures"
WIDTHS = (1600, 1280)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not on PATH; make programs installs it")
    return found


def draw(browser: Browser, prometheus: str, name: str, boards: Sequence[str]) -> list[str]:
    """Writes the pictures of a scene; returns what is wrong with them."""
    found = []
    span = serving.span(SCENES[name])
    (BUILD / name).mkdir(parents=True, exist_ok=True)
    for uid, theme, width in product(boards, drawing.THEMES, WIDTHS):
        file = BUILD / name / f"{uid}-{theme}-{width}.png"
        with drawing.drawn(browser, uid, prometheus, span, theme=theme, width=width) as page:
            page.screenshot(path=file)
            faults = [f"{file.relative_to(drawing.ROOT)}: {fault}" for fault in judging.faults(page, theme)]
        print(file.relative_to(drawing.ROOT), *faults, sep="\n", flush=True)
        found += faults
    return found


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.drawn", description="Draws the dashboards.")
    parser.add_argument("--check", action="store_true", help="exit 1 if anything is wrong with a picture")
    parser.add_argument("--documents", action="store_true", help="take the pictures of docs/dashboards/ alone")
    parser.add_argument("--scene", choices=SCENES, action="append", help="this scene; all by default")
    parser.add_argument("--board", choices=frame.TITLES, action="append", help="this dashboard; all by default")
    given = parser.parse_args()
    path = chromium.on_path()
    if path is None or not drawing.is_made():
        raise SystemExit("no Chromium, or no page to draw in; scripts/install-pictures says why")
    names = [pictures.SCENE] if given.documents else given.scene or list(SCENES)
    found = []
    with sync_playwright() as playwright, chromium.launched(playwright, path) as browser:
        for name in names:
            with (
                TemporaryDirectory() as folder,
                serving.remembering(SCENES[name], Path(folder), program) as prometheus,
            ):
                if given.documents:
                    pictures.take(browser, prometheus)
                else:
                    found += draw(browser, prometheus, name, given.board or list(frame.TITLES))
    return 1 if given.check and found else 0


if __name__ == "__main__":
    raise SystemExit(main())
