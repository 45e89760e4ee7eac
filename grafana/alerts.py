"""The alerts: what each asks, when it fires, and what it says. Prometheus and Grafana get them from here.

Four things that the queries rely on. Counters are there at 0 from the first complete sweep on, with the history
already in them, which `increase` does not see. Gauges of what is in flight are withdrawn when they are too old, so that
an outage of the polling raises no alarm about tasks. What needs a past asks for it with `offset`, so that nothing fires
before there is one. And a ratio of nothing is NaN, which is above nothing.
"""

from __future__ import annotations

from exporter.tasks import ENDS, Reason, State
from grafana.account_alerts import of_accounts
from grafana.alerting import (
    COUNT,
    FEED_NAME,
    FIELD_NAME,
    INSTANCE_NAME,
    JOB_NAME,
    LENGTH,
    PERCENT,
    PROVIDER_NAME,
    SOURCE_NAME,
    TIMES,
    Alert,
    Subject,
)
from grafana.promql import EVERYWHERE
from grafana.queries import ACCOUNT, increase, now, total
from grafana.recordings import Recordings
from grafana.thresholds import Burn, Thresholds


def of_exporter(t: Thresholds) -> list[Alert]:
    """Alerts about the exporter itself."""
    restarting, lost, revived = t.exporter_restarting, t.ledger_lost, t.loop_restarted
    held = f"sum by (job, provider) ({EVERYWHERE('lease_held')})"
    return [
        Alert(
            "exporter_down",
            Subject.INSTANCE,
            t.exporter_down,
            EVERYWHERE("up", job=t.job),
            limit=1,
            below=True,
            summary="Prometheus cannot scrape the video-task exporter.",
            description=f"Nothing is known of any vendor's tasks through {INSTANCE_NAME}: the exporter does not "
            "run, or Prometheus does not reach it. First see whether the process runs and what it logged last.",
        ),
        Alert(
            "exporter_absent",
            Subject.JOB,
            t.exporter_absent,
            f"absent({EVERYWHERE('up', job=t.job)})",
            summary="Prometheus has no video-task exporter to scrape.",
            description=f"No target has the job {JOB_NAME}, so no other alert about video tasks can fire. First see "
            "the targets page of Prometheus, then the scrape configuration or the service discovery.",
        ),
        Alert(
            "exporter_restarting",
            Subject.INSTANCE,
            restarting,
            f"changes({EVERYWHERE('process_start_time_seconds', job=t.job)}[{restarting.window}])",
            limit=restarting.restarts,
            summary="The video-task exporter restarts again and again.",
            description=f"The exporter at {INSTANCE_NAME} started {COUNT} times within {restarting.window}. First "
            "read the last lines of its log before a start, then look for a memory limit or a health check that "
            "ends it.",
        ),
        Alert(
            "config_reload_failed",
            Subject.INSTANCE,
            t.config_reload_failed,
            EVERYWHERE("exporter_config_last_reload_successful"),
            limit=1,
            below=True,
            summary="The video-task exporter refused its new configuration.",
            description=f"The exporter at {INSTANCE_NAME} goes on with the configuration it had, and would not "
            "start with the new one. First run `videotask-exporter check-config`, which names the line.",
        ),
        Alert(
            "ledger_lost",
            Subject.INSTANCE,
            lost,
            total(increase("ledger_losses_total", lost.window)),
            summary="The video-task exporter lost its ledger and began a new one.",
            description=f"The exporter at {INSTANCE_NAME} found its ledger damaged at a start and set it aside; the "
            "task counters started again at 0. First see whether the disk is full or failing.",
        ),
        Alert(
            "loop_restarted",
            Subject.FEED,
            revived,
            total(increase("loop_restarts_total", revived.window)),
            summary="A polling loop of the video-task exporter was stuck and was restarted.",
            description=f"The loop of {FEED_NAME} was restarted {COUNT} times within {revived.window}; that is a "
            "bug in the exporter or a machine that stood still. First see whether its data is fresh again, then "
            "report the log.",
        ),
        Alert(
            "provider_unheld",
            Subject.ACCOUNT,
            t.provider_unheld,
            held,
            limit=1,
            below=True,
            summary="No replica of the video-task exporter polls a provider.",
            description=f"No replica holds the lease of {PROVIDER_NAME}, so nothing is known of its tasks. First see "
            "on the status page of a replica whether it reaches the database.",
        ),
        Alert(
            "provider_held_twice",
            Subject.ACCOUNT,
            t.provider_held_twice,
            held,
            limit=1,
            summary="Two replicas of the video-task exporter poll the same provider.",
            description=f"{COUNT} replicas say that they hold the lease of {PROVIDER_NAME}; its sums over replicas "
            "count twice. First see whether replicas of two databases are scraped under one job.",
        ),
    ]


