"""What every store has to do: what goes in comes out, all or nothing, and it survives a restart."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.config.models import PollSettings
from exporter.ledger.counters import Counters
from exporter.ledger.counting.late import USAGE
from exporter.ledger.errors import StoreError
from exporter.ledger.ledger import Ledger
from exporter.ledger.store import Changes, SharedStore, Store
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import Tracker
from exporter.tasks import ENDS, Clock, Field, Observation, Reason, State, Step, Task
from tests.harness.keeping import Place

START = 1_700_000_000.0
STEP = 300.0
"""Seconds of a step of the last day."""

seconds = st.floats(-1e11, 1e11)
maybe_seconds = st.none() | seconds
ids = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": ids,
    "state": st.sampled_from(State),
    "first_seen": seconds,
    "changed": seconds,
    "appeared": st.booleans(),
    "reason": st.none() | st.sampled_from(Reason),
    "progress": st.none() | st.floats(0, 1),
    "submitted": maybe_seconds,
    "started": maybe_seconds,
    "ended": maybe_seconds,
    "dated": maybe_seconds,
    "seen_started": maybe_seconds,
    "seen_ended": maybe_seconds,
    "output_seconds": st.none() | st.floats(0, 1e9),
    "said": st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),  # fit to be shown
    "missing": st.integers(0, 1000),
    "model": st.from_regex(r"[A-Za-z0-9._:/-]{0,64}", fullmatch=True),
    "told": st.frozensets(st.sampled_from(["queue", "rejected_ended", *Field])),
}
tasks = st.builds(Task, **FIELDS)

many_places = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""Each example clears the place that it is given."""


def changes(*of: Task, counts: Counters | None = None, forgotten: tuple[str, ...] = (), kind: str = "kind") -> Changes:
    return Changes("vendor", kind, 1.0, 2.0, 3.0, of, counts or Counters(), forgotten)


def stepped(*steps: Step) -> Changes:
    return dataclasses.replace(changes(), steps=steps)


def ended(task_id: str, at: float = START, **more: Any) -> Task:
    return Task(task_id, State.SUCCEEDED, first_seen=START, changed=START, ended=at, **more)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Store]:
    store = await place.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(place: Place) -> AsyncIterator[Store]:
    async with opened(place) as store:
        yield store


# Round trips


def test_every_field_of_a_task_takes_part_in_the_round_trip() -> None:
    assert [field.name for field in dataclasses.fields(Task)] == list(FIELDS)


@given(given_tasks=st.lists(tasks, max_size=5, unique_by=lambda task: task.id))
@settings(many_places, max_examples=20)
def test_every_field_of_every_task_comes_back(place: Place, given_tasks: list[Task]) -> None:
    async def there_and_back() -> None:
        async with opened(place) as store:
            await store.commit(changes(*given_tasks))
            back = {task.id: task for task in (await store.load("vendor", "kind")).in_flight}
            back |= {task.id: task for task in (await store.load("vendor", "kind", -1e12)).ended}
            assert back == {task.id: task for task in given_tasks}
            ends = {task.id for task in given_tasks if task.state in ENDS}
            assert await store.ended_among("vendor", "kind", [task.id for task in given_tasks]) == ends

    place.clear()
    asyncio.run(there_and_back())


async def test_a_feed_that_was_never_seen_is_empty(store: Store) -> None:
    record = await store.load("vendor", "kind")
    assert (record.since, record.horizon, record.polled, record.counts, record.in_flight) == (None, None, None, {}, [])
    assert (await store.load("vendor", "kind", 0)).ended == []
    assert await store.watched("vendor", "kind") == []
    await store.unwatch("vendor", "kind", ["a"])


async def test_feeds_are_apart(store: Store) -> None:
    await store.commit(changes(ended("a"), counts=Counters({("finished_total", "succeeded"): 1.0})))
    await store.commit(changes(ended("b"), kind="other"))
    assert await store.ended_among("vendor", "kind", ["a", "b"]) == {"a"}
    assert (await store.load("vendor", "other")).counts == {}
    assert (await store.load("other", "kind")).since is None
    record = await store.load("vendor", "kind")
    assert (record.since, record.horizon, record.polled) == (1.0, 2.0, 3.0)
    assert "vendor" in await store.providers()


