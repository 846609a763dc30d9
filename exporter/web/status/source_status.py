"""Records of a snapshot -> records of the report: data sources, jobs, failures, watched objects. Pure."""

from typing import Any, Final, TypeVar

from exporter.collect.snapshot import (
    FailedUnits,
    FailuresStats,
    JobsStats,
    JobStats,
    PartitionStats,
    SourceName,
    SourceSnapshot,
    SourceStats,
    TableStats,
)
from exporter.masking import masked
from exporter.mms.models import DataSource
from exporter.mms.progress import ratio
from exporter.mms.statuses import UNFINISHED_JOB_STATUSES, JobStatus
from exporter.web.status import source_schema
from exporter.web.status import status_schema as report
from exporter.web.status.attention import needs_attention
from exporter.web.status.formatting import optional_text, optional_time, truncated
from exporter.web.status.progress_bars import partitions_of, progress_of, tables_of

_Record = TypeVar("_Record", bound=source_schema.StatusRecord)

MAX_PROJECTS: Final = 20
"""Maximum destination projects per data source."""
_LISTED: Final = (*UNFINISHED_JOB_STATUSES, JobStatus.FAILED)
"""The statuses that `mms-exporter jobs` lists."""


def source_status(source: SourceSnapshot, max_jobs: int, max_failures: int) -> source_schema.SourceStatus:
    """Return a data source with limited jobs and failures."""
    name = source.name
    figures = source.figures or SourceStats(name, DataSource(id=name.source_id), None, None)
    failures = source.failures or FailuresStats(name, None, None)
    row = figures.row
    return source_schema.SourceStatus(
        account=name.account,
        id=name.source_id,
        name=truncated(name.source),
        type=row.type and truncated(row.type.upper()),
        region=optional_text(row.region),
        network_link=row.networklink and truncated(masked(row.networklink)),
        dst_projects=_projects(row),
        status=optional_text(row.status),
        agent_online=row.agent_is_online,
        created_at=optional_time(figures.created_at),
        databases=row.db_num,
        tables=tables_of(row),
        partitions=partitions_of(row),
        progress=progress_of(row),
        metadata_synced_at=optional_time(figures.synced_at),
        scan_id=row.scan_id,
        scan_status=optional_text(row.scan_status),
        jobs=_jobs(source.jobs, max_jobs),
        tasks=dict(source.tasks.counts) if source.tasks and source.tasks.counts is not None else None,
        failed_tables=_failures(failures.tables, max_failures),
        failed_partitions=_failures(failures.partitions, max_failures),
        refreshed=source.refreshed,
        stale=source.figures is None,
        needs_attention=needs_attention(source),
        last_success_at=optional_time(source.last_success_at),
    )


def _projects(row: DataSource) -> tuple[str, ...]:
    named = (*(row.dst_projects or ()), row.dst_project)
    return tuple(dict.fromkeys(text for each in named if (text := optional_text(each))))[:MAX_PROJECTS]


def _jobs(jobs: JobsStats | None, limit: int) -> source_schema.JobsStatus | None:
    if jobs is None:
        return None
    open_jobs = [job for job in jobs.jobs if job.status != JobStatus.DONE]
    open_jobs.sort(key=lambda job: job.status == JobStatus.FAILED)
    counted = sum(jobs.counts.get(status, 0) for status in _LISTED)
    counted += sum(1 for job in open_jobs if job.status not in _LISTED)
    listed = tuple(map(_job, open_jobs[:limit]))
    return source_schema.JobsStatus(
        counts=jobs.counts,
        stopped=jobs.stopped,
        listed=listed,
        omitted=max(counted, len(open_jobs)) - len(listed),
    )


def _job(job: JobStats) -> source_schema.JobEntry:
    return _copy(source_schema.JobEntry, job, id=job.job_id, ratio=ratio(job.tasks_done, job.tasks))


def _failures(failures: FailedUnits | None, limit: int) -> source_schema.FailuresStatus | None:
    if failures is None:
        return None
    named = tuple(_copy(source_schema.FailedStatus, each) for each in failures.newest[:limit])
    return source_schema.FailuresStatus(total=failures.total, named=named, omitted=failures.total - len(named))


def table_status(table: TableStats) -> report.WatchedTable:
    """Return a watched table."""
    partitions = source_schema.Objects(
        inventory=table.metadata_partitions,
        doing=table.partitions_doing,
        done=table.partitions_done,
        part_done=None,
        failed=table.partitions_failed,
    )
    return _copy(report.WatchedTable, table, **_names(table.name), id=table.table_id, partitions=partitions)


def partition_status(partition: PartitionStats) -> report.WatchedPartition:
    """Return a watched partition."""
    return _copy(report.WatchedPartition, partition, **_names(partition.name), id=partition.partition_id)


def _names(name: SourceName) -> dict[str, Any]:
    return {"account": name.account, "source_id": name.source_id, "source": truncated(name.source)}


def _copy(kind: type[_Record], record: object, **others: Any) -> _Record:
    # Fields have the same names in both; `others` are the rest.
    copied = {field: _shown(field, getattr(record, field)) for field in kind.__struct_fields__ if field not in others}
    return kind(**copied, **others)


def _shown(field: str, value: Any) -> Any:  # noqa: ANN401 - any field of a record
    if isinstance(value, str):
        return truncated(value)
    return optional_time(value) if field.endswith("_at") else value
