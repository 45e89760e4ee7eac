"""The manifests for Kubernetes: right by schema, in agreement with each other, and what the exporter takes.

`resources.py` says what they are checked against.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it carries no types
import pytest
import yaml

from exporter import __version__
from exporter.metrics.catalogue import (
    EXPORTER_METRICS,
    FEED_METRICS,
    PROVIDER_METRICS,
    REPLICA_METRICS,
    TASK_METRICS,
    Metric,
)
from grafana.identity import JOB
from grafana.rules_files import ALERTS, KUBERNETES_RULES, RECORDINGS
from tests.harness import Start, wait_for

from .resources import KINDS, OF_OPERATOR, check

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
MANIFESTS: dict[str, dict[str, Any]] = {
    path.name: yaml.safe_load(path.read_text())
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
}
DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text()
INSTANCE = "videotask-exporter.monitoring.svc:10186"
"""Where Prometheus finds the Service: whichever pod is behind it, the same instance."""


def manifest(kind: str) -> dict[str, Any]:
    """The only one of its kind."""
    (found,) = [one for one in MANIFESTS.values() if one["kind"] == kind]
    return found


POD = manifest("Deployment")["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
MOUNTS: dict[str, str] = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
CONFIG: str = manifest("ConfigMap")["data"]["config.yaml"]


# Schemas


@pytest.mark.parametrize("name", [name for name, content in MANIFESTS.items() if content["apiVersion"] != OF_OPERATOR])
def test_a_manifest_is_what_kubernetes_takes(name: str) -> None:
    check(MANIFESTS[name])


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    content = manifest("Service") | {"spec": manifest("Service")["spec"] | {"port": 10186}}
    with pytest.raises(kubernetes_validate.ValidationError, match="port"):
        check(content)


@pytest.mark.parametrize("kind", KINDS)
def test_a_manifest_is_what_the_operator_documents(kind: str) -> None:
    check(manifest(kind))


def test_the_rules_are_those_of_prometheus_and_valid_together(program: Callable[[str], str], tmp_path: Path) -> None:
    spec = manifest("PrometheusRule")["spec"]
    files = [yaml.safe_load(path.read_text()) for path in (RECORDINGS, ALERTS)]
    assert spec["groups"] == [group for file in files for group in file["groups"]]
    assert len({group["name"] for group in spec["groups"]}) == len(spec["groups"])
    assert FOLDER / "prometheusrule.yaml" == KUBERNETES_RULES  # which a test of the rules keeps up to date
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    command = [program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / "rules.yaml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# What agrees with what


def test_kustomize_applies_every_manifest_but_the_example_of_the_secret() -> None:
    assert sorted(KUSTOMIZATION["resources"]) == sorted(MANIFESTS.keys() - {"secret.yaml"})


def test_the_image_is_that_of_this_version() -> None:
    (image,) = KUSTOMIZATION["images"]
    assert image["name"] == CONTAINER["image"]
    assert image["newTag"] == __version__


def test_labels_and_selectors_meet() -> None:
    labels = POD["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": JOB}
    assert manifest("Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert manifest("Service")["spec"]["selector"] == labels
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert manifest("ServiceMonitor")["spec"]["selector"]["matchLabels"] == manifest("Service")["metadata"]["labels"]


def test_ports_are_called_alike_everywhere() -> None:
    (port,) = CONTAINER["ports"]
    (served,) = manifest("Service")["spec"]["ports"]
    (endpoint,) = manifest("ServiceMonitor")["spec"]["endpoints"]
    (ingress,) = manifest("NetworkPolicy")["spec"]["ingress"]
    assert (port["name"], port["containerPort"]) == ("http", 10186)
    assert (served["targetPort"], served["port"]) == (port["name"], port["containerPort"])
    assert endpoint["port"] == served["name"]
    assert ingress["ports"] == [{"port": port["name"]}]
    assert {CONTAINER[probe]["httpGet"]["port"] for probe in CONTAINER if probe.endswith("Probe")} == {port["name"]}


def test_what_is_mounted_is_what_there_is() -> None:
    volumes = {volume["name"]: volume for volume in POD["spec"]["volumes"]}
    assert volumes.keys() == MOUNTS.keys()
    assert volumes["config"]["configMap"]["name"] == manifest("ConfigMap")["metadata"]["name"]
    assert volumes["secrets"]["secret"]["secretName"] == manifest("Secret")["metadata"]["name"]
    claim = volumes["ledger"]["persistentVolumeClaim"]["claimName"]
    assert claim == manifest("PersistentVolumeClaim")["metadata"]["name"]
    # The exporter's group reads the secrets, and nobody else.
    assert volumes["secrets"]["secret"]["defaultMode"] == 0o440


def test_only_whole_folders_are_mounted() -> None:
    """What is mounted by subPath never changes again."""
    assert {key for mount in CONTAINER["volumeMounts"] for key in mount} == {"name", "mountPath", "readOnly"}
    assert [mount["name"] for mount in CONTAINER["volumeMounts"] if not mount.get("readOnly")] == ["ledger"]


def test_every_secret_that_the_configuration_names_is_in_the_example() -> None:
    named = re.findall(rf"{MOUNTS['secrets']}/(\S+)", CONFIG)
    assert named
    assert sorted(named) == sorted(manifest("Secret")["stringData"])


def test_the_document_names_what_the_manifests_name() -> None:
    secret, image = manifest("Secret"), KUSTOMIZATION["images"][0]
    made = re.search(r"create secret generic (\S+) \\\n(.*)\n", DOCUMENT)
    assert made is not None
    assert (made[1], sorted(re.findall(r"--from-file=(\S+)", made[2]))) == (
        secret["metadata"]["name"],
        sorted(secret["stringData"]),
    )
    blocks = [yaml.safe_load(block) for block in re.findall(r"(?s)```yaml\n(.*?)```", DOCUMENT)]
    scraped, overlay = blocks
    assert scraped["scrape_configs"][0]["job_name"] == JOB
    assert scraped["scrape_configs"][0]["static_configs"] == [{"targets": [INSTANCE]}]
    assert overlay["images"][0]["name"] == image["newName"]
    assert set(re.findall(r"-n (\S+)", DOCUMENT)) == {KUSTOMIZATION["namespace"]}


def test_one_process_at_a_time_has_the_ledger() -> None:
    spec = manifest("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert manifest("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert CONFIG.startswith(f"ledger:\n  path: {MOUNTS['ledger']}/")
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 5  # within which the exporter stops


def test_the_pod_may_run_where_the_restricted_standard_is_enforced() -> None:
    user = re.search(r"(?m)^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text())
    assert user is not None
    pod, own = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert (pod["runAsNonRoot"], pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (int(user[1]), int(user[2]), int(user[2]))
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & POD["spec"].keys()


def test_it_is_let_call_names_and_vendors_only_and_called_by_prometheus_only() -> None:
    spec = manifest("NetworkPolicy")["spec"]
    assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
    ports = [(port["port"], port.get("protocol", "TCP")) for rule in spec["egress"] for port in rule["ports"]]
    assert sorted(ports) == [(53, "TCP"), (53, "UDP"), (443, "TCP")]
    assert {str(one.get("to")) for one in spec["egress"]} == {"None"}
    ((caller,),) = [rule["from"] for rule in spec["ingress"]]
    assert caller["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": KUSTOMIZATION["namespace"]}
    assert caller["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}


# What Prometheus makes of the ServiceMonitor

META: Mapping[str, str] = {
    "__meta_kubernetes_namespace": "monitoring",
    "__meta_kubernetes_service_name": manifest("Service")["metadata"]["name"],
    "__meta_kubernetes_pod_name": "videotask-exporter-5d4b9c7f6-x2x9v",
    "__meta_kubernetes_pod_container_name": CONTAINER["name"],
} | {
    f"__meta_kubernetes_service_label_{re.sub(r'[^A-Za-z0-9_]', '_', name)}": value
    for name, value in manifest("Service")["metadata"]["labels"].items()
}
"""Of a target, as Prometheus discovers it."""


def by_the_operator(monitor: dict[str, Any]) -> list[dict[str, Any]]:
    """The labels that the operator gives each target, by its documentation, before the monitor's own relabelings."""
    (endpoint,) = monitor["endpoints"]
    job = f"__meta_kubernetes_service_label_{re.sub(r'[^A-Za-z0-9_]', '_', monitor['jobLabel'])}"
    own = [
        ("__meta_kubernetes_namespace", "namespace"),
        ("__meta_kubernetes_service_name", "service"),
        ("__meta_kubernetes_pod_name", "pod"),
        ("__meta_kubernetes_pod_container_name", "container"),
        ("__meta_kubernetes_service_name", "job"),
    ]
    return [
        *({"source_labels": [source], "target_label": target} for source, target in own),
        {"source_labels": [job], "regex": "(.+)", "target_label": "job"},
        {"target_label": "endpoint", "replacement": endpoint["port"]},
        *(
            {re.sub("([A-Z])", r"_\1", key).lower(): value for key, value in one.items()}
            for one in endpoint["relabelings"]
        ),
    ]


