"""Every metric that comes from MMS: one table, a row each. A new metric is a new row here, in `tasks` or in `objects`.

A row says what a family is called, what it means, which labels it adds to those of its part of the snapshot, and which
samples it takes from that part. Pure; names are literals, once.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from exporter.collect.snapshot import (
    AccountSnapshot,
    CollectorSnapshot,
    JobFigures,
    JobsFigures,
    SourceFigures,
    SourceSnapshot,
)
from exporter.exposition.family import Family, Part, Sample, by_status, in_status, one
from exporter.exposition.objects import FAILURES, PARTITION, TABLE
from exporter.exposition.tasks import JOB_TASKS, TASKS
from exporter.masking import masked
from exporter.mms.models import DATA_SOURCE_STATUSES, JOB_STATUSES, SCAN_STATUSES


def _source_labels(part: SourceFigures | JobsFigures | SourceSnapshot) -> tuple[str, ...]:
    return part.name.account, str(part.name.source_id), part.name.source


def _tables(part: SourceFigures) -> Iterable[Sample]:
    row = part.row
    return by_status(
        {
            "DOING": row.tables_doing_num,
            "DONE": row.tables_done_num,
            "PART_DONE": row.tables_part_done_num,
            "FAILED": row.tables_failed_num,
        },
    )


def _partitions(part: SourceFigures) -> Iterable[Sample]:
    row = part.row
    return by_status(
        {"DOING": row.partitions_doing_num, "DONE": row.partitions_done_num, "FAILED": row.partitions_failed_num},
    )


def _source_info(part: SourceFigures) -> Iterator[Sample]:
    row = part.row
    yield (row.type and row.type.upper(), row.region, row.dst_project, row.networklink and masked(row.networklink)), 1


def _destinations(part: SourceFigures) -> Iterator[Sample]:
    return (((project,), 1) for project in dict.fromkeys(part.row.dst_projects or ()))


def _scan_info(part: SourceFigures) -> Iterator[Sample]:
    if part.row.scan_id is not None:
        yield (str(part.row.scan_id),), 1


def _jobs(part: JobsFigures) -> Iterator[tuple[tuple[str | None, ...], JobFigures]]:
    return (((str(job.job_id), job.name), job) for job in part.jobs)


def _job_info(job: JobFigures) -> Iterator[Sample]:
    yield (job.type, job.task_type, job.src_db, job.src_schema, job.dst_project, job.dst_schema), 1


_LIST: Final = "of ListMmsDataSources, as of the last refresh."
_JOBS: Final = "of ListMmsJobs, as of the last refresh."

ACCOUNT: Final[Part[AccountSnapshot]] = Part(
    labels=("account",),
    label_values=lambda part: (part.account,),
    families=(
        Family("mms_up", "Whether the last refresh listed the account's data sources.", lambda part: one(part.up)),
    ),
)

COLLECTOR: Final[Part[CollectorSnapshot]] = Part(
    labels=("account", "collector"),
    label_values=lambda part: (part.account, part.collector),
    families=(
        Family(
            "mms_refresh_success",
            "Whether the last refresh read all that this collector reads.",
            lambda part: one(part.success),
        ),
        Family(
            "mms_refresh_duration_seconds",
            "How long this collector took in the last refresh.",
            lambda part: one(part.duration_seconds),
        ),
        Family(
            "mms_refresh_last_success_timestamp_seconds",
            "When this collector last read all there was, in Unix seconds; absent if it never did.",
            lambda part: one(part.last_success_at),
        ),
    ),
)

SOURCE: Final[Part[SourceFigures]] = Part(
    labels=("account", "source_id", "source"),
    label_values=_source_labels,
    families=(
        Family(
            "mms_datasource_info",
            f"A data source: type, region, dstProject and networklink {_LIST}",
            _source_info,
            ("source_type", "source_region", "dst_project", "network_link"),
        ),
        Family(
            "mms_datasource_destination_info",
            f"A MaxCompute project that a data source is migrated to: dstProjects {_LIST}",
            _destinations,
            ("dst_project",),
        ),
        Family(
            "mms_datasource_status",
            f"State of a data source, 1 for the one that holds: status {_LIST}",
            lambda part: in_status(part.row.status, DATA_SOURCE_STATUSES),
            ("status",),
        ),
        Family(
            "mms_datasource_agent_online",
            f"Whether the data source instance or its agent is started: agentIsOnline {_LIST}",
            lambda part: one(part.row.agent_is_online),
        ),
        Family(
            "mms_datasource_created_timestamp_seconds",
            f"When the data source was created, in Unix seconds: createTime {_LIST}",
            lambda part: one(part.created_at),
        ),
        Family("mms_tables", f"Tables by migration status: tables*Num {_LIST}", _tables, ("status",)),
        Family("mms_partitions", f"Partitions by migration status: partitions*Num {_LIST}", _partitions, ("status",)),
        Family(
            "mms_metadata_databases",
            f"Databases in the inventory of a data source: dbNum {_LIST}",
            lambda part: one(part.row.db_num),
        ),
        Family(
            "mms_metadata_tables",
            f"Tables in the inventory of a data source: tableNum {_LIST}",
            lambda part: one(part.row.table_num),
        ),
        Family(
            "mms_metadata_partitions",
            f"Partitions in the inventory of a data source: partitionNum {_LIST}",
            lambda part: one(part.row.partition_num),
        ),
        Family(
            "mms_metadata_sync_timestamp_seconds",
            f"When the metadata was last synchronised, in Unix seconds: lastUpdateTime {_LIST}",
            lambda part: one(part.synced_at),
        ),
        Family(
            "mms_metadata_scan_info",
            f"The metadata scan that ran last: scanId {_LIST}",
            _scan_info,
            ("scan_id",),
        ),
        Family(
            "mms_metadata_scan_status",
            f"State of the metadata scan, 1 for the one that holds: scanStatus {_LIST}",
            lambda part: in_status(part.row.scan_status, SCAN_STATUSES),
            ("status",),
        ),
    ),
)

JOBS: Final[Part[JobsFigures]] = Part(
    labels=("account", "source_id", "source"),
    label_values=_source_labels,
    families=(
        Family(
            "mms_jobs", f"Jobs by status, all of them: total {_JOBS}", lambda part: by_status(part.counts), ("status",)
        ),
        Family(
            "mms_jobs_stopped", f"Unfinished jobs that are stopped: stopped {_JOBS}", lambda part: one(part.stopped)
        ),
        Family(
            "mms_job_series_omitted",
            "Unfinished jobs that max_series_per_source left without series of their own in the last refresh.",
            lambda part: one(part.omitted),
        ),
    ),
)

JOB: Final[Part[JobsFigures]] = Part(
    labels=("account", "source_id", "source"),
    label_values=_source_labels,
    members=_jobs,
    member_labels=("job_id", "job_name"),
    families=(
        Family(
            "mms_job_info",
            f"An unfinished, failed or just finished job: type, taskType, source and destination {_JOBS}",
            _job_info,
            ("job_type", "task_type", "src_db", "src_schema", "dst_project", "dst_schema"),
        ),
        Family(
            "mms_job_status",
            f"State of a job, 1 for the one that holds: status {_JOBS}",
            lambda job: in_status(job.status, JOB_STATUSES),
            ("status",),
        ),
        Family("mms_job_stopped", f"Whether a job is stopped: stopped {_JOBS}", lambda job: one(job.stopped)),
        Family("mms_job_tasks", f"Tasks of a job: taskNum {_JOBS}", lambda job: one(job.tasks)),
        Family(
            "mms_job_tasks_done", f"Tasks of a job that are done: taskDone {_JOBS}", lambda job: one(job.tasks_done)
        ),
        Family(
            "mms_job_created_timestamp_seconds",
            f"When a job was created, in Unix seconds: createTime {_JOBS}",
            lambda job: one(job.created_at),
        ),
        Family(
            "mms_job_eta_timestamp_seconds",
            f"Estimated or wished end of a job, in Unix seconds, where it can be read: eta {_JOBS}",
            lambda job: one(job.eta_at),
        ),
    ),
)

FRESHNESS: Final[Part[SourceSnapshot]] = Part(
    labels=("account", "source_id", "source"),
    label_values=_source_labels,
    families=(
        Family(
            "mms_datasource_refresh_success",
            "Whether the last refresh read all there is to read of a data source.",
            lambda part: one(part.refreshed),
        ),
        Family(
            "mms_datasource_refresh_last_success_timestamp_seconds",
            "When all of a data source was last read, in Unix seconds; absent if it never was.",
            lambda part: one(part.last_success_at),
        ),
    ),
)

PARTS: Final[tuple[Part[Any], ...]] = (
    *(ACCOUNT, COLLECTOR, SOURCE),
    *(JOBS, JOB, TASKS, JOB_TASKS, FAILURES),
    *(TABLE, PARTITION, FRESHNESS),
)
