"""The keys of a declared vendor in docs/vendors/declaration.md, out of the models of declarations."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from docs.tools.markdown import DOCS, table, with_part, words
from exporter.config.models import Settings
from exporter.config.vendors.words import STATES
from exporter.tasks import Reason
from exporter.vendors.declared import declaration as declared
from exporter.vendors.declared import row_fields
from exporter.vendors.declared.auth.settings import Auth
from exporter.vendors.declared.requests import ALWAYS, IDS, PAGING, WINDOW

PARTS: tuple[tuple[str, type[Settings]], ...] = (
    ("A vendor", declared.Declaration),
    ("auth", Auth),
    ("answer", declared.AnswerEnvelope),
    ("settings", declared.OwnSetting),
    ("feeds", declared.FeedDeclaration),
    ("list", declared.ListRequest),
    ("paging", declared.Paging),
    ("detail", declared.DetailRequest),
    ("ended, in detail", declared.EndedRequest),
    ("missing", declared.Missing),
    ("fields", row_fields.Fields),
    ("progress", row_fields.ProgressField),
    ("submitted, started, ended, dated", row_fields.TimeField),
    ("output", row_fields.LengthField),
    ("usage", row_fields.UsageField),
    ("account", declared.AccountRequest),
    ("balance", declared.BalanceField),
)
"""The parts in the order of the page, each by the key under which it stands."""


def page() -> str:
    """The page with the present keys in it."""
    return with_part(DOCS / "vendors" / "declaration.md", "the keys", f"\n{chr(10).join(_sections())}\n")


def _sections() -> Iterator[str]:
    for key, model in PARTS:
        yield f"## {key}\n"
        yield f"{model.__doc__}\n"
        yield from table(("key", "default", "meaning"), (_row(*named) for named in model.model_fields.items()))
        yield ""
    yield "## Words\n"
    yield f"States: {words(STATES)}.\n"
    yield f"Reasons: {words(Reason)}.\n"
    yield "## Placeholders\n"
    yield f"In a list: {words(f'{{{name}}}' for name in sorted(PAGING | WINDOW))}.\n"
    yield f"In a detail: {words(f'{{{name}}}' for name in sorted(IDS))}.\n"
    yield f"Anywhere: {words(f'{{{name}}}' for name in sorted(ALWAYS))}, and the vendor's own `settings`."


def _row(name: str, field: FieldInfo) -> tuple[str, str, str]:
    allowed = _allowed(field.annotation)
    meaning = f"{field.description}: {words(allowed)}" if allowed else str(field.description)
    return f"`{field.alias or name}`", _default(field), meaning


def _allowed(annotation: Any) -> list[str]:
    """The words that may be written, where they are few and fixed."""
    if get_origin(annotation) is Literal:
        return [str(one) for one in get_args(annotation)]
    if get_origin(annotation) is list:
        return _allowed(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return list(annotation)
    return []


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, declared.Paging | Auth):
        return f"`{{type: {value.type}}}`"
    if isinstance(value, declared.Missing):
        return "`{status: [404]}`"
    if isinstance(value, declared.Expression):
        return f"`{value.text}`"
    return (
        f"`{value:g}`" if isinstance(value, int | float) else f"`{value}`" if isinstance(value, str) and value else "–"
    )
