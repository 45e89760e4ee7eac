"""What several dashboards share: groupings, thresholds, words for values, and why a panel may be empty."""

from __future__ import annotations

from exporter.tasks import State
from grafana import palette
from grafana.promql import by

FEED = by("provider", "kind")
MEASURED = (State.SUCCEEDED, State.FAILED)

RATIO_STEPS = [(0, palette.BAD), (0.8, palette.WARNING), (0.95, palette.GOOD)]
ANY_IS_BAD = [(0, palette.GOOD), (1, palette.BAD)]
ANY_IS_NOTABLE = [(0, palette.GOOD), (1, palette.WARNING)]
AGE_STEPS = [(0, palette.GOOD), (60, palette.WARNING), (300, palette.BAD)]

UP_WORDS = {
    "1": ("Up", palette.GOOD),
    "0": ("Down", palette.BAD),
    "-1": ("Starting", palette.WARNING),
}

NO_ENDS = "No task ended within the recent window (recent_window, one hour by default)"
UNMEASURED = "No durations: the vendor gives no times and no end was watched, or nothing has ended yet"
