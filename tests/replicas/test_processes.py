"""Three exporters as processes on one PostgreSQL: killed, stopped and held up, they count together what is true."""

from __future__ import annotations

import re
import signal
import threading
import time
from pathlib import Path

from exporter.simulator import World, app, serve
from tests.harness import Exporter, Start, wait_for
from tests.harness.postgresql import Server, running, servers

from .together import Leases, Roads, Scrapes, agrees, epochs_of, held, never_polled_by_two, replica, submitted


def test_replicas_share_the_providers_and_take_over_from_each_other(
    postgresql: Server, ledger_url: str, start: Start, tmp_path: Path
) -> None:
    world = World(7, 200.0, time.time, rate=0.2)
    roads, scrapes, leases = Roads(app(world, limits={})), Scrapes(), Leases(postgresql)
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

        def counted() -> float:
            return sum(value for name, value in scrapes.take(two).items() if "finished_total" in name)

        two.wait_for("all ends being counted", lambda: counted() >= submitted(truth), moves=counted)
        enough = len(roads.calls) + 50
        two.wait_for("more sweeps, which count nothing", lambda: len(roads.calls) >= enough)
        told = scrapes.take(two)
        assert two.end() == 0

    assert scrapes.went_back == []
    agrees(told, truth)
    never_polled_by_two(roads.calls, leases)
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
            assert "Cannot renew or acquire leases" in one.get()
            assert "healthy" in one.get("-/healthy")
        assert len(roads.calls) == quiet
        server.start()
        wait_for("fair shares again", lambda: shares() == [1, 2])
        wait_for("series of all again", lambda: len({name for name in scrapes.take(*both) if "finished" in name}) >= 12)
        assert [one.end() for one in both] == [0, 0]
    assert scrapes.went_back == []
