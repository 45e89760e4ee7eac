"""compose.yaml: right by schema, wired as its parts expect, closed to other machines. tests/stack runs it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from exporter.simulator import SEEDS, Credentials, fake_of
from grafana.identity import JOB
from tests.harness import load

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
ACCOUNTS = ROOT / "deploy" / "compose" / "accounts.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("exporter", "replica-1", "replica-2", "simulator")
OTHERS = {name: service for name, service in SERVICES.items() if name not in OURS}
PORTS = {"exporter": 10186, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
REPLICAS = {"replica-1": 10188, "replica-2": 10189}
PROFILE = {*REPLICAS, "simulator", "database"}
KEEPING = {"exporter", "database", *PORTS}
"""What has a volume: the ledger of the replicas is in the database, and the simulator keeps nothing."""
CONFIG = ROOT / "deploy" / "compose" / "replicas.yaml"
SCRAPING: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())


def mounted(service: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
    """What of this tree a service sees, and where."""
    for volume in service.get("volumes", ()):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            yield ROOT / source, Path(target)


def file_at(name: str, path: str) -> Path:
    """The file of this tree that a service sees at a path."""
    for source, target in mounted(SERVICES[name]):
        if Path(path).is_relative_to(target):
            return source / Path(path).relative_to(target)
    pytest.fail(f"nothing is mounted at {path} of {name}")


def flags(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^--([a-z.-]+)=(.*)$", "\n".join(SERVICES[name]["command"])))


@pytest.mark.parametrize("file", [FILE, ACCOUNTS], ids=lambda file: file.name)
def test_it_is_right_by_the_schema_of_compose(file: Path) -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*check, file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_is_there_and_read_only(name: str) -> None:
    for source, _ in mounted(SERVICES[name]):
        assert source.exists()
    volumes = SERVICES[name].get("volumes", ())
    for volume in volumes:
        source, _, *mode = volume.split(":")
        assert mode == (["ro"] if source.startswith(".") else [])
    kept = {volume.split(":")[0] for volume in volumes} & set(COMPOSE["volumes"])
    assert len(kept) == (name in KEEPING)


def test_every_volume_is_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert set(COMPOSE["volumes"]) == {name for name in used if not name.startswith(".")}


def test_no_port_is_open_to_other_machines() -> None:
    own = {name: f"127.0.0.1:{port}:{port}" for name, port in PORTS.items()}
    replicas = {name: f"127.0.0.1:{port}:10186" for name, port in REPLICAS.items()}
    open_ones = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert open_ones == {name: [port] for name, port in (own | replicas).items()}
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "ipc"} & service.keys()
    assert service.get("user", "") == ("postgres" if name == "database" else "")  # whose image starts as root


@pytest.mark.parametrize("name", OTHERS)
def test_images_are_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"docker\.io/[a-z]+/[a-z]+:v?\d+\.\d+(\.\d+)?(@sha256:[0-9a-f]{64})?", OTHERS[name]["image"])


def test_health_is_known_of_each_and_waited_for_where_it_matters() -> None:
    for service in SERVICES.values():
        kind, program, *_ = service["healthcheck"]["test"]
        assert kind == "CMD"
        assert program in {"videotask-exporter", "wget", "pg_isready", "python3"}
        assert service.get("depends_on", {}).keys() <= SERVICES.keys()
    for name in OTHERS.keys() - PROFILE:
        url = urlsplit(OTHERS[name]["healthcheck"]["test"][-1])
        assert (url.hostname, url.port) == ("127.0.0.1", PORTS[name])
    assert SERVICES["grafana"]["depends_on"]["prometheus"] == {"condition": "service_healthy"}
    assert SERVICES["prometheus"]["depends_on"]["exporter"] == {"condition": "service_healthy"}


def test_grafana_has_no_password_and_nobody_who_could_change_it() -> None:
    environment = SERVICES["grafana"]["environment"]
    assert not [name for name in environment if "PASSWORD" in name or "SECRET" in name]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    provisioning = "/etc/grafana/provisioning"
    (source,) = yaml.safe_load(file_at("grafana", f"{provisioning}/datasources/videotask.yaml").read_text())[
        "datasources"
    ]
    url = urlsplit(source["url"])
    assert (url.hostname, url.port) == ("prometheus", PORTS["prometheus"])
    assert source["jsonData"]["timeInterval"] == SCRAPING["global"]["scrape_interval"]
    (boards,) = yaml.safe_load(file_at("grafana", f"{provisioning}/dashboards/videotask.yaml").read_text())["providers"]
    assert file_at("grafana", boards["options"]["path"]) == ROOT / "grafana" / "dashboards"
    home = file_at("grafana", SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert json.loads(home.read_text())["uid"] == "videotask-overview"


def test_grafana_is_the_one_whose_panels_the_tests_draw() -> None:
    drawn = json.loads((ROOT / "grafana" / "pictures" / "package.json").read_text())["dependencies"]
    assert SERVICES["grafana"]["image"] == f"docker.io/grafana/grafana:{drawn['@grafana/ui']}"


def test_the_same_alerts_do_not_come_twice() -> None:
    """Those for Grafana stand beside what is mounted; Prometheus evaluates its own."""
    seen = {target for _, target in mounted(SERVICES["grafana"])}
    assert not [path for path in seen if path.name in ("alerting", "provisioning")]
    assert file_at("prometheus", "/etc/prometheus/rules/alerts.yaml").exists()


def test_links_in_alerts_lead_to_where_a_browser_finds_things() -> None:
    assert flags("prometheus")["web.external-url"] == f"http://localhost:{PORTS['prometheus']}"
    assert flags("alertmanager")["web.external-url"] == f"http://localhost:{PORTS['alertmanager']}"
    rules = yaml.safe_load(file_at("prometheus", "/etc/prometheus/rules/alerts.yaml").read_text())
    links = {rule["annotations"]["dashboard_url"] for group in rules["groups"] for rule in group["rules"]}
    assert all(link.startswith(f"http://localhost:{PORTS['grafana']}/d/") for link in links)
    for (instance,) in [group["labels"].values() for group in targets(JOB)]:
        assert instance == f"localhost:{PORTS['exporter']}"


def targets(job: str) -> list[dict[str, Any]]:
    (found,) = [one for one in SCRAPING["scrape_configs"] if one["job_name"] == job]
    return list(found["static_configs"])


def test_prometheus_scrapes_the_exporter_as_the_alerts_expect_and_tells_alertmanager() -> None:
    assert [group["targets"] for group in targets(JOB)] == [[f"exporter:{PORTS['exporter']}"]]
    (told,) = SCRAPING["alerting"]["alertmanagers"]
    assert told["static_configs"] == [{"targets": [f"alertmanager:{PORTS['alertmanager']}"]}]


def test_promtool_finds_nothing_wrong(program: Callable[[str], str], tmp_path: Path) -> None:
    for source, target in mounted(SERVICES["prometheus"]):
        copy = tmp_path / target.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    file = tmp_path / Path(flags("prometheus")["config.file"]).relative_to("/")
    checked = subprocess.run(
        [program("promtool"), "check", "config", file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(list((ROOT / 'grafana' / 'prometheus' / 'rules').iterdir()))} rule files found" in checked.stdout


def test_amtool_finds_nothing_wrong(program: Callable[[str], str]) -> None:
    file = file_at("alertmanager", flags("alertmanager")["config.file"])
    checked = subprocess.run([program("amtool"), "check-config", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_own_accounts_take_the_place_of_the_demo() -> None:
    services = yaml.safe_load(ACCOUNTS.read_text())["services"]
    assert services.keys() == {"exporter"}
    (command,) = services["exporter"]["command"]
    assert services["exporter"]["volumes"] == [f"./config.yaml:{command.removeprefix('--config.file=')}:ro"]
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/config.yaml", *(f"/{one['path']}" for one in services["exporter"]["env_file"])} <= set(ignored)


def test_replicas_run_only_where_they_are_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["replicas"]} == PROFILE
    assert not any("profiles" in SERVICES[name] for name in SERVICES.keys() - PROFILE)
    for name in SERVICES.keys() - PROFILE:
        assert not PROFILE & SERVICES[name].get("depends_on", {}).keys()


def test_replicas_differ_in_their_names_and_ports_alone() -> None:
    first, second = (
        {key: value for key, value in SERVICES[name].items() if key not in ("hostname", "ports")} for name in REPLICAS
    )
    assert first == second
    assert [SERVICES[name]["hostname"] for name in REPLICAS] == list(REPLICAS)
    assert first["depends_on"] == {key: {"condition": "service_healthy"} for key in ("database", "simulator")}


def test_the_configuration_of_the_replicas_meets_the_services() -> None:
    (command,) = SERVICES["replica-1"]["command"]
    assert file_at("replica-1", command.removeprefix("--config.file=")) == CONFIG
    config: Any = load(CONFIG)
    database = SERVICES["database"]["environment"]
    assert config.ledger.url.partition("?")[0] == (
        f"postgresql://{database['POSTGRES_USER']}@database/{database['POSTGRES_DB']}"
    )
    simulate, listen, _ = SERVICES["simulator"]["command"]
    assert simulate == "simulate"
    port = listen.rpartition(":")[2]
    keys = Credentials()
    for one in config.providers:
        assert one.base_url == f"http://simulator:{port}{fake_of(one.type).prefix}"
        given = {name: str(getattr(getattr(one, name), "text", getattr(one, name))) for name in keys.of(one.type)}
        if one.type == "chanjing":  # whose tokens the holder asks for itself
            given, wanted = {"app_id": one.app_id, "secret_key": one.secret_key.text}, keys.to_renew_with(one.type)
        else:
            wanted = keys.of(one.type)
        assert given == wanted
    assert {one.type for one in config.providers} == set(SEEDS)


def test_prometheus_scrapes_the_replicas_under_addresses_that_a_browser_finds() -> None:
    (job,) = [one for one in SCRAPING["scrape_configs"] if one["job_name"] == JOB]
    (discovered,) = job["dns_sd_configs"]
    assert (discovered["names"], discovered["port"]) == (list(REPLICAS), 10186)
    instances = {one["regex"]: one["replacement"] for one in job["relabel_configs"]}
    assert instances == {name: f"localhost:{port}" for name, port in REPLICAS.items()}
