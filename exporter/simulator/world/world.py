"""The simulated world: which tasks there are at each vendor, and the truth about them. Knows nothing of HTTP."""

from __future__ import annotations

import bisect
import copy
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from exporter.simulator.world.life import Life
from exporter.simulator.world.profiles import PROFILES, Feed, Profile, Seconds
from exporter.simulator.world.truth import Tally
from exporter.tasks import State


@dataclass(slots=True)
class _Shelf:
    """The tasks of one feed, oldest submission first."""

    lives: list[Life] = field(default_factory=list)
    by_id: dict[str, Life] = field(default_factory=dict)
    dropped: Tally = field(default_factory=Tally)
    mortal: int = 0  # how many of them vanish some day

    def put(self, life: Life) -> None:
        if life.id in self.by_id:
            raise ValueError(f"two tasks of {life.type} {life.kind} with the id {life.id}")
        bisect.insort(self.lives, life, key=_submitted)
        self.by_id[life.id] = life
        self.mortal += life.vanishes_after is not None

    def known(self, now: float) -> list[Life]:
        lives = self.lives[: bisect.bisect_right(self.lives, now, key=_submitted)]
        return [life for life in lives if life.exists(now)] if self.mortal else lives

    def drop_ended_before(self, limit: float, now: float) -> None:
        kept: list[Life] = []
        for life in self.lives:
            ended = life.at(now).ended
            if ended is None or ended > limit:
                kept.append(life)
                continue
            self.dropped.add(life, now)
            del self.by_id[life.id]
            self.mortal -= life.vanishes_after is not None
        self.lives = kept


def _submitted(life: Life) -> float:
    return life.submitted


