"""Writes what was read as OpenMetrics with timestamps: the metrics of /metrics as scrapes would have found them.

Names, labels, help and the order of samples are those of the catalogue, read from a snapshot whose counters are the
sums at the end. Families and their series follow one another, each with its samples in the order of time; of a
histogram all samples of a moment stand together. Nothing is held but the sums of one series.

Left out is what a list cannot show: how polling and calls went, progress, what stalled, gaps, balances, and gauges at
moments of which rows do not prove who was in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from exporter.config.models import ProviderSettings
from exporter.history.facts import IN_FLIGHT, LAST_FINISHED, MODEL_IN_FLIGHT, UNPROVEN
from exporter.history.span import Span
from exporter.history.state import SCALE, FeedState
from exporter.ledger.counters import Counters, Key
from exporter.ledger.counting.last_day import LastDay
from exporter.ledger.counting.models import in_order, with_series
from exporter.metrics.catalogue import TASK_METRICS, Metric
from exporter.metrics.text import Frame, number
from exporter.snapshot import FeedSnapshot, FeedStatus, Labels, LookUpState, UnmappedWords
from exporter.tasks import State
from exporter.vendors.vendor import Feed
from exporter.views import Distribution, FeedView

FEED = ("provider", "kind")

UNKNOWABLE = frozenset({"history_gaps_total"})
"""Counters of what sweeps went through."""

RECENT = {"recent_tasks": "finished_total", "recent_failures": "failures_total"}
"""Gauges that are the growth of a counter within the recent window."""

SHOWN = (State.QUEUED, State.RUNNING)
"""The states of which times say when a task was in them."""

LOOKBACK = 300.0
"""Seconds for which Prometheus shows a last sample: gauges end so much earlier, or they would add to scraped ones."""

_AT_ONCE = 4000
"""Lines that are written at once."""


@dataclass
class Past:
    """What there is to write of one feed."""

    settings: ProviderSettings
    feed: Feed
    state: FeedState
    span: Span
    """From the first moment that the list covers."""
    has_gauges: bool
    totals: Counters = field(init=False)

    def __post_init__(self) -> None:
        self.totals = Counters({key: sum(by for _, by in self.amounts(key)) for key in self.state.keys})

    @property
    def labels(self) -> Labels:
        return self.settings.name, self.feed.kind

    @property
    def name(self) -> str:
        return "/".join(self.labels)

    @property
    def last_of_gauges(self) -> int:
        """The last moment of which gauges are written."""
        return self.span.moment_of(self.span.end - LOOKBACK)

    def amounts(self, key: Key) -> Iterator[tuple[int, float]]:
        """At which moments a counter grew, and by how much."""
        scale = 1 if key[0] == LAST_FINISHED else SCALE
        for moment, by in self.state.cells(key):
            if moment > self.span.first or key[0] in (IN_FLIGHT, MODEL_IN_FLIGHT, UNPROVEN):
                yield moment, by / scale

    def view(self) -> FeedView:
        """The feed at the end, as the metrics read it."""
        snapshot = FeedSnapshot(
            provider=self.settings.name,
            type=self.settings.type,
            kind=self.feed.kind,
            clock=self.feed.clock,
            document=(self.feed.document.title, self.feed.document.url),
            lists=True,
            settings=self.settings,
            status=FeedStatus(),
            interval=self.settings.poll_interval,
            since=None,
            swept=True,
            succeeded=None,
            freshness=0.0,
            counts=self.totals,
            exemplars={},
            tasks=(),
            ends=(),
            last_day=LastDay(),
            models=with_series(self.totals),
            units=self.feed.units,
            followed=0,
            look_ups=LookUpState(),
            unmapped=UnmappedWords(),
            progress=None,
            idle_advice="",
            revision=0,
        )
        return FeedView(snapshot, self.span.end)


def write(file: BinaryIO, feeds: Sequence[Past], more: Mapping[str, str], wrote: Callable[[int], object]) -> None:
    """Writes the history of feeds; `more` are labels for every series, `wrote` hears how many families are done.

    Raises OSError, sqlite3.Error.
    """
    views = [one.view() for one in feeds]
    out = _Lines(file)
    for done, metric in enumerate(TASK_METRICS, start=1):
        frame = Frame(metric, (*FEED, *more))
        out.head = frame.openmetrics_head
        for told, view in zip(feeds, views, strict=True):
            for line in _samples(metric, frame, told, view, (*told.labels, *more.values())):
                out.add(line)
        out.flush()
        wrote(done)
    file.write(b"# EOF\n")


class _Lines:
    """Lines on their way to a file, each family under its head."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._some: list[bytes] = []
        self.head = b""

    def add(self, line: bytes) -> None:
        if self.head:
            self._some.append(self.head)
            self.head = b""
        self._some.append(line)
        if len(self._some) >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        self._file.write(b"".join(self._some))
        self._some.clear()


def _samples(
    metric: Metric[FeedView], frame: Frame[FeedView], told: Past, view: FeedView, of: Labels
) -> Iterable[bytes]:
    if metric.type == "counter" and metric.name not in UNKNOWABLE:
        return _counters(metric, frame, told, view, of)
    if metric.type == "histogram":
        return _histograms(metric, frame, told, view, of)
    if metric.name == LAST_FINISHED:
        return _last_finished(metric, frame, told, view, of)
    if metric.name in RECENT:
        return _recent(metric, frame, told, view, of)
    if metric.name in (IN_FLIGHT, MODEL_IN_FLIGHT) and told.has_gauges:
        return _in_flight(metric, frame, told, of)
    return ()


