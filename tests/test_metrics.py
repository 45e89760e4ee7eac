"""The metrics: their names, types and labels are a contract, and each says what the ledger knows."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as text_families
from starlette.responses import Response

from benchmarks.reference import Reference
from exporter.metrics.exposition import prefers_openmetrics
from exporter.polling.feed.loop import FeedLoop
from exporter.simulator import SEEDS, HandClock, World, profiles_of
from exporter.snapshot import Reloads
from exporter.tasks import Field, Observation, Phase, Reason, State
from tests.harness import UNLISTED, Door, Rig, Site
from tests.harness.rig import families_in

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
    "videotask_usage_total": ("counter", FEED | {"unit", "state"}),
    "videotask_model_tasks": ("gauge", FEED | {"model", "state"}),
    "videotask_model_finished_total": ("counter", FEED | {"model", "state"}),
    "videotask_model_failures_total": ("counter", FEED | {"model", "reason"}),
    "videotask_model_run_duration_seconds": ("histogram", FEED | {"model"}),
    "videotask_model_total_duration_seconds": ("histogram", FEED | {"model"}),
    "videotask_model_usage_total": ("counter", FEED | {"model", "unit"}),
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
    "videotask_watch_source_up": ("gauge", {"provider", "source"}),
    "videotask_account_balance": ("gauge", {"provider", "unit"}),
    "videotask_account_last_success_timestamp_seconds": ("gauge", {"provider"}),
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


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def rig(clock: HandClock) -> AsyncIterator[Rig]:
    rig = Rig(clock)
    yield rig
    await rig.aclose()


@pytest.fixture
def sora(rig: Rig) -> FeedLoop:
    """A feed whose times are the vendor's."""
    (loop,) = rig.connect("deerapi")
    return loop


def all_vendors(
    rig: Rig, door: Door, history: float = 0.0, task_series_limit: int = 3, types: Collection[str] = SEEDS
) -> Site:
    """Every feed of these vendors. With a history there are tasks of every kind in every state that they have."""
    profiles = profiles_of(types)
    world = World(seed=6, clock=rig.clock, history=history, rate=1 if history else 0, profiles=profiles)
    door.behind = site = Site(world, door.url)
    for vendor in types:
        watch = {"files": ["nowhere/*.json"]}
        rig.add(site.settings(vendor, task_series_limit=task_series_limit, max_requests_per_day=10_000, watch=watch))
    return site


HISTORY = 6_000.0


def ours(families: Iterable[Metric]) -> list[Metric]:
    return [one for one in families if one.name.startswith("videotask_")]


def shape(family: Metric) -> tuple[str, set[str]]:
    """Type and labels, which all samples must share."""
    shapes = {frozenset(one.labels.keys() - {"le"}) for one in family.samples}
    assert len(shapes) == 1
    return family.type, set(next(iter(shapes)))


async def test_the_metrics_are_those_of_the_catalogue(rig: Rig, door: Door) -> None:
    all_vendors(rig, door, HISTORY, types=(*SEEDS, "volcengine_ark"))  # which tells models and costs
    await rig.sweep()
    await rig.read_balances()
    found = {name: one for name, one in rig.families().items() if name.startswith("videotask_")}
    assert {name: shape(one) for name, one in found.items()} == CATALOGUE
    assert [
        name for name, one in found.items() if not one.documentation.endswith((".", "poll_timestamp_seconds."))
    ] == []


async def test_the_text_format_has_the_same_metrics(rig: Rig, door: Door) -> None:
    all_vendors(rig, door, HISTORY, types=(*SEEDS, "volcengine_ark"))  # which tells models and costs
    await rig.sweep()
    await rig.read_balances()
    found = {
        f"{one.name}_total" if one.type == "counter" else one.name: shape(one)
        for one in ours(text_families(rig.text()))
    }
    # The text format has no gauge histograms: their buckets are a histogram, their count and sum two gauges.
    expected = dict(CATALOGUE) | {"videotask_progress_ratio": ("histogram", FEED)}
    expected |= {f"videotask_progress_ratio_g{part}": ("gauge", FEED) for part in ("count", "sum")}
    assert found == expected


