"""What rules ask for, in PromQL: series summed over the labels that do not say whose they are.

Labels are dropped by `without`, so that those which Prometheus adds (job, instance, and whatever the scrape
configuration brings) stay, and sums of different metrics can be compared. Which ones to drop is in the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana.promql import EVERYWHERE, SERVED, Value

FEED = ("provider", "kind")
MODEL = (*FEED, "model")
ACCOUNT = ("provider",)
"""The labels that say whose tasks or calls are meant."""


@dataclass(frozen=True)
class Selected:
    """An expression over one metric, with the labels of that metric."""

    text: str
    labels: frozenset[str]


def now(metric: str, back: str = "", **labels: Value) -> Selected:
    """The values now, or so long ago as `back` says."""
    return _selected(metric, labels, "{}" + _offset(back))


def increase(metric: str, window: str, back: str = "", **labels: Value) -> Selected:
    """How much counters grew within a window that ends now, or so long ago as `back` says."""
    return _selected(metric, labels, f"increase({{}}[{window}]{_offset(back)})")


def total(*parts: Selected, of: tuple[str, ...] = FEED) -> str:
    """The sum of all that belongs to a feed, or to an account. Several metrics add up, and may be missing."""
    dropped = sorted(frozenset[str]().union(*(part.labels for part in parts)) - set(of))
    either = " or ".join(part.text for part in parts)
    if not dropped and len(parts) == 1:
        return either
    return f"sum without ({', '.join(dropped)}) ({either})"


def _offset(back: str) -> str:
    return f" offset {back}" if back else ""


def _selected(metric: str, labels: dict[str, Value], form: str) -> Selected:
    selector = EVERYWHERE(metric, **labels)
    name = selector.partition("{")[0]
    return Selected(form.replace("{}", selector), frozenset(SERVED[name].labels))
