"""What the fake vendors put into their answers that must never leave them: prompts, signed addresses, people's ids.

Each carries a marker, so that a test only has to look for `MARKERS` in whatever it suspects of leaking.
"""

from __future__ import annotations

PROMPT_MARKER = "PROMPT-MARKER"
SIGNATURE_MARKER = "SIGNATURE-MARKER"
USER_MARKER = "user-MARKER"
MARKERS = (PROMPT_MARKER, SIGNATURE_MARKER, USER_MARKER)


def prompt(task_id: str) -> str:
    return f"{PROMPT_MARKER}-{task_id} a lighthouse keeper dances in the rain"


def user(task_id: str) -> str:
    return f"{USER_MARKER}-{task_id[-4:]}"


def signed_url(task_id: str, file: str) -> str:
    """An address of a file made by the task, with a signature of the kind that opens it to anyone who has it."""
    address = f"https://media.simulator.invalid/{task_id}/{file}"
    return f"{address}?AccessKeyId=DEMO&Expires=1893456000&Signature={SIGNATURE_MARKER}-{task_id}"
