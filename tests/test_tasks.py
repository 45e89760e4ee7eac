"""The vocabulary, and what a task knows of its own times."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.tasks import ENDS, IN_FLIGHT, MEASURED_ENDS, Phase, State, Task


def task(**facts: Any) -> Task:
    return Task(**{"id": "a", "state": State.SUCCEEDED, "first_seen": 1000.0, "changed": 1000.0, **facts})


def test_every_state_is_either_in_flight_or_an_end() -> None:
    assert sorted((*IN_FLIGHT, *ENDS)) == sorted(State)
    assert [state for state in State if state.is_end] == list(ENDS)
    assert set(MEASURED_ENDS) < set(ENDS)


@pytest.mark.parametrize(
    ("facts", "queue", "run", "total"),
    [
        ({"submitted": 10.0, "started": 20.0, "ended": 50.0}, 10.0, 30.0, 40.0),
        ({"submitted": 10.0, "ended": 50.0}, None, None, 40.0),
        ({"started": 20.0, "ended": 50.0}, None, 30.0, None),
        ({"submitted": 10.0, "started": 20.0}, 10.0, None, None),
        ({"dated": 50.0}, None, None, None),
        ({}, None, None, None),
    ],
)
def test_a_phase_lasts_from_one_known_time_to_the_next(
    facts: dict[str, float], queue: float | None, run: float | None, total: float | None
) -> None:
    assert [task(**facts).duration(phase) for phase in Phase] == [queue, run, total]


def test_the_vendors_times_go_before_the_observed_ones() -> None:
    both = task(submitted=10.0, started=20.0, ended=50.0, seen_started=25.0, seen_ended=55.0, appeared=True)
    assert (both.submitted_at, both.started_at, both.ended_at) == (10.0, 20.0, 50.0)


def test_observed_times_stand_in_where_the_vendor_gives_none() -> None:
    observed = task(first_seen=12.0, appeared=True, seen_started=25.0, seen_ended=55.0)
    assert [observed.duration(phase) for phase in Phase] == [13.0, 30.0, 43.0]


def test_a_task_that_was_there_before_the_first_look_has_no_observed_submission() -> None:
    assert task(first_seen=12.0, seen_started=25.0).duration(Phase.QUEUE) is None


@pytest.mark.parametrize(("begin", "length"), [(60.0, 0.0), (60.5, None), (0.5, 0.0)])
def test_clocks_slightly_out_of_step_make_a_duration_of_zero_and_no_more(begin: float, length: float | None) -> None:
    assert task(submitted=100.0 + begin, started=100.0).duration(Phase.QUEUE) == length


@pytest.mark.parametrize(
    ("facts", "placed"),
    [
        ({"ended": 4.0, "seen_ended": 3.0, "dated": 2.0, "submitted": 1.0}, 4.0),
        ({"seen_ended": 3.0, "dated": 2.0, "submitted": 1.0}, 3.0),
        ({"dated": 2.0, "submitted": 1.0}, 2.0),
        ({"submitted": 1.0}, 1.0),
        ({}, 1000.0),  # when it was seen
    ],
)
def test_an_end_is_placed_by_the_best_date_there_is(facts: dict[str, float], placed: float) -> None:
    assert task(**facts).placed_at == placed
    assert task(**facts).is_dated == bool(facts)
