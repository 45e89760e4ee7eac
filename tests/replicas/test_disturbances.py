"""Three exporters on one PostgreSQL through one disturbance after the other, seeded: the counters stay exact.

    DISTURBANCES=100 SEED=3 .venv/bin/python -m pytest tests/replicas/test_disturbances.py

goes on for longer than a suite can wait.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random

from exporter.simulator import World, app, serve
from tests.harness import Exporter, Start, wait_for
from tests.harness.network import Passage, passage
from tests.harness.postgresql import Server, running, servers

from .together import LEASE, VENDORS, Roads, Scrapes, agrees, epochs_of, held, replica

NAMES = ("one", "two", "three")
DISTURBANCES = int(os.environ.get("DISTURBANCES", "8"))
SEED = int(os.environ.get("SEED", "1"))


class Stage:
    """The replicas, each with a network of its own to the database, and what may happen to them."""

    def __init__(self, server: Server, networks: dict[str, Passage], begin: Callable[[str], Exporter], rng: Random):
        self.server, self.networks, self.begin, self.rng = server, networks, begin, rng
        self.scrapes = Scrapes()
        self.replicas = {name: begin(name) for name in NAMES}

    def kill(self, name: str) -> None:
        self.replicas[name].process.kill()
        self.replicas[name].process.wait()
        self._rest()
        self._begin(name)

    def stop(self, name: str) -> None:
        assert self.replicas[name].end() == 0
        self._begin(name)

    def _begin(self, name: str) -> None:
        """Waits for the start: one that cannot reach its database then ends, and a service manager starts it again."""
        self.replicas[name] = one = self.begin(name)
        one.wait_for("a start", lambda: "msg=listening" in one.stderr)

    def freeze(self, name: str) -> None:
        self.replicas[name].send(signal.SIGSTOP)
        self._rest()
        self.replicas[name].send(signal.SIGCONT)

    def swallow(self, name: str) -> None:
        self.networks[name].swallow()
        self._rest()
        self.networks[name].restore()

    def refuse(self, name: str) -> None:
        self.networks[name].refuse()
        self._rest()
        self.networks[name].restore()

    def cut(self, name: str) -> None:
        self.networks[name].cut()

    def delay(self, name: str) -> None:
        self.networks[name].delay = self.rng.uniform(0.01, 0.3)
        self._rest()
        self.networks[name].delay = 0.0

    def restart_the_database(self, name: str) -> None:
        self.server.stop("immediate")
        self._rest()
        self.server.start()

    def disturb(self) -> str:
        """One of these, and a while of work."""
        # Kills are what the promise names first: as often as all else together.
        others = (self.stop, self.freeze, self.swallow, self.refuse, self.cut, self.delay, self.restart_the_database)
        what = self.kill if self.rng.random() < 0.5 else self.rng.choice(others)
        name = self.rng.choice(NAMES)
        what(name)
        self._rest()
        return f"{what.__name__} {name}"

    def _rest(self) -> None:
        """Waits for a moment, or for longer than a lease, and looks at what is served meanwhile."""
        ends = time.monotonic() + self.rng.choice((0.1, 0.5, 1.6 * LEASE)) * self.rng.uniform(0.8, 1.2)
        while time.monotonic() < ends:
            self.look()
            time.sleep(0.1)

    def look(self) -> dict[str, float]:
        """What those that answer serve now."""
        answering = [one for one in self.replicas.values() if one.process.poll() is None and not stands_still(one)]
        try:
            return self.scrapes.take(*answering)
        except OSError:  # one that starts, was just killed or stopped
            return {}


def stands_still(exporter: Exporter) -> bool:
    """Whether a process is stopped by a signal, or has not yet said where it listens."""
    state = Path(f"/proc/{exporter.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "T" or "msg=listening" not in exporter.stderr


def test_the_counters_are_exact_whatever_happens_to_replicas_network_and_database(start: Start, tmp_path: Path) -> None:
    rng = Random(SEED)
    world = World(SEED, 100.0, time.time, rate=0.1)
    roads = Roads(app(world, limits={}))
    with ExitStack() as stack:
        folder = stack.enter_context(servers())
        server = stack.enter_context(running(folder / "own"))
        served = stack.enter_context(serve(roads))
        networks = {name: stack.enter_context(passage(server.port)) for name in NAMES}

        def begin(name: str) -> Exporter:
            database = server.url().replace(str(server.port), str(networks[name].port))
            return replica(start, tmp_path, served.url, database, name)

        stage = Stage(server, networks, begin, rng)
        wait_for("fair shares", lambda: sorted(len(held(one)) for one in stage.replicas.values()) == [1, 1, 1])
        done = [stage.disturb() for _ in range(DISTURBANCES)]

        world.stop_arrivals()
        wait_for("the end of all tasks", lambda: world.in_flight() == 0, moves=world.in_flight)
        truth = world.truth()
        submitted = sum(truth[vendor][kind]["submitted"] for vendor in VENDORS for kind in truth[vendor])

        def counted() -> float:
            return sum(value for name, value in stage.look().items() if "finished_total" in name)

        wait_for(f"all ends being counted after {done}", lambda: counted() >= submitted, moves=counted)
        enough = len(roads.calls) + 50
        wait_for("more sweeps, which count nothing", lambda: len(roads.calls) >= enough)
        told = stage.look()
        turns, epochs = {vendor: roads.turns(vendor) for vendor in VENDORS}, epochs_of(server)
        assert [one.end() for one in stage.replicas.values()] == [0, 0, 0]

    assert stage.scrapes.went_back == [], done
    agrees(told, truth)
    assert {name for name in VENDORS if len(turns[name]) > epochs[name]} == set(), f"polled by two: {turns}; {done}"
