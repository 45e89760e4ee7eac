"""The transport: what is sent arrives as it was given, connections are kept or ended as they should be."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import trustme

from exporter.client.answers import Answer
from exporter.client.client import Client
from exporter.client.errors import AnswerTooLarge, ConnectionFailed, TimedOut
from exporter.client.transport.transport import AiohttpTransport
from exporter.config.models import Secret
from exporter.config.network import trust
from tests.harness import PATIENCE, until
from tests.harness.raw import talking

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
HEAD = b"HTTP/1.1 200 OK\r\n"
EMPTY = HEAD + b"Content-Length: 2\r\n\r\n{}"

Reply = Callable[[str], bytes | None]
"""What is answered to a request's first line; None ends the connection without a word."""


@dataclass
class Vendor:
    """A server that keeps connections open, and what arrived there."""

    reply: Reply = lambda line: EMPTY
    url: str = ""
    closing: bool = False
    """Whether each connection ends with its first answer, although nothing in it says so."""
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while await self._answered(reader, writer) and not self.closing:
                pass
        finally:
            self.open -= 1

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        self.bodies.append(await reader.readexactly(int(fields(head).get("content-length", 0))))
        answer = self.reply(head.splitlines()[0])
        writer.write(answer or b"")
        await writer.drain()
        return answer is not None


def fields(head: str) -> dict[str, str]:
    """The header fields of a request, by their names in small letters."""
    pairs = (line.partition(": ") for line in head.split("\r\n")[1:] if line)
    return {name.lower(): value for name, _, value in pairs}


@asynccontextmanager
async def listening(vendor: Vendor, tls: ssl.SSLContext | None = None) -> AsyncIterator[Vendor]:
    async with talking(vendor, tls) as port:
        vendor.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        yield vendor


@asynccontextmanager
async def client_of(vendor: Vendor, timeout: float = PATIENCE) -> AsyncIterator[Client]:
    client = Client(vendor.url, rate=1e9, timeout=timeout)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with listening(Vendor()) as vendor:
        yield vendor


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)


async def ask(
    client: Client, url: str = "/", method: str = "GET", headers: Mapping[str, str] | None = None, json: object = None
) -> object:
    return await client.call("list", method, url, read=Answer.json, headers=headers, json=json)


# What is sent.


@pytest.mark.parametrize(
    "target", ["/a%2Fb/c?x=A%2CB&y=%20+&z=%2B", "/%7e?a=%7E~&b=%e5", "/?q=a:b@c/d'(e)!*;f&&g=", "/./x//y/../z"]
)
async def test_a_path_and_query_arrive_as_httpx_has_them(vendor: Vendor, target: str) -> None:
    """A signature covers them as they are, and a slash in an id is none of the path."""
    async with client_of(vendor) as client:
        await ask(client, target)
    sent = httpx.URL(vendor.url + target).raw_path.decode()
    assert vendor.heads[0].splitlines()[0] == f"GET {sent} HTTP/1.1"


async def test_nothing_is_said_that_was_not_asked_to(vendor: Vendor) -> None:
    async with client_of(vendor) as client:
        await ask(client, headers={"Authorization": "名"})
        await ask(client, method="POST", json={"a": [1]})
    asked, told = map(fields, vendor.heads)
    assert asked.pop("host") == vendor.url.removeprefix("http://")
    assert asked.pop("user-agent").startswith("videotask-exporter/")
    assert asked == {"accept": "*/*", "accept-encoding": "gzip", "authorization": "名"}
    assert (told["content-type"], told["content-length"]) == ("application/json", "9")
    assert vendor.bodies == [b"", b'{"a":[1]}']


async def test_a_user_in_a_url_is_nothing_to_stumble_over(vendor: Vendor) -> None:
    transport = AiohttpTransport()
    url = vendor.url.replace("://", "://user:password@")
    response = await transport.handle_async_request(httpx.Request("GET", url, headers={"Authorization": "TOKEN"}))
    await response.aclose()
    await transport.aclose()
    assert fields(vendor.heads[0])["authorization"] == "TOKEN"


