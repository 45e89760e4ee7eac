"""A simulated task at every instant of its life."""

from __future__ import annotations

import pytest

from exporter.simulator import Life, LifeMoment
from exporter.tasks import Reason, State

T = 1_000_000.0


def life(
    queue: float | None = 10,
    run: float | None = 100,
    end: State | None = State.SUCCEEDED,
    blocked: tuple[float, float] | None = None,
    vanishes_after: float | None = None,
) -> Life:
    return Life("t1", "deerapi", "sora", T, queue, run, end, blocked=blocked, vanishes_after=vanishes_after)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0, LifeMoment(T, State.QUEUED, 0.0, None, None)),
        (9.9, LifeMoment(T + 9.9, State.QUEUED, 0.0, None, None)),
        (10, LifeMoment(T + 10, State.RUNNING, 0.0, T + 10, None)),
        (60, LifeMoment(T + 60, State.RUNNING, 0.5, T + 10, None)),
        (110, LifeMoment(T + 110, State.SUCCEEDED, 1.0, T + 10, T + 110)),
        (9999, LifeMoment(T + 9999, State.SUCCEEDED, 1.0, T + 10, T + 110)),
    ],
)
def test_a_life_waits_runs_and_ends(after: float, expected: LifeMoment) -> None:
    assert life().at(T + after) == expected


def test_progress_never_falls_and_is_whole_only_on_success() -> None:
    for end in (State.SUCCEEDED, State.FAILED, None):
        shown = [life(end=end).at(T + second).progress for second in range(300)]
        assert shown == sorted(shown)
        assert (max(shown) == 1.0) is (end is State.SUCCEEDED)


def test_a_life_that_never_starts_waits_for_ever() -> None:
    assert life(queue=None, end=None).at(T + 1e9).state is State.QUEUED


def test_a_life_without_an_end_runs_for_ever() -> None:
    moment = life(run=None, end=None).at(T + 1e9)
    assert (moment.state, moment.ended) == (State.RUNNING, None)


def test_a_life_without_work_ends_straight_out_of_the_queue() -> None:
    cancelled = life(run=None, end=State.CANCELLED)
    assert cancelled.at(T + 9).state is State.QUEUED
    assert cancelled.at(T + 10) == LifeMoment(T + 10, State.CANCELLED, 0.0, None, T + 10)


def test_a_life_is_blocked_only_within_its_window() -> None:
    frozen = life(blocked=(5, 20))
    states = [frozen.at(T + after).state for after in (4, 5, 24, 25, 110)]
    assert states == [State.QUEUED, State.BLOCKED, State.BLOCKED, State.RUNNING, State.SUCCEEDED]


def test_a_life_that_vanishes_before_its_end_is_lost() -> None:
    lost = life(vanishes_after=50)
    assert lost.exists(T + 49)
    assert not lost.exists(T + 50)
    assert lost.at(T + 49).state is State.RUNNING
    assert lost.at(T + 500) == LifeMoment(T + 500, State.LOST, 0.4, T + 10, T + 50)


def test_a_life_that_vanishes_after_its_end_keeps_its_end() -> None:
    forgotten = life(vanishes_after=200)
    assert not forgotten.exists(T + 300)
    assert forgotten.at(T + 300).state is State.SUCCEEDED


def test_a_life_does_not_exist_before_its_submission() -> None:
    assert not life().exists(T - 1)


def test_a_failed_life_keeps_its_reason() -> None:
    failed = Life("t1", "deerapi", "sora", T, 0, 5, State.FAILED, Reason.TIMEOUT)
    assert failed.at(T + 5).state is State.FAILED
    assert failed.reason is Reason.TIMEOUT
