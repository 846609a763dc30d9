"""Memory of 100,000 series, and its growth over 1,000 refreshes with churn."""

import asyncio
import json
import time
from typing import Final

from benchmarks.children import child, report_of
from benchmarks.figures import Bound, Figure
from benchmarks.machine import resident_mebibytes
from benchmarks.scraping import REQUESTS, Scraper, series_of, until_ready
from benchmarks.settings import HUNDRED_THOUSAND

SOURCES: Final = 860
"""Gives 100,000 series with those of jobs that finish during the run."""
SETTLE_SECONDS: Final = 60.0
"""Enough for several refreshes and renderings with all values changed."""


async def figures() -> list[Figure]:
    """Return resident memory and its growth."""
    options = {"interval": "1s", "stale_after": "10m"}
    world = {**HUNDRED_THOUSAND, "sources": SOURCES, "speed": 3}
    async with child("simulator", **world) as mms, child("exporter", endpoint=mms.url, **options) as ours:
        await until_ready(ours.url)
        await asyncio.to_thread(_scrape, ours.port)
        resident, series = resident_mebibytes(ours.process.pid), await series_of(ours.url)
    churned = await report_of("benchmarks.churn")
    grown = f"resident memory, {churned['series']:,} series, after {churned['refreshes']:,} refreshes with churn"
    return [
        Figure(
            what=f"resident memory, {series:,} series, after 1 minute of refreshes and scrapes",
            value=resident,
            unit="MiB",
            bound=Bound("at most", 200, of="value"),
        ),
        Figure(
            what=grown,
            value=churned["end"],
            unit="MiB",
            beside=f"after a warm-up of {churned['warm_up']}",
            beside_value=churned["begin"],
            bound=Bound("at most", 1.02),
        ),
        Figure(
            what=grown,
            value=churned["end"],
            unit="MiB",
            beside="after half of the refreshes",
            beside_value=churned["middle"],
        ),
    ]


def _scrape(port: int) -> None:
    scraper, ends = Scraper(port), time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < ends:
        for request in REQUESTS:
            scraper.milliseconds(request)
        time.sleep(1)
    scraper.close()


if __name__ == "__main__":
    print(json.dumps([each.cells() for each in asyncio.run(figures())], indent=1))
