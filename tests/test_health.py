"""`check-health`: what it says of exporters that run, and of what else may listen there."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
import trustme

from exporter.commands.check_health import NotWell, ask
from exporter.simulator import hang
from exporter.web.server.address import reached_at
from tests.harness import Exporter, Site, Start

ROOT = Path(__file__).parent.parent
ANYWHERE = "--web.listen-address=127.0.0.1:0"
WELL = "The exporter is healthy."
ENDED = "ends the connection without an answer; if it requires client certificates, pass its --web.config.file"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"
MUTUAL = TLS + ", client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert"


@pytest.fixture
def config(live_site: Site, tmp_path: Path) -> str:
    """The flag that names a configuration with one provider, which is simulated."""
    providers = [live_site.account("facewap", name="swaps")]
    settings = {"poll_interval": "50ms", "ledger": {"path": ":memory:"}, "providers": providers}
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(settings))  # which is YAML too
    return f"--config.file={file}"


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A folder with the certificate of an exporter, which names no address of this machine, and who signed it."""
    authority = trustme.CA()
    leaf = authority.issue_cert("exporter.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "server.key")
    (tmp_path / "server.crt").write_bytes(b"".join(one.bytes() for one in leaf.cert_chain_pems))
    return tmp_path


def listening(exporter: Exporter, count: int = 1) -> list[int]:
    """The ports that the exporter listens at, once it does."""
    exporter.wait_for("its addresses", lambda: exporter.stderr.count("msg=listening") == count)
    return [int(port) for port in re.findall(r"msg=listening url=\S+:(\d+)/", exporter.stderr)]


def checked(start: Start, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `check-health`."""
    process = start("check-health", *arguments, **environment)
    return process.end(None), process.stdout, process.stderr


def reread(exporter: Exporter) -> None:
    exporter.wait_for("the changed file to be read", lambda: 'msg="web configuration reloaded"' in exporter.stderr)


def test_an_exporter_that_is_well_is_called_so(start: Start, config: str) -> None:
    exporter = start(config, ANYWHERE)
    (port,) = listening(exporter)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"), proxy)
        assert checked(start, f"--web.listen-address=:{port}", **proxies) == (0, f"{WELL}\n", "")
    exporter.wait_for("the first sweep", lambda: exporter.value('videotask_up{kind="face_swap",provider="swaps"}') == 1)
    assert checked(start, f"--web.listen-address=:{port}", "--ready") == (0, "The exporter is ready.\n", "")


def test_one_that_waits_for_a_vendor_is_healthy_but_not_ready(start: Start, config: str, live_site: Site) -> None:
    live_site.fake.faults["facewap"] = hang
    (port,) = listening(start(config, ANYWHERE))
    assert ask(f"127.0.0.1:{port}", "/-/healthy") == WELL
    told = f"127.0.0.1:{port} answers 503: Waiting for the first sweep of swaps/face_swap."
    code, out, err = checked(start, f"--web.listen-address=127.0.0.1:{port}", "--ready")
    assert (code, out, err) == (1, "", f"videotask-exporter check-health: {told}\n")


def test_it_is_asked_wherever_it_listens(start: Start, config: str) -> None:
    forms = (":{}", "127.0.0.1:{}", "0.0.0.0:{}", "localhost:{}", "[::1]:{}", "[::]:{}", "[0:0::0]:{}")
    exporter = start(config, *(f"--web.listen-address={form.format(0)}" for form in forms))
    ports = listening(exporter, len(forms))
    answers = {form: ask(form.format(port), "/-/healthy") for form, port in zip(forms, ports, strict=True)}
    assert answers == dict.fromkeys(forms, WELL)
    # Another way in than loopback: what listens there alone is asked there.
    assert reached_at("192.0.2.1") == "192.0.2.1"
    assert reached_at("exporter.example") == "exporter.example"


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_tls_is_found_out_and_the_names_of_the_certificate_do_not_matter(
    start: Start, config: str, certified: Path, version: str
) -> None:
    web = certified / "web.yml"
    web.write_text(f"{TLS}, min_version: {version}, max_version: {version}}}\n")
    exporter = start(config, ANYWHERE, f"--web.config.file={web}")
    (port,) = listening(exporter)
    assert ask(f":{port}", "/-/healthy") == WELL
    assert ask(f":{port}", "/-/healthy", str(web)) == WELL
    assert not re.search("level=(warn|error)|Traceback|SSL", exporter.stderr)


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
def test_where_clients_show_a_certificate_its_own_is_shown(
    start: Start, config: str, certified: Path, version: str
) -> None:
    web = certified / "web.yml"
    web.write_text(f"{MUTUAL}, min_version: {version}, max_version: {version}}}\n")
    exporter = start(config, ANYWHERE, f"--web.config.file={web}")
    (port,) = listening(exporter)
    with pytest.raises(NotWell, match=f"127.0.0.1:{port} {ENDED}"):
        ask(f":{port}", "/-/healthy")
    assert checked(start, f"--web.listen-address=:{port}", f"--web.config.file={web}") == (0, f"{WELL}\n", "")
    trustme.CA().cert_pem.write_to_path(certified / "ca.pem")  # who has not signed it
    reread(exporter)
    with pytest.raises(NotWell, match=f"127.0.0.1:{port} {ENDED}"):
        ask(f":{port}", "/-/healthy", str(web))


def test_a_password_that_is_wanted_is_told_and_how_to_do_without(start: Start, config: str, tmp_path: Path) -> None:
    web = tmp_path / "web.yml"
    users = f"basic_auth_users: {{someone: {bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}}}\n"
    web.write_text(users)
    exporter = start(config, ANYWHERE, f"--web.config.file={web}")
    (port,) = listening(exporter)
    hint = "; `health_without_auth: true` in its web configuration allows this check"
    with pytest.raises(NotWell, match=f"answers 401: A user's name and password are needed.{re.escape(hint)}"):
        ask(f":{port}", "/-/healthy")
    web.write_text(users + "health_without_auth: true\n")
    reread(exporter)
    assert ask(f":{port}", "/-/healthy") == WELL


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--web.listen-address=10186"],
            "videotask-exporter: '10186' is not an address; write [HOST]:PORT, such as :10186 or 127.0.0.1:10186",
        ),
        (
            ["--web.listen-address=no..host:1"],
            "videotask-exporter check-health: no..host:1 is not a host",
        ),
        (
            ["--web.config.file=nowhere.yml"],
            "nowhere.yml: cannot be read: No such file or directory; name a readable file",
        ),
    ],
    ids=["address", "host", "file"],
)
def test_what_is_given_wrongly_is_told(start: Start, arguments: list[str], told: str) -> None:
    assert checked(start, *arguments) == (1, "", f"{told}\n")


def test_nothing_that_listens_is_told(start: Start) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen
        port = deaf.getsockname()[1]
        code, out, err = checked(start, f"--web.listen-address=127.0.0.1:{port}")
    told = f"127.0.0.1:{port} cannot be reached: Connection refused; does the exporter run, and listen there?"
    assert (code, out, err) == (1, "", f"videotask-exporter check-health: {told}\n")


@contextmanager
def speaking(words: bytes | None) -> Iterator[str]:
    """The address of a server that says this to each connection and ends it; None says nothing and keeps it."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                kept.append(connection)
                if words is not None:
                    connection.recv(65536)
                    connection.sendall(words)
                    connection.close()

        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for connection in kept:
        connection.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (b"SSH-2.0-Server\r\n", "speaks neither HTTP nor TLS"),
        (b"", ENDED),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 5000\r\n\r\n" + b"no " * 1000, f"answers 500: {'no ' * 66}no$"),
        (b"HTTP/1.1 404 Oh\r\nContent-Length: 13\r\n\r\n\x1b[31mred\nmore", r"answers 404: \?\[31mred$"),
        (b"HTTP/1.1 302 Oh\r\nLocation: http://elsewhere.example/\r\n\r\n", "answers 302: $"),
    ],
    ids=["other", "silent", "long", "ugly", "elsewhere"],
)
def test_what_else_answers_there_is_not_well(words: bytes, told: str) -> None:
    with speaking(words) as address, pytest.raises(NotWell, match=f"^{re.escape(address)} {told}"):
        ask(address, "/-/healthy")


