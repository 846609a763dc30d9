"""What a page costs: whole, and after refreshes that found little changed, or nothing.

Every refresh moves the time at which each data source was last read, so that these series change in any case.
"""

from prometheus_client import generate_latest

from benchmarks.figures import Bound, Figure
from benchmarks.turns import ROUNDS, timed
from benchmarks.worlds import refreshes, registry, snapshot
from exporter.exposition.rendering import Renderer

SOURCES = 1000


async def figures() -> list[Figure]:
    """Return the figures of renderings of 100,000 series."""
    held = snapshot(SOURCES)
    peer, renderer = registry(held), Renderer()
    renderer.render(held)
    after = iter(refreshes(held, [0.01, 0.0] * ROUNDS))

    def next_refresh() -> None:
        renderer.render(next(after))

    whole, theirs, part, none = timed(
        lambda: Renderer().render(held), lambda: generate_latest(peer), next_refresh, next_refresh
    )
    return [
        Figure(
            what="rendering, whole: both formats, plain and compressed",
            value=whole,
            beside="generate_latest, one format, plain",
            beside_value=theirs,
            bound=Bound("at least", 5),
        ),
        Figure(
            what="rendering after a refresh, 1 % of the sources changed, and the last success of all",
            value=part,
            beside="whole",
            beside_value=whole,
            bound=Bound("at least", 10),
        ),
        Figure(
            what="rendering after a refresh, only the last success of all sources changed",
            value=none,
            beside="whole",
            beside_value=whole,
        ),
    ]
