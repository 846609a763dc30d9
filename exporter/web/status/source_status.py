"""SourceSnapshot -> SourceStatus: a data source, its jobs and failures. Pure."""

from typing import Final

from exporter.collect.snapshot import (
    FailedUnit,
    FailedUnits,
    FailuresStats,
    JobsStats,
    JobStats,
    SourceSnapshot,
    SourceStats,
)
from exporter.masking import masked
from exporter.mms.models import DataSource
from exporter.mms.progress import ratio
from exporter.mms.statuses import UNFINISHED_JOB_STATUSES
from exporter.web.status import source_schema
from exporter.web.status.attention import needs_attention
from exporter.web.status.progress_bars import partitions_of, progress_of, tables_of
from exporter.web.status.truncation import optional_text, optional_time, truncated, upper_case

MAX_PROJECTS: Final = 20
"""Maximum destination projects per data source."""
_LISTED: Final = (*UNFINISHED_JOB_STATUSES, "FAILED")
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
        type=upper_case(row.type),
        region=optional_text(row.region),
        network_link=row.networklink and truncated(masked(row.networklink)),
        dst_projects=_projects(row),
        status=upper_case(row.status),
        agent_online=row.agent_is_online,
        created_at=optional_time(figures.created_at),
        databases=row.db_num,
        tables=tables_of(row),
        partitions=partitions_of(row),
        progress=progress_of(row),
        metadata_synced_at=optional_time(figures.synced_at),
        scan_id=row.scan_id,
        scan_status=upper_case(row.scan_status),
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
    open_jobs = [job for job in jobs.jobs if (job.status or "").upper() != "DONE"]
    open_jobs.sort(key=lambda job: (job.status or "").upper() == "FAILED")
    counted = sum(jobs.counts.get(status, 0) for status in _LISTED)
    counted += sum(1 for job in open_jobs if (job.status or "").upper() not in _LISTED)
    listed = tuple(map(_job, open_jobs[:limit]))
    return source_schema.JobsStatus(
        counts=jobs.counts,
        stopped=jobs.stopped,
        listed=listed,
        omitted=max(counted, len(open_jobs)) - len(listed),
    )


def _job(job: JobStats) -> source_schema.JobEntry:
    return source_schema.JobEntry(
        id=job.job_id,
        name=optional_text(job.name),
        type=optional_text(job.type),
        task_type=optional_text(job.task_type),
        src_db=optional_text(job.src_db),
        src_schema=optional_text(job.src_schema),
        dst_project=optional_text(job.dst_project),
        dst_schema=optional_text(job.dst_schema),
        status=upper_case(job.status),
        stopped=job.stopped,
        tasks=job.tasks,
        tasks_done=job.tasks_done,
        ratio=ratio(job.tasks_done, job.tasks),
        created_at=optional_time(job.created_at),
        eta_at=optional_time(job.eta_at),
    )


def _failures(failures: FailedUnits | None, limit: int) -> source_schema.FailuresStatus | None:
    if failures is None:
        return None
    named = tuple(map(_failed, failures.newest[:limit]))
    return source_schema.FailuresStatus(total=failures.total, named=named, omitted=failures.total - len(named))


def _failed(failed: FailedUnit) -> source_schema.FailedStatus:
    return source_schema.FailedStatus(
        src_db=optional_text(failed.src_db),
        table=optional_text(failed.table),
        partition=optional_text(failed.partition),
        dst_project=optional_text(failed.dst_project),
        dst_schema=optional_text(failed.dst_schema),
        dst_table=optional_text(failed.dst_table),
    )
