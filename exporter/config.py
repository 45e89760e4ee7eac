"""The configuration file as typed settings. An error names file, line and key, what is wrong and what is allowed.

Scalars are taken as text and read by the settings' own types, so that YAML's guesses (`no` for false, `010` for 8, a
time of day for a number) never change a value.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, SerializeAsAny, ValidationError
from pydantic_core import ErrorDetails

from exporter.providers import VENDORS
from exporter.settings import Interval, PollSettings, ProviderSettings, Settings

KeyPath = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\$|\$\{([^}]*)\}?")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE_LIMIT = 4 * 1024 * 1024
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


class LedgerSettings(Settings):
    """Where the ledger is kept, and for how long it remembers ended tasks."""

    path: str = Field(default="videotask.sqlite3", min_length=1, description='a file, or ":memory:" to keep nothing')
    retention: Interval = Field(
        default=604800.0, description="how long ended tasks are remembered; at least as long as history"
    )


class Config(PollSettings):
    """The whole file."""

    ledger: LedgerSettings = Field(default_factory=LedgerSettings)
    providers: list[SerializeAsAny[ProviderSettings]] = Field(min_length=1, description="the accounts to poll")


class ConfigError(Exception):
    """A configuration that cannot be used: one line per fault, in the order of the file."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def load(path: str | Path, environment: Mapping[str, str] = os.environ) -> Config:
    """The settings that a file describes, with `${VARIABLE}` taken from the environment. Raises ConfigError."""
    reader = _Reader(str(path), environment)
    try:
        with Path(path).open("rb") as file:
            content = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}; name a readable file"]) from None
    if len(content) > _SIZE_LIMIT:
        raise ConfigError([f"{path}: larger than {_SIZE_LIMIT // 2**20} MiB; that is not a configuration"])
    return reader.read(content)


