"""How many requests a provider may still be sent: `max_requests_per_day`, spread evenly over the feeds and the hours.

What was sent is counted by quarters of an hour, and outlives the process. A quarter counts until all of it is a day
old, so that no 24 hours see more than the budget and the sweep that used it up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import fmean

from pydantic import TypeAdapter, ValidationError

DAY = 86400.0
QUARTER = 900.0

HORIZON = 3 * 3600.0
"""The least seconds that what remains has to last. After a costly sweep the pace slackens early and gradually, rather
than that polling stops at the end of the day; the price is that a ninth of the budget is kept in reserve."""

SWEEPS = 8
"""Sweeps of a feed whose mean predicts what the next one will cost."""

_SPENT = TypeAdapter(dict[int, int])


class Budget:
    """The requests of one provider within a day. Times are Unix seconds."""

    def __init__(self, limit: int, saved: str = "", wall_clock: Callable[[], float] = time.time) -> None:
        """`saved` is what `text` gave, in this process or an earlier one."""
        self.limit = limit
        self._wall_clock = wall_clock
        try:
            self._spent = _SPENT.validate_json(saved or "{}")
        except ValidationError:  # damaged: as if nothing had been sent
            self._spent = {}
        self._sent = 0
        self._costs: dict[str, deque[int]] = {}

    @property
    def text(self) -> str:
        """What was spent, as it is kept."""
        return _SPENT.dump_json(self._spent).decode()

    def spend(self, sent: int, kind: str = "") -> None:
        """Takes in how many requests this process has sent; `kind` names the feed that has just been swept, if any."""
        requests, self._sent = sent - self._sent, sent
        quarter = int(self._wall_clock() // QUARTER)
        self._spent = {each: count for each, count in self._spent.items() if self._counts(each)}
        self._spent[quarter] = self._spent.get(quarter, 0) + requests
        if kind in self._costs:
            self._costs[kind].append(requests)
        elif kind:  # the first sweep reads a long history, those after it do not
            self._costs[kind] = deque([1], maxlen=SWEEPS)

    def go_on_from(self, other: Budget) -> None:
        """Takes over the requests counted by another budget of the same provider, which is no longer in use."""
        self._spent = dict(other._spent)

    def _counts(self, quarter: int) -> bool:
        """Whether part of the quarter lies within the last day, or ahead of us after the clock was set back."""
        return (quarter + 1) * QUARTER > self._wall_clock() - DAY

    @property
    def remaining(self) -> int:
        """How many requests may be sent now."""
        return max(0, self.limit - sum(count for quarter, count in self._spent.items() if self._counts(quarter)))

    @property
    def interval(self) -> float:
        """Seconds between two sweeps of each feed at which the budget lasts."""
        cost = sum(fmean(costs) for costs in self._costs.values())
        return max(1.0, cost) * max(DAY / self.limit, HORIZON / max(1, self.remaining))

    @property
    def wait(self) -> float:
        """Seconds until anything may be sent; 0 while something remains."""
        if self.remaining:
            return 0.0
        oldest = min(quarter for quarter, count in self._spent.items() if count and self._counts(quarter))
        return max(1.0, (oldest + 1) * QUARTER + DAY - self._wall_clock())
