"""Prometheus and Alertmanager as processes of their own on free ports, and the questions that tests ask them."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.harness import wait_for

Values = dict[tuple[str, ...], float]

_PORTS = iter(random.SystemRandom().sample(range(10_200, 32_000), 1_000))
"""To try in turn. Connections get theirs from higher ones, so none of these is taken between the trial and the use."""


def get_json(url: str, **parameters: object) -> Any:
    query = f"?{urllib.parse.urlencode(parameters, doseq=True)}" if parameters else ""
    with urllib.request.urlopen(url + query, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


class Prometheus:
    """A Prometheus of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.at = 0.0
        """The Unix time that is asked about."""

    def look(self) -> None:
        """Asks from now on about a moment just past, whose scrape has come in by now and changes no more."""
        self.at = time.time() - 1.0

    def api(self, path: str, **parameters: object) -> Any:
        """The data that its HTTP API answers. Raises urllib.error.HTTPError, such as for a query it cannot read."""
        told = get_json(f"{self._url}/api/v1/{path}", **parameters)
        assert told["status"] == "success"
        return told["data"]

    def ask(self, query: str, *labels: str) -> Values:
        """What PromQL answers, by the values of labels."""
        rows = self.api("query", query=query, time=self.at)["result"]
        return {tuple(row["metric"][label] for label in labels): float(row["value"][1]) for row in rows}

    def exemplars(self, query: str) -> list[Any]:
        found: list[Any] = self.api(
            "query_exemplars", query=query, start="2000-01-01T00:00:00Z", end="2100-01-01T00:00:00Z"
        )
        return found

    def targets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("targets")["activeTargets"]
        return found


class Alertmanager:
    """An Alertmanager of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.seen: dict[frozenset[tuple[str, str]], dict[str, Any]] = {}
        """Every alert that it had while it was watched, by its labels, as it was last."""

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that fire, also those that others inhibit, as its API (v2) gives them."""
        found: list[dict[str, Any]] = get_json(f"http://{self.address}/api/v2/alerts")
        return found

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Keeps what it has, again and again: some alerts end by themselves."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(0.5):
                with suppress(OSError):  # an answer that comes too late on a busy machine: the next one has it too
                    self.seen |= {frozenset(alert["labels"].items()): alert for alert in self.alerts}

        watching = threading.Thread(target=watch, name="watch", daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join(15)


@contextmanager
def prometheus(
    command: str,
    folder: Path,
    jobs: dict[str, Sequence[str]],
    rules: Sequence[Path] = (),
    alertmanager: str | None = None,
) -> Iterator[Prometheus]:
    """Scrapes the targets (host:port) of each job and evaluates the rules every second, and tells the Alertmanager."""
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(targets)}]} for job, targets in jobs.items()
        ],
    }
    if alertmanager:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    flags = {
        "storage.tsdb.path": "data",
        "enable-feature": "exemplar-storage",
        "rules.alert.resend-delay": "1s",
    }
    with served(command, folder, config, flags) as address:
        yield Prometheus(f"http://{address}")


@contextmanager
def alertmanager(command: str, folder: Path, config: dict[str, Any]) -> Iterator[Alertmanager]:
    """An Alertmanager with this configuration."""
    flags = {"storage.path": "data", "cluster.listen-address": ""}
    with served(command, folder, config, flags) as address:
        yield Alertmanager(address)


@contextmanager
def served(command: str, folder: Path, config: dict[str, Any], flags: dict[str, str]) -> Iterator[str]:
    """The address (host:port) of a program that is ready, until the block is left."""
    folder.mkdir()
    (folder / "config.yml").write_text(json.dumps(config))  # which is YAML too
    address = free_address()
    own = {**flags, "config.file": "config.yml", "web.listen-address": address}
    with _process(command, folder, own) as process:
        wait_for(f"{command} being ready", lambda: process.poll() is not None or _is_ready(address))
        if process.poll() is not None:
            pytest.fail(f"{command} ended ({process.returncode}):\n{(folder / 'log').read_text()}")
        yield address


def free_address() -> str:
    """A host and port to listen on, never the same twice."""
    for port in _PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return f"127.0.0.1:{port}"
    pytest.fail("no port is free")


@contextmanager
def _process(command: str, folder: Path, flags: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    listed = [f"--{name}={value}" for name, value in flags.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([command, *listed], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
