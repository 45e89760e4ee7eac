"""States and reasons by a vendor's words, without case: whole words, beginnings after `^`, parts after `~`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Generic, TypeVar

from exporter.config.vendors.words import PREFIX, WITHIN, plain

W = TypeVar("W", bound=StrEnum)

LATELY = 256
"""Words whose meaning is kept in mind: each row has one, and there are few."""
SHORT = 64
"""Most characters of such a word."""


class Words(Generic[W]):
    """What words mean."""

    def __init__(self, table: Mapping[W, Iterable[str]], otherwise: Words[W] | None = None) -> None:
        """`otherwise` says what words mean of which this table says nothing."""
        pairs = [(plain(word), meaning) for meaning, words in table.items() for word in words]
        self._exact = {word: meaning for word, meaning in pairs if word[:1] not in (PREFIX, WITHIN)}
        # The longest first: the more a beginning says, the better.
        prefixes = sorted((pair for pair in pairs if pair[0].startswith(PREFIX)), key=lambda pair: -len(pair[0]))
        self._prefixes = [(word.removeprefix(PREFIX), meaning) for word, meaning in prefixes]
        # In the order of the table: of several parts in one text, the first to be declared decides.
        self._within = [(word.removeprefix(WITHIN), meaning) for word, meaning in pairs if word.startswith(WITHIN)]
        self._otherwise = otherwise
        self._lately: dict[str, W | None] = {}
        self._is_empty = not pairs and not otherwise

    def __bool__(self) -> bool:
        return not self._is_empty

    def meaning(self, value: Any) -> W | None:
        """What a word means; None where the table does not say so."""
        if self._is_empty:  # as most tables of a user are, and each row asks
            return None
        if type(value) is not str or len(value) > SHORT:
            return self._looked_up(value)
        known = self._lately.get(value, self)
        if not isinstance(known, Words):
            return known
        if len(self._lately) >= LATELY:
            self._lately.clear()
        found = self._lately[value] = self._looked_up(value)
        return found

    def _looked_up(self, value: Any) -> W | None:
        word = plain(value)
        return self._of(word) if word else None

    def _of(self, word: str) -> W | None:
        found = self._exact.get(word)
        if found is None and self._prefixes:
            found = next((meaning for start, meaning in self._prefixes if word.startswith(start)), None)
        if found is None and self._within:
            found = next((meaning for part, meaning in self._within if part in word), None)
        return self._otherwise._of(word) if found is None and self._otherwise else found
