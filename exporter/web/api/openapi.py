"""The description of the JSON API: `openapi.yaml` has the operations, the models have what goes in and out."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml
from pydantic.json_schema import models_json_schema

from exporter.web.api.intake import Refusal, TasksAskedFor, TasksTaken
from exporter.web.api.schemas import Providers, Tasks, TaskStory
from exporter.web.query import TaskQuery

PATH = "/api/v1/openapi.json"

_ANSWERS = (Providers, Tasks, TasksTaken, TaskStory, Refusal)


def document(external_url: str = "") -> dict[str, Any]:
    """The API as an OpenAPI 3.1 document. Without an address, the paths follow what stands before the document's."""
    described: dict[str, Any] = yaml.safe_load(
        resources.files("exporter.web.api").joinpath("openapi.yaml").read_text(encoding="utf-8")
    )
    refs, schemas = models_json_schema(
        [*((one, "serialization") for one in _ANSWERS), (TasksAskedFor, "validation"), (TaskQuery, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    models = _without_titles(schemas["$defs"])
    for answer in _ANSWERS:  # to which fields may be added
        models[_name(refs[answer, "serialization"])].pop("additionalProperties", None)
    query = models.pop(_name(refs[TaskQuery, "validation"]))
    described["servers"] = [{"url": external_url or "../.."}]
    described["paths"]["/api/v1/tasks"]["get"]["parameters"] = [
        _in_query(name, of) for name, of in query["properties"].items()
    ]
    described["components"]["schemas"] = models
    return described


def _name(ref: dict[str, Any]) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


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
