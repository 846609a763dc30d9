"""The program as a process of its own: started, listened to, ended by its id."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import ClientSession

from tests.exposition_parser import Exposition, read
from tests.harness import LIMIT_SECONDS
from tests.programs import ROOT

ENDLESS = ("--simulator.scenario=endless", "--simulator.speed=60", "--simulator.sources=12")
"""Flags of a simulation that has every kind of source and status at once, and changes every second."""
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Ended:
    """What a process left behind."""

    code: int
    out: str
    err: str


async def run(*arguments: str, environment: dict[str, str] | None = None, seconds: float = LIMIT_SECONDS) -> Ended:
    """Run the program to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exporter",
        *arguments,
        cwd=ROOT,
        env={**ENVIRONMENT, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(seconds):
        out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


def _cpu_wait_seconds(pid: int) -> float:
    """Return how long the main thread of a process has waited for a CPU; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except OSError:
        return 0.0


class Running:
    """A serving process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.urls: list[str] = []

    async def listen(self) -> None:
        """Read the log until the process listens."""
        assert self.process.stderr is not None
        while not self.urls:
            line = (await self.process.stderr.readline()).decode()
            assert line, f"the process ended: {''.join(self.lines)}"
            self.lines.append(line)
            if found := re.search(r'msg=listening urls="?([^"]*?)"? accounts', line):
                self.urls = found[1].split()

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return status and text of a page."""
        return await self.ask("GET", path, **headers)

    async def ask(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        """Return status and text of what is answered to a request."""
        url = self.urls[0] + path
        async with ClientSession() as session, session.request(method, url, headers=headers) as response:
            return response.status, await response.text()

    async def metrics(self) -> Exposition:
        """Return what is served now."""
        return read((await self.get("/metrics"))[1].encode())

    async def until(self, is_so: Callable[[Exposition], bool], seconds: float = LIMIT_SECONDS) -> None:
        """Wait until what is served is so; fail after `seconds`."""
        async with asyncio.timeout(seconds):
            while not is_so(await self.metrics()):  # noqa: ASYNC110 - the other process sets no event of ours
                await asyncio.sleep(0.05)

    async def until_ready(self) -> None:
        """Wait until every account was read once."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while (await self.get("/-/ready"))[0] != 200:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)

    async def end(self, by: signal.Signals = signal.SIGTERM) -> Ended:
        """Send a signal, and return what is left; fails when that takes more than 2 s.

        A signal is to end it within that time, whatever it is doing: the time is the fact. Time that the process or the
        test waits for a CPU does not count.
        """
        started = time.monotonic() - _cpu_wait_seconds(self.process.pid) - _cpu_wait_seconds(os.getpid())
        waited = 0.0
        self.process.send_signal(by)
        async with asyncio.timeout(LIMIT_SECONDS):
            ending = asyncio.create_task(self.process.communicate())
            while not ending.done():
                waited = max(waited, _cpu_wait_seconds(self.process.pid))
                await asyncio.wait({ending}, timeout=0.02)
            out, err = await ending
        assert time.monotonic() - waited - _cpu_wait_seconds(os.getpid()) - started < 2
        return Ended(self.process.returncode or 0, out.decode(), "".join(self.lines) + err.decode())


@asynccontextmanager
async def serving(
    *arguments: str,
    program: Sequence[str] = ("-m", "exporter"),
    environment: Mapping[str, str] | None = None,
    descriptors: Collection[int] = (),
) -> AsyncIterator[Running]:
    """Provide the program serving on free ports of loopback; it inherits the `descriptors`."""
    with TemporaryDirectory() as folder:  # a killed demo leaves its files
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *program,
            "--web.listen-address=127.0.0.1:0",
            *arguments,
            cwd=ROOT,
            env={**ENVIRONMENT, "TMPDIR": folder, **(environment or {})},
            pass_fds=descriptors,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        running = Running(process)
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await running.listen()
            yield running
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


def write_config(folder: Path, url: str, extra: str = "") -> Path:
    """Write the configuration of one account on a simulated MMS, and return its file."""
    file = folder / "config.yaml"
    file.write_text(
        f"""accounts:
  - name: test
    region: cn-shanghai
    endpoint: {url}
    rate_limit: 0
    credentials: {{type: access_key, access_key_id: LTAI-EXAMPLE, access_key_secret: not-a-secret}}
{extra}""",
        encoding="utf-8",
    )
    return file
