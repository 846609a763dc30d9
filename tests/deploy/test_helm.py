"""The Helm chart: what Helm, Kubernetes and Prometheus say of it, and that it fits the program."""

import json
import os
import re
from contextlib import AsyncExitStack
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from exporter import __version__
from exporter.cli.arguments import parse
from exporter.cli.execution import route_prefix_of
from exporter.config.loading import config_from
from exporter.simulator import Simulator
from exporter.web.security.web_config import web_config_from
from tests.conftest import account_on
from tests.deploy.dockerfile import said as said_in
from tests.deploy.dockerfile import stages
from tests.deploy.helm import (
    CHART,
    KUBERNETES,
    VALUES,
    Refused,
    container,
    helm,
    manifests,
    rendered,
    secret_files,
    the,
    values_named,
    values_of_the_chart,
)
from tests.deploy.pods import pod
from tests.programs import ROOT, program, said
from tests.rules.loading import RULES
from tests.web.http_fixture import ask, certificates_in
from tests.web.test_middleware import DAVE

GOLDEN = ROOT / "tests" / "golden" / "helm"
DASHBOARDS = ROOT / "grafana" / "dashboards"
every_set_of_values = pytest.mark.parametrize("values", VALUES, ids=lambda file: file.stem)


@every_set_of_values
def test_helm_has_nothing_to_say(values: Path) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, f"--values={values}")


@every_set_of_values
def test_the_manifests_are_the_golden_ones(values: Path) -> None:
    """`UPDATE_GOLDEN=1` writes them."""
    golden = GOLDEN / values.name
    text = rendered(f"--values={values}")
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["1.28", KUBERNETES])
@every_set_of_values
def test_kubernetes_knows_every_field(values: Path, version: str) -> None:
    for manifest in yaml.safe_load_all((GOLDEN / values.name).read_text(encoding="utf-8")):
        if "monitoring.coreos.com" not in manifest["apiVersion"]:
            kubernetes_validate.validate(manifest, version, strict=True)


@every_set_of_values
def test_the_flags_are_ones_that_the_program_knows(values: Path) -> None:
    words = container(manifests(f"--values={values}"))["args"]
    asked = parse([word.replace("$(SHARD_INDEX)", "2") for word in words], {})
    assert asked.command == "serve"
    assert str(asked.values["config.file"]) == "/etc/mms-exporter/config/config.yaml"


@pytest.mark.parametrize("name", ["defaults", "rrsa_token", "tls_and_users"])
def test_the_configuration_is_one_that_the_program_takes(name: str) -> None:
    secret = the("Secret", manifests(values_named(name)), "-config")
    assert config_from(yaml.safe_load(secret_files(secret)["config.yaml"])).accounts


def test_a_long_id_stays_as_it_was_written() -> None:
    secret = the("Secret", manifests(values_named("access_key")), "-config")
    assert "source_id: 2000015" in secret_files(secret)["config.yaml"]


def test_a_changed_configuration_makes_new_pods() -> None:
    def annotations(*words: str) -> dict[str, str]:
        found: dict[str, str] = the("Deployment", manifests(*words))["spec"]["template"]["metadata"]["annotations"]
        return found

    changed = annotations("--set=config.refresh.interval=30s")
    assert annotations()["checksum/config"] != changed["checksum/config"]
    assert annotations()["checksum/web"] == changed["checksum/web"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("defaults", {"path": "/-/healthy", "port": "http", "scheme": "HTTP"}),
        ("tls_and_users", {"path": "/-/healthy", "port": "http", "scheme": "HTTPS"}),
    ],
)
def test_a_probe_knocks_as_the_door_wants_it(name: str, expected: dict[str, str]) -> None:
    assert container(manifests(values_named(name)))["livenessProbe"]["httpGet"] == expected


