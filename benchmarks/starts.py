"""Duration from a command to its output."""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiohttp import ClientSession

from benchmarks.children import child
from benchmarks.figures import Figure
from benchmarks.scraping import until_ready
from benchmarks.timing import ROUNDS, timed


async def figures() -> list[Figure]:
    """Return the durations of startup and of `--version`."""
    with tempfile.TemporaryDirectory() as folder:
        async with child("simulator") as mms:
            config = _config(Path(folder), mms.url)
            spent = [await _first_page(config) for _ in range(ROUNDS)]
    version = timed(lambda: subprocess.run([sys.executable, "-m", "exporter", "--version"], check=True, stdout=-3))[0]
    return [
        Figure(what="start to the first complete exposition, 12 sources", value=statistics.median(spent) * 1000),
        Figure(what="mms-exporter --version", value=version),
    ]


def _config(folder: Path, url: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(
        f"""accounts:
  - name: bench
    region: cn-shanghai
    endpoint: {url}
    rate_limit: 0
    credentials: {{type: access_key, access_key_id: LTAI-EXAMPLE, access_key_secret: not-a-secret}}
""",
        encoding="utf-8",
    )
    return file


async def _first_page(config: Path) -> float:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "exporter", f"--config.file={config}", "--web.listen-address=127.0.0.1:0"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None  # noqa: S101 - asked for above
        line = (await process.stderr.readline()).decode()
        base = line.partition("urls=")[2].split()[0]
        await until_ready(base)
        async with ClientSession() as session, session.get(f"{base}/metrics") as response:
            await response.read()
        return time.perf_counter() - started
    finally:
        process.terminate()
        await process.wait()
