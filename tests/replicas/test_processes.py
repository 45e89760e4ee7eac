"""Three exporters as processes on one PostgreSQL: killed, stopped and held up, they count together what is true."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from collections import Counter
from itertools import groupby
from pathlib import Path

from starlette.types import Receive, Scope, Send

from exporter.simulator import Simulator, World, app, serve
from tests.harness import Exporter, Start, account, wait_for
from tests.harness.postgresql import Server, running, servers

LEASE = 2.0
VENDORS = ("chanjing", "deerapi", "facewap")


class Roads:
    """All vendors, each replica on a road of its own: who has called whom, in the order of the calls."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.calls: list[tuple[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, road, vendor, *_ = scope["path"].split("/")
        self.calls.append((vendor, road))
        shortened = scope["path"].removeprefix(f"/{road}")
        await self._simulator({**scope, "path": shortened, "raw_path": shortened.encode()}, receive, send)

    def turns(self, vendor: str) -> list[str]:
        """The replicas that have called a vendor, each as often as it began to; one request in flight is none."""
        runs = [(road, len(list(calls))) for road, calls in groupby(one[1] for one in self.calls if one[0] == vendor)]
        stray = {at for at, (_, calls) in enumerate(runs) if calls == 1 and 0 < at < len(runs) - 1}
        stray = {at for at in stray if runs[at - 1][0] == runs[at + 1][0]}
        return [road for road, _ in groupby(road for at, (road, _) in enumerate(runs) if at not in stray)]


class Scrapes:
    """What all replicas serve together, and whether a counter ever goes back."""

    def __init__(self) -> None:
        self.highest: Counter[str] = Counter()
        self.went_back: list[str] = []

    def take(self, *replicas: Exporter) -> dict[str, float]:
        """One scrape of each; no series is served by two."""
        found: dict[str, float] = {}
        for replica in replicas:
            for name, value in re.findall(
                r"(?m)^(videotask_(?:finished|failures)_total\{.*\}) (\S+)$", replica.get("metrics")
            ):
                found[name] = max(float(value), found.get(name, 0.0))
        for name, now in found.items():
            if now < self.highest[name]:
                self.went_back.append(f"{name}: {self.highest[name]} -> {now}")
            self.highest[name] = max(self.highest[name], now)  # type: ignore[assignment]
        return found


def replica(start: Start, folder: Path, url: str, database: str, name: str) -> Exporter:
    """One more exporter, whose vendors are on a road of its own."""
    config = folder / f"{name}.yaml"
    providers = [account(vendor, f"{url}/{name}", name=vendor) for vendor in VENDORS]
    ledger = {"url": database, "lease": f"{LEASE:g}s"}
    given = {"poll_interval": "100ms", "ledger": ledger, "replica": name, "providers": providers}
    config.write_text(json.dumps(given))  # which is YAML too
    return start(f"--config.file={config}", "--web.listen-address=127.0.0.1:0")


def held(replica: Exporter) -> list[str]:
    return re.findall(r'(?m)^videotask_lease_held\{provider="(\w+)"\} 1.0', replica.get("metrics"))


def test_replicas_share_the_providers_and_take_over_from_each_other(
    postgresql: Server, ledger_url: str, start: Start, tmp_path: Path
) -> None:
    world = World(7, 200.0, time.time, rate=0.2)
    roads, scrapes = Roads(app(world, limits={})), Scrapes()
    with serve(roads) as served:

        def share_of(*replicas: Exporter) -> list[int]:
            scrapes.take(*replicas)
            return sorted(len(held(one)) for one in replicas)

        one, two, three = (replica(start, tmp_path, served.url, ledger_url, name) for name in ("one", "two", "three"))
        wait_for("fair shares", lambda: share_of(one, two, three) == [1, 1, 1])

        one.process.kill()
        wait_for("a take-over from the dead", lambda: share_of(two, three) == [1, 2])

        two.send(signal.SIGSTOP)
        wait_for("a take-over from one that stands still", lambda: share_of(three) == [3])
        before = epochs_of(postgresql)
        threading.Timer(0.05, two.send, [signal.SIGCONT]).start()  # after the scrape is on its way
        first = two.get("metrics")
        shown = set(re.findall(r'(?m)^videotask_finished_total\{.*provider="(\w+)"', first))
        after = epochs_of(postgresql)
        assert all(after[name] > before[name] for name in shown), "it shows what another replica holds"
        wait_for("fair shares again", lambda: share_of(two, three) == [1, 2])

        assert three.end() == 0
        wait_for("a hand-over", lambda: share_of(two) == [3])

        world.stop_arrivals()
        two.wait_for("the end of all tasks", lambda: world.in_flight() == 0, moves=world.in_flight)
        truth = world.truth()
        feeds = [(vendor, kind) for vendor in VENDORS for kind in truth[vendor]]
        submitted = sum(truth[vendor][kind]["submitted"] for vendor, kind in feeds)

        def counted() -> float:
            return sum(value for name, value in scrapes.take(two).items() if "finished_total" in name)

        two.wait_for("all ends being counted", lambda: counted() >= submitted, moves=counted)
        enough = len(roads.calls) + 50
        two.wait_for("more sweeps, which count nothing", lambda: len(roads.calls) >= enough)
        told = scrapes.take(two)
        assert two.end() == 0

    assert scrapes.went_back == []
    for vendor, kind in feeds:
        for state, count in truth[vendor][kind]["finished"].items():
            assert told[f'videotask_finished_total{{kind="{kind}",provider="{vendor}",state="{state}"}}'] == count
        for reason, count in truth[vendor][kind]["failures"].items():
            assert told[f'videotask_failures_total{{kind="{kind}",provider="{vendor}",reason="{reason}"}}'] == count
    epochs = epochs_of(postgresql)
    for vendor in VENDORS:
        turns = roads.turns(vendor)
        assert len(turns) <= epochs[vendor], f"{vendor} was polled by two at once: {turns}"
    for exporter in (one, two, three):
        assert "level=error" not in exporter.stderr


def test_without_the_database_nothing_is_polled_and_nothing_stale_is_served(start: Start, tmp_path: Path) -> None:
    roads, scrapes = Roads(app(World(7, 200.0, time.time, rate=0.2), limits={})), Scrapes()
    with servers() as folder, running(folder / "own") as server, serve(roads) as served:
        both = [replica(start, tmp_path, served.url, server.url(), name) for name in ("one", "two")]

        def shares() -> list[int]:
            scrapes.take(*both)
            return sorted(len(held(one)) for one in both)

        wait_for("fair shares", lambda: shares() == [1, 2])
        wait_for("series of all", lambda: len({name for name in scrapes.take(*both) if "finished" in name}) >= 12)
        server.stop("immediate")
        wait_for("an end of all series", lambda: shares() == [0, 0] and scrapes.take(*both) == {})
        quiet = len(roads.calls)
        for one in both:
            assert "The leases cannot be kept" in one.get()
            assert "healthy" in one.get("-/healthy")
        assert len(roads.calls) == quiet
        server.start()
        wait_for("fair shares again", lambda: shares() == [1, 2])
        wait_for("series of all again", lambda: len({name for name in scrapes.take(*both) if "finished" in name}) >= 12)
        assert [one.end() for one in both] == [0, 0]
    assert scrapes.went_back == []


def epochs_of(server: Server) -> dict[str, int]:
    import psycopg

    with psycopg.connect(server.url()) as connection:
        return dict(connection.execute("SELECT provider, epoch FROM videotask.leases").fetchall())
