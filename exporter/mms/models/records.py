"""Records of MMS responses, with the vendor's field names in snake_case.

None means that the field was missing, null, empty or of the wrong type. `config` of a data source is omitted on
purpose, because it can contain passwords and key files.
"""

from typing import Annotated, Final

from msgspec import Meta

from exporter.mms.models.api_record import ApiRecord
from exporter.mms.models.statuses import (
    DataSourceStatus,
    JobStatus,
    PartitionStatus,
    ScanStatus,
    SourceType,
    TableStatus,
)

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A count, a size in bytes, or an ID; never negative."""
FULL_SCAN: Final = 10_000
"""Progress of a complete metadata scan."""


class DataSource(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsDataSources: a source system with its counters.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ ListMmsDataSources.
    """

    EXPECTED = (
        *("name", "type", "region", "create_time", "status", "agent_is_online", "db_num", "table_num"),
        *("partition_num", "tables_doing_num", "tables_done_num", "tables_part_done_num"),
        *("tables_failed_num", "partitions_doing_num", "partitions_done_num", "partitions_failed_num"),
    )

    id: Count
    name: str | None = None
    type: SourceType | None = None
    region: str | None = None
    dst_project: str | None = None
    """Destination MaxCompute project."""
    dst_projects: tuple[str, ...] | None = None
    networklink: str | None = None
    """VPC and region of the link to the source. Only in the vendor's example, not in its table of fields."""
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    last_update_time: str | None = None
    """Time of the last metadata scan, format as create_time. Absent before the first scan."""
    status: DataSourceStatus | None = None
    err_msg: str | None = None
    """Set in START_FAILED and STOP_FAILED only."""
    agent_is_online: bool | None = None
    db_num: Count | None = None
    table_num: Count | None = None
    partition_num: Count | None = None
    tables_doing_num: Count | None = None
    tables_done_num: Count | None = None
    tables_part_done_num: Count | None = None
    tables_failed_num: Count | None = None
    partitions_doing_num: Count | None = None
    partitions_done_num: Count | None = None
    partitions_failed_num: Count | None = None
    scan_id: Count | None = None
    """ID of the last metadata scan."""
    scan_status: ScanStatus | None = None
    """Only in newer versions of the API."""


