"""Creates the jobs of a journal, each exactly once, also after a lost answer or a crash.

Each request is in the journal before it is sent. After an unclear answer the job is looked up by its unique name. A
job that MMS does not list in time is not sent again, because the list may lag for longer: the run stops, and only
`--resend` says that the job was not created.
"""

from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Final

from msgspec.structs import replace

from exporter.config.sections import duration_text
from exporter.errors import (
    AuthRefused,
    ConnectionFailed,
    CredentialsUnavailable,
    MmsError,
    NotFound,
    OperationUnsupported,
    PermissionRefused,
    RequestRejected,
    RetryStopped,
    Throttled,
)
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES
from exporter.retry.coverage import Coverage
from exporter.retry.job_lookup import confirmed_jobs_named, jobs_named, unfinished_jobs
from exporter.retry.journal import Entry
from exporter.retry.planning import blocking_reason
from exporter.retry.run_context import Polling, RetryContext, stop_on_error
from exporter.retry.unit_reader import FailedRecheck, UnitReader
from exporter.retry.units import DONE, FAILED, Batch

LOOKUP: Final = Polling(first_seconds=2.0, max_seconds=20.0, max_failures=3)
"""After a request whose result is unknown."""
CREATION: Final = Polling(first_seconds=2.0, max_seconds=10.0, max_failures=5)
"""After a request that MMS accepted. Source: `../shared/api/FACTS.md`, "Creating a job"."""
CREATION_TIMEOUT_SECONDS: Final = 900.0
"""How long to wait for one job that MMS accepted."""


async def create_jobs(context: RetryContext) -> None:
    """Send every planned job and resolve every job in doubt. Raises: RetryStopped."""
    recheck = FailedRecheck(UnitReader(context.client, context.source_id), context.clock, context.planned_at)
    for entry in context.journal.entries:
        if entry.state == "sending" or (entry.state == "asked" and context.resend):
            await _resolve(context, recheck, entry)
        elif entry.state == "planned" and not await _already_exists(context, entry):
            await _recheck_and_send(context, recheck, entry)


async def await_job_ids(context: RetryContext) -> None:
    """Wait until each requested job exists or was refused. Raises: RetryStopped."""
    for entry in context.journal.entries:
        if entry.state == "asked":
            with stop_on_error(f"MMS accepted {entry.name}, but its result could not be read"):
                ended = await context.poll(CREATION, partial(_creation, context, entry), CREATION_TIMEOUT_SECONDS)
            if ended is None:
                raise _in_doubt(context, entry, CREATION_TIMEOUT_SECONDS)
            context.journal.update(ended)


async def _already_exists(context: RetryContext, entry: Entry) -> bool:
    if not context.journal.is_resumed:
        return False
    with stop_on_error(f"could not check whether {entry.name} exists; nothing more was sent"):
        found = await confirmed_jobs_named(context.client, context.source_id, entry.name)
    if found:
        context.notify(f"{entry.name} already exists, not sent")
        context.journal.update(replace(entry, state="made", job_id=found[0].id, seen=True))
    return bool(found)


async def _recheck_and_send(context: RetryContext, recheck: FailedRecheck, entry: Entry) -> None:
    """Send the FAILED units that no other job migrates."""
    with stop_on_error("could not recheck which units are FAILED; nothing more was sent"):
        batch = await recheck.still_failed(entry.batch)
    entry = _with_batch(context, entry, batch, "they are no longer FAILED")
    if entry.state != "skipped":
        batch = await _without_blocked_units(context, entry)
        entry = _with_batch(context, entry, batch, "other jobs already migrate them")
    if entry.state != "skipped":
        await _send(context, entry)


async def _without_blocked_units(context: RetryContext, entry: Entry) -> Batch:
    # A job with the entry's own name is an earlier request that arrived late; it blocks the units.
    own = context.journal.names - {entry.name}
    with stop_on_error("could not read the unfinished jobs; nothing more was sent"):
        jobs = await unfinished_jobs(context.client, context.source_id, own)
    unfinished = Coverage((*jobs, *context.earlier))
    return entry.batch.without(lambda unit: blocking_reason(unit, unfinished))


def _with_batch(context: RetryContext, entry: Entry, batch: Batch, why: str) -> Entry:
    """Return the entry with a smaller batch; `skipped` if it is empty."""
    if not batch.size:
        entry = replace(entry, state="skipped", reason=f"all units left out, {why}")
        context.journal.update(entry)
        return entry
    left_out = entry.batch.size - batch.size
    if left_out:
        context.notify(f"{entry.name}: left out {left_out:,} of {entry.batch.size:,} units, {why}")
    return replace(entry, batch=batch, left_out=entry.left_out + left_out)


