"""The configuration as a JSON Schema: for editors, which complete and check by it, and for the reference in docs/.

It lets pass whatever `config.py` takes. Values are texts there, so numbers may be in quotes, and `${VARIABLE}` may
stand for any of them. What only reading can show (names given twice, files that are not there), it lets pass too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from exporter.config.load import Config
from exporter.config.models import PollSettings, ProviderSettings, Settings
from exporter.config.values import TEXT, VARIABLE
from exporter.config.vendors.declarations import SHARED
from exporter.config.vendors.types import Vendors, VendorType

COMMON = ProviderSettings.__name__
DIALECT = "https://json-schema.org/draft/2020-12/schema"

_WHOLE_NUMBER = r"^\s*[+-]?[0-9][0-9_]*(\.0*)?\s*$"
_NUMBER = r"^\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_TRUTH = ("true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0")
_UNITS = ((2 * 86400, 86400, "d"), (3600, 3600, "h"), (60, 60, "m"), (0, 1, "s"))
"""From when on a unit is used (a day is written as 24h), its seconds, and its letter."""


def document(vendors: Vendors) -> dict[str, Any]:
    """The schema of the whole file."""
    config = Config.model_json_schema(schema_generator=_Generator)
    definitions = config.pop("$defs") | _declaration(vendors)
    definitions[COMMON] = _of_any_type(definitions[COMMON])
    for vendor in vendors.values():
        schema = _vendor(vendor)
        definitions |= schema.pop("$defs")
        definitions[vendor.name] = schema
    config["properties"]["providers"]["items"] = _provider(vendors)
    config["properties"]["vendors"]["additionalProperties"] = {"$ref": f"#/$defs/{vendors.declaration.__name__}"}
    config["patternProperties"] = {f"^{SHARED}": {}}
    config["required"].remove("providers")
    config["anyOf"] = [{"required": ["providers"]}, {"required": ["provider_files"]}]
    # Where the file declares vendors, a provider may be of a type that is not known here.
    types = {"items": {"properties": {"type": _one_of(vendors)}}}
    config["if"] = {"not": {"anyOf": [{"required": ["vendors"]}, {"required": ["vendor_files"]}]}}
    config["then"] = {"properties": {"providers": types}}
    return _whole(config | {"$defs": definitions}, "Configuration of videotask-exporter")


def vendor_file(vendors: Vendors) -> dict[str, Any]:
    """The schema of a file of `vendor_files`."""
    declaration = {"$ref": f"#/$defs/{vendors.declaration.__name__}"}
    file = {"type": "object", "patternProperties": {f"^{SHARED}": {}}, "additionalProperties": declaration}
    return _whole(file | {"$defs": _declaration(vendors)}, "Vendors of videotask-exporter")


def provider_file(vendors: Vendors) -> dict[str, Any]:
    """The schema of a file of `provider_files`."""
    whole = document(vendors)
    shared = {name: whole["properties"][name] for name in PollSettings.model_fields}  # to which providers refer
    return {
        "$schema": DIALECT,
        "title": "Providers of videotask-exporter",
        "type": "array",
        "items": whole["properties"]["providers"]["items"],
        "properties": shared,
        "$defs": whole["$defs"],
    }


def text(document: dict[str, Any]) -> str:
    """A schema as JSON for people."""
    return json.dumps(document, indent=2) + "\n"


def _whole(schema: dict[str, Any], title: str) -> dict[str, Any]:
    named: dict[str, Any] = {}
    body = _with_references(schema, named)
    body["$defs"] |= named
    return {"$schema": DIALECT, "title": title, **body}


def _declaration(vendors: Vendors) -> dict[str, Any]:
    """The schemas of a declared vendor and its parts, by name."""
    schema = vendors.declaration.model_json_schema(schema_generator=_Generator)
    parts: dict[str, Any] = schema.pop("$defs")
    return parts | {vendors.declaration.__name__: schema}


def _of_any_type(schema: dict[str, Any]) -> dict[str, Any]:
    """What a provider may have whatever its type is; a type that is declared elsewhere may add to it."""
    properties = schema["properties"] | {name: {"$ref": f"#/properties/{name}"} for name in PollSettings.model_fields}
    return {"type": "object", "properties": properties}


def _vendor(vendor: VendorType) -> dict[str, Any]:
    """The settings of one type of provider, where a kind is one of its feeds."""
    schema = vendor.settings.model_json_schema(schema_generator=_Generator)
    properties = schema["properties"]
    feeds = next(part for part in properties["feeds"]["anyOf"] if part["type"] == "array")
    kinds = [*vendor.kinds, *vendor.more_kinds]
    feeds |= {"items": _one_of(kinds), "minItems": 1}
    properties |= {name: {"$ref": f"#/properties/{name}"} for name in PollSettings.model_fields}
    properties["watch"]["properties"] = {"tasks": {"propertyNames": {"enum": kinds}}}
    return schema


def _provider(vendors: Vendors) -> dict[str, Any]:
    """A provider is what its type makes it, so that a fault names that type alone."""
    types = {"anyOf": [{"enum": list(vendors)}, {"type": "string"}]}
    every = {"type": {"description": "the vendor", **types}, "name": {}}
    cases: list[dict[str, Any]] = [
        {
            "if": {"type": "object", "required": ["type"], "properties": {"type": {"const": name}}},
            "then": {"$ref": f"#/$defs/{name}"},
        }
        for name in vendors
    ]
    is_known = {"required": ["type"], "properties": {"type": {"enum": list(vendors)}}}
    cases.append({"if": {"not": is_known}, "then": {"$ref": f"#/$defs/{COMMON}"}})
    return {"type": "object", "required": ["name", "type"], "properties": every, "allOf": cases}


def _one_of(words: Iterable[str]) -> dict[str, Any]:
    return {"anyOf": [{"enum": list(words)}, {"type": "string", "pattern": VARIABLE}]}


class _Generator(GenerateJsonSchema):
    """What pydantic makes of the models, with the forms that a value may have in the file."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        result = super().str_schema(schema)
        if "pattern" in result:
            result["pattern"] += f"|{VARIABLE}"
        return TEXT | result | {"type": TEXT["type"]}

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        text = {"type": "string", "pattern": f"{_WHOLE_NUMBER}|{VARIABLE}"}
        return {"title": "whole number", "anyOf": [super().int_schema(schema), text]}

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        text = {"type": "string", "pattern": f"{_NUMBER}|{VARIABLE}"}
        return {"title": "number", "anyOf": [super().float_schema(schema), text]}

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        return _one_of(super().enum_schema(schema)["enum"])

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        words = "|".join("".join(f"[{letter.upper()}{letter}]" for letter in word) for word in _TRUTH)
        text = {"type": "string", "pattern": f"^({words})$|{VARIABLE}"}
        return {"title": "true or false", "anyOf": [{"type": "boolean"}, {"enum": [0, 1]}, text]}

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        result = super().literal_schema(schema)
        return _one_of(result["enum"]) if "enum" in result else result

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        keys = self.generate_inner(schema["keys_schema"])
        names = {"propertyNames": keys} if keys.keys() & {"enum", "title", "$ref"} else {}
        return {"type": "object", **names, "additionalProperties": self.generate_inner(schema["values_schema"])}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        result = super().default_schema(schema)
        if "default" in result:
            result["default"] = _as_written(result.pop("default"), result)
        return {key: value for key, value in result.items() if key != "default" or value is not None}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        result = super().model_schema(schema)
        result.pop("title")
        model = schema["cls"]
        return _with_credentials(result, model) if issubclass(model, Settings) else result


