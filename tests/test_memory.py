"""What is held does not grow with what has been: counted in objects, since bytes also hold caches that fill up."""

import gc
import tracemalloc
from collections import Counter

import msgspec
import pytest

from exporter.collect.snapshot import (
    DatabasesStats,
    FailedUnit,
    FailedUnits,
    FailuresStats,
    JobsStats,
    JobTasks,
    SourceName,
    SourceSnapshot,
    SourceStats,
    TasksStats,
)
from exporter.collect.state.source_state import SourceState
from exporter.mms import transport
from exporter.mms.models.api_record import ApiRecord
from exporter.mms.models.records import Database, DataSource, Job, Partition, Table
from exporter.mms.models.task_records import Task
from exporter.simulator import Fault, ManualClock, Simulator, World, WorldOptions, apply_event
from exporter.simulator.world import events
from exporter.simulator.world.source_spec import FIRST_SOURCE_ID
from tests.conftest import IDENTITY, config_on
from tests.harness import Harness, harness_on

SOURCES = 4
REFRESHES = 100
MINUTE = 60.0


async def test_refreshes_with_churn_hold_what_is_there_now(clock: ManualClock) -> None:
    """With each refresh a data source goes and another one comes, and jobs end and begin."""
    options = WorldOptions(sources=SOURCES, tables=4, partitions=2, finished_jobs_per_source=2, special_sources=False)
    async with (
        Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        held = []
        for number in range(REFRESHES):
            apply_event(simulator.world, events.RemoveSource(source_id=FIRST_SOURCE_ID + number))
            apply_event(simulator.world, events.AddSource())
            clock.advance(MINUTE)
            await harness.refresh()
            if number >= REFRESHES // 10:
                held.append(held_by(harness))
    assert max(held[-10:]) <= max(held[:-10])


def held_by(harness: Harness) -> tuple[int, int]:
    """Return how many sources are remembered, and how many parts are kept rendered."""
    batches = (batch for renderer in harness.publisher._renderer._groups for batch in renderer._batches)  # noqa: SLF001 - held inside
    kept = sum(len(batch.parts) for batch in batches)
    return len(harness.refresher._sources.by_id), kept  # noqa: SLF001 - likewise


async def test_no_record_of_a_refresh_is_left_behind(clock: ManualClock) -> None:
    options = WorldOptions(sources=SOURCES, tables=4, partitions=2, finished_jobs_per_source=2, special_sources=False)
    async with (
        Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url), clock) as harness,
    ):
        await harness.refresh()
        await harness.refresh()
        before = collected_objects()
        for _ in range(5):
            await harness.refresh()
        assert collected_objects() == before


def collected_objects() -> Counter[str]:
    """Return how many objects of the collectors' own there are, by type."""
    gc.collect()
    kinds = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith("exporter.collect"))


@pytest.mark.parametrize("kind", [Database, DataSource, Job, Partition, Table, Task], ids=lambda kind: kind.__name__)
def test_the_garbage_collector_leaves_records_alone(kind: type[ApiRecord]) -> None:
    """Else it would hold up every thread for as long as it takes to look at a hundred thousand of them."""
    assert not gc.is_tracked(msgspec.convert({"id": 1}, kind))


def test_the_garbage_collector_leaves_figures_alone() -> None:
    name = SourceName("account", 1, "source")
    stats = SourceStats(name, msgspec.convert({"id": 1}, DataSource), None, None)
    failures = FailuresStats(name, FailedUnits((FailedUnit("db", "table", None, None, None, None),), 1), None)
    jobs = JobsStats(name, {"DONE": 1}, 0, (), 0)
    tasks = TasksStats(name, {"DONE": 1}, (JobTasks(1, "job", {"DONE": 1}, 0),))
    databases = DatabasesStats(name, (msgspec.convert({"id": 1}, Database),), 1)
    whole = SourceSnapshot(name, stats, jobs, True, None, failures, databases, tasks)
    state = SourceState(stats, 0.0)
    kept = (state, *(value for each in state.parts for value in (each, each.state)))
    parts = (name, stats, failures, failures.tables, jobs, databases, tasks, tasks.jobs[0], whole, *kept)
    assert not any(map(gc.is_tracked, parts))


async def test_what_failed_does_not_hold_the_answers_it_came_of(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of sixty sources whose answers are too large, those are held that are being read."""
    most = 256 * 1024
    monkeypatch.setattr(transport, "MAX_RESPONSE_BYTES", most)
    options = WorldOptions(sources=60, databases=1, tables=2, partitions=1, special_sources=False, idle_share=0)
    async with (
        Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, {"concurrency": 4}), clock) as harness,
    ):
        await harness.refresh()
        simulator.faults.add(Fault(kind="huge", operation="ListMmsJobs", size=2 * most))
        tracemalloc.start()
        try:
            served = await harness.refresh()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {0}
    assert peak < 20 * most


async def test_nothing_of_an_answer_that_is_too_large_waits_for_a_collection_of_garbage(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where several calls fail for one source, their errors hold each other, and the frames that they came through."""
    most = 256 * 1024
    monkeypatch.setattr(transport, "MAX_RESPONSE_BYTES", most)
    options = WorldOptions(sources=10, databases=1, tables=2, partitions=1, special_sources=False, idle_share=0)
    async with (
        Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, tasks={"enabled": True}), clock) as harness,
    ):
        await harness.refresh()
        simulator.faults.add(Fault(kind="huge", operation="ListMmsTasks", size=2 * most))
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            await harness.refresh()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
            gc.enable()
    assert held < 4 * most
