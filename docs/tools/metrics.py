"""The reference of metrics, docs/metrics.md: the catalogue as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from docs.tools.markdown import row, table, words
from exporter.client.client import ENDPOINTS
from exporter.client.errors import CALL_ERRORS
from exporter.metrics.catalogue import (
    EXPORTER_METRICS,
    FEED_METRICS,
    PREFIX,
    PROVIDER_METRICS,
    STATS,
    TASK_METRICS,
    Metric,
)
from exporter.tasks import ENDS, IN_FLIGHT, Clock, Field, Phase, Reason
from exporter.vendors.registry import VENDORS

HEAD = """\
# Metrics

All that `/metrics` serves; what to ask of it is in the [cookbook](cookbook.md). Written by `make docs` from the
catalogue in [exporter/metrics/catalogue.py](../exporter/metrics/catalogue.py).

**Stability.** Names, types, labels and the values of closed labels are a contract: they change with a major version
only, and the [changelog](../CHANGELOG.md) tells what is added. `videotask_exporter_build_info` may get more labels.

**Restarts.** The counters, histograms and gauges of tasks are kept in the ledger (`ledger.path`) and go on where they
were after a restart; with `":memory:"` they start anew. What the exporter tells of its own work starts at 0 with the
process, as Prometheus expects of counters: `videotask_api_*`, `videotask_rate_limit_wait_seconds_total`,
`videotask_loop_restarts_total` and `videotask_ledger_losses_total`. All but the last also do so for a provider whose
settings a reload has changed.

**When a series is there.** The series of a feed's tasks appear after its first complete sweep, counters at 0 for
every value of a closed label. After three poll intervals without a successful sweep the gauges of what is in flight
are withdrawn, and come back with the next success. `videotask_up` and `videotask_poll_duration_seconds` appear once a
sweep has been tried. Ages are not exported, times are: the age of the data is `time() -
videotask_last_successful_poll_timestamp_seconds`.
"""

TAIL = """\
`code` is an HTTP status, or `error` where no answer came. `task_id` is the vendor's id of a task, in as many series
as `task_series_limit` allows. No other label has values that a vendor or a user can choose.

The buckets of the duration histograms are those of the setting `duration_buckets`. In the OpenMetrics format each
bucket names the latest task that fell into it, as an exemplar with the label `task_id`. The text format knows no
gauge histograms: there `videotask_progress_ratio` is a histogram without count and sum, beside the gauges
`videotask_progress_ratio_gcount` and `videotask_progress_ratio_gsum`.

The standard metrics of the process (`process_*`) and of Python (`python_*`) are served too.
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
    yield f"| `type` | {words(VENDORS)} |"
    yield f"| `kind` | {words(kind for vendor in VENDORS.values() for kind in vendor.kinds)} |"
    yield f"| `state` | in flight {words(IN_FLIGHT)}; ends {words(ENDS)} |"
    yield f"| `reason` | {words(Reason)} |"
    yield f"| `phase` | {words(Phase)} |"
    yield f"| `stat` | {words(STATS)} |"
    yield f"| `field` | {words(Field)} |"
    yield f"| `clock` | {words(Clock)}: whose times a feed's durations come from |"
    yield f"| `endpoint` | {words(ENDPOINTS)} |"
    yield f"| `error` | {words(error.error for error in CALL_ERRORS)} |"
