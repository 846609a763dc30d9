"""Watches the jobs of a retry to their ends. How each ended is written down."""

from collections.abc import AsyncIterator, Container, Mapping
from contextlib import suppress
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
"""In a row, each with the client's own retries."""


async def watch(means: RetryContext) -> AsyncIterator[tuple[Job, ...]]:
    """Yield the jobs of a retry as last seen, every few seconds, until each has ended, was stopped or is gone.

    Raises: RetryStopped where the jobs cannot be read for long.
    """
    absent: dict[int, float] = {}
    seen: dict[int, Job] = {}
    wait, failed = FIRST_POLL_SECONDS, 0
    while _running(means):
        try:
            jobs = await made_jobs(means.client, means.journal.course)
        except MmsError as error:
            failed += 1
            if failed >= MAX_FAILED_POLLS:
                raise stopped(error, "the jobs were made, and cannot be watched now") from None
        else:
            failed = 0
            now = means.clock.monotonic()
            absent = {job_id: absent.get(job_id, now) for job_id in _running(means) if job_id not in jobs}
            # Longer than a list may lag: it was deleted.
            gone = {job_id for job_id, since in absent.items() if now - since >= means.settle_seconds}
            if changed := as_shown(means.journal.course, jobs, gone):
                means.journal.note_all(changed)
            seen |= jobs
            yield tuple(seen.values())
        if _running(means):
            await means.clock.sleep(wait)
            wait = min(MAX_POLL_SECONDS, 1.2 * wait)


async def made_jobs(client: Client, course: RetryRun) -> dict[int, Job]:
    """Return the jobs of a retry by id: of one list, and one by one where they run and do not stand in it.

    Raises: MmsError.
    """
    listed = await jobs_of_run(client, course.source_id, course.prefix)
    jobs = {job.id: job for job in listed}
    for entry in course.entries:
        if entry.state == "made" and entry.job_id is not None and entry.job_id not in jobs:
            with suppress(NotFound):
                jobs[entry.job_id] = await client.send(get_mms_job(course.source_id, entry.job_id))
    return jobs


def as_shown(course: RetryRun, jobs: Mapping[int, Job], gone: Container[int]) -> dict[int, Entry]:
    """Return, by place, the entries of made jobs that change by what MMS shows.

    `gone` are the ids of jobs that count as deleted where MMS does not show them.
    """
    changed: dict[int, Entry] = {}
    for place, entry in enumerate(course.entries):
        if entry.state != "made" or entry.job_id is None:
            continue
        job = jobs.get(entry.job_id)
        if job is not None:
            now = _as_in(entry, job)
        elif entry.job_id in gone:
            now = replace(entry, state="failed", reason="MMS does not have the job any more")
        else:
            continue
        if now != entry:
            changed[place] = now
    return changed


def _running(means: RetryContext) -> list[int]:
    """Return the ids of the jobs that have not ended."""
    entries = means.journal.entries
    return [entry.job_id for entry in entries if entry.state == "made" and entry.job_id is not None]


def _as_in(entry: Entry, job: Job) -> Entry:
    """Return the entry of a job that MMS shows: as it ended, or as it runs."""
    status = (job.status or "").upper()
    if status == DONE:
        return replace(entry, seen=True, state="done")
    if status == FAILED:
        return replace(entry, seen=True, state="failed", reason="the job is FAILED")
    if job.stopped:
        return replace(entry, seen=True, state="failed", reason="the job was stopped")
    return entry if entry.seen else replace(entry, seen=True)
