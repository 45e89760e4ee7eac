"""A URL that names ids: asked again and again, a failure keeps its last good ids.

The ids are not stored: those of tasks that were seen in flight are in the ledger, the others come from the URL, which
is asked before the first sweep after a start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import CallError, refusal
from exporter.config.models import WatchUrl
from exporter.polling.watch import groups

log = logging.getLogger(__name__)

_RATE = 100.0  # calls a second: it is the interval that paces them

PATIENCE = 10.0
"""Seconds that the first sweep waits for the first answer: whatever the deadline is, the watchdog must not wake up."""


class WatchedUrl:
    """One URL of one provider. It is asked while `ids` are wanted, until `aclose`."""

    def __init__(self, provider: str, settings: WatchUrl, only: str | None, known: frozenset[str]) -> None:
        """`only` is the kind that is meant where the answer names none, `known` are all kinds that it may name."""
        self._provider = provider
        self._settings = settings
        self.place = settings.url.partition("?")[0]
        """The URL without its query, which may hold a secret."""
        self.is_up: bool | None = None
        """Whether ids could be read, if not all of them; None before the first try has ended."""
        self._client = Client(settings.url, rate=_RATE, timeout=settings.request_timeout)
        self._only = only
        self._known = known
        self._kinds: Mapping[str, list[str]] = {}
        self._trouble = ""
        self._asking: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    async def ids(self, kind: str) -> Sequence[str]:
        """The latest ids of a feed; waits for the first try, but not for long."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_for_ever(), name=f"{self._provider}: {self.place}")
        try:
            async with asyncio.timeout(PATIENCE):
                await self._tried.wait()
        except TimeoutError:
            self._tried.set()
        return self._kinds.get(kind, ())

    @property
    def trouble(self) -> str:
        """Why the URL cannot be read now, wholly or in part; empty if it can."""
        return f"{self.place}: {self._trouble}" if self._trouble else ""

    async def aclose(self) -> None:
        if self._asking:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        await self._client.aclose()

    async def _ask_for_ever(self) -> None:
        while True:
            try:
                await self._ask()
            finally:
                self._tried.set()
            await asyncio.sleep(max(self._settings.interval, self._client.limit.pause_left))

    async def _ask(self) -> None:
        token = self._settings.bearer_token
        headers = {"Authorization": f"Bearer {token.reveal()}"} if token else {}
        try:
            body = await self._client.call("list", "GET", self._settings.url, headers=headers, read=_body)
            named = await asyncio.to_thread(groups.read, body, self._only, self._known)
        except (CallError, ValueError) as error:
            # The client speaks of vendors, whose calls are its business otherwise.
            told = str(error).replace("vendor", "server").replace("base_url", "watch.http.url")
            self.is_up = False
            self._tell(told, "a watch URL cannot be used, its last good ids are kept")
        else:
            self._kinds, self.is_up = named.kinds, True
            self._tell(named.trouble, "some ids at a watch URL cannot be read")

    def _tell(self, trouble: str, message: str) -> None:
        """Keeps what is wrong, and logs it once when it begins and once when it ends."""
        about = {"provider": self._provider, "url": self.place}
        if trouble and not self._trouble:
            log.warning(message, extra=about | {"error": trouble})
        elif self._trouble and not trouble:
            log.info("a watch URL can be used again", extra=about)
        self._trouble = trouble


def _body(answer: Answer) -> bytes:
    if answer.status != 200:
        raise refusal(answer.status)
    return answer.body
