"""The Helm chart, rendered by Helm: right by schema, the same as the manifests where it says the same, and what the
exporter takes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import __version__
from grafana.identity import JOB
from grafana.rules_files import ALERTS, RECORDINGS
from tests.harness import load

from . import test_kubernetes as one_process
from .resources import check

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "videotask-exporter"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())

Rendered = dict[str, dict[str, Any]]
"""Resources by kind and name."""
Render = Callable[..., Rendered]

URL = "postgresql://exporter@db.internal/videotask?sslmode=verify-full"
REPLICAS: dict[str, Any] = {
    "replicas": 3,
    "ledger": {"url": URL, "passwordSecret": {"name": "db", "key": "pw"}, "settings": {"lease": "20s"}},
    "providerFiles": {"team-a.yaml": [{"name": "a", "type": "facewap", "base_url": "http://f.example", "token": "T"}]},
}
EVERYTHING: dict[str, Any] = REPLICAS | {
    "image": {"repository": "registry.internal/x", "tag": "9.9.9", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "secrets": {"data": {"deerapi_api_key": "KEY", "deerapi_user_token": "TOKEN"}},
    "extraArgs": ["--web.enable-lifecycle"],
    "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "envFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
    "service": {"type": "NodePort", "port": 80, "annotations": {"a": "b"}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "30s", "scheme": "https"},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"ports": [443, 3128], "databasePort": 6432},
    "podDisruptionBudget": {"maxUnavailable": 2},
    "probes": {"scheme": "HTTPS"},
    "podAnnotations": {"c": "d"},
    "podLabels": {"e": "f"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "video", "operator": "Exists"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
    "affinity": {"nodeAffinity": {}},
    "terminationGracePeriodSeconds": 20,
}
SETS: Mapping[str, dict[str, Any]] = {
    "nothing": {},
    "replicas": REPLICAS,
    "everything": EVERYTHING,
    "a volume of one's own": {"ledger": {"volume": {"existingClaim": "mine"}}, "secrets": {"existing": "keys"}},
    "no volume": {"ledger": {"volume": {"enabled": False}}, "networkPolicy": {"enabled": False}},
    "providers in files alone": {
        "config": {"providers": None},
        "providerFiles": {"team-a.yaml": REPLICAS["providerFiles"]["team-a.yaml"]},
    },
    "another class": {"ledger": {"volume": {"storageClass": "fast", "size": "5Gi"}}},
}


@pytest.fixture
def helm(program: Callable[..., str], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs helm with values; an answer has what it said."""

    def run(*arguments: str, values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(dict(values)))
        found = program("helm", built_by_go=True)
        command = [found, *arguments, str(CHART), f"--values={file}", "--kube-version=1.32.0"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def render(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Render:
    def render(values: Mapping[str, Any], release: str = JOB) -> Rendered:
        done = helm("template", release, "--namespace=monitoring", values=values)
        assert done.returncode == 0, done.stderr
        found = [one for one in yaml.safe_load_all(done.stdout) if one]
        assert {one["metadata"]["namespace"] for one in found} == {"monitoring"}
        return {f"{one['kind']}/{one['metadata']['name']}": one for one in found}

    return render


def container(rendered: Rendered, name: str = JOB) -> dict[str, Any]:
    (only,) = rendered[f"Deployment/{name}"]["spec"]["template"]["spec"]["containers"]
    return dict(only)


def without_scheme(probe: dict[str, Any]) -> dict[str, Any]:
    return probe | {"httpGet": {key: value for key, value in probe["httpGet"].items() if key != "scheme"}}


@pytest.mark.parametrize("name", SETS)
def test_helm_finds_nothing_wrong(helm: Callable[..., subprocess.CompletedProcess[str]], name: str) -> None:
    done = helm("lint", "--strict", values=SETS[name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("name", SETS)
def test_what_is_rendered_is_what_kubernetes_and_the_operator_take(render: Render, name: str) -> None:
    for resource in render(SETS[name]).values():
        check(resource)


def test_by_default_it_is_what_the_manifests_are(render: Render) -> None:
    rendered = render({"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}})
    assert {name.partition("/")[0] for name in rendered} == {
        one["kind"] for one in one_process.MANIFESTS.values() if one["kind"] != "Secret"
    }
    own, other = container(rendered), one_process.CONTAINER
    for key in ("name", "args", "ports", "resources", "securityContext", "volumeMounts"):
        assert own[key] == other[key], key
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert without_scheme(own[probe]) == other[probe]
    spec, manifest = rendered[f"Deployment/{JOB}"]["spec"], one_process.manifest
    assert spec["strategy"] == manifest("Deployment")["spec"]["strategy"]
    pod, other_pod = spec["template"]["spec"], one_process.POD["spec"]
    assert pod["securityContext"] == other_pod["securityContext"]
    assert pod["automountServiceAccountToken"] is other_pod["automountServiceAccountToken"] is False
    monitor = rendered[f"ServiceMonitor/{JOB}"]["spec"]
    assert monitor["endpoints"][0]["relabelings"] == manifest("ServiceMonitor")["spec"]["endpoints"][0]["relabelings"]
    policy, other_policy = rendered[f"NetworkPolicy/{JOB}"]["spec"], manifest("NetworkPolicy")["spec"]
    for key in ("policyTypes", "ingress", "egress"):
        assert policy[key] == other_policy[key]
    claim = rendered[f"PersistentVolumeClaim/{JOB}"]["spec"]
    assert claim == manifest("PersistentVolumeClaim")["spec"]
    groups = [group for path in (RECORDINGS, ALERTS) for group in yaml.safe_load(path.read_text())["groups"]]
    assert rendered[f"PrometheusRule/{JOB}"]["spec"] == {"groups": groups}


def test_replicas_keep_apart_and_are_never_all_away(render: Render) -> None:
    rendered = render(REPLICAS)
    spec = rendered[f"Deployment/{JOB}"]["spec"]
    labels = spec["selector"]["matchLabels"]
    assert spec["replicas"] == 3
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert rendered[f"PodDisruptionBudget/{JOB}"]["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": labels},
    }
    (term,) = spec["template"]["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["labelSelector"]["matchLabels"] == labels
    assert labels.items() <= spec["template"]["metadata"]["labels"].items()
    assert not [name for name in rendered if name.startswith("PersistentVolumeClaim")]
    assert "/data" not in json.dumps(spec)
    egress = rendered[f"NetworkPolicy/{JOB}"]["spec"]["egress"]
    assert [port["port"] for rule in egress for port in rule["ports"]] == [53, 53, 443, 5432]


def test_each_replica_is_an_instance_of_its_own(render: Render) -> None:
    (endpoint,) = render(EVERYTHING)[f"ServiceMonitor/{JOB}"]["spec"]["endpoints"]
    named = [one for one in endpoint["relabelings"] if one.get("targetLabel") == "instance"]
    assert named == [{"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}]


@pytest.mark.parametrize("name", SETS)
def test_selectors_meet_the_pods_of_the_release_alone(render: Render, name: str) -> None:
    rendered = render(SETS[name], "second")
    full = "second-videotask-exporter"
    labels = rendered[f"Deployment/{full}"]["spec"]["template"]["metadata"]["labels"]
    for kind, path in (("Service", "selector"), ("NetworkPolicy", "podSelector"), ("PodDisruptionBudget", "selector")):
        if f"{kind}/{full}" in rendered:
            selector = rendered[f"{kind}/{full}"]["spec"][path]
            selector = selector.get("matchLabels", selector)
            assert selector == {"app.kubernetes.io/name": JOB, "app.kubernetes.io/instance": "second"}
            assert selector.items() <= labels.items()


@pytest.mark.parametrize("name", SETS)
def test_what_is_mounted_is_what_there_is(render: Render, name: str) -> None:
    rendered = render(SETS[name])
    pod = rendered[f"Deployment/{JOB}"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes.keys() == {mount["name"] for mount in container(rendered)["volumeMounts"]}
    made = {name.partition("/")[2] for name in rendered if name.startswith("ConfigMap")}
    named = {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
    assert named - {"ca"} == made
    assert all(mount.get("readOnly") or mount["name"] == "ledger" for mount in container(rendered)["volumeMounts"])


@pytest.mark.parametrize("name", SETS)
def test_the_exporter_takes_the_configuration(render: Render, name: str, tmp_path: Path) -> None:
    rendered = render(SETS[name])
    mounts = {mount["name"]: mount["mountPath"] for mount in container(rendered)["volumeMounts"]}
    text: str = rendered[f"ConfigMap/{JOB}"]["data"]["config.yaml"]
    for path in mounts.values():
        text = re.sub(rf"(?<=[ \[]){path}(?=/)", f"{tmp_path}{path}", text)
        (tmp_path / path[1:]).mkdir(parents=True, exist_ok=True)
    for file in re.findall(r"(?m)_file: (\S+)$", text):
        Path(file).write_text("secret-0123456789")
    if "providers" in mounts:
        for file, content in rendered[f"ConfigMap/{JOB}-providers"]["data"].items():
            (tmp_path / mounts["providers"][1:] / file).write_text(content)
    config_file = tmp_path / "config.yaml"
    config_file.write_text(text)
    config = load(config_file)
    listed = [] if "config" in SETS[name] else ["deerapi"]
    assert [one.name for one in config.providers] == [*listed, *(["a"] if "providers" in mounts else [])]
    if "url" in SETS[name].get("ledger", {}):
        assert (config.ledger.url, config.ledger.lease) == (URL, 20)
        assert config.ledger.password is not None
    else:
        assert config.ledger.path == f"{tmp_path}/data/videotask.sqlite3"


WRONG = {
    "replicas without a database": ({"replicas": 2}, "replicas: more than one need ledger.url"),
    "the ledger in the configuration": (
        {"config": {"ledger": {"path": "x"}, "providers": []}},
        "config.ledger: give it as `ledger`",
    ),
    "an unknown value": ({"replica": 2}, "replica"),
    "an unknown value within another": ({"ledger": {"database": "x"}}, "database"),
    "a database of another kind": ({"ledger": {"url": "mysql://db/x"}}, "does not match pattern"),
    "a password among the settings": ({"ledger": {"settings": {"password": "x"}}}, "password"),
    "a number that is none": ({"replicas": "two"}, "replicas"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused_in_words(helm: Callable[..., subprocess.CompletedProcess[str]], name: str) -> None:
    values, told = WRONG[name]
    done = helm("template", "x", values=values)
    assert done.returncode != 0
    assert told in done.stderr


def values_of(schema: dict[str, Any], base: str = "") -> set[str]:
    """The names of all values that a schema lists."""
    listed = schema.get("properties", {}) if schema.get("additionalProperties") is False else {}
    below = (values_of(of, f"{base}{name}.") for name, of in listed.items())
    return {f"{base}{name}" for name in listed} | set[str]().union(*below)


def test_the_schema_has_each_value_and_no_other() -> None:
    def has(values: Any, path: str) -> bool:
        for step in path.split("."):
            if not isinstance(values, dict) or step not in values:
                return False
            values = values[step]
        return True

    optional = re.compile(r"global|probes\.\w+\.(initialDelaySeconds|successThreshold)")
    listed = values_of(SCHEMA)
    assert [one for one in listed if not has(VALUES, one) and not optional.fullmatch(one)] == []
    assert set(VALUES) == {one for one in listed if "." not in one} - {"global"}


def test_each_value_is_read_by_a_template() -> None:
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    for name in VALUES:
        assert re.search(rf"\.Values\.{name}\b", templates), name


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
    assert VALUES["image"]["repository"] == one_process.KUSTOMIZATION["images"][0]["newName"]
