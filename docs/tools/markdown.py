"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

DOCS = Path(__file__).parent.parent


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """The lines of a table."""
    columns = list(head)
    yield row(columns)
    yield row("---" for _ in columns)
    yield from map(row, rows)


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def words(each: Iterable[object]) -> str:
    """Words of code, in a list."""
    return ", ".join(f"`{word}`" for word in each)


def with_part(page: Path, name: str, text: str) -> str:
    """A page with what stands between the two marks of that name replaced."""
    begin, end = f"<!-- {name}: written by make docs -->", f"<!-- end of {name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}"
