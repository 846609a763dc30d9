"""Each job is made exactly once: under every fault of the simulator, and wherever the process ends."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.errors import RetryStopped
from exporter.mms.protocol import JobRequest
from exporter.retry.job_creation import follow_all
from exporter.retry.journal import Entry, Journal, RetryRun
from exporter.retry.sending import SETTLE_SECONDS, create_jobs
from exporter.simulator import Fault
from exporter.simulator.faults.fault_plan import KINDS, Kind
from tests.harness import eventually
from tests.retry.conftest import QUIET_WORLD, SOURCE, UNFINISHED_CALLS, Stage, assert_made_once, resume, stage_on

pytestmark = pytest.mark.leaping

OPERATIONS = ("CreateMmsJob", "GetMmsAsyncTask", "ListMmsJobs")
SETTINGS: dict[str, dict[str, Any]] = {
    "drip": {"bytes_per_second": 1},
    "latency": {"seconds": 30},
    "deep_nesting": {"size": 10_000},
    "huge": {"size": 1 << 24},
    "redirect": {"url": "http://127.0.0.1:9/"},
    "answer": {"text": "[]"},
    "total": {"total": 3},
}
"""What makes a fault of a kind felt."""


@pytest.mark.parametrize("times", [1, None], ids=["once", "until-resumed"])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_job_is_made_once_under_a_fault(stage: Stage, kind: str, operation: str, times: int | None) -> None:
    fault = msgspec.convert({"kind": kind, **SETTINGS.get(kind, {})}, Fault)
    wanted, before = stage.failed(), stage.statuses()
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        stage.simulator.faults.add(msgspec.structs.replace(fault, operation=operation, times=times))
        with suppress(RetryStopped), stage.in_a_hurry():
            await stage.carry_out(journal)
        assert stage.jobs_by_name().total() <= len(journal.entries)
    stage.simulator.faults.clear()
    assert_made_once(stage, await resume(stage, journal.path))
    await stage.pass_time(2 * stage.world.options.job_seconds)
    assert {name for name, status in stage.statuses().items() if status != before[name]} == wanted


@pytest.mark.parametrize("kind", KINDS)
async def test_a_lost_answer_and_a_list_that_lies_make_no_second_job(stage: Stage, kind: str) -> None:
    """What cannot be looked for is not sent again: a damaged list is no proof that the job is not there."""
    fault = msgspec.convert({"kind": kind, **SETTINGS.get(kind, {})}, Fault)
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob"))
        # The list of unfinished jobs before each job is read well.
        stage.simulator.faults.add(msgspec.structs.replace(fault, operation="ListMmsJobs", skip=UNFINISHED_CALLS))
        with suppress(RetryStopped), stage.in_a_hurry():
            await stage.carry_out(journal)
    stage.simulator.faults.clear()
    assert_made_once(stage, await resume(stage, journal.path))


async def test_an_old_copy_of_a_journal_sends_nothing_again(stage: Stage) -> None:
    """As a backup that was restored: it says that nothing was sent yet."""
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        written = journal.path.read_bytes()
        await stage.carry_out(journal)
    await stage.pass_time(2 * stage.world.options.job_seconds)
    stage.fail(0.4)
    journal.path.write_bytes(written)
    assert_made_once(stage, await resume(stage, journal.path))


async def test_in_a_source_without_any_job_nothing_hides_the_missing_one(tmp_path: Path) -> None:
    async with stage_on(replace(QUIET_WORLD, finished_jobs_per_source=0), tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            stage.simulator.faults.add(Fault(kind="reset", operation="CreateMmsJob", times=1))
            with pytest.raises(RetryStopped, match="go on with --resend"):
                await stage.carry_out(journal)
        assert_made_once(stage, await resume(stage, journal.path))


class Killed(BaseException):
    """The end of a process, which nothing in it survives to handle."""


class Mortal(Journal):
    """A journal whose process ends at its n-th entry: just before that is written, or just after."""

    def __init__(self, path: Path, course: RetryRun) -> None:
        super().__init__(path, course)
        self.ends_at, self.is_before = 0, False
        self.noted = 0

    def note(self, place: int, entry: Entry) -> Entry:
        self.noted += 1
        if self.noted == self.ends_at and self.is_before:
            raise Killed
        super().note(place, entry)
        if self.noted == self.ends_at:
            raise Killed
        return entry


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("ends_at", range(1, 7))
async def test_a_process_that_ends_at_any_entry_is_taken_up_again(
    stage: Stage, ends_at: int, *, is_before: bool
) -> None:
    wanted, before, plan = stage.failed(), stage.statuses(), await stage.plan()
    assert 3 * len(plan.batches) >= 6, "sending, asked and made, for each job"
    with Mortal.begun(stage.folder, stage.course(plan)) as journal:
        journal.ends_at, journal.is_before = ends_at, is_before
        with pytest.raises(Killed):
            await stage.carry_out(journal)
    assert_made_once(stage, await resume(stage, journal.path))
    await stage.pass_time(2 * stage.world.options.job_seconds)
    assert {name for name, status in stage.statuses().items() if status != before[name]} == wanted


async def test_an_interrupt_while_the_answer_is_awaited_is_taken_up_again(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        stage.simulator.faults.add(Fault(kind="drip", operation="CreateMmsJob", bytes_per_second=1))
        work = asyncio.create_task(stage.carry_out(journal))
        await eventually(lambda: bool(stage.world.site(SOURCE).roster.created))
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    stage.simulator.faults.clear()
    assert_made_once(stage, await resume(stage, journal.path))


async def test_what_is_resumed_when_all_is_made_sends_nothing(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await stage.carry_out(journal)
    stage.simulator.calls_reset()
    await resume(stage, journal.path)
    assert stage.simulator.calls.total() == 0


DEFINITE = [
    Fault(kind="error", status=403, code="NoPermission"),
    Fault(kind="error", status=400, code="InvalidAccessKeyId.NotFound"),
    Fault(kind="throttle"),
]


@pytest.mark.parametrize("fault", DEFINITE, ids=lambda fault: fault.code or fault.kind)
async def test_what_mms_does_not_let_in_is_not_made_and_can_be_sent_later(stage: Stage, fault: Fault) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        stage.simulator.faults.add(msgspec.structs.replace(fault, operation="CreateMmsJob"))
        with pytest.raises(RetryStopped, match="was not made"):
            await stage.carry_out(journal)
        assert {entry.state for entry in journal.entries} == {"planned"}
        assert stage.simulator.calls["ListMmsJobs", SOURCE] == 2 * UNFINISHED_CALLS + 1, "it was not looked for"
    stage.simulator.faults.clear()
    assert_made_once(stage, await resume(stage, journal.path))


async def test_a_request_that_mms_rejects_is_refused_and_the_others_are_made(stage: Stage) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        stage.simulator.faults.add(
            Fault(kind="error", operation="CreateMmsJob", status=400, code="InvalidParameter.partitions", times=1)
        )
        await stage.carry_out(journal)
    assert [entry.state for entry in journal.entries] == ["refused", *["made"] * (len(journal.entries) - 1)]
    assert "InvalidParameter.partitions" in journal.entries[0].reason


DOUBTFUL = [
    Fault(kind="html", status=403),
    Fault(kind="error", status=409, code="JobExists"),
    Fault(kind="error", status=400, code="SignatureNonceUsed"),
    Fault(kind="code_in_200", code="NoPermission"),
    Fault(kind="error", status=503, code="ServiceUnavailable"),
    Fault(kind="code_in_200", code="Throttling.User"),
    Fault(kind="html", status=429),
    Fault(kind="error", status=429, code="TooManyRequests"),
]


@pytest.mark.parametrize("fault", DOUBTFUL, ids=lambda fault: f"{fault.kind}-{fault.code}")
async def test_an_answer_that_leaves_a_doubt_has_the_job_looked_for(stage: Stage, fault: Fault) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        stage.simulator.faults.add(msgspec.structs.replace(fault, operation="CreateMmsJob", times=1))
        with pytest.raises(RetryStopped, match="if it was not made, go on with --resend"):
            await stage.carry_out(journal)
        assert (journal.entries[0].state, journal.entries[0].sends) == ("sending", 1)
        assert any("looking whether the job was made all the same" in told for told in stage.told)
    assert_made_once(stage, await resume(stage, journal.path))


async def test_a_refusal_of_what_was_sent_before_is_not_believed_before_the_job_was_looked_for(tmp_path: Path) -> None:
    """The first request came through, later than anybody waited, and is what the second one collides with."""
    async with stage_on(replace(QUIET_WORLD, async_task_seconds=2 * SETTLE_SECONDS + 60), tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
            stage.simulator.faults.add(
                Fault(kind="error", operation="CreateMmsJob", status=400, code="Duplicate", times=1)
            )
            with pytest.raises(RetryStopped, match="go on with --resend"):
                await stage.carry_out(journal)
            await stage.carry_out(journal, resend=True)
        assert journal.entries[0].sends == 2
        assert_made_once(stage, journal.entries)


async def test_a_job_that_takes_long_to_be_made_is_waited_for(tmp_path: Path) -> None:
    async with stage_on(replace(QUIET_WORLD, async_task_seconds=200.0), tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            stage.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob"))
            await stage.carry_out(journal)
        assert_made_once(stage, journal.entries)


async def test_an_asynchronous_task_that_fails_is_told_without_the_vendors_words(tmp_path: Path) -> None:
    async with stage_on(replace(QUIET_WORLD, async_task_failure_rate=1.0), tmp_path) as stage:
        stage.fail(0.4)
        with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
            await stage.carry_out(journal)
        assert {entry.state for entry in journal.entries} == {"refused"}
        assert "canary" not in journal.path.read_text(encoding="utf-8")
        assert not stage.jobs()


async def test_an_asynchronous_task_that_says_failed_is_not_believed_before_the_job_was_looked_for(
    stage: Stage,
) -> None:
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        await create_jobs(stage.means(journal))
        await stage.pass_time(60)
        stage.simulator.faults.add(
            Fault(kind="answer", operation="GetMmsAsyncTask", text='{"data": {"status": "FAILED"}}')
        )
        await follow_all(stage.means(journal))
        assert_made_once(stage, journal.entries)


@pytest.mark.parametrize("lists_lag", [False, True])
async def test_what_no_list_shows_is_sent_once_and_again_only_on_a_persons_word(
    stage: Stage, *, lists_lag: bool
) -> None:
    """Whether the request was lost or the list is late looks the same."""
    kind: Kind = "lost_answer" if lists_lag else "reset"
    stage.world.options = replace(stage.world.options, job_list_lag_seconds=10 * SETTLE_SECONDS)
    stage.simulator.faults.add(Fault(kind=kind, operation="CreateMmsJob", times=1))
    with Journal.begun(stage.folder, stage.course(await stage.plan())) as journal:
        name = journal.entries[0].name
        for _ in range(3):
            with pytest.raises(RetryStopped, match=f"{name} may have been sent, .* in data source {SOURCE}: if it is"):
                await stage.carry_out(journal)
        assert journal.entries[0].state == "sending"
        assert stage.simulator.calls["CreateMmsJob", SOURCE] == 1
        await stage.pass_time(10 * SETTLE_SECONDS)
    assert_made_once(stage, await resume(stage, journal.path))


async def test_what_could_not_even_be_connected_was_not_sent(stage: Stage) -> None:
    plan = await stage.plan()
    with Journal.begun(stage.folder, stage.course(plan)) as journal:
        await stage.simulator.stop()
        await stage.client.close()
        with pytest.raises(RetryStopped, match="cannot connect"):
            await create_jobs(replace(stage.means(journal), planned_at=stage.ticks()))
        assert {entry.state for entry in journal.entries} == {"planned"}


async def test_what_others_have_begun_meanwhile_is_left_out(stage: Stage) -> None:
    plan = await stage.plan()
    batch = next(batch for batch in plan.batches if batch.partitions)
    taken = next(batch.partition_ids)
    with Journal.begun(stage.folder, stage.course(plan)) as journal:
        request = JobRequest(name="somebody else's", src_db_name=batch.frame.src_db, partitions=(taken,))
        await stage.client.create_job(SOURCE, request)
        await stage.pass_time(60)
        await stage.carry_out(journal)
    sent = {number for entry in journal.entries for number in entry.batch.partition_ids}
    assert sent == {number for each in plan.batches for number in each.partition_ids} - {taken}
    assert any("left out" in told for told in stage.told)


async def test_what_others_have_begun_whole_is_skipped(stage: Stage) -> None:
    plan = await stage.plan()
    with Journal.begun(stage.folder, stage.course(plan)) as journal:
        for db in {batch.frame.src_db for batch in plan.batches}:
            await stage.client.create_job(SOURCE, JobRequest(name=f"all of {db}", src_db_name=db))
        await stage.pass_time(60)
        await stage.carry_out(journal)
    assert {entry.state for entry in journal.entries} == {"skipped"}
    assert not stage.jobs()
