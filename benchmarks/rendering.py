"""Cost of a full rendering, and of renderings after refreshes with few or no changes.

Every refresh updates the last-success time of each data source, so these series always change.
"""

from typing import Final

from prometheus_client import generate_latest

from benchmarks.figures import Bound, Figure
from benchmarks.timing import ROUNDS, timed
from benchmarks.worlds import refreshes, registry, snapshot
from exporter.exposition.rendering import Renderer

SOURCES: Final = 1000
NEIGHBOURS: Final = range(10)
"""1 % of the sources, adjacent."""
SPREAD: Final = range(0, SOURCES, 100)
"""1 % of the sources, evenly spread, so that each recompresses a different block."""
NONE: Final = range(0)


async def figures() -> list[Figure]:
    """Return the figures of renderings of 100,000 series."""
    held = snapshot(SOURCES)
    peer, renderer = registry(held), Renderer()
    renderer.render(held)
    after = iter(refreshes(held, [NEIGHBOURS, SPREAD, NONE] * ROUNDS))

    def next_refresh() -> None:
        renderer.render(next(after))

    whole, theirs, neighbours, spread, none = timed(
        lambda: Renderer().render(held), lambda: generate_latest(peer), next_refresh, next_refresh, next_refresh
    )
    return [
        Figure(
            what="full rendering: both formats, plain and gzip",
            value=whole,
            beside="generate_latest, one format, plain",
            beside_value=theirs,
            bound=Bound("at least", 5),
        ),
        Figure(
            what="rendering after a refresh, 1 % of the sources changed, adjacent",
            value=neighbours,
            beside="full rendering",
            beside_value=whole,
            bound=Bound("at least", 10),
        ),
        Figure(
            what="rendering after a refresh, 1 % of the sources changed, evenly spread",
            value=spread,
            beside="full rendering",
            beside_value=whole,
            bound=Bound("at least", 10),
        ),
        Figure(
            what="rendering after a refresh, no source changed", value=none, beside="full rendering", beside_value=whole
        ),
    ]
