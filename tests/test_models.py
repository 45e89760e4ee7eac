"""Models: which have series of their own, that they keep them, and that no sum depends on it."""

from __future__ import annotations

import json
import re
import string
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.models import PollSettings
from exporter.ledger.counting.models import model_name
from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import Changes
from exporter.simulator import HandClock, Life, World, app, fake_of, serve
from exporter.tasks import Observation, Phase, Reason, State
from tests.harness import Desk, Rig, Start, account

ALLOWED = set(string.ascii_letters + string.digits + "._:/-")


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig(HandClock())
    rig.connect("deerapi")
    yield rig
    await rig.aclose()


def running(task_id: str, model: str = "", **more: object) -> Observation:
    return Observation(task_id, State.RUNNING, model=model, **more)  # type: ignore[arg-type]


def done(task_id: str, model: str = "", **more: object) -> Observation:
    return Observation(task_id, State.SUCCEEDED, model=model, **more)  # type: ignore[arg-type]


def failed(task_id: str, model: str = "", reason: Reason = Reason.MODERATION, **more: object) -> Observation:
    return Observation(task_id, State.FAILED, reason, model=model, **more)  # type: ignore[arg-type]


# --- Names


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("doubao-seedance-1-0-pro-250528", "doubao-seedance-1-0-pro-250528"),
        ("kwaivgi/kling-v1.6:std", "kwaivgi/kling-v1.6:std"),
        (" sora 2 \n", "sora_2"),
        ('"gen3"\\', "gen3"),
        ("a\nb\x00c\x1b[31md", "a_b_c_31md"),
        ("可灵 1.6", "1.6"),
        ("可灵", ""),
        ("", ""),
        ("x" * 2048, "x" * 64),
        ('"\n\x07' * 700, ""),
    ],
)
def test_a_name_is_written_in_the_characters_of_the_label(told: str, shown: str) -> None:
    assert model_name(told) == shown


@given(st.text())
def test_any_name_is_short_and_plain_and_stays_as_it_is(told: str) -> None:
    shown = model_name(told)
    assert len(shown) <= 64
    assert set(shown) <= ALLOWED
    assert model_name(shown) == shown


async def test_equal_names_are_one_text_in_memory() -> None:
    desk = Desk()
    await desk.sweep(*(running(f"t{n}", "".join(["gen3", "-turbo"])) for n in range(10)))
    assert len({id(task.model) for task in desk.tracker.in_flight.values()}) == 1
    again = desk.restarted()
    assert len({id(task.model) for task in again.tracker.in_flight.values()}) == 1


# --- Which have series


async def test_the_first_models_get_series_and_the_others_share_one() -> None:
    desk = Desk(model_limit=2)
    await desk.sweep(*(done(f"t{model}", model) for model in "abcd"), done("plain"))
    assert desk.counted("model_finished_total") == {"asucceeded": 1, "bsucceeded": 1, "othersucceeded": 2}
    assert desk.finished == {"succeeded": 5}
    assert desk.tracker.models == {"a", "b", "other"}


async def test_models_keep_their_series_across_a_restart_and_a_smaller_limit() -> None:
    desk = Desk(model_limit=2)
    await desk.sweep(running("1", "a"), running("2", "b"), running("3", "c"))
    again = desk.restarted(model_limit=1)
    await again.sweep(done("1", "a"), done("2", "b"), done("3", "c"), done("4", "d"))
    assert again.counted("model_finished_total") == {"asucceeded": 1, "bsucceeded": 1, "othersucceeded": 2}


async def test_a_larger_limit_gives_series_to_models_that_are_seen_from_then_on() -> None:
    desk = Desk(model_limit=1)
    await desk.sweep(done("1", "a"), done("2", "b"))
    again = desk.restarted(model_limit=2)
    await again.sweep(done("3", "b"), done("4", "c"))
    assert again.counted("model_finished_total") == {"asucceeded": 1, "bsucceeded": 1, "othersucceeded": 2}


async def test_at_a_limit_of_0_all_models_share_one_series() -> None:
    desk = Desk(model_limit=0)
    await desk.sweep(done("1", "a"), done("2", "b"))
    assert desk.counted("model_finished_total") == {"othersucceeded": 2}


async def test_a_model_called_other_takes_no_place_of_another() -> None:
    desk = Desk(model_limit=1)
    await desk.sweep(done("1", "other"), done("2", "a"), done("3", "b"))
    assert desk.counted("model_finished_total") == {"othersucceeded": 2, "asucceeded": 1}


async def test_a_task_counts_as_the_model_that_its_end_tells() -> None:
    desk = Desk()
    await desk.sweep(running("1", "auto"), running("2", "b"))
    await desk.sweep(done("1", "gen3"), done("2"))
    assert desk.counted("model_finished_total") == {"gen3succeeded": 1, "bsucceeded": 1}


