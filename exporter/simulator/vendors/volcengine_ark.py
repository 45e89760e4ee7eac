"""A fake Volcengine Ark: content generation tasks of the last seven days, in rows that list and detail share.

3D models are in the list too. A cancelled row vanishes after a day. The lite model reports frames instead of seconds.
"""

from __future__ import annotations

from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

WINDOW = 7 * 86400  # seconds that rows are listed for
CANCELLED_KEPT = 86400
STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "running",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
FRAMES_A_SECOND = 24


def _error(status: int, code: str, message: str) -> Response:
    return VendorJSON({"error": {"code": code, "message": message, "param": "", "type": "BadRequest"}}, status)


class VolcengineArk(FakeVendor):
    type = "volcengine_ark"
    prefix = "/volcengine_ark/api/v3"
    keys: ClassVar = {"api_key": "demo-ark-key"}
    profiles = (
        Profile(
            ("volcengine_ark", "generation"),
            per_minute=3,
            queue=(2, 60),
            run=(40, 240),
            cancelled=0.04,
            output=lambda rng: float(rng.choice((5, 10))),
            models=("doubao-seedance-1-0-pro-250528", "doubao-seedance-1-0-lite-t2v-250428"),
            cost=lambda rng: float(rng.randrange(50_000, 300_000)),
            new_id=lambda rng: f"cgt-20260301101500-{''.join(rng.choices('bcdfghjklmnpqrstvwxz2456789', k=8))}",
            failures=(
                Failure(
                    Reason.MODERATION,
                    "The output video may contain sensitive content.",
                    "OutputVideoSensitiveContentDetected",
                    weight=4,
                ),
                Failure(
                    Reason.MODERATION,
                    "The request failed because the input image may contain real person.",
                    "InputImageSensitiveContentDetected.PrivacyInformation",
                ),
                Failure(Reason.PROVIDER_INTERNAL, "The service encountered an error.", "InternalServiceError"),
                Failure(Reason.INVALID_INPUT, "The image is too small.", "InvalidParameter.ImageSize"),
                Failure(Reason.TIMEOUT, "", "expired"),
            ),
        ),
    )

    over_limit = _error(429, "RateLimitExceeded.EndpointRPMExceeded", "The requests per minute limit is exceeded.")
    invalid = _error(400, "InvalidParameter", "The parameter page_num or page_size is not valid.")
    unknown = _error(404, "NotFound", "The requested resource is not found.")
    unauthorized = _error(401, "AuthenticationError", "The API key in the request is missing or invalid.")

    @endpoint("generation/list", "/contents/generations/tasks")
    def _list(self, call: FakeCall) -> Answer:
        page, size = call.number("page_num", 1, most=500), call.number("page_size", 10, most=500)
        now = self.world.now()
        kept = (life for life in call.listed() if _is_kept(life, life.at(now)))
        rows = [*call.rows(_row, kept), *_models_of_things(now)]
        rows.sort(key=lambda row: -int(row["created_at"]))
        return {"total": len(rows), "items": rows[(page - 1) * size : page * size]}

    @endpoint("generation/detail", "/contents/generations/tasks/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        life, moment = call.task()
        return _row(life, moment) if _is_kept(life, moment) else self.unknown


def _is_kept(life: Life, moment: LifeMoment) -> bool:
    gone = moment.state is State.CANCELLED and moment.at - (moment.ended or moment.at) >= CANCELLED_KEPT
    return life.submitted > moment.at - WINDOW and not gone


def _row(life: Life, moment: LifeMoment) -> Row:
    failed = moment.state is State.FAILED
    expired = failed and life.code == "expired"
    row: Row = {
        "id": life.id,
        "model": life.model or "doubao-seedance-1-0-pro-250528",
        "status": "expired" if expired else STATES[moment.state],
        "error": {"code": life.code, "message": life.words} if failed and not expired else None,
        "created_at": int(life.submitted),
        "updated_at": int(moment.ended or moment.started or life.submitted),
        "resolution": "1080p",
        "ratio": "16:9",
        "framespersecond": FRAMES_A_SECOND,
        "revised_prompt": prompt(life.id),
        "service_tier": "default",
        "execution_expires_after": 172800,
    }
    if moment.state is State.SUCCEEDED:
        tokens = int(life.cost)
        row["content"] = {"video_url": signed_url(life.id, "video.mp4")}
        row["usage"] = {"completion_tokens": tokens, "total_tokens": tokens}
        if "lite" in life.model:
            row["frames"] = int(FRAMES_A_SECOND * (life.output_seconds or 5))
        else:
            row["duration"] = int(life.output_seconds or 5)
    return row


def _models_of_things(now: float) -> list[Row]:
    """Tasks of 3D models, which are no videos: one that runs, and one that has ended."""
    common = {"model": "doubao-seed3d-1-0-250928", "subdivisionlevel": "medium", "fileformat": "glb", "error": None}
    at = int(now)
    ended = {"content": {"file_url": signed_url("3d", "thing.glb")}, "usage": {"total_tokens": 30000}}
    return [
        {"id": "cgt-20260301101500-3dbbb", "status": "running", "created_at": at - 9, "updated_at": at, **common},
        {"id": "cgt-20260301101500-3daaa", "status": "succeeded", "created_at": at - 90, "updated_at": at - 40}
        | common
        | ended,
    ]
