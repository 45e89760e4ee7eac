"""Vendors that packages bring: polled like any other, and what is wrong with one keeps nothing else from running."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.config.load import ConfigError, load
from exporter.vendors import api, plug_ins
from exporter.vendors.registry import Registry, built_in
from tests.harness import JsonVendor, served

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "docs" / "vendors" / "plug-in-example"

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs packages of one module as pip would leave them: the module, and its entry points."""
    folder, installed = tmp_path / "site", []

    def install(name: str, code: str, points: str | None = None) -> Path:
        folder.mkdir(exist_ok=True)
        installed.append(name)
        (folder / f"{name}.py").write_text(code)
        about = folder / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        group = points or f"{name} = {name}:VENDOR"
        (about / "entry_points.txt").write_text(f"[videotask_exporter.vendors]\n{group}\n")
        monkeypatch.syspath_prepend(folder)
        return folder

    yield install
    for name in installed:
        sys.modules.pop(name, None)


ROWS: list[dict[str, Any]] = [
    {"id": "r-3", "status": "rendering", "percent": 40, "created_at": 200, "started_at": 230},
    {"id": "r-2", "status": "failed", "created_at": 100, "started_at": 110, "ended_at": 140, "code": "E_UNSAFE"},
    {"id": "r-1", "status": "done", "created_at": 0, "started_at": 60, "ended_at": 180, "seconds": 8},
]


class Vendor(JsonVendor):
    """Answers one page of renders of the last minutes."""

    def get(self) -> None:
        start = time.time() - 300
        rows = [{key: one + start if key.endswith("_at") else one for key, one in row.items()} for row in ROWS]
        known = self.headers["Authorization"] == "Bearer KEY"
        found = {f"/renders/{row['id']}": row for row in rows}.get(self.path, {"renders": rows, "more": False})
        self.answer(200, found) if known else self.answer(401, {})


@pytest.fixture
def vendor() -> Iterator[str]:
    with served(Vendor) as address:
        yield address


