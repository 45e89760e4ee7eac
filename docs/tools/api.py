"""The OpenAPI document, docs/openapi.json, and its operations in docs/api.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from docs.tools.markdown import DOCS, row, table, with_part
from exporter.web.api import openapi


def description() -> str:
    """The OpenAPI document."""
    return json.dumps(openapi.document(), indent=2) + "\n"


def page() -> str:
    """The page with the present operations in it."""
    text = "\n".join(_operations(openapi.document()["paths"]))
    return with_part(DOCS / "api.md", "the API", f"\n{text}\n")


def _operations(paths: dict[str, Any]) -> Iterator[str]:
    yield from table(("operation", "what it does", "answer"), ())
    for path, methods in paths.items():
        for method, one in methods.items():
            good = next(answer for status, answer in one["responses"].items() if status < "300")
            content = good.get("content", {}).get("application/json", {}).get("schema", {})
            told = ". ".join(filter(None, (one["summary"], one.get("description", "").rstrip("."))))
            yield row((f"`{method.upper()} {path}`", told, _type(content) if "$ref" in content else "–"))
    yield "\n## Parameters of `GET /api/v1/tasks`\n"
    yield from table(("parameter", "type", "meaning"), ())
    for one in paths["/api/v1/tasks"]["get"]["parameters"]:
        default = f"; default `{one['schema']['default']}`" if "default" in one["schema"] else ""
        yield row((f"`{one['name']}`", _type(one["schema"]), one["description"] + default))


def _type(schema: dict[str, Any]) -> str:
    """The type of a value, in words."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        return f"{_type(schema['additionalProperties'])} by {_type(schema['propertyNames'])}"
    return str(schema["type"])