async def test_a_task_that_is_shown_with_its_name_as_it_came_is_no_news() -> None:
    desk = Desk()
    await desk.sweep(running("1", "sora 2"))
    before = desk.tracker.revision, dict(desk.tracker.in_flight)
    sweep = await desk.sweep(running("1", "sora 2"))
    assert desk.tracker.in_flight == before[1]
    assert sweep.listed["1"][0].id == ""  # kept as the sign for "as before"


class FullDisk(SqliteFile):
    """A disk that is full, or that has written what it says it has not."""

    fails = ""

    def commit(self, changes: Changes) -> None:
        if self.fails == "before":
            raise StoreError("the disk is full")
        super().commit(changes)
        if self.fails:
            raise StoreError("unknown whether that was written")


@pytest.mark.parametrize("fails", ["before", "after"])
async def test_a_commit_that_fails_gives_no_model_a_series_twice(fails: str) -> None:
    disk = FullDisk(":memory:")
    desk = Desk(store=disk, model_limit=1)
    await desk.sweep(running("0"))
    disk.fails = fails
    with pytest.raises(StoreError):
        await desk.sweep(running("0"), done("1", "a"))
    disk.fails = ""
    await desk.sweep(running("0"), done("2", "b"), done("1", "a"))
    models = desk.counted("model_finished_total")
    assert sum(models.values()) == 2
    # What was never written is as if it had never been seen; what was written counts.
    assert desk.tracker.models == ({"a", "other"} if fails == "after" else {"b", "other"})


# --- Sums


async def test_the_sums_over_models_and_tasks_without_one_are_the_metrics_without_models() -> None:
    rng, desk = Random(7), Desk(model_limit=3)
    models = ["", *"abcdefg"]
    plain: dict[str, float] = {"succeeded": 0.0, "failed": 0.0, "cancelled": 0.0}
    reasons: dict[str, float] = {}
    lengths = 0.0
    for n in range(300):
        model, state = rng.choice(models), rng.choice((State.SUCCEEDED, State.FAILED, State.CANCELLED))
        reason = rng.choice(list(Reason)) if state is State.FAILED else None
        now, run = desk.now + 15, rng.randint(1, 60)
        times: dict[str, Any] = {"submitted": now - run - 10, "started": now - run, "ended": now}
        if n % 40 == 0:
            desk = desk.restarted()
        await desk.sweep(Observation(f"t{n}", state, reason, model=model, **times))
        if not model:
            plain[state] += 1
            lengths += run if state is State.SUCCEEDED else 0
            if reason:
                reasons[reason] = reasons.get(reason, 0) + 1
    counts = desk.tracker.counts
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
        by_model = sum(n for key, n in counts.items() if key[0] == "model_finished_total" and key[2] == state)
        assert by_model + plain[state] == counts["finished_total", state]
    for reason in Reason:
        by_model = sum(n for key, n in counts.items() if key[0] == "model_failures_total" and key[2] == reason)
        assert by_model + reasons.get(reason, 0) == counts["failures_total", reason]
    assert len(desk.tracker.models) == 4
    of_models = [counts.buckets("model_run_duration_seconds", model, bounds=()) for model in desk.tracker.models]
    count, total = desk.measured(Phase.RUN, State.SUCCEEDED)
    assert sum(buckets[-1][1] for buckets, _ in of_models) + plain["succeeded"] == count
    assert sum(each for _, each in of_models) + lengths == total


async def test_only_succeeded_tasks_are_measured_by_model() -> None:
    desk = Desk()
    times: dict[str, Any] = {"submitted": desk.now, "started": desk.now + 3, "ended": desk.now + 10}
    await desk.sweep(done("1", "a", **times), failed("2", "a", **times), done("3", "a"))
    counts = desk.tracker.counts
    assert counts.buckets("model_run_duration_seconds", "a", bounds=(5.0,)) == ([("5.0", 0), ("+Inf", 1)], 7.0)
    assert counts.buckets("model_total_duration_seconds", "a", bounds=(5.0,)) == ([("5.0", 0), ("+Inf", 1)], 10.0)


async def test_ten_thousand_models_in_an_hour_cost_no_more_series_than_the_limit_has() -> None:
    desk = Desk()
    for hour in range(20):
        await desk.sweep(*(done(f"t{hour}-{n}", f"model-{hour}-{n}-{'x' * 2000}") for n in range(500)), after=180)
    assert len(desk.tracker.models) == PollSettings().model_limit + 1
    assert sum(desk.counted("model_finished_total").values()) == desk.finished["succeeded"] == 10_000
    assert len(desk.counted("model_finished_total")) == PollSettings().model_limit + 1
    assert len(desk.tracker.counts) < 100


# --- What is shown


async def test_the_gauges_by_model_tell_the_tasks_in_flight_and_go_when_these_are_old(rig: Rig) -> None:
    await rig.show(running("1", "b"), running("2", "a"), Observation("3", State.QUEUED, model="a"), running("4"))
    shown = rig.values("videotask_model_tasks", "model", "state")
    assert {key: count for key, count in shown.items() if count} == {
        ("a", "running"): 1,
        ("a", "queued"): 1,
        ("b", "running"): 1,
    }
    assert len(shown) == 2 * 4
    rig.clock.now += 3600
    assert rig.values("videotask_model_tasks", "model", "state") == {}
    assert rig.values("videotask_model_finished_total", "model", "state") == {
        (model, state): 0 for model in "ab" for state in ("succeeded", "failed", "cancelled", "lost")
    }


