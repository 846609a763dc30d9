"""One hour of the demo's world, recorded without waiting and loaded into a real Prometheus.

The world moves only between two refreshes, so a query at its end always has the same result.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.conftest import IDENTITY, config_on
from tests.harness import harness_on
from tests.programs import program, said
from tests.test_prometheus import prometheus_on

START: Final = 1_750_000_000.0
SCRAPES: Final = 7
SCRAPE_SECONDS: Final = 600.0
END: Final = START + (SCRAPES - 1) * SCRAPE_SECONDS
"""When the last scrape is; queries are evaluated at this time."""
_TARGET: Final = 'instance="localhost:10180",job="mms-exporter"'
_WATCH: Final = {
    "tables": [{"source": "hive-sales-001", "table_ids": [3, 23]}],
    "partitions": [{"source": "maxcompute-sales-003", "partition_ids": [599]}],
}
"""The demo does not watch anything and does not count tasks; the examples show both."""


async def pages(scrapes: int = SCRAPES) -> AsyncIterator[tuple[float, str]]:
    """Yield the time of each scrape, and what the exporter serves then."""
    clock = ManualClock(START)
    async with Simulator(World(WorldOptions(timers=1), clock=clock), identities=[IDENTITY]) as simulator:
        config = config_on(simulator.url, {"name": "demo"}, tasks={"enabled": True}, watch=_WATCH)
        async with harness_on(config, clock) as harness:
            for _ in range(scrapes):
                await harness.refresh()
                yield clock(), harness.publisher.body("text", gzip=False).decode()
                clock.advance(SCRAPE_SECONDS)


def timestamped(page: str, at: float) -> Iterator[str]:
    """Yield the samples of a page with a timestamp and the labels of its target."""
    yield f"up{{{_TARGET}}} 1 {at:.0f}"
    for line in page.splitlines():
        if line and not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            name, brace, labels = series.partition("{")
            yield f"{name}{{{_TARGET}{',' + labels if brace else '}'} {value} {at:.0f}"


@asynccontextmanager
async def prometheus_with_the_demo(folder: Path) -> AsyncIterator[str]:
    """Provide the URL of a Prometheus that holds the recording."""
    samples = [line async for at, page in pages() for line in timestamped(page, at)]
    file = folder / "recording.om"
    file.write_text("\n".join((*samples, "# EOF", "")), encoding="utf-8")
    command = (program("PROMTOOL"), "tsdb", "create-blocks-from", "openmetrics", file, folder / "data")
    code, output = await asyncio.to_thread(said, *command)
    assert code == 0, output
    async with prometheus_on("localhost:1", folder, keeps="100y") as (url, _):
        yield url
