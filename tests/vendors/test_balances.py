"""Every balance that a fake reports, as the exporter reads it: of the right place, time and unit."""

from __future__ import annotations

import pytest

from exporter.simulator import Life, fake_of, names
from exporter.tasks import State
from tests.harness import NOW
from tests.vendors.conftest import OpenAccount

LEFT = {
    "chanjing": (999_993, "seconds"),  # of a million, less one clip
    "d_id": (412, "credits"),
    "deerapi": (999.75, "usd"),
    "fal": (24.5, "usd"),
    "heygen": (118.4, "usd"),
    "huawei_metastudio": (5200.05, "cny"),
    "kling": (820, "units"),
    "kling_legacy": (820, "units"),
    "luma": (12.505, "usd"),
    "new_api": (999.75, "usd"),
    "pixverse": (3120, "credits"),
    "runway": (12_345, "credits"),
    "vidu": (1200, "credits"),
}


def test_each_fake_with_a_balance_is_asked_here() -> None:
    told = {
        name
        for name in names()
        for handler in vars(fake_of(name)).values()
        if "account" in {place[0] for place in getattr(handler, "answers_at", ())}
    }
    assert told | {"new_api"} == LEFT.keys()  # whose fake is DeerAPI's


@pytest.mark.parametrize("name", LEFT)
async def test_what_is_left_in_an_account(open_account: OpenAccount, name: str) -> None:
    account = open_account(name)
    for profile in fake_of(name).profiles[-1:]:
        account.site.world.add(Life("1", *profile.feed, NOW - 60, 1.0, 9.0, State.SUCCEEDED, output_seconds=7.0))
    await account.polled.account.ask()
    balance = account.polled.account.snapshot()
    assert balance is not None
    amount, unit = LEFT[name]
    assert balance.amount == pytest.approx(amount)
    assert (balance.unit, balance.trouble) == (unit, "")
