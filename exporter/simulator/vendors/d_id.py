"""A fake D-ID: talks and clips, in lists of all time with the rows of the detail. The last page has no token."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, after, endpoint, utc
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

STATES = {
    State.QUEUED: "created",
    State.RUNNING: "started",
    State.SUCCEEDED: "done",
    State.FAILED: "error",
}
REJECTED = {"ImageModerationError", "TextModerationError", "CelebrityRecognizedError", ""}
"""Kinds of errors that come with a state of their own; one without any kind among them."""


def _new_id(prefix: str, rng: Random) -> str:
    return prefix + "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz0123456789_-", k=21))


def _error(status: int, kind: str, description: str) -> Response:
    return VendorJSON({"kind": kind, "description": description}, status)


class DID(FakeVendor):
    type = "d_id"
    prefix = "/d_id"
    keys: ClassVar = {"api_key": "ZGVtbw:d-id-demo-key-0123456789"}
    key_scheme = "Basic "
    profiles = tuple(
        Profile(
            ("d_id", kind),
            per_minute=per_minute,
            queue=(1, 20),
            run=run,
            output=lambda rng: round(rng.uniform(3, 60), 1),
            new_id=partial(_new_id, prefix),
            failures=(
                Failure(Reason.MODERATION, "The image was refused.", "ImageModerationError", weight=3),
                Failure(Reason.MODERATION, "The text was refused.", "TextModerationError", weight=2),
                Failure(Reason.MODERATION, "The person is well known.", "CelebrityRecognizedError"),
                Failure(Reason.MODERATION, "The sound was refused.", "AudioModerationError"),
                Failure(Reason.MODERATION, ""),
                Failure(Reason.INVALID_INPUT, "The face was not found.", "ValidationError"),
                Failure(Reason.INSUFFICIENT_BALANCE, "Not enough is left.", "InsufficientCreditsError"),
                Failure(Reason.PROVIDER_INTERNAL, "It did not work.", "InternalServerError"),
            ),
        )
        for kind, prefix, per_minute, run in (("talk", "tlk_", 2, (5, 90)), ("clip", "clp_", 1, (10, 120)))
    )
    credits: float | None = 412.0
    """What is left; None for an account that never had any."""

    over_limit = _error(429, "TooManyRequestsError", "too many requests")
    invalid = _error(400, "ValidationError", "validation failed")
    unknown = _error(404, "NotFoundError", "not found")
    unauthorized = _error(401, "AuthorizationError", "user unauthenticated")

    @endpoint("talk/list", "/talks")
    @endpoint("clip/list", "/clips")
    def _list(self, call: FakeCall) -> Answer:
        limit = call.number("limit", 100)
        lives = after(call.listed(), call.query_params.get("token", ""))
        if lives is None:
            return self.invalid
        shown = lives[:limit]
        answer: Row = {f"{call.feed[1]}s": call.rows(_row, shown)}
        return answer | ({"token": shown[-1].id} if len(lives) > limit else {})

    @endpoint("talk/detail", "/talks/{task_id}")
    @endpoint("clip/detail", "/clips/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        return _row(*call.task())

    @endpoint("account", "/credits")
    def _credits(self, call: FakeCall) -> Answer:
        if self.credits is None:
            return _error(404, "NotFoundError", "no credits found")
        plan = {"remaining": self.credits, "total": 1000, "plan_group": "deid-pro", "owner_id": user("owner")}
        return {"credits": [plan], "remaining": self.credits, "total": 1000}


def _row(life: Life, moment: LifeMoment) -> Row:
    done, failed = moment.state is State.SUCCEEDED, moment.state is State.FAILED
    row: Row = {
        "id": life.id,
        "user_id": user(life.id),
        "created_by": user(life.id),
        "status": "rejected" if failed and life.code in REJECTED else STATES[moment.state],
        "created_at": utc(life.submitted),
        "started_at": utc(moment.started),
        "modified_at": utc(moment.ended or moment.started or life.submitted),
        "source_url": signed_url(life.id, "source.jpg"),
        "script": {"type": "text", "input": prompt(life.id)},
    }
    if life.kind == "clip":
        row["completed_at"] = utc(moment.ended)
    if failed and life.code:
        row["error"] = {"kind": life.code, "description": life.words}
    if done:
        row |= {"duration": life.output_seconds, "result_url": signed_url(life.id, "video.mp4")}
    return row
