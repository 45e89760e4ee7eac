"""The recording rules: ratios and means over long windows, which alerts and dashboards then need not work out again.

A name says level:metric:operation; the level `feed` has the labels `provider` and `kind`, `model` is finer by
`model`, and `account` has `provider` and `unit`.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.tasks import ENDS, MEASURED_ENDS, Reason, State
from grafana.promql import EVERYWHERE
from grafana.queries import FEED, MODEL, Selected, increase, total
from grafana.thresholds import Thresholds


@dataclass(frozen=True)
class Recording:
    """A named expression."""

    name: str
    expr: str


class Recordings:
    """The recording rules that alerts ask for, and those for dashboards. What is asked for by name is recorded."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._counted = tuple(reason for reason in Reason if reason not in thresholds.not_counted)
        self._step = thresholds.evaluation_interval
        self._made: dict[str, Recording] = {}
        for phase in ("queue", "run"):
            self.p95(phase, thresholds.run_time_high.window)
        self.p95_of_models("run", thresholds.run_time_high.window)
        self.success_of_models(thresholds.run_time_high.window)
        self.spent(thresholds.balance_running_out.window)

    @property
    def all(self) -> list[Recording]:
        return list(self._made.values())

    def failure_ratio(self, window: str) -> str:
        """The name of the ratio of failed and lost tasks to those that count against the objective."""
        bad, every = total(*self._bad(window)), total(*self._bad(window), self._good(window))
        return self._record(f"feed:videotask_failures:ratio_{window}", f"{bad} / {every}")

    def judged(self, window: str) -> str:
        """The name of the number of tasks that count against the objective."""
        return self._record(f"feed:videotask_judged:increase_{window}", total(*self._bad(window), self._good(window)))

    def moderated_share(self, window: str, back: str = "") -> str:
        """The name of the share of ended tasks that moderation refused."""
        refused = total(increase("failures_total", window, back, reason=Reason.MODERATION))
        ended = total(increase("finished_total", window, back, state=tuple(ENDS)))
        name = f"feed:videotask_moderated:ratio_{window}{f'_before_{back}' if back else ''}"
        return self._record(name, f"{refused} / {ended}")

    def mean_run_time(self, window: str) -> str:
        """The name of the mean run time of tasks that succeeded, in seconds."""
        parts = (
            total(increase(f"run_duration_seconds_{part}", window, state=State.SUCCEEDED)) for part in ("sum", "count")
        )
        return self._record(f"feed:videotask_run_duration_seconds:mean_{window}", " / ".join(parts))

    def p95(self, phase: str, window: str) -> str:
        """The name of the 95th percentile of a phase's duration, in seconds, whatever the tasks' end."""
        grown = total(increase(f"{phase}_duration_seconds_bucket", window), of=(*FEED, "le"))
        return self._record(
            f"feed:videotask_{phase}_duration_seconds:p95_{window}", f"histogram_quantile(0.95, {grown})"
        )

    def p95_of_models(self, phase: str, window: str) -> str:
        """The name of the 95th percentile of a phase's duration by model, in seconds, of tasks that succeeded."""
        grown = total(increase(f"model_{phase}_duration_seconds_bucket", window), of=(*MODEL, "le"))
        return self._record(
            f"model:videotask_{phase}_duration_seconds:p95_{window}", f"histogram_quantile(0.95, {grown})"
        )

    def success_of_models(self, window: str) -> str:
        """The name of the share of tasks that succeeded, of those that succeeded or failed, by model."""
        succeeded, measured = (
            total(increase("model_finished_total", window, state=states), of=MODEL)
            for states in (State.SUCCEEDED, tuple(MEASURED_ENDS))
        )
        return self._record(f"model:videotask_success:ratio_{window}", f"{succeeded} / {measured}")

    def spent(self, window: str) -> str:
        """The name of what was spent of an account, in its unit: all steps down, without top-ups and refunds."""
        balance, step = EVERYWHERE("account_balance"), self._step
        return self._record(
            f"account:videotask_account_balance:spent_{window}",
            f"sum_over_time(clamp_min({balance} offset {step} - {balance}, 0)[{window}:{step}])",
        )

    def _bad(self, window: str) -> tuple[Selected, Selected]:
        lost = increase("finished_total", window, state=State.LOST)
        return increase("failures_total", window, reason=self._counted), lost

    def _good(self, window: str) -> Selected:
        return increase("finished_total", window, state=State.SUCCEEDED)

    def _record(self, name: str, expr: str) -> str:
        self._made.setdefault(name, Recording(name, expr))
        return name
