"""The world generates the same tasks from the same seed, and tells the truth about them."""

from __future__ import annotations

import json

import pytest

from exporter.simulator import DIGITAL_HUMAN, FACE_SWAP, LIP_SYNC, SORA, VIDEO, HandClock, Life, World
from exporter.simulator.world.profiles import PROFILES
from exporter.tasks import Reason, State

START = HandClock().now
FEEDS = (SORA, LIP_SYNC, VIDEO, DIGITAL_HUMAN, FACE_SWAP)


def everything(world: World) -> list[Life]:
    return [life for feed in FEEDS for life in world.listed(feed)]


def test_the_same_seed_gives_the_same_tasks() -> None:
    assert everything(World(seed=3, clock=HandClock(), history=3600)) == everything(
        World(seed=3, clock=HandClock(), history=3600)
    )


def test_it_does_not_matter_how_often_anybody_looks() -> None:
    often, once = HandClock(), HandClock()
    watched, unwatched = World(seed=3, clock=often), World(seed=3, clock=once)
    for _ in range(100):
        often.now += 7
        watched.truth()
    once.now += 700
    assert everything(watched) == everything(unwatched) != []


def test_another_seed_gives_other_tasks() -> None:
    assert everything(World(seed=3, clock=HandClock(), history=3600)) != everything(
        World(seed=4, clock=HandClock(), history=3600)
    )


def test_a_rate_of_zero_generates_nothing() -> None:
    assert everything(World(rate=0, clock=HandClock(), history=10_000)) == []


def test_only_the_named_feeds_generate() -> None:
    world = World(clock=HandClock(), history=3600, feeds=[VIDEO])
    assert {life.feed for life in everything(world)} == {VIDEO}


def test_speed_divides_durations_and_the_time_between_arrivals() -> None:
    slow, fast = World(seed=5, clock=HandClock(), history=6000), World(seed=5, clock=HandClock(), history=100, speed=60)
    for one, other in zip(reversed(slow.listed(SORA)), reversed(fast.listed(SORA)), strict=True):
        assert other.id == one.id
        assert (other.submitted - START + 100) * 60 == pytest.approx(one.submitted - START + 6000)
        assert (other.queue_seconds or 0) * 60 == pytest.approx(one.queue_seconds)
        assert other.output_seconds == one.output_seconds


def test_each_feed_lives_as_its_profile_says() -> None:
    world = World(seed=1, clock=HandClock(), history=200_000)
    for feed in FEEDS:
        lives, profile = world.listed(feed), PROFILES[feed]
        assert len(lives) > 1000
        started = [life for life in lives if life.starts_at is not None]
        waits = [life.queue_seconds or 0 for life in started]
        if profile.queue is None:
            assert set(waits) == {0}
        else:
            usual = [wait for wait in waits if profile.queue[0] <= wait <= profile.queue[1]]
            assert len(usual) > 0.9 * len(waits)
        assert 0.08 <= sum(life.end is State.FAILED for life in lives) / len(lives) <= 0.15
        reasons = {life.reason for life in lives if life.end is State.FAILED}
        assert reasons == {failure.reason for failure in profile.failures}
        assert any(life.end is State.CANCELLED for life in lives) is (feed == DIGITAL_HUMAN)
        assert any(life.blocked for life in lives) is (feed == DIGITAL_HUMAN)
        assert any(life.output_seconds for life in lives) is (feed != FACE_SWAP)


def test_stopped_arrivals_let_everything_end() -> None:
    clock = HandClock()
    world = World(seed=2, clock=clock, history=600)
    assert world.in_flight() > 0
    world.stop_arrivals()
    before = len(everything(world))
    clock.now += 100_000
    assert world.in_flight() == 0
    assert len(everything(world)) == before


