"""A fake Tavus: the videos of an account. Pages count from 0, and rows have no dates.

Only the detail says why one failed. Refusals have two shapes.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import ClassVar

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

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


class Tavus(FakeVendor):
    type = "tavus"
    prefix = "/tavus"
    keys: ClassVar = {"api_key": "tavus-demo-key-0123456789"}
    key_header, key_scheme = "x-api-key", ""
    profiles = (
        Profile(
            ("tavus", "video"),
            per_minute=1,
            queue=(5, 60),
            run=(60, 600),
            cancelled=0.03,
            new_id=lambda rng: f"{rng.getrandbits(40):010x}",
            failures=(
                Failure(Reason.MODERATION, "The script was refused by moderation.", weight=2),
                Failure(Reason.INVALID_INPUT, "Invalid audio: the file is too short."),
                Failure(Reason.PROVIDER_INTERNAL, "Internal error."),
                Failure(Reason.TIMEOUT, "Rendering timed out."),
                Failure(Reason.UNKNOWN, ""),
            ),
        ),
    )

    over_limit = VendorJSON({"message": "Too many requests"}, 429)
    invalid = VendorJSON({"error": "Invalid page or limit"}, 400)
    unknown = VendorJSON({"error": "Video not found"}, 404)
    unauthorized = VendorJSON({"message": "Invalid access token"}, 401)

    @endpoint("video/list", "/v2/videos")
    def _list(self, call: FakeCall) -> Answer:
        limit, page = call.number("limit", 10), call.number("page", 0, 0)
        lives = call.listed()
        return {"data": call.rows(_row, lives[page * limit : (page + 1) * limit]), "total_count": len(lives)}

    @endpoint("video/detail", "/v2/videos/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        life, moment = call.task()
        changed = int(moment.ended or moment.started or life.submitted)
        return {
            **_row(life, moment),
            "error_details": [life.words] if moment.state is State.FAILED and life.words else None,
            "created_at": formatdate(int(life.submitted), usegmt=True),
            "updated_at": formatdate(changed, usegmt=True),
        }


def _row(life: Life, moment: LifeMoment) -> Row:
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
