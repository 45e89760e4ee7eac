"""A fake faceWap: one user's history of face swaps, newest first, without progress, totals or times of the work.

`createdAt` is the time of the row's latest result, eight hours early: Beijing's clock written down as if it were UTC.
"""

from __future__ import annotations

import zlib
from typing import Any

from starlette.responses import Response

from exporter.simulator.vendor import Answer, FakeCall, FakeVendor, Row, VendorJSON, endpoint
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import FACE_SWAP, PROFILES
from exporter.tasks import State

BEIJING = 8 * 3600  # seconds
STATES = {State.QUEUED: 10, State.RUNNING: 20, State.SUCCEEDED: 30, State.FAILED: 2, State.CANCELLED: 2}


def _answer(code: int, msg: str, data: Any = None) -> Response:
    return VendorJSON({"code": code, "msg": msg, "data": data})


class FaceWap(FakeVendor):
    """With `bearer`, `Authorization: Bearer TOKEN` is accepted beside the bare token."""

    type = "facewap"
    profiles = (PROFILES[FACE_SWAP],)
    prefix = "/facewap"
    bearer = False

    over_limit = VendorJSON({"code": 429, "msg": "too many requests", "data": None}, 429)  # in no document
    invalid = _answer(800, "parameter error")
    unknown = _answer(900, "no data")
    unauthorized = VendorJSON({"code": 401, "msg": "unauthorized", "data": None}, 401)  # in no document

    @endpoint("face_swap/list", "/videoTaskHistory", "POST")
    def _history(self, call: FakeCall) -> Answer:
        page, size = call.number("page", 1), call.number("pageSize", 20)
        return _answer(200, "SUCCESS", call.rows(_row, call.listed()[(page - 1) * size : page * size]))

    @endpoint("face_swap/detail", "/getTaskInfo")
    def _info(self, call: FakeCall) -> Answer:
        prompt_id = call.query_params.get("promptId")
        return _answer(200, "SUCCESS", _details(*call.task(prompt_id))) if prompt_id else self.invalid

    def has_key(self, call: FakeCall) -> bool:
        given, token = call.headers.get("authorization", ""), self.credentials.facewap_token
        return given == token or (self.bearer and given == f"Bearer {token}")


def _number(life: Life) -> int:
    return zlib.crc32(life.id.encode())


def _row(life: Life, moment: LifeMoment) -> Row:
    done = moment.state is State.SUCCEEDED
    return {
        "id": _number(life),
        "styleId": 2,
        "taskId": str(_number(life) % 100_000),  # documented as a number, sent as a string
        "promptId": life.id,
        "covering": signed_url(life.id, "covering.jpg"),
        "origin": signed_url(life.id, "origin.mp4") if done else "",
        "reason": (life.words or "") if moment.state is State.FAILED else "",
        "state": STATES.get(moment.state, 20),
        "createdAt": int(moment.ended or life.submitted) - BEIJING,
        "videoTemp": {
            "id": 2,
            "title": "Template IV",
            "thumb": signed_url(life.id, "thumb.png"),
            "covering": signed_url(life.id, "covering.webp"),
            "video": signed_url(life.id, "template.mp4"),
            "pid": 0,
            "gid": 0,
            "favoriteCount": 1,
            "sort": 48,
            "isHome": 1,
            "prompt": prompt(life.id),
            "author": user(life.id),
            "createdAt": 1753913160,
            "updatedAt": 1761181034,
        },
    }


def _details(life: Life, moment: LifeMoment) -> Row:
    row = _row(life, moment)
    images = [{"id": row["id"], "taskId": row["taskId"], "path": row["covering"], "origin": row["origin"]}]
    return {
        "taskId": row["taskId"],
        "promptId": life.id,
        "taskType": 1,
        "thumbFileUrl": signed_url(life.id, "thumb.jpg"),
        "state": row["state"],
        "reason": row["reason"],
        "imageList": images if moment.state is State.SUCCEEDED else [],
        "taskList": [],
    }
