"""The rules as Prometheus reads them."""

from __future__ import annotations

from typing import Any

from grafana.alerting import Alert
from grafana.alerts import alerts
from grafana.recordings import Recordings
from grafana.thresholds import Thresholds


def recording_file(thresholds: Thresholds) -> dict[str, Any]:
    """The file of the recording rules."""
    recordings = Recordings(thresholds)
    alerts(thresholds, recordings)
    rules = [{"record": one.name, "expr": one.expr} for one in recordings.all]
    return {"groups": [_group("videotask-recordings", rules, thresholds)]}


def alerting_file(thresholds: Thresholds) -> dict[str, Any]:
    """The file of the alerts, which needs that of the recording rules beside it."""
    groups = alerts(thresholds, Recordings(thresholds))
    return {
        "groups": [
            _group(name, [_rule(one, thresholds) for one in group], thresholds) for name, group in groups.items()
        ]
    }


def _group(name: str, rules: list[dict[str, Any]], thresholds: Thresholds) -> dict[str, Any]:
    return {"name": name, "interval": thresholds.evaluation_interval, "rules": rules}


def _rule(alert: Alert, thresholds: Thresholds) -> dict[str, Any]:
    query = f"({alert.query})" if " " in alert.query else alert.query
    return {
        "alert": alert.title,
        "expr": f"{query} {'<' if alert.below else '>'} {alert.limit:.15g}",
        "for": alert.choice.hold,
        "labels": {"severity": alert.choice.severity},
        "annotations": alert.annotations(thresholds),
    }
