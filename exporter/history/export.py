"""`videotask-exporter export-history`: what the vendors' lists say about the past, as a file for `promtool`.

It needs no ledger and makes none; a running exporter is not touched. What has been read is kept beside the output until
that is whole, so that a run that was cut short goes on with the same command.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporter.client.client import Exchange
from exporter.client.errors import BalanceExhausted, CallError
from exporter.client.tokens import TokenWithheld
from exporter.config.load import Config
from exporter.config.models import ProviderSettings
from exporter.history.display import Display, display, moment
from exporter.history.reading import FIRST_WAIT, Reader, missing_from
from exporter.history.span import SampleTimes
from exporter.history.state import ExportState, StateError, remove
from exporter.history.writing import FEED, Past, write
from exporter.metrics.catalogue import TASK_METRICS
from exporter.vendors.registry import connect, installed
from exporter.vendors.vendor import Provider

log = logging.getLogger(__name__)

INTERRUPTED = 130
MOST_MOMENTS = 1_000_000
"""Most samples of one series."""

_NOT_OF_SAMPLES = frozenset(
    {
        *("poll_interval", "idle_poll_interval", "request_timeout", "history", "list_lag", "stalled_after"),
        *("task_series_limit", "account_interval", "rate_limit", "max_requests_per_day", "proxy", "ca_file", "watch"),
        *("recent_window", "feeds"),
    }
)
"""Settings that may change between two runs of one export."""


_OWN_LABELS = {*FEED, "le", *(label for metric in TASK_METRICS for label in metric.labels)}


class BudgetSpent(BalanceExhausted):
    """`max_requests_per_day` have been sent today: the account may have credit left."""


class NoOutput(Exception):
    """The output cannot be written there, or is there already; the text says why."""


@dataclass(frozen=True)
class ExportOptions:
    """What is wanted."""

    length: float
    """Seconds back to the first moment."""
    until: float
    """Seconds back to the last one."""
    step: float
    output: Path
    providers: Collection[str] = ()
    """Their names; all where there are none."""
    labels: Mapping[str, str] | None = None
    force: bool = False
    fetch_token: bool = False
    first_wait: float = FIRST_WAIT
    """Seconds after which a call that failed is made again; each further wait is twice as long."""

    @property
    def fault(self) -> str:
        """What is wrong with the times; empty if nothing is."""
        if self.step < 1:
            return "--step: too short; the shortest is 1s"
        if self.length <= self.until:
            return "--from: no longer ago than the end; write a longer time, such as 7d"
        if self.step > self.length - self.until:
            return "--step: longer than the whole history; write a shorter one, such as 1m"
        if (self.length - self.until) / self.step > MOST_MOMENTS:
            return f"--step: more than {MOST_MOMENTS} samples of each series; write a longer one"
        if own := sorted(_OWN_LABELS & {*(self.labels or ())}):
            return f"--label: {', '.join(own)} is the exporter's own label; give others, such as job"
        return ""

    @property
    def state(self) -> Path:
        return self.output.with_name(f"{self.output.name}.state")

    @property
    def part(self) -> Path:
        return self.output.with_name(f"{self.output.name}.part")


def check_place(options: ExportOptions) -> None:
    """Raises NoOutput where the output cannot be."""
    output = options.output
    if output.is_dir():
        raise NoOutput(f"{output} is a folder; give the name of a file")
    if output.exists() and not output.is_file():  # --force would put a file in the place of a device
        raise NoOutput(f"{output} is no regular file; give the name of one")
    if not output.parent.is_dir():
        raise NoOutput(f"there is no folder {output.parent}")
    if output.exists() and not options.force:
        raise NoOutput(f"{output} is there already; give another name, or --force to replace it")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise NoOutput(f"{output.parent} is not writable")


class Book:
    """One provider, and how the reading of its feeds goes."""

    def __init__(
        self,
        settings: ProviderSettings,
        provider: Provider,
        options: ExportOptions,
        state: ExportState,
        wall_clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.provider = provider
        self._state = state
        self._wall_clock = wall_clock
        self._withheld = provider.vendor.one_token and not options.fetch_token
        self.readers: list[Reader] = []
        provider.client.observer = self

    def asked(self, endpoint: str) -> None:
        """Before each call. Raises CallError to prevent it."""
        if endpoint == "token" and self._withheld:
            raise TokenWithheld("a new token is needed, which invalidates the one in use; --fetch-token allows it")
        budget = self.settings.max_requests_per_day
        if budget is not None:
            day = int(self._wall_clock() // 86400)
            if self._state.sent(self.provider.name, day) >= budget:
                raise BudgetSpent("max_requests_per_day is used up; run the same command again tomorrow (UTC)")
            self._state.send(self.provider.name, day)

    def answered(self, exchange: Exchange) -> None:
        """After each call: nothing is kept of it."""


class _Tokens:
    """Tokens for as long as the process lives: no ledger is read."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, float]] = {}

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        return self._kept.get(owner)

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        self._kept[owner] = token, expires


