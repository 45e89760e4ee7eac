"""The fake MetaStudio and its IAM answer as the vendor's documents say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from exporter.simulator import DIGITAL_HUMAN, HandClock, Life, Simulator, World, app
from exporter.simulator.vendors.huawei_metastudio import MetaStudio
from exporter.tasks import Reason, State

START = int(HandClock().now)
TOKEN = {"X-Auth-Token": "demo-auth-token"}
LIST = "/huawei/v1/demo-project-id/digital-human-videos"
Reach = Callable[[Simulator], httpx.Client]


def page(http: httpx.Client, query: str = "") -> Any:
    answer = http.get(f"{LIST}?{query}", headers=TOKEN)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"]
    return answer.json()


def ids(http: httpx.Client, query: str) -> list[str]:
    return [job["job_id"] for job in page(http, query)["jobs"]]


def iso(after: float) -> str:
    return datetime.fromtimestamp(START + after, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def signed(http: httpx.Client, query: list[tuple[str, str]], secret: str = "demo-secret-key") -> dict[str, str]:
    """Headers made by the vendor's own signer."""
    request = SdkRequest(
        method="GET",
        schema="http",
        host=http.base_url.netloc.decode(),
        resource_path=LIST,
        query_params=query,
        header_params={"X-Project-Id": "demo-project-id"},
        body="",
    )
    Signer(SimpleNamespace(ak="DEMO-ACCESS-KEY", sk=secret)).sign(request)
    return {str(name): str(value) for name, value in request.header_params.items()}


def test_a_job_passes_through_its_states(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("a", *DIGITAL_HUMAN, START, 10, 100, State.SUCCEEDED, output_seconds=60, blocked=(20, 10)))
    seen = []
    for after in (0, 10, 25, 40, 110):
        clock.now = START + after
        job = page(http)["jobs"][0]
        seen.append((job["state"], job.get("start_time"), job.get("end_time")))
    assert seen == [
        ("WAITING", None, None),
        ("PROCESSING", iso(10), None),
        ("BLOCK", iso(10), None),
        ("PROCESSING", iso(10), None),
        ("SUCCEED", iso(10), iso(110)),
    ]
    job = page(http)["jobs"][0]
    assert (job["create_time"], job["lastupdate_time"], job["duration"]) == (iso(0), iso(110), 60)
    assert job["error_info"] is None
    assert "Signature=SIGNATURE-MARKER" in job["output_asset_config"]["cover_url"]


def test_unset_times_are_sometimes_null_and_sometimes_absent(http: httpx.Client, world: World) -> None:
    world.add(*(Life(f"a{n}", *DIGITAL_HUMAN, START, 99, 1) for n in range(30)))
    jobs = page(http, "limit=100")["jobs"]
    assert {"start_time" in job for job in jobs} == {True, False}
    assert {job.get("start_time") for job in jobs} == {None}


def test_failures_and_cancellations(http: httpx.Client, world: World, clock: HandClock) -> None:
    world.add(Life("f", *DIGITAL_HUMAN, START, 1, 1, State.FAILED, Reason.PROVIDER_INTERNAL))
    world.add(Life("c", *DIGITAL_HUMAN, START, 1, None, State.CANCELLED))
    clock.now += 2
    jobs = {job["job_id"]: job for job in page(http)["jobs"]}
    assert jobs["f"]["state"] == "FAILED"
    assert jobs["f"]["error_info"] == {"error_code": "MSS.00000004", "error_msg": "Internal Error"}
    assert (jobs["c"]["state"], jobs["c"].get("start_time"), jobs["c"]["end_time"]) == ("CANCELED", None, iso(1))


def test_the_list_is_oldest_first_unless_told_otherwise(http: httpx.Client, world: World) -> None:
    world.add(*(Life(f"a{n}", *DIGITAL_HUMAN, START - 100 + n) for n in range(25)))
    assert ids(http, "") == [f"a{n}" for n in range(10)]
    assert ids(http, "sort_dir=desc&limit=3") == ["a24", "a23", "a22"]
    assert ids(http, "offset=20&limit=100") == [f"a{n}" for n in range(20, 25)]
    assert page(http, "limit=1")["count"] == 25


def test_the_list_sorts_by_update(http: httpx.Client, world: World) -> None:
    world.add(Life("old", *DIGITAL_HUMAN, START - 100, 10, 80, State.SUCCEEDED, output_seconds=1))
    world.add(Life("new", *DIGITAL_HUMAN, START - 50, 999, 80, State.SUCCEEDED))
    assert ids(http, "sort_key=update_time&sort_dir=desc") == ["old", "new"]
    assert ids(http, "sort_key=create_time&sort_dir=desc") == ["new", "old"]


def test_the_list_filters(http: httpx.Client, world: World) -> None:
    world.add(Life("done", *DIGITAL_HUMAN, START - 100, 10, 20, State.SUCCEEDED, output_seconds=1))
    world.add(Life("runs", *DIGITAL_HUMAN, START - 50, 10, 200, State.SUCCEEDED))
    world.add(Life("waits", *DIGITAL_HUMAN, START - 10, 99, 20, State.SUCCEEDED))
    assert ids(http, "state=WAITING,PROCESSING") == ["runs", "waits"]
    assert page(http, "state=WAITING&limit=1")["count"] == 1
    assert ids(http, f"create_since={iso(-50)}") == ["runs", "waits"]
    assert ids(http, f"create_until={iso(-50)}") == ["done", "runs"]
    assert ids(http, "job_id=runs") == ["runs"]
    assert ids(http, "job_ids=runs,done") == ids(http, "job_ids=runs&job_ids=done") == ["done", "runs"]


