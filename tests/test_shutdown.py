"""Signals at bad moments: the end and the reload, as processes of their own on simulated vendors."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.config.models import PollSettings
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sweep import Sweep
from exporter.simulator import (
    FACE_SWAP,
    LIP_SYNC,
    SORA,
    VIDEO,
    Life,
    World,
    hang,
)
from exporter.tasks import Clock, Observation, State
from tests.harness import Door, Exporter, Site, Start, made

ROOT = Path(__file__).parent.parent
PROMISED = 5.0
"""Seconds within which a SIGTERM ends the exporter."""
MANY = 20_000
"""Tasks whose commit takes long enough to be hit."""
INTERVAL = 0.5


@pytest.fixture
def busy_vendors(door: Door) -> Site:
    """Vendors with a few tasks a second, each of a few seconds."""
    world = World(seed=7, speed=100, rate=0.5, feeds=[SORA, LIP_SYNC, VIDEO, FACE_SWAP])
    door.behind = site = Site(world, door.url)
    return site


def asked(site: Site, vendor: str) -> int:
    """How often a vendor was asked for anything."""
    return site.fake.vendors[vendor].requests.total()


def write(folder: Path, *providers: dict[str, object], interval: float = 0.05) -> None:
    settings = {
        "poll_interval": f"{interval * 1000:.0f}ms",
        "request_timeout": "60s",
        "ledger": {"path": str(folder / "ledger.sqlite3")},
        "providers": providers,
    }
    (folder / "new.yaml").write_text(json.dumps(settings))  # which YAML understands
    (folder / "new.yaml").replace(folder / "config.yaml")  # nobody ever sees half of it


def run(start: Start, folder: Path, **environment: str) -> Exporter:
    return start(f"--config.file={folder}/config.yaml", "--web.listen-address=127.0.0.1:0", **environment)


def value(exporter: Exporter, name: str, **labels: str) -> float:
    """The sum of the samples of a metric that have these labels; 0 if there are none."""
    found = re.findall(rf"(?m)^videotask_{name}(?:\{{(.*)\}})? (\S+)$", exporter.get("metrics"))
    wanted = {f'{key}="{text}"' for key, text in labels.items()}
    return sum(float(number) for given, number in found if wanted <= set(given.split(",")))


def is_up(exporter: Exporter, provider: str, kind: str) -> bool:
    return value(exporter, "up", provider=provider, kind=kind) == 1


def end_well(exporter: Exporter) -> None:
    """Ends the exporter by SIGTERM, and looks whether all that is promised of an end is kept."""
    exporter.send(signal.SIGTERM)
    try:
        code = exporter.process.wait(PROMISED)
    except subprocess.TimeoutExpired:
        pytest.fail(f"not gone {PROMISED:g} s after SIGTERM:\n{exporter.stderr}")
    assert code == 0, exporter.stderr
    assert "level=error" not in exporter.stderr
    assert "Traceback" not in exporter.stderr
    assert exporter.stderr.splitlines()[-1].endswith("level=info msg=stopped")


def closed_ledger(folder: Path) -> dict[str, int]:
    """How many tasks there are in each state in a ledger that must be closed and in order."""
    for left in folder.glob("ledger.sqlite3-*"):
        assert left.stat().st_size == 0, f"{left.name} was left behind"
    database = sqlite3.connect(folder / "ledger.sqlite3")
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return dict(database.execute("SELECT state, count(*) FROM tasks GROUP BY state").fetchall())
    finally:
        database.close()


def swaps(count: int) -> Iterator[Life]:
    begin = time.time() - 3600
    for number in range(count):
        yield Life(f"swap-{number:06}", *FACE_SWAP, begin + number / 100, 0.0, 1.0, State.SUCCEEDED)


# The end


def test_the_end_comes_in_time_while_pages_are_read(start: Start, live_site: Site, tmp_path: Path) -> None:
    live_site.world.add(*swaps(2000))
    write(tmp_path, live_site.account("facewap", page_size=20, rate_limit="20/s"))  # a sweep of five seconds
    exporter = run(start, tmp_path)
    exporter.wait_for("pages of the first sweep", lambda: asked(live_site, "facewap") >= 5)
    end_well(exporter)
    assert asked(live_site, "facewap") < 100, "the sweep was over already"
    assert closed_ledger(tmp_path) == {}  # half a sweep shows nothing


def test_the_end_comes_in_time_during_a_commit_which_is_kept_whole_or_not_at_all(
    start: Start, live_site: Site, tmp_path: Path
) -> None:
    live_site.world.add(*swaps(MANY))
    write(tmp_path, live_site.account("facewap", page_size=500), interval=1.0)
    exporter = run(start, tmp_path)
    journal = tmp_path / "ledger.sqlite3-wal"
    # So much of it is there only when a large transaction has begun to spill out of memory.
    exporter.wait_for("a commit", lambda: journal.exists() and journal.stat().st_size > 500_000)
    end_well(exporter)
    assert closed_ledger(tmp_path) in ({}, {"succeeded": MANY})
    again = run(start, tmp_path)
    again.wait_for("a sweep", lambda: is_up(again, "facewap", "face_swap"))
    assert value(again, "finished_total", provider="facewap", state="succeeded") == MANY
    end_well(again)
    assert closed_ledger(tmp_path) == {"succeeded": MANY}


@pytest.mark.parametrize("endpoint", ["chanjing", "chanjing/video/detail"])
def test_the_end_comes_in_time_with_a_vendor_that_hangs(
    start: Start, live_site: Site, tmp_path: Path, endpoint: str
) -> None:
    live_site.fake.faults[endpoint] = hang
    write(tmp_path, live_site.account("chanjing", watch={"tasks": {"video": ["here", "there"]}}))
    exporter = run(start, tmp_path)
    exporter.wait_for("requests that hang", lambda: asked(live_site, "chanjing") >= 2)
    end_well(exporter)
    assert closed_ledger(tmp_path) == {}


SLOW_RESOLVER = """\
import socket, time

