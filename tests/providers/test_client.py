"""The client: whatever a vendor does, a call ends in time, in bounds, and as one counted answer or error."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import math
import socket
import struct
import time
import traceback
import tracemalloc
import weakref
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from email.utils import formatdate
from itertools import pairwise

import httpx
import pytest

from exporter.client.answers import Answer
from exporter.client.client import (
    DURATION_BOUNDS,
    Client,
    Exchange,
    RateLimit,
    retry_after,
)
from exporter.client.errors import (
    AnswerTooLarge,
    AuthRefused,
    CallError,
    ConnectionFailed,
    ContractBroken,
    FailedCall,
    Intercepted,
    RateLimited,
    RequestInvalid,
    TaskNotFound,
    TimedOut,
    VendorFailed,
    refusal,
)
from exporter.ledger.counters import Counters
from exporter.tasks import Cause
from tests.harness.raw import talking

SIZE_LIMIT = 8 * 1024 * 1024
"""Bytes of an answer at most."""

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Answers a request whose head it is given."""


def read(answer: Answer) -> object:
    """A vendor's reading of an answer, at its plainest."""
    body = answer.json()
    if answer.status >= 400:
        raise refusal(answer.status)
    return body


async def ask(client: Client, url: str = "/tasks", auth: httpx.Auth | None = None) -> object:
    headers = None if auth else {"Authorization": "TOKEN"}
    return await client.call("list", "GET", url, read=read, headers=headers, auth=auth)


def labelled(client: Client, name: str) -> dict[str, float]:
    """A counter of the list endpoint: value of the last label -> count."""
    return {key[2]: count for key, count in client.counts.items() if key[:2] == (name, "list") and len(key) == 3}


def outcome(client: Client) -> tuple[dict[str, float], dict[str, float]]:
    """What was counted: requests by code, errors by label."""
    return labelled(client, "api_requests_total"), labelled(client, "api_errors_total")


class FakeTime:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@asynccontextmanager
async def client_of(
    answer: Callable[[httpx.Request], httpx.Response], clock: FakeTime | None = None, rate: float = 1e9
) -> AsyncIterator[Client]:
    client = Client("https://vendor.example/api", rate=rate, timeout=5, transport=httpx.MockTransport(answer))
    if clock is not None:
        client.limit = RateLimit(rate, clock, clock.sleep)
    yield client
    await client.aclose()


