"""One stack for all tests that need it: it takes half a minute to come to what they look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .running import Stack, running


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, program: Callable[..., str]) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), program) as stack:
        yield stack
