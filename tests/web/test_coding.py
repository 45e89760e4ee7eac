"""Content codings: what Accept-Encoding asks for is obeyed by scrapes, pages and the API."""

from __future__ import annotations

import gzip

import httpx
import pytest

from exporter.web.server.coding import takes_gzip


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip, deflate, br", True),
        ("zstd, gzip;q=0.5", True),
        ("gzip;q=0.001", True),
        ("*;q=0, gzip", True),
        ("identity;q=0", True),
        ("identity;q=0, *", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("", False),
        ("identity", False),
        ("zstd", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0", False),
        ("GZIP ; Q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("identity;q=1, gzip;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0, gzip;q=0", False),
        ("identity;q=0, *;q=0", False),
        ("gzip;q=", False),
        ("gzip;q=x", False),
        ("gzip;q=nan", False),
        ("gzip;q=-1", False),
        ("ungzip", False),
        (";;,,=", False),
    ],
)
def test_the_weights_of_codings_decide(accept_encoding: str, expected: bool) -> None:
    assert takes_gzip(accept_encoding) is expected


async def test_every_address_obeys(http: httpx.AsyncClient) -> None:
    for path in ("/", "/metrics", "/api/v1/openapi.json"):
        for asked, coding in (("gzip", "gzip"), ("gzip;q=0", None), ("identity;q=1, gzip;q=0", None), ("*;q=0", None)):
            request = http.build_request("GET", path, headers={"Accept-Encoding": asked})
            answer = await http.send(request, stream=True)
            body = b"".join([piece async for piece in answer.aiter_raw()])
            assert answer.headers.get("content-encoding") == coding, (path, asked)
            assert b"exporter" in (gzip.decompress(body) if coding else body), (path, asked)


async def test_codings_in_several_lines_count_together(http: httpx.AsyncClient) -> None:
    several = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
    assert (await http.get("/metrics", headers=several)).headers["content-encoding"] == "gzip"
