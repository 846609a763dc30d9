"""Jobs are found by exact name, also if the name filter of MMS misses them."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from exporter.errors import RetryStopped
from exporter.mms.protocol import JobRequest
from exporter.retry.job_lookup import unfinished_jobs
from exporter.retry.journal import Journal
from exporter.retry.watching import duplicate_jobs
from exporter.simulator import Fault, apply_event
from exporter.simulator.faults.fault_plan import Kind
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, UNFINISHED_CALLS, RetryEnv, assert_made_once, env_on, resume

UNFILTERED = replace(QUIET_WORLD, job_name_filters_source=True)
"""A world whose name filter compares with the data source's name."""


@pytest.mark.parametrize("kind", ["lost_answer", "reset"])
async def test_the_whole_list_is_searched_if_the_name_filter_fails(tmp_path: Path, kind: Kind) -> None:
    async with env_on(UNFILTERED, tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            env.simulator.faults.add(Fault(kind=kind, operation="CreateMmsJob", times=1))
            with suppress(RetryStopped):
                await env.create_all(journal)
            assert journal.entries[0].state == ("sending" if kind == "reset" else "made")
        assert_made_once(env, await resume(env, journal.path))


@pytest.mark.parametrize("finished", [0, 6])
async def test_a_job_named_like_its_source_does_not_prove_the_name_filter(tmp_path: Path, finished: int) -> None:
    async with env_on(replace(UNFILTERED, finished_jobs_per_source=finished), tmp_path) as env:
        env.fail(0.4)
        done = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "DONE")
        alike = JobRequest(name="hive-sales-001", src_db_name=done.db_name, partitions=(done.id,))
        await env.client.create_job(SOURCE, alike)
        await env.pass_time(2 * env.world.options.job_seconds)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
            await env.create_all(journal)
        assert env.jobs_by_name() == Counter(entry.name for entry in journal.entries)


