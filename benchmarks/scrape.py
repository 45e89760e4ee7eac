"""How long a scrape of 100,000 series takes, beside prometheus-client's own application and beside a fixed body.

All three are served by one process, on one event loop, and read whole by another. Goals: at least 100 times faster than
the former, and at most 1.3 times the latter, which no server could beat. Then the same in text with 20 models a feed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from http.client import HTTPConnection
from statistics import median

from benchmarks.goals import Result, at_most, in_turns, runs
from benchmarks.processes import python
from benchmarks.scraper import OPENMETRICS

FEEDS, TASKS = 100, 800
"""With the series that every feed and every provider has, more than 100,000."""
MODELS = 20
"""As many as have series of their own by default."""
AT_ONCE = 9
"""Scrapes of a few milliseconds, of which the median counts as one."""

FORMATS = {"text": "text/plain;version=0.0.4", "OpenMetrics": OPENMETRICS}
ENCODINGS = {"plain": "identity", "gzip": "gzip"}


async def run(quick: bool) -> list[Result]:
    feeds, tasks = (3, 20) if quick else (FEEDS, TASKS)
    plain = await _compared(feeds, tasks, 0, FORMATS, quick)
    return plain + await _compared(feeds, tasks, MODELS, {"text": FORMATS["text"]}, quick)


async def _compared(feeds: int, tasks: int, models: int, formats: Mapping[str, str], quick: bool) -> list[Result]:
    results: list[Result] = []
    async with python("-m", "benchmarks.served", str(feeds), str(tasks), str(models)) as server:
        connection = HTTPConnection("127.0.0.1", int(server.told))  # kept alive, as Prometheus does
        for format_, accept in formats.items():
            for encoding, accepted in ENCODINGS.items():
                measures = _measures(connection, {"Accept": accept, "Accept-Encoding": accepted})
                for measure in measures:  # what is prepared at the first request is not what is measured
                    await measure()
                ours, fixed, peer = await in_turns(runs(quick), *measures)
                name = f"scrape, {format_}, {encoding}"
                series = _get(connection, "/metrics", {"Accept": accept}).count(b"\nvideotask_")
                note = f"{series:,} series" + (f", {models} models a feed" if models else "")
                faster, as_fast = at_most(1 / 100, of_baseline=True), at_most(1.3, of_baseline=True)
                results += [
                    Result(name, "ms", ours, faster, "prometheus-client", peer, note),
                    Result(name, "ms", ours, as_fast, "fixed body", fixed, note),
                ]
    return results


def _measures(connection: HTTPConnection, headers: dict[str, str]) -> list[Callable[[], Awaitable[float]]]:
    def measure(path: str, times: int) -> Callable[[], Awaitable[float]]:
        async def measured() -> float:
            return median(_milliseconds(connection, path, headers) for _ in range(times))

        return measured

    return [measure("/metrics", AT_ONCE), measure("/fixed", AT_ONCE), measure("/peer", 1)]


def _milliseconds(connection: HTTPConnection, path: str, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    _get(connection, path, headers)
    return 1000 * (time.perf_counter() - began)


def _get(connection: HTTPConnection, path: str, headers: dict[str, str]) -> bytes:
    connection.request("GET", path, headers=headers)
    with connection.getresponse() as answer:
        if answer.status != 200:
            raise RuntimeError(f"{path}: HTTP {answer.status}")
        return answer.read()
