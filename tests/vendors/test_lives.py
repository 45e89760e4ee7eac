"""Every vendor beyond the first release, at its fake: tasks of known lives give exact counts, whatever its dialect."""

from __future__ import annotations

import dataclasses
import json
from random import Random

import pytest

from exporter.simulator import MARKERS, SEEDS, Feed, HandClock, Life, fake_of, names, profiles_of
from exporter.simulator.world.profiles import Profile
from exporter.tasks import Clock, Observation, Phase, State
from exporter.vendors import registry
from exporter.vendors.api import Feed as VendorFeed
from tests.harness import DAY, NOW, STEP, counted, measured, page_of, told
from tests.vendors.conftest import OpenAccount

PROFILES: dict[Feed, Profile] = {
    profile.feed: profile for profile in profiles_of(name for name in names() if name not in SEEDS)
}
WINDOWS = {"dashscope": 1, "fal": 1, "kling": 30, "kling_legacy": 30, "minimax": 7, "vidu": 7, "volcengine_ark": 7}
"""For how many days vendors list a task."""
UNORDERED = {
    *("d_id", "dashscope", "heygen", "kling", "kling_legacy", "luma", "minimax", "synthesia", "tavus", "vidu"),
    "volcengine_ark",
}
"""Vendors that do not say in which order they list tasks."""
every_feed = pytest.mark.parametrize("feed", PROFILES, ids="/".join)


def lives(profile: Profile) -> list[Life]:
    """Tasks of the last minutes and of the next: in flight, and each of the ends that the vendor knows."""
    rng = Random(" ".join(profile.feed))
    made: list[Life] = []

    def life(begun: float, run: float | None, end: State | None = None, **more: object) -> None:
        wait = 10.0 if profile.queue else 0.0
        model = profile.models[len(made) % len(profile.models)] if profile.models else ""
        one = Life(profile.new_id(rng), *profile.feed, NOW + begun, wait, run, end, model=model)
        made.append(dataclasses.replace(one, **more))  # type: ignore[arg-type]

    for begun in (-50, -3, 20, 70):
        cost = profile.cost(rng) if profile.cost else 0.0
        length = profile.output(rng) if profile.output else None
        life(begun, 30.0, State.SUCCEEDED, output_seconds=length, cost=cost)
    for number, failure in enumerate(profile.failures):
        cost = profile.cost(rng) if profile.cost and profile.failures_cost else 0.0
        how = {"words": failure.words, "code": failure.code, "end_dated": failure.dated, "cost": cost}
        life(5 + 3 * number, 25.0, State.FAILED, reason=failure.reason, **how)
    if profile.cancelled:
        life(12, None, State.CANCELLED, queue_seconds=20.0)
    life(-30, None)
    if profile.queue:
        life(-20, None, queue_seconds=None)
    return made


