"""The programs that tests drive and that are no Python packages: where they are, and how they are run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FETCHED = ROOT / ".tools" / "bin"
INSTALLED = Path(sys.executable).parent
"""Where the programs of development dependencies are."""

NAMES = {
    "PROMTOOL": ("promtool",),
    "PROMETHEUS": ("prometheus",),
    "PROMTOOL3": ("promtool3",),
    "PROMETHEUS3": ("prometheus3",),
    "ALERTMANAGER": ("alertmanager", "prometheus-alertmanager"),
    "AMTOOL": ("amtool",),
    "CHROMIUM": ("chromium", "chromium-browser", "google-chrome"),
    "PINT": ("pint",),
    "DASHBOARD_LINTER": ("dashboard-linter",),
    "HADOLINT": ("hadolint",),
    "HELM": ("helm",),
    "COMPOSE_READ": ("compose-read",),
    "SYSTEMD_ANALYZE": ("systemd-analyze",),
    "ETCD": ("etcd",),
    "KUBE_APISERVER": ("kube-apiserver",),
    "KUBE_CONTROLLER_MANAGER": ("kube-controller-manager",),
    "KUBECTL": ("kubectl",),
    "PROMETHEUS_OPERATOR": ("prometheus-operator",),
}
"""The environment variable that names a program, and what it is called on PATH: Debian's names too."""
CLUSTER = {"ETCD", "KUBE_APISERVER", "KUBE_CONTROLLER_MANAGER", "KUBECTL", "PROMETHEUS_OPERATOR"}
"""Programs that only `make cluster` fetches, because their build takes long."""
OPTIONAL = {
    *("PROMTOOL3", "PROMETHEUS3", "PINT", "DASHBOARD_LINTER", "HELM", "COMPOSE_READ", "SYSTEMD_ANALYZE"),
    *CLUSTER,
}
"""Programs that are built with Go or belong to the system, so CI may lack them: their tests are skipped, not failed."""
PROMTOOLS = ("PROMTOOL", "PROMTOOL3")
"""Of each Prometheus that rules and dashboards have to work with."""


def program(variable: str) -> str:
    """Return the path of a program. Without it, fail under CI and skip elsewhere; an OPTIONAL one is always skipped."""
    path = os.pathsep.join((str(FETCHED), str(INSTALLED), os.environ.get("PATH", "")))
    names = (os.environ.get(variable) or "", *NAMES[variable])
    found = next((each for name in names if name and (each := shutil.which(name, path=path))), None)
    if found is not None:
        return found
    target = "cluster" if variable in CLUSTER else "tools"
    reason = f"{NAMES[variable][0]} is not here: `make {target}` fetches it where it can; or name it in {variable}"
    if os.environ.get("CI") and variable not in OPTIONAL:
        pytest.fail(reason)
    pytest.skip(reason)


def said(
    *command: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None, limit_seconds: float = 300
) -> tuple[int, str]:
    """Run a command, with these variables beside those that are set, and return its exit code and all it printed."""
    done = subprocess.run(  # noqa: S603 - the commands are the tests' own
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_seconds,
    )
    return done.returncode, done.stdout
