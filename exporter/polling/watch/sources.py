"""The ids that one provider watches: from its settings, from files that change, from URLs that are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain

from exporter.config.models import WatchSettings
from exporter.config.vendors.types import Vendors
from exporter.polling.watch.files import WatchedFiles
from exporter.polling.watch.urls import WatchedUrl
from exporter.vendors.vendor import Provider


class Watch:
    """The sources of one provider's ids, which its feeds share. The caller that asked for ids closes it at the end."""

    def __init__(
        self,
        provider: str,
        settings: WatchSettings,
        kinds: Sequence[str] = (),
        known: frozenset[str] = frozenset(),
    ) -> None:
        """`kinds` are those of the provider's feeds: where a source names none, the only one is meant.

        `known` are the kinds of all types: other providers may have a source in common with this one.
        """
        only = kinds[0] if len(kinds) == 1 else None
        self._settings = settings
        self._known = known
        self._files = WatchedFiles(provider, settings.files, only, known)
        self._urls = [WatchedUrl(provider, one, only, known) for one in settings.http]

    @classmethod
    def of(cls, provider: Provider, types: Vendors) -> Watch:
        """The sources of a provider whose type is one of these."""
        settings, kinds = provider.settings, [feed.kind for feed in provider.feeds]
        return cls(settings.name, settings.watch, kinds, types.kinds if _reads(settings.watch) else frozenset())

    def is_of(self, types: Vendors) -> bool:
        """Whether it would be the same with these types."""
        return not _reads(self._settings) or self._known == types.kinds

    @property
    def limit(self) -> int:
        """How many ids that were asked for a feed may follow at once."""
        return self._settings.limit

    async def sources(self, kind: str) -> list[Sequence[str]]:
        """The ids to follow in a feed as each source names them: the settings, each file, each URL."""
        sources: list[Sequence[str]] = [self._settings.tasks.get(kind, ())]
        if self._settings.files:
            sources += await asyncio.to_thread(self._files.by_file, kind)
        sources += await asyncio.gather(*(url.ids(kind) for url in self._urls))
        return sources

    async def ids(self, kind: str) -> list[str]:
        """The ids to follow in a feed, each once, in the order in which they were given."""
        return list(dict.fromkeys(chain.from_iterable(await self.sources(kind))))

    @property
    def troubles(self) -> list[str]:
        """Which files and URLs cannot be read now, wholly or in part, and why."""
        return self._files.troubles + [url.trouble for url in self._urls if url.trouble]

    @property
    def sources_up(self) -> tuple[tuple[str, bool], ...]:
        """Each pattern of files and each URL, without its query, and whether its ids could be read at the last try."""
        found: dict[str, bool] = {}
        tried = ((url.place, url.is_up) for url in self._urls if url.is_up is not None)
        for source, is_up in chain(self._files.up, tried):
            found[source] = found.get(source, True) and is_up
        return tuple(found.items())

    async def aclose(self) -> None:
        await asyncio.gather(*(url.aclose() for url in self._urls))


def _reads(settings: WatchSettings) -> bool:
    """Whether there are sources that name kinds."""
    return bool(settings.files or settings.http)
