"""A fake PixVerse: single videos by their numbers, in an envelope that reports errors with HTTP 200.

A trace id that was sent before gets the answer of before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, utc
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Failure, Feed, Profile, digits
from exporter.tasks import Reason, State

VIDEO: Feed = ("pixverse", "video")
STATES = {State.QUEUED: 9, State.RUNNING: 10, State.SUCCEEDED: 1, State.FAILED: 8, State.CANCELLED: 6}
REFUSED = "7"
"""The code of a life that ends in moderation: the number of its state."""
TRACES_KEPT = 10_000


@dataclass(eq=False)
class PixVerse(Vendor):
    type = "pixverse"
    prefix = "/pixverse/openapi/v2"
    keys: ClassVar = {"api_key": "sk-demo-pixverse-0123456789"}
    profiles = (
        Profile(
            VIDEO,
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

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/video/result/{task_id}", "video/detail", self._traced(self._detail)),
            self.route("/account/balance", "account", self._traced(self._balance)),
        ]

    def over_limit(self) -> Response:
        return _answer(500044, "reached the limit of concurrent generations", status=429)

    def _traced(self, handler: Callable[[Request], Response]) -> Any:
        async def answer(request: Request) -> Response:
            trace = request.headers.get("ai-trace-id", "")
            if not trace:
                return _answer(400017, "invalid parameter: Ai-trace-id")
            if request.headers.get("api-key") != self.keys["api_key"]:
                return _answer(10005, "the API key is not valid")
            if trace not in self.answered:
                if len(self.answered) >= TRACES_KEPT:
                    self.answered.clear()
                self.answered[trace] = handler(request)
            return self.answered[trace]

        return answer

    def _detail(self, request: Request) -> Response:
        life = self.world.find(VIDEO, request.path_params["task_id"])
        if life is None:
            return _answer(400001, "task not found")
        return _answer(0, "success", _row(life, life.at(self.world.now())))

    def _balance(self, request: Request) -> Response:
        return _answer(0, "success", {"account_id": 4711, "credit_monthly": 120, "credit_package": 3000})


def _answer(code: int, message: str, resp: dict[str, Any] | None = None, *, status: int = 200) -> Response:
    return VendorJSON({"ErrCode": code, "ErrMsg": message, "Resp": resp}, status)


def _row(life: Life, moment: Moment) -> dict[str, Any]:
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
