"""What is kept between two runs, and the moments of a history."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.history.facts import LAST_FINISHED, Fact
from exporter.history.span import SampleTimes
from exporter.history.state import SCALE, ExportState, Hashes, ListProgress
from exporter.vendors.vendor import Position

SPAN = SampleTimes.of(3600.0, 0.0, 60.0, 1_790_000_030.0)
COUNT, SUM, LATEST = ("finished_total", "failed"), ("run_duration_seconds", "failed", "sum"), (LAST_FINISHED, "failed")


@given(st.lists(st.integers(-(2**63), 2**63 - 1).filter(bool)))
def test_hashes_are_a_set(numbers: list[int]) -> None:
    hashes = Hashes()
    for end in range(0, len(numbers), 3):
        hashes.update(numbers[end : end + 3])
    assert len(hashes) == len(set(numbers))
    assert all(number in hashes for number in numbers)
    assert not any(number ^ 1 in hashes for number in numbers if number ^ 1 and number ^ 1 not in numbers)


def test_very_many_hashes_stay_a_set() -> None:
    numbers = {Random(7).getrandbits(63) for _ in range(1)} | {Random(seed).getrandbits(63) for seed in range(5000)}
    hashes = Hashes()
    hashes.update(numbers)
    hashes.update(numbers)
    assert len(hashes) == len(numbers)


def test_moments_are_multiples_of_the_step_and_hold_what_came_after_the_first() -> None:
    assert (SPAN.start % 60, SPAN.end % 60, SPAN.last - SPAN.first) == (0, 0, 60)
    assert SPAN.end <= 1_790_000_030.0 < SPAN.end + 60
    assert not SPAN.holds(SPAN.start)
    assert SPAN.holds(SPAN.start + 0.5)
    assert SPAN.moment_of(SPAN.start + 0.5) == SPAN.first + 1
    assert SPAN.holds(SPAN.end)
    assert not SPAN.holds(SPAN.end + 0.5)
    earlier = SampleTimes.of(7200.0, 3600.0, 60.0, 1_790_000_030.0)
    assert (earlier.last, earlier.last - earlier.first) == (SPAN.first, 60)


def test_what_pages_brought_is_there_for_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "state"
    state = ExportState.open(path, SPAN)
    feed = state.feed("one", "video", "settings")
    moment = SPAN.first + 5
    assert feed.fresh(["a", "b", "a"]) == ["a", "b"]
    first = [Fact(COUNT, moment, 1), Fact(SUM, moment, 0.1), Fact(LATEST, moment, 20.5)]
    feed.keep(["a", "b"], first, ListProgress(Position(1, 50, "next"), pages=1))
    feed.keep([], [Fact(COUNT, moment, 1), Fact(SUM, moment, 0.2), Fact(LATEST, moment, 10.0)], ListProgress(pages=2))
    state.close()
    again = ExportState.open(path, SampleTimes.of(3600.0, 0.0, 60.0, 1_790_009_999.0))
    assert again.span == SPAN
    assert not again.is_new
    feed = again.feed("one", "video", "settings")
    assert feed.progress == ListProgress(pages=2)
    assert feed.fresh(["a", "c"]) == ["c"]
    assert again.feed("one", "other", "settings").fresh(["a"]) == ["a"]
    assert {key: list(feed.cells(key)) for key in feed.keys} == {
        COUNT: [(moment, 2 * SCALE)],
        SUM: [(moment, 300_000)],
        LATEST: [(moment, 20.5)],
    }
    again.remove()
    assert not list(tmp_path.iterdir())


def test_a_page_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    state = ExportState.open(tmp_path / "state", SPAN)
    feed = state.feed("one", "video", "settings")
    with pytest.raises(OverflowError):
        feed.keep(["a"], [Fact(COUNT, SPAN.first + 1, 1), Fact(COUNT, 2**70, 1)], ListProgress(pages=1))
    assert feed.fresh(["a"]) == ["a"]
    assert feed.progress == ListProgress()
    assert list(feed.cells(COUNT)) == []