async def test_a_step_is_one_row_of_what_began_ended_and_failed_in_it(store: Store) -> None:
    times: dict[str, Any] = {"first_seen": 5 * STEP, "changed": 9 * STEP}
    tasks = [
        *(Task(name, State.SUCCEEDED, **times, submitted=6 * STEP, ended=8 * STEP + 1) for name in "ab"),
        Task("c", State.FAILED, **times, seen_ended=8 * STEP + 299),
        Task("d", State.FAILED, **times, ended=3 * STEP),
        Task("undated", State.SUCCEEDED, **times),
        Task("e", State.RUNNING, **times),
        Task("quick", State.SUCCEEDED, 8 * STEP, 8 * STEP, ended=8 * STEP + 5),
        Task("backwards", State.SUCCEEDED, 9 * STEP, 9 * STEP, ended=8 * STEP),
    ]
    await store.commit(changes(*tasks))
    assert sorted((await store.load("vendor", "kind", steps_since=4 * STEP)).by_step) == [
        (5, 1, 0, 0),
        (6, 2, 0, 0),
        (8, 2, 5, 1),
    ]
    assert (await store.load("vendor", "other", steps_since=0)).by_step == []


async def test_ids_of_tasks_in_flight_are_told_from_others_where_replicas_share_a_store(store: Store) -> None:
    if not isinstance(store, SharedStore):
        return  # a file, which one process has for itself
    await store.commit(changes(Task("a", State.RUNNING, 1.0, 1.0), Task("b", State.QUEUED, 1.0, 1.0), ended("c")))
    await store.commit(changes(Task("d", State.RUNNING, 1.0, 1.0), kind="other"))
    assert await store.in_flight_among("vendor", "kind", ["a", "c", "d", "unknown"]) == {"a"}


async def test_ends_of_several_feeds_are_counted_at_once_where_replicas_share_a_store(store: Store) -> None:
    if not isinstance(store, SharedStore):
        return  # a file, which one process has for itself
    await store.commit(changes(ended("a", 8 * STEP, submitted=7 * STEP)))
    await store.commit(changes(ended("b", 9 * STEP, submitted=7 * STEP), kind="other"))
    found = await store.ended_by_step_in_all(["vendor", "nobody"], 0)
    assert {feed: sorted(rows) for feed, rows in found.items()} == {
        ("vendor", "kind"): [(7, 1, 0, 0), (8, 0, 1, 0)],
        ("vendor", "other"): [(7, 1, 0, 0), (9, 0, 1, 0)],
    }


async def test_one_question_finds_the_tasks_of_an_id_in_all_feeds(store: Store) -> None:
    await store.commit(changes(ended("a"), ended("b")))
    await store.commit(changes(Task("a", State.RUNNING, 0, 0), kind="other"))
    found = await store.find_all("a")
    assert {feed: task.state for feed, task in found.items()} == {
        ("vendor", "kind"): State.SUCCEEDED,
        ("vendor", "other"): State.RUNNING,
    }
    assert await store.find_all("c") == {}


async def test_totals_committed_twice_count_once(store: Store) -> None:
    for _ in range(2):
        await store.commit(changes(ended("a"), counts=Counters({("finished_total", "succeeded"): 7.0})))
    assert (await store.load("vendor", "kind")).counts == {("finished_total", "succeeded"): 7.0}


async def test_more_than_one_statement_takes_is_written_and_read(store: Store) -> None:
    every = [f"task-{number:05}" for number in range(3210)]
    steps = [Step(name, START, State.SUCCEEDED) for name in every]
    counts = Counters({("unmapped_total", name): 1.0 for name in every})
    await store.commit(dataclasses.replace(changes(*map(ended, every), counts=counts), steps=steps))
    assert await store.ended_among("vendor", "kind", ["unknown", *every]) == set(every)
    assert [task.id for task in (await store.load("vendor", "kind", START)).ended] == every
    assert (await store.load("vendor", "kind")).counts == counts
    assert await store.find("vendor", "kind", every[-1]) == (ended(every[-1]), steps[-1:])
    await store.commit(changes(forgotten=tuple(every)))
    assert (await store.load("vendor", "kind", 0)).ended == []


