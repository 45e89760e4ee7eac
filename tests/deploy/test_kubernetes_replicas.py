"""The manifests of two replicas: what kustomize makes of those of one process and the changes to them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.identity import JOB
from tests.harness import load

from . import test_kubernetes as one_process
from .resources import check

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes-replicas"
LABELS = {"app.kubernetes.io/name": JOB}

Rendered = dict[str, dict[str, Any]]
"""Resources by kind."""


@pytest.fixture(scope="module")
def rendered(program: Callable[..., str]) -> Rendered:
    kustomize = program("kustomize", "kubectl", built_by_go=True)
    command = [kustomize, "build" if kustomize.endswith("kustomize") else "kustomize", FOLDER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}


def test_each_resource_is_what_kubernetes_and_the_operator_take(rendered: Rendered) -> None:
    for resource in rendered.values():
        check(resource)


def test_all_is_there_but_the_volume_of_the_ledger(rendered: Rendered) -> None:
    kinds = {one["kind"] for one in one_process.MANIFESTS.values()} - {"Secret", "PersistentVolumeClaim"}
    assert rendered.keys() == kinds | {"PodDisruptionBudget"}
    spec = rendered["Deployment"]["spec"]["template"]["spec"]
    assert {volume["name"] for volume in spec["volumes"]} == {"config", "secrets"}
    (container,) = spec["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {"config", "secrets"}


def test_replicas_keep_apart_and_are_never_all_away(rendered: Rendered) -> None:
    spec = rendered["Deployment"]["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert spec["template"]["metadata"]["labels"] == spec["selector"]["matchLabels"] == LABELS
    assert rendered["PodDisruptionBudget"]["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}
    (term,) = spec["template"]["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"] == {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": LABELS},
    }
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 5  # within which the exporter stops


def test_all_else_of_the_pod_is_as_with_one_process(rendered: Rendered) -> None:
    (own,) = rendered["Deployment"]["spec"]["template"]["spec"]["containers"]
    for key in one_process.CONTAINER.keys() - {"image", "volumeMounts"}:
        assert own[key] == one_process.CONTAINER[key], key


def test_each_replica_is_an_instance_of_its_own(rendered: Rendered) -> None:
    (endpoint,) = rendered["ServiceMonitor"]["spec"]["endpoints"]
    named = [one for one in endpoint["relabelings"] if one.get("targetLabel") == "instance"]
    assert named == [{"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}]
    (dropped,) = [one["regex"] for one in endpoint["relabelings"] if one.get("action") == "labeldrop"]
    assert "endpoint" in dropped.split("|")  # the exporter has a label of this name


def test_the_database_may_be_called_and_nothing_else_more(rendered: Rendered) -> None:
    own, other = rendered["NetworkPolicy"]["spec"], one_process.manifest("NetworkPolicy")["spec"]
    assert own["ingress"] == other["ingress"]
    assert own["egress"] == [*other["egress"], {"ports": [{"port": 5432}]}]


def test_the_exporter_takes_the_configuration(rendered: Rendered, tmp_path: Path) -> None:
    text: str = rendered["ConfigMap"]["data"]["config.yaml"]
    for file in re.findall(r"_file: (\S+)", text):
        (tmp_path / Path(file).name).write_text("secret-0123456789")
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("/run/secrets/videotask", str(tmp_path)))
    config, other = load(path), yaml.safe_load(one_process.CONFIG)
    assert config.ledger.url is not None
    assert config.ledger.password is not None
    assert config.replica is None  # each is named as its pod
    assert yaml.safe_load(text)["providers"] == other["providers"]
