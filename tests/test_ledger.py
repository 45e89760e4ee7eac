"""The ledger of one feed, told what sweeps bring at times of our choosing."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from exporter.config.models import PollSettings
from exporter.ledger.errors import StoreError
from exporter.ledger.ledger import FORGET_AT_ONCE, MANY, Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.store import Changes, FeedRecord
from exporter.ledger.sweep import Sweep
from exporter.tasks import Clock, Field, Observation, Phase, Reason, State, Task
from tests.harness import DAY, START, STEP, Desk, made

HOUR = 3600.0
YEAR_1 = -62_135_596_800.0

Q, R, S, F = State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED


def seen(task_id: str, state: State, **facts: Any) -> Observation:
    if state is F:
        facts.setdefault("reason", Reason.TIMEOUT)
    return Observation(task_id, state, **facts)


async def sweep_of_something_new(desk: Desk, *rows: Observation, **facts: Any) -> None:
    """A sweep that shows a task of this very moment too: the horizon follows what the vendor dates."""
    row = seen(f"new-{desk.now}", R, submitted=desk.now + facts.get("after", STEP))
    await desk.sweep(row, *rows, **facts)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# --- Transitions, and ends counted once


async def test_a_task_passes_from_state_to_state_and_is_counted_at_its_end(desk: Desk) -> None:
    await desk.sweep()
    for state in (Q, State.UNKNOWN, R, State.BLOCKED, R):
        await desk.sweep(seen("a", state))
        assert [task.state for task in desk.tracker.in_flight.values()] == [state]
        assert desk.finished == {}
    await desk.sweep(seen("a", S))
    assert (desk.tracker.in_flight, desk.tracker.last_seen) == ({}, {})
    assert desk.finished == {"succeeded": 1}


@pytest.mark.parametrize("end", [S, F, State.CANCELLED])
@pytest.mark.parametrize("before", [None, Q, R, State.BLOCKED, State.UNKNOWN])
async def test_an_end_counts_once_whatever_came_before(desk: Desk, before: State | None, end: State) -> None:
    await desk.sweep()
    if before is not None:
        await desk.sweep(seen("a", before))
    for _ in range(3):
        await desk.sweep(seen("a", end))
    assert desk.finished == {end: 1}
    assert desk.tracker.in_flight == {}


async def test_a_task_that_flaps_after_its_end_stays_ended(desk: Desk) -> None:
    await desk.sweep(seen("a", S))
    for state in (R, S, F, Q, F, State.CANCELLED):
        await desk.sweep(seen("a", state))
    assert desk.finished == {"succeeded": 1}
    assert desk.counted("failures_total") == {}
    assert desk.tracker.in_flight == {}


async def test_a_task_that_flaps_before_its_end_counts_once(desk: Desk) -> None:
    await desk.sweep()
    for state in (Q, R, Q, R, State.UNKNOWN, R, S):
        await desk.sweep(seen("a", state))
    assert desk.finished == {"succeeded": 1}
    assert desk.measured(Phase.QUEUE)[0] == 1


async def test_an_end_seen_by_list_and_look_up_in_one_sweep_counts_once(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    await desk.sweep(seen("a", S), looked_up=[seen("a", S)])
    assert desk.finished == {"succeeded": 1}


async def test_a_look_up_takes_no_listed_end_back(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    await desk.sweep(seen("a", S), looked_up=[seen("a", R)])
    assert desk.finished == {"succeeded": 1}


async def test_an_end_beats_a_miss_in_the_same_sweep(desk: Desk) -> None:
    await desk.sweep(seen("a", R), seen("b", R))
    await desk.sweep(seen("b", R), looked_up=[seen("a", S)], missing={"a", "b"})
    await desk.sweep(missing={"a", "b"})
    await desk.sweep(seen("a", S), seen("b", R))
    assert desk.finished == {"succeeded": 1}
    assert set(desk.tracker.in_flight) == {"b"}


async def test_failures_count_by_reason(desk: Desk) -> None:
    await desk.sweep(
        seen("a", F, reason=Reason.MODERATION),
        seen("b", F, reason=Reason.MODERATION),
        seen("c", F, reason=Reason.TIMEOUT),
        Observation("d", F),
        seen("e", S),
    )
    assert desk.counted("failures_total") == {"moderation": 2, "timeout": 1, "unknown": 1}
    assert desk.finished == {"failed": 4, "succeeded": 1}


async def test_output_adds_up_where_the_vendor_tells_it(desk: Desk) -> None:
    await desk.sweep(seen("a", S, output_seconds=12.5), seen("b", S), seen("c", S, output_seconds=5.0))
    await desk.sweep(seen("a", S, output_seconds=12.5))
    assert desk.counted("output_seconds_total") == {"": 17.5}


async def test_the_last_end_of_each_state_is_dated_and_never_goes_back(desk: Desk) -> None:
    metric = "last_finished_timestamp_seconds"
    await desk.sweep(seen("a", S, ended=START - 10), seen("b", S, ended=START - 50), seen("c", F, ended=START - 90))
    assert desk.counted(metric) == {"succeeded": START - 10, "failed": START - 90}
    await desk.sweep(seen("late", S, ended=START - 30))
    assert desk.counted(metric)["succeeded"] == START - 10


async def test_nothing_of_a_sweep_is_served_before_it_is_committed(desk: Desk) -> None:
    sweep = Sweep(listed={"a": (seen("a", S), START)}, complete=True)
    desk.tracker.settle(sweep, START)
    assert (desk.finished, desk.tracker.swept, desk.tracker.recent(START)) == ({}, False, [])


# --- The first sweep and the history


async def test_a_feed_has_one_tracker(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    again = await desk.ledger.open("vendor", "kind", Clock.OBSERVED, PollSettings(), desk.now)
    assert again is desk.tracker


async def test_a_feed_has_been_swept_only_after_a_complete_sweep(desk: Desk) -> None:
    found = []
    for complete in (False, True, False):
        await desk.sweep(seen("a", S), complete=complete)
        found.append((desk.tracker.swept, desk.tracker.is_stale(desk.now)))
    assert found == [(False, True), (True, False), (True, False)]


async def test_the_history_seeds_counters_and_the_recent_window(desk: Desk) -> None:
    await desk.sweep(
        seen("recent", S, submitted=START - 700, ended=START - 600),
        seen("older", F, submitted=START - 6 * HOUR, ended=START - 5 * HOUR),
        seen("ancient", S, submitted=START - 25 * HOUR, ended=START - 25 * HOUR),
        seen("long", S, submitted=START - 25 * HOUR, ended=START - 23 * HOUR),
        seen("a day ago", State.CANCELLED, ended=START + STEP - 24 * HOUR),
        seen("an hour ago", State.CANCELLED, ended=START + STEP - HOUR),
    )
    assert desk.finished == {"succeeded": 2, "failed": 1, "cancelled": 2}
    assert [task.id for task in desk.tracker.recent(desk.now)] == ["an hour ago", "recent"]


async def test_what_ended_before_the_history_never_counts(desk: Desk) -> None:
    ancient = [
        seen("ended", S, submitted=START - 26 * HOUR, ended=START - 25 * HOUR),
        seen("dated", S, dated=START - 25 * HOUR),
        seen("submitted", S, submitted=START - 25 * HOUR),
    ]
    for _ in range(3):
        await desk.sweep(*ancient)
    desk = desk.restarted(history="240h")
    await desk.sweep(*ancient)
    assert desk.finished == {}


async def test_a_task_in_flight_counts_however_old_it_is(desk: Desk) -> None:
    await desk.sweep(seen("a", R, submitted=START - 30 * DAY))
    await desk.sweep(seen("a", S, submitted=START - 30 * DAY, ended=START))
    assert desk.finished == {"succeeded": 1}


async def test_a_task_that_was_looked_up_counts_however_old_it_is(desk: Desk) -> None:
    for count, task_id in enumerate(("watched", "watched later"), start=1):
        await desk.sweep(looked_up=[seen(task_id, S, submitted=START - 300 * DAY, ended=START - 299 * DAY)])
        assert desk.finished == {"succeeded": count}


async def test_a_task_that_was_looked_up_counts_as_long_as_nothing_can_have_been_forgotten() -> None:
    desk = Desk(retention=2 * DAY)
    await desk.sweep()
    await sweep_of_something_new(desk, after=2.5 * DAY)
    await desk.sweep(looked_up=[seen("watched", S, submitted=START - 300 * DAY, ended=START - 299 * DAY)])
    assert desk.finished == {"succeeded": 1}
    await sweep_of_something_new(desk, after=2.5 * DAY)
    for days in (1.9, 2.1, 2.8):
        await desk.sweep(looked_up=[seen(f"may be forgotten {days}", S, submitted=START + days * DAY)])
    assert desk.finished == {"succeeded": 1}
    await desk.sweep(looked_up=[seen("is remembered", S, submitted=START + 2.9 * DAY)])
    assert desk.finished == {"succeeded": 2}


@pytest.mark.parametrize("ended", [YEAR_1, START + 10 * HOUR, START - 300 * DAY])
async def test_an_impossible_end_neither_hides_a_task_nor_revives_it(ended: float) -> None:
    desk = Desk(retention=2 * DAY)
    rows = [seen("a", S, submitted=START - HOUR, ended=ended)]
    for _ in range(8):
        await desk.sweep(*rows, after=DAY / 2)
    assert desk.finished == {"succeeded": 1}


async def test_new_tasks_of_an_incomplete_sweep_wait_and_known_ones_do_not(desk: Desk) -> None:
    await desk.sweep(seen("known", R))
    await desk.sweep(seen("new", S), seen("known", S), complete=False)
    assert desk.finished == {"succeeded": 1}
    await desk.sweep(seen("new", S), seen("known", S))
    assert desk.finished == {"succeeded": 2}


async def test_a_newly_watched_task_does_not_become_ground_while_listed_ones_wait(desk: Desk) -> None:
    """Else the next sweep would stop at it, and never read the tasks below."""
    await desk.sweep(seen("known", R))
    await desk.sweep(seen("new", S), looked_up=[seen("watched", S)], complete=False)
    assert await desk.ledger.ended_among(desk.tracker, ["watched"]) == set()
    await desk.sweep(seen("new", S), looked_up=[seen("watched", S)])
    assert desk.finished == {"succeeded": 2}


async def test_a_watched_task_of_an_incomplete_sweep_counts_where_there_is_no_list(desk: Desk) -> None:
    await desk.sweep(looked_up=[seen("watched", S)], complete=False)
    assert desk.finished == {"succeeded": 1}


async def test_a_failed_sweep_keeps_counters_and_the_age_of_the_data(desk: Desk) -> None:
    await desk.sweep(seen("a", S))
    swept_at = desk.now
    await desk.sweep(complete=False)
    assert (desk.finished, desk.tracker.polled) == ({"succeeded": 1}, swept_at)


async def test_an_incomplete_sweep_makes_nothing_old(desk: Desk) -> None:
    """What it did not get to has not been counted yet."""
    await desk.sweep()
    await desk.sweep(seen("new", R, submitted=START + 10 * DAY), complete=False, after=10 * DAY)
    await desk.sweep(seen("not reached before", S, ended=START + DAY))
    assert desk.finished == {"succeeded": 1}


async def test_data_is_stale_after_three_intervals_without_success(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    await desk.sweep(seen("a", R), complete=False)
    for tracker in (desk.tracker, desk.restarted().tracker):
        assert not tracker.is_stale(desk.now + 2 * STEP)
        assert tracker.is_stale(desk.now + 2 * STEP + 1)


# --- The clock


def life(*times: float | None) -> Observation:
    """A success that the vendor dates: submitted, started, ended, in seconds since an hour before the start."""
    names = ("submitted", "started", "ended")
    return seen(
        "a", S, **{name: at if at is None else START - HOUR + at for name, at in zip(names, times, strict=True)}
    )


MS_CREATED, MS_STARTED, MS_ENDED = 1669786662.0 - START + HOUR, 1642485726.0 - START + HOUR, 1642485905.0 - START + HOUR
"""The sample in MetaStudio's document: created in November 2022, worked on in January."""


