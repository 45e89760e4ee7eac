"""The catalogue's samples as lines, in the two formats that Prometheus reads.

Both are made in one pass, for they differ only in a few frames and in exemplars. The lines are those that
prometheus-client would write, byte for byte (a test compares them); ours are made for one subject at a time, so that
what has not changed is not written again.

Formats: "Exposition formats" of Prometheus (text 0.0.4), "OpenMetrics" 1.0.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Generic, TypeVar

from prometheus_client.utils import floatToGoString

from exporter.metrics.catalogue import PREFIX, Metric
from exporter.snapshot import Labels
from exporter.views import Distribution

_EXEMPLAR_LENGTH = 128 - len("task_id")  # OpenMetrics allows 128 characters for names and values together
_AT_ONCE = 2000
"""Lines that are joined at once: joining holds the interpreter, and nothing else in the process would run meanwhile."""

number = lru_cache(4096)(floatToGoString)

S = TypeVar("S")

Pieces = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """What one subject says of one metric: for text in as many families as it falls apart into there."""

    text: tuple[Pieces, ...]
    openmetrics: Pieces


class Frame(Generic[S]):
    """How a metric of the catalogue is announced, and how its samples are written."""

    def __init__(self, metric: Metric[S], of: Labels = ()) -> None:
        """`of` are labels of its subject that the catalogue leaves out."""
        self.name = PREFIX + metric.name
        self.type = metric.type
        self.read = metric.read
        self._order = sorted((name, index) for index, name in enumerate((*of, *metric.labels)))
        helped = metric.help.replace("\\", r"\\").replace("\n", r"\n")
        # The text format has no gauge histograms: their count and sum are gauges beside a histogram.
        gauges = {"_gcount": "gauge", "_gsum": "gauge"}
        parts = {"": "histogram", **gauges} if self.type == "gaugehistogram" else {"": self.type}
        self.text_heads = tuple(_head(self.name + end, helped, kind) for end, kind in parts.items())
        family = self.name.removesuffix("_total") if self.type == "counter" else self.name
        self.openmetrics_head = _head(family, helped.replace('"', r"\""), self.type)

    def lines(self, samples: Iterable[tuple[Labels, float | Distribution]], of: Labels = ()) -> Lines:
        """The lines of samples; `of` are the values of the labels that all of them begin with."""
        if self.type in ("histogram", "gaugehistogram"):
            return self._distributions(
                ((*of, *labels), value) for labels, value in samples if isinstance(value, Distribution)
            )
        written = _joined(
            f"{self.name}{self._braced((*of, *labels))} {number(value)}\n"
            for labels, value in samples
            if not isinstance(value, Distribution)
        )
        return Lines((written,), written)

    def _distributions(self, samples: Iterable[tuple[Labels, Distribution]]) -> Lines:
        text: list[list[str]] = [[] for _ in self.text_heads]
        openmetrics: list[str] = []
        count, total = ("_gcount", "_gsum") if self.type == "gaugehistogram" else ("_count", "_sum")
        for labels, value in samples:
            pairs = self._pairs(labels)
            inner = ",".join(pairs)
            before = "".join(f"{pair}," for pair in pairs if pair < "le=")
            after = "".join(f",{pair}" for pair in pairs if pair > "le=")
            for bound, counted in value.buckets:
                line = f'{self.name}_bucket{{{before}le="{bound}"{after}}} {number(counted)}'
                text[0].append(f"{line}\n")
                openmetrics.append(f"{line}{_exemplar(value, bound)}\n")
            ends = [
                f"{self.name}{count}{{{inner}}} {number(value.buckets[-1][1])}\n",
                f"{self.name}{total}{{{inner}}} {number(value.total)}\n",
            ]
            for place, line in zip((-2, -1) if len(text) > 1 else (0, 0), ends, strict=True):
                text[place].append(line)
            openmetrics += ends
        return Lines(tuple(map(_joined, text)), _joined(openmetrics))

    def _braced(self, values: Labels) -> str:
        return f"{{{','.join(self._pairs(values))}}}" if values else ""

    def _pairs(self, values: Labels) -> list[str]:
        return [f'{name}="{_escaped(values[index])}"' for name, index in self._order]


def _head(name: str, text: str, kind: str) -> bytes:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n".encode()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _exemplar(value: Distribution, bound: str) -> str:
    exemplar = value.exemplars.get(bound)
    if exemplar is None or len(exemplar.task_id) > _EXEMPLAR_LENGTH:
        return ""
    return f' # {{task_id="{_escaped(exemplar.task_id)}"}} {number(exemplar.value)} {exemplar.at}'


def _joined(lines: Iterable[str]) -> Pieces:
    """The lines, some thousand joined at a time."""
    rest = iter(lines)
    return tuple(iter(lambda: "".join(islice(rest, _AT_ONCE)).encode(), b""))
