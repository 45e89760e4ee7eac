"""What SECURITY.md says that the exporter never does, where no other test holds it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from exporter import cli
from exporter.client.client import Exchange
from exporter.client.errors import TaskNotFound
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.sqlite.store import SqliteStore
from exporter.simulator import SEEDS, Credentials, World
from exporter.vendors.registry import connect
from tests.harness import RENEWED, Door, Site, page_of

ROOT = Path(__file__).parent.parent
CODE = {
    path.relative_to(ROOT / "exporter").as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in (ROOT / "exporter").rglob("*.py")
}
KEYS = Credentials()
READS = {
    "GET /api/task/self",
    "GET /sora/v1/videos/ID",
    "POST /open/v1/access_token",
    "POST /open/v1/video_lip_sync/list",
    "GET /open/v1/video_lip_sync/detail",
    "POST /open/v1/video_list",
    "GET /open/v1/video",
    "POST /v3/auth/tokens",
    f"GET /v1/{KEYS.huawei_project_id}/digital-human-videos",
    "POST /videoTaskHistory",
    "GET /getTaskInfo",
}
"""What the vendors' documents call lists, details and tokens."""


class Observer:
    """Notes each call: the method, and the path below the vendor's address."""

    def __init__(self) -> None:
        self.calls: set[str] = set()

    def asked(self, endpoint: str) -> None: ...

    def answered(self, exchange: Exchange) -> None:
        path = "/" + urlsplit(str(exchange.request.url)).path.split("/", 2)[2]
        self.calls.add(f"{exchange.request.method} {re.sub('(?<=/videos/).+', 'ID', path)}")


@pytest.mark.anyio
async def test_it_lists_looks_up_and_asks_for_tokens_and_does_nothing_else_at_a_vendor(door: Door) -> None:
    observer, store = Observer(), SqliteStore(SqliteFile(":memory:"))
    door.behind = site = Site(World(seed=1, speed=10, rate=2, history=60), door.url)
    obtaining = {"chanjing": RENEWED, "huawei_metastudio": {"access_key": None, "secret_key": None, "iam": site.iam}}
    for vendor in SEEDS:
        provider = connect(site.settings(vendor, **obtaining.get(vendor, {})), store)
        provider.client.observer = observer
        for feed in provider.feeds:
            page = await page_of(feed)
            await feed.look_up(page.observations[0].id)
            with pytest.raises(TaskNotFound):
                await feed.look_up("nowhere")
        await provider.aclose()
    await store.close()
    assert observer.calls == READS


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{one.name}" for one in node.names))


def calls(tree: ast.AST) -> Iterator[str]:
    called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    for one in called:
        yield one.id if isinstance(one, ast.Name) else ast.unparse(one) if isinstance(one, ast.Attribute) else ""


RUNNING = {"subprocess", "multiprocessing", "pty", "pickle", "marshal", "shelve", "runpy", "code", "ctypes"}
RUNS = r"eval|exec|compile|__import__|(os\.(system|popen|exec\w*|spawn\w*|posix_spawn\w*|fork\w*))"
RUNS += r"|asyncio\.create_subprocess\w*|yaml\.(unsafe_|full_)?load(_all)?"


def test_it_runs_no_program_and_no_code_from_elsewhere() -> None:
    assert {
        (name, one) for name, tree in CODE.items() for one in imports(tree) if one.split(".")[0] in RUNNING
    } == set()
    assert {(name, one) for name, tree in CODE.items() for one in calls(tree) if re.fullmatch(RUNS, one)} == set()


def test_only_the_vendors_client_and_the_look_at_our_own_health_call_out() -> None:
    libraries = {"aiohttp", "http.client", "urllib.request", "requests", "smtplib", "ftplib"}
    outward = re.compile(
        r"httpx\.((Async)?(Client|HTTPTransport)|get|post|request|stream)|(asyncio|socket)\.\w*_connection"
    )
    found = {name for name, tree in CODE.items() if libraries & set(imports(tree))}
    found |= {name for name, tree in CODE.items() if any(map(outward.fullmatch, calls(tree)))}
    assert found == {"client/transport/transport.py", "commands/check_health.py"}


def test_nothing_but_the_look_at_our_own_health_leaves_the_certificate_of_a_server_unverified() -> None:
    switches = re.compile(r"verify=False|ssl=False|_create_unverified_context|(verify_mode|check_hostname)\W.*=")
    found = {name for name, tree in CODE.items() if switches.search(ast.unparse(tree))}
    assert found == {
        "commands/check_health.py",
        "web/access/tls.py",
    }  # where the latter says of which clients it wants certificates


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_no_secret_is_taken_from_the_command_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    taking = re.findall(r"(?m)^ +(--\S+) [A-Z\[]", capsys.readouterr().out)
    secrets = [one for one in taking if re.search("token|secret|key|password|user", one)]
    assert [one for one in secrets if not one.endswith("-file")] == []
    assert taking or command in ("config-schema", "completion")


def test_the_document_names_tests_that_there_are() -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    assert Path(__file__).relative_to(ROOT).as_posix() in named
    assert {one for one in named if not (ROOT / one).is_file()} == set()