resolve = socket.getaddrinfo

def getaddrinfo(host, *more, **named):
    if host in ("vendor.invalid", b"vendor.invalid"):
        open("asked", "w").close()
        time.sleep(60)
    return resolve(host, *more, **named)

socket.getaddrinfo = getaddrinfo
"""


def test_the_end_comes_in_time_with_a_name_server_that_hangs(start: Start, live_site: Site, tmp_path: Path) -> None:
    """A stand-in for the system's resolver, which no test can make hang otherwise; it is asked in threads."""
    (tmp_path / "sitecustomize.py").write_text(SLOW_RESOLVER)
    write(tmp_path, live_site.account("facewap") | {"base_url": "http://vendor.invalid"})
    exporter = run(start, tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    exporter.wait_for("a name that is looked up", (tmp_path / "asked").exists)
    end_well(exporter)
    assert closed_ledger(tmp_path) == {}


def test_the_end_comes_in_time_during_reloads(start: Start, live_site: Site, tmp_path: Path) -> None:
    live_site.world.add(*swaps(100))
    live_site.fake.faults["chanjing/video"] = hang

    def write_all(page_size: int) -> None:
        names = [f"swaps{number}" for number in range(5)]
        faces = [live_site.account("facewap", name=name, page_size=page_size) for name in names]
        write(tmp_path, *faces, live_site.account("chanjing", page_size=page_size))

    write_all(50)
    exporter = run(start, tmp_path)
    exporter.wait_for("a sweep", lambda: is_up(exporter, "swaps4", "face_swap"))
    for page_size in (51, 52, 53):
        write_all(page_size)
        exporter.send(signal.SIGHUP)
    end_well(exporter)
    assert closed_ledger(tmp_path)["succeeded"] in range(100, 501, 100)  # each feed has all of them or none


def test_the_end_comes_in_time_with_scrapes_that_nobody_reads(start: Start, live_site: Site, tmp_path: Path) -> None:
    write(tmp_path, live_site.account("facewap"))
    exporter = run(start, tmp_path)
    exporter.wait_for("a sweep", lambda: is_up(exporter, "facewap", "face_swap"))
    host, port = re.findall(r"//(.+):(\d+)/", exporter.url)[0]
    with socket.create_connection((host, int(port))) as half, socket.socket() as deaf:
        half.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, int(port)))
        deaf.setblocking(False)
        asked = 0

        def is_stuffed() -> bool:
            """Whether the answers to what was asked fill every buffer, so that no more is asked for."""
            nonlocal asked
            try:
                for _ in range(1000):
                    asked += deaf.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            except BlockingIOError:
                return True
            return False

        exporter.wait_for("an answer that cannot be delivered", is_stuffed)
        assert asked > 0
        end_well(exporter)
    assert closed_ledger(tmp_path) == {}


