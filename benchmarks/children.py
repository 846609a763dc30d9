"""Child processes of a benchmark. Each prints its URL on standard output."""

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
    """A serving child process."""

    process: asyncio.subprocess.Process
    url: str

    @property
    def port(self) -> int:
        """Its port on loopback."""
        return int(self.url.rpartition(":")[2])

    async def terminate(self) -> str:
        """Terminate it, and return its last line."""
        self.process.terminate()
        return (await _line(self.process)).strip()


@asynccontextmanager
async def child(kind: str, **options: Any) -> AsyncIterator[Child]:
    """Start a process of a kind in `benchmarks.serving`."""
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
    """Run a module in its own process; returns its JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE, limit=LONGEST_LINE
    )
    async with asyncio.timeout(seconds):
        out, _ = await process.communicate()
    return json.loads(out)


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None  # noqa: S101 - asked for above
    return (await process.stdout.readline()).decode()
