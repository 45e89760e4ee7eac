"""The reference of metrics, docs/metrics.md: the catalogue as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from docs.tools.markdown import row, table, words
from exporter.client.client import ENDPOINTS
from exporter.client.errors import CALL_ERRORS
from exporter.ledger.errors import DatabaseFailure
from exporter.metrics.catalogue import (
    EXPORTER_METRICS,
    FEED_METRICS,
    PREFIX,
    PROVIDER_METRICS,
    REPLICA_METRICS,
    STATS,
    TASK_METRICS,
    Metric,
)
from exporter.replicas.leases import Change
from exporter.tasks import ENDS, IN_FLIGHT, UNITS, Clock, Field, Phase, Reason
from exporter.vendors.registry import built_in

HEAD = """\
# Metrics

All that `/metrics` serves, written by `make docs` from
[exporter/metrics/catalogue.py](../exporter/metrics/catalogue.py). For queries see the [cookbook](cookbook.md).

**Stability.** Names, types, labels and values of closed labels change only with a major version; the
[changelog](../CHANGELOG.md) lists additions. `videotask_exporter_build_info` may get more labels.

**Restarts.** Task metrics and `videotask_ledger_losses_total` are kept in the ledger and continue after a restart,
except with `":memory:"`. `videotask_api_*`, `videotask_rate_limit_wait_seconds_total` and
`videotask_loop_restarts_total` start at 0 with the process, and for a provider that a reload has changed.

**When a series exists.** A feed's task series appear after its first complete sweep, counters at 0 for every value
of a closed label. After three poll intervals without a successful sweep, in-flight gauges are withdrawn until the
next success. `videotask_up` and `videotask_poll_duration_seconds` appear after the first sweep, successful or not.
"""

TAIL = """\
`code` is an HTTP status, or `error` if no answer came. `task_id` is the vendor's id, in at most `task_series_limit`
series. `model` is the vendor's name of the model in at most 64 of the characters `A-Za-z0-9._:/-`; models that have
series keep them across restarts. The metric without `model_` is the sum over `model` plus the tasks without a known
model. No vendor or user can choose values of other labels.

`duration_buckets` sets the buckets of the duration histograms. In OpenMetrics, each bucket has an exemplar with the
`task_id` of its latest task. In the text format, which has no gauge histograms, `videotask_progress_ratio` is a
histogram without count and sum, beside the gauges `videotask_progress_ratio_gcount` and
`videotask_progress_ratio_gsum`.

`process_*` and `python_*` are served too.
"""


def page() -> str:
    """The page."""
    of_tasks = [one for one in PROVIDER_METRICS if one.name.startswith("task_")]
    of_providers = [one for one in PROVIDER_METRICS if one not in of_tasks]
    feed = ("provider", "kind")
    return "\n".join(
        (
            HEAD,
            "## Tasks\n",
            *_table((one, (*feed, *one.labels)) for one in TASK_METRICS),
            *_rows((one, one.labels) for one in of_tasks),
            "\n## Feeds\n",
            *_table((one, (*feed, *one.labels)) for one in FEED_METRICS),
            "\n## Providers\n",
            *_table((one, one.labels) for one in of_providers),
            "\n## The exporter\n",
            *_table((one, one.labels) for one in EXPORTER_METRICS),
            *_rows((one, one.labels) for one in REPLICA_METRICS),
            "\n## Labels\n",
            *_labels(),
            "",
            TAIL,
        )
    )


def _table(entries: Iterable[tuple[Metric[Any], tuple[str, ...]]]) -> Iterator[str]:
    yield from table(("metric", "type", "labels", "meaning"), ())
    yield from _rows(entries)


def _rows(entries: Iterable[tuple[Metric[Any], tuple[str, ...]]]) -> Iterator[str]:
    for metric, labels in entries:
        kind = {"gaugehistogram": "gauge histogram"}.get(metric.type, metric.type)
        yield row((f"`{PREFIX}{metric.name}`", kind, words(labels) or "–", metric.help))


def _labels() -> Iterator[str]:
    yield from table(("label", "values"), ())
    yield "| `provider` | the names of the configuration |"
    kinds = dict.fromkeys(kind for vendor in built_in().values() for kind in (*vendor.kinds, *vendor.more_kinds))
    yield "| `type` | the [types of vendors](../README.md#what-it-reads), and what is declared |"
    yield f"| `kind` | {words(kinds)}, and what is declared |"
    yield f"| `state` | in flight {words(IN_FLIGHT)}; ends {words(ENDS)} |"
    yield f"| `reason` | {words(Reason)} |"
    yield f"| `phase` | {words(Phase)} |"
    yield f"| `stat` | {words(STATS)} |"
    yield f"| `field` | {words(Field)} |"
    yield "| `model` | the first `model_limit` models of each feed, in the vendor's words, and `other` |"
    yield f"| `unit` | {words(UNITS)} |"
    yield f"| `clock` | {words(Clock)}: where a feed's durations come from |"
    yield f"| `endpoint` | {words(ENDPOINTS)} |"
    yield f"| `change` | {words(Change)} |"
    yield f"| `failure` | {words(DatabaseFailure)} |"
    yield "| `replica` | the setting `replica`, by default the name of the host |"
    yield f"| `error` | {words(error.error for error in CALL_ERRORS)} |"
