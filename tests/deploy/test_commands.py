"""The commands in the documents beside what they deploy: run where they can be, else known by the reason why not."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.helm import CHART, rendered
from tests.programs import FETCHED, NAMES, ROOT, program

PAGES = sorted((ROOT / "deploy").rglob("*.md"))
RUN = ("promtool check", "amtool", "pint", "systemd-analyze security", "helm package")
ELSEWHERE = {
    "promtool test": "takes long, and is run by tests/rules/test_rules.py",
    "docker compose": "needs an engine; tests/deploy/test_compose.py reads the project",
    "docker": "needs an engine; tests/deploy/test_image.py runs the steps",
    "MMS_CONFIG=": "needs an engine, likewise",
    "helm install": "needs a cluster; below it is rendered",
    "helm upgrade": "likewise",
    "helm test": "needs a cluster",
    "kubectl": "needs a cluster",
    "aliyun": "needs an account",
    "systemctl": "run by tests/deploy/test_machine.py, where systemd is the first process",
    "systemd-analyze verify": "run by tests/deploy/test_machine.py, after what comes before it",
    "python3 -m venv /opt": "likewise",
    "/opt/mms-exporter": "likewise",
    "install": "likewise",
    "curl": "needs what was started before it",
}
"""Why a command is not run here, by how it begins."""


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> Iterator[tuple[Path, str]]:
    """Yield every command of every page."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            yield from ((page, line) for line in block.splitlines() if line)


def runs(command: str) -> bool:
    """Tell whether a command is run here."""
    return command.startswith(RUN)


@pytest.mark.parametrize("command", [command for _, command in commands() if runs(command)])
def test_a_command_does_what_the_document_says(command: str, tmp_path: Path) -> None:
    word = command.split(maxsplit=1)[0]
    program(next(variable for variable, names in NAMES.items() if word in names))  # or skip, or fail
    environment = {**os.environ, "PATH": f"{FETCHED}:{os.environ['PATH']}"}
    if command.startswith("helm package"):
        command += f" --destination={tmp_path}"
    done = subprocess.run(  # noqa: S602 - the commands are the documents' own
        command, shell=True, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [command for _, command in commands() if not runs(command)])
def test_a_command_that_is_not_run_here_has_a_reason_and_names_files_that_are_there(command: str) -> None:
    assert any(command.startswith(beginning) for beginning in ELSEWHERE), f"no test knows {command}"
    named = re.findall(r"(?<![\w/])deploy/[\w./-]+", command)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("block", blocks(CHART / "README.md", "yaml"))
def test_values_in_the_charts_readme_are_ones_that_it_takes(block: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(block, encoding="utf-8")
    assert "kind: Deployment" in rendered(f"--values={tmp_path}/values.yaml")
