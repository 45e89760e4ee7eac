"""The one HTTP client of all providers: rate limit, deadline, size limit, redirects, error classes, request metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Protocol, TypeVar

import httpx

from exporter import __version__
from exporter.client.answers import Answer, Turn, aside, body_of
from exporter.client.errors import (
    CallError,
    ConnectionFailed,
    ContractBroken,
    Intercepted,
    RateLimited,
    TimedOut,
    refusal,
)
from exporter.client.interception import interceptor
from exporter.client.redaction.redaction import excerpt
from exporter.client.transport.redirects import onward
from exporter.client.transport.transport import AiohttpTransport
from exporter.config.models import Secret
from exporter.config.network.proxies import Proxies
from exporter.ledger.counters import Counters
from exporter.tasks import Cause

T = TypeVar("T")

ENDPOINTS = ("list", "detail", "token", "account")
HEADERS = {
    b"User-Agent": f"videotask-exporter/{__version__}".encode(),
    b"Accept": b"*/*",
    b"Accept-Encoding": b"gzip",
}
"""What each request says, unless the vendor wants it otherwise."""
ASKED_AGAIN = 0.1
"""Seconds after which a call that may not be sent asks again; what makes it is about to be stopped."""
CONCURRENCY = 8
REDIRECTS = 3
LONGEST_PAUSE = 3600.0
"""A Retry-After beyond this is cut: a vendor's slip must not silence a feed for a year."""
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 60.0

DURATION_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call as it went, for an observer. It holds credentials and content: nothing of it is to be shown as it is."""

    endpoint: str
    request: httpx.Request
    """As it was sent, signature and all, but for a credential in its query."""
    answer: Answer | None
    """None where none came, or none that could be taken in whole."""
    seconds: float
    """From sending to the end of the answer, without waiting for the first turn."""
    error: CallError | None


class Observer(Protocol):
    """An observer of the client's calls."""

    def asked(self, endpoint: str) -> None:
        """Before each call. Raises CallError to prevent it."""

    def answered(self, exchange: Exchange) -> None:
        """After each call, also a failed one."""


