"""A Kubernetes control plane on loopback: etcd, API server and controller manager, without kubelet and scheduler."""

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
import yaml

from tests.harness import LIMIT_SECONDS
from tests.programs import ROOT, program
from tests.story.servers import reserved_port

PROGRAMS: Final = ("ETCD", "KUBE_APISERVER", "KUBE_CONTROLLER_MANAGER", "KUBECTL", "HELM")
CUSTOM_RESOURCES: Final = ROOT / ".tools" / "kubernetes" / "crds"
"""CustomResourceDefinitions, one folder per project, which `make cluster` fetches."""


class Rejected(Exception):
    """The command failed or printed a warning; the text is its output."""


@dataclass(frozen=True)
class ControlPlane:
    """A running API server, as kubectl and Helm use it."""

    folder: Path

    def run(self, name: str, *words: str | Path, stdin: str = "", codes: tuple[int, ...] = (0,)) -> str:
        """Run kubectl or Helm and return its output. Raises: Rejected."""
        done = subprocess.run(  # noqa: S603 - the commands are the tests' own
            [program(name), *map(str, words)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBECONFIG": str(self.folder / "kubeconfig")},
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
        )
        if done.returncode not in codes or done.stderr:
            raise Rejected(f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def kubectl(self, *words: str | Path, stdin: str = "") -> str:
        """Run kubectl; a warning of the API server is a failure."""
        return self.run("KUBECTL", *words, stdin=stdin)

    def helm(self, *words: str | Path) -> str:
        """Run Helm; a warning of the API server is a failure."""
        return self.run("HELM", *words)

    def differences(self, text: str, *words: str) -> str:
        """Return how the manifests differ from the objects, as kubectl shows it."""
        found = ""
        for _ in range(10):
            found = self.run("KUBECTL", "diff", "--filename=-", *words, stdin=text, codes=(0, 1))
            if not found:
                break
            time.sleep(0.5)  # a controller may write the status between the two reads that kubectl compares
        return found

    def objects(self, *words: str) -> list[dict[str, Any]]:
        """Return the objects that `kubectl get` finds."""
        found: list[dict[str, Any]] = yaml.safe_load(self.kubectl("get", "--output=json", *words))["items"]
        return found

    def until(self, what: str, *words: str) -> None:
        """Repeat a kubectl command until it prints `what`."""
        end, output = time.monotonic() + LIMIT_SECONDS, ""
        while time.monotonic() < end:
            try:
                output = self.kubectl(*words)
            except Rejected as error:
                output = str(error)
            if output == what:
                return
            time.sleep(0.1)
        raise AssertionError(f"not within {LIMIT_SECONDS:g} s: {words} prints {what!r}, but it prints {output!r}")


@contextmanager
def running_process(log: Path, *command: str, **environment: str) -> Iterator[None]:
    """Run a program until the end of the block."""
    with (
        log.open("w") as file,
        subprocess.Popen(  # noqa: S603 - the commands are the tests' own
            command, stdout=file, stderr=file, cwd=log.parent, env={**os.environ, **environment}
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _write_kubeconfig(folder: Path, server: str, token: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": f"{folder}/ca.pem"}}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    file = folder / "kubeconfig"
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "tokens.csv").write_text(f"{token},admin,admin,system:masters\n", encoding="utf-8")


def _write_certificates(folder: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))


def _etcd(folder: Path, client: int, peer: int) -> list[str]:
    here, there = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        program("ETCD"),
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={here}",
        f"--advertise-client-urls={here}",
        f"--listen-peer-urls={there}",
        f"--initial-advertise-peer-urls={there}",
        f"--initial-cluster=default={there}",
    ]


def _api_server(folder: Path, etcd: int, port: int) -> list[str]:
    return [
        program("KUBE_APISERVER"),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={folder}/server.pem",
        f"--tls-private-key-file={folder}/server.key",
        f"--token-auth-file={folder}/tokens.csv",
        "--authorization-mode=RBAC",
        "--endpoint-reconciler-type=none",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/server.key",
        f"--service-account-signing-key-file={folder}/server.key",
        "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
    ]


def _controller_manager(folder: Path) -> list[str]:
    return [
        program("KUBE_CONTROLLER_MANAGER"),
        f"--kubeconfig={folder}/kubeconfig",
        f"--root-ca-file={folder}/ca.pem",
        f"--service-account-private-key-file={folder}/server.key",
        "--leader-elect=false",
        "--secure-port=0",
    ]


@contextmanager
def running_control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Provide a control plane with the CustomResourceDefinitions that were fetched."""
    for name in PROGRAMS:
        program(name)
    if not CUSTOM_RESOURCES.is_dir():
        pytest.skip("the CustomResourceDefinitions are not here: `make cluster` fetches them where it can")
    with ExitStack() as stack:
        etcd, peer, port = (stack.enter_context(reserved_port()) for _ in range(3))
        _write_certificates(folder)
        _write_kubeconfig(folder, f"https://127.0.0.1:{port}", secrets.token_hex(16))
        stack.enter_context(running_process(folder / "etcd.log", *_etcd(folder, etcd, peer)))
        stack.enter_context(running_process(folder / "api-server.log", *_api_server(folder, etcd, port)))
        plane = ControlPlane(folder)
        plane.until("ok", "get", "--raw=/readyz")
        stack.enter_context(running_process(folder / "controller-manager.log", *_controller_manager(folder)))
        # Client-side apply would copy each definition into an annotation, which is limited to 256 KiB.
        plane.kubectl("apply", "--server-side", "--recursive", f"--filename={CUSTOM_RESOURCES}")
        plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all")
        yield plane
