"""How requests prove whose they are: each scheme is an `httpx.Auth` that knows the credentials it sends."""

from __future__ import annotations

import base64
import time
import warnings
from collections.abc import Awaitable, Callable, Collection, Generator
from typing import TypeVar
from urllib.parse import quote, unquote_plus

import httpx

from exporter.client.tokens import Token
from exporter.config.models import Secret

T = TypeVar("T")

LIFE = 1800.0
"""Seconds for which a signed token holds."""

RENEWED_BEFORE = 300.0
"""Seconds before its end that a token is signed again."""

EARLIER = 5.0
"""Seconds that a token is dated back, for vendors whose clocks are a little behind ours."""


class Scheme(httpx.Auth):
    """A way to prove whose a request is. `sent` are the texts that no answer may repeat to a log or a page."""

    def __init__(self, credentials: Collection[Secret] = ()) -> None:
        self._credentials = credentials

    async def use(self, attempt: Callable[[httpx.Auth], Awaitable[T]]) -> T:
        """Makes an attempt with the credentials as they are now: files of theirs may have changed."""
        for secret in self._credentials:
            await secret.fresh()
        return await attempt(self)

    @property
    def sent(self) -> Collection[str]:
        return [secret.text for secret in self._credentials]

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self.sign(request)
        yield request

    def sign(self, request: httpx.Request) -> None:
        """Adds what proves whose the request is."""


class Header(Scheme):
    """The credential in a header, after a prefix such as `Bearer ` or `Key `, blank included."""

    def __init__(self, credential: Secret, name: str = "Authorization", prefix: str = "Bearer ") -> None:
        super().__init__([credential])
        self._credential, self._name, self._prefix = credential, name, prefix

    def sign(self, request: httpx.Request) -> None:
        request.headers[self._name] = self._prefix + self._credential.text


class Query(Scheme):
    """The credential in the query. It is in a request of its own, so that no URL that we show holds it."""

    def __init__(self, credential: Secret, name: str) -> None:
        super().__init__([credential])
        self._credential, self._name = credential, name

    @property
    def sent(self) -> Collection[str]:
        return [*super().sent, quote(self._credential.text, safe="")]

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        url = request.url.copy_with(query=self._query(request.url.query.decode()).encode())
        yield httpx.Request(request.method, url, headers=request.headers, content=request.content)

    def _query(self, query: str) -> str:
        """The query as it is, with the credential at its end; a link of the vendor may hold an older one."""
        others = [one for one in query.split("&") if one and unquote_plus(one.partition("=")[0]) != self._name]
        return "&".join([*others, f"{quote(self._name, safe='')}={quote(self._credential.text, safe='')}"])


class Basic(Scheme):
    """RFC 7617. One credential is a user and a password with a colon between, or the two already encoded."""

    def __init__(self, user: Secret, password: Secret | None = None) -> None:
        super().__init__([user, password] if password else [user])
        self._user, self._password = user, password

    @property
    def sent(self) -> Collection[str]:
        parts = [part for text in super().sent for part in text.split(":", 1)]
        return [*super().sent, *parts, self._encoded]

    @property
    def _encoded(self) -> str:
        user = self._user.text
        if self._password is not None:
            user = f"{user}:{self._password.text}"
        return base64.b64encode(user.encode()).decode() if ":" in user else user

    def sign(self, request: httpx.Request) -> None:
        request.headers["Authorization"] = f"Basic {self._encoded}"


class JwtHs256(Scheme):
    """A token that we sign ourselves (RFC 7519), again before it ends and when the credentials change."""

    def __init__(self, issuer: Secret, secret: Secret, wall_clock: Callable[[], float] = time.time) -> None:
        import jwt  # not at the start: few vendors want it, and it brings `cryptography` along where that is installed

        super().__init__([issuer, secret])
        self._encode, self._short_secret = jwt.encode, jwt.InsecureKeyLengthWarning
        self._issuer, self._secret, self._wall_clock = issuer, secret, wall_clock
        self._signed: tuple[str, str, float, str] | None = None

    @property
    def sent(self) -> Collection[str]:
        return [*super().sent, *([self._signed[3]] if self._signed else ())]

    def sign(self, request: httpx.Request) -> None:
        request.headers["Authorization"] = f"Bearer {self._token()}"

    def _token(self) -> str:
        now = self._wall_clock()
        issuer, secret = self._issuer.text, self._secret.text
        made = self._signed
        # A clock that was set back would keep a token of the future: it is signed again, too.
        if made is None or made[:2] != (issuer, secret) or not 0 <= now - made[2] < LIFE - RENEWED_BEFORE:
            claims = {"iss": issuer, "exp": int(now + LIFE), "nbf": int(now - EARLIER)}
            with warnings.catch_warnings():  # how long a secret is, the vendor decides
                warnings.simplefilter("ignore", self._short_secret)
                made = issuer, secret, now, self._encode(claims, secret, algorithm="HS256")
            self._signed = made
        return made[3]


class TokenHeader(Scheme):
    """A token that may end, in a header: where it is refused, another one that there is by now is tried."""

    def __init__(self, token: Token, name: str = "Authorization", prefix: str = "") -> None:
        super().__init__()
        self._token, self._name, self._prefix = token, name, prefix

    async def use(self, attempt: Callable[[httpx.Auth], Awaitable[T]]) -> T:
        return await self._token.use(lambda token: attempt(Header(Secret(token), self._name, self._prefix)))
