"""The commands as processes: pipes, terminals, signals and exit codes."""

import asyncio
import json
import os
import pty
import shlex
import signal
import sys
from pathlib import Path

import pytest

from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY
from tests.console.conftest import FIRST
from tests.harness import eventually
from tests.processes import ENVIRONMENT, run, write_config
from tests.programs import ROOT


@pytest.fixture
def config(simulator: Simulator, tmp_path: Path) -> str:
    """Provide the configuration flag for the simulated MMS."""
    return f"--config.file={write_config(tmp_path, simulator.url)}"


async def on_terminal(*arguments: str, **environment: str) -> str:
    """Return the output of a command on a terminal."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", *arguments),
        cwd=ROOT,
        env={**ENVIRONMENT, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment},
        stdout=theirs,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(theirs)
    read = asyncio.create_task(asyncio.to_thread(_read_all, ours))
    async with asyncio.timeout(30):
        assert await process.wait() == 0
        return (await read).decode()


def _read_all(descriptor: int) -> bytes:
    """Return a terminal's output until its other end closes."""
    chunks = []
    try:
        while chunk := os.read(descriptor, 65536):
            chunks.append(chunk)
    except OSError:
        pass  # Linux raises it once the other end is closed
    finally:
        os.close(descriptor)
    return b"".join(chunks)


@pytest.mark.parametrize("command", [["sources"], ["jobs"], ["failed"], ["show", "table", "1"]])
async def test_each_command_ends_with_0_and_writes_json(config: str, command: list[str]) -> None:
    ended = await run(*command, config, "--output=json")
    assert ended.code == 0
    assert isinstance(json.loads(ended.out), list)


async def test_flags_narrow_what_is_shown(simulator: Simulator, config: str) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=1.0))
    flags = ["--account=test", f"--source={FIRST}", "--database=sales", "--table=orders", "--limit=1", "--output=json"]
    ended = await run("failed", config, *flags)
    rows = json.loads(ended.out)
    assert {(row["source_id"], row["db_name"], row["table_name"]) for row in rows} == {(FIRST, "sales", "orders")}
    assert len([row for row in rows if row["kind"] == "partition"]) <= 1


async def test_bad_usage_ends_with_2_without_a_call(simulator: Simulator, config: str) -> None:
    ended = await run("sources", config, "--status=gone")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("mms-exporter: --status: expected one of STARTING, ")
    assert simulator.calls.total() == 0


async def test_an_unknown_source_ends_with_2(config: str) -> None:
    ended = await run("jobs", config, "--source=nowhere")
    assert (ended.code, ended.out) == (2, "")
    assert "no data source is named 'nowhere'; known data sources: " in ended.err


async def test_an_unreadable_source_ends_with_1_and_hides_no_other(simulator: Simulator, config: str) -> None:
    simulator.faults.add(Fault(kind="error", status=403, code="NoPermission", source_id=FIRST))
    ended = await run("jobs", config)
    assert ended.code == 1
    assert "bigquery-sales-002" in ended.out
    assert ended.err.startswith("mms-exporter: account test, hive-sales-001: ListMmsJobs failed (status 403")
    assert "not-a-secret" not in ended.err


async def test_a_pipe_gets_neither_colour_nor_folded_lines(simulator: Simulator, config: str) -> None:
    apply_event(simulator.world, events.RenameSource(source_id=FIRST, name="n" * 100))
    ended = await run("sources", config)
    assert "\x1b" not in ended.out
    assert len(ended.out.splitlines()) == 1 + len(simulator.world.source_ids())
    assert "n" * 100 in ended.out


async def test_a_terminal_gets_colour_unless_disabled(config: str) -> None:
    assert "\x1b[" in await on_terminal("sources", config)
    assert "\x1b[" not in await on_terminal("sources", config, NO_COLOR="1")
    assert "\x1b[" not in await on_terminal("sources", config, TERM="dumb")


