"""Cost of 1,000 to 1,000,000 series, and a refresh of 10,000 data sources."""

import json
import sys
import time
from typing import Any, Final

from benchmarks.children import child, report_of
from benchmarks.figures import Bound, Figure
from benchmarks.machine import resident_mebibytes
from benchmarks.scraping import REQUESTS, Scraper, until_ready
from benchmarks.settings import HUNDRED_THOUSAND
from benchmarks.timing import timed
from benchmarks.worlds import refreshes, snapshot
from exporter.exposition.rendering import Renderer

SIZES: Final = (10, 32, 100, 320, 1000, 3200, 10_000)
"""Data sources with 100 series each."""
MANY_SOURCES: Final = 10_000
ROUNDS: Final = 3


async def points() -> list[dict[str, float]]:
    """Return the cost of each size."""
    return [await report_of("benchmarks.growth", str(sources)) for sources in SIZES]


async def figures() -> list[Figure]:
    """Return the cost of 1,000,000 series of 10,000 data sources."""
    world = {**HUNDRED_THOUSAND, "sources": MANY_SOURCES, "tables": 8}
    options = {"interval": "1h", "stale_after": "1h", "watched": True}
    async with child("simulator", **world) as mms, child("exporter", endpoint=mms.url, **options) as ours:
        started = time.perf_counter()
        await until_ready(ours.url)
        seconds, scraper = time.perf_counter() - started, Scraper(ours.port)
        spent = [(request, min(scraper.milliseconds(request) for _ in range(ROUNDS))) for request in REQUESTS]
        scraper.close()
        resident = resident_mebibytes(ours.process.pid)
        held = json.loads(await ours.terminate())["stall"]
    what = "1,000,000 series of 10,000 data sources"
    return [
        Figure(what=f"{what}: start to the first complete exposition", value=seconds, unit="s"),
        Figure(what=f"{what}: resident memory", value=resident, unit="MiB"),
        Figure(what=f"{what}: longest event loop stall", value=held, bound=Bound("at most", 20, of="value")),
        *(Figure(what=f"{what}: scrape, {request}", value=value) for request, value in spent),
    ]


def _point(sources: int) -> dict[str, Any]:
    """Return the cost of `sources` in ms and MiB."""
    empty = resident_mebibytes()
    held = snapshot(sources)
    renderer = Renderer()
    page = renderer.render(held)
    resident = resident_mebibytes() - empty
    after = iter(refreshes(held, [range(sources // 100)] * ROUNDS))
    whole, part = timed(lambda: Renderer().render(held), lambda: renderer.render(next(after)), rounds=ROUNDS)
    compressed = len(page.deflated.data)
    return {"series": page.series, "whole": whole, "part": part, "resident": resident, "compressed": compressed / 2**20}


if __name__ == "__main__":
    print(json.dumps(_point(int(sys.argv[1]))))
