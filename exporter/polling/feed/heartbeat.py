"""Whether a loop still makes progress: its signs of life, and how long their absence means nothing."""

from __future__ import annotations

import time

from exporter.client.client import CONCURRENCY
from exporter.config.models import ProviderSettings

STUCK_AFTER = 10
"""Poll intervals without a sign of life after which a loop is restarted, beside what one step of it may take."""

CALLS_A_STEP = 8
"""Calls whose time one step may take: a token, a try, another token, another try, and a wait for a place for each."""

LEAST_PATIENCE = 30.0
"""Seconds without a sign of life that mean nothing in any case: disks are slow at times, and machines busy."""


class Heartbeat:
    """The signs of life of one feed's loop. All times are monotonic."""

    def __init__(self, settings: ProviderSettings) -> None:
        call = settings.request_timeout + CONCURRENCY / settings.rate_limit
        self._patience = max(STUCK_AFTER * settings.poll_interval + CALLS_A_STEP * call, LEAST_PATIENCE)
        self._restarts_in_vain = 0
        self.beat()

    def beat(self, rest: float = 0.0) -> None:
        """A sign of life, before a rest of so many seconds."""
        self._last = time.monotonic() + rest

    def swept(self) -> None:
        """A sweep was completed: a restart, if there was one, has helped."""
        self._restarts_in_vain = 0

    def restarted(self) -> None:
        self._restarts_in_vain += 1
        self.beat()

    def silence(self, now: float) -> float:
        return max(0.0, now - self._last)

    def is_overdue(self, now: float, has_died: bool = False) -> bool:
        """Whether to restart the loop. One that has died is not waited for, unless it dies again and again."""
        return (has_died and not self._restarts_in_vain) or self.silence(now) > self._patience

    def is_stuck(self, now: float) -> bool:
        """Whether the loop makes no progress although it was restarted, or ought to have been long ago."""
        return self._restarts_in_vain > 1 or self.silence(now) > 2 * self._patience
