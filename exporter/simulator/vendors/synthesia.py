"""A fake Synthesia: the videos of a workspace, test videos among them. It reports neither waiting nor a reason.

Documents do not state what a refusal looks like: it is plain text here.
"""

from __future__ import annotations

from typing import ClassVar

from starlette.responses import PlainTextResponse

from exporter.simulator.vendor import Answer, CallRefused, FakeCall, FakeVendor, Row, endpoint
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile, uuid
from exporter.tasks import Reason, State

APPROVED = 0.5
"""How far a video is once it has passed moderation."""
STATES = {State.SUCCEEDED: "complete", State.FAILED: "error"}


class Synthesia(FakeVendor):
    type = "synthesia"
    prefix = "/synthesia/v2"
    keys: ClassVar = {"api_key": "synthesia-demo-key-0123456789"}
    key_scheme = ""
    profiles = (
        Profile(
            ("synthesia", "video"),
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

    over_limit = PlainTextResponse("Too Many Requests", 429)
    invalid = PlainTextResponse("Bad Request", 400)
    unknown = PlainTextResponse("Not Found", 404)
    unauthorized = PlainTextResponse("Unauthorized", 401)

    @endpoint("video/list", "/videos")
    def _list(self, call: FakeCall) -> Answer:
        limit, offset = call.number("limit", 20, most=100), call.number("offset", 0, 0)
        return {"videos": call.rows(_row, call.listed()[offset : offset + limit]), "nextOffset": offset + limit}

    @endpoint("video/detail", "/videos/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        return _row(*call.task())

    def check(self, call: FakeCall) -> None:
        if call.headers.get("authorization") and not self.has_key(call):
            raise CallRefused(PlainTextResponse("Forbidden", 403))
        super().check(call)


def _row(life: Life, moment: LifeMoment) -> Row:
    done = moment.state is State.SUCCEEDED
    word = STATES.get(moment.state, "approved" if moment.progress >= APPROVED else "in_progress")
    row: Row = {
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
