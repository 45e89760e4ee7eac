"""Shells complete the command line: each is started as it is, with the script, and Tab is pressed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.waiting import PATIENCE

ROOT = Path(__file__).parent.parent
SHELLS = {"bash": ["bash", "--norc", "--noprofile"], "zsh": ["zsh", "-f"], "fish": ["fish", "--no-config"]}
READ = {
    "bash": ". ./script",
    "zsh": 'autoload -Uz compinit; compinit -u -D; eval "$(cat script)"',
    "fish": "source script",
}
TERM = {"bash": "dumb", "zsh": "dumb", "fish": "xterm"}
HERE = [name for name in SHELLS if shutil.which(name)]
"""Bash is on every machine of ours; the others are tried where they are."""


def script(shell: str) -> str:
    command = [sys.executable, "-m", "exporter", "completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == ""
    return done.stdout


class Terminal:
    """A terminal in which a shell runs."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, text: str) -> None:
        """Reads until a text is there; what comes before it is forgotten."""
        while text not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], PATIENCE)
            assert ready, f"{text!r} does not come after {self.seen!r}"
            self.seen += os.read(self.fd, 65536).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]


@contextmanager
def terminal(shell: str, folder: Path) -> Iterator[Terminal]:
    child, fd = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(shell, SHELLS[shell], os.environ | {"TERM": TERM[shell], "PS1": "$ ", "HOME": str(folder)})  # noqa: S606
    try:
        yield Terminal(fd)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(fd)


@pytest.mark.parametrize("shell", HERE)
def test_tab_completes_commands_flags_and_values(shell: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script(shell))
    (tmp_path / "my-config.yaml").touch()
    with terminal(shell, tmp_path) as there:
        there.type(f"{READ[shell]}\n")
        there.type("echo read''y\n")
        there.wait_for("ready")
        for begun, rest in (
            ("check-con", "check-config "),
            ("doctor --js", "--json "),
            ("completion z", "zsh "),
            ("demo --log.level=d", "=debug "),
            ("demo --log.level d", "debug "),
            ("init --type=hey", "=heygen "),
            ("check-config --config.file my-", "my-config.yaml"),
        ):
            there.type(f"videotask-exporter {begun}\t")
            there.wait_for(rest)
            there.type("\x15")  # forget the line


def test_without_a_command_bash_completes_the_flags_of_run(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script("bash"))
    (tmp_path / "my-config.yaml").touch()
    with terminal("bash", tmp_path) as there:
        there.type(". ./script\n")
        there.type("videotask-exporter --web.li\t")
        there.wait_for("--web.listen-address ")
        there.type("\x15videotask-exporter --config.file=my-\t")
        there.wait_for("--config.file=my-config.yaml")
