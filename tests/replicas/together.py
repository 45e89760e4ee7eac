"""Several exporters as processes on one database: who called whom, what they serve together, and whether it is true."""

from __future__ import annotations

import asyncio
import json
import re
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from starlette.types import Receive, Scope, Send

from exporter.ledger.postgresql.database import Database
from exporter.ledger.postgresql.schema import prepare
from exporter.simulator import Simulator
from tests.harness import Exporter, Start, account
from tests.harness.postgresql import Server

LEASE = 2.0
VENDORS = ("chanjing", "deerapi", "facewap")


class Call(NamedTuple):
    """One request that has arrived at a vendor."""

    vendor: str
    replica: str
    path: str
    at: float


class Roads:
    """All vendors, each replica on a road of its own: who has called whom, in the order of the calls."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.calls: list[Call] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, road, vendor, *_ = scope["path"].split("/")
        shortened = scope["path"].removeprefix(f"/{road}")
        self.calls.append(Call(vendor, road, shortened, time.time()))
        await self._simulator({**scope, "path": shortened, "raw_path": shortened.encode()}, receive, send)


_NOTE = """
CREATE TABLE videotask.held (
    provider text, epoch bigint, replica text, since timestamptz DEFAULT clock_timestamp(), until timestamptz
);
CREATE FUNCTION videotask.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO videotask.held (provider, epoch, replica, until) VALUES (
        NEW.provider, NEW.epoch, (SELECT name FROM videotask.replicas WHERE id = NEW.holder), NEW.expires
    );
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON videotask.leases FOR EACH ROW EXECUTE FUNCTION videotask.note()
"""
_NOTED = "SELECT epoch, replica, extract(epoch FROM since)::float, extract(epoch FROM until)::float"


class Lease(NamedTuple):
    """That a replica held a provider, from the last change of the lease to the next one."""

    epoch: int
    replica: str | None
    since: float
    until: float


class Leases:
    """Who held what and when, as the database itself notes it from now on."""

    def __init__(self, server: Server) -> None:
        """`server` has no tables yet. Another one may take its place later."""
        self.server = server

        async def make_tables() -> None:
            async with Database(server.url()) as database:
                await prepare(database)

        asyncio.run(make_tables())
        server.execute(_NOTE)

    def of(self, provider: str) -> list[Lease]:
        """In the order of time."""
        with psycopg.connect(self.server.url()) as connection:
            rows = connection.execute(
                f"{_NOTED} FROM videotask.held WHERE provider = %s ORDER BY since", [provider]
            ).fetchall()
        return [Lease(*row) for row in rows]

    def strays(self, calls: list[Call]) -> Counter[tuple[str, str, int]]:
        """Calls of replicas that did not hold the provider, by path, replica and the last epoch that it held."""
        found: Counter[tuple[str, str, int]] = Counter()
        for vendor in {call.vendor for call in calls}:
            leases = self.of(vendor)
            begins = [lease.since for lease in leases]
            for call in calls:
                if call.vendor != vendor:
                    continue
                past = leases[: bisect_right(begins, call.at)]
                if past and past[-1].replica == call.replica and call.at <= past[-1].until:
                    continue
                last = next((lease.epoch for lease in reversed(past) if lease.replica == call.replica), 0)
                found[call.path, call.replica, last] += 1
        return found


def never_polled_by_two(calls: list[Call], leases: Leases) -> None:
    """Asserts that each call was sent by who held the provider: after the end of its lease, a replica asks for the same
    thing at most once, by the request that was in flight then."""
    strays = leases.strays(calls)
    assert {about: count for about, count in strays.items() if about[2] == 0 or count > 1} == {}


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


def configure(folder: Path, url: str, database: str, name: str, vendors: Sequence[str] = VENDORS) -> Path:
    """Writes the configuration of a replica, whose vendors are on a road of its own."""
    config = folder / f"{name}.yaml"
    providers = [account(vendor, f"{url}/{name}", name=vendor) for vendor in vendors]
    ledger = {"url": database, "lease": f"{LEASE:g}s"}
    given = {"poll_interval": "100ms", "ledger": ledger, "replica": name, "providers": providers}
    config.write_text(json.dumps(given))  # which is YAML too
    return config


def replica(start: Start, folder: Path, url: str, database: str, name: str) -> Exporter:
    """One more exporter."""
    return start(f"--config.file={configure(folder, url, database, name)}", "--web.listen-address=127.0.0.1:0")


def held(replica: Exporter) -> list[str]:
    return re.findall(r'(?m)^videotask_lease_held\{provider="(\w+)"\} 1.0', replica.get("metrics"))


def submitted(truth: Mapping[str, Any]) -> int:
    """How many tasks the vendors know."""
    return sum(truth[vendor][kind]["submitted"] for vendor in VENDORS for kind in truth[vendor])


def agrees(told: Mapping[str, float], truth: Mapping[str, Any]) -> None:
    """Asserts that what all replicas serve is what the vendors know: ends and failures of each feed."""
    feeds = [(vendor, kind) for vendor in VENDORS for kind in truth[vendor]]
    for vendor, kind in feeds:
        for state, count in truth[vendor][kind]["finished"].items():
            assert told[f'videotask_finished_total{{kind="{kind}",provider="{vendor}",state="{state}"}}'] == count
        for reason, count in truth[vendor][kind]["failures"].items():
            assert told[f'videotask_failures_total{{kind="{kind}",provider="{vendor}",reason="{reason}"}}'] == count


def epochs_of(server: Server) -> dict[str, int]:
    with psycopg.connect(server.url()) as connection:
        return dict(connection.execute("SELECT provider, epoch FROM videotask.leases").fetchall())
