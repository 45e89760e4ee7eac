"""The vendor that CONTRIBUTING.md adds as an example: done as it says, it is polled like any other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.harness import JsonVendor, served

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"(?m)^\*\*`?([^\s`]+)`?\*\*\n\n```\w+\n(.*?)```\n", GUIDE, re.DOTALL))
"""The files of the example: path -> text."""
PROVIDER, TESTS, FIXTURE = (
    "exporter/vendors/builtin/acme.py",
    "tests/providers/test_acme.py",
    "tests/fixtures/acme/renders.json",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, and of what the tests of vendors share, with the example put where it says."""
    tree = tmp_path_factory.mktemp("acme")
    shutil.copytree(ROOT / "exporter", tree / "exporter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "harness", tree / "tests" / "harness")
    (tree / "tests" / "providers").mkdir()
    for name in ("pyproject.toml", "tests/conftest.py", "tests/providers/__init__.py", "tests/providers/conftest.py"):
        shutil.copy(ROOT / name, tree / name)
    for name, text in FILES.items():
        (tree / name).parent.mkdir(exist_ok=True, parents=True)
        (tree / name).write_text(text)
    return tree


def run(*command: str | Path, cwd: Path, given: str = "") -> str:
    """What a command prints; it has to end well."""
    done = subprocess.run(command, cwd=cwd, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_is_one_file_one_fixture_and_one_test_file() -> None:
    assert list(FILES) == [FIXTURE, PROVIDER, TESTS]


def test_the_tests_of_the_example_pass(tree: Path) -> None:
    printed = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS, cwd=tree)
    assert re.search(r"(?m)^\d+ passed in", printed)


def test_the_example_keeps_to_style_and_types(tmp_path: Path) -> None:
    for name in (PROVIDER, TESTS):
        given = ("--stdin-filename", name, "-")
        run(BIN / "ruff", "check", "--no-cache", *given, cwd=ROOT, given=FILES[name])
        assert run(BIN / "ruff", "format", "--no-cache", *given, cwd=ROOT, given=FILES[name]) == FILES[name]
    alone, known = tmp_path / "acme.py", tmp_path / "cache"
    alone.write_text(FILES[PROVIDER])  # in no package: what it imports is found in this tree
    with suppress(FileNotFoundError):  # make lint has gone before: the types of what it imports are known
        shutil.copytree(ROOT / ".mypy_cache", known)
    checked = run(BIN / "mypy", "--cache-dir", known, alone, cwd=ROOT)
    assert checked.startswith("Success: no issues found in 1 source file")


class Acme(JsonVendor):
    """The vendor of the example, with the renders of its document, as if they were of today."""

    listed: ClassVar[list[dict[str, Any]]]
    gone: ClassVar[list[dict[str, Any]]]
    """What only its detail shows."""

    def get(self) -> None:
        url = urlsplit(self.path)
        if self.headers["Authorization"] != "Bearer KEY":
            self.answer(401, {"code": "E_KEY"})
        elif url.path == "/v2/renders":
            asked = dict(parse_qsl(url.query))
            end = int(asked["page"]) * int(asked["size"])
            rows = self.listed[end - int(asked["size"]) : end]
            self.answer(200, {"renders": rows, "more": end < len(self.listed)})
        else:
            found = [one for one in (*self.listed, *self.gone) if url.path == f"/v2/renders/{one['id']}"]
            self.answer(*((200, found[0]) if found else (404, {"code": "E_NONE"})))


@pytest.fixture
def acme() -> Iterator[str]:
    """The vendor's address."""
    renders = json.loads(FILES[FIXTURE])["renders"]
    late = time.time() - 60 - max(one["created_at"] for one in renders)
    Acme.gone = []
    Acme.listed = [
        {key: value + late if key.endswith("_at") else value for key, value in one.items()} for one in renders
    ]
    with served(Acme) as address:
        yield address


def write(folder: Path, acme: str) -> None:
    """A configuration with an account there."""
    provider = {"name": "acme", "type": "acme", "api_key": "${ACME_API_KEY}", "base_url": acme, "page_size": 2}
    config = {"providers": [provider], "poll_interval": "100ms", "ledger": {"path": ":memory:"}}
    (folder / "config.yaml").write_text(json.dumps(config))  # which is YAML too


def test_the_doctor_finds_the_example_well(tree: Path, acme: str, start: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path, acme)
    doctor = start("doctor", "--json", "--config.file=config.yaml", PYTHONPATH=str(tree), ACME_API_KEY="KEY")
    assert doctor.end(None) == 0, doctor.stderr
    (feed,) = json.loads(doctor.stdout)["feeds"]
    assert [call["request"].split("?")[0] for call in feed["calls"]] == ["GET /v2/renders", "GET /v2/renders/r-4"]


def test_the_exporter_polls_the_example_and_counts_its_tasks(
    tree: Path, acme: str, start: Callable[..., Any], tmp_path: Path
) -> None:
    write(tmp_path, acme)
    exporter = start(
        "--config.file=config.yaml", "--web.listen-address=127.0.0.1:0", PYTHONPATH=str(tree), ACME_API_KEY="KEY"
    )

    def value(name: str, **labels: str) -> float | None:
        given = ",".join(
            f'{key}="{one}"' for key, one in sorted({**labels, "kind": "render", "provider": "acme"}.items())
        )
        found: float | None = exporter.value(f"videotask_{name}{{{given}}}")
        return found

    exporter.wait_for("the first sweep", lambda: value("up") == 1)
    assert [value("tasks", state=state) for state in ("queued", "running", "blocked", "unknown")] == [1, 1, 0, 0]
    assert [value("finished_total", state=state) for state in ("succeeded", "failed", "cancelled")] == [1, 1, 0]
    assert value("failures_total", reason="moderation") == 1
    assert value("run_duration_seconds_sum", state="succeeded") == 120
    assert value("output_seconds_total") == 8
    assert value("progress_ratio_gsum") == pytest.approx(0.4)
    assert value("feed_info", clock="provider") == 1

    assert "r-3" in exporter.get("tasks/acme/render/r-3")

    waiting, rendering, *_ = Acme.listed
    Acme.gone = [waiting | {"status": "stopped", "ended_at": time.time()}]
    Acme.listed = [rendering | {"status": "done", "ended_at": time.time(), "seconds": 5}, *Acme.listed[2:]]
    exporter.wait_for("the end of what the list shows", lambda: value("finished_total", state="succeeded") == 2)
    exporter.wait_for("the end of what only its detail shows", lambda: value("finished_total", state="cancelled") == 1)
    assert value("output_seconds_total") == 13
    assert value("up") == 1