@pytest.mark.parametrize("output", ["json", "csv"])
async def test_a_name_is_raw_in_a_pipe_and_escaped_on_a_terminal(
    simulator: Simulator, config: str, output: str
) -> None:
    apply_event(simulator.world, events.RenameSource(source_id=FIRST, name="a\x1b[2Jb\x9b31m\u202e"))
    arguments = "sources", config, f"--output={output}"
    seen = await on_terminal(*arguments)
    assert "[2Jb" in seen
    assert not set(seen) & set("\x1b\x9b\u202e")
    assert "\u202e" in (await run(*arguments)).out


async def test_a_closed_pipe_is_no_error(simulator: Simulator, config: str) -> None:
    for _ in range(400):
        apply_event(simulator.world, events.AddSource(moving=True))
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m exporter sources {config} --output=json | head -n 1",
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert await process.communicate() == (b"[\n", b"")


async def test_a_full_disk_is_an_error(config: str) -> None:
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m exporter sources {config} >/dev/full",
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert err == b"mms-exporter: cannot write to standard output: No space left on device\n"
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        ("failed {config} >&-", 1, b"mms-exporter: cannot write to standard output: Bad file descriptor\n"),
        ("--config.check {config} >&-", 1, b"mms-exporter: cannot write to standard output: Bad file descriptor\n"),
        ("--version >&-", 1, b"mms-exporter: cannot write to standard output: Bad file descriptor\n"),
        ("--version >/dev/full", 1, b"mms-exporter: cannot write to standard output: No space left on device\n"),
        (
            "failed {config} --limit=x >&-",
            2,
            b"mms-exporter: --limit: expected a whole number of 0 or more, not 'x'\n",
        ),
        ("failed {config} <&- >/dev/null", 0, b""),
        ("failed {config} --limit=x 2>&-", 2, b""),
        ("failed {config} --limit=x <&- >&- 2>&-", 2, b""),
        ("--nope <&- >&- 2>&-", 2, b""),
    ],
)
async def test_closed_streams_end_in_no_traceback(config: str, command: str, code: int, output: bytes) -> None:
    assert await in_shell(command.format(config=config)) == (code, output)


async def test_retry_without_an_input_requires_yes(simulator: Simulator, config: str) -> None:
    apply_event(simulator.world, events.Fail(source_id=FIRST, share=0.5))
    code, output = await in_shell(f"retry {config} --source={FIRST} --failed <&-")
    assert code == 2
    plan, *_, last = output.decode().splitlines()
    assert plan.startswith("to retry in hive-sales-001"), "first what would be sent"
    assert last == "mms-exporter: --yes: is required without a terminal; nothing was sent"


async def in_shell(command: str) -> tuple[int | None, bytes]:
    """Return a shell command's exit code and output."""
    process = await asyncio.create_subprocess_shell(
        f"exec {sys.executable} -m exporter {command}",
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()
    return process.returncode, output


async def test_ctrl_c_ends_a_command_at_once(simulator: Simulator, config: str) -> None:
    simulator.faults.add(Fault(kind="hang"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", "sources", config),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await eventually(lambda: simulator.calls.total() > 0)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(30):
        assert await process.communicate() == (b"", b"")
    assert process.returncode == 130


async def test_a_printed_command_works_when_pasted(tmp_path: Path) -> None:
    """The configuration is named in it, also with a space in its path."""
    folder = tmp_path / "a b"
    folder.mkdir()
    async with Simulator(World(WorldOptions(), clock=ManualClock()), identities=[IDENTITY]) as simulator:
        config = f"--config.file={write_config(folder, simulator.url)}"
        rows = simulator.world.truth().data_sources().values()
        source = next(row for row in rows if not row.tables_failed_num and not row.partitions_failed_num)
        ended = await run("failed", config, "--account=test", f"--source={source.name}")
        command = ended.err.partition("list with: ")[2].strip()
        assert {config, "--account=test", f"--source={source.name}"} <= set(shlex.split(command))
        pasted = await asyncio.create_subprocess_shell(
            f"{command} --output=json", cwd=ROOT, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            out, _ = await pasted.communicate()
    assert pasted.returncode == 0
    assert {(row["source"], row["status"]) for row in json.loads(out)} == {(source.name, "FAILED")}
