"""Behind a reverse proxy below a path: nginx that takes the path off, and nginx that leaves it on."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from exporter.web.server.address import AddressError
from exporter.web.server.place import Place
from tests.harness import Start, exporters, wait_for

ANYWHERE = "--web.listen-address=127.0.0.1:0"

NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location /stripped/ {{ proxy_pass http://{plain}/; }}
    location /named/ {{ proxy_pass http://{plain}; proxy_set_header X-Forwarded-Prefix /named; }}
    location /video/tasks/ {{ proxy_pass http://{below}; }}
  }}
}}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def front(
    program: Callable[..., str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """An nginx before two exporters: one that knows of no path, one that is served below /video/tasks."""
    nginx = program("nginx")
    folder, other, port = tmp_path_factory.mktemp("nginx"), tmp_path_factory.mktemp("other"), free_port()
    with exporters(folder) as start, exporters(other) as start_other:
        plain = start_other("demo", ANYWHERE)
        url = f"--web.external-url=http://127.0.0.1:{port}/video/tasks/"
        below = start("demo", ANYWHERE, url, "--web.telemetry-path=/scrape")
        hosts = {"plain": urlsplit(plain.url).netloc, "below": urlsplit(below.url).netloc}
        assert urlsplit(below.url).path == "/video/tasks/"
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, **hosts))
        process = subprocess.Popen([nginx, "-c", f"{folder}/nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)
        try:
            front = f"http://127.0.0.1:{port}"

            def ready() -> bool:
                try:
                    paths = ("/stripped/-/ready", "/video/tasks/-/ready")
                    return all(httpx.get(front + path, trust_env=False).status_code == 200 for path in paths)
                except httpx.TransportError:
                    return False

            wait_for("nginx and both exporters", ready)
            yield front
        finally:
            process.terminate()
            process.wait(10)


BELOW = ["/stripped/", "/named/", "/video/tasks/"]


@pytest.mark.parametrize("path", BELOW)
def test_every_link_form_and_file_of_the_pages_works(front: str, path: str) -> None:
    waiting, seen = [(front + path, 0)], set[str]()
    with httpx.Client(trust_env=False) as client:
        while waiting and len(seen) < 60:
            url, depth = waiting.pop(0)
            if url in seen:
                continue
            seen.add(url)
            answer = client.get(url)
            assert (answer.status_code, answer.url.path.startswith(path)) == (200, True), url
            if depth == 2 or "html" not in answer.headers["Content-Type"]:
                continue
            for link in sorted(set(re.findall(r'(?:href|src|action)="([^"#]+)', answer.text)))[:25]:
                target = urljoin(url, link.replace("&amp;", "&"))
                if target.startswith(front):
                    waiting.append((target, depth + 1))
    kinds = {re.sub(r"[.?].*", "", one.removeprefix(front + path)).partition("/")[0] for one in seen}
    assert kinds >= {"", "tasks", "static", "-", "scrape" if path == "/video/tasks/" else "metrics"}


@pytest.mark.parametrize("path", BELOW)
def test_the_api_works_and_says_where_it_is(front: str, path: str) -> None:
    with httpx.Client(trust_env=False) as client:
        address = f"{front}{path}api/v1/openapi.json"
        (server,) = client.get(address).json()["servers"]
        base = urljoin(address, server["url"]).rstrip("/")
        assert base == (front + path).rstrip("/")
        assert client.get(f"{base}/api/v1/providers").status_code == 200
        first = f"{base}/api/v1/tasks?per_page=1"
        assert client.get(urljoin(first, client.get(first).json()["next"])).status_code == 200
        assert client.post(f"{base}/api/v1/callbacks/chanjing/video", json={}).status_code == 403
        assert client.get(f"{base}/api/v1/nothing").json()["error"]


def test_what_is_not_below_the_path_leads_there_or_is_nothing(start: Start) -> None:
    exporter = start("demo", ANYWHERE, "--web.route-prefix=exporter")
    host = urlsplit(exporter.url).netloc
    with httpx.Client(base_url=f"http://{host}", trust_env=False) as client:
        for path in ("/", "/exporter"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["Location"]) == (302, "/exporter/")
        for path in ("/metrics", "/exporters/metrics", "/-/healthy", "//exporter/"):
            assert client.get(f"http://{host}{path}").status_code == 404
        assert client.get("/exporter/metrics").status_code == 200
        assert client.get("/exporter/tasks/chanjing/video/a%2Fb").text.count("a/b") > 0


def test_a_client_that_names_a_path_moves_nothing_but_its_own_request(start: Start) -> None:
    exporter = start("demo", ANYWHERE)
    for named in ("//evil.example", "https://evil.example", "/../..", "/x" * 5000, "evil"):
        answer = httpx.get(exporter.url, headers={"X-Forwarded-Prefix": named}, trust_env=False)
        assert "evil" not in answer.text
        assert answer.status_code in (200, 400, 431)


def test_the_check_of_health_knows_the_path(start: Start) -> None:
    exporter = start("demo", ANYWHERE, "--web.external-url=https://proxy.example/exporter")
    asked = f"--web.listen-address={urlsplit(exporter.url).netloc}"

    def check(*flags: str) -> int:
        command = [sys.executable, "-m", "exporter", "check-health", asked, *flags]
        return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=False).returncode

    assert check("--web.route-prefix=/exporter") == 0
    assert check("--web.external-url=https://proxy.example/exporter") == 0
    assert check() == 1


@pytest.mark.parametrize(
    ("given", "prefix", "external"),
    [
        ((None, None), "", ""),
        (("https://proxy.example", None), "", "https://proxy.example"),
        (("https://proxy.example/a/b/", None), "/a/b", "https://proxy.example/a/b"),
        (("https://proxy.example/a", "/"), "", "https://proxy.example/a"),
        (("https://proxy.example/a", "b/"), "/b", "https://proxy.example/a"),
        ((None, "/exporter"), "/exporter", ""),
    ],
)
def test_the_path_is_that_of_the_address_unless_it_is_given(
    given: tuple[str | None, str | None], prefix: str, external: str
) -> None:
    place = Place.of(*given)
    assert (place.prefix, place.external_url) == (prefix, external)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("proxy.example/a", None), "--web.external-url: not a URL; write http:// or https://, a host and, if "),
        (("https://me:s3cr3t@proxy.example", None), "--web.external-url: holds credentials, a query or a fragment; "),
        (("https://proxy.example/a?b", None), "--web.external-url: holds credentials, a query or a fragment; "),
        ((None, "/a b"), "--web.route-prefix: not a path; write letters, digits "),
        ((None, "/a/../b"), "--web.route-prefix: not a path; write letters, digits "),
        ((None, None, "/tasks"), "--web.telemetry-path: /tasks is the address of something else; "),
        ((None, None, "/"), "--web.telemetry-path: / is the address of something else; "),
    ],
)
def test_an_address_that_cannot_be_one_is_a_fault(given: tuple[str | None, ...], told: str) -> None:
    with pytest.raises(AddressError) as caught:
        Place.of(*given)  # type: ignore[arg-type]
    assert str(caught.value).startswith(told)
    assert "s3cr3t" not in str(caught.value)
