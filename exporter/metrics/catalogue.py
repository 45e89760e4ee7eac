"""The catalogue of metrics.

It is data: docs, dashboards and rules are made from it, so a metric is named in one place. Each entry says how it is
read from what it describes: a feed's tasks, a feed's polling, a provider's calls, a replica, the exporter itself.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from exporter import __version__
from exporter.client.errors import CALL_ERRORS
from exporter.ledger.errors import DatabaseFailure
from exporter.snapshot import Labels, Reloads, ReplicaSnapshot
from exporter.tasks import ENDS, MAY_STALL, MEASURED_ENDS, Field, Phase, Reason, State
from exporter.views import AccountView, Distribution, FeedView

PREFIX = "videotask_"
PROGRESS_BOUNDS = tuple(step / 10 for step in range(1, 11))
STATS = ("p50", "p95", "max")

S = TypeVar("S")

Samples = Iterable[tuple[Labels, float | Distribution]]
"""The values of a metric, each with those of its labels."""


@dataclass(frozen=True)
class Metric(Generic[S]):
    """One entry of the catalogue: its public name, type, labels, meaning, and how it is read from a subject."""

    name: str
    type: str
    labels: Labels
    help: str
    read: Callable[[S], Samples]


def _oldest(view: FeedView) -> Iterator[tuple[Labels, float]]:
    if queued := view.in_flight.get(State.QUEUED):
        yield (State.QUEUED,), min(task.since for task in queued)
    if running := view.in_flight.get(State.RUNNING):
        yield (State.RUNNING,), min(task.first_seen if task.started_at is None else task.started_at for task in running)


def _stalled(view: FeedView) -> Iterator[tuple[Labels, float]]:
    if view.in_flight:
        since = view.now - view.settings.stalled_after
        yield (), sum(task.changed <= since for state in MAY_STALL for task in view.in_flight[state])


def _progress(view: FeedView) -> Iterator[tuple[Labels, Distribution]]:
    if not view.in_flight:
        return
    values = [task.progress for task in view.in_flight[State.RUNNING] if task.progress is not None]
    counted = [0] * (len(PROGRESS_BOUNDS) + 1)
    for value in values:
        counted[bisect_left(PROGRESS_BOUNDS, value)] += 1
    bounds = [*(str(bound) for bound in PROGRESS_BOUNDS), "+Inf"]
    yield (), Distribution([(le, sum(counted[: index + 1])) for index, le in enumerate(bounds)], sum(values))


def _recent_durations(view: FeedView) -> Iterator[tuple[Labels, float]]:
    measured = [task for task in view.recent if task.state in MEASURED_ENDS] if view.swept else []
    for phase in Phase:
        values = sorted(length for task in measured if (length := task.duration(phase)) is not None)
        for stat, share in zip(STATS, (0.5, 0.95, 1.0), strict=True):
            if values:
                yield (phase, stat), values[max(0, -int(-share * len(values) // 1) - 1)]  # nearest rank


def _last_finished(view: FeedView) -> Iterator[tuple[Labels, float]]:
    for state in ENDS:
        if view.swept and (at := view.counts["last_finished_timestamp_seconds", state]):
            yield (state,), at


def _gauge(name: str, text: str, read: Callable[[S], Samples], labels: Labels = ()) -> Metric[S]:
    """A number that may go up and down, as its subject says it."""
    return Metric(name, "gauge", labels, text, read)


def _each(counted: Mapping[State, int] | Mapping[Reason, int]) -> Iterable[tuple[Labels, float]]:
    """A sample for each value of a label."""
    return [((value,), count) for value, count in counted.items()]


def _known(labels: Labels, value: float | None) -> Iterable[tuple[Labels, float]]:
    """One sample; none where its value is unknown."""
    return [] if value is None else [(labels, value)]


Values = tuple[str, ...] | Callable[[FeedView], Sequence[str]]
"""Those that a label may have: the same for all feeds, or the feed's own."""


def _counter(name: str, text: str, **labels: Values) -> Metric[FeedView]:
    """A counter that the ledger keeps, for every combination of the labels' values."""
    return Metric(name, "counter", tuple(labels), text, lambda view: view.counted(name, *_of_feed(labels, view)))


def _durations(name: str, text: str, **labels: Values) -> Metric[FeedView]:
    """A histogram likewise."""
    return Metric(name, "histogram", tuple(labels), text, lambda view: view.durations(name, *_of_feed(labels, view)))


def _of_feed(labels: Mapping[str, Values], view: FeedView) -> Iterator[Sequence[str]]:
    return (values if isinstance(values, tuple) else values(view) for values in labels.values())


_MODELS: Values = attrgetter("models")
_UNITS: Values = attrgetter("units")

_POLLED = "Data age: time() - videotask_last_successful_poll_timestamp_seconds."

