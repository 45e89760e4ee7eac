"""Whose times to believe: what a vendor says of a task's times, as far as it is possible."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.tasks import CLOCK_SKEW, Observation

EARLIEST = 946684800.0
"""The year 2000: what a vendor dates before it is a slip, such as year 1 for "unset"."""


@dataclass(frozen=True, slots=True)
class Times:
    """The vendor's times that are possible, and the names of those that are not."""

    submitted: float | None
    started: float | None
    ended: float | None
    dated: float | None
    rejected: frozenset[str]

    @property
    def placed(self) -> float | None:
        """The best date of an end: the end, what the vendor dates it by, or the submission."""
        return next((at for at in (self.ended, self.dated, self.submitted) if at is not None), None)


def believed(observation: Observation, now: float) -> Times:
    """Which of an observation's times to believe.

    Impossible: before the year 2000, in the future, a start or an end before the submission, a start after the end.
    """
    rejected: set[str] = set()

    def possible(name: str, at: float | None, not_before: float | None = None) -> float | None:
        if at is None:
            return None
        if EARLIEST <= at <= now + CLOCK_SKEW and (not_before is None or at >= not_before - 1.0):  # whole seconds
            return at
        rejected.add(name)
        return None

    submitted = possible("submitted", observation.submitted)
    started = possible("started", observation.started, submitted)
    ended = possible("ended", observation.ended, submitted)
    dated = possible("dated", observation.dated)
    if started is not None and ended is not None and started > ended + 1.0:
        rejected.add("started")
        started = None
    return Times(submitted, started, ended, dated, frozenset(rejected))
