"""Every command in the documents has its place in `tests.documented`; those of the program itself are run here.

Those beside what is deployed have a test of their own, with the programs that they take.
"""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from exporter.cli import arguments
from exporter.simulator import Simulator, apply_event
from exporter.simulator.world import events
from tests.console.conftest import FIRST
from tests.console.test_commands_page import EXAMPLE
from tests.console.test_commands_page import PAGE as COMMANDS_PAGE
from tests.documented import DOCUMENTS, NOT_RUN, PAGES, RUN, TRANSCRIPTS, commands, languages, place_of
from tests.processes import run, serving, write_config
from tests.programs import ROOT, said
from tests.rules.test_runbooks import VARIABLES

NO_COMMANDS = {"json", "yaml", "promql", "text", "html", "css", "ini", ""}
"""Languages of blocks that hold nothing to be run; transcripts in text have tests of their own."""
OURS = re.compile(r"(?:\.venv/bin/)?mms-exporter(?=\s|$)")
COMMANDS = commands()
OWN = [command for command in COMMANDS if OURS.match(command)]
HERE = [command for command in OWN if place_of(command) == DOCUMENTS]
SERVING = [command for command in HERE if re.search(r"mms-exporter --config\.file=config\.yaml($| --shard)", command)]
ACCOUNT = [command for command in HERE if command.split()[1:] == ["--mms.region=cn-shanghai"]]
RETRYING = [command for command in HERE if command.endswith("--dry-run")]
FINITE = [command for command in HERE if command not in (*SERVING, *ACCOUNT, *RETRYING)]
CURLS = [command for command in COMMANDS if command.startswith("curl ") and place_of(command) == DOCUMENTS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_of_a_known_kind(page: Path) -> None:
    assert languages(page) <= NO_COMMANDS | {"sh", "console"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_run_by_a_test_or_known_by_the_reason_why_not(command: str) -> None:
    place = place_of(command)
    assert place is not None, f"no test knows {command}"
    assert place in NOT_RUN.values() or (ROOT / place).is_file()


@pytest.mark.parametrize("beginning", [*RUN, *NOT_RUN])
def test_no_place_is_of_a_command_that_is_gone(beginning: str) -> None:
    assert any(command.startswith(beginning) for command in COMMANDS)


@pytest.mark.parametrize("command", [command for command in OWN if place_of(command) == TRANSCRIPTS])
def test_a_command_that_the_transcripts_are_to_run_is_one_of_theirs(command: str) -> None:
    shown = {match["command_line"] for match in EXAMPLE.finditer(COMMANDS_PAGE.read_text(encoding="utf-8"))}
    assert command.removeprefix("mms-exporter ") in shown


@pytest.mark.parametrize("command", OWN)
def test_a_command_of_ours_can_be_given(command: str) -> None:
    for variable, value in VARIABLES.items():
        command = command.replace(variable, value)
    words = shlex.split(command.partition(" | ")[0])[1:]
    if words == ["--help"]:
        with pytest.raises(SystemExit) as ended:
            arguments.parse(words, {})
        assert ended.value.code == 0
    else:
        arguments.parse(words, {})


def on(simulator: Simulator, command: str, folder: Path) -> list[str]:
    """Return the words of a command whose configuration is one on the simulated MMS."""
    file = write_config(folder, simulator.url)
    return [word.replace("=config.yaml", f"={file}") for word in shlex.split(command)[1:]]


@pytest.mark.parametrize("command", FINITE)
async def test_a_command_that_ends_ends_well(simulator: Simulator, command: str, tmp_path: Path) -> None:
    ended = await run(*on(simulator, command, tmp_path))
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("command", RETRYING)
async def test_a_retry_shows_what_it_would_send(simulator: Simulator, command: str, tmp_path: Path) -> None:
    """Of a data source that there is."""
    apply_event(simulator.world, events.Fail(source_id=FIRST, partition_ids=(11, 12)))
    words = on(simulator, command, tmp_path)
    ended = await run(*(f"--source={FIRST}" if word == "--source=prod-hive" else word for word in words))
    assert ended.code == 0, ended.err
    assert ended.out


@pytest.mark.parametrize("command", ACCOUNT)
async def test_a_region_alone_is_a_configuration(command: str) -> None:
    """Checked, since to serve it takes an account."""
    ended = await run(*command.split()[1:], "--config.check")
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("command", SERVING)
async def test_what_serves_answers_all_that_is_asked_of_it(simulator: Simulator, command: str, tmp_path: Path) -> None:
    assert CURLS
    async with serving(*on(simulator, command, tmp_path)) as exporter:
        await exporter.until_ready()
        for curl in CURLS:
            path = re.search(r"http://127\.0\.0\.1:10180(/\S*)", curl)
            assert path is not None, f"no test knows {curl}"
            assert (await exporter.get(path[1]))[0] == 200


def test_the_demo_answers_as_the_readme_has_it(tmp_path: Path) -> None:
    """On the ports that it names, in a network of its own; what `make` would install is there already."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--net", "true"], check=False).returncode:  # noqa: S607 - on the PATH
        pytest.skip("a network of its own, which this needs, is for root, where the kernel allows it at all")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    for stamp in (".build", ".runtime", ".program"):
        (tmp_path / stamp).touch()
    script = f"""
        ip link set lo up
        make demo VENV={tmp_path} >{tmp_path}/printed 2>&1 & made=$!
        until curl --silent --fail --output /dev/null http://127.0.0.1:10180/-/ready; do kill -0 $made; sleep 0.05; done
        {" --fail; ".join(CURLS)} --fail
        kill $made
    """
    code, output = said("timeout", "60", "unshare", "--net", "sh", "-euc", script)
    assert code == 0, output
    assert 'mms_up{account="demo"}' in output


def install(folder: Path) -> str:
    """Run `make install` into a folder, and return what the installed program prints for `--help`."""
    code, output = said("make", "install", f"VENV={folder}", f"PYTHON={sys.executable}")
    assert code == 0, output
    code, output = said(folder / "bin" / "mms-exporter", "--help", cwd=folder)
    assert code == 0, output
    return output


def test_make_install_installs_the_program(tmp_path: Path) -> None:
    """The locked packages come from this environment, and are not downloaded again."""
    venv.create(tmp_path, with_pip=True)
    (tmp_path / ".build").touch()
    (tmp_path / ".runtime").touch()
    (packages,) = tmp_path.glob("lib/*/site-packages")
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    assert "--config.file" in install(tmp_path)
    assert (packages / "exporter" / "__main__.py").is_file()


@pytest.mark.scale
def test_make_install_needs_nothing_but_python(tmp_path: Path) -> None:
    assert "--config.file" in install(tmp_path / "venv")
