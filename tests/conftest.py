"""What all tests share."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.harness import Start, exporters
from tests.harness.fixtures import door, ledger_url, live_site, poll, postgresql, rig, site, world, write

__all__ = ["door", "ledger_url", "live_site", "poll", "postgresql", "rig", "site", "world", "write"]

settings.register_profile("busy machines", deadline=None)  # no test asserts how fast something is
settings.load_profile("busy machines")


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that runs in this process sets up the logs: the next test finds them as they were."""
    root = logging.getLogger()
    names = ("", "httpx", "httpcore", "aiohttp", "uvicorn", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = [*root.handlers]
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def anyio_backend() -> str:
    """The exporter runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Finds a program that this project does not bring: skips where it is missing, but never in CI.

    One that Go builds may be missing there, too: `make programs` says so.
    """

    def find(name: str, *other_names: str, built_by_go: bool = False) -> str:
        places = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"  # the latter for what Go built
        found = next(filter(None, (shutil.which(one, path=places) for one in (name, *other_names))), None)
        if found is None and os.environ.get("CI") == "true" and not built_by_go:
            pytest.fail(f"{name} is not on PATH, and CI skips no test; run make programs")
        if found is None:
            pytest.skip(f"{name} is not on PATH; make programs installs it")
        return found

    return find


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the exporter in a folder of the test."""
    with exporters(tmp_path) as start:
        yield start


PROGRAMS = {"browser", "postgresql", "program", "start"}
"""Fixtures that start programs: a test that uses one is slow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if PROGRAMS & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)


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

AT_ONCE = 16
"""Tests that a process has before it at most."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """A process more than there are cores: tests also wait, for programs, deadlines and disks."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Any process runs any test, but for those that share. (The mark xdist_group does nothing under pytest 9.)"""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it carries no types
        def _split_scope(self, nodeid: str) -> str:
            return next((modules[0] for modules in SHARING if nodeid.startswith(modules)), nodeid)

        def _assign_work_unit(self, node: Any) -> None:
            """Hands out some tests at once: most take less time than asking for the next. Towards the end, one."""
            super()._assign_work_unit(node)
            most = min(AT_ONCE, len(self.workqueue) // (4 * len(self.nodes)))
            while self._pending_of(self.assigned_work[node]) < most:
                super()._assign_work_unit(node)

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0.0) -> None:
            """Forgets what is done, as the whole list of a process is gone through after each test."""
            super().mark_test_complete(node, item_index, duration)
            units = self.assigned_work[node]
            scope = self._split_scope(self.registered_collections[node][item_index])
            if all(units[scope].values()):
                del units[scope]

    return Scheduling(config, log)
