"""What carries the calls: aiohttp's connections under httpx's requests and responses.

httpx's own transport manages some hundred requests a second, fewer the more are under way; aiohttp many times that
(docs/performance.md). What a call means stays httpx's: this file sends what it is given, as it is given, and hands back
what comes.
"""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from exporter.providers.tls_context import tls_context

HEADER_LIMIT = 64 * 1024
"""Bytes of one line of a response's head. aiohttp's own limit, 8 KiB, is less than some servers need for a policy."""
KEEP_ALIVE = 30.0
"""Seconds that an idle connection is kept: longer than most poll intervals, shorter than most servers wait."""

FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
MEANINGS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (UnicodeError, httpx.ConnectError),  # a host that no name server could be asked for
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.ReadError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (HttpProcessingError, httpx.RemoteProtocolError),
    (OSError, httpx.ReadError),
    (aiohttp.ClientError, httpx.NetworkError),
    (ValueError, httpx.LocalProtocolError),  # such as a header with a line break
)
"""What aiohttp's errors are in httpx's words; the first that fits."""


def suitable_transport() -> httpx.AsyncBaseTransport:
    """The fast one; behind a proxy, which takes more time than it could save, the one that knows all about proxies."""
    proxied = urllib.request.getproxies().keys() & {"http", "https", "all"}
    return ProxiedTransport() if proxied else AiohttpTransport()


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends requests over connections of aiohttp, and keeps these for the next ones.

    It knows no time limits, redirects or cookies and unpacks nothing: all that is the caller's. A GET whose connection
    ends before anything of an answer came is sent once more, since the vendor may just have closed it for being idle; a
    POST is not. Names are looked up in threads of the loop's executor, one at a time for each transport and host. TLS
    trusts whom httpx trusts, with SSL_CERT_FILE and SSL_CERT_DIR.
    """

    def __init__(self) -> None:
        self._tls = tls_context()
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request whose body is in memory. Raises httpx.TransportError, whatever aiohttp raises."""
        if self._session is None:
            self._session = self._opened()
        url = request.url
        try:
            received = await self._session.request(
                request.method,
                # Marked as encoded, since a signature covers each character; and without a user.
                URL(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}", encoded=True),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                data=request.content or None,
                allow_redirects=False,
            )
        except FAILURES as error:
            raise _translated(error) from error
        return httpx.Response(received.status, headers=received.raw_headers, stream=_Body(received))

    async def aclose(self) -> None:
        if self._session:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """A session, which aiohttp makes only within a running loop."""
        connector = aiohttp.TCPConnector(
            ssl=self._tls,
            resolver=ThreadedResolver(),  # the system's, whatever else is installed
            limit=0,  # the client has its own
            keepalive_timeout=KEEP_ALIVE,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )


class ProxiedTransport(httpx.AsyncBaseTransport):
    """All of httpx as a transport: it goes by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""

    def __init__(self) -> None:
        self._http = httpx.AsyncClient(verify=tls_context(), timeout=None)  # noqa: S113  # the client has its deadline

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._http.send(request, stream=True)

    async def aclose(self) -> None:
        await self._http.aclose()


class _Body(httpx.AsyncByteStream):
    """A body as it comes, in whatever pieces."""

    def __init__(self, received: aiohttp.ClientResponse) -> None:
        self._received = received

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._received.content.iter_any():
                yield piece
        except FAILURES as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        """Gives the connection back, or ends it if there is more to come."""
        self._received.release()


def _translated(error: Exception) -> httpx.TransportError:
    return next(meaning for kind, meaning in MEANINGS if isinstance(error, kind))(str(error))