def response(status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None) -> httpx.Response:
    """A response that is yet to be read, as one from a socket is."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def plain(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """A real server on loopback: its address."""

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(await reader.readuntil(b"\r\n\r\n"), writer)

    async with talking(answer_once) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def client_at(handler: Handler, timeout: float = 5) -> AsyncIterator[Client]:
    async with server(handler) as address:
        client = Client(address, rate=1e9, timeout=timeout)
        yield client
        await client.aclose()


def answering(raw: bytes) -> Handler:
    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return handler


# What is sent.


async def test_an_answer_is_counted_by_its_status() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return response(body=b'{"a": 1}')

    async with client_of(answer) as client:
        assert await ask(client, "/tasks?state=A%2CB") == {"a": 1}
        assert outcome(client) == ({"200": 1}, {})
        buckets, _ = client.counts.buckets("api_request_duration_seconds", "list", bounds=DURATION_BOUNDS)
        assert dict(buckets)["+Inf"] == 1
    (request,) = seen
    assert str(request.url) == "https://vendor.example/api/tasks?state=A%2CB"
    assert request.headers["User-Agent"].startswith("videotask-exporter/")
    assert request.headers["Accept-Encoding"] == "gzip"


async def test_a_whole_url_leaves_the_base_alone() -> None:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, str(request.url), request.content))
        return response()

    async with client_of(answer) as client:
        await client.call("token", "POST", "https://iam.example/v3", read=read, json={"name": "名"})
    assert seen == [("POST", "https://iam.example/v3", '{"name":"名"}'.encode())]


async def test_a_task_that_is_not_there_is_an_answer_and_no_error() -> None:
    def nothing(answer: Answer) -> None:
        raise TaskNotFound

    async with client_of(lambda _: response(404)) as client:
        with pytest.raises(TaskNotFound):
            await client.call("list", "GET", "/tasks", read=nothing)
        assert outcome(client) == ({"404": 1}, {})


async def test_at_most_eight_calls_are_under_way() -> None:
    under_way = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return response()

    client = Client("https://vendor.example", rate=1e9, transport=httpx.MockTransport(answer))
    await asyncio.gather(*(ask(client) for _ in range(30)))
    await client.aclose()
    assert most == 8


# The rate limit.


async def test_turns_are_evenly_spaced_for_all_who_share_the_limit(clock: FakeTime) -> None:
    sent = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(clock.now)
        return response()

    async with client_of(answer, clock, rate=4) as client:
        for _ in range(3):
            await asyncio.gather(ask(client, "/lip_sync"), ask(client, "/video"))
        assert sent == pytest.approx([100, 100.25, 100.5, 100.75, 101, 101.25])
        assert client.counts["rate_limit_wait_seconds_total",] == pytest.approx(1.25)


async def test_an_idle_time_saves_up_no_burst(clock: FakeTime) -> None:
    limit = RateLimit(2, clock, clock.sleep)
    await limit.turn()
    clock.now += 60
    assert [await limit.turn() for _ in range(3)] == [0, 0.5, 0.5]


async def test_calls_that_wait_for_a_slot_take_their_turn_when_they_are_sent(clock: FakeTime) -> None:
    sent: list[float] = []
    gate = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        sent.append(clock.now)
        if len(sent) <= 8:
            await gate.wait()
        return response()

    client = Client("https://vendor.example", rate=50, transport=httpx.MockTransport(answer))
    client.limit = RateLimit(50, clock, clock.sleep)
    calls = [asyncio.create_task(ask(client)) for _ in range(12)]
    async with asyncio.timeout(30):
        while len(sent) < 8:  # noqa: ASYNC110  # what is sent is no event
            await asyncio.sleep(0)
    clock.now += 1
    gate.set()
    await asyncio.gather(*calls)
    await client.aclose()
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert min(gaps) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        (" 5 ", 5),
        ("0", 0),
        ("9" * 400, 3600),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
    ],
)
def test_retry_after_as_seconds(value: str, seconds: float | None) -> None:
    assert retry_after(httpx.Headers({b"Retry-After": value.encode()})) == seconds


def test_retry_after_as_a_date() -> None:
    headers = httpx.Headers({"Retry-After": formatdate(time.time() + 120, usegmt=True)})
    assert retry_after(headers) == pytest.approx(120, abs=2)
    assert retry_after(httpx.Headers()) is None


@pytest.mark.parametrize("body", [b"", b"<html>slow down</html>", b'{"code": 40001}'], ids=["empty", "page", "json"])
@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (503, VendorFailed)])
async def test_no_request_is_sent_during_a_pause_that_the_vendor_asked_for(
    clock: FakeTime, status: int, error: type[CallError], body: bytes
) -> None:
    async with client_of(lambda _: response(status, body, {"Retry-After": "30"}), clock) as client:
        with pytest.raises(error):
            await ask(client)
        clock.now += 29
        with pytest.raises(RateLimited, match="paused for another 1 s") as refused:
            await ask(client)
        assert refused.value.retry_after == pytest.approx(1)
        assert outcome(client) == ({str(status): 1}, {error.error: 1})  # the call that was not made counts nowhere
        clock.now += 1
        with pytest.raises(error):
            await ask(client)
        assert outcome(client)[0] == {str(status): 2}


async def test_a_refusal_within_http_200_pauses_too(clock: FakeTime) -> None:
    def too_fast(answer: Answer) -> None:
        raise RateLimited("code 40001")

    async with client_of(lambda _: response(headers={"Retry-After": "7"}), clock) as client:
        with pytest.raises(RateLimited):
            await client.call("list", "GET", "/", read=too_fast)
        assert client.limit.pause_left == 7


async def test_without_a_time_pauses_grow_until_an_answer_comes(clock: FakeTime) -> None:
    statuses = iter([429] * 9 + [200, 429])
    pauses = []
    async with client_of(lambda _: response(next(statuses)), clock) as client:
        for _ in range(11):
            try:
                await ask(client)
            except RateLimited:
                pauses.append(client.limit.pause_left)
            clock.now += client.limit.pause_left
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 1]


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (503, VendorFailed)])
async def test_a_refusal_to_tell_the_balance_pauses_no_other_call(
    clock: FakeTime, status: int, error: type[CallError]
) -> None:
    async with client_of(lambda _: response(status, b"", {"Retry-After": "30"}), clock) as client:
        with pytest.raises(error):
            await client.call("account", "GET", "/balance", read=read)
        assert client.limit.pause_left == 0


async def test_an_answer_about_the_balance_makes_no_pause_short_again(clock: FakeTime) -> None:
    pauses = []
    statuses = {"/tasks": 429, "/balance": 200}
    async with client_of(lambda request: response(statuses[request.url.path.removeprefix("/api")]), clock) as client:
        for _ in range(4):
            with pytest.raises(RateLimited):
                await ask(client)
            pauses.append(client.limit.pause_left)
            clock.now += client.limit.pause_left
            await client.call("account", "GET", "/balance", read=read)
    assert pauses == [1, 2, 4, 8]


async def test_refusals_of_calls_that_were_under_way_together_are_one(clock: FakeTime) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.01)
        return response(429)

    client = Client("https://vendor.example", transport=httpx.MockTransport(answer))
    client.limit = RateLimit(1e9, clock, clock.sleep)
    refused = await asyncio.gather(*(ask(client) for _ in range(8)), return_exceptions=True)
    await client.aclose()
    assert {type(one) for one in refused} == {RateLimited}
    assert client.limit.pause_left == 1


async def test_a_call_that_waits_for_its_turn_when_a_pause_begins_is_not_sent(clock: FakeTime) -> None:
    async def sleep(seconds: float) -> None:
        limit.pause(10)
        await clock.sleep(seconds)

    limit = RateLimit(1, clock, sleep)
    await limit.turn()
    with pytest.raises(RateLimited):
        await limit.turn()


def test_a_slip_of_the_vendor_does_not_silence_a_feed_for_a_year(clock: FakeTime) -> None:
    limit = RateLimit(1, clock, clock.sleep)
    limit.pause(31536000)
    assert limit.pause_left == 3600
    limit.pause(5)
    assert limit.pause_left == 3600  # a shorter wish does not end a longer pause


# Deadline.


async def test_a_body_that_drips_forever_ends_at_the_deadline() -> None:
    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        while not writer.is_closing():
            writer.write(b"1,")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with client_at(drip, timeout=0.2) as client:
        with pytest.raises(TimedOut, match=r"no complete answer within 0\.2 s"):
            await ask(client)
        assert outcome(client) == ({"200": 1}, {"timeout": 1})


async def test_a_server_that_never_answers_ends_at_the_deadline() -> None:
    async def silent(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with client_at(silent, timeout=0.2) as client:
        with pytest.raises(TimedOut):
            await ask(client)
        assert outcome(client) == ({"error": 1}, {"timeout": 1})


async def test_calls_after_a_timeout_are_served() -> None:
    slow = True

    async def handler(_: bytes, writer: asyncio.StreamWriter) -> None:
        if slow:
            await asyncio.sleep(0.4)
        writer.write(plain(b"{}"))

    async with client_at(handler, timeout=0.2) as client:
        with pytest.raises(TimedOut):
            await ask(client)
        slow = False
        assert await ask(client) == {}


# Size.


async def test_a_plain_body_above_the_limit_is_too_large() -> None:
    async def flood(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _megabyte in range(40):
            writer.write(b" " * 2**20)
            await writer.drain()

    async with client_at(flood) as client:
        with pytest.raises(AnswerTooLarge, match="larger than 8 MiB"):
            await ask(client)
        assert outcome(client) == ({"200": 1}, {"too_large": 1})


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    body = b'"' + b"x" * (SIZE_LIMIT - 2) + b'"'
    packed = {"Content-Encoding": "gzip"}
    async with client_of(lambda _: response(body=gzip.compress(body), headers=packed)) as client:
        assert await ask(client) == "x" * (SIZE_LIMIT - 2)


def bomb() -> bytes:
    """100 MB of blanks, packed."""
    pack = zlib.compressobj(wbits=31)
    return b"".join(pack.compress(b" " * 2**20) for _ in range(100)) + pack.flush()


async def test_a_gzip_bomb_is_too_large_and_is_never_unpacked_as_a_whole() -> None:
    body = bomb()
    assert len(body) < 200_000
    async with client_at(answering(plain(body, headers="Content-Encoding: gzip\r\n"))) as client:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLarge):
                await ask(client)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * SIZE_LIMIT
        assert outcome(client) == ({"200": 1}, {"too_large": 1})


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP"])
async def test_a_packed_body_is_unpacked(coding: str) -> None:
    packed = plain(gzip.compress(b'{"a": 1}'), headers=f"Content-Encoding: {coding}\r\n")
    async with client_at(answering(packed)) as client:
        assert await ask(client) == {"a": 1}


@pytest.mark.parametrize(
    ("coding", "body", "told"),
    [
        ("br", b"{}", "a content coding that was not asked for"),
        ("deflate", zlib.compress(b"{}"), "a content coding that was not asked for"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), "a content coding that was not asked for"),
        ("gzip", b"{}", "not the gzip that its header promises"),
        ("gzip", gzip.compress(b"{}" * 1000)[:-12], "the gzip body is cut off"),
        ("gzip", b"", "the gzip body is cut off"),
        ("gzip", gzip.compress(b"{}")[:-8] + b"\0" * 8, "not the gzip that its header promises"),
    ],
    ids=["br", "deflate", "twice", "not packed", "cut off", "empty", "checksum"],
)
async def test_a_body_that_cannot_be_unpacked_breaks_the_contract(coding: str, body: bytes, told: str) -> None:
    async with client_of(lambda _: response(200, body, {"Content-Encoding": coding})) as client:
        with pytest.raises(ContractBroken, match=told):
            await ask(client)
        assert outcome(client) == ({"200": 1}, {"contract": 1})


async def test_an_error_that_cannot_be_unpacked_is_told_by_its_status() -> None:
    async with client_of(lambda _: response(429, b"x", {"Content-Encoding": "br", "Retry-After": "9"})) as client:
        with pytest.raises(RateLimited):
            await ask(client)
        assert client.limit.pause_left == pytest.approx(9, abs=0.5)


# Redirects.


async def test_a_redirect_within_the_host_keeps_the_credentials() -> None:
    seen = []

    async def moved(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        onward = plain(b"", "307 Temporary Redirect", "Location: /moved\r\n")
        writer.write(plain(b"[1]") if head.startswith(b"GET /moved") else onward)

    async with client_at(moved) as client:
        assert await ask(client) == [1]
        assert outcome(client) == ({"307": 1, "200": 1}, {})
    assert [b"authorization: token" in head.lower() for head in seen] == [True, True]


# Authentication that answers to what the vendor says.


async def test_a_digest_is_made_from_the_challenge_in_the_first_answer() -> None:
    seen = []

    async def challenges(head: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(head)
        challenge = 'WWW-Authenticate: Digest realm="api", qop="auth", nonce="c0ffee", algorithm=SHA-256\r\n'
        answered = b'username="team"' in head and b'nonce="c0ffee"' in head and b"response=" in head
        writer.write(plain(b"[1]") if answered else plain(b"{}", "401 Unauthorized", challenge))

    async with client_at(challenges) as client:
        assert await ask(client, auth=httpx.DigestAuth("team", "secret")) == [1]
        assert outcome(client) == ({"401": 1, "200": 1}, {})
    assert [b"Authorization: Digest" in head for head in seen] == [False, True]


class Ticket(httpx.Auth):
    """Reads from each refusal the ticket to ask with."""

    requires_response_body = True

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        while (answer := (yield request)).status_code == 403:
            request.headers["Ticket"] = answer.json()["ticket"]


def refused(ticket: str) -> bytes:
    body = gzip.compress(json.dumps({"ticket": ticket}).encode())
    return plain(body, "403 Forbidden", "Content-Encoding: gzip\r\n")


async def test_an_authentication_reads_answers_and_begins_again_after_a_redirect() -> None:
    async def gives_tickets(head: bytes, writer: asyncio.StreamWriter) -> None:
        target = head.split()[1].decode()
        if f"ticket: {target}" not in head.decode().lower():
            writer.write(refused(target))
        else:
            moved = plain(b"", "307 Temporary Redirect", "Location: /moved\r\n")
            writer.write(plain(b"[2]") if target == "/moved" else moved)

    async with client_at(gives_tickets) as client:
        assert await ask(client, auth=Ticket()) == [2]
        assert outcome(client) == ({"403": 2, "307": 1, "200": 1}, {})


async def test_an_authentication_that_asks_without_end_is_ended() -> None:
    async def refuses(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(refused("another"))

    async with client_at(refuses) as client:
        with pytest.raises(AuthRefused):
            await ask(client, auth=Ticket())
        assert outcome(client) == ({"403": 4}, {"auth": 1})


@pytest.mark.parametrize("target", ["http://localhost:{port}/", "http://127.0.0.1:{port}/", "//127.0.0.1:{port}/x"])
async def test_another_host_or_port_is_never_contacted(target: str) -> None:
    contacted = []

    async def other(head: bytes, writer: asyncio.StreamWriter) -> None:
        contacted.append(head)
        writer.write(plain(b"[]"))

    async with server(other) as address:
        location = target.format(port=address.rpartition(":")[2])
        async with client_at(answering(plain(b"", "302 Found", f"Location: {location}\r\n"))) as client:
            with pytest.raises(ContractBroken, match="another host"):
                await ask(client)
            assert outcome(client) == ({"302": 1}, {"contract": 1})
    assert contacted == []


@pytest.mark.parametrize(
    ("base", "location", "followed"),
    [
        ("http://vendor.example", "https://vendor.example/tasks", True),
        ("https://vendor.example", "http://vendor.example/tasks", False),
        ("http://vendor.example:8080", "https://vendor.example:8443/tasks", False),
        ("https://vendor.example", "https://vendor.example:8443/tasks", False),
        ("https://vendor.example", "https://vendor.example.evil.example/tasks", False),
        ("https://vendor.example", "https://user:password@evil.example/tasks", False),
        ("https://vendor.example", "https://VENDOR.example:443/moved", True),
    ],
)
async def test_which_redirects_are_followed(base: str, location: str, followed: bool) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return response(302, b"", {"Location": location}) if len(asked) == 1 else response()

    client = Client(base, rate=1e9, transport=httpx.MockTransport(answer))
    if followed:
        await ask(client)
    else:
        with pytest.raises(ContractBroken):
            await ask(client)
    await client.aclose()
    assert len(asked) == (2 if followed else 1)


@pytest.mark.parametrize("location", ["/tasks", ""])
async def test_redirects_without_end(location: str) -> None:
    async with client_of(lambda _: response(302, b"", {"Location": f"/api{location}"})) as client:
        with pytest.raises(ContractBroken, match="redirects without end") as caught:
            await ask(client)
        assert caught.value.cause is Cause.WRONG_URL
        assert outcome(client) == ({"302": 4}, {"contract": 1})


@pytest.mark.parametrize("location", ["http://[", "gopher://vendor.example/", "http://vendor.example:99999/"])
async def test_a_location_that_is_no_url(location: str) -> None:
    async with client_of(lambda _: response(302, b"", {"Location": location})) as client:
        with pytest.raises((ConnectionFailed, ContractBroken)):
            await ask(client)
        assert sum(outcome(client)[1].values()) == 1


async def test_a_redirect_that_says_not_where_to() -> None:
    async with client_of(lambda _: response(302, b"")) as client:
        with pytest.raises(ContractBroken):
            await ask(client)
        assert outcome(client) == ({"302": 1}, {"contract": 1})


# Connections.


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://no-such-host.invalid", r"cannot connect: the host has no address \(DNS\)$"),
        (f"http://{'a' * 64}.invalid", "cannot connect"),
        ("http://a..invalid", "cannot connect|cannot be used"),
        ("http://127.0.0.1:1", "cannot connect: refused, nothing listens there$"),
        ("http://%zz", "cannot connect|cannot be used"),
        ("http://xn--\u2603.invalid", "cannot be used"),
    ],
    ids=["unknown", "label too long", "empty label", "refused", "percent", "unicode"],
)
async def test_hosts_that_cannot_be_reached(url: str, told: str) -> None:
    client = Client(url, rate=1e9, timeout=5)
    with pytest.raises(ConnectionFailed, match=told):
        await ask(client)
    await client.aclose()
    assert outcome(client)[1] == {"connection": 1}
    assert outcome(client)[0] in ({"error": 1}, {})


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes a connection with RST."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def broken(_: bytes, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def broken_body(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":')
    await writer.drain()
    reset(writer)


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (broken, "error"),
        (broken_body, "200"),
        (answering(b""), "error"),
        (answering(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"a":'), "200"),
        (answering(b"SSH-2.0-OpenSSH_9.9\r\n"), "error"),
        (answering(b"HTTP/1.1 99 Odd\r\n\r\n"), "error"),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n{}"), "error"),
        # What comes in one piece with a head is read with it, and what is wrong with it is wrong with all of it.
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "error"),
    ],
    ids=["reset", "reset within the body", "closed", "cut off", "not HTTP", "status 99", "huge header", "bad chunk"],
)
async def test_connections_that_break(handler: Handler, code: str) -> None:
    async with client_at(handler) as client:
        with pytest.raises(ConnectionFailed):
            await ask(client)
        assert outcome(client) == ({code: 1}, {"connection": 1})


# What is not JSON.


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is empty"),
        (b"  \r\n", "the body is empty"),
        (b'{"a": 1', "not JSON"),
        (b'{"a": 1} trailing', "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[" * 200_000 + b"]" * 200_000, "not JSON"),
        (b'{"a":' * 200_000, "not JSON"),
        (b'{"a": ' + b"1" * 5000 + b"}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"\x00" * 100, "not JSON"),
        (b"MARKER", "not JSON"),
    ],
    ids=[
        *("empty", "blank", "truncated", "trailing", "open brackets", "brackets"),
        *("open braces", "huge integer", "byte order mark", "zeros", "word"),
    ],
)
async def test_bodies_that_are_not_json_break_the_contract(body: bytes, told: str) -> None:
    async with client_of(lambda _: response(200, body)) as client:
        with pytest.raises(ContractBroken, match=told) as error:
            await ask(client)
        assert str(error.value).endswith(f"(HTTP 200, {len(body)} bytes)")
        assert outcome(client) == ({"200": 1}, {"contract": 1})


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b'"a\xffb"', "a\0b"),
        (b'"a\\ud800b"', "a\0b"),
        (b'"\\ude00\\ud83d"', "\0\0"),
        (b'"\\ud800 \\ud83d\\ude00 \\\\ud800 \\n"', "\0 \U0001f600 \\ud800 \n"),
        (b"NaN", math.nan),
        (b"-Infinity", -math.inf),
    ],
    ids=["not UTF-8", "half a character", "halves the wrong way round", "what looks like it", "NaN", "Infinity"],
)
def test_a_broken_value_costs_no_other(value: bytes, read: object) -> None:
    answer = Answer(200, httpx.Headers(), b'[{"id": "good"}, {"id": %s}]' % value)
    assert repr(answer.json()) == repr([{"id": "good"}, {"id": read}])


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RequestInvalid),
        (404, RequestInvalid),
        (408, TimedOut),
        (429, RateLimited),
        (500, VendorFailed),
        (502, VendorFailed),
        (503, VendorFailed),
        (504, TimedOut),
    ],
)
async def test_error_pages_are_told_by_their_status(status: int, error: type[CallError]) -> None:
    async with client_of(lambda _: response(status, b"<html><h1>MARKER</h1></html>")) as client:
        with pytest.raises(error) as refused:
            await ask(client)
        assert str(refused.value) == f"the vendor refused the call (HTTP {status})"
        assert outcome(client) == ({str(status): 1}, {error.error: 1})


# Secrets.

MARKED = "MARKED-SECRET"


def echo(status: int) -> Callable[[httpx.Request], httpx.Response]:
    """A vendor that repeats all that it was sent, in every place where something may stand."""
    body = json.dumps({"error": {"code": MARKED, "type": MARKED, "message": MARKED}, MARKED: MARKED}).encode()
    headers = {"Location": f"https://{MARKED}.example/{MARKED}", "X-Echo": MARKED, "Content-Encoding": MARKED}
    return lambda _: response(status, body, headers if status in (200, 302) else {})


@pytest.mark.parametrize(
    "answer",
    [*map(echo, (200, 302, 400, 401, 404, 429, 500)), lambda _: response(200, MARKED.encode())],
    ids=["200", "302", "400", "401", "404", "429", "500", "body"],
)
async def test_no_error_tells_secrets_bodies_or_queries(answer: Callable[[httpx.Request], httpx.Response]) -> None:
    async with client_of(answer) as client:
        with pytest.raises(CallError) as error:
            await client.call(
                "list",
                "POST",
                f"/tasks?key={MARKED}",
                read=read,
                headers={"Authorization": MARKED},
                json={"secret": MARKED},
            )
        assert MARKED not in "".join(traceback.format_exception(error.value))
        assert not any(MARKED in part for key in client.counts for part in key)


@pytest.mark.parametrize("url", [f"http://127.0.0.1:1/{MARKED}", f"http://{MARKED}.invalid", f"http://[{MARKED}"])
async def test_no_connection_error_tells_the_url(url: str) -> None:
    client = Client(url, rate=1e9)
    with pytest.raises(CallError) as error:
        await client.call("list", "GET", f"?key={MARKED}", read=read, headers={"Authorization": MARKED})
    await client.aclose()
    assert MARKED not in "".join(traceback.format_exception(error.value))


async def test_a_header_that_cannot_be_sent_is_an_error_that_hides_it() -> None:
    async with client_at(answering(plain(b"{}"))) as client:
        with pytest.raises(ConnectionFailed) as error:
            await client.call("list", "GET", "/", read=read, headers={"Authorization": f"a\r\nB: {MARKED}"})
        assert MARKED not in "".join(traceback.format_exception(error.value))


def test_the_counts_of_a_client_start_empty() -> None:
    client = Client("https://vendor.example")
    assert client.counts == Counters()


# What failed calls tell.


@pytest.mark.parametrize(
    ("answer", "status", "excerpt"),
    [
        (plain(b'{"msg": "invalid token"}', "401 Unauthorized"), 401, '{msg: "invalid token"}'),
        (plain(b"<h1>Bad Gateway</h1>", "502 Bad Gateway"), 502, "HTML, 20 bytes: Bad Gateway"),
        (plain(b"", "503 Service Unavailable"), 503, "empty"),
        (plain(b"not found"), 200, "text, 9 bytes: not found"),
        (plain(b"\x00\x01"), 200, "binary, 2 bytes"),
        (plain(b"", "302 Found", "Location: http://127.0.0.2:9/\r\n"), 302, ""),
        (plain(b"x" * (SIZE_LIMIT + 1)), 200, ""),
        (plain(b"x", headers="Content-Encoding: gzip\r\n"), 200, ""),
        (plain(b"x", "500 Oops", "Content-Encoding: gzip\r\n"), 500, "empty"),
        (b"", None, ""),
    ],
    ids=["refused", "page", "empty", "text", "binary", "redirect", "too large", "not packed", "unreadable", "none"],
)
async def test_a_failed_call_tells_endpoint_status_and_an_excerpt(
    answer: bytes, status: int | None, excerpt: str
) -> None:
    async with client_at(answering(answer)) as client:
        with pytest.raises(CallError) as failure:
            await ask(client)
    error = failure.value
    assert (error.endpoint, error.status, error.excerpt) == ("list", status, excerpt)
    assert FailedCall.of(error, 5.0) == FailedCall(5.0, "list", status, error.error, str(error), excerpt, error.cause)


async def test_a_call_that_is_not_sent_during_a_pause_tells_no_endpoint(clock: FakeTime) -> None:
    async with client_of(lambda _: response(429), clock) as client:
        with pytest.raises(RateLimited) as sent:
            await ask(client)
        with pytest.raises(RateLimited) as withheld:
            await ask(client)
    assert (sent.value.endpoint, sent.value.status) == ("list", 429)
    assert (withheld.value.endpoint, withheld.value.status) == ("", None)
    assert FailedCall.of(withheld.value, 5.0) is None


async def test_an_error_raised_on_a_refusal_stands_for_the_refused_call() -> None:
    async def ask_and_explain(client: Client) -> None:
        try:
            await ask(client)
        except AuthRefused as refused:
            error = AuthRefused("thrown out")
            error.before = refused
            raise error from None

    async with client_of(lambda _: response(401)) as client:
        with pytest.raises(AuthRefused, match="thrown out") as failure:
            await ask_and_explain(client)
    assert FailedCall.of(failure.value, 5.0) == FailedCall(
        5.0, "list", 401, "auth", "thrown out", "{}", Cause.CREDENTIALS
    )


@pytest.mark.parametrize("sent", ["token", "Bearer", "invalid", "access token invalid"])
async def test_an_excerpt_repeats_nothing_that_was_sent(sent: str) -> None:
    """Not even where it is made of words that error messages are made of."""
    async with client_of(lambda _: response(401, json.dumps({"msg": f"wrong: {sent}"}).encode())) as client:
        for credentials in ({"headers": {"X-Token": sent}}, {"json": {"auth": [{"key": sent}]}}):
            with pytest.raises(AuthRefused) as failure:
                await client.call("list", "GET", "/tasks", read=read, **credentials)
            assert sent not in failure.value.excerpt


class Witness:
    """Looks on, and prevents calls of an endpoint."""

    def __init__(self, withheld: str = "") -> None:
        self.exchanges: list[Exchange] = []
        self._withheld = withheld

    def asked(self, endpoint: str) -> None:
        if endpoint == self._withheld:
            raise AuthRefused("withheld")

    def answered(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)


async def test_an_onlooker_sees_each_call_as_it_went() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return response(500) if request.url.path.endswith("/bad") else response(200, b"[1]", {"Date": "today"})

    async with client_of(answer) as client:
        client.observer = witness = Witness()
        assert await ask(client) == [1]
        with pytest.raises(VendorFailed) as failure:
            await ask(client, "/bad")
    good, bad = witness.exchanges
    assert (good.endpoint, good.request.url.path, good.error) == ("list", "/api/tasks", None)
    assert good.answer is not None
    assert (good.answer.status, good.answer.body, good.answer.headers["Date"]) == (200, b"[1]", "today")
    assert good.request.headers["Authorization"] == "TOKEN"
    assert bad.error is failure.value
    assert bad.seconds > 0


async def test_an_onlooker_may_prevent_a_call() -> None:
    async with client_of(lambda _: response()) as client:
        client.observer = witness = Witness("list")
        with pytest.raises(AuthRefused, match="withheld"):
            await ask(client)
    assert witness.exchanges == []
    assert outcome(client) == ({}, {})


# Redirects and the rate limit.


async def test_each_redirect_waits_for_a_turn_of_its_own(clock: FakeTime) -> None:
    """Also one that is longer in coming than a call may take: waiting is not the vendor's time."""
    times = []

    def answer(request: httpx.Request) -> httpx.Response:
        times.append(clock.now)
        number = len(times)
        return response(302, headers={"Location": f"/hop/{number}"}) if number < 4 else response()

    async with client_of(answer, clock, rate=0.1) as client:
        await ask(client)
        await ask(client)
        assert [later - earlier for earlier, later in pairwise(times)] == [10.0] * 4
        assert client.counts[("rate_limit_wait_seconds_total",)] == 40
        assert outcome(client) == ({"302": 3, "200": 2}, {})


