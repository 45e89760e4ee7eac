"""The last hours of a feed as small drawings: each a path, and the same in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from exporter.ledger.counting.last_day import STEP, STEPS, step_of
from exporter.snapshot import FeedSnapshot
from exporter.tasks import Clock, State

HEIGHT = 24
"""Of a drawing, in units of its own: a step is one wide."""

LEAST = 2
"""Height of the lowest value above 0, so that one failure among many is seen."""


@dataclass(frozen=True)
class DrawnSpan:
    """How far back drawings go."""

    hours: int
    at_once: int
    """Steps of the ledger that are one step of the drawing."""

    @property
    def steps(self) -> int:
        """Of the ledger."""
        return int(self.hours * 3600 / STEP)

    @property
    def width(self) -> int:
        return self.steps // self.at_once


SPANS = (DrawnSpan(2, 1), DrawnSpan(6, 1), DrawnSpan(24, 3))


@dataclass(frozen=True)
class Spark:
    """How a number went over the last hours."""

    title: str
    figures: str
    """What is to be read of it."""
    tint: State
    """Whose colour it has."""
    path: str
    """The area below the line; empty where there is nothing at all."""
    span: DrawnSpan


def span_of(feeds: Iterable[FeedSnapshot], now: float) -> DrawnSpan:
    """The shortest that shows all that is known of these feeds."""
    longest = max((feed.last_day.at(now).reaches() for feed in feeds), default=0)
    return next((span for span in SPANS if longest <= span.steps), SPANS[-1])


def sparks(feed: FeedSnapshot, span: DrawnSpan, now: float) -> Sequence[Spark]:
    """In flight, ended and failed; nothing where no sweep was complete or nothing happened."""
    last_day = feed.last_day.at(now)
    if not feed.swept or feed.succeeded is None or not (last_day.reaches() or feed.tasks):
        return ()
    in_flight = last_day.in_flight(len(feed.tasks), feed.succeeded)
    if feed.clock is Clock.OBSERVED and feed.since is not None:  # it is not known when earlier ones began
        unseen = min(max(0, step_of(feed.since) - last_day.last + STEPS - 1), STEPS)
        in_flight[:unseen] = [None] * unseen
    in_flight = in_flight[STEPS - span.steps :]
    most = max((count for count in in_flight if count is not None), default=0)
    found = [Spark("in flight", f"at most {most}", State.RUNNING, area(_highest(in_flight, span)), span)]
    for title, tint, column in (("ended", State.SUCCEEDED, last_day.ended), ("failed", State.FAILED, last_day.failed)):
        values = column[STEPS - span.steps :]
        found.append(Spark(title, str(sum(values)), tint, area(_together(values, span)), span))
    return found


def _highest(values: Sequence[int | None], span: DrawnSpan) -> list[int | None]:
    several = (values[at : at + span.at_once] for at in range(0, len(values), span.at_once))
    return [max((value for value in some if value is not None), default=None) for some in several]


def _together(values: Sequence[int], span: DrawnSpan) -> list[int]:
    return [sum(values[at : at + span.at_once]) for at in range(0, len(values), span.at_once)]


def area(values: Sequence[int | None]) -> str:
    """The area below a line of steps; where nothing is known, there is none."""
    most = max((value for value in values if value), default=0)
    return f"M0 {HEIGHT}{''.join(_parts(values, most))}V{HEIGHT}z" if most else ""


def _parts(values: Sequence[int | None], most: int) -> Iterator[str]:
    for height, same in groupby(round(max(LEAST, value / most * HEIGHT)) if value else 0 for value in values):
        yield f"V{HEIGHT - height}h{len(list(same))}"
