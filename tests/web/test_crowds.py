"""Crowds of clients that are deaf, slow or greedy, over real sockets: others are answered, and memory stays bounded."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from exporter.web.server.capacity import RESERVE, connections
from exporter.web.server.limits import HTTPConnection
from exporter.web.server.opened import Limits, Opened
from tests.harness import PATIENCE, Start, until

from .serving import TLS, Address, Folder, all_of, serving, users
from .test_limits import get, post, status_of

LONG = Limits(request=10 * PATIENCE, answer=10 * PATIENCE, idle=1000)
"""Nobody is cut off by time within a test."""


@contextmanager
def deaf(address: Address, count: int, data: bytes) -> Iterator[list[socket.socket]]:
    """Connections that send this and never read; their buffers are small."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            one = stack.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            one.connect((address.host, address.port))
            one.sendall(data)
            opened.append(one)
        yield opened


@pytest.mark.parametrize("path", ["/large", "/pieces", "/metrics"])
async def test_deaf_readers_lock_nobody_out(path: str) -> None:
    async with serving(limits=replace(LONG, connections=10)) as address:
        with deaf(address, 30, get(path, close=False) * 20):
            for _ in range(20):
                assert (await address.get("/metrics")).status_code == 200
            await until("those above the limit are gone", lambda: address.open <= 10)


async def test_those_who_send_many_requests_at_once_take_turns_with_others() -> None:
    async with serving(limits=LONG) as address:
        every = 3000
        readers = []
        for _ in range(5):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(get("/", close=False) * every)
            readers.append((asyncio.create_task(all_of(reader)), writer))
        await until("the first of them are answered", lambda: address.server.server_state.total_requests > 10)
        assert (await address.get("/metrics")).status_code == 200
        assert address.server.server_state.total_requests < every * len(readers) / 2
        for task, writer in readers:
            writer.transport.abort()
            await task


def stuck(address: Address) -> int:
    every = address.server.server_state.connections
    return sum(one.flow.write_paused for one in every if isinstance(one, HTTPConnection))


async def test_the_connection_that_is_stuck_longest_is_closed() -> None:
    async with serving(limits=replace(LONG, connections=4)) as address, address.http() as client:
        with deaf(address, 3, get("/pieces", close=False)):
            await until("they are stuck", lambda: stuck(address) == 3)
            before = (await client.get("/")).extensions["network_stream"]
            assert (await address.get()).status_code == 200
            assert (await client.get("/")).extensions["network_stream"] is before
            assert stuck(address) == 2


async def test_large_answers_that_nobody_takes_are_bounded_together() -> None:
    async with serving(limits=replace(LONG, memory=100 * 1024 * 1024)) as address:
        with deaf(address, 6, get("/large", close=False)):
            await until("only those that fit are left", lambda: address.open == stuck(address) == 1)
            assert (await address.get("/metrics")).status_code == 200


