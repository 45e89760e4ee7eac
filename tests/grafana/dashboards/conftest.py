"""A dashboard as Grafana reads it, with what tests ask of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grafana.boards import frame

DASHBOARDS = Path(__file__).parents[3] / "grafana" / "dashboards"

SUBSTITUTES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$job": ".+",
    "$instance": ".+",
    "$provider": ".+",
    "$kind": ".+",
}
"""What Grafana would put for the variables if all is chosen."""


@dataclass
class Board:
    """The model of a dashboard."""

    model: dict[str, Any]

    @property
    def uid(self) -> str:
        return str(self.model["uid"])

    @property
    def panels(self) -> list[dict[str, Any]]:
        """Without headings; with what is in closed rows."""
        every = [one for panel in self.model["panels"] for one in (panel, *panel.get("panels", []))]
        return [panel for panel in every if panel["type"] != "row"]

    @property
    def targets(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Each query with its panel."""
        for panel in self.panels:
            for target in panel.get("targets", []):
                yield panel, target

    @property
    def exprs(self) -> list[str]:
        """Every expression of PromQL, those of the variables' queries as well."""
        queries = [target["expr"] for _, target in self.targets]
        marks = [mark["expr"] for mark in self.model["annotations"]["list"]]
        return [*queries, *marks, *(variable_selector(each) for each in self.variables if each["type"] == "query")]

    @property
    def variables(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.model["templating"]["list"]
        return found


def variable_selector(variable: dict[str, Any]) -> str:
    """The selector in label_values(selector, label), the only kind of query that the variables use."""
    found = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"])
    assert found, variable["query"]
    return found[1]


def substituted(expr: str) -> str:
    """An expression as Prometheus gets it."""
    return re.sub(r"\$\w+", lambda found: SUBSTITUTES[found[0]], expr)


@pytest.fixture(params=sorted(frame.TITLES))
def board(request: pytest.FixtureRequest) -> Board:
    """Each dashboard that is checked in."""
    return Board(json.loads((DASHBOARDS / f"{request.param}.json").read_text(encoding="utf-8")))
