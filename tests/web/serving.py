"""Applications on the exporter's own server, and what clients and certificates the tests need."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import trustme
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from exporter.simulator.server import cut_off
from exporter.web.access.webconfig import WebConfig
from exporter.web.server.opened import Limits
from exporter.web.server.server import Server, listen
from tests.harness import NOWHERE, PATIENCE, Rig

SECRET = "callback-s3cr3t-of-the-studio"

CHEAP = 4
"""The least cost of a bcrypt hash: some hundred a second."""


def hashed(password: str, cost: int = CHEAP) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


async def _hello(request: Request) -> Response:
    return PlainTextResponse("Hello World!")


async def _echo(request: Request) -> Response:
    return Response(await request.body())


async def _large(request: Request) -> Response:
    return Response(b"x" * 64 * 1024 * 1024)


async def _pieces(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1024):
            yield b"x" * 64 * 1024

    return StreamingResponse(pieces())


def hello() -> Starlette:
    """Answers GET at four paths and with 64 MiB at two, and gives back what is sent to POST /echo."""
    paths = [Route(path, _hello) for path in ("/", "/metrics", "/-/healthy", "/-/ready")]
    large = [Route("/large", _large), Route("/pieces", _pieces)]
    return Starlette(routes=[*paths, *large, Route("/echo", _echo, methods=["POST"])])


@dataclass
class Folder:
    """Where a web configuration lies with its certificates: of the server, of clients, and of who signed them."""

    path: Path
    authority: trustme.CA

    def write(self, **files: str | bytes) -> None:
        for name, content in files.items():
            full = self.path / name.replace("_", ".")
            full.write_bytes(content if isinstance(content, bytes) else content.encode())
            now = time.time_ns()  # the kernel's own stamps are some milliseconds apart, and tests write faster
            os.utime(full, ns=(now, now))

    def certify(self, name: str, *names: str, authority: trustme.CA | None = None) -> trustme.LeafCert:
        """Writes NAME.crt and NAME.key."""
        leaf = (authority or self.authority).issue_cert(*names)
        chain = b"".join(one.bytes() for one in leaf.cert_chain_pems)
        self.write(**{f"{name}_crt": chain, f"{name}_key": leaf.private_key_pem.bytes()})
        return leaf

    def config(self, text: str) -> WebConfig:
        self.write(web_yml=text)
        return WebConfig(self.path / "web.yml")

    def client(self, name: str | None = None, **changes: object) -> ssl.SSLContext:
        """What a client speaks TLS with, which trusts the authority and shows the certificate NAME."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if name:
            context.load_cert_chain(self.path / f"{name}.crt", self.path / f"{name}.key")
        for attribute, value in changes.items():
            setattr(context, attribute, value)
        return context


@dataclass
class Address:
    host: str
    port: int
    web: WebConfig | None
    server: Server

    @property
    def open(self) -> int:
        """How many connections speak HTTP with the server."""
        return len(self.server.server_state.connections)

    def reread(self) -> None:
        """Has the web configuration read again now, as the server does each second."""
        assert self.web
        self.web.reread()

    def http(
        self, tls: ssl.SSLContext | None = None, auth: tuple[str, str] | None = None, secure: bool | None = None
    ) -> httpx.AsyncClient:
        """A client; it speaks TLS as the server does unless told otherwise."""
        secure = bool(self.web and self.web.secure) if secure is None else secure
        url = f"http{'s' if secure else ''}://{self.host}:{self.port}"
        return httpx.AsyncClient(base_url=url, verify=tls or False, auth=auth, trust_env=False, timeout=PATIENCE)

    async def get(
        self, path: str = "/", tls: ssl.SSLContext | None = None, auth: tuple[str, str] | None = None
    ) -> httpx.Response:
        """The answer to a GET on a connection of its own."""
        async with self.http(tls, auth) as client:
            return await client.get(path)

    async def send(self, data: bytes, *, half: bool = False) -> bytes:
        """What the server says to these bytes, until it closes the connection; `half` closes our side first."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(data)
                if half:
                    writer.write_eof()
                return await all_of(reader)
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    web: WebConfig | None = None, limits: Limits | None = None, app: ASGIApp | None = None
) -> AsyncIterator[Address]:
    """The application on the exporter's own server, at a port of this machine."""
    (listener,) = listen(["127.0.0.1:0"])
    server = Server(app or hello(), web, limits or Limits())
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield Address("127.0.0.1", listener.getsockname()[1], web, server)
    finally:
        await cut_off(server, running)


@asynccontextmanager
async def served(application: ASGIApp, address: str = "127.0.0.1:0") -> AsyncIterator[httpx.AsyncClient]:
    """The application on the exporter's own server, and a client of it that sends no header of its own accord."""
    (listener,) = listen([address])
    host, port = listener.getsockname()[:2]
    server = Server(application)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=PATIENCE) as client:
            for name in ("accept", "accept-encoding"):
                del client.headers[name]
            yield client
    finally:
        await cut_off(server, serving)


@asynccontextmanager
async def studio(url: str = NOWHERE, request_timeout: str = "30s", **given: Any) -> AsyncIterator[Rig]:
    """A Chanjing account at the vendors with this address; by default, where nothing listens."""
    rig = Rig()
    rig.connect(
        "chanjing",
        url,
        name="studio",
        poll_interval="10s",
        request_timeout=request_timeout,
        rate_limit="100/s",
        watch={"callback_secret": SECRET},
        **given,
    )
    yield rig
    await rig.aclose()


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, in whichever way it does."""
    read = b""
    with suppress(ConnectionError):
        while more := await reader.read(65536):
            read += more
    return read


def users(**passwords: str) -> str:
    """The part of a web configuration that names users."""
    return "basic_auth_users:\n" + "".join(f"  {name}: {hashed(word)}\n" for name, word in passwords.items())


TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"


def indented(content: bytes) -> str:
    """A PEM text as a block of YAML two levels deep."""
    return "|\n" + "".join(f"    {line}\n" for line in content.decode().splitlines())
