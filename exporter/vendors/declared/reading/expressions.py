"""JMESPath expressions: compiled once, with a bound on the work that one evaluation may take."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import reduce
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from exporter.config.values import fault

LONGEST = 1000
"""Characters of an expression."""

DEEPEST = 60
"""Levels of an expression; each takes a few calls within each other."""

PASSES = 10
"""How often an expression may go over all that it is given, rows and pages alike."""

LEAST_WORK = 1000
"""Values that one evaluation may touch in any case: an expression has a few hundred parts."""

MOST_WORK = 2_000_000
"""Values that one evaluation may touch at most: an answer holds 100,000."""

TEXT = 4
"""Characters of a text that count as much as one value."""


Select = Callable[[Any], Any]


class ExpressionFailed(ValueError):
    """An expression that a value does not suit, such as a sum over texts, or that would take too long."""


class Expression:
    """A compiled JMESPath expression. Calling it with a value gives what it selects, None where there is nothing.

    The language has no loops, and its functions neither call out nor read anything but the value.
    """

    __slots__ = ("_plain", "select", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError where the text is no JMESPath."""
        if len(text) > LONGEST:
            raise ValueError(f"longer than {LONGEST} characters")
        try:
            parsed = jmespath.compile(text)
        except JMESPathError as error:
            raise ValueError(_told(error)) from None
        except RecursionError:
            raise ValueError(_TOO_DEEP) from None
        _check(parsed.parsed)
        tree = _read_as_meant(parsed.parsed)
        self.text = text
        keys = _keys(tree)
        self._plain = [path for path in _alternatives(tree) if path]
        self.select: Select = (_quick(tree) or _interpreted(tree)) if keys is None else _followed(keys)

    def __call__(self, value: Any) -> Any:
        """Raises ExpressionFailed."""
        return self.select(value)

    def or_none(self, value: Any) -> Any:
        """The same, but None also where it does not suit the value."""
        try:
            return self.select(value)
        except ExpressionFailed:
            return None

    def is_true_of(self, value: Any) -> bool:
        """Whether what it selects is true; it is not where it does not suit the value."""
        return is_true(self.or_none(value))

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
    if slip := _slip(value):
        raise fault(slip)
    try:
        return Expression(value.strip())
    except ValueError as error:
        raise fault(f"not a JMESPath expression: {error}{_hint(value.strip())}") from None


_LITERALS = re.compile(r"'(?:[^'\\]|\\.)*+(?:'|\\?\Z)|`(?:[^`\\]|\\.)*+(?:`|\\?\Z)", re.DOTALL)
"""Texts and values in an expression; one that does not end goes to the end, or each quote would be looked through."""
_AS_KEY = re.compile(r"[=!]=\s*(?:\"(?P<text>[^\"\\`']+)\"|(?P<word>true|false|null)\b)(?!\s*[.\[(])")
_BARE_NUMBER = re.compile(r"[=!<>]=?\s*-?\d")


def _slip(text: str) -> str:
    """What is meant for a value and is the name of a key in JMESPath, which compares with nothing in silence."""
    if (found := _AS_KEY.search(_LITERALS.sub("''", text))) is None:
        return ""
    if word := found["word"]:
        return f"no comparison with {word}, which is the name of a key without backticks; write `{word}`"
    return f"no comparison with a text: in double quotes it is the name of a key; write '{found['text'][:40]}'"


def _hint(text: str) -> str:
    if text.startswith("$"):
        return "; leave `$.` out, a path begins with a key"
    return "; write a number in backticks, as in == `0`" if _BARE_NUMBER.search(_LITERALS.sub("''", text)) else ""


