"""No unit is created twice or forgotten, in random scenarios with kills, lost answers and lags."""

from pathlib import Path

import pytest

from tests.retry.scenarios import scenario_of

STEPS = 8
SCALE_SEEDS = range(1000, 1240)
PARTS = 6
"""Parallel parts of the long form."""


async def run_scenarios(seeds: range, folder: Path) -> None:
    for seed in seeds:
        async with scenario_of(seed, folder / str(seed)) as scenario:
            for _ in range(STEPS):
                await scenario.step()
            await scenario.finish()


async def test_no_unit_is_created_twice_or_forgotten(tmp_path: Path) -> None:
    await run_scenarios(range(8), tmp_path)


@pytest.mark.scale
@pytest.mark.parametrize("part", range(PARTS))
async def test_no_unit_is_created_twice_in_hundreds_of_scenarios(tmp_path: Path, part: int) -> None:
    await run_scenarios(SCALE_SEEDS[part::PARTS], tmp_path)
