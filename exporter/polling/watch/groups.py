"""The ids that a file or a URL names, in whatever common form: one bad id, or one bad row, costs itself alone.

The forms: `[{"kind": "...", "ids": ["..."]}]` and what is like it in JSON (one object, `{"KIND": ["..."]}`, a list of
ids, rows with an id among other fields, an envelope around any of these), the same as JSON lines, CSV whose header
names a column of ids, and plain text with one id on each line. Where a form names no kind, the only feed of the
provider is meant. A fault names its place, and repeats nothing of the content.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from exporter.tasks import why_no_task_id

FORM = '[{"kind": "...", "ids": ["..."]}]'

ID_NAMES = (
    *("taskid", "jobid", "promptid", "videoid", "generationid", "requestid", "predictionid", "renderid"),
    *("operation", "operationname", "id", "uuid"),
)
"""What a column or a field of ids is called, without regard to case, `_` and `-`; the first that is there counts."""

_LISTS = ("ids", *(f"{name}s" for name in ID_NAMES if name.endswith("id")))
"""What an object calls a list of ids."""

ENVELOPES = (
    *("data", "tasks", "items", "rows", "results", "result", "records", "list", "jobs", "videos", "predictions"),
    *("generations", "requests", "operations", "payload"),
)
DEPTH = 4
"""How deep lists and envelopes may be nested."""

TOLD = 3
"""Faults of one source that are reported one by one."""


@dataclass
class Named:
    """The ids of one source by kind, and what is wrong with the rest."""

    only: str | None
    """The kind that is meant where none is named; None if the provider has several feeds."""
    known: frozenset[str]
    """The kinds of all feeds of all types."""
    kinds: dict[str, list[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """The first few."""
    faulty: int = 0
    unknown_kinds: bool = False

    @property
    def trouble(self) -> str:
        """What is wrong, though the other ids can be used; empty if nothing is."""
        more = f"; and {self.faulty - len(self.faults)} more" if self.faulty > len(self.faults) else ""
        told = ["; ".join(self.faults) + more] if self.faults else []
        if self.unknown_kinds:  # those of other providers are right: several may share a file
            told.append(f"names a kind that no feed has; allowed: {', '.join(sorted(self.known))}")
        return "; ".join(told)

    def fault(self, where: str, what: str) -> None:
        self.faulty += 1
        if len(self.faults) < TOLD:
            self.faults.append(f"{where}: {what}" if where else what)

    def take(self, value: object, kind: object, where: str) -> None:
        """Takes one id. Blanks and line ends around it are none of it: databases and editors add them."""
        value = value.strip() if isinstance(value, str) else value
        if why := why_no_task_id(value):
            self.fault(where, f"not a task id: {why}")
        elif kind is None and self.only is None:
            self.fault(where, f"names no kind, and the provider has several feeds; write {FORM}")
        elif kind is not None and not isinstance(kind, str):
            self.fault(where, "the kind is not a text")
        else:
            name = _known(kind, self.known) if kind is not None else self.only
            self.unknown_kinds |= name not in self.known
            self.kinds.setdefault(str(name), []).append(str(value))


def read(content: bytes, only: str | None, known: frozenset[str]) -> Named:
    """The ids by kind. Raises ValueError, whose text says what is wrong, where not one id can be used."""
    text = _decoded(content).strip()
    if not text:
        raise ValueError("empty; an empty list is written []")
    if text.startswith("<"):
        raise ValueError("HTML or XML, no ids")
    named = Named(only, known)
    if text.startswith(("[", "{")):
        _read_json(named, text)
    else:
        _read_lines(named, text.splitlines())
    if named.faulty and not named.kinds:
        raise ValueError(named.trouble)
    return named


def _decoded(content: bytes) -> str:
    encoding, errors = "utf-8-sig", "surrogateescape"  # a broken byte costs the id that it stands in
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding, errors = "utf-16", "strict"
    elif b"\0" in content[:2]:
        encoding, errors = "utf-16-be" if content[:1] == b"\0" else "utf-16-le", "strict"
    try:
        return content.decode(encoding, errors)
    except UnicodeDecodeError:
        raise ValueError("not a text in UTF-8 or UTF-16") from None


def _read_json(named: Named, text: str) -> None:
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None
    except json.JSONDecodeError as error:
        if not _read_json_lines(named, text):
            raise ValueError(f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError:  # a number of thousands of digits
        raise ValueError("not JSON") from None
    else:
        _walk(named, value, None, "", DEPTH)


def _read_json_lines(named: Named, text: str) -> bool:
    """Reads a value from each line; whether the text is of that form at all."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for place, (number, line) in enumerate(lines):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if len(lines) == 1 or place == 0:
                return False
            named.fault(f"line {number}", "not JSON")
        else:
            _walk(named, value, None, f"line {number}", DEPTH)
    return True


