"""Whether a loop still makes progress: its signs of life, how long their absence means nothing, and how far it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from exporter.client.client import CONCURRENCY
from exporter.config.models import ProviderSettings
from exporter.snapshot import ReadingProgress

log = logging.getLogger(__name__)

STUCK_AFTER = 10
"""Poll intervals without a sign of life after which a loop is restarted, plus the time that one step may take."""

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
        """Whether the loop makes no progress although it was restarted, or should have been long ago."""
        return self._restarts_in_vain > 1 or self.silence(now) > 2 * self._patience


LONG = 5.0
"""Seconds after which it is shown how far something is."""

TOLD_AFTER = 30.0
"""Seconds after which the log says so for the first time; each time twice as long passes until the next."""


class Work:
    """Something that may take long. If it does, the log says so now and then. Times are monotonic."""

    def __init__(self, about: Mapping[str, str], ticks: Callable[[], float] = time.monotonic) -> None:
        self._about = about
        self._ticks = ticks
        self._what = ""
        self._of: int | None = None
        self._done = 0
        self._share: float | None = None
        self._began = self._due = 0.0
        self._wait = TOLD_AFTER

    def begin(self, what: str, of: int | None = None) -> None:
        """Something else is done from now on: `of` so many ids, or a list."""
        self._what, self._of, self._done, self._share = what, of, 0, None
        self._began = self._ticks()
        self._wait = TOLD_AFTER
        self._due = self._began + self._wait

    def end(self) -> None:
        self._what = ""

    def did(self, count: int = 1, share: float | None = None) -> None:
        """So much more is done: `share` of it all, where that is not told by the count."""
        if not self._what:
            return
        self._done += count
        if self._of:
            self._done = min(self._done, self._of)
            share = self._done / self._of
        self._share = share if self._share is None or share is None else max(share, self._share)
        now = self._ticks()
        if now >= self._due:
            self._wait *= 2
            self._due = now + self._wait
            self._tell()

    def left(self, count: int) -> None:
        """So many ids have still to be looked up, over many rounds; none ends it, more than before begin it again."""
        if not count:
            self.end()
        elif not self._what or count > (self._of or 0) - self._done:
            self.begin("ids", count)
        else:
            self.did((self._of or 0) - self._done - count)

    @property
    def progress(self) -> ReadingProgress | None:
        """How far it is; None if there is nothing, or if it has not yet taken long."""
        elapsed = self._ticks() - self._began
        if not self._what or elapsed < LONG:
            return None
        left = elapsed * (1 - self._share) / self._share if self._share and self._share < 1 else None
        return ReadingProgress(self._what, self._done, self._of, self._share, left)

    def _tell(self) -> None:
        progress = self.progress
        if progress is None:
            return
        said = dict[str, object](self._about)
        said |= {"pages": progress.done} if progress.what == "list" else {"ids": progress.done, "of": progress.of}
        if progress.share is not None:
            said["percent"] = round(100 * progress.share)
        if progress.left is not None:
            said["seconds_left"] = round(progress.left)
        log.info("still reading the list" if progress.what == "list" else "still looking ids up", extra=said)
