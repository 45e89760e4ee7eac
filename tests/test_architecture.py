"""The rooms and arrows of ARCHITECTURE.md are those of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

from exporter.vendors.registry import VENDORS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "exporter"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

Arrow = tuple[str, str]


def module_of(file: Path) -> str:
    """`exporter.web.app`; a package by its own name."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_of(file): file for file in PACKAGE.rglob("*.py")}


def imported_by(module: str) -> set[str]:
    """The modules of ours that one imports, within functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            whole = str(node.module)
            parts = (f"{whole}.{name.name}" for name in node.names)
            found |= {part if part in FILES else whole for part in parts}
    return found & FILES.keys()


IMPORTS = {module: imported_by(module) for module in FILES}


def rooms() -> dict[str, list[Path]]:
    """The files of each room of the list, from the top down. A package stands before the files that are in it."""
    found: dict[str, list[Path]] = {}
    for room, text in re.findall(r"(?m)^- \*\*(\w+)\*\*: (.+(?:\n  .+)*)", PAGE):
        files, folder = found.setdefault(room, []), PACKAGE
        for name in re.findall(r"`(\w+(?:\.py|/))`", text):
            if (face := PACKAGE / name / "__init__.py").exists():
                files.append(face)
                folder = face.parent
            else:
                files.append(folder / name)
    found["providers"] += [PACKAGE / "providers" / f"{vendor}.py" for vendor in VENDORS]  # named as their files are
    return found


ROOMS = rooms()
ORDER = list(ROOMS)
ROOM_OF = {module_of(file): room for room, files in ROOMS.items() for file in files}


def arrows(diagram: str) -> set[Arrow]:
    """From room to room, as a diagram of the page has them; what is no room is left out."""
    (chart,) = re.findall(rf"(?s)```mermaid\nflowchart {diagram}\n(.+?)```", PAGE)
    drawn = re.findall(r"(?m)^ +(\w+)\S*.*--> (\w+)", chart)
    return {(one, other) for one, other in drawn if {one, other} <= ROOMS.keys()}


def between_rooms() -> dict[Arrow, list[str]]:
    """Each pair of rooms of which the first imports the second, with the modules that do."""
    found: dict[Arrow, list[str]] = {}
    for module, imported in IMPORTS.items():
        for other in imported:
            pair = ROOM_OF[module], ROOM_OF[other]
            if pair[0] != pair[1]:
                found.setdefault(pair, []).append(f"{module} imports {other}")
    return found


def follows(arrow: Arrow, others: Iterable[Arrow]) -> bool:
    """Whether the others lead from its begin to its end."""
    others, reached, known = set(others), {arrow[0]}, 0
    while len(reached) > known:
        known = len(reached)
        reached |= {end for begin, end in others if begin in reached}
    return arrow[1] in reached


def test_each_module_stands_in_one_room() -> None:
    named = [file for files in ROOMS.values() for file in files]
    assert [file for file in named if not file.exists()] == []
    assert sorted(file for file in named if file.suffix == ".py") == sorted(FILES.values())


def test_no_module_imports_from_a_room_above_its_own() -> None:
    upwards = [whole for (one, other), whole in between_rooms().items() if ORDER.index(one) > ORDER.index(other)]
    assert upwards == []


def test_no_modules_import_in_a_circle() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names them


def test_the_arrows_between_rooms_are_imports_and_imply_all_others() -> None:
    found = between_rooms().keys()
    assert arrows("TD") == {arrow for arrow in found if not follows(arrow, found - {arrow})}


def test_data_runs_between_rooms_that_know_each_other() -> None:
    drawn, found = arrows("LR"), between_rooms().keys()
    assert len(drawn) == 4
    assert [(one, other) for one, other in drawn if not {(one, other), (other, one)} & found] == []


def test_the_vocabulary_is_under_everything() -> None:
    assert IMPORTS["exporter.tasks"] == set()


def test_no_vendor_imports_another() -> None:
    vendors = {f"exporter.vendors.registry.{name}" for name in VENDORS}
    assert [(one, other) for one in vendors for other in IMPORTS[one] & vendors] == []


def test_the_simulator_knows_nothing_of_what_reads_it() -> None:
    known = {ROOM_OF[other] for module in FILES if ROOM_OF[module] == "simulator" for other in IMPORTS[module]}
    assert known == {"simulator", "vocabulary"}