@pytest.mark.parametrize(
    ("row", "durations", "rejected"),
    [
        pytest.param(life(0, 10, 70), (10, 60, 70), 0, id="all times"),
        pytest.param(
            life(0, None, 55), (None, None, 55), 0, id="a jump from queued to success, as in DeerAPI's sample"
        ),
        pytest.param(life(None, 10, 70), (None, 60, None), 0, id="no submission"),
        pytest.param(life(0, 10, None), (10, None, None), 0, id="no end"),
        pytest.param(life(None, None, None), (None, None, None), 0, id="no times"),
        pytest.param(life(YEAR_1, 10, 70), (None, 60, None), 1, id="submitted in year 1"),
        pytest.param(life(0, YEAR_1, 70), (None, None, 70), 1, id="started in year 1"),
        pytest.param(life(0, 10, YEAR_1), (10, None, None), 1, id="ended in year 1"),
        pytest.param(life(-START + HOUR, 10, 70), (None, 60, None), 1, id="submitted at 0"),
        pytest.param(life(0, 10, 2 * HOUR), (10, None, None), 1, id="ended in the future"),
        pytest.param(life(9 * HOUR, 9 * HOUR, 9 * HOUR), (None, None, None), 3, id="a clock eight hours ahead"),
        pytest.param(life(3500, 3590, 3675), (90, 85, 175), 0, id="a clock a minute ahead"),
        pytest.param(life(3500, 3590, 3676), (90, None, None), 1, id="a clock more than a minute ahead"),
        pytest.param(life(0, -1, 70), (0, 71, 70), 0, id="started within the second of the submission"),
        pytest.param(life(0, -1.5, 70), (None, None, 70), 1, id="started before the submission"),
        pytest.param(life(100, 110, 70), (10, None, None), 1, id="ended before the submission"),
        pytest.param(life(0, 71, 70), (71, 0, 70), 0, id="started within the second of the end"),
        pytest.param(life(0, 71.5, 70), (None, None, 70), 1, id="started after the end"),
        pytest.param(life(MS_CREATED, MS_STARTED, MS_ENDED), (None, None, None), 2, id="MetaStudio's sample"),
    ],
)
async def test_only_possible_times_of_the_vendor_make_durations(
    row: Observation, durations: tuple[float | None, ...], rejected: int
) -> None:
    desk = Desk(Clock.PROVIDER)
    for _ in range(2):
        await desk.sweep(looked_up=[row])
    found = [desk.measured(Phase.QUEUE), desk.measured(Phase.RUN, S), desk.measured(Phase.TOTAL, S)]
    assert found == [(0, 0) if length is None else (1, length) for length in durations]
    unmeasured = {phase: 1.0 for phase, length in zip(Phase, durations, strict=True) if length is None}
    assert desk.counted("unmeasured_durations_total") == unmeasured
    assert desk.counted("rejected_timestamps_total") == ({"": rejected} if rejected else {})
    assert desk.finished == {"succeeded": 1}


