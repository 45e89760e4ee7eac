"""Results as a table on the screen, as JSON, and in docs/performance.md.

    python -m benchmarks.report

It writes the table of docs/performance.md, from docs/performance.json.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.goals import Goal, Result

DOCS = Path(__file__).parent.parent / "docs"
PUBLISHED = DOCS / "performance.json"
PAGE = DOCS / "performance.md"
BEGIN, END = "<!-- results: written by make bench -->", "<!-- end of results -->"

HEAD = ("what", "measured", "compared with", "ratio", "goal", "met")
SIGNS = {"at most": "≤", "at least": "≥"}
MET = {True: "yes", False: "NO", None: ""}


def as_json(results: Iterable[Result], *, quick: bool) -> dict[str, Any]:
    """All that was measured, each run, and on what."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory()}, {platform.system()}",
        "python": platform.python_version(),
        "quick": quick,
        "results": [
            {"value": one.value, "ratio": one.ratio, "met": one.met, "measured": asdict(one)} for one in results
        ],
    }


def from_json(results: Sequence[dict[str, Any]]) -> list[Result]:
    """The results that `as_json` made this of."""
    raw = [one["measured"] for one in results]
    return [Result(**(one | {"goal": Goal(**one["goal"]) if one["goal"] else None})) for one in raw]


def table(results: Iterable[Result]) -> str:
    """For the screen."""
    rows = [HEAD, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def markdown(results: Iterable[Result]) -> str:
    """For a page."""
    return "\n".join(f"|{'|'.join(cells)}|" for cells in (HEAD, ["---"] * len(HEAD), *map(_row, results)))


def page(published: dict[str, Any]) -> str:
    """docs/performance.md with these results in it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    where = f"Measured {published['date']} on {published['machine']}, Python {published['python']}."
    results = markdown(from_json(published["results"]))
    return f"{before}{BEGIN}\n{where}\n\n{results}\n{END}{rest.partition(END)[2]}"


def _row(one: Result) -> tuple[str, ...]:
    name = f"{one.name} ({one.note})" if one.note else one.name
    if one.value is None:
        return (name, "not measured", one.baseline, "", _wanted(one), "")
    compared = f"{_number(one.baseline_value)} {one.unit}, {one.baseline}" if one.baseline_value is not None else ""
    ratio = _ratio(one.ratio) if one.ratio is not None else ""
    return (name, f"{_number(one.value)} {one.unit}", compared, ratio, _wanted(one), MET[one.met])


def _wanted(one: Result) -> str:
    if one.goal is None:
        return ""
    limit = f"{_ratio(one.goal.limit)} of that" if one.goal.of_baseline else f"{_number(one.goal.limit)} {one.unit}"
    return f"{SIGNS[one.goal.sense]} {limit}"


def _number(value: float | None) -> str:
    """Three digits are more than a noisy machine can vouch for."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(value: float) -> str:
    return f"1/{1 / value:,.0f}" if 0 < value < 0.1 else f"{value:.3g}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB"


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(PUBLISHED.read_text(encoding="utf-8"))), encoding="utf-8")
