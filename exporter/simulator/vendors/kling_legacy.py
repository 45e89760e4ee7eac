"""A fake Kling as its older calls are: a list and a detail for each kind of task, without totals and filters.

A request is let in with the API key, or with a token that access key and secret key sign.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jwt
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Answer, CallRefused, FakeCall, FakeVendor, Row, endpoint
from exporter.simulator.vendors.kling import FAILURES, KEPT, Kling, costs, error, good, task_id
from exporter.simulator.world.content import signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Profile
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


@dataclass(eq=False)
class KlingLegacy(FakeVendor):
    """`wall` (Unix seconds) is the clock by which tokens age: the callers' clock, not the world's."""

    type = "kling_legacy"
    prefix = "/kling_legacy"
    keys: ClassVar = {"access_key": "DEMO-KLING-ACCESS-KEY", "secret_key": "demo-kling-secret-key-0123456789"}
    documented: ClassVar = {"account": (1, 1)}
    profiles = tuple(
        Profile(
            ("kling_legacy", kind),
            per_minute=2,
            queue=(5, 60),
            run=(60, 300),
            output=lambda rng: rng.randrange(5_000, 10_200) / 1000,
            cost=lambda rng: float(rng.choice((1, 2, 3.5))),
            new_id=task_id,
            failures=FAILURES,
        )
        for kind in KINDS
    )
    wall: Callable[[], float] = time.time

    over_limit = Kling.over_limit
    invalid = error(400, 1201, "pageNum or pageSize is invalid")
    unknown = error(404, 1203, "The requested resource does not exist")

    def routes(self) -> list[BaseRoute]:
        made = super().routes()
        for kind in (*OTHER_KINDS, *KINDS):  # one of two parts first: its list looks like a detail
            path = f"/v1/videos/{kind}"
            made += [
                self.route(self._list, f"{kind}/list", path),
                self.route(self._detail, f"{kind}/detail", path + "/{task_id}"),
            ]
        return made

    def _list(self, call: FakeCall) -> Answer:
        page, size = call.number("pageNum", 1, most=1000), call.number("pageSize", 30, most=500)
        return good(call.rows(_row, self._known(call)[(page - 1) * size : page * size]))

    def _detail(self, call: FakeCall) -> Answer:
        rows = call.rows(_row, (life for life in self._known(call) if life.id == call.path_params["task_id"]))
        return good(rows[0]) if rows else self.unknown

    @endpoint("account", "/account/costs")
    def _costs(self, call: FakeCall) -> Answer:
        return costs(call)

    def _known(self, call: FakeCall) -> list[Life]:
        lives = call.listed() if call.feed in self.world.profiles else []
        return [life for life in lives if life.submitted > self.world.now() - KEPT]

    def check(self, call: FakeCall) -> None:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        if token == API_KEY:
            return
        if not token:
            raise CallRefused(error(401, 1001, "Authorization is empty"))
        claims = self._claims(token)
        if claims.get("iss") != self.keys["access_key"]:
            raise CallRefused(error(401, 1002, "Authorization is invalid"))
        if claims["nbf"] > self.wall():
            raise CallRefused(error(401, 1003, "Authorization is not yet valid"))
        if claims["exp"] < self.wall():
            raise CallRefused(error(401, 1004, "Authorization has expired"))

    def _claims(self, token: str) -> dict[str, Any]:
        """What a token says; nothing where it is not signed with the secret key. `wall` tells whether it has ended."""
        try:
            return jwt.decode(token, self.keys["secret_key"], ["HS256"], {"verify_exp": False, "verify_nbf": False})
        except jwt.InvalidTokenError:
            return {}


def _row(life: Life, moment: LifeMoment) -> Row:
    row: Row = {
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
