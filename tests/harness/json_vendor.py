"""Made-up vendors over real HTTP, that answer JSON as a test says."""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class JsonVendor(BaseHTTPRequestHandler):
    """A vendor whose `get` calls `answer` once."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.get()

    @abstractmethod
    def get(self) -> None:
        """Answers a GET of `path`."""

    def answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  # its name in the library


@contextmanager
def served(vendor: type[JsonVendor]) -> Iterator[str]:
    """The vendor's address, while it is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), vendor) as server:
        server.daemon_threads = True  # connections that are kept alive must not keep the test
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
