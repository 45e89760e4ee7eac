"""Panels that stand on more than one dashboard. What they show is the same; each dashboard says what to do about it."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from grafana import palette, panels
from grafana.boards import frame
from grafana.boards.scales import AGE_STEPS, ANY_IS_NOTABLE, FEED, UP_WORDS
from grafana.panels import CLOCK, COUNT, Ranked, graph, latest, number, query, timeline
from grafana.promql import EACH_INTERVAL, Scope, at_end, by

MOST_FEEDS = 16
"""So many lines of a timeline can be read."""


def in_flight_now(select: Scope, about: str) -> panels.Panel:
    expr = f"sum({select('tasks')})"
    return number("In flight", latest(expr), about=about, empty="Not known now", size=(4, 3), unit=COUNT)


def stalled_now(select: Scope, what_to_do: str) -> panels.Panel:
    return number(
        "Stalled",
        latest(f"sum({select('stalled_tasks')})"),
        about=f"Running tasks without a change of state or progress for stalled_after. Good: none. Else {what_to_do}.",
        empty="Not known now",
        size=(4, 3),
        unit=COUNT,
        steps=ANY_IS_NOTABLE,
    )


def age(select: Scope) -> str:
    """How old each feed's data was when it was scraped: slow scraping does not make it older."""
    polled = select("last_successful_poll_timestamp_seconds")
    return f"timestamp({polled}) - {polled}"


def age_of_data(title: str, select: Scope, about: str) -> panels.Panel:
    return number(
        title,
        latest(f"max({age(select)})"),
        about=f"{about} The thresholds fit intervals of up to 30 s.",
        empty="No sweep yet",
        size=(4, 3),
        unit=units.Seconds,
        steps=AGE_STEPS,
    )


def in_flight(select: Scope, about: str, size: tuple[int, int]) -> panels.Panel:
    return graph(
        "In flight by state",
        query(f"sum {by('state')} ({select('tasks')})", "{{state}}"),
        about=about,
        empty=frame.WITHDRAWN,
        size=size,
        unit=COUNT,
        stacked=True,
        colours=palette.STATES,
    )


def oldest_task(select: Scope, about: str, size: tuple[int, int]) -> panels.Panel:
    oldest = f"min {FEED} ({select('oldest_task_timestamp_seconds')})"
    polled = f"max {FEED} ({select('last_successful_poll_timestamp_seconds')})"
    return graph(
        "Age of the oldest task",
        Ranked(f"time() - {oldest}", "{{provider}} {{kind}}", by=at_end(f"{polled} - {oldest}")),
        about="How long each feed's oldest task has waited, while queued, or has run; of the eight feeds with the "
        f"oldest. {about}",
        empty="No task is queued or running, or the data is too old to be shown",
        size=size,
        unit=CLOCK,
    )


def failures_by_reason(select: Scope, about: str, size: tuple[int, int]) -> panels.Panel:
    return graph(
        "Failures by reason",
        query(f"sum {by('reason')} (increase({select('failures_total')}[{EACH_INTERVAL}]))", "{{reason}}"),
        about=f"Failed tasks by reason, in each five minutes or more. {about}",
        empty=frame.NO_TASKS,
        size=size,
        unit=COUNT,
        bars=True,
        stacked=True,
        interval="5m",
        colours=palette.REASONS,
    )


def feeds_over_time(title: str, select: Scope, about: str, size: tuple[int, int] = (12, 8)) -> panels.Panel:
    up = f"min {FEED} ({select('videotask_up')})"
    return timeline(
        title,
        query(f"{up} and bottomk({MOST_FEEDS}, {at_end(up)})", "{{provider}} {{kind}}"),
        about=f"{about} Of more than {MOST_FEEDS} feeds, those that were down for longest.",
        empty=frame.NO_TASKS,
        size=size,
        unit=COUNT,
        words=UP_WORDS,
    )