def test_the_type_is_spelled_one_way_in_the_filter_and_another_in_the_rows(http: httpx.Client, world: World) -> None:
    world.add(*(Life(f"a{n}", *DIGITAL_HUMAN, START) for n in range(30)))
    photos = page(http, "job_type=PHOTO_DIGITAL_HUMAN_VIDEO&limit=100")["jobs"]
    flat = page(http, "job_type=2D_DIGITAL_HUMAN_VIDEO&limit=100")["jobs"]
    assert {job["job_type"] for job in photos} == {"DIGITAL_HUMAN_PHOTO_VIDEO"}
    assert {job["job_type"] for job in flat} == {"2D_DIGITAL_HUMAN_VIDEO"}
    assert len(photos) + len(flat) == 30


def test_a_job_is_found_only_at_the_endpoint_of_its_type(http: httpx.Client, world: World) -> None:
    world.add(Life("a", *DIGITAL_HUMAN, START))
    photo = page(http)["jobs"][0]["job_type"] == "DIGITAL_HUMAN_PHOTO_VIDEO"
    for kind in ("photo", "2d"):
        answer = http.get(f"/huawei/v1/demo-project-id/{kind}-digital-human-videos/a", headers=TOKEN)
        if photo == (kind == "photo"):
            assert (answer.status_code, answer.json()["job_id"]) == (200, "a")
            assert "PROMPT-MARKER" in answer.text
        else:
            assert (answer.status_code, answer.json()["error_code"]) == (404, "MSS.00000002")


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "offset=-1", "sort_dir=down", "sort_key=x", "state=CREATING", "create_since=x"],
)
def test_bad_parameters_are_refused(http: httpx.Client, query: str) -> None:
    answer = http.get(f"{LIST}?{query}", headers=TOKEN)
    assert answer.status_code == 400
    assert answer.json() == {"error_code": "MSS.00000003", "error_msg": "Invalid parameter"}


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "wrong"}, {"Authorization": "SDK-HMAC-SHA256 nonsense"}])
def test_who_cannot_prove_anything_is_refused(http: httpx.Client, headers: dict[str, str]) -> None:
    answer = http.get(LIST, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")


def test_another_project_is_refused_with_a_400(http: httpx.Client) -> None:
    answer = http.get("/huawei/v1/other/digital-human-videos", headers=TOKEN)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MSS.00010009")


def test_a_path_that_is_no_api_is_a_404_of_the_gateway(http: httpx.Client) -> None:
    answer = http.get("/huawei/v2/nothing", headers=TOKEN)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "APIGW.0101")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ([], ""),
        ([("limit", "5"), ("state", "WAITING,PROCESSING")], "?limit=5&state=WAITING%2CPROCESSING"),
        ([("state", "WAITING"), ("create_since", iso(0))], f"?create_since={iso(0).replace(':', '%3A')}&state=WAITING"),
    ],
)
def test_the_signature_of_the_vendors_own_signer_is_accepted(
    http: httpx.Client, query: list[tuple[str, str]], text: str
) -> None:
    assert http.get(LIST + text, headers=signed(http, query)).status_code == 200


def test_a_signature_covers_the_query(http: httpx.Client) -> None:
    headers = signed(http, [("limit", "5")])
    assert http.get(LIST + "?limit=5", headers=headers).status_code == 200
    assert http.get(LIST + "?limit=6", headers=headers).status_code == 401


def test_a_signature_by_another_secret_is_refused(http: httpx.Client) -> None:
    assert http.get(LIST, headers=signed(http, [], secret="wrong")).status_code == 401


@pytest.mark.parametrize(("late", "status"), [(-890, 200), (890, 200), (-910, 401), (910, 401)])
def test_a_signature_is_good_for_a_quarter_of_an_hour(
    http: httpx.Client, simulator: Simulator, late: float, status: int
) -> None:
    simulator.the(MetaStudio).wall = lambda: datetime.now(UTC).timestamp() + late
    assert http.get(LIST, headers=signed(http, [])).status_code == status


def login(http: httpx.Client, password: str = "demo-password") -> httpx.Response:
    user = {"name": "demo-user", "password": password, "domain": {"name": "demo-domain"}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": "demo-project-id"}}}}
    return http.post("/huawei-iam/v3/auth/tokens", json=body)


def test_iam_gives_out_tokens_that_live_side_by_side(http: httpx.Client, simulator: Simulator) -> None:
    answers = [login(http), login(http)]
    assert {answer.status_code for answer in answers} == {201}
    assert answers[0].json()["token"]["expires_at"].endswith("Z")
    tokens = [answer.headers["x-subject-token"] for answer in answers]
    assert tokens[0] != tokens[1]
    for token in tokens:
        assert http.get(LIST, headers={"X-Auth-Token": token}).status_code == 200
    assert simulator.vendors["huawei_metastudio"].requests["token"] == 2


def test_an_iam_token_lives_a_day(http: httpx.Client, simulator: Simulator) -> None:
    wall = simulator.the(MetaStudio).wall = HandClock()
    headers = {"X-Auth-Token": login(http).headers["x-subject-token"]}
    wall.now += 86399
    assert http.get(LIST, headers=headers).status_code == 200
    wall.now += 1
    assert http.get(LIST, headers=headers).status_code == 401


def test_iam_refuses_wrong_passwords_and_bodies(http: httpx.Client) -> None:
    assert login(http, "wrong").status_code == 401
    assert login(http, "wrong").json()["error"]["title"] == "Unauthorized"
    assert http.post("/huawei-iam/v3/auth/tokens", json={"auth": []}).status_code == 400


def test_too_many_requests_are_throttled(world: World, reach: Reach) -> None:
    http = reach(app(world, limits={"huawei_metastudio": (1, 60)}))
    answers = [http.get(LIST, headers=TOKEN) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["error_code"] == "APIGW.0308"
