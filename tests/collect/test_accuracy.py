"""After every refresh, what is served equals what the simulated MMS holds, while its world moves."""

import random
from collections import Counter

from exporter.mms.models import DATA_SOURCE_STATUSES, DataSource, Job
from exporter.simulator import ManualClock, Simulator, World, WorldOptions
from tests.conftest import IDENTITY, config_on
from tests.harness import harness_on
from tests.reading import Exposition

REFRESHES = 1000
OPTIONS = WorldOptions(
    sources=4, databases=1, tables=3, partitions=3, finished_jobs_per_source=4, job_seconds=240.0, failure_rate=0.35
)


async def test_a_thousand_refreshes_equal_the_world_they_read() -> None:
    clock, steps = ManualClock(), random.Random(1)
    statuses_seen: Counter[str] = Counter()
    async with Simulator(World(OPTIONS, clock=clock), identities=[IDENTITY]) as simulator:
        config = config_on(simulator.url, jobs={"linger": "1m", "idle_interval": "10m"})
        async with harness_on(config, clock) as harness:
            unfinished_before: set[tuple[int, int]] = set()
            for _ in range(REFRESHES):
                served = await harness.refresh()
                truth = simulator.world.truth()
                rows = truth.data_sources()
                jobs = {source_id: list(truth.jobs(source_id)) for source_id in rows}
                assert set(served.by("mms_datasource_info", "source_id")) == {str(source_id) for source_id in rows}
                for source_id, row in rows.items():
                    assert_row_equals(served, row)
                    assert_jobs_equal(served, source_id, jobs[source_id], unfinished_before)
                everything = [(key, job) for key, listed in jobs.items() for job in listed]
                unfinished_before = {(key, job.id) for key, job in everything if job.status in ("INIT", "DOING")}
                statuses_seen.update(job.status or "" for _, job in everything)
                clock.advance(steps.uniform(1, 30))
    assert {"INIT", "DOING", "DONE", "FAILED"} <= set(statuses_seen), "the story shows every status"


def assert_row_equals(served: Exposition, row: DataSource) -> None:
    source = {"source_id": str(row.id)}
    assert served.by("mms_tables", "status", **source) == {
        "DOING": row.tables_doing_num,
        "DONE": row.tables_done_num,
        "PART_DONE": row.tables_part_done_num,
        "FAILED": row.tables_failed_num,
    }
    assert served.by("mms_partitions", "status", **source) == {
        "DOING": row.partitions_doing_num,
        "DONE": row.partitions_done_num,
        "FAILED": row.partitions_failed_num,
    }
    assert served.value("mms_metadata_databases", **source) == row.db_num
    assert served.value("mms_metadata_tables", **source) == row.table_num
    assert served.value("mms_metadata_partitions", **source) == row.partition_num
    assert served.value("mms_datasource_agent_online", **source) == row.agent_is_online
    assert served.by("mms_datasource_status", "status", **source) == {
        status: float(status == row.status) for status in (*DATA_SOURCE_STATUSES, "UNKNOWN")
    }


def assert_jobs_equal(
    served: Exposition, source_id: int, jobs: list[Job], unfinished_before: set[tuple[int, int]]
) -> None:
    source = {"source_id": str(source_id)}
    counts = Counter(job.status for job in jobs)
    assert served.by("mms_jobs", "status", **source) == {
        **{status: counts[status] for status in ("INIT", "DOING", "DONE", "FAILED")},
    }
    unfinished = [job for job in jobs if job.status in ("INIT", "DOING")]
    assert served.value("mms_jobs_stopped", **source) == sum(1 for job in unfinished if job.stopped)
    assert served.value("mms_job_series_omitted", **source) == 0
    shown = served.by("mms_job_tasks", "job_id", **source)
    done = served.by("mms_job_tasks_done", "job_id", **source)
    status_of = {
        dict(labels)["job_id"]: dict(labels)["status"]
        for labels, value in served.having("mms_job_status", **source).items()
        if value == 1
    }
    just_finished = [job for job in jobs if job.status == "DONE" and (source_id, job.id) in unfinished_before]
    for job in jobs:
        # A refresh looks for one finished job of a source; where several finish at once, the others follow later.
        if job.status != "DONE" or just_finished == [job]:
            key = str(job.id)
            assert (shown[key], done[key], status_of[key]) == (job.task_num, job.task_done, job.status)
    by_id = {str(job.id): job for job in jobs}
    for key in shown:
        assert status_of[key] == by_id[key].status, "no series tells of a state that has passed"
