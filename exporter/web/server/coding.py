"""Which content coding an answer may have (RFC 9110, section 12.5.3)."""

from __future__ import annotations

from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send


@lru_cache(64)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip and does not give the plain form a greater weight."""
    weights: dict[str, float] = {}
    for offer in accept_encoding.lower().split(","):
        coding, *parameters = (piece.strip() for piece in offer.split(";"))
        weights["gzip" if coding == "x-gzip" else coding] = _weight(parameters)
    others = weights.get("*")
    gzip = weights.get("gzip", others)
    identity = weights.get("identity", others if others == 0 else None)
    if gzip is None:  # not named: only where the plain form is refused
        return identity == 0
    return gzip > 0 and gzip >= (weights.get("identity") or 0)


def _weight(parameters: list[str]) -> float:
    """The value of `q`; what is no such value refuses."""
    for name, _, value in (one.partition("=") for one in parameters):
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def accepted(headers: Headers) -> str:
    """The Accept-Encoding header, which may be written in several lines."""
    return ",".join(headers.getlist("Accept-Encoding"))


def weighed(app: ASGIApp) -> ASGIApp:
    """The application, to which a client says `gzip` or nothing: what is within looks for no more than the word."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (given := accepted(Headers(scope=scope))):
            others = [one for one in scope["headers"] if one[0] != b"accept-encoding"]
            said = [(b"accept-encoding", b"gzip")] if takes_gzip(given) else []
            scope = {**scope, "headers": others + said}
        await app(scope, receive, send)

    return answer
