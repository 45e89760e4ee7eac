"""A YAML document as plain data that knows the line of each key, and the faults found in it.

Scalars are taken as text, so that YAML's guesses (`no` for false, `010` for 8, a time of day for a number) never change
a value. `${VARIABLE}` in them is replaced from the environment, where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\$|\$\{([^}]*)\}?")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE_LIMIT = 100_000
_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"

# What the parser says by quoting the file, or in words that help nobody. The file may hold secrets.
_YAML_FAULTS = {
    "undefined alias": "an alias to nothing; put a text that begins with `*` in quotes",
    "tag handle": "a tag that nobody has declared; put a text that begins with `!` in quotes",
    "another document": "a second document; keep one",
    "second occurrence": "an anchor given twice; keep one",
    "'\\t'": "a tab where a value or indentation belongs; write spaces",
}


class Document:
    """One document: `content` is what it holds, `faults` are the lines that say what is wrong with it.

    Without an environment, a dollar sign is a dollar sign.
    """

    def __init__(self, name: str, text: bytes, environment: Mapping[str, str] | None) -> None:
        self._name = name
        self._environment = environment
        self._lines: dict[KeyPath, int] = {(): 1}
        self._faults: dict[tuple[int, KeyPath], str] = {}
        self._values = 0
        self.content = self._parse(text)

    @property
    def faults(self) -> list[str]:
        """One line per fault, in the order of the file."""
        return [text for _, text in sorted(self._faults.items(), key=lambda fault: fault[0][0])]

    def has(self, path: KeyPath) -> bool:
        """Whether a key is written in the document."""
        return path in self._lines

    def fault(self, path: KeyPath, message: str, line: int | None = None) -> None:
        """Notes what is wrong at a key, once for each key; where the key is not written, at what should hold it."""
        line = line or self.line(path)
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
        self._faults.setdefault((line, path), f"{self._name}:{line}: {f'{key}: ' if key else ''}{message}")

    def line(self, path: KeyPath) -> int:
        return self._lines[path] if path in self._lines else self.line(path[:-1])

    def _parse(self, content: bytes) -> Any:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.fault((), "not UTF-8 text; save the file as UTF-8", content[: error.start].count(b"\n") + 1)
            return None
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            return None if node is None else self._plain(node, (), ())
        except yaml.MarkedYAMLError as error:
            told = error.problem or error.context or ""
            message = next((words for part, words in _YAML_FAULTS.items() if part in told), told)
            mark = error.problem_mark or error.context_mark
            self.fault((), f"not valid YAML: {message}", mark.line + 1 if mark else 1)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self.fault((), "not valid YAML: a character that no text file should hold", line)
        except RecursionError:
            self.fault((), "not valid YAML: nested too deeply")
        return None

    def _plain(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> Any:
        self._count(node)
        if node in above:
            self.fault(path, "an alias that contains itself; write the values out")
            return None
        match node:
            case yaml.ScalarNode():
                return None if node.tag == _NULL else self._expanded(str(node.value), path)
            case yaml.SequenceNode():
                items = []
                for index, item in enumerate(node.value):
                    self._lines[(*path, index)] = item.start_mark.line + 1
                    items.append(self._plain(item, (*path, index), (*above, node)))
                return items
            case yaml.MappingNode():
                return self._mapping(node, path, (*above, node))
        return None

    def _count(self, node: yaml.Node) -> None:
        """Aliases of aliases multiply: a page of text can stand for more values than fit into the memory."""
        self._values += 1
        if self._values > _VALUE_LIMIT:
            raise yaml.MarkedYAMLError(
                problem=f"more than {_VALUE_LIMIT} values, with aliases written out", problem_mark=node.start_mark
            )

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        written: dict[str, yaml.Node] = {}
        own = {id(key) for key, _ in node.value}  # which may override a merged one, but stand only once themselves
        for key, value in self._pairs(node, path, above[:-1]):
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or not str(key.value).isprintable():
                self.fault(path, "a key that is not a word; write `key: value`", line)
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
                merged += self._pairs(source, path, (*above, node))
        return merged + own

    def _expanded(self, text: str, path: KeyPath) -> str:
        environment = self._environment
        if environment is None:
            return text

        def value_of(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            name = match[1]
            if not _VARIABLE_NAME.fullmatch(name) or not match[0].endswith("}"):
                self.fault(path, "not a variable; write ${NAME}, or $$ for a dollar sign")
            elif name not in environment:
                self.fault(path, f"the environment variable {name} is not set; set it, or write the value here")
            else:
                return environment[name]
            return ""

        return _VARIABLE.sub(value_of, text)
