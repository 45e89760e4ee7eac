"""Several exporters as processes on one database: who called whom, what they serve together, and whether it is true."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
from starlette.types import Receive, Scope, Send

from exporter.simulator import Simulator
from tests.harness import Exporter, Start, account
from tests.harness.postgresql import Server

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
