"""What wire models are made of: a base that survives broken fields, and field types that carry their units.

A wire model takes only the fields we use. Each is annotated with the part of an observation it feeds, so that a value
of the wrong shape costs that part alone and is counted under its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from exporter.client.errors import ContractBroken
from exporter.client.redaction.redaction import READ, redacted, without
from exporter.config.vendors.words import plain
from exporter.tasks import Field, Observation, Reason, State, is_task_id
from exporter.vendors.declared.reading.values import LONGEST_LENGTH, number, progress_reader, time_reader
from exporter.vendors.vendor import Page

M = TypeVar("M", bound=BaseModel)

SHORTEST_ECHO = 6
"""The least characters of a text of the row that is taken out of the words; shorter ones are codes."""

ROWS_FACTOR = 4
"""How many times the rows that were asked for a page may have; more break the contract."""

LEAST_ROWS = 200
"""Rows that a page may have in any case: some vendors have one page size, whatever is asked for."""

DEPTH = 8
"""How deep a row is searched for texts; what lies deeper is no field of a task."""

VALUES_SEARCHED = 1000
"""Values of a row that are searched for texts; no vendor's task has as many."""

TOO_MUCH = "(words of a task that is too large to be searched for content)"
"""Stands for the words of a failure where the row holds too much to know whether they repeat some of it."""

NOTHING: frozenset[Field] = frozenset()
"""No parts. One for all rows: each empty set is an object of its own, of 216 bytes."""


class Wire(BaseModel):
    """Base of the wire models. Every field but the id has a default, which stands in for a broken value."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    @classmethod
    def read(cls, raw: object) -> tuple[Self, frozenset[Field]]:
        """The model of a row, and the parts whose values break the contract. Raises ValueError where no id is left."""
        try:
            return cls.model_validate(raw), NOTHING
        except ValidationError as error:
            broken = {
                str(fault["loc"][0]) for fault in error.errors(include_url=False, include_input=False) if fault["loc"]
            }
        if not isinstance(raw, dict) or not broken:
            raise ValueError("not an object")
        spared = {name: value for name, value in raw.items() if name not in broken}
        return cls.model_validate(spared), cls._parts(broken)

    @classmethod
    def _parts(cls, names: set[str]) -> frozenset[Field]:
        fields = {field.alias or name: field for name, field in cls.model_fields.items()}
        return frozenset(
            part for name in names if name in fields for part in fields[name].metadata if isinstance(part, Field)
        )


def task_id_of(value: Any) -> str:
    """A task's id out of a text or a number. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not is_task_id(value):
        raise ValueError("not an id")
    return value


def _length(value: Any) -> float | None:
    if value is None or value == "":
        return None
    length = number(value)
    if not 0 <= length <= LONGEST_LENGTH:
        raise ValueError("not a length")
    return length


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def segment(task_id: str) -> str:
    """An id as one segment of a URL's path. Dots alone would lead to another path, so they are encoded too."""
    return quote(task_id, safe="") if task_id.strip(".") else "%2E" * len(task_id)


def read_rows(rows: Iterable[object], read: Callable[[object], Observation]) -> tuple[list[Observation], int]:
    """The observations of rows, and how many rows were no tasks at all."""
    observations, malformed = [], 0
    for row in rows:
        try:
            observations.append(read(row))
        except ValueError:
            malformed += 1
    return observations, malformed


def read_page(
    rows: Sequence[object],
    read: Callable[[object], Observation],
    *,
    asked: int,
    received: int = 0,
    total: int | None = None,
    more: bool | None = None,
    is_other: Callable[[object], bool] = lambda row: False,
) -> Page:
    """The list page of these rows, after so many `received` before it. Raises ContractBroken for a flood of rows.

    It is the last one where it is empty, where the vendor says that there is no `more`, or where the vendor's own
    `total` has been received. That it is shorter than `asked` proves nothing: vendors cut the size. A total below what
    one page shows is none.
    """
    if len(rows) > max(ROWS_FACTOR * asked, LEAST_ROWS):
        raise ContractBroken(f"the list page has {len(rows)} rows, {asked} were asked for")
    mine = [row for row in rows if not is_other(row)]
    observations, malformed = read_rows(mine, read)
    last = not rows or more is False or (total is not None and len(rows) <= total <= received + len(rows))
    return Page(observations, last, malformed, len(rows) - len(mine))


