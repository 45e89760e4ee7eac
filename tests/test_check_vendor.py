"""`check-vendor`: faults of declarations with their lines, and what an answer means by a declaration."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.cli import main
from exporter.client.redaction.bodies import Redactor

ACME = """\
acme:
  title: Acme
  base_url: https://api.acme.example
  credentials: [api_key]
  auth: {type: bearer, credential: api_key}
  answer: {ok: code == `0`, code: code, text: message}
  feeds:
    render:
      list:
        path: /v2/renders
        query: {page: "{page}", size: "{page_size}"}
        rows: data.renders
        where: type == 'video'
        paging: {type: page}
        last: data.more == `false`
      detail:
        path: /v2/renders/{id}
        row: data
        missing: {status: [404], code: [E_NO_TASK]}
        fills: [output]
      fields:
        id: id
        state: status
        progress: {path: percent, unit: percent}
        submitted: created_at
        started: started_at
        ended: {path: ended_at, when: end}
        output: {path: seconds, unit: s}
        model: model
        usage: {path: cost, unit: credits}
        code: error.code
        text: error.message
      states: {queued: [waiting], running: [rendering], succeeded: [done], failed: [failed]}
      reasons: {moderation: [E_UNSAFE], insufficient_balance: [E_CREDIT]}
"""
LIST_ONLY = """\
bolt:
  base_url: https://api.bolt.example
  feeds:
    clip:
      list: {path: /clips, rows: clips}
      fields: {id: id, state: state}
      states: {succeeded: [done]}
    cut:
      list: {path: /cuts, rows: cuts}
      fields: {id: id, state: state}
      states: {succeeded: [done]}
"""
SECRETS = ("a cat on a mat", "https://cdn.example/x.mp4?sig=1", "sk-live-abcdef0123456789", "li@example.com")
DONE: dict[str, Any] = {
    "id": "r-1",
    "type": "video",
    "status": "done",
    "percent": 100,
    "created_at": 1790000000,
    "started_at": 1790000010,
    "ended_at": 1790000100,
    "seconds": "8s",
    "model": "acme-1.5",
    "cost": 3,
    "prompt": SECRETS[0],
    "url": SECRETS[1],
}


def listed(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"code": 0, "message": "ok", "data": {"more": False, "renders": list(rows), **more}}


class Check:
    """Runs the command on files of a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys
        self.errors = ""

    def file(self, content: bytes | str, name: str) -> str:
        path = self._folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def __call__(self, vendors: str, sample: Any = None, *flags: str, expect: int = 0) -> str:
        """What is printed; a sample is JSON or bytes."""
        arguments = ["check-vendor", self.file(vendors, "vendors.yaml")]
        if sample is not None:
            body = sample if isinstance(sample, bytes) else json.dumps(sample)
            arguments += ["--sample", self.file(body, "sample.json")]
        code = main([*arguments, *flags])
        told = self._capsys.readouterr()
        self.errors = told.err.replace(f"{self._folder}/", "")
        assert code == expect, told
        return told.out.replace(f"{self._folder}/", "")


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    return Check(tmp_path, capsys)


# The file


def test_of_a_file_without_faults_one_line_says_what_is_declared(check: Check) -> None:
    assert check(ACME) == "vendors.yaml: good; acme: feeds: render (list and detail); auth: bearer\n"
    assert check(ACME + LIST_ONLY).endswith("auth: bearer; bolt: feeds: clip (list), cut (list); auth: none\n")


def test_every_fault_is_told_with_its_line(check: Check) -> None:
    wrong = ACME.replace("rows: data.renders", "rows: data.[").replace("path: seconds, unit: s", "path: s, unit: sec")
    assert check(wrong, expect=1) == ""
    lines = check.errors.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["vendors.yaml:12", "vendors.yaml:28"]
    assert "acme.feeds.render.list.rows: `data.[` is not a JMESPath expression" in lines[0]
    check(ACME.replace('"{page}"', '"{pag}"'), expect=1)
    assert "vendors.yaml:11: " in check.errors
    assert "{pag} is an unknown placeholder; did you mean {page}?" in check.errors