def of_polling(t: Thresholds) -> list[Alert]:
    """Alerts about the calls to the vendors."""
    refused, spent, limited, gap, drift = (
        t.auth_failing,
        t.balance_exhausted,
        t.rate_limited,
        t.history_gap,
        t.api_drift,
    )
    interval, length = EVERYWHERE("poll_interval_seconds"), EVERYWHERE("poll_duration_seconds")
    age = f"(time() - {EVERYWHERE('last_successful_poll_timestamp_seconds')})"
    refusals = (
        increase("api_errors_total", spent.window, error="insufficient_balance"),
        increase("failures_total", spent.window, reason=Reason.INSUFFICIENT_BALANCE),
    )
    return [
        Alert(
            "feed_down",
            Subject.FEED,
            t.feed_down,
            EVERYWHERE("videotask_up"),
            limit=1,
            below=True,
            summary="A vendor's feed of video tasks cannot be read.",
            description=f"No sweep of {FEED_NAME} succeeds; its tasks go on unseen. First see the class of the "
            "errors on the dashboard: connection, timeout and provider_internal are the vendor's or the network's, "
            "auth is ours.",
        ),
        Alert(
            "data_stale",
            Subject.FEED,
            t.data_stale,
            f"{age} and {age} > {t.data_stale.rounds:.15g} * ({interval} + {length})",
            limit=t.data_stale.age,
            summary="What is shown of a feed of video tasks is old.",
            description=f"The last successful sweep of {FEED_NAME} was {LENGTH} ago, far more than its poll "
            "interval. First see whether the feed is down; if not, whether the exporter has enough CPU and how long "
            "sweeps take.",
        ),
        Alert(
            "auth_failing",
            Subject.ACCOUNT,
            refused,
            total(increase("api_errors_total", refused.window, error="auth"), of=ACCOUNT),
            limit=refused.calls,
            summary="A vendor refuses the credentials.",
            description=f"{PROVIDER_NAME} refused the credentials of {COUNT} calls within {refused.window}. First "
            "see whether the key or token has expired or was replaced; put the new one into its file or the "
            "configuration.",
        ),
        Alert(
            "balance_exhausted",
            Subject.ACCOUNT,
            spent,
            total(*refusals, of=ACCOUNT),
            summary="An account at a vendor has no credit left.",
            description=f"{PROVIDER_NAME} refused {COUNT} calls or tasks within {spent.window} for want of credit. "
            "First top the account up, then see which tasks failed and submit them again.",
        ),
        Alert(
            "rate_limited",
            Subject.ACCOUNT,
            limited,
            total(increase("api_errors_total", limited.window, error="rate_limited"), of=ACCOUNT),
            limit=limited.calls,
            summary="A vendor limits the rate of our calls.",
            description=f"{PROVIDER_NAME} turned {COUNT} calls away within {limited.window}. First see who else "
            "uses the account; then lower `rate_limit` or raise `poll_interval` of this provider.",
        ),
        Alert(
            "history_gap",
            Subject.FEED,
            gap,
            total(increase("history_gaps_total", gap.window)),
            summary="Tasks may have ended unseen.",
            description=f"{COUNT} sweeps of {FEED_NAME} within {gap.window} did not reach what was known, so "
            "counters may miss tasks. First see whether the exporter was down for long or more tasks end than a "
            "sweep can list.",
        ),
        Alert(
            "api_drift",
            Subject.FEED,
            drift,
            total(increase("unmapped_values_total", drift.window), of=("provider", "kind", "field")),
            summary="A vendor sends values that the exporter does not know.",
            description=f"{COUNT} values of the field {FIELD_NAME} in {FEED_NAME} within {drift.window} are in no "
            "table: the vendor's API has changed. First see the tasks in state unknown, then update the exporter or "
            "report.",
        ),
        Alert(
            "poll_overrun",
            Subject.FEED,
            t.poll_overrun,
            f"{length} / {interval}",
            limit=t.poll_overrun.ratio,
            summary="Sweeps take longer than the poll interval.",
            description=f"A sweep of {FEED_NAME} takes {PERCENT} of its poll interval, so the data is older than "
            "the configuration says. First see whether the rate limit or a slow vendor is what it waits for.",
        ),
        Alert(
            "watch_source_down",
            Subject.ACCOUNT,
            t.watch_source_down,
            EVERYWHERE("watch_source_up"),
            limit=1,
            below=True,
            summary="A source of task ids cannot be read.",
            description=f"The ids of {SOURCE_NAME} for {PROVIDER_NAME} cannot be read: new tasks in it go unseen, the "
            "last good ids are followed. First see the exporter's status page, which says what is wrong with the file "
            "or the URL.",
        ),
    ]


