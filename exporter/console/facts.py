"""Facts that the documentation of MMS leaves open, found with short reads. For bug reports: without names."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from exporter.clock import Clock
from exporter.config.loading import Account
from exporter.config.sections import duration_text
from exporter.console.probes import NothingToProbeError
from exporter.errors import RequestRejected
from exporter.mms.client import Client
from exporter.mms.models import DataSource, Job
from exporter.mms.protocol import PAGE_SIZE, JobFilter, PartitionFilter, TaskFilter, like
from exporter.mms.statuses import UNFINISHED_JOB_STATUSES
from exporter.mms.times import unix_seconds

MAX_SOURCES: Final = 5
"""Data sources in which a fact looks for a suitable job."""

Fact = Callable[[Client, Account, Sequence[DataSource], Clock], Awaitable[str]]
"""Returns the fact in words. Raises: NothingToProbeError without a suitable object; MmsError."""


async def _page_size(client: Client, _: Account, sources: Sequence[DataSource], __: Clock) -> str:
    source = max(sources, key=lambda each: each.partition_num or 0)
    if (source.partition_num or 0) <= PAGE_SIZE:
        raise NothingToProbeError(f"no data source has more than {PAGE_SIZE} partitions")
    page = await client.partitions_page(source.id, PartitionFilter(), 1)
    return f"{len(page.rows)} rows on a page of ListMmsPartitions; requested {PAGE_SIZE}, total {page.total}"


async def _stopped_jobs(client: Client, _: Account, sources: Sequence[DataSource], __: Clock) -> str:
    for source in sources[:MAX_SOURCES]:
        stopped = await client.jobs_page(source.id, JobFilter(stopped=1), 1)
        for job in stopped.rows:
            if job.stopped and job.status in UNFINISHED_JOB_STATUSES and job.src_db_name:
                return await _stopped_job(client, source, job)
    raise NothingToProbeError(f"no stopped job in the first {MAX_SOURCES} data sources")


async def _stopped_job(client: Client, source: DataSource, job: Job) -> str:
    filters = JobFilter(status=job.status, src_db_name=like(job.src_db_name or ""))
    page = await client.jobs_page(source.id, filters, 1)
    if job.id not in {row.id for row in page.rows} and (page.total or 0) > len(page.rows):
        raise NothingToProbeError(f"the list of {job.status} jobs has more than a page")
    is_listed = job.id in {row.id for row in page.rows}
    return f"ListMmsJobs with status={job.status} {'includes' if is_listed else 'omits'} stopped jobs"


async def _task_status(client: Client, _: Account, sources: Sequence[DataSource], __: Clock) -> str:
    source = max(sources, key=lambda each: (each.tables_failed_num or 0) + (each.partitions_failed_num or 0))
    everything = await client.tasks_page(source.id, TaskFilter(), 1, 1)
    data_failed = await client.tasks_page(source.id, TaskFilter(status="DATA_FAILED"), 1, 1)
    try:
        failed = await client.tasks_page(source.id, TaskFilter(status="FAILED"), 1, 1)
    except RequestRejected as error:
        return f"ListMmsTasks rejects status=FAILED with status {error.status}, code {error.code}"
    totals = f"DATA_FAILED {data_failed.total}, all {everything.total}"
    return f"ListMmsTasks counts {failed.total} tasks for status=FAILED ({totals})"


async def _time_zone(client: Client, account: Account, sources: Sequence[DataSource], clock: Clock) -> str:
    for source in sources[:MAX_SOURCES]:
        page = await client.newest_jobs(source.id, JobFilter(), 1)
        times = [each for job in page.rows if (each := unix_seconds(job.create_time, account.time_zone)) is not None]
        if times:
            ahead = max(times) - clock.wall() - (client.server_ahead_seconds or 0.0)
            side = "ahead of" if ahead > 0 else "behind"
            length = duration_text(round(abs(ahead)))
            return f"the newest createTime, read as {account.time_zone.key}, is {length} {side} the clock of MMS"
    raise NothingToProbeError(f"no job in the first {MAX_SOURCES} data sources")


FACTS: Final[Mapping[str, Fact]] = {
    "page_size": _page_size,
    "stopped_jobs": _stopped_jobs,
    "task_status": _task_status,
    "time_zone": _time_zone,
}
"""By the name of the check."""
