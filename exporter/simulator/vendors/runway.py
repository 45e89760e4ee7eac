"""A fake Runway: single tasks by their ids, with progress as a fraction and no time but that of the submission.

Every other task that waits is throttled: stored, and not yet in the queue.
"""

from __future__ import annotations

import zlib
from typing import ClassVar

from exporter.simulator.vendor import Answer, CallRefused, FakeCall, FakeVendor, Row, VendorJSON, endpoint, utc
from exporter.simulator.world.content import signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile, uuid
from exporter.tasks import Reason, State

VERSION = "2024-11-06"
STATES = {
    State.RUNNING: "RUNNING",
    State.SUCCEEDED: "SUCCEEDED",
    State.FAILED: "FAILED",
    State.CANCELLED: "CANCELLED",
}


class Runway(FakeVendor):
    type = "runway"
    prefix = "/runway"
    keys: ClassVar = {"api_key": "key_demo0123456789abcdef"}
    profiles = (
        Profile(
            ("runway", "task"),
            per_minute=3,
            queue=(2, 90),
            run=(25, 150),
            cancelled=0.04,
            cost=lambda rng: float(rng.choice((25, 50, 100))),
            new_id=uuid,
            failures=(
                Failure(Reason.MODERATION, "The input was refused by moderation.", "SAFETY.INPUT.TEXT", weight=3),
                Failure(Reason.MODERATION, "The output was refused by moderation.", "SAFETY.OUTPUT.VIDEO", weight=2),
                Failure(
                    Reason.MODERATION,
                    "The input was refused by moderation.",
                    "INPUT_PREPROCESSING.SAFETY.THIRD_PARTY",
                ),
                Failure(Reason.INVALID_INPUT, "The asset could not be used.", "ASSET.INVALID"),
                Failure(Reason.PROVIDER_INTERNAL, "An unexpected error occurred.", "INTERNAL.BAD_OUTPUT.CODE01"),
                Failure(Reason.PROVIDER_INTERNAL, "An unexpected error occurred.", "THIRD_PARTY.UNAVAILABLE"),
                Failure(Reason.UNKNOWN, ""),
            ),
        ),
    )
    balance = 12_345
    """Credits."""

    over_limit = VendorJSON({"error": "Too many requests"}, 429)
    unknown = VendorJSON({"error": "Task not found"}, 404)
    unauthorized = VendorJSON({"error": "The API key in the Authorization header is not valid"}, 401)

    @endpoint("task/detail", "/v1/tasks/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        return _row(*call.task())

    @endpoint("account", "/v1/organization")
    def _organization(self, call: FakeCall) -> Answer:
        limits = {"maxConcurrentGenerations": 2, "maxDailyGenerations": 200}
        return {
            "creditBalance": self.balance,
            "tier": {"maxMonthlyCreditSpend": 100_000, "models": {"gen4_turbo": limits}},
            "usage": {"models": {"gen4_turbo": {"dailyGenerations": 7}}},
        }

    def check(self, call: FakeCall) -> None:
        if call.headers.get("x-runway-version") != VERSION:
            raise CallRefused(VendorJSON({"error": "A valid X-Runway-Version header is required"}, 400))
        super().check(call)


def _row(life: Life, moment: LifeMoment) -> Row:
    waiting = "THROTTLED" if zlib.crc32(life.id.encode()) % 2 else "PENDING"
    created = utc(life.submitted)
    row: Row = {
        "id": life.id,
        "status": STATES.get(moment.state, waiting),
        "createdAt": created,
    }
    if not moment.state.is_end:
        row["estimatedCost"] = {"credits": 50}
    if moment.state is State.RUNNING:
        row["progress"] = round(moment.progress, 3)
    if moment.state is State.SUCCEEDED:
        row |= {"output": [signed_url(life.id, "video.mp4")], "cost": {"credits": int(life.cost)}}
    if moment.state is State.FAILED:
        row |= {"failure": life.words, "cost": {"credits": int(life.cost)}}
        if life.code:
            row["failureCode"] = life.code
    return row
