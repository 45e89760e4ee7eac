"""A fake DeerAPI, a gateway of the new-api family: single Sora tasks by API key, the list by user token.

The list comes in three dialects. "new": pages count from 1, `page_size` up to 100, a total, refusals with HTTP 401.
"old": pages count from 0 and hold 10 rows, the rows stand alone, the user id must be sent, and a wrong token is
refused with HTTP 200. "one_hub": `page` and `size` up to 100, the rows in `data.data`, progress as a number.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, query_int
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import PROFILES, SORA
from exporter.tasks import State

Dialect = Literal["new", "old", "one_hub"]

FILTERS = {"task_id", "status", "action", "start_timestamp", "end_timestamp"}
UPSTREAM_EARLIER = 59  # seconds by which the upstream's creation time precedes the gateway's, as in the sample
NOT_START_UNTIL, SUBMITTED_UNTIL = 0.1, 0.3  # shares of the wait; the rest of it is QUEUED


CREDIT, CENTS_A_TASK = 1000, 25.0
"""What the key may spend, in dollars, and what a success costs."""


@dataclass(eq=False)
class DeerAPI(Vendor):
    type = "deerapi"
    profiles = (PROFILES[SORA],)
    prefix = "/deerapi"
    documented: ClassVar = {"sora/list": (180, 180)}
    dialect: Dialect = "new"

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/sora/v1/videos/{task_id}", "sora/detail", self._detail),
            self.route("/api/task/self", "sora/list", self._list),
            *self.billing(),
        ]

    def billing(self) -> list[BaseRoute]:
        """What is left of the key's credit."""
        return [
            self.route("/v1/dashboard/billing/subscription", "account", self._subscription),
            self.route("/v1/dashboard/billing/usage", "account", self._usage),
        ]

    def over_limit(self) -> Response:
        return Response(status_code=429)  # no body at all

    async def _detail(self, request: Request) -> Response:
        if not self._has_key(request):
            return self._no_key(request)
        life = self.world.find(self.profiles[0].feed, request.path_params["task_id"])
        if life is None:
            return VendorJSON({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400)
        return VendorJSON({"code": "success", "message": "", "data": _task(life, life.at(self.world.now()))})

    async def _list(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        now = self.world.now()
        lives = self.world.listed(self.profiles[0].feed)
        if FILTERS & request.query_params.keys():
            lives = [life for life in lives if _asked_for(request, life, life.at(now))]
        page = max(0, query_int(request, "p", 0) or 0)
        if self.dialect == "old":
            return _success([_task(life, life.at(now)) for life in lives[page * 10 : page * 10 + 10]])
        if self.dialect == "one_hub":
            return self._list_of_one_hub(request, lives)
        page, size = page or 1, query_int(request, "page_size", 10) or 10
        size = min(100, size) if size > 0 else 10
        items = [_newer_task(life, life.at(now)) for life in lives[(page - 1) * size : page * size]]
        return _success({"page": page, "page_size": size, "total": len(lives), "items": items})

    def _list_of_one_hub(self, request: Request, lives: Sequence[Life]) -> Response:
        page, size = query_int(request, "page", 1) or 1, query_int(request, "size", 10) or 10
        if page < 1 or not 0 < size <= 100:
            return VendorJSON({"success": False, "message": "invalid page or size"})
        now = self.world.now()
        rows = [_newer_task(life, life.at(now)) for life in lives[(page - 1) * size : page * size]]
        rows = [row | {"progress": int(row["progress"].removesuffix("%"))} for row in rows]
        return _success({"data": rows, "page": page, "size": size, "total_count": len(lives)})

    async def _subscription(self, request: Request) -> Response:
        if not self._has_key(request):
            return self._no_key(request)
        told = {
            "has_payment_method": True,
            "soft_limit_usd": CREDIT,
            "system_hard_limit_usd": CREDIT,
            "access_until": 0,
        }
        return VendorJSON({"object": "billing_subscription", "hard_limit_usd": CREDIT, **told})

    async def _usage(self, request: Request) -> Response:
        if not self._has_key(request):
            return self._no_key(request)
        tasks = sum(kind["finished"]["succeeded"] for kind in self.world.truth()[self.type].values())
        return VendorJSON({"object": "list", "total_usage": tasks * CENTS_A_TASK})

    def _has_key(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.credentials.deerapi_api_key}"

    def _no_key(self, request: Request) -> Response:
        message = "无效的令牌" if request.headers.get("authorization") else "未提供令牌"
        return VendorJSON({"error": {"message": message, "type": "new_api_error"}}, 401)

    def _refusal(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        right = token == self.credentials.deerapi_user_token
        if self.dialect == "new":
            body = {"success": False, "code": "AUTH_UNAUTHORIZED", "message": "无权进行此操作，未登录或 token 无效"}
            return None if right else VendorJSON(body, 401)
        if not token:
            return VendorJSON({"success": False, "message": "无权进行此操作，未登录且未提供 access token"}, 401)
        if not right:
            return VendorJSON({"success": False, "message": "无权进行此操作，access token 无效"})
        if request.headers.get("new-api-user") != self.credentials.deerapi_user_id:
            return VendorJSON({"success": False, "message": "无权进行此操作，New-Api-User 与登录用户不匹配"}, 401)
        return None


def _success(data: Any) -> Response:
    return VendorJSON({"success": True, "message": "", "data": data})


def _asked_for(request: Request, life: Life, moment: Moment) -> bool:
    query = request.query_params
    since, until = query_int(request, "start_timestamp", 0) or 0, query_int(request, "end_timestamp", 0) or 0
    return (
        query.get("task_id") in (None, "", life.id)
        and query.get("status") in (None, "", _status(life, moment))
        and query.get("action") in (None, "", "sora-video")
        and (not since or int(life.submitted) >= since)
        and (not until or int(life.submitted) <= until)
    )


def _status(life: Life, moment: Moment) -> str:
    match moment.state:
        case State.SUCCEEDED:
            return "SUCCESS"
        case State.FAILED | State.CANCELLED:  # the gateway has no word for a cancelled task
            return "FAILURE"
        case State.RUNNING:
            return "IN_PROGRESS"
        case State.QUEUED:
            waited = (moment.at - life.submitted) / (life.queue_seconds or math.inf)
            return "NOT_START" if waited < NOT_START_UNTIL else "SUBMITTED" if waited < SUBMITTED_UNTIL else "QUEUED"
        case _:
            return "UNKNOWN"


def _progress(status: str, moment: Moment) -> str:
    """The gateway's own steps, with the upstream's progress between them. An end is 100%, a bad one too."""
    steps = {"NOT_START": 0, "SUBMITTED": 10, "QUEUED": 20, "IN_PROGRESS": 30 + int(70 * moment.progress)}
    return f"{steps.get(status, 100)}%"


def _task(life: Life, moment: Moment) -> dict[str, Any]:
    status = _status(life, moment)
    reason = (life.words or "") if status == "FAILURE" else ""
    if status == "SUCCESS" and zlib.crc32(life.id.encode()) % 5 == 0:
        reason = signed_url(life.id, "source.mp4")  # older records keep the result's address here
    return {
        "task_id": life.id,
        "notify_hook": "",
        "action": "sora-video",
        "status": status,
        "fail_reason": reason,
        "submit_time": int(life.submitted),
        "start_time": int(moment.started or 0),
        "finish_time": int(moment.ended or 0) if life.end_dated else 0,
        "progress": _progress(status, moment),
        "data": _upstream(life, moment),
    }


def _newer_task(life: Life, moment: Moment) -> dict[str, Any]:
    """A row of the new list: the same task with the gateway's bookkeeping around it."""
    task = _task(life, moment)
    return {
        "id": zlib.crc32(life.id.encode()),
        "created_at": int(life.submitted),
        "updated_at": int(moment.ended or moment.started or life.submitted),
        "platform": "sora",
        "user_id": 1001,
        "username": user(life.id),
        "group": "default",
        "channel_id": 12,
        "quota": 250000,
        "result_url": signed_url(life.id, "source.mp4") if task["status"] == "SUCCESS" else "",
        "properties": {"input": prompt(life.id), "origin_model_name": life.model, "upstream_model_name": life.model},
        **task,
    }


def _upstream(life: Life, moment: Moment) -> dict[str, Any] | None:
    """What Sora itself said last, which the gateway passes on whole. Nothing before it has begun."""
    if moment.started is None and moment.ended is None:
        return None
    words = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "canceled"}
    created = datetime.fromtimestamp(life.submitted - UPSTREAM_EARLIER, UTC).isoformat().replace("+00:00", "Z")
    return {
        "id": life.id,
        "type": "video_gen",
        "status": words.get(moment.state, "running"),
        "created_at": created,
        "prompt": prompt(life.id),
        "actions": {"0": prompt(life.id), "75": prompt(life.id)},
        "title": prompt(life.id),
        "user": user(life.id),
        "model": "turbo",
        "progress_pct": None,
        "progress_pos_in_queue": None,
        "estimated_queue_wait_time": None,
        "queue_status_message": None,
        "failure_reason": None,
        "needs_user_review": False,
        "moderation_result": {"code": None, "is_output_rejection": False, "task_id": life.id, "type": "passed"},
        "n_frames": 150,
        "n_variants": 1,
        "height": 480,
        "width": 854,
        "generations": [_generation(life, created)] if moment.state is State.SUCCEEDED else [],
    }


def _generation(life: Life, created: str) -> dict[str, Any]:
    seconds = life.output_seconds
    if seconds is not None and seconds == int(seconds):
        seconds = int(seconds)  # written 5, not 5.0
    encodings: dict[str, Any] = {
        size: {"duration_secs": seconds, "height": 480, "width": 854, "path": signed_url(life.id, f"{size}.mp4")}
        for size in ("ld", "md", "source")
    }
    encodings["thumbnail"] = {"path": signed_url(life.id, "thumb.webp"), "size": None}
    return {
        "id": "gen_" + life.id.removeprefix("task_"),
        "task_id": life.id,
        "created_at": created,
        "prompt": prompt(life.id),
        "caption": {"0": prompt(life.id)},
        "download_status": "ready",
        "encodings": encodings,
        "moderation_result": {"code": None, "is_output_rejection": False, "task_id": life.id, "type": "passed"},
        "title": prompt(life.id),
        "url": signed_url(life.id, "watermarked.mp4"),
        "user": {"id": user(life.id), "username": None},
    }
