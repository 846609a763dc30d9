"""SIGTERM and a full disk at any point: the program ends within 2 s, and leaves no partial file."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import ClientSession

from exporter.simulator import Fault, Simulator
from tests.harness import eventually
from tests.processes import ENVIRONMENT, Running, serving, write_config
from tests.programs import ROOT

STUCK = """
import sys, time
from pathlib import Path
import {module} as module

original = {attribute}

def stuck(*arguments, **named):
    while Path({flag!r}).exists():
        Path({reached!r}).touch()
        time.sleep(0.01)
    return original(*arguments, **named)

{attribute} = stuck
from exporter.cli.main import main
sys.exit(main())
"""
"""The program with a function that blocks while a file exists."""
FAULT_TARGETS = {
    "rendering": ("exporter.exposition.rendering", "module.Renderer.render"),
    "reloading": ("exporter.config.loading", "module.load"),
    "resolving a name": ("socket", "module.getaddrinfo"),
}


@pytest.mark.parametrize(("module", "attribute"), FAULT_TARGETS.values(), ids=FAULT_TARGETS)
async def test_a_signal_stops_it_in_time_with_a_blocked_thread(
    simulator: Simulator, tmp_path: Path, module: str, attribute: str
) -> None:
    """The thread blocks from the first refresh; a reload reaches the block."""
    flag, reached = tmp_path / "stuck", tmp_path / "reached"
    program = STUCK.format(module=module, attribute=attribute, flag=str(flag), reached=str(reached))
    url = simulator.url.replace("127.0.0.1", "localhost")
    file = write_config(tmp_path, url, "refresh: {interval: 1s}")
    async with serving(f"--config.file={file}", program=("-c", program)) as exporter:
        await exporter.until_ready()
        flag.touch()
        write_config(tmp_path, url, "refresh: {interval: 2s}")
        exporter.process.send_signal(signal.SIGHUP)
        await eventually(reached.exists)
        ended = await exporter.end()
    assert ended.code == 0
    assert "Traceback" not in ended.err


async def test_a_signal_stops_it_during_a_reload_that_waits_for_a_refresh(simulator: Simulator, tmp_path: Path) -> None:
    number = simulator.faults.add(Fault(kind="hang"))
    file = write_config(tmp_path, simulator.url)
    async with serving(f"--config.file={file}", "--web.enable-lifecycle") as exporter:
        await eventually(lambda: simulator.faults.happened(number) > 0)
        write_config(tmp_path, simulator.url, "refresh: {interval: 2s}")
        async with ClientSession() as session:
            reloads = [asyncio.create_task(session.post(f"{exporter.urls[0]}/-/reload")) for _ in range(5)]
            exporter.process.send_signal(signal.SIGHUP)
            ended = await exporter.end()
            await asyncio.gather(*reloads, return_exceptions=True)
    assert ended.code == 0
    assert "Traceback" not in ended.err


async def test_repeated_signals_do_not_interrupt_the_shutdown(simulator: Simulator, tmp_path: Path) -> None:
    """An idle keep-alive connection delays the shutdown."""
    file = write_config(tmp_path, simulator.url)
    async with serving(f"--config.file={file}") as exporter:
        with connections(exporter, 1):
            assert exporter.process.stderr is not None
            exporter.process.terminate()
            while b'msg="shutdown started"' not in (line := await exporter.process.stderr.readline()):
                assert line
            exporter.process.send_signal(signal.SIGINT)
            ended = await exporter.end()
    assert ended.code == 0
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("asked", [b"", b"GET /metr", b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_signal_stops_it_with_many_idle_connections(simulator: Simulator, tmp_path: Path, asked: bytes) -> None:
    file = write_config(tmp_path, simulator.url)
    async with serving(f"--config.file={file}") as exporter:
        with connections(exporter, 300, asked):
            ended = await exporter.end()
    assert ended.code == 0
    assert "Traceback" not in ended.err


@contextmanager
def connections(exporter: Running, number: int, asked: bytes = b"") -> Iterator[None]:
    """Provide idle connections after one request each."""
    host, _, port = exporter.urls[0].removeprefix("http://").rpartition(":")
    with ExitStack() as stack:
        for _ in range(number):
            stack.enter_context(socket.create_connection((host, int(port)))).sendall(asked)
        yield


@pytest.mark.parametrize("command", [(), ("once", "--output=mms.prom")], ids=["serve", "once"])
async def test_a_signal_stops_it_during_startup(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Its configuration is a pipe without a writer."""
    pipe = tmp_path / "config.yaml"
    os.mkfifo(pipe)
    process = await started(tmp_path, ("-m", "exporter"), *command, f"--config.file={pipe}")
    await eventually(lambda: is_read(pipe))
    assert await end_of(process) in {0, -signal.SIGTERM}
    assert files_in(tmp_path) == {"config.yaml"}


