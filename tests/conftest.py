"""What all tests share."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator import serve

ROOT = Path(__file__).parent.parent
PATIENCE = 30.0
"""Seconds that a test waits for something that must come; how long it takes is not what is tested."""


@pytest.fixture
def anyio_backend() -> str:
    """The exporter runs on asyncio alone."""
    return "asyncio"


def wait_for(
    what: str,
    holds: Callable[[], object],
    patience: float = PATIENCE,
    pause: float = 0.02,
    moves: Callable[[], object] = lambda: None,
) -> None:
    """Waits until something holds, and fails saying what did not. What `moves` tells may go on: then the patience
    begins again."""
    deadline, before = time.monotonic() + patience, moves()
    while not holds():
        if (now := moves()) != before:
            deadline, before = time.monotonic() + patience, now
        if time.monotonic() > deadline:
            pytest.fail(f"waited {patience:g} s in vain: {what}")
        time.sleep(pause)


@pytest.fixture(scope="session", name="wait_for")
def _wait_for() -> Callable[..., None]:
    return wait_for


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Finds a program that this project does not bring: skips where it is missing, but never in CI."""

    def find(name: str, *other_names: str) -> str:
        found = next(filter(None, map(shutil.which, (name, *other_names))), None)
        if found is None and os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not on PATH, and CI skips no test; run make programs")
        if found is None:
            pytest.skip(f"{name} is not on PATH; make programs installs it")
        return found

    return find


class Door:
    """One server for all tests: what the present one puts behind it answers at `url`."""

    url = ""
    behind: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.behind is not None
        await self.behind(scope, receive, send)


@pytest.fixture(scope="session")
def door() -> Iterator[Door]:
    door = Door()
    with serve(door) as server:
        door.url = server.url
        yield door


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


@contextmanager
def exporters(folder: Path) -> Iterator[Callable[..., Exporter]]:
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


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Exporter]]:
    """Starts the exporter in a folder of the test."""
    with exporters(tmp_path) as start:
        yield start


@pytest.fixture(scope="session", name="exporters")
def _exporters() -> Callable[[Path], AbstractContextManager[Callable[..., Exporter]]]:
    """For exporters that outlive a test."""
    return exporters


SHARING = (
    (
        "tests/stack/test_alerts_reach_alertmanager.py",
        "tests/stack/test_dashboard_queries.py",
        "tests/stack/test_document_queries.py",
    ),
    ("tests/test_package.py",),
    ("tests/web/test_pages_in_browser.py",),
)
"""Modules that start what takes long, a stack, a build, a browser: one process runs all tests of a line."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Any process runs any test, but for those that share. (The mark xdist_group does nothing under pytest 9.)"""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it carries no types
        def _split_scope(self, nodeid: str) -> str:
            return next((modules[0] for modules in SHARING if nodeid.startswith(modules)), nodeid)

    return Scheduling(config, log)
