"""Providers that are the same account: configured twice, or renamed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from exporter.config.models import ProviderSettings, Secret, Settings
from exporter.config.vendors.types import Vendors

_COMMON = ProviderSettings.model_fields.keys()


def _accounts(settings: ProviderSettings) -> Iterator[tuple[str, Hashable]]:
    """What identifies an account, once for each credential, by its name: equal ones are the same account."""
    own = {name: getattr(settings, name) for name in type(settings).model_fields.keys() - _COMMON}
    # The number of a user or a project, or what is polled of it, may part the accounts of one credential.
    words = tuple(sorted((name, str(value)) for name, value in own.items() if isinstance(value, str | list)))
    for name, value in sorted(own.items()):
        match value:
            case Secret():
                yield name, (settings.type, settings.base_url, words, name, value.text)
            case Settings():  # such as a user with a password
                yield name, (settings.type, settings.base_url, words, name, value)


def configured_twice(providers: Sequence[ProviderSettings], vendors: Vendors) -> Iterator[tuple[int, list[int], str]]:
    """Providers that show the same feeds of one account: the first, the others, and the credential that they share."""
    alike: dict[Hashable, tuple[str, list[int]]] = {}
    for index, settings in enumerate(providers):
        for name, account in _accounts(settings):
            alike.setdefault(account, (name, []))[1].append(index)
    told: set[int] = set()
    for name, (first, *others) in alike.values():
        polled = _kinds(providers[first], vendors)
        again: list[int] = []
        for index in others:
            if polled & _kinds(providers[index], vendors):
                again.append(index)
            polled |= _kinds(providers[index], vendors)
        if again and again[0] not in told:
            told.update(again)
            yield first, again, name


def renamed(before: Sequence[ProviderSettings], now: Sequence[ProviderSettings]) -> Iterator[tuple[str, str]]:
    """Old and new names of accounts that are configured under another name than before."""
    names_before, names_now = {one.name for one in before}, {one.name for one in now}
    come = {account: one.name for one in reversed(now) if one.name not in names_before for _, account in _accounts(one)}
    for old in before:
        if old.name not in names_now and (new := next((come[key] for _, key in _accounts(old) if key in come), "")):
            yield old.name, new


def _kinds(settings: ProviderSettings, vendors: Vendors) -> set[str]:
    return set(settings.feeds or vendors[settings.type].kinds)