async def test_what_only_waits_to_be_written_when_the_end_comes_is_left_to_the_next_start(tmp_path: Path) -> None:
    """Or the end would take as long as all of it together; not begun is as good as not swept."""
    now = time.time()
    ledger = Ledger(SqliteStore(SqliteFile(str(tmp_path / "ledger.sqlite3"))), retention=86400.0)
    writing = []
    for number in range(5):
        tracker = made(ledger.open("vendor", f"feed-{number}", Clock.PROVIDER, PollSettings(), now))
        sweep = Sweep(complete=True)
        sweep.show([Observation("task", State.SUCCEEDED, ended=now)], now, listed=True)
        writing.append(asyncio.create_task(ledger.record(tracker, sweep, now)))
    for _ in range(2):  # the first begins, the others queue behind it
        await asyncio.sleep(0)
    for one in writing:
        one.cancel()
    await ledger.close()
    assert sum(closed_ledger(tmp_path).values()) <= 1
    assert all(
        isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*writing, return_exceptions=True)
    )


# The reload


def samples(exporter: Exporter, provider: str) -> dict[str, float]:
    """All that /metrics says of a provider."""
    found = re.findall(r'(?m)^(videotask_\S*?\{(?:.*,)?provider="([^"]*)".*\}) (\S+)$', exporter.get("metrics"))
    return {series: float(number) for series, named, number in found if named == provider}


