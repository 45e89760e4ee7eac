"""The description of the JSON API, generated: each operation is named here, the rest comes from the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from exporter.web.api import intake
from exporter.web.api import schemas as answers
from exporter.web.query import TaskQuery

PATH = "/api/v1/openapi.json"
VERSION = "1"
"""Of the API: within it, fields are added, and none is taken away or changes its meaning."""

Answer = type[BaseModel] | str | None
"""The model of a body, what else it is in words, or nothing where there is none."""


@dataclass(frozen=True)
class Operation:
    """One thing that the API does."""

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, Answer]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | str | None = None
    secured: str | None = None
    """The scheme that it needs, where it has one of its own."""
    description: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    """What its parameters in the path are."""


_PROVIDER = {"provider": "the provider's name", "kind": "the feed"}
_ID = "the vendor's id of the task, percent-encoded with its slashes"

OPERATIONS = (
    Operation(
        "get",
        "/api/v1/providers",
        "providers",
        "All providers and feeds, and the state of their polling",
        {200: answers.Providers, 400: intake.Refusal},
    ),
    Operation(
        "get",
        "/api/v1/tasks",
        "tasks",
        "The tasks in flight, and those that ended within the recent window",
        {200: answers.Tasks, 400: intake.Refusal},
        query=TaskQuery,
    ),
    Operation(
        "post",
        "/api/v1/tasks",
        "watch",
        "Follow tasks by their ids until their ends are counted",
        {
            200: intake.TasksTaken,
            400: intake.Refusal,
            403: intake.Refusal,
            409: intake.Refusal,
            415: intake.Refusal,
            503: intake.Refusal,
        },
        body=intake.TasksAskedFor,
        description="For feeds that cannot be listed. Asking again changes nothing. Allowed only where the web "
        "configuration has users, or with --web.enable-watch-api.",
    ),
    Operation(
        "get",
        "/api/v1/tasks/{provider}/{kind}/{id}",
        "task",
        "One task and its steps, as long as the ledger remembers it",
        {200: answers.TaskStory, 400: intake.Refusal, 404: intake.Refusal, 503: intake.Refusal},
        words=_PROVIDER | {"id": _ID},
    ),
    Operation(
        "post",
        "/api/v1/callbacks/{provider}/{kind}",
        "callback",
        "A vendor's callback, which causes a look-up of the task",
        {204: None, 400: intake.Refusal, 403: intake.Refusal, 409: intake.Refusal, 503: intake.Refusal},
        body="whatever the vendor sends; the id of the task is looked for in it, and a look-up confirms it",
        secured="callback",
        words=_PROVIDER,
    ),
    Operation("get", PATH, "description", "This description", {200: "an OpenAPI document", 400: intake.Refusal}),
)

_STATUS = {
    200: "done",
    204: "taken",
    400: "the request is wrong; the answer says what is, and what is allowed",
    401: "a user's name and password are needed",
    403: "not allowed here",
    404: "there is no such task or feed",
    409: "more ids than the feed may follow",
    413: "the body is too large",
    415: "the body is not sent as application/json",
    503: "the ledger cannot be used now; try again",
}

_SCHEMES = {
    "basic": {"type": "http", "scheme": "basic", "description": "where the web configuration has users"},
    "callback": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Callback-Secret",
        "description": "watch.callback_secret; also as `Authorization: Bearer`, or as `?secret=`",
    },
}


def document(external_url: str = "") -> dict[str, Any]:
    """The API as an OpenAPI 3.1 document. Without an address, the paths follow what stands before the document's."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    for one in OPERATIONS:
        models += [(model, "serialization") for model in one.answers.values() if isinstance(model, type)]
        models += [(one.body, "validation")] if isinstance(one.body, type) else []
        models += [(one.query, "validation")] if one.query else []
    refs, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")
    definitions: dict[str, Any] = _without_titles(schemas["$defs"])
    queries = {_name(refs[one.query, "validation"]) for one in OPERATIONS if one.query}
    paths: dict[str, dict[str, Any]] = {}
    for (_, mode), ref in refs.items():
        if mode == "serialization":  # an answer, to which fields may be added
            definitions[_name(ref)].pop("additionalProperties", None)
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method] = _operation(one, refs, definitions)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "videotask-exporter",
            "version": VERSION,
            "description": "Tasks at vendors' asynchronous video APIs, and the state of their polling. "
            "Times are Unix seconds, durations seconds, ratios from 0 to 1; unknown values are null.",
        },
        "servers": [{"url": external_url or "../.."}],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in definitions.items() if name not in queries},
            "securitySchemes": _SCHEMES,
        },
    }


def _operation(one: Operation, refs: Mapping[Any, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": one.name, "summary": one.summary}
    if one.description:
        described["description"] = one.description
    parameters = [
        {"name": name, "in": "path", "required": True, "description": words, "schema": {"type": "string"}}
        for name, words in one.words.items()
    ]
    if one.query:
        schema = definitions[_name(refs[one.query, "validation"])]
        parameters += [_in_query(name, dict(of)) for name, of in schema["properties"].items()]
    if parameters:
        described["parameters"] = parameters
    if one.body:
        body = refs[one.body, "validation"] if isinstance(one.body, type) else {"description": one.body}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    described["responses"] = {str(status): _answer(status, answer, refs) for status, answer in one.answers.items()}
    plain = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    described["responses"] |= {"401": {"description": _STATUS[401]} | plain}
    if one.body:
        described["responses"] |= {"413": {"description": _STATUS[413]} | plain}
    described["security"] = [{one.secured: []}] if one.secured else [{}, {"basic": []}]
    return described


def _answer(status: int, answer: Answer, refs: Mapping[Any, Any]) -> dict[str, Any]:
    if answer is None:
        return {"description": _STATUS[status]}
    schema = refs[answer, "serialization"] if isinstance(answer, type) else {"type": "object", "description": answer}
    return {"description": _STATUS[status], "content": {"application/json": {"schema": schema}}}


def _name(ref: Mapping[str, str]) -> str:
    return ref["$ref"].rpartition("/")[2]


def _in_query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter, of which null is simply not sent."""
    words = schema.pop("description", "")
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    schema |= kinds[0] if kinds else {}
    if schema.get("default") in (None, []):
        schema.pop("default", None)
    return {"name": name, "in": "query", "description": words, "schema": schema}


def _without_titles(schema: Any) -> Any:
    """Without the titles that repeat each name."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_without_titles(one) for one in schema] if isinstance(schema, list) else schema
