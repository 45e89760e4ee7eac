"""The documents as tests read them: fenced blocks, headings, links and code within the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("docs", "deploy", "grafana", ".github", "benchmarks")

_FENCE = re.compile(r"(?ms)^( *)(`{3,})(\w*)[^\n]*\n(.*?)^\1\2 *$")
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|(?:href|src|srcset)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    """Of the fence, counted from 1."""
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str:
        """The file that a first comment names as what the block is for; empty without one."""
        named = re.match(r"# ([\w./-]+\.\w+)\b", self.text)
        return named[1] if named else ""

    @property
    def commands(self) -> list[str]:
        """The commands of a block of `sh`, one each, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        stripped = (re.sub(r"(^|\s+)#.*", "", re.sub(r"\s+", " ", line)).strip() for line in lines)
        return [command for command in stripped if command]


class Page:
    """A document in Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def blocks(self) -> list[Block]:
        found = []
        for match in _FENCE.finditer(self.text):
            indent, _, language, text = match.groups()
            line = self.text.count("\n", 0, match.start()) + 1
            found.append(Block(self.path, line, language, re.sub(rf"(?m)^{indent}", "", text)))
        return found

    @cached_property
    def prose(self) -> str:
        """The text without its blocks and comments, each line where it was."""
        without = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), self.text)
        return re.sub(r"(?s)<!--.*?-->", lambda match: "\n" * match[0].count("\n"), without)

    @cached_property
    def spans(self) -> list[str]:
        """The code within the text."""
        return [" ".join(code.split()) for code in re.findall(r"(?s)(?<!`)`([^`]+?)`(?!`)", self.prose)]

    @cached_property
    def anchors(self) -> set[str]:
        """What links may lead to, made of the headings as forges make it."""
        anchors: set[str] = set()
        for heading in re.findall(r"(?m)^#+ +(.+?) *#*$", self.prose):
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)
            name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
            again = sum(
                anchor == name or re.fullmatch(rf"{re.escape(name)}-\d+", anchor) is not None for anchor in anchors
            )
            anchors.add(f"{name}-{again}" if again else name)
        return anchors

    @cached_property
    def links(self) -> list[str]:
        """Where links and pictures lead."""
        without_code = re.sub(r"(?s)(?<!`)`[^`]+?`(?!`)", "", self.prose)
        return [first or second for first, second in _LINK.findall(without_code)]


def _paths() -> Iterator[Path]:
    yield from sorted(ROOT.glob("*.md"))
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.md"))


PAGES = [Page(path) for path in _paths()]
"""All documents of the project."""

BLOCKS = [block for page in PAGES for block in page.blocks]


def blocks(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]
