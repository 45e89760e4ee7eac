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
from exporter.tasks import Cause, Reason
from exporter.vendors.declared.auth.schemes import Scheme, TokenHeader
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.vendor import Hooks, vendor_of
from exporter.vendors.fields import shaped

CODES = {
    "400": Reason.INVALID_INPUT,
    "10400": Reason.AUTH,
    "10401": Reason.AUTH,
    "40000": Reason.INVALID_INPUT,
    "40001": Reason.RATE_LIMITED,
    "40002": Reason.INSUFFICIENT_BALANCE,
    "50000": Reason.PROVIDER_INTERNAL,
    "51000": Reason.PROVIDER_INTERNAL,
}


class Settings(ProviderSettings):
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


def _feed(title: str, document: str, path: str, length: str, states: dict[str, Any], reasons: dict[str, Any]) -> Any:
    """What the two feeds have in common."""
    listed, detail = path.split()
    return {
        "clock": "observed",
        "title": title,
        "document": document,
        "list": {
            "method": "POST",
            "path": listed,
            "json": {"page": "{page}", "page_size": "{page_size}"},
            "rows": "data.list || data.List",
            "total": "data.page_info.total_count || data.PageInfo.total_count",
            "paging": {"type": "page"},
        },
        # The id is the only parameter, so it is what the vendor means by a wrong one.
        "detail": {
            "path": detail,
            "query": {"id": "{id}"},
            "row": "data",
            "missing": {"code": ["400", "40000"], "when": "!data"},
        },
        "fields": {
            "id": "id",
            "state": "status",
            "progress": "progress",
            "submitted": "create_time",
            "output": {"path": "duration", "unit": length},
            "text": "msg",
            "result": "video_url",
        },
        "states": states,
        "reasons": reasons,
    }


# The range says why a video failed where its words do not: 4X is a wrong parameter, 5X a fault of the service.
WRONG, FAULTY = [str(number) for number in range(40, 50)], [str(number) for number in range(50, 60)]

_BY_CODE = {reason.value: [code for code, meant in CODES.items() if meant is reason] for reason in CODES.values()}

DECLARATION = Declaration.model_validate(
    {
        "title": "Chanjing",
        "answer": {"ok": "code == `0`", "code": "code", "text": "msg"},
        # Seconds of video: no call reports what is left of the vendor's currency.
        "account": {
            "path": "/open/v1/user_info",
            "balance": {"path": "data.video_create_limit", "minus": "data.video_create_seconds", "unit": "seconds"},
        },
        "feeds": {
            "lip_sync": _feed(
                "Lip-syncing: task list",
                "https://doc.chanjing.cc/api/lip-syncing/get_task_list.html",
                "/open/v1/video_lip_sync/list /open/v1/video_lip_sync/detail",
                "ms",
                {"queued": ["0"], "running": ["10"], "succeeded": ["20"], "failed": ["30"]},
                _BY_CODE,
            ),
            "video": _feed(
                "Video synthesis: video list",
                "https://mcp.chanjing.cc/api/video-synthesis/get-video-list.html",
                "/open/v1/video_list /open/v1/video",
                "s",
                {"running": ["10"], "succeeded": ["30"], "failed": WRONG + FAULTY},
                _BY_CODE
                | {
                    "invalid_input": _BY_CODE["invalid_input"] + WRONG,
                    "provider_internal": _BY_CODE["provider_internal"] + FAULTY,
                },
            ),
        },
    }
)


def _in_common_words(text: str) -> str:
    """The vendor's currency runs out where others speak of the balance."""
    return text.replace("蝉豆不足", "余额不足")


def _scheme(settings: Settings, client: Client, tokens: TokenStore) -> Scheme:
    if settings.access_token:
        return TokenHeader(GivenToken(settings.access_token), "access_token")
    identity = f"{settings.base_url}\n{settings.app_id}"
    owner = f"{settings.name}:{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    obtain = partial(_obtain, settings, client)
    return TokenHeader(ObtainedToken(owner, obtain, tokens, given_by="access_token_file"), "access_token")


async def _obtain(settings: Settings, client: Client) -> tuple[str, float]:
    secret = settings.secret_key.reveal() if settings.secret_key else ""
    body = {"app_id": settings.app_id, "secret_key": secret}
    return await client.call("token", "POST", "/open/v1/access_token", json=body, read=_token)


class Envelope(BaseModel):
    code: int
    msg: str | None = ""
    data: Any = None


def _token(answer: Answer) -> tuple[str, float]:
    class Issued(BaseModel):
        access_token: str = Field(min_length=1, max_length=8192)
        expire_in: float = Field(allow_inf_nan=False)

    envelope = shaped(Envelope, answer.json())
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
    settings=Settings,
    one_token=True,
    renewed_with="app_id",
    advice={
        Cause.TOKEN_RENEWED_ELSEWHERE: (
            "The setting for the other program's token is access_token_file; credentials of its own are an application."
        ),
    },
)
