"""Looks for jobs by their exact name, and tells "there is none" only of an answer that leaves no doubt."""

from collections.abc import Collection
from functools import partial

from exporter.errors import MalformedAnswer
from exporter.mms.client import Client
from exporter.mms.listing import read_steadily
from exporter.mms.models import UNFINISHED_JOB_STATUSES, Job
from exporter.mms.protocol import JobFilter, like


async def jobs_named(client: Client, source_id: int, name: str) -> tuple[Job, ...]:
    """Return the jobs of a source that have exactly this name.

    Raises: MmsError; MalformedAnswer where none has it and the list may still hold it: a row is missing or damaged.
    """
    listing = await client.list_jobs(source_id, JobFilter(name=like(name)))
    exact = tuple(job for job in listing.rows if job.name == name)
    # A damaged name still holds the true one, or is lost; a name that merely looks alike does neither.
    is_doubtful = not listing.is_certain or any(job.name is None or name in job.name for job in listing.rows)
    if not exact and is_doubtful:
        raise MalformedAnswer("ListMmsJobs: the list is not whole, so that it cannot be told whether the job is there")
    return exact


async def check_names_are_filtered(client: Client, source_id: int) -> None:
    """Return if a job that is there can be found by its name, so that one that is not found is not there.

    The vendor's page calls the filter `name` the data source's name. Raises: MmsError; MalformedAnswer where a job is
    not found that should be.
    """
    page = await client.jobs_page(source_id, JobFilter())
    names = [job.name for job in page.rows if job.name]
    if not page.rows and page.total == 0:
        return
    if not names or not await jobs_named(client, source_id, max(names, key=len)):
        raise MalformedAnswer(
            "ListMmsJobs: a job that is there is not found by its name, so what is not found may be there"
        )


async def jobs_of_run(client: Client, source_id: int, prefix: str) -> list[Job]:
    """Return the jobs of a source whose names begin with `prefix`. Raises: MmsError, also for half a list."""
    listing = await client.list_jobs(source_id, JobFilter(name=like(prefix)))
    if not listing.is_whole:
        raise MalformedAnswer("ListMmsJobs: the list of this retry's jobs is not whole")
    return [job for job in listing.rows if job.name is not None and job.name.startswith(prefix)]


async def unfinished_jobs(client: Client, source_id: int, own: Collection[str]) -> list[Job]:
    """Return the jobs that are INIT or DOING, without those named in `own`. Raises: MmsError, also for half a list."""
    found: dict[int, Job] = {}
    for status in UNFINISHED_JOB_STATUSES:
        listing = await read_steadily(partial(client.list_jobs, source_id, JobFilter(status=status)))
        if not listing.is_certain:
            raise MalformedAnswer(f"ListMmsJobs: the list of {status} jobs is not whole, or moves as it is read")
        found.update((job.id, job) for job in listing.rows if job.name not in own)
    return list(found.values())