_OTHERS = 'The first model_limit models of a feed have series of their own, the others are "other".'

TASK_METRICS: tuple[Metric[FeedView], ...] = (
    _gauge("tasks", f"Tasks in flight now. {_POLLED}", lambda view: _each(view.in_flight_by_state), ("state",)),
    _gauge(
        "oldest_task_timestamp_seconds",
        "When the oldest queued task was submitted and the oldest running task started; absent if there is none.",
        _oldest,
        ("state",),
    ),
    _gauge(
        "stalled_tasks",
        "Tasks that run, or are in an unknown state, without a change of state or progress for stalled_after.",
        _stalled,
    ),
    Metric(
        "progress_ratio",
        "gaugehistogram",
        (),
        "Progress (0 to 1) of the running tasks that report one.",
        _progress,
    ),
    _counter("finished_total", "Tasks that have ended, each counted once.", state=ENDS),
    _counter("failures_total", "Failed tasks by reason, each counted once.", reason=tuple(Reason)),
    _gauge(
        "recent_tasks",
        "Tasks that ended within recent_window. Tasks without an end time count at their submission time.",
        lambda view: _each(view.ends_by_state),
        ("state",),
    ),
    _gauge(
        "recent_failures",
        "Failed tasks within recent_window, by reason.",
        lambda view: _each(view.failures_by_reason),
        ("reason",),
    ),
    _gauge(
        "recent_duration_seconds",
        "Durations of tasks that ended within recent_window: median, 95th percentile, longest; absent without any.",
        _recent_durations,
        ("phase", "stat"),
    ),
    _durations("queue_duration_seconds", "Time from submission to start, observed once per task when known."),
    _durations("run_duration_seconds", "Time from start to end, observed once per ended task.", state=MEASURED_ENDS),
    _durations(
        "total_duration_seconds", "Time from submission to end, observed once per ended task.", state=MEASURED_ENDS
    ),
    _counter(
        "unmeasured_durations_total",
        "Succeeded and failed tasks of unknown duration: no times from the vendor, and polling was too coarse.",
        phase=tuple(Phase),
    ),
    _counter("output_seconds_total", "Seconds of video produced, where the vendor reports them."),
    _counter(
        "usage_total",
        "Cost of ended tasks by state, as the vendor reports it, each task once; absent where it reports none.",
        unit=_UNITS,
        state=MEASURED_ENDS,
    ),
    _gauge("model_tasks", f"Tasks in flight now, by model. {_OTHERS}", FeedView.in_flight_by_model, ("model", "state")),
    _counter("model_finished_total", "Tasks that have ended, by model, each counted once.", model=_MODELS, state=ENDS),
    _counter(
        "model_failures_total",
        "Failed tasks by model and reason, each counted once.",
        model=_MODELS,
        reason=tuple(Reason),
    ),
    _durations("model_run_duration_seconds", "Time from start to end of succeeded tasks, by model.", model=_MODELS),
    _durations(
        "model_total_duration_seconds", "Time from submission to end of succeeded tasks, by model.", model=_MODELS
    ),
    _counter(
        "model_usage_total",
        "Cost of succeeded and failed tasks by model, as the vendor reports it, each task once.",
        model=_MODELS,
        unit=_UNITS,
    ),
    _gauge(
        "last_finished_timestamp_seconds",
        "When the most recent task ended in this state; absent if none has.",
        _last_finished,
        ("state",),
    ),
    _counter(
        "history_gaps_total",
        "Sweeps that may have missed tasks: the pages read did not reach tasks already known.",
    ),
    _counter(
        "unmapped_values_total",
        "Values that the exporter could not map or read. Growth means that the vendor changed its API.",
        field=tuple(Field),
    ),
    _counter(
        "rejected_timestamps_total",
        "Impossible times that the vendor sent (before submission, in the future, before 2000); they are not used.",
    ),
)

FEED_METRICS: tuple[Metric[FeedView], ...] = (
    _gauge("up", "1 if the last sweep of the feed succeeded, else 0.", lambda view: _known((), view.status.up)),
    _gauge(
        "last_successful_poll_timestamp_seconds",
        "When the last successful sweep ended.",
        lambda view: _known((), view.feed.succeeded),
    ),
    _gauge(
        "poll_duration_seconds",
        "Length of the last sweep.",
        lambda view: _known((), None if view.status.up is None else view.status.poll_duration),
    ),
    _gauge(
        "poll_interval_seconds",
        "The poll interval in force: poll_interval, idle_poll_interval, or longer to keep max_requests_per_day.",
        lambda view: [((), view.feed.interval)],
    ),
    Metric(
        "loop_restarts_total",
        "counter",
        (),
        "Restarts of the feed's polling loop by the watchdog. Any restart is a bug in the exporter.",
        lambda view: [((), view.status.restarts)],
    ),
    _gauge(
        "feed_info",
        "1 for each feed; `clock` says where its durations come from: the vendor or the exporter's observation.",
        lambda view: [((view.feed.clock,), 1)],
        ("clock",),
    ),
)