async def test_no_series_stands_twice(rig: Rig, door: Door) -> None:
    all_vendors(rig, door, HISTORY)
    await rig.sweep()
    await rig.read_balances()
    lines = [line.rpartition(" ")[0] for line in rig.text().splitlines() if not line.startswith("#")]
    assert len(lines) > 1000
    assert [line for line, count in Counter(lines).items() if count > 1] == []


async def test_promtool_finds_nothing_to_complain_of(rig: Rig, door: Door, program: Callable[[str], str]) -> None:
    promtool = program("promtool")
    all_vendors(rig, door, HISTORY)
    await rig.sweep()
    await rig.read_balances()
    body = rig.text()
    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


async def test_the_process_and_python_tell_of_themselves(rig: Rig) -> None:
    names = {one.name for one in text_families(rig.text())}
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds", "python_info"} <= names
    assert "_created" not in rig.text() + rig.openmetrics()


async def test_before_the_first_sweep_there_is_nothing_of_the_tasks(rig: Rig) -> None:
    for vendor in SEEDS:
        rig.connect(vendor)
    shown = {name for name, one in rig.families().items() if one.samples and name.startswith("videotask_")}
    assert shown == ALWAYS


async def test_a_failed_first_sweep_shows_that_the_feed_is_down_and_nothing_of_the_tasks(rig: Rig) -> None:
    rig.connect("deerapi")
    await rig.sweep()
    shown = {name for name, one in rig.families().items() if one.samples and name.startswith("videotask_")}
    assert shown == ALWAYS | AFTER_A_TRY
    assert rig.values("videotask_up", "kind") == {"sora": 0}
    assert rig.values("videotask_api_errors_total", "endpoint", "error")["list", "connection"] == 1
    assert rig.values("videotask_api_requests_total", "endpoint", "code")["list", "error"] == 1


async def test_the_budget_of_requests_and_the_interval_it_makes_are_shown(rig: Rig, door: Door) -> None:
    all_vendors(rig, door)
    for _ in range(3):
        await rig.sweep()
    left = dict.fromkeys(SEEDS, 9_997) | {"chanjing": 9_994}
    assert rig.values("videotask_request_budget_remaining", "provider") == left
    intervals = rig.values("videotask_poll_interval_seconds", "provider", "kind")
    assert intervals["facewap", "face_swap"] == 15
    assert intervals["chanjing", "video"] == pytest.approx(2 * 86400 / 10_000)


async def test_closed_labels_start_at_zero(rig: Rig, door: Door) -> None:
    all_vendors(rig, door)
    await rig.sweep()
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
        assert rig.values(name, "provider", "kind", label) == expected
    for name in ("stalled_tasks", "output_seconds_total", "history_gaps_total", "rejected_timestamps_total"):
        assert rig.values(f"videotask_{name}", "provider", "kind") == dict.fromkeys(feeds, 0)
    assert rig.values("videotask_queue_duration_seconds_count", "provider", "kind") == dict.fromkeys(feeds, 0)
    assert rig.values("videotask_progress_ratio_gcount", "provider", "kind") == dict.fromkeys(feeds, 0)
    assert rig.values("videotask_task_series_dropped", "provider") == dict.fromkeys(SEEDS, 0)
    errors = rig.values("videotask_api_errors_total", "provider", "endpoint", "error")
    with_a_balance = 3
    assert (len(errors), set(errors.values())) == ((4 * 3 + with_a_balance) * 10, {0})
    assert {name for name, one in rig.families().items() if not one.samples} == {
        "videotask_oldest_task_timestamp_seconds",
        "videotask_task_progress_ratio",
        "videotask_recent_duration_seconds",
        "videotask_last_finished_timestamp_seconds",
        *(name for name in CATALOGUE if "_model_" in name or "_usage_" in name),  # no feed here tells these
        "videotask_account_balance",
        "videotask_account_last_success_timestamp_seconds",
    }


