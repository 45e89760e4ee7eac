"""What is wrong with a drawn dashboard, as far as a program can tell."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from playwright.sync_api import Page

from grafana import palette
from tests.drawn.colours import contrast, difference
from tests.drawn.drawing import Theme

LEAST_CONTRAST = 3.0
LEAST_DIFFERENCE = 20.0

_ROUNDED = re.compile(r"\s*\d(\.\d+)?\s*K\s*")
_JUDGING = {palette.GOOD, palette.WARNING, palette.BAD}


def faults(page: Page, theme: Theme) -> list[str]:
    """One line for each."""
    drawing: dict[str, Any] = page.evaluate(
        "({ problems: drawing.problems, panels: drawing.panels, looks: drawing.looks() })"
    )
    found = list(drawing["problems"])
    for key, looks in drawing["looks"].items():
        panel = drawing["panels"].get(key)
        if panel:
            found += (f"{panel['title']}: {fault}" for fault in _of_panel(panel, looks, palette.BACKGROUNDS[theme]))
    return found


def _of_panel(panel: Mapping[str, Any], looks: Mapping[str, Any], background: str) -> Iterator[str]:
    yield from (f"cuts {what}" for what in dict.fromkeys(looks["cut"]))
    yield from (f"writes {tick} at {count} ticks" for tick, count in Counter(looks["ticks"]).items() if count > 1)
    written = [*looks["texts"], *looks["ticks"], "".join(looks["texts"][-2:])]
    yield from (f"rounds to {text}" for text in dict.fromkeys(written) if _ROUNDED.fullmatch(text))
    if panel["type"] == "timeseries":
        yield from _of_colours(panel["series"], background)
    if panel["type"] == "stat" and not panel["series"]:
        judging = {_rgb(colour) for colour in _JUDGING} & set(looks["colours"])
        yield from (f"has no value in {colour}, which judges" for colour in judging)


def _of_colours(series: Sequence[Mapping[str, Any]], background: str) -> Iterator[str]:
    for one in series:
        if contrast(one["color"], background) < LEAST_CONTRAST:
            yield f"{one['name']} cannot be read in {one['color']}"
    for one, other in itertools.combinations(series, 2):
        alike = one["dashed"] == other["dashed"] and difference(one["color"], other["color"]) < LEAST_DIFFERENCE
        if alike:
            yield f"{one['name']} and {other['name']} look alike in {one['color']} and {other['color']}"


def _rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"
