"""What was measured of memory and processor, in docs/performance.md, out of benchmarks/results.json."""

from __future__ import annotations

import json
import re

from docs.tools.markdown import DOCS, table, with_part

SHARE = "exporter's share of a processor"
MEMORY = (
    "memory with a ledger of 1,000,000 ended tasks",
    "memory, 100,000 tasks in flight",
    "exporter's memory",
    "memory, 1,000,000 tasks in flight",
)
"""Measured figures, the least first."""


def page() -> str:
    """The page with the figures of the last published run in it."""
    results = json.loads((DOCS.parent / "benchmarks" / "results.json").read_text(encoding="utf-8"))["results"]
    figures = {one["measured"]["name"]: (one["value"], one["measured"]["note"]) for one in results}
    rows = []
    for name in MEMORY:
        value, note = figures[name]
        processor = f"{figures[SHARE][0]:.0f} % of a core" if name == "exporter's memory" else "–"
        rows.append((note or re.sub("^memory(, | with )", "", name), f"{value:.0f} MiB", processor))
    return with_part(
        DOCS / "performance.md", "what was measured", "\n".join(table(("with", "memory", "processor"), rows))
    )
