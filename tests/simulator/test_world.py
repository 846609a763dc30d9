"""The world is consistent at every moment, deterministic by seed, always moving, and small in memory."""

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from exporter.mms.models import records, statuses
from exporter.mms.models.api_record import record_from
from exporter.simulator import ManualClock, World, WorldOptions, apply_event
from exporter.simulator.api import creation, lists, rows
from exporter.simulator.api.pages import Tweaks
from exporter.simulator.world import events
from exporter.simulator.world.source import Site
from exporter.simulator.world.world import ScaledClock

SHAPES = {
    "the demo": WorldOptions(),
    "one lane": WorldOptions(seed=5, sources=2, running_jobs_per_source=1, tables=8, incidents=False),
    "many lanes": WorldOptions(seed=7, sources=3, running_jobs_per_source=6, tables=10, failure_rate=0.3),
    "no partitions": WorldOptions(seed=9, sources=3, partitions=0),
    "no history": WorldOptions(seed=11, sources=3, finished_jobs_per_source=0, databases=1),
    "an end": WorldOptions(seed=13, sources=3, waves=1, job_seconds=300),
}


def _served(world: World, site: Site) -> records.DataSource:
    """Return a source's row as it is served."""
    return record_from(rows.data_source(site, world.at(site)), records.DataSource)


def _assert_counters_agree(world: World) -> None:
    truth = world.truth()
    for site in world.sites():
        at = world.at(site)
        assert _served(world, site) == truth.data_source(site.id)
        databases = [record_from(row, records.Database) for row in rows.databases(site, at)]
        assert databases == [*truth.databases(site.id)]
        for table in truth.tables(site.id):
            assert record_from(rows.table(site, table.id, at), records.Table) == table
        jobs = list(truth.jobs(site.id))
        for job in jobs:
            found = site.job_store.find(job.id, at)
            assert found is not None
            assert record_from(rows.job(site, found, at), records.Job) == job
        counts = Counter[str | None](job.status for job in jobs)
        assert site.job_store.count(at) == len(jobs)
        assert site.job_store.count_failed(at) == counts["FAILED"]
        assert len(site.job_store.unfinished(at)) == counts["INIT"] + counts["DOING"]


@pytest.mark.parametrize("moments", [4, pytest.param(12, marks=pytest.mark.scale)])
@pytest.mark.parametrize("shape", SHAPES)
def test_counters_equal_ground_truth(shape: str, moments: int) -> None:
    """Source rows with tables and partitions, tables with partitions, jobs with tasks."""
    clock = ManualClock()
    world = World(SHAPES[shape], clock=clock)
    for _ in range(moments):
        _assert_counters_agree(world)
        clock.advance(10_940 / moments)


def test_counters_equal_ground_truth_after_all_events() -> None:
    clock = ManualClock()
    options = WorldOptions(seed=3, sources=3, special_sources=False, idle_share=0, retry_failure_rate=0.5)
    world = World(options, clock=clock)
    first, second, third = world.sites()
    for site in (first, second, third):
        for database in ("sales", "finance", "logs"):
            creation.create(site, world.at(site), msgspec.json.encode({"srcDbName": database}))
        _assert_counters_agree(world)
    running = first.job_store.unfinished(world.at(first))
    for event in (
        events.Fail(source_id=first.id, share=0.1),
        events.Fail(source_id=second.id, table_ids=(1, 2), partition_ids=(second.partition_id(21, 0),)),
        events.StopJob(source_id=first.id, job_id=next(job.id for job in running if job.stopped_at is None)),
        events.Stall(source_id=second.id),
        events.SetAgent(source_id=third.id, online=False),
    ):
        apply_event(world, event)
        _assert_counters_agree(world)
    clock.advance(500)
    apply_event(world, events.Stall(source_id=second.id, stalled=False))
    apply_event(world, events.SetAgent(source_id=third.id, online=True))
    apply_event(world, events.RemoveSource(source_id=first.id))
    added = apply_event(world, events.AddSource(name="new"))
    for _ in range(8):
        _assert_counters_agree(world)
        clock.advance(617.3)
    assert world.source_ids() == [second.id, third.id, added]


def test_done_units_stay_done_despite_later_plans() -> None:
    """A created job takes tables of a wave away from the jobs planned for them."""
    clock = ManualClock()
    options = WorldOptions(sources=1, special_sources=False, incidents=False, tables=80, running_jobs_per_source=1)
    world = World(options, clock=clock)
    site = world.site(2000001)
    for database in ("sales", "finance", "logs"):
        creation.create(site, world.at(site), msgspec.json.encode({"srcDbName": database}))
    clock.advance(options.job_seconds + options.async_task_seconds)
    done = {row.id for row in world.truth().partitions(site.id) if row.status == "DONE"}
    for _ in range(8):
        clock.advance(1250)
        _assert_counters_agree(world)
        assert done <= {row.id for row in world.truth().partitions(site.id) if row.status == "DONE"}


