"""What stands in the documents' blocks is what it says: configurations are good, queries can be read, JSON is JSON."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from docs.tools.reader import BLOCKS, PAGES, ROOT, Block, Page, blocks
from exporter.config.vendors.declarations import VendorFile
from exporter.vendors.registry import built_in
from exporter.web.access.webconfig import WebConfig
from grafana.promql import CLOSED, SERVED
from grafana.rules_files import RECORDINGS
from tests.harness import load

Program = Callable[..., str]

LANGUAGES = {"sh", "console", "text", "promql", "yaml", "json", "python", "mermaid", "make", "nginx", "sql"}
FUNCTIONS = r"(?:sum|rate|increase|histogram_quantile|time|topk|max_over_time|sort|sort_desc|deriv|absent|count)"
IN_TEXT = re.compile(rf"(?:{FUNCTIONS}(?: by)? *\(.*\bvideotask_\w+|videotask_\w+(?:{{.+}}|.* [<>=]=? ).*)")
"""Code within the text that is a query, not only a name."""

pages = pytest.mark.parametrize("page", PAGES, ids=str)


@pages
def test_every_block_says_what_language_it_is(page: Page) -> None:
    assert [str(block) for block in page.blocks if block.language not in LANGUAGES] == []


@pages
def test_no_block_is_made_by_indentation(page: Page) -> None:
    """Nobody could tell what it is, and no test would run it."""
    found = re.findall(r"(?m)^(?![ \t]*(?:[-*]|\d+\.) )\S.*\n[ \t]*\n((?: {4}|\t).*)$", page.prose)
    assert found == []


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", blocks("nginx"), ids=str)
def test_nginx_takes_it(program: Program, tmp_path: Path, block: Block) -> None:
    paths = "".join(f"{each}_temp_path {tmp_path}/t;" for each in ("proxy", "client_body", "fastcgi", "uwsgi", "scgi"))
    server = f"server {{ listen 127.0.0.1:1; {block.text} }}"
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid; events {{}} http {{ access_log off; {paths} {server} }}")
    checked = subprocess.run(
        [program("nginx"), "-t", "-e", tmp_path / "log", "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


# --- Queries

QUERIES = {str(block): block.text for block in blocks("promql")} | {
    f"{page}: {span}": span for page in PAGES for span in page.spans if IN_TEXT.fullmatch(span)
}


def test_queries_can_be_read(program: Program, tmp_path: Path) -> None:
    assert any(":" in where and "cookbook" in where for where in QUERIES)
    rules = [{"record": f"query:{index}", "expr": query} for index, query in enumerate(QUERIES.values())]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": [{"name": "documents", "rules": rules}]}))
    checked = subprocess.run(
        [program("promtool"), "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("where", QUERIES)
def test_a_query_is_about_what_is_served(where: str) -> None:
    recorded = set(re.findall(r"record: (\S+)", RECORDINGS.read_text(encoding="utf-8")))
    query = re.sub(r'=~"[^"]*"', "", QUERIES[where])
    names = set(re.findall(r"\b[a-z]+:\w+:\w+|\bvideotask_\w+", query))
    assert names <= SERVED.keys() | recorded
    for label, values in re.findall(r'(\w+)=~?"([^"]*)"', QUERIES[where]):
        assert {*values.split("|")} <= {*CLOSED.get(label, values.split("|"))}


# --- YAML

MADE_UP = "made-up"


def made(folder: Path, text: str) -> str:
    """The text with paths of secrets in a folder of the test, and files where its settings name some."""
    text = text.replace("/run/secrets", str(folder / "secrets")).replace("/etc/ssl", str(folder))
    for path in re.findall(r"(?m)^[\s#-]*(?!ca_file)\w+_file: *((?:\${\w+}|[^\s#,}])+)", text):
        file = folder / path.replace("${CREDENTIALS_DIRECTORY}", str(folder))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(MADE_UP, encoding="utf-8")
    trustme.CA().cert_pem.write_to_path(folder / "corp.pem")
    return text


def exporter_config(folder: Path, text: str, program: Program) -> None:
    content: Mapping[str, Any] = yaml.safe_load(text)
    if "providers" not in content:  # a part, to be put into a whole
        text += "\nproviders: [{name: x, type: facewap, base_url: 'https://x.example', token: x}]\n"
    file = folder / "config.yaml"
    file.write_text(made(folder, text), encoding="utf-8")
    variables = dict.fromkeys(re.findall(r"\${(\w+)}", text), "made-up-of-20-letters")
    load(file, variables | {"CREDENTIALS_DIRECTORY": str(folder)})


def certificates(folder: Path) -> None:
    """The files that the example of a web configuration names."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = authority.issue_cert("localhost")
    server.private_key_pem.write_to_path(folder / "server.key")
    server.cert_chain_pems[0].write_to_path(folder / "server.crt")


