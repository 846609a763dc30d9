"""One control plane and one record of what ran for the tests of this folder."""

from collections import Counter
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane, running_control_plane
from tests.deploy.helm import GITOPS, VALUES, as_words, source_and_release
from tests.deploy.test_alerting import example

WORDS: dict[str, tuple[str, ...]] = {
    **{file.stem: (f"--values={file}",) for file in VALUES},
    "kube-prometheus-stack": as_words(yaml.safe_load(example("# mms-values.yaml"))),
}
"""The words that give Helm each set of values."""
GITOPS_WORDS = {name: as_words(source_and_release(name)[1]["values"]) for name in GITOPS}
"""Likewise, of the examples for Argo CD and Flux."""
QUOTA = {"pods": "50", "requests.cpu": "10", "requests.memory": "20Gi", "limits.memory": "50Gi"}
"""A quota of a resource rejects each container that does not set it."""
PRIORITIES = ("high", "monitoring", "true")
"""PriorityClasses that the value files name."""


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Provide the control plane, or skip with the name of a missing program."""
    with running_control_plane(tmp_path_factory.mktemp("cluster")) as running:
        classes = [
            {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1}
            for name in PRIORITIES
        ]
        running.kubectl("create", "--filename=-", stdin=yaml.safe_dump_all(classes))
        yield running


@pytest.fixture(scope="session")
def ran() -> Counter[str]:
    """Provide the number of completed checks of each kind."""
    return Counter()


@pytest.fixture(scope="session")
def restricted(plane: ControlPlane) -> ControlPlane:
    """Provide the control plane with namespaces of restricted pod security and a quota."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    for name in ("monitoring", "exporters"):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": levels}}
        quota = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "quota", "namespace": name},
            "spec": {"hard": QUOTA},
        }
        plane.kubectl("create", "--filename=-", stdin=yaml.safe_dump_all([namespace, quota]))
        words = (f"--namespace={name}", "--output=jsonpath={.metadata.name}")
        plane.until("default", "get", "serviceaccount", "default", *words)
    return plane
