"""The jobs of a retry are watched to their ends, and only DONE counts as done."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.clock import Clock
from exporter.errors import RetryStopped
from exporter.mms.models import Job
from exporter.mms.throttle import Limits
from exporter.retry.journal import Journal
from exporter.retry.sending import SETTLE_SECONDS
from exporter.retry.verification import MAX_ASKED_ONE_BY_ONE, incomplete_units
from exporter.retry.watching import MAX_FAILED_POLLS, watch
from exporter.simulator import Fault, happen
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, Stage, stage_on


async def watched(stage: Stage, journal: Journal) -> list[tuple[Job, ...]]:
    return [jobs async for jobs in watch(stage.means(journal))]


async def test_jobs_are_watched_until_all_is_done(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await stage.carry_out(journal)
        seen = await watched(stage, journal)
        assert {job.name for job in seen[-1]} == journal.names
        assert {entry.state for entry in journal.entries} == {"done"}
        assert await incomplete_units(stage.client, journal, stage.clock) == []
    assert not stage.failed()


@pytest.mark.parametrize("partitions", [4, 4 * MAX_ASKED_ONE_BY_ONE])
async def test_what_failed_again_is_named(tmp_path: Path, partitions: int) -> None:
    async with stage_on(replace(QUIET_WORLD, retry_failure_rate=0.5, partitions=partitions), tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            await stage.carry_out(journal)
            await watched(stage, journal)
            assert "failed" in {entry.state for entry in journal.entries}
            left = await incomplete_units(stage.client, journal, stage.clock)
        truth = stage.world.truth()
        failed = {("partition", row.id) for row in truth.partitions(SOURCE) if row.status == "FAILED"}
        failed |= {
            ("table", row.id) for row in truth.tables(SOURCE) if row.status == "FAILED" and not row.has_partitions
        }
    assert {(unit.kind, unit.id) for unit in left} == failed != set()
    assert {unit.status for unit in left} == {"FAILED"}


@pytest.mark.parametrize("status", ["DOING", "INIT", "PART_DONE"])
async def test_a_status_that_lags_behind_its_job_is_waited_for(stage: Stage, status: str) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await stage.carry_out(journal)
        await watched(stage, journal)
        for operation in ("GetMmsPartition", "GetMmsTable"):
            stage.simulator.faults.add(Fault(kind="unknown_status", operation=operation, value=status, times=2))
        assert await incomplete_units(stage.client, journal, stage.clock) == []


async def test_a_status_that_lags_in_the_lists_is_waited_for(tmp_path: Path) -> None:
    async with stage_on(replace(QUIET_WORLD, partitions=4 * MAX_ASKED_ONE_BY_ONE), tmp_path) as stage:
        stage.fail(0.4)
        wanted = stage.failed()
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            await stage.carry_out(journal)
            while wanted & stage.failed():  # what waits for its turn still reads FAILED
                await stage.pass_time(5)
            assert "DOING" in stage.statuses().values()

            async def sleep(_: float) -> None:
                await stage.pass_time(stage.world.options.job_seconds / 10)

            assert await incomplete_units(stage.client, journal, Clock(monotonic=lambda: 0.0, sleep=sleep)) == []


async def test_a_status_that_never_settles_is_told_in_time(tmp_path: Path) -> None:
    async with stage_on(QUIET_WORLD, tmp_path, Limits(requests_per_second=0, timeout_seconds=10)) as stage:
        stage.fail(0.2)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            await stage.carry_out(journal)
            await watched(stage, journal)
            stage.simulator.faults.add(Fault(kind="unknown_status", operation="GetMmsPartition", value="DOING"))
            began = stage.ticks()
            assert {unit.status for unit in await incomplete_units(stage.client, journal, stage.clock)} == {"DOING"}
        assert SETTLE_SECONDS <= stage.ticks() - began <= 2 * SETTLE_SECONDS


async def test_what_failed_with_its_job_or_is_gone_is_not_waited_for(tmp_path: Path) -> None:
    async with stage_on(replace(QUIET_WORLD, retry_failure_rate=1.0), tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            await stage.carry_out(journal)
            await watched(stage, journal)
            stage.simulator.faults.add(Fault(kind="error", operation="GetMmsTable", status=404, code="TableNotFound"))
            began = stage.ticks()
            assert {unit.status for unit in await incomplete_units(stage.client, journal, stage.clock)} == {
                "FAILED",
                None,
            }
        assert stage.ticks() == began


async def test_what_still_reads_failed_though_its_job_is_done_is_waited_for_and_then_told(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await stage.carry_out(journal)
        await watched(stage, journal)
        number = stage.simulator.faults.add(Fault(kind="unknown_status", operation="GetMmsPartition", value="FAILED"))
        began = stage.ticks()
        assert {unit.status for unit in await incomplete_units(stage.client, journal, stage.clock)} == {"FAILED"}
        assert SETTLE_SECONDS <= stage.ticks() - began <= 2 * SETTLE_SECONDS
        stage.simulator.faults.remove(number)
        assert await incomplete_units(stage.client, journal, stage.clock) == []


async def test_a_job_that_is_deleted_has_failed(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await stage.carry_out(journal)
        happen(stage.world, events.RemoveJob(source_id=SOURCE, job_id=journal.entries[0].job_id or 0))
        await watched(stage, journal)
        assert (journal.entries[0].state, journal.entries[0].reason) == (
            "failed",
            "MMS does not have the job any more",
        )
        assert await incomplete_units(stage.client, journal, stage.clock)


async def test_a_job_that_is_stopped_is_not_waited_for(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await stage.carry_out(journal)
        happen(stage.world, events.StopJob(source_id=SOURCE, job_id=journal.entries[0].job_id or 0))
        await watched(stage, journal)
    assert (journal.entries[0].state, journal.entries[0].reason) == ("failed", "the job was stopped")


async def test_trouble_that_passes_does_not_end_the_watch(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await stage.carry_out(journal)
        stage.simulator.faults.add(Fault(kind="broken_rows", operation="ListMmsJobs", times=MAX_FAILED_POLLS - 1))
        await watched(stage, journal)
    assert {entry.state for entry in journal.entries} == {"done"}


async def test_trouble_that_lasts_ends_the_watch_and_leaves_the_jobs_to_be_watched_again(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await stage.carry_out(journal)
        stage.simulator.faults.add(Fault(kind="error", operation="ListMmsJobs"))
        with pytest.raises(RetryStopped, match="cannot be watched now"):
            await watched(stage, journal)
    stage.simulator.faults.clear()
    with Journal.resumed(journal.path) as again:
        await watched(stage, again)
        assert {entry.state for entry in again.entries} == {"done"}


async def test_jobs_that_no_list_finds_by_name_are_watched_by_their_ids(tmp_path: Path) -> None:
    async with stage_on(replace(QUIET_WORLD, job_name_filters_source=True), tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            await stage.carry_out(journal)
            seen = await watched(stage, journal)
        assert {job.name for job in seen[-1]} == journal.names
        assert {entry.state for entry in journal.entries} == {"done"}
