"""Small files that may be anything, on a file system that may not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config.files.reread import in_background, read, waited_for


def test_a_file_system_that_does_not_answer_is_an_error() -> None:
    answer = threading.Event()
    call = in_background(answer.wait)
    with pytest.raises(OSError, match="The file system does not answer"):
        waited_for(call, 0.01)
    answer.set()
    assert waited_for(call, 30)


@pytest.mark.parametrize("error", [TimeoutError("ours"), ValueError("ours"), FileNotFoundError("ours")])
def test_an_error_is_raised_where_the_result_is_wanted(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error), match="ours"):
        waited_for(in_background(fail), 30)


@pytest.mark.parametrize("of", [lambda file: file, lambda file: file.with_name("link")])
def test_a_regular_file_is_read_whole_or_not_at_all(tmp_path: Path, of: Callable[[Path], Path]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1024)
    (tmp_path / "link").symlink_to("file")
    assert read(of(file), 1024) == b"x" * 1024
    with pytest.raises(ValueError, match="larger than 0 KiB"):
        read(of(file), 1023)
