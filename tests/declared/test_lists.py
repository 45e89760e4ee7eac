"""Lists in no known order, lists without details, and cursors that end: what sweeps make of them."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from tests.declared.conftest import declared
from tests.declared.polled import Acme, Polled, answer
from tests.harness import NOW, STEP

UNSORTED = declared({"list": {"order": "unknown"}})
ALONE = declared({"list": {"last": "!data.next"}, "detail": None})
BY_CURSOR = declared(
    {
        "list": {
            "query": {"after": "{cursor}", "size": "{page_size}"},
            "paging": {"type": "cursor", "next": "data.next"},
        }
    }
)


def task(number: int | str, status: str = "rendering", submitted: float = NOW - 60, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"id": f"r-{number}", "status": status, "created_at": submitted, **more}
    if status in ("done", "failed", "stopped"):
        made.setdefault("ended_at", submitted + 30)
    return made


@pytest.fixture
def acme() -> Acme:
    return Acme()


def pages(acme: Acme) -> int:
    """List pages that were asked for since the last time."""
    count = sum(what == "list" for what, _ in acme.calls)
    acme.calls.clear()
    return count


# In no known order.


async def test_a_list_in_no_known_order_is_read_to_its_end_at_each_sweep(acme: Acme) -> None:
    acme.rows = [task(number) for number in range(100)]
    polled = await Polled.open(UNSORTED, acme, page_size=20)
    for _ in range(5):
        random.Random(7).shuffle(acme.rows)
        await polled.sweep()
        assert pages(acme) == 6  # the last one is empty
    assert len(polled.in_flight) == 100
    sorted_ = await Polled.open(declared(), acme, page_size=20)
    await sorted_.sweep(2)
    pages(acme)
    await sorted_.sweep()
    assert pages(acme) == 1


async def test_what_is_new_or_ends_anywhere_in_such_a_list_is_seen_at_once(acme: Acme) -> None:
    acme.rows = [task(number) for number in range(60)]
    polled = await Polled.open(UNSORTED, acme, page_size=20)
    await polled.sweep(2)
    acme.rows.append(task("new", submitted=NOW + 20))
    acme.rows[50] = task(50, "done")
    acme.rows.append(task("short", "failed", NOW + 20, ended_at=NOW + 30, error={"code": "E_UNSAFE"}))
    await polled.sweep()
    assert "r-new" in polled.in_flight
    assert (polled.ends, polled.reasons) == ({"succeeded": 1, "failed": 1}, {"moderation": 1})
    assert acme.asked == {}
    assert polled.counted("history_gaps_total") == {}


async def test_ends_before_the_history_are_not_counted_wherever_they_stand(acme: Acme) -> None:
    acme.rows = [task(number, "done", NOW - 200_000) for number in range(30)]
    acme.rows.insert(3, task("a", "done"))
    acme.rows.append(task("b", "done"))
    polled = await Polled.open(UNSORTED, acme, page_size=10)
    await polled.sweep(3)
    assert polled.ends == {"succeeded": 2}


async def test_a_list_sorted_by_the_oldest_first_is_read_like_one_in_no_known_order(acme: Acme) -> None:
    acme.rows = [task(number, submitted=NOW - 1000 + number) for number in range(50)]
    polled = await Polled.open(UNSORTED, acme, page_size=10)
    await polled.sweep(2)
    acme.rows += [task("new", submitted=NOW + 20)]
    await polled.sweep()
    assert "r-new" in polled.in_flight


async def test_such_a_list_ends_before_the_history_where_all_rows_came_newest_first(acme: Acme) -> None:
    acme.rows = [task(number, submitted=NOW - number) for number in range(25)]
    acme.rows += [task(f"old-{number}", "done", NOW - 100_000 - number) for number in range(2000)]
    polled = await Polled.open(UNSORTED, acme, page_size=10)
    await polled.sweep()
    assert pages(acme) == 4  # the third page has tasks of the history, the fourth has none
    acme.rows[:0] = [task("new", "failed", NOW + 20)]
    await polled.sweep(5)
    assert pages(acme) == 5 * 4
    assert (len(polled.in_flight), polled.ends) == (25, {"failed": 1})
    assert polled.counted("history_gaps_total") == {}


@pytest.mark.parametrize(
    "above",
    [
        [task(1), task(2, submitted=NOW - 50)],
        [task(1), task(2, submitted=None)],  # type: ignore[arg-type]
    ],
    ids=["one stands below an older one", "one without a date"],
)
async def test_such_a_list_goes_on_where_one_row_has_not_come_newest_first(
    acme: Acme, above: list[dict[str, Any]]
) -> None:
    acme.rows = above + [task(f"old-{number}", "done", NOW - 100_000 - number) for number in range(48)]
    acme.rows.append(task("new", submitted=NOW - 10))
    polled = await Polled.open(UNSORTED, acme, page_size=10)
    await polled.sweep()
    assert "r-new" in polled.in_flight


async def test_a_page_of_one_date_does_not_end_such_a_list(acme: Acme) -> None:
    acme.rows = [task(f"old-{number}", "done", NOW - 100_000) for number in range(30)] + [task("new")]
    polled = await Polled.open(UNSORTED, acme, page_size=10)
    await polled.sweep()
    assert "r-new" in polled.in_flight


async def test_tasks_in_flight_below_the_history_are_looked_up_one_by_one(acme: Acme) -> None:
    acme.rows = [task("a", submitted=NOW - 50), task("b", submitted=NOW - 60)]
    polled = await Polled.open(UNSORTED, acme, page_size=2)
    await polled.sweep()
    acme.rows = [task(f"old-{number}", "done", NOW - 100_000 - number) for number in range(4)]
    acme.rows += [task("a", "done", NOW - 50), task("b", submitted=NOW - 60)]
    await polled.sweep()
    assert set(polled.in_flight) == {"r-b"}
    assert polled.ends == {"succeeded": 1}
    assert acme.asked == {"r-a": 1, "r-b": 1}


async def test_such_a_list_asks_for_its_window_at_each_sweep(acme: Acme) -> None:
    list_ = {"order": "unknown", "query": {"page": "{page}", "from": "{since_s}", "size": "{page_size}"}}
    asked: list[int] = []
    polled = await Polled.open(declared({"list": list_ | {"window": "2h"}}), acme)
    inner = polled.client._transport

    class Noting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(int(parse_qs(request.url.query.decode())["from"][0]))
            return await inner.handle_async_request(request)

    polled.client._transport = Noting()
    await polled.sweep(3)
    assert asked == [int(NOW + STEP * times - 7200) for times in (1, 2, 3)]


# Without a detail.


async def test_a_task_that_is_gone_from_a_whole_list_is_lost_at_the_second_miss(acme: Acme) -> None:
    acme.rows = [task(number) for number in range(30)]
    polled = await Polled.open(ALONE, acme, page_size=10)
    await polled.sweep(2)
    del acme.rows[5]
    await polled.sweep()
    assert (polled.ends, polled.in_flight["r-5"].missing) == ({}, 1)
    await polled.sweep()
    assert polled.ends == {"lost": 1}
    assert polled.in_flight.keys() == {row["id"] for row in acme.rows}
    assert acme.asked == {}


async def test_a_task_that_comes_back_after_one_miss_is_not_lost(acme: Acme) -> None:
    acme.rows = [task(number) for number in range(3)]
    polled = await Polled.open(ALONE, acme)
    await polled.sweep(2)
    for _ in range(3):
        gone = acme.rows.pop()
        await polled.sweep()
        acme.rows.append(gone)
        await polled.sweep()
    assert polled.ends == {}
    acme.rows = [row | task(row["id"][2:], "done") for row in acme.rows]
    await polled.sweep()
    assert polled.ends == {"succeeded": 3}


async def test_a_list_that_is_blank_for_a_while_loses_none(acme: Acme) -> None:
    acme.rows = [task(number) for number in range(3)]
    polled = await Polled.open(ALONE, acme)
    await polled.sweep(2)
    kept, acme.rows = acme.rows, []
    await polled.sweep(5)
    assert (polled.ends, len(polled.in_flight)) == ({}, 3)
    acme.rows = kept
    await polled.sweep()
    assert [one.missing for one in polled.in_flight.values()] == [0, 0, 0]


async def test_a_list_that_is_cut_off_loses_none(acme: Acme) -> None:
    acme.rows = [task(number) for number in range(150)]
    polled = await Polled.open(ALONE, acme, page_size=1)  # a sweep reads at most a hundred pages
    await polled.sweep(2)
    assert len(polled.in_flight) == 100
    acme.rows = [task(f"x{number}", submitted=NOW + 30) for number in range(50)] + acme.rows
    await polled.sweep(5)
    assert polled.ends == {}
    assert len(polled.in_flight) >= 150


@pytest.mark.parametrize("broken", [{"id": None}, "row", None])
async def test_a_list_with_a_row_that_is_no_task_loses_none(acme: Acme, broken: Any) -> None:
    acme.rows = [task(number) for number in range(3)]
    polled = await Polled.open(ALONE, acme)
    await polled.sweep(2)
    acme.rows = [acme.rows[0], broken]
    await polled.sweep(5)
    assert (polled.ends, len(polled.in_flight)) == ({}, 3)
    assert polled.counted("unmapped_values_total") == {"task": 5}


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_a_list_of_which_a_page_fails_loses_none(acme: Acme, page: int) -> None:
    acme.rows = [task(number) for number in range(30)]
    polled = await Polled.open(ALONE, acme, page_size=10)
    await polled.sweep(2)
    acme.rows = acme.rows[2:]
    acme.calls.clear()
    acme.instead = lambda what, ids: answer({}, 500) if len(acme.calls) % page == 0 else None
    await polled.sweep(6)
    assert polled.ends == {}
    acme.instead = lambda what, ids: None
    await polled.sweep(2)
    assert polled.ends == {"lost": 2}


async def test_an_end_without_a_detail_is_counted_with_what_the_list_tells(acme: Acme) -> None:
    acme.rows = [task(number) for number in range(3)]
    polled = await Polled.open(ALONE, acme)
    await polled.sweep(2)
    acme.rows = [task(0, "done"), task(1, "failed", error={"code": "E_CREDIT"}), task(2, "stopped")]
    await polled.sweep(3)
    assert polled.ends == {"succeeded": 1, "failed": 1, "cancelled": 1}
    assert polled.reasons == {"insufficient_balance": 1}
    assert polled.in_flight == {}


async def test_a_list_without_paging_that_holds_the_tasks_in_flight_alone(acme: Acme) -> None:
    """Whatever is gone from it has ended, and nobody can say how."""
    declaration = declared({"list": {"query": {}, "paging": {"type": "none"}}, "detail": None})
    acme.rows = [task(number) for number in range(5)]
    polled = await Polled.open(declaration, acme)
    await polled.sweep(2)
    acme.rows = acme.rows[2:]
    await polled.sweep(2)
    assert polled.ends == {"lost": 2}


# Cursors that end.


class Expiring(Acme):
    """Cursors hold for the sweep in which they were given, and are refused afterwards."""

    def __init__(self, refusal: httpx.Response | None = None) -> None:
        super().__init__()
        self.turn = 0
        self.refusal = refusal or answer({"message": "cursor expired"}, 400)
        self.refused = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        cursor = request.url.params.get("after", "")
        if cursor and not cursor.endswith(f"-{self.turn}"):
            self.refused += 1
            return answer({"message": "cursor expired"}, 400)
        response = super().__call__(request)
        content = b"".join(response.stream)  # type: ignore[arg-type]
        return answer(content.replace(b'-"', b'-%d"' % self.turn))


async def sweeps(polled: Polled, acme: Expiring, times: int) -> None:
    for _ in range(times):
        acme.turn += 1
        await polled.sweep()


async def test_pages_by_cursor_are_read_to_known_ground() -> None:
    acme = Expiring()
    acme.rows = [task(number, "done", NOW - 100 - number) for number in range(100)]
    polled = await Polled.open(BY_CURSOR, acme, page_size=10)
    await sweeps(polled, acme, 1)
    assert polled.ends == {"succeeded": 100}
    acme.rows = [task(f"x{number}", submitted=NOW + 20 - number) for number in range(25)] + acme.rows
    acme.calls.clear()
    await sweeps(polled, acme, 1)
    assert pages(acme) == 3
    assert len(polled.in_flight) == 25


async def test_a_late_pass_whose_cursor_has_ended_begins_at_the_top_and_the_feed_stays_up() -> None:
    acme = Expiring()
    acme.rows = [task(number, "done", NOW - 100 - number) for number in range(400)]
    # A slice of a late pass is two pages: it takes several, and keeps its place by a cursor.
    polled = await Polled.open(BY_CURSOR, acme, page_size=10, rate_limit="100/s", poll_interval="40ms")
    await sweeps(polled, acme, 60)
    assert acme.refused > 0
    assert polled.loop.status.up
    assert polled.ends == {"succeeded": 400}
    acme.rows.insert(15, task("late", "done", NOW - 114))
    await sweeps(polled, acme, 60)
    assert polled.ends == {"succeeded": 401}
    assert polled.loop.status.up


async def test_a_late_pass_by_cursor_finds_rows_as_deep_as_cursors_hold() -> None:
    acme = Acme()
    acme.rows = [task(number, "done", NOW - 100 - number) for number in range(150)]
    polled = await Polled.open(BY_CURSOR, acme, page_size=10, rate_limit="100/s", poll_interval="40ms")
    await polled.sweep(2)
    acme.rows.insert(100, task("late", "done", NOW - 200))
    await polled.sweep(120)
    assert polled.ends == {"succeeded": 151}
