"""Has MMS make the jobs of a journal, each exactly once, whatever happens between the question and the answer.

Each send is on the disk before it happens. After an answer that leaves the outcome open, the job is looked for by its
name, which no other job has. A job that no list shows within the settle time is not sent again, because a list may lag
for longer: the run stops, and only a person who resumes it can say that the job was not made.
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
from exporter.retry.coverage import Coverage
from exporter.retry.failed_recheck import FailedRecheck
from exporter.retry.failed_units import FailedUnitReader
from exporter.retry.job_lookup import jobs_certainly_named, jobs_named, unfinished_jobs
from exporter.retry.journal import Entry, Journal
from exporter.retry.planning import taken_by

SETTLE_SECONDS: Final = 300.0
"""Default of how long lists and statuses may lag behind jobs. UNVERIFIED: how long they do; a live account tells."""
FIRST_LOOK_SECONDS: Final = 2.0
"""Until the second look; from there to the next one ever longer."""
MAX_LOOK_SECONDS: Final = 20.0
MAX_FAILED_LOOKS: Final = 3
"""In a row, each with the client's own retries."""

Tell = Callable[[str], None]
"""Hears, in one sentence each, what a person who waits should know."""


@dataclass(frozen=True, slots=True)
class RetryContext:
    """What the jobs of one retry are made with."""

    client: Client
    journal: Journal
    tell: Tell
    clock: Clock = SYSTEM_CLOCK
    planned_at: float | None = None
    """When what is to be sent was read as FAILED, in monotonic seconds; None where an earlier process did."""
    settle_seconds: float = SETTLE_SECONDS
    """For how long a list or a status may lag behind a job."""
    earlier: tuple[Job, ...] = ()
    """Jobs of earlier runs that may still migrate their units, and that no list may show yet."""
    resend: bool = False
    """Whether a person said that the jobs in doubt were not made."""

    @property
    def source_id(self) -> int:
        """The data source."""
        return self.journal.course.source_id


async def create_jobs(means: RetryContext) -> None:
    """Have MMS take on every job that it has not; after this none is planned or in doubt.

    Raises: RetryStopped where it cannot go on; what is written down says where it stands.
    """
    standing = FailedRecheck(FailedUnitReader(means.client, means.source_id), means.clock, means.planned_at)
    for place, entry in enumerate(means.journal.entries):
        if entry.state == "sending":
            await _settle(means, standing, place, entry)
        elif entry.state == "planned" and not await _is_there_already(means, place, entry):
            await _begin(means, standing, place, entry)


async def _is_there_already(means: RetryContext, place: int, entry: Entry) -> bool:
    """Tell whether a job that was not sent, as a resumed journal has it, is there: then that is an old copy."""
    if not means.journal.is_resumed:
        return False
    try:
        found = await jobs_certainly_named(means.client, means.source_id, entry.name)
    except MmsError as error:
        raise stopped(error, f"whether {entry.name} is there could not be read, so nothing more was sent") from None
    if found:
        means.tell(f"{entry.name} is there already, so it is not sent")
        means.journal.note(place, replace(entry, state="made", job_id=found[0].id, seen=True))
    return bool(found)


async def _begin(means: RetryContext, standing: FailedRecheck, place: int, entry: Entry) -> None:
    """Send what is FAILED still, and nobody else has under way by now."""
    entry = await _still_failed(means, standing, place, entry)
    if entry.state == "skipped":
        return
    try:
        # A job of the entry's own name is one sent before that has come late.
        own = means.journal.names - {entry.name}
        jobs = await unfinished_jobs(means.client, means.source_id, own)
    except MmsError as error:
        raise stopped(error, "which jobs are unfinished could not be read, so nothing more was sent") from None
    unfinished = Coverage((*jobs, *means.earlier))
    batch = entry.batch.without(lambda unit: taken_by(unit, unfinished))
    if batch.is_empty:
        means.journal.note(place, replace(entry, state="skipped", reason="other jobs have all of it under way by now"))
        return
    left_out = entry.batch.size - batch.size
    if left_out:
        means.tell(f"{entry.name}: {left_out:,} of it are left out, which other jobs have under way by now")
    await _send(means, place, replace(entry, batch=batch, left_out=entry.left_out + left_out))


