"""The goals that were set for the exporter's speed and size, measured.

    python -m benchmarks [NAME ...] [--quick] [--json FILE] [--publish]

Each benchmark runs in a process of its own, one after the other, so that none finds the memory or the threads of
another. A goal that is missed is shown as missed; the exit code is 1 only if a benchmark could not run. With
`--publish` the results become those of benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report
from benchmarks.goals import Result

BENCHMARKS = (
    "scrape",
    "blocking",
    "start",
    "delay",
    "json_exporter",
    "transport",
    "sweeps",
    "polling",
    "crowd",
    "elsewhere",
    "replicas",
    "history",
)
"""Modules of this folder, in the order of the table; what each measures is said at its head."""

RESULTS = Path(__file__).parent.parent / "build" / "benchmarks.json"


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks", description="Measures the exporter against its goals.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="only prove that they work; the figures mean nothing")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results are written")
    parser.add_argument("--publish", action="store_true", help="make them those of benchmarks/README.md")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # this process is the benchmark's own
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark has the name {', '.join(sorted(unknown))}")
    if arguments.publish and (arguments.quick or arguments.names):
        parser.error("only what all benchmarks measured in full is published")
    if arguments.alone:
        _write(arguments.json, _measured(arguments.names[0], quick=arguments.quick), quick=arguments.quick)
        return 0
    results: list[Result] = []
    failed: list[str] = []
    for name in arguments.names or BENCHMARKS:
        began = time.monotonic()
        found = _in_its_own_process(name, quick=arguments.quick)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        results += found or ()
        failed += [name] if found is None else []
    print(report.table(results))
    for name in failed:
        print(f"{name} could not be measured; why is said above", file=sys.stderr)
    _write(arguments.json, results, quick=arguments.quick)
    if arguments.publish and not failed:
        _write(report.PUBLISHED, results, quick=False)
        report.PAGE.write_text(report.page(json.loads(report.PUBLISHED.read_text())), encoding="utf-8")
    return 1 if failed else 0


def _in_its_own_process(name: str, *, quick: bool) -> list[Result] | None:
    """The results of one benchmark; None if it failed, which it has reported itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.json")
        command = [sys.executable, "-m", "benchmarks", name, "--alone", "--json", str(path)]
        if subprocess.run([*command, "--quick"] if quick else command, check=False).returncode:
            return None
        return report.from_json(json.loads(path.read_text())["results"])


def _measured(name: str, *, quick: bool) -> list[Result]:
    results: list[Result] = asyncio.run(importlib.import_module(f"benchmarks.{name}").run(quick))
    return results


def _write(path: Path, results: list[Result], *, quick: bool) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(report.as_json(results, quick=quick), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
