"""Turns: who gets the next one, and who is sent away."""

from __future__ import annotations

import asyncio

import pytest

from exporter.web.access.turns import Busy, Turns


class Asked:
    """Those who ask for turns, and the order in which they got them."""

    def __init__(self, most: int) -> None:
        self.turns = Turns(most)
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.goes_on = asyncio.Event()

    async def ask(self, name: str, *groups: str) -> None:
        async def wait() -> None:
            async with self.turns.one(*groups):
                self.order.append(name)
                await self.goes_on.wait()

        self.tasks[name] = asyncio.create_task(wait())
        await asyncio.sleep(0)

    async def end(self) -> list[object]:
        self.goes_on.set()
        return await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def test_turns_go_around_among_groups_and_between_first_and_last_within_one() -> None:
    asked = Asked(100)
    for n in range(4):
        await asked.ask(f"crowd{n}", "a", "x")
    await asked.ask("neighbour", "a", "y")
    await asked.ask("other", "b", "x")
    assert await asked.end() == [None] * 6
    assert asked.order == ["crowd0", "other", "neighbour", "crowd3", "crowd1", "crowd2"]


async def test_one_in_the_middle_of_the_largest_group_is_sent_away() -> None:
    asked = Asked(4)
    for n in range(5):
        await asked.ask(f"crowd{n}", "a")
    await asked.ask("other", "b")
    await asked.ask("late", "a")
    found = dict(zip(asked.tasks, await asked.end(), strict=True))
    assert [name for name, end in found.items() if isinstance(end, Busy)] == ["crowd3", "crowd4"]
    assert asked.order == ["crowd0", "other", "late", "crowd1", "crowd2"]


@pytest.mark.parametrize("moment", ["while it waits", "when its turn comes"])
async def test_one_who_leaves_holds_up_nobody(moment: str) -> None:
    asked = Asked(3)
    for name in ("first", "leaver", "last"):
        await asked.ask(name, "a")
    if moment == "while it waits":
        asked.tasks["leaver"].cancel()
    asked.goes_on.set()
    if moment == "when its turn comes":
        asyncio.get_running_loop().call_soon(asked.tasks["leaver"].cancel)
    await asyncio.gather(*asked.tasks.values(), return_exceptions=True)
    assert asked.order[-1] == "last"
    async with asyncio.timeout(10), asked.turns.one("a"):
        pass
