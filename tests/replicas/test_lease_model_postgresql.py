"""Leases and fence in a real PostgreSQL, against whatever may happen to replicas, to their clocks and to transactions.

The model beside this one has finer steps and a database in memory; here the statements and locks are those of the
server. For more and other stories: MODEL_STORIES=1000.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from exporter.ledger.counters import Counters
from exporter.ledger.errors import LeaseLost, StoreError
from exporter.ledger.postgresql.database import Connection, Database
from exporter.ledger.postgresql.schema import prepare
from exporter.ledger.postgresql.store import PostgresqlStore
from exporter.ledger.store import Changes, Store
from exporter.replicas.holding import MARGIN, Holding
from exporter.replicas.postgresql import PostgresqlLeases

STORIES = int(os.environ.get("MODEL_STORIES", "0"))
LENGTH = 600.0
"""Seconds of a lease: none ends by itself during a story."""
PROVIDERS = ("a", "b")
KIND = "kind"

T = TypeVar("T")
Fate = str
WELL, LOST, UNANSWERED = "ends well", "is lost", "is committed, but not answered"
FROZEN, STOPS, GIVEN_UP = "begins late", "stops before its end", "has failed for its sender, and comes late"


class FarDatabase(Database):
    """A database whose next transaction has a fate."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.fate: Fate = WELL
        self.halts = asyncio.Event()
        """Set when a transaction has got as far as its fate lets it for now."""
        self.goes_on = asyncio.Event()
        """What lets the last of these go on."""
        self.late: list[tuple[asyncio.Event, asyncio.Task[None]]] = []
        """What has failed for its sender."""

    async def run(self, work: Callable[[Connection], Awaitable[T]], patience: float | None = None) -> T:
        fate, self.fate = self.fate, WELL
        goes_on = self.goes_on = asyncio.Event()

        async def halting(connection: Connection) -> T:
            result = await work(connection)
            if fate == STOPS:
                self.halts.set()
                await goes_on.wait()
            if fate == LOST:
                raise StoreError("it was never committed")
            return result

        if fate == GIVEN_UP:
            self.late.append((goes_on, asyncio.create_task(self._comes_late(work, goes_on))))
            raise StoreError("no answer")
        if fate == FROZEN:
            self.halts.set()
            await goes_on.wait()
        result = await super().run(halting, patience)
        if fate == UNANSWERED:
            raise StoreError("it was committed all the same")
        return result

    async def _comes_late(self, work: Callable[[Connection], Awaitable[object]], goes_on: asyncio.Event) -> None:
        await goes_on.wait()
        with suppress(StoreError):
            await super().run(work)


class Polled:
    """What a replica knows of one provider under one epoch."""

    def __init__(self, epoch: int, store: Store) -> None:
        self.epoch, self.store = epoch, store
        self.total: float | None = None
        """How often something was counted; None while that is in doubt."""
        self.is_writing = False


class Replica:
    """One process, with a clock of its own."""

    def __init__(self, number: int, url: str, clock: Callable[[], float]) -> None:
        self.database = FarDatabase(url)
        self.store = PostgresqlStore(self.database)
        self.leases = PostgresqlLeases(self.database, f"replica-{number}", LENGTH)
        self.holding = Holding(self.leases, clock)
        self.polls: dict[str, Polled] = {}
        self.under_way: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    def polled(self, provider: str) -> Polled | None:
        """What is polled: what is held, under its epoch."""
        epoch = self.holding.held.get(provider)
        if epoch is None:
            return None
        if provider not in self.polls or self.polls[provider].epoch != epoch:
            self.polls[provider] = Polled(epoch, self.store.under(provider, self.leases.me, epoch))
        return self.polls[provider]


replicas = st.integers(0, 1)
providers = st.sampled_from(PROVIDERS)
fates = st.sampled_from([LOST, UNANSWERED, FROZEN, GIVEN_UP])
CUT_OFF, WORKS = "is cut off", "works"
meanwhile = ["nothing", CUT_OFF, WORKS]
fates_of_commits = st.sampled_from([LOST, UNANSWERED, FROZEN, FROZEN, GIVEN_UP, GIVEN_UP, STOPS, STOPS])


