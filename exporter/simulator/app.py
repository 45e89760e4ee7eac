"""All fake vendors as one ASGI application, each under its own prefix, and the truth about them at /truth."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from exporter.simulator.vendor import Credentials, RateLimit, Vendor
from exporter.simulator.vendors.chanjing import Chanjing
from exporter.simulator.vendors.deerapi import DeerAPI, Dialect
from exporter.simulator.vendors.facewap import FaceWap
from exporter.simulator.vendors.huawei_metastudio import MetaStudio
from exporter.simulator.world.world import World

Limits = Mapping[str, tuple[int, float]]

# Where the documents state a limit: endpoint -> (requests, in so many seconds).
DOCUMENTED_LIMITS: Limits = {
    "deerapi/sora/list": (180, 180),
    "chanjing/lip_sync/list": (10, 1),
    "chanjing/lip_sync/detail": (10, 1),
    "huawei_metastudio/digital_human/list": (20, 1),
    "huawei_metastudio/digital_human/detail": (20, 1),
}

# The base_url of a provider type is the simulator's address with this after it; "huawei_iam" is the IAM endpoint.
PREFIXES = {
    "deerapi": "/deerapi",
    "chanjing": "/chanjing",
    "huawei_metastudio": "/huawei",
    "huawei_iam": "/huawei-iam",
    "facewap": "/facewap",
}


class Simulator(Starlette):
    """The simulator of a world.

    `credentials` are what it accepts; `limits` replaces the documented rate limits ({} for none); `dialect` is that of
    DeerAPI's list; `bearer` lets faceWap take "Bearer TOKEN"; `wall` is the callers' clock, for Huawei's signatures.

    `faults` begins empty. An entry, keyed by "type", "type/kind" or "type/endpoint" (as in `Vendor.requests`), answers
    all that comes there: `simulator.faults["chanjing/video/list"] = Response("<html>", 502)`, or `= hang`. Remove it,
    and the vendor is well again.
    """

    def __init__(
        self,
        world: World,
        credentials: Credentials | None = None,
        *,
        limits: Limits | None = None,
        dialect: Dialect = "new",
        bearer: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.world = world
        self.credentials = credentials or Credentials()
        self.faults: dict[str, ASGIApp] = {}
        chosen = DOCUMENTED_LIMITS if limits is None else limits
        self.limits = {key: RateLimit(requests, seconds) for key, (requests, seconds) in chosen.items()}
        common = (world, self.credentials, self.limits, self.faults)
        self.deerapi = DeerAPI(*common, dialect=dialect)
        self.chanjing = Chanjing(*common)
        self.huawei_metastudio = MetaStudio(*common, wall=wall)
        self.facewap = FaceWap(*common, bearer=bearer)
        self.vendors: dict[str, Vendor] = {
            vendor.type: vendor for vendor in (self.deerapi, self.chanjing, self.huawei_metastudio, self.facewap)
        }
        mounts = [Mount(PREFIXES[vendor.type], routes=vendor.routes()) for vendor in self.vendors.values()]
        iam = Mount(PREFIXES["huawei_iam"], routes=self.huawei_metastudio.iam_routes())
        super().__init__(routes=[Route("/truth", self._truth), iam, *mounts])

    async def _truth(self, request: Request) -> JSONResponse:
        return JSONResponse(self.world.truth())


app = Simulator
"""Makes the simulator of a world."""
