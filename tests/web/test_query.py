"""What page and API may be asked for, and what is found."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from starlette.datastructures import QueryParams

from exporter.tasks import ENDS, ID_LENGTH, IN_FLIGHT, Observation, Reason, State
from exporter.web.query import Direction, QueryError, Sort, TaskPage, TaskQuery, find, parse
from tests.harness import Rig

from .serving import studio

STATES = "queued, running, blocked, unknown, succeeded, failed, cancelled, lost"
REASONS = "moderation, insufficient_balance, invalid_input, rate_limited, auth, provider_internal, timeout, unknown"


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", TaskQuery()),
        ("provider=&kind=&id=&state=&page=", TaskQuery()),  # as a form sends what was not filled in
        ("provider=studio&kind=video", TaskQuery(provider="studio", kind="video")),
        ("model=acme%2Fv1%3A2", TaskQuery(model="acme/v1:2")),
        ("state=running&state=failed", TaskQuery(state=(State.RUNNING, State.FAILED))),
        ("reason=auth&reason=timeout", TaskQuery(reason=(Reason.AUTH, Reason.TIMEOUT))),
        ("id=%3Cb%3E%22%20%E4%B8%AD%26", TaskQuery(id='<b>" 中&')),
        ("sort=progress&direction=asc", TaskQuery(sort=Sort.PROGRESS, direction=Direction.ASCENDING)),
        ("page=200&per_page=500", TaskQuery(page=200, per_page=500)),
    ],
)
def test_a_query_is_read_and_written_alike(text: str, query: TaskQuery) -> None:
    assert parse(QueryParams(text)) == query
    assert parse(QueryParams(query.encoded())) == query


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("provider=", "provider: empty; write a text, or leave it out"),
        ("id=", "id: empty; write a text, or leave it out"),
        ("state=", f"state: unknown; allowed: {STATES}"),
        ("page=", "page: not a whole number; write digits"),
    ],
)
def test_programs_are_told_of_what_they_left_empty(text: str, why: str) -> None:
    assert parse(QueryParams(text)) == TaskQuery()
    with pytest.raises(QueryError) as caught:
        parse(QueryParams(text), strict=True)
    assert str(caught.value) == why


def test_a_query_is_written_without_what_goes_without_saying() -> None:
    assert TaskQuery().encoded() == ""
    assert TaskQuery(state=(State.QUEUED, State.LOST), id="a&b", page=3).encoded(page=4) == (
        "state=queued&state=lost&id=a%26b&page=4"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "q=x",
            "unknown parameter; allowed: provider, kind, model, state, reason, id, sort, direction, page, per_page",
        ),
        ("state=done", f"state: unknown; allowed: {STATES}"),
        ("state=Running", f"state: unknown; allowed: {STATES}"),
        ("state=running&state=x&state=y", f"state: unknown; allowed: {STATES}"),
        ("reason=bad", f"reason: unknown; allowed: {REASONS}"),
        (
            "sort=name",
            "sort: unknown; allowed: changed, submitted, started, ended, duration, progress, provider, kind, model, "
            "id, state, reason",
        ),
        ("direction=up", "direction: unknown; allowed: asc, desc"),
        ("page=0", "page: too small; the least is 1"),
        ("page=-1", "page: too small; the least is 1"),
        ("page=100001", "page: too large; the most is 100000"),
        (
            "page=201&per_page=500",
            "page: too large; the most is 200 with per_page=500; filter, or turn the direction around",
        ),
        ("per_page=501", "per_page: too large; the most is 500"),
        ("id=" + "x" * (ID_LENGTH + 1), "id: too long; the most is 512 characters"),
        ("page=1&page=2", "page: given more than once; give it once"),
        ("page=x&direction=up", "direction: unknown; allowed: asc, desc; page: not a whole number; write digits"),
        *(
            (f"page={value}", "page: not a whole number; write digits")
            for value in ("x", "1.0", "1e3", "1_0", "%201", "+1", "٣", "9" * 5000, "0x1", "true", "[]", "%00")
        ),
    ],
)
def test_a_wrong_query_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(QueryParams(text))
    assert str(caught.value) == why


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """Where the first feed has one task in every state, the second two in flight."""
    async with studio() as rig:
        now = rig.clock.now
        await rig.show()
        await rig.show(feed=1)
        flight = [
            Observation("q", State.QUEUED, submitted=now - 50),
            Observation("r", State.RUNNING, progress=0.5, submitted=now - 40, started=now - 30),
            Observation("b", State.BLOCKED),
            Observation("Ünicode/'\"", State.UNKNOWN, progress=0.25),
        ]
        ends = [
            Observation("s", State.SUCCEEDED, submitted=now - 90, started=now - 60, ended=now - 20),
            Observation("f", State.FAILED, Reason.MODERATION, submitted=now - 80, started=now - 70, ended=now - 10),
            Observation("c", State.CANCELLED, ended=now - 5),
        ]
        await rig.show(*flight, *ends)
        rig.clock.now += 5
        await rig.show(Observation("v1", State.RUNNING), Observation("v2", State.QUEUED), feed=1)
        yield rig


def ids(rig: Rig, text: str) -> list[str]:
    return [row.task.id for row in page(rig, text).rows]


def page(rig: Rig, text: str) -> TaskPage:
    return find(rig.polled.snapshot(), parse(QueryParams(text)), rig.clock.now)


ALL = {"q", "r", "b", "Ünicode/'\"", "s", "f", "c", "v1", "v2"}


async def test_everything_in_flight_and_of_late_is_found(rig: Rig) -> None:
    found = page(rig, "")
    assert {row.task.id for row in found.rows} == ALL
    assert (found.total, found.known, found.pages) == (9, 9, 1)
    assert {row.task.state for row in found.rows} == {*IN_FLIGHT, *ENDS} - {State.LOST}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("provider=studio", ALL),
        ("kind=video", {"v1", "v2"}),
        ("state=running", {"r", "v1"}),
        ("state=running&state=queued&kind=lip_sync", {"q", "r"}),
        ("state=lost", set()),
        ("reason=moderation", {"f"}),
        ("reason=auth", set()),
        ("reason=moderation&state=succeeded", set()),
        ("id=V", {"v1", "v2"}),
        ("id=ÜNI", {"Ünicode/'\""}),
        ("id=%27%22", {"Ünicode/'\""}),
        ("id=.*", set()),
        ("id=%25", set()),
    ],
)
async def test_filters_keep_what_matches_all_of_them(rig: Rig, text: str, found: set[str]) -> None:
    shown = page(rig, text)
    assert {row.task.id for row in shown.rows} == found
    assert (shown.total, shown.known) == (len(found), 9)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sort=progress&state=running&state=unknown", ["r", "Ünicode/'\"", "v1"]),
        ("sort=progress&direction=asc&state=running&state=unknown", ["Ünicode/'\"", "r", "v1"]),
        ("sort=ended&kind=lip_sync&reason=moderation", ["f"]),
        ("sort=ended&state=succeeded&state=failed&state=cancelled&state=queued&kind=lip_sync", ["c", "f", "s", "q"]),
        ("sort=ended&direction=asc&state=succeeded&state=failed&state=queued&kind=lip_sync", ["s", "f", "q"]),
        ("sort=submitted&id=s", ["s"]),
        ("sort=submitted&direction=asc&state=queued&state=running&kind=lip_sync", ["q", "r"]),
        ("sort=started&state=running&state=succeeded&state=failed&kind=lip_sync", ["r", "s", "f"]),
        ("sort=duration&state=succeeded&state=failed&state=queued&kind=lip_sync", ["s", "f", "q"]),
        ("sort=id&kind=video", ["v2", "v1"]),
        ("sort=kind&direction=asc&state=running", ["r", "v1"]),
        ("sort=provider&direction=asc&kind=video", ["v1", "v2"]),
        ("sort=state&direction=asc&kind=video", ["v2", "v1"]),
        ("sort=reason&state=failed&state=queued&kind=lip_sync", ["f", "q"]),
        ("sort=changed&per_page=2", ["v2", "v1"]),
    ],
)
async def test_the_order_is_the_one_asked_for_and_what_is_unknown_comes_last(
    rig: Rig, text: str, found: list[str]
) -> None:
    assert ids(rig, text) == found


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("direction", Direction)
async def test_pages_neither_overlap_nor_leave_gaps(rig: Rig, sort: Sort, direction: Direction) -> None:
    pages = [page(rig, f"sort={sort}&direction={direction}&per_page=2&page={number}") for number in range(1, 7)]
    assert [len(one.rows) for one in pages] == [2, 2, 2, 2, 1, 0]
    assert {row.task.id for one in pages for row in one.rows} == ALL
    assert {(one.total, one.pages) for one in pages} == {(9, 5)}


async def test_a_page_far_behind_the_last_is_empty(rig: Rig) -> None:
    assert ids(rig, "page=200&per_page=500") == []


async def test_ends_leave_with_the_recent_window_and_what_is_in_flight_becomes_stale(rig: Rig) -> None:
    assert not any(row.stale for row in page(rig, "").rows)
    rig.clock.now += 3600
    left = page(rig, "")
    assert {row.task.id for row in left.rows} == ALL - {"s", "f", "c"}
    assert all(row.stale for row in left.rows)


async def test_an_end_is_no_staler_for_a_feed_that_is_down(rig: Rig) -> None:
    rig.clock.now += 600
    assert {row.task.id for row in page(rig, "").rows if not row.stale} == {"s", "f", "c"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("provider=nobody", "provider: not polled; allowed: studio"),
        ("kind=sora", "kind: not polled; allowed: lip_sync, video"),
    ],
)
async def test_what_is_not_polled_is_refused_with_what_is(rig: Rig, text: str, why: str) -> None:
    with pytest.raises(QueryError) as caught:
        page(rig, text)
    assert str(caught.value) == why


@pytest.fixture
async def models() -> AsyncIterator[Rig]:
    """A feed with more models than have series of their own, and one without models."""
    async with studio(model_limit=2) as rig:
        await rig.show(feed=1)
        shown = [Observation(f"{model}1", State.RUNNING, model=model) for model in ("a", "b/2", "c", "d")]
        await rig.show(*shown, Observation("none", State.RUNNING), Observation("a2", State.SUCCEEDED, model="a"))
        yield rig


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("model=b/2", ["b/21"]),
        ("model=c", ["c1"]),
        ("model=other", ["d1", "c1"]),
        ("model=A", []),
        ("model=c&state=queued", []),
        ("sort=model&direction=asc&state=running", ["a1", "b/21", "c1", "d1", "none"]),
        ("sort=model&state=running", ["d1", "c1", "b/21", "a1", "none"]),
    ],
)
async def test_tasks_are_found_and_sorted_by_model(models: Rig, text: str, found: list[str]) -> None:
    assert ids(models, text) == found


async def test_a_feed_is_found_by_its_names(rig: Rig) -> None:
    snapshot = rig.polled.snapshot()
    assert snapshot.feed("studio", "video") is snapshot.feeds[1]
    assert snapshot.feed("studio", "sora") is snapshot.feed("nobody", "video") is None
