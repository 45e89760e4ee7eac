"""The dashboards."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from grafana.boards.accounts import accounts
from grafana.boards.exporter import exporter
from grafana.boards.models import models
from grafana.boards.overview import overview
from grafana.boards.provider import provider
from grafana.promql import CHOSEN, Scope


def dashboards(select: Scope = CHOSEN) -> list[Dashboard]:
    """All of them."""
    return [overview(select), provider(select), models(select), accounts(select), exporter(select)]