async def test_what_is_forgotten_is_gone(store: Store) -> None:
    await store.commit(changes(ended("a"), ended("b")))
    await store.commit(changes(forgotten=("a", "never-known")))
    assert await store.ended_among("vendor", "kind", ["a", "b"]) == {"b"}


async def test_the_oldest_ends_are_forgotten_first(store: Store) -> None:
    ends = [ended(str(age), START - age) for age in (1, 5, 3)]
    await store.commit(changes(*ends, Task("in flight", State.RUNNING, 0, 0)))
    assert await store.ended_before("vendor", "kind", START + 1, limit=2) == ["5", "3"]
    assert await store.ended_before("vendor", "kind", START, limit=2) == []  # they were seen to end only then
    assert [task.id for task in (await store.load("vendor", "kind", START - 3)).ended] == ["3", "1"]


async def test_of_many_ends_without_a_cost_the_latest_are_told_the_oldest_first(store: Store) -> None:
    paid = ended("paid", told=frozenset({USAGE, "queue"}))
    cancelled = Task("cancelled", State.CANCELLED, START, START, ended=START)
    unpaid = [ended(str(age), START - age) for age in (1, 2, 3, 9)]
    await store.commit(changes(paid, cancelled, *unpaid))
    assert [one.id for one in await store.unpaid_since("vendor", "kind", START - 5, 99)] == ["3", "2", "1"]
    assert [one.id for one in await store.unpaid_since("vendor", "kind", START - 5, 2)] == ["2", "1"]


# All or nothing


async def test_a_commit_that_fails_changes_nothing(place: Place) -> None:
    async with opened(place) as store:
        await store.commit(changes(ended("a"), counts=Counters({("finished_total", "succeeded"): 1.0})))
        broken = Task("c", State.RUNNING, first_seen=None, changed=START)  # type: ignore[arg-type]
        with pytest.raises(StoreError):
            await store.commit(changes(ended("b"), broken, counts=Counters({("finished_total", "succeeded"): 2.0})))
        assert await store.ended_among("vendor", "kind", ["a", "b"]) == {"a"}
        assert (await store.load("vendor", "kind")).counts == {("finished_total", "succeeded"): 1.0}
        await store.commit(changes(ended("b")))
    async with opened(place) as store:
        assert await store.ended_among("vendor", "kind", ["b"]) == {"b"}


# A restart shows the same tracker

rows = st.builds(
    Observation,
    id=st.sampled_from(["a", "b", "c", "d"]),
    state=st.sampled_from(State),
    reason=st.sampled_from(Reason),
    progress=st.none() | st.floats(0, 1),
    submitted=st.none() | st.floats(START - 7200, START + 600),
    started=st.none() | st.floats(START - 7200, START + 600),
    ended=st.none() | st.floats(START - 7200, START + 600),
    dated=st.none() | st.floats(START - 7200, START + 600),
    output_seconds=st.none() | st.sampled_from([0.0, 12.5]),
    unmapped=st.frozensets(st.sampled_from(Field), max_size=2),
)
sweeps = st.tuples(
    st.lists(rows, max_size=4),  # listed
    st.lists(rows, max_size=2),  # looked up
    st.sets(st.sampled_from(["a", "b", "c"])),  # missing
    st.booleans(),  # complete
    st.sampled_from([1.0, 15.0, 600.0, 86400.0]),  # seconds since the last one
)
Told = tuple[list[Observation], list[Observation], set[str], bool, float]


