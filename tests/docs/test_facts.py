"""The flags, names and addresses in the documents exist."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import pytest
from starlette.datastructures import QueryParams
from starlette.routing import Route

from docs.tools.reader import PAGES, ROOT, Page
from exporter import cli
from exporter.config import schema as config_schema
from exporter.tasks import Cause, Phase, Reason, State
from exporter.web import app, query
from exporter.web.access.webconfig import WebSettings
from exporter.web.api import openapi
from grafana.promql import CLOSED, SERVED
from tests.harness import VENDORS

BY_NAME = {str(page): page for page in PAGES}
README = BY_NAME["README.md"]
TROUBLESHOOTING = BY_NAME["docs/troubleshooting.md"]
COOKBOOK = BY_NAME["docs/cookbook.md"]

# --- Vendors

TOLD = {
    "submitted": "time of submission",
    "started": "time of start",
    "ended": "time of end",
    "progress": "progress of running tasks",
    "output": "seconds of video",
    "model": "model",
    "usage": "cost",
}
"""Rows of a vendor's page, by the parts that the command `vendors` names."""


@pytest.mark.parametrize("name", sorted(VENDORS))
def test_a_vendors_page_and_the_command_tell_the_same_of_what_is_known(name: str) -> None:
    text = BY_NAME[f"docs/vendors/{name}.md"].text
    table = text[text.index("## What is read") : text.index("## Requests at")]
    lines = (line.split("|")[1:-1] for line in table.splitlines() if line.startswith("|"))
    cells = {first.strip(): [one.strip() for one in rest] for first, *rest in lines}
    for place, kind in enumerate(VENDORS[name].kinds):
        known = {part for part, row in TOLD.items() if cells[row][place] not in ("no", "observed", "unknown")}
        assert known == set(VENDORS[name].tells[kind].parts) & TOLD.keys(), kind


# --- Flags


def flags() -> set[str]:
    """Those of all commands."""
    found: set[str] = set()
    waiting = [cli.parser()]
    while waiting:
        for action in waiting.pop()._actions:
            found |= set(action.option_strings)
            if isinstance(action.choices, dict):
                waiting += action.choices.values()
    return found


FLAGS = flags()
OTHERS = {
    "--enable-feature": "Prometheus",
    "--format": "podman",
    "--health-cmd": "docker",
    "--volumes": "docker compose",
    "--build-arg": "docker",
    "--quick": "the benchmarks",
    "--publish": "the benchmarks",
    "--tasks": "the benchmarks",
    "--folder": "the benchmarks",
    "--check": "the pictures of dashboards",
    "--help": "every command",
    "--what": "systemctl",
}
"""Flags that the documents name and the exporter has not, and whose they are."""

OWN = rf"videotask-exporter (?:(?:{'|'.join(cli.COMMANDS)})\b|(?=--(?:config|web)\.)).*"
"""The exporter with its own arguments, as against those of a container that has its name."""


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_flags_that_are_named_are_there(page: Page) -> None:
    own = {flag for span in page.spans for flag in re.findall(r"(?<![\w-])--[a-z][\w.-]*[a-z]", span)}
    assert own - FLAGS - OTHERS.keys() == set()


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_flags_that_commands_give_the_exporter_are_there(page: Page) -> None:
    for block in page.blocks:
        for command in block.commands if block.language == "sh" else ():
            if given := re.search(OWN, command):
                assert set(re.findall(r"(?<![\w-])--[a-z][\w.-]*[a-z]", given[0])) <= FLAGS, command


# --- Names


def names_of_settings() -> set[str]:
    """Keys of the configuration, by themselves and with the section that they stand in."""
    schema = config_schema.document(VENDORS)
    found = set(schema["properties"])
    for name, part in schema["$defs"].items():
        keys = set(part.get("properties", ()))
        section = name.removesuffix("Settings").lower()
        found |= keys | {f"{section}.{key}" for key in keys}
    return found


