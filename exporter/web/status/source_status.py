"""Records of a snapshot -> records of the report: data sources with their parts, watched objects. Pure."""

from typing import Any, Final, NamedTuple

from exporter.collect.snapshot import (
    DatabasesStats,
    FailedUnit,
    FailedUnits,
    FailuresStats,
    JobStats,
    PartitionStats,
    SourceName,
    SourceSnapshot,
    SourceStats,
    TableStats,
    TimerStats,
)
from exporter.masking import masked
from exporter.mms.models.progress import job_ratio
from exporter.mms.models.records import Database, DataSource
from exporter.mms.models.schedules import is_late
from exporter.mms.models.statuses import UNFINISHED_JOB_STATUSES, JobStatus, TableStatus
from exporter.web.status import source_schema
from exporter.web.status import status_schema as report
from exporter.web.status.alert_conditions import is_overdue, resolved_jobs
from exporter.web.status.attention import needs_attention
from exporter.web.status.failure_reasons import reasons_status
from exporter.web.status.formatting import optional_text, optional_time, truncated
from exporter.web.status.progress_bars import partitions_of, progress_of, tables_of

MAX_PROJECTS: Final = 20
"""Maximum destination projects per data source."""
_LISTED: Final = (*UNFINISHED_JOB_STATUSES, JobStatus.FAILED)
"""The statuses that `mms-exporter jobs` lists."""


class RowLimits(NamedTuple):
    """Maximum rows of each kind per data source."""

    databases: int
    jobs: int
    failures: int
    """Failed tables, and as many failed partitions."""
    schedules: int


def source_status(source: SourceSnapshot, limits: RowLimits, now: float) -> source_schema.SourceStatus:
    """Return a data source within `limits`."""
    name = source.name
    stats = source.stats or SourceStats(name, DataSource(id=name.source_id), None, None)
    failures = source.failures or FailuresStats(name, None, None)
    row = stats.row
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
        created_at=optional_time(stats.created_at),
        databases=row.db_num,
        tables=tables_of(row),
        partitions=partitions_of(row),
        progress=progress_of(row),
        metadata_synced_at=optional_time(stats.synced_at),
        scan_id=row.scan_id,
        scan_status=optional_text(row.scan_status),
        scan_ratio=source.scan.progress if source.scan else None,
        partitions_outdated=source.scan.outdated if source.scan else None,
        database_list=_databases(source.databases, limits.databases),
        jobs=_jobs(source, limits.jobs, now),
        tasks=dict(source.tasks.counts) if source.tasks and source.tasks.counts is not None else None,
        failed_tables=_failures(failures.tables, limits.failures),
        failed_partitions=_failures(failures.partitions, limits.failures),
        reasons=reasons_status(source),
        schedules=_schedules(source, limits.schedules, now),
        refreshed=source.refreshed,
        stale=source.stats is None,
        needs_attention=needs_attention(source, now),
        last_success_at=optional_time(source.last_success_at),
    )


def _projects(row: DataSource) -> tuple[str, ...]:
    named = (*(row.dst_projects or ()), row.dst_project)
    return tuple(dict.fromkeys(text for each in named if (text := optional_text(each))))[:MAX_PROJECTS]


def _databases(databases: DatabasesStats | None, limit: int) -> source_schema.DatabasesStatus | None:
    if databases is None:
        return None
    unfinished_first = sorted(databases.databases, key=lambda row: row.status == TableStatus.DONE)
    listed = tuple(map(_database, unfinished_first[:limit]))
    return source_schema.DatabasesStatus(total=databases.total, listed=listed, omitted=databases.total - len(listed))


def _database(row: Database) -> source_schema.DatabaseEntry:
    return source_schema.DatabaseEntry(
        id=row.id,
        name=optional_text(row.name),
        status=optional_text(row.status),
        tables=tables_of(row),
        partitions=partitions_of(row),
        progress=progress_of(row),
        size_bytes=row.size,
        rows=row.num_rows,
        dst_project=optional_text(row.dst_project_name),
        dst_schema=optional_text(row.dst_name),
    )


