"""Panels that stand on more than one dashboard. What they show is the same; each dashboard says what to do about it."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from grafana import palette, panels
from grafana.boards import frame
from grafana.boards.scales import AGE_STEPS, ANY_IS_NOTABLE, FEED, UP_WORDS
from grafana.panels import graph, latest, number, query, timeline
from grafana.promql import EACH_INTERVAL, Scope, by


def in_flight_now(select: Scope, about: str) -> panels.Panel:
    expr = f"sum({select('tasks')})"
    return number("In flight", latest(expr), about=about, empty="Not known now", size=(4, 3), unit=units.Short)


def stalled_now(select: Scope, what_to_do: str) -> panels.Panel:
    return number(
        "Stalled",
        latest(f"sum({select('stalled_tasks')})"),
        about=f"Running tasks without a change of state or progress for stalled_after. Good: none. Else {what_to_do}.",
        empty="Not known now",
        size=(4, 3),
        unit=units.Short,
        steps=ANY_IS_NOTABLE,
    )


def age_of_data(title: str, select: Scope, about: str) -> panels.Panel:
    return number(
        title,
        latest(f"time() - min({select('last_successful_poll_timestamp_seconds')})"),
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
        unit=units.Short,
        stacked=True,
        colours=palette.STATES,
    )


def oldest_task(select: Scope, about: str, size: tuple[int, int]) -> panels.Panel:
    state = by("provider", "kind", "state")
    return graph(
        "Age of the oldest task",
        query(f"time() - min {state} ({select('oldest_task_timestamp_seconds')})", "{{provider}} {{kind}} {{state}}"),
        about=f"How long the oldest queued task has waited, and the oldest running one has run. {about}",
        empty="No task is queued or running, or the data is too old to be shown",
        size=size,
        unit=units.Seconds,
    )


def failures_by_reason(select: Scope, about: str, size: tuple[int, int]) -> panels.Panel:
    return graph(
        "Failures by reason",
        query(f"sum {by('reason')} (increase({select('failures_total')}[{EACH_INTERVAL}]))", "{{reason}}"),
        about=f"Failed tasks by reason, in each five minutes or more. {about}",
        empty=frame.NO_TASKS,
        size=size,
        unit=units.Short,
        bars=True,
        stacked=True,
        interval="5m",
        colours=palette.REASONS,
    )


def feeds_over_time(title: str, select: Scope, about: str) -> panels.Panel:
    return timeline(
        title,
        query(f"min {FEED} ({select('videotask_up')})", "{{provider}} {{kind}}"),
        about=about,
        empty=frame.NO_TASKS,
        size=(12, 8),
        unit=units.Short,
        words=UP_WORDS,
    )
