"""When tasks are looked up again that no list shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.models import PollSettings
from exporter.ledger.counters import Counters
from exporter.ledger.store import FeedRecord
from exporter.ledger.tracker import Tracker
from exporter.polling.feed.schedule import AT_ONCE, DurationSpan, Learned, Schedule, Trail, next_look
from exporter.tasks import Clock, Phase, State, Task
from tests.harness import with_turns_of_others

NOW = 1_790_000_000.0
INTERVAL = 10.0
LONGEST = 30.0
LEARNED = Learned(DurationSpan(60, 300), DurationSpan(90, 400), INTERVAL, LONGEST)
NOTHING = Learned(DurationSpan(), DurationSpan(), INTERVAL, LONGEST)
LATER = NOW + LONGEST
SOON = NOW + INTERVAL


def running(age: float, progress: float | None = None) -> Task:
    began = NOW - age
    return Task("one", State.RUNNING, began, began, submitted=began, started=began, progress=progress)


def waiting(age: float) -> Task:
    return Task("one", State.QUEUED, NOW - age, NOW - age, submitted=NOW - age)


def seen_since(task: Task, age: float) -> Trail:
    return Trail(task.state, NOW - age)


def grown(*points: tuple[float, float]) -> Trail:
    """The trail of a running task, of so much progress at so many seconds ago."""
    trail = Trail(State.RUNNING, NOW - points[0][0])
    for ago, progress in points:
        trail = trail.on(running(500, progress), NOW - ago)
    return trail


def look(task: Task, trail: Trail, learned: Learned = LEARNED) -> float:
    return next_look(task, trail, NOW, learned)


def test_a_task_that_can_hardly_end_yet_waits() -> None:
    assert look(running(5), seen_since(running(5), 5)) == LATER
    assert look(waiting(5), seen_since(waiting(5), 5)) == LATER


def test_the_wait_ends_when_the_first_ends_are_due() -> None:
    assert look(running(45), seen_since(running(45), 45)) == NOW + 15
    assert look(waiting(70), seen_since(waiting(70), 70)) == NOW + 20


@pytest.mark.parametrize("age", [55, 60, 150, 299, 330])
def test_where_ends_are_likely_every_sweep_looks(age: float) -> None:
    assert look(running(age), seen_since(running(age), age)) == SOON


def test_what_is_long_overdue_is_looked_at_ever_more_seldom() -> None:
    assert look(running(380), seen_since(running(380), 380)) == NOW + 20
    assert look(running(9000), seen_since(running(9000), 9000)) == LATER


def test_a_clock_far_behind_neither_skips_nor_gives_up_a_task() -> None:
    assert look(running(8 * 3600), seen_since(running(0), 0)) == SOON


def test_nothing_is_concluded_from_nothing() -> None:
    for age in (0, 5, 500, 50_000):
        assert look(running(age), seen_since(running(age), age), NOTHING) == SOON


@pytest.mark.parametrize("state", [State.BLOCKED, State.UNKNOWN])
def test_what_follows_no_rule_is_looked_at_by_every_sweep(state: State) -> None:
    assert look(replace(running(5), state=state), Trail(state, NOW)) == SOON


def test_progress_tells_when_the_end_is_near() -> None:
    assert look(running(100, 0.5), grown((50, 0.25), (0, 0.5))) == LATER
    assert look(running(100, 0.9), grown((50, 0.7), (0, 0.9))) - NOW == pytest.approx(0.95 * 25)
    assert look(running(100, 0.98), grown((50, 0.7), (0, 0.98))) == SOON


def test_progress_that_hurries_is_believed() -> None:
    assert look(running(200, 0.9), grown((100, 0.3), (20, 0.4), (0, 0.9))) == SOON


def test_progress_that_stands_still_makes_nothing_wait() -> None:
    assert look(running(200, 0.5), grown((190, 0.3), (150, 0.5), (0, 0.5))) == SOON


def test_one_figure_for_all_that_runs_is_no_progress() -> None:
    assert look(running(100, 0.3), grown((90, 0.3), (50, 0.3), (0, 0.3))) == SOON


def test_a_new_state_begins_a_new_trail() -> None:
    trail = Trail(State.QUEUED, NOW - 90).on(waiting(90), NOW - 80).on(running(5, 0.3), NOW)
    assert trail == Trail(State.RUNNING, NOW, (NOW, 0.3), None, (NOW, 0.3))


seconds = st.floats(0, 1e6)


@given(st.sampled_from(State), seconds, seconds, st.lists(st.tuples(seconds, st.floats(0, 1)), max_size=4))
def test_the_next_look_is_between_one_interval_and_the_longest(
    state: State, age: float, watched: float, points: list[tuple[float, float]]
) -> None:
    trail = Trail(state, NOW - watched)
    for ago, progress in sorted(points, reverse=True):
        trail = trail.on(replace(running(age), state=state, progress=progress), NOW - ago)
    assert SOON <= look(replace(running(age), state=state), trail) <= LATER


@given(st.floats(0, 60), st.floats(0, 60))
def test_the_older_a_young_task_the_sooner_the_look(one: float, other: float) -> None:
    younger, older = sorted((one, other))
    assert look(running(older), seen_since(running(older), older)) <= look(running(younger), seen_since(running(1), 1))


@given(st.floats(0.3, 0.99), st.floats(0.3, 0.99))
def test_the_further_a_task_the_sooner_the_look(one: float, other: float) -> None:
    less, more = sorted((one, other))
    looks = [look(running(100, at), grown((50, 0.2), (0, at))) for at in (less, more)]
    assert looks[1] <= looks[0]


def counts_of(durations: list[float]) -> Counters:
    counts = Counters()
    for at, duration in enumerate(durations):
        end = State.FAILED if at % 4 == 0 else State.SUCCEEDED
        counts.observe("run_duration_seconds", end, value=duration, bounds=BOUNDS)
    return counts


BOUNDS = tuple(map(float, range(10, 1001, 10)))


def test_spans_come_from_all_ended_tasks() -> None:
    counts = counts_of([float(each) for each in range(1, 1001)])
    span = DurationSpan.of(counts, Phase.RUN, BOUNDS)
    assert span.early == pytest.approx(70, abs=2)
    assert span.late == pytest.approx(980, abs=2)


def test_few_durations_tell_nothing() -> None:
    assert DurationSpan.of(counts_of([100.0] * 19), Phase.RUN, BOUNDS) == DurationSpan()
    assert DurationSpan.of(counts_of([100.0] * 20), Phase.RUN, BOUNDS).early > 90


def test_longer_than_all_buckets_is_never_overdue() -> None:
    span = DurationSpan.of(counts_of([5000.0] * 50), Phase.RUN, BOUNDS)
    assert span.late == float("inf")


def test_what_lies_beyond_all_buckets_may_still_wait_up_to_the_last_bound() -> None:
    assert DurationSpan.of(counts_of([5000.0] * 50), Phase.RUN, (10.0,)).early in (10.0, float("inf"))


def tracker_of(clock: Clock, *tasks: Task, **settings: object) -> Tracker:
    bounds = [f"{bound:g}s" for bound in (10, 50, 100, 1000)]
    made = PollSettings.model_validate({"poll_interval": "10s", "duration_buckets": bounds, **settings})
    counts = Counters()
    for phase in (Phase.RUN, Phase.TOTAL):
        for _ in range(100):
            counts.observe(f"{phase}_duration_seconds", State.SUCCEEDED, value=80.0, bounds=made.duration_buckets)
    return Tracker("p", "k", clock, made, 1e6, FeedRecord(NOW, NOW, NOW, counts, tasks))


def due(schedule: Schedule, at: float) -> tuple[list[str], list[str]]:
    return schedule.due(["one"], at)


async def test_a_task_waits_for_as_many_sweeps_as_it_can() -> None:
    schedule = Schedule(tracker_of(Clock.PROVIDER, running(0)))
    assert due(schedule, NOW) == (["one"], [])
    await schedule.saw({"one": NOW})
    assert [bool(due(schedule, NOW + 10 * sweep - 0.5)[0]) for sweep in (1, 2, 3)] == [False, False, True]


async def test_after_a_restart_all_are_due() -> None:
    tracker = tracker_of(Clock.PROVIDER, running(0))
    await Schedule(tracker).saw({"one": NOW})
    assert due(Schedule(tracker), NOW + 10) == (["one"], [])


async def test_durations_that_only_we_measure_let_nothing_wait() -> None:
    schedule = Schedule(tracker_of(Clock.OBSERVED, running(0)))
    await schedule.saw({"one": NOW})
    assert due(schedule, NOW + 10) == (["one"], [])


async def test_while_a_task_is_missed_nothing_waits() -> None:
    tracker = tracker_of(Clock.PROVIDER, running(0), Task("gone", State.QUEUED, NOW, NOW))
    schedule = Schedule(tracker)
    await schedule.saw({"one": NOW})
    assert due(schedule, NOW + 10) == ([], ["one"])
    tracker.in_flight["gone"] = replace(tracker.in_flight["gone"], missing=1)
    assert due(schedule, NOW + 10) == (["one"], [])


async def test_a_task_does_not_seem_stalled_because_nobody_looks() -> None:
    schedule = Schedule(tracker_of(Clock.PROVIDER, running(0), stalled_after="30s"))
    await schedule.saw({"one": NOW})
    assert due(schedule, NOW + 10) == ([], ["one"])
    assert due(schedule, NOW + 15) == (["one"], [])


async def test_what_has_ended_is_forgotten() -> None:
    tracker = tracker_of(Clock.PROVIDER, running(0))
    schedule = Schedule(tracker)
    await schedule.saw({"one": NOW})
    del tracker.in_flight["one"]
    await schedule.saw({"one": NOW + 10})
    assert due(schedule, NOW + 10) == (["one"], [])


async def test_the_next_looks_at_very_many_tasks_let_others_have_their_turn() -> None:
    tasks = [Task(str(number), State.RUNNING, NOW, NOW, started=NOW) for number in range(2 * AT_ONCE + 1)]
    schedule = Schedule(tracker_of(Clock.PROVIDER, *tasks))
    _, turns = await with_turns_of_others(schedule.saw({task.id: NOW for task in tasks}))
    assert turns == 2
    assert schedule.due([task.id for task in tasks], NOW + 10) == ([], [task.id for task in tasks])
