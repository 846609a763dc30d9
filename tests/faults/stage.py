"""A small world in which all values change, and an exporter with all collectors on it. Refreshes are deterministic.

Tests compare the output with faults to the output without.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from exporter.exposition.families.metric_table import METRIC_GROUPS
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES
from exporter.simulator import ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition, Labels
from tests.harness import Harness, harness_on

FAULTY_SOURCE: Final = 2_000_001
"""The data source with faults; there is one more."""
STALE_AFTER: Final = 10.0
FEW_JOBS: Final = 2
MANY_JOBS: Final = 101
"""More than one page."""
STEPS: Final = (0.0, 5.0, 6.0, 1.0)
"""Seconds before each refresh: values read only by the first are stale at the third."""
WORLD: Final = WorldOptions(
    sources=2,
    databases=2,
    tables=8,
    partitions=6,
    running_jobs_per_source=1,
    idle_share=0,
    stopped_share=1,
    incidents=False,
    job_seconds=24_000.0,
)
DOMAIN: Final = frozenset(family.name for part in METRIC_GROUPS for family in part.families)

Series = tuple[str, Labels]


@dataclass
class Stage:
    """An exporter on a simulated MMS, and its step."""

    simulator: Simulator
    harness: Harness
    clock: ManualClock
    step: int = 0

    async def refresh(self) -> Exposition:
        """Advance the scenario one step, refresh, and return the output."""
        self.clock.advance(STEPS[self.step])
        for source_id in self.simulator.world.source_ids():
            move(self.simulator.world, source_id, self.step)
        self.step += 1
        return await self.harness.refresh()


def move(world: World, source_id: int, step: int) -> None:
    """Fail a table and a partition; step 1 stops jobs."""
    sound = [each.id for each in world.truth().partitions(source_id) if each.status != "FAILED"]
    apply_event(world, events.Fail(source_id=source_id, table_ids=(step + 1,), partition_ids=tuple(sound[-1:])))
    for job in world.truth().jobs(source_id) if step == 1 else ():
        if job.status in UNFINISHED_JOB_STATUSES and not job.stopped:
            apply_event(world, events.StopJob(source_id=source_id, job_id=job.id))


@asynccontextmanager
async def stage(
    timeout_seconds: float = 10.0,
    finished_jobs: int = FEW_JOBS,
    *,
    has_tasks: bool = True,
    has_reasons: bool = False,
) -> AsyncIterator[Stage]:
    """Provide a stage before its first refresh.

    Each source has `finished_jobs` DONE jobs.
    """
    clock = ManualClock()
    failure_rate = 0.5 if has_reasons else WORLD.failure_rate
    options = replace(WORLD, finished_jobs_per_source=finished_jobs, failure_rate=failure_rate)
    world = World(options, clock=ManualClock())
    if has_reasons:
        fail_what_tasks_failed(world)
    async with Simulator(world, identities=[IDENTITY]) as simulator:
        # Low concurrency, so that waiting for a slot does not exceed a short timeout.
        account = {"timeout": f"{timeout_seconds * 1000:.0f}ms", "concurrency": 3}
        async with harness_on(
            config_on(simulator.url, account, **settings(world, has_tasks=has_tasks, has_reasons=has_reasons)), clock
        ) as harness:
            yield Stage(simulator, harness, clock)


def fail_what_tasks_failed(world: World) -> None:
    """Fail a partition of each table with a failed task: only tasks of what is FAILED have reasons."""
    for source_id in world.source_ids():
        tables = {task.table_id for task in world.truth().tasks(source_id) if (task.status or "").endswith("_FAILED")}
        units = {each.table_id: each.id for each in world.truth().partitions(source_id) if each.table_id in tables}
        apply_event(world, events.Fail(source_id=source_id, table_ids=(), partition_ids=tuple(units.values())))


def settings(world: World, *, has_tasks: bool, has_reasons: bool) -> dict[str, Any]:
    """Return a configuration with all collectors.

    Without reasons, because they read ListMmsTasks like the tasks, and a log only once.

    The second table and one of its partitions are watched.
    """
    found = {source_id: list(world.truth().partitions(source_id)) for source_id in world.source_ids()}
    partitions = {key: next(each.id for each in rows if each.table_id == 2) for key, rows in found.items()}
    return {
        "refresh": {"interval": "1s", "stale_after": f"{STALE_AFTER:g}s"},
        "failures": {"reasons": {"enabled": has_reasons}},
        "tasks": {"enabled": has_tasks},
        "watch": {
            "tables": [{"source_id": key, "table_ids": [2]} for key in found],
            "partitions": [{"source_id": key, "partition_ids": [each]} for key, each in partitions.items()],
        },
    }


def domain(served: Exposition) -> dict[Series, float]:
    """Return all samples about MMS and its refreshes."""
    # Whether a failed job is resolved depends on four operations and on when each was read, so a fault can delay it;
    # tests/collect/test_accuracy.py shows that faults never make it wrong.
    return {
        (name, labels): value
        for name, samples in served.samples.items()
        if name in DOMAIN - {"mms_job_unresolved"}
        for labels, value in samples.items()
    }
