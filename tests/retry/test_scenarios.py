"""No unit is created twice and none is forgotten, whatever is killed, lost or late: random lives of a state folder."""

from pathlib import Path

import pytest

from tests.retry.scenarios import scenario_of

STEPS = 8
SCALE_SEEDS = range(1000, 1240)
PARTS = 6
"""Of the long form, for as many workers as there are."""


async def live(seeds: range, folder: Path) -> None:
    for seed in seeds:
        async with scenario_of(seed, folder / str(seed)) as scenario:
            for _ in range(STEPS):
                await scenario.step()
            await scenario.come_to_an_end()


async def test_nothing_is_created_twice_and_nothing_forgotten(tmp_path: Path) -> None:
    await live(range(8), tmp_path)


@pytest.mark.scale
@pytest.mark.parametrize("part", range(PARTS))
async def test_nothing_is_created_twice_in_hundreds_of_lives(tmp_path: Path, part: int) -> None:
    await live(SCALE_SEEDS[part::PARTS], tmp_path)
