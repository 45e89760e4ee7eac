"""What the exporter makes of each fault: the table that the tests are generated from, and that the documents show."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from starlette.types import ASGIApp

from exporter.simulator.world.life import Life
from exporter.simulator.world.profiles import DIGITAL_HUMAN, PROFILES, Feed
from exporter.simulator.world.world import World
from exporter.tasks import State
from tests.simulator import faults

Shown = Literal["withdrawn", "true", "true a sweep later", "unknown", "as before"]


@dataclass(frozen=True)
class Fault:
    """One fault of a feed, and its effect while it lasts. After it all is up and true again, each end counted once."""

    name: str
    make: Callable[[World, Feed], ASGIApp] | None
    """The fault for the simulator; None where `base_url` makes it."""
    up: int = 0
    error: str = ""
    """The label of `videotask_api_errors_total`; empty where no call fails."""
    gaps: int = 0
    shown: Shown = "withdrawn"
    """The in-flight gauges: withdrawn after three intervals, the truth, `unknown`, or what was known before."""
    base_url: str = ""
    """With the simulator's address in it as {}."""
    endpoint: str = ""
    """/list where only that suffers."""
    waits: bool = False
    """Whether a failing call takes as long as request_timeout allows."""
    once: bool = False
    feeds: tuple[Feed, ...] = field(default=tuple(PROFILES))


def _always(app: ASGIApp) -> Callable[[World, Feed], ASGIApp]:
    return lambda world, feed: app


def _refused(world: World, feed: Feed) -> ASGIApp:
    return faults.REFUSED_IN_200[feed[0]]


def _arriving(world: World, feed: Feed) -> ASGIApp:
    """After each page a task comes that has ended at once, after the first one more than fit on a page."""
    names = itertools.count()

    def arrive() -> None:
        number = next(names)
        for part in range(1 if number else MORE_THAN_A_PAGE):
            world.add(Life(f"arrived-{number}-{part}", *feed, world.now() - 1, 0.0, 0.5, State.SUCCEEDED))

    return faults.arriving(arrive)


HOUR = 3600.0
MORE_THAN_A_PAGE = 7

MATRIX: tuple[Fault, ...] = (
    Fault("no answer at all", _always(faults.hang), error="timeout", waits=True),
    Fault("a slow drip of bytes", _always(faults.drip), error="timeout", waits=True),
    Fault("the connection is reset", _always(faults.reset), error="connection"),
    Fault("the connection breaks within the body", _always(faults.broken_off), error="connection"),
    Fault("the host has no address (DNS)", None, error="connection", base_url="http://nowhere.invalid"),
    Fault("no TLS where it is asked for", None, error="connection", base_url="https://{}"),
    Fault("429 without Retry-After", _always(faults.answering(429)), error="rate_limited"),
    Fault("429, Retry-After in seconds", _always(faults.answering(429, "1")), error="rate_limited"),
    Fault("429, Retry-After as a date", _always(faults.until_a_date), error="rate_limited"),
    Fault(
        "a rate-limit code inside HTTP 200",
        _refused,
        error="rate_limited",
        feeds=tuple(feed for feed in PROFILES if feed != DIGITAL_HUMAN),
    ),
    Fault("500", _always(faults.answering(500)), error="provider_internal"),
    Fault("503", _always(faults.answering(503)), error="provider_internal"),
    Fault("the credentials are refused", _always(faults.keyless), error="auth"),
    Fault("HTML with HTTP 200", _always(faults.HTML), error="intercepted"),
    Fault("a truncated body", _always(faults.said(faults.cut)), error="contract"),
    Fault("a body of 200,000 nested objects", _always(faults.NESTED), error="contract"),
    Fault("a body above 8 MiB", _always(faults.HUGE), error="too_large"),
    Fault("an envelope of wrong types", _always(faults.WRONG_TYPES), error="contract"),
    Fault("rows of wrong types", _always(faults.rows(faults.each(faults.mistyped))), up=1, shown="unknown"),
    Fault("states that no document names", _always(faults.rows(faults.each(faults.unheard_of))), up=1, shown="unknown"),
    Fault(
        "rows that are no tasks between the others",
        _always(faults.rows(lambda rows: [None, *rows, 7, {}])),
        up=1,
        shown="true",
        endpoint="/list",
    ),
    Fault("each row twice", _always(faults.rows(lambda rows: [*rows, *rows])), up=1, shown="true", endpoint="/list"),
    Fault(
        "the rows of each page turned around",
        _always(faults.rows(lambda rows: rows[::-1])),
        up=1,
        shown="true",
        endpoint="/list",
    ),
    Fault("a task arrives between two pages", _arriving, up=1, shown="true a sweep later", endpoint="/list"),
    Fault(
        "an empty list, once",
        _always(faults.rows(lambda rows: [])),
        up=1,
        gaps=1,
        shown="as before",
        endpoint="/list",
        once=True,
    ),
    Fault("a clock five hours ahead", _always(faults.skewed(5 * HOUR)), up=1, shown="true"),
    Fault("a clock five hours behind", _always(faults.skewed(-5 * HOUR)), up=1, shown="true"),
)
