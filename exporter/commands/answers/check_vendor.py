"""`videotask-exporter check-vendor`: what is wrong with a file of declared vendors, and what they make of an answer.

What is shown of an answer is fit for a log: states, times and numbers, ids, names of keys, codes. Of anything else in
it, only the kind is shown.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from exporter.client.answers import SIZE_LIMIT
from exporter.client.redaction.redaction import redacted
from exporter.client.redaction.words import is_showable
from exporter.commands import WrongUse
from exporter.commands.answers.sample import NotAnAnswer, Sample, SampleRow, paths_of, understood, value_at
from exporter.config.load import ConfigError
from exporter.config.mistakes import slips
from exporter.config.vendors.declarations import VendorFile
from exporter.tasks import Field, Observation
from exporter.vendors.declared.declaration import Declaration, DetailRequest, FeedDeclaration
from exporter.vendors.declared.reading.expressions import Expression
from exporter.vendors.meaning import PLACEHOLDERS, choice, likely, setting
from exporter.vendors.registry import Registry

Tell = Callable[[str], None]

KEYS = 12
"""Names of keys that are shown of one object."""

LISTS = 5
"""Lists that are named where a path finds none."""

_DEPTH = 5
_WIDTH = 9
_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.-]{0,63}")
_ID = re.compile(r"[\w./:=+~-]{1,128}", re.ASCII)
_MODEL = re.compile(r"[A-Za-z0-9._:/-]{1,64}")
_NAMES = re.compile(r"[A-Za-z_]\w*")


def check_vendor(path: str, sample: str | None, feed: str | None, types: Registry, tell: Tell) -> int:
    """Tells what a file declares and, with a sample, what an answer means by it.

    The result is an exit code: 1 where the sample is no answer. Raises ConfigError, WrongUse.
    """
    file = VendorFile(path, types)
    if file.faults:
        raise ConfigError(file.faults)
    found = {name: one.declaration for name, one in file.vendors.items()}
    declared = {name: one for name, one in found.items() if isinstance(one, Declaration)}
    tell(f"{path}: good; {'; '.join(f'{name}: {_told_of(one)}' for name, one in declared.items())}")
    if sample is None and feed is None:
        return 0
    name, kind = _chosen(declared, feed)
    if sample is None:
        return 0
    try:
        content = _content(sample)
        read = [(one, asyncio.run(understood(name, one, kind, content))) for one in _by_request(declared[name], kind)]
    except NotAnAnswer as error:
        tell(f"{sample}: {error}")
        return 1
    declaration, made = next(((one, sample) for one, sample in read if sample.form), read[0])
    filled = _filled(declared[name].feeds[kind], made) if declaration is read[0][0] else frozenset[str]()
    for line in _lines(made, declaration.feeds[kind], sample, f"{name}/{kind}", filled):
        tell(line)
    return 0


def _by_request(declaration: Declaration, kind: str) -> Iterator[Declaration]:
    """The declaration without the request for ended tasks, then with that in place of the detail."""
    feed = declaration.feeds[kind]
    ended = feed.detail and feed.detail.ended
    for detail in [feed.detail and feed.detail.model_copy(update={"ended": None})] + (
        [DetailRequest(path=ended.path, row=ended.row)] if ended else []
    ):
        one = feed.model_copy(update={"detail": detail})
        yield declaration.model_copy(update={"feeds": {**declaration.feeds, kind: one}})


def _filled(declared: FeedDeclaration, made: Sample) -> frozenset[str]:
    """What another request reports about the tasks of this answer."""
    detail = declared.detail
    if detail is None:
        return frozenset()
    filled = {*(detail.fills if made.form == "list" else ()), *(detail.ended.fills if detail.ended else ())}
    return frozenset(filled | ({"code", "text"} if "reason" in filled else set()))


def _told_of(declaration: Declaration) -> str:
    feeds = (f"{kind} ({' and '.join(paths_of(feed))})" for kind, feed in declaration.feeds.items())
    return f"feeds: {', '.join(feeds)}; auth: {declaration.auth.type}"


def _chosen(declared: Mapping[str, Declaration], feed: str | None) -> tuple[str, str]:
    """The vendor and the feed that are meant. Raises WrongUse."""
    every = [(name, kind) for name, one in declared.items() for kind in one.feeds]
    found = [pair for pair in every if feed in (None, pair[1], "/".join(pair))]
    if len(found) == 1:
        return found[0]
    several = len(declared) > 1
    names = ["/".join(pair) if several else pair[1] for pair in every]
    if not found:
        meant = slips.nearest(feed or "", names) or slips.nearest(feed or "", [kind for _, kind in every])
        hint = f"; did you mean {meant}?" if meant else ""
        raise WrongUse(f"--feed: no feed has this name{hint}; there are: {', '.join(names)}")
    raise WrongUse(f"--feed: missing, for there are several; write one of {', '.join(names)}")


def _content(sample: str) -> bytes:
    try:
        with Path(sample).open("rb") as file:
            return file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise NotAnAnswer(f"cannot be read: {error.strerror}; name a file that holds the body of one answer") from None


def _lines(sample: Sample, declared: FeedDeclaration, name: str, feed: str, filled: Collection[str]) -> Iterator[str]:
    yield f"{name}: {_what_it_is(sample, feed)}"
    yield from _cut_short(sample, declared)
    if sample.trouble:
        yield _row("trouble", sample.trouble)
    if sample.refusal:
        yield _row("has", _kind(sample.body))
    elif not sample.form and not sample.is_unknown_task:
        yield from _nothing_found(sample, declared)
    for number, row in enumerate(sample.rows, 1):
        yield _row(f"row {number}", _told_row(row, declared))
    if sample.left_out:
        yield _row("", f"{sample.left_out} more rows are not looked at")
    if sample.rows and not sample.tasks and not all(row.is_other for row in sample.rows):
        yield from _no_ids(sample, declared)
    yield from _missing(sample, declared, filled)
    yield from _unmapped(sample)
    for index, line in enumerate(sample.series):
        yield _row("" if index else "exports", line)


def _row(name: str, text: str) -> str:
    return f"  {name:{_WIDTH}} {text}"


def _what_it_is(sample: Sample, feed: str) -> str:
    if sample.is_unknown_task:
        return f"an answer of {feed} that the vendor does not know the task"
    code = f" with the code {sample.code}" if _is_shown(sample.code) else ""
    if error := sample.refusal:
        return f"a refusal{code}, for `answer.ok` is not true; it counts as the error {error.error}"
    if not sample.form:
        return f"no tasks of {feed}"
    rows = f"{len(sample.rows) + sample.left_out} row{'s' * (len(sample.rows) != 1)}"
    if sample.form == "list":
        on = {True: ", the last page", False: ", and pages follow", None: ""}[sample.is_last]
        return f"a list of {feed} with {rows}{on}"
    return f"a detail of {feed}" if len(sample.rows) == 1 else f"a detail of {feed} with {rows}"


def _cut_short(sample: Sample, declared: FeedDeclaration) -> Iterator[str]:
    """A page after which nothing follows though the vendor counts more rows."""
    of = declared.list_
    if sample.form != "list" or not sample.is_last or of is None or of.total is None or of.paging.next is None:
        return
    total, rows = str(value_at(of.total, sample.body)), len(sample.rows) + sample.left_out
    if total.isdecimal() and len(total) < 10 and int(total) > rows:
        told = f"`{of.paging.next.text}` finds no next page in the answer, though there are {total} rows"
        yield _row("paging", f"{told}; where a header holds it, write type: page or offset")


def _is_shown(code: object) -> bool:
    return isinstance(code, str | int) and not isinstance(code, bool) and is_showable(str(code).lower())


def _nothing_found(sample: Sample, declared: FeedDeclaration) -> Iterator[str]:
    """Why there are no rows, and where there may be some."""
    body = sample.body
    inside = list(_inside(body))
    lists = [path for path, one in inside if isinstance(one, list) and any(isinstance(row, dict) for row in one)]
    details = [path for path, one in inside if isinstance(one, dict) and path != "@"] if declared.detail else []
    for form, path in paths_of(declared).items():
        name, there = ("list.rows", lists) if form == "list" else ("detail.row", details)
        found = value_at(path, body)
        what = "nothing" if found is None else f"{_kind(found)}, which shows no task"
        meant = slips.nearest(path.text, there) or (there[0] if len(there) == 1 else "")
        hint = f"; did you mean {meant}?" if meant and meant != path.text else ""
        yield _row(name, f"`{path.text}` finds {what}{hint}")
    yield _row("has", _kind(body))
    if lists:
        told = (f"{path} ({_kind(value_at(Expression(path), body))})" for path in lists[:LISTS])
        yield _row("lists", ", ".join(told))
    if sample.may_be_refusal and _is_shown(sample.code):
        yield _row("", f"it looks like a refusal, code {sample.code}: with an HTTP status of 400 or above it is one")


def _inside(body: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """What is in an answer, by JMESPath, as far as keys may be shown."""
    yield path or "@", body
    if isinstance(body, dict) and depth < _DEPTH:
        for key, value in body.items():
            if _is_key(key):
                name = key if _NAMES.fullmatch(key) else f'"{key}"'
                yield from _inside(value, f"{path}.{name}" if path else name, depth + 1)


def _is_key(key: str) -> bool:
    """Whether the name of a key may be shown: in some answers ids and other contents stand there."""
    return bool(_KEY.fullmatch(key)) and not slips.may_be_secret(key)


def _keys(value: Mapping[str, Any]) -> str:
    names = [key for key in value if _is_key(key)]
    more = ["..."] if len(value) > len(names[:KEYS]) else []
    return ", ".join(names[:KEYS] + more) or "none"


def _kind(value: Any) -> str:
    """What a value is, without what it says."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return f"a text of {len(value)} characters" if value else "an empty text"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"an object with the keys {_keys(value)}"
    return "something else"


