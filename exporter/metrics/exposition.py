"""The body of /metrics, prepared before it is asked for.

Lines are rewritten only for feeds that have changed, in a thread of their own, and joined to whole bodies that take
the place of those before at once. A scrape gets what is there.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from exporter.metrics.catalogue import EXPORTER_METRICS, FEED_METRICS, PROVIDER_METRICS, REPLICA_METRICS, TASK_METRICS
from exporter.metrics.text import Frame, Lines
from exporter.snapshot import Labels, Reloads, Snapshot
from exporter.views import AccountView, FeedView

log = logging.getLogger(__name__)

LONGEST_REST = 5.0
"""Seconds after which bodies are prepared again although no sweep has ended: calls are counted in between."""

SLOW = 0.05
"""Processor time of preparing that as long a rest follows; what takes more gets less of the time, a tenth at 0.5 s."""

FORGOTTEN_AFTER = 600.0
"""Seconds without a request after which a format is no longer prepared."""

PIECE = 256 * 1024
"""Bytes of a body that are handled at once: the transport moves all it holds whenever the socket takes a part."""

_LEVEL = 1  # of gzip: the next ones take far longer for a few percent
_FEED = ("provider", "kind")
_SINGLE = [metric for metric in PROVIDER_METRICS if metric.name.startswith("task_")]
_FRAMES: Mapping[str, Sequence[Frame[Any]]] = {
    "tasks": [Frame(metric, _FEED) for metric in TASK_METRICS],
    "polls": [Frame(metric, _FEED) for metric in FEED_METRICS],
    "single": [Frame(metric) for metric in _SINGLE],
    "calls": [Frame(metric) for metric in PROVIDER_METRICS if metric not in _SINGLE],
    "replica": [Frame(metric) for metric in REPLICA_METRICS],
    "exporter": [Frame(metric) for metric in EXPORTER_METRICS],
}
"""In the order of a body, by what is written at once."""


@dataclass(frozen=True)
class Format:
    """One of the two formats: its content type, and how our metrics and the process's own are written in it."""

    content_type: str
    lines: Callable[[Iterable[tuple[Frame[Any], list[Lines]]]], Iterator[bytes]]
    encode: Callable[[CollectorRegistry], bytes]


def _text(columns: Iterable[tuple[Frame[Any], list[Lines]]]) -> Iterator[bytes]:
    for frame, column in columns:
        for index, head in enumerate(frame.text_heads):
            yield head
            yield from chain.from_iterable(lines.text[index] for lines in column)


def _openmetrics(columns: Iterable[tuple[Frame[Any], list[Lines]]]) -> Iterator[bytes]:
    for frame, column in columns:
        yield frame.openmetrics_head
        yield from chain.from_iterable(lines.openmetrics for lines in column)


TEXT = Format(CONTENT_TYPE_PLAIN_0_0_4, _text, generate_latest)
OPENMETRICS = Format(openmetrics.CONTENT_TYPE_LATEST, _openmetrics, openmetrics.generate_latest)


class ScrapeBody:
    """A prepared body, in pieces: making or sending a large one at once would hold up everything else."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.plain = tuple(_pieces(lines))
        self.packed: tuple[bytes, ...] = ()
        """The same as gzip; empty until `pack` has been called."""

    def pack(self) -> None:
        deflate = zlib.compressobj(_LEVEL, wbits=31)  # gzip
        self.packed = tuple(_pieces([*map(deflate.compress, self.plain), deflate.flush()]))


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of a size that is neither slow to send nor slow to join."""
    some: list[bytes] = []
    size = 0
    for part in parts:
        for start in range(0, len(part), PIECE):
            cut = part[start : start + PIECE]
            if size + len(cut) > PIECE:
                yield b"".join(some)
                some, size = [], 0
            some.append(cut)
            size += len(cut)
    if some:
        yield b"".join(some)


@dataclass(frozen=True)
class ScrapeAnswer:
    """The pieces of a body in the order of sending, so that nothing large is copied, and what they are."""

    pieces: tuple[bytes, ...]
    content_type: str
    packed: bool