def _as_written(value: Any, schema: JsonSchemaValue) -> Any:
    """A default as one would write it in the file."""
    kind = schema.get("title", "")
    if isinstance(value, list):
        return [_as_written(each, schema["items"]) for each in value]
    if kind.startswith("duration"):
        units = (f"{value / size:g}{unit}" for least, size, unit in _UNITS if value >= least and value % size == 0)
        return next(units, f"{value * 1000:g}ms")
    return f"{value:g}/s" if kind == "rate" else value


def _with_credentials(schema: JsonSchemaValue, model: type[Settings]) -> JsonSchemaValue:
    """The schema of a model in which each secret may be in a file instead, and one way to authenticate is given."""
    properties: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []
    required = schema.pop("required", [])
    for name, of in schema["properties"].items():
        properties[name] = of
        if name not in model.secret_names():
            continue
        file = f"{name}_file"
        description = f"a file that holds {name}; it is read again when it changes"
        types = [*TEXT["type"], "null"]
        properties[file] = {"title": "file", **TEXT, "type": types, "minLength": 1, "description": description}
        rules.append({"not": {"required": [name, file]}})
        if name in required:
            required.remove(name)
            rules.append(_given([name, file]))
    if issubclass(model, ProviderSettings) and model.ways:
        ways = [[{name, f"{name}_file"} & properties.keys() for name in way] for way in model.ways]
        begun = [_given(sorted(set[str]().union(*way))) for way in ways]
        whole = [{"allOf": [_given(sorted(keys)) for keys in way]} for way in ways]
        rules += [{"oneOf": begun}, {"anyOf": whole}]
    return schema | {"properties": properties, "required": required, "allOf": rules}


def _given(keys: Iterable[str]) -> dict[str, Any]:
    """That one at least of these keys has a value."""
    return {"anyOf": [{"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in keys]}


def _with_references(schema: Any, named: dict[str, Any]) -> Any:
    """The same schema, with the forms of values that have a name taken out into `named`, each once."""
    if isinstance(schema, list):
        return [_with_references(each, named) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "title" not in schema or "type" not in schema:
        return {key: _with_references(value, named) for key, value in schema.items() if value != []}
    own = {key: value for key, value in schema.items() if key in ("default", "description")}
    key = schema["title"].replace(" ", "_")
    named.setdefault(key, {name: value for name, value in schema.items() if name not in own})
    return {"$ref": f"#/$defs/{key}", **own}
