"""A digest of the accounts that a configuration names, by which replicas notice that theirs differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from exporter.config.models import ProviderSettings, Secret

LENGTH = 16
"""Characters of a digest: enough to tell configurations apart, no more of what the keys are than that."""


def digest_of(providers: Iterable[ProviderSettings]) -> str:
    """A digest of the types, addresses and keys of all providers together.

    Keys from files are left out: a file may be renewed while a replica runs, and a proxy says nothing of the account.
    """
    told = sorted([one.name, one.type, one.base_url, *_keys(one)] for one in providers)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:LENGTH]


def _keys(settings: ProviderSettings) -> list[str]:
    values = [(name, getattr(settings, name)) for name in sorted(settings.secret_names())]
    return [f"{name}={value.text}" for name, value in values if type(value) is Secret and not value.has_file]
