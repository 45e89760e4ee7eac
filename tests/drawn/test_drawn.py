"""Every panel of every dashboard, drawn: nothing is cut, rounded away, alike or judged without a value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from grafana import identity, palette
from grafana.boards import frame
from tests.web import chromium, png

from . import drawing, judging, pictures, serving
from .scenes import SCENES

NARROW = 1280
LARGEST = 150_000
"""Bytes of a picture in the documents."""


@pytest.fixture(scope="module")
def browser(program: Callable[..., str]) -> Iterator[Browser]:
    if not drawing.is_made():
        pytest.skip("no page with Grafana's panels; scripts/install-pictures says why")
    path = program(*chromium.NAMES)
    with sync_playwright() as playwright, chromium.launched(playwright, path) as browser:
        yield browser


def test_nothing_is_wrong_with_any_panel_that_is_drawn(
    browser: Browser, program: Callable[..., str], tmp_path: Path
) -> None:
    """All of them in one test: what they show takes long to record."""
    scene = SCENES["brief"]
    found: dict[str, list[str]] = {}
    with serving.remembering(scene, tmp_path, program) as prometheus:
        for uid, theme in zip(frame.TITLES, cycle(drawing.THEMES), strict=False):
            with drawing.drawn(browser, uid, prometheus, serving.span(scene), theme=theme, width=NARROW) as page:
                found[uid] = judging.faults(page, theme)
                drawn = page.evaluate("Object.values(drawing.panels)")
            assert {one["title"] for one in drawn} == {
                panel["title"] for panel in model_of(uid)["panels"] if panel["type"] != "row"
            }
            assert len([one for one in drawn if one["series"]]) > len(drawn) / 2
    assert found == {uid: [] for uid in frame.TITLES}


def model_of(uid: str) -> dict[str, Any]:
    model: dict[str, Any] = json.loads((drawing.ROOT / f"grafana/dashboards/{uid}.json").read_text(encoding="utf-8"))
    return model


def spoilt(model: dict[str, Any]) -> dict[str, Any]:
    """A dashboard with a panel for each thing that can be wrong, and that needs no data."""
    by_title = {panel["title"]: panel for panel in model["panels"]}
    cut, judged, rounded, alike, ticks = model["panels"] = [
        by_title[title] for title in (TOP, "Stalled", "Ended recently", "Ends per minute", "Age of the oldest task")
    ]
    for override in cut["fieldConfig"]["overrides"]:
        override["properties"].append({"id": "custom.width", "value": 60})
    judged["targets"][0]["expr"] = "absent(vector(1))"
    judged["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] = palette.GOOD
    rounded["targets"][0]["expr"] = "vector(8901)"
    rounded["fieldConfig"]["defaults"]["unit"] = "short"
    for panel, values in ((alike, ("1", "2")), (ticks, ("1.05",))):
        first = panel["targets"][0]
        panel["targets"] = [first | {"refId": v, "expr": f"vector({v})", "legendFormat": f"line {v}"} for v in values]
        panel["fieldConfig"]["overrides"] = []
        panel["fieldConfig"]["defaults"]["color"] = {"mode": "fixed", "fixedColor": "#f0e442"}
    ticks["fieldConfig"]["defaults"] |= {"unit": "s", "decimals": 1, "min": 1.02, "max": 1.08}
    return model


TOP = "Is anything wrong, and whose fault is it?"


def test_what_is_wrong_is_found_and_without_data_nothing_is(
    browser: Browser, program: Callable[..., str], tmp_path: Path
) -> None:
    empty = replace(SCENES["empty"], shown=600.0)
    span = serving.span(empty)
    broken = spoilt(model_of(identity.OVERVIEW))
    with serving.remembering(empty, tmp_path, program) as prometheus:
        with drawing.drawn(browser, identity.OVERVIEW, prometheus, span, width=NARROW) as page:
            assert judging.faults(page, "dark") == []
            assert page.get_by_text("No exporter reports.").count() == 1
        with drawing.drawn(
            browser, identity.OVERVIEW, prometheus, span, theme="light", width=NARROW, model=broken
        ) as page:
            found = judging.faults(page, "light")
    for fault in (
        f"{TOP}: cuts the column",
        "Stalled: has no value in rgb",
        "Ended recently: rounds to",
        "Ends per minute: line 1 and line 2 look alike",
        "Ends per minute: line 1 cannot be read in",
        "Age of the oldest task: writes",
    ):
        assert any(one.startswith(fault) for one in found), (fault, found)


def test_the_pictures_of_the_documents_are_of_the_present_dashboards() -> None:
    assert sorted(pictures.FOLDER.iterdir()) == sorted(one.file for one in pictures.PICTURES)
    contents = {one: one.file.read_bytes() for one in pictures.PICTURES}
    stale = [one.name for one, content in contents.items() if png.texts(content)["Source"] != one.source]
    assert stale == [], "run make screenshots"
    assert max(map(len, contents.values())) < LARGEST


def test_the_lock_names_exact_versions_with_hashes_and_no_addresses() -> None:
    folder = drawing.ROOT / "grafana" / "pictures"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    text = (folder / "package-lock.json").read_text()
    (root, *others) = json.loads(text)["packages"].values()
    assert root["dependencies"] == wanted
    assert all(version[0].isdigit() for version in wanted.values())
    assert all(one["integrity"].startswith("sha512-") and "resolved" not in one for one in others)
    assert "://" not in text


def test_grafana_still_has_every_option_that_the_dashboards_set() -> None:
    """But for two that need no care: that of a footer, which is off, and `hidden`, beside which `hideFrom` is set."""
    if not drawing.is_made():
        pytest.skip("no page with Grafana's panels; scripts/install-pictures says why")
    types = drawing.MADE / "node_modules/@grafana/schema/dist/types"
    common = (types / "common/common.gen.d.ts").read_text()
    of_fields = re.findall(r"(?s)interface TableFieldOptions .*?\n}", common)
    missing = set()
    for panel in (panel for uid in frame.TITLES for panel in model_of(uid)["panels"]):
        kind = panel["type"]
        if kind not in ("row", "alertlist"):
            config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
            ids = {one["id"] for override in config["overrides"] for one in override["properties"]}
            customs = {*config["defaults"].get("custom", {}), *(key[7:] for key in ids if key.startswith("custom."))}
            own = (types / f"raw/composable/{kind.replace('-', '')}/panelcfg/x/types.gen.d.ts").read_text() + common
            without = own.replace(of_fields[0], "")
            missing |= {f"{kind} {key}" for key in panel["options"] if not re.search(rf"\b{key}\??:", without)}
            missing |= {f"{kind} {key}" for key in customs if not re.search(rf"\b{key}\??:", own)}
    assert missing == {"table footer", "table hidden"}
