"""A fake MiniMax, first generation: single tasks by their ids, without any time. Every answer is HTTP 200.

No document says how an unknown id is refused: the code has been seen, the words are made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Failure, Feed, Profile
from exporter.tasks import Reason, State

GENERATION: Feed = ("minimax_v1", "generation")
PREPARING = 5.0  # seconds before a task stands in the queue
STATES = {
    State.QUEUED: "Queueing",
    State.RUNNING: "Processing",
    State.SUCCEEDED: "Success",
    State.FAILED: "Fail",
}


def _task_id(rng: Random) -> str:
    return str(rng.randrange(3 * 10**14, 4 * 10**14))


@dataclass(eq=False)
class MiniMaxV1(Vendor):
    type = "minimax_v1"
    prefix = "/minimax_v1"
    keys: ClassVar = {"api_key": "demo-minimax-v1-key"}
    profiles = (
        Profile(
            GENERATION,
            per_minute=2,
            queue=(5, 60),
            run=(60, 400),
            new_id=_task_id,
            failures=(
                Failure(Reason.MODERATION, "input new_sensitive", "1026", weight=3),
                Failure(Reason.MODERATION, "output new_sensitive", "1027", weight=2),
                Failure(Reason.UNKNOWN, "success", "0"),  # all that is said of it is that the query went well
            ),
        ),
    )

    def routes(self) -> list[BaseRoute]:
        return [self.route("/v1/query/video_generation", "generation/detail", self._detail)]

    def over_limit(self) -> Response:
        return _refused(1002, "rate limit")

    async def _detail(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self.keys['api_key']}":
            said = "login fail: Please carry the API secret key in the 'Authorization' field of the request header"
            return _refused(1004, said)
        task_id = request.query_params.get("task_id", "")
        if not task_id:
            return _refused(2013, "invalid params, empty field")
        life = self.world.find(GENERATION, task_id)
        if life is None:
            return _refused(1004, "not authorized to query this task")
        return VendorJSON(_told(life, life.at(self.world.now())))


def _refused(code: int, message: str) -> Response:
    return VendorJSON({"task_id": "", "status": "", "file_id": "", "base_resp": _base(code, message)})


def _base(code: int, message: str) -> dict[str, Any]:
    return {"status_code": code, "status_msg": message}


def _told(life: Life, moment: Moment) -> dict[str, Any]:
    waits = moment.state is State.QUEUED and moment.at < life.submitted + PREPARING
    told = {"task_id": life.id, "status": "Preparing" if waits else STATES[moment.state], "file_id": ""}
    base = _base(0, "success")
    if moment.state is State.FAILED:
        base = _base(int(life.code or 0), life.words or "success")
    if moment.state is State.SUCCEEDED:
        told["file_id"] = f"2{life.id[1:]}"
        return {**told, "video_width": 1920, "video_height": 1080, "base_resp": base}
    return {**told, "base_resp": base}
