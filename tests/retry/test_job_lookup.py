"""Jobs are found by exact name, also if the name filter of MMS misses them."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.errors import MalformedAnswer, RetryStopped
from exporter.mms.protocol import JobRequest
from exporter.retry.job_lookup import NEWEST, unfinished_jobs
from exporter.retry.journal import Journal
from exporter.retry.watching import duplicate_jobs
from exporter.simulator import Fault
from exporter.simulator.faults.fault_plan import Kind
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


async def test_an_old_job_of_unknown_status_stops_the_run(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, finished_jobs_per_source=NEWEST + 1), tmp_path) as env:
        env.simulator.faults.add(Fault(kind="total", operation="ListMmsJobs", total=NEWEST + 2, times=1))
        with pytest.raises(MalformedAnswer, match="1 jobs have an unknown status"):
            await unfinished_jobs(env.client, SOURCE, ())
