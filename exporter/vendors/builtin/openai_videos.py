"""Gateways and clouds that speak the Videos API as OpenAI published it: single videos, or the list where there is one.

Document: "Videos" (GET /v1/videos, GET /v1/videos/{id}) of OpenAI's API reference; OpenAI's own service has ended. Many
gateways answer for models of others, so a failure's code may be one of those. Azure's jobs of the first Sora are rows
of another form at another `path`, and are read as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from exporter.client.client import Client
from exporter.client.errors import RequestInvalid, TaskNotFound
from exporter.client.tokens import TokenStore
from exporter.config.mistakes import slips
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import BaseUrl, Rate, fault
from exporter.tasks import Cause
from exporter.vendors.declared.auth.schemes import Header, Scheme
from exporter.vendors.declared.auth.settings import HeaderName
from exporter.vendors.declared.row_fields import PathText
from exporter.vendors.declared.vendor import Hooks, feeds_of, tells_of, vendor_of
from exporter.vendors.registry import read_declaration
from exporter.vendors.vendor import Feed

_NO_SUCH_PATH = re.compile(r"invalid url|no route|not found: (?:get )?/|resource not found|^not found$", re.IGNORECASE)
"""What servers answer with HTTP 404 where it is the path that they do not know, and not the video."""


class OpenAIVideosSettings(ProviderSettings):
    """An account at a gateway, or a resource of Azure."""

    added: ClassVar = ("videos",)
    type: Literal["openai_videos"]
    base_url: BaseUrl = Field(description="where the API starts; /v1 is added where it ends with no version")
    rate_limit: Rate = Field(default=2.0, description="maximum rate of requests to this provider")
    page_size: int = Field(default=100, ge=1, le=100, description="tasks asked for on one list page")
    api_key: Secret = Field(description="an API key")
    api_key_header: HeaderName | None = Field(
        default=None, description="a header for the key in place of `Authorization: Bearer`, such as api-key at Azure"
    )
    api_version: str = Field(default="", description="the parameter api-version, which Azure may want: preview")
    path: str = Field(
        default="videos", description="below base_url; video/generations/jobs for Azure's jobs of the first Sora"
    )
    where: PathText | None = Field(default=None, description="JMESPath over a row of the list: others are no tasks")
    list: bool = Field(default=False, description="whether the gateway lists the videos of the key: GET /v1/videos")

    @field_validator("base_url")
    @classmethod
    def _starts_where_the_api_does(cls, url: str) -> str:
        if wrong := slips.of_base_url(url, "/v1", cls.added):
            raise fault(wrong)
        return url if re.search(r"/v[0-9]+$", urlsplit(url).path) else f"{url}/v1"

    @field_validator("path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", path.strip("/")):
            raise fault("not a path; write it as the gateway does, without parameters, such as videos")
        return path.strip("/")


DECLARATION = read_declaration("openai_videos")

_VIDEO = DECLARATION.feeds["video"]
BY_ID = DECLARATION.model_copy(update={"feeds": {"video": _VIDEO.model_copy(update={"list_": None})}})
"""The same for a gateway that lists nothing."""


def _scheme(settings: OpenAIVideosSettings, client: Client, tokens: TokenStore) -> Scheme:
    if settings.api_key_header:
        return Header(settings.api_key, settings.api_key_header, "")
    return Header(settings.api_key)


def _refused(endpoint: str, status: int, code: object, text: str) -> None:
    """A video that there is not, or a path: gateways answer both with HTTP 404."""
    if endpoint != "detail" or status != 404:
        return
    if _NO_SUCH_PATH.search(text.strip()):
        raise RequestInvalid("the gateway does not know the path (HTTP 404)", cause=Cause.WRONG_URL)
    raise TaskNotFound


HOOKS = Hooks(scheme=_scheme, refused=_refused)


def _feeds(settings: OpenAIVideosSettings, client: Client, tokens: TokenStore) -> Sequence[Feed]:
    return feeds_of(DECLARATION if settings.list else BY_ID, settings, client, tokens, HOOKS)


VENDOR = replace(
    vendor_of("openai_videos", DECLARATION, HOOKS, settings=OpenAIVideosSettings),
    feeds=_feeds,
    tells={"video": replace(tells_of(_VIDEO), list_needs="list")},
)
