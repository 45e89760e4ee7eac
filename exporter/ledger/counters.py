"""Counters as plain data: what the ledger persists and what the metrics read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

Key = tuple[str, ...]
"""A metric's short name and its label values; buckets of a histogram add `le` and their bound, its sum adds `sum`."""


class Counters(dict[Key, float]):
    """Numbers that only grow, by key; what was never counted is 0."""

    def __missing__(self, key: Key) -> float:
        return 0

    def add(self, *key: str, by: float = 1) -> None:
        self[key] += by

    def observe(self, *key: str, value: float, bounds: Sequence[float]) -> str:
        """Adds a value to a histogram and returns the bound of the bucket that took it."""
        position = bisect_left(bounds, value)
        bound = repr(float(bounds[position])) if position < len(bounds) else "+Inf"
        self.add(*key, "le", bound)
        self.add(*key, "sum", by=value)
        return bound

    def buckets(self, *key: str, bounds: Sequence[float]) -> tuple[list[tuple[str, float]], float]:
        """The cumulative buckets of a histogram, up to +Inf, and the sum of what was observed."""
        width = len(key)
        counted = [
            (other[width + 1], count)
            for other, count in self.items()
            if other[:width] == key and other[width : width + 1] == ("le",)
        ]
        return cumulative(counted, bounds), self[(*key, "sum")]

    def histograms(self) -> dict[Key, list[tuple[str, float]]]:
        """What each bucket of each histogram has counted, by the histogram's key: for those who want many of them."""
        found: dict[Key, list[tuple[str, float]]] = {}
        for key, count in self.items():
            if len(key) > 2 and key[-2] == "le":
                found.setdefault(key[:-2], []).append((key[-1], count))
        return found


def cumulative(counted: Iterable[tuple[str, float]], bounds: Sequence[float]) -> list[tuple[str, float]]:
    """Buckets that each hold the ones below, up to +Inf, out of what each has counted by itself.

    Counters kept under other bounds (the setting has changed since) fall into the next larger bucket of today, so that
    no count is lost and none goes back.
    """
    alone = [0.0] * (len(bounds) + 1)
    for bound, count in counted:
        alone[bisect_left(bounds, float(bound))] += count
    names = [*(repr(float(bound)) for bound in bounds), "+Inf"]
    return list(zip(names, accumulate(alone), strict=True))
