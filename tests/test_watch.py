"""Which ids are followed: out of the settings, and out of files that come, change, break and go."""

from __future__ import annotations

import json
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.config.models import WatchSettings
from exporter.polling.watch import Watch, groups
from exporter.polling.watch.files import WatchedFiles
from exporter.vendors.registry import Registry
from tests.harness import VENDORS


def write(path: Path, **kinds: list[str]) -> Path:
    """A watch file of its form, whose time of change differs from that of the one before."""
    return write_text(path, json.dumps([{"kind": kind, "ids": ids} for kind, ids in kinds.items()]))


def write_text(path: Path, text: str) -> Path:
    before = path.stat().st_mtime_ns if path.exists() else 10**18
    path.write_text(text)
    os.utime(path, ns=(before + 10**9, before + 10**9))
    return path


KINDS = VENDORS.kinds


class Files(WatchedFiles):
    def ids(self, kind: str) -> list[str]:
        """The ids of a feed, file by file."""
        return [task_id for ids in self.by_file(kind) for task_id in ids]


def watch(*patterns: object) -> Files:
    return Files("vendor", [str(pattern) for pattern in patterns], None, KINDS)


def test_a_source_that_names_kinds_is_made_again_when_there_are_others(tmp_path: Path) -> None:
    fewer = Registry({name: VENDORS.entries[name] for name in ("deerapi", "facewap")})
    of_files = Watch("vendor", WatchSettings(files=[str(tmp_path / "*.json")]), known=KINDS)
    assert [of_files.is_of(types) for types in (VENDORS, fewer)] == [True, False]
    of_settings = Watch("vendor", WatchSettings(tasks={"sora": ["1"]}))
    assert [of_settings.is_of(types) for types in (VENDORS, fewer)] == [True, True]


async def test_ids_come_from_the_settings_and_the_files_each_once_and_in_order(tmp_path: Path) -> None:
    write(tmp_path / "b.json", sora=["3", "1", "4"], video=["9"])
    write(tmp_path / "a.json", sora=["2"])
    both = Watch("vendor", WatchSettings(tasks={"sora": ["1", "2"]}, files=[str(tmp_path / "*.json")]), known=KINDS)
    assert await both.ids("sora") == ["1", "2", "3", "4"]
    assert await both.ids("video") == ["9"]
    assert await both.ids("other") == []


