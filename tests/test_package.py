"""The distribution: the same bytes each time, complete, without what is nobody's business, good in an empty place."""

from __future__ import annotations

import email
import email.message
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

import exporter
from exporter.simulator import names, profiles_of
from exporter.simulator.fakes import DEMO
from tests.harness import wait_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
NAME = f"videotask_exporter-{exporter.__version__}"
LOCK = ROOT / "requirements.txt"
STRANGERS = (
    "config.yaml",
    ".env",
    "videotask.sqlite3",
    "notes.txt",
    "exporter/__pycache__/x.pyc",
    "tests/a.sqlite3-wal",
)
"""What may lie in the folder of somebody who builds, and must not leave it."""


def own() -> dict[str, str]:
    """The environment without what leads elsewhere."""
    elsewhere = re.compile("PYTHONPATH|SOURCE_DATE_EPOCH|PIP_.*|.*_proxy", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if not elsewhere.fullmatch(name)}


def build(tree: Path, target: Path, *, umask: int) -> tuple[Path, Path]:
    """The source distribution and the wheel that a tree's own script makes."""
    subprocess.run(
        [sys.executable, tree / "scripts" / "build.py", target], cwd=target.parent, env=own(), umask=umask, check=True
    )
    return target / f"{NAME}.tar.gz", target / f"{NAME}-py3-none-any.whl"


def day_of_release() -> datetime:
    newest = re.search(r"(?m)^## \[\d.*\] - (.+)$", (ROOT / "CHANGELOG.md").read_text())
    assert newest
    return datetime.fromisoformat(newest[1]).replace(tzinfo=UTC)


def ignored(tree: Path) -> Callable[[str, list[str]], set[str]]:
    """What is in no version control: for `shutil.copytree`."""
    patterns = [line for line in (tree / ".gitignore").read_text().splitlines() if line and not line.startswith("#")]

    def names(folder: str, names: list[str]) -> set[str]:
        here = "/" + Path(folder).relative_to(tree).as_posix().removeprefix(".")
        return {
            name
            for name in names
            for pattern in (one.rstrip("/") for one in patterns)
            if name == ".git" or fnmatch.fnmatch(f"{here}{name}" if pattern.startswith("/") else name, pattern)
        }

    return names


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Built:
    files: set[str]
    """Of the tree, as version control would have them."""
    sdist: Path
    wheel: Path
    source: Path
    """The source distribution, unpacked."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Made of a copy of this tree in which strange things lie about."""
    folder = tmp_path_factory.mktemp("built")
    tree = shutil.copytree(ROOT, folder / "tree", ignore=ignored(ROOT))
    files = files_in(tree)
    for name in STRANGERS:
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("nobody's business")
    sdist, wheel = build(tree, folder / "dist", umask=0o022)
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.3 and older have none
        archive.extractall(folder)  # noqa: S202  # we have just made it
    return Built(files, sdist, wheel, folder / NAME)


def test_the_source_distribution_builds_itself_and_the_wheel_to_the_same_bytes(built: Built, tmp_path: Path) -> None:
    tree = shutil.copytree(built.source, tmp_path / "elsewhere")
    for path in tree.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
        os.utime(path, (1e9, 1e9))
    again = build(tree, tmp_path / "dist", umask=0o077)
    assert [one.read_bytes() for one in again] == [built.sdist.read_bytes(), built.wheel.read_bytes()]


def test_what_is_built_tells_the_day_of_the_release_and_not_who_built_it_when(built: Built) -> None:
    day = day_of_release()
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in members} == {(day.timestamp(), 0, 0, "", "")}
    assert {oct(one.mode) for one in members} == {"0o644", "0o755"}
    assert int.from_bytes(built.sdist.read_bytes()[4:8], "little") == day.timestamp()  # the head of gzip
    inside = zipfile.ZipFile(built.wheel).infolist()
    assert {one.date_time for one in inside} == {tuple(day.timetuple()[:6])}
    modes = {oct(one.external_attr >> 16 & 0o777) for one in inside}
    assert modes == {"0o644", "0o664"}  # the latter is what setuptools gives to RECORD, whatever the umask


def test_a_wheel_from_the_tree_is_the_one_from_the_source_distribution(built: Built, tmp_path: Path) -> None:
    tree = shutil.copytree(ROOT, tmp_path / "tree", ignore=ignored(ROOT))
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    day = {"SOURCE_DATE_EPOCH": f"{day_of_release().timestamp():.0f}"}
    subprocess.run([*build, "--wheel-dir", tmp_path, tree], env=own() | day, umask=0o022, check=True)
    assert (tmp_path / built.wheel.name).read_bytes() == built.wheel.read_bytes()


