"""Every command of every document is run, in the order of the document, in a copy of the project.

What no test machine has is in `ELSEWHERE`, with the reason and what checks it instead; a command that is neither there
nor works is a failure. What goes on for ever is started, asked at every address that the document names, and ended. Its
port is a free one, which stands in the place of 10186 in whatever comes after it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from docs.tools.reader import PAGES, ROOT, Block, Page
from exporter.simulator import LIP_SYNC, SEEDS, SORA, Credentials, Life, World, app, serve
from exporter.tasks import State
from tests.harness import account, wait_for

if TYPE_CHECKING:
    Program = Callable[..., str]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Elsewhere:
    """Commands that are not run here."""

    pattern: str
    why: str
    checked_by: tuple[str, ...]
    """Files of the project that see to it instead."""


ELSEWHERE = (
    Elsewhere(r"make (test|quick)\b", "it runs this test or its neighbours", (".ci/run",)),
    Elsewhere(r"make (lint|format)\b", "they are about the code, and CI lints it", (".github/workflows/ci.yml",)),
    Elsewhere(r"make bench\b", "it takes ten minutes", ("tests/test_benchmarks.py",)),
    Elsewhere(r"make dist\b", "the package has tests of its own", ("tests/test_package.py",)),
    Elsewhere(r"\w+=\d+ .*-m pytest (\S+)", "it is a test, with more cases", ("tests/test_ledger_model.py",)),
    Elsewhere(r"python3 -m venv|venv/bin/pip install|uvx\b", "it needs an index", ("tests/test_package.py",)),
    Elsewhere(r"venv/bin/videotask-exporter init\b", "it asks", ("tests/test_init.py",)),
    Elsewhere(
        r"docker (build|run|logs|kill|exec|inspect)\b",
        "it needs a container engine",
        ("scripts/image_test.py", "tests/deploy/test_container.py"),
    ),
    Elsewhere(
        r"docker compose\b",
        "it needs a container engine",
        ("tests/deploy/test_compose.py", "tests/stack/test_compose.py"),
    ),
    Elsewhere(r"make image(-test)?\b", "it needs a container engine", ("tests/deploy/test_container.py",)),
    Elsewhere(r"curl .*\.example/", "the vendor is made up", ("tests/docs/test_add_a_vendor.py",)),
    Elsewhere(r"videotask-exporter migrate-ledger\b", "it needs a database", ("tests/ledger/test_copying.py",)),
    Elsewhere(
        r"videotask-exporter export-history\b|promtool tsdb\b",
        "a week of samples takes minutes",
        ("tests/history/test_in_prometheus.py",),
    ),
    Elsewhere(r"kubectl\b", "it needs a cluster", ("tests/deploy/test_kubernetes.py",)),
    Elsewhere(r"helm install\b", "it needs a cluster", ("tests/deploy/test_helm.py",)),
    Elsewhere(r"sudo |systemctl|journalctl", "it changes the machine", ("tests/deploy/test_systemd.py",)),
)

SERVICE = re.compile(r"(?:venv/bin/)?videotask-exporter (?:--config\.file|run|demo|simulate)|make demo|prometheus ")
"""What goes on until it is ended."""

NAMED = re.compile(r"<(http://(?:localhost|127\.0\.0\.1):10186/[^>]*)>")

KEYS = Credentials()
IDS = {SORA: ("task_01", "task_02"), LIP_SYNC: ("12345",)}
"""Tasks that the documents name."""
PATIENCE = 60.0


def elsewhere(command: str) -> Elsewhere | None:
    return next((one for one in ELSEWHERE if re.match(one.pattern, command)), None)


COMMANDS = [
    (page, command) for page in PAGES for block in page.blocks if block.language == "sh" for command in block.commands
]
WITH_COMMANDS = [page for page in PAGES if any(not elsewhere(command) for one, command in COMMANDS if one is page)]


# --- What the commands find


@contextmanager
def vendors() -> Iterator[str]:
    """Simulated vendors, who know the tasks that the documents name; their address."""
    world = World(seed=7, speed=10.0, rate=0.5, history=60.0)
    now = world.now()
    for feed, ids in IDS.items():
        world.add(*(Life(one, *feed, now - 30, queue_seconds=1, run_seconds=5, end=State.SUCCEEDED) for one in ids))
    with serve(app(world, limits={})) as address:
        yield address.url


def configuration(url: str, ledger: str) -> str:
    """Every vendor, as `config.yaml`; JSON is YAML."""
    providers = [account(name, url) for name in SEEDS]
    return json.dumps({"poll_interval": "500ms", "ledger": {"path": ledger}, "providers": providers})


@dataclass
class Workplace:
    """A copy of the project in which a reader types."""

    folder: Path
    up: ExitStack
    address: str = ""
    """Of the exporter that runs: host and port."""
    service: subprocess.Popen[bytes] | None = None
    output: str = ""
    """Of the last command that has ended."""
    _started: int = field(default=0)

    @property
    def environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        path = f"{self.folder}/.venv/bin:{own['PATH']}"
        return own | {"PATH": path, "HOME": str(self.folder), "PYTHONPATH": str(self.folder)}

    def told(self, text: str) -> str:
        """A command or an address with the ports that are in use here."""
        return re.sub(r"(localhost|127\.0\.0\.1):10186", self.address, text)

    def run(self, command: str) -> None:
        if "curl " in command or "check-health" in command:
            self.have_an_exporter()
        if "check-health" in command:
            command += f" --web.listen-address={self.address}"
        done = subprocess.run(
            ["bash", "-c", self.told(command)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        self.output = done.stdout

    def have_an_exporter(self) -> None:
        """One runs while a document is read that does not say how it was started."""
        if not self.address:
            flags = "--config.file=standing.yaml --web.enable-watch-api --web.enable-lifecycle"
            self.start(f"videotask-exporter {flags}")

    def start(self, command: str) -> None:
        """Starts what goes on, in the place of what went on before, and waits until it is ready."""
        if command.startswith("prometheus "):
            self._start_prometheus(command)
            return
        if self.service is not None:
            end(self.service)
        flag = "--web.listen-address=127.0.0.1:0"
        if command.startswith("make "):  # what `runtime` would install is there
            command = re.sub(r"^make demo(?: ARGS=(\S+))?$", rf"make -o runtime demo ARGS='{flag} \1'", command)
        else:
            command = f"{command} {flag}"
        self.service, self.address = self._begin(command, r"(?:msg=listening url=|status page +)http://(\S+)/")
        wait_for(f"{command} being ready", lambda: answers(f"http://{self.address}/-/ready"))

    def _start_prometheus(self, command: str) -> None:
        config = self.folder / "prometheus.yml"
        config.write_text(self.told(config.read_text()).replace("scrape_interval: 15s", "scrape_interval: 1s"))
        flags = "--web.listen-address=127.0.0.1:0 --storage.tsdb.path=data"
        _, address = self._begin(f"{command} {flags}", r'msg="Listening on" address=(\S+)')
        wait_for("Prometheus being ready", lambda: answers(f"http://{address}/-/ready"))
        wait_for("data", lambda: get_json(f"http://{address}/api/v1/query?query=videotask_up")["data"]["result"])
        rules = get_json(f"http://{address}/api/v1/rules")["data"]["groups"]
        assert {rule["type"] for group in rules for rule in group["rules"]} == {"alerting", "recording"}

    def _begin(self, command: str, listening: str) -> tuple[subprocess.Popen[bytes], str]:
        """A process that goes on until the end of the test, and the address that it says it listens on."""
        log = self.folder / f"service{self._started}.log"
        self._started += 1
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.up.callback(end, process)

        def said() -> re.Match[str] | None:
            assert process.poll() is None, f"{command} ended:\n{log.read_text()}"
            return re.search(listening, log.read_text())

        wait_for(f"{command} listening", said)
        found = said()
        assert found is not None
        return process, found[1]


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and what it has started, if it has not ended yet."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def get_json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "build", "dist", "*.egg-info"
    )
    shutil.copytree(ROOT, folder, ignore=ignored)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, code in (("videotask-exporter", "-m exporter"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {code} "$@"\n')
        (programs / name).chmod(0o755)
    (folder / "venv").symlink_to(folder / ".venv")
    with ExitStack() as up:
        url = up.enter_context(vendors())
        (folder / "config.yaml").write_text(configuration(url, "videotask.sqlite3"))
        (folder / "standing.yaml").write_text(configuration(url, ":memory:"))
        yield Workplace(folder, up)


# --- The tests


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=str)
def test_the_commands_of_a_document_do_what_it_says(page: Page, workplace: Workplace, program: Program) -> None:
    before: Block | None = None
    asked: set[str] = set()
    for block in page.blocks:
        if block.language == "yaml" and re.fullmatch(r"[\w-]+\.ya?ml", block.file):
            (workplace.folder / block.file).write_text(block.text)
        for command in block.commands if block.language == "sh" else ():
            type_in(command, workplace, program)
            if workplace.service is not None and not asked:
                asked = ask_what_is_named(page, workplace)
        if block.language in ("json", "text") and before and is_output(page, before, block):
            compare(block, workplace)
        before = block
    if workplace.service is not None:
        assert asked == set(NAMED.findall(page.prose))


def type_in(command: str, workplace: Workplace, program: Program) -> None:
    if elsewhere(command):
        return
    if command.startswith("curl "):
        assert re.search(r" (-\w*f\w*|--fail-with-body) ", command), f"{command}: without -f it never fails"
    for name in ("curl", "promtool", "amtool", "prometheus"):
        if command.startswith(f"{name} "):
            program(name)
    (workplace.start if SERVICE.match(command) else workplace.run)(command)


def ask_what_is_named(page: Page, workplace: Workplace) -> set[str]:
    """Asks at the exporter's addresses in the text. (Prometheus' pages are not in every build of it.)"""
    named = set(NAMED.findall(page.prose))
    for url in named:
        wait_for(f"an answer from {url}", lambda: answers(workplace.told(url)))  # noqa: B023
    return named


def is_output(page: Page, before: Block, block: Block) -> bool:
    """Whether a block follows directly on commands, or holds samples: then it is what is printed."""
    between = "\n".join(page.text.splitlines()[before.line + before.text.count("\n") + 1 : block.line - 1])
    return (before.language == "sh" and not between.strip()) or block.text.startswith("videotask_")


def compare(block: Block, workplace: Workplace) -> None:
    if block.language == "json":
        assert shape(json.loads(workplace.output)) == shape(json.loads(block.text)), str(block)
        return
    if block.text.startswith("videotask_"):
        with urllib.request.urlopen(f"http://{workplace.address}/metrics", timeout=10) as answer:
            workplace.output = answer.read().decode()
    printed = {without_numbers(line) for line in workplace.output.splitlines()}
    assert [line for line in block.text.splitlines() if without_numbers(line) not in printed] == []


def without_numbers(line: str) -> str:
    return re.sub(r"\d+(\.\d+)*", "0", line).strip()


def shape(value: Any) -> Any:
    """Names and types of a JSON value, without its numbers and texts."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case list():
            return [shape(inner) for inner in value[:1]]
    return type(value).__name__


@pytest.mark.parametrize("one", ELSEWHERE, ids=lambda one: one.pattern)
def test_what_is_checked_elsewhere_is_still_there(one: Elsewhere) -> None:
    assert [path for path in one.checked_by if not (ROOT / path).exists()] == []
    assert any(elsewhere(command) is one for _, command in COMMANDS)


def test_continuous_integration_runs_the_readmes_test() -> None:
    assert "\nexec make test\n" in (ROOT / ".ci" / "run").read_text()
    assert (ROOT / "README.md", "make test") in [(page.path, command) for page, command in COMMANDS]


TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_target_of_make_that_is_named_is_there(page: Page) -> None:
    in_blocks = [command for one, command in COMMANDS if one is page]
    named = {found[1] for text in (*in_blocks, *page.spans) if (found := re.match(r"make ([a-z-]+)", text))}
    assert named <= TARGETS


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda one: str(one)[:60])
def test_files_that_a_command_names_are_there(page: Page, command: str) -> None:
    """Also where the command is run by nobody."""
    tops = {path.name for path in ROOT.iterdir()}
    named = [word for word in shlex.split(command) if "/" in word and word.split("/")[0] in tops - {"venv", ".venv"}]
    assert [path for path in named if not list(ROOT.glob(path))] == []
