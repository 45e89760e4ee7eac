"""Killed with SIGKILL at any instant, again and again: no count goes back, and in the end all of them are the truth.

How much happens in a life depends on no machine: the vendors' clock goes on with the calls, and calls measure a life.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from starlette.types import Receive, Scope, Send

from exporter.simulator import SEEDS, Simulator, World, app, serve
from tests.harness import Exporter, Start, account

Scrape = dict[str, float]

AT_START = "while it starts, perhaps before it has opened the ledger"
ANY = "at any instant"
ON_AN_ANSWER = "when an answer has just come: had it been committed?"

pytestmark = pytest.mark.slow

SEEDS_OF_KILLS = (20, 21)
SILENCE = 120.0
"""Seconds without a call that are no matter of the machine."""
KILLS = 50
SPEED = 1000.0
A_CALL = 0.02
A_START = 0.5
"""Seconds by which the vendors' clock goes on with each call, and while the exporter is down."""
A_LIFE = 50
"""Calls after which it is killed at the latest."""
FEEDS = (
    ("deerapi", "sora"),
    ("chanjing", "lip_sync"),
    ("chanjing", "video"),
    ("huawei_metastudio", "digital_human"),
    ("facewap", "face_swap"),
)
COUNTED = re.compile(
    r"(?m)^(videotask_(?:finished_total|failures_total|unmeasured_durations_total|output_seconds_total"
    r"|history_gaps_total|unmapped_values_total|rejected_timestamps_total|ledger_losses_total"
    r"|(?:queue|run|total)_duration_seconds_(?:bucket|count|sum))(?:\{[^}]*\})?) (\S+)$"
)
"""Every sample of every counter and histogram of tasks."""


def settings(url: str, ledger: Path) -> dict[str, object]:
    """Every feed of every vendor at the simulator with this URL."""
    providers = [account(vendor, url) for vendor in SEEDS]
    return {"poll_interval": "50ms", "ledger": {"path": str(ledger)}, "providers": providers}


class Clock:
    """That of the vendors: it goes on when the test says so, and is never ahead of time."""

    def __init__(self) -> None:
        self._now = time.time()

    def __call__(self) -> float:
        return self._now

    def go_on(self, seconds: float) -> None:
        self._now = min(time.time(), self._now + seconds)


class Vendors:
    """All vendors, who count the calls, and do something soon after one of them."""

    def __init__(self, simulator: Simulator, clock: Clock, random: Random) -> None:
        self._simulator = simulator
        self._clock = clock
        self._random = random
        self._left = 0
        self._then: Callable[[], object] = lambda: None
        self.called = time.monotonic()

    def after(self, calls: int, then: Callable[[], object]) -> None:
        self._left, self._then = calls, then
        self.called = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        since, self.called = self.called, time.monotonic()
        self._clock.go_on(A_CALL)
        self._left -= 1
        if self._left == 0:
            threading.Timer(self._random.uniform(0, self.called - since), self._then).start()
        await self._simulator(scope, receive, send)

    def sweeps(self) -> int:
        """How often the first page of the list that was asked for least has been asked for, or more often."""
        return min(self._simulator.vendors[vendor].requests[f"{kind}/list"] for vendor, kind in FEEDS)


