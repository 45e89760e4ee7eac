"""The door before the application: what the web configuration demands of each request, and adds to each answer."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.access.turns import Busy
from exporter.web.access.webconfig import Access, WebConfig
from exporter.web.api.intake import CALLBACKS

HEALTH = ("/-/healthy", "/-/ready")

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="videotask-exporter", charset="UTF-8"'}


def guarded(app: ASGIApp, web: WebConfig) -> ASGIApp:
    """The application for the requests that the web configuration of their moment allows."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        access = web.access

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in access.headers}
                others = [one for one in message["headers"] if one[0].lower() not in names]
                message = {**message, "headers": others + access.headers}
            await send(message)

        allowed = await _denied(access, scope) or app
        await allowed(scope, receive, send_with_headers)

    return answer


async def _denied(access: Access, scope: Scope) -> PlainTextResponse | None:
    """The answer to a request that may not pass."""
    if access.bucket and not access.bucket.allows():
        return PlainTextResponse("Too many requests.\n", 429)
    if not access.users or (access.settings.health_without_auth and scope["path"] in HEALTH):
        return None
    if scope["path"].startswith(CALLBACKS):  # vendors know no users; a callback has a secret of its own
        return None
    authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    try:
        if await access.users.admit(authorization, scope["client"]):
            return None
    except Busy:
        return PlainTextResponse("Too many log-ins at once.\n", 503, {"Retry-After": "1"})
    return PlainTextResponse("A user's name and password are needed.\n", 401, _CHALLENGE)
