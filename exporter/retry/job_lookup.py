"""Finds jobs by exact name. Reports that a job is missing only if the list is complete and undamaged."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Final

from exporter.errors import MalformedAnswer
from exporter.mms.client import Client
from exporter.mms.listing import Listing
from exporter.mms.models.records import Job
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, JobStatus
from exporter.mms.protocol import JobFilter, like
from exporter.retry.unit_reader import read_whole_list

_ALL: Final = JobFilter()
_ENDED: Final = (JobStatus.DONE, JobStatus.FAILED)


async def jobs_named(client: Client, source_id: int, name: str) -> tuple[Job, ...]:
    """Return the jobs with exactly this name, using the filter.

    Raises: MmsError; MalformedAnswer if none is found and a row is missing or damaged.
    """
    return _exactly(name, await client.list_jobs(source_id, JobFilter(name=like(name))))


async def confirmed_jobs_named(client: Client, source_id: int, name: str) -> tuple[Job, ...]:
    """Return the jobs with exactly this name; search the whole list if needed.

    Raises: MmsError, as `jobs_named`.
    """
    found = await jobs_named(client, source_id, name)
    if found or await _names_are_filtered(client, source_id):
        return found
    return _exactly(name, await client.list_jobs(source_id))


def _exactly(name: str, listing: Listing[Job]) -> tuple[Job, ...]:
    exact = tuple(job for job in listing.rows if job.name == name)
    # A damaged name contains the real one or is missing.
    is_doubtful = not listing.is_consistent or any(job.name is None or name in job.name for job in listing.rows)
    if not exact and is_doubtful:
        raise MalformedAnswer("ListMmsJobs: the list is incomplete, so it is unknown whether the job exists")
    return exact


async def _names_are_filtered(client: Client, source_id: int) -> bool:
    """Return whether the name filter finds an existing job. Raises: MmsError.

    Source: the vendor's page describes the filter `name` as the name of the data source. A job named
    like its source, or like a part of it, proves nothing.
    """
    page = await client.jobs_page(source_id, JobFilter())
    if not page.rows and page.total == 0:
        return True
    names = [job.name for job in page.rows if job.name and job.source_name and not _is_like_its_source(job)]
    return bool(names) and bool(await jobs_named(client, source_id, max(names, key=len)))


def _is_like_its_source(job: Job) -> bool:
    return (job.name or "").casefold() in (job.source_name or "").casefold()


async def all_jobs(client: Client, source_id: int, filters: JobFilter = _ALL) -> tuple[Job, ...]:
    """Return every matching job of a source. Raises: MmsError, also if the list is incomplete."""
    listing = await client.list_jobs(source_id, filters)
    if not listing.is_complete:
        raise MalformedAnswer("ListMmsJobs: the list of all jobs is incomplete")
    return listing.rows


async def jobs_of_run(client: Client, source_id: int, prefix: str) -> list[Job]:
    """Return the jobs whose names start with `prefix`. Raises: MmsError."""
    listed = await all_jobs(client, source_id, JobFilter(name=like(prefix)))
    return [job for job in listed if job.name is not None and job.name.startswith(prefix)]


async def unfinished_jobs(client: Client, source_id: int, own: Collection[str]) -> list[Job]:
    """Return the unfinished jobs except those named in `own`.

    Stopped jobs are included, and a job of unknown status counts as unfinished.
    Raises: MmsError, also if a list is incomplete.
    """
    # The total comes first: a job that changes its status meanwhile is then counted twice, not missed.
    total = await _count(client, source_id, _ALL)
    found: dict[int, Job] = {}
    for status in UNFINISHED_JOB_STATUSES:
        found |= await _listed(client, source_id, JobFilter(status=status))
    # UNVERIFIED: a list by status may hide stopped jobs; `check` on a live account shows it.
    found |= _unended(await _listed(client, source_id, JobFilter(stopped=1)))
    ended = [await _count(client, source_id, JobFilter(status=status)) for status in _ENDED]
    if len(found) + sum(ended) != total:
        # Some jobs have an unknown status, or changed meanwhile.
        found |= _unended(await _listed(client, source_id, _ALL))
    return [job for job in found.values() if job.name not in own]


async def _listed(client: Client, source_id: int, filters: JobFilter) -> dict[int, Job]:
    jobs = await read_whole_list("ListMmsJobs", partial(client.jobs_page, source_id, filters))
    return {job.id: job for job in jobs}


def _unended(jobs: Mapping[int, Job]) -> dict[int, Job]:
    return {job.id: job for job in jobs.values() if job.status not in _ENDED}


async def _count(client: Client, source_id: int, filters: JobFilter) -> int:
    total = (await client.jobs_page(source_id, filters, page_size=1)).total
    if total is None:
        raise MalformedAnswer("ListMmsJobs: the answer has no total")
    return total
