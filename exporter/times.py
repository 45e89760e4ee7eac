"""Whose times to believe: what a vendor says of a task's times, as far as it is possible."""

from __future__ import annotations

from typing import NamedTuple

from exporter.tasks import CLOCK_SKEW, Observation

EARLIEST = 946684800.0
"""The year 2000: what a vendor dates before it is a slip, such as year 1 for "unset"."""


class Times(NamedTuple):
    """The vendor's times that are possible, and the names of those that are not."""

    submitted: float | None
    started: float | None
    ended: float | None
    dated: float | None
    rejected: frozenset[str]

    @property
    def placed(self) -> float | None:
        """The best date of an end: the end, what the vendor dates it by, or the submission."""
        if self.ended is not None:
            return self.ended
        return self.dated if self.dated is not None else self.submitted


_NAMES = ("submitted", "started", "ended", "dated")
_NONE: frozenset[str] = frozenset()


def believed(observation: Observation, now: float) -> Times:
    """Which of an observation's times to believe.

    Impossible: before the year 2000, in the future, a start or an end before the submission, a start after the end.
    """
    latest = now + CLOCK_SKEW
    submitted = _possible(observation.submitted, EARLIEST, latest)
    earliest = EARLIEST if submitted is None else max(EARLIEST, submitted - 1.0)  # vendors tell whole seconds
    started = _possible(observation.started, earliest, latest)
    ended = _possible(observation.ended, earliest, latest)
    dated = _possible(observation.dated, EARLIEST, latest)
    if started is not None and ended is not None and started > ended + 1.0:
        started = None
    possible = (submitted, started, ended, dated)
    told = (observation.submitted, observation.started, observation.ended, observation.dated)
    if possible == told:
        return Times(*possible, _NONE)
    return Times(
        *possible, frozenset(name for name, one, other in zip(_NAMES, possible, told, strict=True) if one != other)
    )


def _possible(at: float | None, earliest: float, latest: float) -> float | None:
    return at if at is not None and earliest <= at <= latest else None