def _told_row(row: SampleRow, declared: FeedDeclaration) -> str:
    one = row.observation
    if row.is_other:
        return "no task of this feed: `list.where` takes it out"
    if one is None:
        return "no task: there is nothing that can be an id"
    state = one.state.value + (f" ({one.reason})" if one.reason else "")
    state += f", but ends as {row.ends_as}" if row.ends_as else ""
    told = [*_facts(one), *_unreadable(one, row.raw, declared)]
    told += [f"{name} is impossible" for name in row.rejected]
    return f"{_id(one.id)}: {state}{'; ' if told else ''}{', '.join(told)}"


def _id(text: str) -> str:
    """An id, unless it is none by its look."""
    return (
        text if _ID.fullmatch(text) and "(credential)" not in redacted(text) else f"(an id of {len(text)} characters)"
    )


def _facts(one: Observation) -> Iterator[str]:
    for name in ("submitted", "started", "ended", "dated"):
        if (at := getattr(one, name)) is not None:
            yield f"{name} {_moment(at)}"
    if one.progress is not None:
        yield f"progress {100 * one.progress:.4g} %"
    if one.output_seconds is not None:
        yield f"output {one.output_seconds:g} s"
    if one.model:
        yield f"model {one.model if _MODEL.fullmatch(one.model) else f'(a text of {len(one.model)} characters)'}"
    for unit, amount in one.usage:
        yield f"usage {amount:g} {unit}"


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{at:g} s"


