"""The exporter as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.waiting import PATIENCE, wait_for

ROOT = Path(__file__).parents[2]


class Exporter:
    """`videotask-exporter` as a process of its own."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "exporter", *arguments],
                cwd=folder,
                env=own | {"PYTHONPATH": str(ROOT)} | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def url(self) -> str:
        """Where the exporter says that it listens, with a slash at the end."""
        self.wait_for("a line that says where it listens", lambda: self._address)
        assert self._address is not None
        return self._address[1]

    @property
    def _address(self) -> re.Match[str] | None:
        return re.search(r"(?:msg=listening url=|status page +)(http://\S+)", self.stderr + self.stdout)

    def wait_for(self, what: str, holds: Callable[[], object], moves: Callable[[], object] = lambda: None) -> None:
        """Waits while the process lives; the patience begins again when what `moves` tells is another."""

        def holds_or_ended() -> object:
            if holds():
                return True
            if self.process.poll() is not None:
                pytest.fail(f"the exporter ended ({self.process.returncode}) before {what}:\n{self.stderr}")
            return False

        wait_for(f"{what}; stderr:\n{self.stderr}", holds_or_ended, moves=moves)

    def get(self, path: str = "", **headers: str) -> str:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers), timeout=10) as answer:  # noqa: S310
            return str(answer.read().decode())

    def value(self, series: str) -> float | None:
        """The value of a series of /metrics, written as there; None if there is none."""
        found = re.search(rf"(?m)^{re.escape(series)} (\S+)$", self.get("metrics"))
        return float(found[1]) if found else None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """The exit code, after a signal."""
        if number is not None:
            self.send(number)
        return self.process.wait(PATIENCE)


Start = Callable[..., Exporter]
"""Starts an exporter with these arguments, and with these variables in its environment."""


@contextmanager
def exporters(folder: Path) -> Iterator[Start]:
    """What starts exporters in a folder; those that still run at the end are killed."""
    started: list[Exporter] = []

    def start(*arguments: str, **environment: str) -> Exporter:
        own = folder / f"process{len(started)}" if started else folder
        own.mkdir(exist_ok=True)
        started.append(Exporter(own, *arguments, **environment))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            one.process.kill()
            one.process.wait()
