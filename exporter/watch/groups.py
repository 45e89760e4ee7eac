"""The form in which files and URLs name ids: `[{"kind": "...", "ids": ["..."]}]`."""

from __future__ import annotations

import json
from collections.abc import Collection

from exporter.providers import VENDORS
from exporter.tasks import ID_LENGTH, is_task_id

KINDS = sorted({kind for vendor in VENDORS.values() for kind in vendor.kinds})
FORM = '[{"kind": "...", "ids": ["..."]}]'


def read(content: bytes) -> dict[str, list[str]]:
    """The ids by kind. Raises ValueError, whose text says what is wrong and repeats nothing of the content."""
    try:
        groups = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(groups, list):
        raise ValueError(f"not of the form {FORM}")
    kinds: dict[str, list[str]] = {}
    for group in groups:
        if (
            not isinstance(group, dict)
            or not isinstance(group.get("kind"), str)
            or not isinstance(group.get("ids"), list)
        ):
            raise ValueError(f"not of the form {FORM}")
        for task_id in group["ids"]:
            if not is_task_id(task_id):
                raise ValueError(f"an id is not a text of 1 to {ID_LENGTH} printable characters")
            kinds.setdefault(group["kind"], []).append(task_id)
    return kinds


def trouble_with(kinds: Collection[str]) -> str:
    """What is wrong with kinds that were read, though their ids can be used; empty if nothing is.

    Those of other providers are right: several may share a file.
    """
    return "" if set(kinds) <= set(KINDS) else f"names a kind that no feed has; allowed: {', '.join(KINDS)}"