async def test_a_damaged_list_leaves_a_job_in_doubt(tmp_path: Path) -> None:
    async with env_on(UNFILTERED, tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob"))
            damage = Fault(kind="nulls", operation="ListMmsJobs", fields=("name",), rows=1, skip=UNFINISHED_CALLS)
            env.simulator.faults.add(damage)
            with pytest.raises(RetryStopped, match="may have been created, but could not be looked up"):
                await env.create_all(journal)
        assert env.jobs_by_name().total() == 1


async def test_a_task_without_a_job_id_causes_a_search_of_the_whole_list(tmp_path: Path) -> None:
    async with env_on(UNFILTERED, tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            env.simulator.faults.add(
                Fault(kind="answer", operation="GetMmsAsyncTask", text='{"data": {"status": "DONE"}}')
            )
            await env.create_all(journal)
            assert_made_once(env, journal.entries)


@pytest.mark.parametrize("is_filtered", [True, False], ids=["found-by-name", "not-found-by-name"])
async def test_a_duplicate_job_is_found(tmp_path: Path, *, is_filtered: bool) -> None:
    async with env_on(replace(QUIET_WORLD, job_name_filters_source=not is_filtered), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await env.create_all(journal)
            assert await duplicate_jobs(env.context(journal)) == []
            entry = journal.entries[0]
            await env.client.create_job(SOURCE, entry.batch.request(entry.name, None))
            await env.pass_time(60)
            assert await duplicate_jobs(env.context(journal)) == [entry.name]


NEW_STATUS = "PAUSED"


def add_job_of_new_status(env: RetryEnv, total: int) -> None:
    """Give the newest job an unknown status."""
    jobs = "ListMmsJobs"
    env.simulator.faults.add(Fault(kind="total", operation=jobs, total=total, times=1))
    env.simulator.faults.add(
        Fault(kind="unknown_status", operation=jobs, value=NEW_STATUS, rows=1, skip=UNFINISHED_CALLS - 1)
    )


async def test_a_job_of_unknown_status_counts_as_unfinished(env: RetryEnv) -> None:
    jobs = list(env.world.truth().jobs(SOURCE))
    assert await unfinished_jobs(env.client, SOURCE, ()) == []
    add_job_of_new_status(env, len(jobs) + 1)
    assert [job.status for job in await unfinished_jobs(env.client, SOURCE, ())] == [NEW_STATUS]


async def test_known_statuses_cost_one_call_each(env: RetryEnv) -> None:
    env.simulator.calls_reset()
    await unfinished_jobs(env.client, SOURCE, ())
    assert env.simulator.calls == {("ListMmsJobs", SOURCE): UNFINISHED_CALLS}


async def test_an_old_job_of_unknown_status_is_found(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, finished_jobs_per_source=1001), tmp_path) as env:
        jobs = "ListMmsJobs"
        env.simulator.faults.add(Fault(kind="total", operation=jobs, total=1002, times=1))
        oldest = Fault(kind="unknown_status", operation=jobs, value=NEW_STATUS, rows=1, query={"pageNum": "11"})
        env.simulator.faults.add(oldest)
        assert [(job.id, job.status) for job in await unfinished_jobs(env.client, SOURCE, ())] == [(1, NEW_STATUS)]


BOTH_READINGS = pytest.mark.parametrize("hides_stopped", [False, True], ids=["listed", "hidden"])


async def stop_a_job(env: RetryEnv) -> int:
    """Stop a job over failed partitions and return its ID."""
    failed = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED")
    await env.client.create_job(SOURCE, JobRequest(name="stopped", src_db_name=failed.db_name, partitions=(failed.id,)))
    await env.pass_time(60)
    (job,) = [job for job in env.world.truth().jobs(SOURCE) if job.name == "stopped"]
    apply_event(env.world, events.StopJob(source_id=SOURCE, job_id=job.id))
    return job.id


@BOTH_READINGS
async def test_a_stopped_job_blocks_its_units(tmp_path: Path, *, hides_stopped: bool) -> None:
    """A list by status may hide it."""
    async with env_on(replace(QUIET_WORLD, hides_stopped=hides_stopped), tmp_path) as env:
        env.fail(0.4)
        stopped = await stop_a_job(env)
        env.simulator.calls_reset()
        assert [job.id for job in await unfinished_jobs(env.client, SOURCE, ())] == [stopped]
        assert env.simulator.calls == {("ListMmsJobs", SOURCE): UNFINISHED_CALLS}
        (refused,) = (await env.plan()).refused
        assert refused.reason == f"job {stopped} (stopped) is DOING and stopped, and may migrate the same data"


@BOTH_READINGS
async def test_a_job_stopped_after_the_plan_blocks_its_units(tmp_path: Path, *, hides_stopped: bool) -> None:
    async with env_on(replace(QUIET_WORLD, hides_stopped=hides_stopped), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await stop_a_job(env)
            await env.create_all(journal)
        assert any("left out 1 of" in message for message in env.messages)


@BOTH_READINGS
async def test_the_settings_of_a_stopped_failed_job_are_reused(tmp_path: Path, *, hides_stopped: bool) -> None:
    async with env_on(replace(QUIET_WORLD, hides_stopped=hides_stopped, job_seconds=3000.0), tmp_path) as env:
        env.fail(0.4)
        failed = next(row for row in env.world.truth().partitions(SOURCE) if row.status == "FAILED")
        row = {"id": 7, "name": "old", "srcDbName": failed.db_name, "status": "FAILED", "stopped": True}
        row |= {"config": {"partitions": [failed.id], "taskType": "HIVE_SPARK"}}
        answer = msgspec.json.encode({"data": {"total": 1, "objectList": [row]}})
        for query in ({"stopped": "1"}, *([] if hides_stopped else [{"status": "FAILED", "pageSize": "100"}])):
            env.simulator.faults.add(Fault(kind="answer", operation="ListMmsJobs", query=query, body=answer))
        batches = (await env.plan()).batches
    assert "HIVE_SPARK" in {batch.template.task_type for batch in batches}