class _Reader:
    """Reads one file: gathers faults on the way, with the line of each key at hand."""

    def __init__(self, file: str, environment: Mapping[str, str]) -> None:
        self._file = file
        self._environment = environment
        self._lines: dict[KeyPath, int] = {(): 1}
        self._faults: dict[tuple[int, KeyPath], str] = {}
        self._values = 0

    def read(self, content: bytes) -> Config:
        raw = self._parse(content)
        if raw is None and not self._faults:
            self._fault(("providers",), "missing, the file is empty; write at least one provider")
        if raw is not None and not isinstance(raw, dict):
            self._fault((), "not a mapping; write keys such as `providers:` with values")
        if not isinstance(raw, dict):
            raise self._error()
        config = self._config(raw)
        if config is None or self._faults:
            raise self._error()
        return config

    def _error(self) -> ConfigError:
        return ConfigError([text for _, text in sorted(self._faults.items(), key=lambda fault: fault[0][0])])

    def _fault(self, path: KeyPath, message: str, line: int | None = None) -> None:
        line = line or self._line(path)
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
        self._faults.setdefault((line, path), f"{self._file}:{line}: {f'{key}: ' if key else ''}{message}")

    def _line(self, path: KeyPath) -> int:
        return self._lines[path] if path in self._lines else self._line(path[:-1])

    # YAML to plain data

    def _parse(self, content: bytes) -> Any:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self._fault((), "not UTF-8 text; save the file as UTF-8", content[: error.start].count(b"\n") + 1)
            return None
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            return None if node is None else self._plain(node, (), ())
        except yaml.MarkedYAMLError as error:
            told = error.problem or error.context or ""
            message = next((words for part, words in _YAML_FAULTS.items() if part in told), told)
            mark = error.problem_mark or error.context_mark
            self._fault((), f"not valid YAML: {message}", mark.line + 1 if mark else 1)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self._fault((), "not valid YAML: a character that no text file should hold", line)
        except RecursionError:
            self._fault((), "not valid YAML: nested too deeply")
        return None

    def _plain(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> Any:
        self._count(node)
        if node in above:
            self._fault(path, "an alias that contains itself; write the values out")
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
                self._fault(path, "a key that is not a word; write `key: value`", line)
                continue
            here = (*path, str(key.value))
            first = written.setdefault(key.value, key) if id(key) in own else key
            if first is not key:
                self._fault(here, f"given twice, first in line {first.start_mark.line + 1}; keep one", line)
                continue
            self._lines[here] = line
            mapping[key.value] = self._plain(value, here, above)
        return mapping

    def _pairs(self, node: yaml.Node, path: KeyPath, above: tuple[yaml.Node, ...]) -> list[tuple[yaml.Node, yaml.Node]]:
        """The keys and values of a mapping: first those that `<<` takes over from others, then its own."""
        self._count(node)
        if node in above or not isinstance(node, yaml.MappingNode):
            line = node.start_mark.line + 1
            self._fault(path, "`<<` stands before something other than a finished mapping; write the keys out", line)
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
        def value_of(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            name = match[1]
            if not _VARIABLE_NAME.fullmatch(name) or not match[0].endswith("}"):
                self._fault(path, "not a variable; write ${NAME}, or $$ for a dollar sign")
            elif name not in self._environment:
                self._fault(path, f"the environment variable {name} is not set; set it, or write the value here")
            else:
                return self._environment[name]
            return ""

        return _VARIABLE.sub(value_of, text)

    # plain data to settings

    def _config(self, raw: dict[str, Any]) -> Config | None:
        listed = raw.get("providers")
        inherited = _good_ones({key: raw[key] for key in PollSettings.model_fields if key in raw})
        entries = listed if isinstance(listed, list) else []
        providers = [self._provider(entry, ("providers", index), inherited) for index, entry in enumerate(entries)]
        self._check_names(entries)
        read = [provider for provider in providers if provider is not None]
        if isinstance(listed, list) and listed:
            raw = raw | {"providers": read or [ProviderSettings(name="x", type="x", base_url="http://x")]}
        try:
            config = Config.model_validate(raw)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._fault_of(detail, (), Config)
            return None
        self._check_retention(config)
        return config

    def _provider(self, entry: Any, path: KeyPath, inherited: Mapping[str, Any]) -> ProviderSettings | None:
        if not isinstance(entry, dict):
            self._fault(path, "not a mapping; write `- name: ...` and `type: ...` with the vendor's settings")
            return None
        vendor = VENDORS.get(str(entry.get("type")))
        if vendor is None:
            wrong = "unknown type" if entry.get("type") else "missing"
            self._fault((*path, "type"), f"{wrong}; allowed: {', '.join(sorted(VENDORS))}")
            return None
        try:
            settings = vendor.settings.model_validate({**inherited, **entry})
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                self._fault_of(detail, path, vendor.settings)
            return None
        for index, kind in enumerate(settings.feeds or []):
            if kind not in vendor.kinds:
                self._fault((*path, "feeds", index), f"unknown feed; allowed: {', '.join(vendor.kinds)}")
        for kind in settings.watch.tasks:
            polled = settings.feeds or vendor.kinds
            if kind not in polled:
                self._fault((*path, "watch", "tasks", kind), f"no feed of this provider; allowed: {', '.join(polled)}")
        if settings.feeds == []:
            self._fault((*path, "feeds"), f"empty; allowed: {', '.join(vendor.kinds)}")
        return settings

    def _check_names(self, entries: list[Any]) -> None:
        first: dict[Any, int] = {}
        for index, entry in enumerate(entries):
            name = entry.get("name") if isinstance(entry, dict) else None
            if isinstance(name, str) and name in first:
                line = self._line(("providers", first[name], "name"))
                message = f"already the name of the provider in line {line}; give each provider a name of its own"
                self._fault(("providers", index, "name"), message)
            if isinstance(name, str):
                first.setdefault(name, index)

    def _check_retention(self, config: Config) -> None:
        """The ledger must remember an end for as long as anything else asks for it."""
        retention: KeyPath = ("ledger", "retention")
        bases: list[KeyPath] = [(), *(("providers", index) for index in range(len(config.providers)))]
        for base, settings in zip(bases, [config, *config.providers], strict=True):
            for name in ("history", "recent_window"):
                path: KeyPath = (*base, name)
                if getattr(settings, name) <= config.ledger.retention or (base and path not in self._lines):
                    continue
                if not base and retention in self._lines:
                    self._fault(retention, f"shorter than {name}; write at least as much")
                else:
                    self._fault(path, "longer than ledger.retention; write at most as much, or more there")

    def _fault_of(self, detail: ErrorDetails, base: KeyPath, model: type[Settings]) -> None:
        path = (*base, *detail["loc"])
        if path not in self._lines and (twin := (*path[:-1], f"{path[-1]}_file" if path else "")) in self._lines:
            path = twin
        self._fault(path, _message(detail, model))


def _good_ones(settings: dict[str, Any]) -> dict[str, Any]:
    """Those that providers can inherit; what is wrong with the others is told once, where they are written."""
    try:
        PollSettings.model_validate(settings)
    except ValidationError as error:
        bad = {detail["loc"][0] for detail in error.errors(include_url=False)}
        return {key: value for key, value in settings.items() if key not in bad}
    return settings


def _message(detail: ErrorDetails, model: type[Settings]) -> str:
    """What is wrong and what is allowed. Never the value: it may be a secret in the wrong place."""
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "setting":
            return str(limits["message"])
        case "extra_forbidden":
            return _unknown_key(str(detail["loc"][-1]), _model_at(model, detail["loc"][:-1]))
        case "missing":
            field = _model_at(model, detail["loc"][:-1]).model_fields.get(str(detail["loc"][-1]))
            return f"missing; {(field.description if field else None) or 'write a value'}"
        case "int_parsing" | "int_parsing_size" | "int_type" | "int_from_float":
            return "not a whole number; write digits"
        case "bool_parsing" | "bool_type":
            return "neither true nor false; write one of them"
        case "string_type":
            return "not a text; write a value after the colon"
        case "list_type" | "tuple_type":
            return "not a list; write `[a, b]` or lines that start with `- `"
        case "dict_type" | "model_type":
            return "not a mapping; write keys with values"
        case "greater_than_equal":
            return f"too small; the least is {limits['ge']}"
        case "less_than_equal":
            return f"too large; the most is {limits['le']}"
        case "too_short":
            return "empty; write at least one"
        case "too_long":
            return f"too many; the most is {limits['max_length']}"
        case "string_too_short":
            return "empty; write a text"
        case "string_pattern_mismatch":
            return "not allowed here; write letters, digits, `_`, `-` and `.`, at most 64 and a letter or digit first"
    return detail["msg"].lower()


def _model_at(model: type[Settings], path: tuple[str | int, ...]) -> type[Settings]:
    for step in path:
        field = model.model_fields.get(str(step))
        inner = field.annotation if field else None
        candidates = [inner, *getattr(inner, "__args__", ())]
        model = next((one for one in candidates if isinstance(one, type) and issubclass(one, Settings)), model)
    return model


def _unknown_key(key: str, model: type[Settings]) -> str:
    allowed = sorted({*model.model_fields, *(f"{name}_file" for name in model.secret_names())})
    close = difflib.get_close_matches(key, allowed, n=1)
    return f"unknown key{f'; did you mean {close[0]}?' if close else ''}; allowed: {', '.join(allowed)}"
