"""Orbit end to end: declared in YAML from its page alone, polled through faults and restarts, every counter exact."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import HandClock
from tests.declared.fake_orbit import KEY, Orbit, Truth, lives, served
from tests.harness import NOW, STEP, Rig, Start, load, wait_for

STATES = {"READY": "succeeded", "BROKEN": "failed", "ABORTED": "cancelled", "QUEUING": "queued", "WORKING": "running"}

CONFIG = """\
vendors:
  orbit:
    title: Orbit
    credentials: [orbit_key]
    auth: {{type: header, name: X-Orbit-Key}}
    answer: {{ok: ok, code: err.no, text: err.say}}
    feeds:
      video:
        list:
          path: /api/jobs
          query: {{limit: "{{page_size}}", after: "{{cursor}}"}}
          rows: result.jobs
          where: job.kind == 'video'
          paging: {{type: cursor, next: result.after}}
        detail:
          path: /api/jobs/{{id}}
          row: result.job
          missing: {{code: ["44"]}}
          fills: [reason]
        fields:
          id: job.uid
          state: job.phase
          progress: job.done
          submitted: when.in
          started: when.go
          ended: when.out
          output: clip.len
          code: job.why.code
          text: job.why.say
        states:
          queued: [QUEUING]
          running: [WORKING]
          succeeded: [READY]
          failed: [BROKEN]
          cancelled: [ABORTED]
        reasons:
          moderation: [ORB-UNSAFE]
          insufficient_balance: [^ORB-CREDIT]
          provider_internal: [ORB-GPU]
          rate_limited: ["29"]
          auth: ["1"]
providers:
  - {{name: o, type: orbit, base_url: "{url}", orbit_key: {key}, rate_limit: 2000/s, request_timeout: {timeout}}}
poll_interval: {interval}
history: 1h
ledger: {{path: {ledger}}}
"""


def config(folder: Path, url: str, interval: str = "15s", timeout: str = "10s") -> Path:
    path = folder / "config.yaml"
    ledger = folder / "ledger.sqlite3"
    path.write_text(CONFIG.format(url=url, key=KEY, interval=interval, timeout=timeout, ledger=ledger))
    return path


@pytest.fixture
def orbit() -> Iterator[tuple[Orbit, str]]:
    """Jobs of the last two days, and of the hour that comes."""
    clock = HandClock(NOW)
    jobs = [
        *lives(1, 40, NOW - 172_800, 60, 120),
        *lives(2, 120, NOW - 3000, 20, 90),
        *lives(3, 300, NOW, 10, 240),
    ]
    orbit = Orbit(clock, jobs)
    with served(orbit.app) as url:
        yield orbit, url


class Account:
    """The provider as the configuration describes it, swept by hand; `restart` begins again on the same ledger."""

    def __init__(self, path: Path, clock: HandClock) -> None:
        self._path = path
        self._clock = clock

    async def start(self) -> None:
        read = load(self._path)
        self.rig = Rig(self._clock, read.ledger.path)
        self.rig.add(read.providers[0], read.types)
        self.rig.pass_pauses()
        self.loop = self.rig.loop

    async def stop(self) -> None:
        await self.rig.aclose()

    async def sweep(self) -> None:
        await self.rig.sweep(after=STEP)

    async def sweep_and_die(self, after: float) -> None:
        """Ends in the middle of a sweep, as a process does that is killed."""
        self._clock.now += STEP
        sweep = asyncio.create_task(self.loop.sweep())
        await asyncio.sleep(after)
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
        await self.stop()

    def seen(self) -> Truth:
        """What the exporter makes of it, in Orbit's words."""
        words = {state: word for word, state in STATES.items()}
        counts = self.loop.tracker.counts

        def by(metric: str, *more: str) -> dict[str, int]:
            return {key[1]: int(count) for key, count in counts.items() if key[0] == metric and key[2:] == more}

        in_flight: dict[str, int] = {}
        for task in self.loop.tracker.in_flight.values():
            in_flight[words[task.state]] = in_flight.get(words[task.state], 0) + 1
        return Truth(
            ends={words[state]: count for state, count in by("finished_total").items()},
            reasons=by("failures_total"),
            output_seconds=int(counts["output_seconds_total",]),
            queue_seconds=int(counts["queue_duration_seconds", "sum"]),
            run_seconds={words[state]: total for state, total in by("run_duration_seconds", "sum").items()},
            total_seconds={words[state]: total for state, total in by("total_duration_seconds", "sum").items()},
            in_flight=in_flight,
        )

    def other_counts(self) -> dict[str, float]:
        odd = ("history_gaps_total", "unmapped_values_total", "rejected_timestamps_total", "unmeasured_durations_total")
        return {key[0]: count for key, count in self.loop.tracker.counts.items() if key[0] in odd}


