"""The rules of Grafana's public dashboard-linter, written from its documentation, over all dashboards.

Where a panel has a good reason to break one, the reason is in EXCLUSIONS; one that is not needed any more fails. Rules
of the linter that cannot apply: those about LogQL, of which there is none.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.models import units

from grafana import identity
from grafana.promql import SERVED

from .conftest import Board, substituted, variable_selector

Model = dict[str, Any]

EXCLUSIONS = {
    ("target-counter-agg-rule", identity.EXPORTER, "Ledgers lost"): "A loss is found at the start, before the first "
    "scrape, so the counter begins with it: increase() would never see it.",
    ("panel-no-targets-rule", identity.OVERVIEW, "Alerts"): "The list asks Grafana for alerts, not Prometheus.",
    ("panel-no-targets-rule", identity.PROVIDER, "How to see single tasks"): "A text.",
    ("panel-units-rule", identity.OVERVIEW, "Alerts"): "The list shows no numbers.",
    ("panel-units-rule", identity.PROVIDER, "How to see single tasks"): "A text.",
    ("panel-datasource-rule", identity.OVERVIEW, "Alerts"): "The list asks Grafana for alerts, not Prometheus.",
    ("panel-datasource-rule", identity.PROVIDER, "How to see single tasks"): "A text.",
}
"""By rule, dashboard and panel. The linter itself looks at fewer kinds of panel than these rules do."""

Rule = Callable[[Board], Iterator[str]]
"""Yields the titles of the panels that break it; of the dashboard if it is not about panels."""

RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    def register(check: Rule) -> Rule:
        RULES[name] = check
        return check

    return register


def selectors(expr: str) -> Iterator[tuple[str, str, str, str]]:
    """The function, if any, that each selector stands in alone, its metric, matchers and range."""
    pattern = r"(?:(\w+)\s*\(\s*)?\b([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}(?:\[([^\]]+)\])?"
    yield from re.findall(pattern, expr)


def without_ranks(expr: str) -> str:
    """Without what decides about ranks: one value for the whole range, with a trace of the counters themselves."""
    return re.sub(r"\w+\(\w+\{[^}]*\}\[\$__range\] @ end\(\)\)", "1", expr)


def variable(board: Board, name: str) -> Model:
    return next((each for each in board.variables if each["name"] == name), {})


@rule("template-datasource-rule")
def _(board: Board) -> Iterator[str]:
    found = [each for each in board.variables if each["type"] == "datasource"]
    wanted = [("datasource", "Data source", "prometheus")]
    if [(each["name"], each["label"], each["query"]) for each in found] != wanted:
        yield board.uid


def _chooses(board: Board, name: str) -> Iterator[str]:
    given = variable(board, name)
    wanted = {"type": "query", "label": name.capitalize(), "multi": True, "allValue": ".+", "includeAll": True}
    source = given.get("datasource", {}).get("uid")
    if {key: given.get(key) for key in wanted} != wanted or source != "${datasource}":
        yield board.uid


@rule("template-job-rule")
def _(board: Board) -> Iterator[str]:
    yield from _chooses(board, "job")


@rule("template-instance-rule")
def _(board: Board) -> Iterator[str]:
    yield from _chooses(board, "instance")


@rule("template-required-variables-rule")
def _(board: Board) -> Iterator[str]:
    for name in ("provider", "kind"):
        yield from _chooses(board, name)


@rule("template-label-promql-rule")
def _(board: Board) -> Iterator[str]:
    for each in board.variables:
        if each["type"] == "query" and not re.fullmatch(r"label_values\(.+, [a-z_]+\)", each["query"]):
            yield board.uid


@rule("template-on-time-change-reload-rule")
def _(board: Board) -> Iterator[str]:
    if any(each["type"] == "query" and each["refresh"] != 2 for each in board.variables):
        yield board.uid


@rule("uneditable-dashboard-rule")
def _(board: Board) -> Iterator[str]:
    if board.model["editable"]:
        yield board.uid


@rule("panel-datasource-rule")
def _(board: Board) -> Iterator[str]:
    for panel in board.panels:
        used = [panel, *panel.get("targets", [])]
        if any(each.get("datasource") != {"type": "prometheus", "uid": "${datasource}"} for each in used):
            yield panel["title"]


@rule("panel-title-description-rule")
def _(board: Board) -> Iterator[str]:
    for panel in board.panels:
        if not panel.get("title") or not panel.get("description"):
            yield panel.get("title", "")


UNITS = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)}


@rule("panel-units-rule")
def _(board: Board) -> Iterator[str]:
    for panel in board.panels:
        config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
        special = [each for override in config["overrides"] for each in override["properties"] if each["id"] == "unit"]
        if not {config["defaults"].get("unit"), *(each["value"] for each in special)} <= UNITS:
            yield panel["title"]


@rule("panel-no-targets-rule")
def _(board: Board) -> Iterator[str]:
    for panel in board.panels:
        if not panel.get("targets"):
            yield panel["title"]


@rule("target-rate-interval-rule")
def _(board: Board) -> Iterator[str]:
    for panel, target in board.targets:
        # More than the linter asks: increase() as well, where points follow each other.
        over_time = ("rate", "irate", *(("increase",) if target.get("range") else ()))
        for function, _metric, _matchers, window in selectors(without_ranks(target["expr"])):
            if function in over_time and window != "$__rate_interval":
                yield panel["title"]


def _matches(board: Board, label: str) -> Iterator[str]:
    for panel, target in board.targets:
        for _function, _metric, matchers, _window in selectors(target["expr"]):
            if f'{label}=~"${label}"' not in matchers.split(","):
                yield panel["title"]


@rule("target-job-rule")
def _(board: Board) -> Iterator[str]:
    yield from _matches(board, "job")


@rule("target-instance-rule")
def _(board: Board) -> Iterator[str]:
    yield from _matches(board, "instance")


@rule("target-required-matchers-rule")
def _(board: Board) -> Iterator[str]:
    for panel, target in board.targets:
        for _function, metric, matchers, _window in selectors(target["expr"]):
            for label in ("provider", "kind"):
                if label in SERVED[metric].labels and f'{label}=~"${label}"' not in matchers.split(","):
                    yield panel["title"]


@rule("target-counter-agg-rule")
def _(board: Board) -> Iterator[str]:
    for panel, target in board.targets:
        for function, metric, _matchers, window in selectors(without_ranks(target["expr"])):
            is_counter = re.search(r"_(total|duration_seconds_(bucket|count|sum))$", metric)
            if is_counter and not (window and function in ("rate", "irate", "increase")):
                yield panel["title"]


def check_rules(promtool: str, folder: Path, rules: list[dict[str, str]]) -> subprocess.CompletedProcess[str]:
    """What promtool says of recording rules."""
    (folder / "rules.yaml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))  # which is YAML too
    return subprocess.run(
        [promtool, "check", "rules", folder / "rules.yaml"], capture_output=True, text=True, check=False
    )


def breaches(name: str, board: Board) -> set[tuple[str, str, str]]:
    return {(name, board.uid, where) for where in RULES[name](board)}


@pytest.mark.parametrize("name", RULES)
def test_the_dashboard_keeps_the_rule(name: str, board: Board) -> None:
    excluded = {key for key in EXCLUSIONS if key[:2] == (name, board.uid)}
    assert breaches(name, board) == excluded


def test_every_expression_is_promql(board: Board, program: Callable[[str], str], tmp_path: Path) -> None:
    """The target-promql-rule, asked of Prometheus itself."""
    rules = [{"record": f"e{number}", "expr": substituted(expr)} for number, expr in enumerate(board.exprs)]
    assert len(rules) > 20
    told = check_rules(program("promtool"), tmp_path, rules)
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{len(rules)} rules found" in told.stdout


def _first(board: Board, holds: Callable[[Model], bool] = lambda target: True) -> tuple[Model, Model]:
    return next((panel, target) for panel, target in board.targets if holds(target))


def _break(name: str, board: Board) -> None:
    """Does to a dashboard what the rule forbids."""
    panel, target = _first(board)
    _, counting = _first(board, lambda target: "[$__rate_interval]" in target["expr"])
    match name:
        case "template-datasource-rule":
            variable(board, "datasource")["name"] = "ds"
        case "template-job-rule" | "template-instance-rule":
            variable(board, name.split("-")[1])["allValue"] = ".*"
        case "template-required-variables-rule":
            variable(board, "kind")["multi"] = False
        case "template-label-promql-rule":
            variable(board, "kind")["query"] = "label_names()"
        case "template-on-time-change-reload-rule":
            variable(board, "kind")["refresh"] = 1
        case "uneditable-dashboard-rule":
            board.model["editable"] = True
        case "panel-datasource-rule":
            target["datasource"]["uid"] = "prometheus"
        case "panel-title-description-rule":
            panel["description"] = ""
        case "panel-units-rule":
            panel["fieldConfig"]["defaults"]["unit"] = "parsecs"
        case "panel-no-targets-rule":
            panel["targets"] = []
        case "target-rate-interval-rule":
            counting["expr"] = counting["expr"].replace("[$__rate_interval]", "[5m]")
        case "target-job-rule" | "target-instance-rule":
            label = name.split("-")[1]
            target["expr"] = target["expr"].replace(f'{label}=~"${label}"', "", 1)
        case "target-required-matchers-rule":
            _, narrowed = _first(board, lambda target: "$provider" in target["expr"])
            narrowed["expr"] = narrowed["expr"].replace("$provider", ".+", 1)
        case "target-counter-agg-rule":
            counting["expr"] = re.sub(r"\b(rate|increase)\(", "avg_over_time(", counting["expr"])
        case _:
            pytest.fail(f"no way to break {name}")


@pytest.mark.parametrize("name", RULES)
def test_the_rule_finds_what_breaks_it(name: str, board: Board) -> None:
    broken = Board(copy.deepcopy(board.model))
    _break(name, broken)
    assert breaches(name, broken) > breaches(name, board)


def test_an_expression_that_is_not_promql_is_found(program: Callable[[str], str], tmp_path: Path) -> None:
    told = check_rules(program("promtool"), tmp_path, [{"record": "e", "expr": "sum(rate(a[5m])"}])
    assert told.returncode != 0


def test_every_variable_asks_for_one_selector(board: Board) -> None:
    for each in board.variables:
        if each["type"] == "query":
            assert len(list(selectors(variable_selector(each) + ("" if "{" in each["query"] else "{}")))) == 1
