"""What RFC 9112 wants of requests beyond what the parser checks, before anything else looks at them."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ABSOLUTE = re.compile(rb"https?://([^/@\\]+)(/.*)?", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(rb"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def framed(app: ASGIApp) -> ASGIApp:
    """The application for requests in every form that a target may have, and without those that are ambiguous."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        names = {name for name, _ in scope["headers"]}
        if {b"content-length", b"transfer-encoding"} <= names:
            # A proxy between may go by the other one, and take the rest for a request of its own (section 6.3).
            await _bad_request("Content-Length and Transfer-Encoding together; send one of them")(scope, receive, send)
            return
        if _SCHEME.match(scope["raw_path"]):
            plain = _origin_form(scope)
            if plain is None:
                why = "not a target that is served here; write the path alone, or http:// and the host before it"
                await _bad_request(why)(scope, receive, send)
                return
            scope = plain

        async def send_the_last(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["state"]["connection"].awaits_body:
                # The rest of the body is not wanted: rather than read it, the connection ends.
                others = [one for one in message["headers"] if one[0].lower() != b"connection"]
                message = {**message, "headers": [*others, (b"connection", b"close")]}
            await send(message)

        await app(scope, receive, send_the_last)

    return answer


def _origin_form(scope: Scope) -> dict[str, Any] | None:
    """The request as if its target had no scheme and host, which stand for the header Host (section 3.2.2)."""
    found = _ABSOLUTE.fullmatch(scope["raw_path"])
    if not found:
        return None
    path = found[2] or b"/"
    headers = [(b"host", found[1]), *(one for one in scope["headers"] if one[0] != b"host")]
    return {**scope, "raw_path": path, "path": unquote(path.decode("ascii")), "headers": headers}


def _bad_request(why: str) -> PlainTextResponse:
    return PlainTextResponse(f"{why}\n", 400, {"Connection": "close"})
