"""What is known, as prometheus-client itself writes it: what our own rendering is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client import metrics_core as families
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from exporter.metrics.catalogue import EXPORTER_METRICS, FEED_METRICS, PREFIX, PROVIDER_METRICS, TASK_METRICS
from exporter.snapshot import Labels, Reloads, Snapshot
from exporter.views import AccountView, Distribution, FeedView

_EXEMPLAR_LENGTH = 128 - len("task_id")


class Reference(Collector):
    """The metrics of the catalogue, but not those of the process."""

    def __init__(self, snapshot: Snapshot, reloads: Reloads, now: float) -> None:
        self._snapshot = snapshot
        self._reloads = reloads
        self._now = now
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def openmetrics(self) -> bytes:
        encode: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest
        return encode(self._registry).removesuffix(b"# EOF\n")

    def collect(self) -> Iterator[Any]:
        feeds = [FeedView(feed, self._now) for feed in self._snapshot.feeds]
        providers = [
            AccountView(account, [feed for feed in feeds if feed.labels[0] == account.name], self._now)
            for account in self._snapshot.accounts
        ]
        for metric in (*TASK_METRICS, *FEED_METRICS):
            samples = (((*feed.labels, *labels), value) for feed in feeds for labels, value in metric.read(feed))
            yield _family(metric.name, metric.type, ("provider", "kind", *metric.labels), metric.help, samples)
        for each in PROVIDER_METRICS:
            read = (sample for provider in providers for sample in each.read(provider))
            yield _family(each.name, each.type, each.labels, each.help, read)
        for own in EXPORTER_METRICS:
            yield _family(own.name, own.type, own.labels, own.help, own.read(self._reloads))


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
    return (bound, count, Exemplar({"task_id": exemplar.task_id}, exemplar.value, exemplar.at))
