"""Requests and responses of the MMS operations. No I/O.

A Call describes one request and the type of its result; `decode` turns a response into data or an error.
Source: the vendor pages of product MaxCompute, API version 2022-01-04, ROA style.
"""

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from exporter.errors import MalformedAnswer
from exporter.mms.api_errors import error_from
from exporter.mms.decoding import (
    Changed,
    Decoded,
    Fingerprint,
    Page,
    decode_if_changed,
    decode_object,
    decode_page,
    decode_rows,
    decode_selected,
)
from exporter.mms.models.api_record import ApiRecord
from exporter.mms.models.records import (
    AsyncTask,
    CreatedJob,
    Database,
    DataSource,
    Job,
    MetadataScanJob,
    Partition,
    Table,
)
from exporter.mms.models.task_records import Task, TaskLog
from exporter.mms.models.timer_records import Timer, TimerLog

T = TypeVar("T")
R = TypeVar("R", bound=ApiRecord)

DATA_SOURCES_PATH: Final = "/api/v1/mms/datasources"
PAGE_SIZE: Final = 100
"""Requested rows per page. UNVERIFIED: whether the service caps it lower; reading does not depend on it."""


@dataclass(frozen=True, slots=True)
class Call(ABC, Generic[T]):
    """One request and the type of its result."""

    operation: str
    """Vendor name: value of the label `operation`, and `odps:<operation>` as RAM action."""
    path: str
    kind: type[ApiRecord]
    """Record type of the result."""
    query: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    body: bytes | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether the call is idempotent."""
        return self.method == "GET"

    @abstractmethod
    def read(self, body: bytes) -> Decoded[T]:
        """Decode the body of a success response. Raises: MalformedAnswer."""


@dataclass(frozen=True, slots=True)
class ObjectCall(Call[R]):
    """Returns one record."""

    kind: type[R]

    def read(self, body: bytes) -> Decoded[R]:
        """Decode the record. Raises: MalformedAnswer."""
        return decode_object(self.kind, body)


@dataclass(frozen=True, slots=True)
class PageCall(Call[Page[R]]):
    """Returns one page of a list."""

    kind: type[R]
    only: Container[int] | None = None
    """IDs of the rows to keep; None for all rows."""

    def read(self, body: bytes) -> Decoded[Page[R]]:
        """Decode the page. Raises: MalformedAnswer."""
        return decode_page(self.kind, body) if self.only is None else decode_selected(self.kind, body, self.only)


@dataclass(frozen=True, slots=True)
class RowsCall(Call[tuple[R, ...]]):
    """Returns all rows of a list without pages."""

    kind: type[R]

    def read(self, body: bytes) -> Decoded[tuple[R, ...]]:
        """Decode the rows. Raises: MalformedAnswer."""
        return decode_rows(self.kind, body)


@dataclass(frozen=True, slots=True)
class ChangedPageCall(Call[Changed[Page[R]] | None]):
    """Returns one page of a list, or None if unchanged."""

    kind: type[R]
    before: Fingerprint | None = None

    def read(self, body: bytes) -> Decoded[Changed[Page[R]] | None]:
        """Decode the page; None if unchanged. Raises: MalformedAnswer."""
        return decode_if_changed(self.kind, body, self.before)


class JobFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Filter of ListMmsJobs; texts match like SQL LIKE."""

    name: str | None = None
    """Job name; the vendor's page describes it as the name of the data source."""
    src_db_name: str | None = None
    src_table_name: str | None = None
    status: str | None = None
    stopped: int | None = None
    """1 for stopped jobs, 0 for the others."""


class TableFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Filter of ListMmsTables; texts match like SQL LIKE.

    Source: the vendor's SDK.
    """

    db_name: str | None = None
    name: str | None = None
    status: tuple[str, ...] | None = None
    """Matches any of these."""


class PartitionFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Filter of ListMmsPartitions; texts match like SQL LIKE.

    Source: the vendor's SDK.
    """

    db_name: str | None = None
    table_name: str | None = None
    value: str | None = None
    status: tuple[str, ...] | None = None
    """Matches any of these."""
    updated: bool | None = None
    """True for those whose source changed after they were migrated."""


