"""Three exporters on one PostgreSQL through one disturbance after the other, seeded: the counters stay exact.

    DISTURBANCES=100 SEED=3 .venv/bin/python -m pytest --log-cli-level=INFO tests/replicas/test_disturbances.py

goes on for longer than a suite can wait.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Self

from exporter.simulator import World, app, serve
from tests.harness import Exporter, Start, wait_for
from tests.harness.network import Passage, passage
from tests.harness.postgresql import Server, running, servers

from .together import (
    LEASE,
    VENDORS,
    Leases,
    Roads,
    Scrapes,
    agrees,
    configure,
    held,
    never_polled_by_two,
    replica,
    submitted,
)

NAMES = ("one", "two", "three")
DISTURBANCES = int(os.environ.get("DISTURBANCES", "8"))
SEED = int(os.environ.get("SEED", "1"))

log = logging.getLogger(__name__)


class Stage:
    """The replicas, each with a network of its own to the database, and what may happen to them."""

    def __init__(self, server: Server, vendors: str, start: Start, folder: Path, rng: Random) -> None:
        self.server, self.rng = server, rng
        self._vendors, self._start, self._folder = vendors, start, folder
        self.scrapes = Scrapes()
        self.networks: dict[str, Passage] = {}
        self.replicas: dict[str, Exporter] = {}
        self.done: list[str] = []
        self._is_nested = False

    @contextmanager
    def opened(self) -> Iterator[Self]:
        with ExitStack() as stack:
            self.networks = {name: stack.enter_context(passage(self.server.port)) for name in NAMES}
            self.replicas = {name: self._begun(name) for name in NAMES}
            yield self

    # What may happen to a replica

    def kill(self, name: str) -> None:
        self.replicas[name].process.kill()
        self.replicas[name].process.wait()
        self._rest(name)
        self._begin(name)

    def stop(self, name: str) -> None:
        assert self.replicas[name].end() == 0
        self._begin(name)

    def freeze(self, name: str) -> None:
        self.replicas[name].send(signal.SIGSTOP)
        self._rest(name)
        self.replicas[name].send(signal.SIGCONT)

    def reload(self, name: str) -> None:
        """It does not know one of the providers for a while."""
        self._configure(name, self.rng.sample(VENDORS, len(VENDORS) - 1))
        self.replicas[name].send(signal.SIGHUP)
        self._rest()
        self._configure(name)
        self.replicas[name].send(signal.SIGHUP)

    def swallow(self, name: str) -> None:
        self.networks[name].swallow()
        self._rest(name)
        self.networks[name].restore()

    def refuse(self, name: str) -> None:
        self.networks[name].refuse()
        self._rest(name)
        self.networks[name].restore()

    def cut(self, name: str) -> None:
        self.networks[name].cut()

    def delay(self, name: str) -> None:
        self.networks[name].delay = self.rng.uniform(0.01, 0.3)
        self._rest(name)
        self.networks[name].delay = 0.0

    # What may happen to all

    def restart_the_database(self, _: str) -> None:
        self.server.stop("immediate")
        self._rest()
        self.server.start()

    def roll_out(self, _: str) -> None:
        for name in NAMES:
            self.stop(name)

    def disturb(self, but: str = "") -> None:
        """One of these, to another replica than one to which something happens just now, and a while of work."""
        # Kills are what the promise names first: as often as all else together.
        others = [self.stop, self.freeze, self.swallow, self.refuse, self.cut, self.delay, self.restart_the_database]
        if not but:
            others += [self.reload, self.roll_out]
        what = self.kill if self.rng.random() < 0.5 else self.rng.choice(others)
        name = self.rng.choice([one for one in NAMES if one != but])
        self.done.append(f"{what.__name__} {name}{f' meanwhile {but}' if but else ''}")
        log.info("disturbance %d: %s", len(self.done), self.done[-1])
        what(name)
        if not but:
            self._rest()

    def _rest(self, but: str = "") -> None:
        """Waits for a moment, or for longer than a lease, and looks at what is served meanwhile.

        While something happens to one replica, something else may happen to another.
        """
        if but and not self._is_nested and self.rng.random() < 0.2:
            self._is_nested = True
            self.disturb(but)
            self._is_nested = False
        ends = time.monotonic() + self.rng.choice((0.1, 0.5, 1.6 * LEASE)) * self.rng.uniform(0.8, 1.2)
        while time.monotonic() < ends:
            self.look()
            time.sleep(0.1)

    def _begin(self, name: str) -> None:
        """Waits for the start: one that cannot reach its database then ends, and a service manager starts it again."""
        self.replicas[name] = one = self._begun(name)
        one.wait_for("a start", lambda: "msg=listening" in one.stderr)

    def _begun(self, name: str) -> Exporter:
        return replica(self._start, self._folder, self._vendors, self._database_of(name), name)

    def _configure(self, name: str, vendors: Sequence[str] = VENDORS) -> None:
        configure(self._folder, self._vendors, self._database_of(name), name, vendors)

    def _database_of(self, name: str) -> str:
        return self.server.url().replace(str(self.server.port), str(self.networks[name].port))

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
    world = World(SEED, 100.0, time.time, rate=0.1)
    roads = Roads(app(world, limits={}))
    with servers() as folder, running(folder / "own") as server, serve(roads) as served:
        leases = Leases(server)
        with Stage(server, served.url, start, tmp_path, Random(SEED)).opened() as stage:
            replicas = stage.replicas
            wait_for("fair shares", lambda: sorted(len(held(one)) for one in replicas.values()) == [1, 1, 1])
            for _ in range(DISTURBANCES):
                stage.disturb()

            world.stop_arrivals()
            wait_for("the end of all tasks", lambda: world.in_flight() == 0, moves=world.in_flight)
            truth = world.truth()

            def counted() -> float:
                return sum(value for name, value in stage.look().items() if "finished_total" in name)

            wait_for(f"all ends being counted after {stage.done}", lambda: counted() >= submitted(truth), moves=counted)
            enough = len(roads.calls) + 50
            wait_for("more sweeps, which count nothing", lambda: len(roads.calls) >= enough)
            told = stage.look()
            assert [one.end() for one in replicas.values()] == [0, 0, 0]
        log.info(
            "%s; %d tasks, %d calls", Counter(one.split()[0] for one in stage.done), submitted(truth), len(roads.calls)
        )
        log.info("sent before the end of a lease, arrived after it: %s", leases.strays(roads.calls))
        never_polled_by_two(roads.calls, leases)

    assert stage.scrapes.went_back == [], stage.done
    agrees(told, truth)