def gone_back(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """The counters and histograms that have vanished or fallen."""
    growing = re.compile(r"videotask_(?!progress_ratio)\w+(_total|_bucket|_sum|_count)\{")  # progress is no counter
    return [one for one, number in before.items() if growing.match(one) and after.get(one, -1.0) < number]


def task_counters(told: dict[str, float]) -> dict[str, float]:
    """Those that a reload must keep even of a provider that it changes: all but what its client counted."""
    by_client = ("videotask_api_", "videotask_rate_limit_wait_")
    return {one: number for one, number in told.items() if not one.startswith(by_client)}


def counted(exporter: Exporter, provider: str, kind: str) -> float:
    return value(exporter, "finished_total", provider=provider, kind=kind)


def sweeps(exporter: Exporter, provider: str) -> float:
    return value(exporter, "api_requests_total", provider=provider, endpoint="list")


def shows_the_truth(exporter: Exporter, vendors: Site, feeds: dict[str, tuple[str, str]]) -> bool:
    """Whether each of these providers has counted what has ended at its vendor, neither less nor more."""
    ends = {name: sum(vendors.truth(feed)["finished"].values()) for name, feed in feeds.items()}
    return all(counted(exporter, name, kind) == ends[name] for name, (_, kind) in feeds.items())


def reloads_until(exporter: Exporter, holds: Callable[[], object], what: str) -> None:
    exporter.send(signal.SIGHUP)
    exporter.wait_for(what, holds)


def test_one_reload_adds_removes_and_changes_and_a_broken_one_does_nothing_at_all(
    start: Start, busy_vendors: Site, tmp_path: Path
) -> None:
    vendors = busy_vendors
    steady, removed, changed = vendors.account("chanjing", name="steady"), "removed", "changed"
    write(tmp_path, steady, vendors.account("deerapi", name=removed), vendors.account("facewap", name=changed))
    exporter = run(start, tmp_path)
    kinds = {"steady": LIP_SYNC, removed: SORA, changed: FACE_SWAP}
    exporter.wait_for("an end", lambda: all(counted(exporter, name, kind) > 0 for name, (_, kind) in kinds.items()))
    before = {name: samples(exporter, name) for name in kinds}

    added = vendors.account("facewap", name="added")
    changed_settings = vendors.account("facewap", name=changed, page_size=7, poll_interval="60ms")
    broken = vendors.account("chanjing", name="broken", poll_interval="soon")
    write(tmp_path, added, changed_settings, steady, broken)
    reloads_until(exporter, lambda: "the configuration was not reloaded" in exporter.stderr, "the refusal")
    kept = {name: sweeps(exporter, name) for name in kinds}
    exporter.wait_for("sweeps of all", lambda: all(sweeps(exporter, name) > kept[name] + 3 for name in kinds))
    assert {name: gone_back(before[name], samples(exporter, name)) for name in kinds} == {name: [] for name in kinds}
    assert samples(exporter, "added") == {}

    write(tmp_path, added, changed_settings, steady)
    reloads_until(exporter, lambda: is_up(exporter, "added", "face_swap"), "the added feed")
    exporter.wait_for("the changed feed", lambda: sweeps(exporter, changed) > 0)
    assert samples(exporter, removed) == {}
    assert gone_back(before["steady"], samples(exporter, "steady")) == []
    assert gone_back(task_counters(before[changed]), samples(exporter, changed)) == []
    assert value(exporter, "poll_interval_seconds", provider=changed) >= 0.06

    # A provider that comes back finds its ledger, and what ended in the meantime.
    write(tmp_path, added, changed_settings, steady, vendors.account("deerapi", name=removed))
    reloads_until(exporter, lambda: is_up(exporter, removed, "sora"), "the feed that comes back")
    assert gone_back(task_counters(before[removed]), samples(exporter, removed)) == []
    vendors.world.stop_arrivals()
    exporter.wait_for("the last end", lambda: vendors.world.in_flight() == 0)
    shown = {**kinds, "added": FACE_SWAP}
    exporter.wait_for("the truth", lambda: shows_the_truth(exporter, vendors, shown))
    asked = {name: sweeps(exporter, name) for name in shown}
    exporter.wait_for("sweeps of all", lambda: all(sweeps(exporter, name) > asked[name] + 3 for name in shown))
    assert shows_the_truth(exporter, vendors, shown)
    exporter.send(signal.SIGTERM)
    assert exporter.process.wait(30) == 0
    assert exporter.stderr.count("level=error") == 1  # the broken configuration
    assert "Traceback" not in exporter.stderr


@pytest.mark.slow
def test_many_reloads_in_a_row_leave_a_feed_that_does_not_change_to_its_interval(
    start: Start, busy_vendors: Site, tmp_path: Path
) -> None:
    vendors = busy_vendors

    def write_all(page_size: int) -> None:
        steady = vendors.account("deerapi", name="steady")
        write(tmp_path, vendors.account("facewap", name="changed", page_size=page_size), steady, interval=INTERVAL)

    write_all(10)
    exporter = run(start, tmp_path)
    exporter.wait_for("a sweep", lambda: is_up(exporter, "steady", "sora") and is_up(exporter, "changed", "face_swap"))
    before, begin, signals = samples(exporter, "steady"), sweeps(exporter, "steady"), itertools.count()

    def has_swept_on() -> bool:
        write_all(10 + next(signals) % 7)
        exporter.send(signal.SIGHUP)
        reloads = exporter.stderr.count("configuration reloaded")
        # A reload that made it sweep would never be outnumbered; with one that put its sweep off, none would come.
        return 15 <= sweeps(exporter, "steady") - begin < reloads / 2

    exporter.wait_for("fifteen sweeps, and more than twice as many reloads", has_swept_on)
    assert gone_back(before, samples(exporter, "steady")) == []
    vendors.world.stop_arrivals()
    exporter.wait_for("the last end", lambda: vendors.world.in_flight() == 0)
    shown = {"steady": SORA, "changed": FACE_SWAP}
    exporter.wait_for("the truth", lambda: shows_the_truth(exporter, vendors, shown))
    end_well(exporter)
