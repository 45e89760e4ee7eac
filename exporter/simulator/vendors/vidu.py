"""A fake Vidu: the tasks of seven days, in rows without any end; a detail has no times at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
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

TASK: Feed = ("vidu", "task")
WINDOW = 7 * 86400  # seconds that are listed where nothing else is asked for
STATES = {
    State.QUEUED: "queueing",
    State.RUNNING: "processing",
    State.SUCCEEDED: "success",
    State.FAILED: "failed",
    State.CANCELLED: "failed",  # with a code of its own
}


def _task_id(rng: Random) -> str:
    return str(rng.randrange(9 * 10**17, 10**18))


@dataclass(eq=False)
class Vidu(Vendor):
    type = "vidu"
    prefix = "/vidu"
    keys: ClassVar = {"api_key": "demo-vidu-key"}
    profiles = (
        Profile(
            TASK,
            per_minute=2,
            queue=(5, 90),
            run=(30, 240),
            cancelled=0.03,
            output=lambda rng: rng.choice((4.04, 5.04, 8.04)),
            models=("viduq2", "viduq1", "vidu2.0"),
            cost=lambda rng: float(rng.choice((4, 10, 20))),
            new_id=_task_id,
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

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/ent/v2/tasks", "task/list", self._list),
            self.route("/ent/v2/tasks/{task_id}/creations", "task/detail", self._detail),
            self.route("/ent/v2/credits", "account", self._credits),
        ]

    def over_limit(self) -> Response:
        return _error(429, "TooManyRequests", "too many requests")

    async def _list(self, request: Request) -> Response:
        page, size = query_int(request, "pager.page", 0), query_int(request, "pager.pagesz", 10)
        if page is None or size is None or page < 0 or not 1 <= size <= 100:
            return _error(400, "FieldOutOfRange", "pager.pagesz is out of range")
        now = self.world.now()
        try:
            since = _time(request, "created_at.from", now - WINDOW)
            until = _time(request, "created_at.to", now)
        except ValueError:
            return _error(400, "FieldInvalid", "created_at is no time")
        lives = [life for life in self.world.listed(TASK) if since <= life.submitted <= until]
        shown = lives[page * size : (page + 1) * size]
        rest = len(lives) > (page + 1) * size
        rows = [_row(life, life.at(now)) for life in shown]
        return VendorJSON({"next_page_token": f"p{page + 1}" if rest else "", "tasks": rows})

    async def _detail(self, request: Request) -> Response:
        life = self.world.find(TASK, request.path_params["task_id"])
        if life is None:
            return _error(404, "TaskNotFound", "the task does not exist")
        moment = life.at(self.world.now())
        row = _row(life, moment)
        told = {key: row[key] for key in ("id", "state", "err_code", "credits", "payload", "creations")}
        return VendorJSON({**told, "progress": moment.progress, "bgm": False, "off_peak": False})

    async def _credits(self, request: Request) -> Response:
        pack = {"concurrency_limit": 5, "current_concurrency": 1, "queue_count": 2}
        remains = [
            {"type": "test", "credit_remain": 20, **pack},
            {"type": "metered", "credit_remain": 1180, **pack},
        ]
        # The same money once more.
        return VendorJSON({"remains": remains, "general_remains": remains, "packages": []})

    def refusal(self, request: Request) -> Response | None:
        return None if self.knows(request, "Token") else _error(401, "Unauthorized", "the API key is wrong or missing")


def _error(status: int, reason: str, message: str) -> Response:
    return VendorJSON({"code": status, "reason": reason, "message": message, "metadata": {}}, status)


def _time(request: Request, name: str, otherwise: float) -> float:
    text = request.query_params.get(name)
    return datetime.fromisoformat(text).timestamp() if text else otherwise


def _code(life: Life, state: State) -> str:
    return "UserCancelled" if state is State.CANCELLED else life.code if state is State.FAILED else ""


def _row(life: Life, moment: Moment) -> dict[str, Any]:
    done = moment.state is State.SUCCEEDED
    created = datetime.fromtimestamp(life.submitted, UTC)
    row: dict[str, Any] = {
        "id": life.id,
        "key_id": user(life.id),
        "state": STATES[moment.state],
        "err_code": _code(life, moment.state),
        "model": life.model or "viduq2",
        "prompt": prompt(life.id),
        "images": [signed_url(life.id, "first.png")],
        "duration": 5,
        "resolution": "1080p",
        "aspect_ratio": "16:9",
        "created_at": f"{created:%Y-%m-%dT%H:%M:%S}.{created.microsecond // 1000:03}Z",
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
