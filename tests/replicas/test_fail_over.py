"""The primary is killed and a standby takes its place: replicas go on there, and nothing that was counted is lost."""

from __future__ import annotations

import time
from pathlib import Path

from exporter.simulator import World, app, serve
from tests.harness import Start, wait_for
from tests.harness.network import passage
from tests.harness.postgresql import Server, running, servers

from .together import Leases, Roads, Scrapes, agrees, held, never_polled_by_two, replica, submitted


def test_a_fail_over_to_a_synchronous_standby_loses_nothing(start: Start, tmp_path: Path) -> None:
    """Some replicas name both servers, as libpq lets them; others name an address that moves."""
    world = World(7, 300.0, time.time, rate=0.1)
    roads, scrapes = Roads(app(world, limits={})), Scrapes()
    with servers() as folder, running(folder / "primary") as primary, serve(roads) as served:
        leases = Leases(primary)
        standby = Server(folder / "standby")
        standby.copy_of(primary)
        standby.start()
        try:
            primary.waits_for_standbys()
            with passage(primary.port) as address:
                hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
                both = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
                moves = primary.url().replace(str(primary.port), str(address.port))
                of_each = {"one": both, "two": both, "three": moves}
                replicas = [replica(start, tmp_path, served.url, url, name) for name, url in of_each.items()]

                def shares() -> list[int]:
                    scrapes.take(*replicas)
                    return sorted(len(held(one)) for one in replicas)

                wait_for("fair shares", lambda: shares() == [1, 1, 1])
                wait_for("some ends", lambda: sum(scrapes.take(*replicas).values()) > 50)
                primary.kill()
                standby.promote()
                address.lead_to(standby.port)
                leases.server = standby
                before = sum(scrapes.highest.values())
                wait_for("fair shares again", lambda: shares() == [1, 1, 1])
                wait_for("more ends", lambda: sum(scrapes.take(*replicas).values()) > before)

                world.stop_arrivals()
                wait_for("the end of all tasks", lambda: world.in_flight() == 0, moves=world.in_flight)
                truth = world.truth()

                def counted() -> float:
                    return sum(value for name, value in scrapes.take(*replicas).items() if "finished_total" in name)

                wait_for("all ends being counted", lambda: counted() >= submitted(truth), moves=counted)
                enough = len(roads.calls) + 50
                wait_for("more sweeps, which count nothing", lambda: len(roads.calls) >= enough)
                told = scrapes.take(*replicas)
                assert [one.end() for one in replicas] == [0, 0, 0]
            never_polled_by_two(roads.calls, leases)
        finally:
            standby.stop("immediate")
    assert scrapes.went_back == []
    agrees(told, truth)
    for one in replicas:
        assert "level=error" not in one.stderr
