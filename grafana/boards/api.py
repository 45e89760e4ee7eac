"""The part of the Provider dashboard that is about the vendor's API."""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.models import units

from exporter.client.client import ENDPOINTS
from exporter.tasks import Reason, State
from grafana import palette, panels
from grafana.boards import frame
from grafana.boards.scales import UP_WORDS
from grafana.panels import AMOUNT, COUNT, Column, Ranked, columns, graph, query, timeline
from grafana.promql import EACH_INTERVAL, Scope, by

CODES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "2xx": (("2..",), palette.GOOD),
    "3xx and 4xx": (("3..", "4[013-9].", "42[0-8]"), palette.WARNING),
    "429": (("429",), palette.REASONS[Reason.RATE_LIMITED]),
    "5xx": (("5..",), palette.BAD),
    "error": (("error",), palette.STATES[State.UNKNOWN]),
}
"""Classes of HTTP statuses, with their colours; `error` is no answer at all."""
ENDPOINT_COLOURS = dict(zip(ENDPOINTS, palette.LINES, strict=False))


def api(select: Scope) -> list[panels.Panel]:
    """How the vendor answers, and how often it is asked."""

    def requests(grouped: str) -> str:
        return f"sum {by(grouped)} (rate({select('api_requests_total')}[{EACH_INTERVAL}]))"

    def answered(name: str) -> str:
        return f"sum(rate({select('api_requests_total', code=CODES[name][0])}[{EACH_INTERVAL}]))"

    latency = f"sum {by('le', 'endpoint')} (rate({select('api_request_duration_seconds_bucket')}[{EACH_INTERVAL}]))"
    return [
        graph(
            "API requests by status",
            *(query(answered(name), name) for name in CODES),
            about="Requests to the vendor by HTTP status; error means that no answer came. Good: 2xx alone. 4xx: "
            "credentials or requests; 429: rate limit; 5xx and error: the vendor or the network.",
            empty=frame.NO_CALLS,
            size=(8, 8),
            unit=units.RequestsPerSecond,
            stacked=True,
            colours={name: colour for name, (_, colour) in CODES.items()},
        ),
        graph(
            "API errors by class",
            query(
                f"sum {by('error')} (increase({select('api_errors_total')}[{EACH_INTERVAL}]))",
                "{{error}}",
            ),
            about="Failed calls by class, in each minute or more. Good: none. auth, insufficient_balance and "
            "invalid_request are ours to mend; contract means that the vendor changed its API.",
            empty=frame.NO_CALLS,
            size=(8, 8),
            unit=COUNT,
            bars=True,
            stacked=True,
            interval="1m",
            colours=palette.ERRORS,
        ),
        graph(
            "API latency by endpoint",
            Ranked(
                f"histogram_quantile(0.5, {latency}) >= 0",
                "{{endpoint}}",
                dashed=f"histogram_quantile(0.95, {latency}) >= 0",
            ),
            about="From sending a request to the end of its answer: the median, and dashed the 95th percentile. Good: "
            "well below request_timeout (10 s by default).",
            empty=frame.NO_CALLS,
            size=(8, 8),
            unit=units.Seconds,
            interval="1m",
        ),
        graph(
            "Requests by endpoint",
            query(requests("endpoint"), "{{endpoint}}"),
            about="What the exporter asks for. Many detail calls mean many tasks that the lists do not show, or "
            "watched ids; the vendor's rate limit bounds the sum.",
            empty=frame.NO_CALLS,
            size=(8, 8),
            unit=units.RequestsPerSecond,
            stacked=True,
            colours=ENDPOINT_COLOURS,
        ),
        graph(
            "Waiting for the rate limit",
            Ranked(
                f"sum {by('provider')} (rate({select('rate_limit_wait_seconds_total')}[{EACH_INTERVAL}])) > 0",
                "{{provider}}",
            ),
            about="Seconds spent per second waiting for the provider's own rate_limit, summed over calls that wait at "
            "once. Good: near 0. Else raise rate_limit if the vendor allows it, or poll_interval.",
            empty="Good: no call had to wait",
            size=(8, 8),
            unit=AMOUNT,
            least_top=1,
        ),
        graph(
            "Requests left of the budget",
            Ranked(f"min {by('provider')} ({select('request_budget_remaining')})", "{{provider}}", lowest=True),
            about="What max_requests_per_day leaves of the last 24 hours. Good: an eighth of the budget or more; below "
            "that polling slackens, and at 0 it waits.",
            empty="No max_requests_per_day is set",
            size=(8, 8),
            unit=COUNT,
        ),
        timeline(
            "Sources of ids",
            query(f"min {by('provider', 'source')} ({select('watch_source_up')})", "{{provider}} {{source}}"),
            about="When the ids of each file pattern and URL under watch could be read. Good: up throughout. Red: the "
            "last good ids are followed, new tasks go unseen.",
            empty="No files and no URLs are set under watch",
            size=(12, 8),
            unit=COUNT,
            words=UP_WORDS,
        ),
        columns(
            "Who this is",
            {
                "provider": Column("Provider"),
                "type": Column("Type"),
                "kind": Column("Kind"),
                "clock": Column("Clock"),
            },
            [
                (
                    Column("Configured", COUNT, hidden=True),
                    f"max {by('provider', 'kind', 'clock')} ({select('feed_info')}) * on (provider) "
                    f"group_left (type) max {by('provider', 'type')} ({select('provider_info')})",
                )
            ],
            about="The type of each provider, and whose clock the durations of its feeds come from: the provider's "
            "own, or what the exporter observed, which is off by up to a poll interval.",
            empty=frame.NO_EXPORTER,
            size=(12, 8),
            unit=COUNT,
        ),
    ]
