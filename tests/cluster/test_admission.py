"""The API server admits what the chart makes, without a warning, and a second apply changes nothing."""

from collections import Counter
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster.conftest import GITOPS_WORDS, WORDS
from tests.cluster.control_plane import ControlPlane
from tests.deploy.helm import manifests, rendered, the

pytestmark = pytest.mark.cluster

APPLY = ("apply", "--warnings-as-errors", "--filename=-")
ALL = WORDS | GITOPS_WORDS
each_set_of_values = pytest.mark.parametrize("name", ALL)


@pytest.fixture
def text(restricted: ControlPlane, name: str) -> Iterator[str]:
    """Provide the manifests without the pod of `helm test`; remove their objects afterwards."""
    text = rendered("--no-hooks", *ALL[name])
    yield text
    restricted.kubectl("delete", "--filename=-", "--ignore-not-found", stdin=text)


@each_set_of_values
def test_a_second_apply_changes_nothing(restricted: ControlPlane, text: str, ran: Counter[str]) -> None:
    restricted.kubectl(*APPLY, stdin=text)
    lines = restricted.kubectl(*APPLY, stdin=text).splitlines()
    assert len(lines) == sum(each is not None for each in yaml.safe_load_all(text))
    # kubectl replaces the selector of a PodDisruptionBudget in each patch, and reports that as a change.
    assert [line for line in lines if not line.endswith(" unchanged") and "poddisruptionbudget" not in line] == []
    assert restricted.differences(text) == ""
    ran["applies"] += 1


@each_set_of_values
def test_a_second_server_side_apply_changes_nothing(restricted: ControlPlane, text: str, ran: Counter[str]) -> None:
    restricted.kubectl(*APPLY, "--server-side", stdin=text)
    assert restricted.differences(text, "--server-side") == ""
    ran["server-side applies"] += 1


@each_set_of_values
def test_the_pods_are_admitted(restricted: ControlPlane, text: str, name: str, ran: Counter[str]) -> None:
    """The controllers create them under restricted pod security and a quota."""
    restricted.kubectl(*APPLY, stdin=text)
    found = manifests(*ALL[name])
    workload = next(each for each in found if each["kind"] in {"Deployment", "StatefulSet"})
    replicas, where = str(workload["spec"]["replicas"]), f"--namespace={workload['metadata']['namespace']}"
    status = (where, "--output=jsonpath={.status.replicas}")
    restricted.until(replicas, "get", workload["kind"].lower(), workload["metadata"]["name"], *status)
    tester = yaml.safe_dump(the("Pod", found, "-test"))
    restricted.kubectl("create", "--filename=-", stdin=tester)
    restricted.kubectl("delete", "--filename=-", "--now", stdin=tester)
    ran["pods"] += int(replicas)
    ran["workloads"] += 1
