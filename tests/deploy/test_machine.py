"""The units at work: a systemd of its own, in namespaces, with the README's own commands; for root, where it can."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.once import made_once
from tests.documented import blocks
from tests.programs import ROOT, program, said
from tests.web.http_fixture import certificates_in
from tests.web.test_middleware import DAVE

# The installation and the restarts take 20 s of processor time. tests/deploy/test_systemd.py reads the units in the
# suite.
pytestmark = pytest.mark.scale

INSTALL, BOOT = (Path(__file__).parent / name for name in ("install.sh", "machine.sh"))
PAGE = ROOT / "deploy" / "systemd" / "README.md"
SERVICE = "mms-exporter.service"
HANDED_OVER = f"/run/credentials/{SERVICE}/secrets_access_key_secret"
PYTHON_FITS = "/usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))'"
IN_A_HURRY = """[Service]
WatchdogSec=1s
RestartSec=0
"""


def eventually(is_so: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until `is_so`; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@dataclass(frozen=True)
class Machine:
    """A machine whose first process is systemd."""

    first_process: int

    def run(self, command: str) -> tuple[int, str]:
        """Run a command on it, and return its exit code and what it printed."""
        namespaces = ("--mount", "--pid", "--ipc", "--uts", "--net", "--cgroup")
        return said("nsenter", f"--target={self.first_process}", *namespaces, "sh", "-euc", command)

    def said(self, command: str) -> str:
        """Return what a command printed; fail where it failed."""
        code, output = self.run(command)
        assert code == 0, output
        return output.strip()

    def shown(self, name: str) -> str:
        """Return a property of the service."""
        return self.said(f"systemctl show --property={name} --value {SERVICE}")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Provide a machine on which the README's commands were run, those of pip and those of systemctl."""
    program("SYSTEMD_ANALYZE")
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "--net", "true"], check=False).returncode:  # noqa: S607 - on the PATH
        pytest.skip("namespaces, which this needs, are for root, where the kernel allows them at all")
    if said("sh", "-c", PYTHON_FITS)[0]:
        pytest.skip("/usr/bin/python3, which the commands take, is not here, is too old, or lacks venv: python3-venv")
    _, starting, _ = blocks(PAGE, "sh")
    folder, installed = tmp_path_factory.mktemp("machine"), made_once(tmp_path_factory, "installed", _install)
    words = ["unshare", "--mount", "sh", str(BOOT), str(folder), str(installed)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - likewise
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            running = None
            while running is None:
                assert process.poll() is None, "the machine did not start"
                first = children.read_text(encoding="ascii").split()
                if first and _is_up(candidate := Machine(int(first[0]))):
                    running = candidate
                time.sleep(0.1)
            running.said(starting)
            yield running
        finally:
            process.kill()


def _install(folder: Path) -> None:
    installing, _, _ = blocks(PAGE, "sh")
    kept = "umask 077; echo not-a-secret >/etc/mms-exporter/secrets/access_key_secret"
    code, output = said("unshare", "--mount", "sh", INSTALL, folder, f"cd '{ROOT}'\n{installing}\n{kept}")
    assert code == 0, output


def _is_up(machine: Machine) -> bool:
    code, output = machine.run("systemctl is-active machine.target 2>/dev/null")
    return code == 0 and output.strip() == "active"


def test_the_commands_of_the_readme_leave_an_exporter_that_answers(machine: Machine) -> None:
    assert "mms_exporter_build_info" in machine.said("curl --silent http://127.0.0.1:10180/metrics")
    assert machine.shown("ActiveState") == "active"


def test_systemd_finds_nothing_wrong_with_what_was_installed(machine: Machine) -> None:
    (verifying,) = re.findall(r"^systemd-analyze verify .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert "mms-exporter" not in machine.said(f"{verifying} 2>&1")


def test_the_secret_is_for_the_service_alone(machine: Machine) -> None:
    owner, mode = machine.said(f"stat --format='%U %a' {HANDED_OVER}").split()
    assert (owner, mode) == ("mms-exporter", "400")
    assert machine.said("stat --format='%U %a' /etc/mms-exporter/secrets") == "root 700"


def test_a_reload_is_told_from_its_begin_to_its_end(machine: Machine) -> None:
    machine.said(f"systemctl reload {SERVICE}")
    assert machine.shown("ActiveState") == "active"
    assert "reload_successful 1.0" in machine.said("curl --silent http://127.0.0.1:10180/metrics")


def test_a_restart_costs_no_scrape(machine: Machine) -> None:
    """Scrapes go on from before its begin until after its end."""
    before = machine.shown("MainPID")
    machine.said(f"""
        (sleep 0.2; systemctl restart {SERVICE}; touch /run/restarted) &
        until [ -e /run/restarted ]; do
          curl --silent --fail --max-time 20 --output /dev/null http://127.0.0.1:10180/-/healthy
        done
    """)
    assert machine.shown("MainPID") != before


def test_tls_and_users_are_served_from_the_credentials(machine: Machine, tmp_path: Path) -> None:
    """As the README says it, with a user whose password is known."""
    (web,), (variable,) = blocks(PAGE, "yaml"), blocks(PAGE, "ini")
    certificates = certificates_in(tmp_path)
    certificates.authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "web.yaml").write_text(re.sub(r"prometheus: \S+", f"dave: {DAVE}", web), encoding="utf-8")
    secrets = "/etc/mms-exporter/secrets"
    machine.said(f"""
        cp {tmp_path}/web.yaml {secrets}; cp {tmp_path}/server.pem {secrets}/tls.crt
        cp {tmp_path}/server.key {secrets}/tls.key
        echo '{variable.strip()}' >/etc/default/mms-exporter
        systemctl restart {SERVICE}
    """)
    asking = f"curl --silent --cacert {tmp_path}/ca.pem --output /dev/null --write-out '%{{http_code}}'"
    url = "https://localhost:10180/metrics"
    assert machine.said(f"{asking} {url}; {asking} --user dave:dave123 {url}") == "401200"
    machine.said(f"rm /etc/default/mms-exporter; systemctl restart {SERVICE}")


def test_an_exporter_that_hangs_is_started_anew(machine: Machine) -> None:
    machine.said(
        f"mkdir /etc/systemd/system/{SERVICE}.d; printf '{IN_A_HURRY}' >/etc/systemd/system/{SERVICE}.d/t.conf"
    )
    machine.said(f"systemctl daemon-reload; systemctl restart {SERVICE}")
    hung = machine.shown("MainPID")
    machine.said(f"kill -STOP {hung}")
    eventually(lambda: machine.shown("NRestarts") == "1" and machine.shown("ActiveState") == "active")
    assert machine.shown("MainPID") != hung