@dataclass(eq=False)
class _Written:
    """What was written at once, what that is based on, and from when until when it holds."""

    based_on: object
    lines: Sequence[Lines]
    since: float
    until: float = math.inf


class Exposition:
    """Everything that is known, in the formats that Prometheus reads."""

    def __init__(
        self,
        take: Callable[[], Snapshot],
        reloads: Callable[[], Reloads],
        wall_clock: Callable[[], float],
        awaited: Callable[[], list[str]] = list,
        may_show: Callable[[Snapshot], bool] = lambda _: True,
        *,
        take_in_turns: Callable[[], Awaitable[Snapshot]] | None = None,
    ) -> None:
        """`take` takes a snapshot, `awaited` names the feeds whose first sweep has not ended.

        `may_show` says whether what was taken may still be shown: it is asked at each scrape. All are called on the
        event loop, where they must not take long; `take_in_turns` may take longer, and goes before `take` where bodies
        are prepared again and again.
        """
        self._take = take
        self._take_in_turns = take_in_turns
        self._awaited = awaited
        self._may_show = may_show
        self._shown: Snapshot | None = None  # what the bodies were made of
        self._reloads = reloads
        self._wall_clock = wall_clock
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)
        self._parts: dict[str, dict[Labels, _Written]] = {part: {} for part in _FRAMES}
        self._columns: list[tuple[Frame[Any], list[Lines]]] = []
        self._bodies: dict[Format, ScrapeBody] = {}
        self._asked: dict[tuple[Format, bool], float] = {}
        self._preparing = threading.Lock()
        self._took = 0.0  # processor time, in seconds, of the last bodies
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="exposition")  # one, so that no moment is overtaken
        self._kept = False
        self._awaits: list[str] = []

    def render(self, accept: str) -> tuple[bytes, str]:
        """The body as it would be now and its content type, in the format that an Accept header prefers."""
        self.refresh()
        format_ = OPENMETRICS if prefers_openmetrics(accept) else TEXT
        return b"".join(self._body(format_).plain), format_.content_type

    async def answer(self, accept: str, packed: bool = False) -> ScrapeAnswer:
        """What a scrape gets: the body that is prepared, and where none is, one of this moment."""
        format_ = OPENMETRICS if prefers_openmetrics(accept) else TEXT
        self._asked[format_, packed] = time.monotonic()
        # A client that waited for a first sweep is to see it.
        if not self._kept or (self._awaits and self._awaits != self._awaited()):
            await self._prepare_aside()
        while True:
            if not self._may_show_bodies:
                await self._prepare_aside()
            body = self._bodies.get(format_)
            if body is None:
                body = await asyncio.to_thread(self._body, format_)
            if packed and not body.packed:
                await asyncio.to_thread(body.pack)
            if self._may_show_bodies:  # else it was lost just now, or this process stood still
                return ScrapeAnswer(body.packed if packed else body.plain, format_.content_type, packed)

    @property
    def _may_show_bodies(self) -> bool:
        return self._shown is not None and self._may_show(self._shown)

    def refresh(self) -> None:
        """Prepares everything for this moment, at once."""
        self._prepare(self._take(), self._wall_clock())

    async def keep_fresh(self, news: asyncio.Event) -> None:
        """Prepares bodies again whenever there is news, or time alone has made the last ones untrue; for ever."""
        try:
            while True:
                news.clear()
                try:
                    await self._prepare_aside()
                except Exception as error:  # a slip of ours: scrapes say so until it is over, nothing old is served
                    log.error("metrics could not be prepared; this is a bug in the exporter", exc_info=error)
                    self._kept = False
                    await asyncio.sleep(LONGEST_REST)
                    continue
                self._kept = True
                await asyncio.sleep(min(self._took * max(1.0, self._took / SLOW), LONGEST_REST))
                due = min((one.until for one in self._parts["tasks"].values()), default=math.inf)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, min(due - self._wall_clock(), LONGEST_REST))):
                        await news.wait()
        finally:
            self._kept = False

    async def _prepare_aside(self) -> None:
        """Like `refresh`, but nothing else waits for it."""
        snapshot = await self._take_in_turns() if self._take_in_turns else self._take()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._prepare, snapshot, self._wall_clock())

    def _prepare(self, snapshot: Snapshot, now: float) -> None:
        """Writes what is no longer true, and puts whole bodies in the place of those before."""
        with self._preparing:
            began = time.thread_time()
            self._bodies = self._written_bodies(snapshot, now)
            self._shown = snapshot
            self._awaits = [feed.name for feed in snapshot.feeds if feed.status.up is None]
            self._took = time.thread_time() - began

    def _written_bodies(self, snapshot: Snapshot, now: float) -> dict[Format, ScrapeBody]:
        parts: dict[str, dict[Labels, _Written]] = {part: {} for part in _FRAMES}
        # The views of one provider at a time: to free those of all at once would hold up everything else.
        for account in snapshot.accounts:
            feeds = [FeedView(feed, now) for feed in account.feeds]
            for feed in feeds:
                of = feed.labels
                parts["tasks"][of] = self._part("tasks", feed, feed.tasks_based_on, of, feed.due)
                parts["polls"][of] = self._part("polls", feed, feed.polls_based_on, of)
            view = AccountView(account, feeds, now)
            parts["single"][view.labels] = self._part("single", view, [parts["tasks"][feed.labels] for feed in feeds])
            parts["calls"][view.labels] = self._part("calls", view, view.calls_based_on)
        if snapshot.replica:
            parts["replica"][()] = _Written(None, _lines("replica", snapshot.replica), now)
        parts["exporter"][()] = _Written(None, _lines("exporter", self._reloads()), now)
        self._parts = parts
        self._columns = [
            (frame, [one.lines[index] for one in written.values()])
            for part, written in parts.items()
            if written or part != "replica"
            for index, frame in enumerate(_FRAMES[part])
        ]
        long_ago = time.monotonic() - FORGOTTEN_AFTER
        wanted = {asked for asked, at in list(self._asked.items()) if at > long_ago}
        bodies = {format_: self._made(format_) for format_, _ in wanted}
        for format_, packed in wanted:
            if packed:
                bodies[format_].pack()
        return bodies

    def _part(
        self,
        part: str,
        view: FeedView | AccountView,
        based_on: object,
        of: Labels = (),
        until: Callable[[], float] = lambda: math.inf,
    ) -> _Written:
        """One part of the samples of a feed or a provider; unchanged parts are kept as they were written."""
        before = self._parts[part].get(view.labels)
        if before and before.based_on == based_on and before.since <= view.now < before.until:
            return before
        return _Written(based_on, _lines(part, view, of), view.now, until())

    def _body(self, format_: Format) -> ScrapeBody:
        """The body in a format; may run in any thread."""
        bodies = self._bodies  # others may take their place meanwhile
        if format_ not in bodies:
            bodies[format_] = self._made(format_)
        return bodies[format_]

    def _made(self, format_: Format) -> ScrapeBody:
        return ScrapeBody(chain(format_.lines(self._columns), [format_.encode(self._process)]))


def _lines(part: str, subject: object, of: Labels = ()) -> Sequence[Lines]:
    return [frame.lines(frame.read(subject), of) for frame in _FRAMES[part]]


@lru_cache(64)
def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept header gives OpenMetrics 1 at least the weight that it gives plain text (RFC 9110, 12.5.1)."""
    weights = {"openmetrics": 0.0, "text": 0.0}
    for offer in accept.lower().split(","):
        media, *pieces = (piece.strip() for piece in offer.split(";"))
        parameters = dict(piece.partition("=")[::2] for piece in pieces)
        if media in ("text/plain", "text/*", "*/*"):
            known = "text"
        elif media == "application/openmetrics-text" and parameters.get("version", "1.").startswith("1."):
            known = "openmetrics"
        else:
            continue
        try:
            weight = float(parameters.get("q", "1"))
        except ValueError:
            weight = 0.0
        weights[known] = max(weights[known], weight)
    return weights["openmetrics"] > 0 and weights["openmetrics"] >= weights["text"]
