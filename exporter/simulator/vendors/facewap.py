"""A fake faceWap: one user's history of face swaps, newest first, without progress, totals or times of the work.

`createdAt` is the time of the row's latest result, eight hours early: Beijing's clock written down as if it were UTC.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Vendor, VendorJSON, as_int, json_object
from exporter.simulator.world.content import prompt, signed_url, user
from exporter.simulator.world.life import Life, Moment
from exporter.simulator.world.profiles import FACE_SWAP, PROFILES
from exporter.tasks import State

BEIJING = 8 * 3600  # seconds
STATES = {State.QUEUED: 10, State.RUNNING: 20, State.SUCCEEDED: 30, State.FAILED: 2, State.CANCELLED: 2}


@dataclass(eq=False)
class FaceWap(Vendor):
    """With `bearer`, `Authorization: Bearer TOKEN` is accepted beside the bare token."""

    type = "facewap"
    profiles = (PROFILES[FACE_SWAP],)
    prefix = "/facewap"
    bearer: bool = False

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/videoTaskHistory", "face_swap/list", self._history, "POST"),
            self.route("/getTaskInfo", "face_swap/detail", self._info),
        ]

    def over_limit(self) -> Response:
        return VendorJSON({"code": 429, "msg": "too many requests", "data": None}, 429)  # in no document

    async def _history(self, request: Request) -> Response:
        if not self._admits(request):
            return _refused()
        body = await json_object(request)
        if body is None:
            return _answer(800, "parameter error")
        page, size = as_int(body.get("page", 1)), as_int(body.get("pageSize", 20))
        if page is None or size is None or page < 1 or size < 1:
            return _answer(800, "parameter error")
        now = self.world.now()
        lives = self.world.listed(FACE_SWAP)[(page - 1) * size : page * size]
        return _answer(200, "SUCCESS", [_row(life, life.at(now)) for life in lives])

    async def _info(self, request: Request) -> Response:
        if not self._admits(request):
            return _refused()
        prompt_id = request.query_params.get("promptId")
        if not prompt_id:
            return _answer(800, "parameter error")
        life = self.world.find(FACE_SWAP, prompt_id)
        if life is None:
            return _answer(900, "no data")
        return _answer(200, "SUCCESS", _details(life, life.at(self.world.now())))

    def _admits(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        token = self.credentials.facewap_token
        return given == token or (self.bearer and given == f"Bearer {token}")


def _answer(code: int, msg: str, data: Any = None) -> Response:
    return VendorJSON({"code": code, "msg": msg, "data": data})


def _refused() -> Response:
    return VendorJSON({"code": 401, "msg": "unauthorized", "data": None}, 401)  # in no document


def _number(life: Life) -> int:
    return zlib.crc32(life.id.encode())


def _row(life: Life, moment: Moment) -> dict[str, Any]:
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


def _details(life: Life, moment: Moment) -> dict[str, Any]:
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
