"""Jobs are watched until they end, and only DONE counts as success."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.clock import Clock
from exporter.errors import RetryStopped
from exporter.mms.models.records import Job
from exporter.mms.throttle import Limits
from exporter.retry.journal import Journal
from exporter.retry.run_context import SETTLE_SECONDS
from exporter.retry.verification import MAX_SINGLE_READS, incomplete_units
from exporter.retry.watching import WATCH, watch
from exporter.simulator import Fault, apply_event
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, RetryEnv, env_on


async def watched(env: RetryEnv, journal: Journal) -> list[tuple[Job, ...]]:
    shown: list[tuple[Job, ...]] = []
    await watch(env.context(journal), shown.append)
    return shown


async def test_jobs_are_watched_until_all_is_done(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
        seen = await watched(env, journal)
        assert {job.name for job in seen[-1]} == journal.names
        assert {entry.state for entry in journal.entries} == {"done"}
        assert await incomplete_units(env.context(journal)) == []
    assert not env.failed()


@pytest.mark.parametrize("partitions", [4, 4 * MAX_SINGLE_READS])
async def test_units_that_failed_again_are_returned(tmp_path: Path, partitions: int) -> None:
    async with env_on(replace(QUIET_WORLD, retry_failure_rate=0.5, partitions=partitions), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await env.create_all(journal)
            await watched(env, journal)
            assert "failed" in {entry.state for entry in journal.entries}
            left = await incomplete_units(env.context(journal))
        truth = env.world.truth()
        failed = {("partition", row.id) for row in truth.partitions(SOURCE) if row.status == "FAILED"}
        failed |= {
            ("table", row.id) for row in truth.tables(SOURCE) if row.status == "FAILED" and not row.has_partitions
        }
    assert {(unit.kind, unit.id) for unit in left} == failed != set()
    assert {unit.status for unit in left} == {"FAILED"}


@pytest.mark.parametrize("status", ["DOING", "INIT", "PART_DONE"])
async def test_a_lagging_status_is_awaited(env: RetryEnv, status: str) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
        await watched(env, journal)
        for operation in ("GetMmsPartition", "GetMmsTable"):
            env.simulator.faults.add(Fault(kind="unknown_status", operation=operation, value=status, times=2))
        assert await incomplete_units(env.context(journal)) == []


async def test_a_lagging_list_status_is_awaited(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, partitions=4 * MAX_SINGLE_READS), tmp_path) as env:
        env.fail(0.4)
        wanted = env.failed()
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await env.create_all(journal)
            while wanted & env.failed():  # units that are not started yet are still FAILED
                await env.pass_time(5)
            assert "DOING" in env.statuses().values()

            async def sleep(_: float) -> None:
                await env.pass_time(env.world.options.job_seconds / 10)

            clock = Clock(monotonic=lambda: 0.0, sleep=sleep)
            assert await incomplete_units(replace(env.context(journal), clock=clock)) == []


async def test_a_status_that_never_settles_is_returned_after_the_settle_time(tmp_path: Path) -> None:
    async with env_on(QUIET_WORLD, tmp_path, Limits(requests_per_second=0, timeout_seconds=10)) as env:
        env.fail(0.2)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await env.create_all(journal)
            await watched(env, journal)
            env.simulator.faults.add(Fault(kind="unknown_status", operation="GetMmsPartition", value="DOING"))
            began = env.ticks()
            assert {unit.status for unit in await incomplete_units(env.context(journal))} == {"DOING"}
        assert SETTLE_SECONDS <= env.ticks() - began <= 2 * SETTLE_SECONDS


async def test_final_and_missing_statuses_are_not_awaited(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, retry_failure_rate=1.0), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await env.create_all(journal)
            await watched(env, journal)
            env.simulator.faults.add(Fault(kind="error", operation="GetMmsTable", status=404, code="TableNotFound"))
            began = env.ticks()
            assert {unit.status for unit in await incomplete_units(env.context(journal))} == {
                "FAILED",
                None,
            }
        assert env.ticks() == began


async def test_a_failed_unit_of_a_done_job_is_awaited_and_then_returned(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
        await watched(env, journal)
        number = env.simulator.faults.add(Fault(kind="unknown_status", operation="GetMmsPartition", value="FAILED"))
        began = env.ticks()
        assert {unit.status for unit in await incomplete_units(env.context(journal))} == {"FAILED"}
        assert SETTLE_SECONDS <= env.ticks() - began <= 2 * SETTLE_SECONDS
        env.simulator.faults.remove(number)
        assert await incomplete_units(env.context(journal)) == []


async def test_a_deleted_job_has_failed(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
        apply_event(env.world, events.RemoveJob(source_id=SOURCE, job_id=journal.entries[0].job_id or 0))
        await watched(env, journal)
        assert (journal.entries[0].state, journal.entries[0].reason) == (
            "failed",
            "the job no longer exists in MMS",
        )
        assert await incomplete_units(env.context(journal))


async def test_an_operation_that_mms_does_not_offer_does_not_delete_a_job(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, job_name_filters_source=True), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await env.create_all(journal)
            env.simulator.missing_operations.add("GetMmsJob")
            with pytest.raises(RetryStopped, match="cannot be watched now"):
                await watched(env, journal)
            assert {entry.state for entry in journal.entries} == {"made"}


async def test_a_stopped_job_has_failed(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
        apply_event(env.world, events.StopJob(source_id=SOURCE, job_id=journal.entries[0].job_id or 0))
        await watched(env, journal)
    assert (journal.entries[0].state, journal.entries[0].reason) == ("failed", "the job was stopped")


async def test_a_temporary_error_does_not_end_the_watch(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
        env.simulator.faults.add(Fault(kind="broken_rows", operation="ListMmsJobs", times=WATCH.max_failures - 1))
        await watched(env, journal)
    assert {entry.state for entry in journal.entries} == {"done"}


async def test_a_lasting_error_ends_the_watch_and_the_run_can_be_resumed(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
        env.simulator.faults.add(Fault(kind="error", operation="ListMmsJobs"))
        with pytest.raises(RetryStopped, match="cannot be watched now"):
            await watched(env, journal)
    env.simulator.faults.clear()
    with Journal.open(journal.path) as again:
        await watched(env, again)
        assert {entry.state for entry in again.entries} == {"done"}


async def test_jobs_missed_by_the_name_filter_are_watched_by_id(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, job_name_filters_source=True), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await env.create_all(journal)
            seen = await watched(env, journal)
        assert {job.name for job in seen[-1]} == journal.names
        assert {entry.state for entry in journal.entries} == {"done"}
