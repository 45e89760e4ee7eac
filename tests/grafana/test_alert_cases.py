"""Each alert fires when it should, and stays silent close by: the cases in `rules/`, on both outputs."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.rules_files import ALERTS, GRAFANA_ALERTS

OPERATORS = {"gt": ">", "lt": "<"}
CASES = sorted((Path(__file__).parent / "rules").glob("*.yaml"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def grafana_rules_as_prometheus_would_have_them() -> dict[str, Any]:
    """Grafana's rules put back together: query, threshold, templates; without any recording rule."""
    groups = []
    for group in read(GRAFANA_ALERTS)["groups"]:
        rules = []
        for rule in group["rules"]:
            query, condition = (part["model"] for part in rule["data"])
            evaluator = condition["conditions"][0]["evaluator"]
            texts = [(name, text) for name, text in rule["annotations"].items() if not name.startswith("__")]
            rules.append(
                {
                    "alert": rule["title"],
                    "expr": f"({query['expr']}) {OPERATORS[evaluator['type']]} {evaluator['params'][0]}",
                    "for": rule["for"],
                    "labels": rule["labels"],
                    "annotations": {name: text.replace("$values.A.Value", "$value") for name, text in texts},
                }
            )
        groups.append({"name": group["name"], "rules": rules})
    return {"groups": groups}


def asked_for(cases: dict[str, Any], groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rules of the alerts that the cases name, and the recording rules that these read.

    promtool compares no other alert, but works each of them out for each minute of each case.
    """
    names = {check["alertname"] for case in cases["tests"] for check in case["alert_rule_test"]}
    rules = [rule for group in groups for rule in group["rules"]]
    read_by = " ".join(rule["expr"] for rule in rules if rule.get("alert") in names)
    while more := {rule["record"] for rule in rules if "record" in rule and rule["record"] in read_by} - names:
        names |= more
        read_by += " ".join(rule["expr"] for rule in rules if rule.get("record") in more)
    chosen = [
        group | {"rules": [rule for rule in group["rules"] if names & {rule.get("alert"), rule.get("record")}]}
        for group in groups
    ]
    return [group for group in chosen if group["rules"]]


@pytest.mark.parametrize("output", ["prometheus", "grafana"])
@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(
    cases: Path, output: str, program: Callable[[str], str], tmp_path: Path
) -> None:
    content = read(cases)
    if output == "grafana":
        groups = grafana_rules_as_prometheus_would_have_them()["groups"]
    else:
        groups = [group for path in content["rule_files"] for group in read(cases.parent / path)["groups"]]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": asked_for(content, groups)}))
    (tmp_path / "cases.yaml").write_text(json.dumps(content | {"rule_files": ["rules.yaml"]}))
    tested = subprocess.run(
        [program("promtool"), "test", "rules", "cases.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_has_a_case_that_fires_and_one_that_must_not() -> None:
    alerts = {rule["alert"] for group in read(ALERTS)["groups"] for rule in group["rules"]}
    fires: defaultdict[str, int] = defaultdict(int)
    silent: defaultdict[str, int] = defaultdict(int)
    for path in CASES:
        for case in read(path)["tests"]:
            checks: defaultdict[str, list[Any]] = defaultdict(list)
            for check in case["alert_rule_test"]:
                checks[check["alertname"]].append(check["exp_alerts"])
            for name, expected in checks.items():
                fires[name] += any(expected)
                silent[name] += not any(expected)
    assert fires.keys() == alerts
    assert {name for name in alerts if fires[name] and silent[name]} == alerts


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_cases_expect_every_label_and_annotation(cases: Path) -> None:
    """promtool compares exactly what is written; so that it is everything, nothing may be left out."""
    expected = [
        alert for case in read(cases)["tests"] for check in case["alert_rule_test"] for alert in check["exp_alerts"]
    ]
    assert expected
    for alert in expected:
        assert {"severity", "job"} <= alert["exp_labels"].keys()
        assert alert["exp_annotations"].keys() == {"summary", "description", "runbook_url", "dashboard_url"}
