"""`retry` as a process: on a terminal, interrupted, and killed during a request."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.simulator import Fault, ScaledClock, Simulator, World, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY
from tests.harness import eventually
from tests.processes import ENVIRONMENT, run, write_config
from tests.programs import ROOT
from tests.retry.conftest import QUIET_WORLD, SOURCE

SPEED = 1000.0


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Provide a source with one failed partition, in accelerated time."""
    world = World(QUIET_WORLD, clock=ScaledClock(1_750_000_000.0, SPEED))
    async with Simulator(world, identities=[IDENTITY]) as running:
        done = next(row.id for row in world.truth().partitions(SOURCE) if row.status == "DONE")
        apply_event(world, events.Fail(source_id=SOURCE, partition_ids=(done,)))
        yield running


def made(simulator: Simulator) -> list[str | None]:
    return [created.job.name for created in simulator.world.site(SOURCE).job_store.created]


def arguments_for(simulator: Simulator, folder: Path) -> list[str]:
    failed = next(row.id for row in simulator.world.truth().partitions(SOURCE) if row.status == "FAILED")
    file = write_config(folder, simulator.url)
    return ["retry", f"--config.file={file}", f"--source={SOURCE}", f"--partition={failed}"]


@asynccontextmanager
async def started(
    *arguments: str, state: Path, terminal: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Provide the command as a process, optionally on a terminal."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", *arguments),
        cwd=ROOT,
        env={**ENVIRONMENT, "XDG_STATE_HOME": str(state)},
        stdin=asyncio.subprocess.DEVNULL if terminal is None else terminal,
        stderr=asyncio.subprocess.PIPE if terminal is None else terminal,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def read_until(terminal: int, text: str) -> str:
    """Return the output of a terminal up to `text`."""
    seen = ""
    async with asyncio.timeout(20):
        while text not in seen:
            seen += (await asyncio.to_thread(os.read, terminal, 4096)).decode()
    return seen


@asynccontextmanager
async def pseudo_terminal() -> AsyncIterator[tuple[int, int]]:
    """Provide both ends of a terminal: user and process."""
    ours, theirs = os.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_confirmed_run_on_a_terminal_continues(simulator: Simulator, tmp_path: Path) -> None:
    async with (
        pseudo_terminal() as (ours, theirs),
        started(*arguments_for(simulator, tmp_path), "--watch", state=tmp_path, terminal=theirs) as process,
    ):
        await read_until(ours, "Migrate 1 partition of hive-sales-001 again? [y/N]")
        assert not made(simulator)
        os.write(ours, b"y\n")
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
    assert process.returncode == 0
    assert len(made(simulator)) == 1
    assert " done: 1 partition of 1 table of " in out.decode()


async def test_an_interrupt_at_the_question_sends_nothing(simulator: Simulator, tmp_path: Path) -> None:
    async with (
        pseudo_terminal() as (ours, theirs),
        started(*arguments_for(simulator, tmp_path), state=tmp_path, terminal=theirs) as process,
    ):
        await read_until(ours, "[y/N]")
        process.send_signal(signal.SIGINT)
        await read_until(ours, "nothing was sent")
        async with asyncio.timeout(30):
            await process.communicate()
    assert process.returncode == 130
    assert not made(simulator)


async def test_an_ignored_sighup_does_not_end_the_run(simulator: Simulator, tmp_path: Path) -> None:
    """As with `nohup`."""
    simulator.faults.add(Fault(kind="latency", operation="CreateMmsJob", seconds=0.5, times=1))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        async with started(*arguments_for(simulator, tmp_path), "--yes", state=tmp_path) as process:
            await eventually(lambda: simulator.calls["CreateMmsJob", SOURCE] > 0, 20)
            process.send_signal(signal.SIGHUP)
            async with asyncio.timeout(30):
                await process.communicate()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.returncode == 0


async def test_without_a_terminal_yes_is_required(simulator: Simulator, tmp_path: Path) -> None:
    ended = await run(*arguments_for(simulator, tmp_path))
    assert (ended.code, ended.out) == (2, "")
    assert "mms-exporter: --yes: is required without a terminal" in ended.err
    assert not made(simulator)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda by: by.name)
async def test_a_run_killed_during_a_request_creates_its_job_once(
    simulator: Simulator, tmp_path: Path, by: signal.Signals
) -> None:
    simulator.faults.add(Fault(kind="drip", operation="CreateMmsJob", bytes_per_second=1))
    arguments = arguments_for(simulator, tmp_path)
    async with started(*arguments, "--yes", state=tmp_path) as process:
        await eventually(lambda: bool(made(simulator)), 20)
        process.send_signal(by)
        _, err = await process.communicate()
    simulator.faults.clear()
    (journal,) = (tmp_path / "mms-exporter").glob("*.json")
    assert b"sending" in journal.read_bytes()
    assert f"journal of this run: {journal}" in err.decode()
    assert (f"--resume={journal}" in err.decode()) is (by != signal.SIGKILL)
    assert process.returncode == {signal.SIGKILL: -by, signal.SIGINT: 130}.get(by, 1)
    ended = await run(arguments[0], arguments[1], f"--resume={journal}")
    assert ended.code == 0
    assert len(made(simulator)) == 1
    assert f" {made(simulator)[0]} created: " in ended.out
