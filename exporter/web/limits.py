"""What a client may take: time, size and connections. Who takes more is cut off, and the others go on.

uvicorn limits the size of a request's head while it arrives, and how long a connection that has been used may idle.
What is here comes on top: a connection that sends nothing, or slowly, or does not read; bodies; too many connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import h11
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


@dataclass(frozen=True)
class Limits:
    """Times in seconds, sizes in bytes."""

    connections: int = 512
    """Open at once. One more closes the one that has waited longest for its client."""
    request: float = 10.0
    """For a whole request to arrive, with its body; for a TLS handshake as well."""
    answer: float = 60.0
    """For an answer to be made and taken."""
    idle: int = 75
    """Between two requests: longer than the usual scrape interval, so that a scrape finds its connection open."""
    url: int = 8 * 1024
    head: int = 16 * 1024
    body: int = 1024 * 1024


class Opened:
    """The open connections, the longest unused first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._transports: dict[Connection, asyncio.BaseTransport] = {}

    def add(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Notes a new connection and what it runs on. Above the limit, one that waits for its client is closed."""
        self._transports.setdefault(connection, transport)
        if len(self._transports) > self.limits.connections:
            self.drop(next((one for one in self._transports if not one.answering), connection))

    def used(self, connection: Connection) -> None:
        if connection in self._transports:
            self._transports[connection] = self._transports.pop(connection)

    def drop(self, connection: Connection) -> None:
        """Closes it at once, whatever state it is in."""
        transport = self._transports.pop(connection, None)
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()

    def remove(self, connection: Connection) -> None:
        """Forgets one that has ended."""
        self._transports.pop(connection, None)


class Connection(H11Protocol):
    """HTTP/1.1 of uvicorn on one connection, with time limits: for the request, for the answer, and between them.

    `admits` says whether a client may stay, given the certificate that it came with.
    """

    def __init__(self, opened: Opened, admits: Callable[[dict[str, Any] | None], bool], **given: Any) -> None:
        super().__init__(**given)
        self._opened, self._admits = opened, admits
        self._phase: Literal["request", "idle"] | RequestResponseCycle | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def answering(self) -> bool:
        """Whether it is our turn: a request is here as a whole, and its answer is not out yet."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it in the same way
        self._opened.add(self, transport)
        if self._admits(transport.get_extra_info("peercert")):
            self._enter("request")
        else:
            self._opened.drop(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._opened.remove(self)
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.answering:
            self._enter("request")
        super().data_received(data)
        if self.answering:
            self._enter(self.cycle)

    def on_response_complete(self) -> None:
        self._opened.used(self)
        super().on_response_complete()  # which may begin with the next request, if that came already
        self._enter(self.cycle if self.answering else "idle")

    def send_400_response(self, msg: str) -> None:
        # uvicorn would also send it in the middle of an answer, and then let the application go on with that answer.
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self._opened.drop(self)

    def _enter(self, phase: Literal["request", "idle"] | RequestResponseCycle) -> None:
        if phase is self._phase:
            return
        self._phase = phase
        if self._deadline:
            self._deadline.cancel()
        limits = self._opened.limits
        within = limits.request if phase == "request" else limits.idle if phase == "idle" else limits.answer
        self._deadline = self.loop.call_later(within, self._opened.drop, self)


class Bucket:
    """Lets requests pass: so many at once, then one each interval, in seconds."""

    def __init__(self, interval: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._burst, self._clock = interval, burst, clock
        self._tokens, self._at = float(burst), clock()

    def allows(self) -> bool:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def limited(app: ASGIApp, limits: Limits) -> ASGIApp:
    """The application behind limits of size: it sees a request once its body is here as a whole and not too large."""

    async def within_limits(scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        announced = next((int(value) for name, value in headers if name == b"content-length"), 0)
        if len(scope["raw_path"]) + len(scope["query_string"]) > limits.url:
            refusal = _refusal(414, f"URL too long; the longest is {limits.url} bytes")
        elif sum(len(name) + len(value) for name, value in headers) > limits.head:
            refusal = _refusal(431, f"headers too large; the most is {limits.head} bytes")
        elif announced <= limits.body:
            body = await _body(receive, limits.body) if announced or _is_chunked(headers) else b""
            if body is None:
                return
            if len(body) <= limits.body:
                await app(scope, _again(body, receive), send)
                return
            refusal = _refusal(413, f"body too large; the most is {limits.body} bytes")
        else:
            refusal = _refusal(413, f"body too large; the most is {limits.body} bytes")
        await refusal(scope, receive, send)

    return within_limits


def _is_chunked(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"transfer-encoding" for name, _ in headers)


def _refusal(status: int, why: str) -> PlainTextResponse:
    # The rest of such a request is not worth reading.
    return PlainTextResponse(f"{why}\n", status, {"Connection": "close"})


async def _body(receive: Receive, most: int) -> bytes | None:
    """The whole body, or so much that it is known to be too large; None if the client has gone."""
    body = bytearray()
    more = True
    while more and len(body) <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body, and then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return first.pop() if first else await receive()

    return receive_again