async def _still_failed(means: RetryContext, standing: FailedRecheck, place: int, entry: Entry) -> Entry:
    """Return the entry without what is not FAILED any more; `skipped` where nothing is."""
    try:
        batch = await standing.of(entry.batch)
    except MmsError as error:
        raise stopped(error, "what of it is FAILED still could not be read, so nothing more was sent") from None
    if batch.is_empty:
        return means.journal.note(place, replace(entry, state="skipped", reason="nothing of it is FAILED any more"))
    left_out = entry.batch.size - batch.size
    if left_out:
        means.tell(f"{entry.name}: {left_out:,} of it are left out, which are not FAILED any more")
    return replace(entry, batch=batch, left_out=entry.left_out + left_out)


async def _send(means: RetryContext, place: int, entry: Entry) -> None:
    """Send once, and find out what became of it. Raises: RetryStopped where that is not known."""
    entry = means.journal.note(place, replace(entry, state="sending", sends=entry.sends + 1))
    request = entry.batch.request(entry.name, means.journal.course.source)
    try:
        created = await means.client.create_job(means.source_id, request)
    except MmsError as error:
        was_refused = _was_refused(error)
        if not was_refused or entry.sends > 1:  # the one sent before may have come through, and be in the way of this
            means.tell(f"{entry.name}: {error}; looking whether the job was made all the same")
            if await _is_found(means, place, entry):
                return
            if not was_refused:
                raise _in_doubt(means, entry) from None
        if isinstance(error, RequestRejected | NotFound):
            means.journal.note(place, replace(entry, state="refused", reason=str(error)))
            return
        means.journal.note(place, replace(entry, state="planned", sends=0))
        raise stopped(error, f"{entry.name} was not made") from None
    means.journal.note(place, replace(entry, state="asked", async_task_id=created.async_task_id))


def _was_refused(error: MmsError) -> bool:
    """Tell whether an answer says for certain that nothing was made: MMS itself refused, or nothing was sent.

    A gateway's page has a status and no code; it can stand before a service that did its work. A nonce that was used,
    and a conflict, can mean that the same request came before, sent twice by something on the way.
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


async def _settle(means: RetryContext, standing: FailedRecheck, place: int, entry: Entry) -> None:
    """Find out what became of a job that an earlier process may have sent. Raises: RetryStopped.

    A job that is not found is sent again only on a person's word.
    """
    means.tell(f"{entry.name} may have been sent; looking whether the job was made")
    if await _is_found(means, place, entry):
        return
    if not means.resend:
        raise _in_doubt(means, entry)
    await _begin(means, standing, place, entry)


def _in_doubt(means: RetryContext, entry: Entry) -> RetryStopped:
    return RetryStopped(
        f"{entry.name} may have been sent, and MMS does not list it after {duration_text(means.settle_seconds)}; it "
        f"was not sent again; look in the MMS console for a job of this name in data source {means.source_id}: if it "
        "is there, or may still come, go on later; if it was not made, go on with --resend"
    )


async def _is_found(means: RetryContext, place: int, entry: Entry) -> bool:
    """Look for a job in doubt, and note it as made if it is there. Raises: RetryStopped where that cannot be told."""
    job = await _found_in_time(means, entry.name)
    if job is not None:
        means.journal.note(place, replace(entry, state="made", job_id=job.id, seen=True))
    return job is not None


async def _found_in_time(means: RetryContext, name: str) -> Job | None:
    """Return the job of this name as soon as it is listed; None where it is not within the settle time."""
    until = means.clock.monotonic() + means.settle_seconds
    wait, failed = FIRST_LOOK_SECONDS, 0
    while True:
        is_last = means.clock.monotonic() >= until
        try:
            look = jobs_certainly_named if is_last else jobs_named
            found = await look(means.client, means.source_id, name)
        except MmsError as error:
            failed += 1
            if failed >= MAX_FAILED_LOOKS or is_last:
                raise stopped(error, f"{name} may have been made, and could not be looked for") from None
        else:
            failed = 0
            if found:
                return found[0]
            if is_last:
                return None
        await means.clock.sleep(wait)
        wait = min(MAX_LOOK_SECONDS, 1.5 * wait)


def stopped(error: MmsError, consequence: str) -> RetryStopped:
    """Return why a retry cannot go on."""
    return RetryStopped(f"{error}: {consequence}; {error.hint}")