def test_a_stopped_job_that_would_have_failed_is_not_counted_as_failed() -> None:
    clock = ManualClock()
    world = World(WorldOptions(sources=1, special_sources=False, failure_rate=1, incidents=False), clock=clock)
    site = world.site(2000001)
    for job in site.job_store.unfinished(world.at(site)):
        if job.stopped_at is None:
            apply_event(world, events.StopJob(source_id=site.id, job_id=job.id))
    clock.advance(10_000)
    _assert_counters_agree(world)


def test_few_databases_hold_most_bytes() -> None:
    options = WorldOptions(sources=1, databases=100, tables=400, special_sources=False)
    sizes = sorted(row.size or 0 for row in World(options, clock=ManualClock()).truth().databases(2000001))
    assert sum(sizes[-20:]) > 0.5 * sum(sizes), "a fifth of them holds more than half"
    assert sizes[-1] > 10 * sizes[50], "the largest against the median"


def test_a_table_is_as_large_as_its_partitions() -> None:
    truth = World(WorldOptions(sources=1, special_sources=False), clock=ManualClock()).truth()
    for table in truth.tables(2000001):
        parts = [row for row in truth.partitions(2000001) if row.table_id == table.id]
        if parts:
            assert table.size == sum(row.size or 0 for row in parts)
            assert table.num_rows == sum(row.num_rows or 0 for row in parts)
            assert table.size != table.num_rows


def _story(options: WorldOptions) -> list[Any]:
    clock = ManualClock()
    world, history = World(options, clock=clock), []
    for _ in range(5):
        truth = world.truth()
        history.append((truth.data_sources(), [list(truth.jobs(source_id)) for source_id in world.source_ids()]))
        clock.advance(1234.5)
    return history


def test_a_seed_determines_the_world() -> None:
    assert _story(WorldOptions(sources=4)) == _story(WorldOptions(sources=4))


def test_another_seed_gives_another_world() -> None:
    assert _story(WorldOptions(sources=4)) != _story(WorldOptions(sources=4, seed=2))


def test_earlier_reads_do_not_change_the_world() -> None:
    """Two worlds agree at a time, though only one was read before."""
    clocks = ManualClock(), ManualClock()
    watched, unseen = (World(WorldOptions(sources=4), clock=clock) for clock in clocks)
    for _ in range(5):
        watched.truth().data_sources()
        clocks[0].advance(1000)
    clocks[1].advance(5000)
    assert watched.truth().data_sources() == unseen.truth().data_sources()


def test_the_world_is_static_with_a_stopped_clock() -> None:
    world = World(clock=ManualClock())
    assert world.truth().data_sources() == world.truth().data_sources()


def test_a_scaled_clock_runs_at_its_speed() -> None:
    machine = ManualClock(10.0)
    clock = ScaledClock(1000.0, 60.0, monotonic=machine)
    machine.advance(2.5)
    assert clock() == 1150.0


def test_each_ended_job_is_followed_by_the_next() -> None:
    """The number of unfinished jobs that are not stopped stays constant."""
    clock = ManualClock()
    options = WorldOptions(sources=3, running_jobs_per_source=4, idle_share=0, special_sources=False)
    world = World(options, clock=clock)
    for _ in range(200):
        for site in world.sites():
            at = world.at(site)
            assert sum(not job.stopped(at.moment) for job in site.job_store.unfinished(at)) == 4
        clock.advance(97.0)


def test_the_start_has_the_configured_number_of_finished_jobs() -> None:
    options = WorldOptions(sources=8, finished_jobs_per_source=30, special_sources=False, idle_share=0.25)
    truth = World(options, clock=ManualClock()).truth()
    for source_id in truth.data_sources():
        assert sum(job.status in {"DONE", "FAILED"} for job in truth.jobs(source_id)) == 30


def test_the_idle_share_is_exact_and_an_idle_source_never_changes() -> None:
    clock = ManualClock()
    world = World(WorldOptions(sources=10, idle_share=0.3, special_sources=False), clock=clock)
    before = world.truth().data_sources()
    clock.advance(5 * 3600)
    after = world.truth().data_sources()
    assert sum(before[source_id] == after[source_id] for source_id in before) == 3


def test_an_active_source_always_changes() -> None:
    """Over a day, every 30 minutes bring changes and new tables."""
    clock = ManualClock()
    world = World(WorldOptions(sources=1, special_sources=False, incidents=False), clock=clock)
    site = world.site(2000001)
    history = []
    for _ in range(48):
        history.append(_served(world, site))
        clock.advance(1800)
    assert all(before != after for before, after in pairwise(history))
    assert history[-1].table_num > history[24].table_num > history[0].table_num  # type: ignore[operator] # they are numbers


