"""What happens to vendors and exporters reaches a real Alertmanager, with the right labels, and only that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from grafana import identity
from grafana.alerting import Alert, Subject
from grafana.alerts import alerts
from grafana.identity import JOB
from grafana.recordings import Recordings
from tests.harness import wait_for

from . import scenes
from .running import Stack, fast

pytestmark = pytest.mark.slow

THRESHOLDS = fast()
ALERTS: dict[str, Alert] = {
    alert.name: alert for group in alerts(THRESHOLDS, Recordings(THRESHOLDS)).values() for alert in group
}

CAUSED: dict[str, tuple[str, ...]] = {
    "down": ("feed_down",),
    "silent": ("data_stale",),
    "locked-out": ("auth_failing",),
    "throttled": ("rate_limited",),
    "crawling": ("poll_overrun",),
    "gappy": ("history_gap",),
    "drifting": ("api_drift", "unknown_state"),
    "broke": ("balance_exhausted",),
    "moderated": ("moderation_spike",),
    "failing": ("failure_burn_fast", "failure_burn_slow"),
    "jammed": ("queue_growing", "queued_too_long", "no_success"),
    "stalled": ("stalled", "running_too_long"),
    "frozen": ("blocked",),
    "slow": ("run_time_high",),
    "unguided": ("watch_source_down",),
    "poor": ("balance_low", "balance_running_out"),
    "unaccountable": ("balance_unreadable",),
    # The exporters
    "whole": ("config_reload_failed",),
    "ended": ("exporter_down",),
    "revived": ("exporter_restarting", "ledger_lost"),
}
"""What has to come of each scene, and of what happens to the exporters."""

NOT_CAUSED = {
    "provider_unheld": "the exporters here share no ledger; tests of the rules with invented series have it",
    "provider_held_twice": "the exporters here share no ledger; tests of the rules with invented series have it",
    "exporter_absent": "no target would be left for the others; tests of the rules with invented series have it",
    "loop_restarted": "nothing that happens outside the exporter makes a loop hang; tests with invented series have it",
}


def expected(stack: Stack, subject: str, name: str) -> dict[str, str]:
    """The labels of an alert: none more, none less."""
    alert = ALERTS[name]
    labels = {"alertname": alert.title, "severity": alert.choice.severity, "job": JOB}
    if alert.about is Subject.INSTANCE:
        return labels | {"instance": getattr(stack, subject)}
    labels |= {"instance": stack.whole, "provider": subject}
    if alert.about is Subject.FEED:
        labels["kind"] = scenes.SCENES[subject].feed[1]
    if name == "api_drift":
        labels["field"] = "state"
    if name in ("balance_low", "balance_running_out"):
        labels["unit"] = "usd"
    if name == "watch_source_down":
        labels["source"] = scenes.source_of(stack.street, subject)
    return labels


CASES = [(subject, name) for subject, names in CAUSED.items() for name in names]


@pytest.fixture(scope="module")
def fired(stack: Stack) -> list[dict[str, Any]]:
    """Every alert that came, once all that must come have come."""
    wanted = [frozenset(expected(stack, *case).items()) for case in CASES]
    seen = stack.alertmanager.seen
    with suppress(pytest.fail.Exception):  # the tests below say which ones have not
        wait_for("all alerts", lambda: all(one in seen for one in wanted), patience=stack.patience, pause=0.2)
    return list(seen.values())


def test_while_all_is_well_there_is_no_alert(stack: Stack) -> None:
    assert stack.early_alerts == []


@pytest.mark.parametrize(("subject", "name"), CASES, ids=lambda text: text)
def test_an_alert_arrives_with_exactly_its_labels(
    stack: Stack, fired: list[dict[str, Any]], subject: str, name: str
) -> None:
    assert expected(stack, subject, name) in [alert["labels"] for alert in fired]


def test_every_alert_is_caused_or_excused() -> None:
    caused = [name for _, name in CASES]
    assert sorted(caused + list(NOT_CAUSED)) == sorted(ALERTS)


def test_no_provider_suffers_for_another(stack: Stack, fired: list[dict[str, Any]]) -> None:
    assert fired
    assert [one["labels"] for one in fired if one["labels"].get("provider") in scenes.HEALTHY] == []


def test_what_alerts_say_is_complete(fired: list[dict[str, Any]]) -> None:
    assert fired
    for alert in fired:
        labels, said = alert["labels"], alert["annotations"]
        assert set(said) == {"summary", "description", "runbook_url", "dashboard_url"}
        for text in said.values():
            assert text
            assert not re.search(r"{{|}}|\$|<no value>|<error|%!|NaN|Inf", text), text
        for label in ("provider", "kind", "field"):
            assert labels.get(label, "") in said["description"]
        assert urlsplit(said["runbook_url"]).path == f"/runbook/{labels['alertname']}"
        link = urlsplit(said["dashboard_url"])
        assert link.path in [f"/d/{uid}" for uid in (identity.PROVIDER, identity.ACCOUNTS, identity.EXPORTER)]
        chosen = {name.removeprefix("var-"): values for name, values in parse_qs(link.query).items()}
        assert chosen == {name: [labels[name]] for name in chosen}
        assert chosen


SYMPTOMS = [
    (("VideoTaskFeedDown", "locked-out"), ("VideoTaskAuthFailing", "locked-out")),
    (("VideoTaskDataStale", "down"), ("VideoTaskFeedDown", "down")),
    (("VideoTaskNoSuccess", "broke"), ("VideoTaskBalanceExhausted", "broke")),
]


@pytest.mark.parametrize(("symptom", "cause"), SYMPTOMS, ids=lambda alert: "-".join(alert))
def test_a_cause_inhibits_its_symptom(stack: Stack, symptom: tuple[str, str], cause: tuple[str, str]) -> None:
    """By the example's rules: one outage is one message."""

    def named(name: str, provider: str) -> Iterator[dict[str, Any]]:
        for alert in stack.alertmanager.alerts:
            if (alert["labels"]["alertname"], alert["labels"].get("provider")) == (name, provider):
                yield alert

    def inhibited() -> bool:
        causes = [alert["fingerprint"] for alert in named(*cause)]
        symptoms = [alert["status"]["inhibitedBy"] for alert in named(*symptom)]
        return bool(symptoms) and all(set(by) & set(causes) for by in symptoms)

    wait_for(f"{symptom} being inhibited by {cause}", inhibited, patience=stack.patience, pause=0.2)


def test_every_rule_is_evaluated_without_an_error(stack: Stack, fired: list[dict[str, Any]]) -> None:
    rules = [rule for group in stack.prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in rules} >= {alert.title for alert in ALERTS.values()}
    assert [(rule["name"], rule["health"], rule.get("lastError", "")) for rule in rules if rule["health"] != "ok"] == []
