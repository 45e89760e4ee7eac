"""The credit of a key at DeerAPI and new-api: the limit less what was used."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import JSONResponse

from exporter.simulator import SORA, Life
from exporter.tasks import State
from tests.harness import NOW
from tests.vendors.conftest import OpenAccount


def left(account: Any) -> dict[Any, float]:
    found: dict[Any, float] = account.rig.values("videotask_account_balance", "unit")
    return found


@pytest.mark.parametrize("name", ["deerapi", "new_api"])
async def test_what_is_left_is_the_limit_less_what_was_used(open_account: OpenAccount, name: str) -> None:
    account = open_account(name)
    account.site.world.add(Life("task_1", name, SORA[1], NOW - 60, 1.0, 10.0, State.SUCCEEDED))
    await account.rig.read_balances()
    assert left(account) == {"usd": pytest.approx(999.75)}


async def test_a_wrong_key_leaves_no_balance_and_the_list_alone(open_account: OpenAccount) -> None:
    account = open_account("deerapi", api_key="sk-wrong-0123456789")
    await account.rig.read_balances()
    await account.rig.sweep()
    assert left(account) == {}
    assert account.polled.snapshot().balance is not None
    assert account.rig.errors["auth"] >= 1
    assert account.rig.all_up()


@pytest.mark.parametrize(
    ("body", "status", "trouble"),
    [
        ({"object": "billing_subscription", "hard_limit_usd": 100_000_000}, 200, False),  # no limit
        ({"detail": "Not Found"}, 404, False),  # a gateway without these calls tells no balance
        ({"error": {"message": "quota not enough", "type": "insufficient_quota"}}, 200, True),
        ({"object": "billing_subscription", "hard_limit_usd": None}, 200, True),
        ({"object": "billing_subscription", "hard_limit_usd": "soon"}, 200, True),
        ([], 200, True),
    ],
)
async def test_only_what_is_no_balance_though_there_should_be_one_is_a_trouble(
    open_account: OpenAccount, body: Any, status: int, trouble: bool
) -> None:
    account = open_account("deerapi")
    account.site.instead = lambda path: JSONResponse(body, status) if path.endswith("/subscription") else None
    await account.rig.read_balances()
    shown = account.polled.snapshot().balance
    assert shown is not None
    assert (left(account), bool(shown.trouble)) == ({}, trouble)
