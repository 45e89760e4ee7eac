"""Checks SDK-HMAC-SHA256, the signature by which Huawei Cloud recognises an access key.

Written from the description of the algorithm, apart from the exporter's own signer, so that neither can excuse a
mistake of the other.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote

from starlette.requests import Request

ALGORITHM = "SDK-HMAC-SHA256"
VALID_SECONDS = 15 * 60  # how far X-Sdk-Date may be from the vendor's clock
_AUTHORIZATION = re.compile(rf"{ALGORITHM} Access=([^,\s]+), SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{{64}})")


def fault_in(request: Request, body: bytes, access_key: str, secret_key: str, now: float) -> str | None:
    """What is wrong with the request's signature, None if it is right. `now` is Unix seconds."""
    parts = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if parts is None:
        return "incorrect signature format"
    given_key, names, signature = parts.groups()
    if given_key != access_key:
        return "the access key does not exist"
    headers = names.split(";")
    if headers != sorted(headers) or not {"host", "x-sdk-date"} <= set(headers):
        return "the signed headers are incomplete or not in order"
    if any(name not in request.headers for name in headers):
        return "a signed header is missing"
    date = request.headers["x-sdk-date"]
    try:
        sent = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return "X-Sdk-Date is not a date"
    if abs(sent.timestamp() - now) > VALID_SECONDS:
        return "the signature has expired"
    canonical = _canonical_request(request, headers, body)
    to_sign = f"{ALGORITHM}\n{date}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    expected = hmac.new(secret_key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(expected, signature) else "the signature does not match"


def _canonical_request(request: Request, headers: list[str], body: bytes) -> str:
    return "\n".join(
        (
            request.method,
            _canonical_path(request),
            _canonical_query(request.url.query),
            "".join(f"{name}:{request.headers[name].strip()}\n" for name in headers),
            ";".join(headers),
            request.headers.get("x-sdk-content-sha256") or hashlib.sha256(body).hexdigest(),
        )
    )


def _canonical_path(request: Request) -> str:
    """The path as it came over the wire, each segment encoded again, with a slash at its end."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = "/".join(quote(unquote(segment), safe="~") for segment in raw.decode("ascii").split("/"))
    return path if path.endswith("/") else path + "/"


def _canonical_query(query: str) -> str:
    # A "+" is a plus here, not a space: signers write a space as %20.
    pairs = sorted(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True))
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
