"""Kling's older calls: a list and a detail for each kind of task, below /v1/videos.

Documents: "General" and the "Query Task (List)" of each kind in the API reference. A failed task stands in an answer
whose `message` is SUCCEED: its own words are in `task_status_msg`. Lists have no total and no filter. HTTP 429
is also the answer where the account has no money (1101, 1102), and where our address is not allowed (1304).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from exporter.client.client import Client
from exporter.client.tokens import TokenStore
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import BaseUrl, Rate
from exporter.vendors.declared.auth.schemes import Header, JwtHs256, Scheme
from exporter.vendors.declared.declaration import Declaration
from exporter.vendors.declared.vendor import Hooks, vendor_of

KINDS = ("text2video", "image2video", "omni-video")
MORE_KINDS = (
    "multi-image2video",
    "multi-elements",
    "motion-control",
    "effects",
    "avatar/image2video",
    "lip-sync",
    "advanced-lip-sync",
    "video-extend",
)
"""Polled where a provider's `feeds` names them: each costs list calls of its own."""

REASONS = {
    "auth": ["1000", "1001", "1002", "1003", "1004", "1100", "1103", "1304"],
    "insufficient_balance": ["1101", "1102"],
    "invalid_input": ["1200", "1201", "1202", "1203"],
    "moderation": ["1300", "1301"],
    "rate_limited": ["1302", "1303"],
    "provider_internal": ["5000", "5001"],
    "timeout": ["5002"],
}


class KlingLegacySettings(ProviderSettings):
    """A Kling account whose programs use the older calls, and one way to authenticate."""

    ways: ClassVar = (("api_key",), ("access_key", "secret_key"))
    added: ClassVar = ("v1/videos",)
    type: Literal["kling_legacy"]
    base_url: BaseUrl = Field(default="https://api-singapore.klingai.com", description="where the vendor's API starts")
    rate_limit: Rate = Field(default=2.0, description="the vendor states no limit, and has a code for too many")
    page_size: int = Field(default=500, ge=1, le=500, description="tasks asked for on one list page")
    api_key: Secret | None = Field(default=None, description="an API key of the account")
    access_key: Secret | None = Field(
        default=None, description="with secret_key: requests carry a token that they sign"
    )
    secret_key: Secret | None = Field(default=None, description="belongs to access_key")


def _feed(kind: str) -> dict[str, Any]:
    return {
        "optional": kind in MORE_KINDS,
        "title": f"Query Task (List), GET /v1/videos/{kind}",
        "document": "https://app.klingai.com/global/dev/document-api",
        "list": {
            "path": f"/v1/videos/{kind}",
            "query": {"pageNum": "{page}", "pageSize": "{page_size}"},
            "rows": "data",
            "paging": {"type": "page"},
            "order": "unknown",
            "window": "30d",
        },
        # The id is the only parameter, so it is what the vendor means by a wrong one.
        "detail": {
            "path": f"/v1/videos/{kind}/{{id}}",
            "row": "data",
            "missing": {"status": [404], "code": ["1201"]},
        },
        "fields": {
            "id": "task_id",
            "state": "task_status",
            "submitted": "created_at",
            "ended": {"path": "updated_at", "when": "end"},
            "output": "task_result.videos[0].duration",
            "usage": {"path": "final_unit_deduction", "unit": "units"},
            "text": "task_status_msg",
            "result": "task_result.videos[0].url",
        },
        "states": {
            "queued": ["submitted"],
            "running": ["processing"],
            "succeeded": ["succeed", "succeeded"],
            "failed": ["failed"],
        },
        "reasons": REASONS,
    }


DECLARATION = Declaration.model_validate(
    {
        "title": "Kling, older calls",
        "other_names": ["kling_v1", "kling_jwt"],
        "advice": {"wrong_url": "Where other kinds answer, your site does not have this one: take it out of `feeds`."},
        "answer": {"ok": "code == `0`", "code": "code", "text": "message"},
        "feeds": {kind: _feed(kind) for kind in (*KINDS, *MORE_KINDS)},
        "account": {
            "path": "/account/costs",
            # Packs are found by when they were bought, and may be a year old.
            "window": "400d",
            "query": {"start_time": "{since_ms}", "end_time": "{until_ms}"},
            # Who pays by use has no packs. A refusal stands inside a good answer.
            "missing": {"when": "data.code == `0` && !data.resource_pack_subscribe_infos"},
            "balance": {
                "path": "data.code == `0` && sum(data.resource_pack_subscribe_infos[?status == 'online']"
                ".remaining_quantity)",
                "unit": "units",
            },
        },
    }
)


def _scheme(settings: KlingLegacySettings, client: Client, tokens: TokenStore) -> Scheme:
    if settings.access_key and settings.secret_key:
        return JwtHs256(settings.access_key, settings.secret_key)
    if settings.api_key is None:  # the settings admit no such thing
        raise ValueError("no credentials")
    return Header(settings.api_key)


VENDOR = vendor_of(
    "kling_legacy",
    DECLARATION,
    Hooks(scheme=_scheme),
    settings=KlingLegacySettings,
    signed_with="access_key",
)