def test_the_example_is_built_installed_and_polled(vendor: str, start: Callable[..., Any], tmp_path: Path) -> None:
    source, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    offline = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *offline, "--target", site, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    providers = [
        {"name": f"my-{name}", "type": name, "api_key": "KEY", "base_url": vendor} for name in ("acme", "bolt")
    ]
    config = {"providers": providers, "poll_interval": "100ms", "ledger": {"path": ":memory:"}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    exporter = start("--config.file=config.yaml", "--web.listen-address=127.0.0.1:0", PYTHONPATH=f"{site}:{ROOT}")

    def value(name: str, kind: str, provider: str, **labels: str) -> object:
        labels |= {"kind": kind, "provider": provider}
        written = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
        return exporter.value(f"videotask_{name}{{{written}}}")

    for feed in (("render", "my-acme"), ("clip", "my-bolt")):
        exporter.wait_for("the first sweep", lambda feed=feed: value("up", *feed) == 1)
        assert value("tasks", *feed, state="running") == 1
        assert value("finished_total", *feed, state="succeeded") == 1
        assert value("failures_total", *feed, reason="moderation") == 1
        assert value("run_duration_seconds_sum", *feed, state="succeeded") == pytest.approx(120)
        assert value("output_seconds_total", *feed) == 8


DECLARED = """
VENDOR = {"%s": {"base_url": "https://a.example", "feeds": {"clip": {
    "list": {"path": "/c", "query": {"size": 5}, "paging": {"type": "none"}}, "fields": {"id": "id", "state": "status"},
    "states": {"succeeded": [2, "done"]}}}%s}}
"""


def test_a_mapping_of_types_to_declarations_is_taken(install: Install) -> None:
    install("bolt", DECLARED % ("bolt", ""))
    found = plug_ins.load(built_in())
    ((origin, vendor),) = found.found
    assert (origin, vendor.name, vendor.kinds, found.broken) == ("of the package bolt 1.0", "bolt", ("clip",), {})


BROKEN = {
    "one that is not there": ("import gone_altogether", "ModuleNotFoundError: No module named 'gone_altogether'"),
    "one that fails": ("raise RuntimeError('no such luck')", "RuntimeError: no such luck"),
    "one that leaves": ("raise SystemExit(3)", "SystemExit: 3"),
    "one that tells a secret": ("raise ValueError('sk-0123456789abcdef0123')", "ValueError"),
    "one without the name": ("", "AttributeError: module 'bolt' has no attribute 'VENDOR'"),
    "something else": (
        "VENDOR = 5",
        "TypeError: bolt:VENDOR is neither a Vendor nor a mapping of types to declarations",
    ),
    "a broken declaration": (
        DECLARED % ("bolt", ', "page_size": "many"'),
        "bolt:VENDOR: bolt.page_size: not a whole number; write digits",
    ),
    "the name of a built-in vendor": (
        DECLARED % ("facewap", ""),
        "bolt:VENDOR: facewap: the name of a vendor that is built in; give this one another name, or write "
        "`replaces: true` in it",
    ),
    "settings of another kind": (
        "from exporter.vendors.api import Vendor\nVENDOR = Vendor('bolt', dict, ('clip',), None)",
        "TypeError: the settings of its vendor are no ProviderSettings",
    ),
    "no feed": (
        "from exporter.vendors.api import ProviderSettings, Vendor\n"
        "VENDOR = Vendor('bolt', ProviderSettings, (), None)",
        "ValueError: its vendor has no feed",
    ),
    "a vendor of a built-in one's name": (
        "from exporter.vendors.api import ProviderSettings, Vendor\n"
        "VENDOR = Vendor('facewap', ProviderSettings, ('clip',), None)",
        "ValueError: there is another vendor of the name facewap",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plug_in_is_told_and_the_others_are_taken(install: Install, name: str) -> None:
    code, told = BROKEN[name]
    install("bolt", code)
    install("good", DECLARED % ("good", ""))
    found = plug_ins.load(built_in())
    assert [vendor.name for _, vendor in found.found] == ["good"]
    assert found.broken == {"bolt": f"the plug-in bolt of bolt 1.0 failed to load: {told}"}


def test_of_two_plug_ins_of_one_name_the_second_is_told(install: Install) -> None:
    install("bolt", DECLARED % ("same", ""))
    install("zeus", DECLARED % ("same", ""))
    found = plug_ins.load(built_in())
    assert [origin for origin, _ in found.found] == ["of the package bolt 1.0"]
    assert "there is another vendor of the name same" in found.broken["zeus"]


def test_a_plug_in_may_replace_a_built_in_vendor(install: Install) -> None:
    install("bolt", DECLARED % ("facewap", ', "replaces": True'))
    found = plug_ins.load(built_in())
    assert [vendor.name for _, vendor in found.found] == ["facewap"]
    assert not found.broken


GOOD = "  - {name: f, type: facewap, base_url: http://f.example, token: KEY}\n"
LOST = "  - {name: b, type: bolt, api_key: KEY}\n"
TYPES = Registry(built_in().entries, broken={"bolt": "it broke"})


def test_a_provider_of_a_broken_plug_in_is_not_polled_and_the_others_are(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"providers:\n{LOST}{GOOD}{GOOD.replace('name: f', 'name: g')}")
    config = load(path, {}, vendors=TYPES)
    assert [one.name for one in config.providers] == ["f", "g"]
    first, second = config.remarks
    assert first == f"{path}:2: providers[0]: not polled: it broke"
    assert second.startswith(f"{path}:4: providers[2].token: the same credential as provider f in line 3: ")


def test_a_configuration_of_nothing_but_a_broken_plug_in_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"providers:\n{LOST}")
    with pytest.raises(ConfigError) as caught:
        load(path, {}, vendors=TYPES)
    assert caught.value.faults == [f"{path}:2: providers[0]: not polled: it broke"]


def test_a_broken_plug_in_is_told_in_the_log_and_on_the_status_page(
    install: Install, vendor: str, start: Callable[..., Any], tmp_path: Path
) -> None:
    site = install("bolt", "import gone_altogether")
    (tmp_path / "config.yaml").write_text(
        f"providers:\n{LOST}{GOOD.replace('http://f.example', vendor)}ledger: {{path: ':memory:'}}\n"
    )
    exporter = start("--config.file=config.yaml", "--web.listen-address=127.0.0.1:0", PYTHONPATH=f"{site}:{ROOT}")
    page = exporter.get("")
    assert "A vendor plug-in failed to load" in page
    assert "No module named &#39;gone_altogether&#39;" in page
    assert exporter.value('videotask_provider_info{provider="f",type="facewap"}') == 1
    assert exporter.end() == 0
    assert len(re.findall("a vendor plug-in failed to load; other vendors", exporter.stderr)) == 1


def test_the_stable_import_names_all_that_it_has() -> None:
    assert sorted(api.__all__) == sorted(set(api.__all__))
    named = {name for name in vars(api) if not name.startswith("_")} - {"annotations"}
    assert named == set(api.__all__)
    told = set(re.findall(r"`(\w+)", api.__doc__ or ""))
    assert set(api.__all__) - told <= {name for name in api.__all__ if issubclass_of_error(name)}


def issubclass_of_error(name: str) -> bool:
    """Errors are reported together."""
    one = getattr(api, name)
    return isinstance(one, type) and issubclass(one, Exception)


def test_the_example_imports_nothing_else_of_the_exporter() -> None:
    code = (EXAMPLE / "acme_videos.py").read_text()
    assert set(re.findall(r"(?m)^(?:from|import) (exporter\S*)", code)) == {"exporter.vendors.api"}


def test_a_check_of_the_configuration_warns_of_a_broken_plug_in(
    install: Install, start: Callable[..., Any], tmp_path: Path
) -> None:
    site = install("bolt", "import gone_altogether")
    (tmp_path / "config.yaml").write_text(f"providers:\n{GOOD}")
    check = start("check-config", "--config.file=config.yaml", PYTHONPATH=f"{site}:{ROOT}")
    assert check.end(None) == 0
    first, second = check.stdout.splitlines()
    assert first.startswith("warning: the plug-in bolt of bolt 1.0 failed to load: ModuleNotFoundError: ")
    assert second == "config.yaml: good; providers: 1, feeds: 1"
