"""The colours of states, reasons and errors: the same on every dashboard, and fit for both of Grafana's themes.

Each has a contrast of at least 3:1 on the panels of the light and of the dark theme, so all are of like lightness.
Those that stand on one panel differ in hue also for readers who see red and green alike; the tests measure both.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.client.errors import CALL_ERRORS
from exporter.tasks import Reason, State

BACKGROUNDS = {"light": "#ffffff", "dark": "#181b1f"}
"""What Grafana's themes put behind a panel."""

STATES: Mapping[str, str] = {
    State.QUEUED: "#9e8615",
    State.RUNNING: "#4a62d7",
    State.BLOCKED: "#ae80de",
    State.UNKNOWN: "#a836a3",
    State.SUCCEEDED: "#32a582",
    State.FAILED: "#ff5959",
    State.CANCELLED: "#6c666c",
    State.LOST: "#b24d00",
}

REASONS: Mapping[str, str] = {
    Reason.MODERATION: "#7557da",
    Reason.INSUFFICIENT_BALANCE: "#a77c00",
    Reason.INVALID_INPUT: "#3994fb",
    Reason.RATE_LIMITED: "#00a2bb",
    Reason.AUTH: "#a04682",
    Reason.PROVIDER_INTERNAL: "#ff5271",
    Reason.TIMEOUT: "#a94c00",
    Reason.UNKNOWN: "#818e84",
}

_ONLY_OF_CALLS = {
    "invalid_request": REASONS[Reason.INVALID_INPUT],
    "contract": REASONS[Reason.UNKNOWN],
    "connection": "#00a856",
    "too_large": "#4a703b",
    "intercepted": "#ff42d1",
}

ERRORS: Mapping[str, str] = {
    error.error: _ONLY_OF_CALLS.get(error.error) or REASONS[error.error] for error in CALL_ERRORS
}
"""A call that fails for a reason that a task can fail for, too, has the colour of that reason."""

LINES = ("#3994fb", "#b06f02", "#0a9c84", "#9c54e4", "#e757a3", "#8b9d22", "#8c5d4f", "#6e737e")
"""Of feeds, models, accounts and the like, by their rank in a graph."""

STATS: Mapping[str, str] = {"p50": LINES[2], "p95": LINES[0], "max": LINES[3]}

GOOD = STATES[State.SUCCEEDED]
WARNING = "#c27803"
BAD = STATES[State.FAILED]
NEUTRAL = "#5a66d9"
"""For a number that is neither good nor bad."""
