"""A refresh longer than its interval: overdue ones are skipped, and later ones are right."""

import asyncio
from collections.abc import Callable

import pytest

from exporter.simulator import Fault, ManualClock, Simulator, apply_event
from exporter.simulator.world import events
from tests.conftest import config_on
from tests.exposition_parser import Exposition
from tests.faults.stage import Series, domain
from tests.harness import Harness, harness_on

LEFT_OUT = ("mms_refresh_duration_seconds",)
"""Families about durations."""


@pytest.mark.virtual_time
async def test_refreshes_continue_correctly_after_a_skipped_one(simulator: Simulator, clock: ManualClock) -> None:
    """The first hangs until its timeout; the next sees what changed in the meantime."""
    config = config_on(simulator.url, {"timeout": "30s"}, refresh={"interval": "1s", "stale_after": "2s"})
    simulator.faults.add(Fault(kind="hang", operation="ListMmsDataSources", times=1))
    async with harness_on(config, asyncio.get_running_loop().time, wall=clock) as harness:
        running = asyncio.create_task(harness.refresher.run())
        async with asyncio.timeout(20):
            await until(lambda: skipped(harness) > 0)
            apply_event(simulator.world, events.Fail(source_id=2_000_001, table_ids=(1,)))
            await until(lambda: simulator.calls["ListMmsDataSources", None] == 4)
        served = await harness.served()
        running.cancel()
        await asyncio.wait({running})
    async with harness_on(config, clock) as healthy:
        assert figures(served) == figures(await healthy.refresh())


async def until(is_so: Callable[[], bool]) -> None:
    """Wait in loop time until `is_so`."""
    while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.25)


def skipped(harness: Harness) -> float:
    """Return the number of skipped refreshes."""
    return next(iter(harness.telemetry.calls.skipped.labels("test").collect())).samples[0].value


def figures(served: Exposition) -> dict[Series, float]:
    """Return the samples about MMS except durations."""
    return {key: value for key, value in domain(served).items() if key[0] not in LEFT_OUT}
