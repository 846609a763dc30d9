"""Scrapes during refreshes and renderings of 100,000 series, and the event loop stalls meanwhile."""

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.children import child
from benchmarks.figures import Bound, Figure
from benchmarks.scraping import Request, Scraper, bodies_file, until_ready
from benchmarks.settings import HUNDRED_THOUSAND
from benchmarks.timing import percentile

SECONDS: Final = 40.0
INTERVAL: Final = "1s"
"""Short enough that refreshes run back to back."""
PAUSE_SECONDS: Final = 0.05
SPEED: Final = 3.0
"""All values change with each refresh, but few jobs end: finished jobs would add series."""
REQUEST: Final = Request("openmetrics", is_gzip=True)
"""Format that Prometheus requests."""


async def figures() -> list[Figure]:
    """Return scrape durations and loop stalls, including the first refresh."""
    world = {
        **HUNDRED_THOUSAND,
        "speed": SPEED,
        "nice": 19,
    }  # MMS runs elsewhere in production, so it must not take CPU time from the exporter.
    options = {"interval": INTERVAL, "stale_after": "10m", "watched": True}
    with tempfile.TemporaryDirectory() as folder:
        async with child("simulator", **world) as mms, child("exporter", endpoint=mms.url, **options) as ours:
            await until_ready(ours.url)
            file = str(await bodies_file(ours.url, Path(folder)))
            async with child("constant", file=file) as constant:
                spent, idle = await asyncio.to_thread(_scrapes, ours.port, constant.port)
            held = json.loads(await ours.terminate())
    return [
        Figure(
            what="scrape during refreshes, 99th percentile",
            value=percentile(spent, 0.99),
            beside="idle process",
            beside_value=percentile(idle, 0.99),
            bound=Bound("at most", 25, of="value"),
        ),
        Figure(
            what="scrape during refreshes, median",
            value=percentile(spent, 0.5),
            beside="idle process",
            beside_value=percentile(idle, 0.5),
        ),
        Figure(
            what="longest event loop stall",
            value=held["stall"],
            beside="including CPU wait",
            beside_value=held["late"],
            bound=Bound("at most", 20, of="value"),
        ),
    ]


def _scrapes(port: int, idle_port: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of alternating scrapes of both."""
    ours, idle = Scraper(port), Scraper(idle_port)
    spent: tuple[list[float], list[float]] = ([], [])
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends:
        for scraper, each in zip((ours, idle), spent, strict=True):
            each.append(scraper.milliseconds(REQUEST))
            time.sleep(PAUSE_SECONDS)
    ours.close()
    idle.close()
    return spent
