"""A fake HeyGen, version 3: videos, translations and lip-syncs, each in a list of all time that goes on at a token.

The three have words of their own for the states. Only a completed video shows when it ended, and only a failed one has
a code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, after, query_int
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import Failure, Feed, Profile, hex_id
from exporter.tasks import Reason, State

VIDEO: Feed = ("heygen", "video")
TRANSLATION: Feed = ("heygen", "translation")
LIPSYNC: Feed = ("heygen", "lipsync")
PATHS = {VIDEO: "/v3/videos", TRANSLATION: "/v3/video-translations", LIPSYNC: "/v3/lipsyncs"}
STATES = {
    State.QUEUED: "pending",
    State.SUCCEEDED: "completed",
    State.FAILED: "failed",
}
RUNNING = {VIDEO: "processing", TRANSLATION: "running", LIPSYNC: "running"}

_DUBBING_FAILURES = (
    Failure(Reason.MODERATION, "The video was refused by content moderation.", dated=False, weight=3),
    Failure(Reason.INVALID_INPUT, "Invalid video: no speech was found.", dated=False),
    Failure(Reason.TIMEOUT, "Processing timeout.", dated=False),
    Failure(Reason.UNKNOWN, "", dated=False),
)


@dataclass(eq=False)
class HeyGen(Vendor):
    type = "heygen"
    prefix = "/heygen"
    keys: ClassVar = {"api_key": "heygen-demo-key-0123456789"}
    profiles = (
        Profile(
            VIDEO,
            per_minute=2,
            queue=(2, 60),
            run=(60, 400),
            output=lambda rng: round(rng.uniform(6, 90), 2),
            new_id=hex_id,
            failures=(
                Failure(Reason.MODERATION, "Content refused.", "MODERATION_POLICY_VIOLATION", dated=False, weight=4),
                Failure(Reason.MODERATION, "The script has forbidden words.", "BLOCKED_WORDS_DETECTED", dated=False),
                Failure(Reason.INSUFFICIENT_BALANCE, "Nothing is left.", "API_QUOTA_USED_UP", dated=False),
                Failure(Reason.TIMEOUT, "It took too long.", "RENDER_TIMEOUT", dated=False),
                Failure(Reason.INVALID_INPUT, "The voice cannot be used.", "INVALID_VOICE", dated=False),
                Failure(Reason.UNKNOWN, "", dated=False),
            ),
        ),
        Profile(
            TRANSLATION,
            per_minute=0.5,
            queue=(2, 60),
            run=(120, 600),
            output=lambda rng: round(rng.uniform(20, 300), 2),
            new_id=hex_id,
            failures=_DUBBING_FAILURES,
        ),
        Profile(
            LIPSYNC,
            per_minute=0.5,
            queue=(2, 60),
            run=(60, 300),
            output=lambda rng: round(rng.uniform(5, 60), 2),
            new_id=hex_id,
            failures=_DUBBING_FAILURES,
        ),
    )
    balance: float = 118.4
    """US dollars in the wallet."""

    def routes(self) -> list[BaseRoute]:
        routes: list[BaseRoute] = [self.route("/v3/users/me", "account", self._me)]
        for feed, path in PATHS.items():
            routes.append(self.route(path, f"{feed[1]}/list", partial(self._list, feed)))
            routes.append(self.route(f"{path}/{{task_id}}", f"{feed[1]}/detail", partial(self._detail, feed)))
        return routes

    def over_limit(self) -> Response:
        refused = _error(429, "rate_limit_exceeded", "Too many requests.")
        refused.headers["Retry-After"] = "1"
        return refused

    async def _list(self, feed: Feed, request: Request) -> Response:
        limit = query_int(request, "limit", 10)
        if limit is None or not 1 <= limit <= 100:
            return _error(400, "invalid_parameter", "limit must be between 1 and 100.", "limit")
        now = self.world.now()
        lives = after(self.world.listed(feed), request.query_params.get("token", ""))
        if lives is None:
            return _error(400, "invalid_parameter", "The token is not valid.", "token")
        shown, more = lives[:limit], len(lives) > limit
        rows = [ROWS[feed](life, life.at(now)) for life in shown]
        return VendorJSON({"data": rows, "has_more": more, "next_token": shown[-1].id if more else None})

    async def _detail(self, feed: Feed, request: Request) -> Response:
        life = self.world.find(feed, request.path_params["task_id"])
        if life is None:
            return _error(404, "not_found", "The resource was not found.")
        return VendorJSON({"data": ROWS[feed](life, life.at(self.world.now()))})

    async def _me(self, request: Request) -> Response:
        wallet = {"currency": "usd", "remaining_balance": self.balance, "auto_reload": None}
        names = {"username": user("0000"), "email": f"{user('0000')}@example.invalid"}
        return VendorJSON(
            {"data": {"billing_type": "wallet", "wallet": wallet, "subscription": None, "usage_based": None, **names}}
        )

    def refusal(self, request: Request) -> Response | None:
        if request.headers.get("x-api-key") == self.keys["api_key"]:
            return None
        return _error(401, "unauthorized", "The API key is missing or invalid.")


def _error(status: int, code: str, message: str, param: str | None = None) -> Response:
    return VendorJSON({"error": {"code": code, "message": message, "param": param, "doc_url": None}}, status)


def _row(life: Life, moment: Moment) -> dict[str, Any]:
    """What the rows of all three have."""
    done, failed = moment.state is State.SUCCEEDED, moment.state is State.FAILED
    return {
        "id": life.id,
        "title": prompt(life.id),
        "status": STATES.get(moment.state, RUNNING[life.feed]),
        "created_at": int(life.submitted),
        "duration": life.output_seconds if done else None,
        "failure_message": (life.words or None) if failed else None,
        "video_url": signed_url(life.id, "video.mp4") if done else None,
    }


def _video(life: Life, moment: Moment) -> dict[str, Any]:
    done = moment.state is State.SUCCEEDED
    return {
        **_row(life, moment),
        "completed_at": int(moment.ended) if done and moment.ended else None,
        "failure_code": (life.code or None) if moment.state is State.FAILED else None,
        "folder_id": None,
        "thumbnail_url": signed_url(life.id, "thumbnail.jpg") if done else None,
        "gif_url": signed_url(life.id, "preview.gif") if done else None,
        "video_page_url": f"https://app.heygen.invalid/videos/{life.id}",
    }


def _dubbed(life: Life, moment: Moment) -> dict[str, Any]:
    return {**_row(life, moment), "callback_id": user(life.id)}


ROWS: dict[Feed, Callable[[Life, Moment], dict[str, Any]]] = {
    VIDEO: _video,
    TRANSLATION: _dubbed,
    LIPSYNC: _dubbed,
}