class Story(RuleBasedStateMachine):
    """Replicas on one database. Each takes what it can get: no plan keeps them from taking the same."""

    def __init__(self, url: str, runner: asyncio.Runner, teller: psycopg.Connection) -> None:
        super().__init__()
        self.url, self.runner, self.teller = url, runner, teller
        teller.execute("TRUNCATE videotask.leases, videotask.replicas, videotask.feeds CASCADE")
        self.now, self.started = 0.0, 0
        self.served: dict[str, float] = dict.fromkeys(PROVIDERS, 0)
        self.written: dict[str, list[tuple[float, int]]] = {name: [] for name in PROVIDERS}
        """Each commit that was answered: the total and the epoch."""
        self.replicas = [self.begun() for _ in range(2)]
        self.works(0, True)

    def begun(self) -> Replica:
        self.started += 1
        offset = 3600.0 * self.started  # no clock of a replica shows what another one shows
        replica = Replica(self.started, self.url, lambda: self.now + offset)
        self.runner.run(replica.leases.join(PROVIDERS))
        return replica

    def teardown(self) -> None:
        for one in self.replicas:
            self.ends(one)

    def ends(self, replica: Replica) -> None:
        async def end() -> None:
            under_way = [task for _, task in (*replica.under_way, *replica.database.late)]
            for task in under_way:
                task.cancel()
            await replica.database.close(within=0)
            await asyncio.gather(*under_way, return_exceptions=True)

        self.runner.run(end())

    def goes(self, replica: Replica, step: Coroutine[Any, Any, object], fate: Fate = WELL) -> None:
        """A replica does something whose next transaction has this fate."""

        async def told() -> None:
            with suppress(StoreError):
                await step

        async def run() -> None:
            database = replica.database
            database.fate, database.halts = fate, asyncio.Event()
            halts, task = asyncio.create_task(database.halts.wait()), asyncio.create_task(told())
            await asyncio.wait((halts, task), return_when=asyncio.FIRST_COMPLETED)
            halts.cancel()
            if task.done():
                await task
            else:
                replica.under_way.append((database.goes_on, task))
            database.fate = WELL

        self.runner.run(run())

    @rule(seconds=st.sampled_from([LENGTH / 3, LENGTH * (1 - MARGIN)]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.teller.execute("UPDATE videotask.leases SET expires = expires - %s * interval '1 second'", [seconds])

    @rule(index=replicas, sweeps=st.booleans())
    def works(self, index: int, sweeps: bool) -> None:
        """A replica does at once what it does all the time."""
        replica = self.replicas[index]
        replica.holding.lapsed()
        self.goes(replica, replica.holding.renew())
        self.goes(replica, replica.holding.acquire(PROVIDERS, len(PROVIDERS)))
        for name in PROVIDERS if sweeps else ():
            self.sweep(replica, name, WELL)

    @rule(index=replicas, sweeps=st.booleans())
    def is_cut_off(self, index: int, sweeps: bool) -> None:
        """A replica stands still for a lease, while the other one works."""
        self.time_passes(LENGTH)
        self.works(1 - index, sweeps)

    @rule(index=replicas, what=st.sampled_from(["renew", "acquire", "release"]), provider=providers, fate=fates)
    def calls(self, index: int, what: str, provider: str, fate: Fate) -> None:
        replica = self.replicas[index]
        if what == "renew":
            self.goes(replica, replica.holding.renew(), fate)
        elif what == "acquire":
            self.goes(replica, replica.holding.acquire([provider], 1), fate)
        elif (polled := replica.polled(provider)) and not polled.is_writing:
            given = replica.holding.give_up([provider])
            self.goes(replica, replica.leases.release(given), fate)

    @rule(
        index=replicas, provider=providers, fate=fates_of_commits, then=st.sampled_from(meanwhile), ends=st.booleans()
    )
    def counts(self, index: int, provider: str, fate: Fate, then: str, ends: bool) -> None:
        """Who holds the provider counts one end, and something happens after that or in the middle of it."""
        if not any(one.polled(provider) for one in self.replicas):
            self.works(index, False)
        for number, replica in enumerate(self.replicas):
            if self.sweep(replica, provider, fate):
                if then == CUT_OFF:
                    self.is_cut_off(number, False)
                for _ in range(2 if then == WORKS else 0):
                    self.sweep(replica, provider, WELL)
                if ends:
                    self.goes_on(number, -1)
                break

    def sweep(self, replica: Replica, provider: str, fate: Fate) -> bool:
        """Whether the replica could."""
        polled = replica.polled(provider)
        if polled is None or polled.is_writing:
            return False
        if polled.total is None:
            self.goes(replica, self.loaded(provider, polled))
        self.goes(replica, self.counted(replica, provider, polled), fate)
        return True

    @rule(index=replicas, which=st.integers(0, 3))
    def goes_on(self, index: int, which: int) -> None:
        """What was held up comes to its end."""

        async def go_on(goes_on: asyncio.Event, task: asyncio.Task[None]) -> None:
            goes_on.set()
            await task

        replica = self.replicas[index]
        for held_up in (replica.under_way, replica.database.late):
            if held_up:
                self.runner.run(go_on(*held_up.pop(which % len(held_up))))

    @rule(index=replicas)
    def crash(self, index: int) -> None:
        self.ends(self.replicas[index])
        self.replicas[index] = self.begun()

    async def loaded(self, provider: str, polled: Polled) -> None:
        polled.total = (await polled.store.load(provider, KIND)).counts["ends",]

    async def counted(self, replica: Replica, provider: str, polled: Polled) -> None:
        """Counts one end, commits it and takes it over."""
        if polled.total is None:
            return
        total, polled.total, polled.is_writing = polled.total + 1, None, True
        try:
            await polled.store.commit(Changes(provider, KIND, 0.0, 0.0, 0.0, counts=Counters({("ends",): total})))
            self.fenced(provider, polled.epoch)
            polled.total = total
            self.written[provider].append((total, polled.epoch))
        except LeaseLost:
            replica.holding.lose(provider, polled.epoch)
        finally:
            polled.is_writing = False

    def fenced(self, provider: str, epoch: int) -> None:
        query = "SELECT epoch FROM videotask.leases WHERE provider = %s"
        assert self.teller.execute(query, [provider]).fetchone() == (epoch,), "another replica has taken it over"

    @invariant()
    def one_holder(self) -> None:
        """By the clocks of the replicas, none of which is asked to notice anything."""
        for name in PROVIDERS:
            assert sum(name in replica.holding.held for replica in self.replicas) <= 1

    @invariant()
    def each_commit_goes_on_from_the_last(self) -> None:
        for written in self.written.values():
            totals, epochs = [total for total, _ in written], [epoch for _, epoch in written]
            assert totals == sorted(set(totals)), "two have counted the same, or one has counted from an old total"
            assert epochs == sorted(epochs), "one has written after another had taken over"

    @invariant()
    def no_counter_goes_back(self) -> None:
        """Neither in the database nor in what the holders serve."""
        query = "SELECT provider, value FROM videotask.counts JOIN videotask.feeds ON feed = id"
        stored: dict[str, float] = dict(self.teller.execute(query).fetchall())
        for name in PROVIDERS:
            told = [one.polls[name].total for one in self.replicas if one.polled(name)]
            shown = [total for total in told if total is not None]
            assert all(self.served[name] <= total <= stored.get(name, 0) for total in shown)
            self.served[name] = max([self.served[name], *shown])
            assert stored.get(name, 0) >= self.served[name]


def test_stories_of_leases_and_fence_in_postgresql(ledger_url: str) -> None:
    async def make_tables() -> None:
        async with Database(ledger_url) as database:
            await prepare(database)

    plan_of = {"max_examples": STORIES} if STORIES else {"max_examples": 30, "derandomize": True}
    with asyncio.Runner() as runner, psycopg.connect(ledger_url, autocommit=True) as teller:
        runner.run(make_tables())
        run_state_machine_as_test(
            lambda: Story(ledger_url, runner, teller),  # type: ignore[arg-type]
            settings=settings(
                **plan_of,  # type: ignore[arg-type]
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
