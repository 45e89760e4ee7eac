"""The settings in docs/configuration.md, out of the JSON Schema of the configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from docs.tools.markdown import DOCS, row, table, with_part, words
from exporter.config import schema as config_schema
from exporter.config.models import PollSettings, ProviderSettings
from exporter.vendors.registry import built_in
from exporter.vendors.vendor import Vendor

HEAD = ("key", "type", "default", "meaning")
PARTS = {
    "LogSettings": "log",
    "LedgerSettings": "ledger",
    "WatchSettings": "watch",
    "WatchUrl": "watch.http",
    "Iam": "iam",
}
"""Under which key a part stands."""
FEEDS = {"description": "which feeds to poll, else all of the type", "type": "array", "items": {"title": "kind"}}


def page() -> str:
    """The page with the present settings in it."""
    return with_part(DOCS / "configuration.md", "the settings", f"\n{chr(10).join(_sections())}\n")


def _sections() -> Iterator[str]:
    schema = _schema()
    parts = schema["$defs"]
    common = parts["deerapi"]
    shared = PollSettings.model_fields.keys()

    yield "## For all providers, or for one\n"
    yield "At the top of the file for all providers, in a provider for that one.\n"
    yield from _settings(schema, shared)
    yield "\n## At the top only\n"
    yield from _settings(schema, schema["properties"].keys() - shared)
    for part in ("LogSettings", "LedgerSettings"):
        yield from _part(parts, part)
    yield "\n## providers\n"
    yield "Besides the settings for all providers, each has these, and those of its type.\n"
    general = {"type": {"description": "the vendor", "enum": list(built_in())}, "feeds": FEEDS}
    yield from _settings({**common, "properties": common["properties"] | general}, set(_every()) - _differing())
    yield "\nThe settings of each `type` are on [its page](../README.md#what-it-reads)."
    for part in ("WatchSettings", "WatchUrl"):
        yield from _part(parts, part)


@cache
def _schema() -> dict[str, Any]:
    return config_schema.document(built_in())


def _every() -> list[str]:
    """What each provider has, whatever its type."""
    return [key for key in ProviderSettings.model_fields if key not in PollSettings.model_fields]


@cache
def _differing() -> frozenset[str]:
    """Those of them whose default or meaning depends on the type."""
    parts = _schema()["$defs"]
    return frozenset(key for key in _every() if len({_row(key, parts[name])[2:] for name in built_in()}) > 1)


def of_type(vendor: Vendor) -> Iterator[str]:
    """The settings of one type, for its page."""
    parts = _schema()["$defs"]
    part = parts[vendor.name]
    yield "## Settings\n"
    yield f"Feeds: {words(vendor.kinds)}{_more(vendor)}."
    if vendor.settings.ways:
        ways = (" with ".join(f"`{key}`" for key in way) for way in vendor.settings.ways)
        yield f"Exactly one of these: {'; '.join(ways)}."
    yield "What all providers have is in [configuration](../configuration.md#providers).\n"
    mine = part["properties"].keys() - PollSettings.model_fields.keys() - {"type"}
    yield from _settings(part, [key for key in mine if key not in _every() or key in _differing()])
    if vendor.name == "huawei_metastudio":
        yield from _part(parts, "Iam")
    yield ""


def _more(vendor: Vendor) -> str:
    """The feeds that a provider may have besides, in words."""
    return f"; where `feeds` names them also {words(vendor.more_kinds)}" if vendor.more_kinds else ""


def _part(parts: dict[str, Any], name: str) -> Iterator[str]:
    yield f"\n## {PARTS[name]}\n"
    yield f"{parts[name]['description']}\n"
    yield from _settings(parts[name])


def _settings(schema: dict[str, Any], only: Collection[str] | None = None) -> Iterator[str]:
    """The table of a part's settings, in the order of the models. The file of a secret stands beside it."""
    properties = schema["properties"]
    files = {f"{key}_file" for key in properties} & properties.keys()
    yield from table(HEAD, ())
    for key in properties:
        if (only is not None and key not in only) or key in files:
            continue
        yield row(_row(key, schema))


def _row(key: str, schema: dict[str, Any]) -> tuple[str, str, str, str]:
    of = schema["properties"][key]
    twin = f", `{key}_file`" if f"{key}_file" in schema["properties"] else ""
    return f"`{key}`{twin}", _type(of), _default(key, of, schema), of.get("description", "")


def _default(key: str, of: dict[str, Any], schema: dict[str, Any]) -> str:
    if key in schema.get("required", ()) or any(key in _keys(rule) for rule in schema.get("allOf", ())):
        return "required"
    if "default" not in of:
        return "–"
    value = of["default"]
    written = ", ".join(value) if isinstance(value, list) else str(value).lower() if isinstance(value, bool) else value
    return f"`{written}`"


def _keys(rule: dict[str, Any]) -> list[str]:
    """The settings of a rule that wants a secret, in itself or in its file."""
    return [key for one in rule.get("anyOf", ()) for key in one.get("required", ())]


def _type(of: dict[str, Any]) -> str:
    """The type of a value, in people's words."""
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        return f"[{PARTS[name]}](#{PARTS[name].replace('.', '')})" if name in PARTS else str(name).replace("_", " ")
    if of.get("title") == "whole number":
        number = of["anyOf"][0]
        least, most = f"{number['minimum']:,}", f"{number['maximum']:,}" if "maximum" in number else ""
        return f"whole number, {least} to {most}" if most else f"whole number, at least {least}"
    if "title" in of:
        return str(of["title"])
    if "enum" in of:
        return words(of["enum"])
    if "anyOf" in of:
        return next(_type(one) for one in of["anyOf"] if one.get("type") != "null")
    if of["type"] == "array":
        return f"list of {_plural(_type(of['items']))}"
    if of["type"] == "object":
        inner = of.get("additionalProperties")
        if inner == {"$ref": "#/$defs/Declaration"}:
            return "[vendors](vendors/declaration.md), by type"
        by = "name" if inner and _type(inner) == "secret" else "kind"
        return f"{_type(inner)}, by {by}" if inner else "[providers](#providers)"
    return "text"


def _plural(word: str) -> str:
    if word.startswith(("[", "`")):
        return word
    return word.replace("duration", "durations") if word.startswith("duration") else f"{word}s"
