"""What a client may take: time, size and connections. Who takes more is cut off, and the others go on.

uvicorn limits the size of a request's head while it arrives, and how long a connection that has been used may idle.
What is here comes on top: a connection that sends nothing, or slowly, or does not read; bodies, which are read where
one is wanted; too many connections, or too much memory for all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

import h11
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from exporter.web.server.opened import Limits, Opened

READ = 8 * 1024
"""Bytes that are read from a connection at once: the parser takes its time for each chunk of a body."""

CHUNKS = 64
"""Chunks of a body that are read at once; then others have their turns, for a byte may be a chunk."""

UNSENT = 32 * 1024
"""Bytes of answers that may wait in a connection before its next piece is held back."""

COUNTED = 64 * 1024
"""Bytes of an answer above which its memory is counted."""

PIECE = 256 * 1024
"""Bytes of a large answer that are handed to a connection at once."""


class _Parser(h11.Connection):
    """Stops after CHUNKS pieces of a body, as if more data were needed, until it may go on."""

    pieces_left = CHUNKS

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.pieces_left == 0:
            return h11.NEED_DATA
        event = super().next_event()
        if isinstance(event, h11.Data):
            self.pieces_left -= 1
        return event


class _Flow(FlowControl):
    """Reads nothing from a connection that waits for its turn, whatever asks for more."""

    waits = False

    def resume_reading(self) -> None:
        if not self.waits:
            super().resume_reading()


class HTTPConnection(H11Protocol):
    """HTTP/1.1 of uvicorn on one connection, with time limits: for the request, for the answer, and between them.

    `admits` says whether a client may stay, given the certificate that it came with.
    """

    def __init__(self, opened: Opened, admits: Callable[[dict[str, Any] | None], bool], **given: Any) -> None:
        super().__init__(**given)
        self.conn = self._parser = _Parser(h11.SERVER, opened.limits.head)
        self.flow: _Flow
        self._opened, self._admits = opened, admits
        self._phase: Literal["request", "idle"] | RequestResponseCycle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._taken = 0
        self._completing = False
        self.app_state = {"connection": self}  # so that the application's limits are this connection's as well

    @property
    def answering(self) -> bool:
        """Whether it is our turn: a request is here as a whole, and its answer is not out yet."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    @property
    def awaits_body(self) -> bool:
        """Whether some of the request's body is still to come."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and cycle.more_body

    @property
    def is_stuck(self) -> bool:
        """Whether the next step is the client's."""
        return not self.answering or self.flow.write_paused

    def hold(self, size: int) -> bool:
        """Notes how many bytes the body of the request, or a piece of its answer, takes in memory."""
        return self._opened.hold(self, size)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if hasattr(transport, "max_size"):  # asyncio's own, without TLS
            transport.max_size = READ
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(UNSENT)
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn narrows it in the same way
        self.flow = _Flow(self.transport)
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
            limits = self._opened.limits
            self._taken += len(data)
            if (
                self._taken > limits.head + limits.body + limits.body // 8
            ):  # chunks that are hardly more than their sizes
                self._opened.drop(self)
                return
        super().data_received(data)
        self._enter_answer()

    def _enter_answer(self) -> None:
        if self.answering:
            self._enter(self.cycle)
        elif self.awaits_body and self.cycle.message_event.is_set() and not self.transport.is_closing():
            self.flow.pause_reading()  # until what has come is taken, and more of it asked for

    def pause_writing(self) -> None:
        self._opened.used(self)
        super().pause_writing()

    def on_response_complete(self) -> None:
        self._completing = True
        super().on_response_complete()
        self._completing = False
        self._enter("idle")

    def handle_events(self) -> None:
        if self.flow.waits:
            return
        if self._completing and self.conn.trailing_data[0]:
            # The next request has come already: such connections have their turns behind those of others.
            self._wait()
            return
        self._parser.pieces_left = CHUNKS
        super().handle_events()
        if self._parser.pieces_left == 0:
            self._wait()

    def _wait(self) -> None:
        self.flow.pause_reading()
        self.flow.waits = True
        self._opened.later(self)

    def go_on(self) -> None:
        """Takes what has come already: the next request, or more of a body."""
        self.flow.waits = False
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if not self.answering:
                self._enter("request")
            self.handle_events()
            self._enter_answer()

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
        self._phase, self._taken = phase, 0
        self._opened.used(self)
        if self._deadline:
            self._deadline.cancel()
        limits = self._opened.limits
        within = limits.request if phase == "request" else limits.idle if phase == "idle" else limits.answer
        self._deadline = self.loop.call_later(within, self._opened.drop, self)


class Bucket:
    """Lets requests pass: so many at once, then one each interval, in seconds."""

    def __init__(self, interval: float, burst: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval, self._burst, self._monotonic = interval, burst, monotonic
        self._tokens, self._at = float(burst), monotonic()

    def allows(self) -> bool:
        now = self._monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def limited(app: ASGIApp, limits: Limits) -> ASGIApp:
    """The application behind limits of size. A body is read when the application asks for it, and in parts."""

    async def within_limits(scope: Scope, receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        announced = next((int(value) for name, value in headers if name == b"content-length"), 0)
        if len(scope["raw_path"]) + len(scope["query_string"]) > limits.url:
            refusal = _limit_answer(414, f"URL too long; the longest is {limits.url} bytes")
        elif sum(len(name) + len(value) for name, value in headers) > limits.head:
            refusal = _limit_answer(431, f"headers too large; the most is {limits.head} bytes")
        elif announced > limits.body:
            refusal = _limit_answer(413, _TOO_LARGE.format(limits.body))
        else:
            connection: HTTPConnection = scope["state"]["connection"]
            try:
                await app(scope, _bounded(receive, connection, limits.body), _in_pieces(send, connection))
            except ClientDisconnect:  # in the middle of a body that was wanted
                pass
            finally:
                connection.hold(0)
            return
        await refusal(scope, receive, send)

    return within_limits


_TOO_LARGE = "body too large; the most is {} bytes"


def _limit_answer(status: int, why: str) -> PlainTextResponse:
    # The rest of such a request is not worth reading.
    return PlainTextResponse(f"{why}\n", status, {"HTTPConnection": "close"})


def _bounded(receive: Receive, connection: HTTPConnection, most: int) -> Receive:
    """A `receive` that refuses a body once it is too large, or once those of all connections are."""
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, f"{_TOO_LARGE.format(most)}\n", {"HTTPConnection": "close"})
        if not connection.hold(size):
            why = "too many bodies at once; try again later\n"
            raise HTTPException(503, why, {"HTTPConnection": "close", "Retry-After": "1"})
        return message

    return receive_some


def _in_pieces(send: Send, connection: HTTPConnection) -> Send:
    """A `send` that hands on a large body in pieces, each once the one before has mostly been taken."""

    async def send_some(message: Message) -> None:
        body = message.get("body", b"")
        if len(body) > COUNTED:
            connection.hold(len(body))
        if len(body) <= PIECE:
            await send(message)
            return
        view = memoryview(body)
        for start in range(0, len(body), PIECE):
            more = message.get("more_body", False) or start + PIECE < len(body)
            await send({"type": "http.response.body", "body": bytes(view[start : start + PIECE]), "more_body": more})

    return send_some
