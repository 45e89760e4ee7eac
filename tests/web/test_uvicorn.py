"""What the server relies on inside of uvicorn, h11 and asyncio: a release that changes it fails here first."""

from __future__ import annotations

import asyncio
import inspect
from asyncio.selector_events import BaseSelectorEventLoop
from asyncio.sslproto import SSLProtocol

import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from exporter.web.server.limits import READ, UNSENT, HTTPConnection
from tests.harness import until

from .serving import hello, serving


def test_what_is_overridden_or_called_is_there() -> None:
    for owner, names in (
        (H11Protocol, "connection_made connection_lost data_received handle_events on_response_complete pause_writing"),
        (H11Protocol, "send_400_response"),
        (FlowControl, "pause_reading resume_reading"),
        (RequestResponseCycle, "receive send"),
        (uvicorn.Server, "startup shutdown capture_signals serve"),
        (SSLProtocol, "connection_made connection_lost"),
    ):
        for name in names.split():
            assert callable(getattr(owner, name, None)), f"{owner.__name__}.{name}"
    assert {"http", "backlog", "h11_max_incomplete_event_size"} <= inspect.signature(uvicorn.Config).parameters.keys()
    assert SSLProtocol.max_size
    assert "socket.accept() out of system resource" in inspect.getsource(BaseSelectorEventLoop)


async def test_a_connection_has_what_is_read_of_it() -> None:
    async with serving(app=hello()) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        await until("the connection is open", lambda: address.open == 1)
        (connection,) = address.server.server_state.connections
        assert isinstance(connection, HTTPConnection)
        assert not connection.awaits_body
        writer.write(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        await until("the head is here", lambda: connection.cycle is not None)
        assert (connection.awaits_body, connection.answering, connection.is_stuck) == (True, False, True)
        writer.write(b"cd")
        assert b" 200 " in await reader.readline()
        assert (connection.cycle.more_body, connection.cycle.response_complete) == (False, True)
        assert (connection.cycle.disconnected, connection.flow.write_paused) == (False, False)
        assert connection.conn.trailing_data[0] == b""
        assert vars(connection.transport)["max_size"] == READ
        assert connection.transport.get_write_buffer_limits()[1] == UNSENT
        writer.close()
