"""The records MMS answers with, in the vendor's words turned to snake_case.

None means that the API left the field out, sent null or an empty text, or sent something that is not of its type.
`config` of a data source is left out on purpose: it can hold passwords and key files.
"""

from typing import Annotated

from msgspec import Meta

from exporter.mms.record import ApiRecord

DATA_SOURCE_STATUSES = ("STARTING", "STARTED", "STOPPING", "STOPPED", "START_FAILED", "STOP_FAILED")
SCAN_STATUSES = ("DOING", "DONE", "FAILED")
JOB_STATUSES = ("INIT", "DOING", "DONE", "FAILED")
UNFINISHED_JOB_STATUSES = ("INIT", "DOING")
TABLE_STATUSES = ("INIT", "DOING", "DONE", "PART_DONE", "FAILED")
PARTITION_STATUSES = ("INIT", "DOING", "DONE", "FAILED")
TASK_PHASES = ("SCHEMA", "DATA", "VERIFICATION")
TASK_STATUSES = ("INIT", *(f"{phase}_{end}" for phase in TASK_PHASES for end in ("DOING", "DONE", "FAILED")), "DONE")

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A number of things, or of bytes. A negative one is not of its type."""


class DataSource(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsDataSources: a system that is migrated from, with its inventory and counters.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ ListMmsDataSources.
    """

    OPTIONAL = frozenset(
        {"dst_project", "dst_projects", "networklink", "last_update_time", "err_msg", "scan_id", "scan_status"},
    )

    id: Count
    name: str | None = None
    type: str | None = None
    """HIVE, BIGQUERY, MAXCOMPUTE, and others elsewhere, in varying case."""
    region: str | None = None
    dst_project: str | None = None
    """The MaxCompute project that data goes to."""
    dst_projects: tuple[str, ...] | None = None
    networklink: str | None = None
    """VPC and region of the link to the source. In the vendor's example, not in its table."""
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    last_update_time: str | None = None
    """When the metadata was synchronised last, as create_time. Absent before the first scan."""
    status: str | None = None
    """One of DATA_SOURCE_STATUSES, or new."""
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
    """The metadata scan that ran last."""
    scan_status: str | None = None
    """One of SCAN_STATUSES, or new. Newer versions of the API only."""


class JobConfig(ApiRecord, frozen=True, kw_only=True):
    """What a job was made of; every field depends on its kind."""

    OPTIONAL = frozenset(
        {
            "task_type",
            "partitions",
            "tables",
            "table_black_list",
            "table_white_list",
            "partition_filters",
            "schema_only",
            "table_mapping",
            "increment",
            "enable_schema_migration",
            "enable_data_migration",
            "enable_verification",
            "tunnel_quota",
            "column_mapping",
        },
    )

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
    """A row of ListMmsJobs: a plan to migrate one database, some tables, or some partitions.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ ListMmsJobs.
    """

    OPTIONAL = frozenset({"db_id", "source_name", "src_schema_name", "dst_schema_name", "config", "eta"})

    id: Count
    name: str | None = None
    source_id: Count | None = None
    source_name: str | None = None
    db_id: Count | None = None
    src_db_name: str | None = None
    src_schema_name: str | None = None
    dst_db_name: str | None = None
    """The destination MaxCompute project."""
    dst_schema_name: str | None = None
    status: str | None = None
    """One of JOB_STATUSES, or new."""
    type: str | None = None
    """Database, Tables or Partitions."""
    task_num: Count | None = None
    task_done: Count | None = None
    stopped: bool | None = None
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    eta: str | None = None
    """Estimated or wished end. UNVERIFIED: its format; often empty. A live account's answer would settle it."""
    config: JobConfig | None = None


class Column(ApiRecord, frozen=True, kw_only=True):
    """A column of a source table."""

    OPTIONAL = frozenset({"name", "type", "comment", "default_value", "nullable"})

    name: str | None = None
    type: str | None = None
    comment: str | None = None
    default_value: str | None = None
    nullable: bool | None = None


class TableSchema(ApiRecord, frozen=True, kw_only=True):
    """The columns of a source table."""

    OPTIONAL = frozenset({"name", "comment", "columns", "partitions"})

    name: str | None = None
    comment: str | None = None
    columns: tuple[Column, ...] | None = None
    partitions: tuple[Column, ...] | None = None
    """The partition key columns."""


class Table(ApiRecord, frozen=True, kw_only=True):
    """GetMmsTable, and a row of ListMmsTables: one source table and how far it is.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ GetMmsTable.
    """

    OPTIONAL = frozenset(
        {
            "db_id",
            "dst_project_name",
            "dst_schema_name",
            "dst_name",
            "type",
            "schema",
            "owner",
            "location",
            "input_format",
            "output_format",
            "serde",
            "extra",
            "partitions",
            "partitions_doing",
            "partitions_done",
            "partitions_failed",
            "source_name",
            "size",
            "num_rows",
            "updated",
            "last_ddl_time",
        },
    )

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
    """Further properties, JSON in a string."""
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
    status: str | None = None
    """One of TABLE_STATUSES, or new."""


class Partition(ApiRecord, frozen=True, kw_only=True):
    """GetMmsPartition, and a row of ListMmsPartitions: one partition of a source table and how far it is.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ GetMmsPartition.
    """

    OPTIONAL = frozenset(
        {
            "db_id",
            "dst_project_name",
            "dst_schema_name",
            "dst_table_name",
            "dst_value",
            "source_name",
            "size",
            "num_rows",
            "updated",
            "last_ddl_time",
        },
    )

    id: Count
    db_id: Count | None = None
    table_id: Count | None = None
    db_name: str | None = None
    table_name: str | None = None
    value: str | None = None
    """As in `p1=1/p2=abc`."""
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
    status: str | None = None
    """One of PARTITION_STATUSES, or new."""


class Task(ApiRecord, frozen=True, kw_only=True):
    """A row of ListMmsTasks: a physical piece of a job, one table or some partitions of one.

    Source: the vendor's SDK; no page has an example. UNVERIFIED: which fields may be left out. A live list settles it.
    """

    OPTIONAL = frozenset({"table_id", "type", "running", "stopped", "start_time", "end_time"})

    id: Count
    job_id: Count | None = None
    job_name: str | None = None
    src_db_name: str | None = None
    src_table_name: str | None = None
    table_id: Count | None = None
    type: str | None = None
    status: str | None = None
    """One of TASK_STATUSES, or new."""
    running: bool | None = None
    stopped: bool | None = None
    retried_times: Count | None = None
    """How often it was tried again. UNVERIFIED: that it is 0, and not left out, where it never was."""
    create_time: str | None = None
    """`YYYY-MM-DD HH:MM:SS` in the account's time zone."""
    start_time: str | None = None
    """As create_time. Absent before it starts."""
    end_time: str | None = None
    """As create_time. Absent before it ends."""


class CreatedJob(ApiRecord, frozen=True, kw_only=True):
    """CreateMmsJob: the job is made by an asynchronous task, whose id this is.

    Source: https://www.alibabacloud.com/help/en/maxcompute/ CreateMmsJob.
    """

    async_task_id: Count


class AsyncTask(ApiRecord, frozen=True, kw_only=True):
    """GetMmsAsyncTask: how far an asynchronous task is."""

    OPTIONAL = frozenset({"running", "progress", "error_msg", "object_id"})

    status: str | None = None
    """DONE when `object_id` can be used."""
    running: bool | None = None
    progress: str | int | float | None = None
    """UNVERIFIED: its type and unit. A live account's answer would settle it."""
    error_msg: str | None = None
    object_id: Count | None = None
    """The id of the job that was made."""
