"""Refreshes, renderings and scrapes of 100,000 series while data sources and jobs come and go.

Runs in its own process, whose memory it measures. The simulated MMS runs in another.
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
"""Sources replaced per refresh."""
WINDOW: Final = SOURCES // REPLACED
"""Refreshes that replace every source: the warm-up, and the window of each peak."""
WORLD: Final = {
    **PLAIN,
    "sources": SOURCES,
    "running_jobs_per_source": 75,  # few calls for many series
    "finished_jobs_per_source": 0,
    "failure_rate": 0,  # failed jobs would stay with their series
}
STEP_SECONDS: Final = 5.0
"""Simulated seconds between refreshes: 10 % of a source's jobs end during its life."""
EARLIER_SECONDS: Final = REFRESHES * STEP_SECONDS
EARLIER_SOURCES: Final = 1000
"""Age of the world and number of removed sources at the start.

So ids keep their number of digits during the run; in a young world they would grow, and every series with them.
"""


async def churn() -> dict[str, float]:
    """Return peak MiB at begin, middle and end."""
    async with child("simulator", **WORLD, speed=None, answers="stepped") as mms, ClientSession(mms.url) as control:
        settings, service = config(mms.url), Service(Telemetry())
        account, client = service.refresher(settings.accounts[0], settings)
        service.publisher._take_snapshot = lambda: _snapshot(account)  # noqa: SLF001 - no task of its own is to refresh
        held: list[float] = []
        await _age(control)
        freeze_startup_objects()
        for number in range(REFRESHES):
            await _advance(control, number)
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


async def _age(control: ClientSession) -> None:
    for number in range(EARLIER_SOURCES):
        await _replace(control, number)
    await _post(control, "clock", {"advance": EARLIER_SECONDS})


async def _advance(control: ClientSession, refresh: int) -> None:
    for number in range(REPLACED):
        await _replace(control, EARLIER_SOURCES + refresh * REPLACED + number)
    await _post(control, "clock", {"advance": STEP_SECONDS})


async def _replace(control: ClientSession, number: int) -> None:
    """Replace a source, numbered from 0, by a new one."""
    await _post(control, "events", {"type": "remove_source", "source_id": FIRST_SOURCE_ID + number})
    await _post(control, "events", {"type": "add_source"})


async def _post(control: ClientSession, name: str, body: dict[str, object]) -> None:
    async with control.post(f"{CONTROL}/{name}", json=body) as response:
        response.raise_for_status()


if __name__ == "__main__":
    limit_malloc_arenas()
    print(json.dumps(asyncio.run(churn())))
