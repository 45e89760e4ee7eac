"""Months of running in fast-forward: do memory, file and time per sweep stay as they are?

A vendor that is made of arithmetic, and so takes no memory of its own, has tasks that arrive and end steadily. The real
collector, ledger and store sweep it at the hours of a clock that is set by hand. Retention passes dozens of times.

    python -m benchmarks.endurance [--tasks N] [--folder FOLDER] [--json FILE]

Exits 0 if memory is flat, the file bounded and the time per sweep constant, 1 if not. Reads the memory from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence, Sized
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from exporter.client.client import Client
from exporter.client.errors import TaskNotFound
from exporter.config.models import ProviderSettings
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.tracker import REMEMBERED_LONGER
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.watch import Watch
from exporter.simulator import HandClock
from exporter.tasks import Clock, Observation, Reason, State
from exporter.vendors.vendor import START, Feed, Page, Position, Provider, Vendor

BEGIN = 1_790_000_000.0
PAGE_SIZE = 500
SHORTEST, LONGEST = 60, 540
"""Seconds that tasks take."""
UNDATED = 100
"""Of so many tasks, the vendor gives one no times at all."""
FLAT = 0.10
"""How much more than after the warm-up may be used at the end."""
SAMPLES = 100


@dataclass(frozen=True)
class Pace:
    """How fast the months go by: tasks that arrive between two sweeps, and the clock's step between them."""

    arrivals: int = 2400
    step: float = 3600.0
    retention: float = 6 * 3600.0

    @property
    def history(self) -> float:
        """Seconds of history; not less than a step, so that the first sweep counts all that there is."""
        return max(self.retention, self.step)

    @property
    def remembered(self) -> int:
        """Tasks that arrive while an end is remembered, and until the next sweep: what the ledger holds for good."""
        return (math.ceil((self.history + REMEMBERED_LONGER) / self.step) + 1) * self.arrivals


class SteadyFeed(Feed):
    """Task number n is submitted n ticks after the beginning; what becomes of it is a function of n."""

    kind = "steady"
    clock = Clock.PROVIDER
    lists_in_flight = True

    def __init__(self, pace: Pace, clock: HandClock) -> None:
        self._now = clock
        self._tick = pace.step / pace.arrivals
        self._longest = math.ceil(LONGEST / self._tick)

    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        rows: Sequence[int] = range(self._newest(), -1, -1)
        if in_flight:
            rows = [number for number in rows[: self._longest] if not self._observe(number).state.is_end]
        shown = rows[at.index * PAGE_SIZE :][:PAGE_SIZE]
        return Page([self._observe(number) for number in shown], len(rows) <= (at.index + 1) * PAGE_SIZE)

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        number = int(task_id.removeprefix("task-"))
        if number > self._newest():
            raise TaskNotFound
        return [self._observe(number)]

    def ended(self) -> int:
        """How many tasks have ended."""
        young = range(self._newest() + 1)[-self._longest :]
        return young.start + sum(self._observe(number).state.is_end for number in young)

    def _newest(self) -> int:
        return int((self._now() - BEGIN) / self._tick)

    def _observe(self, number: int) -> Observation:
        lot = number * 2654435761 % 2**32  # scatters neighbours
        submitted = BEGIN + number * self._tick
        ended = submitted + SHORTEST + lot % (LONGEST - SHORTEST)
        identity, reason = f"task-{number:09}", None
        begun: tuple[float | None, float | None] = (submitted, submitted + SHORTEST / 2)
        over: float | None = ended
        if number % UNDATED == 0:
            begun, over = (None, None), None
        if ended > self._now():
            return Observation(identity, State.RUNNING, None, 0.5, *begun)
        state = (State.FAILED if lot % 8 == 0 else State.SUCCEEDED) if lot % 50 else State.CANCELLED
        if state is State.FAILED:
            reason = tuple(Reason)[number % len(Reason)]
        return Observation(identity, state, reason, None, *begun, over, None, 8.0)