def test_nobody_is_waited_for_without_end() -> None:
    with speaking(None) as address, pytest.raises(NotWell, match=f"^{re.escape(address)} does not answer in time$"):
        ask(address, "/-/healthy", patience=0.1)


def test_it_starts_without_what_the_exporter_takes_to_run(start: Start, config: str) -> None:
    """It runs every half minute, beside the exporter and for as long."""
    (port,) = listening(start(config, ANYWHERE))
    imported = "(name for name, module in sys.modules.items() if module)"
    program = f"import sys; from exporter.cli import main; main(); print(*{imported})"
    asked = subprocess.run(
        [sys.executable, "-c", program, "check-health", f"--web.listen-address=:{port}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    answer, _, modules = asked.stdout.partition("\n")
    assert answer == WELL
    loaded = {name.partition(".")[0] for name in modules.split()}
    assert not loaded & {"aiohttp", "asyncio", "bcrypt", "httpx", "jinja2", "pydantic", "starlette", "uvicorn", "yaml"}
    assert {name for name in modules.split() if name.startswith("exporter.")} == {
        *(
            "exporter.cli",
            "exporter.cli.calls",
            "exporter.cli.flags",
            "exporter.commands",
            "exporter.commands.check_health",
        ),
        *("exporter.config", "exporter.config.logs"),
        *("exporter.web", "exporter.web.server", "exporter.web.server.address", "exporter.web.server.place"),
    }
