"""Kling's calls of June 2026: states and reasons, costs, refusals, paging by cursor, what the fake refuses."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    ContractBroken,
    RateLimited,
    RequestInvalid,
    TimedOut,
    VendorFailed,
)
from exporter.simulator import Life
from exporter.tasks import Field, Observation, Reason, State
from exporter.vendors.api import Position
from exporter.vendors.registry import declaration_of
from exporter.vendors.vendor import Balance
from tests.harness import NOW, counted
from tests.vendors.conftest import BalanceOf, OpenAccount, Scripted

DAY = 86400
CREATED = 1772331300120

DONE: dict[str, Any] = {
    "id": "880000000000000001",
    "external_id": "",
    "status": "succeeded",
    "message": "",
    "create_time": CREATED,
    "update_time": CREATED + 111_360,
    "outputs": [{"type": "video", "id": "v1", "url": "https://example.invalid/v.mp4", "duration": "5.041"}],
    "billing": [{"charge_type": "unit", "amount": "2", "package_type": "video"}],
}
REFUSED: dict[str, Any] = {
    "id": "880000000000000002",
    "status": "failed",
    "message": "Risk control refused the content",
    "create_time": CREATED,
    "update_time": CREATED + 30_000,
    "outputs": [],
}


def good(data: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": "req-1", "data": data}


def page(*rows: Any, cursor: str = "") -> dict[str, Any]:
    return good({"result": list(rows), "next_cursor": cursor})


async def test_the_documented_list(scripted: Scripted) -> None:
    at = scripted("kling", page(DONE, REFUSED, cursor="c2"))
    listed = await at.feed.list_page()
    assert listed.observations == [
        Observation(
            "880000000000000001",
            State.SUCCEEDED,
            submitted=CREATED / 1000,
            ended=(CREATED + 111_360) / 1000,
            output_seconds=5.041,
            usage=(("units", 2.0),),
        ),
        Observation(
            "880000000000000002",
            State.FAILED,
            Reason.MODERATION,
            submitted=CREATED / 1000,
            ended=(CREATED + 30_000) / 1000,
            said="Risk control refused the content",
        ),
    ]
    assert (listed.last, listed.cursor) == (False, "c2")
    (request,) = at.vendor.requests
    assert (request.method, str(request.url)) == ("POST", "https://vendor.example/tasks")
    assert request.headers["Authorization"] == "Bearer demo-kling-key"
    assert at.vendor.sent() == {"limit": 500, "filters": [{"key": "product_type", "values": ["video"]}]}


async def test_the_list_goes_on_at_the_cursor_and_ends_without_one(scripted: Scripted) -> None:
    at = scripted("kling", page(DONE))
    assert (await at.feed.list_page(Position(1, 500, "c2"))).last
    assert at.vendor.sent()["cursor"] == "c2"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("submitted", State.QUEUED),
        ("processing", State.RUNNING),
        ("succeeded", State.SUCCEEDED),
        ("succeed", State.SUCCEEDED),
        ("failed", State.FAILED),
        ("resting", State.UNKNOWN),
    ],
)
async def test_states_in_both_spellings(scripted: Scripted, word: str, state: State) -> None:
    seen = await scripted("kling", page({**DONE, "status": word})).listed()
    assert seen.state is state
    assert (seen.ended is not None) == state.is_end
    assert (Field.STATE in seen.unmapped) == (state is State.UNKNOWN)


async def test_the_message_around_an_answer_is_no_reason(scripted: Scripted) -> None:
    seen = await scripted("kling", good([{**REFUSED, "message": ""}])).observe(REFUSED["id"])
    assert (seen.state, seen.reason, seen.said, seen.unmapped) == (State.FAILED, Reason.UNKNOWN, "", frozenset())


async def test_a_text_of_no_table_is_counted(scripted: Scripted) -> None:
    seen = await scripted("kling", page({**REFUSED, "message": "the stars were wrong"})).listed()
    assert (seen.reason, seen.unmapped) == (Reason.UNKNOWN, frozenset({Field.REASON}))


@pytest.mark.parametrize(
    ("billing", "usage"),
    [
        ([{"charge_type": "unit", "amount": "1.5"}, {"charge_type": "unit", "amount": 2}], (("units", 3.5),)),
        ([{"charge_type": "cash", "cash_type": "balance", "amount": "0.14", "currency": "USD"}], (("usd", 0.14),)),
        ([{"charge_type": "cash", "cash_type": "test_balance", "amount": "1", "currency": "CNY"}], (("cny", 1.0),)),
        ([], ()),
        (None, ()),
    ],
)
async def test_costs_are_units_of_a_pack_or_money(scripted: Scripted, billing: Any, usage: Any) -> None:
    seen = await scripted("kling", page({**DONE, "billing": billing})).listed()
    assert (seen.usage, seen.unmapped) == (usage, frozenset())


async def test_a_cost_that_is_no_number_costs_itself_alone(scripted: Scripted) -> None:
    seen = await scripted("kling", page({**DONE, "billing": [{"charge_type": "unit", "amount": "two"}]})).listed()
    assert (seen.state, seen.usage, seen.unmapped) == (State.SUCCEEDED, (), frozenset({Field.USAGE}))


async def test_a_row_with_nothing_but_id_and_status_is_a_task(scripted: Scripted) -> None:
    seen = await scripted("kling", page({"id": "88", "status": "processing"})).listed()
    assert seen == Observation("88", State.RUNNING)


async def test_images_and_speech_are_no_tasks_of_this_feed(scripted: Scripted) -> None:
    image = {**DONE, "id": "1", "outputs": [{"type": "image", "url": "https://example.invalid/i.png"}]}
    audio = {**DONE, "id": "2", "outputs": [{"type": "audio"}]}
    sound = {**DONE, "id": "3", "outputs": [{"type": "audio"}, *DONE["outputs"]]}
    listed = await scripted("kling", page(image, audio, sound)).feed.list_page()
    assert ([seen.id for seen in listed.observations], listed.others) == (["3"], 2)
    assert listed.observations[0].output_seconds == 5.041


async def test_a_detail_asks_for_several_ids_and_leaves_out_unknown_ones(scripted: Scripted) -> None:
    at = scripted("kling", good([DONE]))
    found = await at.feed.look_up_all([DONE["id"], "880000000000000009"])
    assert list(found) == [DONE["id"]]
    (request,) = at.vendor.requests
    assert str(request.url) == "https://vendor.example/tasks?task_ids=880000000000000001,880000000000000009"


@pytest.mark.parametrize(
    "answer", [good([]), (404, {"code": 1203, "message": "no such thing"}), (400, {"code": 1201, "message": "wrong"})]
)
async def test_an_unknown_id_is_an_answer(scripted: Scripted, answer: Any) -> None:
    at = scripted("kling", answer)
    await at.knows_not("880000000000000009")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, 1000, AuthRefused),
        (401, 1001, AuthRefused),
        (401, 1002, AuthRefused),
        (401, 1003, AuthRefused),
        (401, 1004, AuthRefused),
        (429, 1100, AuthRefused),
        (429, 1101, BalanceExhausted),
        (429, 1102, BalanceExhausted),
        (403, 1103, AuthRefused),
        (400, 1200, RequestInvalid),
        (400, 1201, RequestInvalid),
        (404, 1202, RequestInvalid),
        (404, 1203, RequestInvalid),
        (200, 1300, RequestInvalid),
        (400, 1301, RequestInvalid),
        (200, 1301, RequestInvalid),
        (429, 1302, RateLimited),
        (429, 1303, RateLimited),
        (429, 1304, AuthRefused),
        (500, 5000, VendorFailed),
        (503, 5001, VendorFailed),
        (504, 5002, TimedOut),
        (429, 1999, RateLimited),
        (200, 1102, BalanceExhausted),
        (200, 9999, ContractBroken),
    ],
)
@pytest.mark.parametrize("vendor", ["kling", "kling_legacy"])
async def test_refusals_by_code_before_status(
    scripted: Scripted, vendor: str, status: int, code: int, error: type[CallError]
) -> None:
    at = scripted(vendor, (status, {"code": code, "message": "no", "request_id": "req-1"}))
    await at.refuses(error)


async def test_an_answer_without_a_list_breaks_the_contract(scripted: Scripted) -> None:
    with pytest.raises(ContractBroken):
        await scripted("kling", good({})).feed.list_page()


async def test_the_fake_lists_thirty_days_over_several_pages(open_account: OpenAccount) -> None:
    account = open_account("kling", page_size=2, history="60d")
    feed = ("kling", "task")
    ages = {"81": 31 * DAY, "82": 29 * DAY, "83": 3 * DAY, "84": 60, "85": 30}
    await account.submit(
        *(Life(name, *feed, NOW - age, 1.0, 5.0, State.SUCCEEDED, cost=1.0) for name, age in ages.items())
    )
    await account.rig.sweep(2)
    loop = account.rig.loop_of(kind="task")
    assert counted(loop.tracker, "finished_total") == {"succeeded": 4}
    assert account.rig.errors == {}


async def test_the_fake_refuses_what_the_document_does(open_account: OpenAccount) -> None:
    account = open_account("kling")
    base = account.polled.provider.settings.base_url
    key = {"Authorization": "Bearer demo-kling-key"}

    async def said(method: str, path: str, headers: dict[str, str] = key, **more: Any) -> tuple[int, int]:
        async with httpx.AsyncClient() as client:
            answer = await client.request(method, base + path, headers=headers, **more)
            return answer.status_code, answer.json()["code"]

    assert await said("POST", "/tasks", {}, json={}) == (401, 1001)
    assert await said("POST", "/tasks", {"Authorization": "Bearer e30.e30.x"}, json={}) == (401, 1002)
    assert await said("POST", "/tasks", json={"limit": 501}) == (400, 1201)
    assert await said("POST", "/tasks", json={"start_time": 1772331300120}) == (400, 1201)
    assert await said("POST", "/tasks", json={"filters": [{"key": "status", "values": ["done"]}]}) == (400, 1201)
    assert await said("POST", "/tasks", json={"start_time": "1772331300120"}) == (200, 0)
    assert await said("GET", "/tasks?task_ids=1&external_task_ids=2") == (400, 1201)
    assert await said("GET", "/account/costs") == (400, 1200)


PACKS: list[dict[str, Any]] = [
    {"resource_pack_id": "p1", "remaining_quantity": 820.5, "status": "online"},
    {"resource_pack_id": "p2", "remaining_quantity": 100, "status": "online"},
    {"resource_pack_id": "p3", "remaining_quantity": 17.0, "status": "expired"},
    {"resource_pack_id": "p4", "remaining_quantity": 0.0, "status": "runOut"},
    {"resource_pack_id": "p5", "remaining_quantity": 500.0, "status": "toBeOnline"},
]


@pytest.mark.parametrize("vendor", ["kling", "kling_legacy"])
@pytest.mark.parametrize(("packs", "left"), [(PACKS, 920.5), (PACKS[2:], 0)])
async def test_the_balance_is_what_is_left_in_packs_that_are_online(
    balance_of: BalanceOf, vendor: str, packs: list[Any], left: float
) -> None:
    body = good({"code": 0, "msg": "success", "resource_pack_subscribe_infos": packs})
    assert await balance_of(vendor, body) == Balance(left, "units")


@pytest.mark.parametrize("vendor", ["kling", "kling_legacy"])
@pytest.mark.parametrize("packs", [[], None])
async def test_who_has_no_packs_has_no_balance_rather_than_an_empty_one(
    balance_of: BalanceOf, vendor: str, packs: object
) -> None:
    body = good({"code": 0, "msg": "success", "resource_pack_subscribe_infos": packs})
    assert await balance_of(vendor, body) is None


@pytest.mark.parametrize("vendor", ["kling", "kling_legacy"])
async def test_a_refusal_within_a_good_answer_is_no_balance(balance_of: BalanceOf, vendor: str) -> None:
    with pytest.raises(ContractBroken, match="holds no balance"):
        await balance_of(vendor, good({"code": 1200, "msg": "x", "resource_pack_subscribe_infos": []}))


async def test_the_fake_tells_packs_of_the_last_year(open_account: OpenAccount) -> None:
    base = open_account("kling").polled.provider.settings.base_url
    times = {"start_time": int((NOW - 400 * DAY) * 1000), "end_time": int(NOW * 1000)}
    async with httpx.AsyncClient(headers={"Authorization": "Bearer demo-kling-key"}) as client:
        answer = await client.get(f"{base}/account/costs", params=times)
    declaration = declaration_of("kling")
    assert declaration
    assert declaration.account
    assert declaration.account.balance.path(answer.json()) == 820
