"""A YAML document as plain data that knows the line of each key, and the faults found in it.

Scalars are taken as text, so that YAML's guesses (`no` for false, `010` for 8, a time of day for a number) never change
a value; those without quotes are `Plain`, of which `typed` makes numbers and the like where these are wanted.
`${VARIABLE}` in them is replaced from the environment, where there is one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import yaml
from yaml.composer import Composer

from exporter.config.mistakes import slips

KeyPath = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\$|\$\{([^}]*)\}?|\$([A-Za-z_][A-Za-z0-9_]+)")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE_LIMIT = 100_000
_TEXT_LIMIT = 16 * 1024 * 1024
_DEPTH_LIMIT = 50
_TOLD = 100
"""Faults of a document that are reported, with what was probably meant: one slip may cause many more."""
_TOO_MANY = f"more than {_VALUE_LIMIT} values, with aliases written out"
_TOO_DEEP = "nested too deeply"
_MERGE = "tag:yaml.org,2002:merge"
_STANDARD = "tag:yaml.org,2002:"
_NULL = "tag:yaml.org,2002:null"

_TEMPLATE = "`{{ }}` is a template that was not filled in; write ${NAME} for an environment variable"

# What the parser says by quoting the file, or in words that do not help. The file may hold secrets.
_YAML_FAULTS = {
    "undefined alias": "an alias to nothing; put a text that begins with `*` in quotes",
    "tag handle": "an undeclared tag; put a text that begins with `!` in quotes",
    "another document": "a second document; keep one",
    "second occurrence": "an anchor given twice; keep one",
    "'\\t'": "a tab where a value or indentation belongs; write spaces",
    "mapping values are not allowed": (
        "a second `: ` in one value, or a key that is indented too far; put a text that holds `: ` in quotes"
    ),
    "sequence entries are not allowed": "a `- ` that follows a key in its line; write it in a line of its own",
    "expected <block end>": (
        "wrong indentation, or a bracket or quotation mark too many; the keys of one mapping start in the same column"
    ),
    "expected ',' or": "a bracket that is not closed, or no comma between two values",
    "unexpected end of stream": "a quotation mark that is not closed",
    "unknown escape character": "a backslash in double quotes; write single quotes",
    "could not find expected ':'": "a line that is neither `key: value` nor `- item`",
}


class Plain(str):
    """A text that stands in the document without quotes."""

    __slots__ = ()


_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 100


def typed(value: Any) -> Any:
    """The same, with numbers and booleans where YAML 1.2 has them; what JSON has no number for stays text."""
    match value:
        case dict():
            return {str(key): typed(one) for key, one in value.items()}
        case list():
            return [typed(one) for one in value]
        case Plain():
            text = str(value)
            if text in _TRUTHS:
                return _TRUTHS[text]
            if len(text) <= _LONGEST_NUMBER and _INTEGER.fullmatch(text):
                return int(text, 0) if text.startswith(("0o", "0x")) else int(text)
            if len(text) <= _LONGEST_NUMBER and _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
                return number
            return text
    return value


def plain(value: Any) -> Any:
    """What a document would hold that says the same as data from elsewhere: `typed` undoes it."""
    match value:
        case dict():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case bool():
            return Plain(str(value).lower())
        case int() | float():
            return Plain(value)
    return value


class ConfigDocument:
    """One document: `content` is what it holds, `faults` are the lines that say what is wrong with it.

    Without an environment, a dollar sign is a dollar sign.
    """

    def __init__(self, name: str, text: bytes, environment: Mapping[str, str] | None) -> None:
        self.name = name
        self._environment = environment
        self._lines: dict[KeyPath, int] = {(): 1}
        self._written: dict[KeyPath, str] = {}
        self._empty: dict[KeyPath, str] = {}
        self.in_braces: list[KeyPath] = []
        """Where a word stands alone in braces: for YAML, `{page}` is a mapping with a key and no value."""
        self._faults: dict[tuple[int, KeyPath], str] = {}
        self._values = 0
        self._characters = 0
        self.content = self._parse(text)

    @property
    def faults(self) -> list[str]:
        """One line per fault, in the order of the file; of very many the first ones, and how many more there are."""
        told = [text for _, text in sorted(self._faults.items(), key=lambda fault: fault[0][0])]
        more = [f"{self.name}: {len(told) - _TOLD} more faults; mend these first"] if len(told) > _TOLD else []
        return told[:_TOLD] + more

    @property
    def has_told_enough(self) -> bool:
        """Whether one more fault is only counted."""
        return len(self._faults) >= _TOLD

    def has(self, path: KeyPath) -> bool:
        """Whether a key is written in the document."""
        return path in self._lines

    def written(self, path: KeyPath) -> str | None:
        """The single value at a key as the file has it, with variables unreplaced; None where there is no such."""
        return self._written.get(path)

    def empty_variable(self, path: KeyPath) -> str:
        """The environment variable that is this value and is set to nothing; empty if it is another value."""
        return self._empty.get(path, "")

    def fault(self, path: KeyPath, message: str, line: int | None = None) -> None:
        """Notes what is wrong at a key, once for each key; where the key is not written, at what should hold it."""
        line = line or self.line(path)
        self._faults.setdefault((line, path), self.told(path, message, line))

    def told(self, path: KeyPath, message: str, line: int | None = None) -> str:
        """A message with its place in the document."""
        key = "".join(map(_step, path)).removeprefix(".")
        return f"{self.name}:{line or self.line(path)}: {f'{key}: ' if key else ''}{message}"

    def line(self, path: KeyPath) -> int:
        return self._lines[path] if path in self._lines else self.line(path[:-1])

    def _parse(self, content: bytes) -> Any:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.fault((), "not UTF-8 text; save the file as UTF-8", content[: error.start].count(b"\n") + 1)
            return None
        try:
            node = composed(text)
            return None if node is None else self._plain(node, (), ())
        except yaml.MarkedYAMLError as error:
            message, line = _explained(error, text.splitlines())
            self.fault((), f"not valid YAML: {message}", line)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self.fault((), "not valid YAML: a character that no text file should hold", line)
        except _TooMuch as error:
            self.fault((), f"not valid YAML: {error.words}", error.line)
        return None

    def _plain(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> Any:
        self._count(node)
        if not node.tag.startswith(_STANDARD):  # the tag itself may be a secret that begins with `!`
            self.fault(
                path,
                "a tag (`!...`), which means nothing here; write ${NAME} for an environment variable",
                node.start_mark.line + 1,
            )
        if len(above) > _DEPTH_LIMIT:  # an alias may stand deeper than what it stands for
            raise _TooMuch(_TOO_DEEP, node.start_mark.line + 1)
        if node in above:
            self.fault(path, "an alias that contains itself; write the values out")
            return None
        match node:
            case yaml.ScalarNode():
                if node.tag == _NULL:
                    return None
                self._written[path] = str(node.value)
                text = self._expanded(str(node.value), path)
                return text if node.style else Plain(text)
            case yaml.SequenceNode():
                items = []
                for index, item in enumerate(node.value):
                    self._lines[(*path, index)] = item.start_mark.line + 1
                    items.append(self._plain(item, (*path, index), (*above, node)))
                return items
            case yaml.MappingNode():
                return self._mapping(node, path, (*above, node))
        return None

    def _count(self, node: yaml.Node, values: int = 1) -> None:
        """Aliases of aliases multiply: a page of text can stand for more values than fit into the memory."""
        self._values += values
        if self._values > _VALUE_LIMIT:
            raise _TooMuch(_TOO_MANY, node.start_mark.line + 1)

    def _count_text(self, text: str, path: KeyPath) -> str:
        self._characters += len(text)
        if self._characters > _TEXT_LIMIT:
            limit = f"{_TEXT_LIMIT // 2**20} MiB of text, with aliases and variables written out"
            raise _TooMuch(f"more than {limit}", self.line(path))
        return text

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        written: dict[str, yaml.Node] = {}
        own = {id(key) for key, _ in node.value}  # which may override a merged one, but stand only once themselves
        pairs = self._pairs(node, path, above[:-1])
        if node.flow_style and len(pairs) == 1 and pairs[0][1].value == "" and pairs[0][1].tag == _NULL:
            self.in_braces.append(path)
        for key, value in pairs:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or not str(key.value).isprintable():
                is_template = isinstance(key, yaml.MappingNode) and key.flow_style  # `{{ NAME }}` is a mapping in one
                self.fault(path, _TEMPLATE if is_template else _odd_key(key), line)
                continue
            here = (*path, str(key.value))
            first = written.setdefault(key.value, key) if id(key) in own else key
            if first is not key:
                self.fault(here, f"given twice, first in line {first.start_mark.line + 1}; keep one", line)
                continue
            self._lines[here] = line
            mapping[key.value] = self._plain(value, here, above)
        return mapping

    def _pairs(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> list[tuple[yaml.Node, yaml.Node]]:
        """The keys and values of a mapping: first those that `<<` takes over from others, then its own."""
        self._count(node)
        if len(above) > _DEPTH_LIMIT:
            raise _TooMuch(_TOO_DEEP, node.start_mark.line + 1)
        if node in above or not isinstance(node, yaml.MappingNode):
            line = node.start_mark.line + 1
            self.fault(path, "`<<` stands before something other than a finished mapping; write the keys out", line)
            return []
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        own: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            if key.tag != _MERGE:
                own.append((key, value))
                continue
            for source in reversed(value.value) if isinstance(value, yaml.SequenceNode) else [value]:
                taken = self._pairs(source, path, (*above, node))
                self._count(source, len(taken))
                merged += taken
        return merged + own

    def _expanded(self, text: str, path: KeyPath) -> str:
        environment = self._environment
        self._count_text(text, path)
        if environment is None:
            return text

        def value_of(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            if match[2]:
                return self._bare(match, path)
            name = match[1]
            if not _VARIABLE_NAME.fullmatch(name) or not match[0].endswith("}"):
                self.fault(path, "not a variable; write ${NAME}, or $$ for a dollar sign")
            elif name not in environment:
                shown = "this environment variable" if slips.may_be_secret(name) else f"the environment variable {name}"
                self.fault(path, f"{shown} is not set; set it, or write the value here")
            else:
                if match[0] == text and not environment[name].strip():
                    self._empty[path] = name
                return self._count_text(environment[name], path)
            return ""

        return _VARIABLE.sub(value_of, text)

    def _bare(self, match: re.Match[str], path: KeyPath) -> str:
        """`$NAME` is a text that holds a dollar sign, unless it can hardly be meant as one."""
        name = match[2]
        known = name in (self._environment or ())
        if known or (match[0] == match.string and not slips.may_be_secret(name)):
            shown = name if known or name.isupper() else "NAME"  # else it may be a password that begins with a dollar
            self.fault(path, f"${shown} is not replaced; write ${{{shown}}}, or $${shown} for a dollar sign")
        return match[0]


def _odd_key(key: yaml.Node) -> str:
    odd = slips.of_word(str(key.value)) if isinstance(key, yaml.ScalarNode) else ""
    return f"a key that {odd}" if odd else "a key that is not a word; write `key: value`"


def _step(step: str | int) -> str:
    """A step of a path as it is shown. What stands in a key's place may be a secret, as in `{api_key:SECRET}`."""
    if isinstance(step, int):
        return f"[{step}]"
    head = re.match(r"[a-z_]+[:\s]+(?=.)", step)
    if head and slips.may_be_secret(step[head.end() :]):
        return f".{head[0]}..."
    return ".(...)" if slips.may_be_secret(step) else f".{step}"