def of_outcomes(t: Thresholds, recordings: Recordings) -> list[Alert]:
    """Alerts about how tasks end."""
    spike, silent, slow = t.moderation_spike, t.no_success, t.run_time_high
    before = recordings.moderated_share(spike.baseline, back=spike.window)
    share = recordings.moderated_share(spike.window)
    refused = total(increase("failures_total", spike.window, reason=Reason.MODERATION))
    succeeded = total(increase("finished_total", silent.window, state=State.SUCCEEDED))
    arrived = f"{_ended(silent.window)} + {total(now('tasks'))} - {total(now('tasks', back=silent.window))}"
    mean, usual = recordings.mean_run_time(slow.window), recordings.mean_run_time(slow.baseline)
    timed, timed_before = (
        total(increase("run_duration_seconds_count", window, state=State.SUCCEEDED))
        for window in (slow.window, slow.baseline)
    )
    return [
        Alert(
            "moderation_spike",
            Subject.FEED,
            spike,
            f"{share} and {refused} >= {spike.tasks} unless {share} <= {spike.growth:.15g} * {before}",
            limit=spike.share,
            summary="Moderation refuses unusually many video tasks.",
            description=f"Moderation refused {PERCENT} of the tasks of {FEED_NAME} that ended within "
            f"{spike.window}, far more than before. First see whether one user or prompt is behind it; if not, the "
            "vendor has changed its filter.",
        ),
        _burn(t, recordings, "failure_burn_fast", t.failure_burn_fast),
        _burn(t, recordings, "failure_burn_slow", t.failure_burn_slow),
        Alert(
            "no_success",
            Subject.FEED,
            silent,
            f"{succeeded} and {arrived} >= {silent.tasks}",
            limit=1,
            below=True,
            summary="Video tasks come in and none succeeds.",
            description=f"No task of {FEED_NAME} succeeded within {silent.window}, although tasks came in. First "
            "see on the dashboard whether they wait, run without an end or fail, and why.",
        ),
        Alert(
            "run_time_high",
            Subject.FEED,
            slow,
            f"{mean} / {usual} and {timed} >= {slow.tasks} and {timed_before} >= {slow.baseline_tasks}",
            limit=slow.growth,
            summary="Video tasks run far longer than usual.",
            description=f"Tasks of {FEED_NAME} ran {TIMES} times as long within {slow.window} as on the average of "
            f"{slow.baseline}. First see whether longer videos were asked for; if not, the vendor has slowed down.",
        ),
    ]


