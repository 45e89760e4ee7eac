"""Vendors that answer anything at all: what is made of it is observations, an unknown task, or one counted error.

The bulk is made by a seeded mutator out of real bodies, which gets past the envelopes; Hypothesis adds JSON of its own.
Run more of it with FUZZ_BODIES=1000000 (bodies of each feed) and other ones with FUZZ_SEED=7.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.client.answers import SIZE_LIMIT
from exporter.client.client import Client
from exporter.client.errors import CALL_ERRORS, AnswerTooLarge, CallError, ContractBroken, TaskNotFound
from exporter.client.reasons import reason_of
from exporter.ledger.counting.times import EARLIEST, believed
from exporter.tasks import CLOCK_SKEW, Field, Observation, Reason, State, is_task_id
from exporter.vendors.api import Feed, Page
from tests.harness import connected, page_of, settings_of

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parents[1] / "fixtures"
BODIES = int(os.environ.get("FUZZ_BODIES", "20000"))
SEED = os.environ.get("FUZZ_SEED", "1")
NOW = 1_772_400_000.0
MARKER = "PROMPT"
"""What stands for content in the bodies: no error may repeat it."""


class Target(NamedTuple):
    """A feed, and the real bodies of its endpoints."""

    settings: dict[str, Any]
    kind: str
    lists: tuple[str, ...]
    details: tuple[str, ...]
    token: str | None = None


CHANJING = {"type": "chanjing", "access_token": "TOKEN"}
HUAWEI = {"type": "huawei_metastudio", "project_id": "project"}
TARGETS = {
    "sora": Target(
        {"type": "deerapi", "api_key": "KEY", "user_token": "TOKEN"},
        "sora",
        ("deerapi/list_bare", "deerapi/list_numbered"),
        ("deerapi/detail",),
    ),
    "lip_sync": Target(CHANJING, "lip_sync", ("chanjing/lip_sync_list",), ("chanjing/lip_sync_detail",)),
    "video": Target(CHANJING, "video", ("chanjing/video_list",), ("chanjing/video_detail",)),
    "digital_human": Target(
        HUAWEI | {"auth_token": "TOKEN"},
        "digital_human",
        ("huawei_metastudio/list", "huawei_metastudio/list_of_all_states"),
        ("huawei_metastudio/list",),
    ),
    "face_swap": Target(
        {"type": "facewap", "base_url": "https://facewap.example", "token": "TOKEN"},
        "face_swap",
        ("facewap/history", "facewap/history_of_all_states"),
        ("facewap/task_info", "facewap/single_task_info"),
    ),
}
TOKENS = {
    "chanjing": Target(
        {"type": "chanjing", "app_id": "APP", "secret_key": "KEY"},
        "video",
        ("chanjing/video_list",),
        (),
        "chanjing/access_token",
    ),
    "huawei_metastudio": Target(
        HUAWEI | {"iam": {"endpoint": "https://iam.example", "domain": "D", "username": "U", "password": "PASSWORD"}},
        "digital_human",
        ("huawei_metastudio/list",),
        (),
        "huawei_metastudio/token",
    ),
}
ENVELOPES: tuple[Any, ...] = (
    {"code": 10400, "msg": "AccessToken验证失败", "data": None},
    {"code": 40001, "msg": "超出QPS限制", "data": {}},
    {"code": 900, "msg": MARKER},
    {"error": {"code": "quota_not_enough", "message": MARKER, "type": "new_api_error"}},
    {"success": False, "message": MARKER},
    {"error_code": "MSS.00000002", "error_msg": MARKER},
    {"code": "task_not_exist", "message": MARKER, "data": None},
    {"code": "success", "data": {"task_id": "asked-for", "status": "CANCEL"}},  # of this no real body is at hand
)

ODD: tuple[Any, ...] = (
    None, True, False, 0, -0.0, 1, -1, 2, 10, 20, 30, 45, 55, 99, 0.5, 1e-300, 1e300, -1e300, 10**18, 2**63, 10**4000,
    1738636800, 1738636800000, -62135596800, "", " ", "0", "-1", "30", "100%", "101%", "%", "nan", "inf", "-inf",
    "1e999", "1_0", "٣", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "2026-03-01", "SUCCESS", "CANCEL", "FAILED", "WAITING", "succeed", "\u0000", "..",
    "a/b?c#d", "\u202e", "\u2028", "\U0001f4a5", MARKER, "x" * 513, "x" * 5000, "敏感" * 3000, "9" * 400, [], {}, [[]],
    [None], {"": None}, [{}], {"a": {"b": {"c": []}}},
)  # fmt: skip
"""Values at the edges of what a wire model expects."""

REAL_ID = {"digital_human": "26f06524-4f75-4b3a-a853-b649a21aaf66"}
NEVER: dict[str, set[str]] = {
    "sora": {State.BLOCKED},
    "lip_sync": {State.BLOCKED, State.CANCELLED},
    "video": {State.QUEUED, State.BLOCKED, State.CANCELLED},
    "face_swap": {State.BLOCKED, State.CANCELLED},
}
"""States that a feed does not have."""

STATUSES = (200,) * 17 + (201, 400, 401, 403, 404, 408, 429, 500, 503, 599)


class Mutator:
    """Makes bodies out of real ones."""

    def __init__(self, seed: str, names: tuple[str, ...]) -> None:
        self._random = random.Random(seed)
        real = [(FIXTURES / f"{name}.json").read_text() for name in names]
        self._originals = [*(real * (12 // len(names))), *(json.dumps(envelope) for envelope in ENVELOPES)]

    def bodies(self, count: int) -> Iterator[bytes]:
        for _ in range(count):
            root = [json.loads(self._random.choice(self._originals))]
            for _ in range(self._random.choice((1, 1, 1, 2, 3, 8))):
                self._change(root)
            yield self._spoil(self._written(root[0]))

    def places(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Every container and key of a document, the outer ones first."""
        for key in range(len(node)) if isinstance(node, list) else list(node):
            yield node, key
            if isinstance(node[key], dict | list):
                yield from self.places(node[key])

    def _change(self, root: list[Any]) -> None:
        choose = self._random
        places = list(self.places(root))
        # Rather deep inside than at the envelope, which hides all the rest when it breaks.
        holder, key = places[int(len(places) * choose.random() ** 0.5)]
        value = holder[key]
        match choose.randrange(12):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(value, list):
                value[:] = value * choose.choice((0, 2, 30))
            case 2 if isinstance(value, list):
                choose.shuffle(value)
            case 3:
                holder[key] = [value]
            case 4:
                holder[key] = {str(choose.choice(ODD))[:20]: value}
            case 5:
                holder[key] = choose.choice(([[value]], {"data": value}, {"error": value}))
            case 6:
                holder[key] = json.dumps(value)  # a document inside a text
            case 7 if isinstance(value, str):
                at = choose.randrange(len(value) + 1)
                holder[key] = value[:at] + str(choose.choice(ODD))[:300] + value[at:]
            case 8 if isinstance(value, int | float) and abs(value) < 1e30:
                holder[key] = value * choose.choice((-1, 0, 0.001, 1000, 10**9)) + choose.choice((0, 1, 28800))
            case 9:
                other, place = choose.choice(places)
                holder[key] = deepcopy(other[place])
            case _:
                holder[key] = deepcopy(choose.choice(ODD))

    def _written(self, document: Any) -> str:
        text = json.dumps(document, ensure_ascii=self._random.random() < 0.5)
        if self._random.random() < 0.1:  # keys that stand twice
            text = text.replace('{"', '{"code": 7, "id": "first", "status": [], "', 1)
        if self._random.random() < 0.05:
            text = text.replace('"', '"\\ud800', self._random.randrange(4))
        if self._random.random() < 0.05:
            text = text.replace(": 1", f": {self._random.choice(('1e400', '-1e400', 'NaN', 'Infinity', '1' * 5000))}")
        if self._random.random() < 0.03:
            depth = self._random.choice((50, 190, 5000))
            text = text.replace(": ", f": {'[' * depth}0{']' * depth}, {MARKER!r}: ".replace("'", '"'), 1)
        return text

    def _spoil(self, text: str) -> bytes:
        choose = self._random
        body = bytearray(text.encode("utf-8", "surrogatepass"))
        match choose.randrange(20):
            case 0:
                del body[choose.randrange(len(body) + 1) :]
            case 1:
                for _ in range(choose.randrange(1, 10)):
                    body[choose.randrange(len(body))] ^= 1 << choose.randrange(8)
            case 2:
                start = choose.randrange(len(body))
                body[start:start] = body[start : start + choose.randrange(200)]
            case 3:
                body[0:0] = choose.choice((b"\xef\xbb\xbf", b"<html>", b"\n\n", b")]}'", b"\x00", b"\xff\xfe"))
        return bytes(body)


