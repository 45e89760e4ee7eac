"""The vendor's words that no table maps, as one feed has shown them lately."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from enum import StrEnum

from exporter.client.redaction.own import credentials_of, identity_of
from exporter.client.redaction.words import is_showable
from exporter.config.models import ProviderSettings
from exporter.snapshot import UnmappedWords
from exporter.tasks import Field, Observation
from exporter.vendors.meaning import likely, setting

MOST = 20
"""Words of a feed that are kept, the latest."""

MOST_HIDDEN = 100
"""Words that are not shown and that are counted."""

KEPT = 86400.0
"""Seconds for which a word is kept after it was last seen."""


class UnmappedTracker:
    """Keeps the words of one feed."""

    def __init__(self, settings: ProviderSettings, kind: str, wall_clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._kind = kind
        self._wall_clock = wall_clock
        self._seen: dict[tuple[Field, str], float] = {}  # the latest last
        self._hidden: dict[int, float] = {}  # hashes, since the words themselves need not be kept
        self._frozen: UnmappedWords | None = None

    def take(self, observations: Iterable[Observation]) -> None:
        """Takes in what an answer shows."""
        for one in observations:
            for field, word in one.strange:
                self._take(field, word)

    def _take(self, field: Field, word: str) -> None:
        key, now = (field, word), self._wall_clock()
        if self._seen.pop(key, None) is not None:
            self._seen[key] = now
        elif hash(key) in self._hidden:
            self._hidden[hash(key)] = now
        else:
            self._frozen = None
            own = credentials_of(self._settings) | identity_of(self._settings).keys()
            if is_showable(word, own):
                self._seen[key] = now
                if len(self._seen) > MOST:
                    del self._seen[next(iter(self._seen))]
            elif len(self._hidden) < MOST_HIDDEN:
                self._hidden[hash(key)] = now

    @property
    def frozen(self) -> UnmappedWords:
        """The words as they are now."""
        oldest = self._wall_clock() - KEPT
        if any(at < oldest for at in (*self._seen.values(), *self._hidden.values())):
            self._seen = {key: at for key, at in self._seen.items() if at >= oldest}
            self._hidden = {key: at for key, at in self._hidden.items() if at >= oldest}
            self._frozen = None
        if self._frozen is None:
            guesses: dict[Field, dict[str, StrEnum | None]] = {}
            for field, word in self._seen:
                guesses.setdefault(field, {})[word] = likely(field, word)
            lines = {field: setting(field, guesses[field], self._kind) for field in Field if field in guesses}
            unclear = frozenset(field for field, words in guesses.items() if None in words.values())
            self._frozen = UnmappedWords(tuple(self._seen), lines, unclear, len(self._hidden))
        return self._frozen
