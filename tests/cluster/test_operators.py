"""The objects for Argo CD, Flux and the Prometheus Operator match their CustomResourceDefinitions."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import WORDS
from tests.cluster.control_plane import ControlPlane
from tests.deploy.helm import GITOPS, rendered

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


def test_the_prometheus_of_the_stack_selects_monitor_and_rules(restricted: ControlPlane, ran: Counter[str]) -> None:
    """kube-prometheus-stack selects by the name of its release."""
    selector = {"matchLabels": {"release": STACK}}
    prometheus = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": STACK, "namespace": "monitoring"},
        "spec": {"serviceMonitorSelector": selector, "ruleSelector": selector},
    }
    text = rendered("--no-hooks", *WORDS[STACK]) + "\n---\n" + yaml.safe_dump(prometheus)
    restricted.kubectl("apply", "--warnings-as-errors", "--filename=-", stdin=text)
    kinds = "servicemonitors,prometheusrules"
    found = restricted.objects(kinds, "--namespace=monitoring", f"--selector=release={STACK}")
    assert sorted(each["kind"] for each in found) == ["PrometheusRule", "ServiceMonitor"]
    restricted.kubectl("delete", "--filename=-", stdin=text)
    ran[STACK] += 1