async def replayed(told: list[Told], place: Place) -> tuple[Tracker, Tracker]:
    """The tracker in memory after these sweeps, and the one that a restart makes."""
    made_of = ("vendor", "kind", Clock.OBSERVED, PollSettings())
    now = START
    async with opened(place) as store:
        ledger = Ledger(store, 30 * 86400)
        tracker = await ledger.open(*made_of, now)
        for listed, looked_up, missing, complete, after in told:
            now += after
            sweep = Sweep(missing=missing, complete=complete)
            sweep.listed = {row.id: (row, now) for row in listed}
            sweep.looked_up = {row.id: (row, now) for row in looked_up}
            await ledger.record(tracker, sweep, now)
    async with opened(place) as store:
        again = await Ledger(store, 30 * 86400).open(*made_of, now)
    assert sorted(again.recent(now), key=lambda task: task.id) == sorted(tracker.recent(now), key=lambda task: task.id)
    return tracker, again


@given(told=st.lists(sweeps, max_size=8))
@settings(many_places, max_examples=20)
def test_a_restart_shows_the_same_book(place: Place, told: list[Told]) -> None:
    place.clear()
    tracker, again = asyncio.run(replayed(told, place))
    assert again.counts == tracker.counts
    assert again.in_flight == tracker.in_flight
    assert (again.since, again.horizon, again.polled) == (tracker.since, tracker.horizon, tracker.polled)


@given(told=st.lists(sweeps, max_size=12))
@settings(many_places, max_examples=20)
def test_each_task_ends_at_most_once_whatever_the_sweeps_bring(place: Place, told: list[Told]) -> None:
    place.clear()
    tracker, _ = asyncio.run(replayed(told, place))
    finished = {key[1]: count for key, count in tracker.counts.items() if key[0] == "finished_total"}
    touched = {row.id for listed, looked_up, *_ in told for row in [*listed, *looked_up]}
    assert sum(finished.values()) <= len(touched)
    assert sum(finished.values()) + len(tracker.in_flight) <= len(touched)
    assert tracker.counts["failures_total", Reason.TIMEOUT] <= finished.get("failed", 0)
    reasons = sum(count for key, count in tracker.counts.items() if key[0] == "failures_total")
    assert reasons == finished.get("failed", 0)


# The story of a task


async def test_what_was_seen_of_a_task_is_told_in_order_and_each_once(store: Store) -> None:
    await store.commit(changes(Task("a", State.RUNNING, 1.0, 3.0, progress=0.5)))
    first, second = Step("a", 1.0, State.QUEUED), Step("a", 3.0, State.RUNNING, 0.5)
    await store.commit(stepped(second, Step("b", 2.0, State.QUEUED)))
    await store.commit(stepped(first, second))
    story = (Task("a", State.RUNNING, 1.0, 3.0, progress=0.5), [first, second])
    assert await store.find("vendor", "kind", "a") == story
    assert await store.find("vendor", "other", "a") is None
    assert await store.find("vendor", "kind", "b") is None, "steps alone are no task"


async def test_of_very_many_steps_of_a_task_the_latest_thousand_are_read(store: Store) -> None:
    await store.commit(changes(Task("a", State.RUNNING, 1.0, 1.0)))
    await store.commit(stepped(*(Step("a", float(at), (State.RUNNING, State.UNKNOWN)[at % 2]) for at in range(1010))))
    found = await store.find("vendor", "kind", "a")
    assert found is not None
    assert [step.at for step in found[1]] == list(range(10, 1010))


async def test_steps_are_dropped_a_day_later_as_new_ones_come(store: Store) -> None:
    await store.commit(changes(Task("a", State.RUNNING, 1.0, 1.0)))
    await store.commit(stepped(*(Step("a", float(at), State.RUNNING) for at in range(10))))
    late = 86400.0 + 4.5
    await store.commit(stepped(*(Step("b", late + number / 100, State.QUEUED) for number in range(10))))
    found = await store.find("vendor", "kind", "a")
    assert found is not None
    assert [step.at for step in found[1]] == [5.0, 6.0, 7.0, 8.0, 9.0]


# Ids that were asked for, tokens, budgets