PROVIDER_METRICS: tuple[Metric[AccountView], ...] = (
    _gauge(
        "task_progress_ratio",
        "Progress (0 to 1) of single tasks in flight, up to task_series_limit per provider, oldest first.",
        AccountView.single_tasks,
        ("provider", "kind", "task_id"),
    ),
    _gauge(
        "task_series_dropped",
        "Tasks without a series in videotask_task_progress_ratio because of task_series_limit; 0 if the limit is off.",
        AccountView.dropped,
        ("provider",),
    ),
    Metric(
        "api_requests_total",
        "counter",
        ("provider", "endpoint", "code"),
        'Requests sent to the vendor, by HTTP status; `code` is "error" if no answer came.',
        lambda view: view.calls("api_requests_total", ("200", "error")),
    ),
    Metric(
        "api_errors_total",
        "counter",
        ("provider", "endpoint", "error"),
        "Failed calls by class of error.",
        lambda view: view.calls("api_errors_total", [error.error for error in CALL_ERRORS]),
    ),
    Metric(
        "api_request_duration_seconds",
        "histogram",
        ("provider", "endpoint"),
        "Time from sending a request to the end of its answer.",
        AccountView.latencies,
    ),
    Metric(
        "rate_limit_wait_seconds_total",
        "counter",
        ("provider",),
        "Time spent waiting for the provider's own rate limit.",
        lambda view: [(view.labels, view.counts[("rate_limit_wait_seconds_total",)])],
    ),
    _gauge(
        "request_budget_remaining",
        "Requests left of max_requests_per_day for the last 24 hours; absent without that setting.",
        lambda view: _known(view.labels, view.account.budget_left),
        ("provider",),
    ),
    _gauge(
        "watch_source_up",
        "1 if the ids of this source, a pattern of files or a URL without its query, could be read; else 0.",
        lambda view: [((*view.labels, source), float(is_up)) for source, is_up in view.account.watch_sources],
        ("provider", "source"),
    ),
    _gauge(
        "account_balance",
        "Balance of the account, as the vendor reports it; absent where it reports none or cannot be read.",
        lambda view: _known((*view.labels, view.balance.unit), view.balance.amount) if view.balance else [],
        ("provider", "unit"),
    ),
    _gauge(
        "account_last_success_timestamp_seconds",
        "When the balance was last read; absent after three intervals without success.",
        lambda view: _known(view.labels, view.balance.succeeded) if view.balance else [],
        ("provider",),
    ),
    _gauge(
        "provider_info",
        "1 for each configured provider.",
        lambda view: [((*view.labels, view.account.type), 1)],
        ("provider", "type"),
    ),
)

REPLICA_METRICS: tuple[Metric[ReplicaSnapshot], ...] = (
    _gauge(
        "lease_held",
        "1 on the replica that polls the provider, 0 on the others. Served only with ledger.url.",
        lambda replica: [((name,), float(is_held)) for name, is_held in replica.held.items()],
        ("provider",),
    ),
    Metric(
        "lease_changes_total",
        "counter",
        ("provider", "change"),
        "Leases that this replica acquired, released, or did not renew in time (lost). Served only with ledger.url.",
        lambda replica: replica.changes.items(),
    ),
    _gauge(
        "replica_info",
        "1, with the name of this replica. Served only with ledger.url.",
        lambda replica: [((replica.name,), 1)],
        ("replica",),
    ),
    Metric(
        "exporter_database_errors_total",
        "counter",
        ("failure",),
        "Failures of the database as this replica saw them; it retries. Served only with ledger.url.",
        lambda replica: [((failure,), replica.database_failures.get(failure, 0)) for failure in DatabaseFailure],
    ),
)
"""Served only with a shared ledger."""

EXPORTER_METRICS: tuple[Metric[Reloads], ...] = (
    _gauge(
        "exporter_build_info",
        "1, with the version of the exporter and of its Python.",
        lambda _: [((__version__, platform.python_version()), 1)],
        ("version", "pythonversion"),
    ),
    _gauge(
        "exporter_config_last_reload_successful",
        "1 if the last load of the configuration succeeded, else 0.",
        lambda reloads: [((), float(reloads.successful))],
    ),
    _gauge(
        "exporter_config_last_reload_success_timestamp_seconds",
        "When the configuration was last loaded successfully.",
        lambda reloads: [((), reloads.succeeded_at)],
    ),
    Metric(
        "ledger_losses_total",
        "counter",
        (),
        "Damaged ledgers that were set aside at a start. Each one reset the task counters.",
        lambda reloads: [((), reloads.ledger_losses)],
    ),
)
