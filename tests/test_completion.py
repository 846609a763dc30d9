"""Completion scripts suggest commands, flags and values in each shell."""

import asyncio
import shutil

import pytest

from exporter.cli.commands import COMMANDS
from exporter.cli.completion import script
from tests.processes import run


async def completed(shell: str, *words: str) -> list[str]:
    """Return what a shell suggests for the last of the words."""
    text = script(shell, COMMANDS)
    line = " ".join(["mms-exporter", *words])
    if shell == "fish":
        text += f"\ncomplete -C '{line}'"
    else:
        array = " ".join(f"'{word}'" for word in ("mms-exporter", *words))
        arrays = "setopt ksharrays\n" if shell == "zsh" else ""
        text += f"\n{arrays}COMP_WORDS=({array}); COMP_CWORD={len(words)}; _mms_exporter\n"
        text += 'printf "%s\\n" "${COMPREPLY[@]}"'
    process = await asyncio.create_subprocess_exec(
        *(shell, "-c", text), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert err == b""
    found = [each.split("\t")[0] for each in out.decode().splitlines() if each]
    # compadd of zsh filters by the beginning of the word, not compgen.
    return [each for each in found if shell != "zsh" or each.startswith(words[-1])]


@pytest.fixture(params=["bash", "zsh", "fish"])
def shell(request: pytest.FixtureRequest) -> str:
    """Provide each shell that is installed."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


async def test_commands_are_completed(shell: str) -> None:
    assert await completed(shell, "fail") == ["failed"]
    assert {"serve", "once", "retry"} <= set(await completed(shell, ""))


async def test_flags_of_the_command_are_completed(shell: str) -> None:
    assert await completed(shell, "failed", "--tab") == ["--table"]
    assert await completed(shell, "sources", "--tab") == []
    assert await completed(shell, "--web.tel") == ["--web.telemetry-path"]


async def test_words_are_completed(shell: str) -> None:
    assert await completed(shell, "show", "part") == ["partition"]
    assert await completed(shell, "jobs", "--output", "js") == ["json"]
    assert await completed(shell, "--log.level", "war") == ["warning"]
    assert await completed(shell, "--log.format", "js") == ["json"]
    assert await completed(shell, "demo", "--simulator.stopped", "hid") == ["hidden"]
    assert await completed(shell, "check", "--output", "c") == ["csv"]


async def test_statuses_are_completed(shell: str) -> None:
    assert sorted(await completed(shell, "jobs", "--status", "D")) == ["DOING", "DONE"]
    assert set(await completed(shell, "sources", "--status", "STOP")) == {"STOPPING", "STOPPED", "STOP_FAILED"}


async def test_a_word_that_names_another_command_does_not_suggest_its_flags(shell: str) -> None:
    assert await completed(shell, "config", "show", "--acc") == []


async def test_values_after_an_equals_sign_are_completed() -> None:
    assert await completed("bash", "jobs", "--output", "=", "js") == ["json"]
    assert await completed("bash", "jobs", "--output", "=") == ["table", "json", "csv"]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
async def test_the_command_prints_the_script(name: str) -> None:
    ended = await run("completion", name)
    assert (ended.code, ended.out, ended.err) == (0, script(name, COMMANDS), "")
    assert (await run("completion", "tcsh")).code == 2
