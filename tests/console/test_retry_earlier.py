"""What earlier runs made is left alone while it may be at work, and no longer."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import RetryStopped
from exporter.retry.earlier_runs import UNSEEN_SECONDS
from exporter.retry.journal import course_from
from exporter.retry.selection import RetrySelection
from exporter.retry.sending import SETTLE_SECONDS
from exporter.simulator import Fault, happen
from exporter.simulator.world import events
from tests.retry.conftest import QUIET_WORLD, SOURCE, Stage, stage_on

from .test_retry import Run, journals, runner_on

FAILING = replace(QUIET_WORLD, retry_failure_rate=1.0)
RESUMED: dict[str, Any] = {"source": None, "selection": RetrySelection()}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Provide a source in which each retry fails again."""
    async with stage_on(FAILING, tmp_path, is_wall_virtual=True) as made:
        made.fail(0.2)
        yield made


@pytest.fixture
def run(stage: Stage) -> Run:
    return runner_on(stage)


def made(stage: Stage) -> int:
    return len(stage.world.site(SOURCE).roster.created)


async def test_what_failed_again_is_migrated_again_once_its_statuses_have_settled(stage: Stage, run: Run) -> None:
    await run(yes=True)
    jobs = made(stage)
    await stage.pass_time(2 * stage.world.options.job_seconds)
    began = stage.ticks()
    again = await run(yes=True)
    assert "jobs of earlier runs have ended; MMS may still list old statuses: waiting 5m (--settle)" in again.said
    assert (again.outcome.is_fine, made(stage)) == (True, 2 * jobs)
    assert stage.ticks() - began >= SETTLE_SECONDS
    assert not stage.world.truth().created_twice(SOURCE)


async def test_jobs_that_ended_long_ago_cost_no_wait_and_no_call(stage: Stage, run: Run) -> None:
    await run(yes=True, watch=True)
    await stage.pass_time(SETTLE_SECONDS)
    stage.simulator.calls_reset()
    again = await run(dry_run=True)
    assert again.lines
    assert "waiting" not in again.said
    assert stage.simulator.calls["GetMmsJob", SOURCE] == 0


async def test_a_dry_run_shows_what_is_left_out_and_neither_waits_nor_writes(stage: Stage, run: Run) -> None:
    await run(yes=True)
    await stage.pass_time(2 * stage.world.options.job_seconds)
    (journal,) = journals(stage)
    written, began = journal.read_bytes(), stage.ticks()
    shown = await run(dry_run=True)
    assert not shown.outcome.is_fine
    assert "is over, but statuses may lag behind it, and may migrate it" in shown.said
    assert (journal.read_bytes(), stage.ticks()) == (written, began)


async def test_a_job_that_was_deleted_is_in_the_way_until_statuses_have_settled(stage: Stage, run: Run) -> None:
    await run(yes=True)
    jobs = stage.jobs()
    for job in jobs:
        happen(stage.world, events.RemoveJob(source_id=SOURCE, job_id=job.id))
    again = await run(yes=True)
    assert (again.outcome.is_fine, made(stage)) == (True, 2 * len(jobs))
    assert "waiting 5m" in again.said
    states = {(entry.state, entry.reason) for entry in course_from(journals(stage)[0]).entries}
    assert states == {("failed", "MMS does not have the job any more")}


async def test_a_job_that_was_never_shown_is_in_the_way_for_a_day(stage: Stage, run: Run) -> None:
    stage.world.options = replace(stage.world.options, job_list_lag_seconds=60.0)
    await run(yes=True)
    jobs = stage.jobs()
    for job in jobs:
        happen(stage.world, events.RemoveJob(source_id=SOURCE, job_id=job.id))
    again = await run(yes=True)
    assert "is in progress, made by an earlier run" in again.said
    assert (again.outcome.is_fine, made(stage)) == (False, len(jobs))
    await stage.pass_time(UNSEEN_SECONDS)
    assert (await run(yes=True)).outcome.is_fine


async def test_what_the_plan_left_out_is_not_forgotten_by_the_run_that_goes_on(stage: Stage, run: Run) -> None:
    rows = list(stage.world.truth().partitions(SOURCE))
    failed, done = (next(row for row in rows if row.status == status) for status in ("FAILED", "DONE"))
    stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
    stage.world.options = replace(stage.world.options, job_list_lag_seconds=2 * SETTLE_SECONDS)
    await run(yes=True, selection=RetrySelection(partitions=[failed.id, done.id]))
    await stage.pass_time(SETTLE_SECONDS)
    resumed = await run(**RESUMED, resume=journals(stage)[0])
    assert " made: " in resumed.lines[0]
    assert not resumed.outcome.is_fine
    assert "the plan of this run left out 1 of what was asked for" in resumed.said


async def test_an_old_copy_of_a_journal_sends_nothing_though_no_list_shows_its_jobs(stage: Stage, run: Run) -> None:
    stage.world.options = replace(stage.world.options, job_list_lag_seconds=10 * SETTLE_SECONDS)
    stage.simulator.faults.add(Fault(kind="throttle", operation="CreateMmsJob", times=4))
    await run(yes=True)
    (journal,) = journals(stage)
    copy = journal.read_bytes()
    assert {entry.state for entry in course_from(journal).entries} == {"planned"}
    assert (await run(**RESUMED, resume=journal)).outcome.is_fine
    jobs = made(stage)
    journal.write_bytes(copy)
    assert {entry.state for entry in course_from(journal).entries} == {"sending"}
    with pytest.raises(RetryStopped, match="settle that first"):
        await run(yes=True)
    assert "go on with --resend" in (await run(**RESUMED, resume=journal)).said
    elsewhere = stage.folder / "copy.json"
    elsewhere.write_bytes(copy)
    with pytest.raises(RetryStopped, match=f"--resume={journal}"):
        await run(**RESUMED, resume=elsewhere)
    assert made(stage) == jobs


async def test_resend_is_for_a_run_that_is_resumed(run: Run) -> None:
    with pytest.raises(Exception, match="--resend: is for jobs in doubt of an earlier run; give it with --resume"):
        await run(yes=True, resend=True)


async def test_a_run_that_goes_on_leaves_out_what_a_later_run_made(stage: Stage, run: Run) -> None:
    stage.world.options = replace(stage.world.options, job_list_lag_seconds=10 * SETTLE_SECONDS)
    stage.simulator.faults.add(Fault(kind="throttle", operation="CreateMmsJob", times=4))
    await run(yes=True)
    (journal,) = journals(stage)
    assert (await run(yes=True)).outcome.is_fine
    jobs = made(stage)
    resumed = await run(**RESUMED, resume=journal)
    assert all(" skipped (other jobs have all of it under way by now): " in line for line in resumed.lines)
    assert (resumed.outcome.is_fine, made(stage)) == (False, jobs)
