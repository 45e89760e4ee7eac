"""The benchmarks work, and what they measured is what the page about it shows. How fast anything is, no test says."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.__main__ import BENCHMARKS
from benchmarks.goals import Result, at_least, at_most, in_turns

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_measures_what_it_says(name: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--json", str(path)]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    results = report.from_json(json.loads(path.read_text())["results"])
    assert results
    for result in results:
        assert result.name in ran.stdout
        assert result.runs or "not on PATH" in result.note, result
        assert all(math.isfinite(figure) and figure >= 0 for figure in (*result.runs, *result.baseline_runs)), result


def test_a_goal_is_held_against_the_figure_or_against_its_share_of_the_baseline() -> None:
    runs, baseline = [2.0, 40.0, 3.0], [4.0, 5.0, 6.0]
    assert Result("one", "s", runs, at_most(3.0)).met is True
    assert Result("one", "s", runs, at_most(2.9)).met is False
    assert Result("one", "s", runs, at_least(0.5, of_baseline=True), "other", baseline).met is True
    assert Result("one", "s", runs, at_least(0.51, of_baseline=True), "other", baseline).met is False
    assert Result("one", "s", runs).met is None
    assert Result("one", "s", [], at_most(3.0), note="not here").met is None


def test_a_ratio_is_that_of_runs_of_the_same_turn() -> None:
    # The machine was ten times slower in the second turn; that is not what the ratio tells.
    result = Result("one", "s", [1.0, 10.0, 1.0], baseline="other", baseline_runs=[2.0, 20.0, 2.0])
    assert result.ratio == 0.5
    with pytest.raises(ValueError, match="zip"):
        _ = Result("one", "s", [1.0, 10.0], baseline="other", baseline_runs=[2.0]).ratio


async def test_measures_take_turns() -> None:
    taken: list[str] = []

    async def first() -> float:
        taken.append("first")
        return 1.0

    async def second() -> float:
        taken.append("second")
        return 2.0

    assert await in_turns(2, first, second) == [[1.0, 1.0], [2.0, 2.0]]
    assert taken == ["first", "second", "first", "second"]


def test_results_outlive_being_written() -> None:
    results = [
        Result("one", "s", [1.0], at_most(0.5, of_baseline=True), "other", [2.0], "a note"),
        Result("two", "MiB", [], at_most(150)),
        Result("three", "%", [12.0]),
    ]
    written = json.loads(json.dumps(report.as_json(results, quick=False)))
    assert report.from_json(written["results"]) == results


def test_a_table_tells_what_was_missed_and_what_was_not_measured() -> None:
    results = [
        Result("scrape", "ms", [30.0], at_most(1 / 100, of_baseline=True), "prometheus-client", [1000.0]),
        Result("memory", "MiB", [140.0], at_most(150), note="100,000 tasks"),
        Result("peer", "ms", [], baseline="json_exporter", note="not on PATH"),
    ]
    assert report.markdown(results).splitlines()[2:] == [
        "| scrape | 30 ms | 1,000 ms, prometheus-client | 1/33 | at most 1/100 of that | NO |",
        "| memory (100,000 tasks) | 140 MiB |  |  | at most 150 MiB | yes |",
        "| peer (not on PATH) | not measured | json_exporter |  |  |  |",
    ]


def test_the_page_shows_what_was_published() -> None:
    published = json.loads(report.PUBLISHED.read_text(encoding="utf-8"))
    assert not published["quick"]
    page = report.PAGE.read_text(encoding="utf-8")
    assert page == report.page(published), "run python -m benchmarks.report"
