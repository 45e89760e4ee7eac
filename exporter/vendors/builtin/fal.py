"""fal: the requests to some endpoints of an account.

Documents: "Platform APIs" (GET /models/requests/by-endpoint) and "Queue" (the status of a request). The list shows
requests that have ended, with all their times but without a reason; those in flight are known by their ids alone, at
the queue, which is another host. Its answers name no endpoint. Payloads, which hold prompts, are never asked for.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from exporter.client.errors import TaskNotFound, refusal
from exporter.config.mistakes import slips
from exporter.config.models import ProviderSettings, Secret
from exporter.config.values import BaseUrl, Rate, fault
from exporter.vendors.declared.row_fields import PathText
from exporter.vendors.declared.vendor import Hooks, vendor_of
from exporter.vendors.registry import read_declaration

PLATFORM = "https://api.fal.ai/v1"
QUEUE = "https://queue.fal.run"
NAMESPACES = ("workflows", "comfy")
"""What may stand before an owner."""
BALANCE = "insufficient balance"


def _endpoint(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+", text):
        raise fault("not an endpoint; write its id, such as fal-ai/kling-video/v2/master/text-to-video")
    return text


class FalSettings(ProviderSettings):
    """Endpoints of a fal account."""

    type: Literal["fal"]
    base_url: BaseUrl = Field(default=PLATFORM, description="where the platform's API starts")
    queue_url: BaseUrl | None = Field(
        default=None, description=f"where the queue's API starts; {QUEUE}, or base_url where that is another than usual"
    )
    rate_limit: Rate = Field(default=2.0, description="the vendor states no limit")
    page_size: int = Field(default=100, ge=1, le=100, description="requests asked for on one list page")
    api_key: Secret = Field(description="a key of the account, KEY_ID:KEY_SECRET")
    endpoints: list[Annotated[str, AfterValidator(_endpoint)]] = Field(
        min_length=1, max_length=50, description="the endpoints whose requests are polled"
    )
    where: PathText | None = Field(default=None, description="JMESPath over a row of a list: others are no tasks")

    @field_validator("queue_url")
    @classmethod
    def _starts_where_the_queue_does(cls, url: str | None) -> str | None:
        if url and (wrong := slips.of_base_url(url, QUEUE, ())):
            raise fault(wrong)
        return url

    @property
    def queue(self) -> str:
        """Where the queue's API starts."""
        return self.queue_url or (QUEUE if self.base_url == PLATFORM else self.base_url)


def _parts(settings: FalSettings, task_id: str) -> tuple[str, str]:
    """The endpoint and the vendor's id of a request. Raises TaskNotFound for what cannot be an id."""
    endpoint, own = settings.endpoints[0], task_id
    if len(settings.endpoints) > 1:
        endpoint, _, own = task_id.rpartition(":")
    if not own or "/" in own or endpoint.count("/") < 1:
        raise TaskNotFound
    return endpoint, own


def _asked(settings: FalSettings, task_id: str) -> str:
    """The path of a request at the queue: of an endpoint's id only owner and application stand in it."""
    endpoint, own = _parts(settings, task_id)
    steps = endpoint.split("/")
    return "/".join((*steps[: 3 if steps[0] in NAMESPACES else 2], "requests", own))


def _completed(settings: FalSettings, row: object, task_id: str) -> object:
    """A row with the id under which the task is known here and, of the queue, its endpoint."""
    if not isinstance(row, dict):
        raise ValueError("not a request")
    if task_id:
        endpoint, own = _parts(settings, task_id)
        if row.get("request_id", own) != own:
            raise ValueError("another request")
        return {**row, "endpoint_id": endpoint, "request_id": task_id}
    if len(settings.endpoints) == 1:
        return row
    told = [one for key in ("endpoint_id", "request_id") if isinstance(one := row.get(key), str)]
    if len(told) < 2:
        raise ValueError("no endpoint or no id")
    return {**row, "request_id": ":".join(told)}


def _in_common_words(text: str) -> str:
    return re.sub("exhausted balance", BALANCE, text, flags=re.IGNORECASE)


def _refused(endpoint: str, status: int, code: object, text: str) -> None:
    """An account without credit is refused as if its key were wrong."""
    if BALANCE in text:
        raise refusal(status, text=BALANCE)


VENDOR = vendor_of(
    "fal",
    read_declaration("fal"),
    Hooks(asked=_asked, completed=_completed, in_common_words=_in_common_words, refused=_refused),
    settings=FalSettings,
)
