"""What is left of a key's credit at a gateway: the limit less what was used, as OpenAI's billing calls once had it.

Source: controller/billing.go of one-api and new-api. The limit is what is left and what was used together, in US
dollars; what was used is of all time, in cents. A key without a limit shows a limit of a hundred million.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import ContractBroken, refusal
from exporter.config.models import Secret
from exporter.vendors.declared.reading.values import amount_reader
from exporter.vendors.vendor import Account, Balance

UNLIMITED = 1e8
"""Dollars that stand for no limit."""

_dollars, _cents = amount_reader(), amount_reader(0.01)


class GatewayAccount(Account):
    """The credit of an API key."""

    def __init__(self, client: Client, api_key: Secret) -> None:
        self._client = client
        self._api_key = api_key

    async def balance(self) -> Balance | None:
        limit = await self._asked("subscription", partial(_amount, "hard_limit_usd", _dollars))
        if limit is None or limit >= UNLIMITED:
            return None
        used = await self._asked("usage", partial(_amount, "total_usage", _cents))
        return None if used is None else Balance(limit - used, "usd")

    async def _asked(self, what: str, read: Callable[[Answer], float | None]) -> float | None:
        headers = {"Authorization": f"Bearer {await self._api_key.fresh()}"}
        return await self._client.call("account", "GET", f"/v1/dashboard/billing/{what}", headers=headers, read=read)


def _amount(name: str, read: Callable[[Any], float | None], answer: Answer) -> float | None:
    """A number of an answer; None where the gateway has no such call. Raises CallError, also for one at HTTP 200."""
    if answer.status == 404:
        return None
    body = answer.json()
    error = body.get("error") if isinstance(body, dict) else None
    if answer.status >= 400 or error:
        said = error if isinstance(error, dict) else {}
        raise refusal(answer.status, code=said.get("code") or said.get("type"), text=str(said.get("message") or ""))
    try:
        amount = read(body.get(name)) if isinstance(body, dict) else None
    except ValueError:
        amount = None
    if amount is None:
        raise ContractBroken("the answer holds no balance that can be read")
    return amount