KNOWN = {
    *names_of_settings(),
    *WebSettings.model_fields,
    *SERVED,
    *(name.removesuffix("_bucket") for name in SERVED),
    *(label for values in CLOSED.values() for label in values),
    *CLOSED,
    *VENDORS,
    *VENDORS.kinds,
    "type",
    "kind",
    *Cause,
    *openapi.document()["components"]["schemas"]["TaskStory"]["properties"],
    "provider",
    "task_id",
    "bug",
    "ledger",
    "rule_files",
    "json_exporter",
    "node_exporter",
    "node_textfile_mtime_seconds",
}
FOR_PEOPLE = ("getting-started", "cookbook", "troubleshooting", "comparison")
PEOPLE = [README, *(BY_NAME[f"docs/{name}.md"] for name in FOR_PEOPLE)]


@pytest.mark.parametrize("page", PEOPLE, ids=str)
def test_names_that_a_page_for_people_uses_are_there(page: Page) -> None:
    """Settings, metrics, labels and their values: words with an underscore or a dot between them."""
    named = {span for span in page.spans if re.fullmatch(r"[a-z]+(?:[_.][a-z]+)+", span)}
    files = {span for span in named if re.search(r"\.(yaml|yml|json|sqlite3|md|txt)$", span)}
    assert named - files - KNOWN == set()


def test_the_table_of_causes_is_whole() -> None:
    """Every class of error, and the two that are not of a call."""
    (table,) = re.findall(r"(?m)^\| `cause` .*\n\|.*\n((?:\|.*\n)+)", TROUBLESHOOTING.text)
    assert set(re.findall(r"(?m)^\| `(\w+)`", table)) == CLOSED["error"] | {"ledger", "bug"}


def test_the_table_of_endpoints_has_every_route() -> None:
    """What is below /api/v1/ has a document of its own; style sheets and alike need none."""
    routes = {one.path for one in app.create(cast("Any", None), cast("Any", None)).routes if isinstance(one, Route)}
    (table,) = re.findall(r"(?m)^## Endpoints and signals\n\n((?:\|.*\n)+)", README.text)
    told = {path for span in re.findall(r"`([^`]+)`", table) if (path := span.removeprefix("POST ")).startswith("/")}
    listed = {path for path in routes if not path.startswith(("/api/v1/", "/static/", "/favicon"))}
    assert {re.sub(r":\w+", "", path) for path in listed} == told - {"/api/v1/"}
    assert any(path.startswith("/api/v1/") for path in routes)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_search_for_tasks_that_is_named_is_understood(page: Page) -> None:
    for span in (*page.spans, *(command for block in page.blocks for command in block.commands)):
        for asked in re.findall(r"(?<!generations)(?<!v2)/tasks\?([\w=&-]+)", span):
            query.parse(QueryParams(asked), strict=True)


def test_the_port_is_that_of_the_command() -> None:
    for page in PAGES:
        ports = set(re.findall(r"(?:localhost|127\.0\.0\.1):(\d+)", page.text))
        assert ports <= {"10186", "10187", "3000", "9090", "9093"}, page
    assert "(default :10186)" in " ".join(cli.parser()._actions[-1].choices["run"].format_help().split())  # type: ignore[index]


def test_the_dashboard_that_is_opened_first_is_there() -> None:
    folder, title = "Video tasks", "Video tasks: overview"
    assert f"*{folder}*, dashboard *{title}*" in " ".join(BY_NAME["docs/getting-started.md"].prose.split())
    assert f"folder: {folder}\n" in (ROOT / "grafana" / "provisioning" / "dashboards" / "videotask.yaml").read_text()
    dashboard = json.loads((ROOT / "grafana" / "dashboards" / "videotask-overview.json").read_text())
    assert dashboard["title"] == title


# --- The cookbook


RECIPES = dict(re.findall(r"(?ms)^## ([^\n]+\?)\n(.*?)(?=^## |\Z)", COOKBOOK.text))


def test_the_cookbook_answers_questions() -> None:
    assert len(RECIPES) >= 10


@pytest.mark.parametrize("question", RECIPES)
def test_a_recipe_says_how_to_read_it_and_what_to_mind(question: str) -> None:
    assert "```promql" in RECIPES[question]
    assert re.findall(r"(?m)^\*\*(.*?):\*\*", RECIPES[question]) == ["Read it", "Note"]


def test_the_cookbook_tells_every_reason_and_phase() -> None:
    """A reader who looks for one finds it."""
    assert {reason for reason in Reason if reason not in COOKBOOK.text} == set()
    assert {state for state in (State.LOST, State.QUEUED) if state not in COOKBOOK.text} == set()
    assert Phase.RUN in COOKBOOK.text
