"""The Models: which one is slow, fails or is used most."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import units

from exporter.tasks import State
from grafana import identity, panels
from grafana.boards import frame
from grafana.boards.scales import MEASURED, RATIO_STEPS
from grafana.boards.verdict import verdict
from grafana.panels import CLOCK, COUNT, Column, Ranked, columns, graph
from grafana.promql import CHOSEN, EACH_INTERVAL, WHOLE_RANGE, Scope, at_end, by

MODEL = by("provider", "kind", "model")
LEGEND = "{{provider}} {{model}}"

UNTIMED = "No durations: no task of a known model succeeded, or the vendor gives no times"
NO_ENDS = "No task of a known model succeeded or failed"


def models(select: Scope = CHOSEN) -> dashboard.Dashboard:
    """The dashboard for the question which model to use, or to ask the vendor about."""
    rows: frame.Rows = {
        "": [verdict(select), _table(select)],
        "How long they take": _durations(select),
        "How they end": _ends(select),
        "Which are used": _shares(select),
    }
    about = "The vendors' models side by side: how long they take, how they end, and how much each is used. The first "
    return frame.board(identity.MODELS, f"{about}model_limit of a feed are shown, the rest are other.", rows, select)


def _grown(select: Scope, metric: str, window: str, group: str = MODEL, **labels: State | tuple[State, ...]) -> str:
    return f"sum {group} (increase({select(metric, **labels)}[{window}]))"


def _success(select: Scope, window: str) -> str:
    succeeded = _grown(select, "model_finished_total", window, state=State.SUCCEEDED)
    return f"{succeeded} / ({_grown(select, 'model_finished_total', window, state=MEASURED)} > 0)"


def _quantile(select: Scope, share: float, phase: str, window: str) -> str:
    le = by("le", "provider", "kind", "model")
    buckets = _grown(select, f"model_{phase}_duration_seconds_bucket", window, le)
    return f"histogram_quantile({share}, {buckets}) >= 0"


def _table(select: Scope) -> panels.Panel:
    ended = _grown(select, "model_finished_total", WHOLE_RANGE)
    feed = _grown(select, "model_finished_total", WHOLE_RANGE, by("provider", "kind"))
    to_provider = ("Look at this feed in depth", frame.PROVIDER_PAGE)
    return columns(
        "What each model did",
        {
            "provider": Column("Provider", link=to_provider, width=150),
            "kind": Column("Kind", link=to_provider, width=130),
            "model": Column("Model"),
        },
        [
            (Column("In flight", COUNT, width=80), f"sum {MODEL} ({select('model_tasks')})"),
            (Column("Ended", COUNT, width=80), ended),
            (Column("Share", units.PercentUnit, width=80), f"{ended} / on (provider, kind) group_left () ({feed} > 0)"),
            (Column("Success", units.PercentUnit, steps=RATIO_STEPS, width=85), _success(select, WHOLE_RANGE)),
            (Column("Run p50", units.Seconds, width=95), _quantile(select, 0.5, "run", WHOLE_RANGE)),
            (Column("Run p95", units.Seconds, width=95), _quantile(select, 0.95, "run", WHOLE_RANGE)),
            (Column("Total p95", units.Seconds, width=95), _quantile(select, 0.95, "total", WHOLE_RANGE)),
        ],
        about="Counted over the whole time range: tasks that ended, the model's share of those of its feed, how many "
        "of those that succeeded or failed did succeed, and how long those took that succeeded. Prometheus "
        "extrapolates at the edges, so few tasks may be off by one. A dash: nothing ended, or no times are known.",
        empty=frame.NO_MODELS,
        size=(24, 9),
        unit=COUNT,
    )


def _durations(select: Scope) -> list[panels.Panel]:
    def quantile(title: str, share: float, phase: str, about: str) -> panels.Panel:
        return graph(
            title,
            Ranked(_quantile(select, share, phase, EACH_INTERVAL), LEGEND),
            about=f"{about} Of the tasks that succeeded in each 30 minutes or more, as exact as the buckets are. A "
            "model that rises alone is the vendor's matter; all at once, see the queue on the Provider dashboard.",
            empty=UNTIMED,
            size=(24, 7),
            unit=CLOCK,
            interval="30m",
        )

    return [
        quantile("Run p50 by model", 0.5, "run", "Half of the tasks ran no longer than this, from start to end."),
        quantile("Run p95 by model", 0.95, "run", "95 % of the tasks ran no longer than this, from start to end."),
        quantile("Total p50 by model", 0.5, "total", "Half of the tasks took no longer, from submission to end."),
        quantile("Total p95 by model", 0.95, "total", "95 % of the tasks took no longer, from submission to end."),
    ]


def _ends(select: Scope) -> list[panels.Panel]:
    ended = _grown(select, "model_finished_total", WHOLE_RANGE)
    return [
        graph(
            "Success ratio by model",
            Ranked(
                _success(select, EACH_INTERVAL),
                LEGEND,
                lowest=True,
                by=at_end(f"{_success(select, WHOLE_RANGE)} - 1e-9 * {ended}"),
            ),
            about="Succeeded of those that succeeded or failed in each 30 minutes or more. Good: above 95 %. Where one "
            "model falls and the others stay, use another or ask the vendor.",
            empty=NO_ENDS,
            size=(24, 8),
            unit=units.PercentUnit,
            maximum=1,
            interval="30m",
            steps=RATIO_STEPS,
        ),
        graph(
            "Failures by model and reason",
            Ranked(
                f"{_grown(select, 'model_failures_total', EACH_INTERVAL, by('model', 'reason'))} > 0",
                "{{model}} {{reason}}",
            ),
            about="Failed tasks by model and reason, in each 15 minutes or more. Good: none. Moderation and "
            "invalid_input are the request's; a model that is strict shows here.",
            empty="Good: no task of a known model failed",
            size=(24, 8),
            unit=COUNT,
            bars=True,
            stacked=True,
            interval="15m",
        ),
    ]


def _shares(select: Scope) -> list[panels.Panel]:
    by_model = _grown(select, "model_finished_total", EACH_INTERVAL, by("model"))
    every = f"sum(increase({select('model_finished_total')}[{EACH_INTERVAL}]))"
    return [
        graph(
            "Share of each model",
            Ranked(f"{by_model} / on () group_left () ({every} > 0)", "{{model}}"),
            about="Which part of the tasks that ended in each 30 minutes or more was each model's, over all chosen "
            "feeds; tasks of no known model are left out. No value is good or bad: it shows what is used.",
            empty=NO_ENDS,
            size=(12, 8),
            unit=units.PercentUnit,
            maximum=1,
            stacked=True,
            interval="30m",
        ),
        graph(
            "In flight by model",
            Ranked(f"sum {by('model')} ({select('model_tasks')})", "{{model}}"),
            about="Tasks queued, running, blocked or in an unknown state, by model. Good: as many as were submitted; "
            "one model that grows while the others stay is stuck.",
            empty=f"{frame.WITHDRAWN}; or no model is known",
            size=(12, 8),
            unit=COUNT,
            stacked=True,
        ),
    ]