def export_history(
    config: Config, options: ExportOptions, tell: Callable[[str], object], wall_clock: Callable[[], float] = time.time
) -> int:
    """Reads the lists and writes the file. `tell` gets the result; troubles go to stderr.

    The result is an exit code: 0 if the file is whole, 1 if something failed, 130 if a signal ended it; then the same
    command goes on.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with display() as shown:
        try:
            return _exported(config, options, shown, tell, wall_clock)
        except KeyboardInterrupt:
            shown.say("interrupted; run the same command again to go on")
            return INTERRUPTED
        except StateError as error:
            shown.say(f"export-history: {error}")
        except OSError as error:
            shown.say(f"export-history: {error.filename or options.output}: {error.strerror or error}")
        except sqlite3.Error as error:
            shown.say(f"export-history: {options.state}: {error}; once that is mended, run the same command again")
        finally:
            signal.signal(signal.SIGTERM, before)
    return 1


def _exported(
    config: Config,
    options: ExportOptions,
    shown: Display,
    tell: Callable[[str], object],
    wall_clock: Callable[[], float],
) -> int:
    if options.force:
        remove(options.state)
    state = ExportState.open(options.state, SampleTimes.of(options.length, options.until, options.step, wall_clock()))
    try:
        if not state.is_new:
            shown.say(f"going on with {options.state}; the history ends at {moment(state.span.end)}")
        feeds = asyncio.run(read(config, options, state, shown, wall_clock))
        if feeds is None:
            return 1
        write_out(options, state, feeds, shown)
    finally:
        if state.is_worthless:  # nothing to go on with
            state.remove()
        state.close()
    span, tasks = state.span, sum(one.state.progress.tally.tasks for one in feeds)
    size = options.output.stat().st_size / 1e6
    about = f"{len(feeds)} feeds, {tasks} tasks, {moment(span.start)} to {moment(span.end)}, {size:.1f} MB"
    tell(f"{options.output}: {about}\nNext: promtool tsdb create-blocks-from openmetrics {options.output} DATA_FOLDER")
    return 0


def write_out(options: ExportOptions, state: ExportState, feeds: Sequence[Past], shown: Display) -> None:
    """Writes the file, under its name once it is whole, and removes the state. Raises OSError, sqlite3.Error."""
    state.sort()
    try:
        with options.part.open("wb") as file:
            write(file, feeds, options.labels or {}, lambda done: shown.writing(done, len(TASK_METRICS)))
            file.flush()
            os.fsync(file.fileno())
        options.part.replace(options.output)
    except BaseException:
        with suppress(OSError):
            options.part.unlink(missing_ok=True)
        raise
    state.remove()


async def read(
    config: Config, options: ExportOptions, state: ExportState, shown: Display, wall_clock: Callable[[], float]
) -> list[Past] | None:
    """All feeds, providers side by side; None where the reading of one failed. Raises StateError, sqlite3.Error."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64, thread_name_prefix="resolver"))
    types, tokens = config.types or installed(), _Tokens()
    books: list[Book] = []
    try:
        for settings in config.providers:
            if options.providers and settings.name not in options.providers:
                continue
            longer = settings.model_copy(update={"history": options.length + max(settings.duration_buckets)})
            books.append(book := Book(settings, connect(longer, tokens, types), options, state, wall_clock))
            _take_up(book, state, shown, options.first_wait)
        if not any(book.readers for book in books):
            shown.say("export-history: none of these providers lists its tasks")
            return None
        failures = await asyncio.gather(*(_of_provider(book, shown) for book in books))
    finally:
        await asyncio.gather(*(book.provider.aclose() for book in books))
    if any(failures):
        kept = "nothing has been read" if state.is_new else "what has been read is kept"
        shown.say(f"{kept}; run the same command again to go on, or choose with --provider")
        return None
    readers = [(book, reader) for book in books for reader in book.readers]
    told = [past for each in readers if (past := _past(*each, state.span, options.until, shown))]
    if without := [one.name for one in told if not one.has_gauges]:
        names = ", ".join(without)
        shown.say(f"past queued/running counts are omitted because these lists lack timestamps: {names}")
    return told


