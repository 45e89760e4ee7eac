"""The Dockerfile and what is written about it: what scripts/image_test.py, which runs the image, takes for granted."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes import DEPLOYED
from exporter.cli import COMMANDS
from tests.harness import Start

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"\\\n\s*", "", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)).splitlines()
IMAGE_TEST = ROOT / "scripts" / "image_test.py"
DOCUMENT = (ROOT / "docs" / "containers.md").read_text()
BASE = "docker.io/library/python@sha256:" + "0" * 64


def all_of(instruction: str) -> list[str]:
    return [line.removeprefix(f"{instruction} ") for line in INSTRUCTIONS if line.startswith(f"{instruction} ")]


def one(instruction: str) -> str:
    (found,) = all_of(instruction)
    return found


def made(*arguments: str) -> str:
    """The commands that make would run."""
    return subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.replace("\\\n", "")


def test_one_image_is_under_all_and_an_argument_replaces_it() -> None:
    bases = [line.split()[0] for line in all_of("FROM")]
    assert bases[1:] == ["base", "base"]
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", bases[0])
    assert f"--build-context {bases[0]}=docker-image://{BASE} " in made("image", "ENGINE=docker", f"BASE={BASE}")
    assert "--build-context" not in made("image", "ENGINE=docker")


@pytest.mark.parametrize(
    ("engine", "in_format"),
    [("docker", False), ("docker --context=other", False), ("podman", True), ("/usr/bin/buildah --debug", True)],
)
def test_the_health_check_is_kept_by_engines_that_drop_it_unless_told(engine: str, in_format: bool) -> None:
    assert ("--format docker" in made("image", f"ENGINE={engine}")) is in_format


def test_the_image_is_built_before_it_is_tried_unless_one_is_named() -> None:
    built, tried = made("image-test", "ENGINE=docker").strip().splitlines()[-2:]
    name = built.split(" -t ")[1].split()[0]
    assert tried.strip() == f'ENGINE="docker" scripts/image_test.py {name}'
    alone = made("image-test", "ENGINE=podman --debug", "IMAGE=forge.example/that:1")
    assert alone.strip() == 'ENGINE="podman --debug" scripts/image_test.py forge.example/that:1'


def test_only_what_is_locked_comes_into_the_image() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install ([^&]+)", " ".join(all_of("RUN")))
    assert len(installs) == 3
    for install in installs:
        assert ("--require-hashes" in install and "-r requirements" in install) or "--no-index" in install
    assert all("--no-deps" in install for install in installs)


def test_the_context_has_what_is_copied_and_nothing_beside() -> None:
    copied = {source for line in all_of("COPY") if not line.startswith("--from") for source in line.split()[:-1]}
    ignoring = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignoring[1] == "*"
    assert {line.removeprefix("!") for line in ignoring if line.startswith("!")} == copied
    assert all((ROOT / source).exists() for source in copied)


def test_it_runs_as_the_user_who_owns_the_only_volume() -> None:
    assert one("USER") == "10186:10186"
    assert one("VOLUME") == all_of("WORKDIR")[-1] == "/data"
    assert "install -d -o 10186 -g 10186 -m 0750 /data" in all_of("RUN")[-1]


def test_commands_and_port_are_those_of_the_exporter(start: Start) -> None:
    assert json.loads(one("ENTRYPOINT")) == ["videotask-exporter"]
    _, health = one("HEALTHCHECK").split(" CMD ")
    program, command, *arguments = json.loads(health)
    assert (program, arguments) == ("videotask-exporter", [])
    assert command in COMMANDS
    asked = start(command, "--help", COLUMNS="200")
    assert asked.end(None) == 0
    assert f"(default :{one('EXPOSE')})" in asked.stdout


def test_the_documents_numbers_are_those_that_are_demanded() -> None:
    (demanded,) = re.findall(r"(?m)^ADDED = (\d+)_000_000$", IMAGE_TEST.read_text())
    (most,) = re.findall(r"less than (\d+) MB", DOCUMENT)
    added = {int(number) for number in re.findall(r"(\d+) MB (?:to its base image|are\s+bytecode)", DOCUMENT)}
    assert demanded == most
    assert len(added) == 1
    assert max(added) < int(demanded)
    (uid,) = re.findall(r"(?m)^UID = (\d+)$", IMAGE_TEST.read_text())
    assert f"{uid}:{uid}" == one("USER")
    assert f"runs as user {uid}" in DOCUMENT


def test_commands_of_the_document_name_what_there_is() -> None:
    """No test runs them: they take an engine. scripts/image_test.py does what they do."""
    blocks = re.findall(r"(?ms)^```sh\n(.+?)^```", DOCUMENT)
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    commands = [shlex.split(line) for line in lines]
    ours = [words[words.index("videotask-exporter", 1) :] for words in commands if "videotask-exporter" in words[1:]]
    known = {word for words in ours for word in words if word in COMMANDS}
    assert known == {"check-config", "doctor", "check-health"}
    (expected,) = json.loads(one("CMD"))
    assert {word for line in lines for word in re.findall(r"--config\.file=\S+", line)} == {expected}
    assert {words[1] for words in commands if words[0] == "make"} == {"image", "image-test"}
    files = {word for words in commands for word in words if word.endswith(".yaml") and "=" not in word}
    assert files == {"compose.yaml", "deploy/compose/accounts.yaml"}
    assert all((ROOT / name).exists() for name in files)


def test_an_engine_that_is_not_there_is_told() -> None:
    tried = subprocess.run(
        [sys.executable, IMAGE_TEST, "forge.example/that:1"],
        env={"PATH": "/nowhere", "ENGINE": "buildah --debug"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = "image-test: no buildah on PATH; name a container engine: ENGINE=podman\n"
    assert (tried.returncode, tried.stdout, tried.stderr) == (1, "", told)


def test_the_benchmarks_run_the_exporter_as_it_is_deployed() -> None:
    (unit,) = (ROOT / "deploy" / "systemd").glob("*.service")
    for name, value in DEPLOYED.items():
        assert f" {name}={value}" in DOCKERFILE
        assert f"\nEnvironment={name}={value}\n" in unit.read_text()