@pytest.mark.parametrize("tls", ["", TLS], ids=["plain", "TLS"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_that_nobody_wants_is_not_read(folder: Folder, method: str, tls: str) -> None:
    begun = get("/metrics", "Content-Length: 1000000", method=method, close=False)
    chunks = get("/metrics", "Transfer-Encoding: chunked", "Expect: 100-continue", method=method, close=False)
    async with serving(folder.config(tls or "{}")) as address:
        for request in (begun + b"x" * 1000, begun, chunks, chunks + b"1\r\na\r\n" * 1000):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=folder.client() if tls else None
            )
            writer.write(request)
            async with asyncio.timeout(PATIENCE):
                answer = await all_of(reader)
            writer.close()
            assert status_of(answer) == (200 if method == "GET" else 405), request[:200]
            assert b"connection: close" in answer.lower()
            assert b"100 Continue" not in answer


async def test_a_body_is_read_after_the_password_only(folder: Folder) -> None:
    async with serving(folder.config(users(ann="secret"))) as address:
        answer = await address.send(get("/echo", "Content-Length: 1000", "Expect: 100-continue", method="POST"))
    assert status_of(answer) == 401


async def test_bodies_are_bounded_together_and_the_one_stuck_longest_makes_room() -> None:
    some = replace(LONG, memory=4_500_000)
    half = post(b"x" * 900_000, "Content-Length: 1000000")
    async with serving(limits=some) as address, address.http() as client:
        opened = []
        for _ in range(10):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(half)
            await writer.drain()
            opened.append((asyncio.create_task(all_of(reader)), writer))
        await until("those above the limit are gone", lambda: address.open <= 5)
        whole = await client.post("/echo", content=b"y" * 900_000)
        assert whole.content == b"y" * 900_000
        for task, writer in opened:
            writer.close()
            await task


async def test_chunks_without_end_are_cut_off() -> None:
    async with serving(limits=LONG) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(get("/echo", "Transfer-Encoding: chunked", method="POST"))
        answer = asyncio.create_task(all_of(reader))
        async with asyncio.timeout(PATIENCE):
            while not answer.done():
                writer.write(b"1\r\na\r\n" * 1000)
                await asyncio.sleep(0)
        writer.close()
        assert (await address.get()).status_code == 200
        await until("the connection is gone", lambda: address.open <= 1)


async def test_one_who_leaves_in_the_middle_of_a_body_leaves_nothing_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as address:
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(post(b"x" * 100_000, "Content-Length: 1000000"))
        await writer.drain()
        await until("it is there", lambda: address.open == 1)
        writer.transport.abort()
        await until("it is gone", lambda: address.open == 0)
        assert (await address.get()).status_code == 200
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


class Stand:
    """A connection that is stuck or not."""

    def __init__(self, *, is_stuck: bool) -> None:
        self.is_stuck = is_stuck

    def go_on(self) -> None:
        """Has nothing to go on with."""


@asynccontextmanager
async def a_transport() -> AsyncIterator[asyncio.WriteTransport]:
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    try:
        yield writer.transport
    finally:
        writer.close()
        theirs.close()


async def test_memory_that_only_others_at_work_hold_is_refused() -> None:
    opened = Opened(Limits(memory=100))
    async with a_transport() as one, a_transport() as other:
        at_work, newcomer = Stand(is_stuck=False), Stand(is_stuck=True)
        opened.add(at_work, one)
        opened.add(newcomer, other)
        assert opened.hold(at_work, 90)
        assert not opened.hold(newcomer, 20)
        assert not one.is_closing()
        opened.hold(at_work, 0)
        assert opened.hold(newcomer, 20)


@pytest.mark.parametrize(
    ("open_files", "expected"), [(float("inf"), 512), (4096, 512), (1024, 488), (128, 40), (64, 8), (0, 8)]
)
def test_fewer_connections_fit_where_fewer_files_may_be_open(open_files: float, expected: int) -> None:
    assert connections(open_files) == expected


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells which files are open")
@pytest.mark.parametrize("tls", ["", TLS], ids=["plain", "TLS"])
async def test_a_crowd_that_comes_at_once_takes_no_more_files_than_are_left_for_it(folder: Folder, tls: str) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    limit = connections(256)
    async with serving(folder.config(tls or "{}"), Limits(connections=limit)) as address:
        await until("it listens", lambda: address.server.started)
        with ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(socket.create_connection((address.host, address.port), PATIENCE))
            before, most = open_files(), 0
            asked = asyncio.create_task(address.get("/metrics", tls=folder.client() if tls else None))
            while not asked.done():
                most = max(most, open_files())
                await asyncio.sleep(0)
            assert (await asked).status_code == 200
    assert most - before <= 256 - RESERVE


CONFIG = (
    "ledger: {path: ledger.sqlite3}\nproviders: [{name: swap, type: facewap, base_url: 'http://127.0.0.1:9', token: t}]"
)


def test_the_limit_of_open_files_is_raised(start: Start, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(CONFIG)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        exporter = start("--config.file=config.yml", "--web.listen-address=127.0.0.1:0")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert exporter.url
    assert resource.prlimit(exporter.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_no_files_left_is_told_once_and_scrapes_are_still_answered(start: Start, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(CONFIG)
    exporter = start("--config.file=config.yml", "--web.listen-address=127.0.0.1:0")
    url = httpx.URL(exporter.url)
    resource.prlimit(exporter.process.pid, resource.RLIMIT_NOFILE, (40, 40))
    with ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(socket.create_connection((url.host, url.port or 0), PATIENCE))
        for _ in range(3):
            assert httpx.get(url.join("metrics"), timeout=PATIENCE, trust_env=False).status_code == 200
    assert exporter.end() == 0
    assert exporter.stderr.count("no more connections can be accepted") == 1
    assert "out of system resource" not in exporter.stderr
