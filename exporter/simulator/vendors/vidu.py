"""A fake Vidu: the tasks of seven days, in rows without any end; a detail has no times at all."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint, utc
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

WINDOW = 7 * 86400  # seconds that are listed where nothing else is asked for
STATES = {
    State.QUEUED: "queueing",
    State.RUNNING: "processing",
    State.SUCCEEDED: "success",
    State.FAILED: "failed",
    State.CANCELLED: "failed",  # with a code of its own
}


def _error(status: int, reason: str, message: str) -> Response:
    return VendorJSON({"code": status, "reason": reason, "message": message, "metadata": {}}, status)


class Vidu(FakeVendor):
    type = "vidu"
    prefix = "/vidu"
    keys: ClassVar = {"api_key": "demo-vidu-key"}
    key_scheme = "Token "
    profiles = (
        Profile(
            ("vidu", "task"),
            per_minute=2,
            queue=(5, 90),
            run=(30, 240),
            cancelled=0.03,
            output=lambda rng: rng.choice((4.04, 5.04, 8.04)),
            models=("viduq2", "viduq1", "vidu2.0"),
            cost=lambda rng: float(rng.choice((4, 10, 20))),
            new_id=lambda rng: str(rng.randrange(9 * 10**17, 10**18)),
            failures=(
                Failure(Reason.MODERATION, "", "CreationPolicyViolation", weight=3),
                Failure(Reason.MODERATION, "", "TaskPromptPolicyViolation"),
                Failure(Reason.INVALID_INPUT, "", "ImageDownloadFailure"),
                Failure(Reason.INVALID_INPUT, "", "ImageCheckFormatFailed"),
                Failure(Reason.PROVIDER_INTERNAL, "", "InternalServiceFailure"),
                Failure(Reason.RATE_LIMITED, "", "SystemThrottling"),
                Failure(Reason.UNKNOWN, ""),
            ),
        ),
    )

    over_limit = _error(429, "TooManyRequests", "too many requests")
    invalid = _error(400, "FieldOutOfRange", "pager.pagesz is out of range")
    unknown = _error(404, "TaskNotFound", "the task does not exist")
    unauthorized = _error(401, "Unauthorized", "the API key is wrong or missing")

    @endpoint("task/list", "/ent/v2/tasks")
    def _list(self, call: FakeCall) -> Answer:
        page, size = call.number("pager.page", 0, 0), call.number("pager.pagesz", 10, most=100)
        now = self.world.now()
        try:
            since, until = _time(call, "created_at.from", now - WINDOW), _time(call, "created_at.to", now)
        except ValueError:
            return _error(400, "FieldInvalid", "created_at is no time")
        lives = [life for life in call.listed() if since <= life.submitted <= until]
        following = f"p{page + 1}" if len(lives) > (page + 1) * size else ""
        return {"next_page_token": following, "tasks": call.rows(_row, lives[page * size : (page + 1) * size])}

    @endpoint("task/detail", "/ent/v2/tasks/{task_id}/creations")
    def _detail(self, call: FakeCall) -> Answer:
        life, moment = call.task()
        row = _row(life, moment)
        told = {key: row[key] for key in ("id", "state", "err_code", "credits", "payload", "creations")}
        return {**told, "progress": moment.progress, "bgm": False, "off_peak": False}

    @endpoint("account", "/ent/v2/credits")
    def _credits(self, call: FakeCall) -> Answer:
        pack = {"concurrency_limit": 5, "current_concurrency": 1, "queue_count": 2}
        remains = [
            {"type": "test", "credit_remain": 20, **pack},
            {"type": "metered", "credit_remain": 1180, **pack},
        ]
        # The same money once more.
        return {"remains": remains, "general_remains": remains, "packages": []}


def _time(call: FakeCall, name: str, otherwise: float) -> float:
    text = call.query_params.get(name)
    return datetime.fromisoformat(text).timestamp() if text else otherwise


def _row(life: Life, moment: LifeMoment) -> Row:
    done = moment.state is State.SUCCEEDED
    row: Row = {
        "id": life.id,
        "key_id": user(life.id),
        "state": STATES[moment.state],
        "err_code": {State.CANCELLED: "UserCancelled", State.FAILED: life.code}.get(moment.state, ""),
        "model": life.model or "viduq2",
        "prompt": prompt(life.id),
        "images": [signed_url(life.id, "first.png")],
        "duration": 5,
        "resolution": "1080p",
        "aspect_ratio": "16:9",
        "created_at": utc(life.submitted),
        "credits": int(life.cost) if done else 0,
        "payload": user(life.id),
        "creations": [],
    }
    if done:
        size = {"width": 1920, "height": 1080}
        video = {"duration": life.output_seconds or 5.04, "fps": 24, "resolution": size}
        cover = signed_url(life.id, "cover.jpg")
        row["creations"] = [{"id": "c1", "url": signed_url(life.id, "v.mp4"), "cover_url": cover, "video": video}]
    return row
