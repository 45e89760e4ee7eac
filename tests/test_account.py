"""What is left in an account: read beside the feeds, exact, withdrawn when it cannot be read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import pytest

from exporter.polling.account import AccountLoop
from exporter.polling.budget import Budget
from exporter.simulator import HandClock
from exporter.snapshot import BalanceSnapshot, Reloads, Snapshot
from exporter.tasks import Cause
from exporter.web.pages.status.overview import Overview
from tests.declared.conftest import declared
from tests.declared.polled import Acme, Polled, answer
from tests.harness import DAY, NOW, leaping

ASK: dict[str, Any] = {"path": "/v2/account", "balance": {"path": "data.left", "unit": "credits"}}


class Account:
    """An account at Acme whose balance is read by hand."""

    def __init__(self, acme: Acme, polled: Polled) -> None:
        self.acme, self.polled = acme, polled

    @property
    def loop(self) -> AccountLoop:
        (polled,) = self.polled.polled.by_name.values()
        return polled.account

    async def ask(self, body: Any = None, after: float = 300.0) -> None:
        if body is not None:
            self.acme.account = body
        self.polled.clock.now += after
        await self.loop.ask()

    @property
    def now(self) -> BalanceSnapshot:
        found = self.loop.snapshot()
        assert found is not None
        return found

    @property
    def shown(self) -> dict[Any, float]:
        """The balance by unit, as /metrics has it."""
        return self.polled.values("videotask_account_balance", "unit")

    @property
    def read_at(self) -> list[float]:
        return list(self.polled.values("videotask_account_last_success_timestamp_seconds", "provider").values())


Open = Callable[..., Any]


@pytest.fixture
async def open_account() -> AsyncIterator[Open]:
    opened: list[Polled] = []

    async def make(balance: dict[str, Any] | None = None, **settings: Any) -> Account:
        acme = Acme()
        ask = ASK if balance is None else {**ASK, "balance": balance}
        opened.append(await Polled.open(declared(account=ask), acme, clock=HandClock(NOW), **settings))
        return Account(acme, opened[-1])

    yield make
    for polled in opened:
        await polled.aclose()


async def test_the_balance_is_what_the_vendor_says_and_follows_it(open_account: Open) -> None:
    account = await open_account()
    assert account.shown == {}
    await account.ask({"data": {"left": 100}})
    assert account.shown == {"credits": 100}
    assert account.read_at == [NOW + 300]
    await account.ask({"data": {"left": 62.5}})
    assert account.shown == {"credits": 62.5}


@pytest.mark.parametrize(
    ("left", "amount"),
    [("1,234.50", 1234.5), ("-3.2", -3.2), (-17, -17), (0, 0), ("0.00", 0), (" 12 ", 12), (1e11, 1e11)],
)
async def test_amounts_are_read_as_vendors_write_them(open_account: Open, left: object, amount: float) -> None:
    account = await open_account()
    await account.ask({"data": {"left": left}})
    assert account.shown == {"credits": pytest.approx(amount)}


@pytest.mark.parametrize("left", [None, "", "much", True, [1], {"a": 1}, 1e30, "1,2,3"])
async def test_what_is_no_amount_is_told_and_shown_as_none(open_account: Open, left: object) -> None:
    account = await open_account()
    await account.ask({"data": {"left": left}})
    assert account.shown == {}
    assert "balance" in account.now.trouble
    assert account.polled.errors["contract"] == 1


async def test_cents_become_whole_units_and_what_was_used_is_taken_off(open_account: Open) -> None:
    account = await open_account({"path": "data.granted", "minus": "data.used", "unit": "usd", "scale": 0.01})
    await account.ask({"data": {"granted": 5000, "used": "1,234.5"}})
    assert account.shown == {"usd": pytest.approx(37.655)}


async def test_the_unit_is_the_currency_of_the_answer(open_account: Open) -> None:
    account = await open_account({"path": "data.left", "unit": "cny", "currency": "data.currency"})
    await account.ask({"data": {"left": 10, "currency": "CNY"}})
    assert account.shown == {"cny": 10}
    await account.ask({"data": {"left": 3, "currency": "usd"}})
    assert account.shown == {"usd": 3}
    await account.ask({"data": {"left": 3, "currency": "JPY"}})
    assert account.shown == {}
    assert "currency" in account.now.trouble


async def test_an_account_without_a_limit_shows_none_and_is_no_trouble(open_account: Open) -> None:
    account = await open_account({"path": "data.left", "unit": "credits", "unlimited": "data.unlimited"})
    await account.ask({"data": {"left": 100000000, "unlimited": True}})
    assert account.shown == {}
    assert account.now.trouble == ""
    assert account.read_at == [NOW + 300]


async def test_a_balance_that_cannot_be_read_is_withdrawn_at_once_and_its_time_after_three_intervals(
    open_account: Open,
) -> None:
    account = await open_account()
    await account.ask()
    account.acme.instead = lambda what, ids: answer({"error": {"code": "E_DENIED", "message": "no"}}, 403)
    await account.ask()
    assert account.shown == {}
    assert account.read_at == [NOW + 300]
    assert account.now.trouble
    assert account.now.since == NOW + 600
    await account.ask(after=601)
    assert account.read_at == []
    account.acme.instead = lambda what, ids: None
    await account.ask()
    assert account.shown == {"credits": 100}
    assert account.now.trouble == ""


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_the_feeds_do_not_depend_on_the_balance(open_account: Open, status: int) -> None:
    account = await open_account()
    refused: Callable[..., httpx.Response | None] = lambda what, ids: (  # noqa: E731
        answer({"error": "no"}, status, **{"Retry-After": "3000"}) if what == "account" else None
    )
    account.acme.rows = [{"id": "r-1", "status": "rendering"}]
    account.acme.instead = refused
    for _ in range(3):
        await account.ask()
        assert account.polled.client.limit.pause_left == 0
        await account.polled.sweep()
        assert account.polled.is_up()
    assert set(account.polled.values("videotask_tasks", "state").values()) == {0, 1}


async def test_a_pause_that_the_vendor_asked_for_also_keeps_from_asking_for_the_balance(open_account: Open) -> None:
    account = await open_account()
    account.polled.client.limit.pause(60)
    await account.ask(after=0)
    assert ("account", []) not in account.acme.calls


async def test_a_short_pause_that_the_vendor_asked_for_is_no_failure_to_read_the_balance(open_account: Open) -> None:
    account = await open_account(paced=True, account_interval="10s")
    (polled,) = account.polled.polled.by_name.values()
    told: list[str] = []
    read = asyncio.Event()

    def announce() -> None:
        found = loop.snapshot()
        told.append(found.trouble if found else "nothing")
        read.set()

    loop = AccountLoop(polled.provider, announce=announce)
    account.polled.client.limit.pause(0.2)
    loop.start()
    await read.wait()
    await loop.stop()
    assert told == [""]


def test_in_a_pause_longer_than_the_interval_the_balance_is_not_shown_as_if_it_were_fresh() -> None:
    async def told_after() -> tuple[float, Cause | None]:
        polled = await Polled.open(declared(account=ASK), Acme(), account_interval="5m")
        (one,) = polled.polled.by_name.values()
        told = asyncio.Event()
        loop = AccountLoop(one.provider, announce=told.set)
        polled.client.limit.pause(3600)
        loop.start()
        await told.wait()
        waited = asyncio.get_running_loop().time()
        found = loop.snapshot()
        await loop.stop()
        await polled.aclose()
        return waited, found.cause if found else None

    waited, cause = leaping(told_after())
    assert waited == 300
    assert cause is Cause.RATE


async def test_the_pace_is_what_was_spent_whatever_was_added(open_account: Open) -> None:
    account = await open_account()
    for left in (100, 90, 80, 1070, 1060):  # a thousand are added in between
        await account.ask({"data": {"left": left}}, after=360)
    assert account.now.pace == pytest.approx((10 + 10 + 0 + 10) / (4 * 360))
    assert account.now.lasts == pytest.approx(1060 / account.now.pace)


async def test_a_pace_takes_ten_minutes_and_forgets_after_six_hours(open_account: Open) -> None:
    account = await open_account()
    await account.ask({"data": {"left": 100}})
    paces = []
    for after in [599, 1] + [600] * 35 + [1]:
        await account.ask({"data": {"left": 50}}, after=after)
        paces.append(account.now.pace)
    assert paces[:2] == [None, pytest.approx(50 / 600)]
    assert paces[-2:] == [pytest.approx(50 / (6 * 3600)), 0]
    assert account.now.lasts is None


@pytest.mark.parametrize(
    "between", [{"left": 3000, "currency": "USD"}, {"left": 1, "unlimited": True}], ids=["another unit", "no limit"]
)
async def test_a_pace_begins_again_after_a_balance_of_another_kind(open_account: Open, between: dict[str, Any]) -> None:
    account = await open_account(
        {"path": "data.left", "unit": "cny", "currency": "data.currency", "unlimited": "data.unlimited"}
    )
    paces = []
    for data in ({"left": 5000}, {"left": 4000}, between, {"left": 500}, {"left": 410}):
        await account.ask({"data": {"currency": "CNY", **data}}, after=900)
        paces.append(account.now.pace)
    assert paces == [None, pytest.approx(1000 / 900), None, None, pytest.approx(0.1)]


def test_balances_are_first_read_within_ten_seconds() -> None:
    async def asked_after() -> float:
        acme = Acme()
        polled = await Polled.open(declared(account=ASK), acme, account_interval="1h")
        (one,) = polled.polled.by_name.values()
        asked = asyncio.Event()

        def tell(what: str, ids: list[str]) -> None:
            if what == "account":
                asked.set()

        acme.instead = tell
        one.start(wait=0.0, spread=0.0)
        await asked.wait()
        waited = asyncio.get_running_loop().time()
        await one.stop()
        await polled.ledger.close()
        return waited

    waits = [leaping(asked_after()) for _ in range(12)]
    assert max(waits) <= 10
    assert len({round(wait, 3) for wait in waits}) > 1  # not all at once


def test_while_a_balance_cannot_be_read_it_is_asked_for_up_to_four_times_more_seldom() -> None:
    async def asked_at() -> list[float]:
        acme = Acme()
        polled = await Polled.open(declared(account=ASK), acme, account_interval="5m")
        (one,) = polled.polled.by_name.values()
        now = asyncio.get_running_loop().time
        asked: list[float] = []
        enough = asyncio.Event()

        def refuse_some(what: str, ids: list[str]) -> httpx.Response | None:
            asked.append(now())
            if len(asked) == 8:
                enough.set()
            return answer({}, 500) if len(asked) <= 5 else None

        acme.instead = refuse_some
        one.account.start()
        await enough.wait()
        await one.account.stop()
        await polled.aclose()
        return asked

    asked = leaping(asked_at())
    gaps = [later - before for before, later in pairwise(asked)]
    assert gaps == [pytest.approx(300 * times, rel=0.051) for times in (2, 4, 4, 4, 4, 1, 1)]


async def test_without_requests_left_today_the_balance_is_not_asked_for(open_account: Open) -> None:
    account = await open_account()
    (polled,) = account.polled.polled.by_name.values()
    budget = Budget(24, wall_clock=account.polled.clock)
    loop = AccountLoop(polled.provider, account.polled.clock, budget=budget)
    await loop.ask()
    budget.spend(24)
    await loop.ask()
    assert account.acme.calls == [("account", [])]
    account.polled.clock.now += 2 * DAY
    await loop.ask()
    assert len(account.acme.calls) == 2


async def test_the_interval_of_none_never_asks(open_account: Open) -> None:
    account = await open_account(account_interval="0s")
    account.loop.start()
    assert account.loop.snapshot() is None
    assert account.acme.calls == []


async def page(account: Account) -> str:
    """The status page as a person reads it."""
    transport = httpx.ASGITransport(account.polled.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://exporter") as http:
        text = (await http.get("/")).text
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


async def test_the_status_page_says_what_is_left_and_for_how_long(open_account: Open) -> None:
    account = await open_account()
    await account.polled.sweep()
    assert "Account balances" not in await page(account)
    for left in (1_000_000, 999_990):
        await account.ask({"data": {"left": left}}, after=864)
    shown = await page(account)
    assert "Account balances acme 999,990 credits, 1,000 credits a day, for about 1000 d" in shown
    assert "All is well" in shown


async def test_the_status_page_says_first_that_a_balance_ends_soon(open_account: Open) -> None:
    account = await open_account()
    await account.polled.sweep()
    for left in (100, 90):
        await account.ask({"data": {"left": left}}, after=3600)
    shown = await page(account)
    assert "The balance of acme ends in about 9 h Caused by the account 90 credits are left" in shown
    assert "All is well" not in shown


async def test_the_status_page_says_why_a_balance_cannot_be_read(open_account: Open) -> None:
    account = await open_account()
    await account.polled.sweep()
    account.acme.instead = lambda what, ids: answer({"error": {"code": "E_DENIED", "message": "no"}}, 403)
    await account.ask()
    shown = await page(account)
    assert "The balance of acme cannot be read Caused by the credentials" in shown
    assert "The tasks of the account are not affected." in shown
    assert "1 feed up" in shown


async def test_balances_that_cannot_be_read_for_the_same_reason_are_one_trouble_worth_a_look(
    open_account: Open,
) -> None:
    account = await open_account()
    await account.polled.sweep()
    account.acme.instead = lambda what, ids: answer({"error": {"code": "E_DENIED", "message": "no"}}, 403)
    await account.ask()
    (one,) = account.polled.polled.snapshot().accounts
    both = Snapshot((one, replace(one, name="beta", feeds=())))
    overview = Overview(both, Reloads(), "", account.polled.clock.now)
    assert (len(overview.troubles), overview.level) == (1, "warning")
