"""A fake Kling as its older calls are: a list and a detail for each kind of task, without totals and filters.

A request is let in with the API key, or with a token that access key and secret key sign.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, query_int
from exporter.simulator.vendors.kling import FAILURES, KEPT, costs, error, good, task_id
from exporter.simulator.world.content import signed_url, user
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Feed, Profile
from exporter.tasks import State

KINDS = ("text2video", "image2video", "omni-video")
OTHER_KINDS = ("avatar/image2video", "multi-image2video", "effects", "motion-control")
"""These have tasks only in a world that has profiles for them."""
API_KEY = "demo-kling-legacy-api-key"
STATES = {
    State.QUEUED: "submitted",
    State.RUNNING: "processing",
    State.SUCCEEDED: "succeed",
    State.FAILED: "failed",
}


def _length(rng: Random) -> float:
    return rng.randrange(5_000, 10_200) / 1000


@dataclass(eq=False)
class KlingLegacy(Vendor):
    """`wall` (Unix seconds) is the clock by which tokens age: the callers' clock, not the world's."""

    type = "kling_legacy"
    prefix = "/kling_legacy"
    keys: ClassVar = {"access_key": "DEMO-KLING-ACCESS-KEY", "secret_key": "demo-kling-secret-key"}
    documented: ClassVar = {"account": (1, 1)}
    profiles = tuple(
        Profile(
            ("kling_legacy", kind),
            per_minute=2,
            queue=(5, 60),
            run=(60, 300),
            output=_length,
            cost=lambda rng: float(rng.choice((1, 2, 3.5))),
            new_id=task_id,
            failures=FAILURES,
        )
        for kind in KINDS
    )
    wall: Callable[[], float] = time.time

    def routes(self) -> list[BaseRoute]:
        made: list[BaseRoute] = [self.route("/account/costs", "account", self._costs)]
        for kind in (*OTHER_KINDS, *KINDS):  # one of two parts first: its list looks like a detail
            path = f"/v1/videos/{kind}"
            made += [
                self.route(path, f"{kind}/list", partial(self._list, kind)),
                self.route(f"{path}/{{task_id}}", f"{kind}/detail", partial(self._detail, kind)),
            ]
        return made

    def over_limit(self) -> Response:
        return error(429, 1302, "The API requests are too fast and exceed the rate limit")

    async def _list(self, kind: str, request: Request) -> Response:
        page, size = query_int(request, "pageNum", 1), query_int(request, "pageSize", 30)
        if page is None or size is None or not 1 <= page <= 1000 or not 1 <= size <= 500:
            return error(400, 1201, "pageNum or pageSize is invalid")
        now = self.world.now()
        lives = [life for life in self._listed(kind) if life.submitted > now - KEPT]
        return good([_row(life, life.at(now)) for life in lives[(page - 1) * size : page * size]])

    async def _detail(self, kind: str, request: Request) -> Response:
        now = self.world.now()
        known = {life.id: life for life in self._listed(kind) if life.submitted > now - KEPT}
        life = known.get(request.path_params["task_id"])
        return good(_row(life, life.at(now))) if life else error(404, 1203, "The requested resource does not exist")

    async def _costs(self, request: Request) -> Response:
        return costs(request, self.world.now())

    def _listed(self, kind: str) -> list[Life]:
        feed: Feed = ("kling_legacy", kind)
        return self.world.listed(feed) if feed in self.world.profiles else []

    def refusal(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token == API_KEY:
            return None
        if not token:
            return error(401, 1001, "Authorization is empty")
        claims = self._claims(token)
        if claims is None or claims.get("iss") != self.keys["access_key"]:
            return error(401, 1002, "Authorization is invalid")
        if claims["nbf"] > self.wall():
            return error(401, 1003, "Authorization is not yet valid")
        return error(401, 1004, "Authorization has expired") if claims["exp"] < self.wall() else None

    def _claims(self, token: str) -> dict[str, Any] | None:
        """What a token says, where it is signed with the secret key."""
        try:
            head, body, signature = token.split(".")
            signed = hmac.new(self.keys["secret_key"].encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
            if _decoded(head) != {"alg": "HS256", "typ": "JWT"} or _bytes(signature) != signed:
                return None
            return _decoded(body)
        except ValueError:
            return None


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _decoded(part: str) -> dict[str, Any]:
    value = json.loads(_bytes(part))
    if not isinstance(value, dict):
        raise ValueError("no claims")
    return value


def _row(life: Life, moment: Moment) -> dict[str, Any]:
    row: dict[str, Any] = {
        "task_id": life.id,
        "task_status": STATES[moment.state],
        "task_status_msg": life.words if moment.state is State.FAILED else "",
        "task_info": {"external_task_id": user(life.id)},
        "created_at": int(life.submitted * 1000),
        "updated_at": int((moment.ended or moment.started or life.submitted) * 1000),
    }
    if moment.state is State.SUCCEEDED:
        length = f"{life.output_seconds or 5.041:.3f}"
        row["task_result"] = {"videos": [{"id": "v1", "url": signed_url(life.id, "v.mp4"), "duration": length}]}
        row["final_unit_deduction"] = f"{life.cost:g}"
        row["final_balance_deduction"] = {"quota": "0", "list_price": "0"}
    return row