def test_a_finite_migration_ends() -> None:
    clock = ManualClock()
    options = WorldOptions(
        sources=1, special_sources=False, waves=1, failure_rate=0, untouched_share=0, stopped_share=0
    )
    world = World(options, clock=clock)
    clock.advance(7 * 86400)
    row = world.truth().data_source(2000001)
    assert (row.tables_done_num, row.partitions_done_num) == (row.table_num, row.partition_num)
    assert row.scan_status == "DONE"
    assert world.site(2000001).job_store.unfinished(world.at(world.site(2000001))) == []


def test_every_status_appears_within_minutes_of_the_demo() -> None:
    """4 minutes at 60 times real speed are 4 simulated hours."""
    clock = ManualClock()
    world = World(clock=clock)
    seen: dict[str, set[str | None]] = {
        "source": set(),
        "scan": set(),
        "job": set(),
        "table": set(),
        "partition": set(),
    }
    tasks, agents = set[str](), Counter[tuple[int, bool]]()
    for minute in range(0, 240, 4):
        truth = world.truth()
        for site in world.sites():
            at = world.at(site)
            seen["source"].add(site.status(at))
            seen["scan"].add(site.scan(at)[1])
            agents[site.id, site.agent_is_online(at)] += 1
            seen["job"] |= {job.status(at.moment) for job in site.job_store.unfinished(at)}
            tasks |= {task.status for job in site.job_store.unfinished(at) for task in job.tasks(at.moment)}
            if minute % 60 == 0:
                seen["job"] |= {job.status for job in truth.jobs(site.id)}
                seen["table"] |= {table.status for table in truth.tables(site.id)}
                seen["partition"] |= {partition.status for partition in truth.partitions(site.id)}
        clock.advance(240)
    assert seen == {
        "source": set(statuses.DataSourceStatus),
        "scan": {*statuses.ScanStatus, None},
        "job": set(statuses.JobStatus),
        "table": set(statuses.TableStatus),
        "partition": set(statuses.PartitionStatus),
    }
    assert sum(agents[source_id, True] > 0 < agents[source_id, False] for source_id in world.source_ids()) > 1
    assert tasks >= {status for status in statuses.TaskStatus if not status.endswith("_FAILED")}


def test_the_demo_changes_within_seconds() -> None:
    """2 seconds at the demo's speed change some value, at any time."""
    clock = ManualClock()
    world = World(clock=clock)
    history = []
    for _ in range(30):
        history.append([_served(world, site) for site in world.sites()])
        clock.advance(120)
    assert all(before != after for before, after in pairwise(history))


def test_the_fields_of_a_source_are_present_as_the_vendor_has_them() -> None:
    world = World(clock=ManualClock())
    seen = {site.status(world.at(site)): rows.data_source(site, world.at(site)) for site in world.sites()}
    assert "errMsg" in seen["START_FAILED"]
    assert "lastUpdateTime" not in seen["START_FAILED"]
    assert "errMsg" not in seen["STARTED"]
    assert seen["STARTED"]["lastUpdateTime"].endswith("\n")
    assert seen["STARTED"]["createTime"].endswith("\n")
    secrets = [item["value"] for item in seen["STARTED"]["config"] if item["type"] == "password"]
    assert all(secret.startswith(rows.CANARY) for secret in secrets)
    assert secrets


def test_times_are_in_the_configured_zone() -> None:
    shown = {}
    for zone in ("Asia/Shanghai", "UTC"):
        world = World(WorldOptions(sources=1, special_sources=False, zone=zone), clock=ManualClock(0.0))
        shown[zone] = world.site(2000001).time(0.0)
    assert shown == {"Asia/Shanghai": "1970-01-01 08:00:00", "UTC": "1970-01-01 00:00:00"}


@pytest.mark.parametrize("wrong", [{"sources": -1}, {"failure_rate": 1.1}, {"databases": 0}, {"waves": 0}])
def test_invalid_options_are_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        WorldOptions(**wrong)


def test_a_million_jobs_are_not_stored() -> None:
    """Only accessed sources are in memory, and none of their finished jobs."""
    options = WorldOptions(sources=10_000, finished_jobs_per_source=100, idle_share=0.9)
    world = World(options, clock=ManualClock())
    assert world.held == 0
    page = lists.data_sources(world, [("pageNum", "50"), ("pageSize", "100")], 100, Tweaks())
    assert (page["total"], len(page["objectList"]), world.held) == (10_000, 100, 100)
    site = world.site(2_009_000)
    asked = lists.ListRequest(site, world.at(site), [("status", "DONE"), ("pageNum", "2")], 100, Tweaks())
    data = lists.jobs(asked)
    assert data["total"] + site.job_store.count_failed(world.at(site)) == 100
    assert (len(data["objectList"]), world.held) == (20, 101)
    assert not site.inventory.touched
