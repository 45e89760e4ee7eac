"""What the forge and git run: by their schemas, in agreement with the Makefile, and doing what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__

Program = Callable[[str], str]

ROOT = Path(__file__).parents[2]
FORGE = ROOT / ".github"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FORGE.glob("workflows/*.yml"))}
HOOKS = {
    hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
}
MAKEFILE = (ROOT / "Makefile").read_text()
SHELL = {"PATH": os.environ["PATH"], "LC_ALL": "C"}


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each step, with the name of its job."""
    for workflow, content in WORKFLOWS.items():
        for job, told in content["jobs"].items():
            for step in told.get("steps", []):
                yield f"{workflow}/{job}", step


def scripts(job: str) -> list[str]:
    return [step["run"] for name, step in steps() if name == job and "run" in step]


# By the schemas


def schema_faults(schema: str, *paths: Path) -> str:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, paths)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if checked.returncode == 0 else checked.stdout + checked.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", "workflows/*.yml"),
        ("dependabot", "dependabot.yml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/*.yml"),
    ],
)
def test_files_are_what_the_forge_takes(schema: str, pattern: str) -> None:
    assert schema_faults(schema, *FORGE.glob(pattern)) == ""


@pytest.mark.slow
def test_a_workflow_that_the_forge_would_refuse_is_found(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text((FORGE / "workflows" / "ci.yml").read_text().replace("runs-on:", "runs_on:"))
    assert "runs-on" in schema_faults("github-workflows", broken)


def test_updates_are_looked_for_where_there_is_something_to_update() -> None:
    updates = yaml.safe_load((FORGE / "dependabot.yml").read_text())["updates"]
    assert {one["directory"] for one in updates} == {"/"}
    assert {one["package-ecosystem"] for one in updates} == {"github-actions", "docker", "docker-compose"}
    # Of a Dockerfile, only a FROM that names its image itself is kept up to date.
    assert re.search(r"(?m)^FROM [a-z][^$\s]+:[^$\s]+ AS ", (ROOT / "Dockerfile").read_text())
    assert re.search(r"(?m)^ +image: \S+:\S+", (ROOT / "compose.yaml").read_text())


# In agreement with the rest


def test_the_tests_run_on_every_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in project["classifiers"]]
    matrix = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == [version[1] for version in named if version]
    assert project["requires-python"] == f">={matrix[0]}"


def test_the_test_command_is_that_of_the_readme() -> None:
    assert re.search(r"(?m)^make test\b", (ROOT / "README.md").read_text())
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
    assert scripts("ci/test") == ["make test PYTHON=python${{ matrix.python }}"]


def test_every_target_that_is_called_is_there() -> None:
    called = {target for _, step in steps() for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))}
    assert called == {"dist", "image-test", "lint", "lock", "test"}
    assert called <= set(re.findall(r"(?m)^([a-z-]+):", MAKEFILE))


# What a workflow may do


def test_actions_are_pinned_to_a_commit_that_has_its_version_beside_it() -> None:
    lines = [line for path in FORGE.glob("workflows/*.yml") for line in path.read_text().splitlines()]
    used = [line.partition("uses: ")[2] for line in lines if "uses: " in line]
    ours = [one for one in used if one.startswith("./")]
    assert ours == ["./.github/workflows/ci.yml"]
    pinned = [
        re.fullmatch(r"(actions/[a-z-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+", one) for one in used if one not in ours
    ]
    assert all(pinned)
    assert len({one[0] for one in pinned if one}) == len({one[1] for one in pinned if one})  # one version of each


def test_only_what_proposes_and_releases_may_write() -> None:
    assert {name: content["permissions"] for name, content in WORKFLOWS.items()} == {
        name: {"contents": "read"} for name in WORKFLOWS
    }
    writing = {
        f"{name}/{job}": sorted(told["permissions"])
        for name, content in WORKFLOWS.items()
        for job, told in content["jobs"].items()
        if "permissions" in told
    }
    assert writing == {
        "locks/propose": ["contents", "pull-requests"],
        "release/draft": ["attestations", "contents", "id-token"],
    }
    # Nothing of the tree runs there.
    assert [script for job in writing for script in scripts(job) if "make" in script] == []


def test_no_workflow_knows_secrets_or_runs_strangers_words() -> None:
    for path in FORGE.glob("workflows/*.yml"):
        assert not re.search(r"secrets\b|pull_request_target|workflow_run", path.read_text())
    inserted = {each for _, step in steps() for each in re.findall(r"\${{.*?}}", step.get("run", ""))}
    assert inserted == {"${{ matrix.python }}"}


def test_every_job_comes_to_an_end() -> None:
    jobs = [told for content in WORKFLOWS.values() for told in content["jobs"].values() if "uses" not in told]
    assert len(jobs) == 7
    assert all(0 < told["timeout-minutes"] <= 60 for told in jobs)


# What their scripts do


@pytest.mark.parametrize(("tag", "code"), [(f"v{__version__}", 0), (__version__, 1), (f"v{__version__}0", 1)])
def test_only_a_tag_that_is_the_version_is_released(tag: str, code: int) -> None:
    (script,) = [one for one in scripts("release/build") if "GITHUB_REF_NAME" in one]
    ended = subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, env=SHELL | {"GITHUB_REF_NAME": tag}, check=False)
    assert ended.returncode == code


def test_newer_locks_are_proposed_and_unchanged_ones_are_not(program: Program, tmp_path: Path) -> None:
    git = program("git")
    forge, tree, called = tmp_path / "forge.git", tmp_path / "tree", tmp_path / "called"
    (tmp_path / "gh").write_text(f'#!/bin/sh\necho "$@" >>{called}\n')
    (tmp_path / "gh").chmod(0o755)
    environment = SHELL | {"PATH": f"{tmp_path}:{SHELL['PATH']}", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    by_somebody = ("-c", "user.name=tests", "-c", "user.email=tests@tests.example")

    def run(*command: str) -> str:
        return subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True, text=True).stdout

    tree.mkdir()
    (tree / "requirements.txt").write_text("a==1\n")
    run(git, "init", "--quiet", "--initial-branch=main")
    run(git, "add", ".")
    run(git, *by_somebody, "commit", "--quiet", "--message=first")
    run(git, "init", "--quiet", "--bare", str(forge))
    run(git, "remote", "add", "origin", str(forge))
    (script,) = scripts("locks/propose")
    assert run("bash", "-e", "-c", script) == "nothing is newer\n"
    assert not called.exists()
    (tree / "requirements.txt").write_text("a==2\n")
    run("bash", "-e", "-c", script)
    assert called.read_text() == "pr create --fill --head update-locks\n"
    assert run(git, "--git-dir", str(forge), "show", "update-locks:requirements.txt") == "a==2\n"


# Before each commit


def test_hooks_run_the_commands_of_the_makefile() -> None:
    recipes = {line.strip().replace("$(BIN)", ".venv/bin") for line in MAKEFILE.splitlines()}
    assert {hook["entry"] for hook in HOOKS.values()} <= recipes
    assert {hook["language"] for hook in HOOKS.values()} == {"system"}


SLOW = {"mypy", "docs"}
"""Hooks that take their time; `make lint` and the tests of the documents run the same."""


@pytest.fixture
def hooks(program: Program, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Runs hooks, or one of them, in a repository that has the files of this tree; tells how each ended."""
    git, tree = program("git"), tmp_path / "tree"
    made = shutil.ignore_patterns(".*_cache", ".git", ".venv", ".hypothesis", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, tree, ignore=made)
    (tree / ".venv").symlink_to(sys.prefix)
    environment = SHELL | {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "SKIP": ",".join(SLOW)}
    # The environment has this tree installed, and it is the copy that is meant.
    environment["PYTHONPATH"] = str(tree)
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run([git, *command], cwd=tree, env=environment, check=True)

    def run(*hook: str, path: str = "", change: Callable[[str], str] = str) -> dict[str, str]:
        if path:
            changed = tree / path
            changed.write_text(change(changed.read_text()))
            subprocess.run([git, "add", path], cwd=tree, env=environment, check=True)
        command = [sys.executable, "-m", "pre_commit", "run", "--all-files", *hook]
        ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        ended = {one: re.search(rf"(?m)^{re.escape(HOOKS[one]['name'])}\.+(\w+)$", ran.stdout) for one in HOOKS}
        return {one: found[1] for one, found in ended.items() if found}

    return run


def test_the_tree_passes_the_hooks_and_what_is_out_of_order_does_not(hooks: Callable[..., dict[str, str]]) -> None:
    assert hooks() == {one: "Skipped" if one in SLOW else "Passed" for one in HOOKS}
    unused = hooks("ruff-check", path="exporter/__init__.py", change=lambda text: text + "import   os\n")
    assert unused == {"ruff-check": "Failed"}
    assert hooks("ruff-format") == {"ruff-format": "Failed"}
    rules = "deploy/kubernetes/prometheusrule.yaml"
    outdated = hooks("dashboards", path=rules, change=lambda text: text.replace("for: 5m", "for: 50m"))
    assert outdated == {"dashboards": "Failed"}