@pytest.mark.parametrize(
    ("settings", "prefix"),
    [
        ("externalUrl=https://example.com/mms", "/mms"),
        ("externalUrl=https://example.com/mms/", "/mms"),
        ("routePrefix=/a/b", "/a/b"),
        ("externalUrl=https://example.com/mms,web.routePrefix=/", ""),
        ("externalUrl=https://example.com", ""),
    ],
)
def test_probes_scrapes_and_the_test_follow_the_route_prefix(settings: str, prefix: str) -> None:
    found = manifests(f"--set=web.{settings},monitor.kind=ServiceMonitor")
    served = container(found)
    assert route_prefix_of(parse(served["args"], {}).values) == prefix
    probes = [served[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    assert probes == [f"{prefix}{path}" for path in ("/-/healthy", "/-/healthy", "/-/ready")]
    (endpoint,) = the("ServiceMonitor", found)["spec"]["endpoints"]
    assert endpoint.get("path", "/metrics") == f"{prefix}/metrics"
    (probe,) = the("Pod", found)["spec"]["containers"]
    assert route_prefix_of(parse(probe["args"], {}).values) == prefix


def test_probes_behind_a_prefix_need_no_password() -> None:
    found = manifests(values_named("behind_proxy"))
    web = yaml.safe_load(secret_files(the("Secret", found, "-web"))["web.yaml"])
    assert web["auth_excluded_paths"] == ["/mms/-/healthy", "/mms/-/ready"]
    assert container(found)["livenessProbe"]["httpGet"]["path"] == "/mms/-/healthy"


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("client_certificates", "http_server_config={}"),
        ("client_certificates", 'tls_server_config.client_auth_type="VerifyClientCertIfGiven"'),
        ("tls_and_users", 'auth_excluded_paths=["/-/healthy"]'),
        ("tls_and_users", 'rate_limit={"interval": "1s", "burst": 5}'),
    ],
    ids=["certificates", "names", "passwords", "rate"],
)
def test_a_probe_that_would_be_turned_away_only_opens_a_connection(name: str, setting: str) -> None:
    probe = container(manifests(values_named(name), f"--set-json=web.config.{setting}"))["readinessProbe"]
    assert "httpGet" not in probe
    assert probe["tcpSocket"] == {"port": "http"}


@pytest.mark.parametrize("name", ["client_certificates", "tls_and_users"])
def test_the_web_configuration_is_one_that_the_program_takes(name: str) -> None:
    secret = the("Secret", manifests(values_named(name)), "-web")
    assert web_config_from(yaml.safe_load(secret_files(secret)["web.yaml"])).tls_server_config.is_given


async def test_a_pod_with_tls_and_users_answers_its_probes_and_asks_who_scrapes(
    simulator: Simulator, tmp_path: Path
) -> None:
    found = manifests(
        values_named("tls_and_users"),
        "--set=log.format=logfmt",
        f"--set-json=config.accounts={json.dumps([account_on(simulator.url)])}",
        f"--set=web.config.basic_auth_users.prometheus={DAVE}",
    )
    certificates = certificates_in(tmp_path)
    (tmp_path / "tls").mkdir()
    (tmp_path / "server.pem").rename(tmp_path / "tls" / "tls.crt")
    (tmp_path / "server.key").rename(tmp_path / "tls" / "tls.key")
    async with pod(found, tmp_path) as running:
        port, trusting = int(running.urls[0].rpartition(":")[2]), certificates.client_context()
        knock = container(found)["livenessProbe"]["httpGet"]
        assert await ask(port, trusting, path=knock["path"]) == 200
        assert await ask(port, trusting, path="/metrics") == 401
        assert await ask(port, trusting, ("prometheus", "dave123"), "/metrics") == 200


def test_who_has_users_asks_no_probe_for_a_password() -> None:
    secret = the("Secret", manifests(values_named("tls_and_users")), "-web")
    assert yaml.safe_load(secret_files(secret)["web.yaml"])["auth_excluded_paths"] == ["/-/healthy", "/-/ready"]


def test_paths_without_a_password_can_be_chosen() -> None:
    found = manifests(values_named("tls_and_users"), "--set-json=web.config.auth_excluded_paths=[]")
    assert yaml.safe_load(secret_files(the("Secret", found, "-web"))["web.yaml"])["auth_excluded_paths"] == []


def test_the_test_asks_the_service_by_a_command_of_the_program() -> None:
    found = manifests()
    (tester,) = the("Pod", found, "-test")["spec"]["containers"]
    service = the("Service", found)
    asked = parse(tester["args"], {})
    (address,) = asked.values["web.listen-address"]
    assert asked.command == "probe"
    assert str(address) == f"{service['metadata']['name']}.monitoring:{service['spec']['ports'][0]['port']}"


def test_the_test_is_no_target_of_the_service() -> None:
    found = manifests()
    selector = the("Service", found)["spec"]["selector"].items()
    assert not selector <= the("Pod", found, "-test")["metadata"]["labels"].items()
    assert selector <= the("Deployment", found)["spec"]["template"]["metadata"]["labels"].items()


