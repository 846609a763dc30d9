"""The Compose project: what Compose itself reads in it, and that the pieces fit each other."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.cli.arguments import Invocation, parse
from tests.processes import serving
from tests.programs import ROOT, program, said

FOLDER = ROOT / "deploy" / "compose"
FILE = FOLDER / "compose.yaml"
CONFIG = FOLDER / "simulated" / "config.yaml"
Service = dict[str, Any]


def read_by_compose(**environment: str) -> dict[str, Any]:
    """Return the project as `docker compose config` shows it, or the library that it is made of."""
    has_client = shutil.which("docker") is not None and said("docker", "compose", "version")[0] == 0
    words = ["docker", "compose", f"--file={FILE}", "config", "--format=json"]
    variables = {"MMS_CONFIG": "", **environment}
    code, output = said(*(words if has_client else [program("COMPOSE_READ"), FILE]), environment=variables)
    assert code == 0, output
    project: dict[str, Any] = json.loads(output)
    return project


def services() -> dict[str, Service]:
    """Return the services as they are written."""
    loaded: dict[str, Service] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
    return loaded


def asked(service: str) -> Invocation:
    """Return what the exporter is asked for in a service."""
    return parse(services()[service]["command"], {})


def mounts() -> Iterator[tuple[str, Path, str]]:
    """Yield service, file or folder here, and path in the container, of everything that is mounted from here."""
    for name, service in read_by_compose()["services"].items():
        for volume in service.get("volumes", ()):
            if volume["type"] == "bind":
                yield name, Path(volume["source"]), volume["target"]


def test_compose_reads_it() -> None:
    assert set(read_by_compose()["services"]) == {"simulator", "exporter", "prometheus", "alertmanager", "grafana"}


def test_one_variable_puts_a_real_account_in_place_of_the_simulated_one() -> None:
    before, after = read_by_compose(), read_by_compose(MMS_CONFIG="/srv/mms")
    assert set(before["services"]) - set(after["services"]) == {"simulator"}
    (demo,), (real,) = (each["services"]["exporter"]["volumes"] for each in (before, after))
    assert (demo["source"], real["source"]) == (str(CONFIG.parent), "/srv/mms")
    assert real["target"] == demo["target"] == "/etc/mms-exporter"


@pytest.mark.parametrize(
    ("variables", "runs"),
    [
        ({"COMPOSE_PROFILES": "other"}, False),
        ({"COMPOSE_PROFILES": "other,simulated"}, True),
        ({"COMPOSE_PROFILES": "simulated", "MMS_CONFIG": "/srv/mms"}, True),
        ({"MMS_CONFIG": "./simulated"}, False),
    ],
)
def test_the_simulated_mms_runs_by_the_profile_as_the_readme_has_it(variables: dict[str, str], *, runs: bool) -> None:
    assert ("simulator" in read_by_compose(**variables)["services"]) is runs


@pytest.mark.parametrize("path", ["mms", "./mms", "mms/"])
def test_a_folder_is_one_however_it_is_written(path: str) -> None:
    """And no volume of that name."""
    (mount,) = read_by_compose(MMS_CONFIG=path)["services"]["exporter"]["volumes"]
    assert (mount["type"], mount["source"]) == ("bind", str(FOLDER / "mms"))


def test_a_folder_that_is_not_there_is_not_made() -> None:
    (mount,) = services()["exporter"]["volumes"]
    assert mount["bind"] == {"create_host_path": False}


def test_everything_that_is_mounted_is_in_the_repository() -> None:
    missing = [str(source) for _, source, _ in mounts() if ROOT not in source.parents or not source.exists()]
    assert missing == []


def test_nothing_of_the_repository_can_be_written_to() -> None:
    volumes = [each for service in read_by_compose()["services"].values() for each in service.get("volumes", ())]
    assert all(each["read_only"] for each in volumes if each["type"] == "bind")


@pytest.mark.parametrize("name", services())
def test_a_service_is_confined_checked_and_of_a_pinned_image(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])


@pytest.mark.parametrize("name", services())
def test_ports_are_on_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in services()[name].get("ports", ()))


def test_the_commands_are_the_exporters() -> None:
    assert asked("simulator").command == "simulate"
    assert str(asked("exporter").values["config.file"]) == "/etc/mms-exporter/config.yaml"


async def test_the_exporter_reads_the_simulator_with_the_configuration_beside_it(tmp_path: Path) -> None:
    """On loopback: the name of the simulator is one that only Compose knows."""
    configured = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    (account,) = configured["accounts"]
    port = asked("simulator").values["simulator.listen-address"].port
    assert account["endpoint"] == f"http://simulator:{port}"
    async with serving("demo", "--simulator.listen-address=127.0.0.1:0") as demo:
        page = (await demo.process.stdout.readuntil(b"Press Ctrl-C")).decode()  # type: ignore[union-attr]  # it is piped
        account["endpoint"] = re.findall(r"Simulated MMS +(\S+)", page)[0]
        (tmp_path / "config.yaml").write_text(json.dumps(configured), encoding="utf-8")
        async with serving(f"--config.file={tmp_path}/config.yaml") as exporter:
            await exporter.until(lambda served: served.samples.get("mms_up") is not None)
            assert (await exporter.metrics()).value("mms_up", account="simulated") == 1


def _laid_out(service: str, below: str, folder: Path) -> Path:
    """Copy what is mounted into a container's folder to `folder`, as it stands there."""
    for name, source, target in mounts():
        if name == service and target.startswith(f"{below}/"):
            copied = folder / target.removeprefix(f"{below}/")
            if source.is_dir():
                shutil.copytree(source, copied)
            else:
                shutil.copy(source, copied)
    return folder


def test_prometheus_reads_its_configuration_with_every_rule_file(tmp_path: Path) -> None:
    laid_out = _laid_out("prometheus", "/etc/prometheus", tmp_path)
    code, output = said(program("PROMTOOL"), "check", "config", laid_out / "prometheus.yml")
    assert code == 0, output
    assert output.count("rules found") == len(list((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml")))


def test_prometheus_scrapes_and_tells_the_services_by_their_names_and_ports() -> None:
    configured = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = configured["scrape_configs"]
    (alerting,) = configured["alerting"]["alertmanagers"]
    targets = [each for group in (*job["static_configs"], *alerting["static_configs"]) for each in group["targets"]]
    assert targets == ["exporter:10180", "alertmanager:9093"]
    for target in targets:
        name, _, port = target.partition(":")
        assert services()[name]["ports"] == [f"127.0.0.1:{port}:{port}"]


@pytest.mark.parametrize(("service", "variable"), [("prometheus", "PROMETHEUS"), ("alertmanager", "ALERTMANAGER")])
def test_the_flags_of_others_are_ones_they_know(service: str, variable: str) -> None:
    _, known = said(program(variable), "--help")
    for word in services()[service]["command"]:
        assert word.partition("=")[0] in known


def test_grafana_finds_its_dashboards_where_its_provisioning_says() -> None:
    provisioning = ROOT / "grafana" / "provisioning" / "dashboards" / "mms.yaml"
    (provider,) = yaml.safe_load(provisioning.read_text(encoding="utf-8"))["providers"]
    folders = {target: source for name, source, target in mounts() if name == "grafana"}
    assert list(folders[provider["options"]["path"]].glob("overview.json"))
