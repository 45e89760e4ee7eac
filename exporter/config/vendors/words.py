"""Tables of vendors' words, as they are written: a state or a reason, and the words that mean it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from exporter.config.files.document import KeyPath
from exporter.config.mistakes import slips
from exporter.config.values import fault
from exporter.tasks import Reason, State

PREFIX = "^"
"""What a word begins with that stands for all that begin with the rest of it."""

WITHIN = "~"
"""What a word begins with that stands for all that hold the rest of it anywhere."""

LONGEST = 200
"""Characters of a word that are compared."""

STATES = tuple(state for state in State if state is not State.LOST)
"""Those that a vendor's words may mean: only we can know that a task is lost."""

_REGEX = re.compile(r"[*+?\[\](){}|\\]|\$$")
_SURELY_REGEX = re.compile(r"\.[*+]|\\[dws]|\*$|\w\$$|\([^()| ]+\|[^() ]*\)|^[^| ]+\|[^ ]+$")


def plain(value: Any) -> str:
    """A vendor's word as tables have it: text without case and blanks around it. Empty for what is no word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, int) and abs(value) > 1e15:
        return ""
    return str(value)[: LONGEST + 1].strip().lower() if isinstance(value, str | int | float) else ""


def _state(value: object) -> object:
    if value in STATES:
        return value
    allowed = ", ".join(STATES)
    if value == State.LOST:
        raise fault(f"no state that a vendor can report; allowed: {allowed}")
    raise fault(f"an unknown state{slips.hint(str(value), STATES)}; allowed: {allowed}")


def _the_right_way_round(table: object) -> object:
    """A table, unless it is one of states by words."""
    if not isinstance(table, dict) or not table:
        return table
    for key, value in table.items():
        if key in STATES or value not in (*State, *Reason):
            return table
    (key, value), *_ = table.items()
    shown = key if slips.repeated(key) else "WORD"
    raise fault(f"written the other way round; write the meaning first, and its words as a list: `{value}: [{shown}]`")


StateWords = Annotated[
    dict[Annotated[State, BeforeValidator(_state), WithJsonSchema({"enum": [*STATES]})], list[str]],
    BeforeValidator(_the_right_way_round),
]
"""A vendor's words for each state."""

ReasonWords = Annotated[dict[Reason, list[str]], BeforeValidator(_the_right_way_round)]
"""A vendor's codes and words of failures for each reason."""


def faults_of_words(table: Mapping[Any, Sequence[str]]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with the words of a table: the keys that lead to each, and what to say of it."""
    first: dict[str, StrEnum] = {}
    for meaning, words in table.items():
        for index, word in enumerate(words):
            here, told = (meaning.value, index), slips.repeated(word[:40]) or "this word"
            if not plain(word).removeprefix(PREFIX).removeprefix(WITHIN):
                yield here, "empty; write a word of the vendor"
            elif word.startswith((PREFIX, WITHIN)) and _REGEX.search(word[1:]):
                yield here, f"{told} looks like a regular expression; after {word[0]} a part of a word stands as it is"
            elif _SURELY_REGEX.search(word):
                instead = "write each word as it is, ^ before a beginning, ~ before a part"
                yield here, f"{told} looks like a regular expression; {instead}"
            elif (other := first.setdefault(plain(word), meaning)) != meaning:
                yield here, f"{told} already means {other.value}; a word has one meaning"
