"""ComfyUI: the jobs of a server of one's own, as long as it keeps them in its memory.

Document: the server's route /api/jobs, which newer versions have; fields without a value are left out of its rows. It
knows no credentials: the headers are those that a proxy before it may want.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import httpx
from pydantic import BeforeValidator, Field

from exporter.client.client import Client
from exporter.client.tokens import TokenStore
from exporter.config.models import FileReference, ProviderSettings, Secret
from exporter.vendors.declared.auth.schemes import Scheme
from exporter.vendors.declared.auth.settings import HeaderName
from exporter.vendors.declared.row_fields import PathText
from exporter.vendors.declared.vendor import Hooks, vendor_of
from exporter.vendors.registry import read_declaration


class HeaderValue(Secret):
    """What stands in a header, blanks included."""

    _wanted = "write the header's value, ${VARIABLE}, or its name with _file"

    @classmethod
    def _clean(cls, text: str) -> str:
        text = text.strip()
        if not text:
            raise ValueError("is empty")
        if not (text.isascii() and text.isprintable()):
            raise ValueError("holds a line break or another sign that no header can carry")
        return text


def _with_files(given: Any) -> Any:
    """The headers, with those whose name ends in `_file` out of files."""
    if not isinstance(given, dict):
        return given
    return {
        name.removesuffix("_file"): FileReference(value) if name.endswith("_file") and isinstance(value, str) else value
        for name, value in given.items()
    }


class ComfyUISettings(ProviderSettings):
    """A ComfyUI server of one's own."""

    added: ClassVar = ("api",)
    type: Literal["comfyui"]
    page_size: int = Field(default=100, ge=1, le=500, description="jobs asked for on one list page")
    headers: Annotated[dict[HeaderName, HeaderValue], BeforeValidator(_with_files)] = Field(
        default_factory=dict, description="what a proxy before the server wants, by the headers' names"
    )
    where: PathText | None = Field(default=None, description="JMESPath over a row of a list: others are no tasks")


class Headers(Scheme):
    """Headers as the settings have them."""

    def __init__(self, headers: Mapping[str, Secret]) -> None:
        super().__init__(list(headers.values()))
        self._headers = headers

    @property
    def sent(self) -> list[str]:
        return [word for text in super().sent for word in (text, *text.split())]

    def sign(self, request: httpx.Request) -> None:
        for name, secret in self._headers.items():
            request.headers[name] = secret.text


def _scheme(settings: ComfyUISettings, client: Client, tokens: TokenStore) -> Scheme:
    return Headers(settings.headers)


VENDOR = vendor_of(
    "comfyui",
    read_declaration("comfyui"),
    Hooks(scheme=_scheme),
    settings=ComfyUISettings,
)
