"""A fake HeyGen, version 3: videos, translations and lip-syncs, each in a list of all time that goes on at a token.

The three have words of their own for the states. Only a completed video shows when it ended, and only a failed one has
a code.
"""

from __future__ import annotations

from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, after, endpoint
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Feed, Profile, hex_id
from exporter.tasks import Reason, State

VIDEO: Feed = ("heygen", "video")
TRANSLATION: Feed = ("heygen", "translation")
LIPSYNC: Feed = ("heygen", "lipsync")
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


def _error(status: int, code: str, message: str, param: str | None = None) -> Response:
    return VendorJSON({"error": {"code": code, "message": message, "param": param, "doc_url": None}}, status)


class HeyGen(FakeVendor):
    type = "heygen"
    prefix = "/heygen"
    keys: ClassVar = {"api_key": "heygen-demo-key-0123456789"}
    key_header, key_scheme = "x-api-key", ""
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
    balance = 118.4
    """US dollars in the wallet."""

    over_limit = _error(429, "rate_limit_exceeded", "Too many requests.")
    over_limit.headers["Retry-After"] = "1"
    invalid = _error(400, "invalid_parameter", "limit must be between 1 and 100.", "limit")
    unknown = _error(404, "not_found", "The resource was not found.")
    unauthorized = _error(401, "unauthorized", "The API key is missing or invalid.")

    @endpoint("video/list", "/v3/videos")
    @endpoint("translation/list", "/v3/video-translations")
    @endpoint("lipsync/list", "/v3/lipsyncs")
    def _list(self, call: FakeCall) -> Answer:
        limit = call.number("limit", 10, most=100)
        lives = after(call.listed(), call.query_params.get("token", ""))
        if lives is None:
            return _error(400, "invalid_parameter", "The token is not valid.", "token")
        shown, more = lives[:limit], len(lives) > limit
        rows = call.rows(_row, shown)
        return {"data": rows, "has_more": more, "next_token": shown[-1].id if more else None}

    @endpoint("video/detail", "/v3/videos/{task_id}")
    @endpoint("translation/detail", "/v3/video-translations/{task_id}")
    @endpoint("lipsync/detail", "/v3/lipsyncs/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        return {"data": _row(*call.task())}

    @endpoint("account", "/v3/users/me")
    def _me(self, call: FakeCall) -> Answer:
        wallet = {"currency": "usd", "remaining_balance": self.balance, "auto_reload": None}
        names = {"username": user("0000"), "email": f"{user('0000')}@example.invalid"}
        return {
            "data": {"billing_type": "wallet", "wallet": wallet, "subscription": None, "usage_based": None, **names}
        }


def _row(life: Life, moment: LifeMoment) -> Row:
    done, failed = moment.state is State.SUCCEEDED, moment.state is State.FAILED
    row = {
        "id": life.id,
        "title": prompt(life.id),
        "status": STATES.get(moment.state, RUNNING[life.feed]),
        "created_at": int(life.submitted),
        "duration": life.output_seconds if done else None,
        "failure_message": (life.words or None) if failed else None,
        "video_url": signed_url(life.id, "video.mp4") if done else None,
    }
    if life.feed != VIDEO:
        return {**row, "callback_id": user(life.id)}
    return {
        **row,
        "completed_at": int(moment.ended) if done and moment.ended else None,
        "failure_code": (life.code or None) if failed else None,
        "folder_id": None,
        "thumbnail_url": signed_url(life.id, "thumbnail.jpg") if done else None,
        "gif_url": signed_url(life.id, "preview.gif") if done else None,
        "video_page_url": f"https://app.heygen.invalid/videos/{life.id}",
    }
