"""A fake PixVerse: single videos by their numbers, in an envelope that reports errors with HTTP 200.

A trace id that was sent before gets the answer of before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, CallRefused, FakeCall, FakeVendor, Row, VendorJSON, endpoint, utc
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile, digits
from exporter.tasks import Reason, State

STATES = {State.QUEUED: 9, State.RUNNING: 10, State.SUCCEEDED: 1, State.FAILED: 8, State.CANCELLED: 6}
REFUSED = "7"
"""The code of a life that ends in moderation: the number of its state."""
TRACES_KEPT = 10_000


def _answer(code: int, message: str, resp: Row | None = None, *, status: int = 200) -> Response:
    return VendorJSON({"ErrCode": code, "ErrMsg": message, "Resp": resp}, status)


@dataclass(eq=False)
class PixVerse(FakeVendor):
    type = "pixverse"
    prefix = "/pixverse/openapi/v2"
    keys: ClassVar = {"api_key": "sk-demo-pixverse-0123456789"}
    key_header, key_scheme = "api-key", ""
    profiles = (
        Profile(
            ("pixverse", "video"),
            per_minute=2,
            queue=(2, 40),
            run=(20, 120),
            cancelled=0.03,
            cost=lambda rng: float(rng.choice((30, 45, 90))),
            new_id=digits,
            failures=(
                Failure(Reason.MODERATION, "", REFUSED, weight=3),
                Failure(Reason.UNKNOWN, ""),
            ),
        ),
    )
    answered: dict[str, Response] = field(default_factory=dict)
    """Answers by trace id."""

    over_limit = _answer(500044, "reached the limit of concurrent generations", status=429)
    unknown = _answer(400001, "task not found")
    unauthorized = _answer(10005, "the API key is not valid")

    @endpoint("video/detail", "/video/result/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        return self._traced(call, lambda: _row(*call.task()))

    @endpoint("account", "/account/balance")
    def _balance(self, call: FakeCall) -> Answer:
        return self._traced(call, lambda: {"account_id": 4711, "credit_monthly": 120, "credit_package": 3000})

    def check(self, call: FakeCall) -> None:
        if not call.headers.get("ai-trace-id"):
            raise CallRefused(_answer(400017, "invalid parameter: Ai-trace-id"))
        super().check(call)

    def _traced(self, call: FakeCall, shown: Callable[[], Row]) -> Answer:
        trace = call.headers["ai-trace-id"]
        if trace not in self.answered:
            if len(self.answered) >= TRACES_KEPT:
                self.answered.clear()
            try:
                self.answered[trace] = _answer(0, "success", shown())
            except CallRefused as refused:
                self.answered[trace] = refused.answer
        return self.answered[trace]


def _row(life: Life, moment: LifeMoment) -> Row:
    done = moment.state is State.SUCCEEDED
    refused = moment.state is State.FAILED and life.code == REFUSED
    return {
        "id": int(life.id) if life.id.isdecimal() else life.id,
        "status": int(REFUSED) if refused else STATES[moment.state],
        "url": signed_url(life.id, "video.mp4") if done else "",
        "create_time": utc(life.submitted),
        "modify_time": utc(moment.ended or moment.started or life.submitted),
        "outputWidth": 1280 if done else 0,
        "outputHeight": 720 if done else 0,
        "size": 2_500_000 if done else 0,
        "resolution_ratio": 720,
        "has_audio": False,
        "credits": int(life.cost) if done else 0,
        "prompt": prompt(life.id),
        "negative_prompt": "",
        "seed": 7,
        "style": "",
    }