async def _send(context: RetryContext, entry: Entry) -> None:
    """Send once. Raises: RetryStopped if the result stays unknown."""
    entry = replace(entry, state="sending", sends=entry.sends + 1, async_task_id=None)
    context.journal.update(entry)
    request = entry.batch.request(entry.name, context.journal.run.source)
    try:
        created = await context.client.create_job(context.source_id, request)
    except MmsError as error:
        await _handle_failed_send(context, entry, error)
    else:
        context.journal.update(replace(entry, state="asked", async_task_id=created.async_task_id))


async def _handle_failed_send(context: RetryContext, entry: Entry, error: MmsError) -> None:
    was_refused = _was_refused(error)
    if not was_refused or entry.sends > 1:  # an earlier request may have arrived and caused the refusal
        context.notify(f"{entry.name}: {error}; checking whether the job was created anyway")
        if await _find_and_record(context, entry):
            return
        if not was_refused:
            raise _in_doubt(context, entry, context.settle_seconds) from None
    if isinstance(error, RequestRejected | NotFound):
        context.journal.update(replace(entry, state="refused", reason=str(error)))
        return
    context.journal.update(replace(entry, state="planned", sends=0))
    with stop_on_error(f"{entry.name} was not created"):
        raise error


def _was_refused(error: MmsError) -> bool:
    """Return whether the error proves that no job was created.

    An error page of a gateway has a status but no MMS code, and the service behind it may have created the job. A
    conflict or a used nonce may mean that a proxy sent the same request twice.
    """
    if isinstance(error, CredentialsUnavailable):
        return True
    if isinstance(error, Throttled):
        return error.is_certain
    if isinstance(error, ConnectionFailed):
        return error.is_unsent
    if error.status == HTTPStatus.CONFLICT or error.refused == "nonce":
        return False
    is_refusal = isinstance(error, AuthRefused | PermissionRefused | OperationUnsupported | NotFound | RequestRejected)
    return is_refusal and bool(error.code) and (error.status or 0) >= HTTPStatus.BAD_REQUEST


async def _resolve(context: RetryContext, recheck: FailedRecheck, entry: Entry) -> None:
    """Look up a job that may have been sent. Raises: RetryStopped."""
    context.notify(f"{entry.name} may have been sent; checking whether the job was created")
    if await _find_and_record(context, entry):
        return
    if not context.resend:
        raise _in_doubt(context, entry, context.settle_seconds)
    await _recheck_and_send(context, recheck, entry)


def _in_doubt(context: RetryContext, entry: Entry, seconds: float) -> RetryStopped:
    accepted = f"MMS accepted {entry.name} (asynchronous task {entry.async_task_id}) and reported no result"
    return RetryStopped(
        f"{accepted if entry.state == 'asked' else f'{entry.name} may have been sent'}, but MMS does not list it after "
        f"{duration_text(seconds)}; it was not sent again; look in the MMS console for a job with this name in data "
        f"source {context.source_id}: if it exists or may still appear, resume later; if it was not created, resume "
        "with --resend"
    )


async def _find_and_record(context: RetryContext, entry: Entry) -> bool:
    """Look up a job; record its creation. Raises: RetryStopped."""
    with stop_on_error(f"{entry.name} may have been created, but could not be looked up"):
        found = await context.poll(LOOKUP, partial(_creation, context, entry), context.settle_seconds)
    if found is not None:
        context.journal.update(found)
    return found is not None


async def _creation(context: RetryContext, entry: Entry, is_last: bool) -> Entry | None:  # noqa: FBT001 - as `poll` calls it
    """Return the entry once its job exists or was refused; None while that is unknown.

    Raises: MmsError if neither the asynchronous task nor the list of jobs could be read. RetryStopped if MMS is still
    at work when no time is left.
    """
    status, job_id = await _async_task(context, entry)
    if status == DONE and job_id is not None:
        return replace(entry, state="made", job_id=job_id)
    if status in UNFINISHED_JOB_STATUSES:
        if is_last:
            raise RetryStopped(f"MMS is still creating {entry.name}: its asynchronous task is {status}; resume later")
        return None
    find = confirmed_jobs_named if is_last or status == FAILED else jobs_named
    found = await find(context.client, context.source_id, entry.name)
    if found:
        return replace(entry, state="made", job_id=found[0].id, seen=True)
    # The task's own error text may contain a secret.
    reason = f"MMS could not create it: asynchronous task {entry.async_task_id} is FAILED"
    return replace(entry, state="refused", reason=reason) if status == FAILED else None


async def _async_task(context: RetryContext, entry: Entry) -> tuple[str | None, int | None]:
    """Return status and job ID of an asynchronous task; None if unreadable."""
    if entry.async_task_id is not None:
        with suppress(MmsError):
            task = await context.client.get_async_task(context.source_id, entry.async_task_id)
            return task.status, task.object_id
    return None, None
