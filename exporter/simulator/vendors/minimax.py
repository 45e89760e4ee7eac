"""A fake MiniMax, second generation: the tasks of seven days, bare in the list and wrapped in the detail.

Tasks that write texts stand in the same list. How an unknown id is refused is known by its words alone.
"""

from __future__ import annotations

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

GENERATION: Feed = ("minimax", "generation")
WINDOW = 7 * 86400  # seconds that rows are known for
STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "running",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


def _task_id(rng: Random) -> str:
    return str(rng.randrange(4 * 10**14, 5 * 10**14))


@dataclass(eq=False)
class MiniMax(Vendor):
    type = "minimax"
    prefix = "/minimax"
    keys: ClassVar = {"api_key": "demo-minimax-key"}
    profiles = (
        Profile(
            GENERATION,
            per_minute=2,
            queue=(2, 60),
            run=(60, 400),
            cancelled=0.03,
            output=lambda rng: float(rng.randrange(4, 16)),
            models=("MiniMax-H3", "MiniMax-H3-Max"),
            cost=lambda rng: float(rng.randrange(15, 20)),
            new_id=_task_id,
            failures=(
                Failure(Reason.MODERATION, "input new_sensitive", "1026", weight=3),
                Failure(Reason.MODERATION, "output new_sensitive", "1027"),
                Failure(Reason.INVALID_INPUT, "invalid params, image too small", "2013"),
                Failure(Reason.PROVIDER_INTERNAL, "unknown error", "1000", weight=2),
                Failure(Reason.TIMEOUT, "", "expired"),
            ),
        ),
    )

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/v2/query/video_generation", "generation/list", self._list),
            self.route("/v2/query/video_generation/{task_id}", "generation/detail", self._detail),
        ]

    def over_limit(self) -> Response:
        return _error(429, "rate_limit_error", "rate limit, please retry later (1002)")

    async def _list(self, request: Request) -> Response:
        page, size = query_int(request, "page_num", 1), query_int(request, "page_size", 20)
        if page is None or size is None or page < 1 or size < 1:
            return _error(400, "bad_request_error", "invalid params, page_num or page_size (2013)")
        now = self.world.now()
        known = (life for life in self.world.listed(GENERATION) if life.submitted > now - WINDOW)
        rows = [*(_row(life, life.at(now)) for life in known), *_texts(now)]
        rows.sort(key=lambda row: -int(row["created_at"]))
        return VendorJSON({"total": len(rows), "items": rows[(page - 1) * size : page * size]})

    async def _detail(self, request: Request) -> Response:
        now = self.world.now()
        life = self.world.find(GENERATION, request.path_params["task_id"])
        if life is None or life.submitted <= now - WINDOW:
            return _error(400, "bad_request_error", "invalid params, invalid task_id (2013)")
        return VendorJSON({"task": _row(life, life.at(now))})

    def refusal(self, request: Request) -> Response | None:
        if request.headers.get("authorization") == f"Bearer {self.keys['api_key']}":
            return None
        said = "login fail: Please carry the API secret key in the 'Authorization' field of the request header (1004)"
        return _error(401, "authorized_error", said)


def _error(status: int, kind: str, message: str) -> Response:
    error = {"type": kind, "message": message, "http_code": str(status)}
    return VendorJSON({"type": "error", "error": error, "request_id": "r-0"}, status)


def _row(life: Life, moment: Moment) -> dict[str, Any]:
    failed = moment.state is State.FAILED
    expired = failed and life.code == "expired"
    length = int(life.output_seconds or 6)
    row: dict[str, Any] = {
        "id": life.id,
        "model": life.model or "MiniMax-H3",
        "status": "expired" if expired else STATES[moment.state],
        "created_at": int(life.submitted),
        "updated_at": int(moment.ended or moment.started or life.submitted),
        "content": {"prompt": prompt(life.id)},
        "resolution": "2K",
        "duration": length,
        "ratio": "",
        "usage": {},
        "task_type": "generation",
        "modality": "video",
    }
    if failed and not expired:
        row["error"] = {"code": life.code, "message": life.words}
    if moment.state is State.SUCCEEDED:
        row["content"] = {"url": signed_url(life.id, "video.mp4"), "prompt": prompt(life.id)}
        row["ratio"] = "16:9"
        total = int(life.cost)
        row["usage"] = {"total_seconds": total, "input_seconds": max(0, total - length), "output_seconds": length}
    return row


def _texts(now: float) -> Sequence[dict[str, Any]]:
    """Tasks that write a text: one that runs, and one that has failed."""
    common = {"model": "MiniMax-H3", "task_type": "h3_context_ir", "modality": "text", "usage": {}, "duration": 0}
    at = int(now)
    return [
        {"id": "499999999999998", "status": "running", "created_at": at - 9, "updated_at": at, **common},
        {"id": "499999999999999", "status": "failed", "created_at": at - 90, "updated_at": at - 40}
        | common
        | {"error": {"code": "1000", "message": "unknown error"}},
    ]
