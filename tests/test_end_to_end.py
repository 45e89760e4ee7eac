"""The whole way: simulated vendors, the exporter, a real Prometheus, and PromQL answers that equal the truth."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Exporter

    Start = Callable[..., Exporter]
    WaitFor = Callable[[str, Callable[[], object]], None]

Values = dict[tuple[str, ...], float]

pytestmark = pytest.mark.slow


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


class Prometheus:
    """A Prometheus of its own, that scrapes one exporter."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.at = 0.0
        """The Unix time that is asked about."""

    def look(self) -> None:
        """Asks from now on about a moment just past, whose scrape has come in by now and changes no more."""
        self.at = time.time() - 1.0

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=10) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError):
            return False

    def ask(self, query: str, *labels: str) -> Values:
        """What PromQL answers, by the values of labels."""
        told = get_json(f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': query, 'time': self.at})}")
        assert told["status"] == "success"
        rows = told["data"]["result"]
        return {tuple(row["metric"][label] for label in labels): float(row["value"][1]) for row in rows}

    def exemplars(self, query: str) -> list[Any]:
        period = {"query": query, "start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z"}
        found: list[Any] = get_json(f"{self._url}/api/v1/query_exemplars?{urllib.parse.urlencode(period)}")["data"]
        return found

    def targets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = get_json(f"{self._url}/api/v1/targets")["data"]["activeTargets"]
        return found


@pytest.fixture
def scraping(tmp_path: Path, program: Callable[[str], str], wait_for: WaitFor) -> Iterator[Callable[[str], Prometheus]]:
    """Starts a Prometheus that scrapes the exporter at an address."""
    command = program("prometheus")
    started: list[subprocess.Popen[bytes]] = []

    def start(target: str) -> Prometheus:
        folder = tmp_path / "prometheus"
        folder.mkdir()
        job = {"job_name": "videotask", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
        config = {"global": {"scrape_timeout": "1s"}, "scrape_configs": [job]}
        (folder / "prometheus.yml").write_text(json.dumps(config))  # which is YAML too
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        with (folder / "log").open("wb") as log:
            flags = {
                "config.file": folder / "prometheus.yml",
                "storage.tsdb.path": folder / "data",
                "web.listen-address": address,
                "enable-feature": "exemplar-storage",
            }
            listed = [f"--{name}={value}" for name, value in flags.items()]
            started.append(subprocess.Popen([command, *listed], stdout=log, stderr=log, cwd=folder))
        prometheus = Prometheus(f"http://{address}")
        wait_for("Prometheus being ready", lambda: started[-1].poll() is None and prometheus.is_ready())
        return prometheus

    yield start
    for process in started:
        process.terminate()
        process.wait(10)


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
    """Counts or sums of durations where the vendor gives the times: by provider, kind and state."""
    return {
        (provider, kind, state): truth[provider][kind]["durations"][phase].get(state, {}).get(what, 0)
        for provider, kind in (("deerapi", "sora"), ("huawei_metastudio", "digital_human"))
        for state in states
    }


def test_prometheus_tells_the_truth_about_the_demo(
    start: Start, scraping: Callable[[str], Prometheus], wait_for: WaitFor
) -> None:
    demo = start(
        "demo",
        "--web.listen-address=127.0.0.1:0",
        "--speed=60",
        "--poll-interval=500ms",
        "--arrivals-for=5s",
        "--seed=7",
    )
    prometheus = scraping(demo.url.removeprefix("http://").rstrip("/"))
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
    (target,) = prometheus.targets()
    assert (target["health"], target["lastError"]) == ("up", "")
    assert demo.end() == 0
    assert not re.search("level=(warn|error)", demo.stderr)
