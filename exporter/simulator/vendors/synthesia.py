"""A fake Synthesia: the videos of a workspace, test videos among them. It reports neither waiting nor a reason.

Documents do not state what a refusal looks like: it is plain text here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, query_int
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Failure, Feed, Profile, uuid
from exporter.tasks import Reason, State

VIDEO: Feed = ("synthesia", "video")
APPROVED = 0.5
"""How far a video is once it has passed moderation."""
STATES = {State.SUCCEEDED: "complete", State.FAILED: "error"}


@dataclass(eq=False)
class Synthesia(Vendor):
    type = "synthesia"
    prefix = "/synthesia/v2"
    keys: ClassVar = {"api_key": "synthesia-demo-key-0123456789"}
    profiles = (
        Profile(
            VIDEO,
            per_minute=1,
            queue=None,
            run=(120, 900),
            output=lambda rng: float(rng.randrange(5, 180)),
            new_id=uuid,
            failures=(
                Failure(Reason.MODERATION, "", "rejected", weight=3),
                Failure(Reason.PROVIDER_INTERNAL, ""),
            ),
        ),
    )

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/videos", "video/list", self._list),
            self.route("/videos/{task_id}", "video/detail", self._detail),
        ]

    def over_limit(self) -> Response:
        return PlainTextResponse("Too Many Requests", 429)

    async def _list(self, request: Request) -> Response:
        limit, offset = query_int(request, "limit", 20), query_int(request, "offset", 0)
        if limit is None or offset is None or not 1 <= limit <= 100 or offset < 0:
            return PlainTextResponse("Bad Request", 400)
        now = self.world.now()
        shown = self.world.listed(VIDEO)[offset : offset + limit]
        return VendorJSON({"videos": [_row(life, life.at(now)) for life in shown], "nextOffset": offset + limit})

    async def _detail(self, request: Request) -> Response:
        life = self.world.find(VIDEO, request.path_params["task_id"])
        if life is None:
            return PlainTextResponse("Not Found", 404)
        return VendorJSON(_row(life, life.at(self.world.now())))

    def refusal(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if given == self.keys["api_key"]:
            return None
        return PlainTextResponse("Forbidden", 403) if given else PlainTextResponse("Unauthorized", 401)


def _row(life: Life, moment: Moment) -> dict[str, Any]:
    done = moment.state is State.SUCCEEDED
    word = STATES.get(moment.state, "approved" if moment.progress >= APPROVED else "in_progress")
    row: dict[str, Any] = {
        "id": life.id,
        "title": prompt(life.id),
        "description": prompt(life.id),
        "status": "rejected" if moment.state is State.FAILED and life.code == "rejected" else word,
        "createdAt": int(life.submitted),
        "lastUpdatedAt": int(moment.ended or life.submitted),
        "visibility": "private",
        "test": life.id[0] in "0123",
        "callbackId": user(life.id),
    }
    if done:
        seconds = int(life.output_seconds or 0)
        row |= {
            "duration": f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}",
            "download": signed_url(life.id, "video.mp4"),
            "thumbnail": {"image": signed_url(life.id, "thumbnail.jpg")},
            "captions": {"srt": signed_url(life.id, "captions.srt")},
        }
    return row
