"""The metrics: their names, types and labels are a contract, and each says what the ledger knows."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as text_families
from starlette.responses import Response

from benchmarks.reference import Reference
from exporter.ledger.ledger import Ledger
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.ledger.sweep import Sweep
from exporter.metrics.exposition import Exposition, prefers_openmetrics
from exporter.polling.feed.loop import FeedLoop
from exporter.polling.providers import PolledProvider, PolledProviders
from exporter.simulator import PREFIXES, Credentials, HandClock, Simulator, World, app, running
from exporter.snapshot import Reloads, Snapshot
from exporter.tasks import Field, Observation, Phase, Reason, State
from exporter.vendors.registry import built_in
from tests.harness import made

openmetrics_families: Callable[[str], Iterator[Metric]] = openmetrics_parser.text_string_to_metric_families

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
NOBODY = "http://127.0.0.1:9"

# DESIGN section 6: name -> type and labels.
FEED = {"provider", "kind"}
CATALOGUE: Mapping[str, tuple[str, set[str]]] = {
    "videotask_tasks": ("gauge", FEED | {"state"}),
    "videotask_oldest_task_timestamp_seconds": ("gauge", FEED | {"state"}),
    "videotask_stalled_tasks": ("gauge", FEED),
    "videotask_progress_ratio": ("gaugehistogram", FEED),
    "videotask_task_progress_ratio": ("gauge", FEED | {"task_id"}),
    "videotask_task_series_dropped": ("gauge", {"provider"}),
    "videotask_finished_total": ("counter", FEED | {"state"}),
    "videotask_failures_total": ("counter", FEED | {"reason"}),
    "videotask_recent_tasks": ("gauge", FEED | {"state"}),
    "videotask_recent_failures": ("gauge", FEED | {"reason"}),
    "videotask_recent_duration_seconds": ("gauge", FEED | {"phase", "stat"}),
    "videotask_queue_duration_seconds": ("histogram", FEED),
    "videotask_run_duration_seconds": ("histogram", FEED | {"state"}),
    "videotask_total_duration_seconds": ("histogram", FEED | {"state"}),
    "videotask_unmeasured_durations_total": ("counter", FEED | {"phase"}),
    "videotask_output_seconds_total": ("counter", FEED),
    "videotask_last_finished_timestamp_seconds": ("gauge", FEED | {"state"}),
    "videotask_history_gaps_total": ("counter", FEED),
    "videotask_unmapped_values_total": ("counter", FEED | {"field"}),
    "videotask_rejected_timestamps_total": ("counter", FEED),
    "videotask_up": ("gauge", FEED),
    "videotask_last_successful_poll_timestamp_seconds": ("gauge", FEED),
    "videotask_poll_duration_seconds": ("gauge", FEED),
    "videotask_poll_interval_seconds": ("gauge", FEED),
    "videotask_loop_restarts_total": ("counter", FEED),
    "videotask_api_requests_total": ("counter", {"provider", "endpoint", "code"}),
    "videotask_api_errors_total": ("counter", {"provider", "endpoint", "error"}),
    "videotask_api_request_duration_seconds": ("histogram", {"provider", "endpoint"}),
    "videotask_rate_limit_wait_seconds_total": ("counter", {"provider"}),
    "videotask_request_budget_remaining": ("gauge", {"provider"}),
    "videotask_provider_info": ("gauge", {"provider", "type"}),
    "videotask_feed_info": ("gauge", FEED | {"clock"}),
    "videotask_exporter_build_info": ("gauge", {"version", "pythonversion"}),
    "videotask_exporter_config_last_reload_successful": ("gauge", set()),
    "videotask_exporter_config_last_reload_success_timestamp_seconds": ("gauge", set()),
    "videotask_ledger_losses_total": ("counter", set()),
}
AFTER_A_TRY = {"videotask_up", "videotask_poll_duration_seconds"}
ALWAYS = {
    "videotask_poll_interval_seconds",
    "videotask_loop_restarts_total",
    "videotask_feed_info",
    *(name for name in CATALOGUE if name.startswith(("videotask_api_", "videotask_exporter_"))),
    "videotask_rate_limit_wait_seconds_total",
    "videotask_provider_info",
    "videotask_ledger_losses_total",
}
"""What there is before any feed has been polled."""


@dataclass
class Scene:
    """Feeds that are polled when a test says so, or that are told what a poll would have brought."""

    clock: HandClock
    accounts: list[PolledProvider] = field(default_factory=list)
    ledger: Ledger = field(default_factory=lambda: Ledger(SqliteStore(SqliteFile(":memory:")), 7 * 86400.0))

    def __post_init__(self) -> None:
        self.exposition = Exposition(self.snapshot, Reloads(succeeded_at=self.clock.now), self.clock)

    def snapshot(self) -> Snapshot:
        return PolledProviders(self.accounts).snapshot()

    @property
    def loops(self) -> list[FeedLoop]:
        return [loop for account in self.accounts for loop in account.loops]

    def connect(self, vendor: str, url: str = NOBODY, **more: Any) -> list[FeedLoop]:
        common = {"name": vendor, "type": vendor, "base_url": url + PREFIXES[vendor], "rate_limit": "1000/s"}
        settings = built_in()[vendor].settings.model_validate({**common, **Credentials().of(vendor), **more})
        self.accounts.append(made(PolledProvider.open(settings, self.ledger, self.clock)))
        return self.accounts[-1].loops

    async def see(self, loop: FeedLoop, *observations: Observation) -> None:
        """Settles a complete sweep that showed these tasks."""
        listed = {one.id: (one, self.clock.now) for one in observations}
        await self.ledger.record(loop.tracker, Sweep(listed=listed, complete=True), self.clock.now)

    async def sweep(self) -> None:
        for loop in self.loops:
            await loop.sweep()

    def text(self) -> str:
        return self.exposition.render("")[0].decode()

    def openmetrics(self) -> str:
        return self.exposition.render(OPENMETRICS)[0].decode()

    def families(self) -> dict[str, Metric]:
        """By the name in the catalogue: with the _total of a counter."""
        found = openmetrics_families(self.openmetrics())
        return {f"{one.name}_total" if one.type == "counter" else one.name: one for one in found}

    def values(self, name: str, *labels: str) -> dict[Any, float]:
        """The samples of one name by the values of some labels (one label: its value alone)."""
        samples = [one for family in self.families().values() for one in family.samples if one.name == name]
        keys = [tuple(one.labels[label] for label in labels) for one in samples]
        assert len(set(keys)) == len(samples)
        return {key[0] if len(key) == 1 else key: one.value for key, one in zip(keys, samples, strict=True)}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def scene(clock: HandClock) -> AsyncIterator[Scene]:
    scene = Scene(clock)
    yield scene
    for account in scene.accounts:
        await account.stop()
    await scene.ledger.close()


@pytest.fixture
def sora(scene: Scene) -> FeedLoop:
    """A feed whose times are the vendor's."""
    (loop,) = scene.connect("deerapi")
    return loop


