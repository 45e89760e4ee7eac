"""The settings of the alerts, as `thresholds.yaml` has them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from exporter.config.files.document import ConfigDocument
from exporter.config.values import BaseUrl, Interval
from exporter.tasks import Reason
from exporter.vendors.declared.row_fields import Unit

FILE = Path(__file__).with_name("thresholds.yaml")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(window: str) -> int:
    """The length of a window such as `15m`."""
    return int(window[:-1]) * _UNITS[window[-1]]


Hold = Annotated[str, Field(pattern=r"^(0|[1-9]\d*)[smhdw]$")]
"""How long a condition must hold, as Prometheus and Grafana write it; `0s` is at once."""

Window = Annotated[str, Field(pattern=r"^[1-9]\d*[smhdw]$")]
"""A stretch of time before now, as PromQL writes it."""

Share = Annotated[float, Field(gt=0, lt=1)]
"""A part of a whole, 0 to 1."""

Factor = Annotated[float, Field(gt=0)]

Number = Annotated[int, Field(ge=0)]
"""How many tasks, calls or restarts."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(_Part):
    """What every alert has."""

    severity: Literal["critical", "warning", "info"]
    hold: Hold = Field(alias="for")


class Recent(Choice):
    """Something that happened within a window."""

    window: Window


class Restarts(Recent):
    restarts: Number


class Calls(Recent):
    calls: Number


class Tasks(Choice):
    tasks: Number


class RecentTasks(Recent):
    tasks: Number


class Age(Choice):
    age: Interval


class Staleness(Age):
    rounds: Factor


class Ratio(Choice):
    ratio: Factor


class Balances(Choice):
    """Balances by unit, of which less should not be left."""

    below: dict[Unit, Annotated[float, Field(ge=0)]] = Field(min_length=1)


class Forecast(Recent):
    """What becomes of a trend `ahead` of now."""

    ahead: Window


class Spike(RecentTasks):
    """A share that is high, and higher than it was."""

    share: Share
    baseline: Window
    growth: Factor


class Burn(Choice):
    """A failure ratio over two windows; `burn` is in multiples of what the objective allows."""

    long: Window
    short: Window
    burn: Factor
    tasks: Number

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if seconds(self.short) >= seconds(self.long):
            raise ValueError("short is not shorter than long")
        return self


class Slowness(RecentTasks):
    """A mean that is high beside its own past."""

    baseline: Window
    growth: Factor
    baseline_tasks: Number


class Links(_Part):
    grafana: BaseUrl
    runbook: BaseUrl
    tasks: Annotated[str, Field(pattern=r"^https?://([A-Za-z0-9.:_\[\]-]+|\{instance\})(/[A-Za-z0-9._~/-]*)?$")]


class Thresholds(_Part):
    """The whole file. Ages are seconds, windows texts of PromQL."""

    links: Links
    job: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]+$")]
    evaluation_interval: Window
    objective: Share
    not_counted: frozenset[Reason]

    exporter_down: Choice
    exporter_absent: Choice
    exporter_restarting: Restarts
    config_reload_failed: Choice
    ledger_lost: Recent
    loop_restarted: Recent
    provider_unheld: Choice
    provider_held_twice: Choice

    feed_down: Choice
    data_stale: Staleness
    auth_failing: Calls
    balance_exhausted: Recent
    rate_limited: Calls
    history_gap: Recent
    api_drift: Recent
    poll_overrun: Ratio
    watch_source_down: Choice

    balance_low: Balances
    balance_running_out: Forecast
    balance_unreadable: Recent

    moderation_spike: Spike
    failure_burn_fast: Burn
    failure_burn_slow: Burn
    queue_growing: RecentTasks
    queued_too_long: Age
    running_too_long: Age
    stalled: Tasks
    unknown_state: Tasks
    blocked: Tasks
    no_success: RecentTasks
    run_time_high: Slowness

    def limit(self, burn: Burn) -> float:
        """The failure ratio at which a burn rate is reached."""
        return round(burn.burn * (1 - self.objective), 6)

    @model_validator(mode="after")
    def _can_fire(self) -> Self:
        for name in ("failure_burn_fast", "failure_burn_slow"):
            if self.limit(getattr(self, name)) >= 1:
                raise ValueError(f"{name}.burn times (1 - objective) is 1 or more: no failure ratio can exceed that")
        return self


class ThresholdsError(Exception):
    """Settings that cannot be used: one line per fault, each with file, line and key."""


def parse(text: str, name: str = FILE.name) -> Thresholds:
    """The settings that a text describes. `name` is the file's, for errors. Raises ThresholdsError."""
    document = ConfigDocument(name, text.encode(), {})
    try:
        thresholds = Thresholds.model_validate(document.content)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            document.fault(detail["loc"], detail["msg"])
    else:
        if not document.faults:
            return thresholds
    raise ThresholdsError("\n".join(document.faults))


def load(path: Path = FILE) -> Thresholds:
    """The settings of a file. Raises ThresholdsError, OSError."""
    return parse(path.read_text(encoding="utf-8"), str(path))
