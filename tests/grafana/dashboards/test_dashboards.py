"""The dashboards are what the code makes, and say what they should, also where there is little to show."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from exporter.metrics.catalogue import EXPORTER_METRICS, FEED_METRICS, PREFIX, PROVIDER_METRICS, TASK_METRICS
from grafana import generate, identity, palette, runbook
from grafana.boards import dashboards, frame
from grafana.promql import CHOSEN, CLOSED, SERVED, Scope

from .conftest import DASHBOARDS, Board, substituted

ROOT = DASHBOARDS.parents[1]
COLUMNS = 24
FIRST_SCREEN = 17
"""Rows of the grid that fit on a screen of 1280 by 800, below the choices."""
NARROW = 6
"""A panel of so few columns shows only a short text in place of a number."""

NO_EMPTY_TEXT = {
    (identity.OVERVIEW, "Alerts"): "Grafana has its own words for an empty list of alerts.",
    (identity.PROVIDER, "How to see single tasks"): "A text.",
}
MAY_BE_NEGATIVE = {
    (identity.ACCOUNTS, title) for title in ("Accounts", "Money and its forecast", "Other units and their forecast")
}
"""Balances, of accounts that are billed later."""
CATALOGUE = [
    *(metric.name for metric in (*TASK_METRICS, *FEED_METRICS)),
    *(metric.name for metric in PROVIDER_METRICS),
    *(metric.name for metric in EXPORTER_METRICS),
]


def generate_in(folder: Path, *flags: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "grafana.generate", *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return told.returncode, told.stdout, told.stderr


def test_what_is_checked_in_is_what_the_code_makes() -> None:
    assert generate_in(ROOT, "--check") == (0, "", "")


@pytest.mark.slow
def test_a_file_that_was_changed_by_hand_is_found_and_rewritten(tmp_path: Path) -> None:
    for folder in ("grafana", "deploy/kubernetes", "deploy/helm"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in (runbook.SOURCE, runbook.PAGES):
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        shutil.copy(file, copy)
    changed = tmp_path / "grafana" / "dashboards" / f"{identity.OVERVIEW}.json"
    made = changed.read_text(encoding="utf-8")
    changed.write_text(made.replace("stack", "heap"), encoding="utf-8")
    name = str(changed.relative_to(tmp_path))
    assert generate_in(tmp_path, "--check") == (1, f"{name} is out of date\n", "")
    assert generate_in(tmp_path) == (0, f"{name} written\n", "")
    assert changed.read_text(encoding="utf-8") == made


def test_a_dashboard_that_the_code_does_not_make_does_not_lie_about() -> None:
    assert {path for path in DASHBOARDS.iterdir() if path.name[0] != "."} == set(generate.dashboard_files())


@pytest.mark.parametrize("metric", CATALOGUE)
def test_a_metric_that_is_renamed_in_the_catalogue_alone_fails(metric: str) -> None:
    """Which shows as well that each is on a dashboard."""
    series = re.compile(rf"{PREFIX}{metric}(_bucket|_count|_sum|_gcount|_gsum)?")
    without = {name: served for name, served in SERVED.items() if not series.fullmatch(name)}
    assert len(without) < len(SERVED)
    renamed = Scope(CHOSEN.within, without)
    with pytest.raises(LookupError, match=f"no metric '{PREFIX}{metric}"):
        dashboards(renamed)


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        ("no_such_metric", {}),
        ("videotask_no_such_metric", {}),
        ("tasks", {"colour": "red"}),
        ("tasks", {"state": "asleep"}),
        ("tasks", {"state": ("queued", "asleep")}),
        ("exporter_build_info", {"provider": "deerapi"}),
    ],
)
def test_what_the_exporter_does_not_serve_cannot_be_selected(metric: str, labels: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        CHOSEN(metric, **labels)


def test_a_selector_is_narrowed_by_the_labels_that_its_series_have() -> None:
    feed = 'job=~"$job",instance=~"$instance",provider=~"$provider",kind=~"$kind"'
    assert CHOSEN("tasks") == f"videotask_tasks{{{feed}}}"
    assert CHOSEN("tasks", state=("queued", "running")) == f'videotask_tasks{{{feed},state=~"queued|running"}}'
    assert CHOSEN("tasks", kind="sora").endswith(',provider=~"$provider",kind="sora"}')
    assert CHOSEN("provider_info").endswith('instance=~"$instance",provider=~"$provider"}')
    assert CHOSEN("process_open_fds") == 'process_open_fds{job=~"$job",instance=~"$instance"}'


def test_the_two_metrics_named_up_are_told_apart() -> None:
    assert CHOSEN("up").startswith("up{")
    assert CHOSEN("videotask_up").startswith("videotask_up{")


SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\{([^}]*)\}")
FUNCTIONS = {
    *("sum", "min", "max", "count", "rate", "increase", "changes", "time", "vector"),
    *("histogram_quantile", "last_over_time", "max_over_time", "avg_over_time", "clamp_min"),
    *("sort", "sort_desc", "topk", "bottomk", "timestamp", "end"),
}
WORDS_OF_PROMQL = {"and", "or", "unless", "on", "by", "offset", "group_left", "group_right", *FUNCTIONS}


def test_every_series_that_is_asked_for_is_served_and_every_value_can_be(board: Board) -> None:
    for expr in board.exprs:
        if expr in SERVED:  # the query of a variable that nothing narrows
            continue
        assert SELECTOR.search(expr), expr
        for metric, matchers in SELECTOR.findall(expr):
            assert metric in SERVED, expr
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
                assert label in (*SERVED[metric].labels, "job", "instance")
                if label in CLOSED and not values.startswith("$"):
                    assert set(values.split("|")) <= CLOSED[label]
        # What is no selector is PromQL's own, or a label that series are grouped by: no series goes unnarrowed.
        grouping = r"\b(by|on|group_left|group_right) \(([\w, ]*)\)"
        rest = re.sub(grouping, " ", SELECTOR.sub(" ", expr))
        assert set(re.findall(r"\b[a-z_]\w*", re.sub(r"\[.*?\]", " ", rest))) <= WORDS_OF_PROMQL, expr
        labels = {label for series in SERVED.values() for label in series.labels} | {"job", "instance"}
        grouped = {label for _, listed in re.findall(grouping, expr) for label in re.findall(r"\w+", listed)}
        assert grouped <= labels, expr


def test_a_legend_uses_only_labels_that_the_query_leaves(board: Board) -> None:
    """By the text of the query; that the series that come back have them is tested where Prometheus runs."""
    for panel, target in board.targets:
        used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        found = re.search(r"\bby \(([\w, ]+)\)", target["expr"])
        left = set(found[1].split(", ")) if found else {"job", "instance"}
        assert used <= left, panel["title"]
        plain = [each["legendFormat"] for each in panel["targets"] if len(each["refId"]) == 1]
        if panel["type"] == "timeseries":
            assert len(set(plain)) == len(plain), panel["title"]


def test_the_panels_lie_in_the_grid_without_overlap(board: Board) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board.model["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]
    lines = {y for _, y in taken}
    assert lines == set(range(len(lines)))
    assert len(taken) == COLUMNS * len(lines), "a gap"


def test_ids_and_titles_are_unique(board: Board) -> None:
    panels = board.model["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    titles = [panel["title"] for panel in board.panels]
    assert len(set(titles)) == len(titles)


def test_the_dashboards_have_fixed_uids_and_lead_to_each_other(board: Board) -> None:
    assert set(frame.TITLES) == {path.stem for path in DASHBOARDS.iterdir()}
    assert board.model["schemaVersion"] == 41  # of Grafana 11.6
    assert board.model["tags"] == frame.TAGS
    links = board.model["links"]
    assert {link["url"] for link in links} == {f"/d/{uid}" for uid in frame.TITLES if uid != board.uid}
    assert all(link["keepTime"] and link["includeVars"] for link in links)


def test_the_variables_come_from_the_chosen_prometheus_and_narrow_each_other(board: Board) -> None:
    assert [each["name"] for each in board.variables] == ["datasource", "job", "instance", "provider", "kind"]
    queries = [each["query"] for each in board.variables[1:]]
    for number, query in enumerate(queries):
        assert re.findall(r"\$(\w+)", query) == ["job", "instance", "provider", "kind"][:number]


def test_no_datasource_is_named(board: Board) -> None:
    uids = set(re.findall(r'"uid": "([^"]*)"', json.dumps(board.model, sort_keys=True)))
    assert uids == {"${datasource}", board.uid}


def test_every_dashboard_begins_with_what_is_wrong_and_whose_fault_it_is(board: Board) -> None:
    top = board.panels[0]
    assert top["title"] == "Is anything wrong, and whose fault is it?"
    assert (top["gridPos"]["y"], top["gridPos"]["w"]) == (0, COLUMNS)
    (of_value,) = [each for each in top["fieldConfig"]["overrides"] if each["matcher"]["options"] == "Value"]
    (mappings,) = [each["value"] for each in of_value["properties"] if each["id"] == "mappings"]
    says = [word["text"] for word in mappings[0]["options"].values()]
    assert len([text for text in says if re.match("Ours|The vendor's|The requests'", text)]) >= 8
    assert [text for text in says if text.startswith("No exporter reports. Start videotask-exporter")]


def test_the_first_screen_of_the_overview_suffices_to_see_who_is_ill() -> None:
    model = json.loads((DASHBOARDS / f"{identity.OVERVIEW}.json").read_text(encoding="utf-8"))
    seen = {p["title"] for p in Board(model).panels if p["gridPos"]["y"] + p["gridPos"]["h"] <= FIRST_SCREEN}
    assert {"In flight", "Recent success", "Stalled", "Feeds down", "Oldest data", "Feeds", "Alerts"} <= seen


def test_every_panel_says_why_it_may_be_empty(board: Board) -> None:
    for panel in board.panels:
        if (board.uid, panel["title"]) in NO_EMPTY_TEXT:
            assert "fieldConfig" not in panel or "noValue" not in panel["fieldConfig"]["defaults"]
            continue
        says = panel["fieldConfig"]["defaults"]["noValue"]
        assert says, panel["title"]
        assert says != "No data"
        if panel["type"] == "stat" and panel["gridPos"]["w"] <= NARROW:
            assert len(says) <= 25, panel["title"]
        else:
            assert len(says) >= 15, panel["title"]


def test_every_number_has_decimals_that_fit_an_axis_from_zero_and_thresholds(board: Board) -> None:
    for panel in board.panels:
        if panel["type"] in ("text", "alertlist"):
            continue
        defaults = panel["fieldConfig"]["defaults"]
        if (board.uid, panel["title"]) in MAY_BE_NEGATIVE:
            assert "min" not in defaults
        else:
            assert defaults["min"] == 0
        # An axis of anything but whole numbers finds decimals that keep its ticks apart.
        assert panel["type"] == "timeseries" or "decimals" in defaults
        assert defaults["thresholds"]["steps"][0]["value"] is None
        if defaults["unit"] == "percentunit" and panel["title"] != "CPU":
            assert defaults["max"] == 1, panel["title"]


def test_descriptions_say_more_than_the_title(board: Board) -> None:
    for panel in board.panels:
        assert len(panel["description"]) >= 40, panel["title"]


COLOURS = {"state": palette.STATES, "reason": palette.REASONS, "error": palette.ERRORS}


def test_states_reasons_and_errors_have_their_colours_wherever_they_are_shown(board: Board) -> None:
    shown = 0
    for panel, target in board.targets:
        last = re.search(r"\{\{(\w+)\}\}$", target["legendFormat"])
        if panel["type"] != "timeseries" or not last or last[1] not in COLOURS:
            continue
        if len(target["refId"]) > 1:
            continue  # one line for each feed, model or the like: there the colour is that of a rank
        shown += 1
        overrides = panel["fieldConfig"]["overrides"]
        for value, colour in COLOURS[last[1]].items():
            found = [each for each in overrides if _applies(each, f"chanjing video {value}") and _applies(each, value)]
            assert [each["properties"][0]["value"]["fixedColor"] for each in found] == [colour], panel["title"]
    assert shown > 0 or board.uid in (identity.EXPORTER, identity.MODELS)


def _applies(override: dict[str, Any], name: str) -> bool:
    assert override["matcher"]["id"] == "byRegexp"
    return bool(re.search(override["matcher"]["options"].strip("/"), name))


def test_links_into_tables_encode_what_vendors_choose(board: Board) -> None:
    for link in _links(board.model):
        # Only the exporter's own address, from Prometheus' configuration, may stand as it is.
        fields = re.findall(r"\$\{__data\.fields\.(\w+)(?::(\w+))?\}", link)
        assert fields
        assert {name for name, form in fields if form != "percentencode"} <= {"instance"}


def _links(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("id") == "links":
            yield from (link["url"] for link in node["value"])
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _links(each)


def test_columns_of_tables_are_what_the_query_brings(board: Board) -> None:
    for panel in board.panels:
        if panel["type"] == "table":
            named = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
            several = len(panel["targets"]) > 1
            values = {f"Value #{target['refId']}" for target in panel["targets"]} if several else {"Value"}
            assert values <= named
            assert all(target["format"] == "table" and target["instant"] for target in panel["targets"])
            for target in panel["targets"]:
                grouped = {
                    label
                    for _, listed in re.findall(r"\b(by|group_left) \(([\w, ]+)\)", target["expr"])
                    for label in listed.split(", ")
                }
                assert named - values <= grouped, panel["title"]


def test_generating_twice_makes_the_same() -> None:
    first, second = (json.dumps([each.build() for each in dashboards()], cls=JSONEncoder) for _ in range(2))
    assert first == second


def test_expressions_are_whole_once_the_variables_are_put_in(board: Board) -> None:
    assert not [expr for expr in board.exprs if "$" in substituted(expr)]


def test_a_vendor_without_progress_or_times_is_explained_where_that_would_show() -> None:
    model = json.loads((DASHBOARDS / f"{identity.PROVIDER}.json").read_text(encoding="utf-8"))
    says = {
        panel["title"]: panel["fieldConfig"]["defaults"]["noValue"]
        for panel in Board(model).panels
        if panel["type"] not in ("text", "alertlist")
    }
    for title in ("Progress of running tasks", "Mean progress"):
        assert "MetaStudio and faceWap" in says[title]
    for title in ("Queue durations", "Run durations", "Total durations", "Recent run durations", "Run p50 and p95"):
        assert "the vendor gives no times" in says[title]
