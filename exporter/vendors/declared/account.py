"""What is left in an account, by declaration."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from exporter.client.answers import Answer
from exporter.client.errors import ContractBroken
from exporter.tasks import Reason
from exporter.vendors.declared.auth.schemes import Scheme
from exporter.vendors.declared.declaration import AccountRequest
from exporter.vendors.declared.feed import DeclaredFeed, SignedCaller
from exporter.vendors.declared.reading.expressions import is_true
from exporter.vendors.declared.reading.values import amount_reader
from exporter.vendors.declared.reading.words import Words
from exporter.vendors.declared.requests import Value, window_values
from exporter.vendors.vendor import Account, Balance, Feed

CURRENCIES = {"usd": "usd", "us$": "usd", "$": "usd", "cny": "cny", "rmb": "cny", "¥": "cny", "credits": "credits"}
"""Units by what vendors call them."""


@dataclass(frozen=True)
class DeclaredAccount(Account):
    """An account of a declared vendor."""

    asked: AccountRequest
    url: str
    """Where the balance is asked for, if not below base_url."""
    caller: SignedCaller
    reasons: Words[Reason]
    own: Mapping[str, Value]
    """The provider's values of placeholders that the declaration adds."""

    async def balance(self) -> Balance | None:
        now = time.time()
        values = {**self.own, **window_values(now - (self.asked.window or 0.0), now)}
        request = self.asked.template.filled(values)
        return await self.caller.call("account", replace(request, url=self.url + request.url), self._read)

    def _read(self, answer: Answer) -> Balance | None:
        missing, of = self.asked.missing, self.asked.balance
        if self.caller.denies(missing, answer):
            return None
        body = self.caller.opened("account", answer, self.reasons)
        if missing.is_shown_in(body):
            return None
        read = amount_reader(of.scale)
        try:
            if of.unlimited is not None and is_true(of.unlimited(body)):
                return None
            left = read(of.path(body))
            used = read(of.minus(body)) if of.minus is not None else 0.0
            told = of.currency(body) if of.currency is not None else None
        except ValueError:
            raise ContractBroken("the answer holds no balance that can be read") from None
        if left is None or used is None:
            raise ContractBroken("the answer holds no balance")
        return Balance(left - used, _unit(told, of.unit))


def account_of(
    asked: AccountRequest | None, feeds: Sequence[Feed], *, url: str = "", scheme: Scheme | None = None
) -> DeclaredAccount | None:
    """What asks for the balance, in the way of the feeds of the same provider, or at another address in another way."""
    feed = next((feed for feed in feeds if isinstance(feed, DeclaredFeed)), None)
    if asked is None or feed is None:
        return None
    caller = replace(feed.caller, scheme=scheme) if scheme else feed.caller
    return DeclaredAccount(asked, url, caller, feed.observe.reasons, feed.own)


def _unit(told: object, otherwise: str) -> str:
    """The unit of a currency. Raises ContractBroken for one that no unit stands for."""
    if not isinstance(told, str) or not told.strip():
        return otherwise
    if unit := CURRENCIES.get(told.strip().lower()):
        return unit
    raise ContractBroken("the balance is in another currency than USD and CNY")
