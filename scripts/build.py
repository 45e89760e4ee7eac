#!/usr/bin/env python3
"""build.py [FOLDER]: makes the wheel and the source distribution in FOLDER (dist), and prints their SHA-256.

The same tree and the same Python make the same bytes, whenever, wherever and by whomever it is done. Times are
SOURCE_DATE_EPOCH, or the day of the newest release in CHANGELOG.md. The wheel is built from the source distribution, so
that this is sure to hold all that it takes. It needs setuptools (requirements-build.txt) and no network.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
UNTOLD = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "*.egg-info", "setup.cfg")
"""What setuptools makes itself, or need not see. What a distribution has is said in MANIFEST.in and pyproject.toml."""


def day_of_release() -> int:
    """When the newest release was, in Unix seconds."""
    days = re.search(r"(?m)^## \[\d\S*\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    if not days:
        raise SystemExit("CHANGELOG.md names no release with its day; set SOURCE_DATE_EPOCH")
    return int(datetime.fromisoformat(days[1]).replace(tzinfo=UTC).timestamp())


def build(kind: str, source: Path, target: Path, epoch: int) -> Path:
    """What setuptools makes of a source: the one new file, a `wheel` or an `sdist`."""
    call = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(
        [sys.executable, "-c", call], cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return target / done.stdout.splitlines()[-1]


def normalised(sdist: Path, epoch: int) -> bytes:
    """The archive without what depends on who made it and when: setuptools heeds SOURCE_DATE_EPOCH in wheels alone."""
    packed = io.BytesIO()
    with (
        tarfile.open(sdist) as given,
        gzip.GzipFile("", "wb", fileobj=packed, mtime=epoch) as gz,
        tarfile.open(fileobj=gz, mode="w") as taken,
    ):
        for member in sorted(given.getmembers(), key=lambda one: one.name):
            member.mtime, member.pax_headers = epoch, {}
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            taken.addfile(member, given.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


def main(target: Path) -> None:
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or day_of_release())
    os.umask(0o022)  # for what setuptools writes
    target.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="videotask-build-") as folder:
        here = Path(folder)
        tree = shutil.copytree(ROOT, here / "tree", ignore=UNTOLD)  # setuptools writes into the source
        made = build("sdist", tree, here, epoch)
        sdist = target / made.name
        sdist.write_bytes(normalised(made, epoch))
        with tarfile.open(sdist) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.3 and older have none
            archive.extractall(here / "unpacked")  # noqa: S202  # we have just made it
        (source,) = (here / "unpacked").iterdir()
        wheel = Path(shutil.copy(build("wheel", source, here, epoch), target))
    for file in (sdist, wheel):
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").absolute())
