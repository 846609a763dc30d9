"""Creates the jobs of a journal, each exactly once, also after a lost answer or a crash.

Each request is in the journal before it is sent. After an unclear answer the job is looked up by its unique name. A
job that MMS does not list within the settle time is not sent again, because the list may lag for longer: the run
stops, and only `--resend` says that the job was not created.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from msgspec.structs import replace

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.config.sections import duration_text
from exporter.errors import (
    AuthRefused,
    ConnectionFailed,
    CredentialsUnavailable,
    MmsError,
    NotFound,
    PermissionRefused,
    RequestRejected,
    RetryStopped,
    Throttled,
)
from exporter.mms.client import Client
from exporter.mms.models import Job
from exporter.retry.batches import Batch
from exporter.retry.coverage import Coverage
from exporter.retry.failed_recheck import FailedRecheck
from exporter.retry.failed_units import FailedUnitReader
from exporter.retry.job_lookup import confirmed_jobs_named, jobs_named, unfinished_jobs
from exporter.retry.journal import Entry, Journal
from exporter.retry.planning import blocking_reason

SETTLE_SECONDS: Final = 300.0
"""Default lag of lists and statuses behind jobs. UNVERIFIED: the real lag; a live account would show it."""
FIRST_POLL_SECONDS: Final = 2.0
"""Before the second lookup; later intervals grow."""
MAX_POLL_SECONDS: Final = 20.0
MAX_FAILED_POLLS: Final = 3
"""Consecutive failed lookups that stop the run; each includes the client's own retries."""

Notify = Callable[[str], None]
"""Receives progress messages, one sentence each."""


@dataclass(frozen=True, slots=True)
class RetryContext:
    """What one run needs to create its jobs."""

    client: Client
    journal: Journal
    notify: Notify
    clock: Clock = SYSTEM_CLOCK
    planned_at: float | None = None
    """Monotonic time at which the plan read its statuses; None for an earlier process."""
    settle_seconds: float = SETTLE_SECONDS
    """How long a list or a status may lag behind a job."""
    earlier: tuple[Job, ...] = ()
    """Jobs of earlier runs that may be in progress and not listed yet."""
    resend: bool = False
    """Whether the user confirmed that the jobs in doubt were not created."""

    @property
    def source_id(self) -> int:
        """ID of the data source."""
        return self.journal.run.source_id


async def create_jobs(context: RetryContext) -> None:
    """Send every planned job and resolve every job in doubt. Raises: RetryStopped."""
    recheck = FailedRecheck(FailedUnitReader(context.client, context.source_id), context.clock, context.planned_at)
    for index, entry in enumerate(context.journal.entries):
        if entry.state == "sending":
            await _resolve(context, recheck, index, entry)
        elif entry.state == "planned" and not await _already_exists(context, index, entry):
            await _recheck_and_send(context, recheck, index, entry)


async def _already_exists(context: RetryContext, index: int, entry: Entry) -> bool:
    if not context.journal.is_resumed:
        return False
    try:
        found = await confirmed_jobs_named(context.client, context.source_id, entry.name)
    except MmsError as error:
        raise stopped(error, f"could not check whether {entry.name} exists; nothing more was sent") from None
    if found:
        context.notify(f"{entry.name} already exists, not sent")
        context.journal.update(index, replace(entry, state="made", job_id=found[0].id, seen=True))
    return bool(found)


async def _recheck_and_send(context: RetryContext, recheck: FailedRecheck, index: int, entry: Entry) -> None:
    """Send the FAILED units that no other job migrates."""
    entry = await _still_failed(context, recheck, index, entry)
    if entry.state != "skipped":
        entry = await _without_blocked_units(context, index, entry)
    if entry.state != "skipped":
        await _send(context, index, entry)


async def _still_failed(context: RetryContext, recheck: FailedRecheck, index: int, entry: Entry) -> Entry:
    try:
        batch = await recheck.still_failed(entry.batch)
    except MmsError as error:
        raise stopped(error, "could not recheck which units are FAILED; nothing more was sent") from None
    return _with_batch(context, index, entry, batch, "they are no longer FAILED")


