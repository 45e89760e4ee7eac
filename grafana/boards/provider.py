"""The Provider: one vendor in depth."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from exporter.tasks import Phase, State
from grafana import identity, palette, panels
from grafana.boards import frame, shared
from grafana.boards.api import api
from grafana.boards.scales import ANY_IS_NOTABLE, FEED, MEASURED, NO_ENDS, RATIO_STEPS, UNMEASURED, UP_WORDS
from grafana.boards.verdict import verdict
from grafana.panels import AMOUNT, CLOCK, COUNT, Column, Ranked, columns, distribution, graph, latest, number, query
from grafana.promql import CHOSEN, EACH_INTERVAL, WHOLE_RANGE, Scope, by

NO_PROGRESS = "No running task reports progress: MetaStudio and faceWap never do"
LIMIT = """\
The table shows **single tasks**, which cost a series each. They are off by default: set `task_series_limit` in the
exporter's configuration, for one provider or for all, to the most that you can afford, 100 for instance. The oldest
tasks come first; *Left out* says how many more there are.

Only tasks that report progress are shown. MetaStudio and faceWap report none: there, see *In flight by state* and *Age
of the oldest task*, or the exporter's own page `/tasks`, which knows every task.
"""


def provider(select: Scope = CHOSEN) -> dashboard.Dashboard:
    """The dashboard for the question what is the matter with a vendor."""
    rows: frame.Rows = {
        "": [verdict(select), *_numbers(select)],
        "Tasks in flight": _in_flight(select),
        "Single tasks": _single(select),
        "Ends": _ends(select),
        "Durations": _durations(select),
        "The vendor's API, for all kinds": api(select),
    }
    about = "One vendor in depth: choose it above. Its tasks from submission to end, and how its API answers."
    return frame.board(identity.PROVIDER, about, rows, select)


def _numbers(select: Scope) -> list[panels.Panel]:
    ended = f"sum(increase({select('finished_total', state=MEASURED)}[{WHOLE_RANGE}]))"
    succeeded = f"sum(increase({select('finished_total', state=State.SUCCEEDED)}[{WHOLE_RANGE}]))"
    buckets = f"sum {by('le')} (increase({select('run_duration_seconds_bucket')}[{WHOLE_RANGE}]))"
    return [
        number(
            "State",
            latest(f"min({select('videotask_up')}) or -1 * max({select('feed_info')})"),
            about="Whether the last sweep of every chosen feed succeeded. Good: up. Down: see the errors below.",
            empty="No exporter",
            size=(4, 3),
            unit=COUNT,
            words=UP_WORDS,
        ),
        shared.age_of_data(
            "Age of data", select, "Since the last successful sweep. Good: little more than the poll interval."
        ),
        shared.in_flight_now(select, "Tasks queued, running, blocked or in an unknown state now."),
        number(
            "Success ratio",
            latest(f"{succeeded} / ({ended} > 0)"),
            about="Succeeded of those that succeeded or failed in the time range. Good: above 95 %.",
            empty="No ends",
            size=(4, 3),
            unit=units.PercentUnit,
            maximum=1,
            steps=RATIO_STEPS,
        ),
        number(
            "Run p95",
            latest(f"histogram_quantile(0.95, {buckets}) >= 0"),
            about="95 % of the tasks that ended in the time range ran no longer than this, as exact as the buckets "
            "are.",
            empty="Not known",
            size=(4, 3),
            unit=units.Seconds,
        ),
        shared.stalled_now(select, "ask the vendor about them"),
    ]


def _in_flight(select: Scope) -> list[panels.Panel]:
    return [
        shared.in_flight(
            select,
            "States over time. Good: queued stays low while running is steady. Blocked tasks are frozen by the "
            "vendor: ask why.",
            (12, 8),
        ),
        shared.oldest_task(select, "A straight rise is one task that hangs.", (12, 8)),
        distribution(
            "Progress of running tasks",
            # Without the condition, feeds that report none would show an empty grid in place of the reason.
            f"sum {by('le')} ({select('progress_ratio_bucket')}) "
            f"and on () (sum({select('progress_ratio_gcount')}) > 0)",
            about="How many running tasks are how far. Good: a steady drift upwards. A band that stays at one height "
            "is tasks that hang there.",
            empty=NO_PROGRESS,
            size=(12, 8),
            unit=units.PercentUnit,
            maximum=1,
        ),
        graph(
            "Mean progress",
            Ranked(
                f"sum {FEED} ({select('progress_ratio_gsum')}) / (sum {FEED} ({select('progress_ratio_gcount')}) > 0)",
                "{{provider}} {{kind}}",
            ),
            about="Mean progress of the running tasks that report one. Good: near the middle, as tasks of all ages "
            "run. Near 0 for long: the vendor starts tasks but does not advance them.",
            empty=NO_PROGRESS,
            size=(12, 8),
            unit=units.PercentUnit,
            maximum=1,
        ),
        shared.feeds_over_time(
            "Sweeps over time",
            select,
            "When the feed could be read. Good: up throughout. Red: the last sweep had failed then.",
            (24, 7),
        ),
    ]


def _single(select: Scope) -> list[panels.Panel]:
    to_task = ("Open the task at the exporter", frame.TASK_PAGE)
    task = by("instance", "provider", "kind", "task_id")
    return [
        columns(
            "Tasks and their progress",
            {
                "provider": Column("Provider", width=150),
                "kind": Column("Kind", width=120),
                "task_id": Column("Task", link=to_task, width=310),
                "instance": Column("Exporter", hidden=True),
            },
            [(Column("Progress", units.PercentUnit, bar=True), f"max {task} ({select('task_progress_ratio')})")],
            about="Tasks in flight one by one, as far as task_series_limit allows. Follow an id to the exporter's page "
            "of the task; the link holds if your browser reaches the exporter under the address that Prometheus uses.",
            empty="No single tasks: set task_series_limit, or none in flight reports progress",
            size=(16, 9),
            unit=units.PercentUnit,
            maximum=1,
        ),
        panels.words(
            "How to see single tasks",
            LIMIT,
            about="What task_series_limit does to the table beside.",
            size=(5, 9),
        ),
        number(
            "Left out",
            latest(f"sum({select('task_series_dropped')})"),
            about="Tasks that task_series_limit keeps out of the table; 0 while it is off. Good: 0. Else raise the "
            "limit if Prometheus can take the series.",
            empty="No sweep yet",
            size=(3, 9),
            unit=COUNT,
            steps=ANY_IS_NOTABLE,
        ),
    ]


def _ends(select: Scope) -> list[panels.Panel]:
    succeeded_run = select("run_duration_seconds_sum", state=State.SUCCEEDED)
    return [
        graph(
            "Ends",
            query(f"sum {by('state')} (increase({select('finished_total')}[{EACH_INTERVAL}]))", "{{state}}"),
            about="Tasks that ended, by how they ended, in each five minutes or more. Good: nearly all succeeded. Lost "
            "tasks vanished at the vendor before their end was seen.",
            empty=frame.NO_TASKS,
            size=(12, 8),
            unit=COUNT,
            bars=True,
            stacked=True,
            interval="5m",
            colours=palette.STATES,
        ),
        shared.failures_by_reason(
            select,
            "Good: none. Moderation and invalid_input are the request's; insufficient_balance and auth the "
            "account's; the others the vendor's.",
            (12, 8),
        ),
        graph(
            "Recent ends",
            query(f"sum {by('state')} ({select('recent_tasks')})", "{{state}}"),
            about="Tasks that ended within recent_window, by how they ended: exact counts of few tasks.",
            empty=frame.NO_TASKS,
            size=(12, 8),
            unit=COUNT,
            stacked=True,
            colours=palette.STATES,
        ),
        graph(
            "Since the latest end",
            query(
                f"time() - max {by('state')} ({select('last_finished_timestamp_seconds')})",
                "{{state}}",
            ),
            about="How long ago the latest task ended so. Good: succeeded falls back to near 0 again and again. If it "
            "only rises while tasks are in flight, nothing gets done.",
            empty="No task was ever seen to end here",
            size=(12, 8),
            unit=CLOCK,
            colours=palette.STATES,
        ),
        graph(
            "Output seconds per generation second",
            Ranked(
                f"(sum {FEED} (increase({select('output_seconds_total')}[{EACH_INTERVAL}])) > 0) / "
                f"(sum {FEED} (increase({succeeded_run}[{EACH_INTERVAL}])) > 0)",
                "{{provider}} {{kind}}",
            ),
            about="Seconds of video for each second that successful tasks ran. Higher is faster; a fall means that the "
            "vendor has become slower for the same work.",
            empty="Needs clip lengths and run times: nothing succeeded, or the vendor does not report them",
            size=(12, 8),
            unit=AMOUNT,
            interval="15m",
        ),
        graph(
            "Video produced",
            Ranked(
                f"sum {FEED} (increase({select('output_seconds_total')}[{EACH_INTERVAL}])) > 0", "{{provider}} {{kind}}"
            ),
            about="Seconds of video in each five minutes or more, where the vendor says them: faceWap does not.",
            empty="Nothing succeeded, or the vendor does not report the length of its clips",
            size=(12, 8),
            unit=CLOCK,
            bars=True,
            stacked=True,
            interval="5m",
        ),
    ]


def _durations(select: Scope) -> list[panels.Panel]:
    def heat(title: str, metric: str, about: str) -> panels.Panel:
        return distribution(
            title,
            f"sum {by('le')} (increase({select(f'{metric}_bucket')}[{EACH_INTERVAL}])) "
            f"and on () (sum(increase({select(f'{metric}_count')}[{EACH_INTERVAL}])) > 0)",
            about=f"{about} Points are single tasks: hover one and follow it to the exporter's page of the task.",
            empty=UNMEASURED,
            size=(8, 8),
            unit=CLOCK,
            exemplars=True,
            interval="5m",
        )

    def recent(phase: Phase) -> panels.Panel:
        return graph(
            f"Recent {phase} durations",
            query(f"max {by('stat')} ({select('recent_duration_seconds', phase=phase)})", "{{stat}}"),
            about="Median, 95th percentile and longest of the tasks that ended within recent_window; with several "
            "feeds chosen, of the slowest. Exact, however few the tasks.",
            empty=NO_ENDS if phase is Phase.TOTAL else UNMEASURED,
            size=(8, 8),
            unit=CLOCK,
            colours=palette.STATS,
        )

    def quantiles(title: str, metric: str) -> panels.Panel:
        buckets = f"sum {by('le')} (rate({select(metric)}[{EACH_INTERVAL}]))"
        return graph(
            title,
            query(f"histogram_quantile(0.5, {buckets}) >= 0", "p50"),
            query(f"histogram_quantile(0.95, {buckets}) >= 0", "p95"),
            about="From the histogram, of what ended in each 30 minutes or more: as exact as the buckets are, but of "
            "any time range.",
            empty=UNMEASURED,
            size=(8, 8),
            unit=CLOCK,
            colours=palette.STATS,
            interval="30m",
        )

    return [
        heat(
            "Queue durations",
            "queue_duration_seconds",
            "From submission to start. Good: low and steady; a second band is a second class of tasks.",
        ),
        heat(
            "Run durations",
            "run_duration_seconds",
            "From start to end. Good: low and steady; a drift upwards is a vendor that slows down.",
        ),
        heat(
            "Total durations",
            "total_duration_seconds",
            "From submission to end: how long a user waits for the video. Good: low and steady.",
        ),
        *(recent(phase) for phase in Phase),
        quantiles("Queue p50 and p95", "queue_duration_seconds_bucket"),
        quantiles("Run p50 and p95", "run_duration_seconds_bucket"),
        quantiles("Total p50 and p95", "total_duration_seconds_bucket"),
    ]