def _unreadable(one: Observation, raw: Any, declared: FeedDeclaration) -> Iterator[str]:
    """Values that break the contract, by what they are."""
    told = {field for field, _ in one.strange}
    for field in sorted(one.unmapped - told):
        names = {Field.ENDED: ("ended", "dated"), Field.REASON: ("code", "text")}.get(field, (field.value,))
        paths = [path for name in names for path in _paths(declared, name)]
        found = [value for path in paths if (value := value_at(path, raw)) is not None]
        yield f"{field} is not readable ({_kind(found[0] if found else None)})"


def _paths(declared: FeedDeclaration, name: str) -> Sequence[Expression]:
    return declared.fields.paths(name) if name in type(declared.fields).model_fields else ()


def _no_ids(sample: Sample, declared: FeedDeclaration) -> Iterator[str]:
    path = paths_of(declared)[sample.form]
    rows = value_at(path, sample.body)
    first = next((one for one in rows if isinstance(one, dict)), None) if isinstance(rows, list) else rows
    keys = [key for key in first if _is_key(key)] if isinstance(first, dict) else []
    ids = [key for key in keys if key.lower().endswith("id")]
    meant = slips.nearest(declared.fields.id.text, ids or keys) or (ids[0] if len(ids) == 1 else "")
    hint = f"; did you mean {meant}?" if meant else ""
    yield _row("fields.id", f"`{declared.fields.id.text}` finds no id; a row is {_kind(first)}{hint}")


def _missing(sample: Sample, declared: FeedDeclaration, filled: Collection[str]) -> Iterator[str]:
    """Declared fields that no row has, and keys of rows that no field reads."""
    unused = _unused(sample, declared)
    for name, share in sample.found.items():
        if share.given or not share.of:
            continue
        text = ", ".join(path.text for path in _paths(declared, name))
        meant = slips.nearest(text, unused)
        told = f"{name} (`{text}`): in no row that may have it"
        if name in filled:
            told += "; the detail fills it"
        yield _row("missing", told + (f"; did you mean {meant}?" if meant else ""))
    if unused:
        yield _row("unused", f"keys that no field reads: {', '.join(unused[:KEYS])}{', ...' * (len(unused) > KEYS)}")


def _unused(sample: Sample, declared: FeedDeclaration) -> Sequence[str]:
    read: set[str] = set()
    for name in type(declared.fields).model_fields:
        for path in _paths(declared, name):
            read |= set(_NAMES.findall(path.text))
    if declared.list_ and declared.list_.where:
        read |= set(_NAMES.findall(declared.list_.where.text))
    tasks = (row.raw for row in sample.rows if row.observation)
    keys = (key for one in tasks if isinstance(one, dict) for key in one)
    return [key for key in dict.fromkeys(keys) if key not in read and _is_key(key)]


def _unmapped(sample: Sample) -> Iterator[str]:
    """Words that no table maps, with the line that maps them."""
    for field in (Field.STATE, Field.REASON):
        counts = Counter(word for one in sample.tasks for part, word in one.strange if part is field)
        shown = {word: count for word, count in counts.items() if is_showable(word)}
        told = [f"{word} ({count} row{'s' * (count != 1)})" for word, count in shown.items()]
        if hidden := len(counts) - len(shown):
            told.append(f"{hidden} not shown, for there may be content in {'it' if hidden == 1 else 'them'}")
        if not told:
            continue
        yield _row("unmapped", f"{field}: {', '.join(told)}")
        if shown:
            meanings = {word: likely(field, word) for word in shown}
            yield _row("add", setting(field, meanings))
            stands_for = f"{PLACEHOLDERS[field]} stands for one of {choice(field)}"
            yield _row("", "if that is what it means" if all(meanings.values()) else stands_for)
