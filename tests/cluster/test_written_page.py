"""The table of deploy/README.md lists what ran; `CLUSTER_PAGE=write` writes it, as `make cluster` does."""

import json
import os
from collections import Counter

import pytest

from tests.cluster.conftest import GITOPS_WORDS, WORDS
from tests.cluster.control_plane import CUSTOM_RESOURCES, ControlPlane
from tests.cluster.test_upgrades import SHARDS, UPGRADES
from tests.programs import ROOT, program, said

pytestmark = pytest.mark.cluster

PAGE = ROOT / "deploy" / "README.md"
BEGIN, END = "<!-- cluster -->\n", "<!-- /cluster -->\n"
COMPLETE = {
    "upgrades": len(UPGRADES),
    "changes of shards": len(SHARDS) - 1,
    "applies": len(WORDS | GITOPS_WORDS),
    "server-side applies": len(WORDS | GITOPS_WORDS),
    "workloads": len(WORDS | GITOPS_WORDS),
    "argo-cd": 1,
    "flux": 1,
    "monitors": 2,
}


def definitions(name: str) -> str:
    """Return the version of the CustomResourceDefinitions of a project."""
    (folder,) = CUSTOM_RESOURCES.glob(f"{name}-*")
    return folder.name.removeprefix(f"{name}-")


def table(plane: ControlPlane, ran: Counter[str]) -> str:
    """Return the table of the page."""
    server = json.loads(plane.kubectl("version", "--output=json"))["serverVersion"]["gitVersion"].removeprefix("v")
    etcd = said(program("ETCD"), "--version")[1].splitlines()[0].removeprefix("etcd Version: ")
    helm = plane.helm("version", "--template={{.Version}}").removeprefix("v")
    flux = f"helm-controller {definitions('helm-controller')}, source-controller {definitions('source-controller')}"
    with_helm = f"Kubernetes {server}, etcd {etcd}, Helm {helm}"
    with_kubectl = f"Kubernetes {server}, kubectl {server}"
    rows = [
        (f"`helm upgrade` from each of {len(WORDS)} sets of values to each other", with_helm, ran["upgrades"]),
        ("`helm upgrade` between 1, 2 and 3 shards", with_helm, ran["changes of shards"]),
        ("second `kubectl apply` and `kubectl diff` without a change", with_kubectl, ran["applies"]),
        ("the same with `--server-side`", with_kubectl, ran["server-side applies"]),
        ("pods admitted with restricted pod security and a quota", f"Kubernetes {server}", ran["pods"]),
        (
            "scrape configuration made of a monitor by the operator, checked with the rules by promtool",
            f"Prometheus Operator {definitions('prometheus-operator')}",
            ran["monitors"],
        ),
        ("`gitops/argo-cd.yaml` applied", f"definitions of Argo CD {definitions('argo-cd')}", ran["argo-cd"]),
        ("`gitops/flux.yaml` applied", f"definitions of {flux}", ran["flux"]),
    ]
    return "\n".join(
        ["| what | versions | number |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows), ""]
    )


def test_the_page_has_what_was_run(plane: ControlPlane, ran: Counter[str]) -> None:
    """It is the last test of the folder, by its name."""
    if not COMPLETE.items() <= ran.items():
        pytest.skip("only a part of the tests of this folder ran and passed")
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    text = f"{before}{BEGIN}{table(plane, ran)}{END}{rest.partition(END)[2]}"
    if os.environ.get("CLUSTER_PAGE"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text
