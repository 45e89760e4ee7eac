"""A fake DeerAPI, a gateway of the new-api family: single Sora tasks by API key, the list by user token.

The list comes in three dialects. "new": pages count from 1, `page_size` up to 100, a total, refusals with HTTP 401.
"old": pages count from 0 and hold 10 rows, the rows stand alone, the user id must be sent, and a wrong token is
refused with HTTP 200. "one_hub": `page` and `size` up to 100, the rows in `data.data`, progress as a number.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from starlette.responses import Response

from exporter.simulator.vendor import Answer, CallRefused, FakeCall, FakeVendor, Row, VendorJSON, endpoint, utc
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import PROFILES, SORA
from exporter.tasks import State

Dialect = Literal["new", "old", "one_hub"]

FILTERS = {"task_id", "status", "action", "start_timestamp", "end_timestamp"}
UPSTREAM_EARLIER = 59  # seconds by which the upstream's creation time precedes the gateway's, as in the sample
NOT_START_UNTIL, SUBMITTED_UNTIL = 0.1, 0.3  # shares of the wait; the rest of it is QUEUED
CREDIT, CENTS_A_TASK = 1000, 25.0
"""What the key may spend, in dollars, and what a success costs."""


class DeerAPI(FakeVendor):
    type = "deerapi"
    profiles = (PROFILES[SORA],)
    prefix = "/deerapi"
    documented: ClassVar = {"sora/list": (180, 180)}
    dialect: Dialect = "new"

    over_limit = Response(status_code=429)  # no body at all
    unknown = VendorJSON({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400)

    @endpoint("sora/detail", "/sora/v1/videos/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        self._check_key(call)
        return {"code": "success", "message": "", "data": _task(*call.task())}

    @endpoint("sora/list", "/api/task/self")
    def _list(self, call: FakeCall) -> Answer:
        self._check_token(call)
        now, lives = self.world.now(), call.listed()
        if FILTERS & call.query_params.keys():
            lives = [life for life in lives if _asked_for(call, life, life.at(now))]
        page = max(0, _number(call, "p", 0))
        if self.dialect == "old":
            return _success(call.rows(_task, lives[page * 10 : page * 10 + 10]))
        if self.dialect == "one_hub":
            return self._list_of_one_hub(call, lives)
        page, size = page or 1, _number(call, "page_size", 10)
        size = min(100, size) if size > 0 else 10
        items = call.rows(_newer_task, lives[(page - 1) * size : page * size])
        return _success({"page": page, "page_size": size, "total": len(lives), "items": items})

    def _list_of_one_hub(self, call: FakeCall, lives: Sequence[Life]) -> Answer:
        page, size = _number(call, "page", 1), _number(call, "size", 10)
        if page < 1 or not 0 < size <= 100:
            return {"success": False, "message": "invalid page or size"}
        rows = call.rows(_newer_task, lives[(page - 1) * size : page * size])
        rows = [row | {"progress": int(row["progress"].removesuffix("%"))} for row in rows]
        return _success({"data": rows, "page": page, "size": size, "total_count": len(lives)})

    @endpoint("account", "/v1/dashboard/billing/subscription")
    def _subscription(self, call: FakeCall) -> Answer:
        self._check_key(call)
        told = {
            "has_payment_method": True,
            "soft_limit_usd": CREDIT,
            "system_hard_limit_usd": CREDIT,
            "access_until": 0,
        }
        return {"object": "billing_subscription", "hard_limit_usd": CREDIT, **told}

    @endpoint("account", "/v1/dashboard/billing/usage")
    def _usage(self, call: FakeCall) -> Answer:
        self._check_key(call)
        tasks = sum(kind["finished"]["succeeded"] for kind in self.world.truth()[self.type].values())
        return {"object": "list", "total_usage": tasks * CENTS_A_TASK}

    def _check_key(self, call: FakeCall) -> None:
        given = call.headers.get("authorization")
        if given != f"Bearer {self.credentials.deerapi_api_key}":
            message = "无效的令牌" if given else "未提供令牌"
            raise CallRefused(VendorJSON({"error": {"message": message, "type": "new_api_error"}}, 401))

    def _check_token(self, call: FakeCall) -> None:
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        right = token == self.credentials.deerapi_user_token
        if self.dialect == "new":
            if right:
                return
            body = {"success": False, "code": "AUTH_UNAUTHORIZED", "message": "无权进行此操作，未登录或 token 无效"}
            raise CallRefused(VendorJSON(body, 401))
        if not token:
            raise _not_allowed("未登录且未提供 access token", 401)
        if not right:
            raise _not_allowed("access token 无效", 200)
        if call.headers.get("new-api-user") != self.credentials.deerapi_user_id:
            raise _not_allowed("New-Api-User 与登录用户不匹配", 401)


def _not_allowed(why: str, status: int) -> CallRefused:
    return CallRefused(VendorJSON({"success": False, "message": f"无权进行此操作，{why}"}, status))


def _number(call: FakeCall, name: str, default: int) -> int:
    """A parameter as a whole number; the default too where it is 0 or none."""
    try:
        return int(call.query_params.get(name, 0)) or default
    except ValueError:
        return default


def _success(data: Any) -> Row:
    return {"success": True, "message": "", "data": data}


def _asked_for(call: FakeCall, life: Life, moment: LifeMoment) -> bool:
    query = call.query_params
    since, until = _number(call, "start_timestamp", 0), _number(call, "end_timestamp", 0)
    return (
        query.get("task_id") in (None, "", life.id)
        and query.get("status") in (None, "", _status(life, moment))
        and query.get("action") in (None, "", "sora-video")
        and (not since or int(life.submitted) >= since)
        and (not until or int(life.submitted) <= until)
    )


def _status(life: Life, moment: LifeMoment) -> str:
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


def _progress(status: str, moment: LifeMoment) -> str:
    """The gateway's own steps, with the upstream's progress between them. An end is 100%, a bad one too."""
    steps = {"NOT_START": 0, "SUBMITTED": 10, "QUEUED": 20, "IN_PROGRESS": 30 + int(70 * moment.progress)}
    return f"{steps.get(status, 100)}%"


def _task(life: Life, moment: LifeMoment) -> Row:
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


def _newer_task(life: Life, moment: LifeMoment) -> Row:
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


def _upstream(life: Life, moment: LifeMoment) -> dict[str, Any] | None:
    """What Sora itself said last, which the gateway passes on whole. Nothing before it has begun."""
    if moment.started is None and moment.ended is None:
        return None
    words = {State.SUCCEEDED: "succeeded", State.FAILED: "failed", State.CANCELLED: "canceled"}
    created = utc(life.submitted - UPSTREAM_EARLIER, "auto")
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


def _generation(life: Life, created: str | None) -> Row:
    seconds = life.output_seconds
    if seconds is not None and seconds == int(seconds):
        seconds = int(seconds)  # written 5, not 5.0
    encodings: Row = {
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
