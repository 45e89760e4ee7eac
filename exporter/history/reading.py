"""Reads the whole list of a feed down to a date, page by page, and keeps what each page says about the past.

The calls are those of sweeps: the provider's client with its rate limit and deadlines. A page that fails is tried again
a few times, and the vendor's pauses are waited for; what then still fails ends the run, which a later one takes up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from exporter.client.errors import (
    ConnectionFailed,
    ContractBroken,
    Intercepted,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    TimedOut,
    VendorFailed,
)
from exporter.history.facts import Fact, Facts, RowTally
from exporter.history.span import SampleTimes
from exporter.history.state import FeedReading, ListProgress
from exporter.ledger.counting.models import with_series
from exporter.ledger.counting.times import believed
from exporter.tasks import Observation
from exporter.vendors.vendor import START, Feed, Page, Provider, filled, lacks
from exporter.vendors.walk import REPEATS, Descent, Walk, placed

T = TypeVar("T")

TRIES = 5
"""How often a call is made that fails in a way that may pass."""

FIRST_WAIT = 0.5
"""Seconds until the second try; each wait is twice the one before."""

PAUSES = 100
"""Pauses in a row that the vendor may ask for."""

MAY_PASS = (TimedOut, ConnectionFailed, VendorFailed, Intercepted, RateLimited)

GAUGED = frozenset({"submitted", "started", "ended"})
"""The times that rows must have for gauges of the past."""


class Reader:
    """Reads one feed of a provider."""

    def __init__(
        self,
        provider: Provider,
        feed: Feed,
        state: FeedReading,
        span: SampleTimes,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        settings = provider.settings
        self._provider = provider
        self.feed = feed
        self.state = state
        self._first_wait = first_wait
        self.report: Callable[[ListProgress], object] = lambda _: None
        """Hears after each page how far it is."""
        self.floor = span.start - max(settings.duration_buckets)
        """Tasks that were submitted before this Unix time are not read: they lasted longer than histograms measure."""
        feed.within = (self.floor, span.end)
        tells = provider.vendor.tells.get(feed.kind)
        self.has_gauges = bool(tells and set(tells.parts) >= GAUGED) and not feed.lists_ends_alone
        """Whether rows have the times that say when tasks were in flight."""
        models = with_series(state.keys)
        self._facts = Facts(span, settings.duration_buckets, models, settings.model_limit, in_flight=self.has_gauges)
        self._facts.tally = replace(state.progress.tally)

    async def read(self) -> None:
        """Reads on from where the state stands. Raises CallError, sqlite3.Error."""
        progress = self.state.progress
        if progress.done:
            return
        try:
            await self._walk(Walk(progress.next, self._patience))
        except (RequestInvalid, ContractBroken):
            if progress.next == START or self.state.progress != progress:
                raise
            await self._walk(Walk(START, self._patience))  # what the vendor calls the page may have ended meanwhile

    @property
    def _patience(self) -> int:
        """Pages with nothing new that end the list.

        A list that goes on has had as many new rows meanwhile as it likes, but shows each known one once.
        """
        return REPEATS + self.state.progress.pages

    async def _walk(self, walk: Walk) -> None:
        descent = Descent(is_sorted=self.feed.is_sorted)
        before: frozenset[str] = frozenset()
        same = 0
        while True:
            page = await self._tried(lambda: self.feed.list_page(walk.next))
            at = time.time()
            fresh = {*self.state.fresh([one.id for one in page.observations])}
            news = [one for one in _each_once(page) if one.id in fresh]
            shown = frozenset(one.id for one in page.observations)
            walk.take(page, len(fresh))
            same = same + 1 if shown and shown <= before else 0  # a vendor that has no more may repeat its last page
            before = shown
            done = walk.is_last or same >= REPEATS or descent.is_below(page.observations, self.floor)
            told, failure = await self._in_full(news, at)
            facts = [fact for one in told for fact in self._facts.of(one, at)]
            if failure is not None:
                self._keep_part(told, facts)
                raise failure
            self._facts.tally.malformed += page.malformed
            self._keep(page, fresh, facts, walk, done=done)
            if done:
                return

    def _keep_part(self, told: Sequence[Observation], facts: Sequence[Fact]) -> None:
        """Keeps rows of a page that is read again later: else one of more look-ups than a budget has never passes."""
        progress = replace(self.state.progress, tally=replace(self._facts.tally))
        self.state.keep([one.id for one in told], facts, progress)

    def _keep(self, page: Page, fresh: set[str], facts: Sequence[Fact], walk: Walk, *, done: bool) -> None:
        before = self.state.progress
        dates = [before.oldest, *map(placed, page.observations)]
        progress = ListProgress(
            next=walk.next,
            done=done,
            pages=before.pages + 1,
            rows=before.rows + page.rows,
            oldest=min((at for at in dates if at is not None), default=None),
            tally=replace(self._facts.tally),
        )
        self.state.keep(fresh, facts, progress)
        self.report(progress)

    async def _in_full(
        self, rows: Sequence[Observation], at: float
    ) -> tuple[Sequence[Observation], BaseException | None]:
        """The rows, those of ends with what only a look-up says; and what failed, for which rows are missing."""
        parts = self.feed.fills
        if not parts:
            return rows, None
        lacking = {one.id: one for one in rows if one.state.is_end and lacks(one, parts) and self._matters(one, at)}
        ids = [*lacking]
        batches = [ids[start : start + self.feed.batch] for start in range(0, len(ids), self.feed.batch)]
        found: dict[str, Observation] = {}
        missing: set[str] = set()
        failure: BaseException | None = None
        results = await asyncio.gather(*map(self._looked_up, batches), return_exceptions=True)
        for batch, result in zip(batches, results, strict=True):
            if isinstance(result, BaseException):
                failure = failure or result
                missing.update(batch)
            else:
                found |= result
        self._facts.tally.unfilled += len(lacking) - len(found) - len(missing)
        told = [one for one in rows if one.id not in missing]
        return [filled(one, found[one.id], parts) if one.id in found else one for one in told], failure

    def _matters(self, one: Observation, at: float) -> bool:
        end = believed(one, at).placed
        return end is None or end >= self.floor

    async def _looked_up(self, ids: Sequence[str]) -> dict[str, Observation]:
        """The ends that look-ups of these ids show."""
        try:
            found = await self._tried(lambda: self.feed.look_up_all(ids))
        except TaskNotFound:
            found = {}
        except (RequestInvalid, ContractBroken, VendorFailed):  # a single task may be to blame
            if len(ids) == 1:
                await self._tried(self.feed.list_page)  # unless it is the vendor: then this fails, too
                return {}
            alone = await _all(self._looked_up([one]) for one in ids)
            return {task_id: shown for each in alone for task_id, shown in each.items()}
        shown = (one for each in found.values() for one in each)
        return {one.id: one for one in shown if one.id in ids and one.state.is_end}

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T:
        """What a call brings, if need be after some tries. Raises CallError, TaskNotFound."""
        tries = pauses = 0
        while True:
            try:
                return await call()
            except MAY_PASS as error:
                pause = self._provider.client.limit.pause_left
                pauses += 1
                tries += not (isinstance(error, RateLimited) and pause)
                if tries >= TRIES or pauses >= PAUSES:
                    raise
                await asyncio.sleep(max(pause, self._first_wait * 2 ** max(0, tries - 1)))


async def _all(calls: Iterable[Awaitable[T]]) -> list[T]:
    """What all calls bring, side by side; what one fails of is raised once all have ended."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _each_once(page: Page) -> list[Observation]:
    return list({one.id: one for one in reversed(page.observations)}.values())[::-1]


def missing_from(tally: RowTally) -> list[str]:
    """What a list could not show, in words."""
    told = []
    if tally.undated:
        told.append(f"{tally.undated} ended tasks have no date and are left out")
    if tally.by_submission:
        told.append(f"{tally.by_submission} ends have no time: dated by the submission, without durations")
    if tally.malformed:
        told.append(f"{tally.malformed} rows were no tasks")
    if tally.unfilled:
        told.append(f"{tally.unfilled} look-ups failed: these ends count as listed")
    return told
