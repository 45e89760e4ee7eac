"""The project's own files agree with each other: version, releases, dependencies and locks."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from itertools import chain
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
    extras = pyproject["project"]["optional-dependencies"].values()
    listed = [*pyproject["project"]["dependencies"], *chain.from_iterable(extras)]
    runtime = {name_of(requirement) for requirement in listed}
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
    for group in (*pyproject["project"]["optional-dependencies"].values(), *pyproject["dependency-groups"].values()):
        listed += group
    taken, _, _ = (ROOT / "docs" / "dependencies.md").read_text().partition("## Considered and not taken")
    explained = re.findall(r"(?m)^- \*\*(\S+)\*\*", taken)
    assert sorted(map(name_of, explained)) == sorted(map(name_of, listed))


def test_the_version_is_written_in_one_place(pyproject: dict[str, Any]) -> None:
    assert "version" not in pyproject["project"]
    assert pyproject["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "exporter.__version__"}
    places = [path for path in ROOT.glob("exporter/**/*.py") if f'"{exporter.__version__}"' in path.read_text()]
    assert places == [ROOT / "exporter" / "__init__.py"]


# The changelog, in the form that "Keep a Changelog" describes

HEADING = re.compile(r"## \[(?:Unreleased|(\d+)\.(\d+)\.(\d+))\](?: - (\d{4}-\d\d-\d\d))?")
GROUPS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]


@pytest.fixture
def changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture
def releases(changelog: str) -> list[tuple[tuple[int, ...], str]]:
    """Version and day of each, in the order of the file; of what is not released yet both are empty."""
    headings = [HEADING.fullmatch(line) for line in changelog.splitlines() if line.startswith("## ")]
    assert headings
    assert all(headings)
    return [(tuple(map(int, filter(None, one.groups()[:3]))), one[4] or "") for one in headings if one]


def test_what_is_not_released_comes_first_and_then_the_releases_the_newest_first(
    releases: list[tuple[tuple[int, ...], str]],
) -> None:
    unreleased, *released = releases
    assert unreleased == ((), "")
    assert [version for version, _ in released] == sorted({version for version, _ in released}, reverse=True)
    days = [date.fromisoformat(day) for _, day in released]  # each has one
    assert days == sorted(days, reverse=True)


def test_the_newest_release_is_this_version(releases: list[tuple[tuple[int, ...], str]]) -> None:
    assert ".".join(map(str, releases[1][0])) == exporter.__version__


def test_changes_stand_in_the_groups_that_there_are_in_their_order(changelog: str) -> None:
    for section in changelog.split("\n## ")[1:]:
        groups = re.findall(r"(?m)^### (.+)$", section)
        assert groups == [group for group in GROUPS if group in groups], section.splitlines()[0]
        for group in section.split("\n### ")[1:]:
            assert re.match(r"\w+\n\n- \S", group), group.splitlines()[0]  # none is empty


def test_the_changelog_names_no_address(changelog: str) -> None:
    """No forge is known to be ours, and a link to a comparison of versions would lead nowhere."""
    assert "://" not in changelog
