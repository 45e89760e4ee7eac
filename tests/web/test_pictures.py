"""The pictures in docs/pictures are of the pages as they are now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import png
from .pictures import FOLDER, PICTURES, Picture, named, scene

LARGEST = 150_000
"""Bytes of a picture."""

ROOT = Path(__file__).parents[2]
SHOWING = (ROOT / "README.md", ROOT / "docs" / "getting-started.md")

each = pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.file.stem)


def test_there_are_these_pictures_and_no_others() -> None:
    assert sorted(FOLDER.iterdir()) == sorted(picture.file for picture in PICTURES), "run make screenshots"


@each
def test_a_picture_has_its_size_and_is_small(picture: Picture) -> None:
    content = picture.file.read_bytes()
    assert png.size(content) == (picture.width, picture.height)
    assert len(content) < LARGEST


async def test_the_pictures_show_the_present_pages() -> None:
    async with scene() as client:
        pages = {picture: named((await client.get(picture.path)).text) for picture in PICTURES}
    stale = [one.file.name for one, page in pages.items() if png.texts(one.file.read_bytes())["Source"] != page]
    assert stale == [], "run make screenshots"


def test_readme_and_first_steps_show_each_picture_by_day_and_by_night() -> None:
    shown = re.findall(
        r'<source media="\(prefers-color-scheme: dark\)" srcset="(?:docs/)?pictures/(\w+)-dark\.png">\s*'
        r'<img src="(?:docs/)?pictures/\1-light\.png"[^>]* alt="[^"]+">',
        "".join(page.read_text(encoding="utf-8") for page in SHOWING),
    )
    assert sorted(shown) == sorted({picture.name for picture in PICTURES})
