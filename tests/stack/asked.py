"""What the checked-in dashboards ask, as Grafana would send it to Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grafana
from exporter.config.values import seconds_of

_GRAFANA = Path(grafana.__file__).parent
DASHBOARDS = sorted((_GRAFANA / "dashboards").glob("*.json"))
DATASOURCES = _GRAFANA / "provisioning" / "datasources" / "videotask.yaml"

RANGE = 3600
"""Seconds that the dashboards are made to show, up to now."""
SCRAPE_INTERVAL = 15
"""Seconds; what the provisioned datasource says."""
STEP = 15
"""Seconds between two points, where a panel wants them no wider."""

Choice = Mapping[str, Sequence[str]]
"""What is chosen in the variables; those that are missing are at "All"."""
ALL: Choice = {}


@dataclass(frozen=True)
class Query:
    """One target of a panel."""

    dashboard: str
    panel: str
    ref: str
    expr: str
    instant: bool
    legend: str
    format: str
    exemplars: bool
    step: int
    """Seconds between two points."""

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel} {self.ref}"

    @property
    def legend_labels(self) -> set[str]:
        return set(re.findall(r"{{\s*(\w+)\s*}}", self.legend))


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, also those in collapsed rows."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries() -> list[Query]:
    """Those of all panels of all dashboards."""
    return [
        Query(
            dashboard=path.stem,
            panel=panel["title"],
            ref=target["refId"],
            expr=target["expr"],
            instant=target.get("instant", False),
            legend=target.get("legendFormat", ""),
            format=target.get("format", "time_series"),
            exemplars=target.get("exemplar", False),
            step=max(STEP, round(seconds_of(panel.get("interval", "0s")))),
        )
        for path in DASHBOARDS
        for panel in panels(load(path))
        for target in panel.get("targets", [])
        if not re.fullmatch(r"[A-Z][2-9]", target["refId"])  # a lower rank asks like the first
    ]


def marks() -> list[tuple[str, str]]:
    """The dashboards' marks in time: dashboard and expression."""
    return [(path.stem, each["expr"]) for path in DASHBOARDS for each in load(path)["annotations"]["list"]]


def variables() -> list[tuple[str, str, str, str]]:
    """The variables that Prometheus answers: dashboard, name, the selector of series, and the label asked for."""
    found = []
    for path in DASHBOARDS:
        for variable in load(path)["templating"]["list"]:
            if variable["type"] == "query":
                query = variable["query"]
                text = query["query"] if isinstance(query, dict) else query
                asked = re.fullmatch(r"label_values\((.+), *(\w+)\)", text)
                assert asked, f"{path.stem}: ${variable['name']} asks {text}"
                found.append((path.stem, variable["name"], asked[1], asked[2]))
    return found


def interpolated(expr: str, choice: Choice, step: int = STEP) -> str:
    """An expression with the variables filled in, as Grafana's Prometheus datasource does it."""
    built_in = {
        "__range": f"{RANGE}s",
        "__range_s": f"{RANGE}",
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step + SCRAPE_INTERVAL, 4 * SCRAPE_INTERVAL)}s",
    }

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return built_in.get(name) or _chosen(choice.get(name, ()))

    filled = re.sub(r"\$(?:(\w+)|{(\w+)(?::regex)?})", value, expr)
    assert not re.search(r"\$|\[\[", filled), f"a variable is left in {filled}"
    return filled


def _chosen(values: Sequence[str]) -> str:
    """The variables' own value for "All", or the chosen ones as a regular expression within a PromQL string."""
    escaped = [re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value) for value in values]
    if not escaped:
        return ".+"
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
