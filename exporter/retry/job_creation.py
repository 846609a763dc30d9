"""Follows the asynchronous tasks that make jobs to the jobs' ids. Where a task does not tell, the job's name does."""

from collections import Counter
from collections.abc import Container
from typing import Final

from msgspec.structs import replace

from exporter.errors import MmsError, RetryStopped
from exporter.mms.models import UNFINISHED_JOB_STATUSES
from exporter.retry.job_lookup import all_jobs, jobs_certainly_named, jobs_named, jobs_of_run
from exporter.retry.journal import Entry
from exporter.retry.sending import RetryContext, stopped
from exporter.retry.units import DONE, FAILED

PATIENCE_SECONDS: Final = 900.0
"""For how long one job's making is followed."""
FIRST_POLL_SECONDS: Final = 2.0
MAX_POLL_SECONDS: Final = 10.0
"""Between two questions after a task. Source: `../shared/api/FACTS.md`, "Creating a job"."""
MAX_FAILED_POLLS: Final = 5
"""In a row, each with the client's own retries."""


async def follow_all(means: RetryContext) -> None:
    """Follow every job that MMS has taken on until it is there, or was not made. Raises: RetryStopped."""
    for place, entry in enumerate(means.journal.entries):
        if entry.state == "asked":
            means.journal.note(place, await _followed(means, entry))


async def duplicate_jobs(means: RetryContext) -> list[str]:
    """Return the names under which there is more than one job, which there should never be. Raises: MmsError."""
    course = means.journal.course
    jobs = await jobs_of_run(means.client, course.source_id, course.prefix)
    _note_seen(means, {job.id for job in jobs})
    names = [job.name for job in jobs]
    if any(entry.job_id is not None and entry.name not in names for entry in means.journal.entries):
        # Not even those that are there are found by name.
        names = [job.name for job in await all_jobs(means.client, course.source_id)]
    counts = Counter(names)
    return [name for name, count in counts.items() if name in means.journal.names and count > 1]


def _note_seen(means: RetryContext, listed: Container[int]) -> None:
    entries = enumerate(means.journal.entries)
    seen = {place: replace(entry, seen=True) for place, entry in entries if not entry.seen and entry.job_id in listed}
    if seen:
        means.journal.note_all(seen)


async def _followed(means: RetryContext, entry: Entry) -> Entry:
    """Return how a job's making ended."""
    until = means.clock.monotonic() + PATIENCE_SECONDS
    wait, failed = FIRST_POLL_SECONDS, 0
    while True:
        is_last = means.clock.monotonic() >= until
        try:
            ended = await _ended(means, entry, is_last=is_last)
        except MmsError as error:
            failed += 1
            if failed >= MAX_FAILED_POLLS:
                raise stopped(error, f"MMS took {entry.name} on; what became of it could not be read") from None
        else:
            failed = 0
            if ended is not None:
                return ended
        if is_last:
            raise RetryStopped(
                f"MMS took {entry.name} on (asynchronous task {entry.async_task_id}), and did not say within "
                f"{PATIENCE_SECONDS:g} s what became of it; look in the MMS console for a job of this name; if "
                "there is none and none can come, give this run up: move its journal away"
            )
        await means.clock.sleep(wait)
        wait = min(MAX_POLL_SECONDS, 1.5 * wait)


async def _ended(means: RetryContext, entry: Entry, *, is_last: bool) -> Entry | None:
    """Return how a job's making ended; None where it has not, or nobody says.

    Raises: MmsError where neither the task nor the list of jobs could be read.
    """
    status = ""
    try:
        task = await means.client.get_async_task(means.source_id, entry.async_task_id or 0)
    except MmsError:
        pass
    else:
        status = (task.status or "").upper()
        if status == DONE and task.object_id is not None:
            return replace(entry, state="made", job_id=task.object_id)
        if status in UNFINISHED_JOB_STATUSES:
            return None
    look = jobs_certainly_named if is_last or status == FAILED else jobs_named
    found = await look(means.client, means.source_id, entry.name)
    if found:
        return replace(entry, state="made", job_id=found[0].id, seen=True)
    # What the task says of its failure is the vendor's text, which may quote a secret.
    reason = f"its making failed in MMS: asynchronous task {entry.async_task_id} is FAILED"
    return replace(entry, state="refused", reason=reason) if status == FAILED else None