class Database(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsDbs: a database with its counters.

    Source: the vendor's SDK; no page has an example. UNVERIFIED: which fields may be missing. A live list settles it.
    """

    EXPECTED = (
        *("name", "tables", "tables_doing", "tables_done", "tables_part_done", "tables_failed", "partitions"),
        *("partitions_doing", "partitions_done", "partitions_failed"),
    )

    id: Count
    name: str | None = None
    dst_project_name: str | None = None
    """Destination MaxCompute project."""
    dst_name: str | None = None
    """Destination schema; absent if the project has no schemas."""
    status: TableStatus | None = None
    tables: Count | None = None
    tables_doing: Count | None = None
    tables_done: Count | None = None
    tables_part_done: Count | None = None
    tables_failed: Count | None = None
    partitions: Count | None = None
    partitions_doing: Count | None = None
    partitions_done: Count | None = None
    partitions_failed: Count | None = None
    size: Count | None = None
    """Bytes at the source."""
    num_rows: Count | None = None
    deleted: bool | None = None
    """Whether the database no longer exists at the source."""

    @property
    def size_rank(self) -> tuple[bool, int, int, int]:
        """Sort key: the largest first, unknown sizes last."""
        return self.size is None, -(self.size or 0), -(self.partitions or 0), self.id


class MetadataScanJob(ApiRecord, frozen=True, kw_only=True):
    """Response of GetMmsFetchMetadataJob: a metadata scan.

    Source: the vendor's SDK; no page has an example. Its `errorMsg` and `result` are omitted: nothing reads them.
    """

    EXPECTED = ("status", "progress")

    status: ScanStatus | None = None
    progress: Annotated[float, Meta(ge=0, le=FULL_SCAN)] | None = None
    """From 1 to FULL_SCAN."""

    @property
    def ratio(self) -> float | None:
        """Return the progress of a running scan, from 0 to 1."""
        is_over = self.status in {ScanStatus.DONE, ScanStatus.FAILED}
        return None if is_over or self.progress is None else self.progress / FULL_SCAN


class JobConfig(ApiRecord, frozen=True, kw_only=True):
    """Configuration of a job; the fields depend on its type."""

    task_type: str | None = None
    """MOCK, HIVE, HIVE_DATAX, COPY_TASK, ODPS_INSERT_OVERWRITE, MC2MC_VERIFY, OSS, HIVE_OSS, HIVE_SPARK, BIGQUERY."""
    partitions: tuple[Count, ...] | None = None
    """Partition ids, for a job of type Partitions."""
    tables: tuple[str, ...] | None = None
    table_black_list: tuple[str, ...] | None = None
    table_white_list: tuple[str, ...] | None = None
    partition_filters: dict[str, str] | None = None
    """Table name to partition filter expression."""
    schema_only: bool | None = None
    table_mapping: dict[str, str] | None = None
    """Source table to destination table."""
    increment: bool | None = None
    enable_schema_migration: bool | None = None
    enable_data_migration: bool | None = None
    enable_verification: bool | None = None
    tunnel_quota: str | None = None
    column_mapping: dict[str, str] | None = None
    """Source column to destination column."""


class Job(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsJobs: migration of a database, tables or partitions.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ ListMmsJobs.
    """

    EXPECTED = (
        *("name", "source_id", "src_db_name", "dst_db_name", "status", "type", "task_num", "task_done"),
        *("stopped", "create_time"),
    )

    id: Count
    name: str | None = None
    source_id: Count | None = None
    source_name: str | None = None
    db_id: Count | None = None
    src_db_name: str | None = None
    src_schema_name: str | None = None
    dst_db_name: str | None = None
    """Destination MaxCompute project."""
    dst_schema_name: str | None = None
    status: JobStatus | None = None
    type: str | None = None
    """Database, Tables or Partitions."""
    task_num: Count | None = None
    task_done: Count | None = None
    stopped: bool | None = None
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    eta: str | None = None
    """Requested end: a date, which means the end of that day, or a time. UNVERIFIED: its format; often empty. A live
    account's answer would settle it."""
    config: JobConfig | None = None


class Column(ApiRecord, frozen=True, kw_only=True):
    """A column of a source table."""

    name: str | None = None
    type: str | None = None
    comment: str | None = None
    default_value: str | None = None
    nullable: bool | None = None


class TableSchema(ApiRecord, frozen=True, kw_only=True):
    """The columns of a source table."""

    name: str | None = None
    comment: str | None = None
    columns: tuple[Column, ...] | None = None
    partitions: tuple[Column, ...] | None = None
    """The partition key columns."""


class Table(ApiRecord, frozen=True, kw_only=True):
    """A source table; GetMmsTable, and a row of ListMmsTables.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ GetMmsTable.
    """

    EXPECTED = ("db_name", "name", "has_partitions", "source_id", "status")

    id: Count
    db_id: Count | None = None
    db_name: str | None = None
    name: str | None = None
    dst_project_name: str | None = None
    dst_schema_name: str | None = None
    dst_name: str | None = None
    type: str | None = None
    has_partitions: bool | None = None
    schema: TableSchema | None = None
    owner: str | None = None
    location: str | None = None
    input_format: str | None = None
    output_format: str | None = None
    serde: str | None = None
    extra: str | None = None
    """Other properties, as JSON in a string."""
    partitions: Count | None = None
    partitions_doing: Count | None = None
    partitions_done: Count | None = None
    partitions_failed: Count | None = None
    source_id: Count | None = None
    source_name: str | None = None
    size: Count | None = None
    """Bytes."""
    num_rows: Count | None = None
    updated: bool | None = None
    """Whether the metadata changed since the last scan."""
    last_ddl_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    status: TableStatus | None = None


class Partition(ApiRecord, frozen=True, kw_only=True):
    """A partition; GetMmsPartition, and a row of ListMmsPartitions.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ GetMmsPartition.
    """

    EXPECTED = ("table_id", "db_name", "table_name", "value", "source_id", "status")

    id: Count
    db_id: Count | None = None
    table_id: Count | None = None
    db_name: str | None = None
    table_name: str | None = None
    value: str | None = None
    """Such as `p1=1/p2=abc`."""
    dst_project_name: str | None = None
    dst_schema_name: str | None = None
    dst_table_name: str | None = None
    dst_value: str | None = None
    source_id: Count | None = None
    source_name: str | None = None
    size: Count | None = None
    """Bytes."""
    num_rows: Count | None = None
    updated: bool | None = None
    """Whether the metadata changed since the last scan."""
    last_ddl_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    status: PartitionStatus | None = None


class CreatedJob(ApiRecord, frozen=True, kw_only=True):
    """Response of CreateMmsJob: ID of the task that creates the job.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ CreateMmsJob.
    """

    async_task_id: Count


class AsyncTask(ApiRecord, frozen=True, kw_only=True):
    """Response of GetMmsAsyncTask: progress of an asynchronous task."""

    status: JobStatus | None = None
    """DONE when `object_id` is valid."""
    running: bool | None = None
    progress: str | int | float | None = None
    """UNVERIFIED: its type and unit. A live account's answer would settle it."""
    error_msg: str | None = None
    object_id: Count | None = None
    """ID of the created job."""