async def test_a_signal_stops_once_just_after_its_start(simulator: Simulator, tmp_path: Path) -> None:
    config = write_config(tmp_path, simulator.url)
    process = await started(tmp_path, ("-m", "exporter"), "once", f"--config.file={config}", "--output=mms.prom")
    assert await end_of(process) in {0, -signal.SIGTERM}
    assert files_in(tmp_path) == {"config.yaml"}


async def test_a_signal_stops_once_while_mms_hangs(simulator: Simulator, tmp_path: Path) -> None:
    number = simulator.faults.add(Fault(kind="hang"))
    config = write_config(tmp_path, simulator.url)
    process = await started(tmp_path, ("-m", "exporter"), "once", f"--config.file={config}", "--output=mms.prom")
    await eventually(lambda: simulator.faults.happened(number) > 0)
    assert await end_of(process) in {0, -signal.SIGTERM}
    assert files_in(tmp_path) == {"config.yaml"}


async def test_a_signal_leaves_no_partial_file_of_once(simulator: Simulator, tmp_path: Path) -> None:
    """It waits for a blocked disk."""
    folder, flag, reached = tmp_path / "output", tmp_path / "stuck", tmp_path / "reached"
    folder.mkdir()
    flag.touch()
    program = STUCK.format(module="os", attribute="module.fsync", flag=str(flag), reached=str(reached))
    config = write_config(tmp_path, simulator.url)
    process = await started(folder, ("-c", program), "once", f"--config.file={config}", "--output=mms.prom")
    await eventually(reached.exists)
    process.terminate()
    flag.unlink()
    assert await end_of(process) in {0, -signal.SIGTERM}
    assert files_in(folder) <= {"mms.prom"}


async def started(folder: Path, program: tuple[str, ...], *arguments: str) -> asyncio.subprocess.Process:
    """Start the program in a folder."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *program, *arguments),
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        stderr=asyncio.subprocess.PIPE,
    )


async def end_of(process: asyncio.subprocess.Process) -> int | None:
    """Send SIGTERM, and check for an end without a traceback."""
    with suppress(ProcessLookupError):
        process.terminate()
    async with asyncio.timeout(2):
        _, err = await process.communicate()
    assert b"Traceback" not in err
    return process.returncode


def files_in(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def is_read(pipe: Path) -> bool:
    """Return whether a process has a pipe open for reading."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


SMALL_DISK = """
import resource, signal, sys
sys.dont_write_bytecode = True  # compiled modules would be cut short too, in the tree itself
from exporter.cli.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
sys.exit(main())
"""
"""The program with a file size limit of 4 KiB."""


async def once(program: tuple[str, ...], *arguments: str, output: int | None = None) -> tuple[int | None, str]:
    """Run `once`, and return its exit code and error output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, "once", *arguments),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=output,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    return process.returncode, err.decode()


async def test_once_on_a_full_disk_keeps_the_old_file(simulator: Simulator, tmp_path: Path) -> None:
    file, config = tmp_path / "mms.prom", write_config(tmp_path, simulator.url)
    file.write_text("old\n", encoding="utf-8")
    code, err = await once(("-c", SMALL_DISK), f"--config.file={config}", f"--output={file}")
    assert (code, err) == (1, f"mms-exporter: cannot write {file}: File too large\n")
    assert file.read_text(encoding="utf-8") == "old\n"
    assert files_in(tmp_path) == {"config.yaml", "mms.prom"}


async def test_once_on_a_full_output_reports_one_line(simulator: Simulator, tmp_path: Path) -> None:
    config = write_config(tmp_path, simulator.url)
    full = os.open("/dev/full", os.O_WRONLY)
    code, err = await once(("-m", "exporter"), f"--config.file={config}", output=full)
    os.close(full)
    assert (code, err) == (1, "mms-exporter: cannot write to standard output: No space left on device\n")
