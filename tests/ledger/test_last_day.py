"""What began, ended and failed in each step of the last day: the same after every sweep as out of the ledger."""

from __future__ import annotations

import random

import pytest

from exporter.ledger.counting.last_day import LastDay, step_of
from exporter.tasks import Clock, Observation, Reason, State
from tests.harness import START, Desk

STEP = 300.0
"""Seconds: five minutes."""
STEPS = 288
"""24 hours of them."""


def ran(task_id: str, begin: float, end: float, state: State = State.SUCCEEDED) -> Observation:
    """A task that has ended, by the vendor's times."""
    reason = Reason.TIMEOUT if state is State.FAILED else None
    return Observation(task_id, state, reason, submitted=begin, started=begin, ended=end)


def shown(last_day: LastDay) -> list[list[int]]:
    return [list(last_day.begun), list(last_day.ended), list(last_day.failed)]


async def test_the_first_sweep_shows_the_day_before_it() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(
        ran("a", START - 3 * STEP, START - STEP),
        ran("b", START - 3 * STEP, START - 2 * STEP, State.FAILED),
        Observation("c", State.RUNNING, submitted=START - STEP),
    )
    last_day = desk.tracker.last_day.at(desk.now)
    assert sum(last_day.begun) == 3
    assert [at for at, count in enumerate(last_day.ended) if count] == [STEPS - 3, STEPS - 2]
    assert [at for at, count in enumerate(last_day.failed) if count] == [STEPS - 3]
    assert last_day.in_flight(1, desk.now)[-5:] == [0, 2, 1, 1, 1]


@pytest.mark.parametrize("restarts", [False, True], ids=["as it goes on", "after a restart"])
@pytest.mark.parametrize(("ago", "count"), [(24 * 3600 - STEP, 1), (24 * 3600 + STEP, 0)])
async def test_an_end_is_drawn_for_24_hours(ago: float, count: int, restarts: bool) -> None:
    desk = Desk(Clock.PROVIDER, history="3d")
    now = START + 15
    await desk.sweep(ran("a", now - ago - 60, now - ago))
    last_day = (desk.restarted() if restarts else desk).tracker.last_day.at(now)
    assert (sum(last_day.ended), len(last_day.ended) * STEP) == (count, 24 * 3600)


async def test_what_ended_more_than_a_day_ago_is_left_out() -> None:
    desk = Desk(Clock.PROVIDER, history="3d")
    await desk.sweep(ran("a", START - 2 * 86400, START - 2 * 86400 + 60))
    assert shown(desk.tracker.last_day.at(desk.now)) == shown(LastDay())


async def test_steps_leave_as_time_goes_by() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(ran("a", START - 60, START - 30))
    assert sum(desk.tracker.last_day.at(desk.now + (STEPS - 2) * STEP).ended) == 1
    assert sum(desk.tracker.last_day.at(desk.now + (STEPS + 1) * STEP).ended) == 0


async def test_ends_that_nothing_dates_are_no_peak_at_the_first_sweep() -> None:
    desk = Desk(Clock.OBSERVED)
    await desk.sweep(*(Observation(f"t{n}", State.SUCCEEDED) for n in range(50)))
    assert sum(desk.tracker.last_day.at(desk.now).ended) == 0


async def test_nothing_is_known_of_what_was_in_flight_after_the_last_sweep() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(Observation("a", State.RUNNING, submitted=START - 60))
    later = desk.tracker.last_day.at(desk.now + 3 * STEP)
    assert later.in_flight(1, desk.now)[-5:] == [0, 1, None, None, None]


async def test_a_day_of_sweeps_and_a_restart_tell_the_same() -> None:
    chance = random.Random(5)
    desk = Desk(Clock.PROVIDER)
    lives = []
    for number in range(300):
        begin = START + chance.uniform(0, 20 * 3600)
        end = begin + chance.uniform(30, 5000)
        lives.append((f"t{number}", begin, end, chance.choice((State.SUCCEEDED, State.FAILED, State.CANCELLED))))
    while desk.now < START + 22 * 3600:
        now = desk.now + 400
        rows = [
            ran(name, begin, end, state)
            if end <= now
            else Observation(name, State.RUNNING, submitted=begin, started=begin)
            for name, begin, end, state in lives
            if begin <= now and end > now - 3600
        ]
        await desk.sweep(*rows, after=400)
        in_flight = len(desk.tracker.in_flight)
        assert desk.tracker.last_day.at(desk.now).in_flight(in_flight, desk.now)[-1] == in_flight
    last_day = desk.tracker.last_day.at(desk.now)
    assert shown(desk.restarted().tracker.last_day.at(desk.now)) == shown(last_day)
    truth = [
        sum(begin < edge * STEP <= end for _, begin, end, _ in lives)
        for edge in range(step_of(desk.now) - STEPS + 2, step_of(desk.now) + 1)
    ]
    assert last_day.in_flight(len(desk.tracker.in_flight), desk.now)[:-1] == truth


async def test_a_task_that_is_replaced_is_taken_back() -> None:
    desk = Desk(Clock.PROVIDER)
    await desk.sweep(looked_up=[Observation("whole", State.RUNNING, submitted=START)])
    await desk.sweep(looked_up=[Observation("part", State.RUNNING, submitted=START)], replaced={"whole"})
    assert sum(desk.tracker.last_day.at(desk.now).begun) == 1
    assert shown(desk.restarted().tracker.last_day.at(desk.now)) == shown(desk.tracker.last_day.at(desk.now))


def test_a_clock_that_is_ahead_dates_nothing_after_now() -> None:
    last_day = LastDay.of([(step_of(START), 2, 0, 0), (step_of(START) + 9, 0, 2, 2)], [], START)
    assert (last_day.last, last_day.ended[-1], last_day.failed[-1], last_day.begun[-1]) == (step_of(START), 2, 2, 2)


def test_a_value_is_never_changed() -> None:
    before = LastDay()
    after = LastDay.of([(step_of(START), 1, 1, 0)], [], START)
    assert sum(before.ended) == 0
    assert sum(after.at(START + STEP).ended) == sum(after.ended) == 1
