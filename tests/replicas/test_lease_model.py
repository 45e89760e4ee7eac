"""Leases and fence against whatever networks, clocks and processes may do.

Each run is a random story of a few replicas on one database: requests are late or lost, or their answers are; a
request that its sender has given up may still arrive; replicas stand still and crash; every clock shows another time,
and none goes at quite the speed of the others. The stories are the same every time; for more and other ones:
MODEL_STORIES=5000.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from exporter.ledger.errors import LeaseLost, StoreError
from exporter.replicas.holding import MARGIN, Holding
from exporter.replicas.leases import LeaseOverview
from exporter.replicas.shares import plan
from tests.harness.leases import MemoryDatabase, MemoryLeases

STORIES = int(os.environ.get("MODEL_STORIES", "0"))
LENGTH = 15.0
PROVIDERS = ("a", "b")
REPLICAS = 2

T = TypeVar("T")


class Way:
    """One way through the network: a waiting coroutine stands still until the story goes on."""

    def __await__(self) -> Generator[Way, None, None]:
        yield self


@dataclass
class Table:
    """What commits write: one counter for each provider, and how many commits have made it."""

    database: MemoryDatabase
    total: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROVIDERS, 0))
    version: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PROVIDERS, 0))
    writers: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in PROVIDERS})

    def load(self, provider: str) -> tuple[int, int]:
        return self.total[provider], self.version[provider]

    def commit(self, me: str, provider: str, epoch: int, version: int, total: int) -> int:
        self.database.check(provider, epoch)
        if self.version[provider] != version:
            raise StoreError("an earlier commit succeeded although its reply was lost")
        assert total == self.total[provider] + 1, "a commit goes on from another one than the last"
        self.total[provider], self.version[provider] = total, version + 1
        self.writers[provider].append(epoch)
        assert self.database.rows[provider].holder in (me, None), "another replica has taken the provider over"
        return version + 1


@dataclass
class FarLeases:
    """Leases behind a network: each call is a way there and a way back."""

    near: MemoryLeases
    late: list[Callable[[], object]]

    @property
    def me(self) -> str:
        return self.near.me

    @property
    def name(self) -> str:
        return self.near.name

    @property
    def length(self) -> float:
        return self.near.length

    async def _far(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            await Way()
        except StoreError:
            self.late.append(lambda: at_once(call()))
            raise
        found = await call()
        await Way()
        return found

    async def join(self, providers: Collection[str], accounts: str = "") -> None:
        await self._far(lambda: self.near.join(providers, accounts))

    async def renew(self, held: Mapping[str, int]) -> set[str]:
        return await self._far(lambda: self.near.renew(held))

    async def acquire(self, providers: Collection[str], most: int) -> dict[str, int]:
        return await self._far(lambda: self.near.acquire(providers, most))

    async def release(self, held: Mapping[str, int]) -> None:
        await self._far(lambda: self.near.release(held))

    async def leave(self) -> None:
        await self._far(self.near.leave)

    async def overview(self) -> LeaseOverview:
        return await self._far(self.near.overview)


def at_once(run: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that waits for nothing returns."""
    try:
        run.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


@dataclass
class Tracker:
    """The memory of one provider under one epoch, loaded when the lease was acquired."""

    epoch: int
    total: int = 0
    version: int = 0
    in_doubt: bool = True
    writes: bool = False


class Replica:
    """One process: a clock of its own, leases, and what it knows of the providers that it holds."""

    def __init__(self, number: int, table: Table, clock: Callable[[], float]) -> None:
        self.table = table
        self.late: list[Callable[[], object]] = []
        near = table.database.as_seen_by(f"replica-{number}")
        at_once(near.join(PROVIDERS))
        self.leases = FarLeases(near, self.late)
        self.holding = Holding(self.leases, clock)
        self.trackers: dict[str, Tracker] = {}
        self.under_way: list[Coroutine[Way, None, object]] = []

    def goes(self, run: Coroutine[Any, Any, object], far: int) -> None:
        """Begins something, which gets on by so many steps before the story goes on elsewhere."""
        self.under_way.append(run)
        for _ in range(1 + far):
            if run in self.under_way:
                self.moves(self.under_way.index(run))

    def moves(self, index: int, failure: StoreError | None = None) -> None:
        """A call under way gets on by one step, or fails for its sender."""
        run = self.under_way[index]
        try:
            if failure:
                run.throw(failure)
            else:
                run.send(None)
        except (StopIteration, StoreError):
            del self.under_way[index]

    def polled(self, provider: str) -> Tracker | None:
        """What is polled, as `Polling.follow` has it: what is held, under its epoch."""
        epoch = self.holding.held.get(provider)
        if epoch is None:
            self.trackers.pop(provider, None)
            return None
        if provider not in self.trackers or self.trackers[provider].epoch != epoch:
            self.trackers[provider] = Tracker(epoch)
        return self.trackers[provider]

    async def record(self, provider: str, tracker: Tracker) -> None:
        """One sweep: load what is in doubt, count one end, commit, and take it over."""
        tracker.writes = True
        try:
            if tracker.in_doubt:
                await Way()
                found = self.table.load(provider)
                await Way()
                tracker.total, tracker.version = found
                tracker.in_doubt = False
            tracker.in_doubt = True
            total, version = tracker.total + 1, tracker.version

            def commit() -> int:
                return self.table.commit(self.leases.me, provider, tracker.epoch, version, total)

            try:
                await Way()
            except StoreError:
                self.late.append(commit)
                raise
            written = commit()
            await Way()
            tracker.total, tracker.version, tracker.in_doubt = total, written, False
        except LeaseLost:
            self.holding.lose(provider, tracker.epoch)
        finally:
            tracker.writes = False

    async def hand_over(self, providers: Collection[str]) -> None:
        """Gives up providers; what is being written for them has to have ended."""
        await self.leases.release(self.holding.give_up(providers))

    async def share(self) -> None:
        overview = await self.leases.overview()
        steps = plan(self.leases.me, self.holding.held.keys(), overview)
        idle = [name for name in steps.surplus if not (name in self.trackers and self.trackers[name].writes)]
        if idle:
            await self.hand_over(idle)
        if steps.most:
            await self.holding.acquire(steps.wanted, steps.most)