def test_the_rules_are_those_of_the_repository(tmp_path: Path) -> None:
    rule = the("PrometheusRule", manifests("--set=prometheusRule.enabled=true"))
    source = [group for file in RULES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    assert rule["spec"]["groups"] == source
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]), encoding="utf-8")
    code, output = said(program("PROMTOOL"), "check", "rules", tmp_path / "rules.yaml")
    assert code == 0, output


def test_a_threshold_can_be_set_and_nothing_else_changes_with_it() -> None:
    name = "mms:threshold:failed:ratio"
    words = ["--set=prometheusRule.enabled=true", f'--set-json=prometheusRule.thresholds={{"{name}": 0.1}}']
    before, after = (
        [rule for group in the("PrometheusRule", manifests(*each))["spec"]["groups"] for rule in group["rules"]]
        for each in (words[:1], words)
    )
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [{"record": name, "expr": "vector(0.1)"}]


def test_a_threshold_that_is_none_is_refused() -> None:
    words = ["--set=prometheusRule.enabled=true", '--set-json=prometheusRule.thresholds={"mms:threshold:none": 1}']
    with pytest.raises(Refused, match="unknown threshold mms:threshold:none"):
        manifests(*words)


def test_the_links_of_the_alerts_can_be_set_and_nothing_else_changes_with_them() -> None:
    words = ["--set=prometheusRule.enabled=true", "--set=prometheusRule.dashboardUrl=https://grafana.example.com/"]
    words += ["--set=prometheusRule.runbookUrl=https://wiki.example.com/mms"]
    before, after = (
        [rule for group in the("PrometheusRule", manifests(*each))["spec"]["groups"] for rule in group["rules"]]
        for each in (words[:1], words)
    )
    changed = {new["record"]: new["labels"]["url"] for old, new in zip(before, after, strict=True) if old != new}
    assert changed == {
        "mms:link:dashboards:url": "https://grafana.example.com",
        "mms:link:runbooks:url": "https://wiki.example.com/mms",
    }


def test_a_link_that_is_no_address_is_refused() -> None:
    with pytest.raises(Refused, match="dashboardUrl"):
        manifests("--set=prometheusRule.enabled=true,prometheusRule.dashboardUrl=grafana")


def test_the_dashboards_are_those_of_the_repository() -> None:
    found = [each for each in manifests("--set=dashboards.enabled=true") if each["kind"] == "ConfigMap"]
    carried = {name: text.rstrip() for each in found for name, text in each["data"].items()}
    assert carried == {
        f"mms-{file.name}": file.read_text(encoding="utf-8").rstrip() for file in DASHBOARDS.glob("*.json")
    }
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in found)


def test_a_packaged_chart_carries_what_lies_outside_its_folder(tmp_path: Path) -> None:
    helm("package", CHART, f"--destination={tmp_path}")
    (package,) = tmp_path.glob("*.tgz")
    words = ["--set=prometheusRule.enabled=true,dashboards.enabled=true"]
    assert rendered(*words, chart=package) == rendered(*words)


def test_the_chart_is_of_this_version_and_runs_as_the_images_user() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    context = values_of_the_chart()["podSecurityContext"]
    (user,) = said_in(stages(ROOT / "Dockerfile")[-1], "USER")
    assert chart["appVersion"] == __version__
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_shards_are_numbered_by_their_pods() -> None:
    found = manifests(values_named("sharded"))
    only = container(found)
    (index,) = [each for each in only["env"] if each["name"] == "SHARD_INDEX"]
    assert index["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"
    assert only["args"][-2:] == ["--shard.index=$(SHARD_INDEX)", "--shard.total=3"]
    assert the("StatefulSet", found)["spec"]["replicas"] == 3


async def test_sharded_pods_read_each_data_source_once(simulator: Simulator, tmp_path: Path) -> None:
    accounts = json.dumps([account_on(simulator.url)])
    found = manifests(values_named("sharded"), "--set=log.format=logfmt", f"--set-json=config.accounts={accounts}")
    async with AsyncExitStack() as stack:
        shards = [
            await stack.enter_async_context(pod(found, tmp_path, index))
            for index in range(the("StatefulSet", found)["spec"]["replicas"])
        ]
        read: list[str] = []
        for each in shards:
            await each.until_ready()
            read += (await each.metrics()).by("mms_datasource_info", "source_id")
    assert sorted(read) == sorted({*read})
    assert len(read) == 6


def test_shards_need_a_kubernetes_that_numbers_pods() -> None:
    with pytest.raises(
        Refused, match=re.escape("expected Kubernetes 1.28 or later, which sets the index of a pod, not v1.27.0")
    ):
        helm("template", CHART, "--set=shards=2", "--kube-version=1.27.0")
