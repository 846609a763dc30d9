"""Processes beside the one that measures: each tells on its standard output where it serves."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
START_SECONDS: Final = 60.0
LONGEST_LINE: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Child:
    """A process that serves."""

    process: asyncio.subprocess.Process
    url: str

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self.url.rpartition(":")[2])

    async def said_at_end(self) -> str:
        """End it, and return what it says then."""
        self.process.terminate()
        return (await _line(self.process)).strip()


@asynccontextmanager
async def child(kind: str, **options: Any) -> AsyncIterator[Child]:
    """Provide a process of one of the kinds of `benchmarks.serving`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.serving", kind, json.dumps(options)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            url = (await _line(process)).strip()
        yield Child(process, url)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def report_of(module: str, *arguments: str, seconds: float = 1800) -> Any:  # noqa: ANN401 - as JSON has it
    """Return what a module prints as JSON when it is run in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE, limit=LONGEST_LINE
    )
    async with asyncio.timeout(seconds):
        out, _ = await process.communicate()
    return json.loads(out)


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None  # noqa: S101 - asked for above
    return (await process.stdout.readline()).decode()