def read_task(raw: object, read: Callable[[object], Observation]) -> Observation:
    """The observation of a detail. Raises ContractBroken where it shows no task."""
    try:
        return read(raw)
    except ValueError:
        raise ContractBroken("the detail shows no task") from None


def shaped(model: type[M], raw: object) -> M:
    """An envelope as its model. Raises ContractBroken where it has another shape."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        where = ".".join(str(step) for step in error.errors(include_url=False, include_input=False)[0]["loc"][:3])
        raise ContractBroken(
            f"the answer is not of the documented shape{f' at {where[:60]}' if where else ''}"
        ) from None


def observation(
    task_id: str,
    state: State | None,
    broken: frozenset[Field],
    *,
    reason: Reason | None = None,
    words: Sequence[str] = (),
    raw: object = None,
    word: object = None,
    result: bool = False,
    fault: Reason | None = None,
    progress: float | None = None,
    submitted: float | None = None,
    started: float | None = None,
    ended: float | None = None,
    dated: float | None = None,
    output_seconds: float | None = None,
) -> Observation:
    """An observation in which what no table maps is named: a state, or the reason of a failure.

    `words` is what the vendor says of a failure: said, but mapped to no `reason`, it counts as unmapped. `raw` is the
    row they stand in: what else it holds, such as a prompt, is not repeated where the words quote it. `word` is the
    vendor's for the state. `result` and `fault` are the evidence by which a task of an unknown state may be known to
    have ended.
    """
    if state is None:
        state, broken = State.UNKNOWN, broken | {Field.STATE}
    if state is not State.UNKNOWN:
        result, fault = False, None
    if state is not State.FAILED:
        reason = None
    elif reason is None:
        reason, broken = Reason.UNKNOWN, broken | ({Field.REASON} if any(map(str.strip, words)) else set())
    said = ""
    if (state is State.FAILED or fault is not None) and any(words):
        known = word if state is State.FAILED and isinstance(word, str) else ""
        said = _said(words, raw, {*words, known})
    strange = _strange(broken, word, words) if broken else ()
    return Observation(
        task_id, state, reason, progress, submitted, started, ended, dated, output_seconds, result, fault, said, broken,
        strange,
    )  # fmt: skip


def _strange(broken: frozenset[Field], word: object, words: Sequence[str]) -> tuple[tuple[Field, str], ...]:
    """The words that no table maps, as tables have them: that of the state, the first one that a failure says."""
    said = next(filter(None, map(plain, words)), "")
    found = ((Field.STATE, plain(word)), (Field.REASON, said))
    return tuple((part, text) for part, text in found if part in broken and text)


def _said(words: Sequence[str], raw: object, spared: Set[str]) -> str:
    """The words of a failure, fit to be shown. However large the row is, the work is bounded: it is done for each.

    `spared` are texts of the row that they may repeat: themselves, and a word such as `failed`, which is no content.
    """
    try:
        texts = set(_texts(raw))
    except OverflowError:
        return TOO_MUCH
    text = " ".join(one[: 2 * READ].strip() for one in words if one[: 2 * READ].strip())
    return redacted(without(text, (one for one in texts - spared if len(one) >= SHORTEST_ECHO), "(content)"))


def _texts(raw: object) -> Iterator[str]:
    """The texts in a row, as deep as vendors nest them. Raises OverflowError where there are too many values."""
    level, count = [raw], 0
    for _ in range(DEPTH + 1):
        count += len(level)
        if count > VALUES_SEARCHED:
            raise OverflowError
        yield from (one for one in level if isinstance(one, str))
        nested = [one for one in level if isinstance(one, dict | list)]
        if sum(map(len, nested)) > VALUES_SEARCHED:
            raise OverflowError
        level = [value for one in nested for value in (one.values() if isinstance(one, dict) else one)]


TaskId = Annotated[str, BeforeValidator(task_id_of)]
Timestamp = Annotated[float | None, BeforeValidator(time_reader())]
"""Unix seconds; None where the vendor says 0, null or nothing."""
Percent = Annotated[float | None, BeforeValidator(progress_reader("percent"))]
"""A ratio from 0 to 1."""
Length = Annotated[float | None, BeforeValidator(_length)]
"""A length as the vendor counts it (seconds or milliseconds, as its document says)."""
Text = Annotated[str, BeforeValidator(_text)]