def _take_up(book: Book, state: ExportState, shown: Display, first_wait: float) -> None:
    """Makes readers for the feeds that have lists."""
    kept = repr(sorted(book.settings.model_dump(mode="json", exclude=set(_NOT_OF_SAMPLES)).items()))
    mark = hashlib.sha256(kept.encode()).hexdigest()
    for feed in book.provider.feeds:
        name = f"{book.provider.name}/{feed.kind}"
        if not feed.lists:
            shown.say(f"{name}: omitted: these credentials cannot list it")
            continue
        known = state.feed(book.provider.name, feed.kind, mark)
        reader = Reader(book.provider, feed, known, state.span, first_wait)
        reader.report = partial(shown.reading, name, reader.floor, state.span.end)
        book.readers.append(reader)


async def _of_provider(book: Book, shown: Display) -> bool:
    """Reads the feeds of a provider. Tells whether that failed."""
    failed = False
    for reader, ended in zip(book.readers, await asyncio.gather(*map(_failure_of, book.readers)), strict=True):
        if ended is None:
            continue
        failed = True
        name = f"{book.provider.name}/{reader.feed.kind}"
        if isinstance(ended, BudgetSpent):
            shown.say(f"{name}: {ended}")
        elif isinstance(ended, CallError):
            shown.say(f"{name}: {ended.error}: {ended}. {book.provider.advice(ended.cause)}")
        else:
            shown.say(f"{name}: unexpected {type(ended).__name__}; this is a bug in the exporter")
    return failed


async def _failure_of(reader: Reader) -> Exception | None:
    """What the reading of a feed failed of. What concerns all feeds gets through."""
    try:
        await reader.read()
    except sqlite3.Error:
        raise
    except Exception as error:  # a slip of ours in one feed must not cost the others
        log.debug("an export failed", exc_info=error)
        return error
    return None


def _past(book: Book, reader: Reader, span: SampleTimes, until: float, shown: Display) -> Past | None:
    """What there is to write of a feed; None where its rows have no dates at all."""
    name = f"{book.provider.name}/{reader.feed.kind}"
    progress, feed = reader.state.progress, reader.feed
    if progress.tally.tasks and progress.oldest is None and progress.tally.undated:
        shown.say(f"{name}: omitted: its rows have no dates")
        return None
    for line in missing_from(progress.tally):
        shown.say(f"{name}: {line}")
    first = span.first
    if feed.window is not None and (begin := span.moment_of(span.end + until - feed.window)) > first + 1:
        shown.say(f"{name}: begins later: the vendor lists only the last {feed.window / 3600:g} h")
        first = min(span.last, begin)
    return Past(book.settings, feed, reader.state, SampleTimes(first, span.last, span.step), reader.has_gauges)
