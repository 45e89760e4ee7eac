"""Foundry, a vendor that there is not: no list, and castings by their keys. It knows nothing of what reads it.

    POST /v1/query  {"keys": [...]}    {"items": {KEY: {...}}}, at most seven of them, without keys it does not know

User and password come by RFC 7617. A key that begins with `bad` has the whole request refused. States are numbers,
times milliseconds, progress is a ratio. A casting may be gone before its end was seen.
"""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

USER, PASSWORD = "ada", "FOUNDRY:PASSWORD"
MOST = 7
REASONS = {101: "moderation", 102: "timeout", 103: "invalid_input"}


@dataclass(frozen=True)
class Casting:
    """All that will become of one casting. Times are Unix milliseconds."""

    key: str
    poured: int
    cooling: int
    cooled: int
    outcome: int
    """30 done, 40 failed, 50 taken back, 0 gone without a trace."""
    fault: int
    length: int

    def item(self, now: int) -> dict[str, Any] | None:
        if now < self.poured or (self.outcome == 0 and now >= self.cooled):
            return None
        state = 10 if now < self.cooling else 20 if now < self.cooled else self.outcome
        share = 0.0 if state == 10 else min(1.0, (now - self.cooling) / (self.cooled - self.cooling))
        return {
            "key": self.key,
            "state": float(state) if self.length % 2 else state,  # as numbers come out of some databases
            "share": share if state < 30 else None,
            "at": [self.poured, self.cooling if state >= 20 else 0, self.cooled if state >= 30 else 0],
            "length": {"ms": self.length} if state == 30 else None,
            "fault": self.fault if state == 40 else 0,
        }


def castings(seed: int, count: int, begin: float, spacing: float) -> list[Casting]:
    lot = random.Random(seed)
    made = []
    for number in range(count):
        poured = int((begin + number * spacing) * 1000)
        cooling = poured + lot.randint(0, 60_000)
        outcome = lot.choice([30, 30, 30, 40, 50, 0])
        made.append(
            Casting(
                key=f"c{seed}-{number:04}",
                poured=poured,
                cooling=cooling,
                # One that goes without a trace is there long enough to be seen.
                cooled=cooling + lot.randint(300_000 if outcome == 0 else 1000, 400_000),
                outcome=outcome,
                fault=lot.choice([*REASONS]) if outcome == 40 else 0,
                length=lot.randint(1, 90) * 1000 + lot.randint(0, 1),
            )
        )
    return made


class Foundry:
    """The vendor. While it `storms`, calls fail, but none that asks for the same keys twice in a row."""

    def __init__(self, clock: Callable[[], float], all_of_them: list[Casting]) -> None:
        self.clock = clock
        self.castings = {one.key: one for one in all_of_them}
        self.storms = 0.0
        self.calls: list[int] = []
        """How many keys each call asked for."""
        self._lot = random.Random(5)
        self.app = Starlette(routes=[Route("/v1/query", self._query, methods=["POST"])])

    @property
    def known(self) -> list[str]:
        """The keys of all that were poured by now."""
        now = self.clock() * 1000
        return [key for key, one in self.castings.items() if one.poured <= now]

    def ends(self) -> dict[int, int]:
        now = self.clock() * 1000
        return dict(Counter(one.outcome for one in self.castings.values() if one.cooled <= now))

    def reasons(self) -> dict[str, int]:
        now = self.clock() * 1000
        return dict(Counter(REASONS[one.fault] for one in self.castings.values() if one.fault and one.cooled <= now))

    def milliseconds(self, outcome: int) -> int:
        """From the pouring to the end, of all with this outcome."""
        now = self.clock() * 1000
        return sum(
            one.cooled - one.poured for one in self.castings.values() if one.outcome == outcome and one.cooled <= now
        )

    async def _query(self, request: Request) -> Response:
        word = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {word}":
            return JSONResponse({"error": "unauthorized"}, 401)
        keys = (await request.json())["keys"]
        self.calls.append(len(keys))
        if self._lot.random() < self.storms:
            return self._lot.choice(
                [
                    JSONResponse({"error": "internal"}, 500),
                    JSONResponse({"error": "busy"}, 429, {"Retry-After": "20"}),
                    Response(b'{"items": {', media_type="application/json"),
                    JSONResponse({"items": None}, 503),
                ]
            )
        if any(key.startswith("bad") for key in keys):
            return JSONResponse({"error": "malformed key"}, 422)
        now = int(self.clock() * 1000)
        items = {key: item for key in keys if key in self.castings and (item := self.castings[key].item(now))}
        return JSONResponse({"items": dict(list(items.items())[:MOST])})
