"""DeerAPI: Sora tasks behind a gateway of the new-api family.

Document: "查询视频任务" (GET /sora/v1/videos/{task_id}). The gateway's list of a user's own tasks (GET
/api/task/self) is not in DeerAPI's documents: it takes a user token instead of the API key and exists in three
dialects. Without that token the feed follows the ids under `watch`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from exporter.config.values import BaseUrl
from exporter.vendors.builtin._gateway import feed as gateway
from exporter.vendors.vendor import Document, Vendor


class DeerAPISettings(gateway.GatewaySettings):
    """A DeerAPI key and, where the gateway lets its users list their tasks, the user's own token."""

    type: Literal["deerapi"]
    base_url: BaseUrl = Field(default="https://api.deerapi.com", description="where the vendor's API starts")


DOCUMENT = Document("Querying a video task (查询视频任务)", "https://apidoc.deerapi.com/api-284896330")

VENDOR = Vendor(
    "deerapi",
    DeerAPISettings,
    title="DeerAPI",
    other_names=("sora",),
    **gateway.vendor_parts(DOCUMENT, (gateway.SORA_PATH, gateway.OPENAI_PATH, gateway.ENVELOPE_PATH)),
)
