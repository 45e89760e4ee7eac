"""A fake Luma Dream Machine: all generations of an account, the newest first, images between the videos.

A row shows when it was submitted, and neither its start nor its end.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, query_int, utc
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Failure, Feed, Profile
from exporter.simulator.world.profiles import uuid as new_uuid
from exporter.tasks import Reason, State

GENERATION: Feed = ("luma", "generation")
IMAGE_AFTER = 3
"""After so many videos there is an image."""
STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "dreaming",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
}


@dataclass(eq=False)
class Luma(Vendor):
    type = "luma"
    prefix = "/luma/dream-machine/v1"
    keys: ClassVar = {"api_key": "luma-demo-key-0123456789"}
    profiles = (
        Profile(
            GENERATION,
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
    balance: float = 1250.5
    """US cents."""

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/generations", "generation/list", self._list),
            self.route("/generations/{task_id}", "generation/detail", self._detail),
            self.route("/credits", "account", self._credits),
        ]

    def over_limit(self) -> Response:
        return VendorJSON({"detail": "Too many requests"}, 429)

    async def _list(self, request: Request) -> Response:
        limit, offset = query_int(request, "limit", 100), query_int(request, "offset", 0)
        if limit is None or offset is None or not 1 <= limit <= 100 or offset < 0:
            return VendorJSON({"detail": "Invalid request"}, 400)
        now = self.world.now()
        rows: list[tuple[Life, bool]] = []
        for number, life in enumerate(self.world.listed(GENERATION)):
            rows += [(life, False), (life, True)] if number % IMAGE_AFTER == 0 else [(life, False)]
        shown = rows[offset : offset + limit]
        return VendorJSON(
            {
                "count": len(shown),
                "limit": limit,
                "offset": offset,
                "has_more": offset + len(shown) < len(rows),
                "generations": [_image(life) if is_image else _row(life, life.at(now)) for life, is_image in shown],
            }
        )

    async def _detail(self, request: Request) -> Response:
        life = self.world.find(GENERATION, request.path_params["task_id"])
        if life is None:
            return VendorJSON({"detail": "Generation not found"}, 404)
        return VendorJSON(_row(life, life.at(self.world.now())))

    async def _credits(self, request: Request) -> Response:
        return VendorJSON({"credit_balance": self.balance})

    def refusal(self, request: Request) -> Response | None:
        return None if self.knows(request) else VendorJSON({"detail": "Not authenticated"}, 403)


def _row(life: Life, moment: Moment) -> dict[str, Any]:
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


def _image(life: Life) -> dict[str, Any]:
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
