"""A fake Luma Dream Machine: all generations of an account, the newest first, images between the videos.

A row shows when it was submitted, and neither its start nor its end.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint, utc
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.simulator.world.profiles import uuid as new_uuid
from exporter.tasks import Reason, State

IMAGE_AFTER = 3
"""After so many videos there is an image."""
STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "dreaming",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
}


class Luma(FakeVendor):
    type = "luma"
    prefix = "/luma/dream-machine/v1"
    keys: ClassVar = {"api_key": "luma-demo-key-0123456789"}
    profiles = (
        Profile(
            ("luma", "generation"),
            per_minute=2,
            queue=(2, 40),
            run=(30, 180),
            output=lambda rng: float(rng.choice((5, 9))),
            models=("ray-2", "ray-flash-2"),
            new_id=new_uuid,
            failures=(
                Failure(Reason.MODERATION, "Frame moderation failed", weight=3),
                Failure(Reason.MODERATION, "Contains blacklisted words", weight=2),
                Failure(Reason.MODERATION, "Advanced prompt moderation failed"),
                Failure(Reason.INVALID_INPUT, "Failed to read user input frames"),
                Failure(Reason.PROVIDER_INTERNAL, "Prompt processing failed"),
                Failure(Reason.PROVIDER_INTERNAL, "Job Error: the worker was restarted"),
                Failure(Reason.UNKNOWN, ""),
            ),
        ),
    )
    balance = 1250.5
    """US cents."""

    over_limit = VendorJSON({"detail": "Too many requests"}, 429)
    invalid = VendorJSON({"detail": "Invalid request"}, 400)
    unknown = VendorJSON({"detail": "Generation not found"}, 404)
    unauthorized = VendorJSON({"detail": "Not authenticated"}, 403)

    @endpoint("generation/list", "/generations")
    def _list(self, call: FakeCall) -> Answer:
        limit, offset = call.number("limit", 100, most=100), call.number("offset", 0, 0)
        rows: list[tuple[Life, bool]] = []
        for number, life in enumerate(call.listed()):
            rows += [(life, False), (life, True)] if number % IMAGE_AFTER == 0 else [(life, False)]
        now, shown = self.world.now(), rows[offset : offset + limit]
        return {
            "count": len(shown),
            "limit": limit,
            "offset": offset,
            "has_more": offset + len(shown) < len(rows),
            "generations": [_image(life) if is_image else _row(life, life.at(now)) for life, is_image in shown],
        }

    @endpoint("generation/detail", "/generations/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        return _row(*call.task())

    @endpoint("account", "/credits")
    def _credits(self, call: FakeCall) -> Answer:
        return {"credit_balance": self.balance}


def _row(life: Life, moment: LifeMoment) -> Row:
    done = moment.state is State.SUCCEEDED
    assets = {"video": signed_url(life.id, "video.mp4"), "image": None, "progress_video": None}
    return {
        "id": life.id,
        "generation_type": "video",
        "state": STATES[moment.state],
        "failure_reason": (life.words or None) if moment.state is State.FAILED else None,
        "created_at": utc(life.submitted),
        "model": life.model or "ray-2",
        "assets": assets if done else None,
        "request": {
            "generation_type": "video",
            "prompt": prompt(life.id),
            "duration": f"{life.output_seconds or 5:g}s",
            "resolution": "720p",
            "aspect_ratio": "16:9",
            "loop": False,
        },
    }


def _image(life: Life) -> Row:
    """An image that was asked for at the same time."""
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, life.id)),
        "generation_type": "image",
        "state": "completed",
        "failure_reason": None,
        "created_at": utc(life.submitted),
        "model": "photon-1",
        "assets": {"video": None, "image": signed_url(life.id, "image.jpg"), "progress_video": None},
        "request": {"generation_type": "image", "prompt": prompt(life.id), "aspect_ratio": "16:9"},
    }
