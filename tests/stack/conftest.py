"""One stack for all tests that need it: it takes half a minute to come to what they look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from .running import Stack, running
from .servers import WaitFor

if TYPE_CHECKING:
    from .running import Exporters


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory, program: Callable[..., str], wait_for: WaitFor, exporters: Exporters
) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack"), program, wait_for, exporters) as stack:
        yield stack