def _explained(error: yaml.MarkedYAMLError, lines: list[str]) -> tuple[str, int]:
    """What is wrong where YAML gave up, and the line of it: mostly the one where it stumbles, or where that began."""
    told = error.problem or error.context or ""
    marks = [mark.line for mark in (error.problem_mark, error.context_mark) if mark]
    if "could not find expected ':'" in told or "end of stream" in told:
        marks.reverse()  # it gives up lines later
    for number in (*marks, *(mark - 1 for mark in marks[:1])):  # the line before may be what it takes for a value
        if number < len(lines) and (found := slips.of_line(lines[number])):
            return found, number + 1
    message = next((words for part, words in _YAML_FAULTS.items() if part in told), told)
    return message, marks[0] + 1 if marks else 1


class _TooMuch(Exception):
    """A document that would take more time and memory than any configuration needs."""

    def __init__(self, words: str, line: int) -> None:
        super().__init__(words)
        self.words = words
        self.line = line


class _Limited(Composer):
    """Reads no more than may be in a document: each value costs far more memory than its text."""

    _values = 0
    _depth = 0
    peek_event: Callable[[], Any]

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._values += 1
        if self._values > _VALUE_LIMIT:  # keys count here, and nothing is written out yet
            raise _TooMuch(_TOO_MANY, self.peek_event().start_mark.line + 1)
        if self._depth > _DEPTH_LIMIT:
            raise _TooMuch(_TOO_DEEP, self.peek_event().start_mark.line + 1)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _Loader(_Limited, yaml.SafeLoader):
    """PyYAML's own parser."""


if yaml.__with_libyaml__:

    class _FastLoader(_Limited, yaml.CSafeLoader):
        """libyaml: four times as fast, but it says in other words what is wrong."""

        def __init__(self, text: str) -> None:
            Composer.__init__(self)
            yaml.CSafeLoader.__init__(self, text)


_READ_DIFFERENTLY = re.compile(r"[\t\r?|>!\x85\xa0\u2028\u2029\ufeff]|-[ ]*(?:#.*)?$", re.MULTILINE)
"""Where the two parsers differ in what they accept, or in the line of a value that is not there."""


def composed(text: str, *, fast: bool = yaml.__with_libyaml__) -> yaml.Node | None:
    """The nodes of a document, by whichever parser: they are the same. Raises YAMLError, _TooMuch."""
    if fast and not _READ_DIFFERENTLY.search(text):
        with suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=_FastLoader)
    return yaml.compose(text, Loader=_Loader)
