"""Waits for the asynchronous tasks that create jobs. Falls back to the job's name if a task has no job ID."""

from collections import Counter
from collections.abc import Container
from typing import Final

from msgspec.structs import replace

from exporter.errors import MmsError, RetryStopped
from exporter.mms.statuses import UNFINISHED_JOB_STATUSES
from exporter.retry.job_lookup import all_jobs, confirmed_jobs_named, jobs_named, jobs_of_run
from exporter.retry.journal import Entry
from exporter.retry.sending import RetryContext, stopped
from exporter.retry.units import DONE, FAILED

CREATION_TIMEOUT_SECONDS: Final = 900.0
"""How long to wait for one job."""
FIRST_POLL_SECONDS: Final = 2.0
MAX_POLL_SECONDS: Final = 10.0
"""Longest interval between two polls. Source: `../shared/api/FACTS.md`, "Creating a job"."""
MAX_FAILED_POLLS: Final = 5
"""Consecutive failed polls that end the wait; each includes the client's own retries."""


async def await_job_ids(context: RetryContext) -> None:
    """Wait until each requested job exists or was refused. Raises: RetryStopped."""
    for index, entry in enumerate(context.journal.entries):
        if entry.state == "asked":
            context.journal.update(index, await _await_job_id(context, entry))


async def duplicate_jobs(context: RetryContext) -> list[str]:
    """Return the names that more than one job has. Raises: MmsError."""
    run = context.journal.run
    jobs = await jobs_of_run(context.client, run.source_id, run.prefix)
    _mark_seen(context, {job.id for job in jobs})
    names = [job.name for job in jobs]
    if any(entry.job_id is not None and entry.name not in names for entry in context.journal.entries):
        # The name filter misses existing jobs.
        names = [job.name for job in await all_jobs(context.client, run.source_id)]
    counts = Counter(names)
    return [name for name, count in counts.items() if name in context.journal.names and count > 1]


def _mark_seen(context: RetryContext, listed: Container[int]) -> None:
    entries = enumerate(context.journal.entries)
    seen = {index: replace(entry, seen=True) for index, entry in entries if not entry.seen and entry.job_id in listed}
    if seen:
        context.journal.update_all(seen)


async def _await_job_id(context: RetryContext, entry: Entry) -> Entry:
    until = context.clock.monotonic() + CREATION_TIMEOUT_SECONDS
    wait, failed = FIRST_POLL_SECONDS, 0
    while True:
        is_last = context.clock.monotonic() >= until
        try:
            ended = await _poll(context, entry, is_last=is_last)
        except MmsError as error:
            failed += 1
            if failed >= MAX_FAILED_POLLS:
                raise stopped(error, f"MMS accepted {entry.name}, but its result could not be read") from None
        else:
            failed = 0
            if ended is not None:
                return ended
        if is_last:
            raise RetryStopped(
                f"MMS accepted {entry.name} (asynchronous task {entry.async_task_id}), but did not report a result "
                f"within {CREATION_TIMEOUT_SECONDS:g} s; look in the MMS console for a job with this name; if there is "
                "none and none can follow, abandon this run: move its journal away"
            )
        await context.clock.sleep(wait)
        wait = min(MAX_POLL_SECONDS, 1.5 * wait)


async def _poll(context: RetryContext, entry: Entry, *, is_last: bool) -> Entry | None:
    """Return the entry once the creation ended; None while it is open.

    Raises: MmsError if neither the task nor the list of jobs could be read.
    """
    status = ""
    try:
        task = await context.client.get_async_task(context.source_id, entry.async_task_id or 0)
    except MmsError:
        pass
    else:
        status = (task.status or "").upper()
        if status == DONE and task.object_id is not None:
            return replace(entry, state="made", job_id=task.object_id)
        if status in UNFINISHED_JOB_STATUSES:
            return None
    find = confirmed_jobs_named if is_last or status == FAILED else jobs_named
    found = await find(context.client, context.source_id, entry.name)
    if found:
        return replace(entry, state="made", job_id=found[0].id, seen=True)
    # The task's own error text may contain a secret.
    reason = f"MMS could not create it: asynchronous task {entry.async_task_id} is FAILED"
    return replace(entry, state="refused", reason=reason) if status == FAILED else None