async def test_cookies_are_neither_kept_nor_logged(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    cookies = b"Set-Cookie: session=1; Path=/\r\nSet-Cookie: MARKER,=1"
    vendor.reply = lambda line: EMPTY.replace(b"\r\n\r\n", b"\r\n" + cookies + b"\r\n\r\n")
    async with client_of(vendor) as client:
        await ask(client)
        await ask(client)
    assert "MARKER" not in caplog.text
    assert ["cookie" in fields(head) for head in vendor.heads] == [False, False]


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [
        ("301 Moved Permanently", "GET", b""),
        ("302 Found", "GET", b""),
        ("303 See Other", "GET", b""),
        ("307 Temporary Redirect", "POST", b'{"a":1}'),
        ("308 Permanent Redirect", "POST", b'{"a":1}'),
    ],
)
async def test_what_becomes_of_a_post_that_is_redirected(vendor: Vendor, status: str, method: str, body: bytes) -> None:
    redirect = f"HTTP/1.1 {status}\r\nLocation: /there?x=%2F\r\nContent-Length: 0\r\n\r\n".encode()
    vendor.reply = lambda line: EMPTY if "/there" in line else redirect
    async with client_of(vendor) as client:
        await ask(client, method="POST", headers={"X-Token": "T"}, json={"a": 1})
    assert vendor.heads[1].splitlines()[0] == f"{method} /there?x=%2F HTTP/1.1"
    arrived = fields(vendor.heads[1])
    assert (arrived["x-token"], arrived["host"]) == ("T", vendor.url.removeprefix("http://"))
    assert ("content-type" in arrived) == bool(body)
    assert vendor.bodies[1] == body


# Connections.


async def test_calls_share_connections(vendor: Vendor) -> None:
    async with client_of(vendor) as client:
        for _ in range(10):
            await ask(client)
        assert vendor.connections == 1
        await asyncio.gather(*(ask(client) for _ in range(50)))
        assert vendor.connections <= 8
        assert len(vendor.heads) == 60
    await until("the end of all connections", lambda: not vendor.open)


async def test_a_connection_that_the_vendor_closed_meanwhile_disturbs_nobody(vendor: Vendor) -> None:
    vendor.closing = True
    async with client_of(vendor) as client:
        for _ in range(20):
            await ask(client)
    assert len(vendor.heads) == 20


@pytest.mark.parametrize(("method", "sent"), [("GET", 2), ("POST", 1)])
async def test_only_a_get_is_sent_again_when_the_connection_ends_without_an_answer(
    vendor: Vendor, method: str, sent: int
) -> None:
    vendor.reply = lambda line: None
    async with client_of(vendor) as client:
        with pytest.raises(ConnectionFailed, match="broke off"):
            await ask(client, method=method)
    assert len(vendor.heads) == sent


async def test_a_connection_of_an_answer_that_did_not_come_in_time_is_ended(vendor: Vendor) -> None:
    vendor.reply = lambda line: b""
    async with client_of(vendor, timeout=0.2) as client:
        with pytest.raises(TimedOut):
            await ask(client)
        await until("the end of all connections", lambda: not vendor.open)


@pytest.mark.parametrize("body", [b"{}" * 5_000_000, b"{"], ids=["too large", "never whole"])
async def test_a_connection_of_an_answer_that_was_not_read_to_its_end_is_ended(vendor: Vendor, body: bytes) -> None:
    vendor.reply = lambda line: HEAD + b"Content-Length: 10000000\r\n\r\n" + body
    async with client_of(vendor, timeout=PATIENCE if len(body) > 1 else 0.2) as client:
        with pytest.raises(AnswerTooLarge if len(body) > 1 else TimedOut):
            await ask(client)
        await until("the end of all connections", lambda: not vendor.open)
        vendor.reply = lambda line: EMPTY
        assert await ask(client) == {}


async def test_a_long_line_in_the_head_is_read(vendor: Vendor) -> None:
    policy = b"Content-Security-Policy: " + b"x" * 50_000
    vendor.reply = lambda line: EMPTY.replace(b"\r\n\r\n", b"\r\n" + policy + b"\r\n\r\n")
    async with client_of(vendor) as client:
        assert await ask(client) == {}


async def test_a_client_that_never_called_closes_too() -> None:
    await Client("https://vendor.example").aclose()


# TLS.


