"""How requests prove whose they are, and that no credential shows anywhere else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.client.answers import Answer
from exporter.client.client import Client, Exchange
from exporter.client.errors import AuthRefused, CallError, refusal
from exporter.client.tokens import GivenToken
from exporter.config.models import FileReference, Secret
from exporter.vendors.declared.auth.schemes import (
    LIFE,
    RENEWED_BEFORE,
    Basic,
    Header,
    JwtHs256,
    Query,
    Scheme,
    TokenHeader,
)

NOW = 1_790_000_000.0


def read(answer: Answer) -> object:
    if answer.status >= 400:
        body = answer.json()
        assert isinstance(body, dict)
        raise refusal(answer.status, code=body.get("code"), text=body.get("message", ""))
    return answer.json()


class Vendor:
    """Keeps the requests and answers each by `answer`."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response] | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self.exchanges: list[Exchange] = []
        self._answer = answer or (lambda _: httpx.Response(200, stream=httpx.ByteStream(b"{}")))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)

    def asked(self, endpoint: str) -> None: ...

    def answered(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    async def call(
        self, scheme: Scheme, url: str = "/v2/renders?page=1", *, method: str = "GET", body: Any = None
    ) -> Any:
        client = Client("https://acme.example", rate=1e9, transport=httpx.MockTransport(self))
        client.observer = self
        try:
            return await scheme.use(lambda auth: client.call("list", method, url, read=read, json=body, auth=auth))
        finally:
            await client.aclose()


async def sent(scheme: Scheme, url: str = "/v2/renders?page=1") -> httpx.Request:
    vendor = Vendor()
    await vendor.call(scheme, url)
    (request,) = vendor.requests
    return request


@pytest.mark.parametrize(
    ("scheme", "name", "value"),
    [
        (Header(Secret("KEY")), "Authorization", "Bearer KEY"),
        (Header(Secret("KEY"), "X-Api-Key", ""), "X-Api-Key", "KEY"),
        (Header(Secret("KEY"), "Authorization", "Key "), "Authorization", "Key KEY"),
        (Header(Secret("KEY"), "Authorization", "Token token="), "Authorization", "Token token=KEY"),
        (Basic(Secret("ada"), Secret("pass:word")), "Authorization", "Basic YWRhOnBhc3M6d29yZA=="),
        (Basic(Secret("ada:pass:word")), "Authorization", "Basic YWRhOnBhc3M6d29yZA=="),
        (Basic(Secret("YWRhOnBhc3M6d29yZA==")), "Authorization", "Basic YWRhOnBhc3M6d29yZA=="),
    ],
    ids=["bearer", "header", "prefix", "other prefix", "two", "one with a colon", "encoded"],
)
async def test_a_credential_in_a_header(scheme: Scheme, name: str, value: str) -> None:
    request = await sent(scheme)
    assert request.headers[name] == value
    assert str(request.url) == "https://acme.example/v2/renders?page=1"


async def test_no_scheme_adds_nothing() -> None:
    request = await sent(Scheme())
    assert "Authorization" not in request.headers
    assert Scheme().sent == []


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("/v2/renders", b"api_key=K%2B%2F%3D%26y"),
        ("/v2/renders?page=1", b"page=1&api_key=K%2B%2F%3D%26y"),
        ("/v2/renders?ids=a,b&ids=c%2Cd&e=%20", b"ids=a,b&ids=c%2Cd&e=%20&api_key=K%2B%2F%3D%26y"),
        ("/v2/renders?flag&api_key=OLD&api%5Fkey=OLD&x=", b"flag&x=&api_key=K%2B%2F%3D%26y"),
    ],
)
async def test_a_credential_in_the_query_is_added_once_and_leaves_the_rest_as_it_is(url: str, query: bytes) -> None:
    request = await sent(Query(Secret("K+/=&y"), "api_key"), url)
    assert request.url.query == query
    assert request.url.path == "/v2/renders"


async def test_a_body_is_sent_with_a_credential_in_the_query() -> None:
    vendor = Vendor()
    await vendor.call(Query(Secret("KEY"), "key"), "/v2/renders", method="POST", body={"page": 1})
    (request,) = vendor.requests
    assert (request.method, json.loads(request.content)) == ("POST", {"page": 1})
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Content-Length"] == str(len(request.content))


async def test_a_redirect_at_the_same_server_gets_the_credential_again() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/renders":
            return httpx.Response(307, headers={"Location": "/v3/renders?page=1"}, stream=httpx.ByteStream(b""))
        return httpx.Response(200, stream=httpx.ByteStream(b"{}"))

    vendor = Vendor(answer)
    await vendor.call(Query(Secret("KEY"), "key"))
    assert [str(one.url) for one in vendor.requests] == [
        "https://acme.example/v2/renders?page=1&key=KEY",
        "https://acme.example/v3/renders?page=1&key=KEY",
    ]


async def test_a_redirect_to_another_server_gets_nothing() -> None:
    moved = httpx.Response(302, headers={"Location": "https://evil.example/?key=KEY"}, stream=httpx.ByteStream(b""))
    vendor = Vendor(lambda _: moved)
    with pytest.raises(CallError) as refused:
        await vendor.call(Query(Secret("KEY"), "key"))
    assert len(vendor.requests) == 1
    assert "KEY" not in str(refused.value)


FAMILIAR = "invalid_request"
"""A credential of words that error messages are made of: only who knows it can keep it out of an excerpt."""

