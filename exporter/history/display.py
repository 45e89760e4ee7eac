"""Says how far the reading is: bars in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NoReturn

from exporter.history.state import ListProgress

BAR = "{desc} {bar:20} {percentage:3.0f} %, {remaining} left{postfix}"

EVERY = 30.0
"""Seconds between two lines about a feed where no bars can be drawn."""


def moment(at: float) -> str:
    """A Unix time for people to read."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%MZ")


def _share(floor: float, end: float, progress: ListProgress) -> float:
    """How much of the time has been read, from 0 to 1."""
    if progress.done:
        return 1.0
    oldest = end if progress.oldest is None else min(end, max(floor, progress.oldest))
    return (end - oldest) / (end - floor)


def _told(progress: ListProgress) -> str:
    back = "" if progress.oldest is None else f", back to {moment(progress.oldest)}"
    return f"{progress.pages} pages, {progress.tally.tasks} tasks{back}"


class Display:
    """Writes a line now and then about each feed, with how long it may take from here."""

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._began: dict[str, tuple[float, float]] = {}
        self._due: dict[str, float] = {}

    def reading(self, name: str, floor: float, end: float, progress: ListProgress) -> None:
        """How far the list of a feed is read, of which the time from `floor` to `end` is wanted."""
        now, share = time.monotonic(), _share(floor, end, progress)
        began, from_share = self._began.setdefault(name, (now, share))
        if not progress.done and now < self._due.setdefault(name, now + self._every):
            return
        self._due[name] = now + self._every
        grown = share - from_share
        left = "" if progress.done or grown <= 0 else f", about {_length((now - began) * (1 - share) / grown)} left"
        self.say(f"{name}: {_told(progress)}{', done' if progress.done else left}")

    def writing(self, done: int, of: int) -> None:
        """How many families of metrics are written."""
        if done == 1:
            self.say("writing the samples")

    def say(self, line: str) -> None:
        """Says something else."""
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _length(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def display() -> Iterator[Display]:
    """Bars if stderr is a terminal, lines if not."""
    if not sys.stderr.isatty():
        yield Display()
        return
    from tqdm import tqdm

    class Bars(Display):
        def __init__(self) -> None:
            super().__init__()
            self.bars: dict[str, tqdm[NoReturn]] = {}

        def _to(self, name: str, share: float, text: str) -> None:
            if name not in self.bars:
                self.bars[name] = tqdm(
                    desc=name, total=1.0, initial=share, bar_format=BAR, dynamic_ncols=True, miniters=0
                )
            bar = self.bars[name]
            bar.set_postfix_str(text, refresh=False)
            bar.update(max(0.0, share - bar.n))
            if share >= 1.0:
                bar.refresh()

        def reading(self, name: str, floor: float, end: float, progress: ListProgress) -> None:
            self._to(name, _share(floor, end, progress), _told(progress))

        def writing(self, done: int, of: int) -> None:
            self._to("writing", done / of, "")

        def say(self, line: str) -> None:
            tqdm.write(line, file=sys.stderr)

    shown = Bars()
    try:
        yield shown
    finally:
        for bar in shown.bars.values():
            bar.close()
