"""The unit for systemd: accepted by systemd, hardened, and running the exporter as it says."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.harness import Exporter, Start

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = FOLDER / "videotask-exporter.service"
PROGRAM = "/opt/videotask-exporter/bin/videotask-exporter"
KILL = "/bin/kill"
CONFIG = "/etc/videotask-exporter/config.yaml"
EXPOSURE = 1.5
"""How exposed the unit may be, from 0 to 10; below 2 systemd calls it OK."""


def settings(section: str) -> dict[str, list[str]]:
    """The values of each setting of a section, in the order of the unit."""
    text = re.split(r"(?m)^\[(\w+)\]\n", UNIT.read_text())
    lines = [line for line in text[text.index(section) + 1].splitlines() if line and line[0] != "#"]
    found: dict[str, list[str]] = {}
    for name, _, value in (line.partition("=") for line in lines):
        found.setdefault(name, []).append(value)
    return found


SERVICE = settings("Service")


Analyze = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def analyze(program: Callable[[str], str], tmp_path: Path) -> Analyze:
    """Runs systemd-analyze on the unit, changed or not; in the place of its programs are some that are there."""
    command = program("systemd-analyze")

    def run(*arguments: str, change: Callable[[str], str] = str) -> subprocess.CompletedProcess[str]:
        unit = tmp_path / UNIT.name
        unit.write_text(change(UNIT.read_text().replace(PROGRAM, sys.executable).replace(KILL, sys.executable)))
        return subprocess.run([command, *arguments, unit], capture_output=True, text=True, check=False)

    return run


VERIFY = ("verify", "--recursive-errors=no", "--man=no")
SECURITY = ("security", "--offline=yes", "--no-pager", f"--threshold={EXPOSURE * 10:.0f}")


def test_systemd_finds_nothing_wrong_with_the_unit(analyze: Analyze) -> None:
    checked = analyze(*VERIFY)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    misspelt = analyze(*VERIFY, change=lambda text: text.replace("ProtectSystem=", "ProtectSytem="))
    assert "ProtectSytem" in misspelt.stderr


def test_systemd_calls_the_unit_hardened(analyze: Analyze) -> None:
    checked = analyze(*SECURITY)
    assert checked.returncode == 0, checked.stdout
    assert f"Overall exposure level for {UNIT.name}" in checked.stdout
    unfiltered = analyze(*SECURITY, change=lambda text: text.replace("SystemCallFilter=", "#"))
    assert unfiltered.returncode != 0


def test_it_has_longer_to_stop_than_it_takes_and_comes_back_after_a_failure() -> None:
    (stop,) = SERVICE["TimeoutStopSec"]
    assert int(stop) > 5  # within which the exporter stops
    assert SERVICE["Restart"] == ["on-failure"]


def test_the_document_installs_what_the_unit_runs() -> None:
    document = (FOLDER.parents[1] / "docs" / "systemd.md").read_text()
    (environment,) = SERVICE["EnvironmentFile"]
    assert f"sudo python3 -m venv {Path(PROGRAM).parents[1]}\n" in document
    assert f"sudo install -m 0644 deploy/systemd/config.yaml {CONFIG}\n" in document
    assert f"sudo install -d -m 0700 {Path(CONFIG).parent}/secrets\n" in document
    assert f"`{environment.removeprefix('-')}`" in document
    assert f"CREDENTIALS_DIRECTORY=/run/credentials/{UNIT.name} " in document
    assert f"`/var/lib/{SERVICE['StateDirectory'][0]}/videotask.sqlite3`" in document


def test_it_runs_as_the_unit_says(
    start: Start, aimed: Callable[[str], str], keys: dict[str, str], tmp_path: Path
) -> None:
    etc, credentials, state = tmp_path / "etc", tmp_path / "credentials", tmp_path  # the working directory
    for folder in (etc, credentials):
        folder.mkdir()
    (credential,) = SERVICE["LoadCredential"]
    prefix, _, source = credential.partition(":")
    assert source == f"{Path(CONFIG).parent}/secrets"
    for name, secret in keys.items():  # as systemd names those that it takes from a folder
        (credentials / f"{prefix}_{name}").write_text(secret)
    config = etc / "config.yaml"
    config.write_text(aimed((FOLDER / "config.yaml").read_text()))

    (command,) = SERVICE["ExecStart"]
    assert command.startswith(f"{PROGRAM} ")
    assert command.endswith(" $ARGS")
    arguments = command.removeprefix(PROGRAM).removesuffix("$ARGS").replace(CONFIG, str(config)).split()
    exporter = start(*arguments, "--web.listen-address=127.0.0.1:0", CREDENTIALS_DIRECTORY=str(credentials))
    for feed in ('kind="sora",provider="deerapi"', 'kind="video",provider="chanjing"'):
        exporter.wait_for(f"a sweep of {feed}", partial(succeeded, exporter, feed))
    assert SERVICE["WorkingDirectory"] == [f"%S/{SERVICE['StateDirectory'][0]}"]
    assert (state / "videotask.sqlite3").exists()

    config.write_text(config.read_text().replace("name: chanjing", "name: studio"))
    assert SERVICE["ExecReload"] == [f"{KILL} -HUP $MAINPID"]
    exporter.send(signal.SIGHUP)
    exporter.wait_for("the reload", partial(succeeded, exporter, 'kind="video",provider="studio"'))
    assert exporter.end(signal.SIGTERM) == 0


def succeeded(exporter: Exporter, feed: str) -> bool:
    return exporter.value(f"videotask_up{{{feed}}}") == 1