async def test_the_api_metrics_tell_what_was_sent(rig: Rig, door: Door) -> None:
    all_vendors(rig, door).fake.faults["chanjing/video"] = Response("<html>", 502)
    await rig.sweep()
    requests = rig.values("videotask_api_requests_total", "provider", "endpoint", "code")
    assert {key: value for key, value in requests.items() if value} == {
        ("deerapi", "list", "200"): 1,
        ("chanjing", "list", "200"): 1,
        ("chanjing", "list", "502"): 1,
        ("huawei_metastudio", "list", "200"): 1,
        ("facewap", "list", "200"): 1,
    }
    errors = rig.values("videotask_api_errors_total", "provider", "endpoint", "error")
    assert {key: value for key, value in errors.items() if value} == {("chanjing", "list", "provider_internal"): 1}
    assert rig.values("videotask_up", "kind")["video"] == 0
    assert rig.values("videotask_up", "kind")["lip_sync"] == 1
    latencies = rig.values("videotask_api_request_duration_seconds_count", "provider", "endpoint")
    assert {key: value for key, value in latencies.items() if value}[("chanjing", "list")] == 2


async def test_the_oldest_task_is_dated_by_its_submission_or_its_start(
    rig: Rig, sora: FeedLoop, clock: HandClock
) -> None:
    now = clock.now
    await rig.show(
        Observation("q1", State.QUEUED, submitted=now - 50),
        Observation("q2", State.QUEUED, submitted=now - 40),
        Observation("r1", State.RUNNING, submitted=now - 90, started=now - 20),
        Observation("r2", State.RUNNING, submitted=now - 80, started=now - 30),
        Observation("b1", State.BLOCKED, submitted=now - 500),
    )
    assert rig.values("videotask_oldest_task_timestamp_seconds", "state") == {"queued": now - 50, "running": now - 30}
    assert rig.values("videotask_tasks", "state") == {"queued": 2, "running": 2, "blocked": 1, "unknown": 0}


async def test_without_a_task_that_waits_or_runs_there_is_no_oldest(rig: Rig, sora: FeedLoop) -> None:
    await rig.show(Observation("b1", State.BLOCKED, submitted=1.0))
    assert rig.values("videotask_oldest_task_timestamp_seconds", "state") == {}


async def test_a_task_of_unknown_times_is_as_old_as_its_first_sight(rig: Rig, sora: FeedLoop, clock: HandClock) -> None:
    begin = clock.now
    await rig.show(Observation("r1", State.RUNNING))
    clock.now += 5
    await rig.show(Observation("r1", State.RUNNING, progress=0.5))
    assert rig.values("videotask_oldest_task_timestamp_seconds", "state") == {"running": begin}


@pytest.mark.parametrize("state", [State.RUNNING, State.UNKNOWN])
async def test_a_task_stalls_when_nothing_changes_for_the_time_that_is_set(
    rig: Rig, clock: HandClock, state: State
) -> None:
    rig.connect("deerapi", stalled_after="1m", poll_interval="1h")
    both = Observation("r1", state, progress=0.1), Observation("q1", State.QUEUED)
    await rig.show(*both)
    clock.now += 59
    await rig.show(*both)
    assert rig.values("videotask_stalled_tasks", "kind") == {"sora": 0}
    clock.now += 1
    assert rig.values("videotask_stalled_tasks", "kind") == {"sora": 1}
    await rig.show(Observation("r1", state, progress=0.2), both[1])
    assert rig.values("videotask_stalled_tasks", "kind") == {"sora": 0}


