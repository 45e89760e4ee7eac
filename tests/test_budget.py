"""How many requests a provider may be sent within a day, and how they are spread."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from exporter.polling.budget import Budget
from exporter.simulator import HandClock

HOUR = 3600.0
DAY = 86400.0


def polled(clock: HandClock, limit: int, days: float, cost: list[int], restarts: int = 0) -> list[tuple[float, int]]:
    """What one feed sends that keeps to a budget: the times of its sweeps with what each sends."""
    chance = random.Random(limit)
    budget, total = Budget(limit, wall_clock=clock), 0
    sent: list[tuple[float, int]] = []
    until = clock.now + days * DAY
    while clock.now < until:
        if not budget.wait:
            price = chance.choice(cost) if sent else max(cost)
            total += price
            sent.append((clock.now, price))
            budget.spend(total, "feed")
        if chance.random() < restarts / 1000:
            budget, total = Budget(limit, budget.text, clock), 0
            continue
        clock.now += max(15.0, budget.wait or budget.interval)
    return sent


@pytest.mark.parametrize("restarts", [0, 20, 900])
@pytest.mark.parametrize("cost", [[1], [1, 2, 30], [40]], ids=str)
def test_no_24_hours_see_more_than_the_budget_and_one_sweep(cost: list[int], restarts: int) -> None:
    sent = polled(HandClock(), 500, 4, cost, restarts)
    for start, _ in sent:
        assert sum(price for at, price in sent if start <= at < start + DAY) <= 500 + max(cost)


@pytest.mark.parametrize("cost", [[1], [1, 2, 3]], ids=str)
def test_most_of_the_budget_is_used_and_evenly(cost: list[int]) -> None:
    clock = HandClock()
    sent = polled(clock, 2000, 4, cost)
    last_day = [(at, price) for at, price in sent if at >= clock.now - DAY]
    assert sum(price for _, price in last_day) >= 0.8 * 2000
    gaps = [later[0] - at[0] for at, later in pairwise(sent)]
    assert max(gaps) <= 4 * sum(gaps) / len(gaps)


def test_a_long_first_sweep_brings_no_silence() -> None:
    clock = HandClock()
    budget = Budget(1000, wall_clock=clock)
    budget.spend(200, "feed")
    assert budget.remaining == 800
    assert budget.interval == pytest.approx(DAY / 1000)


def test_once_less_than_an_eighth_is_left_it_is_stretched_further() -> None:
    budget = Budget(800, wall_clock=HandClock())
    intervals = []
    for sent in (699, 700, 720, 750):
        budget.spend(sent)
        intervals.append(budget.interval)
    assert intervals == [DAY / 800, DAY / 800, pytest.approx(3 * HOUR / 80), pytest.approx(3 * HOUR / 50)]


def test_all_feeds_share_the_budget() -> None:
    clock = HandClock()
    alone, shared = Budget(1000, wall_clock=clock), Budget(1000, wall_clock=clock)
    for sweep in range(1, 11):
        alone.spend(2 * sweep, "one")
        shared.spend(4 * sweep - 2, "one")
        shared.spend(4 * sweep, "other")
    assert shared.interval == pytest.approx(2 * alone.interval)
    assert shared.remaining == 960


def test_eight_sweeps_tell_what_the_next_one_costs() -> None:
    clock = HandClock()
    budget, sent = Budget(96_000, wall_clock=clock), 0
    budget.spend(sent, "feed")
    intervals = []
    for cost in [100] * 8 + [2] * 8:
        sent += cost
        budget.spend(sent, "feed")
        intervals.append(budget.interval)
    assert intervals[7] == pytest.approx(100 * 0.9)
    assert intervals[14] == pytest.approx((100 + 7 * 2) / 8 * 0.9)
    assert intervals[15] == pytest.approx(2 * 0.9)


def test_what_was_sent_comes_back_after_a_day_and_not_sooner() -> None:
    clock = HandClock()
    budget = Budget(100, wall_clock=clock)
    budget.spend(100)
    assert budget.remaining == 0
    assert DAY <= budget.wait <= DAY + 900
    clock.now += DAY - 1
    assert budget.remaining == 0
    clock.now += budget.wait
    assert (budget.remaining, budget.wait) == (100, 0)


def test_what_was_sent_survives_a_restart() -> None:
    clock = HandClock()
    before = Budget(100, wall_clock=clock)
    before.spend(30)
    before.spend(45)
    assert Budget(100, before.text, clock).remaining == 55


def test_a_record_that_cannot_be_read_is_as_none() -> None:
    assert Budget(100, "{not json").remaining == 100


def test_a_clock_that_was_set_back_gives_nothing_back() -> None:
    clock = HandClock()
    budget = Budget(100, wall_clock=clock)
    budget.spend(60)
    clock.now -= 8 * HOUR
    assert budget.remaining == 40
