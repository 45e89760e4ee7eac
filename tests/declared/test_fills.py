"""Ends that a list shows and only a detail tells in full: each asked for once, counted once, and none is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.ledger.sqlite.file import SqliteFile
from exporter.simulator import HandClock
from tests.declared.conftest import declared
from tests.declared.polled import Acme, Polled, answer
from tests.harness import NOW, STEP

FILLED = declared({"detail": {"fills": ["reason"]}})


def failed(number: int | str, ended: float = NOW - 30, **more: Any) -> dict[str, Any]:
    return {
        "id": f"r-{number}",
        "status": "failed",
        "created_at": ended - 60,
        "started_at": ended - 50,
        "ended_at": ended,
        **more,
    }


def running(number: int | str) -> dict[str, Any]:
    return {"id": f"r-{number}", "status": "rendering", "created_at": NOW - 60, "started_at": NOW - 50}


MODERATED = {"error": {"code": "E_UNSAFE", "message": "refused"}}


@pytest.fixture
def acme() -> Acme:
    return Acme()


def tell(acme: Acme, *numbers: int | str, **more: Any) -> None:
    for number in numbers:
        acme.more[f"r-{number}"] = more or MODERATED


async def test_a_new_end_is_counted_with_what_its_detail_tells(acme: Acme) -> None:
    acme.rows = [failed(2), failed(1, error={"code": "E_CREDIT"}), {**failed(0), "status": "done"}]
    tell(acme, 2)
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(5)
    assert polled.ends == {"failed": 2, "succeeded": 1}
    assert polled.reasons == {"moderation": 1, "insufficient_balance": 1}
    assert acme.asked == {"r-2": 1}


async def test_the_end_of_a_known_task_is_counted_with_what_its_detail_tells(acme: Acme) -> None:
    acme.rows = [running(1)]
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(2)
    acme.rows = [failed(1, NOW + 40)]
    tell(acme, 1)
    await polled.sweep(3)
    assert (polled.ends, polled.reasons) == ({"failed": 1}, {"moderation": 1})
    assert polled.in_flight == {}
    assert acme.asked == {"r-1": 1}


@pytest.mark.parametrize(
    ("part", "row", "more", "told"),
    [
        ("output", {"status": "done"}, {"seconds": 5}, {"output_seconds": 5.0}),
        ("ended", {"ended_at": None}, {"ended_at": NOW - 9}, {"ended": NOW - 9}),
        ("started", {"started_at": None}, {"started_at": NOW - 77}, {"started": NOW - 77}),
        ("submitted", {"created_at": None}, {"created_at": NOW - 99}, {"submitted": NOW - 99}),
    ],
)
async def test_each_part_can_be_filled(
    acme: Acme, part: str, row: dict[str, Any], more: dict[str, Any], told: dict[str, Any]
) -> None:
    acme.rows = [failed(1) | row]
    tell(acme, 1, **more)
    polled = await Polled.open(declared({"detail": {"fills": [part]}}), acme)
    await polled.sweep(3)
    assert acme.asked == {"r-1": 1}
    found = await polled.loop.story("r-1")
    assert found is not None
    assert {name: getattr(found[0], name) for name in told} == told


async def test_an_end_that_lacks_nothing_is_not_asked_for(acme: Acme) -> None:
    acme.rows = [
        failed(3, error={"code": "E_UNSAFE"}),
        {**failed(2), "status": "stopped"},
        {**failed(1), "status": "done"},
        running(0),
    ]
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(3)
    assert acme.asked == {}
    assert polled.ends == {"failed": 1, "cancelled": 1, "succeeded": 1}


async def test_what_the_list_tells_is_not_taken_back(acme: Acme) -> None:
    acme.rows = [failed(1, error={"code": "E_CREDIT"}, cost=None)]
    tell(acme, 1, error={"code": "E_42"}, cost=7)
    polled = await Polled.open(declared({"detail": {"fills": ["reason", "usage"]}}), acme)
    await polled.sweep(3)
    assert acme.asked == {"r-1": 1}
    assert polled.reasons == {"insufficient_balance": 1}


async def test_an_end_of_which_the_detail_tells_no_more_is_counted_as_listed(acme: Acme) -> None:
    acme.rows = [failed(1)]
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(3)
    assert (polled.ends, polled.reasons) == ({"failed": 1}, {"unknown": 1})
    assert acme.asked == {"r-1": 1}


async def test_a_code_that_no_table_maps_is_named_once(acme: Acme) -> None:
    acme.rows = [failed(1)]
    tell(acme, 1, error={"code": "E_42"})
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(3)
    assert polled.reasons == {"unknown": 1}
    assert polled.counted("unmapped_values_total") == {"reason": 1}


async def test_ends_older_than_the_history_are_never_asked_for(acme: Acme) -> None:
    """The list shows them at every sweep, and they are not counted."""
    acme.rows = [running(9), *(failed(number, NOW - 90000 - number) for number in range(20))]
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(10)
    assert acme.asked == {}
    assert polled.ends == {}


async def test_an_end_without_any_date_is_asked_for_once(acme: Acme) -> None:
    acme.rows = [{"id": "r-1", "status": "failed"}]
    tell(acme, 1)
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(5)
    assert acme.asked == {"r-1": 1}
    assert polled.reasons == {"moderation": 1}


async def test_ends_that_only_details_date_before_the_history_are_asked_for_once(acme: Acme) -> None:
    acme.rows = [{"id": f"r-{number}", "status": "done"} for number in range(30)]
    tell(acme, *range(29), created_at=NOW - 200_000, ended_at=NOW - 190_000)
    tell(acme, 29, created_at=NOW - 200, ended_at=NOW - 100)
    detail = {"fills": ["submitted", "ended"]}
    polled = await Polled.open(declared({"list": {"order": "unknown"}, "detail": detail}), acme, page_size=20)
    await polled.sweep(4)
    assert set(acme.asked.values()) == {1}
    assert polled.ends == {"succeeded": 1}
    assert await polled.ledger.store.watched(*polled.tracker.feed) == []


async def test_an_end_before_the_history_counts_once_it_is_asked_for_by_its_id(acme: Acme) -> None:
    acme.rows = [{"id": "r-1", "status": "done"}]
    tell(acme, 1, created_at=NOW - 200_000, ended_at=NOW - 190_000)
    polled = await Polled.open(declared({"detail": {"fills": ["submitted", "ended"]}}), acme)
    await polled.sweep(2)
    assert polled.ends == {}
    await polled.loop.following.ask_for(["r-1"])
    await polled.sweep(2)
    assert polled.ends == {"succeeded": 1}


# Details that fail.


@pytest.mark.parametrize("status", [500, 403, 404, 429])
async def test_an_end_is_counted_as_listed_after_three_tries(acme: Acme, status: int) -> None:
    acme.rows = [running(1)]
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(2)
    acme.rows = [failed(1, NOW + 40)]
    tell(acme, 1)
    acme.instead = lambda what, ids: answer({"message": "no"}, status, **{"Retry-After": "1"}) if ids else None
    for tries in range(1, 3):
        await polled.sweep()
        assert (polled.ends, acme.asked["r-1"]) == ({}, tries)
    await polled.sweep(3)
    assert acme.asked["r-1"] == 3
    assert (polled.ends, polled.reasons) == ({"failed": 1}, {"unknown": 1})
    assert polled.in_flight == {}


async def test_a_detail_that_answers_at_the_second_try_is_taken(acme: Acme) -> None:
    acme.rows = [failed(1)]
    tell(acme, 1)
    acme.instead = lambda what, ids: answer({}, 500) if ids and acme.asked["r-1"] == 1 else None
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(4)
    assert (polled.reasons, acme.asked["r-1"]) == ({"moderation": 1}, 2)


async def test_a_detail_that_is_behind_the_list_is_asked_again(acme: Acme) -> None:
    acme.rows = [failed(1)]
    acme.more["r-1"] = {"status": "rendering"}
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(2)
    assert polled.ends == {}
    tell(acme, 1)
    await polled.sweep(2)
    assert polled.reasons == {"moderation": 1}


async def test_a_detail_that_speaks_of_another_state_does_not_change_the_end(acme: Acme) -> None:
    acme.rows = [failed(1)]
    acme.more["r-1"] = {"status": "done"}
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(4)
    assert (polled.ends, polled.reasons) == ({"failed": 1}, {"unknown": 1})


async def test_a_pause_in_which_nothing_is_sent_counts_as_no_try(acme: Acme) -> None:
    acme.rows = [failed(number) for number in range(30)]
    tell(acme, *range(30))
    refused: list[str] = []

    def once(what: str, ids: list[str]) -> httpx.Response | None:
        if ids and len(refused) < 8:
            refused.extend(ids)
            return answer({"message": "slow down"}, 429, **{"Retry-After": "100"})
        return None

    acme.instead = once
    polled = await Polled.open(FILLED, acme)
    polled.clock.now += STEP
    await polled.loop.sweep()
    for _ in range(5):  # within the pause
        polled.clock.now += 1
        await polled.loop.sweep()
    assert max(acme.asked.values()) == 1
    await polled.sweep(10)  # each of the first ones is refused, and earns a pause
    assert polled.reasons == {"moderation": 30}
    assert max(acme.asked.values()) <= 2


async def test_details_that_all_fail_get_few_calls_and_hold_no_end_up_for_long(acme: Acme) -> None:
    acme.rows = [failed(number) for number in range(40)]
    acme.instead = lambda what, ids: answer({}, 500) if ids else None
    polled = await Polled.open(FILLED, acme)
    await polled.sweep()
    assert acme.asked.total() <= 2 * 8
    await polled.sweep(3)
    assert (polled.ends, polled.reasons) == ({"failed": 40}, {"unknown": 40})
    assert polled.loop.status.up


async def test_details_are_asked_for_in_batches_and_alone_after_one_of_them_failed(acme: Acme) -> None:
    detail = {
        "path": "/v2/renders",
        "query": {"ids": "{ids}"},
        "batch": 10,
        "row": "data.renders",
        "fills": ["reason"],
    }
    acme.rows = [failed(number) for number in range(25)]
    tell(acme, *range(25))
    acme.instead = lambda what, ids: answer({}, 400) if "r-3" in ids else None
    polled = await Polled.open(declared({"detail": detail}), acme)
    await polled.sweep()
    assert sorted(len(ids) for what, ids in acme.calls if what == "detail") == [5, 10, 10]
    await polled.sweep()
    assert polled.reasons == {"moderation": 24}
    await polled.sweep()
    assert polled.reasons == {"moderation": 24, "unknown": 1}
    assert acme.asked["r-3"] == 3
    assert acme.asked["r-4"] == 2


# The first sweep, and restarts.


def history(count: int) -> list[dict[str, Any]]:
    return [failed(number, NOW - 60 - number) for number in range(count)]


async def test_the_first_sweep_does_not_wait_for_a_long_history(acme: Acme) -> None:
    acme.rows = [running("x"), *history(2000)]
    tell(acme, *range(2000))
    # So slow that one sweep cannot ask for all.
    polled = await Polled.open(FILLED, acme, paced=True, rate_limit="2000/s", poll_interval="500ms", page_size=500)
    before = 0.0
    await polled.sweep(after=0.1)
    assert polled.tracker.swept
    assert polled.in_flight.keys() == {"r-x"}
    assert 0 < polled.ends["failed"] < 2000
    for _ in range(200):
        assert polled.ends["failed"] > before  # they grow sweep by sweep
        before = polled.ends["failed"]
        if before == 2000:
            break
        await polled.sweep(after=0.1)
    assert (polled.ends, polled.reasons) == ({"failed": 2000}, {"moderation": 2000})
    assert set(acme.asked.values()) == {1}
    assert polled.counted("history_gaps_total") == {}


async def test_tasks_in_flight_are_looked_up_before_ends_that_wait(acme: Acme) -> None:
    acme.rows = [running("a"), running("b"), {**failed(0), "status": "done"}]
    polled = await Polled.open(FILLED, acme)
    await polled.sweep(2)
    acme.rows = [failed("c", NOW), failed("d", NOW), *acme.rows]
    acme.hidden = {"r-a", "r-b"}
    tell(acme, "c", "d")
    acme.calls.clear()
    await polled.sweep()
    assert [ids for what, ids in acme.calls if what == "detail"] == [["r-a"], ["r-b"], ["r-c"], ["r-d"]]
    assert polled.ends == {"succeeded": 1, "failed": 2}


class Stopped(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("until", ["asking", "listing"])
@pytest.mark.parametrize("answers", [0, 1, 7, 13])
async def test_a_restart_at_any_moment_loses_nothing_and_counts_once(
    acme: Acme, tmp_path: Path, until: str, answers: int
) -> None:
    """The process ends with so many ends told and not yet recorded, or with all recorded and the next list begun."""
    clock, path = HandClock(), str(tmp_path / "ledger.sqlite3")
    acme.rows = [running("a"), *history(20)]
    tell(acme, *range(20), "a")

    def end(what: str, ids: list[str]) -> httpx.Response | None:
        calls = sum(what == "detail" for what, _ in acme.calls)
        if calls > answers and what == ("detail" if until == "asking" else "list"):
            raise Stopped
        return answer({}, 500) if calls > answers else None

    first = SqliteFile(path)
    polled = await Polled.open(FILLED, acme, first, clock)
    acme.instead = end
    with pytest.raises(Stopped):
        await polled.sweep(10)
    first.close()
    counted = dict(polled.ends)
    acme.instead = lambda what, ids: None
    acme.rows[0] = failed("a", clock.now)
    again = await Polled.open(FILLED, acme, SqliteFile(path), clock)
    assert again.ends == counted
    await again.sweep(4)
    assert again.ends == {"failed": 21}
    assert sum(again.reasons.values()) == 21
    await again.sweep(3)
    assert again.ends == {"failed": 21}
    assert again.in_flight == {}


async def test_an_end_that_has_left_the_list_at_a_restart_is_not_lost(acme: Acme, tmp_path: Path) -> None:
    clock, path = HandClock(), str(tmp_path / "ledger.sqlite3")
    acme.rows = [running("a"), failed(1)]
    acme.instead = lambda what, ids: answer({}, 500) if ids else None
    first = SqliteFile(path)
    polled = await Polled.open(FILLED, acme, first, clock)
    await polled.sweep()
    assert polled.ends == {}
    first.close()
    acme.instead = lambda what, ids: None
    hidden = acme.rows.pop()

    def shows(what: str, ids: list[str]) -> httpx.Response | None:
        return answer({"data": hidden | MODERATED}) if ids == ["r-1"] else None

    acme.instead = shows
    again = await Polled.open(FILLED, acme, SqliteFile(path), clock)
    await again.sweep(3)
    assert (again.ends, again.reasons) == ({"failed": 1}, {"moderation": 1})
    await again.sweep(3)
    assert acme.asked["r-1"] == 2
    assert await again.ledger.store.watched(*again.tracker.feed) == []


async def test_ids_that_wait_are_let_go_once_they_are_counted(acme: Acme) -> None:
    acme.rows = history(10)
    acme.instead = lambda what, ids: answer({}, 500) if ids else None
    polled = await Polled.open(FILLED, acme)
    ledger = polled.ledger
    await polled.sweep()
    assert len(await ledger.store.watched(*polled.tracker.feed)) == 10
    await polled.sweep(3)
    assert await ledger.store.watched(*polled.tracker.feed) == []
    assert len(polled.loop._fills) == 0
    assert polled.ends == {"failed": 10}


async def test_ends_that_wait_are_known_ground(acme: Acme) -> None:
    acme.rows = history(100)
    acme.instead = lambda what, ids: answer({}, 500) if ids else None
    polled = await Polled.open(FILLED, acme, page_size=20)
    await polled.sweep()
    assert sum(what == "list" for what, _ in acme.calls) == 6
    acme.calls.clear()
    await polled.sweep()
    assert sum(what == "list" for what, _ in acme.calls) == 1


async def test_a_list_that_breaks_off_counts_no_new_end_before_it_is_whole(acme: Acme) -> None:
    acme.rows = history(120)
    tell(acme, *range(120))
    broken: Iterable[bool] = iter([False, True])
    acme.instead = lambda what, ids: answer({}, 500) if what == "list" and next(broken, False) else None  # type: ignore[call-overload]
    polled = await Polled.open(FILLED, acme)
    await polled.sweep()
    assert polled.ends == {}
    assert not polled.tracker.swept
    await polled.sweep(3)
    assert (polled.ends, polled.reasons) == ({"failed": 120}, {"moderation": 120})
    assert set(acme.asked.values()) == {1}


@pytest.mark.slow  # its calls wait for their turns in real time
async def test_a_late_pass_over_ends_that_wait_finds_no_gap(acme: Acme) -> None:
    acme.rows = [running("x"), *(failed(number, NOW - 7200 - number) for number in range(200))]

    def slow(what: str, ids: list[str]) -> httpx.Response | None:
        return answer({}, 500) if ids and len(acme.calls) % 3 else None

    acme.instead = slow
    polled = await Polled.open(FILLED, acme, paced=True, rate_limit="60/s", poll_interval="100ms", page_size=20)
    await polled.sweep(45, after=STEP)
    assert polled.counted("history_gaps_total") == {}
    assert polled.ends == {"failed": 200}


async def test_a_cancelled_sweep_keeps_what_waits(acme: Acme) -> None:
    acme.rows = history(5)
    tell(acme, *range(5))
    asked = asyncio.Event()
    acme.instead = lambda what, ids: asked.set() if ids else None
    polled = await Polled.open(FILLED, acme)
    polled.clock.now += STEP
    sweeping = asyncio.create_task(polled.loop.sweep())
    await asked.wait()
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)
    await polled.sweep(3)
    assert (polled.ends, polled.reasons) == ({"failed": 5}, {"moderation": 5})
