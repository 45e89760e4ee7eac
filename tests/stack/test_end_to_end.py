"""The whole way: simulated vendors, the exporter, a real Prometheus, and PromQL answers that equal the truth."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Start, wait_for

from . import servers
from .servers import Values, get_json

pytestmark = pytest.mark.slow

FEEDS = (
    ("deerapi", "sora"),
    ("chanjing", "lip_sync"),
    ("chanjing", "video"),
    ("huawei_metastudio", "digital_human"),
    ("facewap", "face_swap"),
)


def expected(truth: Any, what: str) -> Values:
    """A part of the truth as PromQL would answer it: by provider, kind and one more label."""
    return {(provider, kind, name): n for provider, kind in FEEDS for name, n in truth[provider][kind][what].items()}


def measured(truth: Any, phase: str, states: tuple[str, ...], what: str) -> Values:
    """Counters or sums of durations where the vendor gives the times: by provider, kind and state."""
    return {
        (provider, kind, state): truth[provider][kind]["durations"][phase].get(state, {}).get(what, 0)
        for provider, kind in (("deerapi", "sora"), ("huawei_metastudio", "digital_human"))
        for state in states
    }


def test_prometheus_tells_the_truth_about_the_demo(start: Start, program: Callable[..., str], tmp_path: Path) -> None:
    command = program("prometheus")
    demo = start(
        "demo",
        "--web.listen-address=127.0.0.1:0",
        "--speed=60",
        "--poll-interval=500ms",
        "--arrivals-for=5s",
        "--seed=7",
        "--vendors=seeds",
    )
    target = demo.url.removeprefix("http://").rstrip("/")
    with servers.prometheus(command, tmp_path / "prometheus", {"videotask": [target]}) as prometheus:
        (place,) = re.findall(r"(?m)^  the truth +(http://\S+)", demo.stdout)

        def has_ended() -> bool:
            truth = get_json(place)
            submitted = sum(truth[provider][kind]["submitted"] for provider, kind in FEEDS)
            finished = sum(expected(truth, "finished").values())
            if sum(expected(truth, "in_flight").values()) or submitted != finished:
                return False
            prometheus.look()
            queries = ("sum(videotask_finished_total)", "sum(videotask_tasks)", "count(videotask_tasks)")
            return [prometheus.ask(query) for query in queries] == [{(): finished}, {(): 0}, {(): 4 * len(FEEDS)}]

        wait_for("the end of all tasks, seen by Prometheus", has_ended)
        truth = get_json(place)
        labels = ("provider", "kind")
        assert prometheus.ask("videotask_finished_total", *labels, "state") == expected(truth, "finished")
        assert prometheus.ask("videotask_failures_total", *labels, "reason") == expected(truth, "failures")
        assert prometheus.ask("videotask_tasks", *labels, "state") == expected(truth, "in_flight")
        assert prometheus.ask("min(videotask_up)") == {(): 1}
        assert prometheus.ask("sum(videotask_history_gaps_total)") == {(): 0}

        output = {(provider, kind): truth[provider][kind]["output_seconds"] for provider, kind in FEEDS}
        assert prometheus.ask("videotask_output_seconds_total", *labels) == pytest.approx(output, rel=1e-4)

        ends = ("succeeded", "failed")
        for phase in ("run", "total"):
            with_times = f'videotask_{phase}_duration_seconds_%s{{provider=~"deerapi|huawei_metastudio"}}'
            count = prometheus.ask(with_times % "count", *labels, "state")
            assert count == measured(truth, phase, ends, "count")
            assert sum(count.values()) > 0
            # DeerAPI's times are whole seconds, each cut off.
            seconds = prometheus.ask(with_times % "sum", *labels, "state")
            for key, value in measured(truth, phase, ends, "whole_seconds").items():
                if key[0] == "deerapi":
                    assert seconds[key] == value

        # Each succeeded or failed task is either measured or counted as unmeasured, in every phase.
        ended = prometheus.ask('sum by (provider, kind) (videotask_finished_total{state=~"succeeded|failed"})', *labels)
        unmeasured = prometheus.ask("videotask_unmeasured_durations_total", *labels, "phase")
        for phase in ("run", "total"):
            counted = prometheus.ask(f"sum by (provider, kind) (videotask_{phase}_duration_seconds_count)", *labels)
            assert {key: counted[key] + unmeasured[*key, phase] for key in FEEDS} == ended

        assert prometheus.exemplars("videotask_total_duration_seconds_bucket")
        (scraped,) = prometheus.targets()
        assert (scraped["health"], scraped["lastError"]) == ("up", "")
        assert demo.end() == 0
        assert not re.search("level=(warn|error)", demo.stderr)
