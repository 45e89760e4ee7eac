"""A fake Volcengine Ark: content generation tasks of the last seven days, in rows that list and detail share.

3D models are in the list too. A cancelled row vanishes after a day. The lite model reports frames instead of seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, query_int
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Failure, Feed, Profile
from exporter.tasks import Reason, State

GENERATION: Feed = ("volcengine_ark", "generation")
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


def _task_id(rng: Random) -> str:
    return f"cgt-20260301101500-{''.join(rng.choices('bcdfghjklmnpqrstvwxz2456789', k=8))}"


@dataclass(eq=False)
class VolcengineArk(Vendor):
    type = "volcengine_ark"
    prefix = "/volcengine_ark/api/v3"
    keys: ClassVar = {"api_key": "demo-ark-key"}
    profiles = (
        Profile(
            GENERATION,
            per_minute=3,
            queue=(2, 60),
            run=(40, 240),
            cancelled=0.04,
            output=lambda rng: float(rng.choice((5, 10))),
            models=("doubao-seedance-1-0-pro-250528", "doubao-seedance-1-0-lite-t2v-250428"),
            cost=lambda rng: float(rng.randrange(50_000, 300_000)),
            new_id=_task_id,
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

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/contents/generations/tasks", "generation/list", self._list),
            self.route("/contents/generations/tasks/{task_id}", "generation/detail", self._detail),
        ]

    def over_limit(self) -> Response:
        return _error(429, "RateLimitExceeded.EndpointRPMExceeded", "The requests per minute limit is exceeded.")

    async def _list(self, request: Request) -> Response:
        page, size = query_int(request, "page_num", 1), query_int(request, "page_size", 10)
        if page is None or size is None or not 1 <= page <= 500 or not 1 <= size <= 500:
            return _error(400, "InvalidParameter", "The parameter page_num or page_size is not valid.")
        now = self.world.now()
        kept = (life for life in self.world.listed(GENERATION) if self._is_kept(life, now))
        rows = [*(_row(life, life.at(now)) for life in kept), *_models_of_things(now)]
        rows.sort(key=lambda row: -int(row["created_at"]))
        return VendorJSON({"total": len(rows), "items": rows[(page - 1) * size : page * size]})

    async def _detail(self, request: Request) -> Response:
        now = self.world.now()
        life = self.world.find(GENERATION, request.path_params["task_id"])
        if life is None or not self._is_kept(life, now):
            return _error(404, "NotFound", "The requested resource is not found.")
        return VendorJSON(_row(life, life.at(now)))

    def _is_kept(self, life: Life, now: float) -> bool:
        ended = life.at(now).ended or math.inf
        kept = CANCELLED_KEPT if life.end is State.CANCELLED else math.inf
        return life.submitted > now - WINDOW and now - ended < kept

    def refusal(self, request: Request) -> Response | None:
        return (
            None
            if self.knows(request)
            else _error(401, "AuthenticationError", "The API key in the request is missing or invalid.")
        )


def _error(status: int, code: str, message: str) -> Response:
    return VendorJSON({"error": {"code": code, "message": message, "param": "", "type": "BadRequest"}}, status)


def _row(life: Life, moment: Moment) -> dict[str, Any]:
    failed = moment.state is State.FAILED
    expired = failed and life.code == "expired"
    row: dict[str, Any] = {
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


def _models_of_things(now: float) -> Sequence[dict[str, Any]]:
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
