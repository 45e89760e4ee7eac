"""The words of gateways, and of the models behind them, which some gateways pass on: states, codes, refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from exporter.tasks import Reason, State

STATES = {
    word: state
    for state, words in {
        State.QUEUED: (
            "not_start not_started submitted submitting queued queueing queuing queue in_queue pending waiting wait "
            "preparing preprocessing created accepted received scheduled starting initializing throttled"
        ),
        State.RUNNING: (
            "in_progress processing running generating rendering progress executing working started dreaming "
            "post_processing postprocessing uploading"
        ),
        State.SUCCEEDED: "success succeed succeeded successful completed complete done finished finish ready",
        State.FAILED: (
            "failure failed fail error errored expired timeout timed_out rejected moderated content_moderated "
            "request_moderated"
        ),
        State.CANCELLED: "cancel cancelled canceled aborted terminated stopped revoked",
        State.UNKNOWN: "unknown",
    }.items()
    for word in words.split()
}
"""By lower-case status: the gateway's own words, and those of the models behind it."""

TELLING = dict.fromkeys(("expired", "timeout", "timed_out"), Reason.TIMEOUT) | dict.fromkeys(
    ("moderated", "content_moderated", "request_moderated"), Reason.MODERATION
)
"""Words of a failure that say why."""

CODES = {
    "task_channel_disable": Reason.PROVIDER_INTERNAL,
    "channel_not_found": Reason.PROVIDER_INTERNAL,
    "get_task_failed": Reason.PROVIDER_INTERNAL,
    "do_request_failed": Reason.PROVIDER_INTERNAL,
    "build_request_failed": Reason.PROVIDER_INTERNAL,
    "insert_task_failed": Reason.PROVIDER_INTERNAL,
    "fail_to_fetch_task": Reason.PROVIDER_INTERNAL,
    "invalid_request": Reason.INVALID_INPUT,
    "invalid_api_platform": Reason.INVALID_INPUT,
    "invalid_relay_mode": Reason.INVALID_INPUT,
    "quota_not_enough": Reason.INSUFFICIENT_BALANCE,
    "insufficient_quota": Reason.INSUFFICIENT_BALANCE,
    "rix_api_error": Reason.INSUFFICIENT_BALANCE,
    "auth_unauthorized": Reason.AUTH,
    "auth_token_expired": Reason.AUTH,
    "auth_insufficient_privilege": Reason.AUTH,
}

NOT_FOUND = frozenset({"task_not_exist", "task_not_found", "video_not_found"})

OTHER_MEDIA = frozenset({"suno", "mj", "midjourney"})
"""Platforms whose tasks the gateway lists beside the videos."""

_RELAYED = frozenset(
    ("get_task_failed", "do_request_failed", "build_request_failed", "insert_task_failed", "fail_to_fetch_task")
)
"""Codes under which the gateway passes on what it got, with the HTTP status that shows whose fault it is."""


@lru_cache(maxsize=256)
def plain(status: str) -> str:
    """A status as `STATES` has it: "In Progress", "in-progress" and "InProgress" are one word."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", status.strip())
    return re.sub(r"[ _-]+", "_", parted).lower().removeprefix("task_status_")


def codes_at(status: int) -> Mapping[str, Reason]:
    """The table of codes for a refusal with this HTTP status.

    At 4xx a relayed code is not the gateway's outage; only what 401 and 403 refuse is the gateway's own key. At 5xx no
    request is wrong.
    """
    if status >= 500:
        wrong = [code for code, reason in CODES.items() if reason is Reason.INVALID_INPUT]
        return CODES | dict.fromkeys(wrong, Reason.PROVIDER_INTERNAL)
    if status in (400, 405, 409, 413, 415, 422):
        return CODES | dict.fromkeys(_RELAYED, Reason.INVALID_INPUT)
    return CODES | dict.fromkeys(_RELAYED, Reason.RATE_LIMITED) if status == 429 else CODES
