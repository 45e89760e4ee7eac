"""The table of faults in docs/reliability.md."""

from __future__ import annotations

from docs.tools.markdown import DOCS, table, with_part, words
from tests.simulator.matrix import MATRIX, Fault, Shown

SHOWN: dict[Shown, str] = {
    "withdrawn": "withdrawn after three intervals",
    "true": "true",
    "true a sweep later": "true",
    "unknown": "move to `unknown`",
    "as before": "stay as they were",
}
COUNTED: dict[Shown, str] = {
    "withdrawn": "stop",
    "true": "true",
    "true a sweep later": "true a sweep later",
    "unknown": "grow by what rows prove: an end time with a result or a reason",
    "as before": "new tasks wait for the next sweep",
}


def faults() -> str:
    """The table of faults."""
    shown = ("`up`", "`api_errors_total`", "`history_gaps_total`", "in-flight gauges", "task counters")
    by_effect: dict[tuple[str, ...], list[str]] = {}
    for fault in MATRIX:
        name, *effect = _fault(fault)
        by_effect.setdefault(tuple(effect), []).append(name)
    return "\n".join(table(("fault of a feed", *shown), (("; ".join(names), *one) for one, names in by_effect.items())))


def _fault(fault: Fault) -> tuple[str, ...]:
    kinds = [kind for _, kind in fault.feeds]
    every = dict.fromkeys(kind for one in MATRIX for _, kind in one.feeds)
    only = "" if len(kinds) == len(every) else f" ({words(kind for kind in every if kind in kinds)})"
    error = f"`{fault.error}` grows" if fault.error else "–"
    gaps = f"+{fault.gaps}" if fault.gaps else "–"
    return f"{fault.name}{only}", str(fault.up), error, gaps, SHOWN[fault.shown], COUNTED[fault.shown]


def page() -> str:
    """The page with the present table in it."""
    return with_part(DOCS / "reliability.md", "faults", faults())