async def _without_blocked_units(context: RetryContext, index: int, entry: Entry) -> Entry:
    try:
        # A job with the entry's own name is an earlier request that arrived late; it blocks the units.
        own = context.journal.names - {entry.name}
        jobs = await unfinished_jobs(context.client, context.source_id, own)
    except MmsError as error:
        raise stopped(error, "could not read the unfinished jobs; nothing more was sent") from None
    unfinished = Coverage((*jobs, *context.earlier))
    batch = entry.batch.without(lambda unit: blocking_reason(unit, unfinished))
    return _with_batch(context, index, entry, batch, "other jobs already migrate them")


def _with_batch(context: RetryContext, index: int, entry: Entry, batch: Batch, why: str) -> Entry:
    """Return the entry with a smaller batch; `skipped` if it is empty."""
    if batch.is_empty:
        return context.journal.update(index, replace(entry, state="skipped", reason=f"all units left out, {why}"))
    left_out = entry.batch.size - batch.size
    if left_out:
        context.notify(f"{entry.name}: left out {left_out:,} of {entry.batch.size:,} units, {why}")
    return replace(entry, batch=batch, left_out=entry.left_out + left_out)


async def _send(context: RetryContext, index: int, entry: Entry) -> None:
    """Send once. Raises: RetryStopped if the result stays unknown."""
    entry = context.journal.update(index, replace(entry, state="sending", sends=entry.sends + 1))
    request = entry.batch.request(entry.name, context.journal.run.source)
    try:
        created = await context.client.create_job(context.source_id, request)
    except MmsError as error:
        was_refused = _was_refused(error)
        if not was_refused or entry.sends > 1:  # an earlier request may have arrived and caused the refusal
            context.notify(f"{entry.name}: {error}; checking whether the job was created anyway")
            if await _find_and_record(context, index, entry):
                return
            if not was_refused:
                raise _in_doubt(context, entry) from None
        if isinstance(error, RequestRejected | NotFound):
            context.journal.update(index, replace(entry, state="refused", reason=str(error)))
            return
        context.journal.update(index, replace(entry, state="planned", sends=0))
        raise stopped(error, f"{entry.name} was not created") from None
    context.journal.update(index, replace(entry, state="asked", async_task_id=created.async_task_id))


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
    if error.status == HTTPStatus.CONFLICT or "nonceused" in error.code.lower():
        return False
    is_refusal = isinstance(error, AuthRefused | PermissionRefused | NotFound | RequestRejected)
    return is_refusal and bool(error.code) and (error.status or 0) >= HTTPStatus.BAD_REQUEST


async def _resolve(context: RetryContext, recheck: FailedRecheck, index: int, entry: Entry) -> None:
    """Look up a job that may have been sent. Raises: RetryStopped."""
    context.notify(f"{entry.name} may have been sent; checking whether the job was created")
    if await _find_and_record(context, index, entry):
        return
    if not context.resend:
        raise _in_doubt(context, entry)
    await _recheck_and_send(context, recheck, index, entry)


def _in_doubt(context: RetryContext, entry: Entry) -> RetryStopped:
    return RetryStopped(
        f"{entry.name} may have been sent, but MMS does not list it after {duration_text(context.settle_seconds)}; it "
        f"was not sent again; look in the MMS console for a job with this name in data source {context.source_id}: if "
        "it exists or may still appear, resume later; if it was not created, resume with --resend"
    )


async def _find_and_record(context: RetryContext, index: int, entry: Entry) -> bool:
    """Look up a job; record it if it exists. Raises: RetryStopped."""
    job = await _wait_until_listed(context, entry.name)
    if job is not None:
        context.journal.update(index, replace(entry, state="made", job_id=job.id, seen=True))
    return job is not None


async def _wait_until_listed(context: RetryContext, name: str) -> Job | None:
    """Return the job with this name; None after the settle time."""
    until = context.clock.monotonic() + context.settle_seconds
    wait, failed = FIRST_POLL_SECONDS, 0
    while True:
        is_last = context.clock.monotonic() >= until
        try:
            find = confirmed_jobs_named if is_last else jobs_named
            found = await find(context.client, context.source_id, name)
        except MmsError as error:
            failed += 1
            if failed >= MAX_FAILED_POLLS or is_last:
                raise stopped(error, f"{name} may have been created, but could not be looked up") from None
        else:
            failed = 0
            if found:
                return found[0]
            if is_last:
                return None
        await context.clock.sleep(wait)
        wait = min(MAX_POLL_SECONDS, 1.5 * wait)


def stopped(error: MmsError, consequence: str) -> RetryStopped:
    """Return the error that stops a run."""
    return RetryStopped(f"{error}: {consequence}; {error.hint}")
