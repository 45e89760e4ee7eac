"""A fake Tavus: the videos of an account. Pages count from 0, and rows have no dates.

Only the detail says why one failed. Refusals have two shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from random import Random
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, query_int
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Failure, Feed, Profile
from exporter.tasks import Reason, State

VIDEO: Feed = ("tavus", "video")
STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "generating",
    State.SUCCEEDED: "ready",
    State.FAILED: "error",
    State.CANCELLED: "deleted",
}
SAID = {
    State.SUCCEEDED: "Your request has processed successfully!",
    State.FAILED: "An error occurred.",
}


def _new_id(rng: Random) -> str:
    return f"{rng.getrandbits(40):010x}"


@dataclass(eq=False)
class Tavus(Vendor):
    type = "tavus"
    prefix = "/tavus"
    keys: ClassVar = {"api_key": "tavus-demo-key-0123456789"}
    profiles = (
        Profile(
            VIDEO,
            per_minute=1,
            queue=(5, 60),
            run=(60, 600),
            cancelled=0.03,
            new_id=_new_id,
            failures=(
                Failure(Reason.MODERATION, "The script was refused by moderation.", weight=2),
                Failure(Reason.INVALID_INPUT, "Invalid audio: the file is too short."),
                Failure(Reason.PROVIDER_INTERNAL, "Internal error."),
                Failure(Reason.TIMEOUT, "Rendering timed out."),
                Failure(Reason.UNKNOWN, ""),
            ),
        ),
    )

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/v2/videos", "video/list", self._list),
            self.route("/v2/videos/{task_id}", "video/detail", self._detail),
        ]

    def over_limit(self) -> Response:
        return VendorJSON({"message": "Too many requests"}, 429)

    async def _list(self, request: Request) -> Response:
        limit, page = query_int(request, "limit", 10), query_int(request, "page", 0)
        if limit is None or page is None or limit < 1 or page < 0:
            return VendorJSON({"error": "Invalid page or limit"}, 400)
        now = self.world.now()
        lives = self.world.listed(VIDEO)
        shown = lives[page * limit : (page + 1) * limit]
        return VendorJSON({"data": [_row(life, life.at(now)) for life in shown], "total_count": len(lives)})

    async def _detail(self, request: Request) -> Response:
        life = self.world.find(VIDEO, request.path_params["task_id"])
        if life is None:
            return VendorJSON({"error": "Video not found"}, 404)
        moment = life.at(self.world.now())
        changed = int(moment.ended or moment.started or life.submitted)
        return VendorJSON(
            {
                **_row(life, moment),
                "error_details": [life.words] if moment.state is State.FAILED and life.words else None,
                "created_at": formatdate(int(life.submitted), usegmt=True),
                "updated_at": formatdate(changed, usegmt=True),
            }
        )

    def refusal(self, request: Request) -> Response | None:
        if request.headers.get("x-api-key") == self.keys["api_key"]:
            return None
        return VendorJSON({"message": "Invalid access token"}, 401)


def _row(life: Life, moment: Moment) -> dict[str, Any]:
    done = moment.state is State.SUCCEEDED
    return {
        "video_id": life.id,
        "video_name": prompt(life.id),
        "status": STATES[moment.state],
        "status_details": SAID.get(moment.state, "Your request is being processed."),
        "error_details": None,
        "data": {"script": prompt(life.id)},
        "replica_id": user(life.id),
        "download_url": signed_url(life.id, "video.mp4") if done else None,
        "stream_url": signed_url(life.id, "video.m3u8") if done else None,
        "hosted_url": f"https://video.tavus.invalid/{life.id}",
    }