async def test_a_certificate_of_an_authority_that_the_environment_names_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    async with listening(Vendor(), tls) as vendor:
        async with client_of(vendor) as stranger:
            with pytest.raises(ConnectionFailed, match=r"cannot connect: the certificate is not trusted \(TLS\)"):
                await ask(stranger)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        async with client_of(vendor) as friend:
            assert [await ask(friend) for _ in range(3)] == [{}, {}, {}]
        assert len(vendor.heads) == 3
        assert vendor.connections <= 2


async def test_a_server_without_tls_is_told_from_one_that_is_not_trusted(vendor: Vendor) -> None:
    vendor.url = vendor.url.replace("http:", "https:")
    async with client_of(vendor, timeout=0.5) as client:
        vendor.closing = True
        with pytest.raises((ConnectionFailed, TimedOut)) as error:
            await ask(client)
    assert "not trusted" not in str(error.value)


# Proxies.


async def test_a_proxy_that_the_environment_names_is_used(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", vendor.url)
    client = Client("http://vendor.invalid/api", rate=1e9, timeout=PATIENCE)
    assert await ask(client, "/tasks?x=%2F") == {}
    await client.aclose()
    assert vendor.heads[0].splitlines()[0] == "GET http://vendor.invalid/api/tasks?x=%2F HTTP/1.1"
    assert fields(vendor.heads[0])["host"] == "vendor.invalid"


async def test_a_proxy_is_not_used_for_what_the_environment_excepts(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with client_of(vendor) as client:
        assert await ask(client) == {}
    assert vendor.heads[0].startswith("GET / HTTP/1.1")


async def socks5(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[str], port: int) -> None:
    """A SOCKS proxy that leads to a port of this machine, whatever it is asked for."""
    _, count = await reader.readexactly(2)
    offered = await reader.readexactly(count)
    writer.write(b"\x05\x02" if 2 in offered else b"\x05\x00")
    if 2 in offered:
        user = await reader.readexactly((await reader.readexactly(2))[1])
        password = await reader.readexactly((await reader.readexactly(1))[0])
        asked.append(f"{user.decode()}:{password.decode()}")
        writer.write(b"\x01\x00")
    kind = (await reader.readexactly(4))[3]
    host = await reader.readexactly((await reader.readexactly(1))[0] if kind == 3 else 4)
    asked.append(host.decode() if kind == 3 else ".".join(map(str, host)))
    await reader.readexactly(2)
    there, back = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    back.write(await reader.readuntil(b"\r\n\r\n"))
    writer.write(await there.read(65536))
    back.close()


@pytest.mark.parametrize("scheme", ["socks5h", "socks"])
async def test_a_socks_proxy_is_used_and_resolves_names(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    asked: list[str] = []
    port = int(vendor.url.rpartition(":")[2])
    async with talking(lambda r, w: socks5(r, w, asked, port)) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://alice:p%40ss@127.0.0.1:{proxy}")
        client = Client("http://vendor.invalid/api", rate=1e9, timeout=PATIENCE)
        assert await ask(client, "/tasks") == {}
        await client.aclose()
    assert asked == ["alice:p@ss", "vendor.invalid"]
    assert vendor.heads[0].splitlines()[0] == "GET /api/tasks HTTP/1.1"


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_a_proxy_that_is_not_there_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://alice:hunter2@127.0.0.1:1")
    client = Client("https://vendor.invalid", rate=1e9, timeout=PATIENCE)
    with pytest.raises(ConnectionFailed, match="cannot connect to the proxy in HTTPS_PROXY: refused") as error:
        await ask(client)
    await client.aclose()
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("proxy", "vendor_", "answers", "told"),
    [
        ("socks5", "http://10.1.2.3", (b"",), "the SOCKS proxy in ALL_PROXY refused or does not speak socks5"),
        ("socks5", "http://10.1.2.3", (b"\x05\x00", b"\x05"), "the SOCKS proxy in ALL_PROXY refused or does not speak"),
        (
            "socks5",
            "http://10.1.2.3",
            (b"HTTP/1.1 400 Bad\r\n\r\n",),
            "the SOCKS proxy in ALL_PROXY refused or does not",
        ),
        (
            "socks5",
            "http://10.1.2.3",
            (b"\x05\x00", b"\x05\x04\x00\x01\0\0\0\0\0\0"),
            "the SOCKS proxy in ALL_PROXY refused: Host unreachable",
        ),
        ("http", "http://vendor.invalid", (b"",), "the proxy in ALL_PROXY, or the vendor behind it, broke off"),
        ("http", "https://vendor.invalid", (b"",), "the proxy in ALL_PROXY, or the vendor behind it, broke off"),
        ("http", "http://vendor.invalid", (b"SSH-2.0-x\r\n\r\n",), "the proxy in ALL_PROXY, or the vendor behind it"),
        ("http", "https://vendor.invalid", (b"SSH-2.0-x\r\n\r\n",), "the proxy in ALL_PROXY, or the vendor behind it"),
    ],
)
async def test_a_proxy_that_breaks_off_is_named(
    monkeypatch: pytest.MonkeyPatch, proxy: str, vendor_: str, answers: tuple[bytes, ...], told: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(4096)
            writer.write(answer)
            await writer.drain()

    async with talking(serve) as port:
        monkeypatch.setenv("ALL_PROXY", f"{proxy}://127.0.0.1:{port}")
        client = Client(vendor_, rate=1e9, timeout=PATIENCE)
        with pytest.raises(ConnectionFailed, match=told):
            await ask(client)
        await client.aclose()


async def test_a_proxy_gets_its_user_and_the_vendor_does_not(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", vendor.url.replace("://", "://alice:p%40ss@"))
    client = Client("http://vendor.invalid", rate=1e9, timeout=PATIENCE)
    assert await ask(client) == {}
    await client.aclose()
    assert fields(vendor.heads[0])["proxy-authorization"] == "Basic YWxpY2U6cEBzcw=="


async def test_a_proxy_that_wants_a_user_is_not_the_vendor(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.reply = lambda line: b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    monkeypatch.setenv("ALL_PROXY", vendor.url)
    for base in ("http://vendor.invalid", "https://vendor.invalid"):
        client = Client(base, rate=1e9, timeout=PATIENCE)
        with pytest.raises(ConnectionFailed, match=r"proxy.* requires authentication \(HTTP 407\)"):
            await ask(client)
        await client.aclose()
    assert [head.split()[0] for head in vendor.heads] == ["GET", "CONNECT"]


async def test_a_proxy_of_ones_own_goes_before_the_environment(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    direct = Client(vendor.url, rate=1e9, timeout=PATIENCE, proxy=Secret("none"))
    assert await ask(direct) == {}
    own = Client("http://vendor.invalid", rate=1e9, timeout=PATIENCE, proxy=Secret(vendor.url))
    assert await ask(own, "/own") == {}
    await direct.aclose()
    await own.aclose()
    assert [head.splitlines()[0] for head in vendor.heads] == [
        "GET / HTTP/1.1",
        "GET http://vendor.invalid/own HTTP/1.1",
    ]


@pytest.mark.parametrize(
    ("variable", "content", "told"),
    [
        ("SSL_CERT_FILE", None, "cannot be read: No such file or directory"),
        ("SSL_CERT_FILE", "", "holds no certificate"),
        ("SSL_CERT_FILE", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate"),
        ("SSL_CERT_DIR", None, "cannot be read: No such file or directory"),
        ("SSL_CERT_DIR", "", "cannot be read: Not a directory"),
    ],
)
async def test_a_variable_that_names_no_certificates_is_told_and_stops_only_tls(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    async with client_of(vendor) as client:
        assert await ask(client) == {}
        with pytest.raises(ConnectionFailed, match=rf"\(TLS\): {variable} .*{told}"):
            await ask(client, "https://127.0.0.1:1/")


async def test_authorities_of_ones_own_are_trusted_beside_the_others(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    contexts = {id(trust.context(str(tmp_path / "authority.pem"))) for _ in range(3)}
    assert len(contexts) == 1
    async with listening(Vendor(), tls) as vendor:
        client = Client(vendor.url, rate=1e9, timeout=PATIENCE, ca_file=str(tmp_path / "authority.pem"))
        assert await ask(client) == {}
        await client.aclose()
    assert trust.context(str(tmp_path / "authority.pem")).cert_store_stats()["x509"] > 1
