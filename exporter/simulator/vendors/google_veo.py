"""A fake Google Veo at the Gemini API: long-running operations by their names, which hold slashes.

An operation has no times. What was filtered, and what brought no video for no reason, is done without an error.
"""

from __future__ import annotations

from typing import Any, ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile
from exporter.tasks import Reason, State

MODEL = "veo-3.1-generate-preview"
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
FILTERED = "filtered"
"""The code of a life whose videos are held back."""
RPC = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


def _refusal(status: int, message: str, details: list[Any] | None = None) -> Response:
    error: Row = {"code": status, "message": message, "status": RPC[status]}
    return VendorJSON({"error": error | ({"details": details} if details else {})}, status)


class GoogleVeo(FakeVendor):
    type = "google_veo"
    prefix = "/google_veo/v1beta"
    keys: ClassVar = {"api_key": "AIzaDemo-0123456789-google-veo"}
    key_header, key_scheme = "x-goog-api-key", ""
    profiles = (
        Profile(
            ("google_veo", "operation"),
            per_minute=1,
            queue=None,
            run=(40, 200),
            models=(MODEL,),
            new_id=lambda rng: f"models/{MODEL}/operations/{''.join(rng.choices(LETTERS, k=12))}",
            failures=(
                Failure(Reason.MODERATION, "The prompt was blocked. Support codes: 00000000", FILTERED, weight=4),
                Failure(Reason.MODERATION, "The input image violates the Responsible AI practices.", "3"),
                Failure(Reason.INVALID_INPUT, "Unsupported output video duration 9 seconds.", "3"),
                Failure(Reason.RATE_LIMITED, "Resource exhausted", "8"),
                Failure(Reason.INSUFFICIENT_BALANCE, "Your prepayment credits are depleted.", "8"),
                Failure(Reason.TIMEOUT, "Deadline expired before operation could complete.", "4"),
                Failure(Reason.PROVIDER_INTERNAL, "Internal error encountered.", "13"),
                Failure(Reason.UNKNOWN, ""),
            ),
        ),
    )

    over_limit = _refusal(429, "Resource has been exhausted (e.g. check quota).")
    unknown = _refusal(404, "Requested entity was not found.")
    unauthorized = _refusal(
        400,
        "API key not valid. Please pass a valid API key.",
        [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
            }
        ],
    )

    @endpoint("operation/detail", "/{task_id:path}")
    def _operation(self, call: FakeCall) -> Answer:
        return _row(*call.task())


def _row(life: Life, moment: LifeMoment) -> Row:
    row: Row = {"name": life.id}
    if not moment.state.is_end:
        return row
    row["done"] = True
    if moment.state is State.FAILED and life.code not in ("", FILTERED):
        return row | {"error": {"code": int(life.code), "message": life.words, "details": []}}
    made: Row = {}
    if moment.state is State.SUCCEEDED:
        made = {"generatedSamples": [{"video": {"uri": signed_url(life.id.rpartition("/")[2], "video.mp4")}}]}
    elif life.code == FILTERED:
        made = {"raiMediaFilteredCount": 1, "raiMediaFilteredReasons": [life.words]}
    kind = "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"
    return row | {"response": {"@type": kind, "generateVideoResponse": made}}