def _jobs(source: SourceSnapshot, limit: int, now: float) -> source_schema.JobsStatus | None:
    jobs = source.jobs
    if jobs is None:
        return None
    open_jobs = [job for job in jobs.jobs if job.row.status != JobStatus.DONE]
    open_jobs.sort(key=lambda job: (job.row.status == JobStatus.FAILED, job.unresolved is False))
    counted = sum(jobs.counts.get(status, 0) for status in _LISTED)
    counted += sum(1 for job in open_jobs if job.row.status not in _LISTED)
    listed = tuple(_job(job, overdue=is_overdue(source, job, now)) for job in open_jobs[:limit])
    return source_schema.JobsStatus(
        counts=jobs.counts,
        stopped=jobs.stopped,
        resolved=resolved_jobs(source),
        listed=listed,
        omitted=max(counted, len(open_jobs)) - len(listed),
    )


def _job(job: JobStats, *, overdue: bool) -> source_schema.JobEntry:
    row = job.row
    return source_schema.JobEntry(
        id=row.id,
        name=optional_text(row.name),
        type=optional_text(row.type),
        task_type=optional_text(job.task_type),
        src_db=optional_text(row.src_db_name),
        src_schema=optional_text(row.src_schema_name),
        dst_project=optional_text(row.dst_db_name),
        dst_schema=optional_text(row.dst_schema_name),
        status=optional_text(row.status),
        stopped=row.stopped,
        tasks=row.task_num,
        tasks_done=row.task_done,
        ratio=job_ratio(row),
        created_at=optional_time(job.created_at),
        unresolved=job.unresolved,
        eta_at=optional_time(job.eta_at),
        overdue=overdue,
    )


def _failures(failures: FailedUnits | None, limit: int) -> source_schema.FailuresStatus | None:
    if failures is None:
        return None
    named = tuple(map(_failed, failures.newest[:limit]))
    return source_schema.FailuresStatus(total=failures.total, named=named, omitted=failures.total - len(named))


def _failed(unit: FailedUnit) -> source_schema.FailedStatus:
    return source_schema.FailedStatus(
        **{field: optional_text(getattr(unit, field)) for field in source_schema.FailedStatus.__struct_fields__}
    )


def _schedules(source: SourceSnapshot, limit: int, now: float) -> source_schema.SchedulesStatus | None:
    timers = source.timers
    if timers is None:
        return None
    status = source.stats.row.status if source.stats else None
    entries = [_schedule(timer, late=is_late(timer.due_at, status, now)) for timer in timers.timers]
    listed = tuple(sorted(entries, key=lambda entry: not entry.late)[:limit])
    return source_schema.SchedulesStatus(total=timers.total, listed=listed, omitted=timers.total - len(listed))


def _schedule(timer: TimerStats, *, late: bool) -> source_schema.ScheduleEntry:
    row, runs = timer.row, timer.runs
    return source_schema.ScheduleEntry(
        id=row.id,
        name=optional_text(row.name),
        src_db=optional_text(row.src_db_name),
        type=optional_text(row.schedule_type),
        at=optional_text(row.value),
        stopped=row.stopped,
        last_run_at=optional_time(runs.last_run_at if runs else None),
        last_run_status=optional_text(runs.last_status if runs else None),
        due_at=optional_time(timer.due_at),
        late=late,
    )


def table_status(table: TableStats) -> report.WatchedTable:
    """Return a watched table."""
    row = table.row
    return report.WatchedTable(
        **_names(table.name),
        id=row.id,
        src_db=optional_text(row.db_name),
        table=optional_text(row.name),
        status=optional_text(row.status),
        partitions=source_schema.Objects(
            inventory=row.partitions,
            doing=row.partitions_doing,
            done=row.partitions_done,
            part_done=None,
            failed=row.partitions_failed,
        ),
        size_bytes=row.size,
        rows=row.num_rows,
        last_ddl_at=optional_time(table.last_ddl_at),
    )


def partition_status(partition: PartitionStats) -> report.WatchedPartition:
    """Return a watched partition."""
    row = partition.row
    return report.WatchedPartition(
        **_names(partition.name),
        id=row.id,
        src_db=optional_text(row.db_name),
        table=optional_text(row.table_name),
        partition=optional_text(row.value),
        status=optional_text(row.status),
        size_bytes=row.size,
        rows=row.num_rows,
        last_ddl_at=optional_time(partition.last_ddl_at),
    )


def _names(name: SourceName) -> dict[str, Any]:
    return {"account": name.account, "source_id": name.source_id, "source": truncated(name.source)}
