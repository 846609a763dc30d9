"""Ctrl-C and SIGTERM during the start stop the program without output."""

import asyncio
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from exporter.simulator import Fault, Simulator
from tests.processes import ENVIRONMENT, Ended, serving, write_config
from tests.programs import ROOT

INTERRUPTED = 130
SCRIPT = str(Path(sys.executable).with_name("mms-exporter"))
MODULE = (sys.executable, "-m", "exporter")
HERE, THERE = "--web.listen-address=127.0.0.1:0", "--simulator.listen-address=127.0.0.1:0"
PROGRAMS = {
    "module": (*MODULE, HERE),
    "script": (SCRIPT, HERE),
    "once": (*MODULE, "once"),
    "sources": (*MODULE, "sources"),
    "retry": (*MODULE, "retry", "--source=2000001", "--failed", "--dry-run"),
    "check": (*MODULE, "check"),
    "config": (*MODULE, "config", "show"),
    "simulate": (*MODULE, "simulate", THERE),
    "demo": (*MODULE, "demo", HERE, THERE),
}
INTERRUPTIONS: dict[str, int] = {"module": 6}
"""Number of interruptions of a program; 3 for the others."""


def command_line(program: str, simulator: Simulator, folder: Path) -> list[str]:
    """Write the configuration of a program and return its command line."""
    file = write_config(folder, simulator.url)
    return [*PROGRAMS[program], *([] if program in {"simulate", "demo"} else [f"--config.file={file}"])]


async def signalled(arguments: list[str], after_seconds: float, by: signal.Signals) -> Ended:
    """Start a program, send a signal after a delay, and return its result."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await asyncio.sleep(after_seconds)
    if process.returncode is None:
        process.send_signal(by)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


def is_before_the_program(ended: Ended) -> bool:
    """Return whether the signal came before any code of the program ran."""
    return "KeyboardInterrupt" in ended.err and not re.search(r"exporter/\w+\.py", ended.err)


@pytest.fixture(scope="module")
def start_seconds() -> float:
    """Return the seconds until the program listens."""

    async def listen() -> float:
        begun = time.perf_counter()
        async with serving("--mms.region=cn-shanghai"):
            return time.perf_counter() - begun

    return asyncio.run(listen())


@pytest.mark.parametrize(
    "program",
    [pytest.param(each, marks=[pytest.mark.scale] if each in {"check", "config"} else []) for each in PROGRAMS],
)
async def test_ctrl_c_during_the_start_exits_130_without_output(
    simulator: Simulator, tmp_path: Path, program: str, start_seconds: float
) -> None:
    simulator.faults.add(Fault(kind="hang"))
    arguments = command_line(program, simulator, tmp_path)
    interruptions = INTERRUPTIONS.get(program, 3)
    for number in range(interruptions):
        ended = await signalled(arguments, start_seconds * number / interruptions, signal.SIGINT)
        if is_before_the_program(ended):
            continue
        has_started = "msg=listening" in ended.err or "The simulated MMS listens" in ended.err
        has_ended_by_itself = ended.code == 0 and (program == "config" or has_started)
        assert has_ended_by_itself or ended.code in {INTERRUPTED, -signal.SIGINT}, ended
        assert has_ended_by_itself or ended.err == "", ended


@pytest.mark.parametrize("program", ["script"])
async def test_sigterm_during_the_start_exits_without_a_traceback(
    simulator: Simulator, tmp_path: Path, program: str, start_seconds: float
) -> None:
    arguments = command_line(program, simulator, tmp_path)
    for number in range(3):
        ended = await signalled(arguments, start_seconds * number / 3, signal.SIGTERM)
        assert ended.code == -signal.SIGTERM or (ended.code == 0 and "msg=listening" in ended.err), ended
        assert "Traceback" not in ended.err


async def test_ctrl_c_that_the_parent_ignores_stays_ignored(simulator: Simulator, tmp_path: Path) -> None:
    # As with `&` in a script.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ended = await signalled(command_line("once", simulator, tmp_path), 0.1, signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("# HELP")
