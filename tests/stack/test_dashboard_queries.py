"""Every query of every dashboard returns data from a stack in which everything happens, with the labels it promises."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
import yaml

from grafana import grafana_rules, prometheus_rules
from grafana.boards.verdict import findings, verdict
from grafana.identity import JOB
from grafana.promql import CHOSEN
from tests.harness import wait_for

from . import asked, scenes
from .asked import ALL, DASHBOARDS, RANGE, Choice, Query
from .running import Stack, fast
from .servers import Prometheus

pytestmark = pytest.mark.slow

Labels = dict[str, str]

SHARED = ("videotask_lease_", "videotask_exporter_database_errors_total")
QUERIES = [query for query in asked.queries() if not any(name in query.expr for name in SHARED)]
"""The stack has no replicas; tests/grafana/dashboards/test_figures.py has some."""
TABLES = [
    pytest.param(path.stem, panel, id=f"{path.stem}: {panel['title']}")
    for path in DASHBOARDS
    for panel in asked.panels(asked.load(path))
    if panel["type"] == "table" and panel["title"] != "Who polls what"
]


def series(prometheus: Prometheus, expr: str) -> list[Labels]:
    """The labels of the series that have a number now."""
    rows = prometheus.api("query", query=expr, time=time.time())["result"]
    return [row["metric"] for row in rows if math.isfinite(float(row["value"][1]))]


def series_within(prometheus: Prometheus, expr: str, seconds: int, step: int) -> list[Labels]:
    """The labels of the series that had a number at some time in the last seconds."""
    now = time.time()
    rows = prometheus.api("query_range", query=expr, start=now - seconds, end=now, step=step)["result"]
    return [row["metric"] for row in rows if any(math.isfinite(float(value)) for _, value in row["values"])]


def answer(prometheus: Prometheus, query: Query, choice: Choice = ALL) -> list[Labels]:
    """The labels of the series that a panel gets."""
    expr = asked.interpolated(query.expr, choice, query.step)
    return series(prometheus, expr) if query.instant else series_within(prometheus, expr, RANGE, query.step)


def test_there_is_something_to_ask() -> None:
    assert len(DASHBOARDS) == 5
    assert len(QUERIES) > 80
    assert len(TABLES) >= 3


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_returns_data_with_the_labels_of_its_legend(stack: Stack, query: Query) -> None:
    wait_for(f"data for {query.expr}", lambda: answer(stack.prometheus, query), patience=stack.patience, pause=0.2)
    lacking = [one for one in answer(stack.prometheus, query) if not all(map(one.get, query.legend_labels))]
    assert lacking == []


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_a_query_returns_data_if_everything_is_chosen_by_name(stack: Stack, query: Query) -> None:
    """The names have characters in them that mean something in regular expressions."""
    choice = {
        "job": [JOB],
        "instance": [stack.whole, stack.ended, stack.revived],
        "provider": stack.accounts,
        "kind": sorted({kind for feeds in scenes.HEALTHY.values() for _, kind in feeds}),
    }
    wait_for("data", lambda: answer(stack.prometheus, query, choice), patience=stack.patience, pause=0.2)


@pytest.mark.parametrize("query", [query for query in QUERIES if query.exemplars], ids=str)
def test_an_exemplar_leads_to_its_task(stack: Stack, query: Query) -> None:
    """It has every label that the provisioned datasource puts into the link."""
    (datasource,) = yaml.safe_load(asked.DATASOURCES.read_text(encoding="utf-8"))["datasources"]
    (link,) = datasource["jsonData"]["exemplarTraceIdDestinations"]
    used = set(re.findall(r"__data\.fields\.(\w+)", link["url"]))
    assert used == {"instance", "provider", "kind"}
    expr = asked.interpolated(query.expr, ALL, query.step)
    wait_for("exemplars", lambda: stack.prometheus.exemplars(expr), patience=stack.patience, pause=0.2)
    for one in stack.prometheus.exemplars(expr):
        assert all(map(one["seriesLabels"].get, used))
        assert all(point["labels"][link["name"]] for point in one["exemplars"])


# --- What vendors do not tell

UNTOLD: Mapping[str, set[str]] = {
    "volcengine_ark": {"Progress of running tasks", "Mean progress", "Tasks and their progress"},
    "deerapi": set(),
    "chanjing": set(),
    "huawei_metastudio": {"Progress of running tasks", "Mean progress", "Tasks and their progress"},
    "facewap": {
        "Progress of running tasks",
        "Mean progress",
        "Tasks and their progress",
        "Video produced",
        "Output seconds per generation second",
    },
}
"""Panels that have nothing to show of a vendor that is well: it tells neither progress nor lengths of clips."""


@pytest.mark.parametrize("provider", UNTOLD)
@pytest.mark.parametrize("dashboard", ["videotask-overview", "videotask-provider"])
def test_only_what_a_vendor_does_not_tell_is_empty_and_says_why(stack: Stack, dashboard: str, provider: str) -> None:
    (path,) = [path for path in DASHBOARDS if path.stem == dashboard]
    good = {
        panel["title"]
        for panel in asked.panels(asked.load(path))
        if panel.get("fieldConfig", {}).get("defaults", {}).get("noValue", "").startswith("Good:")
    }
    queries = [query for query in QUERIES if query.dashboard == dashboard and query.panel not in good]

    def empty() -> set[str]:
        answered = {query.panel for query in queries if answer(stack.prometheus, query, {"provider": [provider]})}
        return {query.panel for query in queries} - answered

    untold = UNTOLD[provider] if dashboard == "videotask-provider" else set()
    with suppress(pytest.fail.Exception):  # the comparison says more
        wait_for("the other panels", lambda: empty() <= untold, patience=stack.patience, pause=0.2)
    assert empty() == untold
    for panel in asked.panels(asked.load(path)):
        if panel["title"] in untold:
            assert len(panel["fieldConfig"]["defaults"]["noValue"]) > len("No data")


# --- Tables


def columns(panel: Mapping[str, Any], answers: Mapping[str, list[Labels]]) -> set[str]:
    """The fields of a table after its transformations, as Grafana names them."""
    value = "Value #{}" if len(answers) > 1 else "Value"
    frames = [{"Time", value.format(ref), *(label for row in rows for label in row)} for ref, rows in answers.items()]
    for step in panel["transformations"]:
        match step["id"]:
            case "merge":
                frames = [set[str]().union(*frames)]
            case "organize":
                (fields,) = frames
                options = step["options"]
                named = {*options["indexByName"], *options["excludeByName"], *options["renameByName"]}
                assert named <= fields
                kept = fields - {name for name, without in options["excludeByName"].items() if without}
                frames = [{options["renameByName"].get(name, name) for name in kept}]
            case "sortBy":
                (fields,) = frames
                assert {one["field"] for one in step["options"]["sort"]} <= fields
            case other:
                pytest.fail(f"a transformation that this test does not know: {other}")
    (fields,) = frames
    return fields


@pytest.mark.parametrize(("dashboard", "panel"), TABLES)
def test_a_table_has_the_columns_that_it_names(stack: Stack, dashboard: str, panel: Mapping[str, Any]) -> None:
    """And no other: each has a title."""
    queries = [query for query in QUERIES if (query.dashboard, query.panel) == (dashboard, panel["title"])]
    for query in queries:
        wait_for("data", lambda: answer(stack.prometheus, query), patience=stack.patience, pause=0.2)  # noqa: B023
    answers = {query.ref: answer(stack.prometheus, query) for query in queries}
    rows_alike = len({frozenset(row) for rows in answers.values() for row in rows}) == 1
    assert rows_alike or len(queries) == 1, "rows that do not merge"
    fields = columns(panel, answers)
    overrides = panel["fieldConfig"]["overrides"]
    assert {one["matcher"]["options"] for one in overrides if one["matcher"]["id"] == "byName"} == fields
    linked = set(re.findall(r"__data\.fields\.(\w+)", str(overrides)))
    assert linked <= fields


# --- Variables, marks, verdict, rules


@pytest.mark.parametrize(("dashboard", "name", "selector", "label"), asked.variables())
def test_a_variable_offers_what_there_is(stack: Stack, dashboard: str, name: str, selector: str, label: str) -> None:
    offered = {
        "job": {JOB},
        "instance": {stack.whole, stack.ended, stack.revived},
        "provider": set(stack.accounts),
        "kind": {kind for feeds in scenes.HEALTHY.values() for _, kind in feeds},
    }
    assert (
        set(stack.prometheus.api(f"label/{label}/values", **{"match[]": asked.interpolated(selector, ALL)}))
        == (offered[name])
    )


@pytest.mark.parametrize(("dashboard", "expr"), asked.marks())
def test_a_start_is_marked(stack: Stack, dashboard: str, expr: str) -> None:
    """Of the one exporter that was started again."""

    def marked() -> list[Labels]:
        return series_within(stack.prometheus, asked.interpolated(expr, ALL), RANGE, 15)

    wait_for("a mark", marked, patience=stack.patience, pause=0.2)
    assert marked() == [{"job": JOB, "instance": stack.revived}]


NOT_FOUND = ("No exporter reports", "Starting")
"""How the findings begin that cannot hold beside the others."""


@pytest.mark.parametrize("finding", findings(CHOSEN), ids=lambda finding: finding.says.partition(".")[0])
def test_the_verdict_finds_what_is_wrong(stack: Stack, finding: Any) -> None:
    expr = asked.interpolated(finding.holds, ALL)
    if finding.says.startswith(NOT_FOUND):
        assert series(stack.prometheus, expr) == []
    else:
        wait_for(finding.says, lambda: series(stack.prometheus, expr), patience=stack.patience, pause=0.2)
        where = [set(row) for row in series(stack.prometheus, expr)]
        assert all(labels in ({"provider", "kind"}, {"provider"}, {"instance"}) for labels in where), where


def test_without_an_exporter_the_verdict_says_so_and_all_else_is_empty(stack: Stack) -> None:
    nobody = {"job": ["nobody"]}
    title = verdict(CHOSEN).build().title
    answered = [query for query in QUERIES if answer(stack.prometheus, query, nobody)]
    assert {query.panel for query in answered} == {title}
    for path in DASHBOARDS:
        (query,) = [query for query in answered if query.dashboard == path.stem]
        (panel,) = [panel for panel in asked.panels(asked.load(path)) if panel["title"] == title]
        (row,) = stack.prometheus.api("query", query=asked.interpolated(query.expr, nobody))["result"]
        (mapping,) = next(
            one["value"]
            for override in panel["fieldConfig"]["overrides"]
            for one in override["properties"]
            if one["id"] == "mappings"
        )
        assert mapping["options"][row["value"][1]]["text"].startswith("No exporter reports")


RECORDINGS = [rule["record"] for group in prometheus_rules.recording_file(fast())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_rule_has_data(stack: Stack, name: str) -> None:
    wait_for(name, lambda: series(stack.prometheus, name), patience=stack.patience, pause=0.2)


GRAFANA = grafana_rules.alerting_file(fast().model_copy(update={"evaluation_interval": "10s"}))
GRAFANA_ALERTS = [
    pytest.param(rule["title"], rule["data"][0]["model"]["expr"], id=rule["title"])
    for group in GRAFANA["groups"]
    for rule in group["rules"]
]
"""Each of Grafana's own alerts: its title, and what it asks before it compares."""


NO_DATA = {
    "VideoTaskExporterAbsent": "there are exporters",
    "VideoTaskProviderUnheld": "they share no ledger",
    "VideoTaskProviderHeldTwice": "they share no ledger",
}


@pytest.mark.parametrize(("title", "expr"), GRAFANA_ALERTS)
def test_an_alert_of_grafana_has_data(stack: Stack, title: str, expr: str) -> None:
    """At some time: conditions come and go."""

    if title in NO_DATA:
        assert series(stack.prometheus, expr) == [], NO_DATA[title]
    else:
        wait_for(title, lambda: series_within(stack.prometheus, expr, 600, 2), patience=stack.patience, pause=0.2)
