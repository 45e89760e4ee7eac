"""The catalogue of metrics.

It is data: docs, dashboards and rules are made from it, so a metric is named in one place. Each entry says
how it is read from what it describes: a feed's tasks, a feed's polling, a provider's calls, the exporter itself.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from exporter import __version__
from exporter.client.errors import CALL_ERRORS
from exporter.snapshot import Labels, Reloads
from exporter.tasks import ENDS, MAY_STALL, MEASURED_ENDS, Field, Phase, Reason, State
from exporter.views import AccountView, Distribution, FeedView

PREFIX = "videotask_"
PROGRESS_BOUNDS = tuple(step / 10 for step in range(1, 11))
STATS = ("p50", "p95", "max")

S = TypeVar("S")


@dataclass(frozen=True)
class Metric(Generic[S]):
    """One entry of the catalogue: its public name, type, labels, meaning, and how it is read from a subject."""

    name: str
    type: str
    labels: Labels
    help: str
    read: Callable[[S], Iterable[tuple[Labels, float | Distribution]]]


def _in_flight(view: FeedView) -> Iterator[tuple[Labels, float]]:
    for state, tasks in view.in_flight.items():
        yield (state,), len(tasks)


def _oldest(view: FeedView) -> Iterator[tuple[Labels, float]]:
    if queued := view.in_flight.get(State.QUEUED):
        yield (State.QUEUED,), min(_or(task.submitted_at, task.first_seen) for task in queued)
    if running := view.in_flight.get(State.RUNNING):
        yield (State.RUNNING,), min(_or(task.started_at, task.first_seen) for task in running)


def _or(at: float | None, otherwise: float) -> float:
    return otherwise if at is None else at


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


def _when_tried(view: FeedView, value: float) -> Iterator[tuple[Labels, float]]:
    if view.status.up is not None:
        yield (), value


def _budget_remaining(view: AccountView) -> Iterator[tuple[Labels, float]]:
    if view.account.budget_left is not None:
        yield view.labels, view.account.budget_left


def _counter(name: str, text: str, label: str = "", values: Iterable[str] = ()) -> Metric[FeedView]:
    """A counter that the ledger keeps; with a label, one for each of its values."""
    if label:
        return Metric(name, "counter", (label,), text, lambda view: view.counted(name, values))
    return Metric(name, "counter", (), text, lambda view: view.total(name))


def _recent(name: str, text: str, label: str, values: Iterable[str]) -> Metric[FeedView]:
    """The recent ends by one of their attributes."""
    of = attrgetter(label)
    return Metric(name, "gauge", (label,), text, lambda view: view.tally(values, of))


def _durations(name: str, text: str, states: Sequence[State] = ()) -> Metric[FeedView]:
    """A histogram that the ledger keeps, by the states that tasks ended in where there are any."""
    labels = ("state",) if states else ()
    return Metric(name, "histogram", labels, text, lambda view: view.durations(name, states))


def _by_model(name: str, text: str, label: str, values: Sequence[str]) -> Metric[FeedView]:
    """A counter that the ledger keeps by model and one more label."""
    return Metric(name, "counter", ("model", label), text, lambda view: view.counted_by_model(name, values))


def _durations_by_model(name: str, text: str) -> Metric[FeedView]:
    return Metric(name, "histogram", ("model",), text, lambda view: view.durations_by_model(name))


def _usage(view: FeedView) -> Iterator[tuple[Labels, float]]:
    for unit in view.units:
        for state in MEASURED_ENDS:
            yield (unit, state), view.counts["usage_total", unit, state]


_POLLED = "Data age: time() - videotask_last_successful_poll_timestamp_seconds."

_OTHERS = 'The first model_limit models of a feed have series of their own, the others are "other".'

TASK_METRICS: tuple[Metric[FeedView], ...] = (
    Metric("tasks", "gauge", ("state",), f"Tasks in flight now. {_POLLED}", _in_flight),
    Metric(
        "oldest_task_timestamp_seconds",
        "gauge",
        ("state",),
        "When the oldest queued task was submitted and the oldest running task started; absent if there is none.",
        _oldest,
    ),
    Metric(
        "stalled_tasks",
        "gauge",
        (),
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
    _counter("finished_total", "Tasks that have ended, each counted once.", "state", ENDS),
    _counter("failures_total", "Failed tasks by reason, each counted once.", "reason", Reason),
    _recent(
        "recent_tasks",
        "Tasks that ended within recent_window. Tasks without an end time count at their submission time.",
        "state",
        ENDS,
    ),
    _recent("recent_failures", "Failed tasks within recent_window, by reason.", "reason", Reason),
    Metric(
        "recent_duration_seconds",
        "gauge",
        ("phase", "stat"),
        "Durations of tasks that ended within recent_window: median, 95th percentile, longest; absent without any.",
        _recent_durations,
    ),
    _durations("queue_duration_seconds", "Time from submission to start, observed once per task when known."),
    _durations("run_duration_seconds", "Time from start to end, observed once per ended task.", MEASURED_ENDS),
    _durations("total_duration_seconds", "Time from submission to end, observed once per ended task.", MEASURED_ENDS),
    _counter(
        "unmeasured_durations_total",
        "Succeeded and failed tasks of unknown duration: no times from the vendor, and polling was too coarse.",
        "phase",
        Phase,
    ),
    _counter("output_seconds_total", "Seconds of video produced, where the vendor reports them."),
    Metric(
        "usage_total",
        "counter",
        ("unit", "state"),
        "Cost of ended tasks by state, as the vendor reports it, each task once; absent where it reports none.",
        _usage,
    ),
    Metric(
        "model_tasks",
        "gauge",
        ("model", "state"),
        f"Tasks in flight now, by model. {_OTHERS}",
        FeedView.in_flight_by_model,
    ),
    _by_model("model_finished_total", "Tasks that have ended, by model, each counted once.", "state", ENDS),
    _by_model("model_failures_total", "Failed tasks by model and reason, each counted once.", "reason", tuple(Reason)),
    _durations_by_model("model_run_duration_seconds", "Time from start to end of succeeded tasks, by model."),
    _durations_by_model("model_total_duration_seconds", "Time from submission to end of succeeded tasks, by model."),
    Metric(
        "model_usage_total",
        "counter",
        ("model", "unit"),
        "Cost of succeeded and failed tasks by model, as the vendor reports it, each task once.",
        lambda view: view.counted_by_model("model_usage_total", view.units),
    ),
    Metric(
        "last_finished_timestamp_seconds",
        "gauge",
        ("state",),
        "When the most recent task ended in this state; absent if none has.",
        _last_finished,
    ),
    _counter(
        "history_gaps_total",
        "Sweeps that may have missed tasks: the pages read did not reach tasks already known.",
    ),
    _counter(
        "unmapped_values_total",
        "Values that the exporter could not map or read. Growth means that the vendor changed its API.",
        "field",
        Field,
    ),
    _counter(
        "rejected_timestamps_total",
        "Impossible times that the vendor sent (before submission, in the future, before 2000); they are not used.",
    ),
)

FEED_METRICS: tuple[Metric[FeedView], ...] = (
    Metric(
        "up",
        "gauge",
        (),
        "1 if the last sweep of the feed succeeded, else 0.",
        lambda view: _when_tried(view, float(bool(view.status.up))),
    ),
    Metric(
        "last_successful_poll_timestamp_seconds",
        "gauge",
        (),
        "When the last successful sweep ended.",
        lambda view: [((), view.feed.succeeded)] if view.feed.succeeded is not None else [],
    ),
    Metric(
        "poll_duration_seconds",
        "gauge",
        (),
        "Length of the last sweep.",
        lambda view: _when_tried(view, view.status.poll_duration),
    ),
    Metric(
        "poll_interval_seconds",
        "gauge",
        (),
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
    Metric(
        "feed_info",
        "gauge",
        ("clock",),
        "1 for each feed; `clock` says where its durations come from: the vendor or the exporter's observation.",
        lambda view: [((view.feed.clock,), 1)],
    ),
)

PROVIDER_METRICS: tuple[Metric[AccountView], ...] = (
    Metric(
        "task_progress_ratio",
        "gauge",
        ("provider", "kind", "task_id"),
        "Progress (0 to 1) of single tasks in flight, up to task_series_limit per provider, oldest first.",
        AccountView.single_tasks,
    ),
    Metric(
        "task_series_dropped",
        "gauge",
        ("provider",),
        "Tasks without a series in videotask_task_progress_ratio because of task_series_limit; 0 if the limit is off.",
        AccountView.dropped,
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
    Metric(
        "request_budget_remaining",
        "gauge",
        ("provider",),
        "Requests left of max_requests_per_day for the last 24 hours; absent without that setting.",
        _budget_remaining,
    ),
    Metric(
        "watch_source_up",
        "gauge",
        ("provider", "source"),
        "1 if the ids of this source, a pattern of files or a URL without its query, could be read; else 0.",
        lambda view: [((*view.labels, source), float(is_up)) for source, is_up in view.account.watch_sources],
    ),
    Metric(
        "account_balance",
        "gauge",
        ("provider", "unit"),
        "Balance of the account, as the vendor reports it; absent where it reports none or cannot be read.",
        AccountView.balance,
    ),
    Metric(
        "account_last_success_timestamp_seconds",
        "gauge",
        ("provider",),
        "When the balance was last read; absent after three intervals without success.",
        AccountView.balance_read,
    ),
    Metric(
        "provider_info",
        "gauge",
        ("provider", "type"),
        "1 for each configured provider.",
        lambda view: [((*view.labels, view.account.type), 1)],
    ),
)

EXPORTER_METRICS: tuple[Metric[Reloads], ...] = (
    Metric(
        "exporter_build_info",
        "gauge",
        ("version", "pythonversion"),
        "1, with the version of the exporter and of its Python.",
        lambda _: [((__version__, platform.python_version()), 1)],
    ),
    Metric(
        "exporter_config_last_reload_successful",
        "gauge",
        (),
        "1 if the last load of the configuration succeeded, else 0.",
        lambda reloads: [((), float(reloads.successful))],
    ),
    Metric(
        "exporter_config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
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
