"""What a sweep keeps of the rows that it is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.ledger.sweep import AS_BEFORE, Sweep
from exporter.tasks import UNREACHED, Field, Observation, State, Task

NOW = 1_800_000_000.0
KNOWN = Task(
    "a",
    State.RUNNING,
    first_seen=NOW - 60,
    changed=NOW - 30,
    progress=0.4,
    submitted=NOW - 50,
    started=NOW - 40,
    told=frozenset({"queue", Field.PROGRESS}),
)
SHOWN = Observation("".join(["a"]), State.RUNNING, progress=0.4, submitted=NOW - 50, started=NOW - 40)


def kept(row: Observation, task: Task = KNOWN) -> Observation:
    sweep = Sweep({task.id: task})
    sweep.show([row], NOW, listed=True)
    observation, at = sweep.listed[row.id]
    assert at == NOW
    return observation


def test_a_row_that_shows_a_task_as_it_was_is_not_kept() -> None:
    assert kept(SHOWN) is AS_BEFORE
    assert kept(replace(SHOWN, submitted=None, started=None)) is AS_BEFORE  # what was told before stands
    assert kept(replace(SHOWN, unmapped=frozenset({Field.PROGRESS}))) is AS_BEFORE  # counted already


@pytest.mark.parametrize(
    "row",
    [
        replace(SHOWN, state=State.QUEUED),
        replace(SHOWN, state=State.SUCCEEDED),
        replace(SHOWN, progress=0.41),
        replace(SHOWN, progress=None),
        replace(SHOWN, submitted=NOW - 51),
        replace(SHOWN, started=NOW - 41),
        replace(SHOWN, ended=NOW - 1),
        replace(SHOWN, dated=NOW),
        replace(SHOWN, output_seconds=5.0),
        replace(SHOWN, unmapped=frozenset({Field.STATE})),
        replace(SHOWN, id="b"),
    ],
)
def test_a_row_that_shows_anything_else_is_kept(row: Observation) -> None:
    assert kept(row) is row


@pytest.mark.parametrize("task", [replace(KNOWN, missing=1), replace(KNOWN, told=KNOWN.told | {UNREACHED})])
def test_a_task_that_comes_into_sight_again_is_kept(task: Task) -> None:
    assert kept(SHOWN, task) is SHOWN


def test_the_later_of_two_rows_counts_but_no_end_is_taken_back() -> None:
    sweep = Sweep({"a": KNOWN})
    moved, ended = replace(SHOWN, progress=0.5), replace(SHOWN, state=State.SUCCEEDED)
    for rows, last in (([SHOWN, moved], moved), ([moved, SHOWN], AS_BEFORE), ([ended, SHOWN], ended)):
        sweep.show(rows, NOW, listed=True)
        assert sweep.listed["a"][0] is last


@pytest.mark.parametrize("shown", ["listed", "looked up", "not found"])
def test_a_sweep_saw_what_any_answer_showed(shown: str) -> None:
    sweep = Sweep(not_found={shown} & {"not found"})
    sweep.show([Observation(shown, State.RUNNING)] if shown == "listed" else [], NOW, listed=True)
    sweep.show([Observation(shown, State.RUNNING)] if shown == "looked up" else [], NOW, listed=False)
    assert sweep.saw(shown)
    assert not sweep.saw("another")
