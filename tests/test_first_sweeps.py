"""When feeds are swept first: thousands that begin at once would delay each other, and all else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from exporter.config.models import ProviderSettings
from tests.harness.raw import talking
from tests.harness.rig import Rig
from tests.harness.vendors import account, settings_of
from tests.harness.waiting import until


class SilentVendor:
    """Takes calls and never answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The accounts, in the order in which their lists were asked for."""
        self.url = ""
        self._ended = asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode().partition("?")[0]
        if path.endswith("list"):
            self.asked.append(path.split("/")[1])
        await self._ended.wait()

    def end(self) -> None:
        self._ended.set()


@pytest.fixture
async def vendor() -> AsyncIterator[SilentVendor]:
    made = SilentVendor()
    async with talking(made.take) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made
        made.end()


async def test_feeds_that_begin_later_are_swept_after_those_that_wait_already(vendor: SilentVendor) -> None:
    def accounts(word: str, count: int) -> list[ProviderSettings]:
        names = [f"{word}{number}" for number in range(count)]
        return [settings_of(account("chanjing", f"{vendor.url}/{name}", name=name)) for name in names]

    rig = Rig()
    first, second = accounts("first", 40), accounts("second", 10)
    await rig.collector.apply(first)
    await rig.collector.apply([*first, *second])
    await until("all are asked", lambda: len(vendor.asked) == 2 * 50)
    vendor.end()
    await rig.aclose()
    before = min(vendor.asked.index(one.name) for one in second)
    assert before >= 2 * 40 - 8, "all of the first, but for a few that the network lets pass one another"


async def test_feeds_that_begin_together_are_not_swept_together_for_ever(vendor: SilentVendor) -> None:
    vendor.end()  # it closes connections at once
    rig = Rig()
    accounts = [settings_of(account("chanjing", f"{vendor.url}/{n}", name=f"n{n}")) for n in range(40)]
    await rig.collector.apply(accounts)

    def seconds() -> list[float]:
        planned = (loop.status.next_sweep for loop in rig.loops)
        return [at - rig.clock.now for at in planned if at is not None]

    await until("every feed has its second sweep before it", lambda: len(seconds()) == 80)
    found = seconds()
    await rig.aclose()
    assert max(found) - min(found) > 1
