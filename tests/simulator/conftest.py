"""A small paused world, the simulator that serves it, and a caller."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from exporter.simulator import ManualClock, Simulator, World, WorldOptions

from .caller import Caller


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def world(clock: ManualClock) -> World:
    return World(WorldOptions(sources=7, finished_jobs_per_source=12, stopped_share=0.5), clock=clock)


@pytest.fixture
async def simulator(world: World) -> AsyncIterator[Simulator]:
    async with Simulator(world) as served:
        yield served


@pytest.fixture
async def caller(simulator: Simulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(session, simulator.url)
