"""A fake MiniMax, second generation: the tasks of seven days, bare in the list and wrapped in the detail.

Tasks that write texts stand in the same list. How an unknown id is refused is known by its words alone.
"""

from __future__ import annotations

from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

WINDOW = 7 * 86400  # seconds that rows are known for
STATES = {
    State.QUEUED: "queued",
    State.RUNNING: "running",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.CANCELLED: "cancelled",
}


def _error(status: int, kind: str, message: str) -> Response:
    error = {"type": kind, "message": message, "http_code": str(status)}
    return VendorJSON({"type": "error", "error": error, "request_id": "r-0"}, status)


class MiniMax(FakeVendor):
    type = "minimax"
    prefix = "/minimax"
    keys: ClassVar = {"api_key": "demo-minimax-key"}
    profiles = (
        Profile(
            ("minimax", "generation"),
            per_minute=2,
            queue=(2, 60),
            run=(60, 400),
            cancelled=0.03,
            output=lambda rng: float(rng.randrange(4, 16)),
            models=("MiniMax-H3", "MiniMax-H3-Max"),
            cost=lambda rng: float(rng.randrange(15, 20)),
            new_id=lambda rng: str(rng.randrange(4 * 10**14, 5 * 10**14)),
            failures=(
                Failure(Reason.MODERATION, "input new_sensitive", "1026", weight=3),
                Failure(Reason.MODERATION, "output new_sensitive", "1027"),
                Failure(Reason.INVALID_INPUT, "invalid params, image too small", "2013"),
                Failure(Reason.PROVIDER_INTERNAL, "unknown error", "1000", weight=2),
                Failure(Reason.TIMEOUT, "", "expired"),
            ),
        ),
    )

    over_limit = _error(429, "rate_limit_error", "rate limit, please retry later (1002)")
    invalid = _error(400, "bad_request_error", "invalid params, page_num or page_size (2013)")
    unknown = _error(400, "bad_request_error", "invalid params, invalid task_id (2013)")
    unauthorized = _error(
        401,
        "authorized_error",
        "login fail: Please carry the API secret key in the 'Authorization' field of the request header (1004)",
    )

    @endpoint("generation/list", "/v2/query/video_generation")
    def _list(self, call: FakeCall) -> Answer:
        page, size = call.number("page_num", 1), call.number("page_size", 20)
        now = self.world.now()
        known = (life for life in call.listed() if life.submitted > now - WINDOW)
        rows = [*call.rows(_row, known), *_texts(now)]
        rows.sort(key=lambda row: -int(row["created_at"]))
        return {"total": len(rows), "items": rows[(page - 1) * size : page * size]}

    @endpoint("generation/detail", "/v2/query/video_generation/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        life, moment = call.task()
        return {"task": _row(life, moment)} if life.submitted > moment.at - WINDOW else self.unknown


def _row(life: Life, moment: LifeMoment) -> Row:
    failed = moment.state is State.FAILED
    expired = failed and life.code == "expired"
    length = int(life.output_seconds or 6)
    row: Row = {
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


def _texts(now: float) -> list[Row]:
    """Tasks that write a text: one that runs, and one that has failed."""
    common = {"model": "MiniMax-H3", "task_type": "h3_context_ir", "modality": "text", "usage": {}, "duration": 0}
    at = int(now)
    return [
        {"id": "499999999999998", "status": "running", "created_at": at - 9, "updated_at": at, **common},
        {"id": "499999999999999", "status": "failed", "created_at": at - 90, "updated_at": at - 40}
        | common
        | {"error": {"code": "1000", "message": "unknown error"}},
    ]
