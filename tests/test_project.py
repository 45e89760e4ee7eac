"""The project's own files agree with each other: version, dependencies, locks, and what the wheel carries."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import exporter

ROOT = Path(__file__).parent.parent
LOCKS = sorted(ROOT.glob("requirements*.txt"))


def name_of(requirement: str) -> str:
    """The package of a requirement such as `PyYAML>=6.0.3`, as package indexes spell it."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")


def entries(lock: Path) -> list[str]:
    """The requirements of a lock, each with its hashes on one line, without comments."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("#")]
    return [entry.strip() for entry in "\n".join(lines).replace("\\\n", " ").splitlines() if entry.strip()]


def pins(lock: Path) -> dict[str, str]:
    """Package -> version of a lock."""
    pinned = (entry.split()[0].split("==") for entry in entries(lock))
    return {name_of(name): version for name, version in pinned}


@pytest.fixture
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_entry_of_a_lock_is_one_version_with_its_hashes(lock: Path) -> None:
    entry_form = re.compile(r"[A-Za-z0-9._-]+==\S+( ; [^;]+?)?(\s+--hash=sha256:[0-9a-f]{64})+")
    assert entries(lock)
    assert [entry for entry in entries(lock) if not entry_form.fullmatch(entry)] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_host(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(#\s*)?(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)\b", text)


def test_the_locks_pin_what_pyproject_asks_for(pyproject: dict[str, Any]) -> None:
    runtime = {name_of(requirement) for requirement in pyproject["project"]["dependencies"]}
    groups = {group: set(map(name_of, listed)) for group, listed in pyproject["dependency-groups"].items()}
    assert runtime <= pins(ROOT / "requirements.txt").keys()
    assert runtime | groups["dev"] <= pins(ROOT / "requirements-dev.txt").keys()
    assert groups["build"] <= pins(ROOT / "requirements-build.txt").keys()


def test_tests_run_with_the_versions_that_are_shipped() -> None:
    assert pins(ROOT / "requirements.txt").items() <= pins(ROOT / "requirements-dev.txt").items()


def test_the_locked_build_backend_is_the_one_that_builds(pyproject: dict[str, Any]) -> None:
    assert pyproject["dependency-groups"]["build"] == pyproject["build-system"]["requires"]


def test_every_dependency_is_explained(pyproject: dict[str, Any]) -> None:
    listed = list(pyproject["project"]["dependencies"])
    for group in pyproject["dependency-groups"].values():
        listed += group
    taken, _, _ = (ROOT / "docs" / "dependencies.md").read_text().partition("## Considered and not taken")
    explained = re.findall(r"(?m)^- \*\*(\S+)\*\*", taken)
    assert sorted(map(name_of, explained)) == sorted(map(name_of, listed))


def test_the_version_is_written_in_one_place(pyproject: dict[str, Any]) -> None:
    assert "version" not in pyproject["project"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "exporter.__version__"}
    places = [path for path in ROOT.glob("exporter/**/*.py") if f'"{exporter.__version__}"' in path.read_text()]
    assert places == [ROOT / "exporter" / "__init__.py"]


def test_the_wheel_carries_every_file_of_the_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "exporter", source / "exporter", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob(f"videotask_exporter-{exporter.__version__}-*.whl")
    carried = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("exporter/")}
    wanted = {str(path.relative_to(source)) for path in (source / "exporter").rglob("*") if path.is_file()}
    assert carried == wanted
