"""Writes what the documents have from the code: the metrics, the table of faults, the description of the API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from exporter.metrics import EXPORTER_METRICS, FEED_METRICS, PREFIX, PROVIDER_METRICS, STATS, TASK_METRICS, Metric
from exporter.providers import VENDORS
from exporter.providers.client import ENDPOINTS
from exporter.providers.errors import CALL_ERRORS
from exporter.simulator.matrix import MATRIX, Fault, Shown
from exporter.tasks import ENDS, IN_FLIGHT, Clock, Field, Phase, Reason
from exporter.web import openapi

FILE = Path(__file__).with_name("metrics.md")
RELIABILITY = Path(__file__).with_name("reliability.md")
BEGIN, END = "<!-- faults: written by make docs -->", "<!-- end of faults -->"
OPENAPI = Path(__file__).with_name("openapi.json")
API = Path(__file__).with_name("api.md")
API_BEGIN, API_END = "<!-- the API: written by make docs -->", "<!-- end of the API -->"

HEAD = """\
# Metrics

Written by `make docs` from the catalogue in [exporter/metrics.py](../exporter/metrics.py); do not edit it here.

**Stability.** Names, types, labels and the values of closed labels are a contract: they change with a major version
only, and the release notes tell what is added. `videotask_exporter_build_info` may get more labels.

**Restarts.** The counters, histograms and gauges of tasks are kept in the ledger (`ledger.path`) and go on where they
were after a restart; with `":memory:"` they start anew. What the exporter tells of its own calls, `videotask_api_*`
and `videotask_rate_limit_wait_seconds_total`, starts at 0 with the process, as Prometheus expects of counters; so
does that of a provider whose settings a reload has changed.

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


def metrics() -> str:
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
    yield "| metric | type | labels | meaning |"
    yield "| --- | --- | --- | --- |"
    yield from _rows(entries)


def _rows(entries: Iterable[tuple[Metric[Any], tuple[str, ...]]]) -> Iterator[str]:
    for metric, labels in entries:
        kind = {"gaugehistogram": "gauge histogram"}.get(metric.type, metric.type)
        yield f"| `{PREFIX}{metric.name}` | {kind} | {_words(labels)} | {metric.help} |"


def _labels() -> Iterator[str]:
    yield "| label | values |"
    yield "| --- | --- |"
    yield "| `provider` | the names of the configuration |"
    yield f"| `type` | {_words(VENDORS)} |"
    yield f"| `kind` | {_words(kind for vendor in VENDORS.values() for kind in vendor.kinds)} |"
    yield f"| `state` | in flight {_words(IN_FLIGHT)}; ends {_words(ENDS)} |"
    yield f"| `reason` | {_words(Reason)} |"
    yield f"| `phase` | {_words(Phase)} |"
    yield f"| `stat` | {_words(STATS)} |"
    yield f"| `field` | {_words(Field)} |"
    yield f"| `clock` | {_words(Clock)}: whose times a feed's durations come from |"
    yield f"| `endpoint` | {_words(ENDPOINTS)} |"
    yield f"| `error` | {_words(error.error for error in CALL_ERRORS)} |"


SHOWN: dict[Shown, str] = {
    "withdrawn": "stay for three intervals, then are withdrawn",
    "true": "true",
    "true a sweep later": "true",
    "unknown": "move to `unknown`",
    "as before": "stay as they were",
}
COUNTED: dict[Shown, str] = {
    "withdrawn": "stand still",
    "true": "true",
    "true a sweep later": "true a sweep later",
    "unknown": "stand still",
    "as before": "new tasks wait for the next sweep",
}


def faults() -> str:
    """The table of faults."""
    head = "| fault of a feed | `up` | `api_errors_total` | `history_gaps_total` | in-flight gauges | task counters |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- |", *(_fault(fault) for fault in MATRIX)])


def _fault(fault: Fault) -> str:
    kinds = [kind for _, kind in fault.feeds]
    every = [kind for vendor in VENDORS.values() for kind in vendor.kinds]
    only = "" if len(kinds) == len(every) else f" ({_words(kind for kind in every if kind in kinds)})"
    error = f"`{fault.error}` grows" if fault.error else "–"
    gaps = f"+{fault.gaps}" if fault.gaps else "–"
    return f"| {fault.name}{only} | {fault.up} | {error} | {gaps} | {SHOWN[fault.shown]} | {COUNTED[fault.shown]} |"


def reliability() -> str:
    """The page with the present table in it."""
    return _with(RELIABILITY, BEGIN, faults(), END)


def description() -> str:
    """The OpenAPI document."""
    return json.dumps(openapi.document(), indent=2) + "\n"


def api() -> str:
    """The page with the present operations and answers in it."""
    document = openapi.document()
    text = "\n".join((*_operations(document["paths"]), *_models(document["components"]["schemas"])))
    return _with(API, API_BEGIN, f"\n{text}\n", API_END)


def _with(page: Path, begin: str, text: str, end: str) -> str:
    """A page with what stands between two marks replaced."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"


def _operations(paths: dict[str, Any]) -> Iterator[str]:
    yield "| operation | what it does | answer |"
    yield "| --- | --- | --- |"
    for path, methods in paths.items():
        for method, one in methods.items():
            good = next(answer for status, answer in one["responses"].items() if status < "300")
            content = good.get("content", {}).get("application/json", {}).get("schema", {})
            words = ". ".join(filter(None, (one["summary"], one.get("description", "").rstrip("."))))
            yield f"| `{method.upper()} {path}` | {words} | {_type(content) if '$ref' in content else '–'} |"
    yield "\n## Parameters of `GET /api/v1/tasks`\n"
    yield "| parameter | type | meaning |"
    yield "| --- | --- | --- |"
    for one in paths["/api/v1/tasks"]["get"]["parameters"]:
        default = f"; default `{one['schema']['default']}`" if "default" in one["schema"] else ""
        yield f"| `{one['name']}` | {_type(one['schema'])} | {one['description']}{default} |"


def _models(schemas: dict[str, Any]) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        yield f"\n## {name}\n\n{schema.get('description', '')}".rstrip()
        if "enum" in schema:
            yield f"\nOne of {_words(schema['enum'])}."
        if "properties" in schema:
            yield "\n| field | type | meaning |"
            yield "| --- | --- | --- |"
        for key, of in schema.get("properties", {}).items():
            yield f"| `{key}` | {_type(of)} | {of.get('description', '')} |"


def _type(schema: dict[str, Any]) -> str:
    """The type of a value, in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if schema["type"] == "object":
        return f"{_type(schema['additionalProperties'])} by {_type(schema['propertyNames'])}"
    return str(schema["type"])


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    FILE.write_text(metrics(), encoding="utf-8")
    RELIABILITY.write_text(reliability(), encoding="utf-8")
    OPENAPI.write_text(description(), encoding="utf-8")
    API.write_text(api(), encoding="utf-8")
