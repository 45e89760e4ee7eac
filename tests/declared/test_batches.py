"""Look-ups of several ids at once: what one of them, or an answer that is cut short, may cost the others."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.declared.conftest import declared
from tests.declared.polled import Acme, Polled, answer
from tests.harness import NOW

BATCH = 10
BY_IDS = declared(
    {
        "list": None,
        "detail": {"path": "/v2/renders", "query": {"ids": "{ids}"}, "batch": BATCH, "row": "data.renders"},
    }
)


def running(number: int) -> dict[str, Any]:
    return {"id": f"r-{number}", "status": "rendering", "created_at": NOW - 60, "percent": 5}


@pytest.fixture
def acme() -> Acme:
    acme = Acme()
    acme.rows = [running(number) for number in range(25)]
    return acme


async def opened(acme: Acme, *more: str, **settings: Any) -> Polled:
    ids = [row["id"] for row in acme.rows]
    return await Polled.open(BY_IDS, acme, watch={"tasks": {"render": [*ids, *more]}}, **settings)


async def test_all_are_asked_for_in_as_few_calls_as_there_are_batches(acme: Acme) -> None:
    polled = await opened(acme)
    await polled.sweep()
    assert sorted(len(ids) for _, ids in acme.calls) == [5, 10, 10]
    assert len(polled.in_flight) == 25
    acme.calls.clear()
    for row in acme.rows:
        row |= {"status": "done", "ended_at": NOW + 20}
    await polled.sweep()
    assert sorted(len(ids) for _, ids in acme.calls) == [5, 10, 10]
    assert polled.ends == {"succeeded": 25}


@pytest.mark.parametrize("most", [1, 4, 9])
async def test_an_answer_that_is_cut_short_loses_none(acme: Acme, most: int) -> None:
    def cut(what: str, ids: list[str]) -> httpx.Response | None:
        return answer({"data": {"renders": [row for row in acme.rows if row["id"] in ids][:most]}})

    acme.instead = cut
    polled = await opened(acme)
    await polled.sweep(20)
    assert len(polled.in_flight) == 25
    assert polled.loop.status.up
    assert polled.ends == {}


async def test_ids_that_an_answer_leaves_out_are_asked_for_once_more_and_then_believed_to_be_unknown(
    acme: Acme,
) -> None:
    polled = await opened(acme)
    await polled.sweep()
    acme.gone = {"r-3", "r-7"}
    acme.calls.clear()
    await polled.sweep()
    assert len(polled.in_flight) == 25  # one miss proves little
    assert sum("r-3" in ids for _, ids in acme.calls) == 2
    await polled.sweep()
    assert polled.ends == {"lost": 2}
    assert len(polled.in_flight) == 23


@pytest.mark.parametrize(
    "refusal",
    [
        (400, {"message": "bad id"}),
        (404, {"message": "no such task"}),
        (200, {"data": {}}),
        (200, {"data": {"renders": [{"id": None}]}}),
        (500, {"message": "oops"}),
        (422, b"<html>"),
    ],
)
@pytest.mark.parametrize("bad", ["r-0", "r-9", "r-24"])
async def test_one_bad_id_costs_the_others_nothing(acme: Acme, bad: str, refusal: tuple[int, Any]) -> None:
    acme.instead = lambda what, ids: answer(refusal[1], refusal[0]) if bad in ids else None
    polled = await opened(acme)
    await polled.sweep()
    assert polled.in_flight.keys() == {row["id"] for row in acme.rows} - {bad}
    assert polled.loop.status.up
    acme.calls.clear()
    await polled.sweep()
    # Three batches, and the halves of one of them.
    assert len(acme.calls) <= 3 + 2 * 4 + 1


async def test_a_task_whose_batch_is_refused_is_not_lost(acme: Acme) -> None:
    polled = await opened(acme)
    await polled.sweep()
    acme.instead = lambda what, ids: answer({"message": "oops"}, 500) if "r-5" in ids else None
    await polled.sweep(30)
    assert polled.ends == {}
    acme.instead = lambda what, ids: None
    for row in acme.rows:
        row |= {"status": "failed", "error": {"code": "E_UNSAFE"}, "ended_at": NOW + 30}
    await polled.sweep(60)
    assert (polled.ends, polled.reasons) == ({"failed": 25}, {"moderation": 25})


@pytest.mark.parametrize("status", [400, 401, 500, 503])
async def test_a_vendor_that_refuses_every_batch_gets_few_calls(acme: Acme, status: int) -> None:
    acme.rows = [running(number) for number in range(400)]
    polled = await opened(acme)
    await polled.sweep()
    assert len(polled.in_flight) == 400
    acme.calls.clear()
    acme.instead = lambda what, ids: answer({"message": "no"}, status)
    await polled.sweep()
    assert len(acme.calls) <= 5 * 8
    assert polled.loop.status.up is False
    await polled.sweep(5)
    assert len(polled.in_flight) == 400


@pytest.mark.parametrize("refusal", [(429, {}), (503, {}), (403, {})])
async def test_a_batch_that_fails_puts_none_of_its_ids_off(acme: Acme, refusal: tuple[int, Any]) -> None:
    """It may be no fault of theirs: they are asked for with fewer others, at once."""
    polled = await opened(acme)
    await polled.sweep()
    for _ in range(8):
        failed: list[str] = []

        def once(what: str, ids: list[str], failed: list[str] = failed) -> httpx.Response | None:
            if "r-4" in ids and len(ids) > 1 and not failed:
                failed.extend(ids)
                return answer(refusal[1], refusal[0], **{"Retry-After": "5"})
            return None

        acme.instead = once
        await polled.sweep()
    acme.instead = lambda what, ids: None
    before = acme.asked["r-4"]
    await polled.sweep()
    assert acme.asked["r-4"] == before + 1


async def test_an_id_that_spoils_its_batch_by_any_failure_is_soon_alone(acme: Acme) -> None:
    polled = await opened(acme)
    acme.instead = lambda what, ids: answer({}, 504) if "r-4" in ids else None
    await polled.sweep(6)
    assert polled.in_flight.keys() == {row["id"] for row in acme.rows} - {"r-4"}
    acme.calls.clear()
    await polled.sweep()
    assert sorted(len(ids) for _, ids in acme.calls if "r-4" not in ids) in ([5, 9, 10], [4, 10, 10])


async def test_all_at_once_unknown_loses_none_at_the_second_look(acme: Acme) -> None:
    """That a vendor has lost sight of everything is likelier than that everything is gone."""
    polled = await opened(acme)
    await polled.sweep()
    acme.gone = {row["id"] for row in acme.rows}
    await polled.sweep(4)
    assert (polled.ends, len(polled.in_flight)) == ({}, 25)


async def test_a_pause_that_the_vendor_asks_for_ends_the_round(acme: Acme) -> None:
    acme.rows = [running(number) for number in range(400)]
    polled = await opened(acme)
    await polled.sweep()
    acme.calls.clear()
    acme.instead = lambda what, ids: answer({"message": "slow down"}, 429, **{"Retry-After": "40"})
    await polled.sweep()
    assert len(acme.calls) <= 8
    assert polled.loop.status.outage


async def test_ids_that_no_vendor_knows_are_asked_for_in_batches_and_ever_less_often(acme: Acme) -> None:
    polled = await opened(acme, *(f"nobody-{number}" for number in range(200)))
    await polled.sweep(3)
    assert len(polled.in_flight) == 25
    calls = len(acme.calls)
    await polled.sweep(40)
    assert acme.asked["nobody-1"] < 25
    assert len(acme.calls) - calls <= 40 * 24
    assert polled.loop.status.up


# Several ids at once, and more of each ended task by a request of its own

IN_FULL = declared(
    {
        "list": None,
        "detail": {
            "path": "/v2/renders",
            "query": {"ids": "{ids}"},
            "batch": BATCH,
            "row": "data.renders",
            "ended": {"path": "/v2/renders/{id}", "row": "data", "fills": ["usage"]},
        },
    }
)


async def opened_in_full(acme: Acme) -> Polled:
    acme.tells_alone = True
    acme.more = {row["id"]: {"cost": 3} for row in acme.rows}
    return await Polled.open(IN_FULL, acme, watch={"tasks": {"render": [row["id"] for row in acme.rows]}})


def cost(polled: Polled) -> float:
    return sum(polled.values("videotask_usage_total", "unit", "state").values())


def finish(acme: Acme, *numbers: int) -> None:
    for number in numbers:
        acme.rows[number] |= {"status": "done", "ended_at": NOW + 20}


async def test_each_end_is_asked_for_once_by_itself_for_what_only_that_tells(acme: Acme) -> None:
    polled = await opened_in_full(acme)
    await polled.sweep()
    finish(acme, *range(20))
    acme.calls.clear()
    await polled.sweep(3)
    assert (polled.ends, cost(polled), len(polled.in_flight)) == ({"succeeded": 20}, 60, 5)
    alone = [ids for _, ids in acme.calls if len(ids) == 1]
    assert sorted(alone) == sorted([f"r-{number}"] for number in range(20))


async def test_an_end_that_earns_a_pause_by_itself_counts_in_the_end(acme: Acme) -> None:
    polled = await opened_in_full(acme)
    await polled.sweep()
    finish(acme, 3, 4)
    acme.instead = lambda what, ids: answer({}, 429) if (what, ids) == ("alone", ["r-3"]) else None
    await polled.sweep(7)
    assert (polled.ends, cost(polled), len(polled.in_flight)) == ({"succeeded": 2}, 3, 23)


@pytest.mark.parametrize("status", [500, 200])
async def test_an_end_that_is_not_answered_by_itself_holds_up_no_other_and_counts_in_the_end(
    acme: Acme, status: int
) -> None:
    polled = await opened_in_full(acme)
    await polled.sweep()
    finish(acme, 3, 4)
    acme.instead = lambda what, ids: answer(b"{", status) if (what, ids) == ("alone", ["r-3"]) else None
    await polled.sweep()
    assert polled.ends == {"succeeded": 1}
    await polled.sweep(6)
    assert (polled.ends, cost(polled), len(polled.in_flight)) == ({"succeeded": 2}, 3, 23)
    assert polled.is_up()


async def test_a_task_that_has_not_ended_by_its_own_request_is_in_flight(acme: Acme) -> None:
    polled = await opened_in_full(acme)
    await polled.sweep()
    finish(acme, 0)
    acme.more["r-0"] = {"status": "rendering"}
    await polled.sweep(2)
    assert (polled.ends, len(polled.in_flight)) == ({}, 25)
    acme.more["r-0"] = {"cost": 4}
    await polled.sweep()
    assert (polled.ends, cost(polled)) == ({"succeeded": 1}, 4)


async def test_an_end_that_its_own_request_does_not_know_counts_as_it_is(acme: Acme) -> None:
    polled = await opened_in_full(acme)
    await polled.sweep()
    finish(acme, *range(3))
    acme.instead = lambda what, ids: answer({}, 404) if (what, ids) == ("alone", ["r-1"]) else None
    await polled.sweep()
    assert (polled.ends, cost(polled)) == ({"succeeded": 3}, 6)
