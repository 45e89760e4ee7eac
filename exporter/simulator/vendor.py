"""What all fake vendors share: how calls are counted, limited, read and refused, where faults come in, credentials."""

from __future__ import annotations

import json
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Feed, Profile
from exporter.simulator.world.world import World

WELL = "simulator.well"
"""Where a request's scope has the application that answers as if there were no fault."""

Row = dict[str, Any]
Answer = Response | Row
Handler = Callable[["FakeCall"], Answer]
H = TypeVar("H", bound=Callable[..., Answer])
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
class VendorLimit:
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


class CallRefused(Exception):
    """What a vendor answers instead of what was asked for: raised where a call is checked or handled."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self.answer = answer


class FakeCall(Request):
    """A request to an endpoint of a fake, as its handler reads it."""

    def __init__(self, scope: Scope, vendor: FakeVendor, feed: Feed, content: bytes) -> None:
        super().__init__(scope)
        self.vendor, self.feed, self.content = vendor, feed, content

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object, {} if it is empty, None if it is anything else."""
        try:
            value = json.loads(self.content.strip() or b"{}")
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def number(self, name: str, default: int, least: float = 1, most: float = math.inf) -> int:
        """A whole number of the query, or of the body of a POST. Raises CallRefused if it is none, or out of bounds."""
        value: object
        if self.method == "POST":
            body = self.json_object()
            value = None if body is None else body.get(name, default)
        else:
            try:
                value = int(self.query_params.get(name, default))
            except ValueError:
                value = None
        if type(value) is int and least <= value <= most:  # true and false are no numbers
            return value
        raise CallRefused(self.vendor.invalid)

    def listed(self) -> list[Life]:
        """The tasks of the feed, newest submission first."""
        return self.vendor.world.listed(self.feed)

    def rows(self, row: Callable[[Life, LifeMoment], T], lives: Iterable[Life]) -> list[T]:
        """These tasks as they are now, each as a row of the vendor's."""
        now = self.vendor.world.now()
        return [row(life, life.at(now)) for life in lives]

    def task(self, task_id: str | None = None) -> tuple[Life, LifeMoment]:
        """The task with this id, else that of the path, as it is now. Raises CallRefused where there is none."""
        life = self.vendor.world.find(self.feed, self.path_params["task_id"] if task_id is None else task_id)
        if life is None:
            raise CallRefused(self.vendor.unknown)
        return life, life.at(self.vendor.world.now())


def endpoint(name: str, path: str, method: str = "GET") -> Callable[[H], H]:
    """Lets a handler answer at a path below the vendor's prefix, under a name. One handler may have several.

    A handler returns JSON or a whole response, or raises CallRefused.
    """

    def mark(handler: H) -> H:
        vars(handler).setdefault("answers_at", []).append((name, path, method))
        return handler

    return mark


@dataclass(eq=False)
class FakeVendor:
    """One fake vendor. Subclasses have its handlers, each marked with `endpoint`, and how it refuses calls.

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
    key_header: ClassVar[str] = "authorization"
    """The header in which the first of the `keys` is expected, after `key_scheme`."""
    key_scheme: ClassVar[str] = "Bearer "
    unauthorized: ClassVar[Response | None] = None
    """The answer to a call without this key; None where `check` or the handlers look at credentials themselves."""
    over_limit: ClassVar[Response]
    """The answer beyond the rate limit."""
    invalid: ClassVar[Response]
    """The answer to a number that is none, or out of its bounds."""
    unknown: ClassVar[Response]
    """The answer to the id of a task that there is not."""
    lists_in_flight: ClassVar[bool] = True
    """Whether its lists, where it has some, show tasks in flight; else programs have to report their ids."""
    documented: ClassVar[Mapping[str, tuple[int, float]]] = {}
    """The limits that documents state: endpoint -> (requests, in so many seconds)."""
    world: World
    credentials: Credentials
    limits: Mapping[str, VendorLimit]
    faults: Mapping[str, ASGIApp]
    requests: Counter[str] = field(default_factory=Counter, init=False)

    @classmethod
    def lets_in(cls, credentials: Credentials) -> dict[str, Any]:
        """The settings with which a provider is let in: one way where there are several."""
        return {**credentials.of(cls.type), **cls.keys}

    def has_key(self, call: FakeCall) -> bool:
        """Whether the call has the first of the `keys`."""
        return call.headers.get(self.key_header) == f"{self.key_scheme}{next(iter(self.keys.values()))}"

    def check(self, call: FakeCall) -> None:
        """Looks at the credentials before a handler gets the call. Raises CallRefused."""
        if self.unauthorized is not None and not self.has_key(call):
            raise CallRefused(self.unauthorized)

    def routes(self) -> list[BaseRoute]:
        """The endpoints, below the vendor's prefix: in the order of their handlers, those of a base class first."""
        names = dict.fromkeys(name for one in reversed(type(self).mro()) for name in vars(one))
        handlers = [getattr(self, name) for name in names]
        return [self.route(handler, *place) for handler in handlers for place in getattr(handler, "answers_at", ())]

    def route(self, handler: Handler, name: str, path: str, method: str = "GET") -> Route:
        """A route that counts, fails and limits as ordered, and else is answered by `handler`."""
        return Route(path, _Endpoint(self, name, handler), methods=[method])


class _Endpoint:
    def __init__(self, vendor: FakeVendor, name: str, handler: Handler) -> None:
        self._vendor, self._name, self._handler = vendor, name, handler
        self._feed = vendor.type, name.rpartition("/")[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._vendor.requests[self._name] += 1
        fault = nearest(self._vendor.faults, f"{self._vendor.type}/{self._name}")
        if fault is None:
            await self._well(scope, receive, send)
        else:
            await fault({**scope, WELL: self._well}, receive, send)

    async def _well(self, scope: Scope, receive: Receive, send: Send) -> None:
        vendor = self._vendor
        limit = nearest(vendor.limits, f"{vendor.type}/{self._name}")
        call = FakeCall(scope, vendor, self._feed, await Request(scope, receive).body())
        try:
            if limit is not None and not limit.allows():
                raise CallRefused(vendor.over_limit)
            vendor.check(call)
            answer = self._handler(call)
        except CallRefused as refused:
            answer = refused.answer
        await (answer if isinstance(answer, Response) else VendorJSON(answer))(scope, receive, send)


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


def utc(at: float | None, digits: str = "milliseconds") -> str | None:
    """A Unix time as most vendors write it: 2026-03-01T10:15:00.000Z."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec=digits).replace("+00:00", "Z")