class RateLimit:
    """Hands out turns evenly spaced in time, and none while the vendor has asked for a pause.

    Even spacing rather than a bucket of tokens: vendors count per second, and a burst after an idle minute is what
    gets an account throttled.
    """

    def __init__(
        self,
        rate: float,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._spacing = 1.0 / rate
        self._monotonic = monotonic
        self._sleep = sleep
        self._next = monotonic()
        self._paused_until = monotonic()
        self._patience = 0.0

    @property
    def pause_left(self) -> float:
        """Seconds until calls are allowed again; 0 if they are."""
        return max(0.0, self._paused_until - self._monotonic())

    def pause(self, seconds: float | None) -> None:
        """Allows no call for so long; where the vendor names no time, for longer at each refusal in a row."""
        if seconds is None:
            if self.pause_left:
                return  # the answer to a call that was under way when the pause began
            self._patience = min(2 * self._patience, LONGEST_BACKOFF) if self._patience else FIRST_BACKOFF
            seconds = self._patience
        self._paused_until = max(self._paused_until, self._monotonic() + min(seconds, LONGEST_PAUSE))

    def relax(self) -> None:
        """The vendor answers again: the next refusal starts with a short pause."""
        self._patience = 0.0

    async def turn(self) -> float:
        """Waits for a turn and returns the seconds of waiting. Raises RateLimited during a pause, without waiting."""
        self._refuse_during_pause()
        now = self._monotonic()
        turn = max(self._next, now)
        self._next = turn + self._spacing
        if turn > now:
            await self._sleep(turn - now)
            self._refuse_during_pause()  # the vendor may have asked for it while we waited
        return turn - now

    def _refuse_during_pause(self) -> None:
        if left := self.pause_left:
            raise RateLimited(f"paused for another {left:.0f} s after the vendor limited calls", left)


class Client:
    """Sends the calls of one provider. Whatever happens on the way ends as an answer or as one CallError."""

    def __init__(
        self,
        base_url: str,
        *,
        rate: float = 5.0,
        timeout: float = 10.0,
        proxy: Secret | None = None,
        ca_file: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`proxy` is used instead of the environment's, `ca_file` holds authorities that are trusted too."""
        self.base_url = base_url
        self.limit = RateLimit(rate)
        self.counts = Counters()
        """`api_requests_total` (endpoint, code), `api_errors_total` (endpoint, error),
        `api_request_duration_seconds` (endpoint, histogram), `rate_limit_wait_seconds_total`."""
        self.sent = 0
        """Requests that were sent, whatever became of them; a budget counts them."""
        self.observer: Observer | None = None
        self.may_call: Callable[[], bool] = lambda: True
        """Calls wait while this is false: another process may poll the provider by now."""
        self.timeout = timeout
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._large = asyncio.Lock()  # one large answer in memory at a time
        self._transport = transport or AiohttpTransport(_proxies_of(proxy), ca_file)

    async def call(
        self,
        endpoint: str,
        method: str,
        url: str,
        *,
        read: Callable[[Answer], T],
        headers: Mapping[str, str] | None = None,
        json: object = None,
        auth: httpx.Auth | None = None,
    ) -> T:
        """Sends one request and has its answer read; every failure, also one that `read` raises, is counted once.

        `endpoint` is a word of ENDPOINTS. `url` is a path below the base URL, with its query already encoded, or a
        whole URL. `auth` signs the request; its flow sees each answer and may send another request, as a digest does.
        Raises CallError, and what else `read` raises to inform the caller.
        """
        if self.observer:
            self.observer.asked(endpoint)
        async with self._slots:  # before the turn: calls that wait here must not leave in a bunch, or during a pause
            self.counts.add("rate_limit_wait_seconds_total", by=await self.limit.turn())
            while not self.may_call():  # noqa: ASYNC110  # time alone may change that
                await asyncio.sleep(ASKED_AGAIN)
            try:
                request = self._request(method, url, headers, json)
                sent = partial(_credentials, headers, json, auth)
                result = await self._answered(endpoint, request, auth, read, sent)
            except CallError as error:
                error.endpoint = endpoint
                if endpoint != "account" and (isinstance(error, RateLimited) or error.retry_after is not None):
                    self.limit.pause(error.retry_after)
                self.counts.add("api_errors_total", endpoint, error.error)
                # What keeps the error must not keep the frames and inputs below: they hold the whole answer.
                error.__context__ = None
                raise error.with_traceback(None)  # noqa: B904  # the error itself
        if endpoint != "account":  # how the vendor likes questions about the balance says nothing of the tasks
            self.limit.relax()
        return result

    async def _answered(
        self,
        endpoint: str,
        request: httpx.Request,
        auth: httpx.Auth | None,
        read: Callable[[Answer], T],
        credentials: Callable[[], Collection[str]],
    ) -> T:
        started = time.perf_counter()
        answer, failure = None, None
        turn = Turn(self._large)
        try:
            answer = await self._exchange(endpoint, request, auth, turn)
            if answer.is_short:
                return _read(answer, read, credentials)
            return await aside(answer, partial(_read, answer, read, credentials))
        except CallError as error:
            failure = error
            raise
        finally:
            turn.end()
            if self.observer:
                seconds = time.perf_counter() - started
                self.observer.answered(Exchange(endpoint, request, answer, seconds, failure))

    def _request(self, method: str, url: str, headers: Mapping[str, str] | None, json: object) -> httpx.Request:
        encoded = HEADERS | {name.encode(): value.encode() for name, value in (headers or {}).items()}
        target = url if url.startswith(("http://", "https://")) else self.base_url + url
        try:
            return httpx.Request(method, target, headers=encoded, json=json)
        except (httpx.InvalidURL, ValueError):
            raise ConnectionFailed("the URL cannot be used") from None

    async def _exchange(self, endpoint: str, request: httpx.Request, auth: httpx.Auth | None, turn: Turn) -> Answer:
        elapsed = 0.0
        flow = None
        try:
            for hop in range(REDIRECTS + 1):
                if hop:  # one request more at the vendor; the wait for its turn is no part of the deadline
                    self.counts.add("rate_limit_wait_seconds_total", by=await self.limit.turn())
                if auth and flow is None:
                    flow = auth.sync_auth_flow(request)
                    request = next(flow)
                started = time.perf_counter()
                try:
                    async with asyncio.timeout(self.timeout - elapsed):
                        received = await self._send(endpoint, request, turn)
                finally:
                    elapsed += time.perf_counter() - started
                if isinstance(received, httpx.Request):
                    request, flow = received, None  # signed again, for its own address
                    continue
                if flow is None or hop == REDIRECTS:
                    return received
                try:
                    request = flow.send(received.as_response(request))
                except StopIteration:
                    return received
            raise ContractBroken("the vendor redirects without end", cause=Cause.WRONG_URL)
        except TimeoutError:
            raise TimedOut(f"no complete answer within {self.timeout:g} s") from None
        finally:
            self.counts.observe("api_request_duration_seconds", endpoint, value=elapsed, bounds=DURATION_BOUNDS)

    async def _send(self, endpoint: str, request: httpx.Request, turn: Turn) -> Answer | httpx.Request:
        """Sends one request and counts it. Returns its answer, or the request that a redirect asks for."""
        code = "error"
        try:
            response = await self._transport.handle_async_request(request)
            try:
                code = str(response.status_code)
                if further := onward(request, response):
                    return further
                return Answer(response.status_code, response.headers, await body_of(response, turn))
            except CallError as error:
                if not isinstance(error, ConnectionFailed):  # no whole answer came
                    error.status = response.status_code
                raise
            finally:
                await response.aclose()
        finally:
            self.sent += 1
            self.counts.add("api_requests_total", endpoint, code)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _read(answer: Answer, read: Callable[[Answer], T], credentials: Callable[[], Collection[str]]) -> T:
    """What `read` makes of an answer, unless something else than the vendor gave it."""
    try:
        if answer.status == 407:
            told = "the proxy requires authentication (HTTP 407)"
            raise ConnectionFailed(told, cause=Cause.PROXY)
        if who := interceptor(answer.status, answer.headers, answer.body):
            raise Intercepted(f"{who} answered instead of the vendor (HTTP {answer.status})")
        return _understood(answer, read)
    except CallError as error:
        error.status, error.excerpt = answer.status, excerpt(answer.body, credentials())
        raise


def _understood(answer: Answer, read: Callable[[Answer], T]) -> T:
    try:
        return read(answer)
    except ContractBroken as error:  # an error page may have any shape: only its status counts
        failure = error if answer.status < 400 else refusal(answer.status, said=excerpt(answer.body))
    except CallError as error:
        failure = error
    if isinstance(failure, RateLimited) or answer.status in (429, 503):
        failure.retry_after = retry_after(answer.headers)
    raise failure


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that a response asks us to wait, from its Retry-After as a number or an HTTP date (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_PAUSE)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _proxies_of(proxy: Secret | None) -> Callable[[], Proxies]:
    """What gives the proxies as they are now: a secret in a file may change."""
    if proxy:
        return lambda: Proxies.of_setting(proxy.reveal())
    proxies = Proxies.of_environment()
    return lambda: proxies


def _credentials(headers: Mapping[str, str] | None, json: object, auth: httpx.Auth | None) -> set[str]:
    """Whatever a call sent that an answer must not repeat: its headers, the texts of its body, what it is signed with.

    An auth that knows what it sends has it as `sent`.
    """
    sent = {word for value in (headers or {}).values() for word in (value, *value.split())}
    return sent | set(_texts(json)) | set(getattr(auth, "sent", ()))


def _texts(json: object) -> Iterator[str]:
    match json:
        case str():
            yield json
        case dict():
            for value in json.values():
                yield from _texts(value)
        case list():
            for value in json:
                yield from _texts(value)
