"""What a gateway answers: envelopes in three forms, bare tasks, three dialects of lists, refusals."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from pydantic import AliasChoices, BaseModel, Field

from exporter.client.answers import Answer
from exporter.client.errors import AuthRefused, ContractBroken, TaskNotFound, refusal
from exporter.client.reasons import code_of
from exporter.tasks import Cause, Reason
from exporter.vendors.builtin._gateway.rows import id_of, opened
from exporter.vendors.builtin._gateway.words import CODES, NOT_FOUND, OTHER_MEDIA, codes_at
from exporter.vendors.fields import shaped

_USER = re.compile(r"\b\w+(-Api)?-User\b", re.IGNORECASE)
"""The header that wants the user's number, as a refusal names it: `New-Api-User`, `Rix-Api-User`, `Veloera-User`."""

_NO_TASK = re.compile(r"\b(?:task|video|job)\b.{0,600}\bnot (?:found|exist)|任务不存在", re.IGNORECASE | re.DOTALL)
"""What gateways say of a task that they do not know, where they have no code for it."""


class UserRefused(AuthRefused):
    """The gateway takes the user token, but not without the number of its user."""

    cause = Cause.USER_ID


class NumberedPage(BaseModel):
    """A list page of the newer gateways, or of the one-hub branch; the older ones answer the bare rows."""

    page_size: int | None = Field(default=None, validation_alias=AliasChoices("page_size", "size"))
    total: int | None = Field(default=None, validation_alias=AliasChoices("total", "total_count"))
    items: list[Any] | None = Field(validation_alias=AliasChoices("items", "data"))


class Dialect(Enum):
    """How a gateway's list is asked for."""

    NEW = "p={page}&page_size={size}"
    OLD = "p={index}&page_size={size}"  # it counts pages from 0
    ONE_HUB = "p={page}&page_size={size}&page={page}&size={size}"

    def query(self, index: int, size: int) -> str:
        size = min(size, 100) if self is Dialect.ONE_HUB else size  # one-hub refuses larger pages
        return self.value.format(index=index, page=index + 1, size=size)


def listing(answer: Answer) -> tuple[list[Any] | NumberedPage, Dialect]:
    """The rows of a list page, and the dialect that the gateway speaks. Raises CallError.

    Older gateways refuse a bad user token with HTTP 200 and success: false, in words that vary.
    """
    data = _data(answer, Reason.AUTH)
    if isinstance(data, list):
        return data, Dialect.OLD
    is_one_hub = isinstance(data, dict) and "items" not in data and "data" in data
    return shaped(NumberedPage, data), Dialect.ONE_HUB if is_one_hub else Dialect.NEW


def is_other_media(row: object) -> bool:
    """Whether a list row is music or a picture."""
    platform = row.get("platform") if isinstance(row, dict) else None
    return isinstance(platform, str) and platform.lower() in OTHER_MEDIA


def has_no_such_path(answer: Answer) -> bool:
    """Whether the gateway does not offer what was asked for at this path: no word about the task."""
    if answer.status not in (404, 405, 501):
        return False
    try:
        raw = answer.json()
    except ContractBroken:
        return True
    known = isinstance(raw, dict) and code_of(_refused_with(raw)) in CODES.keys() | NOT_FOUND
    return not (known or _denies(answer.status, raw))


def detail(answer: Answer, task_id: str) -> Any:
    """The task that a detail shows, as its row. Raises TaskNotFound, CallError."""
    raw = answer.json()
    if _denies(answer.status, raw):
        raise TaskNotFound
    if isinstance(raw, dict) and answer.status < 400 and _is_bare(raw, task_id):
        return raw
    data = opened(_data(answer, Reason.UNKNOWN))
    if not data:
        raise TaskNotFound
    if isinstance(data, list):
        return next((row for row in data if id_of(row) == task_id), data[0] if len(data) == 1 else None)
    return data


def _denies(status: int, raw: object) -> bool:
    """Whether an answer says that there is no such task."""
    if not isinstance(raw, dict):
        return False
    return code_of(_refused_with(raw)) in NOT_FOUND or (status == 404 and bool(_NO_TASK.search(_message(raw)[:2048])))


def _is_bare(raw: dict[str, Any], task_id: str) -> bool:
    """Whether an answer is the task itself, without an envelope."""
    if not isinstance(raw.get("status"), str) or not id_of(raw):
        return False
    if "task_id" in raw or str(raw.get("object")).startswith("video"):
        return True
    return not raw.keys() & {"data", "code", "success"} and (not raw.get("error") or id_of(raw) == task_id)


def _refused_with(raw: dict[str, Any]) -> object:
    """The code of an envelope, or of the error that stands in its place."""
    error = raw.get("error")
    fields = error if isinstance(error, dict) else raw
    return fields.get("code") or fields.get("type")


def _message(raw: dict[str, Any]) -> str:
    error = raw.get("error")
    message = (error if isinstance(error, dict) else raw).get("message")
    return message if isinstance(message, str) else ""


def _data(answer: Answer, otherwise: Reason) -> Any:
    """What is inside the envelope: {code: "success", data} or {success: true, data}; a refusal has three forms."""
    raw = answer.json()
    if not isinstance(raw, dict):
        raise ContractBroken("the answer is not of the documented shape")
    code = _refused_with(raw)
    good = raw.get("success") is True or (raw.get("success") is None and code_of(code) == "success")
    if raw.get("error") or answer.status >= 400 or not good:
        text = _message(raw)
        if raw.get("success") is not False:
            otherwise = Reason.UNKNOWN
        refused = refusal(answer.status, code=code, text=text, codes=codes_at(answer.status), otherwise=otherwise)
        if isinstance(refused, AuthRefused) and _USER.search(text):
            raise UserRefused(f"{refused}: user_id is missing or is not that of user_token")
        raise refused
    if "data" not in raw:
        raise ContractBroken("the answer is not of the documented shape at data")
    return raw["data"]
