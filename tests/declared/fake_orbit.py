"""Orbit, a vendor that there is not, with its lives, its faults and its truth. It knows nothing of what reads it.

    GET /api/jobs?limit=N&after=CURSOR    {"ok": true, "result": {"jobs": [...], "after": CURSOR or null}}, newest first
    GET /api/jobs/UID                     {"ok": true, "result": {"job": {...}}}

The header X-Orbit-Key holds the key, or the parameter `key`. A refusal is HTTP 200 around {"ok": false, "err": {"no":
NUMBER, "say": TEXT}}; number 44 is an unknown job. Times are those of HTTP headers; one that is not set is of the year
1. Why a job broke only its detail tells.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

KEY = "ORBIT-KEY"
NEVER = "Mon, 01 Jan 0001 00:00:00 GMT"
CODES = {"ORB-UNSAFE": "moderation", "ORB-CREDIT-2": "insufficient_balance", "ORB-GPU": "provider_internal"}
"""What each code means, in the words of the exporter's pages."""


@dataclass(frozen=True)
class Life:
    """One job: all that will become of it. Times are whole seconds."""

    uid: str
    kind: str
    submitted: int
    queued: int
    ran: int
    end: str
    """READY, BROKEN or ABORTED."""
    code: str
    seconds: int

    @property
    def started(self) -> int:
        return self.submitted + self.queued

    @property
    def ended(self) -> int:
        return self.started + self.ran

    def phase(self, now: float) -> str:
        if now < self.started:
            return "QUEUING"
        return "WORKING" if now < self.ended else self.end

    def row(self, now: float, whole: bool) -> dict[str, Any]:
        """What Orbit shows of it; only the `whole` job tells why it broke."""
        phase = self.phase(now)
        done = min(99, max(0, int(100 * (now - self.started) / self.ran))) if phase == "WORKING" else 0
        broken = {"why": {"code": self.code, "say": f"job {self.uid} broke"}} if whole and phase == "BROKEN" else {}
        return {
            "job": {"uid": self.uid, "phase": phase, "done": f"{done}%", "kind": self.kind, **broken},
            "when": {
                "in": formatdate(self.submitted, usegmt=True),
                "go": formatdate(self.started, usegmt=True) if now >= self.started else NEVER,
                "out": formatdate(self.ended, usegmt=True) if now >= self.ended else NEVER,
            },
            "clip": {"len": f"0:{self.seconds // 60:02}:{self.seconds % 60:02}"} if phase == "READY" else None,
            "prompt": "a harbour at dawn",
        }


