"""A fake Huawei Cloud MetaStudio: digital-human videos of one project, and the IAM service that gives out its tokens.

A request is let in with a token in X-Auth-Token, or signed with the access key. Errors are HTTP statuses with
`error_code` and `error_msg`; IAM has its own form of them.
"""

from __future__ import annotations

import math
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from exporter.simulator import huawei_signature
from exporter.simulator.vendor import Answer, CallRefused, FakeCall, FakeVendor, Row, VendorJSON, endpoint, utc
from exporter.simulator.world.content import prompt, signed_url
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import DIGITAL_HUMAN, PROFILES
from exporter.tasks import State

TOKEN_SECONDS = 24 * 3600
STATES = {
    State.QUEUED: "WAITING",
    State.RUNNING: "PROCESSING",
    State.SUCCEEDED: "SUCCEED",
    State.FAILED: "FAILED",
    State.CANCELLED: "CANCELED",
    State.BLOCKED: "BLOCK",
}
# Two types of job. For photos the rows turn the words of the filter's value around.
FLAT, PHOTO, PHOTO_AS_FILTER = "2D_DIGITAL_HUMAN_VIDEO", "DIGITAL_HUMAN_PHOTO_VIDEO", "PHOTO_DIGITAL_HUMAN_VIDEO"


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    return VendorJSON(body, status, {"X-Request-Id": uuid.uuid4().hex})


def _error(status: int, code: str, message: str) -> Response:
    return _answer({"error_code": code, "error_msg": message}, status)


@dataclass(eq=False)
class MetaStudio(FakeVendor):
    """`wall` (Unix seconds) is the clock by which signatures and tokens age: the callers' clock, not the world's."""

    type = "huawei_metastudio"
    profiles = (PROFILES[DIGITAL_HUMAN],)
    prefix = "/huawei"
    documented: ClassVar = {"digital_human/list": (20, 1), "digital_human/detail": (20, 1)}
    wall: Callable[[], float] = time.time
    tokens: dict[str, float] = field(default_factory=dict, init=False)
    """Issued by IAM, with their expiry; a new one leaves the others alone."""
    balance = 5_240.55
    debt = 40.5

    over_limit = _error(429, "APIGW.0308", "The throttling threshold has been reached")
    invalid = _error(400, "MSS.00000003", "Invalid parameter")
    unknown = _error(404, "MSS.00000002", "Not Found")

    def routes(self) -> list[BaseRoute]:
        nowhere = _error(404, "APIGW.0101", "The API does not exist or has not been published in the environment")
        return [*super().routes(), Route("/{path:path}", nowhere, methods=["GET"])]

    def iam_routes(self) -> list[BaseRoute]:
        return [self.route(self._token, "token", "/v3/auth/tokens", "POST")]

    @endpoint("digital_human/list", "/v1/{project_id}/digital-human-videos")
    def _list(self, call: FakeCall) -> Answer:
        self._check_project(call)
        offset, limit = call.number("offset", 0, 0), call.number("limit", 10, most=100)
        sort_key, sort_dir = (call.query_params.get(name) or "" for name in ("sort_key", "sort_dir"))
        if sort_key not in ("", "create_time", "update_time", "asset_order") or sort_dir not in ("", "asc", "desc"):
            return self.invalid
        now = self.world.now()
        try:
            lives = _asked_for(call, now)
        except ValueError:
            return self.invalid
        if sort_key == "update_time":
            lives.sort(key=lambda life: _updated(life, life.at(now)), reverse=True)
        if sort_dir != "desc":  # so oldest first by default
            lives.reverse()
        return _answer({"count": len(lives), "jobs": call.rows(_job, lives[offset : offset + limit])})

    @endpoint("digital_human/detail", "/v1/{project_id}/2d-digital-human-videos/{task_id}")
    @endpoint("digital_human/detail", "/v1/{project_id}/photo-digital-human-videos/{task_id}")
    def _show(self, call: FakeCall) -> Answer:
        self._check_project(call)
        life, moment = call.task()
        if _job_type(life) != (FLAT if "/2d-" in call.url.path else PHOTO):
            return self.unknown
        script = [{"text": prompt(life.id)}]
        return _answer(_job(life, moment) | {"script_id": life.id, "shoot_scripts": script})

    @endpoint("account", "/v2/accounts/customer-accounts/balances")
    def _balances(self, call: FakeCall) -> Answer:
        """The balances of the account that pays. The real vendor has them at an address of their own."""
        self._authenticate(call)
        if "x-project-id" in call.headers:
            return _error(403, "CBC.0151", "Access denied.")
        purses = [
            {"account_id": uuid.uuid4().hex, "account_type": 2, "amount": 100.0, "currency": "CNY", "measure_id": 1},
            {"account_id": uuid.uuid4().hex, "account_type": 1, "amount": self.balance, "currency": "CNY"},
        ]
        return _answer({"account_balances": purses, "debt_amount": self.debt, "measure_id": 1, "currency": "CNY"})

    def _check_project(self, call: FakeCall) -> None:
        self._authenticate(call)
        if call.path_params["project_id"] != self.credentials.huawei_project_id:
            raise CallRefused(
                _error(400, "MSS.00010009", "The tenant of the token differs from the project in the URL")
            )

    def _authenticate(self, call: FakeCall) -> None:
        token = call.headers.get("x-auth-token")
        if token is None:
            keys = self.credentials.huawei_access_key, self.credentials.huawei_secret_key
            fault = huawei_signature.fault_in(call, call.content, *keys, self.wall())
        else:
            is_valid = token == self.credentials.huawei_auth_token or self.tokens.get(token, 0) > self.wall()
            fault = None if is_valid else "the token is wrong or has expired"
        if fault is not None:
            raise CallRefused(_error(401, "APIGW.0301", f"Incorrect IAM authentication information: {fault}"))

    def _token(self, call: FakeCall) -> Answer:
        try:
            auth = (call.json_object() or {})["auth"]
            user = auth["identity"]["password"]["user"]
            given = (user["domain"]["name"], user["name"], user["password"], auth["scope"]["project"]["id"])
            method = auth["identity"]["methods"]
        except (KeyError, TypeError):
            return _iam_error(400, "Bad Request", "The request body is invalid")
        mine = self.credentials
        if method != ["password"]:
            return _iam_error(400, "Bad Request", "The authentication method is not supported")
        if given != (mine.huawei_domain, mine.huawei_username, mine.huawei_password, mine.huawei_project_id):
            return _iam_error(401, "Unauthorized", "The username or password is wrong.")
        token = f"demo-iam-{uuid.uuid4().hex}"
        now = self.wall()
        self.tokens[token] = now + TOKEN_SECONDS
        issued, expires = (utc(instant, "microseconds") for instant in (now, now + TOKEN_SECONDS))
        answer = {"token": {"methods": ["password"], "issued_at": issued, "expires_at": expires, "roles": []}}
        return VendorJSON(answer, 201, {"X-Subject-Token": token})


