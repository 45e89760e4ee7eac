"""Counters as plain data."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.counters import Counters

Bounds = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=8, unique=True).map(lambda some: tuple(sorted(some)))


def test_what_was_never_counted_is_zero_and_leaves_no_trace() -> None:
    counts = Counters()
    assert counts["finished_total", "succeeded"] == 0
    assert not counts


def test_a_value_falls_into_the_first_bucket_that_holds_it() -> None:
    counts = Counters()
    assert [counts.observe("h", value=value, bounds=(1.0, 2.0)) for value in (0.5, 1.0, 1.5, 2.5)] == [
        "1.0",
        "1.0",
        "2.0",
        "+Inf",
    ]
    assert counts.buckets("h", bounds=(1.0, 2.0)) == ([("1.0", 2), ("2.0", 3), ("+Inf", 4)], 5.5)


def test_histograms_of_other_labels_are_apart() -> None:
    counts = Counters()
    counts.observe("h", "succeeded", value=1.0, bounds=(1.0,))
    counts.observe("h", "failed", value=3.0, bounds=(1.0,))
    assert counts.buckets("h", "failed", bounds=(1.0,)) == ([("1.0", 0), ("+Inf", 1)], 3.0)


@given(st.lists(st.floats(0, 2e4), max_size=30), Bounds, Bounds)
def test_other_bounds_lose_no_count_and_never_flatter(
    values: list[float], before: tuple[float], now: tuple[float]
) -> None:
    counts = Counters()
    for value in values:
        counts.observe("h", value=value, bounds=before)
    buckets, _ = counts.buckets("h", bounds=now)
    cumulative = [count for _, count in buckets]
    assert cumulative == sorted(cumulative)
    assert cumulative[-1] == len(values)
    for bound, count in buckets:
        assert count <= sum(value <= float(bound) for value in values)
