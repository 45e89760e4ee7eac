"""What compose.yaml describes, as processes: demo, Prometheus and Alertmanager with their arguments."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from exporter.simulator import profiles_of
from exporter.simulator.fakes import DEMO
from grafana.identity import JOB
from tests.harness import Exporter, Start, wait_for

from . import servers
from .running import PATIENCE
from .servers import Prometheus

ROOT = Path(__file__).parents[2]
RULES = ROOT / "grafana" / "prometheus" / "rules"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]


def flags(name: str, **changed: str) -> dict[str, str]:
    """A service's own flags, with other places for what it keeps."""
    own = dict(re.findall(r"(?m)^--([a-z.-]+)=(.*)$", "\n".join(SERVICES[name]["command"])))
    assert changed.keys() <= own.keys()
    return own | changed


def test_the_stack_of_compose_has_data_rules_exemplars_and_somebody_to_tell(
    start: Start, program: Callable[..., str], tmp_path: Path
) -> None:
    command, listen, *_ = SERVICES["exporter"]["command"]
    demo = start(command, listen.replace(":10186", "127.0.0.1:0"), "--speed=100")
    exporter = demo.url.removeprefix("http://").rstrip("/")
    alertmanager_config = yaml.safe_load((ROOT / "grafana" / "prometheus" / "alertmanager.yaml").read_text())
    with servers.served(
        program("alertmanager", "prometheus-alertmanager"),
        tmp_path / "alertmanager",
        alertmanager_config,
        flags("alertmanager", **{"storage.path": "data"}),
    ) as alertmanager:
        text = (ROOT / "deploy" / "compose" / "prometheus.yml").read_text()
        for inside, here in {
            "exporter:10186": exporter,
            "alertmanager:9093": alertmanager,
            "rules/*.yaml": f"{RULES}/*.yaml",
            "scrape_interval: 15s": "scrape_interval: 1s",
        }.items():
            assert text.count(inside) == 1
            text = text.replace(inside, here)
        own = flags("prometheus", **{"storage.tsdb.path": "data"})
        with servers.served(program("prometheus"), tmp_path / "prometheus", yaml.safe_load(text), own) as address:
            look(Prometheus(f"http://{address}"), alertmanager)


def test_the_stack_of_compose_begins_with_a_day_of_data(
    start: Start, program: Callable[..., str], tmp_path: Path
) -> None:
    """Of one vendor here. What is scraped later goes on where that day ends."""
    promtool, prometheus = program("promtool", "prometheus"), program("prometheus")
    output, data = tmp_path / "history.om", tmp_path / "data"
    data.mkdir()
    here = {"=:10186": "=127.0.0.1:0", "/var/tmp/history.om": str(output)}
    demo = start(*(replaced(one, here) for one in SERVICES["exporter"]["command"]), "--vendors=facewap")
    exporter = demo.url.removeprefix("http://").rstrip("/")
    shell, option = SERVICES["history"]["entrypoint"]
    (script,) = SERVICES["history"]["command"]
    script = replaced(script, {"/history/history.om": str(output), "/prometheus": str(data), "promtool": promtool})
    subprocess.run([shell, option, script], check=True, stdout=subprocess.DEVNULL)
    blocks = {one.name for one in data.iterdir()}
    assert blocks
    target = {"targets": [exporter], "labels": {"instance": "localhost:10186"}}
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": JOB, "static_configs": [target]}],
    }
    with servers.served(prometheus, tmp_path / "prometheus", config, {"storage.tsdb.path": str(data)}) as address:
        asked = Prometheus(f"http://{address}")

        def is_scraped() -> bool:
            asked.look()
            return bool(asked.ask("videotask_up"))

        wait_for("a scrape", is_scraped, patience=PATIENCE)
        grown = asked.ask("sum by (job, instance) (increase(videotask_finished_total[1d]))", "job", "instance")
        day = grown[JOB, "history"]
        assert day > 1000
        (hours,) = asked.ask("min(count_over_time(sum(rate(videotask_finished_total[1m]))[23h:1h]))").values()
        assert hours == 23
        # No jump where scrapes go on: in these minutes ended about as much as in any others.
        (joint,) = asked.ask("sum(increase(videotask_finished_total[10m]))").values()
        assert joint < day / 20
        assert (JOB, "history") not in asked.ask("videotask_recent_tasks", "job", "instance")
    subprocess.run([shell, option, script], check=True, stdout=subprocess.DEVNULL)  # at the next start
    assert {one.name for one in data.iterdir() if (one / "meta.json").exists()} == blocks


def replaced(text: str, places: dict[str, str]) -> str:
    for there, here in places.items():
        text = text.replace(there, here)
    return text


def test_the_replicas_of_compose_share_the_accounts_of_their_simulator_and_stand_in_for_each_other(
    start: Start, ledger_url: str, tmp_path: Path
) -> None:
    simulate, listen, *vendors = SERVICES["simulator"]["command"]
    simulator = start(simulate, listen.replace(":10187", "127.0.0.1:0"), *vendors)

    def told() -> re.Match[str] | None:
        return re.search(r"What they know: (http://[^/]+)/truth", simulator.stdout)

    simulator.wait_for("its address", told)
    found = told()
    assert found is not None
    config = yaml.safe_load((ROOT / "deploy" / "compose" / "replicas.yaml").read_text())
    config["ledger"] |= {"url": ledger_url, "lease": "2s"}
    replicas = []
    for name in ("replica-1", "replica-2"):
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(config | {"replica": name}).replace("http://simulator:10187", found[1]))
        replicas.append(start(f"--config.file={file}", "--web.listen-address=127.0.0.1:0"))

    accounts = {one["name"] for one in config["providers"]}

    def up(replica: Exporter) -> set[str]:
        return set(re.findall(r'(?m)^videotask_up\{.*provider="(.*)"\} 1', replica.get("metrics")))

    def shared() -> bool:
        one, other = map(up, replicas)
        return bool(one and other) and not one & other and one | other == accounts

    wait_for("each account at one of them", shared, PATIENCE)
    killed, left = replicas
    killed.end(signal.SIGKILL)
    wait_for("all accounts at the other", lambda: up(left) == accounts, PATIENCE)
    assert left.end() == 0


def look(prometheus: Prometheus, alertmanager: str) -> None:
    loaded = {rule["name"] for group in prometheus.api("rules")["groups"] for rule in group["rules"]}
    written = {
        rule.get("alert") or rule["record"]
        for file in RULES.iterdir()
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    }
    assert loaded == written

    def every_feed_is_up() -> bool:
        prometheus.look()
        return len(prometheus.ask("videotask_up == 1", "provider", "kind")) == len(profiles_of(DEMO))

    def alertmanager_is_known() -> bool:
        known = prometheus.api("alertmanagers")["activeAlertmanagers"]
        return [one["url"] for one in known] == [f"http://{alertmanager}/api/v2/alerts"]

    wait_for("all feeds in Prometheus", every_feed_is_up, PATIENCE)
    wait_for("the Alertmanager that Prometheus tells", alertmanager_is_known, PATIENCE)
    wait_for("exemplars", lambda: prometheus.exemplars("videotask_total_duration_seconds_bucket"), PATIENCE)
    assert prometheus.ask(f'up{{job="{JOB}"}}', "instance") == {("localhost:10186",): 1}
