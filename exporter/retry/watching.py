"""Watches the jobs of a run until they end; writes each end to the journal."""

from collections.abc import AsyncIterator, Container, Mapping
from typing import Final

from msgspec.structs import replace

from exporter.errors import MmsError, NotFound
from exporter.mms.client import Client
from exporter.mms.models import Job
from exporter.mms.protocol import get_mms_job
from exporter.retry.job_lookup import jobs_of_run
from exporter.retry.journal import Entry, RetryRun
from exporter.retry.sending import RetryContext, stopped
from exporter.retry.units import DONE, FAILED

FIRST_POLL_SECONDS: Final = 5.0
MAX_POLL_SECONDS: Final = 30.0
MAX_FAILED_POLLS: Final = 10
"""Consecutive failed polls that end the watch; each includes the client's own retries."""


async def watch(context: RetryContext) -> AsyncIterator[tuple[Job, ...]]:
    """Yield the jobs of a run repeatedly until all have ended.

    A stopped or deleted job counts as ended. Raises: RetryStopped if the jobs stay unreadable.
    """
    absent: dict[int, float] = {}
    seen: dict[int, Job] = {}
    wait, failed = FIRST_POLL_SECONDS, 0
    while _running_ids(context):
        try:
            jobs = await created_jobs(context.client, context.journal.run)
        except MmsError as error:
            failed += 1
            if failed >= MAX_FAILED_POLLS:
                raise stopped(error, "the jobs were created, but cannot be watched now") from None
        else:
            failed = 0
            now = context.clock.monotonic()
            absent = {job_id: absent.get(job_id, now) for job_id in _running_ids(context) if job_id not in jobs}
            # Absent for longer than a list may lag: the job was deleted.
            gone = {job_id for job_id, since in absent.items() if now - since >= context.settle_seconds}
            if changed := changed_entries(context.journal.run, jobs, gone):
                context.journal.update_all(changed)
            seen |= jobs
            yield tuple(seen.values())
        if _running_ids(context):
            await context.clock.sleep(wait)
            wait = min(MAX_POLL_SECONDS, 1.2 * wait)


async def created_jobs(client: Client, run: RetryRun) -> dict[int, Job]:
    """Return the jobs of a run by ID. Raises: MmsError."""
    listed = await jobs_of_run(client, run.source_id, run.prefix)
    jobs = {job.id: job for job in listed}
    for entry in run.entries:
        if entry.state == "made" and entry.job_id is not None and entry.job_id not in jobs:
            # The list lags, or its name filter misses the job.
            try:
                jobs[entry.job_id] = await client.send(get_mms_job(run.source_id, entry.job_id))
            except NotFound as error:
                if not error.code:  # the page of a gateway says nothing about the job
                    raise
    return jobs


def changed_entries(run: RetryRun, jobs: Mapping[int, Job], gone: Container[int]) -> dict[int, Entry]:
    """Return the changed entries of existing jobs by index; `gone` are deleted job IDs."""
    changed: dict[int, Entry] = {}
    for index, entry in enumerate(run.entries):
        if entry.state != "made" or entry.job_id is None:
            continue
        job = jobs.get(entry.job_id)
        if job is not None:
            now = _updated(entry, job)
        elif entry.job_id in gone:
            now = replace(entry, state="failed", reason="the job no longer exists in MMS")
        else:
            continue
        if now != entry:
            changed[index] = now
    return changed


def _running_ids(context: RetryContext) -> list[int]:
    entries = context.journal.entries
    return [entry.job_id for entry in entries if entry.state == "made" and entry.job_id is not None]


def _updated(entry: Entry, job: Job) -> Entry:
    status = (job.status or "").upper()
    if status == DONE:
        return replace(entry, seen=True, state="done")
    if status == FAILED:
        return replace(entry, seen=True, state="failed", reason="the job is FAILED")
    if job.stopped:
        return replace(entry, seen=True, state="failed", reason="the job was stopped")
    return entry if entry.seen else replace(entry, seen=True)
