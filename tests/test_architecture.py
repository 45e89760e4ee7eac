"""The rooms and arrows of ARCHITECTURE.md are those of the code, and data runs the way that the page says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests.harness import VENDORS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "exporter"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ENTRIES = 9
"""So many files and folders a folder may hold beside its `__init__.py`."""

Arrow = tuple[str, str]


def module_of(file: Path) -> str:
    """`exporter.web.app`; a package by its own name."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_of(file): file for file in PACKAGE.rglob("*.py")}
TREES = {module: ast.parse(file.read_text(encoding="utf-8")) for module, file in FILES.items()}


def room_of(module: str) -> str:
    """A folder or a file at the top of the package."""
    return [*module.split("."), "exporter"][1]


def imported_by(module: str) -> set[str]:
    """The modules of ours that one imports, within functions too."""
    found: set[str] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            whole = str(node.module)
            parts = (f"{whole}.{name.name}" for name in node.names)
            found |= {part if part in FILES else whole for part in parts}
    return found & FILES.keys()


IMPORTS = {module: imported_by(module) for module in FILES}
ROOMS = {room_of(module) for module in FILES} - {"exporter", "__main__"}
ORDER = re.findall(r"(?m)^- \*\*`(\w+)(?:/|\.py)`\*\*", PAGE)
"""The rooms as the page lists them, from the top down."""


def arrows(diagram: str) -> list[tuple[str, str, str]]:
    """From room to room, with what is written on the arrow, as a diagram of the page has them."""
    (chart,) = re.findall(rf"(?s)```mermaid\nflowchart {diagram}\n(.+?)```", PAGE)
    drawn = re.findall(r"(?m)^ +(\w+)\S*(?: -- (\w+))? --> (\w+)", chart)
    return [(one, other, text) for one, text, other in drawn if {one, other} <= ROOMS]


def between_rooms() -> dict[Arrow, list[str]]:
    """Each pair of rooms of which the first imports the second, with the modules that do."""
    found: dict[Arrow, list[str]] = {}
    for module, imported in IMPORTS.items():
        for other in imported:
            pair = room_of(module), room_of(other)
            if pair[0] != pair[1] and set(pair) <= ROOMS:
                found.setdefault(pair, []).append(f"{module} imports {other}")
    return found


def follows(arrow: Arrow, others: Iterable[Arrow]) -> bool:
    """Whether the others lead from its begin to its end."""
    others, reached, known = set(others), {arrow[0]}, 0
    while len(reached) > known:
        known = len(reached)
        reached |= {end for begin, end in others if begin in reached}
    return arrow[1] in reached


def functions(room: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for module in FILES:
        if room_of(module) == room:
            for node in ast.walk(TREES[module]):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield node


def names_in(annotation: ast.expr | None) -> set[str]:
    return {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)} if annotation else set()


def makes(room: str, value: str) -> bool:
    """Whether a function of the room makes such a value."""
    calls = (node for function in functions(room) for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == value for call in calls)


def defines(room: str, value: str) -> bool:
    mine = (TREES[module] for module in FILES if room_of(module) == room)
    return any(isinstance(node, ast.ClassDef) and node.name == value for tree in mine for node in ast.walk(tree))


def takes(room: str, value: str) -> bool:
    """Whether a function of the room is given such a value, or a class of it holds one."""
    mine = (node for module in FILES if room_of(module) == room for node in ast.walk(TREES[module]))
    return any(value in names_in(node.annotation) for node in mine if isinstance(node, ast.arg | ast.AnnAssign))


def test_the_page_names_every_room_and_every_file() -> None:
    assert set(ORDER) == ROOMS
    assert len(ORDER) == len(set(ORDER))
    parts = dict(re.findall(r"(?m)^- \*\*`(\w+)(?:/|\.py)`\*\*:?(.*(?:\n  .+)*)", PAGE))
    vendors = {f"{name}.py" for name in VENDORS}
    missing = [
        f"{room}: {file.name}"
        for room, text in parts.items()
        for file in (PACKAGE / room).rglob("*.py")
        if file.name not in {"__init__.py"} | vendors and f"`{file.name}`" not in text
    ]
    assert missing == []
    named = {room: set(re.findall(r"`(\w+\.py)`", text)) for room, text in parts.items()}
    gone = [f"{room}: {name}" for room, names in named.items() for name in names if not [*(PACKAGE / room).rglob(name)]]
    assert gone == []


def test_no_folder_is_too_full() -> None:
    folders = [folder for folder in (PACKAGE, *PACKAGE.rglob("*")) if folder.is_dir() and folder.name != "__pycache__"]
    code = [folder for folder in folders if (folder / "__init__.py").exists()]
    entries = {
        str(folder.relative_to(ROOT)): [
            one.name
            for one in folder.iterdir()
            if one.name not in ("__init__.py", "__pycache__", "__main__.py", "py.typed")
        ]
        for folder in code
    }
    allowed = {"exporter": len(ROOMS), "exporter/vendors/builtin": 99, "exporter/simulator/vendors": 99}
    assert {name: len(found) for name, found in entries.items() if len(found) > allowed.get(name, ENTRIES)} == {}


def test_no_room_imports_from_one_above_it() -> None:
    upwards = [whole for (one, other), whole in between_rooms().items() if ORDER.index(one) > ORDER.index(other)]
    assert upwards == []


def test_no_modules_import_in_a_circle() -> None:
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError, which names them


def test_the_arrows_between_rooms_are_imports_and_imply_all_others() -> None:
    found = between_rooms().keys()
    drawn = {(one, other) for one, other, _ in arrows("TD")}
    assert drawn == {arrow for arrow in found if not follows(arrow, found - {arrow})}


def test_data_runs_the_way_of_the_arrows() -> None:
    """What is written on an arrow is a class: the room that it leaves makes it, the room that it reaches takes it."""
    drawn = arrows("LR")
    assert len(drawn) >= 5
    for giver, taker, value in drawn:
        assert defines(giver, value) or makes(giver, value), f"{giver} does not give {value}"
        assert takes(taker, value), f"{taker} does not take {value}"
        assert not makes(taker, value), f"{taker} makes {value} itself: the arrow is the wrong way round"


def test_readers_touch_no_loop() -> None:
    """Metrics and pages read snapshots; nothing of them knows what polls."""
    reached = {room_of(other) for module in FILES if room_of(module) in ("metrics", "web") for other in IMPORTS[module]}
    assert "polling" not in reached


def test_the_vocabulary_is_under_everything() -> None:
    assert IMPORTS["exporter.tasks"] == set()


def test_no_vendor_imports_another() -> None:
    vendors = {f"exporter.vendors.builtin.{name}" for name in VENDORS} & IMPORTS.keys()
    assert len(vendors) > 1
    assert [(one, other) for one in vendors for other in IMPORTS[one] & vendors] == []


def test_the_simulator_knows_nothing_of_what_reads_it() -> None:
    known = {room_of(other) for module in FILES if room_of(module) == "simulator" for other in IMPORTS[module]}
    assert known == {"simulator", "tasks"}
