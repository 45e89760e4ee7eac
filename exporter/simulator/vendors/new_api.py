"""A fake gateway of the new-api family at a host of one's own: as DeerAPI, with the family's own paths for a task."""

from __future__ import annotations

from dataclasses import replace

from exporter.simulator.vendor import Answer, Credentials, FakeCall, Row, VendorJSON, endpoint
from exporter.simulator.vendors.deerapi import DeerAPI
from exporter.simulator.world.profiles import PROFILES, SORA


class NewAPI(DeerAPI):
    type = "new_api"
    profiles = (replace(PROFILES[SORA], feed=("new_api", "sora")),)
    prefix = "/new_api"
    keys = Credentials().of("deerapi")

    @classmethod
    def lets_in(cls, credentials: Credentials) -> Row:
        return credentials.of("deerapi")

    @endpoint("sora/detail", "/v1/video/generations/{task_id}")
    def _detail(self, call: FakeCall) -> Answer:
        return super()._detail(call)

    @endpoint("sora/nowhere", "/{path:path}")
    def _nowhere(self, call: FakeCall) -> Answer:
        told = f"Invalid URL ({call.method} {call.url.path})"
        error = {"message": told, "type": "invalid_request_error", "param": "", "code": ""}
        return VendorJSON({"error": error}, 404)
