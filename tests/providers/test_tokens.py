"""Tokens: asked for no more often than needed, since at some vendors a new one logs every other holder out."""

from __future__ import annotations

import asyncio

import pytest

from exporter.client.errors import AuthRefused, VendorFailed
from exporter.client.tokens import ObtainedToken
from exporter.tasks import Cause
from tests.harness import MemoryVault

LIFE = 86400.0


class Vendor:
    """Issues tokens and accepts the newest only; its clock is ours."""

    def __init__(self, life: float = LIFE) -> None:
        self.now = 1000.0
        self.issued = 0
        self.refused = 0
        self.life = life

    @property
    def good(self) -> str:
        return f"TOKEN-{self.issued}"

    async def obtain(self) -> tuple[str, float]:
        await asyncio.sleep(0)  # others get a turn, as they do while a request is under way
        self.issued += 1
        return self.good, self.now + self.life

    async def answer(self, token: str) -> str:
        await asyncio.sleep(0)
        if token != self.good:
            self.refused += 1
            raise AuthRefused("refused")
        return token

    def token(self, token_store: MemoryVault) -> ObtainedToken:
        return ObtainedToken("owner", self.obtain, token_store, wall_clock=lambda: self.now)


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def token(vendor: Vendor, token_store: MemoryVault) -> ObtainedToken:
    return vendor.token(token_store)


async def test_a_token_is_obtained_at_its_first_use_and_kept(
    vendor: Vendor, token: ObtainedToken, token_store: MemoryVault
) -> None:
    assert vendor.issued == 0
    assert await token.use(vendor.answer) == "TOKEN-1"
    assert await token.use(vendor.answer) == "TOKEN-1"
    assert token_store == {"owner": ("TOKEN-1", 1000 + LIFE)}


async def test_many_at_once_share_the_first_token(vendor: Vendor, token: ObtainedToken) -> None:
    assert set(await asyncio.gather(*(token.use(vendor.answer) for _ in range(20)))) == {"TOKEN-1"}
    assert vendor.issued == 1


async def test_many_refused_at_once_share_one_renewal(vendor: Vendor, token: ObtainedToken) -> None:
    await token.use(vendor.answer)
    vendor.issued += 1  # another holder has renewed
    assert set(await asyncio.gather(*(token.use(vendor.answer) for _ in range(20)))) == {"TOKEN-3"}


async def test_a_token_is_renewed_shortly_before_its_end(vendor: Vendor, token: ObtainedToken) -> None:
    await token.use(vendor.answer)
    vendor.now += LIFE - 300 - 1
    assert await token.use(vendor.answer) == "TOKEN-1"
    vendor.now += 1
    assert await token.use(vendor.answer) == "TOKEN-2"
    assert vendor.refused == 0


async def test_a_kept_token_serves_after_a_restart_until_its_end(vendor: Vendor, token_store: MemoryVault) -> None:
    await vendor.token(token_store).use(vendor.answer)
    vendor.now += LIFE / 2
    assert await vendor.token(token_store).use(vendor.answer) == "TOKEN-1"
    vendor.now += LIFE / 2
    assert await vendor.token(token_store).use(vendor.answer) == "TOKEN-2"


async def test_a_kept_token_is_renewed_shortly_before_its_end_too(vendor: Vendor, token_store: MemoryVault) -> None:
    await vendor.token(token_store).use(vendor.answer)
    token = vendor.token(token_store)
    vendor.now += LIFE - 300 - 1
    assert await token.use(vendor.answer) == "TOKEN-1"
    vendor.now += 1
    assert await token.use(vendor.answer) == "TOKEN-2"


async def test_a_kept_token_that_is_refused_is_renewed_at_once(vendor: Vendor, token_store: MemoryVault) -> None:
    token_store["owner"] = ("TOKEN-OLD", vendor.now + LIFE)
    assert await vendor.token(token_store).use(vendor.answer) == "TOKEN-1"


async def test_a_short_lived_token_is_renewed_at_half_of_its_life(token_store: MemoryVault) -> None:
    vendor = Vendor(life=120)
    token = vendor.token(token_store)
    for _ in range(60):
        await token.use(vendor.answer)
        vendor.now += 10
    assert vendor.issued == 10


async def test_a_token_that_ends_before_it_begins_serves_until_it_is_refused(token_store: MemoryVault) -> None:
    vendor = Vendor(life=-3600)  # our clock is ahead
    token = vendor.token(token_store)
    for _ in range(10):
        assert await token.use(vendor.answer) == "TOKEN-1"


async def test_holders_that_renew_in_turn_part_ever_more(vendor: Vendor, token: ObtainedToken) -> None:
    ours, told, causes = [], "", set()
    for _ in range(24 * 60):  # a day in which another holder takes the token back within a minute
        try:
            ours.append(await token.use(vendor.answer))
        except AuthRefused as refused:
            told = str(refused)
            causes.add(refused.cause)
        vendor.issued += 1
        vendor.now += 60
    assert "another holder renews it too" in told
    assert causes == {Cause.TOKEN_RENEWED_ELSEWHERE}
    assert len(ours) <= 10 + 24 * 6
    assert len(ours) > 100  # and it never gives up


async def test_a_token_that_lived_long_ends_the_fight(vendor: Vendor, token: ObtainedToken) -> None:
    await token.use(vendor.answer)
    for _ in range(3):
        vendor.now += 100
        vendor.issued += 1
        await token.use(vendor.answer)
    vendor.now += 600
    vendor.issued += 1
    await token.use(vendor.answer)
    vendor.now += 1
    vendor.issued += 1
    assert await token.use(vendor.answer) == vendor.good


async def test_a_refusal_of_the_new_token_too_ends_the_call(vendor: Vendor, token: ObtainedToken) -> None:
    async def never(token: str) -> str:
        raise AuthRefused(f"refused {token}")

    with pytest.raises(AuthRefused, match="TOKEN-2"):
        await token.use(never)
    assert vendor.issued == 2


async def test_a_token_that_cannot_be_obtained_is_asked_for_again(token_store: MemoryVault) -> None:
    up = False

    async def obtain() -> tuple[str, float]:
        if not up:
            raise VendorFailed("down")
        return "TOKEN", 9e9

    token = ObtainedToken("owner", obtain, token_store)
    with pytest.raises(VendorFailed):
        await token.current()
    assert token_store == {}
    up = True
    assert await token.current() == "TOKEN"


async def test_other_failures_of_a_call_do_not_cost_the_token(vendor: Vendor, token: ObtainedToken) -> None:
    async def fails(_: str) -> str:
        raise VendorFailed("down")

    with pytest.raises(VendorFailed):
        await token.use(fails)
    assert vendor.issued == 1
