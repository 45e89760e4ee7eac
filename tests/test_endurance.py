"""A feed over weeks in fast-forward: what is kept has bounds, and what is forgotten is not counted again.

The run of five million tasks, with its times and its memory, is `make endurance`.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.endurance import BEGIN, LONGEST, Months, Pace, rows_in

HOUR = 3600.0
PACE = Pace(arrivals=1990, step=5 * HOUR, retention=HOUR)
"""More tasks in a sweep than any fixed number at a time could forget; their ends are remembered for a few sweeps.

They fill their pages nearly, so that most of the tasks that were in flight at the last sweep have to be looked up.
"""
IN_FLIGHT = math.ceil(PACE.arrivals * LONGEST / PACE.step)
"""Most tasks in flight at any time."""


@pytest.mark.slow
async def test_rows_memory_and_file_stay_as_they_are_while_retention_passes_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    rows, held, sizes = [], [], []
    now, ended = BEGIN, 0
    for _ in range(5):  # each time as a new process would
        months = await Months.begun(path, PACE, now)
        for _ in range(10):
            await months.sweep()
            sizes.append(months.file_size)
            held.append(months.held)
        now, ended = months.clock(), months.feed.ended()
        assert (months.counted, months.gaps) == (ended, 0)
        await months.close()
        rows.append(rows_in(path))
    assert ended > 99_000
    assert max(rows) <= PACE.remembered + IN_FLIGHT, rows
    assert min(rows) >= PACE.remembered - PACE.arrivals, rows
    # Each of the tasks that were in flight once may leave nothing behind.
    assert max(held[begin + 9] - held[begin + 1] for begin in range(0, len(held), 10)) <= IN_FLIGHT, held
    assert max(sizes[10:]) <= 1.1 * max(sizes[:10]), sizes  # room that was given up is taken again
