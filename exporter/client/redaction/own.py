"""What of a provider's settings no text of a vendor may repeat: its credentials, and whose account it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from exporter.config.models import Secret, Settings

_OPEN = frozenset(("name", "type", "base_url", "endpoint", "ca_file"))
"""Settings that do not show whose the account is."""


def credentials_of(settings: Settings) -> frozenset[str]:
    """All credentials in the settings and their parts, as they were last read."""
    return frozenset(secret.text for secret in _secrets(settings))


def identity_of(settings: Settings) -> Mapping[str, str]:
    """The plain texts that show whose the account is, such as ids of projects and users, with their settings' names."""
    found = ((getattr(settings, name), name) for name in type(settings).model_fields if name not in _OPEN)
    return {value: name for value, name in found if isinstance(value, str) and value}


def _secrets(value: object) -> Iterator[Secret]:
    match value:
        case Secret():
            yield value
        case Settings():
            for name in type(value).model_fields:
                yield from _secrets(getattr(value, name))
        case list():
            for one in value:
                yield from _secrets(one)
        case dict():
            for one in value.values():
                yield from _secrets(one)
