"""The example for Alertmanager: valid, about alerts that there are, and quiet about what another alert explains."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from grafana.alerts import alerts
from grafana.recordings import Recordings
from grafana.rules_files import ALERTS
from grafana.thresholds import load

FILE = ALERTS.parent.parent / "alertmanager.yaml"
THRESHOLDS = load()
EVERY = {one.title: one for group in alerts(THRESHOLDS, Recordings(THRESHOLDS)).values() for one in group}
RULES: list[dict[str, Any]] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["inhibit_rules"]


def named(matchers: list[str]) -> set[str]:
    """The titles of the alerts that the matchers choose."""
    chosen = set(EVERY)
    for matcher in matchers:
        found = re.fullmatch(r'alertname (=~|!~|=) "(.+)"', matcher)
        assert found, matcher
        matching = {title for title in EVERY if re.fullmatch(found[2], title)}
        chosen &= set(EVERY) - matching if found[1] == "!~" else matching
    return chosen


def test_amtool_finds_nothing_wrong(program: Callable[[str], str]) -> None:
    checked = subprocess.run([program("amtool"), "check-config", FILE], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} inhibit rules" in checked.stdout


@pytest.mark.parametrize(
    ("severity", "receiver"),
    [("critical", "video-tasks-on-call"), ("warning", "video-tasks"), ("info", "video-tasks")],
)
def test_only_critical_alerts_call_somebody(severity: str, receiver: str, program: Callable[[str], str]) -> None:
    labels = ["alertname=VideoTaskFeedDown", f"severity={severity}"]
    command = [program("amtool"), "config", "routes", "test", f"--config.file={FILE}", *labels]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == receiver


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["source_matchers"][0]))
def test_alerts_are_silenced_by_alerts_about_the_same(rule: dict[str, Any]) -> None:
    """Every alternative names an alert, the labels that must be equal are on both sides, and none silences itself."""
    for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
        for alternative in re.sub(r".*?\((.*)\).*", r"\1", matcher).split("|"):
            if re.fullmatch(r"[A-Za-z]+", alternative):
                assert f"VideoTask{alternative}" in EVERY
    sources, targets = named(rule["source_matchers"]), named(rule["target_matchers"])
    assert sources
    assert targets
    assert not sources & targets
    for title in sources | (targets if "provider" in rule["equal"] else set()):
        assert set(rule["equal"]) <= {"job", "instance", *EVERY[title].about.value[1]}


@pytest.mark.parametrize(
    ("cause", "symptoms"),
    [
        ("VideoTaskExporterDown", {"VideoTaskFeedDown", "VideoTaskDataStale"}),
        ("VideoTaskAuthFailing", {"VideoTaskFeedDown", "VideoTaskBalanceUnreadable"}),
        ("VideoTaskBalanceExhausted", {"VideoTaskFeedDown", "VideoTaskFailureBurnFast", "VideoTaskNoSuccess"}),
        ("VideoTaskBalanceExhausted", {"VideoTaskBalanceLow", "VideoTaskBalanceRunningOut"}),
        ("VideoTaskFeedDown", {"VideoTaskDataStale", "VideoTaskQueuedTooLong", "VideoTaskStalled"}),
        ("VideoTaskQueueGrowing", {"VideoTaskQueuedTooLong", "VideoTaskStalled"}),
    ],
)
def test_a_cause_silences_its_symptoms(cause: str, symptoms: set[str]) -> None:
    silenced = set[str]().union(
        *(named(rule["target_matchers"]) for rule in RULES if cause in named(rule["source_matchers"]))
    )
    assert symptoms <= silenced
    assert not {"VideoTaskAuthFailing", "VideoTaskExporterAbsent"} & silenced or cause == "VideoTaskExporterDown"
