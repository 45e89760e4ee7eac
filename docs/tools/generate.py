"""Writes what the documents have from the code. `make docs` runs it; a test compares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.tools import (
    api,
    command_line,
    configuration,
    declaration,
    metrics,
    reliability,
    sizing,
    vendor_pages,
    vendors,
)
from docs.tools.markdown import DOCS
from exporter.config import schema
from exporter.vendors.registry import built_in

WRITTEN: dict[Path, Callable[[], str]] = {
    DOCS.parent / "README.md": vendors.readme,
    DOCS / "metrics.md": metrics.page,
    DOCS / "reliability.md": reliability.page,
    DOCS / "openapi.json": api.description,
    DOCS / "api.md": api.page,
    DOCS / "config.schema.json": lambda: schema.text(schema.document(built_in())),
    DOCS / "vendor-file.schema.json": lambda: schema.text(schema.vendor_file(built_in())),
    DOCS / "configuration.md": configuration.page,
    DOCS / "vendors" / "declaration.md": declaration.page,
    DOCS / "command-line.md": command_line.page,
    DOCS / "performance.md": sizing.page,
} | vendor_pages.PAGES
"""Each file, and what makes the whole of its text."""

if __name__ == "__main__":
    for file, made in WRITTEN.items():
        file.write_text(made(), encoding="utf-8")