@every_feed
async def test_tasks_of_known_lives_give_exact_counts(open_account: OpenAccount, feed: Feed) -> None:
    account = open_account(feed[0])
    await account.submit(*lives(PROFILES[feed]))
    loop = account.rig.loop_of(kind=feed[1])
    for _ in range(10 + len(PROFILES[feed].failures) // 4):
        await account.rig.sweep()
        assert told(loop.tracker) == account.site.truth(feed)
    assert account.rig.all_up()
    assert account.rig.errors == {}
    for metric in ("history_gaps_total", "unmapped_values_total", "rejected_timestamps_total"):
        assert counted(loop.tracker, metric) == {}


@pytest.mark.parametrize("name", sorted(UNORDERED))
async def test_no_order_of_a_list_is_relied_on_that_no_document_states(open_account: OpenAccount, name: str) -> None:
    assert not any(loop.feed.is_sorted for loop in open_account(name).polled.loops)


@pytest.mark.parametrize(
    ("feed", "days"),
    [(feed, days) for feed in PROFILES if (days := WINDOWS.get(feed[0]))],
    ids=lambda value: "/".join(value) if isinstance(value, tuple) else "",
)
async def test_a_list_that_runs_out_after_the_days_that_its_vendor_shows_has_no_gap(
    open_account: OpenAccount, feed: Feed, days: int
) -> None:
    account = open_account(feed[0])
    profile = PROFILES[feed]
    names = [profile.new_id(Random(seed)) for seed in (1, 2, 4)]  # of which Kling adds no picture
    await account.submit(*(Life(name, *feed, NOW - 60, 1.0, 9.0, State.SUCCEEDED) for name in names))
    await account.rig.sweep()
    loop = account.rig.loop_of(kind=feed[1])
    assert counted(loop.tracker, "finished_total") == {"succeeded": len(names)}
    await account.rig.sweep(after=days * DAY + 60)
    assert counted(loop.tracker, "history_gaps_total") == {}


@every_feed
async def test_durations_are_the_vendors_or_off_by_a_poll_interval_at_most(
    open_account: OpenAccount, feed: Feed
) -> None:
    profile = PROFILES[feed]
    account = open_account(feed[0])
    await account.submit(*(life for life in lives(profile) if life.submitted > NOW))
    loop = account.rig.loop_of(kind=feed[1])
    await account.rig.sweep(12 + len(profile.failures) // 4)
    durations = account.site.world.truth()[feed[0]][feed[1]]["durations"]
    exact = durations[Phase.TOTAL][State.SUCCEEDED]
    count, total = measured(loop.tracker, Phase.TOTAL, State.SUCCEEDED)
    if not loop.feed.lists and "submitted" not in registry.built_in()[feed[0]].tells[feed[1]].parts:
        assert count == 0  # a request for a task by its id does not say when it was submitted
        return
    assert count == exact["count"] > 0
    off_by = 1.0 if loop.feed.clock is Clock.PROVIDER else 2 * STEP
    assert total == pytest.approx(exact["seconds"], abs=off_by * count)


async def _shown(feed: VendorFeed, task_id: str) -> Observation:
    """What the vendor shows of an ended task, with what only its detail tells."""
    if not feed.lists:
        (one,) = await feed.look_up(task_id)
        return one
    page = await page_of(feed)
    listed = next(one for one in page.observations if one.id == task_id)
    if not feed.fills:
        return listed
    (detail,) = await feed.look_up(task_id)
    return dataclasses.replace(listed, model=listed.model or detail.model, usage=listed.usage or detail.usage)


@every_feed
async def test_an_ended_task_shows_its_model_and_what_it_cost(open_account: OpenAccount, feed: Feed) -> None:
    profile = PROFILES[feed]
    account = open_account(feed[0])
    done = next(life for life in lives(profile) if life.end is State.SUCCEEDED)
    await account.submit(done)
    account.site.clock.now += 100
    shown = await _shown(account.rig.loop_of(kind=feed[1]).feed, done.id)
    assert shown.model == done.model
    assert sum(amount for _, amount in shown.usage) == pytest.approx(done.cost)
    tells = registry.built_in()[feed[0]].tells[feed[1]]
    assert ("model" in tells.parts, "usage" in tells.parts) == (bool(profile.models), bool(profile.cost))


@every_feed
async def test_a_task_that_nobody_knows_is_lost(open_account: OpenAccount, feed: Feed) -> None:
    account = open_account(feed[0])
    profile = PROFILES[feed]
    gone = Life(profile.new_id(Random(3)), *feed, NOW - 30, 0.0, 9999.0, State.SUCCEEDED, vanishes_after=60.0)
    await account.submit(gone)
    await account.rig.sweep(8)
    loop = account.rig.loop_of(kind=feed[1])
    assert counted(loop.tracker, "finished_total") == {"lost": 1}


@pytest.mark.parametrize("feed", [feed for feed in PROFILES if fake_of(feed[0]).keys], ids="/".join)
async def test_wrong_credentials_bring_the_feed_down_as_such(open_account: OpenAccount, feed: Feed) -> None:
    keys = fake_of(feed[0]).keys.keys() & registry.built_in()[feed[0]].settings.secret_names()
    account = open_account(feed[0], **dict.fromkeys(keys, "wrong-credential-0123456789"))
    await account.submit(*lives(PROFILES[feed])[:1])
    await account.rig.sweep(2)
    assert account.rig.loop_of(kind=feed[1]).status.up is False
    assert set(account.rig.errors) == {"auth"}


@every_feed
async def test_nothing_private_gets_out(open_account: OpenAccount, feed: Feed) -> None:
    account = open_account(feed[0], task_series_limit=50)
    await account.submit(*lives(PROFILES[feed]))
    await account.rig.sweep(8)
    said = account.rig.text() + json.dumps([repr(task) for task in account.rig.loop_of(kind=feed[1]).tracker.in_flight])
    assert "videotask_finished_total" in said
    assert not [marker for marker in MARKERS if marker in said]
    secrets = [
        str(key) for key in fake_of(feed[0]).keys.values() if len(str(key)) > 4
    ]  # shorter ones are in any number
    assert not [key for key in secrets if key in said]


@every_feed
def test_the_fake_makes_tasks_of_the_documented_kinds(feed: Feed) -> None:
    profile = PROFILES[feed]
    assert profile.failures
    assert len({profile.new_id(Random(n)) for n in range(20)}) == 20
    assert isinstance(HandClock()(), float)
