"""Regular expressions: none takes more time than in proportion to its input, whatever a vendor or a client sends.

The test finds them by itself, so that a new one cannot slip past: those that a module keeps, also in tables, and those
that stand in a call of `re`. Texts that may keep one busy are made from what it consists of. Patterns of the settings'
and the API's models need no proof: pydantic has an engine that is linear by its construction.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import exporter

pytestmark = pytest.mark.slow

parser: Any = importlib.import_module("re._parser")

MODULES = sorted(
    one.name for one in pkgutil.walk_packages(exporter.__path__, "exporter.") if "__main__" not in one.name
)
MADE = {("exporter.client.reasons", "re.compile('|'.join(patterns))")}
"""Calls that put patterns together while a module is imported, for its constants, where they are found."""
WHOLE = {"match", "fullmatch"}
"""Methods that try a pattern at one place only."""
LENGTH = 8192
SHORTER = 1024
ALLOWED = 24
"""What is linear takes 8 times as long for `LENGTH` as for `SHORTER` characters, what is quadratic 64 times."""
BRIEF = 0.005
"""Seconds; nothing quadratic is done within them with `LENGTH` characters."""
EXPONENTIAL = 20
"""Characters that nothing but an exponential search takes as long for."""


def kept(value: object, name: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """The patterns in a constant of a module."""
    if isinstance(value, re.Pattern):
        text: Any = value.pattern
        yield name, re.compile(text.decode("ascii"), value.flags) if isinstance(text, bytes) else value
    elif isinstance(value, dict):
        yield from kept((*value.keys(), *value.values()), name)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from kept([getattr(value, field.name) for field in dataclasses.fields(value)], name)
    elif isinstance(value, list | tuple | set | frozenset):
        for position, one in enumerate(value):
            yield from kept(one, f"{name}[{position}]")


def spelt_out(node: ast.expr) -> str | None:
    """The pattern that an expression makes; what is escaped in it could be any text, such as this. None if unclear."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr="escape")):
            return "aa"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = [spelt_out(left), spelt_out(right)]
        case ast.JoinedStr(values=values):
            parts = [spelt_out(one.value if isinstance(one, ast.FormattedValue) else one) for one in values]
        case _:
            return None
    return None if None in parts else "".join(part or "" for part in parts)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name)) if name != "escape":
                yield node


def in_functions(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls of `re` that a module makes later than when it is imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from calls(node)


def found() -> Iterator[tuple[str, re.Pattern[str] | None, bool]]:
    """Each pattern with a name, None where it is put together later, and whether it is tried at one place only."""
    for name in MODULES:
        module = importlib.import_module(name)
        source = Path(str(module.__file__)).read_text()
        for constant, value in vars(module).items():
            for place, pattern in kept(value, constant):
                methods = set(re.findall(rf"\b{re.escape(constant)}\.(\w+)\(", source))
                yield f"{name}.{place}", pattern, bool(methods) and methods <= WHOLE
        for call in in_functions(ast.parse(source)):
            assert isinstance(call.func, ast.Attribute)
            if (name, ast.unparse(call)) in MADE:
                continue
            text = spelt_out(call.args[0])
            yield f"{name}:{call.lineno}", None if text is None else re.compile(text), call.func.attr in WHOLE


PATTERNS = {name: (pattern, whole) for name, pattern, whole in found()}


def pieces(parsed: Any) -> Iterator[str]:
    """Short texts that parts of a pattern fit, in their order."""
    for kind, value in parsed:
        match str(kind):
            case "LITERAL":
                yield chr(value)
            case "NOT_LITERAL":
                yield "a" if value != ord("a") else "b"
            case "ANY":
                yield "a"
            case "IN":
                yield from members(value)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                yield from ("".join(pieces(value[2])) * min(max(value[0], 1), 50), *pieces(value[2]))
            case "BRANCH":
                for branch in value[1]:
                    yield from ("".join(pieces(branch)), *pieces(branch))
            case "SUBPATTERN":
                yield from pieces(value[-1])
            case "ATOMIC_GROUP":
                yield from pieces(value)
            case "ASSERT" | "ASSERT_NOT":
                yield from pieces(value[1])


def members(values: Any) -> Iterator[str]:
    """A few characters of a class; for one that excludes some, a letter, and those."""
    for kind, value in values:
        match str(kind):
            case "LITERAL":
                yield chr(value)
            case "RANGE":
                yield chr(value[0])
            case "CATEGORY":
                yield {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a"}.get(str(value), "-")
            case "NEGATE":
                yield "a"


def busy(pattern: re.Pattern[str]) -> set[str]:
    """Texts that, repeated, may make a pattern try again and again: its parts, alone, in pairs, and from the start."""
    parts = list(dict.fromkeys(filter(None, pieces(parser.parse(pattern.pattern, pattern.flags)))))[:100]
    short = [one for one in parts if len(one) == 1][:10]
    starts = {"".join(parts[:count]) for count in range(1, min(len(parts), 12))}
    return {*parts, *starts, *map("".join, product(short, repeat=2)), *(f"{one}_a" for one in parts[:12])}


def superlinear(pattern: re.Pattern[str], whole: bool) -> str | None:
    """What takes longer than in proportion when it is repeated, however often that is tried; None if nothing does."""

    def seconds(text: str) -> float:
        """Of the processor, and not of the clock: others are at work too."""
        before = time.process_time()
        if whole:
            pattern.fullmatch(text)
        else:
            pattern.sub("", text)
        return time.process_time() - before

    def grows(head: str, pump: str, end: str) -> bool:
        def text(length: int) -> str:
            return head + pump * (length // len(pump)) + end

        if seconds(text(EXPONENTIAL)) > BRIEF:
            return True
        longer = seconds(text(LENGTH))
        return longer > BRIEF and longer > ALLOWED * min(seconds(text(SHORTER)) for _ in range(3))

    pumps = sorted(busy(pattern))
    heads = ["", *(one for one in pumps if len(one) == 1 and pattern.pattern.startswith(one))]
    tried = product(heads, pumps, ("", "\x01"))
    return next((pump for head, pump, end in tried if all(grows(head, pump, end) for _ in range(3))), None)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_takes_time_in_proportion_to_its_input(name: str) -> None:
    pattern, whole = PATTERNS[name]
    assert pattern is not None, "keep it in a constant of the module"
    assert superlinear(pattern, whole) is None


@pytest.mark.parametrize(
    "pattern", [r"[a-z]+@", r"(?:a|a)+b", r"(a+)+\.", r"<.*?>", r"x\s*,?\s*x", r"(?<![a-z])[a-z_]+@", r"(['\"]).*\1b"]
)
def test_one_that_does_not_is_found(pattern: str) -> None:
    assert superlinear(re.compile(pattern, re.DOTALL), whole=False)
