"""What is left in an account, by declaration."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from exporter.client.answers import Answer
from exporter.client.errors import ContractBroken
from exporter.tasks import Reason
from exporter.vendors.declared.feed import Caller, Denial
from exporter.vendors.declared.reading.expressions import Expression, ExpressionFailed, is_true
from exporter.vendors.declared.reading.words import Words
from exporter.vendors.declared.requests import RequestTemplate, Value, window_values
from exporter.vendors.vendor import Account, Balance

CURRENCIES = {"usd": "usd", "us$": "usd", "$": "usd", "cny": "cny", "rmb": "cny", "¥": "cny", "credits": "credits"}
"""Units by what vendors call them."""


@dataclass(frozen=True)
class Question:
    """How the balance is asked for and read."""

    request: RequestTemplate
    path: Expression
    unit: str
    read: Callable[[Any], float | None]
    """Raises ValueError for what is no amount."""
    minus: Expression | None = None
    currency: Expression | None = None
    unlimited: Expression | None = None
    window: float = 0.0
    missing: Denial = field(default_factory=Denial)


@dataclass(frozen=True)
class DeclaredAccount(Account):
    """An account of a declared vendor."""

    question: Question
    caller: Caller
    reasons: Words[Reason]
    own: Mapping[str, Value]
    """The provider's values of placeholders that the declaration adds."""
    now: Callable[[], float] = time.time

    async def balance(self) -> Balance | None:
        now = self.now()
        values = {**self.own, **window_values(now - self.question.window, now)}
        return await self.caller.call("account", self.question.request.filled(values), partial(self._read))

    def _read(self, answer: Answer) -> Balance | None:
        asked = self.question
        if asked.missing.is_refusal(answer, self.caller.envelope):
            return None
        body = self.caller.opened("account", answer, self.reasons)
        if asked.missing.is_shown_in(body):
            return None
        try:
            if asked.unlimited is not None and is_true(asked.unlimited(body)):
                return None
            left = asked.read(asked.path(body))
            used = asked.read(asked.minus(body)) if asked.minus is not None else 0.0
            told = asked.currency(body) if asked.currency is not None else None
        except (ExpressionFailed, ValueError):
            raise ContractBroken("the answer holds no balance that can be read") from None
        if left is None or used is None:
            raise ContractBroken("the answer holds no balance")
        return Balance(left - used, _unit(told, asked.unit))


def _unit(told: object, otherwise: str) -> str:
    """The unit of a currency. Raises ContractBroken for one that no unit stands for."""
    if not isinstance(told, str) or not told.strip():
        return otherwise
    if unit := CURRENCIES.get(told.strip().lower()):
        return unit
    raise ContractBroken("the balance is in another currency than USD and CNY")