class Vendor:
    """Answers each call with what it was given last, its token endpoint with something of its own."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.token: tuple[int, bytes] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        status, body = self.status, self.body
        if self.token and request.url.path.endswith(("access_token", "tokens")):
            status, body = self.token
        headers = {"X-Subject-Token": "ISSUED", "Retry-After": "0"}
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


class TokenStore:
    """Takes tokens as the store does: one without a true end is refused there."""

    async def load_token(self, owner: str) -> tuple[str, float] | None:
        return None

    async def save_token(self, owner: str, token: str, expires: float) -> None:
        assert isinstance(token, str)
        assert math.isfinite(expires)


class Line:
    """A feed whose vendor answers with bodies of ours, and what came of them."""

    def __init__(self, target: Target) -> None:
        self.vendor = Vendor()
        self._made = settings_of(target.settings)
        self._kind = target.kind
        # Nothing waits here: a pause that a body asks for is cut to the Retry-After of the vendor above.
        self.client = Client(self._made.base_url, rate=1e9, timeout=60, transport=httpx.MockTransport(self.vendor))
        self.feed = self.connected()
        self.outcomes: Counter[str] = Counter()

    def connected(self) -> Feed:
        """The feed as after a start: without what it learnt of the vendor."""
        return connected(self._made, self.client, TokenStore())[self._kind]

    @property
    def _errors(self) -> float:
        return sum(count for key, count in self.client.counts.items() if key[0] == "api_errors_total")

    async def call(self, how: Callable[[], Any]) -> None:
        before = self._errors
        failure: CallError | None
        try:
            result = await how()
        except TaskNotFound:
            failure = None
            self.outcomes["not found"] += 1
        except CallError as error:
            failure = error
        else:
            failure = None
            self._judge(result)
        assert (self._errors > before) == (failure is not None), "every failed call is counted, and nothing else"
        if failure is not None:
            assert type(failure) in CALL_ERRORS
            assert MARKER not in str(failure)
            assert len(str(failure)) < 200
            self.outcomes[failure.error] += 1

    def _judge(self, result: Any) -> None:
        if isinstance(result, Page):
            assert isinstance(result.last, bool)
            assert result.malformed >= 0
            self.outcomes["malformed"] += result.malformed > 0
            shown = result.observations
        else:
            shown = result
            assert shown, "a look-up that shows nothing"
        self.outcomes["observations"] += len(shown) > 0
        for observation in shown:
            judge(observation)
            self.outcomes[observation.state] += 1


def judge(one: Observation) -> None:
    """Whether the ledger can take an observation as it is."""
    assert is_task_id(one.id)
    one.id.encode()
    assert type(one.state) is State
    assert one.state is not State.LOST  # that is for the ledger to say
    assert (type(one.reason) is Reason) == (one.state is State.FAILED)
    assert one.progress is None or 0 <= one.progress <= 1
    assert one.output_seconds is None or 0 <= one.output_seconds <= 1e9
    for at in (one.submitted, one.started, one.ended, one.dated):
        assert at is None or math.isfinite(at)
    assert all(type(field) is Field for field in one.unmapped)
    times = believed(one, NOW)
    for at in (times.submitted, times.started, times.ended, times.dated, times.placed):
        assert at is None or EARLIEST <= at <= NOW + CLOCK_SKEW


@pytest.mark.parametrize("kind", TARGETS)
async def test_mutated_bodies_of_a_feed_become_observations_or_one_counted_error(kind: str) -> None:
    target = TARGETS[kind]
    line = Line(target)
    choose = random.Random(SEED)
    lists, details = Mutator(f"{SEED} {kind} list", target.lists), Mutator(f"{SEED} {kind} detail", target.details)
    for body in lists.bodies(BODIES // 2):
        line.vendor.status, line.vendor.body = choose.choice(STATUSES), body
        await line.call(partial(page_of, line.feed))
    for body in details.bodies(BODIES - BODIES // 2):
        line.vendor.status, line.vendor.body = choose.choice(STATUSES), body
        task_id = "ffffffffffffffffffffffffffffffff" if choose.random() < 0.5 else REAL_ID.get(kind, "asked-for")
        await line.call(partial(line.feed.look_up, task_id))
    await line.client.aclose()
    # The bodies got deep enough to try everything: else all of this would say little.
    wanted = {*State} - {State.LOST} | {"observations", "malformed", "contract", "auth", "rate_limited"}
    assert {what for what, count in line.outcomes.items() if count >= 5} >= wanted - NEVER.get(kind, set())


@pytest.mark.parametrize("vendor", TOKENS)
async def test_mutated_token_answers_become_a_token_or_one_counted_error(vendor: str) -> None:
    target = TOKENS[vendor]
    assert target.token is not None
    line = Line(target)
    line.vendor.body = (FIXTURES / f"{target.lists[0]}.json").read_bytes()
    choose = random.Random(SEED)
    for body in Mutator(f"{SEED} {vendor} token", (target.token,)).bodies(BODIES // 4):
        line.vendor.token = choose.choice(STATUSES), body
        feed = line.connected()
        await line.call(partial(page_of, feed))
    await line.client.aclose()
    assert all(line.outcomes[what] for what in ("observations", "contract", "auth", "provider_internal"))


@pytest.mark.parametrize("expires", ["1e400", "-1e400", '"nan"', '"inf"', '"-Infinity"', "1e308"])
async def test_a_token_whose_end_is_no_time_is_a_broken_contract_or_kept_with_a_true_one(expires: str) -> None:
    line = Line(TOKENS["chanjing"])
    line.vendor.body = (FIXTURES / "chanjing/video_list.json").read_bytes()
    answer = f'{{"code": 0, "data": {{"access_token": "ISSUED", "expire_in": {expires}}}}}'
    line.vendor.token = 200, answer.encode()
    await line.call(partial(page_of, line.feed))
    await line.client.aclose()
    assert line.outcomes["observations" if expires == "1e308" else "contract"] == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(ODD[:40]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.sampled_from(("code", "data")), inner),
    max_leaves=20,
)
FIELDS = (
    "id", "task_id", "job_id", "promptId", "status", "state", "progress", "msg", "reason", "fail_reason", "error_info",
    "create_time", "createdAt", "submit_time", "start_time", "finish_time", "end_time", "duration", "data", "taskList",
)  # fmt: skip
ROWS = st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON | st.text(min_size=1)) | JSON, max_size=4)


def wrapped(rows: Any) -> list[Any]:
    """Rows as each of the vendors wraps them, and one of them as a detail."""
    row = rows[0] if rows else None
    return [
        {"success": True, "data": rows},
        {"success": True, "data": {"items": rows, "total": len(rows)}},
        {"code": "success", "data": row},
        {"code": 0, "data": {"list": rows}},
        {"code": 0, "data": row},
        {"code": 200, "data": rows},
        {"code": 200, "data": row},
        {"code": 200, "data": {"promptId": "a", "taskList": rows}},
        {"jobs": rows, "count": 1},
    ]


@settings(max_examples=max(60, BODIES // 200), deadline=None, derandomize=True, database=None)
@given(rows=ROWS, alien=JSON)
def test_any_json_becomes_observations_or_one_counted_error(rows: Any, alien: Any) -> None:
    asyncio.run(_every_feed_reads([alien, *wrapped(rows)]))


async def _every_feed_reads(documents: list[Any]) -> None:
    for target in TARGETS.values():
        line = Line(target)
        for document in documents:
            line.vendor.body = json.dumps(document).encode()
            await line.call(partial(page_of, line.feed))
            await line.call(partial(line.feed.look_up, "a"))
        await line.client.aclose()


# Bodies and texts as large as they come are read to the end: work that grew with their square would not get there.


@pytest.mark.parametrize("kind", TARGETS)
async def test_a_page_of_a_few_times_the_rows_that_were_asked_for_is_read_and_no_more(kind: str) -> None:
    target = TARGETS[kind]
    line = Line(target)
    name = target.lists[-1]
    whole = json.loads((FIXTURES / f"{name}.json").read_text())
    holder, key = next((node, key) for node, key in Mutator("", (name,)).places([whole]) if isinstance(node[key], list))
    row = holder[key][0]
    line.vendor.body = json.dumps(whole).encode()
    once = len((await page_of(line.feed)).observations)
    assert once > 0
    holder[key] = [row] * 200
    line.vendor.body = json.dumps(whole).encode()
    assert len((await page_of(line.feed)).observations) == 200
    for rows in (401, 2000, 150_000):
        holder[key] = [row if rows < 10_000 else {}] * rows
        line.vendor.body = json.dumps(whole).encode()
        with pytest.raises(ContractBroken):
            await page_of(line.feed)
    holder[key] = [row] * (SIZE_LIMIT // len(json.dumps(row)) + 1)
    line.vendor.body = json.dumps(whole).encode()
    with pytest.raises(AnswerTooLarge):
        await page_of(line.feed)
    await line.client.aclose()


LONG = 1_000_000


@pytest.mark.parametrize(
    "piece", ["a", "a_", "_", "1", "9.", "MSS.", "mss.0", " ", "敏", "invalid", "timeou", "%", "-", "0T"]
)
@pytest.mark.parametrize("kind", TARGETS)
async def test_a_text_of_megabytes_in_any_place_is_read_to_its_end(kind: str, piece: str) -> None:
    """A pattern that tries every way to split such a text would not come back."""
    target = TARGETS[kind]
    line = Line(target)
    text = piece * (LONG // len(piece))
    for name, call in (
        (target.lists[-1], partial(page_of, line.feed)),
        (target.details[0], partial(line.feed.look_up, "a")),
    ):
        for field in ("code", "error_code", "msg", "error_msg", "message", *FIELDS):
            document = json.loads((FIXTURES / f"{name}.json").read_text())
            place = next((node for node, key in Mutator("", (name,)).places([document]) if key == field), document)
            place[field] = text
            line.vendor.body = json.dumps(document).encode()
            line.vendor.status = 400 if "error" in field else 200
            await line.call(call)
    await line.client.aclose()
    assert line.outcomes.total() >= 2 * (5 + len(FIELDS))  # each was read, to whatever end


def test_words_are_looked_for_in_the_part_of_a_text_that_a_person_would_read() -> None:
    assert reason_of(text="x" * 2000 + "timeout") is Reason.TIMEOUT
    assert reason_of(text="x" * 4_000_000 + "timeout") is None