class TaskFilter(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Filter of ListMmsTasks. Source: the vendor's SDK."""

    job_id: int | None = None
    status: str | None = None
    """The API accepts only one."""


class JobRequest(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Body of CreateMmsJob: scope and options of the migration.

    `src_db_name` alone selects the whole database; with `tables`, these tables; with `partitions`, or with `tables` and
    `partition_filters`, these partitions. Source: vendor page CreateMmsJob.
    """

    name: str | None = None
    source_name: str | None = None
    src_db_name: str | None = None
    src_schema_name: str | None = None
    dst_db_name: str | None = None
    dst_schema_name: str | None = None
    task_type: str | None = None
    partitions: tuple[int, ...] | None = None
    """Partition ids."""
    tables: tuple[str, ...] | None = None
    table_black_list: tuple[str, ...] | None = None
    table_white_list: tuple[str, ...] | None = None
    """Ignored together with a blacklist."""
    partition_filters: dict[str, str] | None = None
    """Table name to partition filter expression."""
    schema_only: bool | None = None
    table_mapping: dict[str, str] | None = None
    increment: bool | None = None
    enable_schema_migration: bool | None = None
    enable_data_migration: bool | None = None
    enable_verification: bool | None = None
    column_mapping: dict[str, str] | None = None
    others: dict[str, Any] | None = None
    eta: str | None = None


def list_mms_data_sources(page: int) -> Call[Page[DataSource]]:
    """Return the call for one page of the data sources."""
    return PageCall("ListMmsDataSources", DATA_SOURCES_PATH, DataSource, _query({}, page))


def list_mms_dbs(source_id: int, page: int, page_size: int = PAGE_SIZE) -> Call[Page[Database]]:
    """Return the call for one page of a source's databases. Source: the vendor's SDK."""
    return PageCall("ListMmsDbs", f"{DATA_SOURCES_PATH}/{source_id}/dbs", Database, _query({}, page, page_size))


def list_mms_jobs(
    source_id: int, filters: JobFilter, page: int, page_size: int = PAGE_SIZE, only: Container[int] | None = None
) -> Call[Page[Job]]:
    """Return the call for one page of a source's jobs.

    With `only`, the result has only rows with these IDs.
    """
    path = f"{DATA_SOURCES_PATH}/{source_id}/jobs"
    return PageCall("ListMmsJobs", path, Job, _query(filters, page, page_size), only=only)


def list_changed_mms_jobs(source_id: int, before: Fingerprint | None) -> Call[Changed[Page[Job]] | None]:
    """Return the call for the first page of jobs.

    Its result is None if the data equal `before`.
    """
    path = f"{DATA_SOURCES_PATH}/{source_id}/jobs"
    return ChangedPageCall("ListMmsJobs", path, Job, _query(JobFilter(), 1), before=before)


def list_mms_tables(source_id: int, filters: TableFilter, page: int) -> Call[Page[Table]]:
    """Return the call for one page of a source's tables."""
    return PageCall("ListMmsTables", f"{DATA_SOURCES_PATH}/{source_id}/tables", Table, _query(filters, page))


def list_mms_partitions(
    source_id: int, filters: PartitionFilter, page: int, page_size: int = PAGE_SIZE
) -> Call[Page[Partition]]:
    """Return the call for one page of a source's partitions."""
    path = f"{DATA_SOURCES_PATH}/{source_id}/partitions"
    return PageCall("ListMmsPartitions", path, Partition, _query(filters, page, page_size))


def list_mms_tasks(source_id: int, filters: TaskFilter, page: int, page_size: int = PAGE_SIZE) -> Call[Page[Task]]:
    """Return the call for one page of a source's tasks."""
    return PageCall("ListMmsTasks", f"{DATA_SOURCES_PATH}/{source_id}/tasks", Task, _query(filters, page, page_size))


def list_mms_task_logs(source_id: int, task_id: int) -> Call[tuple[TaskLog, ...]]:
    """Return the call for the log of one task. Source: the vendor's SDK."""
    return RowsCall("ListMmsTaskLogs", f"{DATA_SOURCES_PATH}/{source_id}/tasks/{task_id}/logs", TaskLog)


def list_mms_timers(source_id: int, page: int, page_size: int = PAGE_SIZE) -> Call[Page[Timer]]:
    """Return the call for one page of a source's timers."""
    return PageCall("ListMmsTimers", f"{DATA_SOURCES_PATH}/{source_id}/timers", Timer, _query({}, page, page_size))


def list_mms_timer_logs(source_id: int, timer_id: int, page: int) -> Call[Page[TimerLog]]:
    """Return the call for one page of a timer's logs."""
    path = f"{DATA_SOURCES_PATH}/{source_id}/timers/{timer_id}/logs"
    return PageCall("ListMmsTimerLogs", path, TimerLog, _query({}, page))


def get_mms_table(source_id: int, table_id: int) -> Call[Table]:
    """Return the call for one table."""
    return ObjectCall("GetMmsTable", f"{DATA_SOURCES_PATH}/{source_id}/tables/{table_id}", Table)


def get_mms_partition(source_id: int, partition_id: int) -> Call[Partition]:
    """Return the call for one partition."""
    return ObjectCall("GetMmsPartition", f"{DATA_SOURCES_PATH}/{source_id}/partitions/{partition_id}", Partition)


def get_mms_fetch_metadata_job(source_id: int, scan_id: int) -> Call[MetadataScanJob]:
    """Return the call for one metadata scan. Source: the vendor's SDK."""
    return ObjectCall("GetMmsFetchMetadataJob", f"{DATA_SOURCES_PATH}/{source_id}/scans/{scan_id}", MetadataScanJob)


def get_mms_job(source_id: int, job_id: int) -> Call[Job]:
    """Return the call for one job. Source: the vendor's SDK."""
    return ObjectCall("GetMmsJob", f"{DATA_SOURCES_PATH}/{source_id}/jobs/{job_id}", Job)


def create_mms_job(source_id: int, request: JobRequest) -> Call[CreatedJob]:
    """Return the call that creates a job, which starts immediately."""
    body = msgspec.json.encode({"sourceId": source_id, **msgspec.to_builtins(request)})
    return ObjectCall("CreateMmsJob", f"{DATA_SOURCES_PATH}/{source_id}/jobs", CreatedJob, method="POST", body=body)


def get_mms_async_task(source_id: int, async_task_id: int) -> Call[AsyncTask]:
    """Return the call for the asynchronous task of a job creation."""
    return ObjectCall("GetMmsAsyncTask", f"{DATA_SOURCES_PATH}/{source_id}/asyncTasks/{async_task_id}", AsyncTask)


def _query(filters: object, page: int, page_size: int = PAGE_SIZE) -> tuple[tuple[str, str], ...]:
    pairs = {**msgspec.to_builtins(filters), "pageNum": page, "pageSize": page_size}
    return tuple((name, _parameter(value)) for name, value in pairs.items())


def _parameter(value: object) -> str:
    # The vendor's SDK sends several values as one JSON array.
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def like(text: str) -> str:
    """Return a SQL LIKE pattern that matches `text`, possibly more."""
    # A backslash is an escape character in SQL LIKE; `_` matches any character.
    return text.replace("\\", "_")


def decode(call: Call[T], status: int, headers: Mapping[str, str], body: bytes) -> Decoded[T]:
    """Decode a response; the names in `headers` are in lower case.

    Raises: MmsError for an error status, and for a success status with a `Code` but no data.
    """
    if not 200 <= status < 300:  # noqa: PLR2004 - the success class of HTTP
        raise error_from(call.operation, f"{call.operation} failed", status, headers, body)
    try:
        return call.read(body)
    except MalformedAnswer as error:
        raise error_from(call.operation, f"{call.operation}: {error.detail}", status, headers, body) from None
