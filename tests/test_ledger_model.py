"""The ledger against a model so small that it is obviously right, through whatever a vendor, a disk and a clock may do.

Each run is a random story of sweeps, failing commits, restarts and clocks that step. The stories are the same every
time; for more and other ones: MODEL_STORIES=5000.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.config.models import PollSettings
from exporter.ledger.counters import Counters
from exporter.ledger.errors import StoreError
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.store import Changes
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import Tracker
from exporter.tasks import MEASURED_ENDS, Clock, Field, Observation, Phase, Reason, State
from tests.harness import made

STORIES = int(os.environ.get("MODEL_STORIES", "0"))
START = 1_700_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
RETENTION = 2 * DAY
MODEL_LIMIT = 2
SHOWN = [state for state in State if state is not State.LOST]


class Disk(SqliteFile):
    """A store whose commits fail when told to: before anything is written, or after all of it was."""

    fails = ""

    def commit(self, changes: Changes) -> None:
        if self.fails == "before":
            raise StoreError("the disk is full")
        super().commit(changes)
        if self.fails == "after":
            raise StoreError("unknown whether that was written")


class Model:
    """What is true of the tasks: who is in flight, and who has ended how."""

    def __init__(self) -> None:
        self.swept = False
        self.in_flight: dict[str, State] = {}
        self.ended: dict[str, State] = {}
        self.missed: Counter[str] = Counter()
        self.unmapped: set[tuple[str, Field]] = set()
        self.failures: Counter[Reason] = Counter()
        self.models: dict[str, str] = {}  # of each task as its last row tells it
        self.ended_as: Counter[tuple[str, State]] = Counter()
        self.paid: set[str] = set()  # tasks whose ends told a cost, which is 1 for each
        self.owing: set[str] = set()  # tasks of which only a later row told it: it counts once, or came too late

    def take(self, sweep: Sweep, ancient: set[str]) -> None:
        self.swept |= sweep.complete
        shown = {**sweep.listed, **sweep.looked_up}
        for name, (row, at) in sweep.listed.items():
            if row.state.is_end:
                shown[name] = row, at
        for name, (row, _) in shown.items():
            if self.ended.get(name) in MEASURED_ENDS and row.state.is_end and row.usage:
                self.owing.add(name)
            waits = bool(sweep.listed) and not sweep.complete and name not in self.in_flight
            if name in self.ended or waits or name in ancient:
                continue
            self.missed[name] = 0
            self.models[name] = row.model or self.models.get(name, "")
            self.unmapped |= {(name, field) for field in row.unmapped}
            if row.state.is_end:
                self._end(name, row.state)
                self.failures.update([row.reason] if row.reason else [])
                if row.usage and row.state in MEASURED_ENDS:
                    self.paid.add(name)
            else:
                self.in_flight[name] = row.state
        for name in sweep.missing & self.in_flight.keys() - shown.keys():
            self.missed[name] += 1
            if self.missed[name] == 2:
                self._end(name, State.LOST)

    def _end(self, name: str, state: State) -> None:
        self.in_flight.pop(name, None)
        self.ended[name] = state
        if model := self.models.get(name):
            self.ended_as[model, state] += 1


class Story(RuleBasedStateMachine):
    """The ledger of one feed, in memory: after a restart another ledger reads the same store."""

    on_disk = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.disk = self.opened()
        self.model = Model()
        self.time = START  # the true one, which the vendor dates by
        self.skew = 0.0  # how far our clock is ahead
        self.born: dict[str, float] = {}
        self.undated: set[str] = set()
        self.ancient = {"ancient-1", "ancient-2"}
        self.watched: set[str] = set()
        self.over: dict[str, float] = {}  # when the model first knew the end
        self.served = Counters()
        self.horizon: float | None = None

    def opened(self) -> Disk:
        return Disk(str(Path(self.folder.name) / "ledger.sqlite3") if self.on_disk else ":memory:")

    @property
    def now(self) -> float:
        return self.time + self.skew

    @initialize(clock=st.sampled_from(Clock))
    def start(self, clock: Clock) -> None:
        self.clock = clock
        self.open()

    def open(self) -> None:
        self.ledger = Ledger(SqliteStore(self.disk), RETENTION)
        settings = PollSettings(model_limit=MODEL_LIMIT)
        opening = self.ledger.open("vendor", "kind", self.clock, settings, self.now, tells_usage=True)
        self.tracker: Tracker = made(opening)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.runner.run(self.ledger.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(seconds=st.sampled_from([1.0, 15.0, 15.0, 15.0, MINUTE, HOUR, 6 * HOUR, DAY, 4 * DAY, 30 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.time += seconds

    # The first sweep has nothing but our clock to tell history from news; back by a day or more, ends are misdated.
    @precondition(lambda self: self.model.swept)
    @rule(skew=st.sampled_from([0.0, 0.0, 0.0, 30.0, -30.0, 3 * HOUR, -3 * HOUR, -20 * HOUR, 10 * DAY, 400 * DAY]))
    def our_clock_steps(self, skew: float) -> None:
        self.skew = skew

    @rule(undated=st.booleans(), count=st.integers(1, 4))
    def tasks_are_submitted(self, undated: bool, count: int) -> None:
        for _ in range(count):
            name = f"task-{len(self.born)}"
            self.born[name] = self.time
            if undated:
                self.undated.add(name)

    @rule()
    def the_exporter_restarts(self) -> None:
        if self.on_disk:
            self.runner.run(self.ledger.close())
            self.disk = self.opened()
        self.open()

    @rule(data=st.data(), complete=st.sampled_from([True, True, True, False]), gap=st.booleans())
    def a_sweep(self, data: st.DataObject, complete: bool, gap: bool) -> None:
        self.record(self.drawn(data, complete, gap))

    @rule(data=st.data(), complete=st.booleans(), fails=st.sampled_from(["before", "after"]))
    def a_sweep_that_cannot_be_committed(self, data: st.DataObject, complete: bool, fails: str) -> None:
        sweep = self.drawn(data, complete, gap=False)
        self.disk.fails = fails
        with pytest.raises(StoreError):
            self.runner.run(self.ledger.record(self.tracker, sweep, self.now, keep=self.watched))
        self.disk.fails = ""
        if fails == "after":
            self.took(sweep)

    @precondition(lambda self: self.model.swept)
    @rule()
    def the_retention_passes(self) -> None:
        """With a sweep here and there, so that what is old is forgotten."""
        for _ in range(4):
            self.time += DAY
            self.tasks_are_submitted(undated=False, count=1)
            newest = list(self.born)[-1]
            self.record(Sweep(listed={newest: (self.row(newest, State.SUCCEEDED), self.now)}, complete=True))

    def drawn(self, data: st.DataObject, complete: bool, gap: bool) -> Sweep:
        """A sweep of rows in any order and any state; what it leaves out may be missed."""
        names = data.draw(st.lists(st.sampled_from(self.listable), unique=True, max_size=8), "listed")
        # One that nobody has seen before it was old is not counted: it may have been, and forgotten.
        known = self.model.in_flight.keys() | (self.watched & self.model.ended.keys())
        askable = sorted(known | {name for name in self.born if self.is_young(name)})
        asked = data.draw(st.lists(st.sampled_from(askable), unique=True, max_size=3), "looked up") if askable else []
        self.watched |= {name for name in asked if name not in self.model.in_flight}
        sweep = Sweep(complete=complete, gap=gap)
        for into, some in ((sweep.listed, names), (sweep.looked_up, asked)):
            for name in some:
                states = (State.SUCCEEDED, State.FAILED) if name in self.ancient else SHOWN
                unmapped = data.draw(st.sampled_from([frozenset(), frozenset(), {Field.STATE}, {Field.PROGRESS}]))
                row = self.row(name, data.draw(st.sampled_from(states)), frozenset(unmapped))
                if data.draw(st.booleans()):
                    row = replace(row, model="", usage=(("credits", 1.0),))
                into[name] = row, self.now
        flying = sorted(self.model.in_flight)
        sweep.missing = set(data.draw(st.lists(st.sampled_from(flying), max_size=4), "missing")) if flying else set()
        return sweep

    def is_young(self, name: str) -> bool:
        return self.time - self.born[name] <= 6 * HOUR

    @property
    def listable(self) -> list[str]:
        """Any task that a list can show; but what is new is young, and what nothing dates may be forgotten when old."""
        names = [
            name
            for name in self.born
            if name in self.model.in_flight
            or (self.is_young(name) if name not in self.model.ended else name not in self.undated)
            or (name in self.over and self.time - self.over[name] < DAY and self.skew == 0)
        ]
        return [*names, *sorted(self.ancient)]

    def row(self, name: str, state: State, unmapped: frozenset[Field] = frozenset()) -> Observation:
        facts: dict[str, Any] = {"unmapped": unmapped, "model": ("", "a", "b", "c", "d")[int(name[-1]) % 5]}
        if name in self.ancient:
            facts |= {"submitted": START - 40 * DAY, "ended": START - 39 * DAY}
        elif name not in self.undated:
            facts |= {
                "submitted": self.born[name],
                "ended": min(self.time, self.born[name] + 40) if state.is_end else None,
            }
        if state is State.FAILED:
            facts["reason"] = tuple(Reason)[int(name[-1]) % len(Reason)]
        if state is State.SUCCEEDED:
            facts["output_seconds"] = 2.0
        return Observation(name, state, **facts)

    def record(self, sweep: Sweep) -> None:
        note(f"at {self.time - START:g} + {self.skew:g}: {sweep}")
        self.runner.run(self.ledger.record(self.tracker, self.collected(sweep), self.now, keep=self.watched))
        self.took(sweep)

    def collected(self, sweep: Sweep) -> Sweep:
        """The sweep as a collector brings it, which keeps only what differs from what is known."""
        collected = replace(sweep, known=self.tracker.known, listed={}, looked_up={})
        for listed, shown in ((True, sweep.listed), (False, sweep.looked_up)):
            for row, at in shown.values():
                collected.show([row], at, listed=listed)
        return collected

    def took(self, sweep: Sweep) -> None:
        self.model.take(sweep, self.ancient)
        self.over |= {name: self.time for name in self.model.ended if name not in self.over}

    # What holds at every moment

    @invariant()
    def no_counter_ever_goes_back(self) -> None:
        if not hasattr(self, "tracker"):
            return
        for key, value in self.served.items():
            assert self.tracker.counts[key] >= value, key
        self.served = Counters(self.tracker.counts)
        if self.horizon is not None:
            assert self.tracker.horizon is not None
            assert self.tracker.horizon >= self.horizon
        self.horizon = self.tracker.horizon

    @invariant()
    def what_is_served_is_what_the_store_holds(self) -> None:
        if not hasattr(self, "tracker"):
            return
        held = self.disk.load("vendor", "kind")
        self.agrees_with_the_model(held.counts, {task.id: task.state for task in held.in_flight}, held.since)
        if self.tracker.in_doubt:  # until the next sweep has asked
            return
        tracker = self.tracker
        assert (held.since, held.horizon, held.polled) == (tracker.since, tracker.horizon, tracker.polled)
        assert held.counts == tracker.counts
        assert {task.id: task for task in held.in_flight} == tracker.in_flight
        assert tracker.last_seen.keys() == tracker.in_flight.keys()
        recent = [task.id for task in tracker.recent(self.now)]
        assert len(recent) == len(set(recent))
        assert set(recent) <= {task.id for task in self.disk.load("vendor", "kind", self.now - HOUR).ended}

    def agrees_with_the_model(self, counts: Counters, in_flight: dict[str, State], since: float | None) -> None:
        def counted(metric: str) -> dict[str, float]:
            return {key[1]: value for key, value in counts.items() if key[0] == metric}

        ends = Counter(self.model.ended.values())
        assert (since is not None) == self.model.swept
        assert in_flight == self.model.in_flight
        assert counted("finished_total") == ends
        assert counted("failures_total") == self.model.failures
        assert counts[("output_seconds_total",)] == 2.0 * ends[State.SUCCEEDED]
        assert counted("unmapped_values_total") == Counter(field for _, field in self.model.unmapped)
        self.counts_models_and_costs(counts)
        unmeasured = counted("unmeasured_durations_total")
        measured = sum(ends[state] for state in MEASURED_ENDS)
        for phase in (Phase.RUN, Phase.TOTAL):
            lengths = [counts.buckets(f"{phase}_duration_seconds", state, bounds=()) for state in MEASURED_ENDS]
            assert sum(buckets[-1][1] for buckets, _ in lengths) + unmeasured.get(phase, 0) == measured
            assert all(total >= 0 for _, total in lengths)
        buckets, total = counts.buckets("queue_duration_seconds", bounds=())
        known = len(self.model.in_flight) + len(self.model.ended)
        assert measured <= buckets[-1][1] + unmeasured.get(Phase.QUEUE, 0) <= known
        assert total >= 0

    def counts_models_and_costs(self, counts: Counters) -> None:
        own = {key[1] for key in counts if key[0] == "model"} - {"other"}
        assert len(own) <= MODEL_LIMIT
        expected: Counter[tuple[str, str]] = Counter()
        for (model, state), count in self.model.ended_as.items():
            expected[model if model in own else "other", state] += count
        assert {key[1:]: n for key, n in counts.items() if key[0] == "model_finished_total"} == expected
        spent = sum(n for key, n in counts.items() if key[0] == "usage_total")
        assert len(self.model.paid) <= spent <= len(self.model.paid | self.model.owing)


class StoryOnDisk(Story):
    """The same with a file, and restarts that close it and open it again."""

    on_disk = True


TOLD = settings(
    max_examples=STORIES or 150,
    stateful_step_count=30,
    deadline=None,
    derandomize=not STORIES,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestInMemory = pytest.mark.slow(Story.TestCase)
TestInMemory.settings = TOLD
TestOnDisk = pytest.mark.slow(StoryOnDisk.TestCase)
TestOnDisk.settings = settings(TOLD, max_examples=(STORIES or 150) // 3)
