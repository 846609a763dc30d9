"""Refreshes, renderings and scrapes of 100,000 series in a world in which data sources and jobs come and go.

A process of its own, since it tells what this process holds. The simulated MMS runs beside it.
"""

import asyncio
import json
from typing import Final

from aiohttp import ClientSession

from benchmarks.children import child
from benchmarks.machine import resident_mebibytes
from benchmarks.settings import PLAIN, config
from exporter.app.service import Service
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import Snapshot
from exporter.exposition.telemetry import Telemetry
from exporter.process_memory import freeze_startup_objects, limit_malloc_arenas
from exporter.simulator.world.source_spec import FIRST_SOURCE_ID

CONTROL: Final = "/_simulator"
REFRESHES: Final = 1000
SOURCES: Final = 125
REPLACED: Final = 5
"""Sources that go, and as many others that come, with each refresh."""
WINDOW: Final = SOURCES // REPLACED
"""Refreshes in which every source is replaced: the warm-up, and how long is looked for the most that is held."""
WORLD: Final = {
    **PLAIN,
    "sources": SOURCES,
    "running_jobs_per_source": 75,  # few calls for many series
    "finished_jobs_per_source": 0,
    "failure_rate": 0,  # jobs that failed stay, and so would their series, ever more of them
}
STEP_SECONDS: Final = 5.0
"""Simulated seconds from one refresh to the next: in the life of a source a tenth of its jobs end, and others begin."""
EARLIER_SECONDS: Final = REFRESHES * STEP_SECONDS
EARLIER_SOURCES: Final = 1000
"""How old the world is at first, and how many sources have gone from it: numbers that get a digit more meanwhile, as
those of jobs and sources in a young world do, make every series longer."""


async def churn() -> dict[str, float]:
    """Return the most MiB that were held after the warm-up, before half of the refreshes and at the end, and series."""
    async with child("simulator", **WORLD, speed=None, answers="halting") as mms, ClientSession(mms.url) as control:
        settings, service = config(mms.url), Service(Telemetry())
        account, client = service.refresher(settings.accounts[0], settings)
        service.publisher._take_snapshot = lambda: _snapshot(account)  # noqa: SLF001 - no task of its own is to refresh
        held: list[float] = []
        await _grow_old(control)
        freeze_startup_objects()
        for number in range(REFRESHES):
            await _move_on(control, number)
            await account.refresh()
            await service.publisher.publish()
            service.publisher.body("openmetrics", gzip=True)
            held.append(resident_mebibytes())
        await client.close()
    moments = {"begin": 2 * WINDOW, "middle": REFRESHES // 2, "end": REFRESHES}
    most = {name: max(held[until - WINDOW : until]) for name, until in moments.items()}
    return {**most, "refreshes": REFRESHES, "warm_up": WINDOW, "series": service.publisher._page.series}  # noqa: SLF001 - as above


def _snapshot(account: AccountRefresher) -> Snapshot:
    return Snapshot((account.snapshot(),))


async def _grow_old(control: ClientSession) -> None:
    for number in range(EARLIER_SOURCES):
        await _replace(control, number)
    await _post(control, "clock", {"advance": EARLIER_SECONDS})


async def _move_on(control: ClientSession, refresh: int) -> None:
    """Have the sources that were there longest go, others come, and time pass."""
    for number in range(REPLACED):
        await _replace(control, EARLIER_SOURCES + refresh * REPLACED + number)
    await _post(control, "clock", {"advance": STEP_SECONDS})


async def _replace(control: ClientSession, number: int) -> None:
    """Have a source go, by its number from 0, and another come."""
    await _post(control, "events", {"type": "remove_source", "source_id": FIRST_SOURCE_ID + number})
    await _post(control, "events", {"type": "add_source"})


async def _post(control: ClientSession, name: str, body: dict[str, object]) -> None:
    async with control.post(f"{CONTROL}/{name}", json=body) as response:
        response.raise_for_status()


if __name__ == "__main__":
    limit_malloc_arenas()
    print(json.dumps(asyncio.run(churn())))
