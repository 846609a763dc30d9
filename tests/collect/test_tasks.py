"""The collector of tasks: counts, jobs with task series, and the number of calls."""

from collections import Counter
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from exporter.collect.collectors.tasks import MAX_ERRORS, MAX_PAGES_PER_JOB
from exporter.collect.permissions import REFUSAL_SECONDS
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, TaskStatus
from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from exporter.simulator.oracle import Oracle
from tests.collect.conftest import HandWrittenMms
from tests.conftest import IDENTITY, config_on
from tests.exposition_parser import Exposition
from tests.harness import harness_on

ON = {"enabled": True}
NO_REASONS = {"reasons": {"enabled": False}}
"""Failed tasks are not listed for their reasons."""
STATUSES = len(TaskStatus)
BUSY = WorldOptions(
    sources=3,
    databases=1,
    tables=8,
    partitions=4,
    running_jobs_per_source=2,
    finished_jobs_per_source=20,
    idle_share=0,
    special_sources=False,
    incidents=False,
    seed=2,
    failure_rate=0.3,
)


def task_calls(simulator: Simulator) -> list[int]:
    """Return the number of task calls of each source with any."""
    return [count for (operation, _), count in simulator.calls.items() if operation == "ListMmsTasks"]


def assert_tasks_equal(served: Exposition, truth: Oracle, source_id: int) -> None:
    """Check that the served tasks of a source equal the world."""
    source, everything = {"source_id": str(source_id)}, list(truth.tasks(source_id))
    statuses = Counter(task.status for task in everything)
    assert served.by("mms_tasks", "status", **source) == {status: statuses[status] for status in TaskStatus}
    unfinished = [job for job in truth.jobs(source_id) if job.status in UNFINISHED_JOB_STATUSES]
    retried = served.by("mms_job_tasks_retried", "job_id", **source)
    assert set(retried) == {str(job.id) for job in unfinished}
    for job in unfinished:
        tasks = [task for task in everything if task.job_id == job.id]
        counts = Counter(task.status for task in tasks)
        shown = served.by("mms_job_tasks_by_status", "status", job_id=str(job.id), job_name=job.name or "", **source)
        assert shown == {status: counts[status] for status in TaskStatus}
        assert retried[str(job.id)] == sum(1 for task in tasks if task.retried_times)


async def test_served_tasks_equal_the_simulated_world(clock: ManualClock) -> None:
    seen = set[str]()
    async with (
        Simulator(World(BUSY, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, tasks=ON), clock) as harness,
    ):
        for _ in range(40):
            served = await harness.refresh()
            truth = simulator.world.truth()
            for source_id in truth.data_sources():
                assert_tasks_equal(served, truth, source_id)
                seen |= {task.status or "" for task in truth.tasks(source_id)}
            clock.advance(47)
    assert seen == set(TaskStatus), "the run includes every status"


async def test_the_tasks_collector_is_disabled_by_default(clock: ManualClock) -> None:
    async with (
        Simulator(World(BUSY, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, failures=NO_REASONS), clock) as harness,
    ):
        served = await harness.refresh()
        assert not task_calls(simulator)
        assert "mms_tasks" not in served.samples
        assert "tasks" not in served.by("mms_refresh_success", "collector")


async def test_a_refresh_takes_one_call_per_status_and_per_small_job(clock: ManualClock) -> None:
    """The history does not matter."""
    options = replace(BUSY, finished_jobs_per_source=1000, stopped_share=0)
    async with (
        Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator,
        harness_on(config_on(simulator.url, tasks=ON, failures=NO_REASONS), clock) as harness,
    ):
        for _ in range(3):
            simulator.calls_reset()
            await harness.refresh()
            assert task_calls(simulator) == [STATUSES + 2] * 3
            clock.advance(60)


