"""What a vendor answered, in bounds: so large, so many values, and read where it delays nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import httpx
from pydantic_core import from_json

from exporter.client.errors import AnswerTooLarge, ContractBroken
from exporter.tasks import Cause

T = TypeVar("T")

SIZE_LIMIT = 8 * 1024 * 1024

VALUES_LIMIT = 100_000
"""Values that an answer may hold: more take far more memory than its bytes, and long to parse in one go."""

LARGE = 320 * 1024
"""Bytes of an answer above which it is read alone, of all providers' answers, since what it unfolds to is large."""

LONG = 32 * 1024
"""Bytes of an answer above which it is read in a thread: words about failures take long to read."""

MANY_VALUES = 15_000
"""Values of an answer above which it is read alone, however short it is."""

SLICE = 1024 * 1024
"""Bytes that are unpacked at once."""

_HALVES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
"""Halves of characters as JSON writes them, and what looks like one and is none."""


@dataclass(frozen=True)
class Answer:
    """A complete response: status, headers, decoded body."""

    status: int
    headers: httpx.Headers
    body: bytes

    def json(self) -> object:
        """The body as JSON. Raises ContractBroken for HTML, cut-off text, absurd nesting, too many values.

        A broken character, or a number that is none, costs the value in which it stands.
        """
        kind = "not JSON" if self.body.strip() else "empty"
        if not self.is_short and self._values > VALUES_LIMIT:
            kind = f"not JSON of at most {VALUES_LIMIT} values"
        else:
            try:
                return from_json(self.body, allow_inf_nan=False)
            except (ValueError, RecursionError):
                pass
            with contextlib.suppress(ValueError, RecursionError):
                return from_json(_mended(self.body), allow_inf_nan=True)
        is_page = self.body.lstrip().startswith(b"<")
        told = f"the body is {kind} (HTTP {self.status}, {len(self.body)} bytes)"
        raise ContractBroken(told, cause=Cause.WRONG_URL if is_page else None)

    def as_response(self, request: httpx.Request) -> httpx.Response:
        """The answer as the flow of an `httpx.Auth` wants it."""
        headers = self.headers.copy()
        headers.pop("Content-Encoding", None)  # the body is decoded already
        return httpx.Response(self.status, headers=headers, content=self.body, request=request)

    @property
    def is_short(self) -> bool:
        """Whether it is read in no time, whatever is in it."""
        return len(self.body) <= MANY_VALUES

    @property
    def is_heavy(self) -> bool:
        """Whether it may unfold to so much that only one such answer is to be in memory."""
        return len(self.body) > LARGE or (not self.is_short and self._values > MANY_VALUES)

    @cached_property  # a large body takes a tenth of a millisecond
    def _values(self) -> int:
        """How many values the JSON has at most: each but the first follows one of these characters."""
        return len(self.body) - len(self.body.translate(None, b",[{"))


def _mended(body: bytes) -> str:
    """The body with a character that no id may have in place of broken ones."""
    text = body.decode(errors="replace").replace("\ufffd", "\\u0000")
    return _HALVES.sub(lambda found: "\\u0000" if found["half"] else found[0], text)


_thread = ThreadPoolExecutor(1, thread_name_prefix="answers")


async def aside(answer: Answer, read: Callable[[], T]) -> T:
    """What `read` makes of an answer, in a thread unless that is quickly done."""
    if answer.is_heavy:
        return await asyncio.get_running_loop().run_in_executor(_thread, read)
    return await asyncio.to_thread(read) if len(answer.body) > LONG else read()


class Turn:
    """The turn of an answer among the large ones, of which one at a time is in memory. It ends once that is read."""

    __slots__ = ("_has", "_large")

    def __init__(self, large: asyncio.Lock) -> None:
        self._large = large
        self._has = False

    async def come(self) -> None:
        """Waits for it, unless it has come."""
        if not self._has:
            self._has = await self._large.acquire()

    def end(self) -> None:
        if self._has:
            self._has = False
            self._large.release()


async def body_of(response: httpx.Response, turn: Turn) -> bytes:
    """The body; empty for an error that cannot be unpacked, since its status says enough.

    One that turns out to be large waits for its turn. Raises ContractBroken, AnswerTooLarge.
    """
    try:
        return await _unpacked(response, turn)
    except ContractBroken:
        if response.status_code < 400:
            raise
        return b""


async def _unpacked(response: httpx.Response, turn: Turn) -> bytes:
    """The decoded body, never more than SIZE_LIMIT of it in memory, however well it was packed."""
    coding = _coding(response)
    if coding not in (b"identity", b"", b"gzip", b"x-gzip"):
        raise ContractBroken("the body has a content coding that was not asked for")
    unpack = zlib.decompressobj(wbits=31) if coding.endswith(b"gzip") else None
    body = bytearray()
    async for chunk in cast("httpx.AsyncByteStream", response.stream):  # httpx's own iterator costs much more
        more = True
        while more:
            try:
                piece = unpack.decompress(chunk, SLICE) if unpack else chunk
            except zlib.error:
                raise ContractBroken("the body is not the gzip that its header promises") from None
            body += piece
            if len(body) > SIZE_LIMIT:
                raise AnswerTooLarge(f"the body is larger than {SIZE_LIMIT // 2**20} MiB")
            if len(body) > LARGE:
                await turn.come()
            more = unpack is not None and len(piece) == SLICE
            if unpack and more:  # a small chunk may unfold to a large one: others have their turn in between
                chunk = unpack.unconsumed_tail
                await asyncio.sleep(0)
    if unpack and not unpack.eof:
        raise ContractBroken("the gzip body is cut off")
    return bytes(body)


def _coding(response: httpx.Response) -> bytes:
    """The content coding, as bytes: httpx decodes all headers to find one by its name."""
    found = [value for name, value in response.headers.raw if name.lower() == b"content-encoding"]
    return b", ".join(found).strip().lower()
