"""A fake Kling as its calls have been since June 2026: one list of all tasks of 30 days, and details by several ids.

Images stand in the same list unless a filter leaves them out. An answer's own message is SUCCEED whatever its tasks do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any, ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, CallRefused, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

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


def error(status: int, code: int, message: str) -> Response:
    """A refusal: it has no `data`."""
    return VendorJSON({"code": code, "message": message, "request_id": "req-1"}, status)


class Kling(FakeVendor):
    type = "kling"
    prefix = "/kling"
    keys: ClassVar = {"api_key": "demo-kling-key"}
    documented: ClassVar = {"account": (1, 1)}
    profiles = (
        Profile(
            ("kling", "task"),
            per_minute=3,
            queue=(5, 60),
            run=(60, 300),
            output=lambda rng: rng.randrange(5_000, 10_200) / 1000,
            cost=lambda rng: float(rng.choice((1, 2, 3.5))),
            new_id=task_id,
            failures=FAILURES,
        ),
    )

    over_limit = error(429, 1302, "The API requests are too fast and exceed the rate limit")
    invalid = error(400, 1201, "The value of limit or filters is invalid")
    unauthorized = error(401, 1002, "Authorization is invalid")

    @endpoint("task/list", "/tasks", "POST")
    def _list(self, call: FakeCall) -> Answer:
        body = call.json_object()
        if body is None:
            return error(400, 1200, "Request parameters are invalid")
        limit, wanted = call.number("limit", 100, most=500), _wanted(body.get("filters", []))
        if wanted is None:
            return self.invalid
        now = self.world.now()
        try:
            since, until, first = _place(body, now)
        except ValueError:
            return error(400, 1201, "start_time, end_time and cursor are texts")
        lives = [life for life in call.listed() if since <= life.submitted <= min(until, now)]
        rows = [row for rows in call.rows(_rows, lives) for row in rows if _passes(row, wanted)]
        following = f"{since}_{until}_{first + limit}" if len(rows) > first + limit else ""
        return good({"result": [_shown(row) for row in rows[first : first + limit]], "next_cursor": following})

    @endpoint("task/detail", "/tasks")
    def _detail(self, call: FakeCall) -> Answer:
        ids, others = call.query_params.get("task_ids"), call.query_params.get("external_task_ids")
        if bool(ids) == bool(others):
            return error(400, 1201, "Either task_ids or external_task_ids is needed, not both")
        lives = [self.world.find(call.feed, one) for one in (ids or "").split(",")]
        kept = [life for life in lives if life is not None and life.submitted > self.world.now() - KEPT]
        return good([_shown(rows[0]) for rows in call.rows(_rows, kept)])

    @endpoint("account", "/account/costs")
    def _costs(self, call: FakeCall) -> Answer:
        return costs(call)

    def check(self, call: FakeCall) -> None:
        if not call.headers.get("authorization"):
            raise CallRefused(error(401, 1001, "Authorization is empty"))
        super().check(call)


def good(data: object) -> Response:
    return VendorJSON({"code": 0, "message": "SUCCEED", "request_id": "req-1", "data": data})


def costs(call: FakeCall) -> Response:
    """The packs that were bought within the times that are asked for, wrapped twice."""
    now = call.vendor.world.now()
    try:
        since, until = (int(call.query_params[name]) / 1000 for name in ("start_time", "end_time"))
    except (KeyError, ValueError):
        return error(400, 1200, "start_time and end_time are needed")
    packs = [_pack("p1", now - 300 * 86400, 820, "online"), _pack("p2", now - 200 * 86400, 17, "expired")]
    bought = [pack for pack in packs if since <= pack["purchase_time"] / 1000 <= until]
    return good({"code": 0, "msg": "success", "resource_pack_subscribe_infos": bought})


def _pack(name: str, bought: float, left: int, status: str) -> Row:
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


def _shown(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "product_type"}


def _rows(life: Life, moment: LifeMoment) -> list[Row]:
    """A task, and for some an image that was made for it."""
    changed = moment.ended or moment.started or life.submitted
    row: Row = {
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
        length = f"{life.output_seconds or 5.041:.3f}"
        row["outputs"] = [{"type": "video", "id": "v1", "url": signed_url(life.id, "video.mp4"), "duration": length}]
        row["billing"] = [{"charge_type": "unit", "amount": f"{life.cost:g}", "package_type": "video"}]
    if life.id[-1] not in "05":
        return [row]
    picture = {"type": "image", "id": "i1", "url": signed_url(life.id, "image.png")}
    times = {"create_time": row["create_time"], "update_time": row["create_time"]}
    image = {"id": f"{life.id}9", "product_type": "image", "status": "succeeded", "outputs": [picture], "billing": []}
    return [row, {**row, **image, **times, "message": ""}]
