"""What carries the calls: aiohttp's connections under httpx's requests and responses.

httpx's own transport manages some hundred requests a second, fewer the more are under way; aiohttp many times that
(benchmarks/README.md). What a call means stays httpx's: this file sends what it is given, as it is given, and hands
back what comes.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
from yarl import URL

from exporter.client.errors import ConnectionFailed
from exporter.config.network import trust
from exporter.config.network.proxies import Proxies, Proxy, ProxyUnusable
from exporter.tasks import Cause

with trust.none_read():  # aiohttp would make contexts of TLS, which are not used here
    import aiohttp
    from aiohttp.http_exceptions import HttpProcessingError
    from aiohttp.resolver import ThreadedResolver
    from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError, ProxyType

HEADER_LIMIT = 64 * 1024
"""Bytes of one line of a response's head. aiohttp's own limit, 8 KiB, is less than some servers need for a policy."""
KEEP_ALIVE = 30.0
"""Seconds that an idle connection is kept: longer than most poll intervals, shorter than most servers wait."""

SOCKS_FAILURES = (ProxyConnectionError, ProxyError, ProxyTimeoutError)  # which share no base with the others
FAILURES = (aiohttp.ClientError, HttpProcessingError, *SOCKS_FAILURES, EOFError, OSError, ValueError)
_NO_CONNECTION = "cannot connect"

MEANINGS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    # The second for a host that no name server could be asked for.
    ((aiohttp.ClientConnectorError, UnicodeError, socket.gaierror), _NO_CONNECTION),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), "the URL cannot be used"),
    (
        (aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError, HttpProcessingError),
        "the vendor broke off or does not speak HTTP",
    ),
    ((aiohttp.ClientPayloadError, OSError, EOFError), "the connection broke while reading"),
)
"""What aiohttp's errors mean; the first that fits."""