async def test_ids_that_were_asked_for_survive_a_restart_until_they_are_dropped(place: Place) -> None:
    async with opened(place) as store:
        await store.watch("vendor", "kind", ["b", "a"], 1.0)
        await store.watch("vendor", "kind", ["c", "a"], 2.0)
        await store.watch("vendor", "other", ["x"], 2.0)
    async with opened(place) as store:
        assert await store.watched("vendor", "kind") == ["a", "b", "c"]
        await store.unwatch("vendor", "kind", ["a", "b", "unknown"])
        assert (await store.watched("vendor", "kind"), await store.watched("vendor", "other")) == (["c"], ["x"])


async def test_tokens_survive_a_restart_by_owner_and_the_last_one_counts(place: Place) -> None:
    async with opened(place) as store:
        assert await store.load_token("chanjing:1") is None
        await store.save_token("chanjing:1", "first", 10.0)
        await store.save_token("chanjing:1", "second", 20.5)
        await store.save_token("chanjing:2", "third", 3.0)
    async with opened(place) as store:
        assert await store.load_token("chanjing:1") == ("second", 20.5)
        assert await store.load_token("chanjing:2") == ("third", 3.0)


async def test_ledgers_keep_watched_ids_by_feed_and_budgets_by_provider(place: Place) -> None:
    async with opened(place) as store:
        ledger = Ledger(store, 7 * 86400)
        feeds = [
            await ledger.open(provider, kind, Clock.PROVIDER, PollSettings(), START)
            for provider, kind in (("one", "kind"), ("one", "other"), ("two", "kind"))
        ]
        for feed in feeds:
            await store.watch(*feed.feed, ["a", "b"], START)
        await store.unwatch(*feeds[0].feed, ["a"])
        await ledger.store.save_spent("one", "{}")
        await ledger.store.save_spent("one", '{"1":5}')
        await ledger.store.save_spent("two", '{"1":6}')
        assert [await store.watched(*feed.feed) for feed in feeds] == [["b"], ["a", "b"], ["a", "b"]]
    async with opened(place) as store:
        ledger = Ledger(store, 7 * 86400)
        spent = [await ledger.store.load_spent(provider) for provider in ("one", "two", "three")]
        assert spent == ['{"1":5}', '{"1":6}', ""]


CALLS: dict[str, Callable[[Store], Awaitable[Any]]] = {
    "commit": lambda store: store.commit(changes(ended("a"))),
    "providers": lambda store: store.providers(),
    "load": lambda store: store.load("vendor", "kind"),
    "unpaid_since": lambda store: store.unpaid_since("vendor", "kind", START, 1),
    "ended_among": lambda store: store.ended_among("vendor", "kind", ["a"]),
    "ended_before": lambda store: store.ended_before("vendor", "kind", START, 1),
    "find": lambda store: store.find("vendor", "kind", "a"),
    "find_all": lambda store: store.find_all("a"),
    "watched": lambda store: store.watched("vendor", "kind"),
    "watch": lambda store: store.watch("vendor", "kind", ["a"], START),
    "unwatch": lambda store: store.unwatch("vendor", "kind", ["a"]),
    "load_token": lambda store: store.load_token("a"),
    "save_token": lambda store: store.save_token("a", "token", START),
    "load_spent": lambda store: store.load_spent("vendor"),
    "save_spent": lambda store: store.save_spent("vendor", "{}"),
}


async def test_a_store_that_is_closed_says_so_and_may_be_closed_again(place: Place) -> None:
    store = await place.open()
    assert (store.losses, await store.providers()) == (0, [])
    await store.close()
    await store.close()
    assert CALLS.keys() == {name for name in vars(Store) if not name.startswith("_")} - {"path", "losses", "close"}
    for call in CALLS.values():
        with pytest.raises(StoreError) as caught:
            await call(store)
        assert str(caught.value) == f"{store.path}: closed, the exporter is stopping"


async def test_calls_at_the_same_time_are_all_answered(store: Store) -> None:
    await asyncio.gather(*(store.commit(changes(ended(str(number)))) for number in range(20)))
    found = await asyncio.gather(*(store.find("vendor", "kind", str(number)) for number in range(20)))
    assert [one[0].id for one in found if one] == [str(number) for number in range(20)]
