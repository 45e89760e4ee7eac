"""Whom we trust by TLS: one context for all providers that trust the same, since each costs tens of milliseconds."""

from __future__ import annotations

import os
import ssl
from functools import lru_cache
from pathlib import Path

import httpx

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A context to be shared and left as it is: it trusts the CAs of a file, or else whom httpx trusts.

    httpx goes by SSL_CERT_FILE and SSL_CERT_DIR. A file that has changed makes a new context. It reads the disk, so it
    is not for the event loop. Raises OSError, ssl.SSLError.
    """
    places = (ca_file,) if ca_file else tuple(os.environ.get(name) for name in _VARIABLES)
    return _made(ca_file, places, tuple(_stamp(place) for place in places if place))


@lru_cache(maxsize=32)
def _made(ca_file: str | None, places: tuple[str | None, ...], stamps: tuple[object, ...]) -> ssl.SSLContext:
    """The context for these places, and files in them as they are now."""
    return ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()


def _stamp(place: str) -> tuple[int, int, int] | None:
    try:
        status = Path(place).stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
