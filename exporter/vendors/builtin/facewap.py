"""faceWap: the video history of one user of a face-swap application.

Document: "视频历史" (POST /videoTaskHistory). The list has no totals, no progress and no time of submission.
`createdAt` is the time of the result row, and it is eight hours early: local time in China stored as if it were UTC. It
places a task in time; durations are observed. A detail may stand for sub-tasks: those are what is counted.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from exporter.client.client import Client
from exporter.client.tokens import GivenToken, TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import Duration, Rate
from exporter.vendors.declared.auth.schemes import Scheme, TokenHeader
from exporter.vendors.declared.vendor import Hooks, vendor_of
from exporter.vendors.registry import read_declaration


class FaceWapSettings(ProviderSettings):
    """A faceWap user: the token of a login, and the host of the application's backend."""

    added: ClassVar = ("videoTaskHistory", "getTaskInfo")
    type: Literal["facewap"]
    rate_limit: Rate = Field(default=2.0, description="the vendor states no limit")
    page_size: int = Field(default=20, ge=1, le=500, description="the page size of the vendor's own application")
    token: Secret = Field(description="the token of a logged-in user")
    bearer: bool = Field(default=False, description="send it as `Bearer TOKEN`")
    created_at_offset: Duration = Field(default=28800.0, description="by how much the vendor's createdAt is too early")


def _scheme(settings: FaceWapSettings, client: Client, tokens: TokenStore) -> Scheme:
    return TokenHeader(GivenToken(settings.token), prefix="Bearer " if settings.bearer else "")


VENDOR = vendor_of("facewap", read_declaration("facewap"), Hooks(scheme=_scheme), settings=FaceWapSettings)