Measured = tuple[float | None, float | None, float | None]


@pytest.mark.parametrize(
    ("steps", "durations"),
    [
        pytest.param([(15, None), (15, Q), (15, R), (30, R), (15, S)], (15, 45, 60), id="seen all along"),
        pytest.param(
            [(15, None), (15, Q), (600, R), (15, S)], (None, None, 15 + 600), id="a long gap before the start"
        ),
        pytest.param([(15, None), (15, Q), (15, R), (600, S)], (15, None, None), id="a long gap before the end"),
        pytest.param([(15, None), (15, R), (15, S)], (0, 15, 15), id="running when it appeared"),
        pytest.param([(15, None), (15, S)], (None, None, None), id="ended when it appeared"),
        pytest.param([(15, Q), (15, R), (15, S)], (None, 15, None), id="there at the first sweep, queued"),
        pytest.param([(15, R), (15, R), (15, S)], (None, None, None), id="there at the first sweep, running"),
        pytest.param([(15, None), (600, Q), (15, R), (15, S)], (None, 15, None), id="appeared after a long gap"),
        pytest.param([(15, None), (15, Q), (15, S)], (None, None, 15), id="a jump from queued to success"),
        pytest.param([(15, R), (15, State.UNKNOWN), (15, R), (15, S)], (None, None, None), id="an odd value at work"),
        pytest.param([(15, R), (15, State.BLOCKED), (15, R), (15, S)], (None, None, None), id="frozen at work"),
        pytest.param(
            [(15, None), (15, Q), (15, R), (15, State.BLOCKED), (15, R), (15, S)], (15, 45, 60), id="frozen and dated"
        ),
        pytest.param([(15, None), (15, Q), (15, Q), (15, R), (15, Q), (15, R), (15, S)], (30, 45, 75), id="put back"),
    ],
)
async def test_transitions_are_dated_by_two_looks_close_to_each_other(
    desk: Desk, steps: list[tuple[float, State | None]], durations: Measured
) -> None:
    for after, state in steps:
        await desk.sweep(*([] if state is None else [seen("a", state)]), after=after)
    found = [desk.measured(Phase.QUEUE), desk.measured(Phase.RUN, S), desk.measured(Phase.TOTAL, S)]
    assert found == [(0, 0) if length is None else (1, length) for length in durations]
    unmeasured = {phase: 1.0 for phase, length in zip(Phase, durations, strict=True) if length is None}
    assert desk.counted("unmeasured_durations_total") == unmeasured


async def test_the_vendors_submission_and_our_end_make_a_total(desk: Desk) -> None:
    await desk.sweep()
    submitted = desk.now + 5
    for state in (Q, R, S):
        await desk.sweep(seen("a", state, submitted=submitted))
    assert desk.measured(Phase.QUEUE) == (1, 25)
    assert desk.measured(Phase.RUN, S) == (1, 15)
    assert desk.measured(Phase.TOTAL, S) == (1, 40)


async def test_a_list_that_was_blank_once_invents_no_waiting(desk: Desk) -> None:
    """What the vendor says was there already did not just appear."""
    await desk.sweep()
    await desk.sweep(seen("a", R, submitted=START - HOUR))
    await desk.sweep(seen("a", S, submitted=START - HOUR))
    assert desk.measured(Phase.QUEUE) == (0, 0)
    assert desk.measured(Phase.RUN, S) == (0, 0)
    assert desk.measured(Phase.TOTAL, S) == (1, HOUR + 3 * STEP)


async def test_a_task_that_is_looked_up_did_not_just_appear(desk: Desk) -> None:
    """It may have been there for days before somebody asked to watch it."""
    await desk.sweep()
    await desk.sweep(looked_up=[seen("a", R)])
    await desk.sweep(looked_up=[seen("a", S)])
    assert desk.counted("unmeasured_durations_total") == {"queue": 1, "run": 1, "total": 1}


async def test_an_end_that_was_taken_back_leaves_no_date() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep()
    await desk.sweep(seen("a", R, started=START, ended=START + 1))
    await desk.sweep(seen("a", S, started=START), after=600)
    assert desk.measured(Phase.RUN, S) == (0, 0)


async def test_a_restart_between_two_looks_dates_a_transition_only_if_it_was_short(desk: Desk) -> None:
    await desk.sweep(seen("a", Q), seen("b", Q))
    desk = desk.restarted()
    await desk.sweep(seen("a", R), seen("b", R))
    desk = desk.restarted()
    await desk.sweep(seen("a", S), after=600)
    assert desk.counted("unmeasured_durations_total") == {"queue": 1, "run": 1, "total": 1}
    assert desk.tracker.in_flight["b"].seen_started == START + 2 * STEP


async def test_a_restart_does_not_make_an_old_look_a_new_one(desk: Desk) -> None:
    """Sweeps that do not get to every task are complete all the same: they have not seen those."""
    names = ("unreached", "missed", "found")
    await desk.sweep(*(seen(name, Q) for name in names))
    for _ in range(3):
        await desk.sweep(seen("found", Q), after=100)
    await desk.sweep(seen("found", Q), missing={"missed"}, after=1)
    desk = desk.restarted()
    await desk.sweep(*(seen(name, R) for name in names))
    started = {name: task.seen_started for name, task in desk.tracker.in_flight.items()}
    assert started == {"unreached": None, "missed": None, "found": desk.now}
    await desk.sweep(*(seen(name, Q) for name in names))
    desk = desk.restarted()
    await desk.sweep(*(seen(name, R) for name in names))
    assert all(task.seen_started for task in desk.tracker.in_flight.values())


