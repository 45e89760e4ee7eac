"""The runbook as the exporter serves it: docs/runbook.md, in a piece of HTML for each alert."""

from __future__ import annotations

import json
import re
from pathlib import Path

from markdown_it import MarkdownIt

HERE = Path(__file__).parent
SOURCE = HERE.parent / "docs" / "runbook.md"
PAGES = HERE.parent / "exporter" / "web" / "pages" / "runbook.json"

_SECTION = re.compile(r"(?ms)^### (\w+)\n(.*?)(?=^###? |\Z)")
_TO_SECTION = re.compile(r"\[([^\]]+)\]\(#(\w+)\)")
_TO_FILE = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def files() -> dict[Path, str]:
    """What the file of the pages holds: for each alert, in the order of the runbook, its section as HTML."""
    sections = dict(_SECTION.findall(SOURCE.read_text(encoding="utf-8")))
    titles = {title.lower(): title for title in sections}
    renderer = MarkdownIt("commonmark", {"html": False})

    def page(text: str) -> str:
        linked = _TO_SECTION.sub(lambda match: f"[{match[1]}](<{titles[match[2]]}>)", text)
        bare = _TO_FILE.sub(lambda match: match[0] if match[0].endswith(">)") else match[1], linked)
        return str(renderer.render(bare))

    return {PAGES: json.dumps({title: page(text) for title, text in sections.items()}, indent=1) + "\n"}