async def test_a_redirect_is_not_followed_during_a_pause(clock: FakeTime) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        client.limit.pause(30)
        return response(302, headers={"Location": "/there"})

    async with client_of(answer, clock) as client:
        with pytest.raises(RateLimited, match="paused for another 30 s"):
            await ask(client)
        assert asked == ["/api/tasks"]
        assert outcome(client) == ({"302": 1}, {"rate_limited": 1})


# Who answers in the vendor's place.

PAGE = b"<!DOCTYPE html><html><body>Sorry</body></html>"


@pytest.mark.parametrize(
    ("status", "headers", "body", "who"),
    [
        (403, {"cf-ray": "8f-SIN"}, b"error code: 1010", "Cloudflare"),
        (403, {"Server": "cloudflare"}, PAGE, "Cloudflare"),
        (503, {"cf-mitigated": "challenge"}, PAGE, "Cloudflare"),
        (403, {}, b'{"cloudflare_error": true, "error_code": 1010}', "Cloudflare"),
        (202, {"x-amzn-waf-action": "challenge"}, b"", "AWS WAF"),
        (403, {"Server": "AkamaiGHost"}, PAGE, "Akamai"),
        (405, {}, "<html>已被 Web 应用防火墙 拦截</html>".encode(), "Aliyun WAF"),
        (418, {"Server": "CloudWAF"}, PAGE, "Huawei Cloud WAF"),
        (451, {}, b"", "a firewall, proxy or login page"),
        (511, {}, b"", "a firewall, proxy or login page"),
        (566, {"Server": "edgeone"}, PAGE, "Tencent EdgeOne"),
        (200, {}, "<html>login</html>".encode("utf-16"), "a firewall, proxy or login page"),
        (401, {"Server": "nginx", "WWW-Authenticate": "Basic realm=x"}, PAGE, "nginx"),
        (401, {"WWW-Authenticate": "Basic realm=x"}, b"", "a firewall, proxy or login page"),
        (200, {}, b" \n<html>Please log in</html>", "a firewall, proxy or login page"),
    ],
)
async def test_what_answers_in_the_vendors_place_is_named(
    status: int, headers: dict[str, str], body: bytes, who: str
) -> None:
    async with client_of(lambda _: response(status, body, headers)) as client:
        with pytest.raises(Intercepted, match="answered instead of the vendor") as error:
            await ask(client)
        assert str(error.value).startswith(who)
        assert outcome(client) == ({str(status): 1}, {"intercepted": 1})


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b'{"message": "bad key"}', AuthRefused),
        (403, b'{"message": "Access Denied"}', AuthRefused),
        (403, b"", AuthRefused),
        (429, b"error code: 1015", RateLimited),
        (522, b"<html><center>cloudflare</center></html>", VendorFailed),
        (530, b"error code: 1016", VendorFailed),
    ],
)
async def test_behind_a_cdn_the_vendors_own_refusal_stays_its_own(
    status: int, body: bytes, error: type[CallError]
) -> None:
    headers = {"Server": "cloudflare", "CF-RAY": "8f-SIN", "Content-Type": "text/html"}
    async with client_of(lambda _: response(status, body, headers)) as client:
        with pytest.raises(error):
            await ask(client)


async def test_a_redirect_to_a_login_elsewhere_is_not_the_vendors() -> None:
    there = {"Location": "https://login.corp.example/sso?token=MARKER"}
    async with client_of(lambda _: response(302, headers=there)) as client:
        with pytest.raises(Intercepted, match="login page") as error:
            await ask(client)
        assert "MARKER" not in str(error.value)


async def test_an_error_that_is_kept_keeps_no_answer() -> None:
    read_ones: list[weakref.ref[Answer]] = []

    def read_wrongly(answer: Answer) -> object:
        read_ones.append(weakref.ref(answer))
        try:
            return [][answer.status]
        except IndexError:
            raise ContractBroken("not what it ought to be") from None

    kept = None
    async with client_of(lambda request: httpx.Response(200, json={})) as client:
        try:
            await client.call("list", "GET", "/tasks", read=read_wrongly)
        except ContractBroken as error:
            kept = error
    gc.collect()
    assert kept is not None
    assert [one() for one in read_ones] == [None]
