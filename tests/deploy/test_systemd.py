"""The units: what systemd's own tools say of them, and that they fit the program."""

import shlex
import sys
from pathlib import Path

import pytest

from exporter.cli.arguments import parse
from exporter.config.loading import load
from exporter.errors import ConfigError
from tests.deploy.units import settings
from tests.programs import ROOT, program, said

FOLDER = ROOT / "deploy" / "systemd"
SERVICE, SOCKET = FOLDER / "mms-exporter.service", FOLDER / "mms-exporter.socket"
INSTALLED = "/opt/mms-exporter/bin/mms-exporter"
HANDED_OVER = "/run/credentials/mms-exporter.service/"


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """With a program that is there: it looks for the one that is started."""
    here = Path(sys.executable)
    (tmp_path / SERVICE.name).write_text(SERVICE.read_text(encoding="utf-8").replace(INSTALLED, str(here)))
    (tmp_path / SOCKET.name).write_text(SOCKET.read_text(encoding="utf-8"))
    units = [tmp_path / SERVICE.name, tmp_path / SOCKET.name]
    assert said(program("SYSTEMD_ANALYZE"), "verify", "--man=no", *units) == (0, "")


def test_the_exposure_is_at_most_2() -> None:
    code, output = said(program("SYSTEMD_ANALYZE"), "security", "--offline=true", "--threshold=20", SERVICE)
    assert code == 0, output


def test_it_is_started_with_flags_that_the_program_knows() -> None:
    (start,) = settings(SERVICE)["Service.ExecStart"]
    path, *words = shlex.split(start)
    asked = parse(words, {})
    assert (path, asked.command) == (INSTALLED, "serve")
    assert asked.values["web.systemd-socket"] is True
    assert str(asked.values["config.file"]) == "/etc/mms-exporter/config.yaml"


def test_systemd_waits_for_what_the_program_tells() -> None:
    said_of = settings(SERVICE)
    assert said_of["Service.Type"] == ["notify"]
    assert said_of["Service.WatchdogSec"]
    assert said_of["Service.ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert said_of["Unit.Requires"] == [SOCKET.name]


def test_the_port_is_the_exporters() -> None:
    assert settings(SOCKET)["Socket.ListenStream"] == ["10180"]


def test_the_example_reads_its_secret_where_systemd_puts_it() -> None:
    """It lacks nothing but that file."""
    (credential,) = settings(SERVICE)["Service.LoadCredential"]
    name, _, folder = credential.partition(":")
    with pytest.raises(ConfigError) as caught:
        load(FOLDER / "config.example.yaml")
    (problem,) = caught.value.problems
    assert f"{HANDED_OVER}{name}_access_key_secret" in str(problem)
    assert f"`{folder}/access_key_secret`" in (FOLDER / "README.md").read_text(encoding="utf-8")
