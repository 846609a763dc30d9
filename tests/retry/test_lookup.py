"""Jobs are looked for by their exact name, also where the filter of MMS does not find them by it."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.errors import MalformedAnswer, RetryStopped
from exporter.mms.protocol import JobRequest
from exporter.retry.job_creation import duplicate_jobs
from exporter.retry.job_lookup import NEWEST, unfinished_jobs
from exporter.retry.journal import Journal
from exporter.simulator import Fault
from exporter.simulator.faults.fault_plan import Kind
from tests.retry.conftest import QUIET_WORLD, SOURCE, UNFINISHED_CALLS, Stage, assert_made_once, resume, stage_on

UNFILTERED = replace(QUIET_WORLD, job_name_filters_source=True)
"""A world whose lists take the name that is asked for as the data source's."""


@pytest.mark.parametrize("kind", ["lost_answer", "reset"])
async def test_where_no_job_is_found_by_its_name_the_whole_list_settles_a_doubt(tmp_path: Path, kind: Kind) -> None:
    async with stage_on(UNFILTERED, tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            stage.simulator.faults.add(Fault(kind=kind, operation="CreateMmsJob", times=1))
            with suppress(RetryStopped):
                await stage.carry_out(journal)
            assert journal.entries[0].state == ("sending" if kind == "reset" else "made")
        assert_made_once(stage, await resume(stage, journal.path))


@pytest.mark.parametrize("finished", [0, 6])
async def test_a_job_that_is_called_like_its_source_is_no_proof_that_names_are_found(
    tmp_path: Path, finished: int
) -> None:
    async with stage_on(replace(UNFILTERED, finished_jobs_per_source=finished), tmp_path) as stage:
        stage.fail(0.4)
        done = next(row for row in stage.world.truth().partitions(SOURCE) if row.status == "DONE")
        alike = JobRequest(name="hive-sales-001", src_db_name=done.db_name, partitions=(done.id,))
        await stage.client.create_job(SOURCE, alike)
        await stage.pass_time(2 * stage.world.options.job_seconds)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
            await stage.carry_out(journal)
        assert stage.jobs_by_name() == Counter(entry.name for entry in journal.entries)


async def test_where_no_job_is_found_by_its_name_a_damaged_list_settles_nothing(tmp_path: Path) -> None:
    async with stage_on(UNFILTERED, tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob"))
            damage = Fault(kind="nulls", operation="ListMmsJobs", fields=("name",), rows=1, skip=UNFINISHED_CALLS)
            stage.simulator.faults.add(damage)
            with pytest.raises(RetryStopped, match="may have been made, and could not be looked for"):
                await stage.carry_out(journal)
        assert stage.jobs_by_name().total() == 1


async def test_an_asynchronous_task_that_tells_no_job_leaves_it_to_the_whole_list(tmp_path: Path) -> None:
    async with stage_on(UNFILTERED, tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            stage.simulator.faults.add(
                Fault(kind="answer", operation="GetMmsAsyncTask", text='{"data": {"status": "DONE"}}')
            )
            await stage.carry_out(journal)
            assert_made_once(stage, journal.entries)


@pytest.mark.parametrize("is_filtered", [True, False], ids=["found-by-name", "not-found-by-name"])
async def test_a_job_that_is_there_twice_is_told(tmp_path: Path, *, is_filtered: bool) -> None:
    async with stage_on(replace(QUIET_WORLD, job_name_filters_source=not is_filtered), tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            await stage.carry_out(journal)
            assert await duplicate_jobs(stage.means(journal)) == []
            entry = journal.entries[0]
            await stage.client.create_job(SOURCE, entry.batch.request(entry.name, None))
            await stage.pass_time(60)
            assert await duplicate_jobs(stage.means(journal)) == [entry.name]


NEW_STATUS = "PAUSED_BY_MOON"


def add_job_of_new_status(stage: Stage, total: int) -> None:
    """Have the newest of `total` jobs be of a status that no filter counts."""
    jobs = "ListMmsJobs"
    stage.simulator.faults.add(Fault(kind="total", operation=jobs, total=total, times=1))
    stage.simulator.faults.add(
        Fault(kind="unknown_status", operation=jobs, value=NEW_STATUS, rows=1, skip=UNFINISHED_CALLS - 1)
    )


async def test_a_job_of_a_status_that_nobody_knows_counts_as_unfinished(stage: Stage) -> None:
    jobs = list(stage.world.truth().jobs(SOURCE))
    assert await unfinished_jobs(stage.client, SOURCE, ()) == []
    add_job_of_new_status(stage, len(jobs) + 1)
    assert [job.status for job in await unfinished_jobs(stage.client, SOURCE, ())] == [NEW_STATUS]


async def test_jobs_of_known_statuses_cost_no_more_than_their_counts(stage: Stage) -> None:
    stage.simulator.calls_reset()
    await unfinished_jobs(stage.client, SOURCE, ())
    assert stage.simulator.calls == {("ListMmsJobs", SOURCE): UNFINISHED_CALLS}


async def test_a_job_of_an_unknown_status_that_is_not_among_the_newest_stops_the_run(tmp_path: Path) -> None:
    async with stage_on(replace(QUIET_WORLD, finished_jobs_per_source=NEWEST + 1), tmp_path) as stage:
        stage.simulator.faults.add(Fault(kind="total", operation="ListMmsJobs", total=NEWEST + 2, times=1))
        with pytest.raises(MalformedAnswer, match="1 jobs have a status that this program does not know"):
            await unfinished_jobs(stage.client, SOURCE, ())