class HandClock:
    """A clock that moves only by hand, for tests: `clock.now += 60`. Unix seconds."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class World:
    """Everything that happens at the simulated vendors. May be used from several threads.

    The same `seed`, settings and first reading of `clock` (Unix seconds) give the same tasks. `speed` divides all
    durations and the time between arrivals: at 60, a minute's worth of work takes a second. `rate` multiplies the
    arrivals usual for each feed, 0 generates none. `history` is for how many real seconds before now tasks have been
    arriving already. With `keep`, tasks that ended more than so many seconds ago leave the lists and the memory, but
    not the truth. The feeds are those of `profiles`; `feeds` narrows what is generated, `add` takes a task of any.
    """

    def __init__(
        self,
        seed: int = 0,
        speed: float = 1.0,
        clock: Callable[[], float] = time.time,
        rate: float = 1.0,
        history: float = 0.0,
        keep: float | None = None,
        feeds: Collection[Feed] | None = None,
        profiles: Iterable[Profile] = tuple(PROFILES.values()),
    ) -> None:
        self.clock = clock
        self._keep = keep
        self._lock = threading.RLock()
        self.profiles = {profile.feed: profile for profile in profiles}
        self._shelves = {feed: _Shelf() for feed in self.profiles}
        self._arriving = rate > 0
        begin = clock() - history
        self._sources = [
            _Source(profile, Random(f"{seed} {feed}"), begin, speed, rate)
            for feed, profile in self.profiles.items()
            if feeds is None or feed in feeds
        ]
        self._next_clearing = begin
        self.advance()

    def now(self) -> float:
        return self.clock()

    def advance(self) -> float:
        """Lets everything arrive that is due by now; returns the instant. Every look at the world does this first."""
        with self._lock:
            now = self.clock()
            if self._arriving:
                for source in self._sources:
                    while source.due <= now:
                        self._shelves[source.profile.feed].put(source.next())
            if self._keep is not None and now >= self._next_clearing:
                for shelf in self._shelves.values():
                    shelf.drop_ended_before(now - self._keep, now)
                self._next_clearing = now + self._keep / 10
            return now

    def add(self, *lives: Life) -> None:
        """Puts scripted tasks into the world. A failure without words gets the vendor's documented ones."""
        with self._lock:
            for life in lives:
                complete = life
                if life.end is State.FAILED and life.reason is not None and life.words is None:
                    failure = self.profiles[life.feed].documented_failure(life.reason)
                    complete = replace(life, words=failure.words, code=failure.code, end_dated=failure.dated)
                self._shelves[life.feed].put(complete)

    def stop_arrivals(self) -> None:
        """No new tasks from now on, so that all that are left come to their ends."""
        with self._lock:
            self.advance()
            self._arriving = False

    def listed(self, feed: Feed) -> list[Life]:
        """The tasks of a feed that its vendor knows now, newest submission first."""
        with self._lock:
            now = self.advance()
            return self._shelves[feed].known(now)[::-1]

    def find(self, feed: Feed, task_id: str) -> Life | None:
        """One task, None if its vendor does not know it (yet, or any more)."""
        with self._lock:
            now = self.advance()
            life = self._shelves[feed].by_id.get(task_id)
            return life if life is not None and life.exists(now) else None

    def in_flight(self) -> int:
        """How many tasks of all feeds have been submitted and have not ended."""
        truth = self.truth()
        return sum(sum(kind["in_flight"].values()) for kinds in truth.values() for kind in kinds.values())

    def truth(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What a perfect exporter would know now: by provider type and kind, the fields of `Tally`."""
        with self._lock:
            now = self.advance()
            result: dict[str, dict[str, dict[str, Any]]] = {}
            for (provider_type, kind), shelf in self._shelves.items():
                tally = copy.deepcopy(shelf.dropped)
                for life in shelf.lives:
                    if life.submitted <= now:
                        tally.add(life, now)
                result.setdefault(provider_type, {})[kind] = asdict(tally)
            return result


class _Source:
    """The arrivals of one feed: a Poisson process, and the fate of each task drawn as it comes."""

    def __init__(self, profile: Profile, rng: Random, begin: float, speed: float, rate: float) -> None:
        self.profile = profile
        self._rng = rng
        self._speed = speed
        self._schedule = profile.per_minute / 60 * speed * rate  # arrivals per real second
        self.due = begin + self._gap()

    def next(self) -> Life:
        """The task that is due; sets when the one after it is."""
        submitted, self.due = self.due, self.due + self._gap()
        return self._draw(submitted)

    def _gap(self) -> float:
        return self._rng.expovariate(self._schedule) if self._schedule else math.inf

    def _lasts(self, usual: Seconds) -> float:
        low, high = usual
        spread = math.log(high / low) / 4  # the range spans two standard deviations to either side
        return max(low / 2, min(high * 2, self._rng.lognormvariate(math.log(low * high) / 2, spread))) / self._speed

    def _draw(self, submitted: float) -> Life:
        rng, profile = self._rng, self.profile
        queue = self._lasts(profile.queue) if profile.queue else 0.0
        run = self._lasts(profile.run)
        life = Life(profile.new_id(rng), *profile.feed, submitted, queue, run, State.SUCCEEDED)
        if profile.models:
            life = replace(life, model=rng.choice(profile.models))
        cost = profile.cost(rng) if profile.cost else 0.0
        if rng.random() < profile.blocked:
            life = replace(life, blocked=(queue * rng.random(), (queue + run) * rng.uniform(0.1, 0.5)))
        fate = rng.random()
        if fate < profile.cancelled:  # only what still waits can be cancelled
            return replace(life, queue_seconds=queue * rng.random(), run_seconds=None, end=State.CANCELLED)
        if fate < profile.cancelled + profile.failed:
            failure = rng.choices(profile.failures, [failure.weight for failure in profile.failures])[0]
            return replace(
                life,
                run_seconds=run * rng.uniform(0.1, 1),
                end=State.FAILED,
                reason=failure.reason,
                words=failure.words,
                code=failure.code,
                end_dated=failure.dated,
                cost=cost if profile.failures_cost else 0.0,
            )
        life = replace(life, output_seconds=profile.output(rng) if profile.output else None, cost=cost)
        if rng.random() < profile.unseen_start:
            return replace(life, queue_seconds=queue + run, run_seconds=None)
        return life
