"""The chart as platform teams use it: changes of scale, values of a parent chart, objects of their own."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config.loading import config_from
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
)
from tests.programs import ROOT, program, said

SCALES = ["shards=1", "shards=2", "shards=3", "replicas=2"]


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_has_a_service_with_an_address(scale: str) -> None:
    """An address cannot be taken from a Service or given to it, so an upgrade between the two would fail."""
    assert "clusterIP" not in the("Service", manifests(f"--set={scale}"))["spec"]


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_is_one_workload_behind_the_service(scale: str) -> None:
    found = manifests(f"--set={scale}")
    (workload,) = [each for each in found if each["kind"] in ("Deployment", "StatefulSet")]
    selector = the("Service", found)["spec"]["selector"].items()
    assert selector <= workload["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("scale", SCALES)
def test_the_test_uses_the_port_of_the_service(scale: str) -> None:
    found = manifests(f"--set={scale}", "--set=service.port=80")
    (tester,) = the("Pod", found, "-test")["spec"]["containers"]
    assert tester["args"][-1].endswith(":80")


def _rate_limits(*words: str) -> list[float]:
    """Return the rate limits of the accounts as the exporter reads them."""
    accounts = '[{"name": "a", "region": "cn-shanghai"}, {"name": "b", "region": "cn-shanghai", "rate_limit": 8}]'
    (secret,) = [
        each for each in manifests(f"--set-json=config.accounts={accounts}", *words) if each["kind"] == "Secret"
    ]
    return [each.rate_limit for each in config_from(yaml.safe_load(secret_files(secret)["config.yaml"])).accounts]


def test_the_shards_share_the_rate_limit_of_an_account() -> None:
    assert _rate_limits() == [10, 8]
    assert _rate_limits("--set=replicas=2") == [10, 8]
    assert _rate_limits("--set=shards=4") == [2.5, 2]


def test_no_rate_limit_stays_none_for_shards() -> None:
    account = '[{"name": "a", "region": "cn-shanghai", "rate_limit": 0}]'
    assert _rate_limits("--set=shards=3", f"--set-json=config.accounts={account}") == [0]


def test_the_log_of_the_test_stays() -> None:
    """`helm test --logs` reads it after the success."""
    policy = the("Pod", manifests(), "-test")["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
    assert policy == "before-hook-creation"


@pytest.mark.parametrize("values", VALUES, ids=lambda file: file.stem)
def test_every_container_is_admitted_by_restricted_pod_security_and_a_quota(values: Path) -> None:
    """A quota of a resource rejects the pod of a container that does not set it; the pod of `helm test` is one too."""
    pods = [each.get("spec", {}).get("template", each) for each in manifests(f"--values={values}")]
    containers = [each for pod in pods for each in pod.get("spec", {}).get("containers", ())]
    assert len(containers) >= 2
    for each in containers:
        assert {"cpu", "memory"} <= each["resources"]["requests"].keys()
        assert "memory" in each["resources"]["limits"]
        assert each["securityContext"]["allowPrivilegeEscalation"] is False
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("values", VALUES, ids=lambda file: file.stem)
def test_a_second_apply_finds_no_difference(values: Path) -> None:
    """The API server moves stringData to data, and the operator adds the default action."""
    found = manifests(f"--values={values}", "--set=monitor.kind=ServiceMonitor")
    assert all("stringData" not in each for each in found if each["kind"] == "Secret")
    (endpoint,) = the("ServiceMonitor", found)["spec"]["endpoints"]
    assert all("action" in rule for rule in endpoint["relabelings"])


@pytest.mark.parametrize(
    ("interval", "timeout"), [("5s", "10s"), ("59s", "1m"), ("1m", "1m1ms"), ("900ms", "1s"), ("1h", "61m")]
)
def test_a_timeout_longer_than_the_interval_is_rejected(interval: str, timeout: str) -> None:
    words = f"--set=monitor.kind=ServiceMonitor,monitor.interval={interval},monitor.scrapeTimeout={timeout}"
    reason = f"monitor.scrapeTimeout: {timeout} is longer than monitor.interval, {interval}"
    with pytest.raises(Refused, match=re.escape(reason)):
        manifests(words)


@pytest.mark.parametrize(("interval", "timeout"), [("30s", "30s"), ("1m30s", "90s"), ("1h", "3600s")])
def test_a_timeout_as_long_as_the_interval_is_accepted(interval: str, timeout: str) -> None:
    words = f"--set=monitor.kind=ServiceMonitor,monitor.interval={interval},monitor.scrapeTimeout={timeout}"
    (endpoint,) = the("ServiceMonitor", manifests(words))["spec"]["endpoints"]
    assert (endpoint["interval"], endpoint["scrapeTimeout"]) == (interval, timeout)


def test_a_normal_start_logs_no_failed_probe() -> None:
    """The first probe comes when an exporter usually serves; the limit for a slow start stays."""
    probe = container(manifests("--set=startupSeconds=30"))["startupProbe"]
    assert probe["initialDelaySeconds"] == 3
    assert 25 <= probe["initialDelaySeconds"] + probe["periodSeconds"] * probe["failureThreshold"] <= 30


def test_helm_prints_nothing_about_links() -> None:
    assert [file for file in CHART.rglob("*") if file.is_symlink()] == []
    code, output = said(program("HELM"), "lint", CHART)
    assert code == 0
    assert "symbolic link" not in output


def test_the_chart_carries_no_other_files_than_the_repository() -> None:
    carried = {file.name for file in (CHART / "files").rglob("*") if file.is_file()}
    sources = [*(ROOT / "deploy" / "prometheus" / "rules").glob("*"), *(ROOT / "grafana" / "dashboards").glob("*.json")]
    assert carried == {file.name for file in sources}


@pytest.mark.parametrize("key", ["home", "sources", "maintainers", "icon", "kubeVersion", "annotations"])
def test_the_chart_describes_itself(key: str) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart[key]
    if key == "icon":
        assert (ROOT / chart[key].partition("/main/")[2]).is_file()


def test_the_annotations_of_artifact_hub_are_valid() -> None:
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["annotations"]
    assert {"artifacthub.io/license", "artifacthub.io/category", "artifacthub.io/links"} <= annotations.keys()
    for link in yaml.safe_load(annotations["artifacthub.io/links"]):
        assert (ROOT / link["url"].partition("/main/")[2]).is_dir()


def in_pod(found: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = the("Deployment", found)["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module")
def platform() -> list[dict[str, Any]]:
    return manifests(values_named("platform"))


def test_labels_for_all_reach_every_object_and_pod(platform: list[dict[str, Any]]) -> None:
    chart = [each for each in platform if each["kind"] != "Pod" and "extra" not in each["metadata"]["name"]]
    assert len(chart) > 5
    assert all(each["metadata"]["labels"]["team"] == "data" for each in chart)
    assert the("Deployment", platform)["spec"]["template"]["metadata"]["labels"]["team"] == "data"
    assert "team" not in the("Deployment", platform)["spec"]["selector"]["matchLabels"]


def test_the_namespace_can_be_another(platform: list[dict[str, Any]]) -> None:
    assert {each["metadata"].get("namespace") for each in platform} == {"exporters"}
    assert the("ServiceMonitor", platform)["spec"]["namespaceSelector"] == {"matchNames": ["exporters"]}
    (tester,) = the("Pod", platform, "-test")["spec"]["containers"]
    assert ".exporters:" in tester["args"][-1]


def test_the_registry_stands_before_the_repository(platform: list[dict[str, Any]]) -> None:
    assert container(platform)["image"].startswith("registry.example/mms-exporter:")


def test_pull_secrets_are_names_or_objects(platform: list[dict[str, Any]]) -> None:
    for spec in (in_pod(platform), the("Pod", platform, "-test")["spec"]):
        assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]


def test_the_monitor_has_the_settings_of_a_scrape(platform: list[dict[str, Any]]) -> None:
    monitor = the("ServiceMonitor", platform)
    (endpoint,) = monitor["spec"]["endpoints"]
    assert monitor["metadata"]["annotations"] == {"note": "scraped"}
    assert monitor["spec"]["sampleLimit"] == 20000
    assert endpoint["honorLabels"] is True
    assert [rule["targetLabel"] for rule in endpoint["relabelings"]] == ["job", "cluster"]
    assert endpoint["metricRelabelings"] == [{"action": "drop", "sourceLabels": ["__name__"], "regex": "mms_job_info"}]


def test_the_pod_has_what_is_added_to_it(platform: list[dict[str, Any]]) -> None:
    spec = in_pod(platform)
    assert [each["name"] for each in spec["containers"]] == ["mms-exporter", "sidecar"]
    assert spec["volumes"][-1] == {"name": "scratch", "emptyDir": {}}
    assert spec["containers"][0]["volumeMounts"][-1] == {"name": "scratch", "mountPath": "/scratch"}
    assert spec["containers"][0]["envFrom"] == [{"secretRef": {"name": "mms-environment"}}]
    assert spec["hostAliases"] == [{"ip": "192.0.2.1", "hostnames": ["mms.example"]}]
    assert spec["dnsConfig"] == {"options": [{"name": "ndots", "value": "1"}]}
    assert spec["priorityClassName"] == "high"


def test_a_spread_constraint_counts_the_pods_of_the_chart(platform: list[dict[str, Any]]) -> None:
    selector = the("Deployment", platform)["spec"]["selector"]
    first, second = in_pod(platform)["topologySpreadConstraints"]
    assert first["labelSelector"] == selector
    assert second["labelSelector"] == {"matchLabels": {"own": "selector"}}


def test_the_workload_has_annotations_and_a_history(platform: list[dict[str, Any]]) -> None:
    workload = the("Deployment", platform)
    assert workload["metadata"]["annotations"] == {"reloader": "true"}
    assert workload["spec"]["revisionHistoryLimit"] == 0
    assert "revisionHistoryLimit" not in the("Deployment", manifests())["spec"]


def test_the_service_has_the_families_of_its_addresses(platform: list[dict[str, Any]]) -> None:
    spec = the("Service", platform)["spec"]
    assert (spec["ipFamilyPolicy"], spec["ipFamilies"]) == ("PreferDualStack", ["IPv4", "IPv6"])


def test_extra_manifests_are_templates(platform: list[dict[str, Any]]) -> None:
    extra = sorted(each["metadata"]["name"] for each in platform if "extra" in each["metadata"]["name"])
    assert extra == ["release-extra-mapping", "release-extra-text"]


def test_the_chart_works_as_a_dependency(tmp_path: Path) -> None:
    parent = {
        "apiVersion": "v2",
        "name": "parent",
        "version": "1.0.0",
        "dependencies": [
            {
                "name": "mms-exporter",
                "version": "*",
                "repository": f"file://{CHART}",
                "condition": "mms-exporter.enabled",
            }
        ],
    }
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(parent), encoding="utf-8")
    (tmp_path / "values.yaml").write_text("global: {registry: x}\nmms-exporter: {enabled: true}\n", encoding="utf-8")
    helm("dependency", "update", tmp_path)
    assert the("Deployment", manifests(chart=tmp_path))
    off = helm("template", "release", tmp_path, "--set=mms-exporter.enabled=false", f"--kube-version={KUBERNETES}")
    assert "kind:" not in off


def test_no_key_is_accepted_that_does_nothing() -> None:
    with pytest.raises(Refused, match="replicaCount"):
        rendered("--set=replicaCount=2")