def simulator_with_history(clock: HandClock) -> Simulator:
    """Tasks of every kind in every state that the vendors have, and time stands still."""
    return app(World(seed=8, clock=clock, history=20_000.0), limits={})


@asynccontextmanager
async def all_vendors(scene: Scene, simulator: Simulator, task_series_limit: int = 3) -> AsyncIterator[None]:
    """Every feed of every vendor, at a simulator."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(running(simulator))
        for vendor in built_in():
            scene.connect(vendor, url, task_series_limit=task_series_limit, max_requests_per_day=10_000)
        yield


def ours(families: Iterable[Metric]) -> list[Metric]:
    return [one for one in families if one.name.startswith("videotask_")]


def shape(family: Metric) -> tuple[str, set[str]]:
    """Type and labels, which all samples must share."""
    shapes = {frozenset(one.labels.keys() - {"le"}) for one in family.samples}
    assert len(shapes) == 1
    return family.type, set(next(iter(shapes)))


async def test_the_metrics_are_those_of_the_catalogue(scene: Scene, clock: HandClock) -> None:
    async with all_vendors(scene, simulator_with_history(clock)):
        await scene.sweep()
        found = {name: one for name, one in scene.families().items() if name.startswith("videotask_")}
        assert {name: shape(one) for name, one in found.items()} == CATALOGUE
        assert [
            name for name, one in found.items() if not one.documentation.endswith((".", "poll_timestamp_seconds."))
        ] == []


async def test_the_text_format_has_the_same_metrics(scene: Scene, clock: HandClock) -> None:
    async with all_vendors(scene, simulator_with_history(clock)):
        await scene.sweep()
        found = {
            f"{one.name}_total" if one.type == "counter" else one.name: shape(one)
            for one in ours(text_families(scene.text()))
        }
    # The text format has no gauge histograms: their buckets are a histogram, their count and sum two gauges.
    expected = dict(CATALOGUE) | {"videotask_progress_ratio": ("histogram", FEED)}
    expected |= {f"videotask_progress_ratio_g{part}": ("gauge", FEED) for part in ("count", "sum")}
    assert found == expected


async def test_no_series_stands_twice(scene: Scene, clock: HandClock) -> None:
    async with all_vendors(scene, simulator_with_history(clock)):
        await scene.sweep()
        lines = [line.rpartition(" ")[0] for line in scene.text().splitlines() if not line.startswith("#")]
    assert len(lines) > 1000
    assert [line for line, count in Counter(lines).items() if count > 1] == []


async def test_promtool_finds_nothing_to_complain_of(
    scene: Scene, clock: HandClock, program: Callable[[str], str]
) -> None:
    promtool = program("promtool")
    async with all_vendors(scene, simulator_with_history(clock)):
        await scene.sweep()
        body = scene.text()
    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


async def test_the_process_and_python_tell_of_themselves(scene: Scene) -> None:
    names = {one.name for one in text_families(scene.text())}
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds", "python_info"} <= names
    assert "_created" not in scene.text() + scene.openmetrics()


async def test_before_the_first_sweep_there_is_nothing_of_the_tasks(scene: Scene) -> None:
    for vendor in built_in():
        scene.connect(vendor)
    shown = {name for name, one in scene.families().items() if one.samples and name.startswith("videotask_")}
    assert shown == ALWAYS


async def test_a_failed_first_sweep_shows_that_the_feed_is_down_and_nothing_of_the_tasks(scene: Scene) -> None:
    scene.connect("deerapi")
    await scene.sweep()
    shown = {name for name, one in scene.families().items() if one.samples and name.startswith("videotask_")}
    assert shown == ALWAYS | AFTER_A_TRY
    assert scene.values("videotask_up", "kind") == {"sora": 0}
    assert scene.values("videotask_api_errors_total", "endpoint", "error")["list", "connection"] == 1
    assert scene.values("videotask_api_requests_total", "endpoint", "code")["list", "error"] == 1


async def test_the_budget_of_requests_and_the_interval_it_makes_are_shown(scene: Scene, clock: HandClock) -> None:
    async with all_vendors(scene, app(World(rate=0, clock=clock), limits={})):
        for _ in range(3):
            await scene.sweep()
    left = dict.fromkeys(built_in(), 9_997) | {"chanjing": 9_994}
    assert scene.values("videotask_request_budget_remaining", "provider") == left
    intervals = scene.values("videotask_poll_interval_seconds", "provider", "kind")
    assert intervals["facewap", "face_swap"] == 15
    assert intervals["chanjing", "video"] == pytest.approx(2 * 86400 / 10_000)


async def test_closed_labels_start_at_zero(scene: Scene, clock: HandClock) -> None:
    async with all_vendors(scene, app(World(rate=0, clock=clock), limits={})):
        await scene.sweep()
        feeds = [("deerapi", "sora"), ("chanjing", "lip_sync"), ("chanjing", "video")]
        feeds += [("huawei_metastudio", "digital_human"), ("facewap", "face_swap")]
        closed: dict[tuple[str, str], Iterable[str]] = {
            ("videotask_tasks", "state"): ("queued", "running", "blocked", "unknown"),
            ("videotask_finished_total", "state"): ("succeeded", "failed", "cancelled", "lost"),
            ("videotask_recent_tasks", "state"): ("succeeded", "failed", "cancelled", "lost"),
            ("videotask_failures_total", "reason"): Reason,
            ("videotask_recent_failures", "reason"): Reason,
            ("videotask_unmeasured_durations_total", "phase"): Phase,
            ("videotask_unmapped_values_total", "field"): Field,
            ("videotask_run_duration_seconds_count", "state"): ("succeeded", "failed"),
            ("videotask_total_duration_seconds_sum", "state"): ("succeeded", "failed"),
        }
        for (name, label), values in closed.items():
            expected = {(provider, kind, value): 0 for provider, kind in feeds for value in values}
            assert scene.values(name, "provider", "kind", label) == expected
        for name in ("stalled_tasks", "output_seconds_total", "history_gaps_total", "rejected_timestamps_total"):
            assert scene.values(f"videotask_{name}", "provider", "kind") == dict.fromkeys(feeds, 0)
        assert scene.values("videotask_queue_duration_seconds_count", "provider", "kind") == dict.fromkeys(feeds, 0)
        assert scene.values("videotask_progress_ratio_gcount", "provider", "kind") == dict.fromkeys(feeds, 0)
        assert scene.values("videotask_task_series_dropped", "provider") == dict.fromkeys(built_in(), 0)
        errors = scene.values("videotask_api_errors_total", "provider", "endpoint", "error")
        assert (len(errors), set(errors.values())) == (4 * 3 * 10, {0})
        assert {name for name, one in scene.families().items() if not one.samples} == {
            "videotask_oldest_task_timestamp_seconds",
            "videotask_task_progress_ratio",
            "videotask_recent_duration_seconds",
            "videotask_last_finished_timestamp_seconds",
        }


async def test_the_api_metrics_tell_what_was_sent(scene: Scene, clock: HandClock) -> None:
    simulator = app(World(rate=0, clock=clock), limits={})
    simulator.faults["chanjing/video"] = Response("<html>", 502)
    async with all_vendors(scene, simulator):
        await scene.sweep()
    requests = scene.values("videotask_api_requests_total", "provider", "endpoint", "code")
    assert {key: value for key, value in requests.items() if value} == {
        ("deerapi", "list", "200"): 1,
        ("chanjing", "list", "200"): 1,
        ("chanjing", "list", "502"): 1,
        ("huawei_metastudio", "list", "200"): 1,
        ("facewap", "list", "200"): 1,
    }
    errors = scene.values("videotask_api_errors_total", "provider", "endpoint", "error")
    assert {key: value for key, value in errors.items() if value} == {("chanjing", "list", "provider_internal"): 1}
    assert scene.values("videotask_up", "kind")["video"] == 0
    assert scene.values("videotask_up", "kind")["lip_sync"] == 1
    latencies = scene.values("videotask_api_request_duration_seconds_count", "provider", "endpoint")
    assert {key: value for key, value in latencies.items() if value}[("chanjing", "list")] == 2


async def test_the_oldest_task_is_dated_by_its_submission_or_its_start(
    scene: Scene, sora: FeedLoop, clock: HandClock
) -> None:
    now = clock.now
    await scene.see(
        sora,
        Observation("q1", State.QUEUED, submitted=now - 50),
        Observation("q2", State.QUEUED, submitted=now - 40),
        Observation("r1", State.RUNNING, submitted=now - 90, started=now - 20),
        Observation("r2", State.RUNNING, submitted=now - 80, started=now - 30),
        Observation("b1", State.BLOCKED, submitted=now - 500),
    )
    assert scene.values("videotask_oldest_task_timestamp_seconds", "state") == {"queued": now - 50, "running": now - 30}
    assert scene.values("videotask_tasks", "state") == {"queued": 2, "running": 2, "blocked": 1, "unknown": 0}


async def test_without_a_task_that_waits_or_runs_there_is_no_oldest(scene: Scene, sora: FeedLoop) -> None:
    await scene.see(sora, Observation("b1", State.BLOCKED, submitted=1.0))
    assert scene.values("videotask_oldest_task_timestamp_seconds", "state") == {}


async def test_a_task_of_unknown_times_is_as_old_as_its_first_sight(
    scene: Scene, sora: FeedLoop, clock: HandClock
) -> None:
    begin = clock.now
    await scene.see(sora, Observation("r1", State.RUNNING))
    clock.now += 5
    await scene.see(sora, Observation("r1", State.RUNNING, progress=0.5))
    assert scene.values("videotask_oldest_task_timestamp_seconds", "state") == {"running": begin}


@pytest.mark.parametrize("state", [State.RUNNING, State.UNKNOWN])
async def test_a_task_stalls_when_nothing_changes_for_the_time_that_is_set(
    scene: Scene, clock: HandClock, state: State
) -> None:
    (sora,) = scene.connect("deerapi", stalled_after="1m", poll_interval="1h")
    both = Observation("r1", state, progress=0.1), Observation("q1", State.QUEUED)
    await scene.see(sora, *both)
    clock.now += 59
    await scene.see(sora, *both)
    assert scene.values("videotask_stalled_tasks", "kind") == {"sora": 0}
    clock.now += 1
    assert scene.values("videotask_stalled_tasks", "kind") == {"sora": 1}
    await scene.see(sora, Observation("r1", state, progress=0.2), both[1])
    assert scene.values("videotask_stalled_tasks", "kind") == {"sora": 0}


async def test_progress_is_a_histogram_of_the_running_tasks_that_report_it(scene: Scene, sora: FeedLoop) -> None:
    progress = {"a": 0.0, "b": 0.1, "c": 0.11, "d": 0.7, "e": 1.0}
    running = (Observation(name, State.RUNNING, progress=value) for name, value in progress.items())
    await scene.see(
        sora, *running, Observation("silent", State.RUNNING), Observation("waits", State.QUEUED, progress=0.5)
    )
    assert scene.values("videotask_progress_ratio_bucket", "le") == {
        "0.1": 2,
        "0.2": 3,
        "0.3": 3,
        "0.4": 3,
        "0.5": 3,
        "0.6": 3,
        "0.7": 4,
        "0.8": 4,
        "0.9": 4,
        "1.0": 5,
        "+Inf": 5,
    }
    assert scene.values("videotask_progress_ratio_gcount", "kind") == {"sora": 5}
    assert scene.values("videotask_progress_ratio_gsum", "kind")["sora"] == pytest.approx(1.91)


@pytest.mark.parametrize(("limit", "shown", "dropped"), [(0, "", 0), (2, "ab", 2), (4, "abcd", 0), (9, "abcd", 0)])
async def test_single_tasks_have_series_up_to_the_limit_the_oldest_first(
    scene: Scene, clock: HandClock, limit: int, shown: str, dropped: int
) -> None:
    (sora,) = scene.connect("deerapi", task_series_limit=limit)
    ages = {"c": 30, "a": 50, "d": 20, "b": 40}
    tasks = [
        Observation(name, State.RUNNING, progress=age / 100, submitted=clock.now - age) for name, age in ages.items()
    ]
    await scene.see(sora, *tasks, Observation("e", State.RUNNING, submitted=clock.now - 99))
    expected = {name: ages[name] / 100 for name in shown}
    assert scene.values("videotask_task_progress_ratio", "task_id") == expected
    assert scene.values("videotask_task_series_dropped", "provider") == {"deerapi": dropped}


async def test_the_limit_of_series_is_that_of_a_provider_and_not_of_each_feed(scene: Scene, clock: HandClock) -> None:
    lip_sync, video = scene.connect("chanjing", task_series_limit=3)
    for loop, begin in ((lip_sync, 10), (video, 20)):
        await scene.see(
            loop,
            *(
                Observation(f"{begin + n}", State.RUNNING, progress=0.5, submitted=clock.now - begin - n)
                for n in range(3)
            ),
        )
    shown = scene.values("videotask_task_progress_ratio", "kind", "task_id")
    assert shown.keys() == {("video", "22"), ("video", "21"), ("video", "20")}
    assert scene.values("videotask_task_series_dropped", "provider") == {"chanjing": 3}


HOSTILE = ('quo"te', "back\\slash", "back\\nslash", "{a=b}", "# EOF", "漢字", "é" * 128, "x" * 128, "x" * 121, "le")


async def test_hostile_task_ids_survive_both_formats(scene: Scene) -> None:
    (sora,) = scene.connect("deerapi", task_series_limit=100)
    await scene.see(sora, *(Observation(one, State.RUNNING, progress=0.5) for one in HOSTILE))
    assert scene.values("videotask_task_progress_ratio", "task_id").keys() == set(HOSTILE)
    samples = [one for family in text_families(scene.text()) for one in family.samples]
    shown = [one.labels["task_id"] for one in samples if one.name == "videotask_task_progress_ratio"]
    assert sorted(shown) == sorted(HOSTILE)


def exemplars(families: Mapping[str, Metric]) -> dict[tuple[str, str], tuple[str, float]]:
    """By family and bucket: task and value."""
    found: dict[tuple[str, str], tuple[str, float]] = {}
    for name, family in families.items():
        for one in family.samples:
            if one.exemplar:
                found[name, one.labels["le"]] = one.exemplar.labels["task_id"], one.exemplar.value
    return found


async def test_durations_name_a_task_as_an_exemplar(scene: Scene, sora: FeedLoop, clock: HandClock) -> None:
    now = clock.now
    done = Observation("done", State.SUCCEEDED, submitted=now - 100, started=now - 85, ended=now - 10)
    gone = Observation("gone", State.FAILED, Reason.TIMEOUT, submitted=now - 9000, started=now - 8997, ended=now - 1)
    await scene.see(sora, done, gone)
    assert exemplars(scene.families()) == {
        ("videotask_queue_duration_seconds", "20.0"): ("done", 15.0),
        ("videotask_queue_duration_seconds", "5.0"): ("gone", 3.0),
        ("videotask_run_duration_seconds", "90.0"): ("done", 75.0),
        ("videotask_run_duration_seconds", "+Inf"): ("gone", 8996.0),
        ("videotask_total_duration_seconds", "90.0"): ("done", 90.0),
        ("videotask_total_duration_seconds", "+Inf"): ("gone", 8999.0),
    }
    assert "# {" not in scene.text()


@pytest.mark.parametrize(("length", "shown"), [(121, True), (122, False)])
async def test_an_id_too_long_for_an_exemplar_is_left_out(
    scene: Scene, sora: FeedLoop, clock: HandClock, length: int, shown: bool
) -> None:
    now = clock.now
    await scene.see(sora, Observation("x" * length, State.SUCCEEDED, submitted=now - 9, started=now - 8, ended=now - 1))
    assert scene.values("videotask_total_duration_seconds_count", "state") == {"succeeded": 1, "failed": 0}
    assert bool(exemplars(scene.families())) is shown


async def test_in_flight_gauges_are_withdrawn_after_three_intervals_without_success(
    scene: Scene, clock: HandClock
) -> None:
    (sora,) = scene.connect("deerapi", poll_interval="10s", task_series_limit=5)
    sora.status = replace(sora.status, up=True)
    polled = clock.now
    done = Observation("done", State.SUCCEEDED, submitted=polled - 9, started=polled - 8, ended=polled - 1)
    await scene.see(sora, Observation("a", State.RUNNING, progress=0.5), done)
    in_flight = {
        "videotask_tasks",
        "videotask_oldest_task_timestamp_seconds",
        "videotask_stalled_tasks",
        "videotask_progress_ratio",
        "videotask_task_progress_ratio",
    }
    before = {name for name, one in scene.families().items() if one.samples}
    assert in_flight < before
    clock.now = polled + 30
    assert {name for name, one in scene.families().items() if one.samples} == before
    clock.now = polled + 30.1
    assert {name for name, one in scene.families().items() if one.samples} == before - in_flight
    assert scene.values("videotask_last_successful_poll_timestamp_seconds", "kind") == {"sora": polled}
    assert scene.values("videotask_finished_total", "state")["succeeded"] == 1
    await scene.see(sora, Observation("a", State.RUNNING, progress=0.5))
    assert {name for name, one in scene.families().items() if one.samples} == before


@pytest.mark.parametrize(
    ("durations", "p50", "p95", "longest"),
    [
        ([7], 7, 7, 7),
        ([1, 2], 1, 2, 2),
        ([3, 1, 2], 2, 3, 3),
        ([4, 1, 3, 2], 2, 4, 4),
        (range(1, 20), 10, 19, 19),
        (range(1, 21), 10, 19, 20),
        (range(1, 22), 11, 20, 21),
        (range(1, 101), 50, 95, 100),
        ([5] * 10 + [50], 5, 50, 50),
    ],
)
async def test_recent_durations_are_nearest_ranks(
    scene: Scene, sora: FeedLoop, clock: HandClock, durations: Iterable[float], p50: float, p95: float, longest: float
) -> None:
    ended = clock.now - 1
    await scene.see(
        sora,
        *(
            Observation(f"t{n}", State.SUCCEEDED, submitted=ended - 2 * length, started=ended - length, ended=ended)
            for n, length in enumerate(durations)
        ),
        Observation("cancelled", State.CANCELLED, submitted=ended - 999, started=ended - 990, ended=ended),
    )
    expected = {
        (phase, stat): value * (2 if phase == "total" else 1)
        for phase in ("queue", "run", "total")
        for stat, value in (("p50", p50), ("p95", p95), ("max", longest))
    }
    assert scene.values("videotask_recent_duration_seconds", "phase", "stat") == expected


async def test_recent_tasks_leave_the_window_and_totals_stay(scene: Scene, clock: HandClock) -> None:
    (sora,) = scene.connect("deerapi", recent_window="1m")
    now = clock.now
    await scene.see(
        sora,
        Observation("a", State.FAILED, Reason.MODERATION, submitted=now - 70, started=now - 65, ended=now - 50),
        Observation("b", State.SUCCEEDED, submitted=now - 40, started=now - 35, ended=now - 20),
        Observation("undated", State.CANCELLED, submitted=now - 10),
    )
    assert scene.values("videotask_recent_tasks", "state") == {"succeeded": 1, "failed": 1, "cancelled": 1, "lost": 0}
    assert scene.values("videotask_recent_failures", "reason")["moderation"] == 1
    clock.now += 11
    assert scene.values("videotask_recent_tasks", "state") == {"succeeded": 1, "failed": 0, "cancelled": 1, "lost": 0}
    assert scene.values("videotask_recent_failures", "reason")["moderation"] == 0
    clock.now += 60
    assert set(scene.values("videotask_recent_tasks", "state").values()) == {0}
    assert scene.values("videotask_recent_duration_seconds", "phase", "stat") == {}
    assert scene.values("videotask_finished_total", "state") == {"succeeded": 1, "failed": 1, "cancelled": 1, "lost": 0}
    assert scene.values("videotask_failures_total", "reason")["moderation"] == 1


async def test_buckets_are_those_of_the_settings(scene: Scene, clock: HandClock) -> None:
    (sora,) = scene.connect("deerapi", duration_buckets=["500ms", "10s", "1m"])
    now = clock.now
    await scene.see(sora, Observation("a", State.SUCCEEDED, submitted=now - 30, started=now - 20, ended=now - 1))
    assert scene.values("videotask_queue_duration_seconds_bucket", "le") == {"0.5": 0, "10.0": 1, "60.0": 1, "+Inf": 1}
    assert scene.values("videotask_run_duration_seconds_bucket", "state", "le")["succeeded", "60.0"] == 1
    assert scene.values("videotask_total_duration_seconds_sum", "state")["succeeded"] == 29


async def test_the_last_end_of_each_state_is_dated(scene: Scene, sora: FeedLoop, clock: HandClock) -> None:
    now = clock.now
    await scene.see(
        sora,
        Observation("a", State.SUCCEEDED, submitted=now - 50, ended=now - 10),
        Observation("b", State.SUCCEEDED, submitted=now - 50, ended=now - 20),
        Observation("c", State.FAILED, Reason.TIMEOUT, submitted=now - 50, ended=now - 30),
    )
    last = scene.values("videotask_last_finished_timestamp_seconds", "state")
    assert last == {"succeeded": now - 10, "failed": now - 30}


async def test_the_poll_interval_is_that_of_the_settings(scene: Scene) -> None:
    scene.connect("deerapi", poll_interval="500ms")
    assert scene.values("videotask_poll_interval_seconds", "kind") == {"sora": 0.5}


async def test_infos_name_the_type_and_the_clock(scene: Scene) -> None:
    for vendor in built_in():
        scene.connect(vendor, name=f"my-{vendor}")
    assert scene.values("videotask_provider_info", "provider", "type") == {
        (f"my-{vendor}", vendor): 1 for vendor in built_in()
    }
    assert scene.values("videotask_feed_info", "kind", "clock") == {
        ("sora", "provider"): 1,
        ("lip_sync", "observed"): 1,
        ("video", "observed"): 1,
        ("digital_human", "provider"): 1,
        ("face_swap", "observed"): 1,
    }


async def test_the_exporter_tells_of_its_last_reload(clock: HandClock) -> None:
    scene = Scene(clock)
    scene.exposition = Exposition(scene.snapshot, Reloads(successful=False, succeeded_at=123.5), clock)
    assert scene.values("videotask_exporter_config_last_reload_successful") == {(): 0}
    assert scene.values("videotask_exporter_config_last_reload_success_timestamp_seconds") == {(): 123.5}


async def test_the_exporter_tells_of_ledgers_lost(clock: HandClock) -> None:
    scene = Scene(clock)
    assert scene.values("videotask_ledger_losses_total") == {(): 0}
    scene.exposition = Exposition(scene.snapshot, Reloads(ledger_losses=2), clock)
    assert scene.values("videotask_ledger_losses_total") == {(): 2}


async def test_a_body_does_not_change_while_nothing_happens(scene: Scene, clock: HandClock) -> None:
    async with all_vendors(scene, simulator_with_history(clock)):
        await scene.sweep()
        once, again = (ours(openmetrics_families(scene.openmetrics())) for _ in range(2))
    assert len(once) == len(CATALOGUE)
    assert [one.samples for one in once] == [one.samples for one in again]


PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/html, */*;q=0.8", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("Application/OpenMetrics-Text; Version=1.0.0", True),
        ("application/openmetrics-text; version=0.0.1", False),
        ("application/openmetrics-text; version=2.0.0", False),
        ("application/openmetrics-text; version=abc", False),
        ("application/openmetrics-text; q=0.5, text/plain; q=0.9", False),
        ("text/plain; q=0.5, application/openmetrics-text; q=0.9", True),
        ("application/openmetrics-text; q=0", False),
        ("application/openmetrics-text; q=0, */*", False),
        ("application/openmetrics-text; q=often", False),
        ("application/openmetrics-text; q=nan", False),
        ("application/openmetrics-text; q=0.5, */*; q=0.1", True),
        (";;,=;q=,", False),
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
    ],
)
def test_the_format_is_the_one_that_weighs_more(accept: str, expected: bool) -> None:
    assert prefers_openmetrics(accept) is expected


@pytest.mark.parametrize("task_series_limit", [0, 3, 100_000])
async def test_the_body_is_what_prometheus_client_writes_of_the_same_ledger(
    scene: Scene, clock: HandClock, task_series_limit: int
) -> None:
    async with all_vendors(scene, simulator_with_history(clock), task_series_limit=task_series_limit):
        for _ in range(3):
            await scene.sweep()
            reference = Reference(scene.snapshot(), Reloads(succeeded_at=clock.now), clock.now)
            scene.exposition = Exposition(scene.snapshot, Reloads(succeeded_at=clock.now), clock)
            assert scene.text().encode().startswith(reference.text())
            assert scene.openmetrics().encode().startswith(reference.openmetrics())
            clock.now += 4000.0
