"""Lists and look-ups of declared vendors: paging, envelopes, unknown tasks, batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.client.client import Client
from exporter.client.errors import (
    AuthRefused,
    BalanceExhausted,
    CallError,
    ConnectionFailed,
    ContractBroken,
    Intercepted,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    TimedOut,
    VendorFailed,
)
from exporter.tasks import Observation, State
from exporter.vendors.api import START, Page, Position
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.vendor import vendor_of
from tests.declared.conftest import declared, shown
from tests.harness import Connection, MemoryVault, ScriptedVendor

if TYPE_CHECKING:
    from tests.declared.conftest import Declare

MOST = 10
"""Pages that a walk reads."""


async def walk(line: Connection) -> list[Page]:
    """All pages of a list, as a sweep reads them."""
    pages: list[Page] = []
    at = START
    while not pages or (not pages[-1].last and len(pages) < MOST):
        pages.append(await line.feed.list_page(at))
        at = Position(at.index + 1, at.rows + pages[-1].rows, pages[-1].cursor)
    return pages


def ids(pages: list[Page]) -> list[list[str]]:
    return [[one.id for one in page.observations] for page in pages]


def row(number: int | str, **more: Any) -> dict[str, Any]:
    return {"id": f"r-{number}", "status": "rendering", **more}


def queries(line: Connection) -> list[str]:
    return [request.url.query.decode() for request in line.vendor.requests]


# Paging.


async def test_pages_are_counted_from_the_declared_first_one(declare: Declare) -> None:
    for first in (0, 1):
        declaration = declared({"list": {"paging": {"type": "page", "first": first}}})
        line = declare(declaration, shown(row(1), row(2)), shown(row(3)), shown(), page_size=2)
        assert ids(await walk(line)) == [["r-1", "r-2"], ["r-3"], []]
        assert queries(line) == [f"page={first + index}&size=2" for index in range(3)]


async def test_an_offset_grows_by_the_rows_that_came(declare: Declare) -> None:
    list_ = {"query": {"offset": "{offset}", "limit": "{page_size}"}, "paging": {"type": "offset"}, "where": "status"}
    answers = shown(row(1), {"id": "other"}, None), shown(row(2)), shown()
    line = declare(declared({"list": list_}), *answers, page_size=50)
    assert ids(await walk(line)) == [["r-1"], ["r-2"], []]
    assert queries(line) == ["offset=0&limit=50", "offset=3&limit=50", "offset=4&limit=50"]


@pytest.mark.parametrize("end", [None, "", False, "SAME", "MISSING"])
async def test_a_cursor_is_followed_until_there_is_none_or_the_same_again(declare: Declare, end: Any) -> None:
    list_ = {
        "query": {"after": "{cursor}", "size": "{page_size}"},
        "paging": {"type": "cursor", "next": "data.next"},
    }
    last = shown(row(3), next="c2" if end == "SAME" else end)
    if end == "MISSING":
        del last["data"]["next"]
    line = declare(declared({"list": list_}), shown(row(1), next="c 1"), shown(row(2), next="c2"), last)
    assert ids(await walk(line)) == [["r-1"], ["r-2"], ["r-3"]]
    assert queries(line) == ["size=50", "after=c%201&size=50", "after=c2&size=50"]


async def test_a_cursor_may_be_a_number_and_keeps_its_type(declare: Declare) -> None:
    list_ = {
        "method": "POST",
        "query": None,
        "json": {"after": "{cursor}", "limit": "{page_size}"},
        "paging": {"type": "cursor", "next": "data.next"},
    }
    line = declare(declared({"list": list_}), shown(row(1), next=17), shown(row(2), next=0))
    assert ids(await walk(line)) == [["r-1"], ["r-2"]]
    assert [line.vendor.sent(index) for index in range(2)] == [{"limit": 50}, {"after": 17, "limit": 50}]


@pytest.mark.parametrize("odd", [True, 1.5, ["c"], {"key": "c"}, "c" * 5000])
async def test_a_cursor_that_cannot_be_sent_back_breaks_the_contract(declare: Declare, odd: Any) -> None:
    list_ = {"query": {"after": "{cursor}"}, "paging": {"type": "cursor", "next": "data.next"}}
    line = declare(declared({"list": list_}), shown(row(1), next=odd))
    with pytest.raises(ContractBroken, match="at the next page"):
        await line.feed.list_page()


async def test_cursors_that_go_in_a_circle_end_with_the_walk(declare: Declare) -> None:
    list_ = {"query": {"after": "{cursor}"}, "paging": {"type": "cursor", "next": "data.next"}}
    answers = [shown(row(index), next="ab"[index % 2]) for index in range(2)] * MOST
    assert len(await walk(declare(declared({"list": list_}), *answers))) == MOST


LINKED = {"query": {"size": "{page_size}"}, "paging": {"type": "link", "next": "data.next"}}


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        ("https://api.acme.example/base/v2/renders?page=2", "https://api.acme.example/base/v2/renders?page=2"),
        ("https://API.ACME.example/x?a=b,c&d=%20", "https://api.acme.example/x?a=b,c&d=%20"),
        ("https://api.acme.example:443/x", "https://api.acme.example/x"),
        ("http://api.acme.example/x", "https://api.acme.example/x"),
        ("http://api.acme.example:80/x", "https://api.acme.example/x"),
        ("//api.acme.example/x", "https://api.acme.example/x"),
        ("/base/v2/renders?page=2", "https://api.acme.example/base/v2/renders?page=2"),
        ("?page=2", "https://api.acme.example/base/v2/renders?page=2"),
        ("renders/more?page=2", "https://api.acme.example/base/v2/renders/more?page=2"),
        ("./renders?page=2#top", "https://api.acme.example/base/v2/renders?page=2"),
    ],
)
async def test_a_link_of_any_form_is_followed_at_the_same_host(declare: Declare, link: str, asked: str) -> None:
    line = declare(
        declared({"list": LINKED}, base_url="https://api.acme.example/base"),
        shown(row(1), next=link),
        shown(row(2), next=None),
    )
    assert ids(await walk(line)) == [["r-1"], ["r-2"]]
    assert [str(request.url) for request in line.vendor.requests] == [
        "https://api.acme.example/base/v2/renders?size=50",
        asked,
    ]
    assert line.vendor.requests[1].headers["Authorization"] == "Bearer SECRET-api_key"


async def test_a_relative_link_goes_on_from_the_page_that_held_it(declare: Declare) -> None:
    answers = shown(row(1), next="/v2/renders/pages/2?a=1"), shown(row(2), next="3"), shown(row(3), next="?last")
    line = declare(declared({"list": LINKED}), *answers, shown(row(4)))
    await walk(line)
    assert [request.url.raw_path.decode() for request in line.vendor.requests[1:]] == [
        "/v2/renders/pages/2?a=1",
        "/v2/renders/pages/3",
        "/v2/renders/pages/3?last",
    ]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v2/renders",
        "//evil.example/v2/renders",
        "https://api.acme.example.evil.example/",
        "https://api.acme.example@evil.example/",
        "https://user:pass@api.acme.example/v2/renders",
        "https://api.acme.example\\@evil.example/",
        "https://api.acme.example:8443/v2/renders",
        "http://api.acme.example:8080/v2/renders",
        "ftp://api.acme.example/v2/renders",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://[::1/",
        "https://api.acme.example:port/",
    ],
)
async def test_a_link_to_another_host_is_refused_and_nothing_sent_there(declare: Declare, link: str) -> None:
    line = declare(declared({"list": LINKED}), shown(row(1), next=link), shown(row(2)))
    with pytest.raises(ContractBroken, match="the link to the next page leads to another host") as refused:
        await walk(line)
    assert len(line.vendor.requests) == 1
    assert "evil" not in str(refused.value)
    assert "evil" not in refused.value.excerpt


@given(
    st.text(max_size=40)
    | st.from_regex(r"(https?:)?[/\\]{0,3}[a-z.@:\\/\[\]0-9%\t\n]{0,20}(api\.acme\.example)?[^ ]{0,9}")
)
async def test_whatever_the_link_the_credentials_go_to_the_declared_host(link: str) -> None:
    vendor = ScriptedVendor(shown(row(1), next=link), shown(row(2)))
    type_ = vendor_of("acme", Declaration.model_validate(declared({"list": LINKED})))
    settings = type_.settings.model_validate({"name": "a", "type": "acme", "api_key": "KEY"})
    client = Client(settings.base_url, rate=1e9, transport=httpx.MockTransport(vendor))
    (feed,) = type_.feeds(settings, client, MemoryVault())
    try:
        page = await feed.list_page()
        if not page.last:
            await feed.list_page(Position(1, 1, page.cursor))
    except (ContractBroken, ConnectionFailed):
        pass
    await client.aclose()
    for request in vendor.requests:
        assert (request.url.scheme, request.url.host, request.url.port) == ("https", "api.acme.example", None)
        assert request.url.userinfo == b""


async def test_without_paging_there_is_one_page(declare: Declare) -> None:
    list_ = {"query": {"since": "{since_s}"}, "paging": {"type": "none"}}
    pages = await walk(declare(declared({"list": list_}), shown(*map(row, range(50)))))
    assert [len(page.observations) for page in pages] == [50]


@pytest.mark.parametrize(
    ("last", "ends"),
    [
        ("!data.more", [{"more": False}, {"more": None}, {}, {"more": ""}, {"more": []}]),
        ("data.page == data.pages", [{"page": 2, "pages": 2}]),
        ("data.last", [{"last": True}, {"last": 1}, {"last": "yes"}]),
    ],
)
async def test_the_last_page_is_told_by_the_answer(declare: Declare, last: str, ends: list[dict[str, Any]]) -> None:
    more = {"more": True, "page": 1, "pages": 2}
    for end in ends:
        line = declare(declared({"list": {"last": last}}), shown(row(1), **more), shown(row(2), **end))
        assert ids(await walk(line)) == [["r-1"], ["r-2"]]


@pytest.mark.parametrize("total", [3, 3.0, "3"])
async def test_the_last_page_is_where_the_total_is_reached(declare: Declare, total: Any) -> None:
    declaration = declared({"list": {"total": "data.total"}})
    line = declare(declaration, shown(row(1), row(2), total=total), shown(row(3), total=total))
    assert ids(await walk(line)) == [["r-1", "r-2"], ["r-3"]]


@pytest.mark.parametrize("total", [None, 0, -3, True, "many", [], 10**400, 2.5])
async def test_a_total_that_cannot_be_one_ends_nothing(declare: Declare, total: Any) -> None:
    declaration = declared({"list": {"total": "data.total"}})
    line = declare(declaration, shown(row(1), row(2), total=total), shown(row(3), total=total), shown(total=total))
    assert ids(await walk(line)) == [["r-1", "r-2"], ["r-3"], []]


async def test_a_short_page_is_not_the_last_one(declare: Declare) -> None:
    """Vendors cut the size of pages below what was asked for."""
    line = declare(declared(), shown(row(1)), shown(row(2)), shown(), page_size=50)
    assert ids(await walk(line)) == [["r-1"], ["r-2"], []]


async def test_an_empty_page_is_the_last_one_whatever_else_is_said(declare: Declare) -> None:
    line = declare(declared({"list": {"last": "!data.more"}}), shown(more=True))
    assert ids(await walk(line)) == [[]]
    list_ = {"query": {"after": "{cursor}"}, "paging": {"type": "cursor", "next": "data.next"}}
    assert ids(await walk(declare(declared({"list": list_}), shown(next="c1")))) == [[]]


# What a page holds.


@pytest.mark.parametrize(
    ("rows", "body"),
    [
        ("data", {"data": [row(1), row(2)]}),
        ("@", [row(1), row(2)]),
        ("values(jobs)", {"jobs": {"a": row(1), "b": row(2)}}),
        ("jobs.*", {"jobs": {"a": row(1), "b": row(2)}}),
        ("groups[].jobs[]", {"groups": [{"jobs": [row(1)]}, {"jobs": []}, {"jobs": [row(2)]}]}),
        ("data.items || items", {"items": [row(1), row(2)]}),
    ],
)
async def test_rows_lie_where_the_expression_says(declare: Declare, rows: str, body: Any) -> None:
    page = await declare(declared({"list": {"rows": rows}}), body).feed.list_page()
    assert ids([page]) == [["r-1", "r-2"]]


@pytest.mark.parametrize("body", [{"data": {"renders": None}}, {"data": {"renders": []}}])
async def test_no_rows_are_an_empty_page(declare: Declare, body: Any) -> None:
    page = await declare(declared(), body).feed.list_page()
    assert (page.observations, page.last) == ([], True)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": []},
        {"data": "x"},
        {"data": {}},
        {"data": {"renders": {}}},
        {"data": {"renders": {"a": row(1)}}},
        {"data": {"renders": "none"}},
        {"data": {"renders": False}},
        [],
        [row(1)],
        "x",
        5,
        None,
        True,
    ],
)
async def test_an_answer_without_the_rows_breaks_the_contract(declare: Declare, body: Any) -> None:
    line = declare(declared(), body)
    with pytest.raises(ContractBroken, match="not of the documented shape at the rows"):
        await line.feed.list_page()
    assert line.errors == {("list", "contract"): 1}


async def test_an_expression_that_fails_on_the_answer_breaks_the_contract(declare: Declare) -> None:
    line = declare(declared({"list": {"rows": "values(data)"}}), {"data": [row(1)]})
    with pytest.raises(ContractBroken, match="at rows: JMESPathTypeError in the expression"):
        await line.feed.list_page()


async def test_rows_of_another_feed_are_counted_as_such_and_broken_ones_too(declare: Declare) -> None:
    rows = row(1, type="video"), row(2, type="image"), {"type": "video"}, None, row(3, type="video"), row(4)
    page = await declare(declared({"list": {"where": "type == 'video'"}}), shown(*rows)).feed.list_page()
    assert ids([page]) == [["r-1", "r-3"]]
    assert (page.malformed, page.others, page.rows) == (1, 3, 6)


async def test_a_row_that_the_condition_does_not_suit_is_not_taken_away_by_it(declare: Declare) -> None:
    rows = row(1, tags=["video"]), row(2, tags=["image"]), row(3, tags=None)
    page = await declare(declared({"list": {"where": "contains(tags, 'video')"}}), shown(*rows)).feed.list_page()
    assert ids([page]) == [["r-1", "r-3"]]


async def test_all_pages_of_a_sweep_have_the_same_window_and_the_next_sweep_one_of_its_own(declare: Declare) -> None:
    list_ = {"query": {"page": "{page}", "from": "{since_s}", "to": "{until_s}"}, "window": "7d"}
    line = declare(declared({"list": list_}), shown(row(1)))
    feed = line.feed
    feed.now = iter([1000000.0, 1000060.0]).__next__
    for at in (START, Position(1, 50), Position(2, 100), START):
        await feed.list_page(at)
    assert queries(line) == [
        "page=1&from=395200&to=1000000",
        "page=2&from=395200&to=1000000",
        "page=3&from=395200&to=1000000",
        "page=1&from=395260&to=1000060",
    ]


async def test_without_a_window_the_history_is_asked_for(declare: Declare) -> None:
    line = declare(declared({"list": {"query": {"page": "{page}", "from": "{since_s}"}}}), shown(), history="1h")
    line.feed.now = lambda: 1000000.0
    await line.feed.list_page()
    assert queries(line) == ["page=1&from=996400"]


async def test_a_list_is_asked_for_the_wanted_part_of_its_window_alone(declare: Declare) -> None:
    list_ = {"query": {"page": "{page}", "from": "{since_s}", "to": "{until_s}"}, "window": "7d"}
    line = declare(declared({"list": list_}), shown())
    line.feed.now = lambda: 1000000.0
    for wanted in ((900000.0, 950000.0), (0.0, 950000.0), (900000.0, 2000000.0)):
        line.feed.within = wanted
        await line.feed.list_page()
    assert queries(line) == [
        "page=1&from=900000&to=950000",
        "page=1&from=395200&to=950000",
        "page=1&from=900000&to=1000000",
    ]


async def test_headers_and_settings_of_the_provider_are_sent(declare: Declare) -> None:
    declaration = declared(
        {"list": {"path": "/{workspace}/renders", "headers": {"X-Page": "{page}", "X-Who": "{workspace}"}}},
        headers={"X-Acme-Version": "2026-01", "X-Who": "all", "X-Space": "w-{workspace}"},
        settings={"workspace": {"default": "main", "description": "the workspace"}, "region": {}},
    )
    line = declare(declaration, shown(), workspace="blue", region="eu")
    await line.feed.list_page()
    (request,) = line.vendor.requests
    assert request.url.path == "/blue/renders"
    assert {name: request.headers[name] for name in ("X-Acme-Version", "X-Who", "X-Space", "X-Page")} == {
        "X-Acme-Version": "2026-01",
        "X-Who": "blue",
        "X-Space": "w-blue",
        "X-Page": "1",
    }


async def test_the_tasks_in_flight_can_be_asked_for_alone(declare: Declare) -> None:
    line = declare(declared({"list": {"in_flight": {"status": "waiting,rendering"}}}), shown())
    assert line.feed.lists_in_flight
    await line.feed.list_page(START, in_flight=True)
    assert queries(line) == ["page=1&size=50&status=waiting%2Crendering"]
    assert not declare(declared(), shown()).feed.lists_in_flight


# Refusals.

ENVELOPE = {"answer": {"ok": "code == `0`", "code": "code", "text": "msg"}}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"code": 1}, ContractBroken),
        (200, {"code": "0"}, ContractBroken),
        (200, {}, ContractBroken),
        (200, {"code": 1, "msg": "invalid api key"}, AuthRefused),
        (200, {"code": "E_CREDIT"}, BalanceExhausted),
        (200, {"code": "E_BUSY"}, RateLimited),
        (200, {"code": 7, "msg": "E_CREDIT"}, BalanceExhausted),
        (200, {"code": "SensitiveThing"}, RequestInvalid),
        (200, {"code": 5000, "msg": "internal server error"}, VendorFailed),
        (429, {"code": "E_CREDIT"}, BalanceExhausted),
        (429, {"code": "E_OTHER"}, RateLimited),
        (401, {"code": 1}, AuthRefused),
        (403, {"code": "E_CREDIT"}, BalanceExhausted),
        (500, {"code": 1}, VendorFailed),
        (504, {"code": 1}, TimedOut),
        (400, {"code": 0}, RequestInvalid),
        (404, {"code": 1}, RequestInvalid),
        (500, b"<html>oops", VendorFailed),
        (502, b"", VendorFailed),
        (404, b"<html>not here", RequestInvalid),
        (200, b"<html>hello", Intercepted),
        (200, b"", ContractBroken),
        (200, b"{", ContractBroken),
        (200, b"[]", ContractBroken),
    ],
)
async def test_refused_lists(declare: Declare, status: int, body: Any, error: type[CallError]) -> None:
    line = declare(declared(**ENVELOPE), (status, body))
    with pytest.raises(CallError) as refused:
        await line.feed.list_page()
    assert type(refused.value) is error
    assert line.errors == {("list", error.error): 1}


@pytest.mark.parametrize("code", [42, 42.0, "42", " 42 "])
async def test_a_code_is_known_however_it_is_written(declare: Declare, code: Any) -> None:
    line = declare(declared({"reasons": {"insufficient_balance": ["42"]}}, **ENVELOPE), {"code": code})
    with pytest.raises(BalanceExhausted):
        await line.feed.list_page()


async def test_a_vendor_without_an_envelope_is_refused_by_its_status_and_usual_words(declare: Declare) -> None:
    for body in (
        {"error": {"code": "E_CREDIT"}},
        {"code": "E_CREDIT"},
        {"message": "no credits left"},
        {"error": "arrears"},
    ):
        with pytest.raises(BalanceExhausted):
            await declare(declared(), (400, body)).feed.list_page()


async def test_a_refusal_repeats_no_free_text_of_the_vendor(declare: Declare) -> None:
    line = declare(declared(**ENVELOPE), (400, {"code": "MY-PROMPT", "msg": "a harbour at dawn is not allowed"}))
    with pytest.raises(CallError) as refused:
        await line.feed.list_page()
    assert str(refused.value) == "the vendor refused the call (HTTP 400)"
    assert "harbour" not in refused.value.excerpt


async def test_the_account_of_a_refusal_that_is_money_does_not_wait_as_for_a_rate_limit(declare: Declare) -> None:
    line = declare(declared(**ENVELOPE), (429, {"code": "E_CREDIT"}), {"code": 0, **shown(row(1))})
    with pytest.raises(BalanceExhausted):
        await line.feed.list_page()
    assert ids([await line.feed.list_page()]) == [["r-1"]]


# Details.


async def test_a_detail_shows_the_task(declare: Declare) -> None:
    line = declare(declared(), {"data": row(1, percent=40)})
    assert await line.feed.look_up("r-1") == [Observation("r-1", State.RUNNING, progress=0.4)]
    assert line.vendor.requests[0].url.path == "/v2/renders/r-1"


@pytest.mark.parametrize(
    ("detail", "answer"),
    [
        ({}, (404, {})),
        ({}, (404, b"")),
        ({"missing": {"status": [404, 410]}}, (410, {})),
        ({"missing": {"code": ["E_NO_TASK"]}}, (200, {"code": "e_no_task"})),
        ({"missing": {"code": ["E_NO_TASK"]}}, (400, {"error": {"code": "E_NO_TASK"}})),
        ({"missing": {"code": ["404"]}}, (200, {"code": 404})),
        ({"missing": {"when": "!data"}}, (200, {"data": {}})),
        ({}, (200, {"data": None})),
        ({}, (200, {"data": []})),
        ({}, (200, {"data": {}})),
    ],
)
async def test_an_unknown_task_is_an_answer(declare: Declare, detail: dict[str, Any], answer: Any) -> None:
    line = declare(declared({"detail": detail}), answer)
    with pytest.raises(TaskNotFound):
        await line.feed.look_up("r-9")
    assert await line.feed.look_up_all(["r-9"]) == {}
    assert line.errors == {}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((404, b"<!DOCTYPE html><title>Not Found</title>"), RequestInvalid),
        ((404, b"  \n<html>"), RequestInvalid),
        ((400, {"code": "E_OTHER"}), RequestInvalid),
        ((200, {"code": "E_CREDIT"}), ContractBroken),  # no envelope is declared, and there is no task
        ((200, {}), ContractBroken),
        ((200, {"data": 5}), ContractBroken),
        ((200, {"data": {"status": "done"}}), ContractBroken),
        ((200, {"data": [{}]}), ContractBroken),
        ((200, {"data": row(2)}), ContractBroken),
        ((200, []), ContractBroken),
        ((500, {}), VendorFailed),
    ],
)
async def test_anything_else_is_a_failure_and_no_unknown_task(
    declare: Declare, answer: Any, error: type[CallError]
) -> None:
    line = declare(declared({"detail": {"missing": {"status": [404], "code": ["E_NO_TASK"]}}}), answer)
    with pytest.raises(CallError) as failed:
        await line.feed.look_up("r-1")
    assert type(failed.value) is error
    assert line.errors == {("detail", error.error): 1}


async def test_a_status_that_is_not_declared_is_no_unknown_task(declare: Declare) -> None:
    line = declare(declared({"detail": {"missing": {"code": ["E_NO_TASK"]}}}), (404, {"code": "E_OTHER"}))
    with pytest.raises(RequestInvalid):
        await line.feed.look_up("r-1")


async def test_an_id_that_stands_for_sub_tasks_shows_these(declare: Declare) -> None:
    declaration = declared({"detail": {"row": "data.parts || data"}})
    line = declare(declaration, {"data": {"id": "r-1", "parts": [row("1a"), row("1b"), {"id": None}]}})
    assert [one.id for one in await line.feed.look_up("r-1")] == ["r-1a", "r-1b"]
    line = declare(declaration, {"data": {"id": "r-1", "parts": [row(1), row("1b")]}})
    assert [one.id for one in await line.feed.look_up("r-1")] == ["r-1"]


BATCH = {"path": "/v2/renders", "query": {"ids": "{ids}"}, "batch": 3, "row": "data.renders"}


@pytest.mark.parametrize(("value", "query"), [("{ids}", "ids=r-1,r-2,r-3"), ("{ids[]}", "ids=r-1&ids=r-2&ids=r-3")])
async def test_a_batch_asks_for_several_at_once(declare: Declare, value: str, query: str) -> None:
    line = declare(declared({"detail": BATCH | {"query": {"ids": value}}}), shown(row(3), row(1), row(7), None))
    assert line.feed.batch == 3
    found = await line.feed.look_up_all(["r-1", "r-2", "r-3"])
    assert {task_id: [one.id for one in rows] for task_id, rows in found.items()} == {"r-1": ["r-1"], "r-3": ["r-3"]}
    assert queries(line) == [query]


async def test_a_batch_in_a_body(declare: Declare) -> None:
    detail = BATCH | {"method": "POST", "query": {}, "json": {"ids": "{ids[]}", "text": "{ids}"}}
    line = declare(declared({"detail": detail}), shown(row(1)))
    await line.feed.look_up_all(["r-1", "r-2"])
    assert line.vendor.sent() == {"ids": ["r-1", "r-2"], "text": "r-1,r-2"}


async def test_a_batch_that_shows_none_knows_none(declare: Declare) -> None:
    nothing: tuple[Any, ...] = ([], None)
    for rows in nothing:
        line = declare(declared({"detail": BATCH}), {"data": {"renders": rows}})
        assert await line.feed.look_up_all(["r-1", "r-2"]) == {}


async def test_one_of_a_batch_can_be_asked_for_alone(declare: Declare) -> None:
    assert [one.id for one in await declare(declared({"detail": BATCH}), shown(row(1))).feed.look_up("r-1")] == ["r-1"]
    answers: tuple[Any, ...] = (shown(row(2)), shown(), (404, {}))
    for answer in answers:
        with pytest.raises(TaskNotFound):
            await declare(declared({"detail": BATCH}), answer).feed.look_up("r-1")


async def test_a_batch_that_is_refused_as_unknown_says_so_of_no_single_id(declare: Declare) -> None:
    line = declare(declared({"detail": BATCH}), (404, {}))
    with pytest.raises(TaskNotFound):
        await line.feed.look_up_all(["r-1", "r-2"])


async def test_a_batch_of_nothing_but_broken_rows_breaks_the_contract(declare: Declare) -> None:
    with pytest.raises(ContractBroken):
        await declare(declared({"detail": BATCH}), shown({}, None)).feed.look_up_all(["r-1", "r-2"])


# What a feed is.


async def test_a_feed_is_as_declared(declare: Declare) -> None:
    feed = declare(declared({"clock": "observed", "title": "Renders", "document": "https://acme.example/docs"})).feed
    assert (feed.kind, feed.clock, feed.document.title, feed.document.url) == (
        "render",
        "observed",
        "Renders",
        "https://acme.example/docs",
    )
    assert (feed.lists, feed.looks_up, feed.is_sorted, feed.batch, feed.fills) == (True, True, True, 1, frozenset())
    assert declare(declared({"list": {"order": "unknown"}})).feed.is_sorted is False
    without = declare(declared({"detail": None})).feed
    assert (without.looks_up, without.is_sorted, await without.look_up_all(["a"])) == (False, False, {})
    only = declare(declared({"list": None})).feed
    assert (only.lists, only.fills) == (False, frozenset())
    with pytest.raises(ContractBroken, match="this feed has no list"):
        await only.list_page()


async def test_ids_in_a_callback_are_found_by_the_declared_key(declare: Declare) -> None:
    feed = declare(declared({"fields": {"id": "task_id"}})).feed
    assert feed.called_back({"task_id": "a"}) == ["a"]
    assert feed.called_back({"data": [{"task_id": 5}, {"id": "b"}, None]}) == ["5"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "renders", "id", "status", "code", "error", "next"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
EVERYTHING = declared(
    {
        "list": {
            "where": "status != 'x'",
            "query": {"a": "{cursor}"},
            "paging": {"type": "cursor", "next": "data.next || next"},
            "last": "data.code.next",
            "total": "data.status",
        },
        "detail": {"row": "data.renders || data", "missing": {"status": [404], "code": ["0"], "when": "!data.id.code"}},
    },
    answer={"ok": "code != `1`", "code": "code", "text": "error"},
)


@given(JSON, st.sampled_from([200, 400, 404, 500]))
async def test_any_answer_is_read_or_one_counted_error(body: Any, status: int) -> None:
    vendor = ScriptedVendor((status, json.dumps(body).encode()))
    type_ = vendor_of("acme", Declaration.model_validate(EVERYTHING))
    settings = type_.settings.model_validate({"name": "a", "type": "acme", "api_key": "KEY"})
    client = Client(settings.base_url, rate=1e9, transport=httpx.MockTransport(vendor))
    (feed,) = type_.feeds(settings, client, MemoryVault())
    errors = 0
    for call in (feed.list_page(), feed.look_up("a"), feed.look_up_all(["a"])):
        client.limit._paused_until = 0.0  # a refusal that names a rate limit would keep the next call back
        try:
            await call
        except CallError:
            errors += 1
        except TaskNotFound:
            pass
    await client.aclose()
    assert sum(count for key, count in client.counts.items() if key[0] == "api_errors_total") == errors
