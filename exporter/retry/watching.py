"""Watches the jobs of a retry to their ends. How each ended is written down."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from exporter.errors import MmsError, NotFound
from exporter.mms.models import Job
from exporter.mms.protocol import get_mms_job
from exporter.retry.journal import Entry
from exporter.retry.lookup import jobs_of_run
from exporter.retry.sending import Means, stopped
from exporter.retry.units import DONE, FAILED

FIRST_POLL_SECONDS: Final = 5.0
MAX_POLL_SECONDS: Final = 30.0
MAX_FAILED_POLLS: Final = 10
"""In a row, each with the client's own retries."""
MAX_ABSENT: Final = 3
"""Times in a row that a job is not there before it counts as deleted."""


async def watch(means: Means) -> AsyncIterator[tuple[Job, ...]]:
    """Yield the jobs of a retry as last seen, every few seconds, until each has ended, was stopped or is gone.

    Raises: RetryStopped where the jobs cannot be read for long.
    """
    absent: dict[int, int] = {}
    seen: dict[int, Job] = {}
    wait, failed = FIRST_POLL_SECONDS, 0
    while _are_running(means):
        try:
            jobs = await _jobs(means)
        except MmsError as error:
            failed += 1
            if failed >= MAX_FAILED_POLLS:
                raise stopped(error, "the jobs were made, and cannot be watched now") from None
        else:
            failed = 0
            _note_ends(means, jobs, absent)
            seen |= jobs
            yield tuple(seen.values())
        if _are_running(means):
            await means.clock.sleep(wait)
            wait = min(MAX_POLL_SECONDS, 1.2 * wait)


async def _jobs(means: Means) -> dict[int, Job]:
    """Return the jobs of a retry by id: of one list, and one by one where they run and do not stand in it.

    Raises: MmsError.
    """
    listed = await jobs_of_run(means.client, means.source_id, means.journal.course.prefix)
    jobs = {job.id: job for job in listed}
    for entry in means.journal.entries:
        if entry.state == "made" and entry.job_id is not None and entry.job_id not in jobs:
            with suppress(NotFound):
                jobs[entry.job_id] = await means.client.send(get_mms_job(means.source_id, entry.job_id))
    return jobs


def _are_running(means: Means) -> bool:
    return any(entry.state == "made" for entry in means.journal.entries)


def _note_ends(means: Means, listed: Mapping[int, Job], absent: dict[int, int]) -> None:
    """Write down which jobs have ended; `absent` counts the times in a row that each was not there."""
    for place, entry in enumerate(means.journal.entries):
        if entry.state != "made" or entry.job_id is None:
            continue
        job = listed.get(entry.job_id)
        absent[place] = absent.get(place, 0) + 1 if job is None else 0
        if absent[place] >= MAX_ABSENT:
            means.journal.note(place, replace(entry, state="failed", reason="MMS does not have the job any more"))
        elif job is not None:
            ended = _ended(entry, job)
            if ended is not None:
                means.journal.note(place, ended)


def _ended(entry: Entry, job: Job) -> Entry | None:
    """Return how a job ended; None where it runs."""
    status = (job.status or "").upper()
    if status == DONE:
        return replace(entry, state="done")
    if status == FAILED:
        return replace(entry, state="failed", reason="the job is FAILED")
    return replace(entry, state="failed", reason="the job was stopped") if job.stopped else None
