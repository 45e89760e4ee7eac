"""Serves an ASGI application over real HTTP, in a thread of its own or in a running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

GRACE = 1  # seconds that requests still open get at the end
PATIENCE = 10.0  # seconds for the thread of a server to end


@dataclass(frozen=True, slots=True)
class Address:
    """Where the application is served."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


class _Server(uvicorn.Server):
    """A uvicorn that leaves the signals to the process that it lives in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Protocol(H11Protocol):
    """HTTP whose connections the application can reach, so that a fault may break them: `scope["state"]`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)  # type: ignore[arg-type]


@contextlib.contextmanager
def serve(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Iterator[Address]:
    """Serves `app` from a thread until the block is left. Port 0 is any free one. Raises OSError if it is taken."""
    with _listening(host, port) as (listener, address):
        server = _server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="simulator", daemon=True)
        thread.start()
        try:
            yield address  # what asks before the server has started waits for it in the queue of the socket
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


@contextlib.asynccontextmanager
async def running(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves `app` in the running event loop until the block is left; yields the URL. Otherwise like `serve`."""
    with _listening(host, port) as (listener, address):
        server = _server(app)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                if task.done():
                    task.result()
                    raise RuntimeError("the simulator's server did not start")
                await asyncio.sleep(0.005)
            yield address.url
        finally:
            await cut_off(server, task)


async def cut_off(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    """Ends a server of the running event loop at once, with the calls that it answers. Raises what `serving` failed of.

    The end that uvicorn makes looks every tenth of a second whether clients have left.
    """
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    for listener in server.servers:
        listener.close()
    for connection in [*server.server_state.connections]:
        connection.transport.abort()
    answering = [*server.server_state.tasks]
    for task in answering:
        task.cancel()
    await asyncio.gather(*answering, return_exceptions=True)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[tuple[socket.socket, Address]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named TCP outright, or asyncio would not switch off Nagle's algorithm, and every answer would take 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        shown = f"[{host}]" if ":" in host else host
        yield listener, Address(shown, listener.getsockname()[1])


def _server(app: ASGIApp) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            lifespan="off",
            log_config=None,  # the host's logging stays as it is
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=GRACE,
        )
    )