async def test_the_queue_is_counted_early_where_times_are_observed(desk: Desk) -> None:
    await desk.sweep()
    await desk.sweep(seen("a", Q))
    await desk.sweep(seen("a", R))
    assert desk.measured(Phase.QUEUE) == (1, 15)
    await desk.sweep(seen("a", Q))
    await desk.sweep(seen("a", R))
    await desk.sweep(seen("a", S))
    assert desk.measured(Phase.QUEUE) == (1, 15)


async def test_the_queue_waits_for_the_vendors_own_start() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep()
    submitted = desk.now + 2
    await desk.sweep(seen("a", Q, submitted=submitted))
    await desk.sweep(seen("a", R, submitted=submitted))
    assert desk.measured(Phase.QUEUE) == (0, 0)
    await desk.sweep(seen("a", R, submitted=submitted, started=submitted + 7))
    assert desk.measured(Phase.QUEUE) == (1, 7)
    await desk.sweep(seen("a", S, submitted=submitted, started=submitted + 7, ended=submitted + 40))
    assert desk.measured(Phase.QUEUE) == (1, 7)
    assert desk.measured(Phase.RUN, S) == (1, 33)


async def test_our_start_stands_in_at_the_end_where_the_vendor_never_gave_its_own() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep()
    submitted = desk.now + 5
    await desk.sweep(seen("a", Q, submitted=submitted))
    await desk.sweep(seen("a", R, submitted=submitted))
    await desk.sweep(seen("a", S, submitted=submitted, ended=submitted + 40))
    assert desk.measured(Phase.QUEUE) == (1, 25)
    assert desk.measured(Phase.RUN, S) == (1, 15)


async def test_failures_are_measured_apart_from_successes(desk: Desk) -> None:
    times = {"submitted": START - 90, "started": START - 60, "ended": START - 20}
    await desk.sweep(seen("a", S, **times), seen("b", F, **times), seen("c", F, **times))
    assert desk.measured(Phase.RUN, S) == (1, 40)
    assert desk.measured(Phase.RUN, F) == (2, 80)
    assert desk.measured(Phase.TOTAL, F) == (2, 140)


async def test_cancelled_and_lost_tasks_are_neither_measured_nor_missed(desk: Desk) -> None:
    await desk.sweep()
    await desk.sweep(seen("a", Q), seen("b", Q))
    for _ in range(2):
        await desk.sweep(seen("a", State.CANCELLED), missing={"b"})
    assert desk.finished == {"cancelled": 1, "lost": 1}
    assert desk.counted("unmeasured_durations_total") == {}
    assert not any("duration_seconds" in key[0] for key in desk.tracker.counts)


# --- Values that break the contract


async def test_unmapped_values_count_once_for_each_task_and_field(desk: Desk) -> None:
    odd = frozenset({Field.STATE})
    for _ in range(2):
        await desk.sweep(seen("a", State.UNKNOWN, unmapped=odd), seen("b", State.UNKNOWN, unmapped=odd))
    desk = desk.restarted()
    for _ in range(2):
        await desk.sweep(seen("a", R, unmapped=frozenset({Field.PROGRESS, Field.STATE})), seen("b", R))
    assert desk.counted("unmapped_values_total") == {"state": 2, "progress": 1}


async def test_rows_that_are_no_tasks_count_each_time(desk: Desk) -> None:
    await desk.sweep(malformed=2)
    await desk.sweep(malformed=1, complete=False)
    assert desk.counted("unmapped_values_total") == {"task": 3}


async def test_rejected_times_count_once_for_each_task_and_field(desk: Desk) -> None:
    early = seen("a", R, submitted=START, started=START - 100)
    for _ in range(3):
        await desk.sweep(early)
    await desk.sweep(replace(early, state=S, ended=START - 90))
    assert desk.counted("rejected_timestamps_total") == {"": 2}


async def test_a_rejected_date_counts_too(desk: Desk) -> None:
    await desk.sweep(seen("a", R, dated=START + DAY))
    assert desk.counted("rejected_timestamps_total") == {"": 1}


async def test_a_time_that_becomes_possible_is_believed_then() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(seen("a", R, submitted=START + 120))
    await desk.sweep(seen("a", S, submitted=START + 120, started=START + 130, ended=START + 150), after=300)
    assert desk.measured(Phase.TOTAL, S) == (1, 30)


async def test_gaps_count_for_complete_sweeps(desk: Desk) -> None:
    await desk.sweep(gap=True)
    await desk.sweep(gap=True, complete=False)
    await desk.sweep()
    assert desk.counted("history_gaps_total") == {"": 1}


# --- Lost


