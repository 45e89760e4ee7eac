"""Requests that are broken, too large or too slow, over real sockets: each is refused, and the others are answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from exporter.web.server.limits import CHUNKS, Bucket
from exporter.web.server.opened import Limits
from tests.harness import PATIENCE, Start, until

from .serving import TLS, Address, Folder, all_of, serving, users

HOST = b"Host: localhost\r\n"
QUICK = Limits(request=1, answer=1, idle=4)


def status_of(answer: bytes) -> int | None:
    """The status of the first answer; None if there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else None


def get(path: str = "/", *headers: str, method: str = "GET", close: bool = True) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def post(body: bytes, *headers: str, path: str = "/echo") -> bytes:
    return get(path, *headers, method="POST") + body


@pytest.fixture
async def address(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Address]:
    """The server; whatever a test sends, it is alive afterwards and has nothing to complain about."""
    async with serving() as address:
        yield address
        assert (await address.get("/metrics")).text == "Hello World!"
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


BODY_LIMIT = Limits().body

BAD: dict[str, tuple[bytes, set[int | None]]] = {
    "no HTTP at all": (b"\0\1\2\r\n\r\n", {400}),
    "HTTP/0.9": (b"GET /\r\n\r\n", {400}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404}),
    "TLS": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"a" * 160, {400}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (get("/", "Host: other"), {400}),
    "an endless method": (b"A" * 20_000, {400}),
    "an endless head": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000, {400}),
    "a large header": (get("/", "X: " + "a" * 20_000), {400, 431}),
    "many headers": (get("/", *(f"X-{n}: {n}" for n in range(3_000))), {400, 431}),
    "a long path": (get("/" + "a" * 9_000), {414}),
    "a long query": (get("/?q=" + "a" * 9_000), {414}),
    "a NUL in a header": (get("/", "X: a\0b"), {400}),
    "a space before the colon": (get("/", "X : a"), {400}),
    "a header without a colon": (get("/", "nonsense"), {400}),
    "a header with letters of another alphabet": (get("/", "X: \xff\xfe"), {200}),
    "a bad escape in the path": (get("/%zz%ff%00%0d%0aX:%20y"), {404}),
    "a way out of the folder": (get("/../../etc/passwd"), {404}),
    "an escaped way out": (get("/%2e%2e/%2e%2e%2fetc/passwd"), {404}),
    "a whole URL": (get("http://elsewhere.example/metrics"), {200}),
    "a whole URL in capitals, with a port and a query": (get("HTTP://[::1]:80/metrics?x=http://a/b"), {200}),
    "a whole URL without a path": (get("http://elsewhere.example"), {200}),
    "a whole URL without a path, but with a query": (get("https://elsewhere.example?x=1"), {200}),
    "a whole URL of nothing": (get("http://elsewhere.example/nothing"), {404}),
    "a whole URL without a host": (get("http:///metrics"), {400}),
    "a whole URL with a password": (get("http://ann:secret@elsewhere.example/metrics"), {400}),
    "a whole URL of another scheme": (get("ftp://elsewhere.example/metrics"), {400}),
    "a length and chunks": (
        post(b"1\r\na\r\n0\r\n\r\n", "Content-Length: 11", "Transfer-Encoding: chunked"),
        {400},
    ),
    "a host that is none": (b"GET /metrics/ HTTP/1.1\r\nHost: [::\r\nConnection: close\r\n\r\n", {307, 400, 404}),
    "a star": (get("*", method="OPTIONS"), {404, 405}),
    "a tunnel": (get("elsewhere.example:443", method="CONNECT"), {404, 405}),
    "an unknown method": (get("/", method="BREW"), {405}),
    "a length of letters": (post(b"", "Content-Length: abc"), {400}),
    "a length below zero": (post(b"", "Content-Length: -1"), {400}),
    "a length of many digits": (post(b"", "Content-Length: " + "9" * 5_000), {400}),
    "two lengths": (post(b"ab", "Content-Length: 1", "Content-Length: 2"), {400}),
    "too long a body": (post(b"", f"Content-Length: {BODY_LIMIT + 1}"), {413}),
    "too long a body, with a question first": (
        post(b"", f"Content-Length: {BODY_LIMIT + 1}", "Expect: 100-continue"),
        {413},
    ),
    "an unknown coding": (post(b"", "Transfer-Encoding: zip"), {400, 501}),
    "a chunk of no size": (post(b"zz\r\n", "Transfer-Encoding: chunked"), {400}),
    "a chunk longer than it says": (post(b"1\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), {400}),
    "half a body": (post(b"ab", "Content-Length: 10"), {None, 400}),
    "an upgrade to web sockets": (
        get("/", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13", "Connection: upgrade"),
        {200},
    ),
    "an upgrade to HTTP/2": (get("/", "Upgrade: h2c", "HTTP2-Settings: AAA"), {200}),
}


async def test_broken_requests_are_refused(address: Address) -> None:
    for name, (data, expected) in BAD.items():
        answer = await address.send(data, half=True)
        assert status_of(answer) in expected, (name, answer[:200])
        assert b"Traceback" not in answer, name


GOOD = [get(), post(b"ab", "Content-Length: 2"), post(b"1\r\na\r\n0\r\n\r\n", "Transfer-Encoding: chunked")]


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(GOOD), st.integers(0, 200), st.binary(max_size=200)), min_size=20))
def test_noise_anywhere_in_a_request_is_survived(cases: list[tuple[bytes, int, bytes]]) -> None:
    async def send() -> None:
        async with serving() as address:
            for request, place, noise in cases:
                answer = await address.send(request[:place] + noise + request[place:], half=True)
                assert status_of(answer) in (None, 200, 400, 404, 405, 413, 414, 431, 501)
            assert (await address.get()).status_code == 200

    asyncio.run(send())