replicas = st.integers(0, REPLICAS - 1)
providers = st.sampled_from(PROVIDERS)
which = st.integers(0, 3)
steps = st.sampled_from([99, 99, 99, 0, 1, 2, 3])
"""How far something gets at once; most often to its end."""


class Story(RuleBasedStateMachine):
    """A few replicas on one database."""

    @initialize(
        offsets=st.lists(st.floats(-1e6, 1e6), min_size=REPLICAS, max_size=REPLICAS),
        speeds=st.lists(st.floats(1 - MARGIN / 2, 1 + MARGIN / 2), min_size=REPLICAS, max_size=REPLICAS),
    )
    def begin(self, offsets: list[float], speeds: list[float]) -> None:
        self.now = 1000.0
        self.table = Table(MemoryDatabase(lambda: self.now, LENGTH))
        self.clocks = [self.clock(*each) for each in zip(offsets, speeds, strict=True)]
        self.started = 0
        self.replicas: list[Replica] = []
        self.late: list[Callable[[], object]] = []
        for index in range(REPLICAS):
            self.replicas.append(self.started_at(index))
            self.share(index, 99)
        self.before = self.table.total.copy()

    def clock(self, offset: float, speed: float) -> Callable[[], float]:
        return lambda: offset + speed * self.now

    def started_at(self, index: int) -> Replica:
        self.started += 1
        replica = Replica(self.started, self.table, self.clocks[index])
        replica.late = replica.leases.late = self.late
        return replica

    @rule(seconds=st.sampled_from([1.0, LENGTH / 3, LENGTH * (1 - MARGIN)]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(index=replicas, sweeps=st.booleans())
    def is_cut_off(self, index: int, sweeps: bool) -> None:
        """A replica stands still, or nothing reaches it, for a lease, while all goes well with the others."""
        self.now += LENGTH
        for other in range(REPLICAS):
            if other != index:
                self.all_goes_well(other, sweeps)

    @rule(index=replicas)
    def crash(self, index: int) -> None:
        for run in self.replicas[index].under_way:
            run.close()
        self.replicas[index] = self.started_at(index)

    @rule(index=replicas, sweeps=st.booleans())
    def all_goes_well(self, index: int, sweeps: bool) -> None:
        """A replica does at once what it does all the time."""
        replica = self.replicas[index]
        self.all_arrive(index)
        for run in (replica.holding.renew, replica.share):
            replica.goes(run(), 99)
        for name in PROVIDERS if sweeps else ():
            self.sweep(index, name, 99)

    @rule(index=replicas, far=steps)
    def renew(self, index: int, far: int) -> None:
        self.replicas[index].goes(self.replicas[index].holding.renew(), far)

    @rule(index=replicas, far=steps)
    def share(self, index: int, far: int) -> None:
        replica = self.replicas[index]
        if not any(run.__name__ == "share" for run in replica.under_way):  # type: ignore[attr-defined]
            replica.goes(replica.share(), far)

    @rule(index=replicas)
    def notice(self, index: int) -> None:
        """The replica looks at its clock, which it does late where it stood still."""
        self.replicas[index].holding.lapsed()

    @rule(index=replicas, provider=providers, far=steps)
    def sweep(self, index: int, provider: str, far: int) -> None:
        replica = self.replicas[index]
        tracker = replica.polled(provider)
        if tracker and not tracker.writes:
            replica.goes(replica.record(provider, tracker), far)

    @rule(index=replicas, way=which)
    def arrives(self, index: int, way: int) -> None:
        replica = self.replicas[index]
        if replica.under_way:
            replica.moves(way % len(replica.under_way))

    @rule(index=replicas)
    def all_arrive(self, index: int) -> None:
        replica = self.replicas[index]
        while replica.under_way:
            replica.moves(0)

    @rule(index=replicas, way=which)
    def is_given_up(self, index: int, way: int) -> None:
        """A request or its answer is lost; the request may arrive all the same, at any time."""
        replica = self.replicas[index]
        if replica.under_way:
            replica.moves(way % len(replica.under_way), StoreError("the network"))

    @rule(way=which)
    def arrives_late(self, way: int) -> None:
        if self.late:
            with suppress(StoreError):
                self.late.pop(way % len(self.late))()

    @invariant()
    def one_holder(self) -> None:
        """By the clocks of the replicas, none of which is asked to notice anything."""
        for name in PROVIDERS:
            assert sum(name in replica.holding.held for replica in self.replicas) <= 1

    @invariant()
    def no_interleaved_epochs(self) -> None:
        for writers in self.table.writers.values():
            assert writers == sorted(writers)

    @invariant()
    def no_counter_goes_back(self) -> None:
        assert all(self.table.total[name] >= self.before[name] for name in PROVIDERS)
        self.before = self.table.total.copy()


def test_stories_of_leases_and_fence() -> None:
    plan_of = {"max_examples": STORIES} if STORIES else {"max_examples": 60, "derandomize": True}
    run_state_machine_as_test(
        Story,
        settings=settings(
            **plan_of,  # type: ignore[arg-type]
            stateful_step_count=80,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
