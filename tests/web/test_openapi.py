"""The description of the JSON API says what the running server does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from starlette.routing import Route

from exporter.metrics.exposition import Exposition
from exporter.snapshot import Reloads
from exporter.tasks import Observation, Reason, State
from exporter.web import app as web
from exporter.web.api import openapi
from tests.harness import Rig

from .serving import SECRET, served, studio

FEW = settings(
    max_examples=30,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
"""Enough to meet each kind of answer, the same ones at each run."""

NOT_OURS = [
    positive_data_acceptance,  # which providers and tasks there are, no schema can say
    ignored_auth,  # whether it is asked for, the web configuration says
]
KNOWN = {"provider": "studio", "kind": "lip_sync", "id": "a/b"}
TASK, CALLBACK = "/api/v1/tasks/{provider}/{kind}/{id}", "/api/v1/callbacks/{provider}/{kind}"
SENT: dict[str, dict[str, Any]] = {
    "POST /api/v1/tasks": {"body": {"provider": "studio", "kind": "lip_sync", "ids": ["new", "a/b"]}},
    f"POST {CALLBACK}": {"headers": {"X-Callback-Secret": SECRET}, "body": {"id": "a/b"}},
}
"""What makes an operation succeed, beside what is in the path."""


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with studio() as rig:
        now = rig.clock.now
        await rig.show()
        await rig.show(
            Observation("a/b", State.RUNNING, progress=0.5),
            Observation("q", State.QUEUED, submitted=now),
            Observation("f", State.FAILED, Reason.AUTH, submitted=now - 9, started=now - 5, ended=now, said="no"),
        )
        await rig.loops[1].sweep()  # which fails
        yield rig


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[httpx.AsyncClient]:
    async with served(rig.app(takes_tasks=lambda: True)) as client:
        yield client


def described() -> set[tuple[str, str]]:
    """The path and the method of each operation."""
    return {(path, method) for path, methods in openapi.document()["paths"].items() for method in methods}


async def test_the_description_is_served_as_it_is_made(http: httpx.AsyncClient) -> None:
    answer = await http.get(openapi.PATH)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == openapi.document()


async def test_every_endpoint_is_described_and_nothing_else(rig: Rig) -> None:
    app = web.create(rig.polled, Exposition(rig.polled.snapshot, Reloads, rig.clock), rig.clock)
    there = {
        (re.sub(r":path\b", "", route.path), method.lower())
        for route in app.routes
        if isinstance(route, Route) and route.path.startswith("/api/")
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described() == there


@pytest.mark.parametrize("part", ["schemas", "responses", "parameters"])
def test_everything_that_is_referred_to_is_described_and_all_that_is_described_is_referred_to(part: str) -> None:
    document = openapi.document()
    named = set(re.findall(rf'"#/components/{part}/(\w+)"', json.dumps(document)))
    assert named == document["components"][part].keys()


def test_every_field_of_an_answer_is_always_there_and_explained() -> None:
    for name, schema in openapi.document()["components"]["schemas"].items():
        fields = schema.get("properties", {})
        assert set(schema.get("required", [])) == fields.keys(), name
        assert [f"{name}.{key}" for key, of in fields.items() if not of.get("description")] == []


@pytest.mark.slow
async def test_the_server_does_what_the_description_says(http: httpx.AsyncClient) -> None:
    schema = schemathesis.openapi.from_dict(openapi.document())
    answers: set[tuple[str, int]] = set()

    def check(case: Case[Any]) -> None:
        answer = case.call(base_url=str(http.base_url), proxies={"no_proxy": "127.0.0.1"})
        answers.add((case.operation.label, answer.status_code))
        case.validate_response(answer, excluded_checks=NOT_OURS)

    def check_all() -> None:
        for path, method in sorted(described()):
            operation = schema[path][method]
            known = {name: KNOWN[name] for name in re.findall(r"{(\w+)}", path)}
            fixed = {"path_parameters": known} | SENT.get(operation.label, {})
            for cases in (operation.as_strategy(), operation.as_strategy(**fixed)):
                FEW(given(cases)(check))()
            with suppress(Unsatisfiable):  # where nothing that is sent could be wrong
                FEW(given(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))(check))()

    await asyncio.to_thread(check_all)
    done = {label for label, status in answers if status < 300}
    assert done == {f"{method.upper()} {path}" for path, method in described()}
    refused = {("GET /api/v1/tasks", 400), ("POST /api/v1/tasks", 400), (f"GET {TASK}", 404), (f"POST {CALLBACK}", 403)}
    assert refused <= answers
