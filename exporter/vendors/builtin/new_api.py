"""new-api and its branches (one-api, one-hub), at hosts of one's own: the gateway that DeerAPI runs, too."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exporter.config.values import BaseUrl
from exporter.vendors.builtin._gateway import feed as gateway
from exporter.vendors.vendor import Document, Vendor


class NewAPISettings(gateway.GatewaySettings):
    """A key of the gateway and, to have tasks listed, the user's own token."""

    type: Literal["new_api"]
    base_url: BaseUrl = Field(description="where your gateway is, without a path such as /v1")


DOCUMENT = Document(
    "Get Video Generation Task Status", "https://docs.newapi.pro/en/docs/api/ai-model/videos/get-video-generation"
)

VENDOR = Vendor(
    "new_api",
    NewAPISettings,
    title="new-api",
    other_names=("new-api", "newapi", "one-api", "oneapi", "one-hub", "onehub"),
    **gateway.vendor_parts(DOCUMENT, (gateway.ENVELOPE_PATH, gateway.OPENAI_PATH, gateway.SORA_PATH)),
)