def kept(files: set[str]) -> set[str]:
    """Which of the files version control has; where there is none, those in folders: beside them lies all sorts."""
    with suppress(FileNotFoundError):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
        if listed.returncode == 0:
            return files & set(listed.stdout.split("\0"))
    return {name for name in files if "/" in name}


def test_the_source_distribution_is_the_tree_as_version_control_has_it(built: Built) -> None:
    assert {"exporter/py.typed", "tests/conftest.py", "config.example.yaml", "requirements-dev.txt"} <= built.files
    shipped = {one for one in files_in(built.source) if not one.startswith("videotask_exporter.egg-info/")}
    assert kept(built.files) <= shipped - {"PKG-INFO", "setup.cfg"} <= built.files


def test_the_wheel_carries_every_file_of_the_package_and_its_licence(built: Built) -> None:
    carried = {name for name in zipfile.ZipFile(built.wheel).namelist() if not name.endswith("/")}
    about = {
        f"{NAME}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt")
    }
    package = {name for name in built.files if name.startswith("exporter/")}
    assert {
        "exporter/py.typed",
        "exporter/web/pages/templates/status.html",
        "exporter/simulator/world/world.py",
    } <= package
    assert {"exporter/web/pages/static/style.css", "exporter/ledger/postgresql/migrations/0001_ledger.sql"} <= package
    assert carried == package | about | {f"{NAME}.dist-info/licenses/LICENSE"}