async def test_tasks_in_flight_of_models_beyond_the_limit_are_other(rig: Rig) -> None:
    await rig.show(*(running(str(n), f"m{n:02}") for n in range(25)))
    shown = rig.values("videotask_model_tasks", "model", "state")
    assert shown["other", "running"] == 5
    assert sum(shown.values()) == 25


async def test_the_histograms_by_model_link_to_tasks(rig: Rig) -> None:
    now = rig.clock.now
    await rig.show(done("t1", "a", submitted=now - 60, started=now - 50, ended=now))
    line = next(line for line in rig.openmetrics().splitlines() if re.match(r"videotask_model_run.*a.*60\.0", line))
    assert '# {task_id="t1"} 50.0' in line


async def test_a_hostile_name_breaks_no_line(rig: Rig) -> None:
    await rig.show(running("1", 'a"} 1\nevil{x="\\'), running("2", "b" + "\x00\x1b" * 1000))
    shown = rig.values("videotask_model_tasks", "model", "state")
    assert {model for model, _ in shown} == {"a_1_evil_x", "b"}


async def test_a_feed_without_models_shows_nothing_of_them(rig: Rig) -> None:
    await rig.show(running("1"), done("2"))
    assert not [line for line in rig.text().splitlines() if line.startswith("videotask_model")]


# --- Killed

ARK = ("volcengine_ark", "generation")
MODELS = tuple(f"seedance-{n}" for n in range(5))


@pytest.mark.slow
def test_five_models_under_a_limit_of_three_are_exact_across_kills(start: Start, tmp_path: Path) -> None:
    rng, clock = Random(5), HandClock()
    clock.now = begun = time.time() - 600
    world = World(rate=0, clock=clock, profiles=fake_of(ARK[0]).profiles)
    lives: list[Life] = []
    for n in range(60):
        end = rng.choice((State.SUCCEEDED, State.SUCCEEDED, State.FAILED))
        reason = Reason.MODERATION if end is State.FAILED else None
        cost = float(rng.randrange(1000)) if end is State.SUCCEEDED else 0.0
        model = MODELS[n % 5]
        lives.append(
            Life(f"cgt-{n}", *ARK, begun + 5 * n, 1.0, 20.0, end, reason, model=model, cost=cost, output_seconds=5.0)
        )
    world.add(*lives)
    config, ledger = tmp_path / "config.yaml", tmp_path / "ledger.sqlite3"

    def counted(url: str, metric: str) -> dict[tuple[str, str], float]:
        with urllib.request.urlopen(f"{url}metrics", timeout=10) as answer:  # noqa: S310
            body = answer.read().decode()
        found = re.findall(rf"(?m)^videotask_{metric}{{(.*)}} (\S+)$", body)
        labels = [(dict(re.findall(r'(\w+)="([^"]*)"', told)), float(value)) for told, value in found]
        return {(told.get("model", ""), told.get("state") or told.get("unit", "")): n for told, n in labels}

    with serve(app(world, limits={})) as served:
        provider = account(ARK[0], served.url)
        settings = {"poll_interval": "50ms", "model_limit": 3, "ledger": {"path": str(ledger)}, "providers": [provider]}
        config.write_text(json.dumps(settings))
        flags = (f"--config.file={config}", "--web.listen-address=127.0.0.1:0")
        series: set[str] = set()
        for _ in range(12):
            exporter = start(*flags)
            url = exporter.url
            clock.now += 30
            exporter.wait_for("models", lambda url=url: bool(counted(url, "model_finished_total")))  # type: ignore[misc]
            now = {model for model, _ in counted(url, "model_finished_total")}
            assert series <= now
            series = now
            time.sleep(rng.uniform(0, 0.15))  # in the midst of the sweeps that follow
            exporter.process.kill()
            exporter.process.wait()
        assert world.in_flight() == 0
        exporter = start(*flags)

        def has_counted_all() -> bool:
            return sum(counted(exporter.url, "finished_total").values()) == len(lives)

        exporter.wait_for("all ends being counted", has_counted_all)
        finished = counted(exporter.url, "model_finished_total")
        series = {model for model, _ in finished}
        spent = counted(exporter.url, "model_usage_total")
        in_all = counted(exporter.url, "usage_total")
        assert exporter.end() == 0

    own = series - {"other"}
    assert len(own) == 3
    for model in (*own, "other"):
        mine = [life for life in lives if life.model == model or (model == "other" and life.model not in own)]
        for state in (State.SUCCEEDED, State.FAILED):
            assert finished[model, state] == sum(life.end is state for life in mine)
        assert spent[model, "tokens"] == sum(life.cost for life in mine)
    assert in_all == {("", "succeeded"): sum(life.cost for life in lives), ("", "failed"): 0}