def test_a_fault_of_one_that_stands_for_a_list_has_no_place_in_it(check: Check) -> None:
    check(ACME.replace("cost, unit: credits", "cost, unit: euros"), expect=1)
    assert "acme.feeds.render.fields.usage.unit: `euros` is unknown" in check.errors
    check(ACME.replace("{path: cost, unit: credits}", "[{path: cost, unit: euros}]"), expect=1)
    assert "acme.feeds.render.fields.usage[0].unit: `euros` is unknown" in check.errors


def test_a_file_that_is_not_there_is_told(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-vendor", "nowhere.yaml"]) == 1
    assert capsys.readouterr().err.startswith("nowhere.yaml: cannot be read: No such file")


# The feed of a sample


@pytest.mark.parametrize(
    ("feed", "told"),
    [
        (["--feed", "clp"], "no feed has this name; did you mean clip?; there are: clip, cut"),
        (["--feed", "x"], "no feed has this name; there are: clip, cut"),
        ([], "missing, for there are several; write one of clip, cut"),
    ],
)
def test_the_feed_of_a_sample_has_to_be_clear(check: Check, feed: list[str], told: str) -> None:
    check(LIST_ONLY, {"clips": []}, *feed, expect=2)
    assert check.errors == f"videotask-exporter check-vendor: error: --feed: {told}\n"


def test_the_feed_of_a_sample_is_named(check: Check) -> None:
    assert "a list of bolt/cut with 1 row" in check(LIST_ONLY, {"cuts": [{"id": 1, "state": "done"}]}, "--feed", "cut")
    several = ACME + LIST_ONLY
    assert "a list of bolt/clip with 0 rows" in check(several, {"clips": []}, "--feed", "bolt/clip")
    check(several, {}, "--feed", "bolt/clop", expect=2)
    assert "did you mean bolt/clip?; there are: acme/render, bolt/clip, bolt/cut" in check.errors


# What a sample means


MODEL = 'model="acme-1.5"'


def test_a_list_is_told_row_by_row_with_the_samples_that_result(check: Check) -> None:
    rows = [
        DONE,
        {"id": 17, "type": "video", "status": "rendering", "percent": 42, "created_at": "2026-09-21T14:00:00Z"},
        {"id": "r-3", "type": "video", "status": "failed", "error": {"code": "E_UNSAFE", "message": SECRETS[0]}},
        {"id": "r-4", "type": "image", "status": "done"},
        {"type": "video", "status": "done"},
    ]
    assert check(ACME, listed(*rows)).splitlines()[1:] == [
        "sample.json: a list of acme/render with 5 rows, the last page",
        "  row 1     r-1: succeeded; submitted 2026-09-21T14:13:20Z, started 2026-09-21T14:13:30Z, "
        "ended 2026-09-21T14:15:00Z, progress 100 %, output 8 s, model acme-1.5, usage 3 credits",
        "  row 2     17: running; submitted 2026-09-21T14:00:00Z, progress 42 %",
        "  row 3     r-3: failed (moderation)",
        "  row 4     no task of this feed: `list.where` takes it out",
        "  row 5     no task: there is nothing that can be an id",
        "  unused    keys that no field reads: prompt, url",
        '  exports   videotask_tasks{kind="render",provider="acme",state="running"} 1.0',
        '            videotask_finished_total{kind="render",provider="acme",state="succeeded"} 1.0',
        '            videotask_finished_total{kind="render",provider="acme",state="failed"} 1.0',
        '            videotask_failures_total{kind="render",provider="acme",reason="moderation"} 1.0',
        '            videotask_queue_duration_seconds_count{kind="render",provider="acme"} 1.0',
        '            videotask_run_duration_seconds_count{kind="render",provider="acme",state="succeeded"} 1.0',
        '            videotask_total_duration_seconds_count{kind="render",provider="acme",state="succeeded"} 1.0',
        '            videotask_unmeasured_durations_total{kind="render",phase="queue",provider="acme"} 1.0',
        '            videotask_unmeasured_durations_total{kind="render",phase="run",provider="acme"} 1.0',
        '            videotask_unmeasured_durations_total{kind="render",phase="total",provider="acme"} 1.0',
        '            videotask_output_seconds_total{kind="render",provider="acme"} 8.0',
        '            videotask_usage_total{kind="render",provider="acme",state="succeeded",unit="credits"} 3.0',
        f'            videotask_model_run_duration_seconds_count{{kind="render",{MODEL},provider="acme"}} 1.0',
        f'            videotask_model_total_duration_seconds_count{{kind="render",{MODEL},provider="acme"}} 1.0',
        '            videotask_unmapped_values_total{field="task",kind="render",provider="acme"} 1.0',
        '            videotask_up{kind="render",provider="acme"} 1.0',
    ]


def test_a_detail_is_told_from_a_list(check: Check) -> None:
    text = check(ACME, {"code": 0, "data": DONE})
    assert "sample.json: a detail of acme/render\n  row 1     r-1: succeeded; " in text
    assert 'videotask_finished_total{kind="render",provider="acme",state="succeeded"} 1.0' in text


def test_a_list_that_goes_on_is_told_so(check: Check) -> None:
    assert "with 1 row, and pages follow" in check(ACME, listed(DONE, more=True))


def test_a_list_that_ends_though_there_are_more_rows_is_told(check: Check) -> None:
    link = ACME.replace('page: "{page}", ', "").replace("paging: {type: page}", "paging: {type: link, next: Link}")
    link = link.replace("        last: data.more == `false`\n", "        total: data.total\n")
    told = "  paging    `Link` finds no next page in the answer, though there are 166 rows; where a header holds it, "
    assert f"{told}write type: page or offset\n" in check(link, listed(DONE, total=166))
    assert "  paging " not in check(link, listed(DONE, total=1))


def test_the_answer_of_the_request_for_ended_tasks_is_understood_too(check: Check) -> None:
    ended = ACME.replace(
        "        fills: [output]\n", "        ended: {path: '/bills/{id}', row: bill, fills: [usage]}\n"
    )
    told = check(ended, {"code": 0, "bill": DONE})
    assert told.splitlines()[1] == "sample.json: a detail of acme/render"
    assert "usage 3 credits" in told
    without = {key: value for key, value in DONE.items() if key != "cost"}
    assert "usage (`cost`): in no row that may have it; the detail fills it" in check(ended, listed(without))


def test_what_no_table_maps_comes_with_the_line_to_add(check: Check) -> None:
    rows = [DONE | {"id": f"r-{n}", "status": word} for n, word in enumerate(("weird", "done_ok", "weird"))]
    rows += [{"id": "f", "type": "video", "status": "failed", "error": {"code": "E_ODD_1"}}]
    text = check(ACME, listed(*rows))
    assert "row 1     r-0: unknown; " in text
    assert "  unmapped  state: weird (2 rows), done_ok (1 row)\n" in text
    assert "  add       states: {STATE: [weird], succeeded: [done_ok]}\n" in text
    assert "  add       reasons: {REASON: [e_odd_1]}\n" in text
    assert "REASON stands for one of moderation, insufficient_balance" in text
    states = ACME.replace("succeeded: [done]", "succeeded: [done, done_ok], queued: [weird]").replace(
        "queued: [waiting], ", ""
    )
    mended = states.replace("moderation: [E_UNSAFE]", "moderation: [E_UNSAFE], timeout: [e_odd_1]")
    assert "unmapped " not in check(mended, listed(*rows))


def test_a_row_that_proves_an_end_is_told_so(check: Check) -> None:
    proving = ACME.replace("ended: {path: ended_at, when: end}", "ended: ended_at")
    assert "row 1     r-1: unknown, but ends as succeeded; " in check(proving, listed(DONE | {"status": "weird"}))


def test_words_that_may_be_content_are_counted(check: Check) -> None:
    rows = [DONE | {"id": f"r-{n}", "status": word} for n, word in enumerate(SECRETS)]
    assert "  unmapped  state: 4 not shown, for there may be content in them\n" in check(ACME, listed(*rows))


def test_declared_fields_that_no_row_has_are_missing(check: Check) -> None:
    row = {name: value for name, value in DONE.items() if name not in ("started_at", "cost", "seconds")}
    text = check(ACME, listed(row | {"startedAt": 1790000010}))
    assert "  missing   started (`started_at`): in no row that may have it; did you mean startedAt?\n" in text
    assert "  missing   output (`seconds`): in no row that may have it; the detail fills it\n" in text
    assert "  missing   usage (`cost`): in no row that may have it\n" in text
    assert "missing   code" not in text


def test_costs_in_several_units_are_one_field(check: Check) -> None:
    both = "[{path: cost, unit: units}, {path: price, unit: usd}]"
    told = check(ACME.replace("{path: cost, unit: credits}", both), listed({**DONE, "cost": None, "price": "0.5"}))
    assert "usage 0.5 usd" in told
    assert "missing" not in told
    told = check(ACME.replace("{path: cost, unit: credits}", both), listed({**DONE, "cost": None}))
    assert "usage (`cost, price`): in no row that may have it" in told


def test_values_that_cannot_be_read_are_told_by_what_they_are(check: Check) -> None:
    row = DONE | {"percent": "half", "created_at": {"a": 1}, "ended_at": SECRETS[0], "status": ["done"]}
    text = check(ACME, listed(row))
    assert "progress is not readable (a text of 4 characters)" in text
    assert "submitted is not readable (an object with the keys a)" in text
    assert "state is not readable (a list of 1)" in text
    late = check(ACME, listed(DONE | {"created_at": 4000000000}))
    assert "submitted is impossible" in late


def test_a_refusal_is_told_without_its_words(check: Check) -> None:
    text = check(ACME, {"code": 1001, "message": f"invalid api key {SECRETS[2]}"})
    assert "a refusal with the code 1001, for `answer.ok` is not true; it counts as the error auth\n" in text
    assert "  has       an object with the keys code, message\n" in text
    loose = check(LIST_ONLY, {"error": {"code": "bad_key", "message": "no"}}, "--feed", "clip")
    assert "it looks like a refusal, code bad_key: with an HTTP status of 400 or above it is one" in loose


def test_an_unknown_task_is_told(check: Check) -> None:
    text = check(ACME, {"code": "E_NO_TASK", "message": "gone"})
    assert "an answer of acme/render that the vendor does not know the task" in text


def test_rows_that_are_elsewhere_are_found(check: Check) -> None:
    text = check(ACME, {"code": 0, "data": {"items": [DONE], "total": 1}})
    assert "  list.rows `data.renders` finds nothing; did you mean data.items?\n" in text
    assert "  has       an object with the keys code, data\n" in text
    assert "  lists     data.items (a list of 1)\n" in text
    bare = check(LIST_ONLY, [{"id": "x", "state": "done"}], "--feed", "clip")
    assert "  list.rows `clips` finds nothing; did you mean @?\n" in bare


def test_rows_without_an_id_show_where_it_may_be(check: Check) -> None:
    text = check(ACME, listed({"job_id": "x", "type": "video"}))
    assert "`id` finds no id; a row is an object with the keys job_id, type; did you mean job_id?" in text


def test_keys_that_may_be_content_are_not_told(check: Check) -> None:
    key = "a1b2c3d4e5f6a7b8c9d0"
    text = check(ACME, {"code": 0, "data": {SECRETS[0]: [DONE], key: 1}})
    assert "an object with the keys ..." in text
    assert key not in text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"code": 0,\n "data": [1,', "not JSON: line 2, column 13: expecting value"),
        (b"", "empty; save the body of one answer in it"),
        (b"<html>sk-live</html>", "HTML or XML, not JSON; save the body of one answer in it"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[" + b"1," * 100_001 + b"1]", "not JSON of at most 100000 values"),
        (b" " * (8 * 2**20 + 1), "larger than 8 MiB: the exporter reads no such answer"),
    ],
    ids=["cut", "empty", "html", "binary", "deep", "many", "large"],
)
def test_what_is_no_answer_is_told(check: Check, body: bytes, told: str) -> None:
    text = check(ACME, body, expect=1)
    assert told in text.splitlines()[1]


def test_a_sample_that_is_not_there_is_told(check: Check) -> None:
    text = check(ACME, None, "--sample", "nowhere.json", expect=1)
    assert "nowhere.json: cannot be read: No such file or directory" in text


def test_a_flood_of_rows_is_told_and_cut(check: Check) -> None:
    text = check(ACME, listed(*({"id": n, "type": "video", "status": "done"} for n in range(2500))))
    assert "a list of acme/render with 2500 rows" in text
    assert "  trouble   the list page has 2500 rows, 500 were asked for" in text
    assert "500 more rows are not looked at" in text


def test_every_scheme_and_setting_is_stood_in_for(check: Check) -> None:
    auth = "auth: {type: jwt_hs256, issuer: api_key, secret: other}\n  settings: {place: {}, zone: {default: x}}"
    other = ACME.replace("auth: {type: bearer, credential: api_key}", auth).replace("[api_key]", "[api_key, other]")
    other = other.replace("  base_url: https://api.acme.example\n", "").replace("/v2/renders\n", "/{place}/renders\n")
    other = other.replace("submitted: created_at", 'submitted: {path: created_at, offset: "{place}"}')
    assert "row 1     r-1: succeeded; submitted 2026-09-21T14:13:20Z" in check(other, listed(DONE))


def test_an_answer_that_the_doctor_recorded_means_the_same(check: Check) -> None:
    failed = DONE | {"id": "r-2", "status": "failed", "error": {"code": "E_ODD_1", "message": SECRETS[0]}}
    body = listed(DONE, failed, DONE | {"id": "r-3", "status": "weird"}, {"type": "image", "id": "r-4"})
    redactor = Redactor(frozenset(), frozenset())
    redactor.learn(body, ["r-1", "r-2", "r-3"])
    told = check(ACME, redactor.redacted(body))
    assert "id-2: failed (unknown)" in told
    for number in (1, 2, 3):
        told = told.replace(f"id-{number}:", f"r-{number}:")
    assert told == check(ACME, body)


WORDS = st.sampled_from([*DONE, *SECRETS, "data", "renders", "code", "error", "message", "items", "", "0"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*SECRETS, *DONE.values(), 0]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=30,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(VALUES, max_size=4), row=st.dictionaries(WORDS, VALUES), whole=VALUES, form=st.integers(0, 3))
def test_no_sample_ends_the_command_or_lets_content_out(
    check: Check, rows: list[Any], row: dict[str, Any], whole: Any, form: int
) -> None:
    body = [listed(*rows), listed({**DONE, **row}), {"code": 0, "data": {**DONE, **row}}, whole][form]
    text = check(ACME, json.dumps(body).encode())
    shown = text.lower()
    for secret in SECRETS:
        assert secret not in shown


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200), at=st.integers(0, 300))
def test_no_bytes_end_the_command(check: Check, body: bytes, at: int) -> None:
    good = json.dumps(listed(DONE)).encode()
    for sample in (body, good[:at] + body + good[at:]):
        path = check.file(sample, "sample.json")
        assert main(["check-vendor", check.file(ACME, "vendors.yaml"), "--sample", path]) in (0, 1)


Run = Callable[..., Any]


def test_the_command_line_knows_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check-vendor", "--help"])
    assert re.search(r"--sample BODY\s+a JSON file with the body of one answer", capsys.readouterr().out)
