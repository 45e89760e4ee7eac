"""What all fake vendors share: credentials, rate limits, counts of requests, and the place where faults come in."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator.world.life import Life
from exporter.simulator.world.profiles import Profile
from exporter.simulator.world.world import World

WELL = "simulator.well"
"""Where a request's scope has the application that answers as if there were no fault."""

Handler = Callable[[Request], Awaitable[Response]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What every simulated account accepts. The defaults are made up, and meant to be seen as such."""

    deerapi_api_key: str = "demo-api-key"
    deerapi_user_token: str = "demo-user-token"  # noqa: S105
    deerapi_user_id: str = "1001"
    chanjing_access_token: str = "demo-access-token"  # noqa: S105 (valid until another one is issued)
    chanjing_app_id: str = "demo-app-id"
    chanjing_secret_key: str = "demo-app-secret"  # noqa: S105
    huawei_project_id: str = "demo-project-id"
    huawei_auth_token: str = "demo-auth-token"  # noqa: S105
    huawei_access_key: str = "DEMO-ACCESS-KEY"
    huawei_secret_key: str = "demo-secret-key"  # noqa: S105
    huawei_domain: str = "demo-domain"
    huawei_username: str = "demo-user"
    huawei_password: str = "demo-password"  # noqa: S105
    facewap_token: str = "demo-facewap-token"  # noqa: S105

    def of(self, provider_type: str) -> dict[str, str]:
        """The settings with which a provider of one of the first types is let in: one way where there are several."""
        return {
            "deerapi": {
                "api_key": self.deerapi_api_key,
                "user_token": self.deerapi_user_token,
                "user_id": self.deerapi_user_id,
            },
            "chanjing": {"access_token": self.chanjing_access_token},
            "huawei_metastudio": {
                "project_id": self.huawei_project_id,
                "access_key": self.huawei_access_key,
                "secret_key": self.huawei_secret_key,
            },
            "facewap": {"token": self.facewap_token},
        }.get(provider_type, {})

    def to_renew_with(self, provider_type: str) -> dict[str, str]:
        """The same, but the way by which the provider asks for tokens itself where that needs no other address."""
        if provider_type == "chanjing":
            return {"app_id": self.chanjing_app_id, "secret_key": self.chanjing_secret_key}
        return self.of(provider_type)


@dataclass(slots=True)
class RateLimit:
    """At most `requests` in any `seconds`. Refused requests do not count against it."""

    requests: int
    seconds: float = 1.0
    clock: Callable[[], float] = time.monotonic  # real time even in a world whose clock stands still
    _passed: deque[float] = field(default_factory=deque)

    def allows(self) -> bool:
        """Whether one more request may pass now; if so, it has."""
        now = self.clock()
        while self._passed and self._passed[0] <= now - self.seconds:
            self._passed.popleft()
        if len(self._passed) >= self.requests:
            return False
        self._passed.append(now)
        return True


def nearest(table: Mapping[str, T], endpoint: str) -> T | None:
    """The entry for "type/kind/list", else for "type/kind", else for "type"; None without any."""
    while endpoint:
        if endpoint in table:
            return table[endpoint]
        endpoint = endpoint.rpartition("/")[0]
    return None


@dataclass(eq=False)
class Vendor(ABC):
    """One fake vendor. Subclasses give the routes, and say how it answers who asks too often.

    Endpoints have names such as `sora/list`, `sora/detail` or `token`. `requests` counts what arrived at each,
    answered or refused. `faults` maps "type", "type/kind" or "type/endpoint" to an ASGI app (a Starlette Response is
    one) that answers instead of the vendor; `limits` maps the same keys to rate limits.
    """

    type: ClassVar[str]
    profiles: ClassVar[tuple[Profile, ...]]
    """How tasks go, for each feed."""
    prefix: ClassVar[str]
    """Where it stands at the simulator, with the path of the vendor's own base_url at the end."""
    keys: ClassVar[Mapping[str, Any]] = {}
    """The settings with which a provider is let in, where `Credentials` has none."""
    lists_in_flight: ClassVar[bool] = True
    """Whether its lists, where it has some, show tasks in flight; else programs have to report their ids."""
    documented: ClassVar[Mapping[str, tuple[int, float]]] = {}
    """The limits that documents state: endpoint -> (requests, in so many seconds)."""
    world: World
    credentials: Credentials
    limits: Mapping[str, RateLimit]
    faults: Mapping[str, ASGIApp]
    requests: Counter[str] = field(default_factory=Counter, init=False)

    @classmethod
    def lets_in(cls, credentials: Credentials) -> dict[str, Any]:
        """The settings with which a provider is let in: one way where there are several."""
        return {**credentials.of(cls.type), **cls.keys}

    @abstractmethod
    def routes(self) -> list[BaseRoute]:
        """The endpoints, below the vendor's prefix."""

    @abstractmethod
    def over_limit(self) -> Response:
        """What the vendor answers beyond its rate limit."""

    def refusal(self, request: Request) -> Response | None:
        """What the vendor answers to credentials that it does not know; None where they are right.

        Each request is checked before a handler gets it. Vendors whose endpoints take different credentials check in
        their handlers.
        """
        return None

    def knows(self, request: Request, scheme: str = "Bearer", key: str = "api_key") -> bool:
        """Whether the header Authorization has this one of the `keys`."""
        return request.headers.get("authorization") == f"{scheme} {self.keys[key]}"

    def route(self, path: str, endpoint: str, handler: Handler, method: str = "GET") -> Route:
        """A route that counts, fails and limits as ordered, and else is answered by `handler`."""
        return Route(path, _Endpoint(self, endpoint, handler), methods=[method])


class _Endpoint:
    def __init__(self, vendor: Vendor, endpoint: str, handler: Handler) -> None:
        self._vendor, self._endpoint, self._handler = vendor, endpoint, handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        vendor = self._vendor
        name = f"{vendor.type}/{self._endpoint}"
        vendor.requests[self._endpoint] += 1
        fault = nearest(vendor.faults, name)
        if fault is None:
            await self._well(scope, receive, send)
        else:
            await fault({**scope, WELL: self._well}, receive, send)

    async def _well(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = nearest(self._vendor.limits, f"{self._vendor.type}/{self._endpoint}")
        allowed = limit is None or limit.allows()
        request = Request(scope, receive)
        answer = self._vendor.refusal(request) if allowed else self._vendor.over_limit()
        await (answer or await self._handler(request))(scope, receive, send)


async def hang(scope: Scope, receive: Receive, send: Send) -> None:
    """A fault: takes the request and never answers, until the caller gives up."""
    while (await receive())["type"] != "http.disconnect":
        pass


class VendorJSON(JSONResponse):
    """JSON with the vendors' own characters in it, not escaped."""

    media_type = "application/json;charset=utf-8"


def after(lives: Sequence[Life], token: str) -> Sequence[Life] | None:
    """The tasks below one, whose id a vendor gave out as the token of the next page; None where it is not listed."""
    if not token:
        return lives
    place = next((place for place, life in enumerate(lives) if life.id == token), None)
    return None if place is None else lives[place + 1 :]


async def json_object(request: Request) -> dict[str, Any] | None:
    """The body as a JSON object, {} if it is empty, None if it is anything else."""
    body = await request.body()
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def utc(at: float | None, digits: str = "milliseconds") -> str | None:
    """A Unix time as most vendors write it: 2026-03-01T10:15:00.000Z."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec=digits).replace("+00:00", "Z")


def as_int(value: object) -> int | None:
    """A JSON whole number or None; true and false are not numbers."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def query_int(request: Request, name: str, default: int) -> int | None:
    """A query parameter as a whole number, `default` if it is absent, None if it is not one."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        return None
