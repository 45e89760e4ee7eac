"""What Prometheus makes of a history: PromQL over the past is what happened at the simulated vendors."""

from __future__ import annotations

import subprocess
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from exporter.config.models import DURATION_BUCKETS
from exporter.simulator import Life
from exporter.tasks import State
from tests.harness import Door
from tests.stack import servers
from tests.stack.servers import Prometheus

from .past import HOURS, export, given, past_of

VENDORS = ("replicate", "kling", "deerapi", "chanjing")
RANGE = f"{HOURS + 1}h"


def quantile(share: float, lengths: Sequence[float]) -> float:
    """As histogram_quantile reckons it from the buckets of these lengths."""
    counts = Counter(bisect_left(DURATION_BUCKETS, length) for length in lengths)
    rank, below = share * len(lengths), 0
    for place, bound in enumerate(DURATION_BUCKETS):
        if below + counts[place] >= rank:
            start = DURATION_BUCKETS[place - 1] if place else 0.0
            return start + (bound - start) * (rank - below) / counts[place]
        below += counts[place]
    raise AssertionError("longer than the last bucket")


def test_promql_over_the_past_is_the_truth(door: Door, tmp_path: Path, program: Callable[..., str]) -> None:
    promtool, prometheus = program("promtool", "prometheus"), program("prometheus")
    site = past_of(door, *VENDORS)
    labels = {"job": "videotask-exporter", "instance": "history"}
    code, output, _ = export(tmp_path, *(given(site, vendor) for vendor in VENDORS), labels=labels)
    assert code == 0
    made = subprocess.run(
        [promtool, "tsdb", "create-blocks-from", "openmetrics", output, tmp_path / "data"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    flags = {"storage.tsdb.path": str(tmp_path / "data"), "storage.tsdb.retention.time": "30d"}
    with servers.served(prometheus, tmp_path / "prometheus", {}, flags) as address:
        asked = Prometheus(f"http://{address}")
        asked.at = float(output.read_text().rsplit(" ", 2)[-2].split("\n")[0])
        for vendor, kinds in site.world.truth().items():
            for kind, truth in kinds.items():
                _compare(asked, vendor, kind, truth["finished"], truth["failures"], site.world.listed((vendor, kind)))


def _compare(
    asked: Prometheus,
    vendor: str,
    kind: str,
    finished: dict[str, int],
    failures: dict[str, int],
    lives: Sequence[Life],
) -> None:
    of = f'provider="{vendor}",kind="{kind}"'
    for metric, label, truth in (("finished_total", "state", finished), ("failures_total", "reason", failures)):
        grown = asked.ask(f"sum by ({label}) (increase(videotask_{metric}{{{of}}}[{RANGE}]))", label)
        assert grown == pytest.approx({(value,): count for value, count in truth.items()})
    if vendor != "replicate":  # the others tell whole seconds, or no times
        return
    lasted = [life.run_seconds for life in lives if life.end is State.SUCCEEDED and life.run_seconds]
    run = f'{{{of},state="succeeded"}}[{RANGE}]'
    name = "videotask_run_duration_seconds"
    assert asked.ask(f"increase({name}_count{run})")[()] == pytest.approx(len(lasted))
    assert asked.ask(f"increase({name}_sum{run})")[()] == pytest.approx(sum(lasted), abs=0.01)
    for share in (0.5, 0.95):
        told = asked.ask(f"histogram_quantile({share}, sum by (le) (increase({name}_bucket{run})))")[()]
        assert told == pytest.approx(quantile(share, lasted), rel=0.01)
    # Half an hour in the middle, for all of the past is easily right.
    middle = asked.at - 5400
    ended = [life for life in lives if life.ends_at and middle - 1800 < life.ends_at <= middle]
    half_an_hour = asked.ask(f"sum(increase(videotask_finished_total{{{of}}}[30m] offset 90m))")[()]
    assert half_an_hour == pytest.approx(len(ended))