def test_a_target_has_the_job_of_the_alerts_and_nothing_that_changes_with_the_pod(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    job = "serviceMonitor/monitoring/videotask-exporter/0"
    scrape = {
        "job_name": job,
        "relabel_configs": by_the_operator(manifest("ServiceMonitor")["spec"]),
        "static_configs": [{"targets": ["10.0.0.7:10186"], "labels": dict(META)}],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
    command = [program("promtool"), "check", "service-discovery", "--timeout=500ms"]
    targets: list[dict[str, Any]] = []

    def discovered() -> bool:
        found = subprocess.run(
            [*command, str(tmp_path / "prometheus.yml"), job], capture_output=True, text=True, check=True
        )
        targets[:] = json.loads(found.stdout or "null") or []
        return bool(targets)

    wait_for("a target", discovered)
    ((labels,),) = [[target["labels"] for target in targets]]
    kept = {name: value for name, value in labels.items() if not name.startswith("__")}
    assert kept == {
        "job": JOB,
        "instance": INSTANCE,
        "namespace": "monitoring",
        "service": "videotask-exporter",
    }
    catalogue: tuple[Metric[Any], ...] = (
        *TASK_METRICS,
        *FEED_METRICS,
        *PROVIDER_METRICS,
        *REPLICA_METRICS,
        *EXPORTER_METRICS,
    )
    ours = {label for metric in catalogue for label in metric.labels}
    assert "endpoint" in ours  # which the operator's would have pushed aside
    assert not ours & kept.keys()


# The pod, as far as a process can be it


class Volume:
    """A ConfigMap or a Secret as the kubelet mounts it: a change shows at once, by a link that is replaced."""

    def __init__(self, folder: Path, content: Mapping[str, str]) -> None:
        self._folder, self._version = folder, 0
        folder.mkdir(parents=True)
        self.write(content)
        for name in content:
            (folder / name).symlink_to(f"..data/{name}")

    def write(self, content: Mapping[str, str]) -> None:
        before, self._version = self._folder / f"..{self._version}", self._version + 1
        fresh = self._folder / f"..{self._version}"
        fresh.mkdir()
        for name, text in content.items():
            (fresh / name).write_text(text)
        (self._folder / "..data_tmp").symlink_to(fresh.name)
        (self._folder / "..data_tmp").rename(self._folder / "..data")
        if before.exists():
            shutil.rmtree(before)


def up(provider: str, kind: str) -> str:
    return f'videotask_up{{kind="{kind}",provider="{provider}"}}'


def test_the_pod_gets_ready_and_follows_its_configmap_and_its_secret(
    start: Start, aimed: Callable[[str], str], keys: dict[str, str], tmp_path: Path
) -> None:
    def placed(text: str) -> str:
        for path in MOUNTS.values():
            text = text.replace(path, f"{tmp_path}{path}")
        return text

    config = Volume(tmp_path / MOUNTS["config"][1:], {"config.yaml": placed(aimed(CONFIG))})
    secrets = Volume(tmp_path / MOUNTS["secrets"][1:], manifest("Secret")["stringData"])
    (tmp_path / MOUNTS["ledger"][1:]).mkdir()
    flags = ("--web.listen-address=127.0.0.1:0", "--config.auto-reload-interval=50ms")
    exporter = start(*map(placed, CONTAINER["args"]), *flags)
    exporter.wait_for("a first sweep that failed", lambda: exporter.value(up("deerapi", "sora")) == 0)
    swept = [up("chanjing", kind) for kind in ("lip_sync", "video")]
    exporter.wait_for("the first sweeps", lambda: all(exporter.value(series) is not None for series in swept))
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):  # although no key is right
        assert exporter.get(CONTAINER[probe]["httpGet"]["path"][1:]).startswith("The exporter is ")
    secrets.write(keys)
    exporter.wait_for("the right keys", lambda: exporter.value(up("deerapi", "sora")) == 1)
    exporter.wait_for("the right keys", lambda: exporter.value(up("chanjing", "video")) == 1)
    config.write({"config.yaml": placed(aimed(CONFIG)).replace("name: chanjing", "name: studio")})
    exporter.wait_for("the changed configuration", lambda: exporter.value(up("studio", "video")) == 1)
    assert (tmp_path / "data" / "videotask.sqlite3").exists()
    assert exporter.end() == 0
