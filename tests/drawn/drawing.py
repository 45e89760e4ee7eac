"""Draws a dashboard in Chromium, from what a Prometheus answers."""

from __future__ import annotations

import mimetypes
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, Route

ROOT = Path(__file__).parents[2]
MADE = Path(sys.prefix) / "pictures"
"""Where scripts/install-pictures puts the page with Grafana's panels."""
HERE = "http://pictures.test"
"""The page's own address, which leads to no network."""

PATIENCE = 180_000
"""Milliseconds in which all panels are drawn, even on a busy machine."""

Theme = Literal["dark", "light"]
THEMES: tuple[Theme, ...] = ("dark", "light")

_FONTS = {"Regular": "400-normal", "Medium": "500-normal", "Italic": "400-italic", "MediumItalic": "500-italic"}


def is_made() -> bool:
    return (MADE / "made").is_file()


def _file(path: str) -> Path:
    """What the page asks for, by the path of its URL."""
    modules = MADE / "node_modules"
    if font := re.fullmatch(r"/public/fonts/inter/Inter-(\w+)\.woff2", path):
        return modules / "@fontsource/inter/files" / f"inter-latin-{_FONTS[font[1]]}.woff2"
    if path.startswith("/public/build/img/"):
        return modules / "@grafana/ui/dist/public/img" / path.removeprefix("/public/build/img/")
    if path.startswith("/dashboards/"):
        return ROOT / "grafana" / path[1:]
    return ROOT / "grafana/pictures/page.html" if path == "/" else MADE / path[1:]


def _serve(route: Route) -> None:
    file = _file(route.request.url.removeprefix(HERE).partition("?")[0])
    if file.is_file():
        route.fulfill(body=file.read_bytes(), content_type=mimetypes.guess_type(file.name)[0] or "font/woff2")
    else:
        route.fulfill(status=404)


def _wait_until_still(page: Page) -> None:
    """Grafana's panels draw once more when they have measured what they drew."""
    before = None
    for _ in range(100):
        page.wait_for_timeout(400)
        now = page.evaluate("JSON.stringify(drawing.looks())")
        if now == before:
            return
        before = now


def _ask(route: Route, prometheus: str) -> None:
    try:
        with urllib.request.urlopen(route.request.url.replace(HERE, prometheus, 1), timeout=PATIENCE / 1000) as answer:  # noqa: S310
            route.fulfill(body=answer.read(), content_type="application/json")
    except urllib.error.HTTPError as error:
        route.fulfill(status=error.code, body=error.read(), content_type="application/json")


@contextmanager
def drawn(
    browser: Browser,
    board: str,
    prometheus: str,
    span: tuple[float, float],
    *,
    theme: Theme = "dark",
    width: int = 1600,
    height: int = 900,
    model: dict[str, Any] | None = None,
) -> Iterator[Page]:
    """A page that has the whole dashboard on it: that of this uid, or this model, from the Prometheus at this URL."""
    asked = {"board": board, "theme": theme}
    asked |= {"from": f"{span[0] * 1000:.0f}", "to": f"{span[1] * 1000:.0f}"}
    with browser.new_page(viewport={"width": width, "height": height}) as page:
        page.route(f"{HERE}/**", _serve)
        page.route(f"{HERE}/api/**", lambda route: _ask(route, prometheus))
        if model:
            page.route(f"{HERE}/dashboards/**", lambda route: route.fulfill(json=model))
        page.on("pageerror", lambda error: page.evaluate("text => drawing.problems.push(text)", str(error)))
        page.goto(f"{HERE}/?{urlencode(asked)}", timeout=PATIENCE)
        page.wait_for_function("window.drawing?.left === 0", timeout=PATIENCE)
        tall = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": max(height, tall)})
        page.evaluate("document.fonts.ready")
        _wait_until_still(page)
        yield page
