"""The files that tell Grafana of the datasource and of the dashboards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana import datasource, identity, thresholds

PROVISIONING = Path(__file__).parents[2] / "grafana" / "provisioning"


def provisioned(name: str) -> Any:
    return yaml.safe_load((PROVISIONING / name).read_text(encoding="utf-8"))


def test_the_datasource_is_the_one_that_rules_name_and_nobody_edits_it() -> None:
    document = provisioned("datasources/videotask.yaml")
    (source,) = document["datasources"]
    assert document["apiVersion"] == 1
    assert (source["type"], source["uid"], source["access"]) == ("prometheus", identity.DATASOURCE, "proxy")
    assert source["editable"] is False
    assert set(source) <= {"name", "uid", "type", "access", "orgId", "url", "editable", "jsonData"}, "a secret?"


def test_an_exemplar_leads_to_the_exporters_page_of_its_task() -> None:
    (source,) = provisioned("datasources/videotask.yaml")["datasources"]
    (link,) = source["jsonData"]["exemplarTraceIdDestinations"]
    assert link["name"] == "task_id"  # the label of the exporter's exemplars
    url = link["url"].replace("$$", "$")  # as Grafana reads it, once it has put in what it takes from the environment
    fields = {
        "${__data.fields.instance:raw}": "exporter:10186",
        "${__data.fields.provider:percentencode}": "chanjing",
        "${__data.fields.kind:percentencode}": "video",
        "${__value.raw:percentencode}": "a%2Fb",
    }
    for variable, value in fields.items():
        url = url.replace(variable, value)
    assert url == "http://exporter:10186/tasks/chanjing/video/a%2Fb"


def test_the_address_of_the_exporters_pages_is_one_line_to_set() -> None:
    text = thresholds.FILE.read_text(encoding="utf-8")
    other = thresholds.parse(text.replace("tasks: http://{instance}", "tasks: https://proxy.example/exporter/"))
    (made,) = datasource.files(other).values()
    (link,) = yaml.safe_load(made)["datasources"][0]["jsonData"]["exemplarTraceIdDestinations"]
    assert link["url"].startswith("https://proxy.example/exporter/tasks/$${__data.fields.provider:percentencode}/")


@pytest.mark.parametrize("name", ["datasources/videotask.yaml", "dashboards/videotask.yaml"])
def test_nothing_is_taken_from_the_environment(name: str) -> None:
    """Grafana would put an empty text where a variable is not set."""
    text = "\n".join(
        line for line in (PROVISIONING / name).read_text(encoding="utf-8").splitlines() if line.strip()[:1] != "#"
    )
    assert "$" not in text.replace("$$", "")


def test_the_dashboards_are_read_from_files_and_stay_as_they_are() -> None:
    document = provisioned("dashboards/videotask.yaml")
    (provider,) = document["providers"]
    assert document["apiVersion"] == 1
    assert (provider["type"], provider["folder"]) == ("file", identity.FOLDER)
    assert provider["allowUiUpdates"] is False
    assert provider["disableDeletion"] is True
    assert provider["options"]["foldersFromFilesStructure"] is False
    assert Path(provider["options"]["path"]).is_absolute()
