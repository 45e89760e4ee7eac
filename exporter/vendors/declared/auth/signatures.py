"""Schemes of clouds that sign the canonical form of a request with a pair of keys, each in its own variant.

The form is the same: method, path, query, headers, their names, and the hash of the body, line by line. The variants
differ in the headers that they sign, in what the key is made of, and in how the result is written.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import parse_qsl, quote, unquote

import httpx

from exporter.config.models import Secret
from exporter.vendors.declared.auth.schemes import Scheme


def canonical(request: httpx.Request, names: Iterable[str], path_end: str = "") -> str:
    """The form of a request that is signed, with these headers. `path_end` is added to a path that lacks it."""
    path, _, query = request.url.raw_path.decode().partition("?")
    path = quote(unquote(path), safe="/~")
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in parse_qsl(query, True))
    return "\n".join(
        [
            request.method,
            path if path.endswith(path_end) else path + path_end,
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{request.headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(request.content).hexdigest(),
        ]
    )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def keyed(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class KeyPair(Scheme):
    """Signs requests with the secret of a pair of keys; the other one is named in the header."""

    requires_request_body = True
    algorithm: ClassVar[str]

    def __init__(self, key: Secret, secret: Secret, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__([key, secret])
        self._key, self._secret, self._wall_clock = key, secret, wall_clock

    def _now(self, form: str) -> str:
        return datetime.fromtimestamp(self._wall_clock(), UTC).strftime(form)


class ScopedSignature(KeyPair):
    """The key is derived from the secret, the day, a region and a service, as the OpenAPI of Volcengine wants it.

    Source: "Signature method" of its API reference, and BytePlus' "Signature example".
    """

    algorithm = "HMAC-SHA256"

    def __init__(
        self, key: Secret, secret: Secret, region: str, service: str, wall_clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(key, secret, wall_clock)
        self._region, self._service = region, service

    def sign(self, request: httpx.Request) -> None:
        date = request.headers["X-Date"] = self._now("%Y%m%dT%H%M%SZ")
        request.headers["X-Content-Sha256"] = hashlib.sha256(request.content).hexdigest()
        names = ("host", "x-content-sha256", "x-date")
        scope = (date[:8], self._region, self._service, "request")
        key = self._secret.text.encode()
        for part in scope:
            key = keyed(key, part)
        to_sign = "\n".join([self.algorithm, date, "/".join(scope), digest(canonical(request, names))])
        credential = "/".join([self._key.text, *scope])
        request.headers["Authorization"] = (
            f"{self.algorithm} Credential={credential}, SignedHeaders={';'.join(names)}, "
            f"Signature={keyed(key, to_sign).hex()}"
        )


class NonceSignature(KeyPair):
    """Each request has a nonce, and all headers `x-acs-` are signed, as Alibaba Cloud wants it.

    Source: "Request syntax and signature method V3" of its SDK documents. Action and version are headers of a request.
    """

    algorithm = "ACS3-HMAC-SHA256"

    def __init__(
        self,
        key: Secret,
        secret: Secret,
        wall_clock: Callable[[], float] = time.time,
        nonce: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        super().__init__(key, secret, wall_clock)
        self._nonce = nonce

    def sign(self, request: httpx.Request) -> None:
        request.headers["x-acs-date"] = self._now("%Y-%m-%dT%H:%M:%SZ")
        request.headers["x-acs-signature-nonce"] = self._nonce()
        request.headers["x-acs-content-sha256"] = hashlib.sha256(request.content).hexdigest()
        names = sorted(name for name in request.headers if name == "host" or name.startswith("x-acs-"))
        to_sign = f"{self.algorithm}\n{digest(canonical(request, names))}"
        signature = keyed(self._secret.text.encode(), to_sign).hex()
        request.headers["Authorization"] = (
            f"{self.algorithm} Credential={self._key.text},SignedHeaders={';'.join(names)},Signature={signature}"
        )
