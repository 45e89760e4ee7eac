"""Which feeds the status page is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from exporter.web.pages.status.card import FeedCard


class Show(StrEnum):
    """Feeds in a condition."""

    ALL = "all"
    FAILING = "failing"
    """Those that cannot be read, and those with which something else is wrong."""
    WAITING = "waiting"
    """Those without data yet, or without fresh data."""
    BUSY = "busy"
    """Those with tasks in flight."""


@dataclass(frozen=True)
class FeedFilter:
    """What the query of the page asks for; what is not understood asks for nothing."""

    words: str = ""
    """Each of them is part of the feed's name or of its type."""
    show: Show = Show.ALL
    provider: str = ""
    kind: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        show = query.get("show", "")
        return cls(
            query.get("q", "").strip()[:100],
            Show(show) if show in list(Show) else Show.ALL,
            query.get("provider", ""),
            query.get("kind", ""),
        )

    @property
    def is_all(self) -> bool:
        return not (self.words or self.provider or self.kind) and self.show is Show.ALL

    def takes(self, card: FeedCard) -> bool:
        """Whether a feed is asked for."""
        feed = card.feed
        if (self.provider and feed.provider != self.provider) or (self.kind and feed.kind != self.kind):
            return False
        text = f"{feed.name} {feed.type}".lower()
        if not all(word in text for word in self.words.lower().split()):
            return False
        match self.show:
            case Show.FAILING:
                return card.rank < 2
            case Show.WAITING:
                return card.rank == 2
            case Show.BUSY:
                return bool(card.total_in_flight)
        return True
