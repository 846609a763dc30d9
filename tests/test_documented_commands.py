"""Every command in the README and in docs/: run where it can be, else parsed, else known by the reason why not.

Those beside what is deployed have a test of their own, with the programs that they take.
"""

import re
import shlex
from pathlib import Path

import pytest

from exporter import arguments
from exporter.simulator import Simulator
from tests.processes import run, serving, write_config
from tests.programs import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "grafana").glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
NO_COMMANDS = {"json", "yaml", "promql", "text", "html", "css", ""}
"""Languages of blocks that hold nothing to be run; transcripts in text have tests of their own."""
OURS = re.compile(r"(?:\.venv/bin/)?mms-exporter(?=\s|$)")
ELSEWHERE = {
    "make": "tests/test_docs.py looks for the targets; CI calls them",
    "python3 -m venv": "what make does first",
    ".venv/bin/pip": "likewise",
    "aliyun": "needs an account",
}
"""Why a command is not run here, by how it begins."""
RUN = ("--config.check", "check", "once", "config")
"""What of ours is run to its end, by its first word that is no flag with a value, or the flag."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of every fenced block."""
    return [(match[2], match[3]) for match in FENCE.finditer(page.read_text(encoding="utf-8"))]


def commands() -> list[str]:
    """Return every command line in a block."""
    found = []
    for page in PAGES:
        for language, text in blocks(page):
            lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
            if language == "sh":
                found += [line for line in lines if line and not line.startswith("#")]
            elif language == "console":
                found += [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return list(dict.fromkeys(found))


OWN = [command for command in commands() if OURS.match(command)]
FINITE = [command for command in OWN if "=config.yaml" in command and any(f" {word}" in command for word in RUN)]
SERVING = [command for command in OWN if command.split()[1:] == ["--config.file=config.yaml"]]
CURLS = [command for command in commands() if command.startswith("curl ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_of_a_known_kind(page: Path) -> None:
    assert {language for language, _ in blocks(page)} <= NO_COMMANDS | {"sh", "console"}


@pytest.mark.parametrize("command", [each for each in commands() if each not in (*OWN, *CURLS)])
def test_a_command_of_another_program_has_its_place(command: str) -> None:
    assert any(command.startswith(beginning) for beginning in ELSEWHERE), f"no test knows {command}"


@pytest.mark.parametrize("command", OWN)
def test_a_command_of_ours_can_be_given(command: str) -> None:
    words = shlex.split(command)[1:]
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


@pytest.mark.parametrize("command", SERVING)
async def test_what_serves_answers_all_that_is_asked_of_it(simulator: Simulator, command: str, tmp_path: Path) -> None:
    assert CURLS
    async with serving(*on(simulator, command, tmp_path)) as exporter:
        await exporter.until_ready()
        for curl in CURLS:
            path = re.search(r"http://127\.0\.0\.1:10180(/\S*)", curl)
            assert path is not None, f"no test knows {curl}"
            assert (await exporter.get(path[1]))[0] == 200


def test_there_is_something_of_each_kind() -> None:
    assert len(FINITE) >= 3
    assert len(SERVING) == 1