BENEATH: tuple[tuple[type[BaseException], str, Cause], ...] = (
    (socket.gaierror, ": the host has no address (DNS)", Cause.NO_ADDRESS),
    (ssl.SSLCertVerificationError, ": the certificate is not trusted (TLS)", Cause.TLS),
    (ssl.SSLError, ": TLS handshake failed", Cause.TLS),
    (ConnectionRefusedError, ": refused, nothing listens there", Cause.REFUSED),
)
"""Why no connection came about, by what lies beneath such an error."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends requests over connections of aiohttp, and keeps these for the next ones.

    It knows no time limits, redirects or cookies and unpacks nothing: all that is the caller's. A GET whose connection
    ends before anything of an answer came is sent once more, since the vendor may just have closed it for being idle; a
    POST is not. Names are looked up in threads of the loop's executor, one at a time for each transport and host. TLS
    trusts whom httpx trusts, with SSL_CERT_FILE and SSL_CERT_DIR, and a file of authorities where one is given.
    """

    def __init__(self, proxies: Callable[[], Proxies] | None = None, ca_file: str | None = None) -> None:
        self._proxies = proxies
        self._ca_file = ca_file
        with suppress(trust.TrustBroken):  # reported when a call needs it
            trust.context(ca_file)  # read here, where nothing waits for the disk: all who trust the same share it
        self._sessions: dict[tuple[bool, Proxy | None], aiohttp.ClientSession] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request whose body is in memory.

        Raises ConnectionFailed, whatever aiohttp raises; also where a setting or a variable of the environment makes it
        impossible.
        """
        url = request.url
        proxy = self._proxy(url)
        session = self._session(url.scheme == "https", proxy)
        through: dict[str, Any] = {}
        if proxy and not proxy.is_socks:
            through["proxy"] = proxy.url
            if proxy.authorization:
                through["proxy_headers"] = {"Proxy-Authorization": proxy.authorization}
        headers = [(name.decode(), value.decode()) for name, value in request.headers.raw]
        if proxy and proxy.authorization and not proxy.is_socks and url.scheme == "http":
            headers.append(("Proxy-Authorization", proxy.authorization))  # there is no CONNECT that could bear it
        try:
            received = await session.request(
                request.method,
                # Marked as encoded, since a signature covers each character; and without a user.
                URL(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}", encoded=True),
                headers=headers,
                data=request.content or None,
                allow_redirects=False,
                **through,
            )
        except FAILURES as error:
            raise _failure(error, proxy) from None
        return httpx.Response(received.status, headers=received.raw_headers, stream=_ResponseBody(received))

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def _proxy(self, url: httpx.URL) -> Proxy | None:
        try:
            return self._proxies().of(url.scheme, url.host, url.port) if self._proxies else None
        except ProxyUnusable as error:
            raise ConnectionFailed(f"the proxy cannot be used: {error}", cause=Cause.PROXY) from None

    def _session(self, secure: bool, proxy: Proxy | None) -> aiohttp.ClientSession:
        """The session for such requests: TLS has one of its own, so that plain HTTP does not depend on certificates."""
        key = secure or (proxy is not None and proxy.scheme == "https"), proxy if proxy and proxy.is_socks else None
        if key not in self._sessions:
            self._sessions[key] = self._opened(*key)
        return self._sessions[key]

    def _opened(self, secure: bool, socks: Proxy | None) -> aiohttp.ClientSession:
        """A session, which aiohttp makes only within a running loop."""
        try:
            tls = trust.context(self._ca_file) if secure else True
        except trust.TrustBroken as error:
            raise ConnectionFailed(f"no certificate can be trusted (TLS): {error}", cause=Cause.TLS) from None
        # The client has a limit of its own.
        common: dict[str, Any] = {"ssl": tls, "limit": 0, "keepalive_timeout": KEEP_ALIVE}
        if socks:
            connector: aiohttp.TCPConnector = ProxyConnector(
                host=socks.host,
                port=socks.port,
                proxy_type=ProxyType.SOCKS4 if socks.scheme.startswith("socks4") else ProxyType.SOCKS5,
                username=socks.user or None,
                password=socks.password or None,
                rdns=socks.scheme not in ("socks4", "socks5"),
                **common,
            )
        else:  # with the system's resolver, whatever else is installed
            connector = aiohttp.TCPConnector(resolver=ThreadedResolver(), **common)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )


class _ResponseBody(httpx.AsyncByteStream):
    """A body as it comes, in whatever pieces."""

    def __init__(self, received: aiohttp.ClientResponse) -> None:
        self._received = received

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._received.content.iter_any():
                yield piece
        except FAILURES as error:
            raise _failure(error) from None

    async def aclose(self) -> None:
        """Gives the connection back, or ends it if there is more to come."""
        self._received.release()


def _failure(error: Exception, proxy: Proxy | None = None) -> ConnectionFailed:
    """An error of the library in our words, with its cause."""
    beneath = list(_causes(error))
    found = ((why, cause) for kind, why, cause in BENEATH if any(isinstance(one, kind) for one in beneath))
    why, cause = next(found, ("", Cause.CONNECTION))
    if proxy and (told := _proxy_failure(error, proxy)):
        return ConnectionFailed(told + why, cause=Cause.PROXY)
    told = next((words for kinds, words in MEANINGS if isinstance(error, kinds)), "")
    if told == _NO_CONNECTION:
        return ConnectionFailed(told + why, cause=cause)
    return ConnectionFailed(told or f"the connection failed ({type(error).__name__})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


def _proxy_failure(error: Exception, proxy: Proxy) -> str:
    """What is the proxy's part in it, with the place where it is set; empty if the vendor behind it is to blame."""
    match error:
        case aiohttp.ClientHttpProxyError(status=407) if proxy.user:
            return f"the proxy in {proxy.source} refused its user or password (HTTP 407)"
        case aiohttp.ClientHttpProxyError(status=407):
            return f"the proxy in {proxy.source} requires authentication (HTTP 407)"
        case aiohttp.ClientHttpProxyError():
            return f"the proxy in {proxy.source} refused to connect to the vendor (HTTP {error.status})"
        case aiohttp.ClientProxyConnectionError() | ProxyConnectionError() | ProxyTimeoutError():
            return f"cannot connect to the proxy in {proxy.source}"
        case ProxyError(error_code=int()):
            return f"the SOCKS proxy in {proxy.source} refused: {error}"
        case ProxyError() | EOFError():
            return f"the SOCKS proxy in {proxy.source} refused or does not speak {proxy.scheme}"
        case socket.gaierror() if proxy.is_socks:
            return f"the proxy in {proxy.source} is asked for addresses only if it is set as socks5h://"
        case aiohttp.ClientConnectorDNSError() if error.host == proxy.host:
            return f"cannot connect to the proxy in {proxy.source}"
        case aiohttp.ClientSSLError() if proxy.scheme == "https" and str(error.port) == str(proxy.port):
            return f"cannot connect to the proxy in {proxy.source} over TLS; try http:// for the proxy"
        case aiohttp.ClientConnectorError():
            return ""
        case (
            aiohttp.ClientOSError()
            | aiohttp.ServerDisconnectedError()
            | aiohttp.ClientResponseError()
            | (HttpProcessingError())
        ) if not proxy.is_socks:
            return f"the proxy in {proxy.source}, or the vendor behind it, broke off or does not speak HTTP"
    return ""
