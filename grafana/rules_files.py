"""The files of rules that are written from `alerts.py`, `recordings.py` and `thresholds.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from grafana import grafana_rules, prometheus_rules
from grafana.identity import JOB
from grafana.thresholds import Thresholds, load

HERE = Path(__file__).parent
RECORDINGS = HERE / "prometheus" / "rules" / "recordings.yaml"
ALERTS = HERE / "prometheus" / "rules" / "alerts.yaml"
GRAFANA_ALERTS = HERE / "provisioning" / "alerting" / "rules.yaml"
KUBERNETES_RULES = HERE.parent / "deploy" / "kubernetes" / "prometheusrule.yaml"
HELM_RULES = HERE.parent / "deploy" / "helm" / "videotask-exporter" / "rules.yaml"

_HEAD = (
    "# Written by `python -m grafana.generate` from grafana/alerts.py and grafana/thresholds.yaml; "
    "do not edit it here.\n"
)


def files(thresholds: Thresholds | None = None) -> dict[Path, str]:
    """What each file holds; by default for the thresholds beside this module. Raises ThresholdsError."""
    thresholds = thresholds or load()
    return {
        RECORDINGS: _written(prometheus_rules.recording_file(thresholds)),
        ALERTS: _written(prometheus_rules.alerting_file(thresholds)),
        GRAFANA_ALERTS: _written(grafana_rules.alerting_file(thresholds)),
        KUBERNETES_RULES: _written(_resource(thresholds)),
        HELM_RULES: _written(_resource(thresholds)["spec"]),
    }


def _resource(thresholds: Thresholds) -> dict[str, Any]:
    """The rules of both files of Prometheus as its operator for Kubernetes reads them."""
    files = prometheus_rules.recording_file(thresholds), prometheus_rules.alerting_file(thresholds)
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": JOB},
        "spec": {"groups": [group for file in files for group in file["groups"]]},
    }


def _written(content: dict[str, Any]) -> str:
    # Wide, so that no expression and no template is broken in two.
    return _HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=2**20)
