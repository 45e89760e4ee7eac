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
    State.RUNNING: "#5a66d9",
    State.BLOCKED: "#ac7ede",
    State.UNKNOWN: "#a739a4",
    State.SUCCEEDED: "#32a582",
    State.FAILED: "#ff5959",
    State.CANCELLED: "#6c666c",
    State.LOST: "#b24d00",
}

REASONS: Mapping[str, str] = {
    Reason.MODERATION: "#7856d5",
    Reason.INSUFFICIENT_BALANCE: "#a77c00",
    Reason.INVALID_INPUT: "#3a94fa",
    Reason.RATE_LIMITED: "#02a1be",
    Reason.AUTH: "#a44794",
    Reason.PROVIDER_INTERNAL: "#fe406c",
    Reason.TIMEOUT: "#a94c00",
    Reason.UNKNOWN: "#7d8d85",
}

_ONLY_OF_CALLS = {
    "invalid_request": REASONS[Reason.INVALID_INPUT],
    "contract": REASONS[Reason.UNKNOWN],
    "connection": "#977e55",
    "too_large": "#45723b",
    "intercepted": "#e068b0",
}

ERRORS: Mapping[str, str] = {
    error.error: _ONLY_OF_CALLS.get(error.error) or REASONS[error.error] for error in CALL_ERRORS
}
"""A call that fails for a reason that a task can fail for, too, has the colour of that reason."""

GOOD = STATES[State.SUCCEEDED]
WARNING = "#c27803"
BAD = STATES[State.FAILED]
NEUTRAL = "#5a66d9"
"""For a number that is neither good nor bad."""
