"""Each job is created exactly once, under every fault and after a kill at any point."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exporter.errors import RetryStopped
from exporter.mms.protocol import JobRequest
from exporter.retry.journal import Entry, Journal, RetryRun
from exporter.retry.run_context import SETTLE_SECONDS
from exporter.retry.sending import await_job_ids, create_jobs
from exporter.simulator import Fault
from exporter.simulator.faults.fault_plan import KINDS, Kind
from tests.harness import eventually
from tests.retry.conftest import (
    PLAN_CALLS,
    QUIET_WORLD,
    SOURCE,
    UNFINISHED_CALLS,
    RetryEnv,
    assert_made_once,
    env_on,
    resume,
)

pytestmark = pytest.mark.virtual_time

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
"""Parameters with which a fault of each kind takes effect."""


# Of the two operations that only read, half of the faults once and half until the run is resumed, in turn; the others
# are in `make scale`.
FAULTS = [
    pytest.param(
        *(kind, operation, times),
        id=f"{kind}-{operation}-{'once' if times else 'until-resumed'}",
        marks=[] if operation == "CreateMmsJob" or row % 2 == bool(times) else pytest.mark.scale,
    )
    for row, kind in enumerate(KINDS)
    for operation in OPERATIONS
    for times in (1, None)
]


@pytest.mark.parametrize(("kind", "operation", "times"), FAULTS)
async def test_a_job_is_created_once_under_a_fault(env: RetryEnv, kind: str, operation: str, times: int | None) -> None:
    fault = msgspec.convert({"kind": kind, **SETTINGS.get(kind, {})}, Fault)
    wanted, before = env.failed(), env.statuses()
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        env.simulator.faults.add(msgspec.structs.replace(fault, operation=operation, times=times))
        with suppress(RetryStopped), env.short_timeouts():
            await env.create_all(journal)
        assert env.jobs_by_name().total() <= len(journal.entries)
    env.simulator.faults.clear()
    assert_made_once(env, await resume(env, journal.path))
    await env.pass_time(2 * env.world.options.job_seconds)
    assert {name for name, status in env.statuses().items() if status != before[name]} == wanted


@pytest.mark.parametrize("kind", KINDS)
async def test_a_lost_answer_and_a_damaged_list_create_no_second_job(env: RetryEnv, kind: str) -> None:
    """A damaged list does not prove that none exists."""
    fault = msgspec.convert({"kind": kind, **SETTINGS.get(kind, {})}, Fault)
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob"))
        # The list of unfinished jobs before each job is read well.
        env.simulator.faults.add(msgspec.structs.replace(fault, operation="ListMmsJobs", skip=UNFINISHED_CALLS))
        with suppress(RetryStopped), env.short_timeouts():
            await env.create_all(journal)
    env.simulator.faults.clear()
    assert_made_once(env, await resume(env, journal.path))


async def test_an_old_copy_of_a_journal_sends_nothing_again(env: RetryEnv) -> None:
    """A restored backup says that nothing was sent yet."""
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        written = journal.path.read_bytes()
        await env.create_all(journal)
    await env.pass_time(2 * env.world.options.job_seconds)
    env.fail(0.4)
    journal.path.write_bytes(written)
    assert_made_once(env, await resume(env, journal.path))


async def test_a_job_is_known_to_be_missing_in_a_source_without_jobs(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, finished_jobs_per_source=0), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            env.simulator.faults.add(Fault(kind="reset", operation="CreateMmsJob", times=1))
            with pytest.raises(RetryStopped, match="resume with --resend"):
                await env.create_all(journal)
        assert_made_once(env, await resume(env, journal.path))


class Killed(BaseException):
    """The end of a process; nothing handles it."""


class KillingJournal(Journal):
    """A journal that ends its process at its n-th write."""

    def __init__(self, path: Path, run: RetryRun) -> None:
        super().__init__(path, run)
        self.ends_at, self.is_before = 0, False
        self.noted = 0

    def update(self, *changed: Entry) -> None:
        self.noted += 1
        if self.noted == self.ends_at and self.is_before:
            raise Killed
        super().update(*changed)
        if self.noted == self.ends_at:
            raise Killed


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("ends_at", range(1, 7))
async def test_a_run_killed_at_any_journal_write_can_be_resumed(
    env: RetryEnv, ends_at: int, *, is_before: bool
) -> None:
    wanted, before, plan = env.failed(), env.statuses(), await env.plan()
    assert 3 * len(plan.batches) >= 6, "sending, asked and made, for each job"
    with KillingJournal.create(env.folder, env.new_run(plan)) as journal:
        journal.ends_at, journal.is_before = ends_at, is_before
        with pytest.raises(Killed):
            await env.create_all(journal)
    assert_made_once(env, await resume(env, journal.path))
    await env.pass_time(2 * env.world.options.job_seconds)
    assert {name for name, status in env.statuses().items() if status != before[name]} == wanted


async def test_a_run_interrupted_during_a_request_can_be_resumed(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        env.simulator.faults.add(Fault(kind="drip", operation="CreateMmsJob", bytes_per_second=1))
        work = asyncio.create_task(env.create_all(journal))
        await eventually(lambda: bool(env.world.site(SOURCE).job_store.created))
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
    env.simulator.faults.clear()
    assert_made_once(env, await resume(env, journal.path))


async def test_resuming_a_finished_run_sends_nothing(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await env.create_all(journal)
    env.simulator.calls_reset()
    await resume(env, journal.path)
    assert env.simulator.calls.total() == 0


DEFINITE = [
    Fault(kind="error", status=403, code="NoPermission"),
    Fault(kind="error", status=400, code="InvalidAccessKeyId.NotFound"),
    Fault(kind="error", status=404, code="InvalidAction.NotFound"),
    Fault(kind="throttle"),
]


@pytest.mark.parametrize("fault", DEFINITE, ids=lambda fault: fault.code or fault.kind)
async def test_a_definite_refusal_leaves_the_job_planned(env: RetryEnv, fault: Fault) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        env.simulator.faults.add(msgspec.structs.replace(fault, operation="CreateMmsJob"))
        with pytest.raises(RetryStopped, match="was not created"):
            await env.create_all(journal)
        assert {entry.state for entry in journal.entries} == {"planned"}
        assert env.simulator.calls["ListMmsJobs", SOURCE] == PLAN_CALLS + UNFINISHED_CALLS, "it was not looked for"
    env.simulator.faults.clear()
    assert_made_once(env, await resume(env, journal.path))


async def test_a_rejected_request_is_refused_and_the_others_are_created(env: RetryEnv) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        env.simulator.faults.add(
            Fault(kind="error", operation="CreateMmsJob", status=400, code="InvalidParameter.partitions", times=1)
        )
        await env.create_all(journal)
    assert [entry.state for entry in journal.entries] == ["refused", *["made"] * (len(journal.entries) - 1)]
    assert "InvalidParameter.partitions" in journal.entries[0].reason


UNCLEAR = [
    Fault(kind="html", status=403),
    Fault(kind="error", status=409, code="JobExists"),
    Fault(kind="error", status=400, code="SignatureNonceUsed"),
    Fault(kind="code_in_200", code="NoPermission"),
    Fault(kind="error", status=503, code="ServiceUnavailable"),
    Fault(kind="code_in_200", code="Throttling.User"),
    Fault(kind="html", status=429),
    Fault(kind="error", status=429, code="TooManyRequests"),
]


@pytest.mark.parametrize("fault", UNCLEAR, ids=lambda fault: f"{fault.kind}-{fault.code}")
async def test_an_unclear_answer_causes_a_lookup(env: RetryEnv, fault: Fault) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        env.simulator.faults.add(msgspec.structs.replace(fault, operation="CreateMmsJob", times=1))
        with pytest.raises(RetryStopped, match="if it was not created, resume with --resend"):
            await env.create_all(journal)
        assert (journal.entries[0].state, journal.entries[0].sends) == ("sending", 1)
        assert any("checking whether the job was created anyway" in message for message in env.messages)
    assert_made_once(env, await resume(env, journal.path))


async def test_a_refusal_after_a_resend_causes_a_lookup(tmp_path: Path) -> None:
    """The first request arrived late and causes the refusal."""
    async with env_on(replace(QUIET_WORLD, async_task_seconds=2 * SETTLE_SECONDS + 60), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob", times=1))
            env.simulator.faults.add(
                Fault(kind="error", operation="CreateMmsJob", status=400, code="Duplicate", times=1)
            )
            with pytest.raises(RetryStopped, match="resume with --resend"):
                await env.create_all(journal)
            await env.create_all(journal, resend=True)
        assert journal.entries[0].sends == 2
        assert_made_once(env, journal.entries)


async def test_a_slow_job_creation_is_awaited(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, async_task_seconds=200.0), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            env.simulator.faults.add(Fault(kind="lost_answer", operation="CreateMmsJob"))
            await env.create_all(journal)
        assert_made_once(env, journal.entries)


async def test_a_failed_asynchronous_task_is_reported_without_the_vendor_text(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, async_task_failure_rate=1.0), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            await env.create_all(journal)
        assert {entry.state for entry in journal.entries} == {"refused"}
        assert "canary" not in journal.path.read_text(encoding="utf-8")
        assert not env.jobs()


async def test_a_failed_asynchronous_task_causes_a_lookup(
    env: RetryEnv,
) -> None:
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        await create_jobs(env.context(journal))
        await env.pass_time(60)
        env.simulator.faults.add(
            Fault(kind="answer", operation="GetMmsAsyncTask", text='{"data": {"status": "FAILED"}}')
        )
        await await_job_ids(env.context(journal))
        assert_made_once(env, journal.entries)


@pytest.mark.parametrize("lists_lag", [False, True])
async def test_an_unlisted_job_is_sent_again_only_with_resend(env: RetryEnv, *, lists_lag: bool) -> None:
    """A lost request and a late list look the same."""
    kind: Kind = "lost_answer" if lists_lag else "reset"
    env.world.options = replace(env.world.options, job_list_lag_seconds=10 * SETTLE_SECONDS)
    env.simulator.faults.add(Fault(kind=kind, operation="CreateMmsJob", times=1))
    with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
        name = journal.entries[0].name
        for _ in range(3):
            with pytest.raises(
                RetryStopped, match=f"{name} may have been sent, .* in data source {SOURCE}: if it exists"
            ):
                await env.create_all(journal)
        assert journal.entries[0].state == "sending"
        assert env.simulator.calls["CreateMmsJob", SOURCE] == 1
        await env.pass_time(10 * SETTLE_SECONDS)
    assert_made_once(env, await resume(env, journal.path))


async def test_an_accepted_job_that_never_appears_is_sent_again_only_with_resend(tmp_path: Path) -> None:
    """Its asynchronous task has expired, and no list shows the job."""
    async with env_on(replace(QUIET_WORLD, async_task_failure_rate=1.0), tmp_path) as env:
        env.fail(0.4)
        env.simulator.faults.add(Fault(kind="error", operation="GetMmsAsyncTask", status=404, code="AsyncTaskNotFound"))
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            for _ in range(2):
                with pytest.raises(RetryStopped, match=r"reported no result, .* after 15m; .* resume with --resend"):
                    await env.create_all(journal)
            sent = env.simulator.calls["CreateMmsJob", SOURCE]
            assert {entry.state for entry in journal.entries} == {"asked"}
            assert sent == len(journal.entries)
            source = env.world.site(SOURCE).source
            source.options = replace(source.options, async_task_failure_rate=0.0)
            await env.create_all(journal, resend=True)
        assert env.simulator.calls["CreateMmsJob", SOURCE] == 2 * sent
        assert {entry.state for entry in journal.entries} == {"made"}
        assert env.jobs_by_name() == Counter(entry.name for entry in journal.entries)


async def test_a_job_that_is_still_being_created_is_not_sent_again(tmp_path: Path) -> None:
    async with env_on(replace(QUIET_WORLD, async_task_seconds=10_000.0), tmp_path) as env:
        env.fail(0.4)
        with Journal.create(env.folder, env.new_run(await env.plan())) as journal:
            for resend in (False, True):
                with pytest.raises(RetryStopped, match=r"MMS is still creating .* is DOING; resume later"):
                    await env.create_all(journal, resend=resend)
            assert env.simulator.calls["CreateMmsJob", SOURCE] == len(journal.entries)


async def test_a_failed_connection_leaves_jobs_planned(env: RetryEnv) -> None:
    plan = await env.plan()
    with Journal.create(env.folder, env.new_run(plan)) as journal:
        await env.simulator.stop()
        await env.client.close()
        with pytest.raises(RetryStopped, match="cannot connect"):
            await create_jobs(replace(env.context(journal), planned_at=env.ticks()))
        assert {entry.state for entry in journal.entries} == {"planned"}


async def test_units_in_newer_jobs_are_left_out(env: RetryEnv) -> None:
    plan = await env.plan()
    batch = next(batch for batch in plan.batches if batch.partitions)
    taken = next(batch.partition_ids)
    with Journal.create(env.folder, env.new_run(plan)) as journal:
        request = JobRequest(name="somebody else's", src_db_name=batch.template.src_db, partitions=(taken,))
        await env.client.create_job(SOURCE, request)
        await env.pass_time(60)
        await env.create_all(journal)
    sent = {number for entry in journal.entries for number in entry.batch.partition_ids}
    assert sent == {number for each in plan.batches for number in each.partition_ids} - {taken}
    assert any("left out" in message for message in env.messages)


async def test_a_batch_completely_in_newer_jobs_is_skipped(env: RetryEnv) -> None:
    plan = await env.plan()
    with Journal.create(env.folder, env.new_run(plan)) as journal:
        for db in {batch.template.src_db for batch in plan.batches}:
            await env.client.create_job(SOURCE, JobRequest(name=f"all of {db}", src_db_name=db))
        await env.pass_time(60)
        await env.create_all(journal)
    assert {entry.state for entry in journal.entries} == {"skipped"}
    assert not env.jobs()
