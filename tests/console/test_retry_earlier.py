"""Units in jobs of earlier runs are not migrated again while those jobs may be in progress."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import RetryStopped
from exporter.retry.earlier_runs import UNSEEN_SECONDS
from exporter.retry.journal import read_run
from exporter.retry.run_context import SETTLE_SECONDS
from exporter.retry.selection import RetrySelection
from exporter.simulator import Fault, apply_event
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, RetryEnv, env_on

from .test_retry_command import Run, journals, runner_on

FAILING = replace(QUIET_WORLD, retry_failure_rate=1.0)
RESUMED: dict[str, Any] = {"source": None, "selection": RetrySelection()}


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[RetryEnv]:
    """Provide a source in which each retry fails again."""
    async with env_on(FAILING, tmp_path, is_wall_virtual=True) as made:
        made.fail(0.2)
        yield made


@pytest.fixture
def run(env: RetryEnv) -> Run:
    return runner_on(env)


def made(env: RetryEnv) -> int:
    return len(env.world.site(SOURCE).job_store.created)


async def test_repeated_failures_are_migrated_after_the_settle_time(env: RetryEnv, run: Run) -> None:
    await run(yes=True)
    jobs = made(env)
    await env.pass_time(2 * env.world.options.job_seconds)
    began = env.ticks()
    again = await run(yes=True)
    assert "jobs of earlier runs have ended; MMS may still list old statuses: waiting 5m (--settle)" in again.stderr
    assert (again.outcome.succeeded, made(env)) == (True, 2 * jobs)
    assert env.ticks() - began >= SETTLE_SECONDS
    assert not env.world.truth().created_twice(SOURCE)


async def test_jobs_that_ended_long_ago_cost_no_wait_and_no_call(env: RetryEnv, run: Run) -> None:
    await run(yes=True, watch=True)
    await env.pass_time(SETTLE_SECONDS)
    env.simulator.calls_reset()
    again = await run(dry_run=True)
    assert again.lines
    assert "waiting" not in again.stderr
    assert env.simulator.calls["GetMmsJob", SOURCE] == 0


async def test_a_dry_run_neither_waits_nor_writes(env: RetryEnv, run: Run) -> None:
    await run(yes=True)
    await env.pass_time(2 * env.world.options.job_seconds)
    (journal,) = journals(env)
    written, began = journal.read_bytes(), env.ticks()
    shown = await run(dry_run=True)
    assert not shown.outcome.succeeded
    assert "MMS may still list old statuses: a run would wait 5m (--settle)" in shown.stderr
    assert "nothing to retry in hive-sales-001 (2000001) yet" in shown.stderr
    assert "of an earlier run has ended, but MMS may still list old statuses" in shown.stderr
    assert "may migrate the same data" not in shown.stderr
    assert (journal.read_bytes(), env.ticks()) == (written, began)


async def test_a_deleted_job_blocks_its_units_for_the_settle_time(env: RetryEnv, run: Run) -> None:
    await run(yes=True)
    jobs = env.jobs()
    for job in jobs:
        apply_event(env.world, events.RemoveJob(source_id=SOURCE, job_id=job.id))
    again = await run(yes=True)
    assert (again.outcome.succeeded, made(env)) == (True, 2 * len(jobs))
    assert "waiting 5m" in again.stderr
    states = {(entry.state, entry.reason) for entry in read_run(journals(env)[0]).entries}
    assert states == {("failed", "the job no longer exists in MMS")}


async def test_a_job_never_listed_blocks_its_units_for_a_day(env: RetryEnv, run: Run) -> None:
    env.world.options = replace(env.world.options, job_list_lag_seconds=60.0)
    await run(yes=True)
    jobs = env.jobs()
    for job in jobs:
        apply_event(env.world, events.RemoveJob(source_id=SOURCE, job_id=job.id))
    again = await run(yes=True)
    assert "is in progress, created by an earlier run" in again.stderr
    assert (again.outcome.succeeded, made(env)) == (False, len(jobs))
    await env.pass_time(UNSEEN_SECONDS)
    assert (await run(yes=True)).outcome.succeeded


async def test_a_resumed_run_reports_what_its_plan_skipped(env: RetryEnv, run: Run) -> None:
    rows = list(env.world.truth().partitions(SOURCE))
    failed, done = (next(row for row in rows if row.status == status) for status in ("FAILED", "DONE"))
    env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
    env.world.options = replace(env.world.options, job_list_lag_seconds=2 * SETTLE_SECONDS)
    await run(yes=True, selection=RetrySelection(partitions=[failed.id, done.id]))
    await env.pass_time(SETTLE_SECONDS)
    resumed = await run(**RESUMED, resume=journals(env)[0])
    assert " created: " in resumed.lines[0]
    assert not resumed.outcome.succeeded
    assert "the plan of this run skipped 1 of the selected objects" in resumed.stderr


async def test_an_old_copy_of_a_journal_sends_no_unlisted_job(env: RetryEnv, run: Run) -> None:
    env.world.options = replace(env.world.options, job_list_lag_seconds=10 * SETTLE_SECONDS)
    env.simulator.faults.add(Fault(kind="throttle", operation="CreateMmsJob", times=4))
    await run(yes=True)
    (journal,) = journals(env)
    copy = journal.read_bytes()
    assert {entry.state for entry in read_run(journal).entries} == {"planned"}
    assert (await run(**RESUMED, resume=journal)).outcome.succeeded
    jobs = made(env)
    journal.write_bytes(copy)
    assert {entry.state for entry in read_run(journal).entries} == {"sending"}
    with pytest.raises(RetryStopped, match="resume that run first"):
        await run(yes=True)
    assert "resume with --resend" in (await run(**RESUMED, resume=journal)).stderr
    elsewhere = env.folder / "copy.json"
    elsewhere.write_bytes(copy)
    with pytest.raises(RetryStopped, match=f"--resume={journal}"):
        await run(**RESUMED, resume=elsewhere)
    assert made(env) == jobs


async def test_resend_requires_resume(run: Run) -> None:
    with pytest.raises(Exception, match="--resend: applies to jobs in doubt of an earlier run; use it with --resume"):
        await run(yes=True, resend=True)


async def test_a_resumed_run_leaves_out_units_of_a_later_run(env: RetryEnv, run: Run) -> None:
    env.world.options = replace(env.world.options, job_list_lag_seconds=10 * SETTLE_SECONDS)
    env.simulator.faults.add(Fault(kind="throttle", operation="CreateMmsJob", times=4))
    await run(yes=True)
    (journal,) = journals(env)
    assert (await run(yes=True)).outcome.succeeded
    jobs = made(env)
    resumed = await run(**RESUMED, resume=journal)
    assert all(" skipped (all units left out, other jobs already migrate them): " in line for line in resumed.lines)
    assert (resumed.outcome.succeeded, made(env)) == (False, jobs)
