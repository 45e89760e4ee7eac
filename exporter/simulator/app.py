"""All fake vendors as one ASGI application, each under its own prefix, and the truth about them at /truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from exporter.simulator.fakes import fake_of
from exporter.simulator.vendor import Credentials, FakeVendor, VendorLimit
from exporter.simulator.vendors.huawei_metastudio import MetaStudio
from exporter.simulator.world.world import World

Limits = Mapping[str, tuple[int, float]]

IAM = "/huawei-iam"
"""Where Huawei's IAM stands, which gives out tokens."""

V = TypeVar("V", bound=FakeVendor)

MOST_IDS = 1000
"""How many of a feed are shown at once, the newest."""


class Simulator(Starlette):
    """The simulator of a world.

    The vendors are those of the world's feeds. `credentials` are what they accept; `limits` replaces the documented
    rate limits ({} for none).

    `faults` begins empty. An entry, keyed by "type", "type/kind" or "type/endpoint" (as in `FakeVendor.requests`),
    answers all that comes there: `simulator.faults["chanjing/video/list"] = Response("<html>", 502)`, or `= hang`.
    Remove it, and the vendor is well again.
    """

    def __init__(
        self,
        world: World,
        credentials: Credentials | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        self.world = world
        self.credentials = credentials or Credentials()
        self.faults: dict[str, ASGIApp] = {}
        types = dict.fromkeys(name for name, _ in world.profiles)
        stated = {f"{name}/{key}": limit for name in types for key, limit in fake_of(name).documented.items()}
        chosen = stated if limits is None else limits
        self.limits = {key: VendorLimit(requests, seconds) for key, (requests, seconds) in chosen.items()}
        common = (world, self.credentials, self.limits, self.faults)
        self.vendors: dict[str, FakeVendor] = {name: fake_of(name)(*common) for name in types}
        self.prefixes = {name: vendor.prefix for name, vendor in self.vendors.items()}
        """Where each stands; beside them, Huawei's IAM."""
        mounts = [Mount(vendor.prefix, routes=vendor.routes()) for vendor in self.vendors.values()]
        huawei = self.vendors.get("huawei_metastudio")
        if isinstance(huawei, MetaStudio):
            mounts.append(Mount(IAM, routes=huawei.iam_routes()))
            self.prefixes["huawei_iam"] = IAM
        ours = [Route("/truth", self._truth), Route("/ids/{type}", self._ids)]
        super().__init__(routes=[*ours, *mounts])

    def the(self, fake: type[V]) -> V:
        """The vendor of this class. Raises LookupError where it is not simulated here."""
        vendor = self.vendors[fake.type]
        if not isinstance(vendor, fake):
            raise LookupError(fake.type)
        return vendor

    async def _ids(self, request: Request) -> JSONResponse:
        """The ids of a vendor's tasks by feed, as the programs that submit them would report them."""
        feeds = [feed for feed in self.world.profiles if feed[0] == request.path_params["type"]]
        return JSONResponse({feed[1]: [life.id for life in self.world.listed(feed)[:MOST_IDS]] for feed in feeds})

    async def _truth(self, request: Request) -> JSONResponse:
        return JSONResponse(self.world.truth())


app = Simulator
"""Makes the simulator of a world."""