def test_the_metadata_is_what_the_project_says_of_itself(built: Built) -> None:
    archive = zipfile.ZipFile(built.wheel)
    told: email.message.Message = email.message_from_bytes(archive.read(f"{NAME}.dist-info/METADATA"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (told["Name"], told["Version"]) == ("videotask-exporter", exporter.__version__)
    assert (told["Summary"], told["Requires-Python"]) == (project["description"], project["requires-python"])
    extras = [
        f'{one}; extra == "{extra}"' for extra, listed in project["optional-dependencies"].items() for one in listed
    ]
    assert told.get_all("Requires-Dist") == [*project["dependencies"], *extras]
    assert told.get_all("Classifier") == project["classifiers"]
    # Licence as PEP 639 has it: an expression and a file, and no classifier, which it forbids beside them.
    assert (told["License-Expression"], told.get_all("License-File")) == ("Apache-2.0", ["LICENSE"])
    assert not [one for one in project["classifiers"] if one.startswith("License")]
    assert told["Description-Content-Type"] == "text/markdown"
    assert told.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()  # type: ignore[union-attr]
    assert archive.read(f"{NAME}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert archive.read(f"{NAME}.dist-info/entry_points.txt").decode().split("\n")[:2] == [
        "[console_scripts]",
        "videotask-exporter = exporter.cli:main",
    ]


# Installed where there is nothing but Python and what requirements.txt pins


@dataclass(frozen=True)
class Place:
    """An environment of its own, and a folder from which nothing of the tree is seen."""

    bin: Path
    folder: Path
    source: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder,
            env=own() | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def running(self, *command: str) -> Iterator[Callable[[], str]]:
        """What a command that runs until a signal has printed so far; it has to end well."""
        out = self.folder / "out"
        with out.open("wb") as file:
            process = subprocess.Popen(
                [self.bin / command[0], *command[1:]],
                cwd=self.folder,
                env=own(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            yield out.read_text
            process.terminate()
            assert process.wait(30) == 0, out.read_text()
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def place(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    venv.create(folder / "venv", symlinks=True)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    for pin in re.findall(r"(?m)^([A-Za-z0-9._-]+)==", LOCK.read_text()):
        link_distribution(pin, packages)
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(folder / "venv" / "bin" / "python")]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(built.wheel)], env=own(), check=True)
    (folder / "empty").mkdir()
    return Place(folder / "venv" / "bin", folder / "empty", built.source)


def link_distribution(name: str, packages: Path) -> None:
    """Makes a package that is installed here a package there, without asking an index for it."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return  # of another platform or Python, as its marker in the lock says
    for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        (packages / top).symlink_to(Path(str(found.locate_file(top))))


def test_it_is_the_wheel_that_runs_there_and_nothing_of_the_tree(place: Place) -> None:
    shown = place.run("python", "-c", "import exporter, sys; print(exporter.__file__); print(sys.path)").stdout
    assert str(place.bin.parent) in shown.splitlines()[0]
    assert str(ROOT) not in shown
    for command in (("videotask-exporter",), ("python", "-m", "exporter")):
        done = place.run(*command, "--version")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"videotask-exporter {exporter.__version__} (Python ")


def test_it_needs_nothing_that_the_lock_does_not_pin(place: Place) -> None:
    walk = (
        "import exporter, importlib, pkgutil\n"
        "for one in pkgutil.walk_packages(exporter.__path__, 'exporter.'):\n"
        "    one.name == 'exporter.__main__' or print(importlib.import_module(one.name).__name__)\n"
    )
    done = place.run("python", "-c", walk)
    assert done.stderr == ""
    assert {"exporter.cli", "exporter.web.access.tls", "exporter.simulator.app"} <= set(done.stdout.split())


def test_it_checks_the_example_that_comes_with_it(place: Place) -> None:
    shutil.copy(place.source / "config.example.yaml", place.folder / "config.yaml")
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", (place.folder / "config.yaml").read_text()), "made-up")
    done = place.run("videotask-exporter", "check-config", "--config.file=config.yaml", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "config.yaml: good; providers: 4, feeds: 5" in done.stdout


FEEDS = len(profiles_of(DEMO))
"""Of the demo."""


def get(url: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_the_demo_shows_every_feed_and_pages_with_all_that_they_need(place: Place) -> None:
    with place.running(
        "videotask-exporter", "demo", "--web.listen-address=127.0.0.1:0", "--poll-interval=100ms"
    ) as out:
        wait_for("all that it prints", lambda: "ends the demo" in out())
        (status,) = re.findall(r"status page +(\S+)", out())
        up = re.compile(r"(?m)^videotask_up\{.*\} 1\.0$")
        wait_for("every feed", lambda: len(up.findall(get(f"{status}metrics"))) == FEEDS)
        for page in ("", "tasks"):
            html = get(status + page)
            files = set(re.findall(r'"\./(static/[^"]+)"', html))
            assert {Path(file).suffix for file in files} == {".css", ".js", ".svg"}
            assert all(get(status + file) for file in files)
        found = json.loads(get(f"{status}api/v1/tasks"))["tasks"]
        page = "/".join((found[0]["provider"], found[0]["kind"], found[0]["id"]))
        assert found[0]["id"] in get(f"{status}tasks/{page}")


def test_the_simulated_vendors_serve_alone(place: Place) -> None:
    with place.running("python", "-m", "exporter", "simulate", "--web.listen-address=127.0.0.1:0") as out:
        wait_for("all that it prints", lambda: "ends them" in out())
        (truth,) = re.findall(r"What they know: (\S+)", out())
        assert json.loads(get(truth)).keys() == set(names())


def stand_in(name: str, folder: Path) -> None:
    """A wheel of this name and the version that is installed here, with nothing in it."""
    with suppress(metadata.PackageNotFoundError):
        version = metadata.version(name)
        about = f"{re.sub(r'[-.]+', '_', name)}-{version}"
        with zipfile.ZipFile(folder / f"{about}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{about}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{about}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}.dist-info/RECORD", "")


def test_uvx_runs_it_without_an_installation(built: Built, tmp_path: Path) -> None:
    """What it needs is what is installed here; no index is asked."""
    wheels, packages = tmp_path / "wheels", tmp_path / "packages"
    wheels.mkdir()
    packages.mkdir()
    for pin in re.findall(r"(?m)^([A-Za-z0-9._-]+)==", LOCK.read_text()):
        stand_in(pin, wheels)
        link_distribution(pin, packages)
    uvx = Path(sys.executable).with_name("uvx")
    where = {"UV_CACHE_DIR": str(tmp_path / "cache"), "UV_TOOL_DIR": str(tmp_path / "tools"), "UV_LINK_MODE": "copy"}
    offline = ["--offline", "--no-index", "--find-links", str(wheels), "--python", sys.executable, "--no-config"]
    done = subprocess.run(
        [uvx, *offline, "--from", built.wheel, "videotask-exporter", "vendors"],
        cwd=tmp_path,
        env=own() | where | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"(?m)^(\w+): .*built in$", done.stdout)) == set(names())
