"""Refreshes, renderings and scrapes of a world in which data sources and jobs come and go.

A process of its own, since it tells what this process holds. The simulated MMS runs beside it.
"""

import asyncio
import json
from typing import Final

from aiohttp import ClientSession

from benchmarks.children import child
from benchmarks.machine import resident_mebibytes
from benchmarks.settings import PLAIN, config
from exporter.collect.refresh import AccountRefresher
from exporter.collect.snapshot import Snapshot
from exporter.exposition.telemetry import Telemetry
from exporter.garbage import leave_out_what_stays
from exporter.heap import share_one_arena
from exporter.simulator.sources import FIRST_SOURCE_ID
from exporter.web.service import Service

EVENTS_PATH: Final = "/_simulator/events"
REFRESHES: Final = 1000
WARM_UP: Final = 100
SOURCES: Final = 10
WORLD: Final = {
    **PLAIN,
    "sources": SOURCES,
    "running_jobs_per_source": 5,
    "finished_jobs_per_source": 10,
    "failure_rate": 0,  # jobs that failed stay, and so would their series, ever more of them
}
SPEED: Final = 600.0
"""A job ends every few refreshes."""


async def churn() -> dict[str, float]:
    """Return the resident memory after the first hundred refreshes, after half of them and at the end, in MiB."""
    async with child("simulator", **WORLD, speed=SPEED) as mms, ClientSession(mms.url) as control:
        settings, service = config(mms.url), Service(Telemetry())
        account, client = service.refresher(settings.accounts[0], settings)
        service.publisher._take_snapshot = lambda: _snapshot(account)  # noqa: SLF001 - no task of its own is to refresh
        begin = middle = 0.0
        leave_out_what_stays()
        for number in range(REFRESHES):
            await _replace_source(control, number)
            await account.refresh()
            await service.publisher.publish()
            service.publisher.body("openmetrics", gzip=True)
            if number == WARM_UP:
                begin = resident_mebibytes()
            if number == REFRESHES // 2:
                middle = resident_mebibytes()
        await client.close()
    return {"begin": begin, "middle": middle, "end": resident_mebibytes(), "refreshes": REFRESHES}


def _snapshot(account: AccountRefresher) -> Snapshot:
    return Snapshot((account.snapshot(),))


async def _replace_source(control: ClientSession, number: int) -> None:
    """Have the source that was there longest go, and another one come."""
    await _happen(control, {"type": "remove_source", "source_id": FIRST_SOURCE_ID + number})
    await _happen(control, {"type": "add_source"})


async def _happen(control: ClientSession, event: dict[str, object]) -> None:
    async with control.post(EVENTS_PATH, json=event) as response:
        response.raise_for_status()


if __name__ == "__main__":
    share_one_arena()
    print(json.dumps(asyncio.run(churn())))
