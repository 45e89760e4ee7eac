"""The pictures of dashboards in docs/dashboards/."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from grafana import identity
from tests.drawn import drawing, serving
from tests.drawn.drawing import Theme
from tests.drawn.scenes import SCENES
from tests.web import png

FOLDER = drawing.ROOT / "docs" / "dashboards"
SCENE = "faults"
WIDTH = 1280


@dataclass(frozen=True)
class Picture:
    """The top of a dashboard."""

    name: str
    uid: str
    height: int
    theme: Theme

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.png"

    @property
    def source(self) -> str:
        """Which dashboard it was taken of."""
        return hashlib.sha256((drawing.ROOT / "grafana" / "dashboards" / f"{self.uid}.json").read_bytes()).hexdigest()


PICTURES = (
    Picture("overview-dark", identity.OVERVIEW, 1080, "dark"),
    Picture("overview-light", identity.OVERVIEW, 1080, "light"),
    Picture("models-light", identity.MODELS, 980, "light"),
    Picture("accounts-dark", identity.ACCOUNTS, 960, "dark"),
)


def take(browser: Browser, prometheus: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    for picture in PICTURES:
        span = serving.span(SCENES[SCENE])
        with drawing.drawn(browser, picture.uid, prometheus, span, theme=picture.theme, width=WIDTH) as page:
            clip = {"x": 0, "y": 0, "width": WIDTH, "height": picture.height}
            shot = page.screenshot(clip=clip)  # type: ignore[arg-type]
        picture.file.write_bytes(png.shrunk(shot, Source=picture.source))
        print(picture.file.relative_to(drawing.ROOT), picture.file.stat().st_size)