async def test_progress_is_a_histogram_of_the_running_tasks_that_report_it(rig: Rig, sora: FeedLoop) -> None:
    progress = {"a": 0.0, "b": 0.1, "c": 0.11, "d": 0.7, "e": 1.0}
    running = (Observation(name, State.RUNNING, progress=value) for name, value in progress.items())
    await rig.show(*running, Observation("silent", State.RUNNING), Observation("waits", State.QUEUED, progress=0.5))
    assert rig.values("videotask_progress_ratio_bucket", "le") == {
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
    assert rig.values("videotask_progress_ratio_gcount", "kind") == {"sora": 5}
    assert rig.values("videotask_progress_ratio_gsum", "kind")["sora"] == pytest.approx(1.91)


@pytest.mark.parametrize(("limit", "shown", "dropped"), [(0, "", 0), (2, "ab", 2), (4, "abcd", 0), (9, "abcd", 0)])
async def test_single_tasks_have_series_up_to_the_limit_the_oldest_first(
    rig: Rig, clock: HandClock, limit: int, shown: str, dropped: int
) -> None:
    rig.connect("deerapi", task_series_limit=limit)
    ages = {"c": 30, "a": 50, "d": 20, "b": 40}
    tasks = [
        Observation(name, State.RUNNING, progress=age / 100, submitted=clock.now - age) for name, age in ages.items()
    ]
    await rig.show(*tasks, Observation("e", State.RUNNING, submitted=clock.now - 99))
    expected = {name: ages[name] / 100 for name in shown}
    assert rig.values("videotask_task_progress_ratio", "task_id") == expected
    assert rig.values("videotask_task_series_dropped", "provider") == {"deerapi": dropped}


async def test_the_limit_of_series_is_that_of_a_provider_and_not_of_each_feed(rig: Rig, clock: HandClock) -> None:
    rig.connect("chanjing", task_series_limit=3)
    for feed, begin in ((0, 10), (1, 20)):  # lip_sync, video
        ages = [begin + n for n in range(3)]
        await rig.show(
            *(Observation(f"{age}", State.RUNNING, progress=0.5, submitted=clock.now - age) for age in ages), feed=feed
        )
    shown = rig.values("videotask_task_progress_ratio", "kind", "task_id")
    assert shown.keys() == {("video", "22"), ("video", "21"), ("video", "20")}
    assert rig.values("videotask_task_series_dropped", "provider") == {"chanjing": 3}


HOSTILE = ('quo"te', "back\\slash", "back\\nslash", "{a=b}", "# EOF", "漢字", "é" * 128, "x" * 128, "x" * 121, "le")


async def test_hostile_task_ids_survive_both_formats(rig: Rig) -> None:
    rig.connect("deerapi", task_series_limit=100)
    await rig.show(*(Observation(one, State.RUNNING, progress=0.5) for one in HOSTILE))
    assert rig.values("videotask_task_progress_ratio", "task_id").keys() == set(HOSTILE)
    samples = [one for family in text_families(rig.text()) for one in family.samples]
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


async def test_durations_name_a_task_as_an_exemplar(rig: Rig, sora: FeedLoop, clock: HandClock) -> None:
    now = clock.now
    done = Observation("done", State.SUCCEEDED, submitted=now - 100, started=now - 85, ended=now - 10)
    gone = Observation("gone", State.FAILED, Reason.TIMEOUT, submitted=now - 9000, started=now - 8997, ended=now - 1)
    await rig.show(done, gone)
    assert exemplars(rig.families()) == {
        ("videotask_queue_duration_seconds", "20.0"): ("done", 15.0),
        ("videotask_queue_duration_seconds", "5.0"): ("gone", 3.0),
        ("videotask_run_duration_seconds", "90.0"): ("done", 75.0),
        ("videotask_run_duration_seconds", "+Inf"): ("gone", 8996.0),
        ("videotask_total_duration_seconds", "90.0"): ("done", 90.0),
        ("videotask_total_duration_seconds", "+Inf"): ("gone", 8999.0),
    }
    assert "# {" not in rig.text()


@pytest.mark.parametrize(("length", "shown"), [(121, True), (122, False)])
async def test_an_id_too_long_for_an_exemplar_is_left_out(
    rig: Rig, sora: FeedLoop, clock: HandClock, length: int, shown: bool
) -> None:
    now = clock.now
    await rig.show(Observation("x" * length, State.SUCCEEDED, submitted=now - 9, started=now - 8, ended=now - 1))
    assert rig.values("videotask_total_duration_seconds_count", "state") == {"succeeded": 1, "failed": 0}
    assert bool(exemplars(rig.families())) is shown


async def test_in_flight_gauges_are_withdrawn_after_three_intervals_without_success(rig: Rig, clock: HandClock) -> None:
    rig.connect("deerapi", poll_interval="10s", task_series_limit=5)
    polled = clock.now
    done = Observation("done", State.SUCCEEDED, submitted=polled - 9, started=polled - 8, ended=polled - 1)
    await rig.show(Observation("a", State.RUNNING, progress=0.5), done)
    in_flight = {
        "videotask_tasks",
        "videotask_oldest_task_timestamp_seconds",
        "videotask_stalled_tasks",
        "videotask_progress_ratio",
        "videotask_task_progress_ratio",
    }
    before = {name for name, one in rig.families().items() if one.samples}
    assert in_flight < before
    clock.now = polled + 30
    assert {name for name, one in rig.families().items() if one.samples} == before
    clock.now = polled + 30.1
    assert {name for name, one in rig.families().items() if one.samples} == before - in_flight
    assert rig.values("videotask_last_successful_poll_timestamp_seconds", "kind") == {"sora": polled}
    assert rig.values("videotask_finished_total", "state")["succeeded"] == 1
    await rig.show(Observation("a", State.RUNNING, progress=0.5))
    assert {name for name, one in rig.families().items() if one.samples} == before


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
    rig: Rig, sora: FeedLoop, clock: HandClock, durations: Iterable[float], p50: float, p95: float, longest: float
) -> None:
    ended = clock.now - 1
    await rig.show(
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
    assert rig.values("videotask_recent_duration_seconds", "phase", "stat") == expected


async def test_recent_tasks_leave_the_window_and_totals_stay(rig: Rig, clock: HandClock) -> None:
    rig.connect("deerapi", recent_window="1m")
    now = clock.now
    await rig.show(
        Observation("a", State.FAILED, Reason.MODERATION, submitted=now - 70, started=now - 65, ended=now - 50),
        Observation("b", State.SUCCEEDED, submitted=now - 40, started=now - 35, ended=now - 20),
        Observation("undated", State.CANCELLED, submitted=now - 10),
    )
    assert rig.values("videotask_recent_tasks", "state") == {"succeeded": 1, "failed": 1, "cancelled": 1, "lost": 0}
    assert rig.values("videotask_recent_failures", "reason")["moderation"] == 1
    clock.now += 11
    assert rig.values("videotask_recent_tasks", "state") == {"succeeded": 1, "failed": 0, "cancelled": 1, "lost": 0}
    assert rig.values("videotask_recent_failures", "reason")["moderation"] == 0
    clock.now += 60
    assert set(rig.values("videotask_recent_tasks", "state").values()) == {0}
    assert rig.values("videotask_recent_duration_seconds", "phase", "stat") == {}
    assert rig.values("videotask_finished_total", "state") == {"succeeded": 1, "failed": 1, "cancelled": 1, "lost": 0}
    assert rig.values("videotask_failures_total", "reason")["moderation"] == 1


async def test_buckets_are_those_of_the_settings(rig: Rig, clock: HandClock) -> None:
    rig.connect("deerapi", duration_buckets=["500ms", "10s", "1m"])
    now = clock.now
    await rig.show(Observation("a", State.SUCCEEDED, submitted=now - 30, started=now - 20, ended=now - 1))
    assert rig.values("videotask_queue_duration_seconds_bucket", "le") == {"0.5": 0, "10.0": 1, "60.0": 1, "+Inf": 1}
    assert rig.values("videotask_run_duration_seconds_bucket", "state", "le")["succeeded", "60.0"] == 1
    assert rig.values("videotask_total_duration_seconds_sum", "state")["succeeded"] == 29


async def test_the_last_end_of_each_state_is_dated(rig: Rig, sora: FeedLoop, clock: HandClock) -> None:
    now = clock.now
    await rig.show(
        Observation("a", State.SUCCEEDED, submitted=now - 50, ended=now - 10),
        Observation("b", State.SUCCEEDED, submitted=now - 50, ended=now - 20),
        Observation("c", State.FAILED, Reason.TIMEOUT, submitted=now - 50, ended=now - 30),
    )
    last = rig.values("videotask_last_finished_timestamp_seconds", "state")
    assert last == {"succeeded": now - 10, "failed": now - 30}


async def test_the_poll_interval_is_that_of_the_settings(rig: Rig) -> None:
    rig.connect("deerapi", poll_interval="500ms")
    assert rig.values("videotask_poll_interval_seconds", "kind") == {"sora": 0.5}


async def test_a_source_of_ids_is_up_while_it_can_be_read_and_told_without_what_a_url_asks_for(
    rig: Rig, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('["task_1"]')
    bad.write_text("<html>")
    url = {"url": "http://127.0.0.1:9/ids?key=hidden", "interval": "1h"}
    missing = f"{tmp_path}/more/*.csv"
    files = [str(good), str(bad), missing]
    rig.connect("deerapi", **UNLISTED, watch={"tasks": {"sora": ["task_2"]}, "files": files, "http": [url]})
    assert rig.values("videotask_watch_source_up", "source") == {}  # before anything was tried
    await rig.sweep()
    found = rig.values("videotask_watch_source_up", "source")
    assert found == {str(good): 1, str(bad): 0, missing: 0, "http://127.0.0.1:9/ids": 0}
    assert "hidden" not in rig.text()


async def test_infos_name_the_type_and_the_clock(rig: Rig) -> None:
    for vendor in SEEDS:
        rig.connect(vendor, name=f"my-{vendor}")
    assert rig.values("videotask_provider_info", "provider", "type") == {
        (f"my-{vendor}", vendor): 1 for vendor in SEEDS
    }
    assert rig.values("videotask_feed_info", "kind", "clock") == {
        ("sora", "provider"): 1,
        ("lip_sync", "observed"): 1,
        ("video", "observed"): 1,
        ("digital_human", "provider"): 1,
        ("face_swap", "observed"): 1,
    }


async def test_the_exporter_tells_of_its_last_reload(clock: HandClock) -> None:
    rig = Rig(clock)
    rig.exposition = rig.exposing(Reloads(successful=False, succeeded_at=123.5))
    assert rig.values("videotask_exporter_config_last_reload_successful") == {(): 0}
    assert rig.values("videotask_exporter_config_last_reload_success_timestamp_seconds") == {(): 123.5}


async def test_the_exporter_tells_of_ledgers_lost(clock: HandClock) -> None:
    rig = Rig(clock)
    assert rig.values("videotask_ledger_losses_total") == {(): 0}
    rig.exposition = rig.exposing(Reloads(ledger_losses=2))
    assert rig.values("videotask_ledger_losses_total") == {(): 2}


async def test_a_body_does_not_change_while_nothing_happens(rig: Rig, door: Door) -> None:
    all_vendors(rig, door, HISTORY)
    await rig.sweep()
    await rig.read_balances()
    once, again = (ours(families_in(rig.openmetrics())) for _ in range(2))
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
    rig: Rig, clock: HandClock, door: Door, task_series_limit: int
) -> None:
    all_vendors(rig, door, HISTORY, task_series_limit=task_series_limit)
    for _ in range(3):
        await rig.sweep()
        reference = Reference(rig.polled.snapshot(), Reloads(succeeded_at=clock.now), clock.now)
        rig.exposition = rig.exposing(Reloads(succeeded_at=clock.now))
        assert rig.text().encode().startswith(reference.text())
        assert rig.openmetrics().encode().startswith(reference.openmetrics())
        clock.now += 4000.0
