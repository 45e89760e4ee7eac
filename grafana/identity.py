"""The fixed names under which Grafana and Prometheus know what is made here: links and bookmarks depend on them."""

from __future__ import annotations

OVERVIEW = "videotask-overview"
PROVIDER = "videotask-provider"
MODELS = "videotask-models"
ACCOUNTS = "videotask-accounts"
EXPORTER = "videotask-exporter"
"""The uids of the dashboards."""

DATASOURCE = "videotask-prometheus"
"""The uid of the datasource that is provisioned; dashboards do not use it, they have a variable."""

FOLDER = "Video tasks"
"""The folder in Grafana of the dashboards and of the alert rules."""

JOB = "videotask-exporter"
"""The job under which the examples and the compose stack let Prometheus scrape the exporter."""