def of_waiting(t: Thresholds) -> list[Alert]:
    """Alerts about tasks in flight."""
    growing = t.queue_growing
    queued = total(now("tasks", state=State.QUEUED))
    growth = f"{queued} - {total(now('tasks', back=growing.window, state=State.QUEUED))}"
    return [
        Alert(
            "queue_growing",
            Subject.FEED,
            growing,
            f"{growth} and {_ended(growing.window)} < 1",
            limit=growing.tasks,
            summary="The queue of video tasks grows and none ends.",
            description=f"{COUNT} more tasks of {FEED_NAME} wait than {growing.window} ago, and none has ended "
            "since. First see whether any task runs; if none does, the vendor has stopped working: hold submissions "
            "back and ask it.",
        ),
        Alert(
            "queued_too_long",
            Subject.FEED,
            t.queued_too_long,
            _age(State.QUEUED),
            limit=t.queued_too_long.age,
            summary="A video task waits too long for its start.",
            description=f"The oldest queued task of {FEED_NAME} was submitted {LENGTH} ago. First see whether "
            "others start: if so it is stuck alone, cancel it and submit it again; if not, the vendor is full or "
            "the account is limited.",
        ),
        Alert(
            "running_too_long",
            Subject.FEED,
            t.running_too_long,
            _age(State.RUNNING),
            limit=t.running_too_long.age,
            summary="A video task runs too long.",
            description=f"The oldest running task of {FEED_NAME} was started {LENGTH} ago. First look at its "
            "progress on the exporter's page of tasks: if it stands still, cancel the task and submit it again.",
        ),
        Alert(
            "stalled",
            Subject.FEED,
            t.stalled,
            EVERYWHERE("stalled_tasks"),
            limit=t.stalled.tasks,
            summary="Running video tasks show no progress.",
            description=f"{COUNT} running tasks of {FEED_NAME}, or tasks in an unknown state, have changed neither "
            "state nor progress for `stalled_after`. First see whether all running tasks are concerned (the vendor "
            "hangs) or a few (cancel and submit again).",
        ),
        Alert(
            "unknown_state",
            Subject.FEED,
            t.unknown_state,
            total(now("tasks", state=State.UNKNOWN)),
            limit=t.unknown_state.tasks,
            summary="Video tasks are in a state that the exporter does not know.",
            description=f"The exporter does not know the vendor's word for the state of {COUNT} tasks of {FEED_NAME}, "
            "so it may miss their ends. First look one of them up at the vendor, then update the exporter or report "
            "the word.",
        ),
        Alert(
            "blocked",
            Subject.FEED,
            t.blocked,
            total(now("tasks", state=State.BLOCKED)),
            limit=t.blocked.tasks,
            summary="A vendor has frozen video tasks.",
            description=f"{COUNT} tasks of {FEED_NAME} are frozen by the vendor and will not go on by themselves. "
            "First see the account at the vendor: an unpaid bill, a verification or a review that waits for "
            "somebody.",
        ),
    ]


def alerts(thresholds: Thresholds, recordings: Recordings) -> dict[str, list[Alert]]:
    """All alerts by group. They ask recordings by name, which are thereby made."""
    return {
        "videotask-exporter": of_exporter(thresholds),
        "videotask-polling": of_polling(thresholds),
        "videotask-accounts": of_accounts(thresholds),
        "videotask-outcomes": of_outcomes(thresholds, recordings),
        "videotask-waiting": of_waiting(thresholds),
    }


def _burn(t: Thresholds, recordings: Recordings, name: str, burn: Burn) -> Alert:
    limit = t.limit(burn)
    long, short = recordings.failure_ratio(burn.long), recordings.failure_ratio(burn.short)
    return Alert(
        name,
        Subject.FEED,
        burn,
        f"{long} and {short} > {limit:.15g} and {recordings.judged(burn.long)} >= {burn.tasks}",
        limit=limit,
        summary="Video tasks fail far more often than the objective allows.",
        description=f"{PERCENT} of the tasks of {FEED_NAME} failed or were lost within {burn.long}, and it goes "
        "on; users' own mistakes are not counted. First see the reasons on the dashboard: provider_internal and "
        "timeout are the vendor's.",
    )


def _ended(window: str) -> str:
    return total(increase("finished_total", window, state=tuple(ENDS)))


def _age(state: State) -> str:
    return f"time() - {total(now('oldest_task_timestamp_seconds', state=state))}"
