"""JMESPath expressions: compiled once, with a bound on the work that one evaluation may take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult
from jmespath.visitor import TreeInterpreter

from exporter.config.values import fault

LONGEST = 1000
"""Characters of an expression."""

WORK = 2_000_000
"""Values that one evaluation may touch: an answer holds 100,000, and an expression passes over it a few times."""


class ExpressionFailed(ValueError):
    """An expression that a value does not suit, such as a sum over texts, or that would take too long."""


class Expression:
    """A compiled JMESPath expression. Calling it with a value gives what it selects, None where there is nothing.

    The language has no loops, and its functions neither call out nor read anything but the value.
    """

    __slots__ = ("_plain", "_select", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError where the text is no JMESPath."""
        if len(text) > LONGEST:
            raise ValueError(f"longer than {LONGEST} characters")
        try:
            parsed = jmespath.compile(text)
            _check_functions(parsed.parsed)
        except JMESPathError as error:
            raise ValueError(_told(error)) from None
        self.text = text
        keys = _keys(parsed.parsed)
        self._plain = [path for path in _alternatives(parsed.parsed) if path]
        self._select = _interpreted(parsed) if keys is None else _followed(keys)

    def __call__(self, value: Any) -> Any:
        """Raises ExpressionFailed."""
        return self._select(value)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def is_empty_in(self, value: Any) -> bool:
        """Whether it is a plain path, or several with `||`, at whose end null or an empty list is written.

        Then there is nothing, and the vendor says so; else the path leads nowhere.
        """
        return any(_is_empty_at(keys, value) for keys in self._plain)

    def is_blocked_in(self, value: Any) -> bool:
        """Whether something else stands where a plain path wants a mapping to go on."""
        return any(_is_blocked_at(keys, value) for keys in self._plain)

    @property
    def key(self) -> str:
        """The key that it is, where it is nothing but one."""
        return self.text if self.text.isidentifier() else ""


def expression(value: Any) -> Expression:
    """An expression out of the configuration."""
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str) or not value.strip():
        raise fault("not a text; write a JMESPath expression, such as data.items")
    try:
        return Expression(value.strip())
    except ValueError as error:
        raise fault(f"not a JMESPath expression: {error}") from None


class _Bounded(TreeInterpreter):
    """Counts what it touches, and stops where that is too much."""

    def __init__(self) -> None:
        super().__init__()
        self._left = WORK

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().visit(node, *args, **kwargs)
        self._left -= 1 + (len(result) if isinstance(result, list | dict | str) and node["type"] not in _FREE else 0)
        if self._left < 0:
            raise ExpressionFailed("the expression takes too long on this answer")
        return result


_FREE = frozenset({"field", "identity", "current", "literal", "subexpression", "index", "pipe", "index_expression"})
"""Nodes that hand on a value that was there."""


def _interpreted(parsed: ParsedResult) -> Callable[[Any], Any]:
    tree = parsed.parsed

    def select(value: Any) -> Any:
        try:
            return _Bounded().visit(tree, value)
        except ExpressionFailed:
            raise
        except (JMESPathError, RecursionError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise ExpressionFailed(f"{type(error).__name__} in the expression") from None

    return select


def _keys(tree: Any) -> list[str] | None:
    """The keys of a plain path such as `data.items`; None where it is more than that."""
    match tree["type"]:
        case "current" | "identity":
            return []
        case "field":
            return [tree["value"]]
        case "subexpression":
            parts = [_keys(child) for child in tree["children"]]
            return None if None in parts else [key for part in parts for key in part or ()]
    return None


def _alternatives(tree: Any) -> list[list[str] | None]:
    if tree["type"] == "or_expression":
        return [path for child in tree["children"] for path in _alternatives(child)]
    return [_keys(tree)]


def _is_empty_at(keys: list[str], value: Any) -> bool:
    *above, last = keys
    holder = _followed(above)(value)
    return isinstance(holder, dict) and last in holder and holder[last] in (None, [])


def _is_blocked_at(keys: list[str], value: Any) -> bool:
    for key in keys[:-1]:
        value = value.get(key)
        if not isinstance(value, dict):
            return value is not None
    return False


def _followed(keys: list[str]) -> Callable[[Any], Any]:
    """A plain path without the interpreter: most are, and rows come by the thousand."""
    if not keys:
        return lambda value: value
    if len(keys) == 1:
        (only,) = keys
        return lambda value: value.get(only) if isinstance(value, dict) else None

    def select(value: Any) -> Any:
        for key in keys:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    return select


_FUNCTIONS = (
    "abs avg ceil contains ends_with floor join keys length map max max_by merge min min_by not_null reverse sort "
    "sort_by starts_with sum to_array to_number to_string type values"
)
_KNOWN = frozenset(_FUNCTIONS.split(" "))


def _check_functions(tree: Any) -> None:
    if tree["type"] == "function_expression" and tree["value"] not in _KNOWN:
        raise ValueError(f"no function has the name {tree['value'][:40]}; allowed: {_FUNCTIONS}")
    for child in tree["children"]:
        if isinstance(child, dict):
            _check_functions(child)


def _told(error: JMESPathError) -> str:
    """Where it goes wrong, in one line without the expression, which stands in the file."""
    position = getattr(error, "lex_position", None)
    if position is None:
        position = getattr(error, "lexer_position", None)
    where = f" at character {position + 1}" if isinstance(position, int) and position >= 0 else ""
    token = getattr(error, "token_value", None)
    return f"unexpected {str(token)[:40]!r}{where}" if token else f"it is incomplete or has a wrong sign{where}"
