"""Whatever happened and failed before, three quiet refreshes later all is right; and meanwhile nothing lies."""

import pytest

from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.collect.histories import History
from tests.conftest import IDENTITY

LONG = [pytest.param(range(first, first + 250), marks=pytest.mark.scale) for first in range(1000, 3000, 250)]


@pytest.mark.parametrize("seeds", [range(40), *LONG], ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
async def test_a_refresh_that_shows_no_trouble_shows_the_world(seeds: range) -> None:
    """Faults are lost, repeated and moved rows, wrong totals, other page sizes, and errors, on any page of any list."""
    async with Simulator(World(WorldOptions(sources=0), clock=ManualClock()), identities=[IDENTITY]) as simulator:
        for seed in seeds:
            history = History(seed, simulator)
            try:
                await history.run()
            except AssertionError as error:
                error.add_note(f"seed {seed}, up to {history.wanted} names: {history.log}")
                raise
