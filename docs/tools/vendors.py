"""The table of vendors in README."""

from __future__ import annotations

from collections.abc import Iterator

from docs.tools.markdown import DOCS, table, with_part, words
from exporter.simulator import SEEDS, fake_of
from exporter.tasks import Clock
from exporter.vendors.registry import built_in
from exporter.vendors.vendor import Vendor


def readme() -> str:
    """README with the vendors that are built in: those of the first release, then the others by name."""
    known = built_in()
    others = sorted((name for name in known if name not in SEEDS), key=lambda name: known[name].title.lower())
    rows = (_row(known[name]) for name in (*SEEDS, *others))
    text = "\n".join(table(("vendor", "`type`", "feeds (label `kind`)", "tasks are read", "times"), rows))
    return with_part(DOCS.parent / "README.md", "vendors", text)


def _row(vendor: Vendor) -> Iterator[str]:
    tells = vendor.tells.values()
    yield f"[{vendor.title}](docs/vendors/{vendor.name}.md)"
    yield f"`{vendor.name}`"
    yield words(vendor.kinds)
    yield _read(vendor)
    yield "the vendor's" if any(one.clock is Clock.PROVIDER for one in tells) else "observed"


def _read(vendor: Vendor) -> str:
    """How the exporter comes to know of tasks."""
    tells = vendor.tells.values()
    if not any(one.listed for one in tells):
        return "by id"
    if not fake_of(vendor.name).lists_in_flight:
        return "ended ones from a list, in flight by id"
    needs = next((one.list_needs for one in tells if one.list_needs), "")
    return f"from a list, with `{needs}`; or by id" if needs else "from a list"
