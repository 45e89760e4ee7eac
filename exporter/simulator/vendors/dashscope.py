"""A fake DashScope: the tasks of a day, whatever they make. The list has the times, the detail has the reasons.

The times of a detail are local ones of Beijing and do not say so. Of a task that it does not know, or not any more, the
detail has the status UNKNOWN.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile, uuid
from exporter.tasks import Reason, State

KEPT = 86400  # seconds: for so long rows are listed, and ended tasks are known
BEIJING = timezone(timedelta(hours=8))
STATES = {
    State.QUEUED: "PENDING",
    State.RUNNING: "RUNNING",
    State.SUCCEEDED: "SUCCEEDED",
    State.FAILED: "FAILED",
    State.CANCELLED: "CANCELED",
}


def _error(status: int, code: str, message: str) -> Response:
    return VendorJSON({"code": code, "message": message, "request_id": "r-0"}, status)


class DashScope(FakeVendor):
    type = "dashscope"
    prefix = "/dashscope"
    keys: ClassVar = {"api_key": "demo-dashscope-key"}
    documented: ClassVar = {"task": (20, 1.0)}
    profiles = (
        Profile(
            ("dashscope", "task"),
            per_minute=3,
            queue=(1, 30),
            run=(40, 300),
            cancelled=0.03,
            output=lambda rng: float(rng.choice((5, 10))),
            models=("wan2.2-t2v-plus", "wan2.5-i2v-preview", "wanx2.1-kf2v-plus"),
            new_id=uuid,
            failures=(
                Failure(
                    Reason.MODERATION,
                    "Input text data may contain inappropriate content.",
                    "DataInspectionFailed",
                    weight=3,
                ),
                Failure(Reason.MODERATION, "Input data is suspected of IP infringement.", "IPInfringementSuspect"),
                Failure(Reason.INVALID_INPUT, "The size is not match the allowed size.", "InvalidParameter"),
                Failure(Reason.PROVIDER_INTERNAL, "An internal error has occurred.", "InternalError.Algo", weight=2),
                Failure(Reason.TIMEOUT, "The request has taken too long.", "InternalError.Timeout"),
            ),
        ),
    )

    over_limit = _error(429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")
    invalid = _error(400, "InvalidParameter", "page_no or page_size is invalid.")
    unauthorized = _error(401, "InvalidApiKey", "Invalid API-key provided.")

    @endpoint("task/list", "/api/v1/tasks/")
    def _list(self, call: FakeCall) -> Answer:
        page, size = call.number("page_no", 1), call.number("page_size", 10)
        now = self.world.now()
        known = (life for life in call.listed() if life.submitted > now - KEPT)
        rows = [*call.rows(_row, known), *_other_work(now)]
        rows.sort(key=lambda row: -int(row["gmt_create"]))
        more = {"page_no": page, "page_size": size, "total_page": math.ceil(len(rows) / size), "total": len(rows)}
        return {"request_id": "r-1", "data": rows[(page - 1) * size : page * size], **more}

    @endpoint("task/detail", "/api/v1/tasks/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        now, task_id = self.world.now(), call.path_params["task_id"]
        life = self.world.find(call.feed, task_id)
        if life is None or now - (life.at(now).ended or now) > KEPT:
            return {"request_id": "r-2", "output": {"task_id": task_id, "task_status": "UNKNOWN"}}
        return {"request_id": "r-2", **_told(life, life.at(now))}


def _row(life: Life, moment: LifeMoment) -> Row:
    row: Row = {
        "task_id": life.id,
        "status": STATES[moment.state],
        "gmt_create": int(life.submitted * 1000),
        "model_name": life.model or "wan2.2-t2v-plus",
        "user_api_unique_key": f"apikey:v1:aigc:text2video:video-synthesis:{life.model or 'wan2.2-t2v-plus'}",
        **_caller(life.id),
    }
    for name, at in (("start_time", moment.started), ("end_time", moment.ended)):
        if at is not None:
            row[name] = int(at * 1000)
    return row


def _told(life: Life, moment: LifeMoment) -> Row:
    """What the detail reports."""
    output: Row = {
        "task_id": life.id,
        "task_status": STATES[moment.state],
        "submit_time": _local(life.submitted),
        "orig_prompt": prompt(life.id),
    }
    for name, at in (("scheduled_time", moment.started), ("end_time", moment.ended)):
        if at is not None:
            output[name] = _local(at)
    if moment.state is State.FAILED:
        return {"output": {**output, "code": life.code, "message": life.words}}
    if moment.state is not State.SUCCEEDED:
        return {"output": output}
    output["actual_prompt"] = prompt(life.id)
    output["video_url"] = signed_url(life.id, "video.mp4")
    output["task_metrics"] = {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0}
    length = int(life.output_seconds or 5)
    usage: Row = {"video_duration": length, "video_ratio": "1280*720", "video_count": 1}
    if life.model.startswith("wan2.5"):
        usage = {"duration": length, "video_duration": 0, "output_video_duration": length, "video_count": 1, "SR": 720}
    return {"output": output, "usage": usage}


def _local(at: float) -> str:
    moment = datetime.fromtimestamp(at, BEIJING)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03}"


def _caller(task_id: str) -> dict[str, str]:
    account = user(task_id)
    return {
        "region": "cn-beijing",
        "request_id": "r-9",
        "api_key_id": account,
        "caller_uid": account,
        "caller_parent_id": account,
    }


def _other_work(now: float) -> list[Row]:
    """Tasks that make no videos: an image that has ended, and speech that is read."""
    at = int(now * 1000)
    return [
        {
            "task_id": "3c777dbc-8cc6-4d80-aa90-000000000001",
            "status": "FAILED",
            "gmt_create": at - 60_000,
            "start_time": at - 59_000,
            "end_time": at - 50_000,
            "model_name": "wan2.2-t2i-flash",
            "user_api_unique_key": "apikey:v1:aigc:text2image:image-synthesis:wan2.2-t2i-flash",
            **_caller("image"),
        },
        {
            "task_id": "cf52b16b-8cc6-4d80-aa90-000000000002",
            "status": "RUNNING",
            "gmt_create": at - 9_000,
            "start_time": at - 8_000,
            "model_name": "paraformer-16k-1",
            "user_api_unique_key": "apikey:v1:audio:asr:transcription:paraformer-16k-1",
            **_caller("speech"),
        },
    ]
