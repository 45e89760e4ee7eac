"""A fake MiniMax, first generation: single tasks by their ids, without any time. Every answer is HTTP 200.

No document says how an unknown id is refused: the code has been seen, the words are made up.
"""

from __future__ import annotations

from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

PREPARING = 5.0  # seconds before a task stands in the queue
STATES = {
    State.QUEUED: "Queueing",
    State.RUNNING: "Processing",
    State.SUCCEEDED: "Success",
    State.FAILED: "Fail",
}


def _refused(code: int, message: str) -> Response:
    return VendorJSON(
        {"task_id": "", "status": "", "file_id": "", "base_resp": {"status_code": code, "status_msg": message}}
    )


class MiniMaxV1(FakeVendor):
    type = "minimax_v1"
    prefix = "/minimax_v1"
    keys: ClassVar = {"api_key": "demo-minimax-v1-key"}
    profiles = (
        Profile(
            ("minimax_v1", "generation"),
            per_minute=2,
            queue=(5, 60),
            run=(60, 400),
            new_id=lambda rng: str(rng.randrange(3 * 10**14, 4 * 10**14)),
            failures=(
                Failure(Reason.MODERATION, "input new_sensitive", "1026", weight=3),
                Failure(Reason.MODERATION, "output new_sensitive", "1027", weight=2),
                Failure(Reason.UNKNOWN, "success", "0"),  # all that is said of it is that the query went well
            ),
        ),
    )

    over_limit = _refused(1002, "rate limit")
    unknown = _refused(1004, "not authorized to query this task")
    unauthorized = _refused(
        1004, "login fail: Please carry the API secret key in the 'Authorization' field of the request header"
    )

    @endpoint("generation/detail", "/v1/query/video_generation")
    def _detail(self, call: FakeCall) -> Answer:
        task_id = call.query_params.get("task_id", "")
        return _told(*call.task(task_id)) if task_id else _refused(2013, "invalid params, empty field")


def _told(life: Life, moment: LifeMoment) -> Row:
    waits = moment.state is State.QUEUED and moment.at < life.submitted + PREPARING
    told: Row = {"task_id": life.id, "status": "Preparing" if waits else STATES[moment.state], "file_id": ""}
    base = {"status_code": 0, "status_msg": "success"}
    if moment.state is State.FAILED:
        base = {"status_code": int(life.code or 0), "status_msg": life.words or "success"}
    if moment.state is State.SUCCEEDED:
        told |= {"file_id": f"2{life.id[1:]}", "video_width": 1920, "video_height": 1080}
    return {**told, "base_resp": base}