async def test_tasks_of_an_idle_source_are_read_once_per_idle_interval(clock: ManualClock) -> None:
    options = replace(BUSY, idle_share=1, stopped_share=0)
    async with Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator:
        config = config_on(
            simulator.url,
            tasks=ON,
            failures=NO_REASONS,
            jobs={"idle_interval": "10m"},
            refresh={"interval": "60s", "stale_after": "2m"},
        )
        async with harness_on(config, clock) as harness:
            await harness.refresh()
            assert task_calls(simulator) == [STATUSES] * 3
            simulator.calls_reset()
            for _ in range(9):
                clock.advance(60)
                served = await harness.refresh()
            assert not task_calls(simulator)
            assert len(served.by("mms_tasks", "source_id", status="DONE")) == 3
            clock.advance(61)
            await harness.refresh()
            assert task_calls(simulator) == [STATUSES] * 3


async def test_tasks_are_read_once_more_after_the_last_job_ended(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    """Also if the row of the source is outdated."""
    job = mms.add_job(1, "DOING")
    mms.add_tasks(1, "DATA_DOING")
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        await harness.refresh()
        job["status"] = mms.tasks[0]["status"] = "DONE"
        served = await harness.refresh()
        assert served.value("mms_tasks", status="DATA_DOING") == 0
        assert served.value("mms_tasks", status="DONE") == 1
        assert not served.having("mms_job_tasks_by_status"), "no job runs"
        mms.calls.clear()
        await harness.refresh()
        assert not mms.calls["tasks"]


async def test_tasks_are_counted_per_source_without_the_jobs_collector(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DOING")
    mms.add_tasks(1, "DATA_DOING", "DATA_FAILED")
    async with harness_on(config_on(mms_url, tasks=ON, jobs={"enabled": False}), clock) as harness:
        for expected in (STATUSES, 2 * STATUSES):
            served = await harness.refresh()
            assert mms.calls["tasks"] == expected
        assert served.value("mms_tasks", status="DATA_DOING") == 1
        assert "mms_job_tasks_by_status" not in served.samples
        mms.tasks[0]["status"] = "DONE"
        await harness.refresh()
        mms.calls.clear()
        served = await harness.refresh()
        assert not mms.calls["tasks"]
        assert served.value("mms_tasks", status="DATA_FAILED") == 1


async def test_tasks_are_read_only_for_jobs_with_series(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    for job_id in range(1, 6):
        mms.add_job(job_id, "DOING")
        mms.add_tasks(job_id, "INIT")
    mms.add_job(9, "FAILED")
    config = config_on(mms_url, tasks=ON, jobs={"max_series_per_source": 3})
    async with harness_on(config, clock) as harness:
        served = await harness.refresh()
        assert set(served.by("mms_job_tasks_retried", "job_id")) == {"3", "4", "5"}
        assert served.value("mms_tasks", status="INIT") == 5
        assert mms.calls["tasks"] == STATUSES + 3


async def test_tasks_on_several_pages_are_counted_by_rows(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.page_cap = 5
    mms.add_job(1, "DOING")
    mms.add_tasks(1, *["DONE"] * 38, retriedTimes=0)
    mms.add_tasks(1, *["DATA_DOING"] * 3, retriedTimes=2)
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_job_tasks_by_status", job_id="1", status="DONE") == 38
        assert served.value("mms_job_tasks_retried", job_id="1") == 3, "tasks, not retries"
        assert mms.calls["tasks"] == STATUSES + 9


async def test_tasks_on_too_many_pages_are_counted_by_totals(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.page_cap = 2
    mms.add_job(1, "DOING")
    mms.add_tasks(1, *["DONE"] * 2 * MAX_PAGES_PER_JOB, "SCHEMA_FAILED")
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        served = await harness.refresh()
        counts = {**dict.fromkeys(map(str, TaskStatus), 0), "DONE": 2 * MAX_PAGES_PER_JOB, "SCHEMA_FAILED": 1}
        assert served.by("mms_job_tasks_by_status", "status", job_id="1") == counts
        assert "mms_job_tasks_retried" not in served.samples
        assert mms.calls["tasks"] == STATUSES + 1 + STATUSES


@pytest.mark.parametrize("is_hidden", [False, True])
async def test_a_large_stopped_job_that_lists_by_status_hide_has_no_zeros(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock, *, is_hidden: bool
) -> None:
    mms.page_cap = 2
    mms.add_job(1, "DOING", stopped=True)
    mms.add_tasks(1, *["DONE"] * 2 * MAX_PAGES_PER_JOB, "SCHEMA_FAILED")
    mms.totals |= dict.fromkeys(map(str, TaskStatus), 0) if is_hidden else {}
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_job_tasks_by_status", job_id="1", status="SCHEMA_FAILED") == (None if is_hidden else 1)


async def test_the_tasks_of_small_stopped_jobs_are_counted_under_both_readings(clock: ManualClock) -> None:
    """`mms_tasks` lacks them where lists by status hide them, as its HELP says."""
    for hides_stopped in (False, True):
        options = replace(BUSY, stopped_share=1, hides_stopped=hides_stopped)
        async with (
            Simulator(World(options, clock=clock), identities=[IDENTITY]) as simulator,
            harness_on(config_on(simulator.url, tasks=ON), clock) as harness,
        ):
            served, truth = await harness.refresh(), simulator.world.truth()
            source_id = simulator.world.source_ids()[0]
            (job,) = (each for each in truth.jobs(source_id) if each.stopped)
            counts = Counter(task.status for task in truth.tasks(source_id) if task.job_id == job.id)
            shown = served.by("mms_job_tasks_by_status", "status", source_id=str(source_id), job_id=str(job.id))
            assert counts.total() > 0
            assert shown == {status: counts[status] for status in TaskStatus}
            total = sum(served.by("mms_tasks", "status", source_id=str(source_id)).values())
            assert total == len(list(truth.tasks(source_id))) - hides_stopped * counts.total()


async def test_tasks_with_fewer_rows_than_the_total_are_counted_by_totals(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.page_cap = 5
    mms.add_job(1, "DOING")
    mms.add_tasks(1, *["DONE"] * 12)
    mms.tasks[7]["id"] = mms.tasks[8]["id"]
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_job_tasks_by_status", job_id="1", status="DONE") == 12
        assert served.value("mms_job_tasks_retried", job_id="1") is None
        assert served.value("mms_exporter_unexpected_values_total", operation="ListMmsTasks", field="total") == 1
        assert mms.calls["tasks"] <= STATUSES + MAX_PAGES_PER_JOB + STATUSES


async def test_an_unknown_task_status_counts_as_unknown_and_is_reported(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DOING")
    mms.add_tasks(1, "DONE", "CLEANUP_DOING", "CLEANUP_DONE")
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_job_tasks_by_status", job_id="1", status="UNKNOWN") == 2
        assert served.value("mms_job_tasks_by_status", job_id="1", status="DONE") == 1
        strange = {"operation": "ListMmsTasks", "field": "status"}
        assert served.value("mms_exporter_unexpected_values_total", **strange) == 2
        assert served.value("mms_tasks", status="UNKNOWN") is None, "the number is unknown"


async def test_retried_tasks_are_absent_if_any_task_lacks_the_field(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DOING")
    mms.add_tasks(1, "DONE", retriedTimes=1)
    mms.add_tasks(1, "DONE", retriedTimes=None)
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_job_tasks_retried", job_id="1") is None
        assert served.value("mms_job_tasks_by_status", job_id="1", status="DONE") == 2


async def test_a_missing_total_has_no_sample(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_tasks(1, "DONE", "DATA_FAILED")
    mms.totals["DONE"] = None
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        served = await harness.refresh()
        assert served.value("mms_tasks", status="DONE") is None
        assert served.value("mms_tasks", status="DATA_FAILED") == 1


async def test_unreadable_tasks_of_one_job_are_kept_until_stale(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    for job_id in (1, 2):
        mms.add_job(job_id, "DOING")
        mms.add_tasks(job_id, "DATA_DOING")
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        await harness.refresh()
        mms.refused.add("1")
        for task in mms.tasks:
            task["status"] = "DATA_DONE"
        clock.advance(300)
        served = await harness.refresh()
        assert served.value("mms_job_tasks_by_status", job_id="1", status="DATA_DOING") == 1, "unchanged"
        assert served.value("mms_job_tasks_by_status", job_id="2", status="DATA_DONE") == 1
        assert served.value("mms_refresh_success", collector="tasks") == 0
        assert served.value("mms_datasource_refresh_success") == 0
        clock.advance(1)
        served = await harness.refresh()
        assert set(served.by("mms_job_tasks_retried", "job_id")) == {"2"}


async def test_a_job_deleted_after_the_listing_is_no_error(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_job(1, "DOING")
    mms.add_tasks(1, "DATA_DOING")
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        await harness.refresh()
        mms.missing.add("1")
        served = await harness.refresh()
        assert "mms_job_tasks_by_status" not in served.samples
        assert served.value("mms_refresh_success", collector="tasks") == 1


async def test_a_failing_source_gets_a_limited_number_of_calls(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    for job_id in range(10, 20):
        mms.add_job(job_id, "DOING")
        mms.refused.add(str(job_id))
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        await harness.refresh()
        assert mms.calls["tasks"] == STATUSES + MAX_ERRORS


async def test_unreadable_tasks_expire(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_job(1, "DOING")
    mms.add_tasks(1, "DATA_DOING")
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        await harness.refresh()
        mms.broken.add("tasks")
        clock.advance(200)
        served = await harness.refresh()
        assert served.value("mms_tasks", status="DATA_DOING") == 1
        clock.advance(101)
        served = await harness.served()
        assert not {"mms_tasks", "mms_job_tasks_by_status"} & set(served.samples)


async def test_a_missing_permission_is_logged_once_and_affects_nothing_else(clock: ManualClock) -> None:
    granted = ("ListMmsDataSources", "ListMmsJobs", "ListMmsDbs", "ListMmsTables", "ListMmsPartitions")
    actions = frozenset(f"odps:{operation}" for operation in granted)
    async with Simulator(World(BUSY, clock=clock), identities=[replace(IDENTITY, actions=actions)]) as simulator:
        config = config_on(simulator.url, {"concurrency": 1}, tasks=ON, failures=NO_REASONS, timers={"enabled": False})
        async with harness_on(config, clock) as harness:
            with capture_logs() as lines:
                for _ in range(3):
                    served = await harness.refresh()
            success = {"datasources": 1, "jobs": 1, "databases": 1, "scan": 1, "failures": 1, "tasks": 0}
            assert served.by("mms_refresh_success", "collector") == success
            assert set(served.by("mms_datasource_refresh_success", "source_id").values()) == {1}
            assert task_calls(simulator) == [1]
            assert [(line["collector"], line["reasons"]) for line in lines] == [("tasks", "permission")]
            simulator.identities.add(IDENTITY)
            clock.advance(REFUSAL_SECONDS)
            served = await harness.refresh()
            assert served.value("mms_refresh_success", collector="tasks") == 1
            assert_tasks_equal(served, simulator.world.truth(), simulator.world.source_ids()[0])


async def test_tasks_follow_a_renamed_source(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_tasks(1, "DONE")
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        await harness.refresh()
        mms.row["name"] = "hive-b"
        mms.broken.add("tasks")
        served = await harness.refresh()
        assert served.by("mms_tasks", "source", status="DONE") == {"hive-b": 1}


async def test_equal_task_values_are_the_same_object(mms: HandWrittenMms, mms_url: str, clock: ManualClock) -> None:
    mms.add_job(1, "DOING")
    mms.add_tasks(1, "DATA_DOING")
    async with harness_on(config_on(mms_url, tasks=ON), clock) as harness:
        parts = []
        for _ in range(2):
            await harness.refresh()
            parts.append(harness.refresher.snapshot().sources[0].tasks)
        assert parts[0] is not None
        assert parts[0] is parts[1]


async def test_disabling_the_collector_removes_its_series_immediately(
    mms: HandWrittenMms, mms_url: str, clock: ManualClock
) -> None:
    mms.add_tasks(1, "DONE")
    async with (
        harness_on(config_on(mms_url, tasks=ON), clock) as counting,
        harness_on(config_on(mms_url), clock) as other,
    ):
        await counting.refresh()
        other.refresher.inherit_from(counting.refresher)
        served = await other.served()
        assert served.value("mms_jobs", status="DONE") == 0
        assert "mms_tasks" not in served.samples
