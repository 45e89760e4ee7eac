"""What documents promise of the ledger, as numbers, and what of a task a sweep keeps, replaces and leaves alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from exporter.client.client import RateLimit
from exporter.ledger.counters import Counters
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sweep import Sweep
from exporter.polling.feed.missing import MissingTasks
from exporter.tasks import Clock, Field, Observation, Reason, State, Task
from tests.harness import DAY, START, Desk


def task_a(desk: Desk) -> Task:
    return desk.tracker.in_flight["a"]


# --- Numbers


def durability(path: Path) -> int:
    store = SqliteFile(str(path))
    try:
        (value,) = store._db.execute("PRAGMA synchronous").fetchone()
        return int(value)
    finally:
        store.close()


def test_each_commit_waits_for_the_disk(tmp_path: Path) -> None:
    assert durability(tmp_path / "ledger.sqlite3") == 2  # FULL


async def test_a_pause_that_a_vendor_asks_for_ends_after_an_hour() -> None:
    limit = RateLimit(1000, monotonic=lambda: 0.0)
    limit.pause(10 * DAY)
    assert limit.pause_left == 3600


@pytest.mark.parametrize(("after", "witnessed"), [(4.9, True), (5.1, False)])
async def test_at_a_short_interval_a_change_is_dated_if_the_look_before_was_within_five_seconds(
    after: float, witnessed: bool
) -> None:
    desk = Desk(Clock.OBSERVED, poll_interval="100ms")
    await desk.sweep(Observation("a", State.QUEUED))
    await desk.sweep(Observation("a", State.RUNNING), after=after)
    assert (task_a(desk).seen_started == desk.now) is witnessed


@pytest.mark.parametrize(("after", "witnessed"), [(45.0, True), (45.1, False)])
async def test_a_change_is_dated_if_the_look_before_was_within_three_intervals(after: float, witnessed: bool) -> None:
    desk = Desk(Clock.OBSERVED, poll_interval="15s")
    await desk.sweep(Observation("a", State.QUEUED))
    await desk.sweep(Observation("a", State.RUNNING), after=after)
    assert (task_a(desk).seen_started == desk.now) is witnessed


@pytest.mark.parametrize(("after", "stale"), [(45.0, False), (45.1, True)])
async def test_what_is_in_flight_is_fresh_for_three_intervals(after: float, stale: bool) -> None:
    desk = Desk(Clock.PROVIDER, poll_interval="15s")
    await desk.sweep(Observation("a", State.RUNNING))
    assert desk.tracker.is_stale(desk.now + after) is stale
    assert desk.tracker.freshness == 45.0


async def test_a_sweep_that_left_tasks_unseen_makes_nothing_fresh() -> None:
    desk = Desk(Clock.PROVIDER, poll_interval="15s")
    await desk.sweep(Observation("a", State.RUNNING))
    await desk.sweep(Observation("b", State.RUNNING), after=46.0, falls_short=True)
    assert desk.tracker.is_stale(desk.now)


@pytest.mark.parametrize(("after", "appeared"), [(45.0, True), (45.1, False)])
async def test_a_task_appeared_if_the_sweep_before_was_within_three_intervals(after: float, appeared: bool) -> None:
    desk = Desk(Clock.OBSERVED, poll_interval="15s")
    await desk.sweep()
    await desk.sweep(Observation("a", State.QUEUED), after=after)
    assert task_a(desk).appeared is appeared


async def test_what_is_shown_gets_a_higher_revision_with_each_sweep() -> None:
    desk = Desk(Clock.PROVIDER)
    before = desk.tracker.revision
    await desk.sweep(Observation("a", State.RUNNING))
    assert desk.tracker.revision > before


@pytest.mark.parametrize(("after", "stale"), [(1.0, False), (1.1, True)])
async def test_at_a_short_interval_what_is_in_flight_is_fresh_for_a_second(after: float, stale: bool) -> None:
    desk = Desk(Clock.PROVIDER, poll_interval="10ms")
    await desk.sweep(Observation("a", State.RUNNING))
    assert desk.tracker.is_stale(desk.now + after) is stale


async def test_a_task_is_lost_at_the_second_sweep_that_misses_it() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.RUNNING))
    for counted in (0, 1):
        await desk.sweep(missing={"a"})
        assert desk.tracker.counts["finished_total", State.LOST] == counted


@pytest.mark.parametrize(("interval", "patience"), [(0.1, 10.0), (15.0, 150.0)])
def test_where_a_look_up_fails_too_the_second_miss_counts_after_ten_intervals_or_seconds(
    interval: float, patience: float
) -> None:
    for after, missed in ((patience - 0.1, set()), (patience + 0.1, {"a"})):
        missing_tasks = MissingTasks(look_ups_list=False)
        in_flight = {"a": Task("a", State.RUNNING, first_seen=START, changed=START)}
        seen = Sweep(whole=True, complete=True)
        seen.show([Observation("a", State.RUNNING), Observation("b", State.RUNNING)], START, listed=True)
        missing_tasks.missed(seen, in_flight, interval, START)
        gone = Sweep(whole=True, complete=True, unanswered={"a"})
        gone.show([Observation("b", State.RUNNING)], START + 1, listed=True)
        assert missing_tasks.missed(gone, in_flight, interval, START + 1) == {"a"}
        once = {"a": Task("a", State.RUNNING, first_seen=START, changed=START, missing=1)}
        assert missing_tasks.missed(gone, once, interval, START + 1 + after) == missed


@pytest.mark.parametrize(
    ("look_ups_list", "count", "patience"), [(False, 1, 3.0), (False, 2, 150.0), (True, 1, 150.0), (True, 2, 150.0)]
)
def test_where_all_are_missing_the_second_miss_counts_after_ten_intervals_but_for_one_task_that_is_looked_up(
    look_ups_list: bool, count: int, patience: float
) -> None:
    in_flight = {f"{one}": Task(f"{one}", State.RUNNING, START, START) for one in range(count)}
    once = {f"{one}": Task(f"{one}", State.RUNNING, START, START, missing=1) for one in range(count)}
    gone = Sweep(complete=True, not_found=set(in_flight))
    for after, missed in ((patience - 0.1, set()), (patience, set(in_flight))):
        missing_tasks = MissingTasks(look_ups_list)
        assert missing_tasks.missed(gone, in_flight, 15.0, START) == set(in_flight)
        assert missing_tasks.missed(gone, once, 15.0, START + after) == missed


# --- What a sweep keeps of a task, replaces, and leaves alone


async def test_a_task_changes_when_its_state_or_its_progress_does() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.RUNNING, progress=0.1))
    begun = desk.now
    await desk.sweep(Observation("a", State.RUNNING, progress=0.1, output_seconds=8))
    assert task_a(desk).changed == begun
    await desk.sweep(Observation("a", State.RUNNING, progress=0.2))
    assert task_a(desk).changed == desk.now
    await desk.sweep(Observation("a", State.BLOCKED, progress=0.2))
    assert task_a(desk).changed == desk.now


async def test_a_new_task_is_seen_first_and_changed_when_it_is_shown() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.QUEUED))
    assert (
        task_a(desk).first_seen,
        task_a(desk).changed,
        task_a(desk).state,
    ) == (desk.now, desk.now, State.QUEUED)


async def test_a_time_that_is_told_once_stays() -> None:
    desk = Desk(Clock.PROVIDER)
    told: dict[str, Any] = {"submitted": START - 30, "started": START - 20, "dated": START - 10}
    await desk.sweep(Observation("a", State.RUNNING, progress=0.1, **told))
    await desk.sweep(Observation("a", State.RUNNING, progress=0.2))
    task = task_a(desk)
    assert {"submitted": task.submitted, "started": task.started, "dated": task.dated} == told


async def test_an_end_is_taken_from_a_task_that_has_ended_alone() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.RUNNING, ended=START - 5))
    before = task_a(desk)
    assert before.ended is None
    await desk.sweep(Observation("a", State.RUNNING, ended=START - 5))
    assert task_a(desk) is before  # and nothing is written
    await desk.sweep(Observation("a", State.SUCCEEDED, submitted=START - 60, started=START - 50, ended=START - 5))
    (task,) = desk.tracker.recent(desk.now)
    assert task.ended == START - 5


async def test_a_task_that_is_seen_again_starts_from_no_miss() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.RUNNING))
    for _ in range(3):
        await desk.sweep(missing={"a"})
        assert task_a(desk).missing == 1
        await desk.sweep(Observation("a", State.RUNNING))
        assert task_a(desk).missing == 0


async def test_a_new_date_alone_is_news() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.RUNNING, dated=START - 9))
    await desk.sweep(Observation("a", State.RUNNING, dated=START - 3))
    assert task_a(desk).dated == START - 3


async def test_what_is_unmapped_is_told_once_and_then_no_news() -> None:
    desk = Desk(Clock.PROVIDER)
    odd = Observation("a", State.RUNNING, unmapped=frozenset({Field.PROGRESS}))
    await desk.sweep(odd)
    before = task_a(desk)
    await desk.sweep(odd)
    assert task_a(desk) is before
    assert desk.tracker.counts["unmapped_values_total", Field.PROGRESS] == 1


async def test_a_task_of_which_nothing_is_new_stays_the_same_object() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.RUNNING, submitted=START - 9))
    before = task_a(desk)
    sweep = Sweep(complete=True)  # one that compares nothing beforehand
    sweep.show([Observation("a", State.RUNNING, submitted=START - 9)], desk.now + 15, listed=True)
    await desk.ledger.record(desk.tracker, sweep, desk.now + 15)
    assert task_a(desk) is before


async def test_rows_after_one_that_has_ended_are_taken_too() -> None:
    sweep = Sweep()
    rows = [Observation("a", State.SUCCEEDED), Observation("a", State.RUNNING), Observation("b", State.RUNNING)]
    sweep.show(rows, START, listed=True)
    assert {task_id: one.state for task_id, (one, _) in sweep.listed.items()} == {
        "a": State.SUCCEEDED,
        "b": State.RUNNING,
    }


async def test_an_exemplar_has_the_time_at_which_it_was_counted() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.SUCCEEDED, submitted=START - 60, started=START - 50, ended=START - 5))
    assert {exemplar.at for exemplar in desk.tracker.exemplars.values()} == {desk.now}
    assert {key[0] for key in desk.tracker.exemplars} == {
        "queue_duration_seconds",
        "run_duration_seconds",
        "total_duration_seconds",
    }


@pytest.mark.parametrize(("before", "appeared"), [(106.0, False), (105.0, True), (0.0, True)])
async def test_what_was_submitted_long_before_the_last_sweep_did_not_just_appear(before: float, appeared: bool) -> None:
    """Within three intervals, and the minute that clocks may be apart."""
    desk = Desk(Clock.PROVIDER, poll_interval="15s")
    await desk.sweep(Observation("old", State.RUNNING))
    polled = desk.now
    await desk.sweep(Observation("a", State.RUNNING, submitted=polled - before))
    assert task_a(desk).appeared is appeared


@pytest.mark.parametrize(("ago", "count"), [(3600.0, 1), (3601.0, 0)])
async def test_the_recent_window_ends_where_it_says(ago: float, count: int) -> None:
    desk = Desk(Clock.PROVIDER, recent_window="1h")
    await desk.sweep(Observation("a", State.SUCCEEDED, submitted=START - 60, ended=START - 5))
    assert len(desk.tracker.recent(START - 5 + ago)) == count


@pytest.mark.parametrize(("ahead", "count"), [(60.0, 1), (61.0, 0)])
async def test_an_end_is_recent_though_the_vendors_clock_is_a_minute_ahead(ahead: float, count: int) -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.SUCCEEDED, submitted=START - 60, ended=START + 15 + ahead))
    recent = desk.tracker.recent(desk.now)
    assert len([task for task in recent if task.ended is not None]) == count


async def test_a_reason_belongs_to_a_failure_and_is_unknown_without_one() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.FAILED, None), Observation("b", State.FAILED, Reason.MODERATION))
    failures = {key[1]: value for key, value in desk.tracker.counts.items() if key[0] == "failures_total"}
    assert failures == {Reason.UNKNOWN: 1, Reason.MODERATION: 1}


def test_buckets_kept_under_other_bounds_fall_into_the_next_larger_one() -> None:
    counts = Counters()
    for value in (0.5, 3.0, 30.0, 300.0):
        counts.observe("run", value=value, bounds=(1, 5, 50))
    buckets, total = counts.buckets("run", bounds=(4, 50))
    assert buckets == [("4.0", 1), ("50.0", 3), ("+Inf", 4)]
    assert total == 333.5


# --- The store


async def test_a_file_that_is_no_ledger_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE things (id INTEGER)")
    db.close()
    with pytest.raises(Exception, match=r"other\.db"):
        SqliteFile(str(path))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("things",)]
    db.close()
