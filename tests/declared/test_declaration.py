"""What may be declared, and what several values together show to be wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from exporter.tasks import Clock
from exporter.vendors.declared.declaration import Declaration
from tests.declared.conftest import declared

CURSOR = {"query": {"after": "{cursor}"}, "paging": {"type": "cursor", "next": "data.next"}}


def parsed(feed: dict[str, Any] | None = None, /, **vendor: Any) -> Declaration:
    return Declaration.model_validate(declared(feed, **vendor))


def faults(feed: dict[str, Any] | None = None, /, **vendor: Any) -> dict[str, str]:
    """What is wrong, by where."""
    found = parsed(feed, **vendor).faults()
    return {".".join(map(str, path)): words for path, words in found}


def test_a_sound_declaration_has_no_faults() -> None:
    assert faults() == {}
    assert faults({"list": CURSOR}) == {}
    assert faults({"detail": None}) == {}
    assert faults({"list": None}) == {}
    assert faults({"list": {"query": {"offset": "{offset}"}, "paging": {"type": "offset"}}}) == {}


def test_what_is_not_said_has_a_default() -> None:
    least = Declaration.model_validate(
        {"feeds": {"a": {"list": {"path": "/a"}, "fields": {"id": "id", "state": "s"}, "states": {"running": ["r"]}}}}
    )
    assert list(least.faults()) == []
    feed = least.feeds["a"]
    assert feed.list_ is not None
    assert (least.rate_limit, least.page_size, least.base_url, least.auth.type) == (5.0, 50, None, "none")
    assert (feed.clock, feed.list_.method, feed.list_.paging.type, feed.list_.rows.text) == (
        Clock.PROVIDER,
        "GET",
        "none",
        "@",
    )


@pytest.mark.parametrize(("given", "lacks"), [("frames", "frame_rate"), ("frame_rate", "frames")])
def test_frames_need_their_rate(given: str, lacks: str) -> None:
    with pytest.raises(ValidationError, match=f"{given} gives no length without it") as raised:
        parsed({"fields": {"output": {"path": "seconds", given: "n"}}})
    assert raised.value.errors()[0]["ctx"]["key"] == lacks


RENDER = "feeds.render."


@pytest.mark.parametrize(
    ("feed", "where", "told"),
    [
        ({"list": None, "detail": None}, "", "neither `list` nor `detail`"),
        (
            {"list": {"query": {"page": "{pag}"}}},
            "list.query.page",
            "{pag} is an unknown placeholder; did you mean {page}?",
        ),
        ({"list": {"path": "/{id}"}}, "list.path", "{id} is an unknown placeholder"),
        ({"list": {"headers": {"X": "{secret}"}}}, "list.headers.X", "{secret} is an unknown placeholder"),
        ({"list": {"query": {"page": "{page}", "q": "{ page }"}}}, "list.query.q", "`{ page }` is no placeholder"),
        ({"list": {"query": {"page": "{page}", "q": "{page"}}}, "list.query.q", "`{page` is no placeholder"),
        ({"list": {"in_flight": {"s": "{states}"}}}, "list.in_flight.s", "{states} is an unknown placeholder"),
        (
            {"list": {"method": "POST", "query": None, "json": {"a": ["{page}", {"b": "{pge}"}]}}},
            "list.json.a.1.b",
            "did you mean {page}?",
        ),
        ({"list": {"query": {}}}, "list.paging.type", "no {page} in the request"),
        ({"list": {"paging": {"type": "offset"}}}, "list.paging.type", "no {offset} in the request"),
        ({"list": {"paging": {"type": "offset"}}}, "list.query.page", "{page} means nothing in paging by offset"),
        ({"list": {"paging": {"type": "none"}}}, "list.query.page", "{page} means nothing in paging by none"),
        ({"list": CURSOR | {"paging": {"type": "cursor"}}}, "list.paging.next", "missing; paging by cursor needs"),
        ({"list": {"query": {}, "paging": {"type": "link"}}}, "list.paging.next", "missing; paging by link needs"),
        ({"list": {"paging": {"type": "page", "next": "a"}}}, "list.paging.next", "without effect in paging by page"),
        ({"list": {"json": {"a": 1}}}, "list.json", "a GET has no body"),
        ({"detail": {"path": "/v2/renders"}}, "detail", "no {id} in path, query or json"),
        ({"detail": {"batch": 5}}, "detail.batch", "no {ids} or {ids[]}"),
        ({"detail": {"path": "/{ids}"}}, "detail.batch", "missing; {ids} asks for several tasks"),
        ({"detail": {"json": {"id": "{id}"}}}, "detail.json", "a GET has no body"),
        ({"list": None, "detail": {"fills": ["submitted"]}}, "detail.fills", "without effect in a feed without a list"),
        ({"detail": {"ended": {"path": "/bill", "fills": ["usage"]}}}, "detail.ended", "no {id} in path"),
        ({"detail": {"ended": {"path": "/{ids}", "fills": ["usage"]}}}, "detail.ended.path", "unknown placeholder"),
        (
            {"detail": {"ended": {"path": "/{id}", "json": {"id": "{id}"}, "fills": ["usage"]}}},
            "detail.ended.json",
            "a GET has no body",
        ),
        ({"detail": {"path": "/{id}/{page}"}}, "detail.path", "{page} is an unknown placeholder"),
        ({"states": {"running": ["a"], "failed": ["b", "A "]}}, "states.failed.1", "already means running"),
        ({"states": {"running": ["^a"], "failed": ["^A"]}}, "states.failed.0", "already means running"),
        ({"states": {"running": [""]}}, "states.running.0", "empty; write a word"),
        ({"states": {"running": ["^"]}}, "states.running.0", "empty; write a word"),
        ({"states": {"running": ["^a.*"]}}, "states.running.0", "looks like a regular expression"),
        ({"states": {"running": ["^(a|b)"]}}, "states.running.0", "looks like a regular expression"),
        ({"states": {}}, "states", "empty; write the vendor's words"),
        ({"reasons": {"auth": ["1"], "timeout": ["1"]}}, "reasons.timeout.0", "already means auth"),
        (
            {"fields": {"dated": {"path": "a", "offset": "{shift}"}}},
            "fields.dated.offset",
            "{shift} is no setting of this vendor",
        ),
    ],
)
def test_a_fault_of_a_feed_is_told_where_it_is(feed: dict[str, Any], where: str, told: str) -> None:
    tables = {key: feed[key] for key in ("states", "reasons") if key in feed}
    declaration = declared(None if tables else feed)
    declaration["feeds"]["render"] |= tables  # in the place of those that are there
    found = {".".join(map(str, at)): words for at, words in Declaration.model_validate(declaration).faults()}
    assert told in found[(RENDER + where).rstrip(".")]


@pytest.mark.parametrize(
    ("vendor", "where", "told"),
    [
        (
            {"auth": {"type": "bearer", "credential": "key"}},
            "auth.credential",
            "`key` is no credential of this vendor; allowed: api_key",
        ),
        ({"credentials": ["a", "b"]}, "auth.credential", "missing; name the credential that is sent; allowed: a, b"),
        ({"credentials": []}, "auth.credential", "allowed: none, since `credentials` names none"),
        ({"credentials": ["page_size"]}, "credentials.0", "`page_size` is the name of another setting"),
        ({"credentials": ["a-b"]}, "credentials.0", "not a name for a setting"),
        ({"credentials": ["model_dump"]}, "credentials.0", "`model_dump` is the name of another setting"),
        ({"credentials": ["ways"]}, "credentials.0", "`ways` is the name of another setting"),
        ({"settings": {"api_key": {}}}, "credentials.0", "`api_key` is the name of another setting"),
        ({"settings": {"api_key_file": {}}}, "settings.api_key_file", "the name of another setting or placeholder"),
        ({"settings": {"page": {}}}, "settings.page", "the name of another setting or placeholder"),
        ({"settings": {"poll_interval": {}}}, "settings.poll_interval", "the name of another setting or placeholder"),
        ({"settings": {"json": {}}}, "settings.json", "the name of another setting or placeholder"),
        ({"settings": {"a-b": {}}}, "settings.a-b", "the name of another setting or placeholder"),
        (
            {
                "settings": {"shift": {"default": "8 hours"}},
                "feeds": {
                    "render": {
                        "list": {"path": "/a"},
                        "fields": {"id": "i", "state": "s", "dated": {"path": "d", "offset": "{shift}"}},
                        "states": {"running": ["r"]},
                    }
                },
            },
            "settings.shift.default",
            "not a duration; write a number with a unit",
        ),
        ({"headers": {"X": "{page}"}}, "headers.X", "{page} is an unknown placeholder"),
        (
            {"account": {"path": "/{id}", "balance": {"path": "a", "unit": "usd"}}},
            "account.path",
            "{id} is an unknown placeholder",
        ),
        (
            {"account": {"path": "/a", "query": {"from": "{since_ms}"}, "balance": {"path": "a", "unit": "usd"}}},
            "account.query.from",
            "{since_ms} is an unknown placeholder",
        ),
        (
            {
                "feeds": {
                    "render": {
                        "optional": True,
                        "list": {"path": "/a"},
                        "fields": {"id": "i", "state": "s"},
                        "states": {"running": ["r"]},
                    }
                }
            },
            "feeds",
            "all optional",
        ),
    ],
)
def test_a_fault_of_a_vendor_is_told_where_it_is(vendor: dict[str, Any], where: str, told: str) -> None:
    assert told in faults(None, **vendor)[where]


@pytest.mark.parametrize(
    "feed",
    [
        {"list": {"rows": "renders["}},
        {"list": {"where": "loop(a)"}},
        {"list": {"path": "v2/renders"}},
        {"list": {"order": "oldest"}},
        {"list": {"window": "a week"}},
        {"list": {"paging": {"type": "scroll"}}},
        {"list": {"paging": {"type": "page", "first": 2}}},
        {"list": {"method": "PUT"}},
        {"list": {"pages": "data"}},
        {"detail": {"batch": 0}},
        {"detail": {"batch": 501}},
        {"detail": {"fills": ["everything"]}},
        {"fields": {"id": None}},
        {"fields": {"state": ""}},
        {"fields": {"progress": {"path": "a", "unit": "parts"}}},
        {"fields": {"submitted": {"path": "a", "zone": "Mars/Olympus"}}},
        {"fields": {"submitted": {"path": "a", "offset": "8 hours"}}},
        {"fields": {"submitted": {"path": "a", "offset": 8}}},
        {"fields": {"submitted": {"path": "a", "when": "never"}}},
        {"fields": {"output": {"path": "a", "unit": "h"}}},
        {"fields": {"usage": "cost"}},
        {"fields": {"usage": []}},
        {"fields": {"usage": [{"path": "a", "unit": "usd"}, {"path": "a", "unit": "euros"}]}},
        {"fields": {"usage": {"path": "a", "unit": "euros"}}},
        {"fields": {"usage": {"path": "a", "unit": "usd", "scale": float("nan")}}},
        {"fields": {"prompt": "a"}},
        {"states": {"asleep": ["a"]}},
        {"reasons": {"bad_luck": ["a"]}},
        {"clock": "ours"},
        {"document": "acme.example"},
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_refused(feed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parsed(feed)


@pytest.mark.parametrize(
    "vendor",
    [
        {"feeds": {}},
        {"base_url": "api.acme.example"},
        {"rate_limit": "fast"},
        {"page_size": 501},
        {"auth": {"type": "digest"}},
        {"auth": {"type": "header"}},
        {"auth": {"type": "header", "name": "a b"}},
        {"auth": {"type": "header", "name": "X", "prefix": "Schlüssel "}},
        {"auth": {"type": "query"}},
        {"headers": {"X Y": "a"}},
        {"headers": {"X": "a\nb"}},
        {"headers": {"": "a"}},
        {"auth": {"type": "jwt_hs256", "issuer": "api_key"}},
        {"account": {"path": "/me"}},
        {"advice": {"weather": "wait"}},
        {"nothing": 1},
    ],
    ids=str,
)
def test_a_vendor_that_cannot_be_is_refused(vendor: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        parsed(None, **vendor)


def test_a_request_for_the_balance_may_have_a_window() -> None:
    account = {"path": "/a", "window": "400d", "query": {"from": "{since_ms}"}, "balance": {"path": "a", "unit": "usd"}}
    assert list(Declaration.model_validate(declared(account=account)).faults()) == []
