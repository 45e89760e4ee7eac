"""Requests with placeholders: what stands where, encoded for its place, and what is left out."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.vendors.declared.requests import RequestTemplate, Template, Values, window_values


def filled(
    values: Values | None = None,
    path: str = "/v2/renders",
    query: dict[str, str] | None = None,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> Any:
    return RequestTemplate("POST" if body is not None else "GET", path, query or {}, body, headers).filled(values or {})


@pytest.mark.parametrize(
    ("task_id", "path"),
    [
        ("r-1", "/v2/renders/r-1/state"),
        ("a b", "/v2/renders/a%20b/state"),
        ("../x?y=z#f", "/v2/renders/..%2Fx%3Fy%3Dz%23f/state"),
        ("a%2Fb", "/v2/renders/a%252Fb/state"),
        ("任务", "/v2/renders/%E4%BB%BB%E5%8A%A1/state"),
        (".", "/v2/renders/%2E/state"),
        ("..", "/v2/renders/%2E%2E/state"),
        ("...", "/v2/renders/%2E%2E%2E/state"),
        ("..a", "/v2/renders/..a/state"),
        ("a;b:c,d@e", "/v2/renders/a%3Bb%3Ac%2Cd%40e/state"),
    ],
)
def test_an_id_is_one_segment_of_the_path(task_id: str, path: str) -> None:
    assert filled({"id": task_id}, "/v2/renders/{id}/state").url == path
    assert httpx.URL(f"https://acme.example{path}").raw_path.decode() == path


@pytest.mark.parametrize("name", ["cursor", "page"])
def test_what_a_vendor_names_in_the_path_is_one_segment_too(name: str) -> None:
    assert filled({name: "../a"}, f"/v2/{{{name}}}").url == "/v2/..%2Fa"
    assert filled({name: ".."}, f"/v2/{{{name}}}").url == "/v2/%2E%2E"


def test_a_setting_in_the_path_may_be_several_segments() -> None:
    assert filled({"workspace": "teams/blue:1"}, "/v2/{workspace}/renders").url == "/v2/teams/blue:1/renders"
    assert filled({"workspace": "a b?c"}, "/v2/{workspace}/renders").url == "/v2/a%20b%3Fc/renders"


def test_a_value_in_the_query_is_encoded_and_an_empty_one_left_out() -> None:
    query = {"page": "{page}", "after": "{cursor}", "of": "video", "since": "{since_iso}", "q": "x{cursor}", "e": ""}
    values: Values = {"page": 0, "cursor": "", "since_iso": "2026-09-21T14:13:20Z"}
    assert filled(values, query=query).url == "/v2/renders?page=0&of=video&since=2026-09-21T14%3A13%3A20Z&q=x"
    assert (
        filled({"cursor": "a b&c=d+é"}, query={"after": "{cursor}"}).url == "/v2/renders?after=a%20b%26c%3Dd%2B%C3%A9"
    )
    assert filled({"cursor": None}, query={"after": "{cursor}"}).url == "/v2/renders"
    assert filled({"page": 2}, "/v2/renders?of=video", {"page": "{page}"}).url == "/v2/renders?of=video&page=2"


def test_ids_are_joined_by_commas_or_repeated() -> None:
    ids = {"ids": ["a", "b c", "d,e", "f/g"]}
    assert filled(ids, query={"ids": "{ids}"}).url == "/v2/renders?ids=a,b%20c,d%2Ce,f%2Fg"
    assert filled(ids, query={"id": "{ids[]}"}).url == "/v2/renders?id=a&id=b%20c&id=d%2Ce&id=f%2Fg"
    assert filled(ids, "/v2/renders/{ids}").url == "/v2/renders/a,b%20c,d%2Ce,f%2Fg"
    assert filled({"ids": [".."]}, "/v2/renders/{ids}").url == "/v2/renders/%2E%2E"
    assert (
        filled(ids, query={"filter": "id in ({ids})"}).url == "/v2/renders?filter=id%20in%20%28a,b%20c,d%2Ce,f%2Fg%29"
    )
    assert filled(ids, query={"id": "x{ids[]}"}).url == "/v2/renders?id=xa,b%20c,d%2Ce,f%2Fg"
    assert filled({"ids": []}, query={"ids": "{ids}", "id": "{ids[]}"}).url == "/v2/renders"


def test_a_value_in_a_body_keeps_its_type() -> None:
    body = {
        "page": "{page}",
        "size": "{page_size}",
        "since": "{since_ms}",
        "until": "{until_s}",
        "text": "p{page}",
        "after": "{cursor}",
        "id": "{id}",
        "ids": "{ids}",
        "list": "{ids[]}",
        "fixed": [1, 2.5, True, None, "video"],
        "deep": {"page": ["{page}", {"after": "{cursor}"}], "empty": "", "nothing": None},
    }
    values: Values = {
        "page": 0,
        "page_size": 50,
        "since_ms": 1790000000000,
        "until_s": 1790000000,
        "cursor": 17,
        "id": "1",
        "ids": ["1", "2"],
    }
    assert filled(values, body=body).json == {
        "page": 0,
        "size": 50,
        "since": 1790000000000,
        "until": 1790000000,
        "text": "p0",
        "after": 17,
        "id": "1",
        "ids": "1,2",
        "list": ["1", "2"],
        "fixed": [1, 2.5, True, None, "video"],
        "deep": {"page": [0, {"after": 17}], "empty": "", "nothing": None},
    }


@pytest.mark.parametrize("empty", ["", None])
def test_what_is_empty_is_left_out_of_a_body(empty: Any) -> None:
    body = {"after": "{cursor}", "filter": {"after": "{cursor}", "state": ""}, "list": ["{cursor}", "x", ""]}
    assert filled({"cursor": empty}, body=body).json == {"filter": {"state": ""}, "list": ["x", ""]}
    assert filled({"ids": []}, body={"ids": "{ids}", "list": "{ids[]}"}).json == {}


@pytest.mark.parametrize("body", [{}, [], {"a": None}, 0, False, "x"])
def test_a_body_without_placeholders_is_sent_as_it_is(body: Any) -> None:
    request = filled(body=body)
    assert request.json == body
    assert (request.method, request.url) == ("POST", "/v2/renders")


@pytest.mark.parametrize(
    ("task_id", "path"),
    [
        ("models/veo-3.1/operations/op1", "/v1beta/models/veo-3.1/operations/op1"),
        ("op1", "/v1beta/op1"),
        ("../../secrets", "/v1beta/%2E%2E/%2E%2E/secrets"),
        ("//host/a?b#c", "/v1beta/host/a%3Fb%23c"),
    ],
)
def test_a_plus_leaves_the_slashes_of_an_id_and_nothing_else(task_id: str, path: str) -> None:
    request = filled({"id": task_id}, "/v1beta/{+id}", body={"operationName": "{+id}"})
    assert (request.url, request.json) == (path, {"operationName": task_id})


def test_no_body_is_none() -> None:
    assert filled().json is None


def test_a_header_is_filled_and_an_empty_one_left_out() -> None:
    headers = {"X-Request": "{uuid}", "X-After": "{cursor}", "X-Workspace": "w {workspace}"}
    made = filled({"cursor": "", "workspace": "blue"}, headers=headers).headers
    assert set(made) == {"X-Request", "X-Workspace"}
    assert made["X-Workspace"] == "w blue"


def test_each_request_has_one_uuid_of_its_own() -> None:
    template = RequestTemplate("POST", "/{uuid}", {"a": "{uuid}"}, {"b": ["{uuid}"]}, {"C": "x-{uuid}"})
    first, second = template.filled({}), template.filled({})
    (one,) = first.json["b"]
    assert str(uuid.UUID(one)) == one
    assert (first.url, first.headers) == (f"/{one}?a={one}", {"C": f"x-{one}"})
    assert one not in second.url


def test_a_link_stands_in_place_of_path_and_query_alone() -> None:
    template = RequestTemplate("POST", "/a", {"b": "c"}, {"d": "{page}"}, {"E": "{page}"})
    request = template.filled({"page": 2}, "https://acme.example/next?x=1")
    assert (request.url, request.json, request.headers) == ("https://acme.example/next?x=1", {"d": 2}, {"E": "2"})


def test_a_window_has_its_ends_in_each_form() -> None:
    assert window_values(1790000000.9, 1790086400.0) == {
        "since_s": 1790000000,
        "since_ms": 1790000000000,
        "since_iso": "2026-09-21T14:13:20Z",
        "until_s": 1790086400,
        "until_ms": 1790086400000,
        "until_iso": "2026-09-22T14:13:20Z",
    }


@pytest.mark.parametrize(
    ("text", "names", "whole", "odd"),
    [
        ("{page}", {"page"}, "page", ""),
        ("{ids[]}", {"ids[]"}, "ids[]", ""),
        ("a{page}b{cursor}", {"page", "cursor"}, "", ""),
        ("plain", set(), "", ""),
        ("{a b}", set(), "", "{a b}"),
        ("{}", set(), "", "{}"),
        ("{{page}}", {"page"}, "", "{"),
        ("{page", set(), "", "{page"),
        ("{ids[0]}", set(), "", "{ids[0]}"),
    ],
)
def test_what_is_a_placeholder(text: str, names: set[str], whole: str, odd: str) -> None:
    template = Template(text)
    assert template.names == names
    assert (template.whole, template.odd_braces) == (whole, odd)


def test_all_placeholders_are_found_with_the_keys_that_lead_to_them() -> None:
    template = RequestTemplate("POST", "/{a}", {"q": "{b}"}, {"x": [1, {"y": "{c}"}]}, {"H": "{d}"})
    found = {path: template.names for path, template in template.templates()}
    assert found == {("path",): {"a"}, ("query", "q"): {"b"}, ("headers", "H"): {"d"}, ("json", "x", 1, "y"): {"c"}}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=4))
def test_a_server_reads_back_whatever_was_filled_in(value: str, ids: list[str]) -> None:
    query = {"one": "{cursor}", "many": "{ids[]}", "joint": "{ids}"}
    request = filled({"id": value, "cursor": value, "ids": ids}, "/v2/{id}/x", query, {"deep": ["{cursor}", "{ids[]}"]})
    url = httpx.URL(f"https://acme.example{request.url}")
    assert (url.host, url.fragment) == ("acme.example", "")
    raw = url.raw_path.decode()
    segments = urlsplit(raw).path.split("/")
    assert [unquote(one) for one in segments] == ["", "v2", value, "x"]
    pairs = parse_qsl(urlsplit(raw).query, keep_blank_values=True)
    assert [one for name, one in pairs if name == "one"] == [value]
    assert [one for name, one in pairs if name == "many"] == ids
    joint = next(part for part in urlsplit(raw).query.split("&") if part.startswith("joint="))
    assert [unquote(one) for one in joint.removeprefix("joint=").split(",")] == ids
    assert json.loads(json.dumps(request.json)) == {"deep": [value, ids]}
