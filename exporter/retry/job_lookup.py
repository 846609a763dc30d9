"""Looks for jobs by their exact name, and tells "there is none" only of an answer that leaves no doubt."""

from collections.abc import Collection
from functools import partial
from typing import Final

from exporter.errors import MalformedAnswer
from exporter.mms.client import Client
from exporter.mms.listing import Listing, read_newest, read_until_stable
from exporter.mms.models import JOB_STATUSES, UNFINISHED_JOB_STATUSES, Job
from exporter.mms.protocol import PAGE_SIZE, JobFilter, like

NEWEST: Final = 10 * PAGE_SIZE
"""Jobs among which those of an unknown status are looked for."""


async def jobs_named(client: Client, source_id: int, name: str) -> tuple[Job, ...]:
    """Return the jobs of a source that have exactly this name, as far as the list's filter finds them.

    Raises: MmsError; MalformedAnswer where none has it and the list may still hold it: a row is missing or damaged.
    """
    return _exactly(name, await client.list_jobs(source_id, JobFilter(name=like(name))))


async def jobs_certainly_named(client: Client, source_id: int, name: str) -> tuple[Job, ...]:
    """Return the jobs of a source that have exactly this name; where there is none, there is none in the whole list.

    Raises: MmsError, as above.
    """
    found = await jobs_named(client, source_id, name)
    if found or await _names_are_filtered(client, source_id):
        return found
    return _exactly(name, await client.list_jobs(source_id))


def _exactly(name: str, listing: Listing[Job]) -> tuple[Job, ...]:
    exact = tuple(job for job in listing.rows if job.name == name)
    # A damaged name still holds the true one, or is lost; a name that merely looks alike does neither.
    is_doubtful = not listing.is_consistent or any(job.name is None or name in job.name for job in listing.rows)
    if not exact and is_doubtful:
        raise MalformedAnswer("ListMmsJobs: the list is not whole, so that it cannot be told whether the job is there")
    return exact


async def _names_are_filtered(client: Client, source_id: int) -> bool:
    """Tell whether a job that is there is seen to be found by its name. Raises: MmsError.

    The vendor's page calls the filter `name` the data source's name: a job that is called like its source, or like a
    part of it, would be found by either.
    """
    page = await client.jobs_page(source_id, JobFilter())
    if not page.rows and page.total == 0:
        return True
    names = [job.name for job in page.rows if job.name and job.source_name and not _is_like_its_source(job)]
    return bool(names) and bool(await jobs_named(client, source_id, max(names, key=len)))


def _is_like_its_source(job: Job) -> bool:
    return (job.name or "").casefold() in (job.source_name or "").casefold()


async def all_jobs(client: Client, source_id: int) -> tuple[Job, ...]:
    """Return every job of a source. Raises: MmsError, also for half a list."""
    listing = await client.list_jobs(source_id)
    if not listing.is_complete:
        raise MalformedAnswer("ListMmsJobs: the list of all jobs is not whole")
    return listing.rows


async def jobs_of_run(client: Client, source_id: int, prefix: str) -> list[Job]:
    """Return the jobs of a source whose names begin with `prefix`. Raises: MmsError, also for half a list."""
    listing = await client.list_jobs(source_id, JobFilter(name=like(prefix)))
    if not listing.is_complete:
        raise MalformedAnswer("ListMmsJobs: the list of this retry's jobs is not whole")
    return [job for job in listing.rows if job.name is not None and job.name.startswith(prefix)]


async def unfinished_jobs(client: Client, source_id: int, own: Collection[str]) -> list[Job]:
    """Return the jobs that have not ended, without those named in `own`: INIT, DOING, and of a status nobody knows.

    Raises: MmsError, also for half a list, and where jobs of an unknown status cannot be found among all.
    """
    # All are counted first, so that a job which moves on meanwhile counts twice rather than not at all.
    total = await _count(client, source_id, None)
    found: dict[int, Job] = {}
    known = 0
    for status in UNFINISHED_JOB_STATUSES:
        listing = await read_until_stable(partial(client.list_jobs, source_id, JobFilter(status=status)))
        if not listing.is_consistent:
            raise MalformedAnswer(f"ListMmsJobs: the list of {status} jobs is not whole, or moves as it is read")
        known += len(listing.rows)
        found.update((job.id, job) for job in listing.rows)
    for status in JOB_STATUSES:
        if status not in UNFINISHED_JOB_STATUSES:
            known += await _count(client, source_id, status)
    if known != total:
        found.update((job.id, job) for job in await _of_unknown_status(client, source_id, total - known))
    return [job for job in found.values() if job.name not in own]


async def _of_unknown_status(client: Client, source_id: int, missing: int) -> list[Job]:
    """Return the jobs of a status that no filter asks for, of the newest ones; `missing` are looked for.

    Raises: MmsError; MalformedAnswer where fewer are found, and not all jobs were seen.
    """
    listing = await read_newest(lambda page: client.jobs_page(source_id, JobFilter(), page), NEWEST)
    found = [job for job in listing.rows if (job.status or "").upper() not in JOB_STATUSES]
    is_all = listing.total is not None and len(listing.rows) >= listing.total
    if not is_all and len(found) < missing:
        raise MalformedAnswer(
            f"ListMmsJobs: {missing:,} jobs have a status that this program does not know, or changed meanwhile, and "
            f"are not among the newest {NEWEST:,}"
        )
    return found


async def _count(client: Client, source_id: int, status: str | None) -> int:
    """Return how many jobs of a status there are; of any where it is None. Raises: MmsError."""
    total = (await client.jobs_page(source_id, JobFilter(status=status), page_size=1)).total
    if total is None:
        raise MalformedAnswer("ListMmsJobs: it does not tell how many jobs there are")
    return total
