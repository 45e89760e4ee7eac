"""The catalogue's samples in the formats that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client import metrics_core as families
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector as Readable
from prometheus_client.samples import Exemplar as FamilyExemplar

from exporter.collector import FeedLoop
from exporter.metrics import EXPORTER_METRICS, FEED_METRICS, PREFIX, PROVIDER_METRICS, TASK_METRICS, Reloads
from exporter.providers.provider import Provider
from exporter.views import Distribution, FeedView, Labels, ProviderView

Format = tuple[Callable[[CollectorRegistry], bytes], str]

_TEXT: Format = (generate_latest, CONTENT_TYPE_PLAIN_0_0_4)
_OPENMETRICS: Format = (openmetrics.generate_latest, openmetrics.CONTENT_TYPE_LATEST)
_EXEMPLAR_LENGTH = 128 - len("task_id")  # OpenMetrics allows 128 characters for names and values together


class Polled(Protocol):
    """What there is to tell of; the collector is one."""

    @property
    def providers(self) -> Sequence[Provider]: ...

    @property
    def loops(self) -> Sequence[FeedLoop]: ...


class Exposition(Readable):
    """Everything that is known now, in the formats that Prometheus reads."""

    def __init__(self, polled: Polled, reloads: Reloads, clock: Callable[[], float]) -> None:
        self._polled = polled
        self._reloads = reloads
        self._clock = clock
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type, in the format that an Accept header prefers."""
        encode, content_type = _OPENMETRICS if prefers_openmetrics(accept) else _TEXT
        return encode(self._registry), content_type

    def collect(self) -> Iterator[families.Metric]:
        now = self._clock()
        feeds = [FeedView(loop, now) for loop in self._polled.loops]
        providers = [
            ProviderView(provider, [feed for feed in feeds if feed.loop.provider is provider])
            for provider in self._polled.providers
        ]
        for metric in (*TASK_METRICS, *FEED_METRICS):
            samples = (((*feed.labels, *labels), value) for feed in feeds for labels, value in metric.read(feed))
            yield _family(metric.name, metric.type, ("provider", "kind", *metric.labels), metric.help, samples)
        for each in PROVIDER_METRICS:
            read = (sample for provider in providers for sample in each.read(provider))
            yield _family(each.name, each.type, each.labels, each.help, read)
        for own in EXPORTER_METRICS:
            yield _family(own.name, own.type, own.labels, own.help, own.read(self._reloads))


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


def _family(
    name: str, kind: str, labels: Labels, text: str, samples: Iterable[tuple[Labels, float | Distribution]]
) -> Any:  # the library's families share no base that could say so
    make: dict[str, Any] = {
        "gauge": families.GaugeMetricFamily,
        "counter": families.CounterMetricFamily,
        "histogram": families.HistogramMetricFamily,
        "gaugehistogram": families.GaugeHistogramMetricFamily,
    }
    family = make[kind](PREFIX + name, text, labels=labels)
    for values, value in samples:
        if isinstance(value, Distribution):
            family.add_metric(values, [_bucket(value, *bucket) for bucket in value.buckets], value.total)
        else:
            family.add_metric(values, value)
    return family


def _bucket(distribution: Distribution, bound: str, count: float) -> Sequence[object]:
    exemplar = distribution.exemplars.get(bound)
    if exemplar is None or len(exemplar.task_id) > _EXEMPLAR_LENGTH:
        return (bound, count)
    return (bound, count, FamilyExemplar({"task_id": exemplar.task_id}, exemplar.value, exemplar.at))
