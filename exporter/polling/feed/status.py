"""How a feed's polling goes: what the exporter tells of itself, apart from the tasks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from exporter.client.advice import Cause, advice, cause_of_call
from exporter.client.errors import CallError, FailedCall
from exporter.config.models import ProviderSettings
from exporter.ledger.sqlite.store import StoreError

FAILED_CALLS_KEPT = 20


@dataclass
class FeedStatus:
    """How the last sweep of a feed went, and which of its calls failed of late."""

    up: bool | None = None
    """Whether the last sweep succeeded; None before the first has ended."""
    poll_duration: float = 0.0
    error: str = ""
    """What the last failed sweep failed of, in words that may be shown; empty while the feed is up."""
    cause: Cause | None = None
    """What is behind it."""
    advice: str = ""
    """What to do about it."""
    down_since: float | None = None
    restarts: int = 0
    """How often the watchdog had to start the loop anew."""
    next_sweep: float | None = None
    """When the next sweep is due, a Unix time; None while one runs, and before the first."""
    failed_calls: deque[FailedCall] = field(default_factory=lambda: deque(maxlen=FAILED_CALLS_KEPT))
    """The last calls that failed, the latest last; calls that succeed drive none of them out."""

    def note(self, error: CallError, now: float) -> None:
        """Keeps the call that failed so; while the vendor has asked for a pause there was none."""
        if (call := FailedCall.of(error, now)) is not None:
            self.failed_calls.append(call)

    def succeeded(self) -> None:
        self.up, self.error, self.cause, self.advice, self.down_since = True, "", None, "", None

    def failed(self, error: Exception, now: float, settings: ProviderSettings) -> str:
        """Takes in what a sweep failed of; tells its label: that of a call's error, `ledger` or `bug`."""
        match error:
            case CallError():
                label, cause = error.error, cause_of_call(error)
            case StoreError():
                label, cause = "ledger", Cause.LEDGER
            case _:
                label, cause = "bug", Cause.BUG
        self.up, self.error, self.cause = False, f"{label}: {error}", cause
        self.advice = advice(cause, settings)
        self.down_since = now if self.down_since is None else self.down_since
        return label