SCHEMES: dict[str, Callable[[str], Scheme]] = {
    "bearer": lambda text: Header(Secret(text)),
    "header": lambda text: Header(Secret(text), "X-Key", "Key "),
    "query": lambda text: Query(Secret(text), "api_key"),
    "basic, the user": lambda text: Basic(Secret(text), Secret("password")),
    "basic, the password": lambda text: Basic(Secret("user"), Secret(text)),
    "basic, one": lambda text: Basic(Secret(f"user:{text}")),
    "issuer": lambda text: JwtHs256(Secret(text), Secret("secret"), lambda: NOW),
    "secret": lambda text: JwtHs256(Secret("issuer"), Secret(text), lambda: NOW),
    "token": lambda text: TokenHeader(GivenToken(Secret(text))),
}


@pytest.mark.parametrize("text", [FAMILIAR, "K+/=&y-Kx"])
@pytest.mark.parametrize("made", SCHEMES.values(), ids=SCHEMES)
async def test_no_answer_brings_a_credential_into_an_error(
    made: Callable[[str], Scheme], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(request: httpx.Request) -> httpx.Response:
        authorization = request.headers.get("Authorization", "")
        body = {
            "code": f"E-{text}",
            "message": f"{text} was refused",
            "error": text,
            "detail": f"refused: {request.url}",
            "msg": f"{authorization} {authorization.partition(' ')[2]}",
            text: 1,
        }
        return httpx.Response(400, stream=httpx.ByteStream(json.dumps(body).encode()))

    vendor = Vendor(echo)
    scheme = made(text)
    with pytest.raises(CallError) as refused:
        await vendor.call(scheme)
    forms = {text, httpx.QueryParams({"x": text}).__str__()[2:], *scheme.sent}
    (exchange,) = vendor.exchanges
    for form in forms - {"user", "password", "secret", "issuer"}:
        assert form not in str(refused.value)
        assert form not in refused.value.excerpt
        assert form not in caplog.text
        assert form not in str(exchange.request.url)


@pytest.fixture
def secret_file(tmp_path: Path) -> Callable[[str], Secret]:
    """A secret in a file that can be written again."""
    path = tmp_path / "key"

    def written(text: str) -> Secret:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
        return Secret._validate(FileReference(str(path)))

    return written


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (lambda secret: Header(secret), lambda request: request.headers["Authorization"].removeprefix("Bearer ")),
        (lambda secret: Query(secret, "key"), lambda request: request.url.params["key"]),
        (
            lambda secret: Basic(Secret("ada"), secret),
            lambda request: base64.b64decode(request.headers["Authorization"][6:]).decode().removeprefix("ada:"),
        ),
    ],
    ids=["bearer", "query", "basic"],
)
async def test_a_credential_whose_file_is_renewed_is_sent_from_then_on(
    secret_file: Callable[[str], Secret], made: Callable[[Secret], Scheme], shown: Callable[[httpx.Request], str]
) -> None:
    scheme = made(secret_file("FIRST"))
    assert shown(await sent(scheme)) == "FIRST"
    secret_file("SECOND-ONE")
    assert shown(await sent(scheme)) == "SECOND-ONE"
    assert "SECOND-ONE" in scheme.sent


class HandClock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def claims(request: httpx.Request, secret: str) -> dict[str, Any]:
    """What a vendor reads in the token, once its signature has proved right."""
    token = request.headers["Authorization"].removeprefix("Bearer ")
    head, body, signature = token.split(".")
    expected = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    assert decoded(signature) == expected
    assert json.loads(decoded(head)) == {"alg": "HS256", "typ": "JWT"}
    told: dict[str, Any] = json.loads(decoded(body))
    return told


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_a_signed_token_tells_who_and_how_long() -> None:
    scheme = JwtHs256(Secret("ISSUER"), Secret("SECRET"), HandClock())
    assert claims(await sent(scheme), "SECRET") == {"iss": "ISSUER", "exp": int(NOW + LIFE), "nbf": int(NOW - 5)}


async def test_a_token_is_signed_again_before_it_ends() -> None:
    clock = HandClock()
    scheme = JwtHs256(Secret("ISSUER"), Secret("SECRET"), clock)
    first = (await sent(scheme)).headers["Authorization"]
    clock.now += LIFE - RENEWED_BEFORE - 1
    assert (await sent(scheme)).headers["Authorization"] == first
    clock.now += 2
    request = await sent(scheme)
    assert request.headers["Authorization"] != first
    assert claims(request, "SECRET")["exp"] == int(clock.now + LIFE)


@pytest.mark.parametrize("back", [1.0, 86400.0])
async def test_a_token_is_signed_again_when_the_clock_is_set_back(back: float) -> None:
    clock = HandClock()
    scheme = JwtHs256(Secret("ISSUER"), Secret("SECRET"), clock)
    await sent(scheme)
    clock.now -= back
    assert claims(await sent(scheme), "SECRET")["nbf"] == int(clock.now - 5)


async def test_a_token_is_signed_again_when_its_secret_is_renewed(secret_file: Callable[[str], Secret]) -> None:
    scheme = JwtHs256(Secret("ISSUER"), secret_file("FIRST"), HandClock())
    claims(await sent(scheme), "FIRST")
    secret_file("SECOND-ONE")
    claims(await sent(scheme), "SECOND-ONE")


async def test_the_token_of_the_moment_is_kept_out_of_excerpts_after_it_was_signed_again() -> None:
    clock = HandClock()
    scheme = JwtHs256(Secret("ISSUER"), Secret("SECRET"), clock)
    await sent(scheme)
    clock.now += LIFE
    request = await sent(scheme)
    assert request.headers["Authorization"].removeprefix("Bearer ") in scheme.sent


async def test_a_refused_token_is_not_hidden_from_the_caller() -> None:
    vendor = Vendor(lambda _: httpx.Response(401, stream=httpx.ByteStream(b"{}")))
    with pytest.raises(AuthRefused):
        await vendor.call(Header(Secret("KEY")))
