"""What tasks cost: each counted once, by how it ended, whenever the vendor tells it."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import Changes
from exporter.simulator import HandClock
from exporter.tasks import Observation, Reason, State
from tests.harness import Desk, Door, Rig


def row(task_id: str, state: State = State.SUCCEEDED, cost: float = 0.0, **more: object) -> Observation:
    reason = Reason.MODERATION if state is State.FAILED else None
    usage = (("tokens", cost),) if cost else ()
    return Observation(task_id, state, reason, usage=usage, **more)  # type: ignore[arg-type]


def desk_of(**more: object) -> Desk:
    return Desk(tells_usage=True, **more)  # type: ignore[arg-type]


def usage(desk: Desk) -> dict[str, float]:
    return desk.counted("usage_total")


async def test_the_cost_of_a_task_is_counted_once_at_its_end() -> None:
    desk = desk_of()
    await desk.sweep(row("1", State.RUNNING, 5))  # an estimate
    assert usage(desk) == {}
    for _ in range(3):
        await desk.sweep(row("1", cost=7), row("2", State.FAILED, 2))
    assert usage(desk) == {"tokenssucceeded": 7, "tokensfailed": 2}
    again = desk.restarted()
    await again.sweep(row("1", cost=7), row("2", State.FAILED, 2))
    assert usage(again) == {"tokenssucceeded": 7, "tokensfailed": 2}


async def test_costs_are_counted_by_unit() -> None:
    desk = desk_of()
    await desk.sweep(Observation("1", State.SUCCEEDED, usage=(("credits", 3.0), ("usd", 0.5))))
    assert usage(desk) == {"creditssucceeded": 3, "usdsucceeded": 0.5}


async def test_what_is_cancelled_or_lost_counts_no_cost() -> None:
    desk = desk_of()
    await desk.sweep(row("1", State.CANCELLED, 5))
    assert usage(desk) == {}


@pytest.mark.parametrize("amount", [0.0, -4.0, float("nan"), float("inf")])
async def test_an_amount_that_cannot_be_counts_nothing_and_a_right_one_later_does(amount: float) -> None:
    desk = desk_of()
    await desk.sweep(Observation("1", State.SUCCEEDED, usage=(("tokens", amount),)))
    await desk.sweep(Observation("1", State.SUCCEEDED, usage=(("¥", 4.0),)))
    assert usage(desk) == {}
    await desk.sweep(row("1", cost=3))
    assert usage(desk) == {"tokenssucceeded": 3}


async def test_a_cost_that_is_told_after_the_end_is_counted_once() -> None:
    desk = desk_of()
    ended = desk.now
    await desk.sweep(row("1", model="a", ended=ended), row("2", State.FAILED, ended=ended))
    assert usage(desk) == {}
    for _ in range(3):
        await desk.sweep(row("1", cost=7, model="a", ended=ended), row("2", State.FAILED, 1, ended=ended))
    assert usage(desk) == {"tokenssucceeded": 7, "tokensfailed": 1}
    assert desk.counted("model_usage_total") == {"atokens": 7}
    assert desk.finished == {"succeeded": 1, "failed": 1}
    assert len(desk.tracker.recent(desk.now)) == 2


async def test_a_late_cost_is_counted_by_a_look_up_and_by_a_sweep_that_fails_too() -> None:
    desk = desk_of()
    await desk.sweep(row("1"), row("2"))
    await desk.sweep(looked_up=[row("1", cost=3)])
    await desk.sweep(row("2", cost=4), complete=False)
    assert usage(desk) == {"tokenssucceeded": 7}


async def test_a_late_cost_counts_by_how_the_task_ended_when_it_was_counted() -> None:
    desk = desk_of()
    await desk.sweep(row("1", State.FAILED))
    await desk.sweep(row("1", State.RUNNING, 3))
    await desk.sweep(row("1", State.SUCCEEDED, 3))
    assert usage(desk) == {"tokensfailed": 3}
    assert desk.finished == {"failed": 1}


async def test_a_late_cost_is_counted_once_across_a_restart() -> None:
    desk = desk_of()
    await desk.sweep(row("1"), row("2", cost=1))
    desk = desk.restarted()
    await desk.sweep(row("1", cost=5), row("2", cost=1))
    desk = desk.restarted()
    await desk.sweep(row("1", cost=5), row("2", cost=1))
    assert usage(desk) == {"tokenssucceeded": 6}


async def test_a_cost_is_waited_for_a_day_and_no_longer() -> None:
    desk = desk_of()
    run = row("run", State.RUNNING)
    await desk.sweep(row("1"), row("2"), row("3"), run)
    await desk.sweep(run, after=86400.0 - 60)
    await desk.sweep(run)
    await desk.sweep(row("1", cost=1), run)
    desk = desk.restarted()
    await desk.sweep(row("2", cost=2), run)
    assert usage(desk) == {"tokenssucceeded": 3}
    await desk.sweep(run, after=120)
    await desk.sweep(run)
    for again in (desk, desk.restarted()):
        await again.sweep(row("3", cost=4), run)
        assert usage(again) == {"tokenssucceeded": 3}


async def test_a_clock_that_is_a_year_ahead_in_one_sweep_costs_no_late_cost() -> None:
    desk = desk_of()
    await desk.sweep(row("1"), row("run", State.RUNNING))
    await desk.sweep(row("1"), row("run", State.RUNNING), after=400 * 86400.0)
    desk.now -= 400 * 86400.0
    await desk.sweep(row("1", cost=3), row("run", State.RUNNING))
    assert usage(desk) == {"tokenssucceeded": 3}


async def test_of_very_many_tasks_without_a_cost_the_latest_5000_are_waited_for() -> None:
    desk = desk_of()
    now = desk.now
    rows = [row(f"t{n}", submitted=now - 9000 + n, ended=now - 8000 + n) for n in range(5100)]
    await desk.sweep(*rows)
    for again in (desk, desk.restarted()):
        await again.sweep(row("t99", cost=1), row("t100", cost=2), row("t5099", cost=4))
        assert usage(again) == {"tokenssucceeded": 6}


async def test_a_feed_that_tells_no_costs_waits_for_none() -> None:
    desk = Desk()
    await desk.sweep(row("1"))
    await desk.sweep(row("1", cost=3))
    assert usage(desk) == {}


class UnsureDisk(SqliteFile):
    """A disk that fails, before or after it has written."""

    fails = ""

    def commit(self, changes: Changes) -> None:
        if self.fails == "before":
            raise StoreError("the disk is full")
        super().commit(changes)
        if self.fails:
            raise StoreError("unknown whether that was written")


async def test_no_cost_is_lost_or_counted_twice_whatever_the_disk_does() -> None:
    rng, disk = Random(3), UnsureDisk(":memory:")
    desk = desk_of(store=disk, model_limit=2)
    costs: dict[str, float] = {}
    ends: dict[str, State] = {}
    for step in range(200):
        name = f"t{step}"
        ends[name] = rng.choice((State.SUCCEEDED, State.FAILED))
        shown = []
        for one in rng.sample(sorted(ends), min(len(ends), 6)):
            if one in costs or rng.random() < 0.4:
                costs.setdefault(one, float(rng.randint(1, 9)))
            shown.append(row(one, ends[one], costs.get(one, 0.0), model=f"m{int(one[1:]) % 4}"))
        disk.fails = rng.choice(("", "", "before", "after"))
        with suppress(StoreError):
            await desk.sweep(*shown)
        disk.fails = ""
        if rng.random() < 0.1:
            desk = desk.restarted()
    await desk.sweep(*(row(one, ends[one], costs.get(one, 0.0), model=f"m{int(one[1:]) % 4}") for one in ends))
    for state in (State.SUCCEEDED, State.FAILED):
        expected = sum(cost for one, cost in costs.items() if ends[one] is state)
        assert usage(desk)[f"tokens{state}"] == expected
    assert sum(desk.counted("model_usage_total").values()) == sum(costs.values())
    assert len(desk.counted("model_usage_total")) == 3


async def test_a_feed_shows_0_in_its_units_before_anything_was_spent() -> None:
    rig = Rig(HandClock())
    rig.connect("volcengine_ark")
    await rig.show(row("1"))
    shown = rig.values("videotask_usage_total", "unit", "state")
    assert shown == {("tokens", "succeeded"): 0, ("tokens", "failed"): 0}
    await rig.aclose()


async def test_a_list_that_tells_costs_only_later_is_counted_exactly(door: Door) -> None:
    rig = Rig(HandClock())
    begun = rig.clock.now - 100
    told: dict[str, int] = {}

    async def vendor(scope: Scope, receive: Receive, send: Send) -> None:
        rows = [
            {
                "id": f"cgt-{n}",
                "model": "seedance",
                "status": status,
                "created_at": begun + n,
                "updated_at": begun + 50 + n,
                "usage": {"total_tokens": told.get(f"cgt-{n}")},
            }
            for n, status in enumerate(("succeeded", "failed", "running", "succeeded"))
        ]
        await JSONResponse({"total": len(rows), "items": rows})(scope, receive, send)

    door.behind = vendor
    rig.connect("volcengine_ark", door.url)
    told |= {"cgt-0": 10, "cgt-2": 99}
    await rig.sweep()
    assert rig.counted("usage_total") == {"tokenssucceeded": 10}
    told |= {"cgt-1": 3, "cgt-3": 30}
    await rig.sweep(3)
    assert rig.all_up()
    assert rig.counted("usage_total") == {"tokenssucceeded": 40, "tokensfailed": 3}
    assert rig.values("videotask_model_usage_total", "model", "unit") == {("seedance", "tokens"): 43}
    await rig.aclose()