class Months:
    """A feed, swept once in each step of the clock; the ledger is on disk."""

    def __init__(
        self, path: Path, pace: Pace, clock: HandClock, feed: SteadyFeed, ledger: Ledger, loop: FeedLoop
    ) -> None:
        self.path, self.pace, self.clock, self.feed = path, pace, clock, feed
        self._ledger, self.loop = ledger, loop

    @classmethod
    async def begun(cls, path: Path, pace: Pace, begin: float = BEGIN) -> Months:
        clock = HandClock(begin)
        feed = SteadyFeed(pace, clock)
        settings = ProviderSettings.model_validate(
            {
                "name": "endurance",
                "type": "steady",
                "base_url": "http://vendor.invalid",
                "poll_interval": f"{pace.step:.0f}s",
                "history": f"{pace.history:.0f}s",
                "recent_window": f"{pace.retention:.0f}s",
            }
        )
        vendor = Vendor(settings.type, ProviderSettings, (feed.kind,), lambda *_: [feed])
        provider = Provider(settings, Client(settings.base_url), [feed], vendor)
        ledger = Ledger(SqliteStore(SqliteFile(str(path))), pace.retention)
        tracker = await ledger.open(settings.name, feed.kind, feed.clock, settings, clock())
        loop = FeedLoop(provider, feed, tracker, ledger, Watch(settings.name, settings.watch), clock)
        return cls(path, pace, clock, feed, ledger, loop)

    async def sweep(self) -> float:
        """One step and its sweep; the seconds of the processor that it took, which other programs do not change."""
        self.clock.now += self.pace.step
        started = time.process_time()
        await self.loop.sweep()
        if not self.loop.status.up:
            raise RuntimeError(f"a sweep failed: {self.loop.status.outage}")
        return time.process_time() - started

    async def close(self) -> None:
        await self.loop.provider.aclose()
        await self._ledger.close()

    @property
    def counted(self) -> int:
        """The ends that the ledger has counted."""
        return int(sum(self.loop.tracker.counts["finished_total", state] for state in State))

    @property
    def gaps(self) -> float:
        return self.loop.tracker.counts[("history_gaps_total",)]

    @property
    def held(self) -> int:
        """What is held in memory: the entries of every collection of the feed's loop and of its tracker."""
        values = [*vars(self.loop).values(), *vars(self.loop.tracker).values()]
        return sum(len(value) for value in values if isinstance(value, Sized) and not isinstance(value, str))

    @property
    def file_size(self) -> int:
        """Bytes on disk, with what has not been moved into the file proper yet."""
        return sum(path.stat().st_size for path in self.path.parent.glob(f"{self.path.name}*"))


def rows_in(path: Path) -> int:
    """Tasks in a ledger that is closed."""
    database = sqlite3.connect(path)
    try:
        return int(database.execute("SELECT count(*) FROM tasks").fetchone()[0])
    finally:
        database.close()


@dataclass(frozen=True)
class Sample:
    """The state of things after so many sweeps."""

    sweeps: int
    days: float
    finished: int
    memory: int
    file_size: int
    held: int
    milliseconds: float
    """The median time that the sweeps since the last sample took of the processor."""

    def __str__(self) -> str:
        sizes = f"{self.memory / 2**20:8.1f} MiB  {self.file_size / 2**20:8.1f} MiB  {self.held:8}"
        return f"{self.sweeps:6}  {self.days:6.1f}  {self.finished:9}  {sizes}  {self.milliseconds:8.1f} ms"


HEAD = "sweeps    days   finished        memory          file      held      a sweep"


async def measured(path: Path, tasks: int, pace: Pace) -> tuple[list[Sample], dict[str, bool]]:
    """Runs until so many tasks have ended; the samples, and what they prove."""
    months = await Months.begun(path, pace)
    sweeps = math.ceil(tasks / pace.arrivals) + 1
    every = max(1, sweeps // SAMPLES)
    times: list[float] = []
    samples: list[Sample] = []
    print(HEAD)
    while len(times) < sweeps:
        times.append(await months.sweep())
        if len(times) % every == 0:
            days = (months.clock() - BEGIN) / 86400
            typical = 1000 * median(times[-every:])
            sizes = _memory(), months.file_size, months.held
            samples.append(Sample(len(times), days, months.counted, *sizes, typical))
            print(samples[-1], flush=True)
    exact = months.counted == months.feed.ended() and not months.gaps
    await months.close()
    warm = samples[len(samples) // 10 : len(samples) // 5]
    last = samples[-(len(samples) // 10) :]

    def is_flat(values: Sequence[float], before: Sequence[float]) -> bool:
        return median(values) <= (1 + FLAT) * median(before)

    return samples, {
        "every end counted once, without a gap": exact,
        "memory flat": is_flat([one.memory for one in last], [one.memory for one in warm]),
        "memory flat, entries held": is_flat([one.held for one in last], [one.held for one in warm]),
        "file bounded": is_flat([one.file_size for one in last], [one.file_size for one in warm]),
        "rows bounded by retention": rows_in(path) <= (1 + FLAT) * pace.remembered,
        "time per sweep constant": is_flat(times[-sweeps // 10 :], times[sweeps // 10 : sweeps // 5]),
    }


def _memory() -> int:
    """Bytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser("endurance", description="Months of running in fast-forward.")
    parser.add_argument("--tasks", type=int, default=5_000_000, help="how many end (default 5000000)")
    parser.add_argument("--folder", type=Path, help="where the ledger is made (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    started = time.monotonic()
    pace = Pace()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        samples, proved = asyncio.run(measured(Path(folder, "ledger.sqlite3"), arguments.tasks, pace))
    for claim, holds in proved.items():
        print(f"{claim}: {'yes' if holds else 'NO'}")
    if arguments.json:
        figures = {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "took_seconds": round(time.monotonic() - started),
            "pace": asdict(pace),
            "proved": proved,
            "samples": [asdict(sample) for sample in samples],
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if all(proved.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
