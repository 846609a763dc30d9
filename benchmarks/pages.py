"""Cost of the status page, compared with that of the metrics."""

import statistics
import time
from functools import partial
from itertools import count

import msgspec

from benchmarks.figures import Figure
from benchmarks.timing import ROUNDS, timed
from benchmarks.worlds import snapshot
from exporter.exposition.rendering import Renderer
from exporter.web.document_cache import CachedDocument
from exporter.web.status.page import page
from exporter.web.status.status_report import Load, StatusInput

SOURCES = 1000


async def figures() -> list[Figure]:
    """Return the cost of page and JSON, uncached and cached."""
    held = snapshot(SOURCES)
    number = count()

    def status_input() -> StatusInput:
        return StatusInput(held, next(number), 1.75e9, 1.75e9, Load(1.75e9, is_current=True), ())

    same = status_input()
    found = []
    for name, render in (("page", partial(page, telemetry_path="/metrics")), ("JSON", msgspec.json.encode)):
        uncached, cached = CachedDocument(status_input, render), CachedDocument(lambda: same, render)
        await cached.current()
        first, whole = await _milliseconds(uncached), timed(lambda: Renderer().render(held))[0]
        found.append(
            Figure(
                what=f"status {name}, first request after a publication",
                value=first,
                beside="full rendering",
                beside_value=whole,
            )
        )
        found.append(Figure(what=f"status {name}, cached", value=await _milliseconds(cached)))
    return found


async def _milliseconds(document: CachedDocument) -> float:
    """Return the median time of `document.current()`."""
    spent: list[float] = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        await document.current()
        spent.append((time.perf_counter() - started) * 1000)
    return statistics.median(spent)
