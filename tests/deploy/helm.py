"""Helm, driven as its users drive it: what a chart becomes with a file of values."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.programs import ROOT, program

CHART = ROOT / "deploy" / "helm" / "mms-exporter"
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
GITOPS = {each: ROOT / "deploy" / "gitops" / f"{each}.yaml" for each in ("argo-cd", "flux")}
"""The files that install the chart from Git."""
KUBERNETES = "1.33.0"
"""Which version the manifests are made for: a Helm that Go installed takes a very old one."""

Manifest = dict[str, Any]


class Refused(Exception):
    """Helm makes nothing of these values; the reason is its own."""


def helm(*words: str | Path) -> str:
    """Return what Helm prints; its warnings about links in the chart are not part of it. Raises: Refused."""
    done = subprocess.run(  # noqa: S603 - the words are the tests' own
        [program("HELM"), *map(str, words)], cwd=ROOT, check=False, capture_output=True, text=True, timeout=60
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def rendered(*words: str | Path, chart: Path = CHART) -> str:
    """Return the manifests as text."""
    return helm("template", "release", chart, "--namespace=monitoring", f"--kube-version={KUBERNETES}", *words)


def manifests(*words: str | Path, chart: Path = CHART) -> list[Manifest]:
    """Return the manifests."""
    return [each for each in yaml.safe_load_all(rendered(*words, chart=chart)) if each]


def the(kind: str, found: list[Manifest], suffix: str = "") -> Manifest:
    """Return the only manifest of a kind whose name ends so."""
    (manifest,) = [each for each in found if each["kind"] == kind and each["metadata"]["name"].endswith(suffix)]
    return manifest


def container(found: list[Manifest]) -> dict[str, Any]:
    """Return the exporter's container."""
    workload = next(each for each in found if each["kind"] in ("Deployment", "StatefulSet"))
    (only,) = [each for each in workload["spec"]["template"]["spec"]["containers"] if each["name"] == "mms-exporter"]
    loaded: dict[str, Any] = only
    return loaded


def secret_files(secret: Manifest) -> dict[str, str]:
    """Return the files of a Secret, by name."""
    return {name: base64.b64decode(data).decode() for name, data in secret["data"].items()}


def values_named(name: str) -> str:
    """Return the word that gives Helm the file of this name."""
    (file,) = [each for each in VALUES if each.stem == name]
    return f"--values={file}"


def as_words(values: dict[str, Any]) -> tuple[str, ...]:
    """Return the words that give Helm these values."""
    return tuple(f"--set-json={key}={json.dumps(value)}" for key, value in values.items())


def source_and_release(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return where a file of GITOPS finds the chart, and its Helm settings."""
    objects = {
        each["kind"]: each.get("spec", {}) for each in yaml.safe_load_all(GITOPS[name].read_text(encoding="utf-8"))
    }
    if name == "argo-cd":
        source = objects["Application"]["source"]
        return source | {"tag": source["targetRevision"]}, source["helm"] | {"values": source["helm"]["valuesObject"]}
    chart = objects["HelmRelease"]["chart"]["spec"]
    return {"path": chart["chart"], **objects["GitRepository"]["ref"]}, objects["HelmRelease"]


def values_of_the_chart() -> dict[str, Any]:
    """Return what the chart has where nothing is given."""
    loaded: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return loaded
