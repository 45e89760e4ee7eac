"""Writes what was read as OpenMetrics with timestamps: the metrics of /metrics as scrapes would have found them.

Names, labels, help and the order of samples are those of the catalogue, read from a snapshot whose counters are the
sums at the end. Families and their series follow one another, each with its samples in the order of time; of a
histogram all samples of a moment stand together. Nothing is held but the sums of one series.

Left out is what a list cannot show: how polling and calls went, progress, what stalled, gaps, balances, and gauges at
moments of which rows do not prove who was in flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, compress, product
from typing import BinaryIO

from exporter.config.models import ProviderSettings
from exporter.history.facts import IN_FLIGHT, LAST_FINISHED, MODEL_IN_FLIGHT, UNPROVEN
from exporter.history.span import SampleTimes
from exporter.history.state import SCALE, FeedReading
from exporter.ledger.counters import Counters, Key
from exporter.ledger.counting.models import in_order, with_series
from exporter.metrics.catalogue import TASK_METRICS, Metric
from exporter.metrics.text import Frame, number
from exporter.snapshot import FeedSnapshot, Labels
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

Values = Iterator[tuple[int, float]]
"""By moment, in their order."""


@dataclass
class Past:
    """What there is to write of one feed."""

    settings: ProviderSettings
    feed: Feed
    state: FeedReading
    span: SampleTimes
    """From the first moment that the list covers."""
    has_gauges: bool

    @cached_property
    def totals(self) -> Counters:
        """The counters at the end."""
        return Counters({key: sum(by for _, by in self.amounts(key)) for key in self.state.keys})

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

    def amounts(self, key: Key) -> Values:
        """At which moments a counter grew, and by how much."""
        scale = 1 if key[0] == LAST_FINISHED else SCALE
        for moment, by in self.state.cells(key):
            if moment > self.span.first or key[0] in (IN_FLIGHT, MODEL_IN_FLIGHT, UNPROVEN):
                yield moment, by / scale

    @cached_property
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
            interval=self.settings.poll_interval,
            swept=True,
            counts=self.totals,
            models=with_series(self.totals),
            units=self.feed.units,
        )
        return FeedView(snapshot, self.span.end)


def write(file: BinaryIO, feeds: Sequence[Past], more: Mapping[str, str], wrote: Callable[[int], object]) -> None:
    """Writes the history of feeds; `more` are labels for every series, `wrote` hears how many families are done.

    Raises OSError, sqlite3.Error.
    """
    for done, metric in enumerate(TASK_METRICS, start=1):
        frame = Frame(metric, (*FEED, *more))
        lines_of = _of_histograms if metric.type == "histogram" else _of_series
        lines = chain.from_iterable(lines_of(metric, frame, told, (*told.labels, *more.values())) for told in feeds)
        if first := next(lines, b""):
            file.writelines(chain([frame.openmetrics_head, first], lines))
        wrote(done)
    file.write(b"# EOF\n")


def _of_histograms(metric: Metric[FeedView], frame: Frame[FeedView], told: Past, of: Labels) -> Iterator[bytes]:
    for labels, distribution in metric.read(told.view):
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


def _of_series(metric: Metric[FeedView], frame: Frame[FeedView], told: Past, of: Labels) -> Iterator[bytes]:
    for labels, values in _series(metric, told):
        (before,) = _prefixes(frame, labels, 0.0, of)
        for moment, value in values:
            yield b"%b %b %b\n" % (before, number(value).encode(), _stamp(told.span, moment))


def _series(metric: Metric[FeedView], told: Past) -> Iterator[tuple[Labels, Values]]:
    """Each series of a counter or gauge: its labels, and its values."""
    name = metric.name
    if name in (IN_FLIGHT, MODEL_IN_FLIGHT) and told.has_gauges:
        yield from _in_flight(name, told)
    for labels, _ in metric.read(told.view):
        if metric.type == "counter" and name not in UNKNOWABLE:
            yield labels, _growing(told.span, told.amounts((name, *labels)))
        elif name == LAST_FINISHED:
            yield labels, _latest(told, (name, *labels))
        elif name in RECENT:
            yield labels, _recent(told, (RECENT[name], *labels))


def _latest(told: Past, key: Key) -> Values:
    latest = dict(told.amounts(key))
    value = 0.0
    for moment in range(told.span.first, told.last_of_gauges + 1):
        value = max(value, latest.get(moment, 0.0))
        if value:
            yield moment, value


def _recent(told: Past, key: Key) -> Values:
    """As far as a whole window lies behind, and consists of whole steps."""
    window, rest = divmod(told.settings.recent_window, told.span.step)
    if rest:
        return
    totals = [value for _, value in _growing(told.span, told.amounts(key))]
    for place in range(int(window), told.last_of_gauges - told.span.first + 1):
        yield told.span.first + place, totals[place] - totals[place - int(window)]


def _in_flight(name: str, told: Past) -> Iterator[tuple[Labels, Values]]:
    """At moments of which every row shows whether its task was in flight, and in which state."""
    unproven = _growing(told.span, told.amounts((UNPROVEN,)))
    is_told = [not count and moment <= told.last_of_gauges for moment, count in unproven]
    models = in_order(with_series(told.totals))
    for labels in product(models, SHOWN) if name == MODEL_IN_FLIGHT else product(SHOWN):
        yield labels, compress(_growing(told.span, told.amounts((name, *labels))), is_told)


def _prefixes(frame: Frame[FeedView], labels: Labels, value: float | Distribution, of: Labels) -> list[bytes]:
    """What stands before the value, of each sample of a series."""
    lines = b"".join(frame.lines([(labels, value)], of).openmetrics).splitlines()
    return [line.rpartition(b" ")[0] for line in lines]


def _growing(span: SampleTimes, amounts: Values) -> Values:
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


def _stamp(span: SampleTimes, moment: int) -> bytes:
    """A moment as OpenMetrics writes it."""
    return f"{round(moment * span.step, 3):.15g}".encode()