def test_the_truth_adds_up() -> None:
    truth = World(seed=2, clock=HandClock(), history=5000).truth()
    json.dumps(truth)
    for type_, kind in FEEDS:
        feed = truth[type_][kind]
        ended = sum(feed["finished"].values())
        assert feed["submitted"] == sum(feed["in_flight"].values()) + ended
        assert sum(feed["failures"].values()) == feed["finished"]["failed"]
        total = sum(measured["count"] for measured in feed["durations"]["total"].values())
        assert total + feed["undated"] == ended


def test_the_truth_of_one_scripted_task(world: World, clock: HandClock) -> None:
    world.add(Life("a", *LIP_SYNC, START + 0.9, 10, 50.2, State.SUCCEEDED, output_seconds=12.5))
    assert world.truth()["chanjing"]["lip_sync"]["submitted"] == 0
    clock.now += 30
    assert world.truth()["chanjing"]["lip_sync"]["in_flight"]["running"] == 1
    clock.now += 40
    truth = world.truth()["chanjing"]["lip_sync"]
    assert truth["finished"]["succeeded"] == 1
    assert truth["output_seconds"] == 12.5
    run = truth["durations"]["run"]["succeeded"]
    assert run == {"count": 1, "seconds": pytest.approx(50.2), "whole_seconds": 51}
    assert truth["durations"]["queue"]["succeeded"]["seconds"] == pytest.approx(10)
    assert truth["durations"]["total"]["succeeded"]["seconds"] == pytest.approx(60.2)


def test_a_lost_task_counts_as_lost_and_has_no_durations(world: World, clock: HandClock) -> None:
    world.add(Life("a", *VIDEO, START, 0, 50, State.SUCCEEDED, vanishes_after=20))
    clock.now += 100
    truth = world.truth()["chanjing"]["video"]
    assert truth["finished"] == {"succeeded": 0, "failed": 0, "cancelled": 0, "lost": 1}
    assert truth["durations"] == {"queue": {}, "run": {}, "total": {}}


def test_a_scripted_failure_gets_the_documented_words(world: World) -> None:
    world.add(Life("a", *VIDEO, START, 0, 0, State.FAILED, Reason.INSUFFICIENT_BALANCE))
    life = world.find(VIDEO, "a")
    assert life is not None
    assert (life.words, life.code) == ("蝉豆不足扣费失败", "40")


def test_a_scripted_failure_that_no_document_knows_needs_words(world: World) -> None:
    with pytest.raises(ValueError, match="give words"):
        world.add(Life("a", *FACE_SWAP, START, 0, 0, State.FAILED, Reason.TIMEOUT))


def test_two_tasks_with_one_id_are_refused(world: World) -> None:
    world.add(Life("a", *FACE_SWAP, START))
    with pytest.raises(ValueError, match="two tasks"):
        world.add(Life("a", *FACE_SWAP, START + 1))


def test_dropped_tasks_leave_the_lists_but_not_the_truth() -> None:
    clock, other = HandClock(), HandClock()
    forgetful, mindful = World(seed=6, clock=clock, history=3000, keep=600), World(seed=6, clock=other, history=3000)
    for _ in range(20):
        clock.now += 100
        other.now += 100
        forgetful.advance()
    assert len(forgetful.listed(SORA)) < len(mindful.listed(SORA)) / 2
    lost_sight_of, whole = forgetful.truth()["deerapi"]["sora"], mindful.truth()["deerapi"]["sora"]
    for name in ("submitted", "in_flight", "finished", "failures", "undated", "output_seconds"):
        assert lost_sight_of[name] == whole[name]
    assert lost_sight_of["durations"]["total"].keys() == whole["durations"]["total"].keys()
    for state, measured in whole["durations"]["total"].items():
        assert lost_sight_of["durations"]["total"][state] == pytest.approx(measured)


def test_lists_are_newest_first_and_show_only_what_has_been_submitted(world: World, clock: HandClock) -> None:
    world.add(Life("late", *SORA, START + 10), Life("early", *SORA, START - 10), Life("now", *SORA, START))
    assert [life.id for life in world.listed(SORA)] == ["now", "early"]
    clock.now += 10
    assert [life.id for life in world.listed(SORA)] == ["late", "now", "early"]