async def test_every_counter_is_exact_in_fair_weather(orbit: tuple[Orbit, str], tmp_path: Path) -> None:
    vendor, url = orbit
    account = Account(config(tmp_path, url), vendor.clock)  # type: ignore[arg-type]
    await account.start()
    first = vendor.clock() + STEP
    for turn in range(230):
        await account.sweep()
        if turn % 10 == 0:
            assert account.seen() == vendor.truth(first - 3600)
    assert account.seen() == vendor.truth(first - 3600)
    assert account.seen().in_flight == {}
    assert sum(account.seen().ends.values()) > 350
    assert account.other_counts() == {}
    await account.stop()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_every_counter_is_exact_through_faults_and_restarts(
    orbit: tuple[Orbit, str], tmp_path: Path, seed: int
) -> None:
    vendor, url = orbit
    clock: Any = vendor.clock
    vendor._lot, lot = random.Random(seed), random.Random(seed)
    account = Account(config(tmp_path, url, timeout="1s"), clock)
    await account.start()
    await account.sweep()
    first = clock.now
    for turn in range(240):
        vendor.storms = 0.15 if turn % 40 < 25 else 0.0
        before = account.seen().ends
        match lot.random():
            case chance if chance < 0.05:
                await account.sweep_and_die(lot.uniform(0, 0.1))
                await account.start()
            case chance if chance < 0.1:
                await account.stop()
                clock.now += lot.uniform(0, 600)  # nobody looks for a while
                await account.start()
                await account.sweep()
            case _:
                await account.sweep()
        after = account.seen().ends
        assert all(after.get(end, 0) >= count for end, count in before.items())
    vendor.storms = 0.0
    for _ in range(12):
        await account.sweep()
    truth, seen = vendor.truth(first - 3600), account.seen()
    assert (seen.ends, seen.reasons) == (truth.ends, truth.reasons)
    assert seen == truth
    assert truth.in_flight == {}
    assert account.other_counts() == {}
    assert vendor.faults.total() > 20
    await account.stop()


def test_the_doctor_tells_what_orbit_says_and_no_credential(
    orbit: tuple[Orbit, str], start: Start, tmp_path: Path
) -> None:
    vendor, url = orbit
    vendor.clock.now = time.time()  # type: ignore[attr-defined]
    vendor.jobs = lives(4, 30, time.time() - 300, 5, 60)
    path = config(tmp_path, url, timeout="5s")
    exporter = start("doctor", f"--config.file={path}", "--json")
    assert exporter.process.wait(60) == 0, exporter.stderr + exporter.stdout
    report = json.loads(exporter.stdout)
    (feed,) = report["feeds"]
    assert feed["understood"]["rows"] > 10
    assert feed["understood"]["broken"] == {}
    assert KEY not in exporter.stdout + exporter.stderr
    # The same where the key goes into the query, and is refused.
    path.write_text(path.read_text().replace("type: header, name: X-Orbit-Key", "type: query, name: api"))
    exporter = start("doctor", f"--config.file={path}")
    assert exporter.process.wait(60) == 1
    assert "auth" in exporter.stdout
    assert "/api/jobs?limit=50" in exporter.stdout
    assert KEY not in exporter.stdout + exporter.stderr


SERIES = re.compile(r"(?m)^videotask_(\w+)\{([^}]*)\} (\S+)$")


def metrics(body: str) -> dict[str, dict[str, int]]:
    """The values of the feed's series by name and the one label that tells them apart."""
    found: dict[str, dict[str, int]] = {}
    for name, labels, value in SERIES.findall(body):
        told = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        label = told.get("state") or told.get("reason") or ""
        if "le" not in told:
            found.setdefault(name, {})[label] = int(float(value))
    return found


@pytest.mark.slow
def test_the_real_process_counts_exactly_though_it_is_killed(start: Start, tmp_path: Path) -> None:
    began = time.time()
    vendor = Orbit(time.time, [*lives(5, 60, began - 600, 8, 100), *lives(6, 80, began + 2, 0.25, 6)], hang=2.0)
    with served(vendor.app) as url:
        path = config(tmp_path, url, interval="300ms", timeout="600ms")
        path.write_text(path.read_text().replace("type: header, name: X-Orbit-Key", "type: query, name: key"))
        vendor.storms = 0.1
        arguments = f"--config.file={path}", "--web.listen-address=127.0.0.1:0", "--log.level=debug"
        exporter = start(*arguments)
        exporter.wait_for("its first sweep", lambda: re.search(r"(?m)^videotask_up{.*} 1", exporter.get("metrics")))
        told = ""
        for _ in range(3):
            calls = vendor.calls.total()
            exporter.wait_for("some sweeps", lambda calls=calls: vendor.calls.total() > calls + 40)  # type: ignore[misc]
            told += exporter.get() + exporter.get("api/v1/providers") + exporter.stderr
            exporter.process.kill()
            exporter.process.wait()
            exporter = start(*arguments)
            _ = exporter.url
        vendor.storms = 0.0
        wait_for("all jobs to end", lambda: vendor.truth(began - 3600).in_flight == {} and time.time() > began + 25)
        truth = vendor.truth(began - 3600)

        def shown() -> dict[str, dict[str, int]]:
            return metrics(exporter.get("metrics"))

        ends = {STATES[end]: count for end, count in truth.ends.items()}
        exporter.wait_for(
            "every end", lambda: shown().get("finished_total", {}) | ends == shown().get("finished_total")
        )
        found = shown()
        told += exporter.get("metrics") + exporter.get() + exporter.stderr
        assert exporter.end() == 0
    assert {state: count for state, count in found["finished_total"].items() if count} == ends
    assert {reason: count for reason, count in found["failures_total"].items() if count} == truth.reasons
    assert found["output_seconds_total"] == {"": truth.output_seconds}
    assert found["queue_duration_seconds_sum"] == {"": truth.queue_seconds}
    for end, total in truth.run_seconds.items():
        assert found["run_duration_seconds_sum"][STATES[end]] == total
    for end, total in truth.total_seconds.items():
        assert found["total_duration_seconds_sum"][STATES[end]] == total
    assert not any(found["tasks"].values())
    assert KEY not in told
    assert "harbour" not in told
    assert "timeout" in told  # what failed is there to be seen
