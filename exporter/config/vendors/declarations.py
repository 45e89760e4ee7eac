"""Vendors that are declared in YAML: in the configuration, under `vendors`, and in the files of `vendor_files`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.config.files.contents import ConfigError, read_document
from exporter.config.files.document import ConfigDocument, KeyPath, plain
from exporter.config.mistakes.faults import OF_THE_KEY, note_faults
from exporter.config.values import NAME
from exporter.config.vendors.types import Declared, VendorDeclaration, Vendors

SHARED = "x-"
"""How a key begins that holds what several parts have in common, for `<<` to merge; it means nothing itself."""

FORM = "not a mapping; write the vendor's name as a key, and below it, indented, what the vendor is"

NO_VENDOR = "no vendor; write its name as a key, and below it what the vendor is"


class Declarations:
    """The vendors that documents declare. What is wrong with them is noted in the documents."""

    def __init__(self, vendors: Vendors) -> None:
        """`vendors` are those that are known without."""
        self._vendors = vendors
        self.good: dict[str, Declared] = {}
        self.places: dict[str, str] = {}
        """Where each is declared, well or not."""

    def take(self, document: ConfigDocument, content: Any, base: KeyPath = ()) -> None:
        """Takes the vendors of a mapping type -> declaration, which is at a key of the document."""
        if not isinstance(content, dict):
            if content is not None:
                document.fault(base, FORM)
            elif not base and not document.faults:
                document.fault(base, NO_VENDOR)
            return
        for name, entry in content.items():
            if not base and name.startswith(SHARED):
                continue
            path = (*base, name)
            if path == ("vendors",):
                document.fault(
                    path, "no vendor; a file of vendor_files begins with the vendor's own name: leave it out"
                )
                continue
            place = f"{document.name}:{document.line(path)}"
            if self.places.setdefault(name, place) != place:
                document.fault(path, f"already declared in {self.places[name]}; keep one of them")
                continue
            declaration = self.read(document, entry, path)
            wrong = self._fault_of_name(name, declaration, entry)
            if wrong:
                document.fault(path, wrong)
            elif declaration is not None:
                self.good[name] = Declared(name, declaration, place)

    def read(self, document: ConfigDocument, entry: Any, path: KeyPath) -> VendorDeclaration | None:
        """One declaration; None where something is wrong with it."""
        model = self._vendors.declaration
        unquoted = [place for place in document.in_braces if place[: len(path)] == path]
        for place in unquoted:
            document.fault(place, 'a mapping, since braces are YAML\'s; put a placeholder in quotes, as in "{page}"')
        declaration: VendorDeclaration | None
        try:
            declaration, broken = model.model_validate(entry), frozenset[KeyPath]()
        except ValidationError as error:
            note_faults(document, error, path, model, self._vendors)
            declaration, broken = _mended(model, entry, error)
        broken |= {place[len(path) :] for place in unquoted}
        faults = [] if declaration is None else [one for one in declaration.faults() if not _follows(one[0], broken)]
        for key, words in faults:
            document.fault((*path, *key), words)
        return None if faults or broken else declaration

    def _fault_of_name(self, name: str, declaration: VendorDeclaration | None, entry: Any) -> str:
        """What is wrong with the name of a declaration; empty if it is good."""
        if not NAME.fullmatch(name):
            allowed = "write letters, digits, `_`, `-` and `.`, at most 64 and a letter or digit first"
            return f"not a name for a type; {allowed}"
        replaces = declaration.replaces if declaration else isinstance(entry, dict) and "replaces" in entry
        if name in self._vendors and not replaces:
            told = f"the name of a vendor that is {self._vendors.origin(name)}"
            return f"{told}; give this one another name, or write `replaces: true` in it"
        return ""


def _mended(
    model: type[VendorDeclaration], entry: Any, error: ValidationError
) -> tuple[VendorDeclaration | None, frozenset[KeyPath]]:
    """A declaration without what is broken in it, so that the rest can be checked too, and where that was.

    None if nothing is left.
    """
    entry, broken, missed = deepcopy(entry), set[KeyPath](), Counter[KeyPath]()
    for _ in range(_TRIES):
        found = [
            (tuple(step for step in one["loc"] if step != OF_THE_KEY), one["type"] == "missing")
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        # From the end of a list to its beginning: what is taken away moves what follows.
        for place, is_missing in sorted(found, key=lambda one: [f"{step:>9}" for step in one[0]], reverse=True):
            broken.add(place)
            missed[place] += is_missing
            _mend(entry, place, missed[place] if is_missing else _NEVER)
        try:
            return model.model_validate(entry), frozenset(broken)
        except ValidationError as next_error:
            error = next_error
    return None, frozenset(broken)


_TRIES = 30
_STAND_INS: tuple[Callable[[], object], ...] = (lambda: "@", dict)
"""What stands for a missing value: a path or another text, else a table; if neither will do, all around it goes."""
_NEVER = len(_STAND_INS) + 1


def _mend(entry: Any, place: KeyPath, attempt: int) -> None:
    """Gives a missing value, at the first attempts, or takes a broken one away."""
    *above, last = place or ("",)
    holder = entry
    for step in above:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return
    if attempt < _NEVER and isinstance(holder, dict):
        holder[last] = _STAND_INS[attempt - 1]()
    elif isinstance(holder, dict) and last in holder:
        del holder[last]
    elif isinstance(holder, list):
        holder[:] = [one for index, one in enumerate(holder) if index != last]
    elif above:
        _mend(entry, tuple(above), _NEVER)


_HARMLESS = frozenset(
    (
        "rows",
        "where",
        "last",
        "total",
        "order",
        "window",
        "ends_alone",
        "in_flight",
        "row",
        "missing",
        "fills",
        "headers",
    )
)
"""What a request may be without, and still be checked as it is."""


def _follows(place: KeyPath, broken: Collection[KeyPath]) -> bool:
    """Whether a fault may come of what was taken away: of the same request, of settings and credentials."""
    telling = [one for one in broken if one[:1] != ("feeds",) or not _HARMLESS.intersection(one[3:4])]
    parts = {_part(one) for one in telling}
    within = any(one[: len(place)] == place for one in telling)
    if place[:1] == ("auth",) and ("credentials",) in parts:
        return True
    return within or _part(place) in parts or ("settings",) in parts


def _part(place: KeyPath) -> KeyPath:
    """A request, the words of one meaning, or whatever else is checked as a whole."""
    if place[:1] != ("feeds",):
        return place[:1]
    return place[:4] if place[2:3] in (("states",), ("reasons",)) else place[:3]


class VendorFile:
    """One file by itself: a mapping like `vendors`, a whole configuration that has one, or a bare declaration.

    A bare one is named after its file. Raises ConfigError where it cannot be read.
    """

    def __init__(self, path: str | Path, vendors: Vendors, environment: Mapping[str, str] | None = os.environ) -> None:
        self.document = read_document(path, environment)
        declarations, content = Declarations(vendors), self.document.content
        base: KeyPath = ()
        if isinstance(content, dict) and isinstance(content.get("feeds"), dict):
            name = Path(path).stem
            if declaration := declarations.read(self.document, content, ()):
                declarations.good[name] = Declared(name, declaration, f"{path}:1")
        elif isinstance(content, dict) and {"vendors", "providers"} & content.keys():
            base = ("vendors",)
            declarations.take(self.document, content.get("vendors"), base)
        else:
            declarations.take(self.document, content)
        self.vendors: Mapping[str, Declared] = declarations.good
        """The vendors without a fault."""
        if not self.document.faults and not self.vendors:
            self.document.fault(base, NO_VENDOR)

    @property
    def faults(self) -> list[str]:
        """`FILE:LINE: KEY: what is wrong and what is allowed`, in the order of the file."""
        return self.document.faults


def declared_in(data: Any, name: str, vendors: Vendors) -> Mapping[str, Declared]:
    """The vendors of a mapping type -> declaration that no file holds, called `name` in faults. Raises ConfigError."""
    document = ConfigDocument(name, b"", None)
    declarations = Declarations(vendors)
    declarations.take(document, plain(data))
    if document.faults:
        raise ConfigError([fault.replace(f"{name}:1: ", f"{name}: ", 1) for fault in document.faults])
    return declarations.good