class Watcher:
    """Reads /metrics, and notes whatever went back since the time before."""

    def __init__(self) -> None:
        self.seen: Scrape = {}
        self.scrapes = 0
        self.went_back: list[str] = []

    def scrape(self, url: str, then: Callable[[], object] | None = None) -> bool:
        """Whether a whole answer came; what is to be done `then` is done before it is read."""
        try:
            with urllib.request.urlopen(f"{url}metrics", timeout=10) as answer:  # noqa: S310
                body = answer.read()
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            return False
        if then:
            then()
        now = {name: float(value) for name, value in COUNTED.findall(body.decode())}
        for name, before in self.seen.items():
            if name not in now or now[name] < before:
                self.went_back.append(f"{name}: {before} -> {now.get(name)}")
        self.seen = now
        self.scrapes += 1
        return True

    def value(self, metric: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        wanted = {f'{name}="{value}"' for name, value in labels.items()}
        named = ((name.partition("{")[0], set(re.findall(r'\w+="[^"]*"', name)), n) for name, n in self.seen.items())
        return sum(n for name, told, n in named if name == f"videotask_{metric}" and wanted <= told)


def address(exporter: Exporter) -> str | None:
    """Where it listens; None if it ended before it said so."""
    while exporter.process.poll() is None:
        found = re.search(r"msg=listening url=(http://\S+)\n", exporter.stderr)
        if found:
            return found[1]
        time.sleep(0.005)
    return None


def live_and_die(exporter: Exporter, watcher: Watcher, vendors: Vendors, random: Random, start: float) -> int:
    """Reads /metrics from the first instant to a kill at a random one; returns how often there was an answer.

    A start takes so many seconds, more or less.
    """
    before = watcher.scrapes
    instant = random.choices((AT_START, ANY, ON_AN_ANSWER), (1, 2, 3))[0]
    due = threading.Event()
    killer = threading.Timer(random.uniform(0, 2 * start), exporter.process.kill)
    if instant == AT_START:
        killer.start()
    else:
        vendors.after(random.randint(1, A_LIFE), due.set if instant == ON_AN_ANSWER else exporter.process.kill)
    url = address(exporter)
    while exporter.process.poll() is None and url is not None:
        watcher.scrape(url, exporter.process.kill if due.is_set() else None)
        assert time.monotonic() < vendors.called + SILENCE, f"it calls no vendor:\n{exporter.stderr}"
    exporter.process.wait()
    killer.cancel()
    return watcher.scrapes - before


@pytest.mark.parametrize("seed", SEEDS_OF_KILLS)  # two, since each takes a minute or two of one processor
def test_kills_at_random_instants_cost_no_count_and_double_none(start: Start, tmp_path: Path, seed: int) -> None:
    random, clock = Random(seed), Clock()
    world = World(seed, SPEED, clock, rate=0.2)
    vendors = Vendors(app(world, limits={}), clock, random)
    watcher = Watcher()
    config, ledger = tmp_path / "config.yaml", tmp_path / "ledger.sqlite3"
    seen_alive, counted_alive = 0, 0
    with serve(vendors) as served:
        config.write_text(json.dumps(settings(served.url, ledger)))  # which is YAML too
        flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0")
        # One that lives to read the history of every feed, which takes longer than the lives to come.
        began = time.monotonic()
        first = start(*flags)
        address(first)
        start_takes = time.monotonic() - began
        first.wait_for("the first sweeps", lambda: first.stderr.count("first sweep is complete") == len(FEEDS))
        first.process.kill()
        for _ in range(KILLS):
            clock.go_on(A_START)
            finished = watcher.value("finished_total")
            exporter = start(*flags)
            seen_alive += live_and_die(exporter, watcher, vendors, random, start_takes) > 0
            counted_alive += watcher.value("finished_total") > finished
            assert exporter.process.returncode == -9, exporter.stderr
            assert "level=error" not in exporter.stderr
            assert watcher.went_back == []

        world.stop_arrivals()
        exporter = start(*flags)
        exporter.wait_for("the end of all tasks", lambda: world.in_flight() == 0, moves=world.in_flight)
        truth = world.truth()
        submitted = sum(truth[provider][kind]["submitted"] for provider, kind in FEEDS)

        def counted() -> float:
            return watcher.value("finished_total")

        def has_counted_all() -> bool:
            return watcher.scrape(exporter.url) and counted() >= submitted

        exporter.wait_for("all ends being counted", has_counted_all, moves=counted)
        enough = vendors.sweeps() + 10
        exporter.wait_for("more sweeps, which count nothing", lambda: vendors.sweeps() >= enough, moves=vendors.sweeps)
        assert watcher.scrape(exporter.url)
        assert exporter.end() == 0

    assert watcher.went_back == []
    assert seen_alive > KILLS / 2
    assert counted_alive > KILLS / 2  # the kills came while tasks ended
    assert watcher.value("history_gaps_total") == 0
    unmapped = watcher.value("unmapped_values_total")
    assert unmapped == watcher.value("unmapped_values_total", field="reason")  # the vendors' words for failures alone
    assert 0 < unmapped <= watcher.value("failures_total", reason="unknown")
    assert watcher.value("ledger_losses_total") == 0
    for provider, kind in FEEDS:
        told, feed = truth[provider][kind], {"provider": provider, "kind": kind}
        for state, count in told["finished"].items():
            assert watcher.value("finished_total", **feed, state=state) == count, (feed, state)
        for reason, count in told["failures"].items():
            assert watcher.value("failures_total", **feed, reason=reason) == count, (feed, reason)
        assert watcher.value("output_seconds_total", **feed) == pytest.approx(told["output_seconds"], rel=1e-4)
        measured_ends = told["finished"]["succeeded"] + told["finished"]["failed"]
        for phase in ("run", "total"):
            # Each succeeded or failed task is measured once or counted once as unmeasured.
            measured = watcher.value(f"{phase}_duration_seconds_count", **feed)
            assert measured + watcher.value("unmeasured_durations_total", **feed, phase=phase) == measured_ends
            buckets = watcher.value(f"{phase}_duration_seconds_bucket", **feed, le="+Inf")
            assert buckets == measured
            if provider not in ("deerapi", "huawei_metastudio"):
                continue  # only these say when a task started and ended
            for state, undated in (("succeeded", 0), ("failed", told["undated"])):
                true = told["durations"][phase].get(state, {"count": 0, "whole_seconds": 0})
                measured = watcher.value(f"{phase}_duration_seconds_count", **feed, state=state)
                # An end that the vendor never dates is measured if the exporter was there to see it.
                assert true["count"] <= measured <= true["count"] + undated, (feed, phase, state)
                if provider == "deerapi" and not undated:  # its times are whole seconds
                    assert watcher.value(f"{phase}_duration_seconds_sum", **feed, state=state) == true["whole_seconds"]
