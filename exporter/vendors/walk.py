"""A list walked page by page: where the next page begins, when it has ended, and when it is past a date.

Sweeps and `export-history` walk lists so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from exporter.ledger.counting.times import EARLIEST
from exporter.tasks import Observation
from exporter.vendors.vendor import START, Page, Position

REPEATS = 2
"""Pages in a row with nothing new that end the reading: one alone may come of as many new rows as a page has."""


class Walk:
    """Where a reader stands in a list."""

    def __init__(self, start: Position = START, repeats: int = REPEATS) -> None:
        """`repeats` is how many pages in a row with nothing new end the list."""
        self.next = start
        self.is_last = False
        """Whether the page before was the last."""
        self._first = start.index
        self._most = repeats
        self._repeats = 0

    def take(self, page: Page, fresh: int) -> None:
        """Goes on past a page, so many of whose tasks no page before has shown."""
        index = self.next.index
        # A vendor that has no more may show the last page again.
        is_repeat = index > self._first and not fresh and bool(page.observations or page.malformed or not page.rows)
        self._repeats = self._repeats + 1 if is_repeat else 0
        self.next = Position(index + 1, self.next.rows + page.rows, page.cursor)
        self.is_last = page.last or self._repeats >= self._most


class Descent:
    """Whether the pages of a list have come below a date, so that the rest is older.

    A list that is sorted has, with the last row of a page. One in another order has where all rows so far came newest
    first and a whole page is older.
    """

    def __init__(self, *, is_sorted: bool) -> None:
        self._is_sorted = is_sorted
        self._lowest = math.inf

    def is_below(self, observations: Sequence[Observation], floor: float) -> bool:
        """Whether what follows these rows of the next page is older than `floor`, a Unix time."""
        if not observations:
            return False
        if self._is_sorted:
            return not is_oldest_first(observations) and is_before(observations[-1], floor)
        self._lowest, above = _descended(observations, self._lowest), self._lowest
        return -math.inf < self._lowest < above and _is_wholly_before(observations, floor)


def placed(observation: Observation) -> float | None:
    """Where a row stands in time, as lists are sorted."""
    dates = (observation.submitted, observation.dated, observation.ended)
    return next((at for at in dates if at is not None and at >= EARLIEST), None)


def is_oldest_first(observations: Sequence[Observation]) -> bool:
    """Whether a page is sorted against what we ask for or assume: then no row on it proves that the rest is known."""
    dates = [one.submitted or one.dated for one in (observations[0], observations[-1])]
    return dates[0] is not None and dates[1] is not None and dates[0] < dates[1]


def is_before(observation: Observation, floor: float) -> bool:
    """Whether a row is older than `floor`, a Unix time."""
    at = observation.submitted or observation.dated or observation.ended
    return at is not None and EARLIEST <= at < floor


def _descended(observations: Sequence[Observation], lowest: float) -> float:
    """The last date of a page whose rows go on down from the lowest date so far; minus infinity once any does not."""
    for one in observations:
        at = one.submitted or one.dated
        if at is None or at > lowest:
            return -math.inf
        lowest = at
    return lowest


def _is_wholly_before(observations: Sequence[Observation], floor: float) -> bool:
    """Whether all rows of a page are older, and not all of one date, which would say nothing about their order."""
    first, last = observations[0], observations[-1]
    return is_before(first, floor) and (first.submitted or first.dated) != (last.submitted or last.dated)
