"""CPU time of a steady refresh, compared with a plain client and `json.loads` for the same answers."""

import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
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

_Taken = tuple[float, float, float]
"""CPU seconds of a refresh, of a plain client and of json.loads."""


async def figures() -> list[Figure]:
    """Return CPU microseconds per source by number of finished jobs."""
    return [figure for finished in HISTORIES for figure in await _with_history(finished)]


async def _with_history(finished: int) -> list[Figure]:
    world = {**PLAIN, "sources": SOURCES, "running_jobs_per_source": RUNNING, "finished_jobs_per_source": finished}
    async with child("simulator", **world, answers="cached") as mms, refresher(mms.url) as (account, _):
        await account.refresh()
        bodies = await _bodies_of(account.refresh)
        steady, changed = list[_Taken](), list[_Taken]()
        async with _replayed(bodies) as url, aiohttp.ClientSession(url) as session:
            for _ in range(ROUNDS):
                for taken in (steady, changed):
                    if taken is changed:
                        account._sources.invalidate("jobs", "tasks")  # noqa: SLF001 - as a reload with other settings does
                    ours = await _seconds(account.refresh)
                    plain, loading = await _plain_seconds(session, len(bodies)), _loading_seconds(bodies)
                    taken.append((ours, plain, loading))
    size = sum(map(len, bodies)) / SOURCES / 1000
    what = f"CPU time per data source: {RUNNING} running, {finished} finished jobs, {size:.0f} kB"
    bound = Bound("at most", 1.4)
    return [*_compared(what, steady, bound), *_compared(f"{what}, all changed", changed)]


def _compared(what: str, taken: Sequence[_Taken], bound: Bound | None = None) -> list[Figure]:
    """Return the figures of the median round."""
    ours, plain, loading = sorted(taken, key=lambda each: each[0] / (each[1] + each[2]))[ROUNDS // 2]
    share = 1e6 / SOURCES
    figure = Figure(what=what, value=ours * share, unit="us", beside="", bound=bound)
    return [
        replace(
            figure, beside="aiohttp, without signing or limits, and json.loads", beside_value=(plain + loading) * share
        ),
        replace(figure, beside="json.loads alone", beside_value=loading * share, bound=None),
    ]


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    """Return the CPU seconds of `work`."""
    started = time.process_time()
    await work()
    return time.process_time() - started


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


@asynccontextmanager
async def _replayed(bodies: Sequence[bytes]) -> AsyncIterator[str]:
    """Serve the bodies one after another, again and again."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bodies.json"
        file.write_text(json.dumps([body.decode() for body in bodies]), encoding="utf-8")
        async with child("replayed", file=str(file)) as replayed:
            yield replayed.url


async def _plain_seconds(session: aiohttp.ClientSession, requests: int) -> float:
    """Return the CPU seconds of as many plain aiohttp requests."""

    async def read() -> None:
        for _ in range(requests):
            async with session.get("/metrics") as response:
                await response.read()

    return await _seconds(read)
