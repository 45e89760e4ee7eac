"""A fake fal: the platform's list of ended requests by endpoint, and the status of single ones at the queue.

The two are one host here. The list has an HTTP status and no reason; the queue has a reason and no times, and
knows a request by owner and application of its endpoint alone.
"""

from __future__ import annotations

import base64
from typing import ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint, utc
from exporter.simulator.world.content import prompt
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import Failure, Profile, uuid
from exporter.tasks import Reason, State

ENDPOINT = "fal-ai/kling-video/v2.1/master/image-to-video"
WINDOW = 86400
MOST_ENDPOINTS = 50
STATUS = {
    "generation_timeout": 504,
    "request_timeout": 504,
    "startup_timeout": 504,
    "internal_server_error": 500,
    "downstream_service_error": 500,
    "runner_disconnected": 503,
}
"""HTTP statuses of failures; the others are 422."""


def _error(status: int, kind: str, message: str) -> Response:
    return VendorJSON({"error": {"type": kind, "message": message}}, status)


class Fal(FakeVendor):
    type = "fal"
    prefix = "/fal/v1"
    keys: ClassVar = {"api_key": "demo-fal-id:demo-fal-secret", "endpoints": [ENDPOINT]}
    key_scheme = "Key "
    lists_in_flight = False
    list_lag: float = 0.0
    """Seconds from an end until the list shows it."""
    profiles = (
        Profile(
            ("fal", "request"),
            per_minute=4,
            queue=(1, 60),
            run=(20, 300),
            models=(ENDPOINT,),
            new_id=uuid,
            failures=(
                Failure(
                    Reason.MODERATION,
                    "The content could not be processed because it was flagged.",
                    "content_policy_violation",
                    weight=4,
                ),
                Failure(Reason.INVALID_INPUT, "Could not load the image.", "image_load_error"),
                Failure(Reason.INVALID_INPUT, "The file is not there.", "file_download_error"),
                Failure(Reason.TIMEOUT, "The generation took too long.", "generation_timeout"),
                Failure(Reason.TIMEOUT, "", "startup_timeout"),
                Failure(Reason.PROVIDER_INTERNAL, "", "internal_server_error", weight=2),
                Failure(Reason.PROVIDER_INTERNAL, "A service behind us has failed.", "downstream_service_error"),
                Failure(Reason.PROVIDER_INTERNAL, "The runner is gone.", "runner_disconnected"),
            ),
        ),
    )

    over_limit = _error(429, "rate_limited", "Rate limit exceeded")
    invalid = _error(400, "validation_error", "Invalid request parameters")
    unknown = VendorJSON({"detail": "Request not found"}, 404)
    unauthorized = _error(401, "authorization_error", "Authentication is required")

    @endpoint("request/list", "/models/requests/by-endpoint")
    def _list(self, call: FakeCall) -> Answer:
        endpoints = {one for text in call.query_params.getlist("endpoint_id") for one in text.split(",") if one}
        try:
            page = int(base64.b64decode(call.query_params.get("cursor", "") or b"MQ=="))
        except ValueError:
            return _error(400, "validation_error", "Invalid cursor")
        limit = call.number("limit", 50, most=100)
        if not 1 <= len(endpoints) <= MOST_ENDPOINTS or page < 1:
            return self.invalid
        now = self.world.now()
        moments = [(life, life.at(now)) for life in call.listed() if _endpoint_of(life) in endpoints]
        shown_until = now - self.list_lag
        ended = [(life, at) for life, at in moments if at.ended is not None and now - WINDOW < at.ended <= shown_until]
        ended.sort(key=lambda one: one[1].ended or 0.0, reverse=True)
        rows = [_row(life, moment) for life, moment in ended[(page - 1) * limit : page * limit]]
        if "payloads" in call.query_params.get("expand", ""):
            rows = [row | {"json_input": {"prompt": prompt(row["request_id"])}} for row in rows]
        more = page * limit < len(ended)
        following = base64.b64encode(str(page + 1).encode()).decode() if more else None
        return {"items": rows, "next_cursor": following, "has_more": more}

    @endpoint("account", "/account/billing")
    def _billing(self, call: FakeCall) -> Answer:
        left = {"current_balance": 24.5, "currency": "USD"}
        return {"username": "demo"} | ({"credits": left} if call.query_params.get("expand") == "credits" else {})

    @endpoint("request/detail", "/{owner}/{app}/requests/{task_id}/status")
    def _status(self, call: FakeCall) -> Answer:
        if not self.has_key(call):
            return VendorJSON({"detail": "Authentication is required to access this application"}, 401)
        life, moment = call.task()
        is_its_own = _endpoint_of(life).split("/")[:2] == [call.path_params["owner"], call.path_params["app"]]
        return _queued(life, moment) if is_its_own else self.unknown

    @endpoint("request/detail", "/{owner}/{app}/{rest:path}/requests/{task_id}/status")
    def _no_such_path(self, call: FakeCall) -> Answer:
        return VendorJSON({"detail": "Method Not Allowed"}, 405)

    def check(self, call: FakeCall) -> None:
        if "app" not in call.path_params:  # the queue refuses in words of its own
            super().check(call)


def _endpoint_of(life: Life) -> str:
    return life.model or ENDPOINT


def _row(life: Life, moment: LifeMoment) -> Row:
    """A request that has ended."""
    started, ended = moment.started or life.submitted, moment.ended or moment.at
    return {
        "request_id": life.id,
        "endpoint_id": _endpoint_of(life),
        "sent_at": utc(life.submitted),
        "started_at": utc(moment.started),
        "ended_at": utc(moment.ended),
        "status_code": 200 if moment.state is State.SUCCEEDED else STATUS.get(life.code, 422),
        "duration": round(ended - started, 3),
    }


def _queued(life: Life, moment: LifeMoment) -> Response:
    own = f"https://queue.fal.run/{'/'.join(_endpoint_of(life).split('/')[:2])}/requests/{life.id}"
    answer: Row = {
        "request_id": life.id,
        "response_url": own,
        "status_url": f"{own}/status",
        "cancel_url": f"{own}/cancel",
    }
    if moment.ended is None:
        if moment.state is State.QUEUED:
            return VendorJSON({"status": "IN_QUEUE", "queue_position": 0, **answer}, 202)
        return VendorJSON({"status": "IN_PROGRESS", "logs": [{"message": prompt(life.id)}], **answer}, 202)
    done = {"status": "COMPLETED", "logs": [], "metrics": {"inference_time": 1.5}, **answer}
    if moment.state is not State.SUCCEEDED:
        done |= {"error": life.words, "error_type": life.code}  # with neither, only the list shows a failure
    return VendorJSON(done)
