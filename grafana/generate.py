"""Writes every file of grafana/ that is made from code: `python -m grafana.generate`.

With `--check` it writes nothing, says which files are not as the code would make them, and exits 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import datasource, rules_files, runbook
from grafana.boards import dashboards

HERE = Path(__file__).parent
DASHBOARDS = HERE / "dashboards"


def dashboard_files() -> dict[Path, str]:
    """The dashboards as Grafana reads them, each in a file that is named for its uid."""
    made = [dashboard.build() for dashboard in dashboards()]
    return {
        DASHBOARDS / f"{each.uid}.json": json.dumps(each, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for each in made
    }


SOURCES: tuple[Callable[[], Mapping[Path, str]], ...] = (
    dashboard_files,
    rules_files.files,
    runbook.files,
    datasource.files,
)
"""What makes files: each returns their contents."""


def main() -> int:
    """Returns the exit code."""
    arguments = argparse.ArgumentParser(prog="python -m grafana.generate", description="Writes the files of grafana/.")
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check = arguments.parse_args().check
    outdated = [(path, text) for source in SOURCES for path, text in source().items() if _read(path) != text]
    for path, text in outdated:
        print(f"{path.relative_to(HERE.parent)} {'is out of date' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if check and outdated else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    raise SystemExit(main())
