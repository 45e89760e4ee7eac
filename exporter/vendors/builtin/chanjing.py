"""Chanjing: lip-sync and video synthesis, two feeds of one account.

Documents: "获取对口型视频详情" (lip-sync detail) and "获取视频详情" (video detail) of the vendor's open API. The two
feeds number their states differently (30 is a failure in one, a success in the other) and count clip lengths
differently (milliseconds, seconds). No time but the creation is given, so starts and ends are observed. Lip-sync lists
answer `list` and `page_info`, video lists `List` and `PageInfo`; both spellings are read.
"""

from __future__ import annotations

import hashlib
import time
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import ContractBroken, refusal
from exporter.client.tokens import GivenToken, ObtainedToken, TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import BaseUrl, Rate
from exporter.vendors.declared.auth.schemes import Scheme, TokenHeader
from exporter.vendors.declared.vendor import Hooks, vendor_of
from exporter.vendors.fields import shaped
from exporter.vendors.registry import read_declaration


class ChanjingSettings(ProviderSettings):
    """A Chanjing account: a token, or the application that may ask for one."""

    ways: ClassVar = (("access_token",), ("app_id", "secret_key"))
    added: ClassVar = ("open",)
    type: Literal["chanjing"]
    base_url: BaseUrl = Field(default="https://open-api.chanjing.cc", description="where the vendor's API starts")
    rate_limit: Rate = Field(
        default=5.0, description="half of the vendor's limit of 10/s; the rest is for your programs"
    )
    access_token: Secret | None = Field(default=None, description="a token that another program renews")
    app_id: str | None = Field(default=None, description="with secret_key: the exporter asks for tokens itself")
    secret_key: Secret | None = Field(default=None, description="the application's; each new token ends the one before")


DECLARATION = read_declaration("chanjing")
CODES = {code: reason for reason, codes in DECLARATION.feeds["lip_sync"].reasons.items() for code in codes}


def _in_common_words(text: str) -> str:
    """The vendor's currency runs out where others speak of the balance."""
    return text.replace("蝉豆不足", "余额不足")


def _scheme(settings: ChanjingSettings, client: Client, tokens: TokenStore) -> Scheme:
    if settings.access_token:
        return TokenHeader(GivenToken(settings.access_token), "access_token")
    identity = f"{settings.base_url}\n{settings.app_id}"
    owner = f"{settings.name}:{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    obtain = partial(_obtain, settings, client)
    return TokenHeader(ObtainedToken(owner, obtain, tokens, given_by="access_token_file"), "access_token")


async def _obtain(settings: ChanjingSettings, client: Client) -> tuple[str, float]:
    secret = settings.secret_key.reveal() if settings.secret_key else ""
    body = {"app_id": settings.app_id, "secret_key": secret}
    return await client.call("token", "POST", "/open/v1/access_token", json=body, read=_token)


class ChanjingEnvelope(BaseModel):
    code: int
    msg: str | None = ""
    data: Any = None


def _token(answer: Answer) -> tuple[str, float]:
    class Issued(BaseModel):
        access_token: str = Field(min_length=1, max_length=8192)
        expire_in: float = Field(allow_inf_nan=False)

    envelope = shaped(ChanjingEnvelope, answer.json())
    if envelope.code != 0 or answer.status >= 400:
        raise refusal(answer.status, code=envelope.code, text=_in_common_words(envelope.msg or ""), codes=CODES)
    issued = shaped(Issued, envelope.data)
    if not (issued.access_token.isascii() and issued.access_token.isprintable()):
        raise ContractBroken("the token holds characters that no header may carry")
    # `expire_in` is the Unix time of the end, despite its name; a small number would be what the name says.
    absolute = issued.expire_in > 1e9
    return issued.access_token, issued.expire_in if absolute else time.time() + issued.expire_in


VENDOR = vendor_of(
    "chanjing",
    DECLARATION,
    Hooks(scheme=_scheme, in_common_words=_in_common_words),
    settings=ChanjingSettings,
    one_token=True,
    renewed_with="app_id",
)
