"""A fake Kling as its calls have been since June 2026: one list of all tasks of 30 days, and details by several ids.

Images stand in the same list unless a filter leaves them out. An answer's own message is SUCCEED whatever its tasks do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, as_int, json_object
from exporter.simulator.world.content import signed_url, user
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Failure, Feed, Profile
from exporter.tasks import Reason, State

TASK: Feed = ("kling", "task")
KEPT = 30 * 86400  # seconds that rows are listed for
STATES = {
    State.QUEUED: "submitted",
    State.RUNNING: "processing",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
}
PRODUCTS = ("video", "image", "try_on")
FAILURES = (
    Failure(Reason.MODERATION, "Risk control refused the content", weight=4),
    Failure(Reason.MODERATION, "The generated video may contain sensitive information"),
    Failure(Reason.INVALID_INPUT, "Failed to download the image"),
    Failure(Reason.PROVIDER_INTERNAL, "Internal error", weight=2),
    Failure(Reason.UNKNOWN, ""),
)
"""No document has the wording of any."""


def task_id(rng: Random) -> str:
    return str(rng.randrange(8 * 10**17, 9 * 10**17))


@dataclass(eq=False)
class Kling(Vendor):
    type = "kling"
    prefix = "/kling"
    keys: ClassVar = {"api_key": "demo-kling-key"}
    documented: ClassVar = {"account": (1, 1)}
    profiles = (
        Profile(
            TASK,
            per_minute=3,
            queue=(5, 60),
            run=(60, 300),
            output=lambda rng: rng.randrange(5_000, 10_200) / 1000,
            cost=lambda rng: float(rng.choice((1, 2, 3.5))),
            new_id=task_id,
            failures=FAILURES,
        ),
    )

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/tasks", "task/list", self._list, "POST"),
            self.route("/tasks", "task/detail", self._detail),
            self.route("/account/costs", "account", self._costs),
        ]

    def over_limit(self) -> Response:
        return error(429, 1302, "The API requests are too fast and exceed the rate limit")

    async def _list(self, request: Request) -> Response:
        body = await json_object(request)
        if body is None:
            return error(400, 1200, "Request parameters are invalid")
        limit, wanted = as_int(body.get("limit", 100)), _wanted(body.get("filters", []))
        if limit is None or not 1 <= limit <= 500 or wanted is None:
            return error(400, 1201, "The value of limit or filters is invalid")
        now = self.world.now()
        try:
            since, until, first = _place(body, now)
        except ValueError:
            return error(400, 1201, "start_time, end_time and cursor are texts")
        lives = [life for life in self.world.listed(TASK) if since <= life.submitted <= min(until, now)]
        rows = [row for life in lives for row in _rows(life, life.at(now)) if _passes(row, wanted)]
        shown, rest = rows[first : first + limit], len(rows) > first + limit
        data = {
            "result": [{key: value for key, value in row.items() if key != "product_type"} for row in shown],
            "next_cursor": f"{since}_{until}_{first + limit}" if rest else "",
        }
        return good(data)

    async def _detail(self, request: Request) -> Response:
        ids, others = request.query_params.get("task_ids"), request.query_params.get("external_task_ids")
        if bool(ids) == bool(others):
            return error(400, 1201, "Either task_ids or external_task_ids is needed, not both")
        now = self.world.now()
        lives = [self.world.find(TASK, one) for one in (ids or "").split(",")]
        kept = [life for life in lives if life is not None and life.submitted > now - KEPT]
        rows = [_rows(life, life.at(now))[0] for life in kept]
        return good([{key: value for key, value in row.items() if key != "product_type"} for row in rows])

    async def _costs(self, request: Request) -> Response:
        return costs(request, self.world.now())

    def refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if given == f"Bearer {self.keys['api_key']}":
            return None
        return error(401, 1002 if given else 1001, "Authorization is invalid" if given else "Authorization is empty")


def good(data: object) -> Response:
    return VendorJSON({"code": 0, "message": "SUCCEED", "request_id": "req-1", "data": data})


def error(status: int, code: int, message: str) -> Response:
    """A refusal: it has no `data`."""
    return VendorJSON({"code": code, "message": message, "request_id": "req-1"}, status)


def costs(request: Request, now: float) -> Response:
    """The packs that were bought within the times that are asked for, wrapped twice."""
    try:
        since, until = (int(request.query_params[name]) / 1000 for name in ("start_time", "end_time"))
    except (KeyError, ValueError):
        return error(400, 1200, "start_time and end_time are needed")
    packs = [_pack("p1", now - 300 * 86400, 820, "online"), _pack("p2", now - 200 * 86400, 17, "expired")]
    bought = [pack for pack in packs if since <= pack["purchase_time"] / 1000 <= until]
    return good({"code": 0, "msg": "success", "resource_pack_subscribe_infos": bought})


def _pack(name: str, bought: float, left: int, status: str) -> dict[str, Any]:
    return {
        "resource_pack_name": f"Video generation {name}",
        "resource_pack_id": name,
        "resource_pack_type": "decreasing_total",
        "total_quantity": 1000.0,
        "remaining_quantity": float(left),
        "purchase_time": int(bought * 1000),
        "effective_time": int(bought * 1000),
        "invalid_time": int((bought + 365 * 86400) * 1000),
        "status": status,
    }


def _wanted(filters: object) -> Mapping[str, list[str]] | None:
    """The values that each filter lets through; None where they are not of the documented form."""
    if not isinstance(filters, list):
        return None
    wanted: dict[str, list[str]] = {}
    for one in filters:
        if not isinstance(one, dict) or one.get("key") not in ("status", "product_type"):
            return None
        allowed = PRODUCTS if one["key"] == "product_type" else tuple(STATES.values())
        if not isinstance(one.get("values"), list) or not {*one["values"]} <= {*allowed}:
            return None
        wanted[one["key"]] = one["values"]
    return wanted


def _passes(row: Mapping[str, Any], wanted: Mapping[str, list[str]]) -> bool:
    return all(row[key] in values for key, values in wanted.items())


def _place(body: Mapping[str, Any], now: float) -> tuple[float, float, int]:
    """The times and the first row that are asked for; with a cursor its own times. Raises ValueError."""
    if cursor := body.get("cursor"):
        begin, end, first = str(cursor).split("_")
        return float(begin), float(end), int(first)
    until = _seconds(body.get("end_time"), math.inf)
    since = _seconds(body.get("start_time"), min(until, now) - KEPT)
    return max(since, now - KEPT), until, 0


def _seconds(value: object, otherwise: float) -> float:
    if value is None:
        return otherwise
    if not isinstance(value, str) or not value.isdecimal():
        raise ValueError("not a text of milliseconds")
    return int(value) / 1000


def _rows(life: Life, moment: Moment) -> list[dict[str, Any]]:
    """A task, and for some an image that was made for it."""
    changed = moment.ended or moment.started or life.submitted
    row: dict[str, Any] = {
        "id": life.id,
        "external_id": user(life.id),
        "product_type": "video",
        "status": STATES[moment.state],
        "message": life.words if moment.state is State.FAILED else "",
        "create_time": int(life.submitted * 1000),
        "update_time": int(changed * 1000),
        "outputs": [],
        "billing": [],
    }
    if moment.state is State.SUCCEEDED:
        row["outputs"] = [
            {
                "type": "video",
                "id": "v1",
                "url": signed_url(life.id, "video.mp4"),
                "duration": _text(life.output_seconds),
            }
        ]
        row["billing"] = [{"charge_type": "unit", "amount": f"{life.cost:g}", "package_type": "video"}]
    if life.id[-1] not in "05":
        return [row]
    picture = {"type": "image", "id": "i1", "url": signed_url(life.id, "image.png")}
    times = {"create_time": row["create_time"], "update_time": row["create_time"]}
    image = {"id": f"{life.id}9", "product_type": "image", "status": "succeeded", "outputs": [picture], "billing": []}
    return [row, {**row, **image, **times, "message": ""}]


def _text(seconds: float | None) -> str:
    return f"{seconds or 5.041:.3f}"
