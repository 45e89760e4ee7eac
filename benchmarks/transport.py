"""How many detail look-ups a second one process makes, and what the transport alone makes of the same bodies.

Goals: at least 2,500 a second, and at least 70 % of the bare transport: httpx's requests and responses carried by
`AiohttpTransport`, without anything that the client does. Reported beside them, each in turn with the client: aiohttp
by itself, which the transport is made of, and httpx as it comes. The vendor is a program of its own:

    python -m benchmarks.transport      serves, and writes its port
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import httpx
from yarl import URL

from benchmarks.goals import Result, at_least, in_turns, runs
from benchmarks.processes import python
from exporter.client.answers import Answer
from exporter.client.client import CONCURRENCY, HEADERS, Client
from exporter.client.transport.transport import AiohttpTransport

CALLS = 4000
"""Of each run; a second and a half."""

TOKEN = {"Authorization": "Bearer sk-0123456789abcdef"}
BODY = json.dumps({
    "id": "task_01jh5c7r3kfvw9n8q2x4y6z8ab",
    "object": "video",
    "model": "sora-2",
    "status": "in_progress",
    "progress": 42,
    "created_at": 1790000000,
    "seconds": "12",
    "size": "1280x720",
    "prompt": "A paper boat sails down a rain-filled gutter past a row of shops. " * 4,
}).encode()  # fmt: skip
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)

Ask = Callable[[str], Awaitable[object]]
"""Looks up what is at a URL, body and all."""


async def run(quick: bool) -> list[Result]:
    calls = 50 if quick else CALLS
    async with python("-m", "benchmarks.transport") as vendor:
        base = f"http://127.0.0.1:{vendor.told}"
        async with _client(base) as ours, _bare() as bare, _aiohttp() as below, _httpx() as plain:
            everyone = [ours, bare, below, plain]
            for ask in everyone:  # connections are not what is measured
                await _rate(ask, base, min(calls, 200))
            times = runs(quick)
            rates = await in_turns(times, *(_measure(ask, base, calls) for ask in everyone))
    look_ups, alone, aiohttps, httpxs = rates
    note = f"{CONCURRENCY} at once, bodies of {len(BODY)} bytes"
    share = at_least(0.7, of_baseline=True)
    return [
        Result("detail look-ups", "calls/s", look_ups, at_least(2500), note=note),
        Result("detail look-ups", "calls/s", look_ups, share, "bare transport", alone, note),
        Result("detail look-ups", "calls/s", look_ups, None, "aiohttp by itself", aiohttps, note),
        Result("detail look-ups", "calls/s", look_ups, None, "httpx as it comes", httpxs, note),
    ]


def _measure(ask: Ask, base: str, calls: int) -> Callable[[], Awaitable[float]]:
    async def measured() -> float:
        return await _rate(ask, base, calls)

    return measured


async def _rate(ask: Ask, base: str, calls: int) -> float:
    """Calls a second, with as many under way as the client has."""
    left = iter(range(calls))

    async def asking() -> None:
        for number in left:
            await ask(f"{base}/sora/v1/videos/task_{number}")

    began = time.perf_counter()
    await asyncio.gather(*(asking() for _ in range(CONCURRENCY)))
    return calls / (time.perf_counter() - began)


@asynccontextmanager
async def _client(base: str) -> AsyncIterator[Ask]:
    client = Client(base, rate=1e9, transport=AiohttpTransport())

    async def ask(url: str) -> object:
        return await client.call("detail", "GET", url, headers=TOKEN, read=Answer.json)

    yield ask
    await client.aclose()


@asynccontextmanager
async def _bare() -> AsyncIterator[Ask]:
    transport = AiohttpTransport()
    headers = HEADERS | {name.encode(): value.encode() for name, value in TOKEN.items()}

    async def ask(url: str) -> object:
        response = await transport.handle_async_request(httpx.Request("GET", url, headers=headers))
        body = await response.aread()
        await response.aclose()
        return body

    yield ask
    await transport.aclose()


@asynccontextmanager
async def _aiohttp() -> AsyncIterator[Ask]:
    headers = {name.decode(): value.decode() for name, value in HEADERS.items()} | TOKEN
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(url: str) -> object:
            async with session.get(URL(url, encoded=True)) as response:
                return await response.read()

        yield ask


@asynccontextmanager
async def _httpx() -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(headers=TOKEN, timeout=None, trust_env=False) as http:  # noqa: S113

        async def ask(url: str) -> object:
            return (await http.get(url)).content

        yield ask


class _Vendor(asyncio.Protocol):
    """Answers all that ends a head, at once and always the same: the calls are what is measured."""

    transport: asyncio.Transport
    received = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP has no other
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *heads, self.received = (self.received + data).split(b"\r\n\r\n")
        self.transport.write(ANSWER * len(heads))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Vendor, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
