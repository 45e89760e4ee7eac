"""The whole stack: simulated vendors, exporters, Prometheus with our rules, Alertmanager, and what happens to them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from grafana import prometheus_rules, thresholds
from grafana.identity import JOB
from grafana.thresholds import Thresholds
from tests.harness import Exporter, exporters, wait_for

from . import scenes, servers
from .servers import Alertmanager, Prometheus

EXAMPLES = Path(prometheus_rules.__file__).parent / "prometheus"

CALM = 12
"""Seconds in which all is well: as long as the windows of the rules, so that they have a past to compare with."""
PATIENCE = 120.0
"""Seconds after which what must come has come, even on a busy machine."""

WINDOW = f"{CALM}s"
FAST: dict[str, dict[str, object]] = {
    "exporter_down": {"for": "10s"},
    "exporter_absent": {"for": "1m"},
    "exporter_restarting": {"restarts": 0, "window": "1m"},
    "ledger_lost": {"window": "1m"},
    "data_stale": {"age": "10s", "for": "4s"},
    "history_gap": {"window": "1m"},
    "poll_overrun": {"ratio": 6},
    "balance_running_out": {"ahead": "1h"},
    "moderation_spike": {"baseline": "1m"},
    "failure_burn_fast": {"long": WINDOW, "short": "10s"},
    "failure_burn_slow": {"long": "20s", "short": "10s", "tasks": 8},
    "queued_too_long": {"age": "15s"},
    "running_too_long": {"age": "15s"},
    "run_time_high": {"baseline": "2m", "growth": 1.6, "baseline_tasks": 15},
}
"""Where a shorter window is not all. Even on a machine that is far too busy, nothing of this happens to who is well."""


def fast() -> Thresholds:
    """The thresholds of the examples, with windows of seconds."""
    settings: dict[str, Any] = yaml.safe_load(thresholds.FILE.read_text(encoding="utf-8"))
    for name, part in settings.items():
        if isinstance(part, dict) and "for" in part:
            part |= {"for": "2s"} | ({"window": WINDOW} if "window" in part else {}) | FAST.get(name, {})
    return thresholds.parse(yaml.safe_dump(settings | {"evaluation_interval": "1s"}))


@dataclass
class Stack:
    """What runs, and what was seen before anything happened."""

    prometheus: Prometheus
    alertmanager: Alertmanager
    whole: str
    """The exporter that polls all accounts, by the address that Prometheus scrapes. Its new configuration is bad."""
    ended: str
    """One that has been ended."""
    revived: str
    """One that was started again, and found its ledger damaged."""
    street: str
    """The address of the vendors, and of the sources of ids."""
    accounts: list[str]
    early_alerts: list[dict[str, Any]]
    """The alerts while all was well."""
    deadline: float
    """When all effects must be there, on the monotonic clock."""

    @property
    def patience(self) -> float:
        """Seconds that are left for what must come."""
        return max(1.0, self.deadline - time.monotonic())


@contextmanager
def running(folder: Path, program: Callable[..., str]) -> Iterator[Stack]:
    """All is well for a while; then everything in `scenes.SCENES` happens, and something to each of three exporters."""
    prometheus_program = program("prometheus")
    alertmanager_program = program("alertmanager", "prometheus-alertmanager")
    with ExitStack() as up:
        street = up.enter_context(scenes.opened())
        start = up.enter_context(exporters(folder))
        addresses = {name: servers.free_address() for name in ("whole", "ended", "revived")}

        def begin(name: str, accounts: list[scenes.Account]) -> Exporter:
            file = folder / f"{name}.yaml"
            ledger = {"path": str(folder / f"{name}.sqlite3")}
            file.write_text(json.dumps(street.config(accounts) | {"ledger": ledger}))  # which is YAML too
            return start(f"--config.file={file}", f"--web.listen-address={addresses[name]}")

        whole = begin("whole", street.accounts)
        ended = begin("ended", street.healthy[:1])
        revived = begin("revived", street.healthy[3:])  # not Chanjing: a second one there takes the first one's token
        example: dict[str, Any] = yaml.safe_load((EXAMPLES / "alertmanager.yaml").read_text(encoding="utf-8"))
        nowhere = {"receivers": [{"name": receiver["name"]} for receiver in example["receivers"]]}
        alertmanager = up.enter_context(
            servers.alertmanager(alertmanager_program, folder / "alertmanager", example | nowhere)
        )
        up.enter_context(alertmanager.watched())
        rules = {
            folder / "recordings.yaml": prometheus_rules.recording_file(fast()),
            folder / "alerts.yaml": prometheus_rules.alerting_file(fast()),
        }
        for path, content in rules.items():
            path.write_text(json.dumps(content))
        prometheus = up.enter_context(
            servers.prometheus(
                prometheus_program,
                folder / "prometheus",
                {JOB: list(addresses.values())},
                list(rules),
                alertmanager.address,
            )
        )

        def has_been_calm() -> bool:
            prometheus.look()
            scrapes = prometheus.ask(f'sum_over_time(up{{job="{JOB}"}}[5m])', "instance")
            return len(scrapes) == len(addresses) and min(scrapes.values()) >= CALM

        wait_for(f"{CALM} scrapes of each exporter", has_been_calm, patience=PATIENCE, pause=0.5)
        early = list(alertmanager.seen.values())
        street.befall()
        (folder / "whole.yaml").write_text("providers: none")
        whole.send(signal.SIGHUP)
        ended.send(signal.SIGTERM)
        revived.end()
        (folder / "revived.sqlite3").write_text("This is no ledger.")
        begin("revived", street.healthy[3:])
        yield Stack(
            prometheus,
            alertmanager,
            **addresses,
            street=street.url,
            accounts=[account.name for account in street.accounts],
            early_alerts=early,
            deadline=time.monotonic() + PATIENCE,
        )
