"""A fake gateway with the Videos API as OpenAI published it: single videos, and the list of all of a key.

Times are whole seconds, the length of a clip is a text, and a failure may lack the time of its end.
"""

from __future__ import annotations

from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, after, endpoint
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile, hex_id
from exporter.tasks import Reason, State

STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "in_progress",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}
KEPT = 86400
"""Seconds from the submission to `expires_at`."""


def _error(status: int, message: str, code: str | None, kind: str = "invalid_request_error") -> Response:
    return VendorJSON({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)


class OpenAIVideos(FakeVendor):
    type = "openai_videos"
    prefix = "/openai_videos/v1"
    keys: ClassVar = {"api_key": "sk-demo-openai-videos-0123"}
    profiles = (
        Profile(
            ("openai_videos", "video"),
            per_minute=3,
            queue=(2, 60),
            run=(40, 240),
            cancelled=0.02,
            output=lambda rng: float(rng.choice((4, 8, 12))),
            models=("sora-2", "sora-2-pro"),
            new_id=lambda rng: f"video_{hex_id(rng)}",
            failures=(
                Failure(Reason.MODERATION, "Refused by moderation.", "moderation_blocked", weight=4),
                Failure(Reason.MODERATION, "The prompt is against the content policy.", "content_policy_violation"),
                # The word of a model behind the gateway.
                Failure(Reason.MODERATION, "", "InputImageSensitiveContentDetected.PrivacyInformation"),
                Failure(Reason.PROVIDER_INTERNAL, "Video generation failed.", "video_generation_failed", weight=2),
                Failure(Reason.PROVIDER_INTERNAL, "The server had an error.", "server_error", dated=False),
                Failure(Reason.INSUFFICIENT_BALANCE, "You exceeded your current quota.", "insufficient_quota"),
                Failure(Reason.UNKNOWN, "", dated=False),
            ),
        ),
    )

    over_limit = _error(429, "Rate limit reached for requests", "rate_limit_exceeded", "requests")
    invalid = _error(400, "Invalid value for limit or order.", "invalid_value")
    unauthorized = _error(401, "Incorrect API key provided.", "invalid_api_key")

    @endpoint("video/list", "/videos")
    def _list(self, call: FakeCall) -> Answer:
        limit, order = call.number("limit", 20, 0, 100), call.query_params.get("order", "desc")
        if order not in ("asc", "desc"):
            return self.invalid
        last = call.query_params.get("after", "")
        lives = after(call.listed()[:: -1 if order == "asc" else 1], last)
        if lives is None:
            return _error(400, f"No video has the id {last}.", "invalid_value")
        shown = lives[:limit]
        return {
            "object": "list",
            "data": call.rows(_row, shown),
            "first_id": shown[0].id if shown else None,
            "last_id": shown[-1].id if shown else None,
            "has_more": len(lives) > limit,
        }

    @endpoint("video/detail", "/videos/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        task_id = call.path_params["task_id"]
        life = self.world.find(call.feed, task_id)
        if life is None:
            return _error(404, f"Video with id '{task_id}' not found.", None)
        return _row(life, life.at(self.world.now()))


def _row(life: Life, moment: LifeMoment) -> Row:
    failed = moment.state is State.FAILED
    told = failed and bool(life.code or life.words)
    return {
        "id": life.id,
        "object": "video",
        "model": life.model or "sora-2",
        "status": STATES[moment.state],
        "progress": int(moment.progress * 100),
        "created_at": int(life.submitted),
        "completed_at": int(moment.ended) if moment.ended and life.end_dated else None,
        "expires_at": int(life.submitted) + KEPT,
        "seconds": f"{life.output_seconds or 8:g}",
        "size": "1280x720",
        "prompt": prompt(life.id),
        "user": user(life.id),
        "remixed_from_video_id": None,
        "metadata": {"url": signed_url(life.id, "video.mp4")} if moment.state is State.SUCCEEDED else None,
        "error": {"code": life.code, "message": life.words} if told else None,
    }
