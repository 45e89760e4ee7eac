"""The JSON API over real HTTP: what it says, and how it refuses."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
from starlette.responses import Response

from exporter.simulator import Credentials
from exporter.tasks import ENDS, IN_FLIGHT, Observation, Reason, State
from tests.harness import Rig, Site

from .serving import served, studio

ODD_IDS = (
    "a/b",
    "../../etc/passwd",
    "x?y=1#z",
    "100%",
    "%2F",
    "a%2Fb",
    "<script>alert('x')</script>",
    "\"quotes\" 'and' more",
    "中文 ü 🎬",
    "a b+c&d;e",
    "..a",
    "x" * 512,
    "/",
    "a/../b",
    "...",
)


async def said(http: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    answer = await http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.json()


async def feeds(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    (provider,) = (await said(http, "/api/v1/providers"))["providers"]
    assert (provider["name"], provider["type"]) == ("studio", "chanjing")
    listed: list[dict[str, Any]] = provider["feeds"]
    assert [feed["kind"] for feed in listed] == ["lip_sync", "video"]
    return listed


# Providers


async def test_before_the_first_sweep_nothing_is_said_of_tasks(http: httpx.AsyncClient) -> None:
    for feed in await feeds(http):
        assert feed == {
            "kind": feed["kind"],
            "clock": "observed",
            "lists": True,
            "up": None,
            "last_successful_poll": None,
            "next_sweep": None,
            "poll_interval": 10.0,
            "in_flight": None,
            "recent": None,
            "progress": None,
            "outage": None,
            "failed_calls": [],
            "watched": {"ids": 0, "troubles": []},
            "unmapped": {"words": [], "settings": [], "hidden": 0},
        }


async def test_a_feed_tells_its_tasks_by_state_and_reason(rig: Rig, http: httpx.AsyncClient) -> None:
    now = rig.clock.now
    await rig.show()
    await rig.show(
        Observation("a", State.QUEUED),
        Observation("b", State.QUEUED),
        Observation("c", State.RUNNING),
        Observation("d", State.SUCCEEDED, ended=now),
        Observation("e", State.FAILED, Reason.MODERATION, ended=now),
    )
    feed, other = await feeds(http)
    assert feed["up"] is True
    assert feed["last_successful_poll"] == now
    assert feed["in_flight"] == dict.fromkeys(IN_FLIGHT, 0) | {"queued": 2, "running": 1}
    assert feed["recent"] == {
        "window": 3600.0,
        "ended": dict.fromkeys(ENDS, 0) | {"succeeded": 1, "failed": 1},
        "failures": dict.fromkeys(Reason, 0) | {"moderation": 1},
    }
    assert other["in_flight"] is None


async def test_what_is_in_flight_is_withdrawn_when_it_is_old_and_ends_are_not(
    rig: Rig, http: httpx.AsyncClient
) -> None:
    await rig.show(Observation("a", State.QUEUED), Observation("b", State.SUCCEEDED, ended=rig.clock.now))
    rig.clock.now += 31  # more than three intervals
    feed, _ = await feeds(http)
    assert feed["in_flight"] is None
    assert feed["recent"]["ended"]["succeeded"] == 1


async def test_an_outage_is_told_with_its_calls_and_what_to_do(rig: Rig, http: httpx.AsyncClient) -> None:
    began = rig.clock.now
    await rig.sweep(after=0)
    rig.clock.now += 10
    await rig.sweep(after=0)
    for feed in await feeds(http):
        assert feed["up"] is False
        assert feed["outage"].pop("advice").startswith("The machine is there, but nothing answers at that port.")
        words = feed["outage"].pop("words")
        assert words.startswith("cannot connect")
        assert feed["outage"] == {"error": "connection", "since": began}
        call = {"endpoint": "list", "status": None, "error": "connection", "words": words, "excerpt": ""}
        assert feed["failed_calls"] == [call | {"at": began + 10}, call | {"at": began}]


async def test_failed_calls_outlive_the_outage(site: Site) -> None:
    async with studio(site.url) as rig, served(rig.app()) as http:
        site.fake.faults["chanjing/video"] = Response("<html>", 502)
        await rig.sweep(after=0)
        site.be_well()
        await rig.sweep(after=0)
        good, feed = await feeds(http)
        assert (feed["up"], feed["outage"], good["failed_calls"]) == (True, None, [])
        (call,) = feed["failed_calls"]
        assert (call["endpoint"], call["status"], call["error"]) == ("list", 502, "provider_internal")
        text = (await http.get("/api/v1/providers")).text
        assert Credentials().chanjing_access_token not in text


# Tasks


async def test_a_task_is_told_with_its_times_and_whose_they_are(rig: Rig, http: httpx.AsyncClient) -> None:
    now = rig.clock.now
    await rig.show()
    rig.clock.now += 5
    await rig.show(
        Observation(
            "t",
            State.FAILED,
            Reason.INVALID_INPUT,
            submitted=now - 100,
            started=now - 70.5,
            ended=now - 10,
            output_seconds=2.5,
            said='no face in "the video"',
            model="sora-2",
        ),
        Observation("seen", State.QUEUED),
    )
    listed = (await said(http, "/api/v1/tasks?sort=id"))["tasks"]
    expected = {
        "provider": "studio",
        "kind": "lip_sync",
        "id": "t",
        "model": "sora-2",
        "state": "failed",
        "stale": False,
        "reason": "invalid_input",
        "said": 'no face in "the video"',
        "progress": None,
        "submitted": {"at": now - 100, "clock": "provider"},
        "started": {"at": now - 70.5, "clock": "provider"},
        "ended": {"at": now - 10, "clock": "provider"},
        "first_seen": now + 5,
        "changed": now + 5,
        "durations": {"queue": 29.5, "run": 60.5, "total": 90.0},
        "output_seconds": 2.5,
    }
    assert listed[0] == expected
    assert listed[1]["submitted"] == {"at": now + 5, "clock": "observed"}
    assert listed[1]["durations"] == {"queue": None, "run": None, "total": None}
    story = await said(http, "/api/v1/tasks/studio/lip_sync/t")
    assert story == expected | {"steps": [{"at": now + 5, "state": "failed", "progress": None}]}


async def test_a_story_has_each_change_that_was_seen(rig: Rig, http: httpx.AsyncClient) -> None:
    began = rig.clock.now
    states = [(State.QUEUED, None), (State.RUNNING, 0.05), (State.RUNNING, 0.5), (State.SUCCEEDED, 1.0)]
    for state, progress in states:
        await rig.show(Observation("t", state, progress=progress))
        rig.clock.now += 5
    steps = (await said(http, "/api/v1/tasks/studio/lip_sync/t"))["steps"]
    assert [(step["at"], step["state"], step["progress"]) for step in steps] == [
        (began + 5 * turn, state, progress) for turn, (state, progress) in enumerate(states)
    ]


async def test_a_task_is_found_by_its_id_whatever_that_holds(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.show(*(Observation(task_id, State.QUEUED) for task_id in ODD_IDS))
    for task_id in ODD_IDS:
        story = await said(http, f"/api/v1/tasks/studio/lip_sync/{quote(task_id, safe='')}")
        assert story["id"] == task_id
        found = (await said(http, f"/api/v1/tasks?id={quote(task_id, safe='')}"))["tasks"]
        assert task_id in [task["id"] for task in found]


async def test_an_ended_task_is_remembered_after_the_window(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.show(Observation("t", State.SUCCEEDED, ended=rig.clock.now))
    rig.clock.now += 7200
    assert (await said(http, "/api/v1/tasks"))["tasks"] == []
    story = await said(http, "/api/v1/tasks/studio/lip_sync/t")
    assert (story["state"], story["stale"]) == ("succeeded", False)


async def test_a_task_of_a_feed_that_is_down_is_stale(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.show(Observation("t", State.RUNNING))
    for seconds, stale in ((0, False), (31, True)):
        rig.clock.now += seconds
        (listed,) = (await said(http, "/api/v1/tasks"))["tasks"]
        assert listed["stale"] is (await said(http, "/api/v1/tasks/studio/lip_sync/t"))["stale"] is stale


async def test_the_links_lead_through_all_pages_and_back(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.show(*(Observation(f"t{n:02}", State.QUEUED) for n in range(11)))
    await rig.show(Observation("other", State.QUEUED), feed=1)
    pages = [await said(http, "/api/v1/tasks?kind=lip_sync&sort=id&direction=asc&per_page=4")]
    while link := pages[-1]["next"]:
        pages.append(await said(http, f"/api/v1/tasks{link}"))
    ids = [f"t{n:02}" for n in range(11)]
    assert [[task["id"] for task in page["tasks"]] for page in pages] == [ids[:4], ids[4:8], ids[8:]]
    assert [(page["total"], page["page"], page["pages"]) for page in pages] == [(11, 1, 3), (11, 2, 3), (11, 3, 3)]
    assert pages[0]["previous"] is None
    assert await said(http, f"/api/v1/tasks{pages[2]['previous']}") == pages[1]


async def test_a_page_after_the_last_is_empty_and_leads_back(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.show(Observation("t", State.QUEUED))
    page = await said(http, "/api/v1/tasks?page=7")
    assert (page["tasks"], page["total"], page["next"], page["previous"]) == ([], 1, None, "?")
    assert [task["id"] for task in (await said(http, "/api/v1/tasks?"))["tasks"]] == ["t"]


# Refusals


REFUSED = (
    ("/api/v1/tasks?state=bad", 400, "state: unknown; allowed: queued, running, "),
    ("/api/v1/tasks?page=0", 400, "page: too small; the least is 1"),
    ("/api/v1/tasks?provider=", 400, "provider: empty; write a text, or leave it out"),
    ("/api/v1/tasks?x=1", 400, "unknown parameter; allowed: provider, kind, "),
    ("/api/v1/tasks?provider=nobody", 400, "provider: not polled; allowed: studio"),
    ("/api/v1/providers?name=studio", 400, "unknown parameter; none is allowed here"),
    ("/api/v1/tasks/studio/lip_sync/t?x=1", 400, "unknown parameter; none is allowed here"),
    ("/api/v1/openapi.json?x=1", 400, "unknown parameter; none is allowed here"),
    ("/api/v1/tasks/studio/sora/t", 404, "no such feed; there are: studio/lip_sync, studio/video"),
    ("/api/v1/tasks/studio/lip_sync/t", 404, "the ledger knows no such task: "),
    ("/api/v1/tasks/studio/lip_sync/", 404, "the ledger knows no such task: "),
    (f"/api/v1/tasks/studio/lip_sync/{'x' * 129}", 404, "the ledger knows no such task: "),
    ("/api/v1/tasks/studio/lip_sync/%00%ff", 404, "the ledger knows no such task: "),
    ("/api/v1/tasks/studio/lip_sync/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, "the ledger knows no such task: "),
    ("/api/v1/tasks/studio/lip_sync/a%0ab", 404, "there is nothing at this address; "),
    ("/api/v1/tasks/studio/lip_sync", 404, "there is nothing at this address; "),
    ("/api/v1/tasks/", 404, "there is nothing at this address; "),
    ("/api/v2/tasks", 404, "there is nothing at this address; "),
    ("/api/", 404, "there is nothing at this address; "),
)


async def test_a_request_is_refused_with_the_reason(http: httpx.AsyncClient) -> None:
    for path, status, why in REFUSED:
        answer = await said(http, path, status)
        assert answer.keys() == {"error"}
        assert answer["error"].startswith(why), path


async def test_a_ledger_that_cannot_be_read_is_told_and_the_lists_go_on(rig: Rig, http: httpx.AsyncClient) -> None:
    await rig.show(Observation("t", State.QUEUED))
    await rig.ledger.store.close()
    answer = await said(http, "/api/v1/tasks/studio/lip_sync/t", 503)
    assert answer == {"error": "the ledger cannot be read now; try again later"}
    assert (await said(http, "/api/v1/tasks"))["total"] == 1


METHODS = (
    ("PUT", "/api/v1/tasks", "GET, HEAD, POST"),
    ("DELETE", "/api/v1/tasks/studio/lip_sync/t", "GET, HEAD"),
    ("POST", "/api/v1/providers", "GET, HEAD"),
    ("OPTIONS", "/api/v1/providers", "GET, HEAD"),
    ("GET", "/api/v1/callbacks/studio/lip_sync", "POST"),
    ("BREW", "/api/v1/tasks", "GET, HEAD, POST"),
)


async def test_a_method_that_is_not_allowed_is_told_all_that_are(http: httpx.AsyncClient) -> None:
    for method, path, allowed in METHODS:
        answer = await http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.json() == {"error": f"the method is not allowed here; allowed: {allowed}"}


async def test_head_answers_like_get_without_the_body(http: httpx.AsyncClient) -> None:
    for path in ("/api/v1/providers", "/api/v1/tasks", "/api/v1/openapi.json", "/api/v1/tasks?page=0"):
        get, head = await http.get(path), await http.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
