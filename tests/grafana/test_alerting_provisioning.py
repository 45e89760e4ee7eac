"""The files in `provisioning/alerting` are what Grafana 11 to 13 read.

What Grafana publishes of the format, and what the files are held against:

- the schema in its API's specification (grafana/grafana, pkg/services/ngalert/api/tooling/api.json): the definitions
  `AlertingFileExport`, `AlertRuleGroupExport`, `AlertRuleExport`, `AlertQueryExport`, `ContactPointExport`,
  `ReceiverExport`, `NotificationPolicyExport`, which describe a file as Grafana itself exports it. They require nothing
  and permit unknown keys; what is required, and how durations are written, is said by the types that the reader decodes
  files into (pkg/services/provisioning/alerting: types.go, rules_types.go, contact_point_types.go,
  notification_policy_types.go). Both are transcribed below as models, which refuse any unknown key;
- the models of grafana-foundation-sdk, which are generated from the schemas in Grafana's sources: whatever is in the
  files has to survive the way through them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import alerting, expr, prometheus
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grafana.identity import DATASOURCE, FOLDER
from grafana.rules_files import ALERTS, GRAFANA_ALERTS, RECORDINGS

FOLDER_OF_FILES = GRAFANA_ALERTS.parent
CONTACT_POINTS = FOLDER_OF_FILES / "contact-points.yaml"
POLICIES = FOLDER_OF_FILES / "policies.yaml"
DASHBOARDS = GRAFANA_ALERTS.parents[2] / "dashboards"

Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[str, Field(pattern=r"^(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?$", min_length=2)]
Uid = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,40}$")]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Title = Annotated[str, Field(min_length=1, max_length=190)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RelativeTimeRange(Strict):
    from_: int = Field(alias="from", ge=0)
    to: int = Field(ge=0)


class DatasourceRef(Strict):
    type: Text
    uid: Text


class PrometheusQuery(Strict):
    refId: Text  # noqa: N815
    datasource: DatasourceRef
    expr: Text
    instant: bool
    range: bool
    editorMode: Literal["code", "builder"]  # noqa: N815


class Evaluator(Strict):
    type: Literal["gt", "lt", "within_range", "outside_range"]
    params: list[float | int] = Field(min_length=1, max_length=2)


class ThresholdCondition(Strict):
    evaluator: Evaluator


class ThresholdExpression(Strict):
    refId: Text  # noqa: N815
    datasource: DatasourceRef
    type: Literal["threshold"]
    expression: Text
    conditions: list[ThresholdCondition] = Field(min_length=1, max_length=1)


class Query(Strict):
    refId: Text  # noqa: N815
    queryType: str = ""  # noqa: N815
    datasourceUid: Text  # noqa: N815
    relativeTimeRange: RelativeTimeRange  # noqa: N815
    model: PrometheusQuery | ThresholdExpression


class Rule(Strict):
    uid: Uid
    title: Title
    condition: Text
    data: list[Query] = Field(min_length=1)
    noDataState: Literal["Alerting", "NoData", "OK"]  # noqa: N815
    execErrState: Literal["Alerting", "Error", "OK"]  # noqa: N815
    for_: Duration = Field(alias="for")
    dashboardUid: Uid  # noqa: N815
    panelId: int = Field(ge=1)  # noqa: N815
    annotations: dict[Text, Text]
    labels: dict[LabelName, Text]
    isPaused: bool = False  # noqa: N815


class Group(Strict):
    orgId: int = Field(ge=1)  # noqa: N815
    name: Title
    folder: Text
    interval: Duration
    rules: list[Rule] = Field(min_length=1)


class Webhook(Strict):
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
    httpMethod: Literal["POST", "PUT"]  # noqa: N815


class Receiver(Strict):
    uid: Uid
    type: Literal["webhook"]
    settings: Webhook
    disableResolveMessage: bool = False  # noqa: N815


class ContactPoint(Strict):
    orgId: int = Field(ge=1)  # noqa: N815
    name: Text
    receivers: list[Receiver] = Field(min_length=1)


ObjectMatcher = Annotated[list[str], Field(min_length=3, max_length=3)]


class Route(Strict):
    receiver: Text
    group_by: list[LabelName] = []
    group_wait: Duration | None = None
    group_interval: Duration | None = None
    repeat_interval: Duration | None = None
    object_matchers: list[ObjectMatcher] = []
    routes: list[Route] = []
    continue_: bool = Field(default=False, alias="continue")


class Policy(Route):
    orgId: int = Field(ge=1)  # noqa: N815


class File(Strict):
    apiVersion: Literal[1]  # noqa: N815
    groups: list[Group] = []
    contactPoints: list[ContactPoint] = []  # noqa: N815
    policies: list[Policy] = []


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


RULES: list[dict[str, Any]] = [rule for group in read(GRAFANA_ALERTS)["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("path", sorted(FOLDER_OF_FILES.iterdir()), ids=lambda path: path.name)
def test_files_are_of_the_format(path: Path) -> None:
    assert path.suffix == ".yaml", "Grafana reads only .yaml, .yml and .json"
    File.model_validate(read(path))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rule: rule.update(noData="OK"),
        lambda rule: rule.update(noDataState="Okay"),
        lambda rule: rule.update(uid="u" * 41),
        lambda rule: rule.pop("condition"),
        lambda rule: rule.update({"for": "5 minutes"}),
        lambda rule: rule["data"][0].update(relativeTimeRange={"from": "10m", "to": 0}),
        lambda rule: rule["data"][1]["model"].update(conditions=[]),
        lambda rule: rule["labels"].update({"team name": "video"}),
    ],
)
def test_the_format_refuses_what_grafana_would_not_read(spoil: Callable[[Any], None]) -> None:
    content = read(GRAFANA_ALERTS)
    spoil(content["groups"][0]["rules"][0])
    with pytest.raises(ValidationError):
        File.model_validate(content)


def through(model: Any, content: Any) -> Any:
    """What is left of some content on its way through a model of the SDK."""
    return json.loads(json.dumps(model.from_json(content), cls=JSONEncoder))


def test_nothing_is_lost_in_the_models_that_are_generated_from_grafana() -> None:
    assert RULES
    for rule in RULES:
        query, condition = rule["data"]
        assert through(prometheus.Dataquery, query["model"]) == query["model"]
        assert through(expr.TypeThreshold, condition["model"]) == condition["model"]
        frame = {key: value for key, value in rule.items() if key not in ("dashboardUid", "panelId")} | {"data": []}
        known = through(alerting.Rule, frame)
        assert {key: known[key] for key in frame} == frame
    for point in read(CONTACT_POINTS)["contactPoints"]:
        for receiver in point["receivers"]:
            assert through(alerting.ContactPoint, receiver) == receiver
    for policy in read(POLICIES)["policies"]:
        tree = {key: value for key, value in policy.items() if key != "orgId"}
        assert through(alerting.NotificationPolicy, tree) == tree


def test_grafana_has_the_alerts_of_prometheus_with_the_same_severities_and_patience() -> None:
    theirs = [rule for group in read(ALERTS)["groups"] for rule in group["rules"]]
    assert [(rule["title"], rule["for"], rule["labels"]) for rule in RULES] == [
        (rule["alert"], rule["for"], rule["labels"]) for rule in theirs
    ]


def test_rules_ask_the_provisioned_datasource_and_no_recording_rule() -> None:
    recorded = {rule["record"] for group in read(RECORDINGS)["groups"] for rule in group["rules"]}
    for rule in RULES:
        query, condition = rule["data"]
        assert query["datasourceUid"] == query["model"]["datasource"]["uid"] == DATASOURCE
        assert [name for name in recorded if name in query["model"]["expr"]] == []
        assert rule["condition"] == condition["refId"]
        assert condition["model"]["expression"] == query["refId"]
        assert query["refId"] == query["model"]["refId"] != condition["refId"]


def test_each_rule_names_a_panel_of_the_dashboard_that_it_links() -> None:
    for rule in RULES:
        uid, panel, told = rule["dashboardUid"], rule["panelId"], rule["annotations"]
        assert f"/d/{uid}?" in told["dashboard_url"]
        assert (told["__dashboardUid__"], told["__panelId__"]) == (uid, str(panel))
        assert panel in {one["id"] for one in read(DASHBOARDS / f"{uid}.json")["panels"]}, rule["title"]


def test_uids_are_unique_and_groups_lie_in_our_folder() -> None:
    uids = [rule["uid"] for rule in RULES]
    assert len(set(uids)) == len(uids)
    assert all(
        uid == re.sub(r"(?<!^)(?=[A-Z])", "-", title).lower().replace("video-task", "videotask")
        for uid, title in zip(uids, (rule["title"] for rule in RULES), strict=True)
    )
    assert {group["folder"] for group in read(GRAFANA_ALERTS)["groups"]} == {FOLDER}


def test_only_one_rule_tells_that_prometheus_cannot_be_asked() -> None:
    assert [rule["title"] for rule in RULES if rule["execErrState"] != "OK"] == ["VideoTaskExporterAbsent"]


def test_templates_are_in_the_dialect_of_grafana() -> None:
    """There `$value` is a text about all parts of a rule; numbers are in `$values`, by the name of the part."""
    for rule in RULES:
        texts = " ".join(rule["annotations"].values())
        variables = set(re.findall(r"\$[\w.]+", texts))
        assert {name for name in variables if not re.fullmatch(r"\$labels\.\w+|\$values\.A\.Value", name)} == set()
        assert texts.count("{{") == texts.count("}}") == len(re.findall(r"\{\{ \$[^{}]+ \}\}", texts))


def texts(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in ("annotations", "model"):  # the only places where the reader replaces no variable
                yield from texts(value)
    elif isinstance(node, list):
        for item in node:
            yield from texts(item)
    elif isinstance(node, str):
        yield node


@pytest.mark.parametrize("path", [GRAFANA_ALERTS, CONTACT_POINTS, POLICIES], ids=lambda path: path.name)
def test_no_text_is_taken_for_a_variable_of_the_environment(path: Path) -> None:
    found = list(texts(read(path)))
    assert found
    assert [text for text in found if "$" in text] == []


def routes(policy: Any) -> Iterator[Any]:
    yield policy
    for route in policy.get("routes", []):
        yield from routes(route)


def test_policies_lead_to_contact_points_that_there_are() -> None:
    points = {point["name"] for point in read(CONTACT_POINTS)["contactPoints"]}
    (policy,) = read(POLICIES)["policies"]
    assert {route["receiver"] for route in routes(policy)} == points
    matched = [tuple(matcher) for route in routes(policy) for matcher in route.get("object_matchers", [])]
    assert {value for name, _, value in matched if name == "grafana_folder"} == {FOLDER}
    severities = {rule["labels"]["severity"] for rule in RULES}
    assert {value for name, _, value in matched if name == "severity"} < severities


def test_examples_lead_nowhere_and_hold_no_secret() -> None:
    for point in read(CONTACT_POINTS)["contactPoints"]:
        for receiver in point["receivers"]:
            assert re.fullmatch(r"http://\w+\.example/[\w/-]+", receiver["settings"]["url"])
