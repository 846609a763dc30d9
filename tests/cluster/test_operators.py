"""The objects for Argo CD, Flux and the Prometheus Operator, and what the operator makes of them."""

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import WORDS
from tests.cluster.control_plane import ControlPlane, running_process
from tests.deploy.helm import GITOPS, rendered
from tests.harness import eventually
from tests.programs import program, said
from tests.story.servers import reserved_port

pytestmark = pytest.mark.cluster

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}}
STACK = "kube-prometheus-stack"


@pytest.mark.parametrize("file", GITOPS.values(), ids=lambda file: file.stem)
def test_an_example_is_accepted(plane: ControlPlane, file: Path, ran: Counter[str]) -> None:
    plane.kubectl("apply", "--filename=-", stdin=yaml.safe_dump(NAMESPACE))
    apply = ("apply", "--warnings-as-errors", f"--filename={file}")
    plane.kubectl(*apply)
    assert all(line.endswith(" unchanged") for line in plane.kubectl(*apply).splitlines())
    plane.kubectl("delete", f"--filename={file}")
    ran[file.stem] += 1


@pytest.fixture
def _operator(restricted: ControlPlane, tmp_path: Path, name: str) -> Iterator[None]:
    """Run the Prometheus Operator with the chart and a Prometheus that selects as the one of the stack."""
    selector = {"matchLabels": {"release": STACK}}
    prometheus = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": STACK, "namespace": "monitoring"},
        "spec": {"serviceMonitorSelector": selector, "ruleSelector": selector, "podMonitorSelector": {}},
    }
    text = rendered("--no-hooks", *WORDS[name]) + "\n---\n" + yaml.safe_dump(prometheus)
    with reserved_port() as port:
        command = (program("PROMETHEUS_OPERATOR"), f"--web.listen-address=127.0.0.1:{port}", "--namespaces=monitoring")
        with running_process(tmp_path / "operator.log", *command, KUBECONFIG=f"{restricted.folder}/kubeconfig"):
            restricted.kubectl("apply", "--warnings-as-errors", "--filename=-", stdin=text)
            yield
            restricted.kubectl("delete", "--filename=-", stdin=text)


def written(plane: ControlPlane, kind: str, suffix: str = "") -> dict[str, str]:
    """Return the files that the operator wrote into an object for the Prometheus."""
    words = (kind, f"prometheus-{STACK}{suffix}", "--namespace=monitoring", "--ignore-not-found", "--output=json")
    files: dict[str, str] = json.loads(plane.kubectl("get", *words) or "{}").get("data", {})
    return files


def scrape_configs(plane: ControlPlane) -> list[dict[str, Any]]:
    """Return the scrape configurations that the operator made of the monitors."""
    packed = written(plane, "secret").get("prometheus.yaml.gz", "")
    text = gzip.decompress(base64.b64decode(packed)) if packed else b"{}"
    (plane.folder / "prometheus.yaml").write_bytes(text)
    return yaml.safe_load(text).get("scrape_configs") or []


@pytest.mark.parametrize(("name", "kind"), [(STACK, "serviceMonitor"), ("sharded", "podMonitor")])
@pytest.mark.usefixtures("_operator")
async def test_the_operator_makes_a_scrape_configuration(
    restricted: ControlPlane, name: str, kind: str, ran: Counter[str]
) -> None:
    await eventually(lambda: bool(scrape_configs(restricted)))
    (scraped,) = scrape_configs(restricted)
    assert scraped["job_name"] == f"{kind}/monitoring/release-mms-exporter/0"
    jobs = [each["replacement"] for each in scraped["relabel_configs"] if each.get("target_label") == "job"]
    assert jobs[-1] == "mms-exporter"
    # Debian builds Prometheus without service discovery on Kubernetes.
    check = ("check", "config", "--syntax-only", restricted.folder / "prometheus.yaml")
    assert said(program("PROMTOOL3"), *check)[0] == 0
    if name == STACK:
        await eventually(lambda: bool(written(restricted, "configmap", "-rulefiles-0")))
        (rules,) = written(restricted, "configmap", "-rulefiles-0").values()
        (restricted.folder / "rules.yaml").write_text(rules, encoding="utf-8")
        assert said(program("PROMTOOL"), "check", "rules", restricted.folder / "rules.yaml")[0] == 0
    ran["monitors"] += 1
