"""`videotask-exporter init`: a first configuration, out of answers to questions.

It asks for the names of environment variables and never for a secret; what may be one is not repeated.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from exporter.commands import WrongUse
from exporter.config.mistakes import slips
from exporter.config.mistakes.faults import words_for
from exporter.config.models import ProviderSettings, Settings
from exporter.vendors.registry import Registry
from exporter.vendors.vendor import Vendor

HEAD = """\
# Every setting: config.example.yaml. Another account is another item of this list.
providers:
"""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_PLAIN_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|[A-Z]{1,15}")
"""How variables are named by custom: anything else may be a secret, unless there is such a variable."""


@dataclass
class Answers:
    """What flags answer, and who is asked for the rest."""

    ask: Callable[[str], str]
    tell: Callable[[str], None]
    environment: Mapping[str, str]
    given: dict[str, str] = field(default_factory=dict)
    """By question: `type`, `name`, and the keys of settings, such as `base_url` or `group.key`."""
    variables: dict[str, str] = field(default_factory=dict)
    """The variables of secrets, by key."""
    defaults: bool = False
    """Whether what is suggested is taken without a question."""
    asked: set[str] = field(default_factory=set)
    """What was answered by the one who is asked, and may be asked for again."""

    def value(self, key: str, text: str, suggested: str = "", *, needed: bool = True) -> str:
        """The answer to a question; empty only where none is needed."""
        if key in self.given:
            return self.given.pop(key)
        while True:
            answer = self._asked(key, text, suggested, needed)
            if answer or not needed:
                return answer
            self.tell("This has no default; write an answer.")

    def variable(self, key: str, text: str, suggested: str, *, needed: bool = True) -> str:
        """The name of the variable that holds a secret."""
        if key in self.variables:
            answer = self.variables.pop(key)
            if wrong := self._fault_of_variable(answer):
                raise WrongUse(f"--env {key}: {wrong}")
            return answer
        if not needed and suggested not in self.environment:
            suggested = ""
        while True:
            answer = self._asked(key, f"variable that holds {text}", suggested, needed)
            answer = answer.removeprefix("${").removeprefix("$").removesuffix("}")
            if not answer and not needed:
                return ""
            wrong = self._fault_of_variable(answer)
            if not wrong:
                return answer
            self.tell(wrong)

    def _asked(self, key: str, text: str, suggested: str, needed: bool) -> str:
        if self.defaults:
            if needed and not suggested:
                raise WrongUse(f"{key} has no default; answer it with --set {key}=VALUE")
            return suggested
        self.asked.add(key)
        shown = suggested or ("" if needed else "none")
        return self.ask(f"{key}: {text}{f' [{shown}]' if shown else ''}: ").strip() or suggested

    def _fault_of_variable(self, name: str) -> str:
        if not _VARIABLE.fullmatch(name):
            return "That is not the name of a variable. The secret itself belongs into the variable, not here."
        if name not in self.environment and not _PLAIN_VARIABLE.fullmatch(name):
            return "There is no such variable. If this is the secret itself: give the name of a variable that holds it."
        return ""


@dataclass(frozen=True)
class First:
    """A first configuration: its text, and what it takes."""

    text: str
    variables: Sequence[str]
    vendor: Vendor

    @property
    def by_id(self) -> bool:
        """Whether some tasks have to be named, because the vendor lists none."""
        return any(not self.vendor.tells[kind].listed for kind in self.vendor.kinds if kind in self.vendor.tells)


def questioned(types: Registry, answers: Answers) -> First:
    """Asks, until the answers make a configuration. Raises WrongUse; EOFError where no answer comes."""
    vendor = _vendor(types, answers)
    provider: dict[str, Any] = {"name": answers.value("name", "name of this account in metrics", vendor.name)}
    provider["type"] = vendor.name
    for key in _questions(vendor, answers):
        _put(provider, key, _answered(vendor, answers, key))
    if left := [*answers.given, *answers.variables]:
        known = vendor.settings.model_fields.keys()
        own = ", ".join(sorted(known - ProviderSettings.model_fields.keys() | {"base_url"}))
        words = ", ".join(f"{one}{slips.hint(one, known)}" for one in sorted(left))
        raise WrongUse(f"{vendor.name} has no setting {words}; beside those of all providers it has {own}")
    while fault := _fault(vendor.settings, provider):
        key, words = fault
        if key not in answers.asked:
            raise WrongUse(f"{key}: {words}")
        answers.tell(f"{key}: {words}")
        _put(provider, key, _answered(vendor, answers, key) if key != "name" else answers.value(key, "name"))
    lines = yaml.safe_dump(provider, sort_keys=False, allow_unicode=True, width=1000)
    return First(HEAD + "  - " + textwrap.indent(lines, "    ")[4:], _variables(provider), vendor)


def write(path: str, first: First) -> None:
    """Makes the file. Raises FileExistsError where there is one, OSError."""
    with Path(path).expanduser().open("x", encoding="utf-8") as file:
        file.write(first.text)


def _vendor(types: Registry, answers: Answers) -> Vendor:
    if "type" not in answers.given and not answers.defaults:
        width = max(map(len, types)) + 2
        for name, vendor in types.items():
            answers.tell(f"  {name:{width}}{vendor.title}")
    while True:
        is_given = "type" in answers.given
        name = answers.value("type", "the vendor, one of these")
        if name in types:
            return types[name]
        words = f"{slips.repeated(name) or 'that'} is no vendor{slips.hint(name, types)}"
        if is_given:
            raise WrongUse(f"--type: {words}; `videotask-exporter vendors` lists them")
        answers.tell(words)


def _questions(vendor: Vendor, answers: Answers) -> Iterator[str]:
    """The settings that an account at a vendor takes, and those with which it tells more."""
    model, common = vendor.settings, ProviderSettings.model_fields.keys() - {"base_url"}
    flagged = {key.partition(".")[0] for key in (*answers.given, *answers.variables)}
    way = _way(model, answers, flagged)
    for name, one in model.model_fields.items():
        is_own = name not in common and (one.is_required() or name in way or name in _more(vendor))
        if is_own or (name in flagged and name not in ("name", "type")):
            if part := _part(one):
                yield from (f"{name}.{inner}" for inner in part.model_fields)
            else:
                yield name


def _way(model: type[ProviderSettings], answers: Answers, flagged: set[str]) -> Sequence[str]:
    """Of several ways to authenticate, the one that flags begin, or the one that is chosen."""
    if not model.ways:
        return ()
    if begun := [way for way in model.ways if flagged & set(way)]:
        return begun[0]
    names = {" with ".join(way): way for way in model.ways}
    for number, way in enumerate(names, 1):
        if not answers.defaults:
            answers.tell(f"  {number}  {way}")
    while True:
        answer = answers.value("credentials", f"which of them, 1 to {len(names)}", "1")
        if answer.isdecimal() and 1 <= int(answer) <= len(names):
            return model.ways[int(answer) - 1]
        answers.tell(f"Write a number from 1 to {len(names)}.")


def _answered(vendor: Vendor, answers: Answers, key: str) -> object:
    """The value of a setting, as the file has it; None where there is to be none."""
    model, name = _model(vendor.settings, key), key.rpartition(".")[2]
    one = model.model_fields[name]
    text = one.description or name.replace("_", " ")
    needed = one.is_required() or key not in _more(vendor)
    if name in model.secret_names():
        if key in answers.given:
            raise WrongUse(f"{key} is a secret: give the name of a variable that holds it, --env {key}=VARIABLE")
        suggested = re.sub(r"\W", "_", f"{vendor.name}_{key}").upper()
        variable = answers.variable(key, text, suggested, needed=needed)
        return f"${{{variable}}}" if variable else None
    if one.annotation is bool:
        return _as_bool(answers.value(key, f"{text}; true or false", "false"))
    if get_origin(one.annotation) is list:
        return [_literal(part) for part in re.split(r"[\s,]+", answers.value(key, text).strip()) if part]
    suggested = one.default if isinstance(one.default, str) else ""
    value = answers.value(key, text, suggested, needed=needed)
    if one.annotation in (str, str | None):
        return _literal(value) if value else None
    return yaml.safe_load(_literal(value))


def _as_bool(answer: str) -> object:
    return {"true": True, "yes": True, "y": True, "false": False, "no": False, "n": False}.get(answer.lower(), answer)


def _literal(value: str) -> str:
    return value.replace("$", "$$")


def _more(vendor: Vendor) -> set[str]:
    """The settings with which an account at a vendor tells more."""
    return {tells.list_needs for tells in vendor.tells.values()}


def _part(one: FieldInfo) -> type[Settings] | None:
    kinds = (one.annotation, *get_args(one.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Settings)), None)


def _model(model: type[Settings], key: str) -> type[Settings]:
    """The model in which the last part of a key is a setting."""
    for name in key.split(".")[:-1]:
        model = _part(model.model_fields[name]) or model
    return model


def _put(provider: dict[str, Any], key: str, value: object) -> None:
    *above, name = key.split(".")
    for part in above:
        provider = provider.setdefault(part, {})
    provider.pop(name, None)
    if value is not None:
        provider[name] = value


def _fault(model: type[ProviderSettings], provider: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first setting that is wrong, and why. The secrets are judged when they are read."""
    try:
        model.model_validate(provider)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            key = ".".join(str(step) for step in detail["loc"] if isinstance(step, str))
            if key and key.rpartition(".")[2] not in _model(model, key).secret_names():
                return key, words_for(detail, model)
    return None


def _variables(values: Mapping[str, Any]) -> list[str]:
    """The names of the variables that settings take, in order."""
    found: list[str] = []
    for value in values.values():
        if isinstance(value, dict):
            found += _variables(value)
        elif isinstance(value, str) and (named := re.fullmatch(r"\$\{(\w+)\}", value)):
            found.append(named[1])
    return list(dict.fromkeys(found))
