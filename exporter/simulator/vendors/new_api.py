"""A fake gateway of the new-api family at a host of one's own: as DeerAPI, with the family's own paths for a task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exporter.simulator.vendor import Credentials, VendorJSON
from exporter.simulator.vendors.deerapi import DeerAPI
from exporter.simulator.world.profiles import PROFILES, SORA


@dataclass(eq=False)
class NewAPI(DeerAPI):
    type = "new_api"
    profiles = (replace(PROFILES[SORA], feed=("new_api", "sora")),)
    prefix = "/new_api"
    keys = Credentials().of("deerapi")
    documented: ClassVar = {"sora/list": (180, 180)}

    @classmethod
    def lets_in(cls, credentials: Credentials) -> dict[str, Any]:
        return dict(credentials.of("deerapi"))

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("/v1/video/generations/{task_id}", "sora/detail", self._detail),
            self.route("/api/task/self", "sora/list", self._list),
            *self.billing(),
            self.route("/{path:path}", "sora/nowhere", self._nowhere),
        ]

    async def _nowhere(self, request: Request) -> Response:
        told = f"Invalid URL ({request.method} {request.url.path})"
        error = {"message": told, "type": "invalid_request_error", "param": "", "code": ""}
        return VendorJSON({"error": error}, 404)
