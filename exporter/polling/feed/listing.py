"""Reads a feed's list: every sweep down to what is known, and now and then further, for rows that came late.

A row may become visible long after its submission: replicas lag, transactions take their time, and a list that is
sorted by the last change hides new rows below old ones. Such a row lies below known rows, where no usual sweep looks.
So a pass walks down the list as far as a late row may lie, a slice at a time, at a bounded share of the calls. After an
outage it also reads, without a rest, what the limit of a sweep has cut off.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from exporter.client.errors import CallError, ContractBroken
from exporter.config.models import ProviderSettings
from exporter.ledger.ledger import Ledger
from exporter.ledger.sweep import Sweep
from exporter.ledger.tracker import Tracker
from exporter.polling.feed.fills import Fills
from exporter.tasks import CLOCK_SKEW, Observation
from exporter.vendors.vendor import START, Feed, Page, Position
from exporter.vendors.walk import Descent, Walk, is_before, is_oldest_first, placed

PAGE_LIMIT = 100
"""List pages that one sweep reads at most."""

LEAST_PAGE = 50
"""Rows that count for a page at least, in the limit of rows that one sweep reads: some vendors ignore small sizes."""

IN_FLIGHT_LIMIT = 50_000
"""Tasks in flight that a feed may have through its list: as many as the largest sweep can read."""

EVERY = 8
"""Sweeps from one slice of a late pass to the next, at least."""

UNDATED_PAGES = 5
"""Pages that a late pass reads below known ground where rows have no dates."""


class LatePass:
    """When the list is read below known ground, where to go on, and how far back in time."""

    def __init__(self, lag: float, read: float) -> None:
        """`read` is when the list was read last. What that pass saw is unknown, so the first one here goes deeper."""
        self.lag = lag
        self.since = read - 2 * lag
        """What was submitted before this has been visible to an earlier pass."""
        self.due_before = read - lag
        """What was submitted before this should have been visible when the list was read below known ground."""
        self.resume: Position | None = None
        self.pages = 0
        self._began: float | None = None
        self._sliced = read
        self._wait = EVERY
        self._is_behind = False

    def is_due(self, now: float) -> bool:
        """Whether this sweep reads a slice; to be asked once in each. The more pages the last one took, the later."""
        self._wait -= 1
        is_wanted = self.lag > 0 or self._is_behind
        return is_wanted and (self._wait < 0 or now - self._sliced >= self.lag)

    def begin(self, now: float) -> None:
        self._sliced = now
        if self._began is None:
            self._began = now

    def cut_off(self, position: Position, now: float) -> None:
        """The limit of a sweep came before known ground: the next sweeps read on from there."""
        self.begin(now)
        self.resume, self._is_behind, self._wait = position, True, 0

    def rest(self, pages: int) -> None:
        """Ends a slice that took so many calls."""
        self._wait = 0 if self._is_behind else max(EVERY, 2 * pages)

    def complete(self, now: float) -> None:
        """All that could be visible when the pass began has been read."""
        began = now if self._began is None else self._began
        self.since = self.due_before = began - self.lag
        self.resume, self._began, self.pages, self._sliced = None, None, 0, now
        self._is_behind = False


class ListReader:
    """Reads the list of one feed."""

    def __init__(
        self,
        feed: Feed,
        tracker: Tracker,
        ledger: Ledger,
        settings: ProviderSettings,
        wall_clock: Callable[[], float],
        called: Callable[[Awaitable[Page]], Awaitable[Page]],
        fills: Fills,
    ) -> None:
        """`called` makes each call; `fills` keeps ends that only look-ups complete."""
        self._feed = feed
        self._tracker = tracker
        self._ledger = ledger
        self._settings = settings
        self._wall_clock = wall_clock
        self._called = called
        self._fills = fills
        self.unlisted: set[str] = set()
        """Tasks that only look-ups have brought since the last complete sweep: they are no known ground."""
        now = wall_clock()
        self._late = LatePass(settings.list_lag, now if tracker.polled is None else min(now, tracker.polled))
        # Whether the list must have known rows: it had rows the last time, or the ledger has recent tasks.
        self._had_rows = bool(tracker.in_flight or tracker.recent(now))
        self._newest: float | None = None  # of the rows that it had the last time, where the vendor lists a window
        self._depth = 1  # pages to read before known ground ends the reading
        self._row_limit = PAGE_LIMIT * max(settings.page_size, LEAST_PAGE)

    async def read(self, sweep: Sweep) -> None:
        """Reads pages, newest first, until one ends on known ground, or before the history at the very first time.

        Raises CallError, StoreError.
        """
        now = self._wall_clock()
        floor = self._tracker.floor(now)
        reached, read_all = False, True
        position, last, descent = START, _NOTHING, Descent(is_sorted=self._feed.is_sorted)
        async for last in self._pages(sweep):
            position, rows = last.next, last.page.observations
            known = bool(rows) and self._is_known_ground(rows, sweep)
            is_below = (self._feed.is_sorted or self._feed.looks_up) and descent.is_below(rows, floor)
            if (known and self._tracker.swept and position.index >= self._depth) or is_below:
                reached = True
                read_all = last.page.last or not known
                break
        # A row that moves up from a page not yet read to one that has been is shown on neither: so as far down once
        # more, but not for ever, for there are vendors whose last page begins with the end of the one before it.
        self._depth = position.index if sweep.shifted and self._depth == 1 else 1
        known_ones = sweep.ended_before | (self._tracker.in_flight.keys() & sweep.listed.keys())
        ground = bool(known_ones - self.unlisted)
        sweep.gap = not reached and (sweep.cut or (self._had_rows and not ground and not self._has_run_out(now)))
        self._had_rows = bool(sweep.listed)
        if self._feed.window is not None:
            dates = [at for one, _ in sweep.listed.values() if (at := placed(one)) is not None]
            self._newest = max(dates, default=None)
        is_due = self._late.is_due(now)
        if sweep.cut and not reached:
            self._late.cut_off(position, now)
        elif read_all:
            self._late.complete(now)
        elif is_due:
            await self._read_late(sweep, last, now)
        self._refuse_a_flood(sweep)

    def _is_known_ground(self, rows: Sequence[Observation], sweep: Sweep) -> bool:
        """Whether all below these rows of a list is known, since the last of them is."""
        if not self._feed.is_sorted or is_oldest_first(rows):
            return False
        bottom = rows[-1].id
        known = bottom in self._tracker.in_flight or bottom in sweep.ended_before or self._fills.knows(bottom)
        return known and bottom not in self.unlisted

    def _has_run_out(self, now: float) -> bool:
        """Whether all that the list had the last time is older by now than what the vendor lists."""
        window = self._feed.window
        return window is not None and self._newest is not None and self._newest <= now - window + CLOCK_SKEW

    async def read_in_flight(self, sweep: Sweep, unseen: set[str]) -> None:
        """Reads the list of the tasks in flight until it has shown all `unseen`. Raises CallError, StoreError."""
        async for _ in self._pages(sweep, in_flight=True):
            if unseen <= sweep.listed.keys():
                break
        self._refuse_a_flood(sweep)

    async def _read_late(self, sweep: Sweep, last: _ReadPage, now: float) -> None:
        """Reads a slice of the pages below known ground.

        A late row that is older than the setting admits is a gap: others like it may have been missed. A page that
        fails ends the slice, not the sweep, which has what it was for.
        """
        late = self._late
        late.begin(now)
        if late.resume is None and self._is_past_late(last, late):
            late.complete(now)
            return
        start = late.resume if late.resume and late.resume.index > last.next.index else last.next
        calls = max(1, min(PAGE_LIMIT, int(self._settings.rate_limit * self._settings.poll_interval / 2)))
        read = 0
        try:
            async for one in self._pages(sweep, start=start, most=calls):
                read += 1
                late.pages += 1
                late.resume = one.next
                sweep.late |= one.news
                sweep.gap |= any(
                    observation.id in one.news and self._came_too_late(observation)
                    for observation in one.page.observations
                )
                if one.is_last or self._is_past_late(one, late):
                    late.complete(now)
                    break
        except CallError:
            read += 1
            if late.resume and late.resume.cursor:  # a vendor's cursor may have ended: from the top again
                late.resume = None
        late.rest(read)

    def _is_past_late(self, read: _ReadPage, late: LatePass) -> bool:
        """Whether rows below this page are too old to have come since the pass before."""
        rows = read.page.observations
        floor = self._tracker.floor(self._wall_clock())
        if not rows or any(one.id in self._tracker.in_flight for one in rows):
            return False
        if any(one.id in read.news and not is_before(one, floor) for one in rows):
            return False
        dates = [at for one in rows if (at := placed(one)) is not None]
        return max(dates) < max(late.since, floor) if dates else late.pages >= UNDATED_PAGES

    def _came_too_late(self, observation: Observation) -> bool:
        at = placed(observation)
        return at is not None and self._tracker.floor(self._wall_clock()) <= at < self._late.due_before

    async def _pages(
        self, sweep: Sweep, *, in_flight: bool = False, start: Position | None = None, most: int = PAGE_LIMIT
    ) -> AsyncIterator[_ReadPage]:
        """Pages from the start, or as a late pass from where it stands; those are no part of how the list moves."""
        walk = Walk(start or START)
        for _ in range(most):
            page = await self._called(self._feed.list_page(walk.next, in_flight=in_flight))
            at = self._wall_clock()
            listed, known = sweep.listed, self._tracker.in_flight
            fresh = [one.id for one in page.observations if one.id not in listed]
            strange = {one for one in fresh if one not in known and not self._fills.knows(one)}
            sweep.ended_before |= await self._ledger.ended_among(self._tracker, fresh)
            sweep.show(self._fills.completed(sweep, page.observations, at), at, listed=True)
            sweep.malformed += page.malformed
            if not in_flight and start is None:
                sweep.whole = page.last and not sweep.malformed
                sweep.shifted |= 0 < len(fresh) < len(page.observations) and walk.next.index > 0
            walk.take(page, len(fresh))
            yield _ReadPage(page, walk.next, frozenset(strange - sweep.ended_before), walk.is_last)
            if walk.is_last:
                return
            if walk.next.rows >= self._row_limit and start is None:
                break
        if start is None:
            sweep.cut = True

    def _refuse_a_flood(self, sweep: Sweep) -> None:
        """Raises ContractBroken where the list would bring more tasks in flight than a vendor can have."""
        in_flight = self._tracker.in_flight
        if len(sweep.listed) + len(in_flight) <= IN_FLIGHT_LIMIT:
            return
        new = sum(
            one not in in_flight and not shown.state.is_end and one not in sweep.ended_before
            for one, (shown, _) in sweep.listed.items()
        )
        if new and new + len(in_flight) > IN_FLIGHT_LIMIT:
            raise ContractBroken(f"the list shows more than {IN_FLIGHT_LIMIT} tasks in flight")


@dataclass(frozen=True, slots=True)
class _ReadPage:
    """A page that was read: where the next one begins, which of its tasks were new, whether it was the last."""

    page: Page
    next: Position
    news: frozenset[str]
    is_last: bool


_NOTHING = _ReadPage(Page((), last=True), START, frozenset(), is_last=True)
