"""A fake Replicate: all predictions of an account, 100 on a page, the newest first, and a whole URL to the next page.

Predictions of image models stand in the same list. Input and output are removed an hour after the end; rows stay.
"""

from __future__ import annotations

import base64
import zlib
from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint, utc
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

PAGE = 100
REMOVED_AFTER = 3600.0
IMAGES_EVERY = 7
"""After so many predictions of videos comes one of an image."""
STATES = {
    State.QUEUED: "starting",
    State.RUNNING: "processing",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
}


def _problem(status: int, title: str, detail: str) -> Response:
    return VendorJSON({"type": "about:blank", "title": title, "status": status, "detail": detail}, status)


class Replicate(FakeVendor):
    type = "replicate"
    prefix = "/replicate/v1"
    keys: ClassVar = {"api_token": "r8_demo-replicate-token"}
    documented: ClassVar = {"prediction": (3000, 60)}
    profiles = (
        Profile(
            ("replicate", "prediction"),
            per_minute=3,
            queue=(1, 90),
            run=(20, 240),
            cancelled=0.04,
            models=("kwaivgi/kling-v2.1", "wan-video/wan-2.2-t2v-fast", "minimax/hailuo-02"),
            cost=lambda rng: round(rng.uniform(10, 200), 3),
            failures_cost=True,
            new_id=lambda rng: "".join(rng.choices("0123456789abcdefghjkmnpqrstvwxyz", k=26)),
            failures=(
                Failure(
                    Reason.MODERATION,
                    "NSFW content detected. Try running it again, or try a different prompt.",
                    weight=3,
                ),
                Failure(Reason.MODERATION, "The request was not accepted. Please try different inputs. (E005)"),
                Failure(Reason.PROVIDER_INTERNAL, "CUDA out of memory. Tried to allocate 2.00 GiB", weight=2),
                Failure(Reason.PROVIDER_INTERNAL, "Prediction interrupted; please retry (code: PA)"),
                Failure(Reason.PROVIDER_INTERNAL, "Director: unexpected error handling prediction (E8765)"),
                Failure(Reason.TIMEOUT, "Prediction timed out"),
                Failure(Reason.INVALID_INPUT, "Invalid aspect ratio for this model"),
                Failure(Reason.INVALID_INPUT, "duration must be 5 or 10"),
                Failure(Reason.UNKNOWN, ""),
            ),
        ),
    )

    over_limit = _problem(429, "Too many requests", "Request was throttled. Your rate limit resets in ~30s.")
    unknown = _problem(404, "Not found", "The requested resource could not be found.")
    unauthorized = _problem(401, "Unauthenticated", "You did not pass a valid authentication token")

    @endpoint("prediction/list", "/predictions")
    def _list(self, call: FakeCall) -> Answer:
        try:
            before = _position(call.query_params.get("cursor", ""))
        except ValueError:
            return _problem(422, "Invalid cursor", "The cursor is not valid.")
        lives = call.listed()[::-1]
        rows = call.rows(_row, lives) + [_image(life) for life in lives[IMAGES_EVERY - 1 :: IMAGES_EVERY]]
        rows = sorted((row for row in rows if before is None or _key(row) < before), key=_key, reverse=True)
        following = None
        if len(rows) > PAGE:
            following = str(call.url.replace(query=f"cursor={_cursor(rows[PAGE - 1])}"))
        return {"previous": None, "next": following, "results": rows[:PAGE]}

    @endpoint("prediction/detail", "/predictions/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        life, moment = call.task()
        return _row(life, moment) | {"logs": f"Prompt: {prompt(life.id)}\n 42%|####"}


def _key(row: Row) -> tuple[str, str]:
    return row["created_at"], row["id"]


def _cursor(row: Row) -> str:
    return base64.urlsafe_b64encode("|".join(_key(row)).encode()).decode().rstrip("=")


def _position(cursor: str) -> tuple[str, str] | None:
    """Where the page begins: rows before this one. Raises ValueError."""
    if not cursor:
        return None
    at, _, name = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition("|")
    return at, name


def _row(life: Life, moment: LifeMoment) -> Row:
    is_removed = moment.ended is not None and moment.at - moment.ended > REMOVED_AFTER
    done = moment.state is State.SUCCEEDED
    word = STATES.get(moment.state) or ("aborted" if zlib.crc32(life.id.encode()) % 2 else "canceled")
    row: Row = {
        "id": life.id,
        "model": life.model or "kwaivgi/kling-v2.1",
        "version": "hidden",
        "status": word,
        "source": "api",
        "input": {} if is_removed else {"prompt": prompt(life.id)},
        "output": signed_url(life.id, "video.mp4") if done and not is_removed else None,
        "error": (life.words or None) if moment.state is State.FAILED else None,
        "data_removed": is_removed,
        "created_at": utc(life.submitted, "microseconds"),
        "started_at": utc(moment.started, "microseconds"),
        "completed_at": utc(moment.ended, "microseconds"),
        "urls": {"get": f"https://api.replicate.com/v1/predictions/{life.id}"},
    }
    if moment.ended is not None and life.cost:
        row["metrics"] = {"predict_time": life.cost, "total_time": round(moment.ended - life.submitted, 3)}
    return row


def _image(life: Life) -> Row:
    """A finished prediction of an image model, made just after that of a video."""
    begun = life.submitted + 1e-5
    return {
        "id": life.id[::-1],
        "model": "black-forest-labs/flux-schnell",
        "version": "hidden",
        "status": "succeeded",
        "source": "web",
        "input": {"prompt": prompt(life.id)},
        "output": [signed_url(life.id, "image.webp")],
        "error": None,
        "data_removed": False,
        "created_at": utc(begun, "microseconds"),
        "started_at": utc(begun, "microseconds"),
        "completed_at": utc(begun, "microseconds"),
        "metrics": {"predict_time": 0.4, "total_time": 0.4},
        "urls": {"get": f"https://api.replicate.com/v1/predictions/{life.id[::-1]}"},
    }
