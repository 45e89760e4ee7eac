"""What to believe of a row: times that are possible, and an end that it proves though its state is unknown."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from exporter.tasks import CLOCK_SKEW, Field, Observation, Reason, State

EARLIEST = 946684800.0
"""The year 2000: what a vendor dates before it is a slip, such as year 1 for "unset"."""

END_ALONE = 60.0
"""Seconds after which an end time counts without a result or a reason: what belongs to it may be written later."""


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
    earliest = EARLIEST if submitted is None else max(EARLIEST, submitted - 1.0)  # vendors report whole seconds
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


def concluded(observation: Observation, now: float) -> Observation:
    """The observation with the end that it proves, where the exporter does not know the vendor's word for the state.

    A task that nothing ends stays in flight for ever, so evidence ends it. One sign alone proves little: there are
    vendors that show 100 % while they still work on the clip. A pair of signs does:

    - an end time or 100 %, with a reason for a failure: failed;
    - an end time with a result or 100 %, or 100 % with a result: succeeded;
    - an end time with none of these, for `END_ALONE`: it ended without a result, so it failed.

    The word still counts as unmapped.
    """
    if observation.state is not State.UNKNOWN:
        return observation
    ended, is_full = believed(observation, now).ended, observation.progress == 1.0
    if ended is None and not is_full:
        return observation
    unmapped = observation.unmapped | {Field.STATE}
    if observation.fault is None and (observation.result or (ended is not None and is_full)):
        return replace(observation, state=State.SUCCEEDED, unmapped=unmapped)
    if observation.fault is None and (ended is None or now - ended < END_ALONE):
        return observation
    reason = observation.fault or Reason.UNKNOWN
    return replace(
        observation, state=State.FAILED, reason=reason, progress=None, output_seconds=None, unmapped=unmapped
    )
