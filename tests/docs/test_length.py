"""The documents stay short enough to be read."""

from __future__ import annotations

from docs.tools.reader import ROOT

MOST_WORDS = 24_000
"""Of the README and the pages in docs/, without those of the vendors; counted as `wc -w` does."""

MOST_LINES = 150
"""Of the README."""


def test_readme_and_pages_stay_within_their_words() -> None:
    words = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").split())
        for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
    }
    total = sum(words.values())
    longest = ", ".join(f"{name} {words[name]:,}" for name in sorted(words, key=words.__getitem__, reverse=True)[:5])
    assert total < MOST_WORDS, (
        f"README.md and docs/*.md have {total:,} words; cut {total - MOST_WORDS + 1:,} or more: write each fact in one "
        f"place and link there, leave out what generated tables say. The longest: {longest}"
    )


def test_readme_stays_within_its_lines() -> None:
    lines = len((ROOT / "README.md").read_text(encoding="utf-8").splitlines())
    assert lines < MOST_LINES, f"README.md has {lines} lines; move what is no first question to a page of docs/"
