"""Table of all metrics from MMS, one row per family. Pure.

A row holds the name, the help text, the function that takes the samples from a part of the snapshot, and the labels
added to those of the metric group. The rows of tables and partitions are in `table_families`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    JobsStats,
    JobStats,
    ScanStats,
    SourceSnapshot,
    SourceStats,
    TasksStats,
)
from exporter.exposition.families.database_families import DATABASE, DATABASES
from exporter.exposition.families.metric_types import Family, MetricGroup, Sample, by_status, in_status, one
from exporter.exposition.families.table_families import FAILURES, PARTITION, REASONS, TABLE
from exporter.exposition.families.timer_families import TIMER, TIMERS
from exporter.masking import masked


def _tables(part: SourceStats) -> Iterable[Sample]:
    row = part.row
    return by_status(
        {
            "DOING": row.tables_doing_num,
            "DONE": row.tables_done_num,
            "PART_DONE": row.tables_part_done_num,
            "FAILED": row.tables_failed_num,
        },
    )


def _partitions(part: SourceStats) -> Iterable[Sample]:
    row = part.row
    return by_status(
        {"DOING": row.partitions_doing_num, "DONE": row.partitions_done_num, "FAILED": row.partitions_failed_num},
    )


def _source_info(part: SourceStats) -> Iterator[Sample]:
    row = part.row
    yield (row.type, row.region, row.dst_project, row.networklink and masked(row.networklink)), 1


def _destinations(part: SourceStats) -> Iterator[Sample]:
    return (((project,), 1) for project in dict.fromkeys(part.row.dst_projects or ()))


def _scan_info(part: SourceStats) -> Iterator[Sample]:
    if part.row.scan_id is not None:
        yield (str(part.row.scan_id),), 1


def _jobs(part: JobsStats) -> Iterator[tuple[tuple[str | None, ...], JobStats]]:
    return (((str(job.row.id), job.row.name), job) for job in part.jobs)


def _job_info(job: JobStats) -> Iterator[Sample]:
    row = job.row
    yield (row.type, job.task_type, row.src_db_name, row.src_schema_name, row.dst_db_name, row.dst_schema_name), 1


_LIST: Final = "of ListMmsDataSources."
_JOBS: Final = "of ListMmsJobs."
_TASKS: Final = "of ListMmsTasks."

ACCOUNT: Final[MetricGroup[AccountSnapshot]] = MetricGroup(
    part="account",
    labels=("account",),
    label_values=lambda part: (part.account,),
    families=(
        Family(
            "mms_up",
            "1 if the last refresh of the account listed its data sources, 0 otherwise.",
            lambda part: one(part.up),
        ),
    ),
)

COLLECTOR: Final[MetricGroup[CollectorSnapshot]] = MetricGroup(
    part="collector",
    labels=("account", "collector"),
    label_values=lambda part: (part.account, part.collector),
    families=(
        Family(
            "mms_refresh_success",
            "1 if the last refresh of the collector read everything, 0 otherwise.",
            lambda part: one(part.success),
        ),
        Family(
            "mms_refresh_duration_seconds",
            "Duration of the last refresh of the collector, in seconds.",
            lambda part: one(part.duration_seconds),
        ),
        Family(
            "mms_refresh_last_success_timestamp_seconds",
            "Unix time of the last complete refresh of the collector. Absent before the first one.",
            lambda part: one(part.last_success_at),
        ),
    ),
)

SOURCE: Final[MetricGroup[SourceStats]] = MetricGroup(
    part="source_row",
    families=(
        Family(
            "mms_datasource_info",
            "Properties of the data source; the value is always 1. API fields: type, region, dstProject, "
            f"networklink {_LIST}",
            _source_info,
            ("source_type", "source_region", "dst_project", "network_link"),
        ),
        Family(
            "mms_datasource_destination_info",
            f"A destination MaxCompute project; the value is always 1. API field: dstProjects {_LIST}",
            _destinations,
            ("dst_project",),
        ),
        Family(
            "mms_datasource_status",
            f"Current status of the data source: 1 for the active status, 0 otherwise. API field: status {_LIST}",
            lambda part: in_status(part.row.status),
            ("status",),
        ),
        Family(
            "mms_datasource_agent_online",
            f"1 if MMS reports the agent of the data source as online, 0 otherwise. API field: agentIsOnline {_LIST}",
            lambda part: one(part.row.agent_is_online),
        ),
        Family(
            "mms_datasource_created_timestamp_seconds",
            f"Unix time at which the data source was created. API field: createTime {_LIST}",
            lambda part: one(part.created_at),
        ),
        Family(
            "mms_tables",
            f"Number of tables by migration status. API fields: tables*Num {_LIST}",
            _tables,
            ("status",),
        ),
        Family(
            "mms_partitions",
            f"Number of partitions by migration status. API fields: partitions*Num {_LIST}",
            _partitions,
            ("status",),
        ),
        Family(
            "mms_metadata_databases",
            f"Number of databases found by metadata scans. API field: dbNum {_LIST}",
            lambda part: one(part.row.db_num),
        ),
        Family(
            "mms_metadata_tables",
            f"Number of tables found by metadata scans. API field: tableNum {_LIST}",
            lambda part: one(part.row.table_num),
        ),
        Family(
            "mms_metadata_partitions",
            f"Number of partitions found by metadata scans. API field: partitionNum {_LIST}",
            lambda part: one(part.row.partition_num),
        ),
        Family(
            "mms_metadata_sync_timestamp_seconds",
            f"Unix time of the last metadata synchronisation. API field: lastUpdateTime {_LIST}",
            lambda part: one(part.synced_at),
        ),
        Family(
            "mms_metadata_scan_info",
            f"Id of the last metadata scan; the value is always 1. API field: scanId {_LIST}",
            _scan_info,
            ("scan_id",),
        ),
        Family(
            "mms_metadata_scan_status",
            f"Status of the last metadata scan: 1 for the active status, 0 otherwise. API field: scanStatus {_LIST}",
            lambda part: in_status(part.row.scan_status),
            ("status",),
        ),
    ),
)

SCAN: Final[MetricGroup[ScanStats]] = MetricGroup(
    part="scan",
    families=(
        Family(
            "mms_metadata_scan_progress_ratio",
            "Progress of the running metadata scan, from 0 to 1. Absent while no scan runs. API field: progress of "
            "GetMmsFetchMetadataJob.",
            lambda part: one(part.progress),
        ),
        Family(
            "mms_partitions_outdated",
            "Number of partitions that changed at the source after they were migrated, as the last metadata scan found "
            "them. Read after each scan and once an hour. API field: total of ListMmsPartitions with updated=true.",
            lambda part: one(part.outdated),
        ),
    ),
)

JOBS: Final[MetricGroup[JobsStats]] = MetricGroup(
    part="jobs",
    families=(
        Family(
            "mms_jobs",
            f"Number of jobs by status, stopped jobs included. API field: total {_JOBS}",
            lambda part: by_status(part.counts),
            ("status",),
        ),
        Family(
            "mms_jobs_stopped",
            f"Number of unfinished jobs that are stopped. API field: stopped {_JOBS}",
            lambda part: one(part.stopped),
        ),
        Family(
            "mms_job_series_omitted",
            "Number of unfinished jobs without series of their own, because jobs.max_series_per_source was reached.",
            lambda part: one(part.omitted),
        ),
    ),
)

JOB: Final[MetricGroup[JobsStats]] = MetricGroup(
    part="jobs",
    members=_jobs,
    member_labels=("job_id", "job_name"),
    families=(
        Family(
            "mms_job_info",
            "Properties of an unfinished, failed or recently finished job; the value is always 1. API fields: type, "
            f"config.taskType, srcDbName, srcSchemaName, dstDbName, dstSchemaName {_JOBS}",
            _job_info,
            ("job_type", "task_type", "src_db", "src_schema", "dst_project", "dst_schema"),
        ),
        Family(
            "mms_job_status",
            f"Current status of the job: 1 for the active status, 0 otherwise. API field: status {_JOBS}",
            lambda job: in_status(job.row.status),
            ("status",),
        ),
        Family(
            "mms_job_unresolved",
            "1 while something FAILED remains or may remain in the scope of a failed job, 0 otherwise. Absent while "
            f"that is unknown. Takes no calls of its own. API fields: srcDbName, config {_JOBS}",
            lambda job: one(job.unresolved),
        ),
        Family(
            "mms_job_stopped",
            f"1 if the job is stopped, 0 otherwise. API field: stopped {_JOBS}",
            lambda job: one(job.row.stopped),
        ),
        Family(
            "mms_job_tasks",
            f"Number of tasks of the job. API field: taskNum {_JOBS}",
            lambda job: one(job.row.task_num),
        ),
        Family(
            "mms_job_tasks_done",
            f"Number of tasks of the job that are done. API field: taskDone {_JOBS}",
            lambda job: one(job.row.task_done),
        ),
        Family(
            "mms_job_created_timestamp_seconds",
            f"Unix time at which the job was created. API field: createTime {_JOBS}",
            lambda job: one(job.created_at),
        ),
        Family(
            "mms_job_eta_timestamp_seconds",
            "ETA of the job, the requested finish time, as Unix time; a date alone means the end of that day. Absent "
            f"if empty or not a date. API field: eta {_JOBS}",
            lambda job: one(job.eta_at),
        ),
    ),
)

TASKS: Final[MetricGroup[TasksStats]] = MetricGroup(
    part="tasks",
    families=(
        Family(
            "mms_tasks",
            "Number of tasks of all jobs of the data source by status. Those of stopped jobs are missing where MMS "
            f"omits them from lists by status. API field: total {_TASKS}",
            lambda part: by_status(part.counts or {}),
            ("status",),
        ),
    ),
)

JOB_TASKS: Final[MetricGroup[TasksStats]] = MetricGroup(
    part="tasks",
    member_labels=("job_id", "job_name"),
    members=lambda part: (((str(job.job_id), job.name), job) for job in part.jobs),
    families=(
        Family(
            "mms_job_tasks_by_status",
            "Number of tasks of an unfinished job by status, stopped jobs included. Absent for a stopped job with over "
            f"10 pages of tasks where MMS omits them from lists by status. API field: status {_TASKS}",
            lambda job: by_status(job.counts),
            ("status",),
        ),
        Family(
            "mms_job_tasks_retried",
            "Number of tasks of an unfinished job that were retried. Absent for a job with over 10 pages of tasks. "
            f"API field: retriedTimes {_TASKS}",
            lambda job: one(job.retried),
        ),
    ),
)

FRESHNESS: Final[MetricGroup[SourceSnapshot]] = MetricGroup(
    part="source",
    families=(
        Family(
            "mms_datasource_refresh_success",
            "1 if the last refresh read the data source completely, 0 otherwise.",
            lambda part: one(part.refreshed),
        ),
        Family(
            "mms_datasource_refresh_last_success_timestamp_seconds",
            "Unix time of the last complete refresh of the data source. Absent before the first one.",
            lambda part: one(part.last_success_at),
        ),
    ),
)

METRIC_GROUPS: Final[tuple[MetricGroup[Any], ...]] = (
    *(ACCOUNT, COLLECTOR, SOURCE, SCAN),
    *(JOBS, JOB, TASKS, JOB_TASKS, DATABASE, DATABASES, FAILURES, REASONS, TIMER, TIMERS),
    *(TABLE, PARTITION, FRESHNESS),
)
