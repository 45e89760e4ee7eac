"""Which ids are followed: out of the settings, and out of files that come, change, break and go."""

from __future__ import annotations

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.settings import WatchSettings
from exporter.watch import Watch
from exporter.watch.files import WatchedFiles
from exporter.watch.groups import KINDS


def write(path: Path, **kinds: list[str]) -> Path:
    """A watch file of its form, whose time of change differs from that of the one before."""
    return write_text(path, json.dumps([{"kind": kind, "ids": ids} for kind, ids in kinds.items()]))


def write_text(path: Path, text: str) -> Path:
    before = path.stat().st_mtime_ns if path.exists() else 10**18
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


def watch(*patterns: object) -> WatchedFiles:
    return WatchedFiles("vendor", [str(pattern) for pattern in patterns])


async def test_ids_come_from_the_settings_and_the_files_each_once_and_in_order(tmp_path: Path) -> None:
    write(tmp_path / "b.json", sora=["3", "1", "4"], video=["9"])
    write(tmp_path / "a.json", sora=["2"])
    both = Watch("vendor", WatchSettings(tasks={"sora": ["1", "2"]}, files=[str(tmp_path / "*.json")]))
    assert await both.ids("sora") == ["1", "2", "3", "4"]
    assert await both.ids("video") == ["9"]
    assert await both.ids("other") == []