def _walk(named: Named, value: Any, kind: object, where: str, depth: int) -> None:
    """Takes the ids of a list, a group, a row or an envelope."""
    if isinstance(value, list) and depth:
        for index, one in enumerate(value):
            place = f"{where}[{index}]"
            if isinstance(one, dict | list):
                _walk(named, one, kind, place, depth - 1)
            else:
                named.take(one, kind, place)
    elif isinstance(value, dict) and depth:
        _walk_object(named, value, kind, where, depth)
    elif isinstance(value, str):  # a line of JSON lines
        named.take(value, kind, where)
    else:
        named.fault(where, f"not of the form {FORM}")


def _walk_object(named: Named, value: dict[str, Any], kind: object, where: str, depth: int) -> None:
    kind = value.get("kind", kind)
    steps = f"{where}." if where else ""
    fields = {_plain(name): name for name in reversed(value)}
    if several := next((fields[name] for name in _LISTS if isinstance(value.get(fields.get(name, "")), list)), None):
        _walk(named, value[several], kind, f"{steps}{several}", depth - 1)
        return
    inside = [name for name in value if isinstance(value[name], list | dict)]
    by_kind = [name for name in inside if _known(name, named.known) in named.known]
    found = [fields[name] for name in ID_NAMES if name in fields]
    if found := [name for name in found if name not in by_kind]:  # `operation` is also what a feed is called
        name = next((one for one in found if isinstance(value[one], str)), found[0])
        named.take(value[name], kind, f"{steps}{name}")
        return
    around = [name for name in ENVELOPES if name in inside]
    if not by_kind and not around:
        named.fault(where, f"not of the form {FORM}")
    for name in by_kind or around[:1]:
        _walk(named, value[name], _known(name, named.known) if by_kind else kind, f"{steps}{name}", depth - 1)


def _read_lines(named: Named, lines: Sequence[str]) -> None:
    """Reads CSV with a header, a list of ids on one line, or an id a line; `#` begins a line that is none."""
    first = next((number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), 0)
    delimiter = next((one for one in ",;\t|" if one in lines[first]), ",")
    header = [_plain(cell.strip(' "')) for cell in lines[first].split(delimiter)]
    column = next((header.index(name) for name in ID_NAMES if name in header), None)
    if column is not None:
        kinds = header.index("kind") if "kind" in header else None
        before = first + 1
        rows = csv.reader(lines[before:], delimiter=delimiter)
        try:
            for row in rows:
                if any(cell.strip() for cell in row):
                    kind = row[kinds].strip() if kinds is not None and kinds < len(row) else None
                    named.take(row[column] if column < len(row) else "", kind or None, f"line {rows.line_num + before}")
        except csv.Error:
            named.fault(f"line {rows.line_num + before}", "not CSV")
        return
    if len(lines) == 1 and "," in lines[0].rstrip(", "):
        for index, one in enumerate(lines[0].rstrip(", ").split(","), 1):
            named.take(_unquoted(one), None, f"line 1, id {index}")
        return
    is_list = all(line.lstrip().startswith(("- ", "#")) or not line.strip() for line in lines)  # as YAML has it
    for number, line in enumerate(lines, 1):
        one = _unquoted(line.lstrip().removeprefix("- ") if is_list else line)
        if not one or one.startswith("#"):
            continue
        if re.search(r"[,\t]", one):
            named.fault(f"line {number}", "several columns without a header; name the column of ids task_id in line 1")
        else:
            named.take(one, None, f"line {number}")


def _unquoted(text: str) -> str:
    """An id of a line, without the comma and the quotes that it has where it was copied out of a list."""
    text = text.strip().rstrip(",").rstrip()
    if text.startswith('"'):
        with contextlib.suppress(ValueError, RecursionError):
            return str(json.loads(text)).strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def _plain(name: str) -> str:
    return re.sub(r"[ _-]", "", name).lower()


@lru_cache(maxsize=64)
def _known(kind: str, known: frozenset[str]) -> str:
    """A kind as the feeds spell it, whatever the case and the dashes; as it is if no feed has it."""
    return next((one for one in sorted(known) if _plain(one) == _plain(kind)), kind)
