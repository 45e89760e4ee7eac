"""A document means the same by libyaml, which is fast, as by PyYAML's own parser, whose words about faults we know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.files.document import ConfigDocument, composed

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "config.example.yaml", *sorted((ROOT / "exporter" / "vendors" / "builtin").glob("*.yaml"))]
PARTS = (
    *("a: ", "b", "c: d", "- ", "-", "{", "}", "[", "]", ":", ": ", ", ", "'", '"', "\n", "\n  ", "\n    ", " #", "#x"),
    *(
        "&a ",
        "*a",
        "<<: ",
        "!x ",
        "!",
        "|",
        "|#",
        "|\n  x",
        ">\n y",
        "?",
        "? ",
        "~",
        "@",
        "`",
        "%",
        "\t",
        "1",
        "é",
        "\xa0",
    ),
    *("\ufeff", "---", "...", "\\", "$", "${A}", "中", "：", "\r\n", "\x85", "\u2028", "null", "yes"),
)


def told(node: yaml.Node | None, above: tuple[int, ...] = ()) -> Any:
    """All of a node that a document is made of."""
    if node is None or id(node) in above:
        return None
    own = (type(node), node.tag, node.start_mark.line)
    match node:
        case yaml.ScalarNode():
            return *own, node.value, bool(node.style)
        case yaml.SequenceNode():
            return *own, [told(one, (*above, id(node))) for one in node.value]
        case yaml.MappingNode():
            pairs = [(told(key, (*above, id(node))), told(one, (*above, id(node)))) for key, one in node.value]
            return *own, bool(node.flow_style), pairs
    raise TypeError(node)


def meant(text: str, *, fast: bool) -> Any:
    try:
        return told(composed(text, fast=fast))
    except yaml.YAMLError as error:
        return str(error)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_of_ours_mean_the_same_by_both(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert meant(text, fast=True) == meant(text, fast=False) is not None


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
def test_any_text_means_the_same_by_both(text: str) -> None:
    assert meant(text, fast=True) == meant(text, fast=False)


@pytest.mark.parametrize("text", ["- a\n" * 100_001, "[" * 60 + "]" * 60])
def test_a_document_that_is_too_much_is_told_with_its_line_by_both(text: str) -> None:
    (fault,) = ConfigDocument("a.yaml", text.encode(), {}).faults
    (other,) = ConfigDocument("a.yaml", (text + "# |").encode(), {}).faults  # a sign for which the slow parser is taken
    assert fault == other
    assert fault.startswith(("a.yaml:100000: not valid YAML: more than", "a.yaml:1: not valid YAML: nested too deeply"))