class _Bounded(TreeInterpreter):
    """Counts the values that it touches, and stops where they are too many.

    What a step makes or goes through in one go is counted before it does so.
    """

    def __init__(self, value: Any) -> None:
        super().__init__(_OPTIONS)
        self._value = value
        self._weighed = False
        self._left = LEAST_WORK

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._take(1)
        result = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKING:
            self._take(len(result or ()))
        return result

    def visit_flatten(self, node: Any, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self._take(len(base))
        self._take(sum(len(one) for one in base if isinstance(one, list)))
        return [one for part in base for one in (part if isinstance(part, list) else [part])]

    def visit_comparator(self, node: Any, value: Any) -> Any:
        left, right = (self.visit(child, value) for child in node["children"])
        if isinstance(left, _SIZED) and isinstance(right, _SIZED):
            self._take(self._weight(left) + self._weight(right))
        operator = node["value"]
        if operator in ("eq", "ne") or (_is_ordered(left) and _is_ordered(right)):
            return self.COMPARATOR_FUNC[operator](left, right)
        return None

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        name = node["value"]
        given = [self.visit(child, value) for child in node["children"]]
        if name not in _QUICK:
            self._take(sum(self._weight(one) for one in given))
        if name == "join" and len(given) == 2 and isinstance(given[0], str) and isinstance(given[1], list):
            self._take(len(given[0]) * len(given[1]) // TEXT)
        return _CALLED.call_function(name, given)

    def _take(self, values: int) -> None:
        if values > self._left:
            self._weigh()
        self._left -= values
        if self._left < 0:
            raise ExpressionFailed("the expression takes too long on this answer")

    def _weigh(self) -> None:
        """Allows for as much as the answer is large. Most expressions take so little that it need not be known."""
        if not self._weighed:
            self._weighed, taken = True, LEAST_WORK - self._left
            self._left = MOST_WORK
            self._left = min(MOST_WORK, LEAST_WORK + PASSES * self._weight(self._value)) - taken

    def _weight(self, value: Any) -> int:
        """The values in a value, as deep as they lie; of more than are left not all are counted."""
        if isinstance(value, list | dict):
            self._weigh()
        weight, inside = 0, [value]
        while inside and weight <= self._left:
            one = inside.pop()
            weight += 1
            if isinstance(one, str):
                weight += len(one) // TEXT
            elif isinstance(one, list | dict):
                inside.extend(one)
                if isinstance(one, dict):
                    inside.extend(one.values())
        return weight


_MAKING = frozenset(
    ("filter_projection", "multi_select_dict", "multi_select_list", "projection", "slice", "value_projection")
)
"""Nodes that make a list or a mapping; others hand on a value that was there, or are counted by themselves."""

_QUICK = frozenset(("abs", "ceil", "floor", "length", "not_null", "to_array", "type"))
"""Functions that take the same time whatever they are given."""

_SIZED = (str, list, dict)


class _Functions(Functions):
    """The functions of the language, and two of JMESPath Community for texts."""

    @signature({"types": ["string"]}, {"types": ["string"]})
    def _func_split(self, text: str, separator: str) -> list[str]:
        return text.split(separator) if separator else list(text)

    @signature({"types": ["string"]})
    def _func_lower(self, text: str) -> str:
        return text.lower()


_CALLED = _Functions()
_OPTIONS = Options(custom_functions=_CALLED)


def _is_ordered(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _interpreted(tree: Any) -> Select:
    def select(value: Any) -> Any:
        try:
            return _Bounded(value).visit(tree, value)
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
        if not isinstance(value, dict):
            break
        value = value.get(key)
    return value is not None and not isinstance(value, dict)


def _followed(keys: list[str]) -> Select:
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


def _quick(tree: Any) -> Select | None:
    """The same as the interpreter for expressions that go through no list: comparisons, alternatives and the like."""
    kind, children = tree["type"], [child for child in tree["children"] if isinstance(child, dict)]
    parts = [part for child in children if (part := _quick(child))]
    if len(parts) < len(children):
        return None
    match kind:
        case "field":
            return _followed([tree["value"]])
        case "current" | "identity":
            return _followed([])
        case "literal":
            return lambda _, literal=tree["value"]: literal  # type: ignore[misc]
        case "index":
            return lambda value, at=tree["value"]: _at(value, at)  # type: ignore[misc]
        case "subexpression" | "index_expression" | "pipe":
            return lambda value: reduce(lambda so_far, part: part(so_far), parts, value)
        case "comparator" if tree["value"] in ("eq", "ne"):
            compare, left, right = TreeInterpreter.COMPARATOR_FUNC[tree["value"]], *parts
            return lambda value: compare(left(value), right(value))
        case "and_expression":
            left, right = parts
            return lambda value: right(value) if is_true(found := left(value)) else found
        case "or_expression":
            left, right = parts
            return lambda value: found if is_true(found := left(value)) else right(value)
        case "not_expression":
            (only,) = parts
            return lambda value: not is_true(only(value))
    return None


def _at(value: Any, index: int) -> Any:
    return value[index] if isinstance(value, list) and -len(value) <= index < len(value) else None


def is_true(value: object) -> bool:
    """JMESPath's truth: nothing, false and what is empty are false; 0 is true."""
    return not (value is None or value is False or value in ("", [], {}))


_FUNCTIONS = (
    "abs avg ceil contains ends_with floor join keys length lower map max max_by merge min min_by not_null reverse "
    "sort sort_by split starts_with sum to_array to_number to_string type values"
)
_KNOWN = frozenset(_FUNCTIONS.split(" "))


_TOO_DEEP = f"nested more than {DEEPEST} levels deep"


def _check(tree: Any) -> None:
    """Raises ValueError for functions that there are not, and for too many levels."""
    level = [tree]
    for _ in range(DEEPEST):
        for node in level:
            if node["type"] == "function_expression" and node["value"] not in _KNOWN:
                raise ValueError(f"no function has the name {node['value'][:40]}; allowed: {_FUNCTIONS}")
        level = [child for node in level for child in node["children"] if isinstance(child, dict)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


_FOLLOWED = frozenset(
    ("filter_projection", "flatten", "index_expression", "projection", "subexpression", "value_projection")
)
"""Nodes that go on from what their first child selects."""


def _read_as_meant(tree: Any) -> Any:
    """The tree with `!data.more` as `!(data.more)`. To the letter it is `(!data).more`, which is always nothing."""
    children = [_read_as_meant(child) if isinstance(child, dict) else child for child in tree["children"]]
    made = {**tree, "children": children}
    if tree["type"] not in _FOLLOWED or children[0]["type"] != "not_expression":
        return made
    (inner,) = children[0]["children"]
    return {**children[0], "children": [_read_as_meant({**made, "children": [inner, *children[1:]]})]}


def _told(error: JMESPathError) -> str:
    """Where it goes wrong, in one line without the expression, which stands in the file."""
    position = getattr(error, "lex_position", None)
    if position is None:
        position = getattr(error, "lexer_position", None)
    where = f" at character {position + 1}" if isinstance(position, int) and position >= 0 else ""
    token = getattr(error, "token_value", None)
    return f"unexpected {str(token)[:40]!r}{where}" if token else f"it is incomplete or has a wrong sign{where}"
