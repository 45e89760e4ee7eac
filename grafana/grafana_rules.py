"""The alerts as Grafana's file provisioning reads them; they need no rule of Prometheus'.

Format: https://grafana.com/docs/grafana/latest/alerting/set-up/provision-alerting-resources/file-provisioning/.
"""

from __future__ import annotations

import re
from typing import Any

from grafana.alert_panels import PANELS
from grafana.alerting import Alert
from grafana.alerts import alerts
from grafana.identity import DATASOURCE, FOLDER
from grafana.panels import identity
from grafana.recordings import Recordings
from grafana.thresholds import Thresholds, ThresholdsError, seconds

QUERY, CONDITION = "A", "B"
"""The parts of a rule: what is asked, and what is too much of it."""

STEP = 10
"""Seconds; Grafana evaluates groups at multiples of it."""

_LOOK_BACK = 600  # seconds; an instant query looks at their end only, but Grafana wants a range


def alerting_file(thresholds: Thresholds) -> dict[str, Any]:
    """The file of the alert rules. Raises ThresholdsError for an interval at which Grafana cannot evaluate."""
    if seconds(thresholds.evaluation_interval) % STEP:
        raise ThresholdsError(f"evaluation_interval: Grafana evaluates in steps of {STEP} seconds")
    recordings = Recordings(thresholds)
    groups = alerts(thresholds, recordings)
    recorded = {one.name: one.expr for one in recordings.all}
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": name,
                "folder": FOLDER,
                "interval": thresholds.evaluation_interval,
                "rules": [_rule(one, recorded, thresholds) for one in group],
            }
            for name, group in groups.items()
        ],
    }


def _rule(alert: Alert, recorded: dict[str, str], thresholds: Thresholds) -> dict[str, Any]:
    dashboard, _ = alert.about.value
    panel = identity(PANELS[alert.name])
    # Grafana's pages go by annotations, its provisioning by fields.
    place = {"__dashboardUid__": dashboard, "__panelId__": str(panel)}
    told = {key: _translated(text) for key, text in alert.annotations(thresholds).items()}
    return {
        "uid": f"videotask-{alert.name.replace('_', '-')}",
        "title": alert.title,
        "condition": CONDITION,
        "data": [_query(alert, recorded), _condition(alert)],
        # A query without a result is the good case: there is nothing to judge, or nothing wrong. That nothing is there
        # at all is what VideoTaskExporterAbsent asks.
        "noDataState": "OK",
        # That Prometheus cannot be asked says nothing about tasks, and twenty alerts about it are nineteen too many:
        # one of them fires, the others do not.
        "execErrState": "Error" if alert.name == "exporter_absent" else "OK",
        "for": alert.choice.hold,
        "dashboardUid": dashboard,
        "panelId": panel,
        "annotations": told | place,
        "labels": {"severity": alert.choice.severity},
        "isPaused": False,
    }


def _query(alert: Alert, recorded: dict[str, str]) -> dict[str, Any]:
    return {
        "refId": QUERY,
        "datasourceUid": DATASOURCE,
        "relativeTimeRange": {"from": _LOOK_BACK, "to": 0},
        "model": {
            "refId": QUERY,
            "datasource": {"type": "prometheus", "uid": DATASOURCE},
            "expr": re.sub(r"\b\w+:\w+:\w+\b", lambda match: f"({recorded[match[0]]})", alert.query),
            "instant": True,
            "range": False,
            "editorMode": "code",
        },
    }


def _condition(alert: Alert) -> dict[str, Any]:
    return {
        "refId": CONDITION,
        "datasourceUid": "__expr__",
        "relativeTimeRange": {"from": 0, "to": 0},
        "model": {
            "refId": CONDITION,
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "type": "threshold",
            "expression": QUERY,
            "conditions": [{"evaluator": {"type": "lt" if alert.below else "gt", "params": [alert.limit]}}],
        },
    }


def _translated(text: str) -> str:
    """A template of Prometheus in Grafana's dialect, where `$value` is a text about everything and no number."""
    return re.sub(r"\$value\b", f"$values.{QUERY}.Value", text)
