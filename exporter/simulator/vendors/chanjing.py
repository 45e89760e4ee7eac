"""A fake Chanjing: lip-sync and video synthesis, two feeds that use the same numbers for different states.

Every business answer is HTTP 200; `code` in the body decides. One token is valid at a time: a new one logs out the
holder of the last.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, field
from typing import Any, ClassVar

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import LIP_SYNC, PROFILES, VIDEO
from exporter.tasks import State

TOKEN_SECONDS = 24 * 3600
LIP_SYNC_STATUS = {State.QUEUED: 0, State.SUCCEEDED: 20, State.FAILED: 30, State.CANCELLED: 30}
GENERATING = 10  # the one number that both feeds use alike
VIDEO_SECONDS = 1_000_000
"""Seconds of video that the account may make."""


def _answer(code: int, msg: str, data: Any = None) -> Response:
    return VendorJSON({"trace_id": uuid.uuid4().hex, "code": code, "msg": msg, "data": data})


@dataclass(eq=False)
class Chanjing(FakeVendor):
    """`access_token` is the token valid now, until `expires`; `tokens_issued` counts those given out over HTTP."""

    type = "chanjing"
    profiles = (PROFILES[LIP_SYNC], PROFILES[VIDEO])
    prefix = "/chanjing"
    documented: ClassVar = {"lip_sync/list": (10, 1), "lip_sync/detail": (10, 1)}
    expires: float = field(default=math.inf, init=False)
    tokens_issued: int = field(default=0, init=False)

    over_limit = _answer(40001, "超出QPS限制")
    invalid = _answer(400, "参数格式错误")
    unknown = _answer(40000, "参数错误")
    unauthorized = _answer(10400, "AccessToken验证失败")

    def __post_init__(self) -> None:
        self.access_token = self.credentials.chanjing_access_token

    @endpoint("token", "/open/v1/access_token", "POST")
    def _token(self, call: FakeCall) -> Answer:
        body = call.json_object()
        if body is None:
            return self.invalid
        given = (body.get("app_id"), body.get("secret_key"))
        if given != (self.credentials.chanjing_app_id, self.credentials.chanjing_secret_key):
            return _answer(10400, "APP状态错误")
        self.tokens_issued += 1
        # An absolute time, whatever its name says.
        return _answer(0, "success", {"access_token": self.renew_elsewhere(), "expire_in": int(self.expires)})

    @endpoint("lip_sync/list", "/open/v1/video_lip_sync/list", "POST")
    @endpoint("video/list", "/open/v1/video_list", "POST")
    def _list(self, call: FakeCall) -> Answer:
        page, size = call.number("page", 1, -math.inf), call.number("page_size", 10, -math.inf)
        if page < 1 or size < 1:
            return _answer(40000, "参数错误")
        lives = call.listed()
        rows = call.rows(_row, lives[(page - 1) * size : page * size])
        info = {"page": page, "size": size, "total_count": len(lives), "total_page": math.ceil(len(lives) / size)}
        rows_key, page_key = ("list", "page_info") if call.feed == LIP_SYNC else ("List", "PageInfo")
        return _answer(0, "success", {rows_key: rows, page_key: info})

    @endpoint("lip_sync/detail", "/open/v1/video_lip_sync/detail")
    @endpoint("video/detail", "/open/v1/video")
    def _detail(self, call: FakeCall) -> Answer:
        return _answer(0, "success", _row(*call.task(call.query_params.get("id", ""))))

    @endpoint("account", "/open/v1/user_info")
    def _account(self, call: FakeCall) -> Answer:
        made = self.world.truth()["chanjing"]["video"]["output_seconds"]
        about = {"name": user("account"), "id": user("1"), "custom_person_nums": 2, "custom_person_limit": 10}
        return _answer(0, "success", about | {"video_create_seconds": int(made), "video_create_limit": VIDEO_SECONDS})

    def has_key(self, call: FakeCall) -> bool:
        return call.headers.get("access_token") == self.access_token and self.world.now() < self.expires

    def check(self, call: FakeCall) -> None:
        if not call.url.path.endswith("/access_token"):  # where it is asked for
            super().check(call)

    def renew_elsewhere(self) -> str:
        """Another holder of the account asks for a token: all earlier ones stop working. Returns the new one."""
        self.access_token = f"demo-issued-{uuid.uuid4().hex}"
        self.expires = self.world.now() + TOKEN_SECONDS
        return self.access_token


def _row(life: Life, moment: LifeMoment) -> Row:
    done = moment.state is State.SUCCEEDED
    row = {
        "id": life.id,
        "progress": int(moment.progress * 100),
        "msg": (life.words or "") if moment.state is State.FAILED else "",
        "video_url": signed_url(life.id, "video.mp4") if done else "",
        "preview_url": signed_url(life.id, "cover.png") if done else "",
        "create_time": int(life.submitted),
        "title": prompt(life.id),  # in no document; stands for the fields that vendors add unannounced
    }
    if life.kind == "video":
        return row | {
            "status": _video_status(life, moment),
            "subtitle_data_url": signed_url(life.id, "subtitle.json") if done else "",
            "duration": int(life.output_seconds or 0) if done else 0,  # seconds
        }
    row["status"] = LIP_SYNC_STATUS.get(moment.state, GENERATING)
    if done:
        row["msg"] = "success"
        if life.output_seconds is not None:
            row["duration"] = round(life.output_seconds * 1000)  # milliseconds
    return row


def _video_status(life: Life, moment: LifeMoment) -> int:
    if moment.state is State.SUCCEEDED:
        return 30
    return int(life.code or 50) if moment.state.is_end else GENERATING
