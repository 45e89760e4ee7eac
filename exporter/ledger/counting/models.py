"""The names of models: as the label `model` has them, which are few and of plain characters."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from exporter.ledger.counters import Key

OTHER = "other"
"""The value of the label for all models that have no series of their own."""

NAME_LENGTH = 64
"""Most characters of a name."""

_READ = 256
"""Characters of the vendor's name that are looked at: what is cached stays small."""

_STRANGE = re.compile(r"[^A-Za-z0-9._:/-]+")


def model_name(told: str) -> str:
    """A vendor's name of a model as the label has it; empty where it has no character that a label may have.

    Other characters become `_`, but for those at the begin and the end, which go. The name of a name is itself.
    """
    return _cleaned(told[:_READ])


@lru_cache(maxsize=1024)
def _cleaned(told: str) -> str:
    """Equal names are one text in memory, as long as there are not very many."""
    return "_".join(part for part in _STRANGE.split(told) if part)[:NAME_LENGTH]


def in_order(models: Collection[str]) -> list[str]:
    """Models by name, `OTHER` last."""
    return sorted(models, key=lambda model: (model == OTHER, model))


def with_series(keys: Iterable[Key]) -> frozenset[str]:
    """The models that have series, by the keys of a feed's counters; `OTHER` among them once there was need of it."""
    return frozenset(key[1] for key in keys if key[0] == "model")
