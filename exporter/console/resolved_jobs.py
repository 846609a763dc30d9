"""Tells failed jobs whose scope holds nothing FAILED any more, with the lists of failed tables and partitions."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import structs

from exporter.console.queries import QueryTarget
from exporter.errors import PermissionRefused
from exporter.mms.listing import Listing
from exporter.mms.models import Job, Partition, Table
from exporter.mms.protocol import PartitionFilter, TableFilter
from exporter.mms.scope import UnitSet, covers_any
from exporter.mms.statuses import JobStatus, PartitionStatus, TableStatus

MAX_FAILURES: Final = 100
"""Failed tables, and failed partitions, of a data source that are read: a page. With more, a job may stay unclear."""


class ShownJob(Job, frozen=True, kw_only=True):
    """A job with what became of its failures."""

    resolved: bool | None = None
    """Whether nothing in the scope of a FAILED job is FAILED any more; None for other jobs, or if unknown."""


async def with_resolution(target: QueryTarget, jobs: Sequence[Job]) -> list[ShownJob]:
    """Return the jobs with what became of their failures. Raises: MmsError."""
    shown = [ShownJob(**structs.asdict(job)) for job in jobs]
    if all(job.status != JobStatus.FAILED for job in shown):
        return shown
    client, source_id = target.client, target.source.id
    try:
        # Read after the jobs: what was read before a job failed cannot prove that nothing remains.
        tables = await client.newest_tables(source_id, TableFilter(status=(TableStatus.FAILED,)), MAX_FAILURES)
        partitions = await client.newest_partitions(
            source_id, PartitionFilter(status=(PartitionStatus.FAILED,)), MAX_FAILURES
        )
    except PermissionRefused:
        return shown
    units = UnitSet.of(_units((*tables.rows, *partitions.rows)))
    is_complete = _is_complete(tables) and _is_complete(partitions)
    return [
        structs.replace(job, resolved=False if covers_any(job, units) else True if is_complete else None)
        if job.status == JobStatus.FAILED
        else job
        for job in shown
    ]


def _units(rows: Iterable[Table | Partition]) -> Iterable[tuple[str | None, str | None, int | None]]:
    for row in rows:
        yield (row.db_name, row.name, None) if isinstance(row, Table) else (row.db_name, row.table_name, row.id)


def _is_complete(listing: Listing[Table] | Listing[Partition]) -> bool:
    return listing.is_consistent and listing.total == len(listing.rows)
