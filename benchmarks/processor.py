"""CPU time of a steady refresh, compared with `json.loads` of the same bytes and with a plain client."""

import base64
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import aiohttp
from msgspec.structs import replace

from benchmarks.accounts import refresher
from benchmarks.children import child
from benchmarks.figures import Bound, Figure
from benchmarks.settings import PLAIN
from exporter.mms import transport

SOURCES: Final = 1000
RUNNING: Final = 10
HISTORIES: Final = (1000, 40, 5, 0)
"""Finished jobs per source: several pages, the simulator's default, few, none."""
ROUNDS: Final = 3

_Taken = tuple[float, float]
"""CPU seconds of a refresh and of json.loads."""


async def figures() -> list[Figure]:
    """Return CPU microseconds per source by number of finished jobs."""
    return [figure for finished in HISTORIES for figure in await _with_history(finished)]


async def _with_history(finished: int) -> list[Figure]:
    world = {**PLAIN, "sources": SOURCES, "running_jobs_per_source": RUNNING, "finished_jobs_per_source": finished}
    async with child("simulator", **world, answers="cached") as mms, refresher(mms.url) as (account, _):
        await account.refresh()
        bodies = await _bodies_of(account.refresh)
        steady, changed = list[_Taken](), list[_Taken]()
        for _ in range(ROUNDS):
            for taken in (steady, changed):
                if taken is changed:
                    account._sources.invalidate_jobs()  # noqa: SLF001 - as a reload with other settings does
                started = time.process_time()
                await account.refresh()
                taken.append((time.process_time() - started, _loading_seconds(bodies)))
    plainest = await _plain_client_seconds(bodies)
    size, share = sum(map(len, bodies)) / SOURCES / 1000, 1e6 / SOURCES
    what = f"CPU time per data source: {RUNNING} running, {finished} finished jobs, {size:.0f} kB"
    made = []
    for name, taken, bound in ((what, steady, Bound("at most", 4)), (f"{what}, all changed", changed, None)):
        ours, loading = sorted(taken, key=lambda pair: pair[0] / pair[1])[ROUNDS // 2]
        beside = {
            "json.loads of the same bytes": (loading, bound),
            "aiohttp without signing or limits, and json.loads": (loading + plainest, None),
        }
        for other, (seconds, its_bound) in beside.items():
            figure = Figure(what=name, value=ours * share, unit="us", beside=other, beside_value=seconds * share)
            made.append(replace(figure, bound=its_bound))
    return made


async def _bodies_of(refresh: Callable[[], Awaitable[None]]) -> list[bytes]:
    """Return the response bodies of one refresh."""
    bodies: list[bytes] = []
    read = transport._bounded_body  # noqa: SLF001 - the one place that all bytes go through

    async def kept(content: aiohttp.StreamReader, operation: str) -> bytes:
        bodies.append(await read(content, operation))
        return bodies[-1]

    transport._bounded_body = kept  # noqa: SLF001 - as above
    try:
        await refresh()
    finally:
        transport._bounded_body = read  # noqa: SLF001 - as above
    return bodies


def _loading_seconds(bodies: Sequence[bytes]) -> float:
    started = time.process_time()
    for body in bodies:
        json.loads(body)
    return time.process_time() - started


async def _plain_client_seconds(bodies: Sequence[bytes]) -> float:
    """Return the CPU seconds of as many plain aiohttp requests."""
    body = base64.b64encode(bytes(sum(map(len, bodies)) // len(bodies))).decode()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bodies.json"
        file.write_text(json.dumps({"text False": body}), encoding="ascii")
        async with child("constant", file=str(file)) as constant, aiohttp.ClientSession() as session:
            headers = {"accept-encoding": "identity"}
            started = time.process_time()
            for _ in bodies:
                async with session.get(f"{constant.url}/metrics", headers=headers) as response:
                    await response.read()
            return time.process_time() - started
