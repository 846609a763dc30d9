"""What a page costs: whole, after a small change, and when nothing changed."""

from prometheus_client import generate_latest

from benchmarks.figures import Bound, Figure
from benchmarks.turns import timed
from benchmarks.worlds import changed, registry, snapshot
from exporter.exposition.rendering import Renderer

SOURCES = 1000


async def figures() -> list[Figure]:
    """Return the figures of renderings of 100,000 series."""
    held = snapshot(SOURCES)
    moved, peer = changed(held, 0.01), registry(held)
    renderer = Renderer()
    renderer.render(held)
    states = [held, moved]

    def next_state() -> None:
        states.reverse()
        renderer.render(states[0])

    def same_state() -> None:
        renderer.render(states[0])

    whole, theirs, part, none = timed(
        lambda: Renderer().render(held), lambda: generate_latest(peer), next_state, same_state
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
            what="rendering, 1 % of the sources changed",
            value=part,
            beside="whole",
            beside_value=whole,
            bound=Bound("at least", 10),
        ),
        Figure(what="rendering, nothing changed", value=none, beside="whole", beside_value=whole),
    ]
