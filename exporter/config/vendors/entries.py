"""Entries of `providers`, in the configuration and in the files of `provider_files`: each as typed settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from exporter.config.files.document import ConfigDocument, KeyPath
from exporter.config.mistakes import slips
from exporter.config.mistakes.accounts import configured_twice
from exporter.config.mistakes.faults import note_fault, told_of
from exporter.config.models import ProviderSettings
from exporter.config.vendors.types import Vendors, VendorType
from exporter.config.vendors.words import faults_of_words

_FORM = "not a mapping; write `- name: ...` and `type: ...` with the vendor's settings"
_FILE_FORM = "not a list; write each provider as lines that begin with `- name: ...`, without `providers:` above them"
_NO_PROVIDER = "no provider; write `- name: ...` and `type: ...` with the vendor's settings, or `[]`"


@dataclass(frozen=True)
class WrittenPlace:
    """Where something is written."""

    document: ConfigDocument
    path: KeyPath

    def below(self, *steps: str | int) -> WrittenPlace:
        return WrittenPlace(self.document, (*self.path, *steps))

    def fault(self, words: str) -> None:
        """Notes in the document what is wrong here."""
        self.document.fault(self.path, words)

    def seen_from(self, other: WrittenPlace) -> str:
        """`line 7`, or `FILE:7` where the other place is in another file."""
        line = self.document.line(self.path)
        return f"line {line}" if self.document is other.document else f"{self.document.name}:{line}"


class Entries:
    """All providers as they are written. What is wrong with them is noted in their documents."""

    def __init__(
        self, vendors: Vendors, broken: Collection[str], inherited: Mapping[str, Any], *, types_are_known: bool
    ) -> None:
        """`broken` are types whose declaration has a fault that was reported already; `inherited` are settings that
        each provider has which has none of its own.

        Not all types are known where a file that declares some could not be read.
        """
        self._vendors = vendors
        self._broken = broken
        self._inherited = inherited
        self._types_are_known = types_are_known
        self._names: dict[str, WrittenPlace] = {}
        self._places: list[WrittenPlace] = []
        self.good: list[ProviderSettings] = []
        """Those without a fault, in the order of their files."""
        self.skipped: list[tuple[WrittenPlace, str]] = []
        """Those that are not polled although nothing is wrong with them, and why."""

    def take_file(self, document: ConfigDocument) -> int:
        """Takes the providers of a file that is a list of them; so many."""
        entries = document.content
        if isinstance(entries, list):
            self.take(document, entries)
            return len(entries)
        if not document.faults:
            document.fault((), _NO_PROVIDER if entries is None else _FILE_FORM)
        return 0

    def take(self, document: ConfigDocument, entries: Iterable[Any], base: KeyPath = ()) -> None:
        """Takes the providers of a list that is at a key of the document."""
        for index, entry in enumerate(entries):
            place = WrittenPlace(document, (*base, index))
            if not isinstance(entry, dict):
                place.fault(_FORM)
                continue
            if settings := self._settings(entry, place):
                self.good.append(settings)
                self._places.append(place)
            self._check_name(entry.get("name"), place.below("name"))

    def twins(self) -> Iterator[tuple[WrittenPlace, str]]:
        """Providers that show tasks of an account that another one shows, where that is written, and what to say."""
        for one, (another, *others), name in configured_twice(self.good, self._vendors):
            second = self._places[another]
            written = [second.below(key) for key in (name, f"{name}_file")]
            place = next((one for one in written if one.document.has(one.path)), written[0])
            first = self._places[one].below("name").seen_from(place)
            more = f", and {len(others)} more have it too" if others else ""
            yield (
                place,
                f"the same credential as provider {self.good[one].name} in {first}{more}: they show "
                "the tasks of one account, so each task is counted again; keep one of them, or give each its own feeds",
            )

    def _settings(self, entry: dict[str, Any], place: WrittenPlace) -> ProviderSettings | None:
        named = str(entry.get("type"))
        if named in self._broken or (named not in self._vendors and not self._types_are_known and entry.get("type")):
            self._check_common(entry, place)
            return None
        vendor = self._vendors.get(named)
        if vendor is None and named in self._vendors.broken:
            self._check_common(entry, place)
            self.skipped.append((place, f"not polled: {self._vendors.broken[named]}"))
            return None
        if vendor is None:
            wrong = "an unknown type" if entry.get("type") else "missing"
            self._unknown(place.below("type"), wrong, self._vendors)
            return None
        try:
            settings: ProviderSettings = vendor.settings.model_validate({**self._inherited, **entry})
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                self._note(detail, place, vendor)
            return None
        self._check_words(settings, place, vendor)
        return settings

    def _check_words(self, settings: ProviderSettings, place: WrittenPlace, vendor: VendorType) -> None:
        """Notes names of feeds that the type has not, and words that mean nothing."""
        kinds = (*vendor.kinds, *vendor.more_kinds)
        for index, kind in enumerate(settings.feeds or []):
            if kind not in kinds:
                self._unknown(place.below("feeds", index), "an unknown feed", kinds)
        for kind in settings.watch.tasks:
            polled = [one for one in settings.feeds or () if one in kinds] or vendor.kinds
            if kind not in polled:
                self._unknown(place.below("watch", "tasks", kind), "no feed of this provider", polled, kind)
        for name in ("states", "reasons"):
            for kind, table in getattr(settings, name).items():
                if kind not in kinds:
                    self._unknown(place.below(name, kind), "no feed of this type", kinds, kind)
                for steps, words in faults_of_words(table):
                    place.below(name, kind, *steps).fault(words)
        if settings.feeds == []:
            place.below("feeds").fault(f"empty; allowed: {', '.join(kinds)}")

    def _unknown(self, place: WrittenPlace, wrong: str, allowed: Iterable[str], written: str | None = None) -> None:
        """A word that is none of those that may stand here."""
        written = written or place.document.written(place.path) or ""
        other = {name: one.name for one in self._vendors.values() for name in one.other_names}
        meant = other.get(written.lower(), "") if place.path[-1] == "type" else ""
        hint = f"; did you mean {meant}?" if meant else slips.hint(written, allowed)
        place.fault(told_of(written, f"{wrong}{hint}; allowed: {', '.join(sorted(allowed))}"))

    def _check_name(self, name: object, place: WrittenPlace) -> None:
        if not isinstance(name, str):
            return
        first = self._names.setdefault(name, place)
        if first is not place:
            taken = f"already the name of the provider in {first.seen_from(place)}"
            place.fault(f"{taken}; give each provider a name of its own")

    def _check_common(self, entry: dict[str, Any], place: WrittenPlace) -> None:
        """Notes what is wrong with what a provider of any type may have."""
        try:
            ProviderSettings.model_validate({**self._inherited, **entry})
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                if detail["type"] not in ("extra_forbidden", "missing"):
                    note_fault(place.document, detail, place.path, ProviderSettings)

    def _note(self, detail: ErrorDetails, place: WrittenPlace, vendor: VendorType) -> None:
        if detail["loc"] == ("watch", "tasks") and detail["type"] == "dict_type":
            told = f"not a mapping; write the ids by feed, such as `{vendor.kinds[0]}: [ID, ID]`"
            place.below("watch", "tasks").fault(told)
        else:
            note_fault(place.document, detail, place.path, vendor.settings, self._vendors)