async def test_a_body_up_to_the_limit_arrives(address: Address) -> None:
    body = b"x" * BODY_LIMIT
    async with address.http() as client:
        assert (await client.post("/echo", content=body)).content == body

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, len(body), 100_000):
                yield body[start : start + 100_000]

        assert (await client.post("/echo", content=pieces())).content == body
        assert (await client.post("/echo", content=b"")).content == b""
        assert (await client.request("GET", "/", content=b"of no use")).status_code == 200


async def test_a_body_may_come_in_any_pieces(address: Address) -> None:
    request = post(b"5;why=not\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n", "Transfer-Encoding: chunked")
    reader, writer = await asyncio.open_connection(address.host, address.port)
    for number in range(len(request)):
        writer.write(request[number : number + 1])
        await asyncio.sleep(0.001)
    async with asyncio.timeout(PATIENCE):
        assert (await all_of(reader)).endswith(b"\r\n\r\nhello!")
    writer.close()


async def test_many_small_chunks_are_read_a_few_at_a_time_and_others_have_their_turns() -> None:
    pieces: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            pieces.append(len(message["body"]))
            more = message["more_body"]
        await PlainTextResponse(str(sum(pieces)))(scope, receive, send)

    async with serving(app=app) as address:
        answer = await address.send(post(b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n", "Transfer-Encoding: chunked"))
    assert answer.endswith(b"\r\n\r\n50000")
    assert max(pieces) <= CHUNKS


async def test_a_body_that_grows_beyond_the_limit_is_refused(address: Address) -> None:
    chunk = b"%x\r\n%b\r\n" % (100_000, b"x" * 100_000)
    answer = await address.send(post(chunk * (BODY_LIMIT // 100_000 + 1), "Transfer-Encoding: chunked"))
    assert status_of(answer) in (413, None)  # None: we were still sending when the connection ended


async def test_requests_in_a_row_are_answered_in_order(address: Address) -> None:
    answers = await address.send(get(close=False) * 50 + get("/unknown"))
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200"] * 50 + [b"404"]


@pytest.mark.parametrize("length", ["Content-Length: 5", "Content-Length: 16"])
@pytest.mark.parametrize("web", ["", users(ann="secret")], ids=["open", "users"])
async def test_a_request_of_two_lengths_is_the_last_of_its_connection(folder: Folder, length: str, web: str) -> None:
    ambiguous = get("/echo", length, "Transfer-Encoding: chunked", method="POST", close=False)
    async with serving(folder.config(web or "{}")) as address:
        answers = await address.send(ambiguous + b"1\r\na\r\n0\r\n\r\n" + get("/metrics", close=False))
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"400"]
    assert b"connection: close" in answers.lower()


async def test_a_whole_url_is_protected_as_its_path_is(folder: Folder) -> None:
    async with serving(folder.config("health_without_auth: true\n" + users(ann="secret"))) as address:
        found = {
            target: status_of(await address.send(get(target)))
            for target in ("http://x/metrics", "http://x/-/healthy", "http://x", "http://x/api/v1/callbacks/a/b")
        }
    assert list(found.values()) == [401, 200, 401, 404]


async def test_noise_after_a_request_spoils_only_what_follows(address: Address) -> None:
    answers = await address.send(get(close=False) + b"\0\1\2\r\n\r\n" + get())
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"400"]


@pytest.mark.parametrize("tls", ["", TLS], ids=["plain", "TLS"])
async def test_noise_after_an_early_answer_ends_the_connection(
    folder: Folder, caplog: pytest.LogCaptureFixture, tls: str
) -> None:
    context = folder.client() if tls else None
    async with serving(folder.config(tls + users(ann="secret"))) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        writer.write(get("/echo", "Transfer-Encoding: chunked", method="POST", close=False))
        assert b" 401 " in await reader.readline()
        writer.write(b"no chunk at all\r\n")
        async with asyncio.timeout(PATIENCE):
            await all_of(reader)
        writer.close()
        assert (await address.get(tls=context)).status_code == 401
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


async def slowly(address: Address, start: bytes) -> bytes:
    """What the server says to one who sends this, and then a letter now and again, until it has enough."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(start)
    answer = asyncio.create_task(all_of(reader))
    async with asyncio.timeout(PATIENCE):
        while not answer.done():
            writer.write(b"a")
            await asyncio.sleep(0.05)
    writer.close()
    return await answer


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"", None),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: ", None),
        (post(b"", "Content-Length: 100000"), None),
        (get(close=False) + b"GET / HTTP/1.1\r\nX: ", 200),
    ],
    ids=["from the first letter on", "in the head", "in the body", "in the second request"],
)
async def test_one_who_sends_slowly_is_cut_off(start: bytes, status: int | None) -> None:
    async with serving(limits=QUICK) as address:
        slow, served = asyncio.create_task(slowly(address, start)), 0
        while not slow.done():
            with contextlib.suppress(httpx.ReadError):  # a busy machine may make this request a slow one, too
                served += (await address.get("/metrics")).status_code == 200
        assert served > 0
        assert status_of(await slow) == status


async def test_one_who_sends_slowly_after_being_refused_is_cut_off(folder: Folder) -> None:
    async with serving(folder.config(users(ann="secret")), QUICK) as address:
        answer = await slowly(address, get("/echo", "Content-Length: 100000", method="POST", close=False))
        assert status_of(answer) in (401, None)
        await until("the connection is gone", lambda: address.open == 0)


async def test_one_who_sends_nothing_is_cut_off() -> None:
    async with serving(limits=QUICK) as address:
        assert await address.send(b"") == b""


@pytest.mark.parametrize(
    ("path", "limits"), [("/large", Limits(answer=0.3)), ("/pieces", Limits(answer=0.3))], ids=["at once", "in pieces"]
)
async def test_one_who_does_not_read_is_cut_off(path: str, limits: Limits) -> None:
    async with serving(limits=limits) as address:
        with socket.create_connection((address.host, address.port)) as deaf:
            deaf.sendall(get(path, close=False))
            await until("the connection is open", lambda: address.open == 1)
            await until("the connection is gone", lambda: address.open == 0)


async def test_a_connection_may_idle_between_requests_but_not_for_ever() -> None:
    async with serving(limits=QUICK) as address, address.http() as client:
        assert (await client.get("/")).status_code == 200
        assert address.open == 1
        await asyncio.sleep(2 * QUICK.request)
        assert address.open == 1
        await until("the connection is gone", lambda: address.open == 0)
        assert (await client.get("/")).status_code == 200


async def test_idle_connections_make_room_for_scrapes() -> None:
    async with serving(limits=Limits(connections=10)) as address:
        idle = [await asyncio.open_connection(address.host, address.port) for _ in range(30)]
        assert (await address.get("/metrics")).status_code == 200
        await until("those above the limit are gone", lambda: address.open <= 10)
        ended = [asyncio.create_task(all_of(reader)) for reader, _ in idle]
        await until("the longest idle have ended", lambda: all(one.done() for one in ended[:20]))
        assert not any(one.done() for one in ended[25:])
        for one, (_, writer) in zip(ended, idle, strict=True):
            one.cancel()
            writer.close()
        await asyncio.gather(*ended, return_exceptions=True)


async def test_a_connection_in_use_is_kept_rather_than_those_that_idle() -> None:
    async with serving(limits=Limits(connections=10)) as address, address.http() as client:
        before = (await client.get("/")).extensions["network_stream"]
        idle = []
        for _ in range(30):
            idle.append(await asyncio.open_connection(address.host, address.port))
            assert (await client.get("/")).extensions["network_stream"] is before
        for _, writer in idle:
            writer.close()


def test_a_bucket_fills_as_time_goes_by() -> None:
    now = 0.0
    bucket = Bucket(interval=2.0, burst=2, monotonic=lambda: now)
    assert [bucket.allows() for _ in range(3)] == [True, True, False]
    now = 1.9
    assert not bucket.allows()
    now = 2.0
    assert [bucket.allows() for _ in range(2)] == [True, False]
    now = 100.0
    assert [bucket.allows() for _ in range(3)] == [True, True, False]


CONFIG = (
    "ledger: {path: ':memory:'}\nproviders: [{name: swap, type: facewap, base_url: 'http://127.0.0.1:9', token: t}]"
)


def test_the_exporter_refuses_what_it_does_not_serve_and_goes_on(start: Start, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(CONFIG)
    exporter = start("--config.file=config.yml", "--web.listen-address=127.0.0.1:0")
    with httpx.Client(base_url=exporter.url, trust_env=False, timeout=PATIENCE) as client:
        for path in ("", "metrics", "-/healthy", "-/ready"):
            head = client.head(path)
            assert head.status_code in (200, 503), path
            assert head.content == b""
            for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"):
                refused = client.request(method, path)
                assert refused.status_code == 405, (method, path)
                assert {name.strip() for name in refused.headers["allow"].split(",")} == {"GET", "HEAD"}
        for path in ("unknown", "metrics/x", "%2e%2e/etc/passwd", "-/", "%00", "%E2%80%AE", "<script>", "'\";--"):
            assert client.get(path).status_code == 404, path
        host, port = client.base_url.host, client.base_url.port
        assert port
        for data, _ in BAD.values():
            with socket.create_connection((host, port), PATIENCE) as raw:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                answer = raw.makefile("rb").readline()
                assert b" 500 " not in answer, data[:80]
        assert "videotask_exporter_build_info" in client.get("metrics").text
    assert exporter.end() == 0
    assert "Traceback" not in exporter.stderr
    assert "level=error" not in exporter.stderr