def lives(seed: int, count: int, begin: float, spacing: float, longest: int) -> list[Life]:
    """So many jobs from `begin` on, one after the other; a tenth of them are images."""
    lot = random.Random(seed)
    made = []
    for number in range(count):
        end = lot.choice(["READY", "READY", "READY", "BROKEN", "ABORTED"])
        made.append(
            Life(
                uid=f"orb/{seed} {number:05}",
                kind="image" if lot.random() < 0.1 else "video",
                submitted=int(begin + number * spacing),
                queued=lot.randint(0, longest // 2),
                ran=lot.randint(1, longest),
                end=end,
                code=lot.choice([*CODES]) if end == "BROKEN" else "",
                seconds=lot.randint(1, 90) if end == "READY" else 0,
            )
        )
    return made


@dataclass(frozen=True)
class Truth:
    """What became of the jobs."""

    ends: dict[str, int]
    reasons: dict[str, int]
    output_seconds: int
    queue_seconds: int
    run_seconds: dict[str, int]
    total_seconds: dict[str, int]
    in_flight: dict[str, int]


class Orbit:
    """The vendor. While it `storms`, calls fail in one way or another, though none fails twice in a row."""

    def __init__(self, clock: Callable[[], float], jobs: list[Life], seed: int = 1, hang: float = 3.0) -> None:
        self.clock = clock
        self.jobs = jobs
        self.storms = 0.0
        """The share of the calls that fail."""
        self.calls: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._lot = random.Random(seed)
        self._failed: set[str] = set()
        self._hang = hang
        self.app = Starlette(routes=[Route("/api/jobs", self._list), Route("/api/jobs/{uid:path}", self._one)])

    def truth(self, since: float) -> Truth:
        """Of the videos, without those that ended before `since`."""
        now = self.clock()
        known = [life for life in self.jobs if life.kind == "video" and life.submitted <= now]
        ended = [life for life in known if since <= life.ended <= now]
        measured = [life for life in ended if life.end != "ABORTED"]
        return Truth(
            ends=dict(Counter(life.end for life in ended)),
            reasons=dict(Counter(CODES[life.code] for life in ended if life.code)),
            output_seconds=sum(life.seconds for life in ended),
            queue_seconds=sum(life.queued for life in known if life.started <= now and life.ended >= since),
            run_seconds=dict(sum((Counter({life.end: life.ran}) for life in measured), Counter())),
            total_seconds=dict(sum((Counter({life.end: life.ran + life.queued}) for life in measured), Counter())),
            in_flight=dict(Counter(life.phase(now) for life in known if life.ended > now)),
        )

    async def _list(self, request: Request) -> Response:
        self.calls["list"] += 1
        if fault := await self._fault(request):
            return fault
        now = self.clock()
        rows = sorted(
            (life for life in self.jobs if life.submitted <= now),
            key=lambda life: (life.submitted, life.uid),
            reverse=True,
        )
        limit = min(25, int(request.query_params["limit"]))  # Orbit shows no more on a page, whatever is asked for
        if after := request.query_params.get("after"):
            submitted, _, uid = base64.b64decode(after).decode().partition(" ")
            rows = [life for life in rows if (life.submitted, life.uid) < (int(submitted), uid)]
            if self.storms and self._lot.random() < 0.3:  # a replica that is behind shows some rows once more
                seen = [
                    life
                    for life in self.jobs
                    if life.submitted <= now and (life.submitted, life.uid) >= (int(submitted), uid)
                ]
                rows = sorted(seen, key=lambda life: (life.submitted, life.uid), reverse=True)[-3:] + rows
        page = rows[:limit]
        last = page[-1] if len(rows) > limit else None
        cursor = base64.b64encode(f"{last.submitted} {last.uid}".encode()).decode() if last else None
        return JSONResponse({"ok": True, "result": {"jobs": [life.row(now, False) for life in page], "after": cursor}})

    async def _one(self, request: Request) -> Response:
        self.calls["detail"] += 1
        if fault := await self._fault(request):
            return fault
        now, uid = self.clock(), request.path_params["uid"]
        for life in self.jobs:
            if life.uid == uid and life.submitted <= now:
                return JSONResponse({"ok": True, "result": {"job": life.row(now, True)}})
        return JSONResponse({"ok": False, "err": {"no": 44, "say": "no such job"}})

    async def _fault(self, request: Request) -> Response | None:
        if KEY not in (request.headers.get("X-Orbit-Key"), request.query_params.get("key")):
            return JSONResponse({"ok": False, "err": {"no": 1, "say": "who are you"}})
        path = request.url.path
        if path in self._failed or self._lot.random() >= self.storms:
            self._failed.discard(path)
            return None
        self._failed.add(path)
        kind = self._lot.choice(["500", "502", "refused", "429", "cut", "empty", "hang"])
        self.faults[kind] += 1
        match kind:
            case "500":
                return JSONResponse({"ok": False, "err": {"no": 500, "say": "oops"}}, 500)
            case "502":
                return HTMLResponse("<h1>Bad Gateway</h1>", 502)
            case "refused":
                return JSONResponse({"ok": False, "err": {"no": 7, "say": "try again later"}})
            case "429":
                return JSONResponse({"ok": False, "err": {"no": 29}}, 429, {"Retry-After": "1"})
            case "cut":
                return Response(b'{"ok": true, "result": {"jobs": [', media_type="application/json")
            case "empty":
                return Response(b"")
        await asyncio.sleep(self._hang)
        return JSONResponse({"ok": False})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """Serves an application on loopback, in a thread, and tells its URL."""
    server = _Server(
        uvicorn.Config(app, port=0, log_config=None, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the vendor did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