async def test_what_cannot_be_used_is_told_until_it_can(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.json", "{}")
    one = Watch("vendor", WatchSettings(files=[str(path)]), known=KINDS)
    assert await one.ids("sora") == []
    assert one.troubles == [f'{path}: not of the form [{{"kind": "...", "ids": ["..."]}}]']
    write(path, sora=["1"])
    assert await one.ids("sora") == ["1"]
    assert one.troubles == []


async def test_a_kind_that_no_feed_has_is_told_and_spoils_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.json", sora=["1"], sorra=["2"])
    one = Watch("vendor", WatchSettings(files=[str(path)]), known=KINDS)
    for _ in range(3):
        assert await one.ids("sora") == ["1"]
    said = f"names a kind that no feed has; allowed: {', '.join(sorted(KINDS))}"
    assert one.troubles == [f"{path}: {said}"]
    assert [(record.levelno, vars(record)["error"]) for record in caplog.records] == [(logging.WARNING, said)]
    write(path, sora=["1", "2"], video=["3"])
    assert await one.ids("sora") == ["1", "2"]
    assert one.troubles == []


async def test_a_bad_file_that_goes_is_no_trouble_any_more(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.json", "")
    write(tmp_path / "b.json", sora=["1"])
    one = Watch("vendor", WatchSettings(files=[str(tmp_path / "*.json")]), known=KINDS)
    await one.ids("sora")
    assert one.troubles == [f"{path}: empty; an empty list is written []"]
    path.unlink()
    await one.ids("sora")
    assert one.troubles == []


@pytest.mark.parametrize(
    ("text", "ids"), [('{"operation": ["models/veo/a", "b"]}', ["models/veo/a", "b"]), ('[{"operation": "c"}]', ["c"])]
)
def test_a_kind_may_have_the_name_of_a_field_of_ids(text: str, ids: list[str]) -> None:
    assert groups.read(text.encode(), "operation", frozenset({"operation"})).kinds == {"operation": ids}


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
    pytest.param("", "empty", id="empty"),
    pytest.param('[{"kind": "sora", "ids": ["1"', "not JSON: line 1, column 30", id="cut off"),
    pytest.param('[{"kind": "sora",\n"ids": ["1",]}]', "not JSON: line 2", id="a comma too many"),
    pytest.param("[" * 200_000, "not JSON", id="nested"),
    pytest.param("{}", "not of the form", id="an object"),
    pytest.param("<html>", "HTML", id="a page"),
    pytest.param('["1"]', "[0]: names no kind", id="bare ids"),
    pytest.param('[{"ids": ["1"]}]', "[0].ids[0]: names no kind", id="no kind"),
    pytest.param('[{"kind": "sora", "ids": "1"}]', "not of the form", id="one id alone"),
    pytest.param('[{"kind": "sora", "ids": [1]}]', "[0].ids[0]: not a task id: a number", id="a number"),
    pytest.param('[{"kind": "sora", "ids": [""]}]', "not a task id: empty", id="an empty id"),
    pytest.param('[{"kind": "sora", "ids": ["a\\nb"]}]', "cannot be printed", id="a line break"),
    pytest.param('[{"kind": "sora", "ids": ["\\ud800"]}]', "cannot be printed", id="half a character"),
    pytest.param(f'[{{"kind": "sora", "ids": ["{"x" * 513}"]}}]', "513 characters; allowed: 512", id="too long"),
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
    assert [vars(record)["error"] for record in caplog.records] == [
        "[0].ids[0]: not a task id: holds a character that cannot be printed"
    ]


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
        "folder.json": "Is a directory",
        "pipe.json": "Is a pipe",
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


# Forms that people have their ids in.

IDS = ["task_1", "a b/c", "x" * 512, "视频-\"ü'"]
QUOTED = [json.dumps(one) for one in IDS]
FORMS = [
    pytest.param(json.dumps({"kind": "sora", "ids": IDS}), id="one object"),
    pytest.param(json.dumps({"sora": IDS}), id="by kind"),
    pytest.param(json.dumps({"Sora": IDS}), id="a kind in another case"),
    pytest.param(json.dumps(IDS), id="ids alone"),
    pytest.param(json.dumps({"ids": IDS}), id="ids in an object"),
    pytest.param(json.dumps([{"id": 7, "task_id": one, "created": 1} for one in IDS]), id="rows"),
    pytest.param(json.dumps([{"id": one, "kind": "sora"} for one in IDS]), id="rows with kinds"),
    pytest.param(json.dumps({"code": 0, "data": {"items": [{"taskId": one} for one in IDS]}}), id="an envelope"),
    pytest.param(json.dumps({"data": [{"kind": "sora", "ids": IDS}]}), id="an envelope of groups"),
    pytest.param("\n".join(json.dumps({"kind": "sora", "ids": [one]}) for one in IDS), id="JSON lines of groups"),
    pytest.param("\r\n".join(json.dumps({"task_id": one}) for one in IDS) + "\r\n\r\n", id="JSON lines of rows"),
    pytest.param("# from the database\n" + "\n".join(IDS) + "\n\n", id="an id a line"),
    pytest.param("\r\n".join(f"  {one}  " for one in IDS), id="blanks and CRLF"),
    pytest.param("\n".join(f"'{one}'," for one in IDS), id="copied out of a list"),
    pytest.param("created,Task_ID\n" + "\n".join(f'1,"{o.replace(chr(34), chr(34) * 2)}"' for o in IDS), id="CSV"),
    pytest.param("id;kind\n" + "\n".join(f"{one.replace(chr(34), '')};SORA" for one in IDS), id="CSV of kinds"),
    pytest.param("task_id\n" + "\n".join(one.replace('"', "") for one in IDS), id="one column"),
    pytest.param(json.dumps([{"kind": "sora", "ids": [f" {one}\n" for one in IDS]}]), id="blanks within JSON"),
    pytest.param(json.dumps({"task_ids": IDS}), id="ids by the name of a field"),
    pytest.param(json.dumps({"ok": True, "result": {"jobs": [{"jobId": one} for one in IDS]}}), id="nested envelopes"),
    pytest.param(json.dumps([{"uuid": one, "prompt": "x"} for one in IDS]), id="rows with another field"),
    pytest.param("\n".join(QUOTED), id="JSON lines of ids"),
    pytest.param("# from the log\n\nTask ID\tat\n" + "\n".join(f"{o.replace(chr(34), '')}\t1" for o in IDS), id="TSV"),
    pytest.param("".join(f"- {one}\n" for one in IDS), id="a YAML list"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", FORMS)
def test_ids_are_read_in_any_common_form(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "ids"
    path.write_bytes(text.encode(encoding))
    one = Files("vendor", [str(path)], "sora", KINDS)
    found = one.ids("sora")
    assert one.troubles == []
    assert [each.replace('"', "") for each in found] == [each.replace('"', "") for each in IDS]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('["1", 2, "3"]', "[1]: not a task id: a number"),
        ('["1", "a\\u0000b", "3"]', "[1]: not a task id: holds a character that cannot be printed"),
        (json.dumps([{"kind": "sora", "ids": ["1", "x" * 513, "3"]}]), "[0].ids[1]: not a task id: 513 characters"),
        ('[{"task_id": "1"}, {"name": "x"}, {"task_id": "3"}]', "[1]: not of the form"),
        ('{"task_id": "1"}\n{"task_id": \n{"task_id": "3"}', "line 2: not JSON"),
        (f"1\n{'x' * 513}\n3\n", "line 2: not a task id: 513 characters"),
        ("1\n2,2026-11-26\n3", "line 2: several columns without a header"),
        ("task_id,at\n1,x\n,y\n3,z", "line 3: not a task id: empty"),
        ("# from the log\n\ntask_id,at\n1,x\n,y\n3,z", "line 5: not a task id: empty"),
        (json.dumps(["1", *[""] * 9, "3"]), "[3]: not a task id: empty; and 6 more"),
    ],
)
def test_one_bad_id_costs_itself_and_is_told_by_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    path = write_text(tmp_path / "ids", text)
    one = Files("vendor", [str(path)], "sora", KINDS)
    for _ in range(3):
        assert one.ids("sora") == ["1", "3"]
    assert told in one.troubles[0]
    assert [vars(record)["error"] for record in caplog.records] == [one.troubles[0].removeprefix(f"{path}: ")]


def test_a_list_on_one_line_is_a_list(tmp_path: Path) -> None:
    one = Files("vendor", [str(write_text(tmp_path / "ids", "1, 2,'3',\n"))], "sora", KINDS)
    assert (one.ids("sora"), one.troubles) == (["1", "2", "3"], [])


def test_a_file_that_is_not_there_is_told_until_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, pattern = tmp_path / "ids.json", tmp_path / "more*.json"
    one = watch(path, pattern)
    for _ in range(3):
        assert one.ids("sora") == []
    assert one.troubles == [f"{path}: no such file", f"{pattern}: no file matches"]
    told = [(record.levelno, vars(record)["file"]) for record in caplog.records]
    assert told == [(logging.WARNING, str(path)), (logging.WARNING, str(pattern))]
    write(path, sora=["1"])
    write(tmp_path / "more1.json", sora=["2"])
    assert (one.ids("sora"), one.troubles) == (["1", "2"], [])


async def sources_of(one: Watch) -> dict[str, bool]:
    await one.ids("sora")
    return dict(one.sources_up)


async def test_each_pattern_is_a_source_that_is_up_while_all_its_files_can_be_read(tmp_path: Path) -> None:
    missing, pattern = str(tmp_path / "ids.json"), str(tmp_path / "more/*.json")
    one = Watch("vendor", WatchSettings(files=[missing, pattern]), known=KINDS)
    assert not one.sources_up  # nothing was tried
    assert await sources_of(one) == {missing: False, pattern: False}
    (tmp_path / "more").mkdir()
    write(tmp_path / "more/a.json", sora=["1"])
    assert await sources_of(one) == {missing: False, pattern: True}
    bad = write_text(tmp_path / "more/b.json", "{")
    assert await sources_of(one) == {missing: False, pattern: False}
    write_text(bad, json.dumps([{"kind": "sora", "ids": ["2", ""]}]))
    write(tmp_path / "ids.json", sora=["3"])
    assert await sources_of(one) == {missing: True, pattern: True}  # one bad id costs itself alone
    assert one.troubles == [f"{bad}: [0].ids[1]: not a task id: empty"]


async def test_the_same_pattern_twice_is_one_source(tmp_path: Path) -> None:
    pattern = str(write(tmp_path / "a.json", sora=["1"]))
    one = Watch("vendor", WatchSettings(files=[pattern, pattern]), known=KINDS)
    await one.ids("sora")
    assert one.sources_up == ((pattern, True),)


async def test_ids_of_the_settings_are_no_source() -> None:
    one = Watch("vendor", WatchSettings(tasks={"sora": ["1"]}))
    await one.ids("sora")
    assert one.sources_up == ()
