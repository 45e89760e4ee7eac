"""The status page: first what is wrong and who has to fix it, then each feed at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from exporter.snapshot import Reloads, Snapshot
from exporter.tasks import IN_FLIGHT
from exporter.web.pages.filters import several
from exporter.web.pages.status.card import FeedCard, Share, shares
from exporter.web.pages.status.finding import FeedFilter
from exporter.web.pages.status.sparks import DrawnSpan, span_of
from exporter.web.pages.status.troubles import Trouble, merged, of_balances, of_configuration, of_replica, of_watching

MANY = 12
"""More feeds than this are rows, with a search above them; fewer are cards with all that is known."""

FIRST = 4
"""So many troubles are shown at once, if feeds are many."""


@dataclass(frozen=True)
class Group:
    """The feeds of a provider."""

    provider: str
    cards: Sequence[FeedCard]

    @property
    def summary(self) -> str:
        """How many they are, and how many of them cannot be read."""
        down = sum(card.status.up is False for card in self.cards)
        return several(len(self.cards), "feed") + (f", {down} down" if down else "")


class Overview:
    """The whole status page."""

    def __init__(
        self, snapshot: Snapshot, reloads: Reloads, web_trouble: str, now: float, finding: FeedFilter | None = None
    ) -> None:
        self.cards = [FeedCard(feed, now, _elsewhere(snapshot, feed.provider)) for feed in snapshot.feeds]
        troubles = [
            *of_configuration(reloads, web_trouble),
            *of_replica(snapshot),
            *of_watching(snapshot),
            *of_balances(snapshot),
            *(trouble for card in self.cards for trouble in card.troubles),
        ]
        self.troubles: Sequence[Trouble] = sorted(
            merged(troubles), key=lambda one: (not one.is_grave, not one.is_first)
        )
        self.balances = [
            (one.name, one.balance) for one in snapshot.accounts if one.balance and one.balance.amount is not None
        ]
        """What is left, by provider, where it can be read."""
        self.replica = snapshot.replica
        self.finding = finding or FeedFilter()
        self.span: DrawnSpan = span_of(snapshot.feeds, now)
        """How far back all drawings go."""

    @property
    def are_many(self) -> bool:
        """Whether there are so many feeds that one has to search among them."""
        return len(self.cards) > MANY

    @property
    def troubles_first(self) -> int:
        """How many of the troubles are shown at once: none if feeds are searched for."""
        if not self.finding.is_all:
            return 0
        return FIRST if self.are_many else len(self.troubles)

    @cached_property
    def found(self) -> Sequence[FeedCard]:
        """The feeds that are asked for."""
        return [card for card in self.cards if self.finding.takes(card)]

    @cached_property
    def groups(self) -> Sequence[Group]:
        """The same by provider, first those where something is wrong; empty where they are shown as cards."""
        if len(self.found) <= MANY:
            return ()
        by_provider = groupby(self.found, key=lambda card: card.provider)
        whole = [Group(name, sorted(cards, key=lambda card: card.rank)) for name, cards in by_provider]
        return sorted(whole, key=lambda group: group.cards[0].rank)

    @cached_property
    def replicas(self) -> Sequence[tuple[str, int]]:
        """How many providers each replica polls."""
        return sorted(Counter(self.replica.holders.values()).items()) if self.replica else ()

    @cached_property
    def in_flight(self) -> Sequence[Share]:
        """All feeds together, as far as their numbers are fresh."""
        counts = {state: sum(card.view.in_flight_by_state.get(state, 0) for card in self.cards) for state in IN_FLIGHT}
        return shares(counts)

    @cached_property
    def total_in_flight(self) -> int:
        return sum(share.count for share in self.in_flight)

    @property
    def up(self) -> int:
        return sum(card.status.up is True for card in self.cards)

    @property
    def waiting(self) -> int:
        return sum(card.status.up is None for card in self.cards)

    @property
    def level(self) -> str:
        """`bad`, `warning`, `waiting` or `good`."""
        if self.troubles:
            return "bad" if self.troubles[0].is_grave else "warning"
        return "waiting" if self.waiting or not self.cards else "good"

    @property
    def verdict(self) -> str:
        """One sentence: is anything wrong."""
        down = len(self.cards) - self.up - self.waiting
        if not self.cards:
            return "No provider is polled" if self.replica and self.replica.held else "No provider is configured"
        if down:
            return f"{down} of {several(len(self.cards), 'feed')} cannot be read"
        if self.troubles:
            return "One thing needs a look" if len(self.troubles) == 1 else f"{len(self.troubles)} things need a look"
        if self.waiting:
            return f"Waiting for the first sweep of {several(self.waiting, 'feed')}"
        return "All is well"

    @property
    def summary(self) -> str:
        if not self.cards and self.replica and self.replica.held:
            return "The status of other replicas is unknown too."
        if not self.cards:
            return "Name one under providers in the configuration, and reload it."
        in_flight = f"{several(self.total_in_flight, 'task')} in flight"
        if all(card.view.in_flight_by_state for card in self.cards):
            return f"{several(self.up, 'feed')} up, {in_flight}."
        return f"{self.up} of {several(len(self.cards), 'feed')} up, {in_flight} (incomplete)."


def _elsewhere(snapshot: Snapshot, provider: str) -> str:
    """The replica that polls a provider, if that is another one."""
    if snapshot.replica is None or snapshot.replica.held.get(provider):
        return ""
    return snapshot.replica_of(provider) or "no replica"
