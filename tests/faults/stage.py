"""A small world whose figures all move, read with every collector on, in refreshes that are the same for all who read.

What is served where nothing goes wrong is the measure of what is served where something does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from exporter.exposition.families.metric_table import PARTS
from exporter.mms.models import UNFINISHED_JOB_STATUSES
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.harness import Harness, harness_on
from tests.reading import Exposition, Labels

FAULTY_SOURCE: Final = 2_000_001
"""The data source in which things go wrong; there is one more."""
STALE_AFTER: Final = 10.0
FEW_JOBS: Final = 2
MANY_JOBS: Final = 120
"""More than one page holds."""
STEPS: Final = (0.0, 5.0, 6.0, 1.0)
"""Seconds before each refresh: what the first alone has read is stale at the third."""
WORLD: Final = WorldOptions(
    sources=2,
    databases=1,
    tables=8,
    partitions=6,
    running_jobs_per_source=1,
    idle_share=0,
    stopped_share=1,
    incidents=False,
    job_seconds=24_000.0,
)
DOMAIN: Final = frozenset(family.name for part in PARTS for family in part.families)

Series = tuple[str, Labels]


@dataclass
class Stage:
    """One exporter on the simulated MMS, and how far the story is."""

    simulator: Simulator
    harness: Harness
    clock: ManualClock
    step: int = 0

    async def refresh(self) -> Exposition:
        """Have the story go on by one step, refresh, and return what is served then."""
        self.clock.advance(STEPS[self.step])
        for source_id in self.simulator.world.source_ids():
            move(self.simulator.world, source_id, self.step)
        self.step += 1
        return await self.harness.refresh()


def move(world: World, source_id: int, step: int) -> None:
    """Have one more table and one more partition of a source fail, and its job stop after the first step."""
    sound = [each.id for each in world.truth().partitions(source_id) if each.status != "FAILED"]
    apply_event(world, events.Fail(source_id=source_id, table_ids=(step + 1,), partition_ids=tuple(sound[-1:])))
    for job in world.truth().jobs(source_id) if step == 1 else ():
        if job.status in UNFINISHED_JOB_STATUSES and not job.stopped:
            apply_event(world, events.StopJob(source_id=source_id, job_id=job.id))


@asynccontextmanager
async def stage(timeout_seconds: float = 10.0, finished_jobs: int = FEW_JOBS) -> AsyncIterator[Stage]:
    """Provide a stage on which nothing was read yet, and each source has so many jobs that are DONE."""
    clock = ManualClock()
    world = World(replace(WORLD, finished_jobs_per_source=finished_jobs), clock=ManualClock())
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        # Few calls at a time, so that none comes near a short timeout for waiting its turn.
        account = {"timeout": f"{timeout_seconds * 1000:.0f}ms", "concurrency": 3}
        async with harness_on(config_on(simulator.url, account, **settings(world)), clock) as harness:
            yield Stage(simulator, harness, clock)


def settings(world: World) -> dict[str, Any]:
    """Return a configuration with every collector on; what is watched is the second table, and a partition in it."""
    found = {source_id: list(world.truth().partitions(source_id)) for source_id in world.source_ids()}
    partitions = {key: next(each.id for each in rows if each.table_id == 2) for key, rows in found.items()}
    return {
        "refresh": {"interval": "1s", "stale_after": f"{STALE_AFTER:g}s"},
        "tasks": {"enabled": True},
        "watch": {
            "tables": [{"source_id": key, "table_ids": [2]} for key in found],
            "partitions": [{"source_id": key, "partition_ids": [each]} for key, each in partitions.items()],
        },
    }


def domain(served: Exposition) -> dict[Series, float]:
    """Return every sample that tells of MMS, and of how it was read."""
    return {
        (name, labels): value
        for name, samples in served.samples.items()
        if name in DOMAIN
        for labels, value in samples.items()
    }
