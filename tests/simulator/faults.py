"""Faults ready to be put into `Simulator.faults`: vendors that are silent, slow, broken, rude or confused.

Some answer in the vendor's place; others let it answer, and spoil what it says.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from calendar import timegm
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.simulator.vendor import WELL, hang

__all__ = ["answering", "arriving", "broken_off", "drip", "hang", "keyless", "reset", "rows", "said", "skewed"]

Row = dict[str, Any]

NAMES_OF_ROWS = ("items", "list", "List", "jobs")
STATES = ("status", "state")
TIMES = ("submit_time", "start_time", "finish_time", "create_time", "createdAt")
KEYS = (b"authorization", b"access_token", b"x-auth-token")

HTML = Response("<html><body>We will be back soon.</body></html>", media_type="text/html")
NESTED = Response(b'{"code":0,"data":' * 200_000, media_type="application/json")
HUGE = Response(b'{"data": "' + b"x" * 9_000_000 + b'"}', media_type="application/json")
WRONG_TYPES = JSONResponse({"code": {}, "success": [], "data": "x", "jobs": "x"})
REFUSED_IN_200 = {
    "deerapi": JSONResponse({"success": False, "message": "rate limit exceeded"}),
    "chanjing": JSONResponse({"code": 40001, "msg": "超出QPS限制", "data": None}),
    "facewap": JSONResponse({"code": 429, "msg": "too many requests", "data": None}),
}
"""Too many calls, told with HTTP 200. Huawei's errors have a status of their own."""


def answering(status: int, retry_after: str | None = None) -> ASGIApp:
    return Response("", status, {"Retry-After": retry_after} if retry_after else None)


async def until_a_date(scope: Scope, receive: Receive, send: Send) -> None:
    """Too many calls, until the end of the next second."""
    await answering(429, formatdate(time.time() + 1, usegmt=True))(scope, receive, send)


async def drip(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer of which a byte comes now and then, and never the last."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    leaving = asyncio.ensure_future(_left(receive))
    while not leaving.done():
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.wait({leaving}, timeout=0.05)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def broken_off(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that ends before its length, with the connection."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b'{"code": 0, ', "more_body": True})
    await reset(scope, receive, send)


async def reset(scope: Scope, receive: Receive, send: Send) -> None:
    """The connection is reset; only on the simulator's own server."""
    transport: asyncio.Transport = scope["state"]["transport"]
    now = struct.pack("ii", 1, 0)  # linger for no time: what is left unsent is thrown away, and the other side told so
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    transport.abort()


async def keyless(scope: Scope, receive: Receive, send: Send) -> None:
    """The vendor knows our keys no more, and says so in its own way."""
    headers = [(name, value) for name, value in scope["headers"] if name not in KEYS]
    await scope[WELL]({**scope, "headers": headers}, receive, send)


def said(change: Callable[[bytes], bytes]) -> ASGIApp:
    """What the vendor says, changed."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        status, body = 200, b""

        async def keep(message: Message) -> None:
            nonlocal status, body
            status = message.get("status", status)
            body += message.get("body", b"")

        await scope[WELL](scope, receive, keep)
        await Response(change(body), status, media_type="application/json")(scope, receive, send)

    return answer


def cut(body: bytes) -> bytes:
    return body[: len(body) * 2 // 3]


def rows(change: Callable[[list[Any]], list[Any]]) -> ASGIApp:
    """The rows of each list page, and the one of a detail, changed."""

    def changed(body: bytes) -> bytes:
        whole = json.loads(body)
        inside = whole.get("data", whole)
        if isinstance(inside, dict) and (named := [name for name in NAMES_OF_ROWS if name in inside]):
            inside[named[0]] = change(inside[named[0]] or [])
        elif isinstance(inside, list):
            whole["data"] = change(inside)
        elif inside:
            whole["data"] = (change([inside]) or [None])[0]
        return json.dumps(whole).encode()

    return said(changed)


def each(change: Callable[[Row], Row]) -> Callable[[list[Row]], list[Row]]:
    return lambda given: [change(row) for row in given]


def _set(row: Row, names: Iterable[str], value: Callable[[Any], Any]) -> Row:
    return row | {name: value(row[name]) for name in names if row.get(name)}


def unheard_of(row: Row) -> Row:
    """A row with a state that is in no document."""
    return _set(row, STATES, lambda word: "QUANTUM" if isinstance(word, str) else 777)


def mistyped(row: Row) -> Row:
    """A row with objects where texts and numbers ought to be; its id stays."""
    return _set(row, (*STATES, *TIMES, "progress", "reason", "msg", "fail_reason"), lambda _: {"a": [1]})


def skewed(seconds: float) -> ASGIApp:
    """A vendor whose clock is off."""

    def moved(at: Any) -> Any:
        if isinstance(at, int):
            return at + round(seconds)
        return formatted(_parsed(at) + seconds)

    def formatted(at: float) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))

    return rows(each(lambda row: _set(row, (*TIMES, "end_time", "lastupdate_time"), moved)))


def _parsed(text: str) -> float:
    return float(timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


def arriving(arrive: Callable[[], None]) -> ASGIApp:
    """A list that shifts while it is read: something arrives after each page."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await scope[WELL](scope, receive, send)
        arrive()

    return answer
