"""The guide to a declared vendor: every step of it is done as it says, and what it shows is what is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from docs.tools.reader import ROOT
from exporter.vendors.declared.declaration import Declaration, DetailRequest, FeedDeclaration, ListRequest, Paging
from exporter.vendors.declared.row_fields import Fields
from tests.harness import JsonVendor, served

GUIDE = (ROOT / "docs" / "vendors" / "add-a-vendor.md").read_text(encoding="utf-8")
STEPS = re.compile(r"(?ms)^(?:\*\*([\w.]+)\*\*\n\n)?^```(\w+)\n(.*?)^```$")
COMMAND = Path(sys.executable).parent / "videotask-exporter"

pytestmark = pytest.mark.slow


def steps() -> Iterator[tuple[str, str, str]]:
    """Files with their names, and blocks of commands, in the order of the guide."""
    for found in STEPS.finditer(GUIDE):
        named = re.match(r"# ([\w.]+)\n", found[3])
        yield found[1] or (named[1] if named else ""), found[2], found[3]


def printed(folder: Path, command: str) -> str:
    name, *arguments = command.split()
    assert name == "videotask-exporter"
    environment = {**os.environ, "ACME_KEY": "sk-acme-0123456789"}
    ran = subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_each_step_prints_what_the_guide_shows(folder: Path) -> None:
    compared = 0
    for name, language, text in steps():
        if name:
            (folder / name).write_text(text, encoding="utf-8")
        if language != "console":
            continue
        command, _, shown = text.removeprefix("$ ").partition("\n")
        if shown and not shown.startswith("$ "):
            assert printed(folder, command) == shown
            compared += 1
    assert compared >= 3


class Acme(JsonVendor):
    """The vendor of the guide."""

    def get(self) -> None:
        listed = json.loads(next(text for name, _, text in steps() if name == "list.json"))
        if self.headers["Authorization"] != "Bearer sk-acme-0123456789":
            self.answer(401, {"code": 401, "message": "invalid api key"})
        elif self.path.startswith("/v2/renders?"):
            self.answer(200, listed)
        elif row := next((one for one in listed["data"]["renders"] if self.path.endswith(one["id"])), None):
            self.answer(200, {"code": 0, "data": row})
        else:
            self.answer(404, {})


DIFFERENT = re.search(r"(?s)## Where your vendor differs\n(.*?)\n## ", GUIDE)
SNIPPETS = re.findall(r"`(\w+: [^`]+)`", DIFFERENT[1] if DIFFERENT else "")
PARTS: tuple[type[BaseModel], ...] = (ListRequest, DetailRequest, Paging, Fields, FeedDeclaration, Declaration)


def faulty(model: type[BaseModel], values: object) -> set[object]:
    """The keys at which something is wrong."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        return {detail["loc"][0] for detail in error.errors()}
    return set()


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_what_the_guide_tells_of_other_vendors_may_be_written_so(snippet: str) -> None:
    ((key, value),) = yaml.load(snippet, yaml.BaseLoader).items()  # noqa: S506  # all texts, as the exporter reads them
    models = [one for one in PARTS for name, field in one.model_fields.items() if (field.alias or name) == key]
    assert any(key not in faulty(model, {key: value}) for model in models)


def test_doctor_finds_the_vendor_of_the_guide_well(folder: Path) -> None:
    for name, _, text in steps():
        if name:
            (folder / name).write_text(text, encoding="utf-8")
    with served(Acme) as url:
        config = (folder / "config.yaml").read_text() + f"    base_url: {url}\n"
        (folder / "config.yaml").write_text(config)
        told = printed(folder, "videotask-exporter doctor --config.file=config.yaml")
    assert "render" in told
    assert "prompt" not in told
    assert re.search(r"(?i)error|refused|cannot", told) is None, told
