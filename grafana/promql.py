"""Selectors of PromQL, made from the catalogue of metrics.

A metric, a label or a label's value that the exporter does not serve is an error while the files are generated, so that
a name changed in the code cannot live on in a dashboard or a rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.client.client import ENDPOINTS
from exporter.client.errors import CALL_ERRORS
from exporter.metrics.catalogue import (
    EXPORTER_METRICS,
    FEED_METRICS,
    PREFIX,
    PROVIDER_METRICS,
    REPLICA_METRICS,
    STATS,
    TASK_METRICS,
    Metric,
)
from exporter.tasks import UNITS, Clock, Field, Phase, Reason, State

STANDARD = {
    "up": "gauge",
    "scrape_duration_seconds": "gauge",
    "scrape_samples_scraped": "gauge",
    "process_cpu_seconds_total": "counter",
    "process_resident_memory_bytes": "gauge",
    "process_start_time_seconds": "gauge",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "python_gc_collections_total": "counter",
}
"""What Prometheus itself records of each target, and what every exporter in Python serves, by type."""

TARGET = ("job", "instance")
"""The labels that Prometheus gives to every series of a target."""

CLOSED: Mapping[str, frozenset[str]] = {
    "state": frozenset(State),
    "reason": frozenset(Reason),
    "phase": frozenset(Phase),
    "stat": frozenset(STATS),
    "field": frozenset(Field),
    "clock": frozenset(Clock),
    "unit": frozenset(UNITS),
    "endpoint": frozenset(ENDPOINTS),
    "error": frozenset(error.error for error in CALL_ERRORS),
}

_SUFFIXES = {
    "histogram": ("_bucket", "_count", "_sum"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
}

Value = str | tuple[str, ...]
"""What a label has to be: one text, or one of several."""


@dataclass(frozen=True)
class Series:
    """Series that can be selected: the type of their metric, and the labels that the exporter gives them."""

    type: str
    labels: tuple[str, ...]


def _served() -> dict[str, Series]:
    entries: list[tuple[Metric[Any], tuple[str, ...]]] = []
    entries += [(metric, ("provider", "kind", *metric.labels)) for metric in (*TASK_METRICS, *FEED_METRICS)]
    entries += [(metric, metric.labels) for metric in PROVIDER_METRICS]
    entries += [(metric, metric.labels) for metric in REPLICA_METRICS]
    entries += [(metric, metric.labels) for metric in EXPORTER_METRICS]
    series = {name: Series(type_, ()) for name, type_ in STANDARD.items()}
    for metric, labels in entries:
        for suffix in _SUFFIXES.get(metric.type, ("",)):
            more = ("le",) if suffix == "_bucket" else ()
            series[f"{PREFIX}{metric.name}{suffix}"] = Series(metric.type, (*labels, *more))
    return series


SERVED = _served()
"""Every series that can be asked for, by its full name."""


@dataclass(frozen=True)
class Scope:
    """Selects series, always narrowed by the same regular expressions: those of `within` whose label a series has."""

    within: Mapping[str, str] = field(default_factory=dict)
    served: Mapping[str, Series] = field(default_factory=lambda: SERVED, repr=False)

    def __call__(self, metric: str, **labels: Value) -> str:
        """A selector. Raises LookupError for what is not in the catalogue.

        `metric` is named without our prefix; "up" is Prometheus' own, ours needs its full name.
        """
        name = metric if metric in STANDARD or metric.startswith(PREFIX) else PREFIX + metric
        if name not in self.served:
            raise LookupError(f"no metric {name!r} in the catalogue")
        known = self.served[name].labels
        matchers = [
            f'{label}=~"{pattern}"'
            for label, pattern in self.within.items()
            if label not in labels and (label in TARGET or label in known)
        ]
        for label, value in labels.items():
            if label not in (*known, *TARGET):
                raise LookupError(f"no label {label!r} of {name!r} in the catalogue")
            values = (value,) if isinstance(value, str) else value
            if unknown := set(values) - CLOSED.get(label, frozenset(values)):
                raise LookupError(f"no value {min(unknown)!r} of the label {label!r} in the catalogue")
            matchers.append(f'{label}="{value}"' if isinstance(value, str) else f'{label}=~"{"|".join(value)}"')
        return f"{name}{{{','.join(matchers)}}}" if matchers else name


EVERYWHERE = Scope()
"""For rules: no narrowing."""

CHOSEN = Scope({label: f"${label}" for label in (*TARGET, "provider", "kind")})
"""For dashboards: narrowed by their variables."""

EACH_INTERVAL = "$__rate_interval"
"""How far a rate looks back at each point of a graph: Grafana makes it long enough for a few scrapes."""

WHOLE_RANGE = "$__range"
"""The time range that a dashboard shows."""

AT_END = " @ end()"
"""A modifier: as it is at the end of that range."""


def by(*labels: str) -> str:
    """The grouping clause of an aggregation."""
    return f"by ({', '.join(labels)})"


RANKS = 8
"""Of how many series a graph of feeds, models or accounts tells each from the others."""

_GROWN = re.compile(r"(?:rate|increase)\((\w+\{[^}]*\})\[\$__\w+\]\)")
_SELECTED = re.compile(r"\w+\{[^}]*\}(?![\[}])")


def ranks(expr: str, lowest: bool = False) -> list[str]:
    """What narrows a query to the series of each rank: the first to that of the highest, or the lowest, value here."""
    first = "bottomk" if lowest else "topk"
    others = (f" unless {first}({before}, {expr})" if before else "" for before in range(RANKS))
    return [f"and {first}(1, {expr}{unless})" for unless in others]


def at_end(expr: str) -> str:
    """An expression with one value for the whole time range: of gauges the mean, of counters what they grew.

    To what they grew a trace of the counters themselves is added: few numbers are alike then, and none shares a rank.
    """
    window = f"[{WHOLE_RANGE}]{AT_END}"
    means = _SELECTED.sub(lambda found: f"avg_over_time({found[0]}{window})", expr)
    return _GROWN.sub(lambda found: f"(increase({found[1]}{window}) + 1e-9 * avg_over_time({found[1]}{window}))", means)