async def test_what_cannot_be_used_is_told_until_it_can(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.json", "{}")
    one = Watch("vendor", WatchSettings(files=[str(path)]))
    assert await one.ids("sora") == []
    assert one.troubles == [f'{path}: not of the form [{{"kind": "...", "ids": ["..."]}}]']
    write(path, sora=["1"])
    assert await one.ids("sora") == ["1"]
    assert one.troubles == []


async def test_a_kind_that_no_feed_has_is_told_and_spoils_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.json", sora=["1"], sorra=["2"])
    one = Watch("vendor", WatchSettings(files=[str(path)]))
    for _ in range(3):
        assert await one.ids("sora") == ["1"]
    said = f"names a kind that no feed has; allowed: {', '.join(KINDS)}"
    assert one.troubles == [f"{path}: {said}"]
    assert [(record.levelno, vars(record)["error"]) for record in caplog.records] == [(logging.WARNING, said)]
    write(path, sora=["1", "2"], video=["3"])
    assert await one.ids("sora") == ["1", "2"]
    assert one.troubles == []


async def test_a_bad_file_that_goes_is_no_trouble_any_more(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.json", "")
    one = Watch("vendor", WatchSettings(files=[str(tmp_path / "*.json")]))
    await one.ids("sora")
    assert one.troubles == [f"{path}: not JSON"]
    path.unlink()
    await one.ids("sora")
    assert one.troubles == []


def test_a_file_may_name_a_kind_more_than_once(tmp_path: Path) -> None:
    groups = [{"kind": "sora", "ids": ["1"]}, {"kind": "sora", "ids": ["2"], "note": "more keys do no harm"}]
    assert watch(write_text(tmp_path / "a.json", json.dumps(groups))).ids("sora") == ["1", "2"]


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", sora=["1"])
    one = watch(path)
    assert one.ids("sora") == ["1"]
    write(path, sora=["2"])
    assert one.ids("sora") == ["2"]


def test_a_file_that_replaces_another_of_the_same_size_and_time_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", sora=["1"])
    one = watch(path)
    assert one.ids("sora") == ["1"]
    other = write(tmp_path / "new", sora=["2"])
    os.utime(other, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert one.ids("sora") == ["2"]


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", sora=["1"])
    one = watch(path)
    assert one.ids("sora") == ["1"]
    status = path.stat()
    path.write_text(path.read_text().replace("1", "2"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert one.ids("sora") == ["1"]


def test_files_come_and_go(tmp_path: Path) -> None:
    one = watch(tmp_path / "*.json")
    assert one.ids("sora") == []
    path = write(tmp_path / "a.json", sora=["1"])
    assert one.ids("sora") == ["1"]
    path.unlink()
    assert one.ids("sora") == []


BAD = [
    pytest.param("", "not JSON", id="empty"),
    pytest.param('[{"kind": "sora", "ids": ["1"', "not JSON", id="cut off"),
    pytest.param("[" * 200_000, "not JSON", id="nested"),
    pytest.param("{}", "not of the form", id="an object"),
    pytest.param('["1"]', "not of the form", id="bare ids"),
    pytest.param('[{"ids": ["1"]}]', "not of the form", id="no kind"),
    pytest.param('[{"kind": "sora", "ids": "1"}]', "not of the form", id="one id alone"),
    pytest.param('[{"kind": "sora", "ids": [1]}]', "an id is not a text", id="a number"),
    pytest.param('[{"kind": "sora", "ids": [""]}]', "an id is not a text", id="an empty id"),
    pytest.param('[{"kind": "sora", "ids": ["a\\nb"]}]', "an id is not a text", id="a line break"),
    pytest.param('[{"kind": "sora", "ids": ["\\ud800"]}]', "an id is not a text", id="half a character"),
    pytest.param(f'[{{"kind": "sora", "ids": ["{"x" * 129}"]}}]', "an id is not a text", id="too long"),
]


@pytest.mark.parametrize(("text", "error"), BAD)
def test_a_bad_file_keeps_its_last_good_ids_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, error: str
) -> None:
    path = write(tmp_path / "a.json", sora=["1"])
    write(tmp_path / "b.json", sora=["2"])
    one = watch(tmp_path / "*.json")
    assert one.ids("sora") == ["1", "2"]
    write_text(path, text)
    for _ in range(3):
        assert one.ids("sora") == ["1", "2"]
    assert [(record.levelno, vars(record)["file"]) for record in caplog.records] == [(logging.WARNING, str(path))]
    assert error in vars(caplog.records[0])["error"]
    assert caplog.records[0].exc_info is None
    write_text(path, text)
    one.ids("sora")
    assert len(caplog.records) == 2
    write(path, sora=["3"])
    assert one.ids("sora") == ["3", "2"]


def test_bytes_that_are_no_text_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"kind": "sora", "ids": ["\xff\xfe"]}]')
    assert watch(tmp_path / "a.json").ids("sora") == []
    assert [vars(record)["error"] for record in caplog.records] == ["not JSON"]


def test_what_is_no_file_is_told_once_and_hides_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "gone.json")
    write(tmp_path / "z.json", sora=["1"])
    one = watch(tmp_path / "*.json")
    for _ in range(3):
        assert one.ids("sora") == ["1"]
    told = {Path(vars(record)["file"]).name: vars(record)["error"] for record in caplog.records}
    assert told == {
        "folder.json": "not a regular file",
        "pipe.json": "not a regular file",
        "link.json": "No such file or directory",
    }
    assert len(caplog.records) == len(told)


def test_patterns_may_be_relative_to_where_the_exporter_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    write(tmp_path / "tasks" / "a.json", sora=["1"])
    monkeypatch.chdir(tmp_path)
    assert watch("tasks/*.json").ids("sora") == ["1"]
    assert watch("./tasks/a.json").ids("sora") == ["1"]


def test_patterns_may_reach_into_folders(tmp_path: Path) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    write(tmp_path / "deep" / "down" / "a.json", sora=["1"])
    assert watch(tmp_path / "**" / "*.json").ids("sora") == ["1"]


@pytest.mark.parametrize("pattern", ["", "/", "**x/a.json", "[", "a**", "no/such/folder/*.json", "."])
def test_a_pattern_that_matches_nothing_useful_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert watch(pattern).ids("sora") == []


def test_two_feeds_may_ask_at_once(tmp_path: Path) -> None:
    """They do so from threads, while files come and go."""
    one = watch(tmp_path / "*.json")
    with ThreadPoolExecutor(4) as pool:
        for turn in range(40):
            for number in range(8):
                path = tmp_path / f"{number}.json"
                if (turn + number) % 3:
                    path.unlink(missing_ok=True)
                else:
                    write(path, sora=[str(number)], video=[str(number)])
            there = {path.stem for path in tmp_path.iterdir()}
            for answer in pool.map(one.ids, ["sora", "video"] * 4):
                assert set(answer) == there
