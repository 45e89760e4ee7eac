"""What a Prometheus would have kept of scrapes, written without waiting for them: samples with their times."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from grafana.identity import JOB

INSTANCE = "exporter:10186"

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_OF_THIS_PROCESS = ("process_", "python_")


class History:
    """Samples of one exporter in a file of OpenMetrics, which `promtool` makes blocks of Prometheus of."""

    def __init__(self, file: Path, started: float, instance: str = INSTANCE) -> None:
        """`started` is when the exporter was, in Unix seconds."""
        self._file = file
        self._out = file.open("w", encoding="utf-8")
        self._started = started
        self._target = f'job="{JOB}",instance="{instance}"'
        self._random = random.Random(1)

    def scrape(self, now: float, text: str) -> None:
        """What /metrics showed at an instant. What this process itself is like is made up: it lives too fast."""
        samples = [
            found.groups() for found in map(_SAMPLE.match, text.splitlines()) if found and found[1][:8] != "process_"
        ]
        for name, labels, value in samples:
            if not name.startswith(_OF_THIS_PROCESS):
                self._write(name, labels or "", value, now)
        age = now - self._started
        own = {
            "up": 1.0,
            "scrape_duration_seconds": self._random.uniform(0.004, 0.009),
            "scrape_samples_scraped": float(len(samples)),
            "process_start_time_seconds": self._started,
            "process_cpu_seconds_total": 2.0 + 0.018 * age,
            "process_resident_memory_bytes": 71e6 + 9e6 * min(1.0, age / 3600) + self._random.uniform(0, 4e5),
            "process_open_fds": 31.0 + self._random.randrange(4),
            "process_max_fds": 20_000.0,
        }
        for name, number in own.items():
            self._write(name, "", repr(number), now)
        for generation, every in enumerate((12.0, 130.0, 1500.0)):
            label = f'generation="{generation}"'
            self._write("python_gc_collections_total", label, repr(float(age // every)), now)

    def silent(self, now: float) -> None:
        """A scrape that nothing answered."""
        self._write("up", "", "0", now)

    def _write(self, name: str, labels: str, value: str, now: float) -> None:
        every = f"{self._target},{labels}" if labels else self._target
        self._out.write(f"{name}{{{every}}} {value} {now:.0f}\n")

    def close(self) -> Path:
        self._out.write("# EOF\n")
        self._out.close()
        return self._file


def blocks(promtool: str, histories: Iterable[Path], folder: Path) -> None:
    """Makes the data folder of a Prometheus of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in histories:
        command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(file), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
