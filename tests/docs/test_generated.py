"""The documents that are made from the code are those that the code makes, and what the vendors' pages say is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs.tools import asking, generate
from exporter import cli
from exporter.commands.doctor.doctor import run_doctor
from exporter.metrics.catalogue import (
    EXPORTER_METRICS,
    FEED_METRICS,
    PREFIX,
    PROVIDER_METRICS,
    REPLICA_METRICS,
    TASK_METRICS,
    Metric,
)
from exporter.simulator import SEEDS, Feed, World, app, fake_of, running
from exporter.simulator.world.profiles import PROFILES
from exporter.vendors import plug_ins
from tests.harness import VENDORS, load
from tests.simulator.matrix import MATRIX

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
CATALOGUE: tuple[Metric[Any], ...] = (
    *TASK_METRICS,
    *FEED_METRICS,
    *PROVIDER_METRICS,
    *REPLICA_METRICS,
    *EXPORTER_METRICS,
)
NAMES = {f"{PREFIX}{one.name}" for one in CATALOGUE}
PARTS = re.compile(r"_(bucket|sum|count|gcount|gsum)$")
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("file", generate.WRITTEN, ids=lambda file: file.name)
def test_what_a_document_has_from_the_code_is_of_now(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == generate.WRITTEN[file](), "run make docs"


def test_the_page_of_metrics_has_each_metric_once() -> None:
    rows = re.findall(r"(?m)^\| `(videotask_\w+)` \|", (DOCS / "metrics.md").read_text(encoding="utf-8"))
    assert len(rows) == len(NAMES)
    assert set(rows) == NAMES


def test_the_page_of_reliability_has_each_fault() -> None:
    page = (DOCS / "reliability.md").read_text(encoding="utf-8")
    assert [fault.name for fault in MATRIX if not re.search(rf"(?m)^\|[^|]*\b{re.escape(fault.name)}", page)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documents_name_no_metric_that_there_is_not(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace(plug_ins.GROUP, "")
    named = set(re.findall(r"videotask_[a-z_]+[a-z](?![a-z_*])", text))
    assert {name for name in named if PARTS.sub("", name) not in NAMES and name not in NAMES} == set()


# The command line


def helped(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `--help` prints."""
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--help"])
    return capsys.readouterr().out


def section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_page_of_the_command_line_has_the_commands_and_flags_that_help_tells(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^    ([a-z-]+)", helped(capsys))
    assert re.findall(r"(?m)^\| \[([a-z-]+)\]", page) == re.findall(r"(?m)^## (.+)$", page) == commands
    for command in commands:
        told = re.findall(r"(?m)^  (--\S+)", helped(capsys, command))
        assert re.findall(r"(?m)^\| `(--[^`=]+)", section(page, command)) == [one for one in told if one != "--version"]


# The vendors' pages


VARIABLES = {
    "DEERAPI_API_KEY": asking.KEYS.deerapi_api_key,
    "DEERAPI_USER_TOKEN": asking.KEYS.deerapi_user_token,
    "HUAWEI_PROJECT_ID": asking.KEYS.huawei_project_id,
    "HUAWEI_ACCESS_KEY": asking.KEYS.huawei_access_key,
    "HUAWEI_SECRET_KEY": asking.KEYS.huawei_secret_key,
    "FACEWAP_TOKEN": asking.KEYS.facewap_token,
}


@pytest.mark.anyio
@pytest.mark.parametrize("vendor", SEEDS)
async def test_the_configuration_on_a_vendors_page_is_good_and_the_doctor_finds_all_well(
    vendor: str, tmp_path: Path
) -> None:
    (written,) = re.findall(r"(?s)```yaml\n(.*?)```", (DOCS / "vendors" / f"{vendor}.md").read_text(encoding="utf-8"))
    token, file = tmp_path / "token", tmp_path / "config.yaml"
    token.write_text(asking.KEYS.chanjing_access_token)
    file.write_text(re.sub(r"/run/secrets/\w+", str(token), written))
    config = load(file, VARIABLES)
    (provider,) = config.providers
    said: list[str] = []
    world = World(rate=0)
    for feed in PROFILES:
        world.add(*asking.scene(feed, world.now()))
    async with running(app(world, limits={})) as url:
        at_simulator = provider.model_copy(update={"base_url": url + fake_of(vendor).prefix})
        config = config.model_copy(update={"providers": [at_simulator]})
        assert await run_doctor(config, (), fetch_token=False, in_json=True, tell=said.append) == 0, said
    found = {one["kind"]: one["findings"] for one in json.loads(said[-1])["feeds"]}
    assert found == {kind: [] for kind in VENDORS[vendor].kinds}


@pytest.mark.anyio
@pytest.mark.parametrize("feed", PROFILES, ids="/".join)
async def test_what_polling_costs_is_a_page_and_whatever_that_does_not_show(feed: Feed) -> None:
    page = VENDORS[feed[0]].settings.model_fields["page_size"].default
    few, many = await asking.sweeps(feed, (page, page + 30))
    assert [call.endpoint for call in few] == ["list"]
    looked_up = ["detail"] * 30
    filtered = ["list"] * 2  # the tasks in flight alone can be listed
    assert [call.endpoint for call in many] == ["list", *(filtered if feed[0] == "huawei_metastudio" else looked_up)]
