"""Calls for tasks that can only be looked up one by one, against a poller that looks at all of them at even intervals.

The collector and the ledger as they are, with the clock set by hand, poll hours of tasks that live as the simulator's
do. The baseline looks at the same tasks at the interval that would give it the same 95th percentile of the delay from
a task's end to our seeing it: that delay is evenly spread over the interval. Once the vendor reports real progress, in
the way of DeerAPI's gateway, and once one figure for all that is running.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.goals import Result, at_most, runs
from exporter.client.client import Client
from exporter.client.errors import TaskNotFound
from exporter.config.models import ProviderSettings
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.watch import Watch
from exporter.simulator import SORA, HandClock, Life, World
from exporter.simulator.world.profiles import PROFILES
from exporter.tasks import Clock, Observation, State
from exporter.vendors.vendor import START, Document, Feed, Page, Position, Provider, Vendor

INTERVAL = 15.0
"""The default poll_interval."""

LASTS = 3 * 3600.0
NOW = 1_790_000_000.0
LEARNING = 3600.0
"""Seconds at the begin that do not count: nothing is known of the feed yet, and every task is looked at."""

PROGRESS = {"real progress": 0.7, "no progress": 0.0}
"""By how much a vendor's figure grows from the start of a run, which it puts at 30 %, to its end."""


class Looked(Feed):
    """Tasks of one profile as a vendor without a list would show them; counts the calls."""

    kind = "looked_up"
    clock = Clock.PROVIDER
    document = Document("")
    lists = False

    def __init__(self, lives: Sequence[Life], clock: HandClock, growth: float) -> None:
        self.lives = {life.id: life for life in lives}
        self.seen: dict[str, float] = {}
        """When each task was first seen to have ended."""
        self.calls: Counter[str] = Counter()
        self._clock = clock
        self._growth = growth

    async def list_page(self, at: Position = START, *, in_flight: bool = False) -> Page:
        raise AssertionError("this feed has no list")

    async def look_up(self, task_id: str) -> Sequence[Observation]:
        now = self._clock()
        self.calls[task_id] += 1
        life = self.lives[task_id]
        if not life.exists(now):
            raise TaskNotFound
        moment = life.at(now)
        if moment.state.is_end:
            self.seen.setdefault(task_id, now)
        shown = 1.0 if moment.state.is_end else 0.2
        if moment.state is State.RUNNING:
            shown = (30 + int(100 * self._growth * moment.progress)) / 100
        times = (life.submitted, moment.started, moment.ended)
        return [Observation(task_id, moment.state, None, shown, *times)]


ALONE = {SORA}
"""The feed that has no list where there is but an API key."""


@dataclass(frozen=True)
class Watched:
    """How the tasks of some feeds were seen to end."""

    calls: float
    """A task."""
    even: float
    """The same for the baseline."""
    latest: float
    """The longest delay."""


async def run(quick: bool) -> list[Result]:
    lasts = LEARNING + (600 if quick else LASTS)
    results = []
    for name, growth in PROGRESS.items():
        days = [await _seen(seed, growth, lasts) for seed in range(runs(quick))]
        for which, feeds in (("DeerAPI's tasks", ALONE), ("tasks of all feeds", set(PROFILES))):
            watched = [_watched([day[feed] for feed in feeds]) for day in days]
            results.append(
                Result(
                    f"look-ups of {which}, {name}",
                    "calls/task",
                    [one.calls for one in watched],
                    at_most(0.5 if growth else 0.75, of_baseline=True),
                    "even intervals, same p95 delay",
                    [one.even for one in watched],
                    f"latest end seen after {max(one.latest for one in watched):.0f} s",
                )
            )
    return results


def _watched(feeds: Sequence[Looked]) -> Watched:
    ended = [(feed, feed.lives[task_id], at) for feed in feeds for task_id, at in feed.seen.items()]
    counted = [(feed, life, at) for feed, life, at in ended if life.submitted >= NOW + LEARNING]
    delays = sorted(at - _end(life) for _, life, at in counted)
    interval = delays[math.ceil(0.95 * len(delays)) - 1] / 0.95
    return Watched(
        fmean(feed.calls[life.id] for feed, life, _ in counted),
        # From the first sweep after the submission to the first after the end, wherever the sweeps may fall.
        fmean((_end(life) - life.submitted) / interval + 1 for _, life, _ in counted),
        delays[-1],
    )


def _end(life: Life) -> float:
    return life.ends_at or math.inf  # only what was seen to end is asked for


async def _seen(seed: int, growth: float, lasts: float) -> dict[tuple[str, str], Looked]:
    """Each feed, polled alone."""
    seen = {}
    for feed in PROFILES:
        world = World(seed, clock=HandClock(NOW + lasts), history=lasts, feeds=[feed])
        seen[feed] = await _polled(world.listed(feed)[::-1], lasts, growth)
    return seen


async def _polled(lives: Sequence[Life], lasts: float, growth: float) -> Looked:
    clock = HandClock(NOW)
    feed = Looked(lives, clock, growth)
    settings = ProviderSettings.model_validate(
        {"name": "benchmark", "type": "none", "base_url": "http://127.0.0.1", "poll_interval": f"{INTERVAL:g}s"}
    )
    client = Client(settings.base_url)
    ledger = Ledger(SqliteStore(SqliteFile(":memory:")), 86400.0)
    tracker = await ledger.open(settings.name, feed.kind, feed.clock, settings, NOW)
    vendor = Vendor(settings.type, ProviderSettings, (feed.kind,), lambda *_: [feed])
    provider = Provider(settings, client, [feed], vendor)
    loop = FeedLoop(provider, feed, tracker, ledger, Watch(settings.name, settings.watch), clock)
    coming = iter(lives)
    life = next(coming, None)
    while clock.now < NOW + lasts:
        clock.now += INTERVAL
        new = []
        while life and life.submitted <= clock.now:
            new.append(life.id)
            life = next(coming, None)
        if new:
            await loop.following.ask_for(new)
        await loop.sweep()
    await client.aclose()
    await ledger.close()
    return feed
