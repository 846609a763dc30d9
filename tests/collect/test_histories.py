"""Successful refreshes are correct after any faults; three refreshes without faults succeed."""

import pytest

from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.collect.histories import History
from tests.conftest import IDENTITY

RANGES = [range(20, 40), *(range(first, first + 250) for first in range(1000, 3000, 250))]
LONG = [pytest.param(seeds, marks=pytest.mark.scale) for seeds in RANGES]


@pytest.mark.parametrize("seeds", [range(20), *LONG], ids=lambda seeds: f"{seeds.start}-{seeds.stop - 1}")
async def test_a_successful_refresh_equals_the_simulated_world(seeds: range) -> None:
    """Faults are lost, repeated and moved rows, wrong totals, smaller pages, errors and lags."""
    async with Simulator(World(WorldOptions(sources=0), clock=ManualClock()), identities=[IDENTITY]) as simulator:
        for seed in seeds:
            history = History(seed, simulator)
            try:
                await history.run()
            except AssertionError as error:
                error.add_note(f"seed {seed}, up to {history.wanted} names: {history.log}")
                raise