def _counters(
    metric: Metric[FeedView], frame: Frame[FeedView], told: Past, view: FeedView, of: Labels
) -> Iterator[bytes]:
    for labels, _ in metric.read(view):
        (before,) = _prefixes(frame, labels, 0.0, of)
        for at, value in _cumulative(told.span, told.amounts((metric.name, *labels))):
            yield b"%b %b %b\n" % (before, value, at)


def _histograms(
    metric: Metric[FeedView], frame: Frame[FeedView], told: Past, view: FeedView, of: Labels
) -> Iterator[bytes]:
    for labels, distribution in metric.read(view):
        if not isinstance(distribution, Distribution):
            continue
        before = _prefixes(frame, labels, distribution, of)
        bounds = [bound for bound, _ in distribution.buckets]
        key = (metric.name, *labels)
        grown: dict[int, list[tuple[int, float]]] = {}
        for place, end in enumerate([*(("le", bound) for bound in bounds), ("sum",)]):
            for moment, by in told.amounts((*key, *end)):
                grown.setdefault(moment, []).append((place, by))
        values = [0.0] * (len(bounds) + 1)
        texts = _texts(values)
        for moment in range(told.span.first, told.span.last + 1):
            for place, by in grown.get(moment, ()):
                # Amounts are millionths, and their sums are to be as exact as each of them.
                for larger in range(place, len(bounds)) if place < len(bounds) else (place,):
                    values[larger] = round(values[larger] + by, 6)
            if moment in grown:
                texts = _texts(values)
            at = _stamp(told.span, moment)
            yield b"".join([b"%b %b %b\n" % (name, text, at) for name, text in zip(before, texts, strict=True)])


def _texts(values: Sequence[float]) -> list[bytes]:
    """The values of a histogram in the order of its samples: buckets, count, sum."""
    texts = [number(value).encode() for value in values]
    return [*texts[:-1], texts[-2], texts[-1]]


def _last_finished(
    metric: Metric[FeedView], frame: Frame[FeedView], told: Past, view: FeedView, of: Labels
) -> Iterator[bytes]:
    for labels, _ in metric.read(view):
        (before,) = _prefixes(frame, labels, 0.0, of)
        latest = dict(told.amounts((metric.name, *labels)))
        value = 0.0
        for moment in range(told.span.first, told.last_of_gauges + 1):
            value = max(value, latest.get(moment, 0.0))
            if value:
                yield b"%b %b %b\n" % (before, number(value).encode(), _stamp(told.span, moment))


def _recent(
    metric: Metric[FeedView], frame: Frame[FeedView], told: Past, view: FeedView, of: Labels
) -> Iterator[bytes]:
    """As far as a whole window lies behind, and consists of whole steps."""
    window, rest = divmod(told.settings.recent_window, told.span.step)
    if rest:
        return
    for labels, _ in metric.read(view):
        (before,) = _prefixes(frame, labels, 0.0, of)
        totals = [value for _, value in _growing(told.span, told.amounts((RECENT[metric.name], *labels)))]
        for place in range(int(window), told.last_of_gauges - told.span.first + 1):
            value = number(totals[place] - totals[place - int(window)]).encode()
            yield b"%b %b %b\n" % (before, value, _stamp(told.span, told.span.first + place))


def _in_flight(metric: Metric[FeedView], frame: Frame[FeedView], told: Past, of: Labels) -> Iterator[bytes]:
    """At moments of which every row shows whether its task was in flight, and in which state."""
    models = in_order(with_series(told.totals)) if metric.name == MODEL_IN_FLIGHT else ()
    unproven = [bool(count) for _, count in _growing(told.span, told.amounts((UNPROVEN,)))]
    every = [(model, state) for model in models for state in SHOWN] if models else []
    for labels in every if metric.name == MODEL_IN_FLIGHT else [(state,) for state in SHOWN]:
        (before,) = _prefixes(frame, labels, 0.0, of)
        counted = _growing(told.span, told.amounts((metric.name, *labels)))
        for (moment, count), is_unproven in zip(counted, unproven, strict=True):
            if not is_unproven and moment <= told.last_of_gauges:
                yield b"%b %b %b\n" % (before, number(count).encode(), _stamp(told.span, moment))


def _prefixes(frame: Frame[FeedView], labels: Labels, value: float | Distribution, of: Labels) -> list[bytes]:
    """What stands before the value, of each sample of a series."""
    lines = b"".join(frame.lines([(labels, value)], of).openmetrics).splitlines()
    return [line.rpartition(b" ")[0] for line in lines]


def _growing(span: Span, amounts: Iterable[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """Each moment with the sum up to it."""
    total = 0.0
    grown: dict[int, float] = {}
    for moment, by in amounts:
        if moment < span.first:
            total += by
        else:
            grown[moment] = by
    for moment in range(span.first, span.last + 1):
        if moment in grown:
            total = round(total + grown[moment], 6)
        yield moment, total


def _cumulative(span: Span, amounts: Iterable[tuple[int, float]]) -> Iterator[tuple[bytes, bytes]]:
    """The same as texts: the time, and the value."""
    last, text = 0.0, number(0.0).encode()
    for moment, total in _growing(span, amounts):
        if total != last:
            last, text = total, number(total).encode()
        yield _stamp(span, moment), text


def _stamp(span: Span, moment: int) -> bytes:
    """A moment as OpenMetrics writes it."""
    return f"{round(moment * span.step, 3):.15g}".encode()
