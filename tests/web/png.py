"""As much of PNG as the pictures in docs/ need: they get a palette, which halves them, and texts about themselves."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256

Chunk = tuple[bytes, bytes]
"""Its kind and what is in it."""


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def texts(png: bytes) -> dict[str, str]:
    """What it says about itself, by keyword."""
    parts = (body.decode("latin-1").partition("\0") for kind, body in _chunks(png) if kind == b"tEXt")
    return {keyword: text for keyword, _, text in parts}


def shrunk(png: bytes, **texts: str) -> bytes:
    """The same picture in its 256 most frequent colours, with these texts.

    It takes what browsers write of an opaque page: three bytes a pixel. Of a page nearly all pixels keep their colour;
    the others are edges of letters, and get the nearest.
    """
    width, height = size(png)
    lines = [[line[at : at + 3] for at in range(0, len(line), 3)] for line in _lines(png)]
    counted = Counter(pixel for line in lines for pixel in line)
    palette = [colour for colour, _ in counted.most_common(COLOURS)]
    index = {colour: min(range(len(palette)), key=lambda i: _distance(palette[i], colour)) for colour in counted}
    data = b"".join(b"\0" + bytes(map(index.__getitem__, line)) for line in lines)
    return _built(
        [
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            *((b"tEXt", f"{keyword}\0{text}".encode("latin-1")) for keyword, text in texts.items()),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(data, 9)),
            (b"IEND", b""),
        ]
    )


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunks(png: bytes) -> Iterator[Chunk]:
    at = len(SIGNATURE)
    while at < len(png):
        length = int.from_bytes(png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _built(chunks: Iterable[Chunk]) -> bytes:
    framed = (struct.pack(">I", len(body)) + kind + body + _checksum(kind + body) for kind, body in chunks)
    return SIGNATURE + b"".join(framed)


def _checksum(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _lines(png: bytes) -> Iterator[bytes]:
    """The bytes of each line of pixels, which are stored as differences from what is left of and above them."""
    stored = zlib.decompress(b"".join(body for kind, body in _chunks(png) if kind == b"IDAT"))
    length = 3 * size(png)[0]
    above = bytes(length)
    for start in range(0, len(stored), 1 + length):
        expected = _EXPECTED[stored[start]]
        line = bytearray(stored[start + 1 : start + 1 + length])
        for i in range(length):
            left, corner = (line[i - 3], above[i - 3]) if i >= 3 else (0, 0)
            line[i] = (line[i] + expected(left, above[i], corner)) & 255
        above = bytes(line)
        yield above


def _nearest(left: int, up: int, corner: int) -> int:
    whole = left + up - corner
    to_left, to_up, to_corner = abs(whole - left), abs(whole - up), abs(whole - corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner


_EXPECTED = (
    lambda left, up, corner: 0,
    lambda left, up, corner: left,
    lambda left, up, corner: up,
    lambda left, up, corner: (left + up) // 2,
    _nearest,
)
"""What a byte is taken to be, by the line's filter."""
