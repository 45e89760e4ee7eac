"""A row of an answer as an observation. A broken value costs itself, and is counted under what it was meant to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exporter.client.reasons import code_of, reason_of
from exporter.config.vendors.words import plain
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.declared.reading.expressions import Expression, ExpressionFailed
from exporter.vendors.declared.reading.words import Words
from exporter.vendors.fields import NOTHING, observation, task_id_of

Select = Callable[[Any], Any]
Read = Callable[[Any], float | None]

MODEL_LENGTH = 2048
"""Characters of a model's name that are read; more are no name."""


@dataclass(frozen=True)
class NumberField:
    """A number of a row: where it stands, how it is read, which argument of an observation it is."""

    part: Field
    name: str
    select: Select
    read: Read
    only_at_end: bool = False
    """Whether it is believed only once the task has ended: what a vendor calls its last change."""


@dataclass(frozen=True)
class RowReader:
    """Reads rows of one feed."""

    id: Select
    state: Select
    states: Words[State]
    reasons: Words[Reason]
    vague: Words[Reason] = Words[Reason]({})  # noqa: RUF009 (nothing changes it)
    """By codes that say less than the words beside them."""
    facts: tuple[NumberField, ...] = ()
    code: Expression | None = None
    text: Expression | None = None
    model: Expression | None = None
    usage: tuple[tuple[str, Select, Read], ...] = ()
    result: Expression | None = None
    """What is there only once a task has ended well; it matters for tasks in a state that no table knows."""
    in_common_words: Callable[[str], str] = str
    """Says a vendor's text in the words that several vendors use, where it has words of its own."""

    def __call__(self, raw: object) -> Observation:
        """Raises ValueError where the row shows no task."""
        task_id = task_id_of(self.id(raw))
        broken = NOTHING
        word: Any = None
        try:
            word = self.state(raw)
        except ExpressionFailed:
            broken |= {Field.STATE}
        state = self.states.meaning(word)
        is_end = state is not None and state.is_end
        numbers: dict[str, float | None] = {}
        for fact in self.facts:
            if fact.only_at_end and not is_end:
                continue
            try:
                if (value := fact.select(raw)) is not None:
                    numbers[fact.name] = fact.read(value)
            except ValueError:
                broken |= {fact.part}
        if "output_seconds" in numbers and state not in (State.SUCCEEDED, State.UNKNOWN, None):
            del numbers["output_seconds"]
        reason: Reason | None = None
        fault: Reason | None = None
        words: tuple[str, ...] = ()
        result = False
        if state in (State.FAILED, State.UNKNOWN, None):
            reason, words, broken = self._failure(raw, word if state is not None else None, broken)
            fault = reason or (Reason.UNKNOWN if words and self.code is not None else None)
            result = state is not State.FAILED and self.result is not None and bool(self.result.or_none(raw))
        made = observation(
            task_id,
            state,
            broken,
            reason=reason,
            words=words,
            raw=raw,
            word=word,
            result=result,
            fault=fault,
            **numbers,
        )
        if self.model is not None or self.usage:
            self._take_account(made, raw)
        return made

    def _failure(
        self, raw: object, word: Any, broken: frozenset[Field]
    ) -> tuple[Reason | None, tuple[str, ...], frozenset[Field]]:
        """Why a task failed, and what the vendor says of it: by code, by text, by the word of its state."""
        code, broken = _selected(self.code, raw, broken)
        text, broken = _selected(self.text, raw, broken)
        code = plain(code) if isinstance(code, float) else code
        said = text if isinstance(text, str) else plain(text)
        reason = self.reasons.meaning(code) or self.reasons.meaning(text)
        reason = reason or reason_of(code=code, text=self.in_common_words(said)) or self.vague.meaning(code)
        reason = reason or self.reasons.meaning(word)  # such as `expired`
        told = tuple(one for one in (code_of(code) and str(code), said) if one and one.strip())
        return reason, told, broken

    def _take_account(self, made: Observation, raw: object) -> None:
        name, _ = _selected(self.model, raw, NOTHING)
        if isinstance(name, str | int) and not isinstance(name, bool):
            made.model = str(name)[:MODEL_LENGTH].strip()
        usage = []
        for unit, select, read in self.usage:
            try:
                amount = read(select(raw)) or 0.0
            except ValueError:
                amount = -1.0
            if amount > 0:
                usage.append((unit, amount))
            elif amount < 0:  # what is counted never goes back
                made.unmapped |= {Field.USAGE}
        made.usage = tuple(usage)


def _selected(select: Expression | None, raw: object, broken: frozenset[Field]) -> tuple[Any, frozenset[Field]]:
    if select is None:
        return None, broken
    try:
        found = select(raw)
    except ExpressionFailed:
        return None, broken | {Field.REASON}
    return found, broken | {Field.REASON} if found is None and select.is_blocked_in(raw) else broken