def _asked_for(call: FakeCall, now: float) -> list[Life]:
    """The tasks that the list's query asks for. Raises ValueError for values that the vendor does not know."""
    query = call.query_params
    states = set(filter(None, query.get("state", "").split(",")))
    job_type = query.get("job_type")
    if not states <= set(STATES.values()) or job_type not in (None, FLAT, PHOTO_AS_FILTER):
        raise ValueError("no such state or type")
    listed = ",".join((*query.getlist("job_ids"), query.get("job_id", "")))
    ids = set(filter(None, listed.split(",")))
    since, until = _instant(query.get("create_since"), -math.inf), _instant(query.get("create_until"), math.inf)
    return [
        life
        for life in call.listed()
        if (not states or STATES[life.at(now).state] in states)
        and (job_type is None or (job_type == FLAT) == (_job_type(life) == FLAT))
        and (not ids or life.id in ids)
        and since <= int(life.submitted) <= until
    ]


def _instant(text: str | None, otherwise: float) -> float:
    if text is None:
        return otherwise
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _job_type(life: Life) -> str:
    return life.model or (FLAT if zlib.crc32(life.id.encode()) % 2 else PHOTO)


def _updated(life: Life, moment: LifeMoment) -> float:
    return moment.ended or moment.started or life.submitted


def _job(life: Life, moment: LifeMoment) -> Row:
    done = moment.state is State.SUCCEEDED
    job: Row = {
        "job_id": life.id,
        "state": STATES[moment.state],
        "job_type": _job_type(life),
        "error_info": None,
        "create_time": utc(life.submitted, "seconds"),
        "lastupdate_time": utc(_updated(life, moment), "seconds"),
    }
    times = {"start_time": moment.started, "end_time": moment.ended if life.end_dated else None}
    for name, instant in times.items():
        if instant is not None:
            job[name] = utc(instant, "seconds")
        elif zlib.crc32(life.id.encode()) % 3:  # an unset time is sometimes null and sometimes not there
            job[name] = None
    if moment.state is State.FAILED:
        job["error_info"] = {"error_code": life.code, "error_msg": life.words or ""}
    if done:
        job["duration"] = life.output_seconds
        job["output_asset_config"] = {
            "asset_id": uuid.uuid5(uuid.NAMESPACE_URL, life.id).hex,
            "asset_name": prompt(life.id),
            "cover_url": signed_url(life.id, "cover.png"),
            "preview_video_url": signed_url(life.id, "preview.mp4"),
        }
    return job


def _iam_error(status: int, title: str, message: str) -> Response:
    return VendorJSON({"error": {"code": status, "message": message, "title": title}}, status)