async def test_two_misses_in_a_row_lose_a_task(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    await desk.sweep(missing={"a"})
    assert (desk.finished, set(desk.tracker.in_flight)) == ({}, {"a"})
    await desk.sweep(missing={"a"})
    assert (desk.finished, desk.tracker.in_flight) == ({"lost": 1}, {})
    assert desk.counted("last_finished_timestamp_seconds") == {"lost": desk.now}
    assert [task.state for task in desk.tracker.recent(desk.now)] == [State.LOST]


async def test_a_sighting_between_two_misses_saves_a_task(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    for _ in range(3):
        await desk.sweep(missing={"a"})
        await desk.sweep(seen("a", R))
    assert desk.finished == {}


async def test_misses_add_up_across_a_restart(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    await desk.sweep(missing={"a"})
    desk = desk.restarted()
    await desk.sweep(missing={"a"})
    assert desk.finished == {"lost": 1}


async def test_a_lost_task_that_comes_back_is_not_counted_again(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    for _ in range(2):
        await desk.sweep(missing={"a"})
    for state in (R, S):
        await desk.sweep(seen("a", state))
    assert desk.finished == {"lost": 1}
    assert desk.tracker.in_flight == {}


async def test_a_miss_of_a_task_that_nobody_knows_means_nothing(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    for _ in range(2):
        await desk.sweep(missing={"a", *(f"never-seen-{number}" for number in range(20))})
    assert desk.finished == {"lost": 1}


async def test_a_task_that_its_parts_replace_is_dropped_uncounted(desk: Desk) -> None:
    """One id may come to stand for several tasks: those count, never both. It stays as long as they have to wait."""
    await desk.sweep(seen("other", R), looked_up=[seen("parent", Q)])
    for complete in (False, True):
        sweep = Sweep(complete=complete, replaced={"parent"}, listed={"other": (seen("other", R), desk.now)})
        sweep.looked_up = {part: (seen(part, S), desk.now) for part in ("part-1", "part-2")}
        await desk.ledger.record(desk.tracker, sweep, desk.now)
        assert ("parent" in desk.tracker.in_flight, "part-1" in desk.tracker.in_flight) == (not complete, False)
    assert desk.finished == {"succeeded": 2}
    assert set(desk.tracker.last_seen) == {"other"}
    assert set(desk.restarted().tracker.in_flight) == {"other"}


# --- Retention


async def test_what_is_forgotten_never_counts_again() -> None:
    desk = Desk(retention=2 * DAY)
    rows = [seen("a", S, submitted=START - 60, ended=START - 30), seen("b", F, submitted=START - 60)]
    await desk.sweep(*rows)
    for _ in range(10):
        await sweep_of_something_new(desk, after=DAY / 2)
    assert await desk.ledger.ended_among(desk.tracker, ["a", "b"]) == set()
    for again in (desk, desk.restarted()):
        await again.sweep(*rows)
        assert again.finished == {"succeeded": 1, "failed": 1}


async def test_ends_are_remembered_for_all_of_the_retention_from_the_start() -> None:
    desk = Desk(retention=30 * DAY)
    for _ in range(3):  # the list fails for days while look-ups work
        await desk.sweep(looked_up=[seen("a", S, ended=START - HOUR)], complete=False, after=DAY)
    await desk.sweep()
    await desk.sweep()
    await desk.sweep(looked_up=[seen("a", S, ended=START - HOUR)])
    assert desk.finished == {"succeeded": 1}


@pytest.mark.parametrize("setting", ["history", "recent_window"])
async def test_ends_are_remembered_as_long_as_any_setting_looks_back(setting: str) -> None:
    settings: dict[str, Any] = {setting: "10d"}
    desk = Desk(retention=2 * DAY, **settings)
    await desk.sweep(seen("a", S, submitted=START - HOUR, ended=START))
    for _ in range(9):
        await sweep_of_something_new(desk, after=DAY)
    assert await desk.ledger.ended_among(desk.tracker, ["a"]) == {"a"}
    for _ in range(4):
        await sweep_of_something_new(desk, after=DAY)
    assert await desk.ledger.ended_among(desk.tracker, ["a"]) == set()


async def test_what_still_counts_is_still_remembered() -> None:
    """A vendor's clock may be hours off: an end is remembered longer than a listed one is news."""
    desk = Desk(retention=2 * DAY)
    row = seen("a", S, submitted=START, ended=START + 14 * HOUR)
    for turn in range(40):
        await sweep_of_something_new(desk, *([row] if turn % 2 else []), after=DAY / 8)
    assert desk.finished == {"succeeded": 1}


async def test_watched_ids_are_never_forgotten() -> None:
    desk = Desk(retention=2 * DAY)
    row = seen("watched", S, submitted=START - 60, ended=START - 30)
    for _ in range(10):
        await sweep_of_something_new(desk, looked_up=[row], keep={"watched"}, after=DAY)
    assert desk.finished == {"succeeded": 1}


async def test_many_watched_ids_do_not_keep_the_others_from_being_forgotten() -> None:
    desk = Desk(retention=2 * DAY)
    watched = [seen(f"w{number}", S, submitted=START - 100, ended=START - 90) for number in range(FORGET_AT_ONCE)]
    await desk.sweep(seen("other", S, submitted=START - 60, ended=START - 30), looked_up=watched)
    for _ in range(5):
        await sweep_of_something_new(desk, keep={row.id for row in watched}, after=DAY)
    assert await desk.ledger.ended_among(desk.tracker, ["other", "w0"]) == {"w0"}


async def test_an_old_task_that_leaves_the_watch_for_a_while_is_not_counted_again() -> None:
    desk = Desk(retention=2 * DAY)
    old = seen("watched", S, submitted=START - 30 * DAY, ended=START - 29 * DAY)
    await desk.sweep(looked_up=[old], keep={"watched"})
    for _ in range(3):
        await desk.sweep()  # its file is being replaced
    await desk.sweep(looked_up=[old], keep={"watched"})
    assert desk.finished == {"succeeded": 1}


async def test_a_task_in_flight_is_never_forgotten() -> None:
    desk = Desk(retention=2 * DAY)
    for _ in range(10):
        await desk.sweep(seen("a", R, submitted=START), after=DAY)
    await desk.sweep(seen("a", S, submitted=START))
    assert desk.finished == {"succeeded": 1}


async def test_a_clock_that_steps_back_counts_nothing_again() -> None:
    desk = Desk(retention=2 * DAY)
    row = seen("a", S, submitted=START - 60, ended=START - 30)
    await desk.sweep(row)
    for _ in range(10):
        await sweep_of_something_new(desk, after=DAY)
    assert await desk.ledger.ended_among(desk.tracker, ["a"]) == set()
    for back in (-9 * DAY, -8 * DAY, -20_000 * DAY):  # before the task was submitted, and before there were vendors
        await desk.sweep(row, after=back)
        assert desk.finished == {"succeeded": 1}


async def test_a_clock_that_is_days_ahead_for_a_while_hides_no_end_thereafter() -> None:
    desk = Desk(retention=2 * DAY)
    await desk.sweep(seen("a", R, submitted=START))
    ahead: dict[str, Any] = {"after": 400 * DAY}
    for _ in range(3):
        await desk.sweep(seen("a", R, submitted=START), **ahead)
        ahead = {}
    await desk.sweep(seen("undated", R))  # nothing in this one but our clock
    await desk.sweep()
    await desk.sweep(after=-400 * DAY)
    await desk.sweep(seen("quick", S, submitted=desk.now + 1, ended=desk.now + 9))
    assert desk.finished == {"succeeded": 1}
    assert [task.id for task in desk.tracker.recent(desk.now)] == ["quick"]


async def test_a_clock_that_is_ahead_for_one_sweep_leaves_the_recent_window_alone(desk: Desk) -> None:
    await desk.sweep(seen("a", S, ended=START), seen("b", R))
    await desk.sweep(seen("b", R), after=DAY)
    await desk.sweep(seen("b", R), after=-DAY)
    assert [task.id for task in desk.tracker.recent(desk.now)] == ["a"]


async def test_an_end_that_our_clock_dates_days_ahead_is_not_recent_now(desk: Desk) -> None:
    for after in (STEP, DAY, STEP):
        await desk.sweep(seen("a", S if after == STEP and desk.now > START + DAY else R), after=after)
    assert [task.id for task in desk.tracker.recent(desk.now)] == ["a"]
    await desk.sweep(after=-DAY)
    assert desk.tracker.recent(desk.now) == []


async def test_data_of_a_time_to_come_is_stale(desk: Desk) -> None:
    """The clock was days ahead for one sweep: until it is there, no outage would make the data old."""
    await desk.sweep(seen("a", R))
    await desk.sweep(seen("a", R), after=10 * DAY)
    assert not desk.tracker.is_stale(desk.now - 1)
    await desk.sweep(complete=False, after=-10 * DAY)
    assert desk.tracker.is_stale(desk.now)


async def test_a_clock_that_is_set_back_dates_no_transition(desk: Desk) -> None:
    await desk.sweep()
    await desk.sweep(seen("a", Q))
    await desk.sweep(seen("a", R), seen("b", R), after=-DAY)
    await desk.sweep(seen("a", S), seen("b", S))
    assert desk.measured(Phase.RUN, S) == (0, 0)
    assert desk.counted("unmeasured_durations_total") == {"queue": 2, "run": 2, "total": 2}


@pytest.mark.parametrize("again", [R, State.UNKNOWN])
async def test_a_forgotten_task_that_the_vendor_takes_up_again_is_not_counted_again(again: State) -> None:
    """An old row comes to life, or all of them do: the vendor calls its ends by words that no table knows yet."""
    desk = Desk(retention=2 * DAY)
    dates = {"submitted": START - 60, "dated": START - 50}
    await desk.sweep(seen("a", S, ended=START - 30, **dates))
    for _ in range(5):
        await sweep_of_something_new(desk, after=DAY)
    assert await desk.ledger.ended_among(desk.tracker, ["a"]) == set()
    await desk.sweep(seen("a", again, **dates))
    assert "a" not in desk.tracker.in_flight
    await desk.sweep(seen("a", S, ended=START - 30, **dates))
    assert desk.finished == {"succeeded": 1}


@pytest.mark.parametrize("behind", [3 * HOUR, 20 * HOUR])
async def test_an_end_that_a_clock_which_is_behind_has_dated_does_not_begin_again(behind: float) -> None:
    """The vendor's date was in the future then. It is none by the time the end is forgotten and taken back."""
    desk = Desk(retention=2 * DAY)
    await desk.sweep()
    date = desk.now + behind
    await desk.sweep(seen("a", S, submitted=date, ended=date))
    for _ in range(2):
        await sweep_of_something_new(desk, after=1.5 * DAY + 600)
    await sweep_of_something_new(desk, after=600)
    assert await desk.ledger.ended_among(desk.tracker, ["a"]) == set()
    await desk.sweep(seen("a", R, submitted=date))
    assert "a" not in desk.tracker.in_flight


async def test_what_is_still_shown_is_still_remembered() -> None:
    desk = Desk(retention=2 * DAY)
    for _ in range(10):
        await sweep_of_something_new(desk, seen("undated", S), after=DAY)
    assert desk.finished == {"succeeded": 1}


async def test_an_end_that_nothing_dates_is_forgotten_by_the_time_it_was_seen() -> None:
    desk = Desk(retention=2 * DAY)
    await desk.sweep(seen("undated", S))
    for days in range(6):
        assert await desk.ledger.ended_among(desk.tracker, ["undated"]) == ({"undated"} if days < 5 else set())
        await sweep_of_something_new(desk, after=DAY)


async def test_forgetting_keeps_up_with_any_number_of_ends_in_a_sweep() -> None:
    desk = Desk(retention=2 * DAY)
    for _ in range(10):
        ended = desk.now + DAY
        rows = [seen(f"{desk.now:.0f}-{number}", S, submitted=ended) for number in range(2 * FORGET_AT_ONCE)]
        await desk.sweep(*rows, after=DAY)
    remembered = len(desk.store.load("vendor", "kind", 0.0).ended)
    assert remembered <= 5 * 2 * FORGET_AT_ONCE  # two days of retention, one beyond, one of the last sweep's horizon


async def test_old_ends_are_asked_for_every_ten_minutes_only() -> None:
    class Asked(SqliteFile):
        times = 0

        def ended_before(self, provider: str, kind: str, when: float, limit: int) -> list[str]:
            self.times += 1
            return super().ended_before(provider, kind, when, limit)

    file = Asked(":memory:")
    desk = Desk(store=file, retention=2 * DAY)
    for _ in range(4 * 60):  # an hour
        await desk.sweep(seen("one", S), after=15.0)
    assert 6 <= file.times <= 8


# --- The recent window


async def test_the_recent_window_moves_on(desk: Desk) -> None:
    await desk.sweep(
        seen("a", S, ended=START - 50 * 60), seen("b", S, ended=START - 10 * 60), seen("c", S, dated=START - 30 * 60)
    )
    await desk.sweep(seen("d", S, submitted=START - 40 * 60))
    assert [task.id for task in desk.tracker.recent(START + 60)] == ["a", "d", "c", "b"]
    assert [task.id for task in desk.tracker.recent(START + 25 * 60)] == ["c", "b"]
    assert desk.tracker.recent(START + 2 * HOUR) == []


async def test_the_recent_window_needs_no_reader_to_stay_small(desk: Desk) -> None:
    for number in range(10):
        await desk.sweep(seen(f"task-{number}", S, ended=desk.now), after=HOUR)
    assert len(desk.tracker._recent) <= 2


async def test_an_undated_end_is_in_no_window(desk: Desk) -> None:
    await desk.sweep(seen("a", S))
    assert desk.finished == {"succeeded": 1}
    assert desk.tracker.recent(desk.now) == []


# --- Exemplars, buckets


async def test_each_bucket_has_its_latest_task_as_an_exemplar(desk: Desk) -> None:
    ended = START - 10
    await desk.sweep(*(seen(name, S, submitted=ended - length, ended=ended) for name, length in (("a", 3), ("b", 100))))
    await desk.sweep(seen("c", S, submitted=ended - 4, ended=ended))
    key = ("total_duration_seconds", "succeeded")
    found = {
        bound[-1]: (one.task_id, one.value, one.at) for bound, one in desk.tracker.exemplars.items() if bound[:2] == key
    }
    assert found == {"5.0": ("c", 4.0, desk.now), "120.0": ("b", 100.0, desk.now - STEP)}


async def test_other_buckets_after_a_restart_lose_no_count(desk: Desk) -> None:
    ended = START - 10
    await desk.sweep(*(seen(str(length), S, submitted=ended - length, ended=ended) for length in (3, 30, 300)))
    desk = desk.restarted(duration_buckets=["20s", "50s"])
    await desk.sweep(seen("40", S, submitted=ended - 40, ended=ended))
    buckets, total = desk.tracker.counts.buckets("total_duration_seconds", "succeeded", bounds=(20.0, 50.0))
    assert buckets == [("20.0", 1), ("50.0", 3), ("+Inf", 4)]
    assert total == 373


# --- The store behind


async def test_a_change_is_not_taken_over_that_the_store_refused(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    desk.store.close()
    with pytest.raises(StoreError):
        await desk.sweep(seen("a", S))
    assert (desk.finished, set(desk.tracker.in_flight)) == ({}, {"a"})


async def test_a_commit_that_was_written_and_failed_all_the_same_counts_once() -> None:
    class Liar(SqliteFile):
        lies = False

        def commit(self, changes: Changes) -> None:
            super().commit(changes)
            if self.lies:
                raise StoreError("the disk gave no answer")

    store = Liar(":memory:")
    desk = Desk(store=store)
    await desk.sweep(seen("a", R), seen("b", R), seen("c", State.CANCELLED, ended=START))
    assert set(desk.tracker.known) == {"a", "b"}
    store.lies = True
    # What was surely committed, and what was found at the next attempt.
    for served in ({"cancelled": 1}, {"cancelled": 1, "succeeded": 1}):
        with pytest.raises(StoreError):
            await desk.sweep(seen("a", S), seen("b", R))
        assert desk.finished == served
        assert desk.tracker.known == {}  # or the next sweep would skip what the store may not have
    store.lies = False
    await desk.sweep(seen("a", S), seen("b", F))
    assert desk.finished == {"succeeded": 1, "failed": 1, "cancelled": 1}
    assert [task.id for task in desk.tracker.recent(desk.now)] == ["c", "a", "b"]
    assert [task.id for task in desk.restarted().tracker.in_flight.values()] == []


async def test_an_end_that_two_sweeps_saw_at_the_same_time_counts_once(desk: Desk) -> None:
    """After a reload the old loop's last commit may be under way while the new loop reads its first page."""
    await desk.sweep(seen("a", R))
    sweeps = [Sweep(listed={"a": (seen("a", S), desk.now)}, complete=True) for _ in range(3)]
    await asyncio.gather(*(desk.ledger.record(desk.tracker, sweep, desk.now) for sweep in sweeps))
    assert desk.finished == {"succeeded": 1}


async def test_a_task_that_ends_while_a_sweep_shows_it_as_before_has_ended(desk: Desk) -> None:
    await desk.sweep(seen("a", R), seen("b", R))
    late = Sweep(desk.tracker.known, complete=True)
    late.show([seen("a", R), seen("b", F)], desk.now, listed=True)
    await desk.sweep(seen("a", S), seen("b", R))
    await desk.ledger.record(desk.tracker, late, desk.now)
    assert desk.finished == {"succeeded": 1, "failed": 1}
    assert not desk.tracker.in_flight


async def test_a_commit_that_has_begun_is_carried_through_when_its_sweep_is_cancelled() -> None:
    """Else the store would know of an end that the tracker does not, and the next commit would overwrite its count."""
    for turn in range(40):
        desk = Desk()
        await desk.sweep(seen("a", R), seen("b", R))
        sweep = Sweep(listed={"a": (seen("a", S), desk.now)}, complete=True)
        recording = asyncio.create_task(desk.ledger.record(desk.tracker, sweep, desk.now))
        for _ in range(turn):
            await asyncio.sleep(0)
        recording.cancel()
        await asyncio.wait({recording})
        await desk.sweep(seen("b", S))
        desk = desk.restarted()
        await desk.sweep(seen("a", S), seen("b", S))
        assert desk.finished == {"succeeded": 2}


async def test_a_commit_that_fails_after_its_sweep_was_cancelled_is_told_to_nobody() -> None:
    """As at a stop while the database is away: it is no error of ours, and the next start counts what it was about."""
    answered = threading.Event()

    class Away(SqliteFile):
        def commit(self, changes: Changes) -> None:
            answered.wait()
            raise StoreError("no answer")

    desk, told = Desk(store=Away(":memory:")), []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["message"]))
    recording = asyncio.create_task(desk.sweep(seen("a", S)))
    await asyncio.sleep(0.05)
    recording.cancel()
    await asyncio.wait({recording})
    answered.set()
    await desk.ledger.close()
    await asyncio.sleep(0)
    gc.collect()
    assert told == []


async def test_a_sweep_of_very_many_tasks_in_flight_is_worked_out_beside_the_event_loop() -> None:
    """Also one that shows few of them."""
    desk, threads = Desk(), set[int]()

    class Listed(dict[str, Any]):
        def items(self) -> Any:
            threads.add(threading.get_ident())
            return super().items()

    await desk.sweep(*(seen(str(number), R) for number in range(MANY + 1)))
    sweep = Sweep(listed=Listed({"0": (seen("0", S), desk.now)}), complete=True)
    await desk.ledger.record(desk.tracker, sweep, desk.now)
    assert desk.finished == {"succeeded": 1}
    assert len(desk.tracker.in_flight) == MANY
    assert threads
    assert threading.get_ident() not in threads


async def test_very_many_recent_ends_are_read_at_a_start_beside_the_event_loop() -> None:
    threads = set[int]()

    class Ended(list[Task]):
        def __iter__(self) -> Iterator[Task]:
            threads.add(threading.get_ident())
            return super().__iter__()

    class Store(SqliteFile):
        def load(self, *about: Any) -> FeedRecord:
            record = super().load(*about)
            return replace(record, ended=Ended(record.ended))

    store = Store(":memory:")
    await Desk(store=store).sweep(*(seen(str(number), S, ended=START - number) for number in range(MANY + 1)))
    threads.clear()
    opened = await Ledger(SqliteStore(store), 7 * DAY).open("vendor", "kind", Clock.OBSERVED, PollSettings(), START)
    assert [task.id for task in opened.recent(START)] == [str(number) for number in range(MANY, -1, -1)]
    assert threads
    assert threading.get_ident() not in threads


async def test_closing_waits_for_what_is_being_written(desk: Desk) -> None:
    recording = asyncio.create_task(desk.sweep(seen("a", S)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting = asyncio.create_task(desk.sweep(seen("b", S)))
    await asyncio.sleep(0)
    await desk.ledger.close()
    await recording
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert desk.finished == {"succeeded": 1}


async def test_two_feeds_share_a_store_and_nothing_else(desk: Desk) -> None:
    other = made(desk.ledger.open("vendor", "other", Clock.OBSERVED, PollSettings(), START))
    await desk.sweep(seen("a", S))
    await desk.ledger.record(other, Sweep(listed={"a": (seen("a", F), START)}, complete=True), START)
    assert desk.finished == {"succeeded": 1}
    assert other.counts["finished_total", "failed"] == 1


# --- The story of a task


async def test_the_story_of_a_task_tells_its_states_and_the_tenths_of_its_progress(desk: Desk) -> None:
    for state, progress in ((Q, None), (R, 0.0), (R, 0.05), (R, 0.12), (R, 0.19), (R, 0.19), (F, 0.19)):
        await desk.sweep(seen("a", state, progress=progress, said="too long"))
    found = await desk.restarted().ledger.store.find(*desk.tracker.feed, "a")
    assert found is not None
    task, steps = found
    assert (task.state, task.said) == (F, "too long")
    assert [(step.state, step.progress) for step in steps] == [(Q, None), (R, 0.0), (R, 0.12), (F, 0.19)]
    assert [round((step.at - START) / STEP) for step in steps] == [1, 2, 4, 7]


async def test_the_story_of_a_lost_task_ends_with_its_loss(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    await desk.sweep(missing={"a"})
    await desk.sweep(missing={"a"})
    found = await desk.ledger.store.find(*desk.tracker.feed, "a")
    assert found is not None
    assert [step.state for step in found[1]] == [R, State.LOST]
    assert found[0].changed == desk.now


async def test_a_task_that_did_not_fail_has_said_nothing(desk: Desk) -> None:
    await desk.sweep(seen("a", S, said="the address of the result"))
    found = await desk.ledger.store.find(*desk.tracker.feed, "a")
    assert found is not None
    assert found[0].said == ""


async def test_of_a_task_that_nobody_knows_there_is_no_story(desk: Desk) -> None:
    assert await desk.ledger.store.find(*desk.tracker.feed, "a") is None


async def test_a_ledger_that_is_closed_says_so(desk: Desk) -> None:
    await desk.ledger.close()
    with pytest.raises(StoreError, match="closed, the exporter is stopping"):
        await desk.ledger.store.find(*desk.tracker.feed, "a")


# --- A state that no table knows, and what the row proves all the same


U = State.UNKNOWN
FAULT = Reason.MODERATION
OLD, NEW = START - HOUR, START + STEP + 1.0  # an end time of long ago, and one of a moment ago

PROVEN: list[tuple[dict[str, Any], State | None, Reason | None]] = [
    ({"ended": OLD, "result": True}, S, None),
    ({"ended": NEW, "result": True}, S, None),
    ({"ended": OLD, "progress": 1.0}, S, None),
    ({"progress": 1.0, "result": True}, S, None),
    ({"ended": OLD, "fault": FAULT}, F, FAULT),
    ({"ended": OLD, "progress": 1.0, "fault": FAULT}, F, FAULT),
    ({"ended": OLD, "result": True, "fault": FAULT}, F, FAULT),
    ({"progress": 1.0, "fault": FAULT}, F, FAULT),
    ({"ended": OLD}, F, Reason.UNKNOWN),
    ({"ended": OLD, "progress": 0.4}, F, Reason.UNKNOWN),
    # One sign alone, or none: the vendor may still be at work.
    ({"ended": NEW}, None, None),
    ({"progress": 1.0}, None, None),
    ({"result": True}, None, None),
    ({"fault": FAULT}, None, None),
    ({"progress": 0.99, "result": True}, None, None),
    ({"ended": YEAR_1, "result": True}, None, None),
    ({"ended": START + DAY, "result": True}, None, None),
    ({"ended": OLD, "submitted": OLD + 600.0, "result": True}, None, None),
]


@pytest.mark.parametrize(("facts", "end", "reason"), PROVEN, ids=str)
@pytest.mark.parametrize("listed", [True, False])
async def test_a_task_of_an_unknown_state_ends_as_its_row_proves(
    desk: Desk, facts: dict[str, Any], end: State | None, reason: Reason | None, listed: bool
) -> None:
    await desk.sweep(seen("a", R), seen("b", R))
    for _ in range(2):
        row = seen("a", U, unmapped=frozenset({Field.STATE}), **facts)
        await desk.sweep(*([row] if listed else []), seen("b", R), looked_up=[] if listed else [row])
    assert desk.finished == ({end: 1} if end else {})
    assert desk.counted("failures_total") == ({reason: 1} if reason else {})
    assert desk.counted("unmapped_values_total") == {"state": 1}
    assert ("a" in desk.tracker.in_flight) is (end is None)


async def test_a_word_that_means_unknown_is_counted_as_unmapped_once_the_row_has_ended_the_task(desk: Desk) -> None:
    await desk.sweep(seen("a", U))
    assert desk.counted("unmapped_values_total") == {}
    await desk.sweep(seen("a", U, ended=OLD, result=True))
    assert (desk.finished, desk.counted("unmapped_values_total")) == ({"succeeded": 1}, {"state": 1})
    await desk.sweep(seen("b", U, ended=OLD, fault=FAULT, progress=0.4, output_seconds=5.0))
    assert (desk.finished, desk.counted("unmapped_values_total")) == ({"succeeded": 1, "failed": 1}, {"state": 2})
    found = await desk.ledger.store.find(*desk.tracker.feed, "b")
    assert found is not None
    assert (found[0].progress, found[0].output_seconds) == (None, None)


async def test_evidence_is_for_unknown_states_alone(desk: Desk) -> None:
    """There are vendors that show 100 % and the time of a first end while they still work on the clip."""
    for state in (Q, R, State.BLOCKED):
        await desk.sweep(seen("a", state, progress=1.0, ended=OLD, result=True, fault=FAULT))
        assert desk.finished == {}
    await desk.sweep(seen("a", S, progress=1.0, ended=OLD))
    assert desk.finished == {"succeeded": 1}


async def test_an_end_by_evidence_stays_whatever_word_comes_later(desk: Desk) -> None:
    await desk.sweep(seen("a", R))
    await desk.sweep(seen("a", U, progress=1.0, result=True))
    for later in (R, F, U, S):
        await desk.sweep(seen("a", later))
    assert (desk.finished, desk.counted("failures_total")) == ({"succeeded": 1}, {})
    await desk.restarted().sweep(seen("a", F))
    assert desk.finished == {"succeeded": 1}


async def test_an_end_by_evidence_has_the_durations_that_can_be_known() -> None:
    desk = Desk(clock=Clock.PROVIDER)
    await desk.sweep(seen("a", R, submitted=OLD, started=OLD + 10.0))
    await desk.sweep(
        seen("a", U, submitted=OLD, started=OLD + 10.0, ended=OLD + 70.0, progress=1.0, output_seconds=5.0)
    )
    assert desk.measured(Phase.RUN, S) == (1, 60.0)
    assert desk.measured(Phase.TOTAL, S) == (1, 70.0)
    assert desk.counted("output_seconds_total") == {"": 5.0}


async def test_an_end_time_alone_ends_a_task_once_nothing_more_has_come(desk: Desk) -> None:
    await desk.sweep()
    ended = desk.now + 10.0
    for _ in range(4):
        await desk.sweep(seen("a", U, ended=ended))
        assert set(desk.tracker.in_flight) == {"a"}
    await desk.sweep(seen("a", U, ended=ended))
    assert (desk.finished, desk.counted("failures_total")) == ({"failed": 1}, {"unknown": 1})


async def test_old_tasks_of_unknown_states_are_history_like_other_ends() -> None:
    desk = Desk()
    await desk.sweep(
        seen("new", U, ended=START - HOUR, result=True),
        seen("old", U, submitted=START - 9 * DAY, ended=START - 8 * DAY, result=True),
    )
    assert (desk.finished, dict(desk.tracker.in_flight)) == ({"succeeded": 1}, {})
