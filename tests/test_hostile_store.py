"""The ledger's file in the hands of a hostile world: damaged, unwritable, out of room, old. docs/reliability.md."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from exporter.ledger.counters import Counters
from exporter.ledger.errors import StoreError
from exporter.ledger.sqlite.file import SqliteFile
from exporter.ledger.store import Changes
from exporter.simulator import FACE_SWAP, Life
from exporter.tasks import State, Task
from tests.harness import Exporter, Site, Start

START = 1_700_000_000.0
FINISHED = ("finished_total", "succeeded")
NOBODY = 65534

# --- A ledger, and what may happen to its file


def commit(store: SqliteFile, *tasks: Task, total: float, since: float = START, kind: str = "face_swap") -> None:
    store.commit(Changes("swaps", kind, since, since, since, tasks, Counters({FINISHED: total})))


def ended(number: int, at: float = START) -> Task:
    return Task(f"{number:018}", State.SUCCEEDED, first_seen=at, changed=at, submitted=at - 60, ended=at)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A sound one of many pages, closed."""
    path = tmp_path / "ledger.sqlite3"
    store = SqliteFile(str(path))
    commit(store, *map(ended, range(3000)), Task("in flight", State.RUNNING, START, START), total=3000)
    store.close()
    return path


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def change(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_inside_the_header(path: Path) -> None:
    os.truncate(path, 10)


def garbage_for_a_header(path: Path) -> None:
    overwrite(path, 0, Random(1).randbytes(100))


def random_bytes_in_the_middle(path: Path) -> None:
    overwrite(path, path.stat().st_size // 2, Random(2).randbytes(3 * 4096))


def zeros_in_the_middle(path: Path) -> None:
    overwrite(path, path.stat().st_size // 2, bytes(3 * 4096))


def nothing_but_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def nothing_but_garbage(path: Path) -> None:
    path.write_bytes(Random(3).randbytes(10_000))


def a_text(path: Path) -> None:
    path.write_text("no ledger any more\n" * 100)


def an_index_in_ruins(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        ((page,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks_placed'")
    overwrite(path, (page - 1) * 4096, Random(6).randbytes(4096))


def a_state_that_there_is_not(path: Path) -> None:
    change(path, "UPDATE tasks SET state = 'melted' WHERE id = 'in flight'")


def a_reason_that_there_is_not(path: Path) -> None:
    change(path, "UPDATE tasks SET reason = 'bad luck' WHERE id = 'in flight'")


def an_id_that_is_no_text(path: Path) -> None:
    change(path, "UPDATE tasks SET id = CAST(x'fffe80' AS TEXT) WHERE id = '000000000000000007'")


def a_count_without_a_name(path: Path) -> None:
    change(path, "UPDATE counts SET key = '[\"finished'")


DAMAGES = (
    cut_in_half,
    cut_inside_the_header,
    garbage_for_a_header,
    random_bytes_in_the_middle,
    zeros_in_the_middle,
    nothing_but_zeros,
    nothing_but_garbage,
    a_text,
    an_index_in_ruins,
    a_state_that_there_is_not,
    a_reason_that_there_is_not,
    an_id_that_is_no_text,
    a_count_without_a_name,
)


TOLD: dict[Callable[[Path], None], str] = {
    a_state_that_there_is_not: "a task in no known state",
    a_reason_that_there_is_not: "a task in no known state",
    an_id_that_is_no_text: "text that cannot be read",
    a_count_without_a_name: "text that cannot be read",
    nothing_but_garbage: "file is not a database",
    an_index_in_ruins: "*** in database main ***; ",
}
"""How the log begins to tell of a damage, where that is ours to say or always the same."""


def losses_logged(caplog: pytest.LogCaptureFixture) -> int:
    return sum(record.levelno == logging.ERROR for record in caplog.records)


# --- Damaged


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_ledger_is_set_aside_and_a_new_one_begun(
    ledger: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(ledger)
    before = ledger.read_bytes()
    store = SqliteFile(str(ledger))
    assert store.losses == 1
    assert Path(f"{ledger}.lost-1").read_bytes() == before
    assert losses_logged(caplog) == 1
    (told,) = (vars(record) for record in caplog.records if record.levelno == logging.ERROR)
    assert told["message"] == "the ledger was damaged; it was set aside and a new one started"
    assert (told["path"], told["kept_as"]) == (str(ledger), f"{ledger}.lost-1")
    assert told["damage"].startswith(TOLD.get(damage, ""))
    record = store.load("swaps", "face_swap")
    assert (record.since, record.counts, record.in_flight) == (None, {}, [])
    commit(store, ended(1), total=1)
    store.close()

    again = SqliteFile(str(ledger))
    assert again.losses == 1
    assert again.load("swaps", "face_swap").counts == {FINISHED: 1}
    assert losses_logged(caplog) == 1
    again.close()
    assert sorted(path.name for path in ledger.parent.iterdir()) == ["ledger.sqlite3", "ledger.sqlite3.lost-1"]


def test_a_sound_ledger_is_left_alone(ledger: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteFile(str(ledger))
    assert store.losses == 0
    assert store.load("swaps", "face_swap").counts == {FINISHED: 3000}
    assert losses_logged(caplog) == 0
    store.close()
    assert [path.name for path in ledger.parent.iterdir()] == ["ledger.sqlite3"]


def test_an_earlier_loss_is_never_overwritten(ledger: Path) -> None:
    kept = []
    for number in (1, 2, 3):
        random_bytes_in_the_middle(ledger)
        kept.append(ledger.read_bytes())
        store = SqliteFile(str(ledger))
        assert store.losses == number
        commit(store, *(ended(10_000 * number + n) for n in range(3000)), total=3000)
        store.close()
    assert [Path(f"{ledger}.lost-{number}").read_bytes() for number in (1, 2, 3)] == kept


def test_a_name_that_another_log_would_belong_to_is_not_taken(ledger: Path) -> None:
    """SQLite would take what lies beside a file for its own."""
    left = Path(f"{ledger}.lost-1-wal"), Path(f"{ledger}.lost-2-journal")
    for one in left:
        one.write_text("of an earlier loss")
    nothing_but_garbage(ledger)
    store = SqliteFile(str(ledger))
    store.close()
    assert Path(f"{ledger}.lost-3").exists()
    assert [one.read_text() for one in left] == ["of an earlier loss"] * 2


def test_losses_go_on_where_they_were_when_the_files_have_been_cleared_away(ledger: Path) -> None:
    for number in (1, 2):
        if number == 2:
            Path(f"{ledger}.lost-1").unlink()
        change(ledger, "INSERT INTO counts (feed, key, value) VALUES (1, 'no json', 1.0)")
        store = SqliteFile(str(ledger))
        assert store.losses == number
        store.load("swaps", "face_swap")
        store.close()
    assert Path(f"{ledger}.lost-2").exists()


def test_a_loss_is_counted_though_the_process_dies_before_the_new_ledger_is_there(ledger: Path) -> None:
    ledger.rename(f"{ledger}.lost-1")
    store = SqliteFile(str(ledger))
    assert store.losses == 1
    store.close()


def left_by_a_kill(ledger: Path) -> tuple[Path, Path]:
    """A copy of the file and the log beside it, as a killed process leaves them."""
    store = SqliteFile(str(ledger))
    commit(store, ended(5000), total=3001)
    place = ledger.parent / "killed"
    place.mkdir()
    for name in (ledger.name, f"{ledger.name}-wal"):
        shutil.copy(ledger.parent / name, place / name)
    store.close()
    copy = place / ledger.name
    return copy, Path(f"{copy}-wal")


def test_the_log_beside_a_damaged_ledger_is_kept_with_it(ledger: Path) -> None:
    copy, log = left_by_a_kill(ledger)
    garbage_for_a_header(copy)
    overwrite(log, 40, bytes(4096))  # or the log would put the header right again
    before = log.read_bytes()
    assert before
    store = SqliteFile(str(copy))
    assert store.losses == 1
    assert Path(f"{copy}.lost-1-wal").read_bytes() == before
    store.close()


def test_a_log_is_kept_though_the_file_it_belongs_to_has_been_emptied(
    ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy, log = left_by_a_kill(ledger)
    before = log.read_bytes()
    os.truncate(copy, 0)
    store = SqliteFile(str(copy))
    assert store.losses == 1
    assert vars(caplog.records[-1])["damage"] == "the file is empty, but its write-ahead log is not"
    assert Path(f"{copy}.lost-1-wal").read_bytes() == before
    store.close()


def test_an_empty_file_is_a_new_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.touch()
    store = SqliteFile(str(path))
    assert store.losses == 0
    commit(store, ended(1), total=1)
    store.close()


def test_a_file_that_never_was_a_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("providers: []\n" * 100)
    with pytest.raises(StoreError, match=r"config\.yaml: file is not a database; not a ledger, set another"):
        SqliteFile(str(path))
    assert path.read_text() == "providers: []\n" * 100
    assert [one.name for one in tmp_path.iterdir()] == ["config.yaml"]


def test_a_ledger_is_known_by_what_is_left_of_it_whatever_its_name(ledger: Path) -> None:
    plain = ledger.rename(ledger.with_name("tasks"))
    garbage_for_a_header(plain)
    store = SqliteFile(str(plain))
    assert store.losses == 1
    store.close()


def test_a_file_that_another_exporter_holds_is_never_set_aside(ledger: Path) -> None:
    first = SqliteFile(str(ledger))
    commit(first, ended(5000), total=3001)
    garbage_for_a_header(ledger)
    with pytest.raises(StoreError, match="another exporter"):
        SqliteFile(str(ledger), patience=0.1)
    assert not Path(f"{ledger}.lost-1").exists()
    first.close()


@pytest.mark.parametrize("seed", range(60))
def test_any_damage_is_survived_or_told(ledger: Path, seed: int) -> None:
    random = Random(seed)
    size = ledger.stat().st_size
    for _ in range(random.randint(1, 20)):
        overwrite(ledger, random.randrange(size), random.randbytes(random.choice((1, 8, 200))))
    if random.random() < 0.3:
        os.truncate(ledger, random.randrange(size))
    before = ledger.read_bytes()
    try:
        store = SqliteFile(str(ledger))
    except StoreError:
        assert ledger.read_bytes() == before
        return
    assert store.losses == Path(f"{ledger}.lost-1").exists()
    if store.losses:
        assert Path(f"{ledger}.lost-1").read_bytes() == before
        commit(store, ended(1), total=1)
    else:  # a byte of a number, or of a page that nobody uses
        with contextlib.suppress(StoreError):
            store.load("swaps", "face_swap", 0.0)
            store.ended_before("swaps", "face_swap", 2e9, 10_000)
            commit(store, *map(ended, range(4000)), total=1)
    store.close()


# --- Out of reach


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """As somebody whom permissions bind, where the tests run as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_written_is_told(shared: Path) -> None:
    path = shared / "ledger.sqlite3"
    SqliteFile(str(path)).close()
    path.chmod(0o444)
    with (
        without_privileges(),
        pytest.raises(StoreError, match=r"ledger\.sqlite3: Permission denied; its folder must be writable too"),
    ):
        SqliteFile(str(path))


def test_a_folder_that_may_not_be_written_is_told(shared: Path) -> None:
    path = shared / "ledger.sqlite3"
    SqliteFile(str(path)).close()
    path.chmod(0o666)
    shared.chmod(0o555)
    with (
        without_privileges(),
        pytest.raises(StoreError, match=r"ledger\.sqlite3: .*; its folder must be writable too"),
    ):
        SqliteFile(str(path))
    with without_privileges(), pytest.raises(StoreError, match="Permission denied"):
        SqliteFile(str(shared / "other.sqlite3"))
    shared.chmod(0o755)


def test_a_damaged_ledger_that_cannot_be_set_aside_is_told(shared: Path) -> None:
    path = shared / "ledger.sqlite3"
    nothing_but_garbage(path)
    path.chmod(0o666)
    shared.chmod(0o555)
    said = r"ledger\.sqlite3: damaged \(file is not a database\), and cannot be renamed: Permission denied"
    with without_privileges(), pytest.raises(StoreError, match=said):
        SqliteFile(str(path))
    shared.chmod(0o755)


# --- The whole exporter on such files

FLAGS = ("--config.file=config.yaml", "--web.listen-address=127.0.0.1:0")
UP = 'videotask_up{kind="face_swap",provider="swaps"}'
SUCCEEDED = 'videotask_finished_total{kind="face_swap",provider="swaps",state="succeeded"}'
LOSSES = "videotask_ledger_losses_total"


@pytest.fixture
def running(start: Start, live_site: Site, tmp_path: Path) -> Start:
    """Starts an exporter on a ledger, polling one feed of a simulated vendor."""

    def run(ledger: Path) -> Exporter:
        providers = [live_site.account("facewap", name="swaps")]
        settings = {"poll_interval": "50ms", "ledger": {"path": str(ledger)}, "providers": providers}
        (tmp_path / "all.yaml").write_text(json.dumps(settings))  # which is YAML too
        return start(f"--config.file={tmp_path}/all.yaml", "--web.listen-address=127.0.0.1:0")

    return run


def end_of(number: int, at: float) -> Life:
    return Life(f"{number:018}", *FACE_SWAP, at - 2, 1.0, 1.0, State.SUCCEEDED)


def is_up(exporter: Exporter) -> bool:
    return exporter.value(UP) == 1


def test_an_exporter_goes_on_after_a_loss_and_tells_of_it_for_good(
    running: Start, live_site: Site, ledger: Path
) -> None:
    random_bytes_in_the_middle(ledger)
    live_site.world.add(end_of(1, time.time()))
    exporter = running(ledger)
    exporter.wait_for("a sweep", lambda: is_up(exporter))
    assert (exporter.value(LOSSES), exporter.value(SUCCEEDED)) == (1, 1)  # seeded again from the vendor's history
    (line,) = [line for line in exporter.stderr.splitlines() if "level=error" in line]
    assert 'msg="the ledger was damaged; it was set aside and a new one started"' in line
    assert f"kept_as={ledger}.lost-1" in line
    assert exporter.end() == 0
    again = running(ledger)
    again.wait_for("a sweep", lambda: is_up(again))
    assert (again.value(LOSSES), again.value(SUCCEEDED)) == (1, 1)
    assert "level=error" not in again.stderr
    assert again.end() == 0


def test_damage_found_while_running_stops_the_sweeps_alone_and_is_mended_by_a_restart(
    running: Start, live_site: Site, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    store = SqliteFile(str(ledger))
    now = time.time()
    commit(store, *(ended(n * 1000, now - 100_000) for n in range(50_000)), total=50_000, since=now - 50)
    store.close()
    exporter = running(ledger)
    exporter.wait_for("a sweep", lambda: is_up(exporter))
    size = ledger.stat().st_size
    overwrite(ledger, 16384, Random(4).randbytes(size - 16384))
    random = Random(5)
    live_site.world.add(*(end_of(random.randrange(50_000_000), time.time()) for _ in range(50)))
    exporter.wait_for("the feed being down", lambda: exporter.value(UP) == 0)
    assert re.search(
        r'level=warn msg="feed is down" provider=swaps kind=face_swap cause=ledger error=', exporter.stderr
    )
    assert exporter.value(SUCCEEDED) == 50_000
    exporter.process.kill()
    exporter.process.wait()
    again = running(ledger)
    again.wait_for("a sweep", lambda: is_up(again))
    assert (again.value(LOSSES), again.value(SUCCEEDED)) == (1, 50)
    assert again.end() == 0


@pytest.mark.parametrize("again", ["put back", "restarted"])
def test_a_ledger_that_is_moved_away_stops_the_sweeps_until_it_is_right(
    running: Start, live_site: Site, tmp_path: Path, again: str
) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    live_site.world.add(end_of(1, time.time()))
    exporter = running(ledger)
    exporter.wait_for("the first end", lambda: is_up(exporter) and exporter.value(SUCCEEDED) == 1)
    away = ledger.with_name("away")
    ledger.rename(away)
    live_site.world.add(end_of(2, time.time()))
    exporter.wait_for("the feed being down", lambda: exporter.value(UP) == 0)
    assert exporter.value(SUCCEEDED) == 1
    away.rename(ledger)
    if again == "restarted":
        assert exporter.end() == 0
        exporter = running(ledger)
    exporter.wait_for("the feed being up", lambda: is_up(exporter))
    assert (exporter.value(LOSSES), exporter.value(SUCCEEDED)) == (0, 2)
    if again == "put back":
        assert exporter.stderr.count('msg="feed is down"') == exporter.stderr.count('msg="feed is up again"') == 1
        assert re.search(r"cause=ledger error=.*deleted or moved away", exporter.stderr)
    assert exporter.end() == 0


def survives_without_room(
    exporter: Exporter, live_site: Site, fill: Callable[[], object], free: Callable[[], object]
) -> None:
    live_site.world.add(end_of(1, time.time()))
    exporter.wait_for("the first end", lambda: is_up(exporter) and exporter.value(SUCCEEDED) == 1)
    fill()
    live_site.world.add(*(end_of(2 + n, time.time()) for n in range(100)))
    exporter.wait_for("the feed being down", lambda: exporter.value(UP) == 0)
    listed = 'videotask_api_requests_total{code="200",endpoint="list",provider="swaps"}'
    before = exporter.value(listed) or 0
    exporter.wait_for("ten more sweeps", lambda: (exporter.value(listed) or 0) >= before + 10)
    assert (exporter.value(UP), exporter.value(SUCCEEDED)) == (0, 1)
    free()
    exporter.wait_for("the feed being up", lambda: is_up(exporter))
    assert exporter.value(SUCCEEDED) == 101
    assert exporter.stderr.count('msg="feed is down"') == exporter.stderr.count('msg="feed is up again"') == 1
    assert re.search(r"cause=ledger error=.*(disk is full|disk I/O error)", exporter.stderr)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits the files of a running process")
def test_a_limit_on_the_size_of_files_stops_the_sweeps_until_it_is_lifted(
    running: Start, live_site: Site, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    exporter = running(ledger)

    def limit(size: int) -> None:
        resource.prlimit(exporter.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    survives_without_room(exporter, live_site, lambda: limit(4096), lambda: limit(resource.RLIM_INFINITY))
    exporter.process.kill()
    exporter.process.wait()
    again = running(ledger)
    again.wait_for("a sweep", lambda: is_up(again))
    assert (again.value(SUCCEEDED), again.value(LOSSES)) == (101, 0)
    assert again.end() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; skipped where the tests may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no mount")
    if done.returncode:
        pytest.skip("mounting a file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def fill_up(place: Path) -> None:
    """Takes all room that is left, to the last byte."""
    with (place / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(1024)):
            pass


def test_a_full_disk_stops_the_sweeps_until_there_is_room(running: Start, live_site: Site, small_disk: Path) -> None:
    exporter = running(small_disk / "ledger.sqlite3")
    survives_without_room(exporter, live_site, lambda: fill_up(small_disk), lambda: (small_disk / "filler").unlink())
    fill_up(small_disk)
    assert exporter.end() == 0
    (small_disk / "filler").unlink()
    again = running(small_disk / "ledger.sqlite3")
    again.wait_for("a sweep", lambda: is_up(again))
    assert (again.value(SUCCEEDED), again.value(LOSSES)) == (101, 0)
    assert again.end() == 0


def test_a_disk_that_is_full_at_the_start_is_told(small_disk: Path) -> None:
    fill_up(small_disk)
    with pytest.raises(StoreError, match=r"ledger\.sqlite3: (database or disk is full|disk I/O error)"):
        SqliteFile(str(small_disk / "ledger.sqlite3"))


def test_a_ledger_full_of_old_data_goes_on_and_forgets_it(running: Start, live_site: Site, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    store = SqliteFile(str(ledger))
    long_ago = time.time() - 400 * 86400
    stale = [Task(f"stale {n}", State.RUNNING, long_ago, long_ago) for n in range(5)]
    commit(store, *(ended(n, long_ago) for n in range(3000)), *stale, total=3000, since=long_ago)
    store.close()
    live_site.world.add(end_of(5000, time.time()))
    exporter = running(ledger)
    lost = SUCCEEDED.replace("succeeded", "lost")
    exporter.wait_for("the old tasks being lost", lambda: is_up(exporter) and exporter.value(lost) == 5)
    assert exporter.value(SUCCEEDED) == 3001
    listed = 'videotask_api_requests_total{code="200",endpoint="list",provider="swaps"}'
    exporter.wait_for("twenty sweeps", lambda: (exporter.value(listed) or 0) >= 20)
    assert exporter.end() == 0
    with contextlib.closing(sqlite3.connect(ledger)) as database:
        assert database.execute("SELECT count(*) FROM tasks WHERE placed < ?", (long_ago + 1,)).fetchone() == (0,)
