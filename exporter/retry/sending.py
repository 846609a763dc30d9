"""Has MMS make the jobs of a journal, each exactly once, whatever happens between the question and the answer.

What is about to be sent is on the disk before. After an answer that leaves the outcome open, the job is looked for by
its name, which no other job has, and only what was found missing for SETTLE_SECONDS is sent again. UNVERIFIED: that a
job which MMS takes on is listed within that time; a live account's slowest creation would settle it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from msgspec.structs import replace

from exporter.clock import SYSTEM_CLOCK, Clock
from exporter.errors import (
    AuthRefused,
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
from exporter.retry.inventory import Inventory
from exporter.retry.journal import Entry, Journal
from exporter.retry.lookup import jobs_named, jobs_surely_named, unfinished_jobs
from exporter.retry.scope import taken_by
from exporter.retry.standing import Standing

SETTLE_SECONDS: Final = 300.0
FIRST_LOOK_SECONDS: Final = 2.0
"""Until the second look; from there to the next one ever longer."""
MAX_LOOK_SECONDS: Final = 20.0
MAX_FAILED_LOOKS: Final = 3
"""In a row, each with the client's own retries."""
MAX_SENDS: Final = 3
"""Of one job, before a person has to look; a retry that is resumed may send as often again."""

Tell = Callable[[str], None]
"""Hears, in one sentence each, what a person who waits should know."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the jobs of one retry are made with."""

    client: Client
    journal: Journal
    tell: Tell
    clock: Clock = SYSTEM_CLOCK
    planned_at: float | None = None
    """When what is to be sent was read as FAILED, in monotonic seconds; None where an earlier process did."""

    @property
    def source_id(self) -> int:
        """The data source."""
        return self.journal.course.source_id


async def ask_for_all(means: Means) -> None:
    """Have MMS take on every job that it has not; when this returns, none is planned or in doubt any more.

    Raises: RetryStopped where it cannot go on; what is written down says where it stands.
    """
    standing = Standing(Inventory(means.client, means.source_id), means.clock, means.planned_at)
    for place, entry in enumerate(means.journal.entries):
        if entry.state == "sending":
            await _settle(means, standing, place, entry)
        elif entry.state == "planned" and not await _is_there_already(means, place, entry):
            await _begin(means, standing, place, entry)


async def _is_there_already(means: Means, place: int, entry: Entry) -> bool:
    """Tell whether a job that was not sent, as a resumed journal has it, is there: then that is an old copy."""
    if not means.journal.is_resumed:
        return False
    try:
        found = await jobs_surely_named(means.client, means.source_id, entry.name)
    except MmsError as error:
        raise stopped(error, f"whether {entry.name} is there could not be read, so nothing more was sent") from None
    if found:
        means.tell(f"{entry.name} is there already, so it is not sent")
        means.journal.note(place, replace(entry, state="made", job_id=found[0].id))
    return bool(found)


async def _begin(means: Means, standing: Standing, place: int, entry: Entry) -> None:
    """Send what is FAILED still, and nobody else has under way by now."""
    entry = await _still_failed(means, standing, place, entry)
    if entry.state == "skipped":
        return
    try:
        jobs = await unfinished_jobs(means.client, means.source_id, means.journal.names)
    except MmsError as error:
        raise stopped(error, "which jobs are unfinished could not be read, so nothing more was sent") from None
    unfinished = Coverage(jobs)
    batch = entry.batch.without(lambda unit: taken_by(unit, unfinished))
    if batch.is_empty:
        means.journal.note(place, replace(entry, state="skipped", reason="other jobs have all of it under way by now"))
        return
    left_out = entry.batch.size - batch.size
    if left_out:
        means.tell(f"{entry.name}: {left_out:,} of it are left out, which other jobs have under way by now")
    await _send(means, place, replace(entry, batch=batch, left_out=entry.left_out + left_out))


async def _still_failed(means: Means, standing: Standing, place: int, entry: Entry) -> Entry:
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


async def _send(means: Means, place: int, entry: Entry) -> None:
    """Send, and find out what became of it, until that is known. Raises: RetryStopped."""
    for _ in range(MAX_SENDS):
        entry = means.journal.note(place, replace(entry, state="sending", sends=entry.sends + 1))
        entry = await _sent(means, place, entry)
        if entry.state != "sending":
            return
    raise RetryStopped(f"{entry.name} was sent {MAX_SENDS} times, and MMS lists no such job")


async def _sent(means: Means, place: int, entry: Entry) -> Entry:
    """Send once, and return how far the job is then: `sending` means that it was not made."""
    request = entry.batch.request(entry.name, means.journal.course.source)
    try:
        created = await means.client.create_job(means.source_id, request)
    except MmsError as error:
        was_refused = _was_refused(error)
        if not was_refused or entry.sends > 1:  # the one sent before may have come through, and be in the way of this
            means.tell(f"{entry.name}: {error}; looking whether the job was made all the same")
            looked_for = await _looked_for(means, place, entry)
            if not was_refused or looked_for.state == "made":
                return looked_for
        if isinstance(error, RequestRejected | NotFound):
            return means.journal.note(place, replace(entry, state="refused", reason=str(error)))
        means.journal.note(place, replace(entry, state="planned", sends=0))
        raise stopped(error, f"{entry.name} was not made") from None
    return means.journal.note(place, replace(entry, state="asked", async_task_id=created.async_task_id))


def _was_refused(error: MmsError) -> bool:
    """Tell whether an answer says for certain that nothing was made: MMS itself refused, or nothing was sent.

    A gateway's page has a status and no code; it can stand before a service that did its work. A nonce that was used,
    and a conflict, can mean that the same request came before, sent twice by something on the way.
    """
    if isinstance(error, CredentialsUnavailable):
        return True
    if isinstance(error, Throttled):
        return error.is_certain
    if error.status == HTTPStatus.CONFLICT or "nonceused" in error.code.lower():
        return False
    is_refusal = isinstance(error, AuthRefused | PermissionRefused | NotFound | RequestRejected)
    return is_refusal and bool(error.code) and (error.status or 0) >= HTTPStatus.BAD_REQUEST


async def _settle(means: Means, standing: Standing, place: int, entry: Entry) -> None:
    """Find out what became of a job that an earlier process may have sent; begin anew if it was not made."""
    means.tell(f"{entry.name} may have been sent; looking whether the job was made")
    entry = await _looked_for(means, place, entry)
    if entry.state == "sending":
        await _begin(means, standing, place, entry)


async def _looked_for(means: Means, place: int, entry: Entry) -> Entry:
    """Return the entry of a job in doubt as it is after looking for it: `made`, or still `sending` if it was not made.

    Raises: RetryStopped where that cannot be told.
    """
    job = await _found_in_time(means, entry.name)
    if job is None:
        means.tell(f"{entry.name}: MMS does not list it after {SETTLE_SECONDS:g} s, so it was not made")
        return entry
    return means.journal.note(place, replace(entry, state="made", job_id=job.id))


async def _found_in_time(means: Means, name: str) -> Job | None:
    """Return the job of this name as soon as it is listed; None where it is not for SETTLE_SECONDS."""
    until = means.clock.monotonic() + SETTLE_SECONDS
    wait, failed = FIRST_LOOK_SECONDS, 0
    while True:
        is_last = means.clock.monotonic() >= until
        try:
            look = jobs_surely_named if is_last else jobs_named
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
