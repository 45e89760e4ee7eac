"""The moments of a history: from when to when, and how far apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class SampleTimes:
    """Evenly spaced moments at which samples are taken, at multiples of the step as Prometheus aligns its own."""

    first: int
    """The first moment, in steps since 1970."""
    last: int
    step: float
    """Seconds."""

    @classmethod
    def of(cls, length: float, until: float, step: float, now: float) -> Self:
        """The moments from so many seconds before now until so many before it."""
        last = math.floor((now - until) / step)
        return cls(last - math.ceil((length - until) / step), last, step)

    @property
    def start(self) -> float:
        """The first moment, a Unix time."""
        return self.first * self.step

    @property
    def end(self) -> float:
        return self.last * self.step

    def moment_of(self, at: float) -> int:
        """The first moment at which something that happened at a Unix time can be seen."""
        return math.ceil(at / self.step)

    def holds(self, at: float) -> bool:
        """Whether something that happened then shows as a change: after the first moment, and not after the last."""
        return self.first < self.moment_of(at) <= self.last
