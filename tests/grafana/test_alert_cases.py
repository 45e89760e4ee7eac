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
            texts = rule["annotations"].items()
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


@pytest.mark.parametrize("output", ["prometheus", "grafana"])
@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(
    cases: Path, output: str, program: Callable[[str], str], tmp_path: Path
) -> None:
    if output == "grafana":
        (tmp_path / "rules.yaml").write_text(json.dumps(grafana_rules_as_prometheus_would_have_them()))
        content = read(cases) | {"rule_files": ["rules.yaml"]}
        cases = tmp_path / cases.name
        cases.write_text(json.dumps(content))
    tested = subprocess.run(
        [program("promtool"), "test", "rules", cases.name],
        cwd=cases.parent,
        capture_output=True,
        text=True,
        check=False,
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
