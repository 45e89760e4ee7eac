"""The Overview: what is in flight, how it ends, and who has to fix it if it does not."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from exporter.tasks import Phase, State
from grafana import identity, palette, panels
from grafana.boards import frame, shared
from grafana.boards.scales import (
    AGE_STEPS,
    ANY_IS_BAD,
    ANY_IS_NOTABLE,
    FEED,
    MEASURED,
    NO_ENDS,
    RATIO_STEPS,
    UNMEASURED,
    UP_WORDS,
)
from grafana.boards.verdict import verdict
from grafana.panels import AMOUNT, CLOCK, COUNT, Column, Ranked, columns, graph, latest, number, query
from grafana.promql import CHOSEN, EACH_INTERVAL, WHOLE_RANGE, Scope, at_end, by


def overview(select: Scope = CHOSEN) -> dashboard.Dashboard:
    """The dashboard to begin with."""
    rows: frame.Rows = {
        "": [verdict(select), *_numbers(select), _feeds(select), _alerts()],
        "Tasks": _tasks(select),
        "Failures": _failures(select),
        "Durations": _durations(select),
        "In the time range": [_totals(select)],
    }
    about = "What is in flight at the vendors, how fast and how well it ends, and whose fault it is if it does not."
    return frame.board(identity.OVERVIEW, about, rows, select)


def _numbers(select: Scope) -> list[panels.Panel]:
    ended = f"sum({select('recent_tasks', state=MEASURED)})"
    return [
        shared.in_flight_now(
            select, "Tasks queued, running, blocked or in an unknown state now. Compare with what was submitted."
        ),
        number(
            "Ended recently",
            latest(f"sum({select('recent_tasks')})"),
            about="Tasks that ended within recent_window (one hour by default), however they ended. Good: about as "
            "many as come in.",
            empty="No sweep yet",
            size=(4, 3),
            unit=COUNT,
        ),
        number(
            "Recent success",
            latest(f"sum({select('recent_tasks', state=State.SUCCEEDED)}) / ({ended} > 0)"),
            about="Succeeded of those that succeeded or failed within recent_window. Good: above 95 %. Below, see the "
            "reasons of failures.",
            empty="No ends",
            size=(4, 3),
            unit=units.PercentUnit,
            maximum=1,
            steps=RATIO_STEPS,
        ),
        shared.stalled_now(select, "look the tasks up on the Provider dashboard and ask the vendor"),
        number(
            "Feeds down",
            latest(f"sum(1 - {select('videotask_up')})"),
            about="Feeds whose last sweep failed. Good: none. Which, is in the table; why, on the Provider dashboard.",
            empty="No sweep yet",
            size=(4, 3),
            unit=COUNT,
            steps=ANY_IS_BAD,
        ),
        shared.age_of_data(
            "Oldest data", select, "Age of the oldest feed's data. Good: little more than its poll interval."
        ),
    ]


def _feeds(select: Scope) -> panels.Panel:
    to_provider = ("Look at this feed in depth", frame.PROVIDER_PAGE)
    ended = f"sum {FEED} ({select('recent_tasks', state=MEASURED)})"
    succeeded = f"sum {FEED} ({select('recent_tasks', state=State.SUCCEEDED)})"
    return columns(
        "Feeds",
        {"provider": Column("Provider", link=to_provider), "kind": Column("Kind", link=to_provider)},
        [
            (
                Column("State", COUNT, words=UP_WORDS, width=70),
                f"min {FEED} ({select('videotask_up')}) or -1 * max {FEED} ({select('feed_info')})",
            ),
            (
                Column("Age of data", units.Seconds, steps=AGE_STEPS, width=95),
                f"max {FEED} ({shared.age(select)})",
            ),
            (Column("In flight", COUNT, width=75), f"sum {FEED} ({select('tasks')})"),
            (
                Column("Oldest", units.Seconds, width=85),
                f"time() - min {FEED} ({select('oldest_task_timestamp_seconds')})",
            ),
            (Column("Stalled", COUNT, steps=ANY_IS_NOTABLE, width=70), f"sum {FEED} ({select('stalled_tasks')})"),
            (Column("Ended", COUNT, width=65), f"sum {FEED} ({select('recent_tasks')})"),
            (
                Column("Success", units.PercentUnit, steps=RATIO_STEPS, width=72),
                f"{succeeded} / ({ended} > 0)",
            ),
        ],
        about="Every feed now: whether its last sweep succeeded, how old its data is, what is in flight and for how "
        "long (since submission while queued, since the start while running), and how tasks ended within "
        "recent_window. Good: all up. A dash: nothing known, or withdrawn because the data is too old. Follow a name "
        "to its Provider dashboard.",
        empty=frame.NO_EXPORTER,
        sorted_by="State",
        size=(16, 9),
        unit=COUNT,
    )


def _alerts() -> panels.Panel:
    return panels.alerts(
        "Alerts",
        "VideoTask",
        about="Alerts of the exporter that fire or are about to, of Prometheus and of Grafana. Good: none. Each links "
        "to its section of the runbook. Empty also if the rules are not installed.",
        size=(8, 9),
    )


def _tasks(select: Scope) -> list[panels.Panel]:
    ended = f"sum {FEED} ({select('recent_tasks', state=MEASURED)})"
    succeeded = f"sum {FEED} ({select('recent_tasks', state=State.SUCCEEDED)})"
    return [
        shared.in_flight(
            select,
            "Tasks in flight by state. Good: queued stays low while running is steady. A queue that grows while "
            "nothing ends is the vendor's; unknown means that the vendor uses a word that is new to us.",
            (12, 8),
        ),
        graph(
            "Ends per minute",
            query(f"60 * sum {by('state')} (rate({select('finished_total')}[{EACH_INTERVAL}]))", "{{state}}"),
            about="How fast tasks end, by how they end. Each bar is the mean of five minutes or more, so few tasks "
            "make fractions. Good: as many as come in, nearly all succeeded.",
            empty=frame.NO_TASKS,
            size=(12, 8),
            unit=AMOUNT,
            least_top=1,
            bars=True,
            stacked=True,
            interval="5m",
            colours=palette.STATES,
        ),
        graph(
            "Recent success ratio by feed",
            Ranked(
                f"{succeeded} / ({ended} > 0)",
                "{{provider}} {{kind}}",
                lowest=True,
                by=at_end(f"{succeeded} / ({ended} > 0) - 1e-9 * {ended}"),
            ),
            about="Succeeded of those that succeeded or failed within recent_window, of the eight feeds with the "
            "lowest ratio. Good: above 95 %. One feed that falls is its vendor's matter; all at once are more likely "
            "ours.",
            empty=NO_ENDS,
            size=(12, 8),
            unit=units.PercentUnit,
            maximum=1,
            steps=RATIO_STEPS,
        ),
        shared.oldest_task(
            select, "Good: a few times the usual duration at most. A straight rise is one task that hangs.", (12, 8)
        ),
        graph(
            "Stalled tasks",
            Ranked(f"sum {FEED} ({select('stalled_tasks')}) > 0", "{{provider}} {{kind}}"),
            about="Running tasks without a change of state or progress for stalled_after. Good: none. A feed without "
            "progress (digital_human, face_swap) counts every task that runs longer than that: raise stalled_after "
            "there.",
            empty="Good: no task stalled in the time range",
            size=(12, 8),
            unit=COUNT,
        ),
        shared.feeds_over_time(
            "Feeds over time",
            select,
            "When each feed's last sweep had succeeded. Good: up throughout. One feed down is its vendor's matter; all "
            "at once are the network's or ours.",
        ),
    ]


def _failures(select: Scope) -> list[panels.Panel]:
    to_provider = ("Look at this feed in depth", frame.PROVIDER_PAGE)
    return [
        shared.failures_by_reason(
            select,
            "Whose fault: moderation and invalid_input are the request's; insufficient_balance and auth the "
            "account's; the others the vendor's. Good: none.",
            (12, 8),
        ),
        columns(
            "Recent failures by feed and reason",
            {
                "provider": Column("Provider", link=to_provider),
                "kind": Column("Kind", link=to_provider),
                "reason": Column("Reason"),
            },
            [
                (
                    Column("Failed", COUNT, width=90),
                    f"sort_desc(sum {by('provider', 'kind', 'reason')} ({select('recent_failures')}) > 0)",
                )
            ],
            about="Failed tasks within recent_window, the most first: which feed, and why. Good: nothing here.",
            empty="Good: no task failed within the recent window",
            size=(12, 8),
            unit=COUNT,
        ),
    ]


def _durations(select: Scope) -> list[panels.Panel]:
    def recent(phase: Phase, stat: str) -> str:
        return f"max {FEED} ({select('recent_duration_seconds', phase=phase, stat=stat)})"

    def both(title: str, phase: Phase, about: str) -> panels.Panel:
        return graph(
            title,
            Ranked(recent(phase, "p50"), "{{provider}} {{kind}}", dashed=recent(phase, "p95")),
            about=f"{about} Of each feed the median, and dashed the 95th percentile, of the tasks that ended within "
            "recent_window; of the eight feeds that take longest.",
            empty=UNMEASURED,
            size=(12, 8),
            unit=CLOCK,
        )

    return [
        both(
            "Queue: recent p50 and p95",
            Phase.QUEUE,
            "From submission to start. A rise means that the vendor is short of capacity, or that we submit too much.",
        ),
        both(
            "Run: recent p50 and p95",
            Phase.RUN,
            "From start to end. A rise means that the vendor is slow, or that longer clips are asked for.",
        ),
    ]


def _totals(select: Scope) -> panels.Panel:
    def ended(**labels: State) -> str:
        return f"sum {FEED} (increase({select('finished_total', **labels)}[{WHOLE_RANGE}]))"

    def quantile(share: float, metric: str) -> str:
        buckets = f"sum {by('le', 'provider', 'kind')} (increase({select(metric)}[{WHOLE_RANGE}]))"
        return f"histogram_quantile({share}, {buckets}) >= 0"

    measured = f"sum {FEED} (increase({select('finished_total', state=MEASURED)}[{WHOLE_RANGE}]))"
    return columns(
        "What each feed did",
        {
            "provider": Column("Provider", link=("Look at this feed in depth", frame.PROVIDER_PAGE)),
            "kind": Column("Kind"),
        },
        [
            (Column("Ended", COUNT, width=80), ended()),
            (Column("Succeeded", COUNT, width=100), ended(state=State.SUCCEEDED)),
            (Column("Failed", COUNT, width=75), ended(state=State.FAILED)),
            (
                Column("Success", units.PercentUnit, steps=RATIO_STEPS, width=85),
                f"{ended(state=State.SUCCEEDED)} / ({measured} > 0)",
            ),
            (
                Column("Video made", units.Seconds, width=105),
                f"sum {FEED} (increase({select('output_seconds_total')}[{WHOLE_RANGE}])) > 0",
            ),
            (Column("Queue p50", units.Seconds, width=100), quantile(0.5, "queue_duration_seconds_bucket")),
            (Column("Queue p95", units.Seconds, width=100), quantile(0.95, "queue_duration_seconds_bucket")),
            (Column("Run p50", units.Seconds, width=100), quantile(0.5, "run_duration_seconds_bucket")),
            (Column("Run p95", units.Seconds, width=100), quantile(0.95, "run_duration_seconds_bucket")),
        ],
        about="Counted over the whole time range: how tasks ended, the seconds of video produced, and durations from "
        "the histograms (as exact as their buckets). Prometheus extrapolates at the edges, so few tasks may be off by "
        "one. A dash: the vendor does not report it, or nothing ended.",
        empty="No sweep within the time range: widen it, or see the top of this dashboard",
        size=(24, 8),
        unit=COUNT,
    )