def web_config(folder: Path, text: str, program: Program) -> None:
    certificates(folder)
    (folder / "web-config.yml").write_text(text, encoding="utf-8")
    assert WebConfig(folder / "web-config.yml").trouble == ""


def by_program(name: str, *arguments: str) -> Callable[[Path, str, Program], None]:
    def check(folder: Path, text: str, program: Program) -> None:
        (folder / "grafana").symlink_to(ROOT / "grafana")
        (folder / "checked.yml").write_text(text, encoding="utf-8")
        checked = subprocess.run(
            [program(name), *arguments, "checked.yml"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr

    return check


def kustomization(folder: Path, text: str, program: Program) -> None:
    content = yaml.safe_load(text)
    assert content["kind"] == "Kustomization"
    assert [one for one in content["resources"] if not (ROOT / one.partition("videotask-exporter/")[2]).exists()] == []


def vendor_file(folder: Path, text: str, program: Program) -> None:
    (folder / "acme.yaml").write_text(text, encoding="utf-8")
    assert VendorFile(folder / "acme.yaml", built_in(), {}).faults == []


def config_beside_a_vendor_file(folder: Path, text: str, program: Program) -> None:
    declared = next(block for block in blocks("yaml") if block.file == "acme.yaml")
    (folder / "acme.yaml").write_text(declared.text, encoding="utf-8")
    exporter_config(folder, text, program)


def provider_file(folder: Path, text: str, program: Program) -> None:
    (folder / "providers.yaml").write_text(made(folder, text), encoding="utf-8")
    (folder / "config.yaml").write_text("provider_files: [providers.yaml]", encoding="utf-8")
    load(folder / "config.yaml", {})


def helm_values(folder: Path, text: str, program: Program) -> None:
    (folder / "values.yaml").write_text(text, encoding="utf-8")
    chart = ROOT / "deploy" / "helm" / "videotask-exporter"
    checked = subprocess.run(
        [program("helm", built_by_go=True), "lint", "--strict", chart, "--values=values.yaml", "--kube-version=1.32.0"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


CHECKS: Mapping[str, Callable[[Path, str, Program], None]] = {
    "": exporter_config,
    "acme.yaml": vendor_file,
    "config.yaml": config_beside_a_vendor_file,
    "prometheus.yml": by_program("promtool", "check", "config"),
    "web-config.yml": web_config,
    "kustomization.yaml": kustomization,
    "team-a.yaml": provider_file,
    "values.yaml": helm_values,
}
"""By the file that a block is for; without one it is the exporter's configuration."""


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_configuration_is_good(
    block: Block, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert block.file in CHECKS, f"{block}: how is {block.file} to be checked?"
    monkeypatch.chdir(tmp_path)
    CHECKS[block.file](tmp_path, block.text, program)


def test_every_kind_of_block_is_there() -> None:
    """A reader that finds nothing would let everything through."""
    assert {block.file for block in blocks("yaml")} == CHECKS.keys()
    assert {"sh", "text", "promql", "yaml", "json"} <= {block.language for block in BLOCKS}
